//! The review of our own pull request: findings as inline comments.

use crate::domain::{OptionalStage, SwitchedOff, Task};
use crate::github::{GitHubError, NewReview, Purpose, ReviewComment};
use crate::speech::{self, DiffLines, InlineComment, ReviewView, has_marker};

use super::pull_request::{diff_of, head_of};
use super::view::Gathered;
use super::{Done, EffectError, Effects};

impl Effects {
    pub(super) async fn review(&self, key: &str, task: &Task) -> Result<Done, EffectError> {
        let Some(number) = task.pull_request else { return Ok(Done::Void("there is no pull request")) };
        let client = self.client(task, Purpose::PullRequest)?;
        let us = self.bot_login().await?;
        let posted = client.reviews(number).await?;
        let ours = posted.iter().filter(|review| review.user.as_ref().is_some_and(|user| user.login == us));
        if ours.into_iter().any(|review| has_marker(&review.body, key)) {
            return Ok(Done::Nothing);
        }
        let gathered = Gathered::of(&self.store, task).await?;
        let nobody = SwitchedOff::of(&gathered.switched_off, OptionalStage::Review).is_some();
        if nobody && gathered.findings.is_empty() {
            return Ok(Done::Void("reviews are switched off, and the pull request says so"));
        }
        let checkout = self.repositories.checkout(task).await?;
        let mut lines = DiffLines::default();
        for file in diff_of(&checkout, task)?.files {
            for hunk in file.hunks() {
                let last = (hunk.new_start + hunk.new_lines).saturating_sub(1);
                lines.add(file.path.as_str(), hunk.new_start..=last);
            }
        }
        let evidence = gathered.evidence(self.settings.budget_of(task));
        let text = self
            .with_gateway(|gateway| speech::review(gateway, &ReviewView { key, evidence, lines: &lines }));
        let comments: Vec<ReviewComment> = text.comments.iter().map(comment).collect();
        let commit = head_of(task)?;
        let new = NewReview { commit, body: text.body.as_str(), comments: &comments };
        match client.create_review(number, &new).await {
            // Lines that GitHub counts otherwise than we do: the findings are told without them.
            Err(GitHubError::Refused { status: 422, message }) if !comments.is_empty() => {
                tracing::warn!(message, "the inline comments were refused, posting the findings in the body");
                let none = DiffLines::default();
                let text = self.with_gateway(|gateway| {
                    speech::review(gateway, &ReviewView { key, evidence, lines: &none })
                });
                client
                    .create_review(number, &NewReview { commit, body: text.body.as_str(), comments: &[] })
                    .await?;
            }
            other => {
                other?;
            }
        }
        Ok(Done::Nothing)
    }
}

fn comment(inline: &InlineComment) -> ReviewComment {
    ReviewComment {
        path: inline.path.clone(),
        body: inline.body.as_str().to_owned(),
        line: inline.line,
        side: "RIGHT",
        start_line: inline.start_line,
        start_side: inline.start_line.map(|_| "RIGHT"),
    }
}

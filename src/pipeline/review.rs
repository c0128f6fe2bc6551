//! Reviewing the change, by several reviewers at once.

use crate::agents::{ReviewInput, review_all};
use crate::domain::{
    Event, FailedReviewer, FindingStatus, ReviewRound, ReviewerSummary, Task, TrackedFinding,
};
use crate::store::ArtifactKind;

use super::change::{change_of, commits_of, fork_point, policy};
use super::implement::specification_of;
use super::{Pipeline, StageEnd, StageError, json_artifact};

impl Pipeline {
    pub(super) async fn review(&self, task: &Task) -> Result<StageEnd, StageError> {
        let specification = specification_of(task)?;
        let checkout = self.repositories.checkout(task).await?;
        let (base, head) = commits_of(task)?;
        let policy = policy(&checkout, base)?;
        let limits = self.settings.limits.lowered_by(&policy.limits);
        let reviewers = policy.reviewers.as_ref().unwrap_or(&self.settings.reviewers);
        let from = fork_point(&checkout, base, head)?;
        let change = change_of(&checkout, head, &checkout.mirror.diff(&from, head)?)?;
        let agent = self.agent(task, &limits);
        let round = review_all(&agent, reviewers, ReviewInput { specification, change: &change }).await;
        let earlier: ReviewRound = self.kept(task, ArtifactKind::Review).await?;
        let mut round = tracked(round);
        let weakened = self.weakened(task, &checkout, &policy).await?;
        let open = |finding| TrackedFinding { finding, status: FindingStatus::Open };
        round.findings.extend(weakened.into_iter().map(open));
        let round = round.after(&earlier);
        let blocking = round.open().filter(|finding| self.blocks(finding)).count() as u32;
        let failed_reviewers = round.failed.iter().map(|failed| failed.reviewer.clone()).collect();
        let event = Event::Reviewed { blocking, failed_reviewers, reviewers: reviewers.len() as u32 };
        let artifacts = vec![json_artifact(task, ArtifactKind::Review, "review.json", &round)?];
        Ok(StageEnd { events: vec![event], artifacts })
    }
}

/// A round as it is kept. The same thing found by two reviewers is one finding, at the graver severity.
fn tracked(round: crate::agents::ReviewAnswers) -> ReviewRound {
    let mut kept = ReviewRound::default();
    for failed in round.failed {
        kept.failed.push(FailedReviewer { reviewer: failed.reviewer, why: failed.error.to_string() });
    }
    for review in round.reviews {
        kept.summaries.push(ReviewerSummary { reviewer: review.reviewer, summary: review.summary });
        for finding in review.findings {
            let same = kept.findings.iter_mut().find(|t| t.finding.fingerprint() == finding.fingerprint());
            match same {
                Some(known) if known.finding.severity >= finding.severity => {}
                Some(known) => known.finding = finding,
                None => kept.findings.push(TrackedFinding { finding, status: FindingStatus::Open }),
            }
        }
    }
    kept
}

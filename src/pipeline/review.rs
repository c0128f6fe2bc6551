//! Reviewing the change: several reviewers at once, then a verifier that holds what they found against the code.

use crate::agents::{Change, ReviewAnswers, ReviewInput, VerifyInput, review_all, verify};
use crate::config::RepositoryPolicy;
use crate::domain::{
    Event, FailedReviewer, Finding, OptionalStage, ReviewRound, ReviewerSummary, Severity, Task, merged,
};
use crate::guard;
use crate::store::ArtifactKind;

use super::change::{change_of, commits_of, fork_point, policy, snapshot};
use super::cleaned::without_secrets;
use super::implement::specification_of;
use super::reviewers::{Reviewers, reviewers};
use super::{Pipeline, StageEnd, StageError, json_artifact};

impl Pipeline {
    pub(super) async fn review(&self, task: &Task) -> Result<StageEnd, StageError> {
        let specification = specification_of(task)?;
        let checkout = self.repositories.checkout(task).await?;
        let (base, head) = commits_of(task)?;
        let policy = policy(&checkout, base)?;
        let in_force = self.in_force(&policy);
        let base_files = snapshot(&checkout, base).await?;
        let asked = (specification.prepared.template.as_ref(), self.settings.reviewers.as_slice());
        let who = match in_force.off(OptionalStage::Review) {
            Some(_) => Reviewers::default(),
            None => reviewers(&checkout, base, (&policy, &base_files), asked)?,
        };
        let from = fork_point(&checkout, base, head)?;
        let change = change_of(&checkout, head, &checkout.mirror.diff(&from, head)?)?;
        let places = self.places_of_change(&checkout, head, (specification, &change)).await;
        let agent = self.agent(task, &policy, self.prompts(&base_files, base)?);
        let input = ReviewInput { specification, change: &change, places: &places };
        let answers = review_all(&agent, &who.asked, input).await;
        let (mut round, found) = gathered(answers);
        round.failed.splice(0..0, who.unusable.iter().cloned());
        round.switched_off = in_force.switched_off.clone();
        if round.off(OptionalStage::Verify).is_some() {
            round.add(found);
        } else if !found.is_empty() {
            let input = VerifyInput { specification, change: &change, places: &places, findings: &found };
            let verification = verify(&agent, input).await;
            round.dropped = verification.dropped;
            round.unverified = verification.unverified;
            round.add(verification.kept);
        }
        // What was found by comparing both sides is no model's word, and no model's to drop.
        round.add(self.weakened(task, &checkout, &policy).await?);
        round.blocking = self.blocking(&policy);
        // Its like in an earlier round is found by the words, and those were kept clean.
        let round = without_secrets(round, &self.redactor);
        let earlier: ReviewRound = self.kept(task, ArtifactKind::Review).await?;
        let round = match round.off(OptionalStage::Review) {
            // Nobody looked whether what reviewers found before they were switched off is mended.
            Some(_) => round.after_unheard(&earlier, |reviewer| reviewer != guard::REVIEWER),
            None => round.after(&earlier),
        };
        let event = self.reviewed(&round, &change, who.count());
        let artifacts = vec![json_artifact(task, ArtifactKind::Review, "review.json", &round)?];
        Ok(StageEnd { events: vec![event], artifacts })
    }

    /// What the round means for the task.
    fn reviewed(&self, round: &ReviewRound, change: &Change, reviewers: u32) -> Event {
        let blocking = round.open().filter(|finding| blocks(round, finding)).count() as u32;
        // What has left the change cannot be mended in it.
        let remarks = round.open().filter(|finding| self.is_remark(round, finding));
        let remarks = remarks.filter(|finding| change.file(&finding.path).is_some()).count() as u32;
        let failed_reviewers = round.failed.iter().map(|failed| failed.reviewer.clone()).collect();
        Event::Reviewed { blocking, remarks, failed_reviewers, reviewers }
    }

    /// Severities that hold a change up: the deployment's, and more where the repository wants that.
    fn blocking(&self, policy: &RepositoryPolicy) -> Vec<Severity> {
        let wanted = |severity: &Severity| {
            let name = severity.as_str();
            let theirs = policy.blocking_severities.iter().any(|theirs| theirs.as_str() == name);
            theirs || self.settings.blocking.contains(severity)
        };
        Severity::ALL.into_iter().filter(wanted).collect()
    }

    /// Whether an open finding holds nothing up and is worth a fix.
    pub(super) fn is_remark(&self, round: &ReviewRound, finding: &Finding) -> bool {
        finding.reviewer != guard::REVIEWER
            && !blocks(round, finding)
            && self.settings.worth_a_fix.contains(&finding.severity)
    }
}

/// Whether an open finding holds the change up.
pub(super) fn blocks(round: &ReviewRound, finding: &Finding) -> bool {
    round.blocking.contains(&finding.severity) || guard::is_blocking(finding)
}

/// What the reviewers said, and what they found: the same thing found by two is one finding.
fn gathered(answers: ReviewAnswers) -> (ReviewRound, Vec<Finding>) {
    let mut round = ReviewRound::default();
    for failed in answers.failed {
        round.failed.push(FailedReviewer { reviewer: failed.reviewer, why: failed.error.to_string() });
    }
    let mut found = Vec::new();
    for review in answers.reviews {
        round.summaries.push(ReviewerSummary { reviewer: review.reviewer, summary: review.summary });
        found.extend(review.findings);
    }
    (round, merged(found))
}

//! Before anything is published: what is published is what was approved.

use crate::checkout::Observed;
use crate::domain::{ApprovalMeans, Approvals, Event, Reason, Rules, Task, plan_digest};

use super::change::{commits_of, policy};
use super::{Pipeline, StageEnd, StageError};

impl Pipeline {
    /// Looks at the issue once more. An edit that no webhook told us of stops the task here.
    pub(super) async fn publish(&self, task: &Task) -> Result<StageEnd, StageError> {
        check_approval(task, self.store.rules())?;
        self.check_paths(task).await?;
        let mut events = Vec::new();
        match self.repositories.observe(task).await? {
            Observed::Text(text) => events.push(Event::TextObserved(text)),
            Observed::Gone => events.push(Event::IssueDeleted),
            Observed::NoIssue => {}
        }
        events.push(Event::PublishChecked);
        Ok(StageEnd { events, artifacts: Vec::new() })
    }

    /// The last fence: whatever came before, what breaks the path policy is not published.
    async fn check_paths(&self, task: &Task) -> Result<(), StageError> {
        let checkout = self.repositories.checkout(task).await?;
        let (base, head) = commits_of(task)?;
        let fence = self.fence(task, &checkout, base, &policy(&checkout, base)?)?;
        match fence.refusal(head)? {
            Some(detail) => Err(StageError::stop(Reason::ChangeRefused { detail })),
            None => Ok(()),
        }
    }
}

/// The approval is of this plan, and the plan is of this text. What a dry run took as given is an approval
/// in dry runs only: whoever turns it off has not approved anything by that.
pub(super) fn check_approval(task: &Task, rules: &Rules) -> Result<(), StageError> {
    let given = task.approval.as_ref().is_some_and(|approval| approval.means == ApprovalMeans::DryRun);
    if given && rules.approvals != Approvals::Given(ApprovalMeans::DryRun) {
        return Err(StageError::stop(Reason::NotApproved));
    }
    let approved = task.approval.as_ref().map(|approval| approval.plan);
    let planned = task.plan.as_ref().zip(task.source.as_ref());
    let computed = planned.map(|(plan, source)| plan_digest(source.digest(), &plan.specification));
    if approved.is_some() && approved == computed && approved == task.plan.as_ref().map(|plan| plan.digest) {
        Ok(())
    } else {
        Err(StageError::stop(Reason::TextChanged))
    }
}

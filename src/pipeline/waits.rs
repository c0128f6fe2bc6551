//! Whether a task has to wait for others of its plan.

use crate::domain::{Reason, State, Task};
use crate::store::StoreError;
use crate::telemetry::clock;

use super::Pipeline;

/// Whether a task may begin.
pub(super) enum Waits {
    No,
    ForOthers,
    /// For what will not come.
    InVain(Reason),
}

impl Pipeline {
    /// Whether tasks of the same plan have to be merged before this one.
    pub(super) async fn waits_for(&self, task: &Task) -> Result<Waits, StoreError> {
        let (Some(plan), Some(place)) = (&task.plan, task.origin.github()) else { return Ok(Waits::No) };
        let before = &plan.specification.depends_on;
        if before.is_empty() {
            return Ok(Waits::No);
        }
        let all = self.store.tasks_of_issue(place.repository, place.issue).await?;
        let of_this_plan = all.iter().filter(|other| other.revision == task.revision);
        let mut merged = 0;
        for other in of_this_plan.filter(|other| before.contains(&(other.ordinal as usize - 1))) {
            match other.state {
                State::Done | State::Answered => merged += 1,
                State::Cancelled { .. } | State::PullRequestClosed => {
                    let title = other.title().to_owned();
                    return Ok(Waits::InVain(Reason::DependencyEnded { title }));
                }
                _ => {}
            }
        }
        if merged == before.len() {
            return Ok(Waits::No);
        }
        let days = self.settings.wait_days;
        let since = task.approval.as_ref().map_or(task.created_at, |approval| approval.at);
        if clock::now() - since > chrono::Duration::days(i64::from(days)) {
            let what = "the tasks that it builds on".to_owned();
            return Ok(Waits::InVain(Reason::WaitExpired { what, days }));
        }
        Ok(Waits::ForOthers)
    }
}

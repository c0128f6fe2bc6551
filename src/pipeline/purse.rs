//! What pays for a task's model calls: its own budget, its repository's and the deployment's, as the database
//! has them, for all processes together.

use chrono::TimeDelta;
use futures::future::BoxFuture;

use crate::config::Limits;
use crate::domain::{BudgetLimits, BudgetScope, Task, TaskId, Usage};
use crate::llm::{Estimate, Held, LlmError, Purse, Reservation, covers};
use crate::store::{SetAside, Spending, Store};

/// Longer than any call may take: see `models.request_timeout_seconds`.
const AT_MOST: TimeDelta = TimeDelta::minutes(65);

/// The purse of a task.
pub(super) struct TaskPurse {
    store: Store,
    task: TaskId,
    /// Those that have a limit.
    limits: Vec<(BudgetScope, BudgetLimits)>,
}

/// What `task` may spend, and its repository and deployment with it. `limits` are those of its repository.
pub(super) fn purse(store: &Store, task: &Task, limits: &Limits) -> TaskPurse {
    let of_task = task.budget.limits(limits.task(), limits.most);
    let all = [
        (BudgetScope::Task, of_task),
        (BudgetScope::RepositoryDay, limits.repository_day),
        (BudgetScope::Day, limits.day),
        (BudgetScope::Month, limits.month),
    ];
    let limits = all.into_iter().filter(|(_, limits)| *limits != BudgetLimits::default()).collect();
    TaskPurse { store: store.clone(), task: task.id, limits }
}

impl std::fmt::Debug for TaskPurse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskPurse").field("task", &self.task).field("limits", &self.limits).finish()
    }
}

impl TaskPurse {
    async fn set_aside(&self, needed: Estimate) -> Result<Reservation, LlmError> {
        let spending = Spending { tokens: needed.tokens, cost_micro_usd: needed.cost_micro_usd };
        let wanted = SetAside { task: self.task, spending, at_most: AT_MOST };
        let scopes: Vec<BudgetScope> = self.limits.iter().map(|(scope, _)| *scope).collect();
        let covered = |scope: BudgetScope, used: Spending| {
            let used = Estimate { tokens: used.tokens, cost_micro_usd: used.cost_micro_usd };
            let limits = self.limits.iter().find(|(of, _)| *of == scope);
            limits.map_or(Ok(()), |(_, limits)| covers(scope, limits, used, needed))
        };
        let number = self.store.set_aside(&wanted, &scopes, covered).await;
        let number = number.map_err(|error| LlmError::NotRecorded(error.to_string()))??;
        Ok(Reservation::new(InStore { store: self.store.clone(), number }))
    }
}

impl Purse for TaskPurse {
    fn reserve<'a>(&'a self, estimate: Estimate) -> BoxFuture<'a, Result<Reservation, LlmError>> {
        Box::pin(self.set_aside(estimate))
    }
}

struct InStore {
    store: Store,
    number: i64,
}

impl Held for InStore {
    /// What was used stands in the record of the call.
    fn release(self: Box<Self>, _used: Usage) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Err(error) = self.store.take_back(self.number).await {
                tracing::warn!(%error, "what was set aside for a call stays so until it runs out");
            }
        })
    }
}

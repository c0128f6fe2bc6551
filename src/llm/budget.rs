//! Budgets: what a call may cost at most is set aside before it, what it did cost is taken after.
//!
//! Calls run at the same time (reviewers do); without setting aside, each would find the same rest.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;

use super::error::LlmError;
use crate::domain::{Amount, BudgetLimits, BudgetScope, Usage};

/// What has to cover a call, wherever its numbers are kept.
pub trait Purse: Send + Sync + fmt::Debug {
    /// Sets `estimate` aside.
    ///
    /// # Errors
    /// [`LlmError::BudgetExhausted`] where it is not covered; [`LlmError::NotRecorded`] where that cannot be told.
    fn reserve<'a>(&'a self, estimate: Estimate) -> BoxFuture<'a, Result<Reservation, LlmError>>;
}

/// The most that one call can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    pub tokens: u64,
    pub cost_micro_usd: u64,
}

/// What is set aside for a call that is under way; given back when dropped.
pub struct Reservation(Option<Box<dyn Held>>);

/// What is behind a [`Reservation`].
pub trait Held: Send + Sync {
    /// The call used this much; the rest is free again.
    fn release(self: Box<Self>, used: Usage) -> BoxFuture<'static, ()>;
}

impl Reservation {
    pub fn new(held: impl Held + 'static) -> Self {
        Self(Some(Box::new(held)))
    }

    /// Takes what the call really used and gives the rest back. After the call was written down: what is spent
    /// is then counted twice for a moment, and never not at all.
    pub async fn settle(mut self, usage: Usage) {
        if let Some(held) = self.0.take() {
            held.release(usage).await;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Some(held) = self.0.take() else { return };
        let release = held.release(Usage::default());
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(release)),
            Err(_) => futures::executor::block_on(release),
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reservation")
    }
}

/// The first unit of `limits` in which `needed` is more than what `used` leaves.
///
/// # Errors
/// [`LlmError::BudgetExhausted`].
pub fn covers(
    scope: BudgetScope,
    limits: &BudgetLimits,
    used: Estimate,
    needed: Estimate,
) -> Result<(), LlmError> {
    let checks = [
        (limits.tokens, used.tokens, needed.tokens, Amount::Tokens as fn(u64) -> Amount),
        (limits.cost_micro_usd, used.cost_micro_usd, needed.cost_micro_usd, Amount::MicroUsd),
    ];
    for (limit, used, needed, amount) in checks {
        let Some(limit) = limit else { continue };
        let left = limit.saturating_sub(used);
        if needed > left {
            let (needed, left, limit) = (amount(needed), amount(left), amount(limit));
            return Err(LlmError::BudgetExhausted { scope, needed, left, limit });
        }
    }
    Ok(())
}

/// A purse in memory, for one process.
#[derive(Debug)]
pub struct Budget {
    scope: BudgetScope,
    limits: BudgetLimits,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    spent: Usage,
    reserved_tokens: u64,
    reserved_cost: u64,
}

impl Budget {
    /// `spent` is what was used before, by earlier attempts for example.
    pub fn new(scope: BudgetScope, limits: BudgetLimits, spent: Usage) -> Arc<Self> {
        let state = Arc::new(Mutex::new(State { spent, ..State::default() }));
        Arc::new(Self { scope, limits, state })
    }

    /// What was used, without what is set aside.
    pub fn spent(&self) -> Usage {
        lock(&self.state).spent
    }

    fn set_aside(&self, estimate: Estimate) -> Result<Reservation, LlmError> {
        let mut state = lock(&self.state);
        let used = Estimate {
            tokens: state.spent.tokens() + state.reserved_tokens,
            cost_micro_usd: state.spent.cost_micro_usd + state.reserved_cost,
        };
        covers(self.scope, &self.limits, used, estimate)?;
        state.reserved_tokens += estimate.tokens;
        state.reserved_cost += estimate.cost_micro_usd;
        Ok(Reservation::new(InMemory { state: Arc::clone(&self.state), estimate }))
    }
}

impl Purse for Budget {
    fn reserve<'a>(&'a self, estimate: Estimate) -> BoxFuture<'a, Result<Reservation, LlmError>> {
        Box::pin(async move { self.set_aside(estimate) })
    }
}

struct InMemory {
    state: Arc<Mutex<State>>,
    estimate: Estimate,
}

impl Held for InMemory {
    fn release(self: Box<Self>, used: Usage) -> BoxFuture<'static, ()> {
        let mut state = lock(&self.state);
        state.spent += used;
        state.reserved_tokens -= self.estimate.tokens;
        state.reserved_cost -= self.estimate.cost_micro_usd;
        Box::pin(async {})
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    // The numbers are whole after every statement, so a panic elsewhere leaves nothing half done.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(tokens: u64) -> Arc<Budget> {
        let limits = BudgetLimits { tokens: Some(tokens), cost_micro_usd: None };
        Budget::new(BudgetScope::Task, limits, Usage::default())
    }

    fn tokens(tokens: u64) -> Estimate {
        Estimate { tokens, cost_micro_usd: 0 }
    }

    #[tokio::test]
    async fn two_calls_under_way_cannot_both_have_the_last_tokens() {
        let budget = budget(100);
        let first = budget.reserve(tokens(60)).await.expect("fits");
        let second = budget.reserve(tokens(60)).await;
        assert!(matches!(second, Err(LlmError::BudgetExhausted { left: Amount::Tokens(40), .. })));
        first.settle(Usage { output_tokens: 10, ..Usage::default() }).await;
        drop(budget.reserve(tokens(90)).await.expect("the rest was given back"));
        assert_eq!(budget.spent().tokens(), 10);
    }

    #[tokio::test]
    async fn a_call_that_was_dropped_gives_everything_back() {
        let budget = budget(100);
        drop(budget.reserve(tokens(100)).await.expect("fits"));
        budget.reserve(tokens(100)).await.expect("fits again");
    }

    #[tokio::test]
    async fn what_was_spent_before_counts() {
        let limits = BudgetLimits { tokens: None, cost_micro_usd: Some(500_000) };
        let spent = Usage { cost_micro_usd: 450_000, ..Usage::default() };
        let budget = Budget::new(BudgetScope::Task, limits, spent);
        let needed = Estimate { tokens: 1, cost_micro_usd: 60_000 };
        let error = budget.reserve(needed).await.expect_err("too much");
        assert_eq!(
            error.to_string(),
            "the budget of this task does not cover the call: it may need $0.06, and $0.05 of $0.50 is left"
        );
    }
}

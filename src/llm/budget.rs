//! Budgets: what a call may cost at most is set aside before it, what it did cost is taken after.
//!
//! Calls run at the same time (reviewers do); without setting aside, each would find the same rest.

use std::sync::{Arc, Mutex, PoisonError};

use super::error::LlmError;
use crate::domain::Usage;

/// What may be spent. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetLimits {
    pub tokens: Option<u64>,
    pub cost_micro_usd: Option<u64>,
}

/// A purse with a name: a task's, a repository's, everybody's.
#[derive(Debug)]
pub struct Budget {
    name: String,
    limits: BudgetLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    spent: Usage,
    reserved_tokens: u64,
    reserved_cost: u64,
}

/// The most that one call can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    pub tokens: u64,
    pub cost_micro_usd: u64,
}

/// Money and tokens set aside for a call that is under way; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    estimate: Estimate,
}

impl Budget {
    /// `spent` is what was used before, by earlier attempts for example.
    pub fn new(name: impl Into<String>, limits: BudgetLimits, spent: Usage) -> Arc<Self> {
        let state = Mutex::new(State { spent, ..State::default() });
        Arc::new(Self { name: name.into(), limits, state })
    }

    /// What was used, without what is set aside.
    pub fn spent(&self) -> Usage {
        self.lock().spent
    }

    /// Sets `estimate` aside, or says what is missing.
    pub fn reserve(self: &Arc<Self>, estimate: Estimate) -> Result<Reservation, LlmError> {
        let mut state = self.lock();
        let checks = [
            ("tokens", self.limits.tokens, state.spent.tokens() + state.reserved_tokens, estimate.tokens),
            (
                "millionths of a dollar",
                self.limits.cost_micro_usd,
                state.spent.cost_micro_usd + state.reserved_cost,
                estimate.cost_micro_usd,
            ),
        ];
        for (unit, limit, used, needed) in checks {
            let Some(limit) = limit else { continue };
            let left = limit.saturating_sub(used);
            if needed > left {
                return Err(LlmError::BudgetExhausted {
                    budget: self.name.clone(),
                    unit,
                    needed,
                    left,
                    limit,
                });
            }
        }
        state.reserved_tokens += estimate.tokens;
        state.reserved_cost += estimate.cost_micro_usd;
        Ok(Reservation { budget: Arc::clone(self), estimate })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // The numbers are whole after every statement, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Takes what the call really used and gives the rest back.
    pub fn settle(self, usage: Usage) {
        self.budget.lock().spent += usage;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.reserved_tokens -= self.estimate.tokens;
        state.reserved_cost -= self.estimate.cost_micro_usd;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(tokens: u64) -> Arc<Budget> {
        let limits = BudgetLimits { tokens: Some(tokens), cost_micro_usd: None };
        Budget::new("of the task", limits, Usage::default())
    }

    fn tokens(tokens: u64) -> Estimate {
        Estimate { tokens, cost_micro_usd: 0 }
    }

    #[test]
    fn two_calls_under_way_cannot_both_have_the_last_tokens() {
        let budget = budget(100);
        let first = budget.reserve(tokens(60)).expect("fits");
        assert!(matches!(budget.reserve(tokens(60)), Err(LlmError::BudgetExhausted { left: 40, .. })));
        first.settle(Usage { output_tokens: 10, ..Usage::default() });
        drop(budget.reserve(tokens(90)).expect("the rest was given back"));
        assert_eq!(budget.spent().tokens(), 10);
    }

    #[test]
    fn a_call_that_was_dropped_gives_everything_back() {
        let budget = budget(100);
        drop(budget.reserve(tokens(100)).expect("fits"));
        budget.reserve(tokens(100)).expect("fits again");
    }

    #[test]
    fn what_was_spent_before_counts() {
        let limits = BudgetLimits { tokens: None, cost_micro_usd: Some(500) };
        let spent = Usage { cost_micro_usd: 450, ..Usage::default() };
        let budget = Budget::new("of the task", limits, spent);
        let error = budget.reserve(Estimate { tokens: 1, cost_micro_usd: 51 }).expect_err("too much");
        assert_eq!(
            error.to_string(),
            "the budget of the task does not cover the call: 51 needed, 50 left of 500 millionths of a dollar"
        );
    }
}

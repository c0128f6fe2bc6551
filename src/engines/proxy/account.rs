//! Who pays for a command's calls, and what is written down about them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::refusal::Refusal;
use super::{MOST_REFUSALS, Metered, Metering, Refused, Spent};
use crate::domain::Usage;
use crate::llm::{
    Accounting, CallLabel, CallRecord, Estimate, Exchange, Ledger, LlmError, ModelSettings, Purse,
    Reservation, Role, StopReason, TokenCount,
};

/// In whose name a command calls models.
#[derive(Debug, Clone)]
pub struct Account {
    pub role: Role,
    pub label: CallLabel,
    /// All of them have to cover each call.
    pub budgets: Vec<Arc<dyn Purse>>,
    /// The models that it may call.
    pub models: Vec<ModelSettings>,
    /// Calls that it may make.
    pub most_calls: u32,
}

/// What the calls of one command have in common.
#[derive(Debug)]
pub(super) struct Calls {
    pub metering: Arc<Metering>,
    pub books: Books,
    pub room: Arc<Semaphore>,
    /// Set when nobody listens any more.
    pub closing: CancellationToken,
    pub tasks: TaskTracker,
}

/// The account and what was booked on it.
#[derive(Debug)]
pub(super) struct Books {
    account: Account,
    state: Mutex<Metered>,
}

/// What is set aside for a call.
#[derive(Debug)]
pub(super) struct Reserved {
    reservations: Vec<Reservation>,
    /// Counted from 1.
    pub number: u32,
    pub estimated_input: u64,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub tokens: TokenCount,
    pub accounting: Accounting,
    pub latency: Duration,
    pub stop: Option<StopReason>,
    pub error: Option<LlmError>,
}

impl Books {
    pub fn new(account: Account) -> Self {
        Self { account, state: Mutex::default() }
    }

    pub fn account(&self) -> &Account {
        &self.account
    }

    pub fn summary(&self) -> Metered {
        self.lock().clone()
    }

    pub fn note_refusal(&self, path: &str, refusal: &Refusal) {
        let mut state = self.lock();
        if state.refused.len() < MOST_REFUSALS {
            let (path, reason) = (path.to_owned(), refusal.message.clone());
            state.refused.push(Refused { path, status: refusal.status, reason });
        }
    }

    /// Sets aside what a call may use at most: a token for four bytes of it, and all that it may write.
    pub async fn reserve(
        &self,
        model: &ModelSettings,
        bytes: usize,
        most_output: u64,
    ) -> Result<Reserved, Refusal> {
        let number = self.count_one()?;
        let input = (bytes as u64).div_ceil(4);
        let tokens = TokenCount { input, output: most_output, ..TokenCount::default() };
        let price = model.price.unwrap_or_default();
        let estimate = Estimate {
            tokens: input.saturating_add(most_output),
            cost_micro_usd: price.cost_micro_usd(&tokens),
        };
        let mut reservations = Vec::with_capacity(self.account.budgets.len());
        for budget in &self.account.budgets {
            match budget.reserve(estimate).await {
                Ok(reservation) => reservations.push(reservation),
                Err(error) => {
                    let refusal = Refusal::spent(error.to_string());
                    let mut state = self.lock();
                    state.calls -= 1;
                    state.spent.get_or_insert(Spent::Budget(error));
                    return Err(refusal);
                }
            }
        }
        Ok(Reserved { reservations, number, estimated_input: input })
    }

    /// One call more, if it may be made.
    fn count_one(&self) -> Result<u32, Refusal> {
        let mut state = self.lock();
        if let Some(error) = &state.unrecorded {
            return Err(Refusal::spent(format!(
                "the cost of an earlier call could not be recorded: {error}"
            )));
        }
        let most = self.account.most_calls;
        if state.calls >= most {
            state.spent.get_or_insert(Spent::Calls(most));
            return Err(Refusal::spent(format!("the limit of {most} calls of a model is reached")));
        }
        state.calls += 1;
        Ok(state.calls)
    }

    /// Takes from the budgets what a call used, and writes it down.
    pub async fn settle(
        &self,
        ledger: &dyn Ledger,
        model: &ModelSettings,
        reserved: Reserved,
        (ended, said): (Ended, Exchange),
    ) {
        let usage: Usage = ended.tokens.usage(&model.price.unwrap_or_default());
        let attempt = reserved.number as usize;
        let record = CallRecord {
            label: self.account.label.clone(),
            role: self.account.role,
            model: model.name.clone(),
            attempt,
            tokens: ended.tokens,
            usage,
            accounting: ended.accounting,
            latency: ended.latency,
            stop: ended.stop,
            error: ended.error.as_ref().map(|error| (error.kind().to_owned(), error.to_string())),
            exchange: Some(said),
        };
        let recorded = record_surely(ledger, &record).await;
        for reservation in reserved.reservations {
            reservation.settle(usage).await;
        }
        let mut state = self.lock();
        state.usage += usage;
        state.last_failure = ended.error;
        if let Err(error) = recorded {
            tracing::error!(error, "a call of an agent's command could not be recorded");
            state.unrecorded.get_or_insert(error);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Metered> {
        // Whole after every statement, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record is tried three times: losing one would hide what was spent.
async fn record_surely(ledger: &dyn Ledger, record: &CallRecord) -> Result<(), String> {
    let mut last = String::new();
    for wait in [0, 200, 1_000] {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        match ledger.record(record).await {
            Ok(()) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

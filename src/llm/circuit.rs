//! Which models are left alone because they kept failing. Shared by all calls of a client.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::LlmError;
use super::model::{CircuitPolicy, ModelName};

/// A model's last failures.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    /// Transient ones since the last success.
    failures: u32,
    left_alone_until: Option<Instant>,
    /// Since when a call is out to see if the model is back.
    probed_since: Option<Instant>,
}

/// A call that has not ended by then never will.
const LONGEST_PROBE: Duration = Duration::from_secs(2 * 60 * 60);

#[derive(Debug)]
pub(super) struct Circuit {
    policy: CircuitPolicy,
    records: Mutex<BTreeMap<ModelName, Record>>,
}

impl Circuit {
    pub fn new(policy: CircuitPolicy) -> Self {
        Self { policy, records: Mutex::default() }
    }

    /// Whether `model` may be asked at `now`. After the pause one call may, and the others wait for what
    /// becomes of it. Each admission is followed by [`Circuit::note`].
    pub fn admit(&self, model: &ModelName, now: Instant) -> Result<(), LlmError> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(record) = records.get_mut(model) else { return Ok(()) };
        let Some(until) = record.left_alone_until else { return Ok(()) };
        let is_probed =
            record.probed_since.is_some_and(|since| now.saturating_duration_since(since) < LONGEST_PROBE);
        if now >= until && !is_probed {
            record.probed_since = Some(now);
            return Ok(());
        }
        let retry_in = match until.saturating_duration_since(now) {
            Duration::ZERO => self.policy.pause,
            left => left,
        };
        Err(LlmError::LeftAlone { model: model.clone(), failures: record.failures, retry_in })
    }

    /// What became of an admitted call. Only a transient failure speaks against the model: a refusal is an
    /// answer too.
    pub fn note(&self, model: &ModelName, error: Option<&LlmError>, now: Instant) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(error) = error.filter(|error| error.is_transient()) else {
            records.remove(model);
            return;
        };
        let record = records.entry(model.clone()).or_default();
        record.failures = record.failures.saturating_add(1);
        if record.probed_since.is_some() || record.failures >= self.policy.failures {
            let pause = error.retry_after().map_or(self.policy.pause, |asked| asked.max(self.policy.pause));
            record.left_alone_until = Some(now + pause);
            record.probed_since = None;
            tracing::warn!(%model, failures = record.failures, "a model is left alone for a while");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ModelName {
        ModelName { provider: "openai".into(), model: "gpt-5.2".into() }
    }

    fn overloaded() -> LlmError {
        LlmError::Overloaded { retry_after: None, message: "no".into() }
    }

    fn failing() -> (Circuit, Instant) {
        let circuit = Circuit::new(CircuitPolicy { failures: 3, pause: Duration::from_secs(30) });
        let now = Instant::now();
        for _ in 0..3 {
            circuit.admit(&model(), now).expect("still asked");
            circuit.note(&model(), Some(&overloaded()), now);
        }
        (circuit, now)
    }

    #[test]
    fn a_model_that_keeps_failing_is_left_alone_and_the_time_is_told() {
        let (circuit, now) = failing();
        let error = circuit.admit(&model(), now + Duration::from_secs(10)).expect_err("left alone");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(20)));
        assert_eq!(error.to_string(), "openai:gpt-5.2 failed 3 times in a row and is asked again in 20 s");
        let other = ModelName { model: "gpt-5.3".into(), ..model() };
        circuit.admit(&other, now).expect("another model of the provider is asked");
    }

    #[test]
    fn after_the_pause_one_call_tries_and_decides_for_all() {
        let (circuit, now) = failing();
        let later = now + Duration::from_secs(31);
        circuit.admit(&model(), later).expect("one call tries");
        circuit.admit(&model(), later).expect_err("the others wait");
        let lost = later + LONGEST_PROBE;
        circuit.admit(&model(), lost).expect("a call that never came back is not waited for");
        circuit.note(&model(), Some(&overloaded()), later);
        circuit.admit(&model(), later + Duration::from_secs(29)).expect_err("left alone again");
        let back = later + Duration::from_secs(31);
        circuit.admit(&model(), back).expect("one call tries");
        circuit.note(&model(), None, back);
        circuit.admit(&model(), back).expect("it is back");
        circuit.admit(&model(), back).expect("for all");
    }

    #[test]
    fn a_refusal_shows_that_the_model_is_there() {
        let circuit = Circuit::new(CircuitPolicy { failures: 2, pause: Duration::from_secs(30) });
        let now = Instant::now();
        let refused = LlmError::InvalidRequest("400: no".into());
        for error in [overloaded(), refused, overloaded()] {
            circuit.note(&model(), Some(&error), now);
        }
        circuit.admit(&model(), now).expect("never two in a row");
    }
}

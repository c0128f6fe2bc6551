//! What goes wrong, as data: which request or delivery, how often, and what happens to it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::admin::Admin;
use super::random::Random;

/// The faults a simulator starts with. The seed decides where a `chance` is below one.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    pub seed: u64,
    pub list: Vec<Fault>,
}

/// One fault. Each matching request or delivery after the first `skip` meets it, `times` times at most.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub matches: Matcher,
    #[serde(default)]
    pub skip: u32,
    /// `None`: every time.
    #[serde(default = "once")]
    pub times: Option<u32>,
    /// From 0 to 1.
    #[serde(default = "always")]
    pub chance: f64,
    pub effect: Effect,
}

fn once() -> Option<u32> {
    Some(1)
}

fn always() -> f64 {
    1.0
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Matcher {
    /// `method` is a verb or `*`; `path` a regular expression, found anywhere in the path with its query.
    Request { method: String, path: String },
    /// A regular expression over `event` or `event.action`, such as `^issues\.labeled$`.
    Delivery { event: String },
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// Answered so, and nothing is done: 401, 403, 429, 502, …
    Refuse { status: u16, retry_after_seconds: Option<u64> },
    /// Done, and the connection then closed without an answer.
    ApplyThenDrop,
    /// The connection closed and nothing done.
    DropUnapplied,
    /// The answer comes late.
    DelayAnswer { milliseconds: u64 },
    /// Every installation token ends before the request is looked at.
    ExpireTokens,
    /// A person pushes a commit before the request is handled.
    PersonPushes { login: String, repository: String, branch: String, path: String, content: String },
    /// Something of the test's own, before the request is handled or after.
    #[serde(skip)]
    Callback { moment: Moment, act: Act },
    /// The delivery is tried and fails; it can be asked for again.
    LoseDelivery,
    /// The delivery arrives `copies` times more, with the same id.
    DuplicateDelivery { copies: u32 },
    /// The delivery comes later, after those that follow it meanwhile.
    DelayDelivery { milliseconds: u64 },
    /// The delivery and the next change places.
    SwapDelivery,
}

pub type Act = Arc<dyn Fn(&Admin) + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Before,
    After,
}

impl fmt::Debug for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuse { status, .. } => write!(formatter, "refuse with {status}"),
            Self::ApplyThenDrop => formatter.write_str("apply, then drop"),
            Self::DropUnapplied => formatter.write_str("drop unapplied"),
            Self::DelayAnswer { milliseconds } => write!(formatter, "answer {milliseconds} ms late"),
            Self::ExpireTokens => formatter.write_str("expire tokens"),
            Self::PersonPushes { login, branch, .. } => write!(formatter, "{login} pushes to {branch}"),
            Self::Callback { moment, .. } => write!(formatter, "callback {moment:?}"),
            Self::LoseDelivery => formatter.write_str("lose the delivery"),
            Self::DuplicateDelivery { copies } => write!(formatter, "deliver {copies} times more"),
            Self::DelayDelivery { milliseconds } => write!(formatter, "deliver {milliseconds} ms late"),
            Self::SwapDelivery => formatter.write_str("swap with the next delivery"),
        }
    }
}

impl Fault {
    pub fn on_request(method: &str, path: &str, effect: Effect) -> Self {
        let matches = Matcher::Request { method: method.to_owned(), path: path.to_owned() };
        Self { matches, skip: 0, times: Some(1), chance: 1.0, effect }
    }

    pub fn on_delivery(event: &str, effect: Effect) -> Self {
        let matches = Matcher::Delivery { event: event.to_owned() };
        Self { matches, skip: 0, times: Some(1), chance: 1.0, effect }
    }

    /// Lets the first `count` matches pass.
    pub fn after(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    pub fn times(mut self, count: u32) -> Self {
        self.times = Some(count);
        self
    }

    pub fn forever(mut self) -> Self {
        self.times = None;
        self
    }

    pub fn with_chance(mut self, chance: f64) -> Self {
        self.chance = chance;
        self
    }
}

/// Names a fault that was added, to remove it or to ask how often it struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(u64);

/// Adds and removes faults while the simulator runs; clones share them.
#[derive(Clone, Debug)]
pub struct FaultHandle {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: Random,
    next: u64,
    armed: Vec<Armed>,
}

#[derive(Debug)]
struct Armed {
    id: u64,
    fault: Fault,
    pattern: Regex,
    seen: u32,
    struck: u32,
}

impl FaultHandle {
    pub(super) fn new(faults: Faults) -> Result<Self, regex::Error> {
        let state = State { random: Random::new(faults.seed), next: 0, armed: Vec::new() };
        let handle = Self { state: Arc::new(Mutex::new(state)) };
        for fault in faults.list {
            handle.add(fault)?;
        }
        Ok(handle)
    }

    /// # Errors
    /// The matcher's regular expression cannot be read.
    pub fn add(&self, fault: Fault) -> Result<FaultId, regex::Error> {
        let pattern = match &fault.matches {
            Matcher::Request { path, .. } => Regex::new(path)?,
            Matcher::Delivery { event } => Regex::new(event)?,
        };
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        state.armed.push(Armed { id, fault, pattern, seen: 0, struck: 0 });
        Ok(FaultId(id))
    }

    pub fn remove(&self, id: FaultId) {
        self.state().armed.retain(|one| one.id != id.0);
    }

    pub fn clear(&self) {
        self.state().armed.clear();
    }

    /// How often a fault has struck; zero for one that was removed.
    pub fn struck(&self, id: FaultId) -> u32 {
        self.state().armed.iter().find(|one| one.id == id.0).map_or(0, |one| one.struck)
    }

    pub(super) fn on_request(&self, method: &str, path: &str) -> Vec<Effect> {
        self.strike(|armed| match &armed.fault.matches {
            Matcher::Request { method: wanted, .. } => {
                (wanted == "*" || wanted.eq_ignore_ascii_case(method)) && armed.pattern.is_match(path)
            }
            Matcher::Delivery { .. } => false,
        })
    }

    pub(super) fn on_delivery(&self, event: &str, action: Option<&str>) -> Vec<Effect> {
        let full = action.map(|action| format!("{event}.{action}"));
        self.strike(|armed| match &armed.fault.matches {
            Matcher::Delivery { .. } => {
                armed.pattern.is_match(event)
                    || full.as_ref().is_some_and(|full| armed.pattern.is_match(full))
            }
            Matcher::Request { .. } => false,
        })
    }

    fn strike(&self, matches: impl Fn(&Armed) -> bool) -> Vec<Effect> {
        let mut state = self.state();
        let State { random, armed, .. } = &mut *state;
        let mut effects = Vec::new();
        for one in armed.iter_mut().filter(|one| matches(one)) {
            one.seen += 1;
            let spent = one.fault.times.is_some_and(|times| one.struck >= times);
            if one.seen <= one.fault.skip || spent || !random.chance(one.fault.chance) {
                continue;
            }
            one.struck += 1;
            effects.push(one.fault.effect.clone());
        }
        effects
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, Fault, FaultHandle, Faults};

    #[test]
    fn a_fault_strikes_after_its_skip_and_as_often_as_told() {
        let handle = FaultHandle::new(Faults::default()).expect("no faults");
        let fault = Fault::on_request("POST", "/comments$", Effect::ApplyThenDrop).after(1).times(2);
        let id = handle.add(fault).expect("a good pattern");
        let struck: Vec<usize> =
            (0..5).map(|_| handle.on_request("POST", "/repos/o/r/issues/1/comments").len()).collect();
        assert_eq!(struck, [0, 1, 1, 0, 0]);
        assert_eq!(handle.struck(id), 2);
        assert!(handle.on_request("GET", "/repos/o/r/issues/1/comments").is_empty());
    }

    #[test]
    fn the_seed_repeats_what_chance_decides() {
        let run = |seed| {
            let fault = Fault::on_delivery("^issues", Effect::LoseDelivery).forever().with_chance(0.5);
            let handle = FaultHandle::new(Faults { seed, list: vec![fault] }).expect("a good pattern");
            (0..64).map(|_| handle.on_delivery("issues", Some("labeled")).len()).collect::<Vec<_>>()
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
        let hits: usize = run(3).iter().sum();
        assert!((10..54).contains(&hits), "{hits}");
    }

    #[test]
    fn faults_are_read_from_data() {
        let text = "seed: 5\nlist:\n  - matches: {request: {method: '*', path: /pulls}}\n    effect: {refuse: {status: 502}}\n  - matches: {delivery: {event: push}}\n    times: null\n    effect: swap_delivery\n";
        let faults: Faults = serde_saphyr::from_str(text).expect("good faults");
        assert_eq!((faults.list.len(), faults.list[0].times, faults.list[1].times), (2, Some(1), None));
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        let handle = FaultHandle::new(Faults::default()).expect("no faults");
        assert!(handle.add(Fault::on_request("GET", "(", Effect::ExpireTokens)).is_err());
    }
}

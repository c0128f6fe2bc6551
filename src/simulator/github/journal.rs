//! What the simulator saw and sent, for tests to look at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::Value;

/// One request, REST or git.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    pub at: DateTime<Utc>,
    pub method: String,
    /// As it came, with the query.
    pub path: String,
    /// The route's template; `None` for git and for unknown routes.
    pub route: Option<&'static str>,
    /// `app`, `installation 51000000`, `user ada` or `anonymous`.
    pub actor: String,
    pub body: Value,
    pub status: u16,
    pub answer: Value,
    /// What a fault did to it.
    pub fault: Option<String>,
}

/// One webhook delivery with all its attempts.
#[derive(Clone, Debug)]
pub struct DeliveryEntry {
    pub guid: String,
    pub event: String,
    pub action: Option<String>,
    pub payload: Value,
    pub attempts: Vec<Attempt>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub at: DateTime<Utc>,
    pub redelivery: bool,
    /// `None` when no answer came (refused, timed out, or lost by a fault).
    pub status: Option<u16>,
}

/// A handle; clones see the same journal.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<RequestRecord>,
    unknown_routes: Vec<String>,
    deliveries: Vec<DeliveryEntry>,
    contract_violations: Vec<String>,
    ignored: Vec<String>,
}

impl Journal {
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.state().requests.clone()
    }

    /// Requests with this method to this route template, such as `/repos/{owner}/{repo}/pulls`.
    pub fn requests_to(&self, method: &str, route: &str) -> Vec<RequestRecord> {
        let state = self.state();
        let wanted = state.requests.iter().filter(|one| one.method == method && one.route == Some(route));
        wanted.cloned().collect()
    }

    /// `METHOD path` of each request that no route of this simulator answers.
    pub fn unknown_routes(&self) -> Vec<String> {
        self.state().unknown_routes.clone()
    }

    /// Deliveries in the order of their first attempt.
    pub fn deliveries(&self) -> Vec<DeliveryEntry> {
        self.state().deliveries.clone()
    }

    /// Deliveries of one event, such as `issues` or `issues.labeled`.
    pub fn deliveries_of(&self, event: &str) -> Vec<DeliveryEntry> {
        let (name, action) =
            event.split_once('.').map_or((event, None), |(name, action)| (name, Some(action)));
        let state = self.state();
        let wanted = state
            .deliveries
            .iter()
            .filter(|one| one.event == name && (action.is_none() || one.action.as_deref() == action));
        wanted.cloned().collect()
    }

    /// Where requests, answers or payloads left GitHub's published description.
    pub fn contract_violations(&self) -> Vec<String> {
        self.state().contract_violations.clone()
    }

    /// Names in requests that GitHub's description does not know, and that GitHub ignores: often a slip.
    pub fn ignored_by_github(&self) -> Vec<String> {
        self.state().ignored.clone()
    }

    pub(super) fn note_request(&self, record: RequestRecord) {
        self.state().requests.push(record);
    }

    pub(super) fn note_unknown_route(&self, method: &str, path: &str) {
        self.state().unknown_routes.push(format!("{method} {path}"));
    }

    pub(super) fn note_violations(&self, violations: impl IntoIterator<Item = String>) {
        self.state().contract_violations.extend(violations);
    }

    pub(super) fn note_ignored(&self, ignored: impl IntoIterator<Item = String>) {
        self.state().ignored.extend(ignored);
    }

    pub(super) fn note_attempt(&self, entry: DeliveryEntry, attempt: Attempt) {
        let mut state = self.state();
        match state.deliveries.iter_mut().find(|known| known.guid == entry.guid) {
            Some(known) => known.attempts.push(attempt),
            None => state.deliveries.push(DeliveryEntry { attempts: vec![attempt], ..entry }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The simulated GitHub's own clock.
//!
//! It is a clock apart from the product's: a test may set it ahead or back to see what a difference
//! between the two machines does, and move it to let tokens expire.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use chrono::{DateTime, Duration, SubsecRound, Utc};

/// Wall time plus a skew that can be changed while the simulator runs. Clones share the skew.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    skew_milliseconds: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that is `skew` ahead of this machine's (behind, where negative).
    pub fn with_skew(skew: Duration) -> Self {
        let clock = Self::default();
        clock.advance(skew);
        clock
    }

    /// Moves the clock; the past stays as it was recorded.
    pub fn advance(&self, by: Duration) {
        self.skew_milliseconds.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }

    pub fn now(&self) -> DateTime<Utc> {
        let wall: DateTime<Utc> = SystemTime::now().into();
        wall + Duration::milliseconds(self.skew_milliseconds.load(Ordering::SeqCst))
    }

    /// GitHub's resources carry times in whole seconds.
    pub fn second(&self) -> DateTime<Utc> {
        self.now().trunc_subsecs(0)
    }
}

/// The form of a time in GitHub's JSON: `2026-11-21T03:18:40Z`.
pub(super) fn stamp(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(super) fn stamp_option(time: Option<DateTime<Utc>>) -> Option<String> {
    time.map(stamp)
}

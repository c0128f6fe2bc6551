//! What is kept for some days only goes, a batch after the other, so that no statement holds the database up.

use std::time::Duration;

use chrono::TimeDelta;

use crate::store::{Store, StoreError};
use crate::telemetry::clock;

/// Rows of one statement, and statements of one round.
const BATCH: u32 = 500;
const BATCHES: usize = 40;
const LOOK: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_secs(10);

/// How far a round came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forgotten {
    All,
    /// There is more to remove.
    Some,
}

impl Forgotten {
    pub fn next_look(self) -> Duration {
        match self {
            Self::All => LOOK,
            Self::Some => SOON,
        }
    }
}

/// Removes what was said to models more than `days` ago. The records of the calls stay.
pub(super) async fn forget_texts(store: &Store, days: u32) -> Result<Forgotten, StoreError> {
    let before = clock::now() - TimeDelta::days(days.into());
    for _ in 0..BATCHES {
        if store.forget_model_texts(before, BATCH).await? < u64::from(BATCH) {
            return Ok(Forgotten::All);
        }
    }
    Ok(Forgotten::Some)
}

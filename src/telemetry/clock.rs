//! The one door for time and new ids, so that whoever needs them takes them as values.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The present moment.
#[allow(clippy::disallowed_methods)] // This is the door.
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A new id; ids that are made later sort later (UUID version 7).
#[allow(clippy::disallowed_methods)] // This is the door.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ids_sort_later() {
        let ids: Vec<Uuid> = (0..1000).map(|_| new_id()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
    }
}

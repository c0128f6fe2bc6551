//! Webhook deliveries, stored before they are acknowledged.

use std::collections::HashSet;

use super::{Store, StoreError, writable};

/// What became of a delivery that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    Stored,
    /// The same delivery was stored before; nothing was done.
    Known,
}

/// A delivery that is not stored yet.
#[derive(Debug, Clone, Copy)]
pub struct Arriving<'a> {
    pub guid: &'a str,
    pub event: &'a str,
    pub payload: &'a [u8],
    /// Why the body is no JSON: the delivery is kept and marked, and no job is made.
    pub malformed: Option<&'a str>,
}

/// A stored delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: i64,
    pub guid: String,
    pub event: String,
    pub payload: Vec<u8>,
}

/// How handling a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryEnd {
    Handled,
    Ignored { why: String },
    Malformed { why: String },
}

impl DeliveryEnd {
    pub(super) fn columns(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Handled => ("handled", None),
            Self::Ignored { why } => ("ignored", Some(why)),
            Self::Malformed { why } => ("malformed", Some(why)),
        }
    }
}

impl Store {
    /// Stores a delivery and the job that will handle it, see [`Store::receive_all`].
    pub async fn receive(
        &self,
        guid: &str,
        event: &str,
        payload: &[u8],
        malformed: Option<&str>,
    ) -> Result<Arrival, StoreError> {
        let mut arrivals = self.receive_all(&[Arriving { guid, event, payload, malformed }]).await?;
        arrivals.pop().ok_or_else(|| StoreError::Missing { what: "arrival of delivery", id: guid.to_owned() })
    }

    /// Stores deliveries and the jobs that will handle them, in one statement and so in one commit: all
    /// or none. What became of each, in their order; of two with the same guid the first is stored.
    pub async fn receive_all(&self, arriving: &[Arriving<'_>]) -> Result<Vec<Arrival>, StoreError> {
        let guids: Vec<&str> = arriving.iter().map(|delivery| delivery.guid).collect();
        let events: Vec<&str> = arriving.iter().map(|delivery| delivery.event).collect();
        let payloads: Vec<&[u8]> = arriving.iter().map(|delivery| delivery.payload).collect();
        let faults: Vec<_> =
            arriving.iter().map(|delivery| delivery.malformed.map(writable::owned)).collect();
        let stored = sqlx::query_file_scalar!(
            "src/store/receive.sql",
            guids as _,
            events as _,
            payloads as _,
            faults as _,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut stored: HashSet<String> = stored.into_iter().collect();
        let arrival = |guid: &str| if stored.remove(guid) { Arrival::Stored } else { Arrival::Known };
        Ok(arriving.iter().map(|delivery| delivery.guid).map(arrival).collect())
    }

    pub async fn delivery(&self, id: i64) -> Result<Delivery, StoreError> {
        sqlx::query_as!(Delivery, "SELECT id, guid, event, payload FROM deliveries WHERE id = $1", id)
            .fetch_optional(&self.pool)
            .await?
            .ok_or_else(|| StoreError::Missing { what: "delivery", id: id.to_string() })
    }

    /// Deliveries under a good signature whose body could not be read, newest first.
    pub async fn malformed_deliveries(&self, limit: i64) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT guid, coalesce(note, '') AS "note!" FROM deliveries
               WHERE status = 'malformed' ORDER BY received_at DESC LIMIT $1"#,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (row.guid, row.note)).collect())
    }
}

// The receiver writes the job's payload in SQL; this is the shape it has to have.
#[cfg(test)]
mod tests {
    use super::super::Work;

    #[test]
    fn the_payload_that_sql_builds_is_the_one_that_rust_reads() {
        let work: Work = serde_json::from_str(r#"{"work": "ingest", "delivery": 7}"#).expect("reads");
        assert_eq!(work, Work::Ingest { delivery: 7 });
    }
}

//! Webhook deliveries, stored before they are acknowledged.

use chrono::{DateTime, Utc};

use super::{Store, StoreError};

/// What became of a delivery that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    Stored,
    /// The same delivery was stored before; nothing was done.
    Known,
}

/// A stored delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: i64,
    pub guid: String,
    pub event: String,
    pub payload: Vec<u8>,
    pub received_at: DateTime<Utc>,
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
    /// Stores a delivery and the job that will handle it, in one statement and so in one commit.
    /// `malformed` says why the body is no JSON: it is kept and marked, and no job is made.
    pub async fn receive(
        &self,
        guid: &str,
        event: &str,
        payload: &[u8],
        malformed: Option<&str>,
    ) -> Result<Arrival, StoreError> {
        let status = if malformed.is_some() { "malformed" } else { "received" };
        let row = sqlx::query!(
            r#"WITH delivery AS (
                   INSERT INTO deliveries (guid, event, payload, status, note)
                   VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (guid) DO NOTHING
                   RETURNING id
               ), job AS (
                   INSERT INTO jobs (key, kind, lane, payload)
                   SELECT 'ingest/' || $1, 'ingest', 'ingest/' || $1,
                          jsonb_build_object('work', 'ingest', 'delivery', id)
                   FROM delivery WHERE $4 = 'received'
               )
               SELECT count(*) AS "stored!" FROM delivery"#,
            guid,
            event,
            payload,
            status,
            malformed,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(if row.stored == 1 { Arrival::Stored } else { Arrival::Known })
    }

    pub async fn delivery(&self, id: i64) -> Result<Delivery, StoreError> {
        sqlx::query_as!(
            Delivery,
            "SELECT id, guid, event, payload, received_at FROM deliveries WHERE id = $1",
            id
        )
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

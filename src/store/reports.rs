//! What people are told about many tasks at once.

use chrono::{DateTime, Utc};

use crate::domain::{Task, Usage};

use super::tasks::read;
use super::{Store, StoreError, unsigned};

/// A span of time in the life of all tasks.
#[derive(Debug, Clone)]
pub struct DigestReport {
    /// Tasks whose pull request was opened, or that ended, in the span.
    pub moved: Vec<Task>,
    /// Tasks that wait for a person now.
    pub waiting: Vec<Task>,
    pub spent: Usage,
}

/// A job that could not be done and that nobody will try again by itself.
#[derive(Debug, Clone)]
pub struct StuckJob {
    pub key: String,
    pub error: String,
    pub at: DateTime<Utc>,
}

impl Store {
    pub async fn digest_report(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<DigestReport, StoreError> {
        let moved = sqlx::query!(
            "SELECT id, data FROM tasks WHERE id IN (
                 SELECT task_id FROM transitions WHERE at >= $1 AND at < $2
                   AND event IN ('pull_request_opened', 'pull_request_merged', 'pull_request_closed',
                                 'local_branch_written'))
             ORDER BY created_at",
            from,
            until,
        )
        .fetch_all(&self.pool)
        .await?;
        let spent = sqlx::query!(
            r#"SELECT count(*) AS "calls!", coalesce(sum(input_tokens), 0)::bigint AS "input!",
                      coalesce(sum(cached_tokens), 0)::bigint AS "cached!",
                      coalesce(sum(output_tokens), 0)::bigint AS "output!",
                      coalesce(sum(cost_micro_usd), 0)::bigint AS "cost!"
               FROM model_calls WHERE at >= $1 AND at < $2"#,
            from,
            until,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(DigestReport {
            moved: moved.into_iter().map(|row| read(row.id, row.data)).collect::<Result<_, _>>()?,
            waiting: self
                .tasks_in(&["waiting_for_answer", "awaiting_approval", "needs_person", "pull_request_open"])
                .await?,
            spent: Usage {
                calls: unsigned(spent.calls),
                input_tokens: unsigned(spent.input),
                cached_tokens: unsigned(spent.cached),
                output_tokens: unsigned(spent.output),
                cost_micro_usd: unsigned(spent.cost),
            },
        })
    }

    /// Jobs that were refused, newest first.
    pub async fn stuck_jobs(&self, limit: i64) -> Result<Vec<StuckJob>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT key, coalesce(last_error, '') AS "error!", coalesce(finished_at, created_at) AS "at!"
               FROM jobs WHERE state = 'refused' ORDER BY id DESC LIMIT $1"#,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| StuckJob { key: row.key, error: row.error, at: row.at }).collect())
    }
}

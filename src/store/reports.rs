//! What people are told about many tasks at once.

use chrono::{DateTime, Utc};

use crate::domain::{Task, Usage};

use super::tasks::readable;
use super::{Store, StoreError};

/// A span of time in the life of all tasks.
#[derive(Debug, Clone)]
pub struct DigestReport {
    /// Tasks whose pull request was opened, or that ended, in the span.
    pub moved: Vec<(Task, Usage)>,
    /// Tasks that wait for a person now.
    pub waiting: Vec<(Task, Usage)>,
    /// Tasks that are being worked on now.
    pub at_work: Vec<(Task, Usage)>,
    /// Everything that was spent in the span; beside each task stands its part of it.
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
        let moved = moved.into_iter().filter_map(|row| readable(row.id, row.data)).collect::<Vec<_>>();
        let waiting = ["waiting_for_answer", "awaiting_approval", "needs_person", "pull_request_open"];
        let waiting = self.tasks_in(&waiting).await?;
        let at_work = ["discussing", "queued", "implementing", "gating", "reviewing", "fixing", "publishing"];
        let at_work = self.tasks_in(&at_work).await?;
        Ok(DigestReport {
            moved: self.with_usage(moved, from, until).await?,
            waiting: self.with_usage(waiting, from, until).await?,
            at_work: self.with_usage(at_work, from, until).await?,
            spent: self.usage_between(None, from, until).await?,
        })
    }

    async fn with_usage(
        &self,
        tasks: Vec<Task>,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<(Task, Usage)>, StoreError> {
        let mut all = Vec::with_capacity(tasks.len());
        for task in tasks {
            let usage = self.usage_between(Some(task.id), from, until).await?;
            all.push((task, usage));
        }
        Ok(all)
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

//! Tasks and their history.

use chrono::{DateTime, Utc};

use crate::domain::{GitHubPlace, IssueNumber, Origin, RepositoryId, Task, TaskId};

use super::{Store, StoreError, signed, unsigned};

/// A task in the database that this version of the program cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task {id} cannot be read by this version: {fault}")]
pub struct UnreadableTask {
    pub id: uuid::Uuid,
    pub fault: String,
}

/// A line of a task's history.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TransitionRecord {
    pub version: u64,
    pub event: String,
    /// The state after it.
    pub state: String,
    pub at: DateTime<Utc>,
}

pub(super) fn read(id: uuid::Uuid, data: serde_json::Value) -> Result<Task, UnreadableTask> {
    serde_json::from_value(data).map_err(|error| UnreadableTask { id, fault: error.to_string() })
}

/// For lists of many tasks: one that cannot be read is told in the log and costs the others nothing.
pub(super) fn readable(id: uuid::Uuid, data: serde_json::Value) -> Option<Task> {
    read(id, data).inspect_err(|error| tracing::error!(%error, "a task is left out")).ok()
}

impl Store {
    pub async fn task(&self, id: TaskId) -> Result<Task, StoreError> {
        let row = sqlx::query!("SELECT id, data FROM tasks WHERE id = $1", id.0)
            .fetch_optional(&self.pool)
            .await?
            .ok_or_else(|| StoreError::Missing { what: "task", id: id.to_string() })?;
        Ok(read(row.id, row.data)?)
    }

    /// The tasks of an issue, the one that reads it first. Questions are none of them.
    pub async fn tasks_of_issue(
        &self,
        repository: RepositoryId,
        issue: IssueNumber,
    ) -> Result<Vec<Task>, StoreError> {
        let rows = sqlx::query!(
            "SELECT id, data FROM tasks WHERE repository_id = $1 AND issue_number = $2 AND ordinal > 0
             ORDER BY ordinal, created_at",
            signed(repository.0),
            signed(issue.0),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|row| Ok(read(row.id, row.data)?)).collect()
    }

    /// The questions that people asked on an issue or pull request, oldest first.
    pub async fn questions_on(
        &self,
        repository: RepositoryId,
        number: IssueNumber,
    ) -> Result<Vec<Task>, StoreError> {
        let rows = sqlx::query!(
            "SELECT id, data FROM tasks WHERE repository_id = $1 AND issue_number = $2 AND ordinal = 0
             ORDER BY created_at",
            signed(repository.0),
            signed(number.0),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|row| Ok(read(row.id, row.data)?)).collect()
    }

    pub async fn task_of_pull_request(
        &self,
        repository: RepositoryId,
        number: IssueNumber,
    ) -> Result<Option<Task>, StoreError> {
        let row = sqlx::query!(
            "SELECT id, data FROM tasks WHERE repository_id = $1 AND pull_request = $2
             ORDER BY created_at DESC LIMIT 1",
            signed(repository.0),
            signed(number.0),
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| Ok(read(row.id, row.data)?)).transpose()
    }

    /// All tasks in the named states, oldest first. One that this version cannot read is left out.
    pub async fn tasks_in(&self, states: &[&str]) -> Result<Vec<Task>, StoreError> {
        let states: Vec<String> = states.iter().map(|&state| state.to_owned()).collect();
        let rows =
            sqlx::query!("SELECT id, data FROM tasks WHERE state = ANY($1) ORDER BY created_at", &states)
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().filter_map(|row| readable(row.id, row.data)).collect())
    }

    /// The deployment's open tasks that may have something to hear from GitHub, oldest first. A pull request
    /// that was closed is not expected to be opened again after some weeks.
    pub async fn tasks_on_github(&self) -> Result<Vec<Task>, StoreError> {
        let rows = sqlx::query!(
            "SELECT id, data FROM tasks
             WHERE repository_id IS NOT NULL AND run_id IS NULL AND ordinal > 0
               AND state NOT IN ('done', 'answered', 'cancelled')
               AND (state <> 'pull_request_closed' OR updated_at > now() - interval '30 days')
             ORDER BY created_at",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().filter_map(|row| readable(row.id, row.data)).collect())
    }

    /// Tasks of a repository, or of an installation, that have not ended.
    pub async fn open_tasks_of(&self, repositories: &[RepositoryId]) -> Result<Vec<Task>, StoreError> {
        let ids: Vec<i64> = repositories.iter().map(|id| signed(id.0)).collect();
        let rows = sqlx::query!(
            "SELECT id, data FROM tasks
             WHERE repository_id = ANY($1) AND state NOT IN ('done', 'answered', 'cancelled')",
            &ids
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|row| Ok(read(row.id, row.data)?)).collect()
    }

    /// The tasks of a local run, the one that reads the issue first.
    pub async fn tasks_of_run(&self, run: TaskId) -> Result<Vec<Task>, StoreError> {
        let rows =
            sqlx::query!("SELECT id, data FROM tasks WHERE run_id = $1 ORDER BY ordinal, created_at", run.0)
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter().map(|row| Ok(read(row.id, row.data)?)).collect()
    }

    /// The local run that a task belongs to. `None`: there is no such task, or it is the deployment's.
    pub async fn run_of(&self, task: TaskId) -> Result<Option<TaskId>, StoreError> {
        let run = sqlx::query_scalar!("SELECT run_id FROM tasks WHERE id = $1", task.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(run.flatten().map(TaskId))
    }

    pub async fn history(&self, id: TaskId) -> Result<Vec<TransitionRecord>, StoreError> {
        let rows = sqlx::query!(
            "SELECT version, event, state, at FROM transitions WHERE task_id = $1 ORDER BY version",
            id.0
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| TransitionRecord {
                version: unsigned(row.version),
                event: row.event,
                state: row.state,
                at: row.at,
            })
            .collect())
    }

    /// The same, each with what happened in full.
    pub async fn transitions(
        &self,
        id: TaskId,
    ) -> Result<Vec<(TransitionRecord, serde_json::Value)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT version, event, detail, state, at FROM transitions WHERE task_id = $1 ORDER BY version",
            id.0
        )
        .fetch_all(&self.pool)
        .await?;
        let full = rows.into_iter().map(|row| {
            let version = unsigned(row.version);
            (TransitionRecord { version, event: row.event, state: row.state, at: row.at }, row.detail)
        });
        Ok(full.collect())
    }

    /// The numbers of all tasks, local runs included, the newest first.
    pub async fn task_ids(&self) -> Result<Vec<String>, StoreError> {
        let ids = sqlx::query_scalar!(r#"SELECT id::text AS "id!" FROM tasks ORDER BY created_at DESC"#)
            .fetch_all(&self.pool)
            .await?;
        Ok(ids)
    }

    /// Tasks of a repository, those of one issue apart, that stopped for a person at some time: `most` of them, those
    /// that moved last first.
    pub async fn stopped_tasks(
        &self,
        repository: RepositoryId,
        but: IssueNumber,
        most: u32,
    ) -> Result<Vec<Task>, StoreError> {
        let rows = sqlx::query!(
            "SELECT id, data FROM tasks
             WHERE repository_id = $1 AND issue_number <> $2
               AND EXISTS (SELECT 1 FROM transitions
                           WHERE transitions.task_id = tasks.id AND transitions.state = 'needs_person')
             ORDER BY updated_at DESC LIMIT $3",
            signed(repository.0),
            signed(but.0),
            i64::from(most),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().filter_map(|row| readable(row.id, row.data)).collect())
    }

    /// The same of a local repository, tasks of the same run apart.
    pub async fn stopped_local_tasks(
        &self,
        repository: &str,
        but: TaskId,
        most: u32,
    ) -> Result<Vec<Task>, StoreError> {
        let rows = sqlx::query!(
            "SELECT id, data FROM tasks
             WHERE run_id IS NOT NULL AND run_id <> (SELECT run_id FROM tasks WHERE id = $2)
               AND repository_id IS NULL AND data #>> '{origin,repository}' = $1
               AND EXISTS (SELECT 1 FROM transitions
                           WHERE transitions.task_id = tasks.id AND transitions.state = 'needs_person')
             ORDER BY updated_at DESC LIMIT $3",
            repository,
            but.0,
            i64::from(most),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().filter_map(|row| readable(row.id, row.data)).collect())
    }

    /// The task with the state that it had after a transition: what was decided then is told as it was,
    /// whatever happened since.
    pub async fn task_as_of(&self, id: TaskId, version: u64) -> Result<Task, StoreError> {
        let now = self.task(id).await?;
        let snapshot = sqlx::query_scalar!(
            "SELECT task FROM transitions WHERE task_id = $1 AND version = $2",
            id.0,
            signed(version),
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::Missing { what: "version of task", id: format!("{id} {version}") })?;
        let then: Task = serde_json::from_value(snapshot)
            .map_err(|error| UnreadableTask { id: id.0, fault: error.to_string() })?;
        let source = now.source.filter(|_| now.revision == then.revision);
        // A repository may have been renamed since.
        Ok(Task { source, origin: now.origin, ..then })
    }

    /// A person may rename a repository or give it to somebody else at any time; what tasks show, where they
    /// push and by whose leave follows.
    pub async fn rename_repository(&self, place: &GitHubPlace) -> Result<(), StoreError> {
        sqlx::query!(
            r#"UPDATE tasks SET data = jsonb_set(
                   jsonb_set(data, '{origin,full_name}', to_jsonb($2::text)),
                   '{origin,installation}', to_jsonb($3::bigint))
               WHERE repository_id = $1"#,
            signed(place.repository.0),
            place.full_name,
            signed(place.installation.0),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// The columns that are copies of what `data` says.
pub(super) struct TaskColumns {
    pub repository: Option<i64>,
    pub issue: Option<i64>,
    pub pull_request: Option<i64>,
}

impl TaskColumns {
    pub(super) fn of(task: &Task) -> Self {
        let place = match &task.origin {
            Origin::GitHub(place) => Some(place),
            Origin::Local { .. } => None,
        };
        Self {
            repository: place.map(|place| signed(place.repository.0)),
            issue: place.map(|place| signed(place.issue.0)),
            pull_request: task.pull_request.map(|number| signed(number.0)),
        }
    }
}

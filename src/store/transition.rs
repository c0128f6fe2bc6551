//! One transaction in which tasks move, jobs end and jobs begin.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::domain::{Consequence, Effect, Event, Rules, Stage, Step, Task, TaskId, propose_spawned, step};

use super::artifacts::Artifact;
use super::deliveries::DeliveryEnd;
use super::jobs::{Lease, Work, held};
use super::tasks::{TaskColumns, read};
use super::{Store, StoreError, signed, writable};

/// What an event did to its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    Moved(Box<Task>),
    /// In order, and nothing changed.
    Unchanged,
}

/// A transaction that is open for as short as its statements take.
pub struct Transition<'a> {
    tx: Transaction<'static, Postgres>,
    rules: &'a Rules,
    /// The local run that new tasks belong to.
    run: Option<TaskId>,
}

impl<'a> Transition<'a> {
    pub(super) fn new(tx: Transaction<'static, Postgres>, rules: &'a Rules, run: Option<TaskId>) -> Self {
        Self { tx, rules, run }
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }

    /// Makes sure that the lease still holds, which it then does until the transaction ends. To be asked after
    /// the task was moved: whoever cancels a task's jobs has its row locked before theirs, too.
    pub async fn hold(&mut self, lease: &Lease) -> Result<(), StoreError> {
        let row = sqlx::query_scalar!(
            "SELECT id FROM jobs WHERE id = $1 AND fence = $2 AND lease_owner = $3 AND state = 'ready'
             FOR NO KEY UPDATE",
            lease.job,
            lease.fence,
            lease.owner,
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        held(lease, u64::from(row.is_some()))
    }

    /// Ends a job. Everything else in this transaction counts only if the lease still holds.
    pub async fn finish(&mut self, lease: &Lease) -> Result<(), StoreError> {
        let done = sqlx::query!(
            r#"UPDATE jobs SET state = 'done', finished_at = now(), lease_owner = NULL, lease_until = NULL,
                               last_error = NULL
               WHERE id = $1 AND fence = $2 AND lease_owner = $3 AND state = 'ready'"#,
            lease.job,
            lease.fence,
            lease.owner,
        )
        .execute(&mut *self.tx)
        .await?;
        held(lease, done.rows_affected())
    }

    /// Ends a job that cannot be done, and keeps why.
    pub async fn refuse(&mut self, lease: &Lease, error: &str) -> Result<(), StoreError> {
        let done = sqlx::query!(
            r#"UPDATE jobs SET state = 'refused', finished_at = now(), lease_owner = NULL, lease_until = NULL,
                               last_error = $4
               WHERE id = $1 AND fence = $2 AND lease_owner = $3 AND state = 'ready'"#,
            lease.job,
            lease.fence,
            lease.owner,
            &*writable::text(error),
        )
        .execute(&mut *self.tx)
        .await?;
        held(lease, done.rows_affected())
    }

    pub async fn end_delivery(&mut self, id: i64, end: &DeliveryEnd) -> Result<(), StoreError> {
        let (status, note) = end.columns();
        sqlx::query!(
            "UPDATE deliveries SET status = $2, note = $3, handled_at = now() WHERE id = $1",
            id,
            status,
            note.map(writable::owned),
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Enqueues work that belongs to no task, once by its key.
    pub async fn enqueue(&mut self, key: &str, work: &Work) -> Result<(), StoreError> {
        insert_job(&mut self.tx, NewJob { key, lane: key, work, repository: None, wait_days: 0 }).await
    }

    pub async fn keep(&mut self, task: TaskId, artifact: &Artifact) -> Result<(), StoreError> {
        super::artifacts::insert(&mut self.tx, task, artifact).await
    }

    /// Makes a task and starts its first stage. `None`: the issue has its task already, which is the
    /// way several labellings at once make one.
    pub async fn create(&mut self, task: &Task) -> Result<Option<TaskId>, StoreError> {
        if !insert_task(&mut self.tx, task, self.run).await? {
            return Ok(None);
        }
        record(&mut self.tx, task, "created", &serde_json::Value::Null, task.created_at).await?;
        if let Some(stage) = task.stage() {
            run_stage(&mut self.tx, task, stage).await?;
        }
        Ok(Some(task.id))
    }

    /// Lets an event happen to a task.
    pub async fn apply(
        &mut self,
        id: TaskId,
        event: &Event,
        at: DateTime<Utc>,
    ) -> Result<Applied, StoreError> {
        let mut waiting = vec![(id, event.clone())];
        let mut first = None;
        while let Some((id, event)) = waiting.pop() {
            let (applied, older) = self.apply_one(id, &event, at).await?;
            first.get_or_insert(applied);
            waiting.extend(older.into_iter().map(|older| (older, Event::Superseded)));
        }
        Ok(first.unwrap_or(Applied::Unchanged))
    }

    async fn apply_one(
        &mut self,
        id: TaskId,
        event: &Event,
        at: DateTime<Utc>,
    ) -> Result<(Applied, Vec<TaskId>), StoreError> {
        let task = lock(&mut self.tx, id).await?;
        let (event, detail) = writable::as_read_back(event)?;
        let Some(Step { task: next, then }) = step(&task, &event, at, self.rules)? else {
            return Ok((Applied::Unchanged, Vec::new()));
        };
        update_task(&mut self.tx, &next).await?;
        record(&mut self.tx, &next, event.name(), &detail, at).await?;
        if task.stage() != next.stage() || then.iter().any(|c| matches!(c, Consequence::Run(_))) {
            cancel_stages(&mut self.tx, id).await?;
        }
        let older = self.carry_out(&next, &then, at).await?;
        Ok((Applied::Moved(Box::new(next)), older))
    }

    /// Writes down what a transition asks for; returns the tasks that it supersedes.
    async fn carry_out(
        &mut self,
        task: &Task,
        then: &[Consequence],
        at: DateTime<Utc>,
    ) -> Result<Vec<TaskId>, StoreError> {
        let mut older = Vec::new();
        for (index, consequence) in then.iter().enumerate() {
            match consequence {
                Consequence::Run(stage) => run_stage(&mut self.tx, task, *stage).await?,
                Consequence::Perform(effect) => perform(&mut self.tx, task, effect, index).await?,
                Consequence::Wait { days } => wait(&mut self.tx, task, *days).await?,
                Consequence::SupersedeOlder => older.extend(older_siblings(&mut self.tx, task).await?),
                Consequence::Spawn(sibling) => {
                    let Step { task, then } = propose_spawned((**sibling).clone(), at, self.rules);
                    insert_task(&mut self.tx, &task, self.run).await?;
                    record(&mut self.tx, &task, "spawned", &serde_json::Value::Null, at).await?;
                    // A plan that is put before a person asks for no more tasks: this goes no deeper.
                    older.extend(Box::pin(self.carry_out(&task, &then, at)).await?);
                }
            }
        }
        Ok(older)
    }
}

impl Store {
    /// One event in a transaction of its own.
    pub async fn apply(&self, id: TaskId, event: &Event, at: DateTime<Utc>) -> Result<Applied, StoreError> {
        let mut transition = self.begin().await?;
        let applied = transition.apply(id, event, at).await?;
        transition.commit().await?;
        Ok(applied)
    }

    /// Ends a job that cannot be done. It stays in the table for an operator to see.
    pub async fn refuse(&self, lease: &Lease, error: &str) -> Result<(), StoreError> {
        let mut transition = self.begin().await?;
        transition.refuse(lease, error).await?;
        transition.commit().await
    }

    /// Enqueues work that belongs to no task, once by its key.
    pub async fn enqueue(&self, key: &str, work: &Work) -> Result<(), StoreError> {
        let mut transition = self.begin().await?;
        transition.enqueue(key, work).await?;
        transition.commit().await
    }
}

async fn lock(tx: &mut PgConnection, id: TaskId) -> Result<Task, StoreError> {
    let row = sqlx::query!("SELECT id, data FROM tasks WHERE id = $1 FOR UPDATE", id.0)
        .fetch_optional(tx)
        .await?
        .ok_or_else(|| StoreError::Missing { what: "task", id: id.to_string() })?;
    Ok(read(row.id, row.data)?)
}

async fn insert_task(tx: &mut PgConnection, task: &Task, run: Option<TaskId>) -> Result<bool, StoreError> {
    let columns = TaskColumns::of(task);
    let data = writable::json(task)?;
    let done = sqlx::query!(
        "INSERT INTO tasks (id, repository_id, issue_number, pull_request, ordinal, revision, state, version,
                            data, created_at, run_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
        task.id.0,
        columns.repository,
        columns.issue,
        columns.pull_request,
        task.ordinal as i32,
        task.revision as i32,
        task.state.name(),
        signed(task.version),
        data,
        task.created_at,
        run.map(|run| run.0),
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn update_task(tx: &mut PgConnection, task: &Task) -> Result<(), StoreError> {
    let columns = TaskColumns::of(task);
    let data = writable::json(task)?;
    sqlx::query!(
        "UPDATE tasks SET pull_request = $2, revision = $3, state = $4, version = $5, data = $6,
                          updated_at = now() WHERE id = $1",
        task.id.0,
        columns.pull_request,
        task.revision as i32,
        task.state.name(),
        signed(task.version),
        data,
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn record(
    tx: &mut PgConnection,
    task: &Task,
    event: &str,
    detail: &serde_json::Value,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let snapshot = writable::json(&Task { source: None, ..task.clone() })?;
    sqlx::query!(
        "INSERT INTO transitions (task_id, version, event, detail, state, task, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        task.id.0,
        signed(task.version),
        event,
        detail,
        task.state.name(),
        snapshot,
        at,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The task left the stage: whoever still works on it loses the lease and stops.
async fn cancel_stages(tx: &mut PgConnection, id: TaskId) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE jobs SET state = 'cancelled', finished_at = now()
         WHERE task_id = $1 AND kind = 'stage' AND state = 'ready'",
        id.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn older_siblings(tx: &mut PgConnection, task: &Task) -> Result<Vec<TaskId>, StoreError> {
    let columns = TaskColumns::of(task);
    let ids = sqlx::query_scalar!(
        "SELECT id FROM tasks WHERE repository_id = $1 AND issue_number = $2 AND ordinal > 1 AND revision < $3
         ORDER BY id",
        columns.repository,
        columns.issue,
        task.revision as i32,
    )
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

async fn run_stage(tx: &mut PgConnection, task: &Task, stage: Stage) -> Result<(), StoreError> {
    let key = format!("{}/{}/{}", task.id, task.version, stage.as_str());
    let lane = format!("stage/{}", task.id);
    let work = Work::Stage { task: task.id, stage, version: task.version };
    let repository = TaskColumns::of(task).repository;
    insert_job(tx, NewJob { key: &key, lane: &lane, work: &work, repository, wait_days: 0 }).await
}

async fn perform(
    tx: &mut PgConnection,
    task: &Task,
    effect: &Effect,
    index: usize,
) -> Result<(), StoreError> {
    let key = effect.key(task, index);
    // A mail server that is away holds up mails, not the pull request.
    let lane = match effect {
        Effect::Mail { .. } => format!("mail/{}", task.id),
        _ => format!("effect/{}", task.id),
    };
    let work = Work::Effect { task: task.id, version: task.version, act: effect.clone() };
    let repository = TaskColumns::of(task).repository;
    insert_job(tx, NewJob { key: &key, lane: &lane, work: &work, repository, wait_days: 0 }).await
}

async fn wait(tx: &mut PgConnection, task: &Task, days: u32) -> Result<(), StoreError> {
    let key = format!("{}/{}/wait", task.id, task.version);
    let work = Work::Wait { task: task.id, version: task.version };
    insert_job(tx, NewJob { key: &key, lane: &key, work: &work, repository: None, wait_days: days }).await
}

struct NewJob<'a> {
    key: &'a str,
    lane: &'a str,
    work: &'a Work,
    repository: Option<i64>,
    wait_days: u32,
}

async fn insert_job(tx: &mut PgConnection, job: NewJob<'_>) -> Result<(), StoreError> {
    let payload = writable::json(job.work)?;
    sqlx::query!(
        "INSERT INTO jobs (key, kind, lane, task_id, repository_id, payload, run_at, run_id)
         VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(days => $7),
                 (SELECT run_id FROM tasks WHERE id = $4))
         ON CONFLICT (key) DO NOTHING",
        job.key,
        job.work.kind().as_str(),
        job.lane,
        job.work.task().map(|task| task.0),
        job.repository,
        payload,
        job.wait_days as i32,
    )
    .execute(tx)
    .await?;
    Ok(())
}

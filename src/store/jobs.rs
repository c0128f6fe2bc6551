//! Jobs: what is to be done, leased to one worker at a time and fenced.
//!
//! All times are the database's: one clock decides who holds a lease.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::postgres::PgListener;

use crate::domain::{Effect, GitHubPlace, Notice, Stage, TaskId};

use super::{Store, StoreError, writable};

/// A lease that nobody renewed for this long is free for others.
pub const LEASE: Duration = Duration::from_secs(45);

/// How long an effect waits where its owner is known to be dead. Its last request may still be on the way to
/// being done: "If GitHub takes more than 10 seconds to process an API request, GitHub will terminate the
/// request" (docs.github.com, "Troubleshooting the REST API", Timeouts). Before that, looking whether it was
/// done comes too early.
const LAST_REQUEST: Duration = Duration::from_secs(12);

/// Held while a stage is taken. Any number serves that no other advisory lock of this database has.
const STAGES_LOCK: i64 = 0x7374_6167_6573;
/// How long a job that this version of the program cannot read is left to others, before it is looked at
/// again.
const PUT_OFF: Duration = Duration::from_secs(180);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    Ingest,
    Stage,
    Effect,
    Wait,
    Schedule,
}

impl JobKind {
    pub const ALL: [Self; 5] = [Self::Ingest, Self::Stage, Self::Effect, Self::Wait, Self::Schedule];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Stage => "stage",
            Self::Effect => "effect",
            Self::Wait => "wait",
            Self::Schedule => "schedule",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What recurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleName {
    /// Looks at the reactions on plans that wait.
    Reactions,
    /// The daily digest.
    Digest,
    /// Compares open tasks with what is true on GitHub.
    Reconcile,
    /// Removes what is kept for some days only.
    Retention,
}

impl ScheduleName {
    pub const ALL: [Self; 4] = [Self::Reactions, Self::Digest, Self::Reconcile, Self::Retention];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reactions => "reactions",
            Self::Digest => "digest",
            Self::Reconcile => "reconcile",
            Self::Retention => "retention",
        }
    }
}

/// What a job is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "work")]
pub enum Work {
    Ingest {
        delivery: i64,
    },
    /// `version`: the task's version when the stage was asked for.
    Stage {
        task: TaskId,
        stage: Stage,
        version: u64,
    },
    Effect {
        task: TaskId,
        version: u64,
        act: Effect,
    },
    /// An answer where there is no task.
    Reply {
        place: GitHubPlace,
        notice: Notice,
    },
    /// A digest mail that covers the days before `until` (seconds since the epoch).
    DigestMail {
        until: i64,
        days: u32,
        to: String,
    },
    Wait {
        task: TaskId,
        version: u64,
    },
    Schedule {
        name: ScheduleName,
    },
}

impl Work {
    pub(super) fn kind(&self) -> JobKind {
        match self {
            Self::Ingest { .. } => JobKind::Ingest,
            Self::Stage { .. } => JobKind::Stage,
            Self::Effect { .. } | Self::Reply { .. } | Self::DigestMail { .. } => JobKind::Effect,
            Self::Wait { .. } => JobKind::Wait,
            Self::Schedule { .. } => JobKind::Schedule,
        }
    }

    pub(super) fn task(&self) -> Option<TaskId> {
        match self {
            Self::Stage { task, .. } | Self::Effect { task, .. } | Self::Wait { task, .. } => Some(*task),
            Self::Ingest { .. } | Self::Reply { .. } | Self::DigestMail { .. } | Self::Schedule { .. } => {
                None
            }
        }
    }
}

/// A job that this worker may do, for now.
#[derive(Debug, Clone)]
pub struct Lease {
    pub job: i64,
    pub key: String,
    pub work: Work,
    /// Counts the times that the job was taken, from 1.
    pub attempts: u32,
    /// Counts the times that it was given back in order, to be tried again.
    pub set_down: u32,
    pub(super) owner: String,
    pub(super) fence: i64,
}

impl Lease {
    /// How often a process took the job before and was never heard of again.
    pub fn breakdowns(&self) -> u32 {
        (self.attempts.saturating_sub(1)).saturating_sub(self.set_down)
    }
}

/// A job as it is taken, before anybody looked what it is about.
struct Taken {
    id: i64,
    key: String,
    payload: serde_json::Value,
    attempts: i32,
    set_down: i32,
    fence: i64,
}

/// Another worker has the job by now, or it was cancelled: what this one has to write is void.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lease of job {job} is lost")]
pub struct LeaseLost {
    pub job: i64,
}

/// Hears of jobs that any process adds or ends.
pub struct JobListener(pub(super) PgListener);

impl JobListener {
    /// Waits for news. `None`: of any kind, or of one that this version does not know.
    pub async fn next(&mut self) -> Result<Option<JobKind>, StoreError> {
        Ok(JobKind::from_name(self.0.recv().await?.payload()))
    }
}

impl Store {
    /// Takes the next job of the given kinds, of the deployment or of this store's run. `per_repository`
    /// bounds the stages that run at once in one repository. The fence goes up with each lease, so that
    /// what an earlier holder still writes is refused.
    ///
    /// Each kind is read in the order of its index, from the first due job on, so that the cost does not
    /// grow with what waits behind it. That is why a job in a lane of its own, which bears the job's key,
    /// is asked for first, and why the lane's first job is asked for with `min`, which PostgreSQL looks up
    /// job by job, and not with `NOT EXISTS`, which it turns into a join of everything.
    pub async fn claim(
        &self,
        kinds: &[JobKind],
        owner: &str,
        per_repository: i64,
    ) -> Result<Option<Lease>, StoreError> {
        let row = if kinds.contains(&JobKind::Stage) {
            // Who counts the stages of a repository has to see those that are being taken just now.
            let mut tx = self.pool.begin().await?;
            sqlx::query!("SELECT pg_advisory_xact_lock($1)", STAGES_LOCK).execute(&mut *tx).await?;
            let row = self.take(&mut tx, kinds, owner, per_repository).await?;
            tx.commit().await?;
            row
        } else {
            self.take(&mut *self.pool.acquire().await?, kinds, owner, per_repository).await?
        };
        let Some(row) = row else { return Ok(None) };
        let lease = |work| Lease {
            job: row.id,
            key: row.key.clone(),
            work,
            attempts: row.attempts.max(0) as u32,
            set_down: row.set_down.max(0) as u32,
            owner: owner.to_owned(),
            fence: row.fence,
        };
        match serde_json::from_value::<Work>(row.payload) {
            Ok(work) => Ok(Some(lease(work))),
            Err(error) => {
                // A job of a newer version of the program, which may be taking over just now: it is
                // left to it.
                let error = format!("this version cannot read the job: {error}");
                tracing::warn!(key = row.key, error, "a job is put off");
                self.put_off(&lease(Work::Ingest { delivery: 0 }), &error).await?;
                Ok(None)
            }
        }
    }

    async fn take(
        &self,
        connection: &mut PgConnection,
        kinds: &[JobKind],
        owner: &str,
        per_repository: i64,
    ) -> Result<Option<Taken>, StoreError> {
        let kinds: Vec<String> = kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
        Ok(sqlx::query_as!(
            Taken,
            r#"UPDATE jobs SET lease_owner = $2, lease_until = now() + make_interval(secs => $3),
                               fence = fence + 1, attempts = attempts + 1
               WHERE id = (
                   SELECT next.id FROM unnest($1::text[]) AS wanted (kind), LATERAL (
                       SELECT j.id, j.run_at FROM jobs j
                       WHERE j.state = 'ready' AND j.kind = wanted.kind AND j.run_at <= now()
                         AND j.run_id IS NOT DISTINCT FROM $5
                         AND (j.lease_until IS NULL OR j.lease_until < now())
                         AND (j.lane = j.key OR j.id = (
                             SELECT min(e.id) FROM jobs e WHERE e.lane = j.lane AND e.state = 'ready'))
                         AND (j.kind <> 'stage' OR j.repository_id IS NULL OR $4 > (
                             SELECT count(*) FROM jobs r
                             WHERE r.kind = 'stage' AND r.state = 'ready' AND r.lease_until > now()
                               AND r.repository_id = j.repository_id))
                       ORDER BY j.run_at, j.id
                       FOR UPDATE SKIP LOCKED LIMIT 1) AS next
                   ORDER BY next.run_at, next.id LIMIT 1)
               RETURNING id, key, payload, attempts, set_down, fence"#,
            &kinds,
            owner,
            LEASE.as_secs_f64(),
            per_repository,
            self.run.map(|run| run.0),
        )
        .fetch_optional(connection)
        .await?)
    }

    /// Leaves a job to others for a while, as if it had not been taken.
    async fn put_off(&self, lease: &Lease, error: &str) -> Result<(), StoreError> {
        let done = sqlx::query!(
            r#"UPDATE jobs SET run_at = now() + make_interval(secs => $4), last_error = $5,
                               attempts = attempts - 1, lease_owner = NULL, lease_until = NULL
               WHERE id = $1 AND fence = $2 AND lease_owner = $3 AND state = 'ready'"#,
            lease.job,
            lease.fence,
            lease.owner,
            PUT_OFF.as_secs_f64(),
            error,
        )
        .execute(&self.pool)
        .await?;
        held(lease, done.rows_affected())
    }

    /// Renews a lease. An error of kind [`StoreError::LeaseLost`] tells the worker to stop.
    pub async fn renew(&self, lease: &Lease) -> Result<(), StoreError> {
        let done = sqlx::query!(
            r#"UPDATE jobs SET lease_until = now() + make_interval(secs => $4)
               WHERE id = $1 AND fence = $2 AND lease_owner = $3 AND state = 'ready'"#,
            lease.job,
            lease.fence,
            lease.owner,
            LEASE.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        held(lease, done.rows_affected())
    }

    /// Everybody who holds a lease.
    pub async fn lease_owners(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT DISTINCT lease_owner AS "owner!" FROM jobs
               WHERE state = 'ready' AND lease_owner IS NOT NULL"#
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Takes the leases of an owner that is known to be dead, and answers how many there were. Effects keep
    /// theirs a moment longer, without an owner.
    pub async fn free_leases_of(&self, owner: &str) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            r#"UPDATE jobs SET lease_owner = NULL, lease_until = CASE WHEN kind = 'effect'
                   THEN least(lease_until, now() + make_interval(secs => $2)) END
               WHERE lease_owner = $1 AND state = 'ready'"#,
            owner,
            LAST_REQUEST.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// Gives a job back, to be tried again after `wait`.
    pub async fn retry(&self, lease: &Lease, wait: Duration, error: &str) -> Result<(), StoreError> {
        let done = sqlx::query!(
            r#"UPDATE jobs SET run_at = now() + make_interval(secs => $4), last_error = $5,
                               set_down = set_down + 1, lease_owner = NULL, lease_until = NULL
               WHERE id = $1 AND fence = $2 AND lease_owner = $3 AND state = 'ready'"#,
            lease.job,
            lease.fence,
            lease.owner,
            wait.as_secs_f64(),
            &*writable::text(error),
        )
        .execute(&self.pool)
        .await?;
        held(lease, done.rows_affected())
    }

    /// Puts a schedule's job off until its next turn.
    pub async fn reschedule(&self, lease: &Lease, wait: Duration) -> Result<(), StoreError> {
        let done = sqlx::query!(
            r#"UPDATE jobs SET run_at = now() + make_interval(secs => $4), last_error = NULL, attempts = 0,
                               set_down = 0, lease_owner = NULL, lease_until = NULL
               WHERE id = $1 AND fence = $2 AND lease_owner = $3 AND state = 'ready'"#,
            lease.job,
            lease.fence,
            lease.owner,
            wait.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        held(lease, done.rows_affected())
    }

    /// Makes sure that each schedule has its job, which lives for ever; one that was ended is revived.
    pub async fn ensure_schedules(&self) -> Result<(), StoreError> {
        for name in ScheduleName::ALL {
            let key = format!("schedule/{}", name.as_str());
            let payload = serde_json::json!({ "work": "schedule", "name": name });
            sqlx::query!(
                "INSERT INTO jobs (key, kind, lane, payload) VALUES ($1, 'schedule', $1, $2)
                 ON CONFLICT (key) DO UPDATE SET state = 'ready', payload = excluded.payload, run_at = now(),
                     finished_at = NULL WHERE jobs.state <> 'ready'",
                key,
                payload,
            )
            .execute(&self.pool)
            .await?;
        }
        Ok(())
    }

    /// Makes a schedule or a waiting retry due now; the tests' and the demo's way not to wait.
    pub async fn hurry_schedule(&self, name: ScheduleName) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE jobs SET run_at = now() WHERE key = $1 AND state = 'ready' AND lease_until IS NULL",
            format!("schedule/{}", name.as_str()),
        )
        .execute(&self.pool)
        .await?;
        sqlx::query!("SELECT pg_notify('jobs', '')").execute(&self.pool).await?;
        Ok(())
    }

    /// How many jobs of a task are still to be done, waits for people apart.
    pub async fn jobs_left(&self, task: TaskId) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM jobs WHERE task_id = $1 AND state = 'ready' AND kind <> 'wait'"#,
            task.0
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// How long until the next job of these kinds is due, if any waits for its time.
    pub async fn next_due(&self, kinds: &[JobKind]) -> Result<Option<Duration>, StoreError> {
        let kinds: Vec<String> = kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
        let seconds = sqlx::query_scalar!(
            r#"SELECT extract(epoch FROM min(next.due) - now())::float8
               FROM unnest($1::text[]) AS wanted (kind), LATERAL (
                   (SELECT greatest(j.run_at, coalesce(j.lease_until, j.run_at)) AS due FROM jobs j
                    WHERE j.state = 'ready' AND j.kind = wanted.kind AND j.run_at <= now()
                      AND j.run_id IS NOT DISTINCT FROM $2
                      AND (j.lane = j.key OR j.id = (
                          SELECT min(e.id) FROM jobs e WHERE e.lane = j.lane AND e.state = 'ready')))
                   UNION ALL
                   (SELECT j.run_at FROM jobs j
                    WHERE j.state = 'ready' AND j.kind = wanted.kind AND j.run_at > now()
                      AND j.run_id IS NOT DISTINCT FROM $2
                      AND (j.lane = j.key OR j.id = (
                          SELECT min(e.id) FROM jobs e WHERE e.lane = j.lane AND e.state = 'ready'))
                    ORDER BY j.run_at, j.id LIMIT 1)) AS next"#,
            &kinds,
            self.run.map(|run| run.0),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))))
    }
}

pub(super) fn held(lease: &Lease, rows: u64) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(LeaseLost { job: lease.job }.into()) }
}

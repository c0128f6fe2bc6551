//! The only SQL. A file an aggregate.
//!
//! A decision and its consequences are committed together: [`Transition::apply`] locks the task, asks
//! [`crate::domain::step`], and writes the task, its history and the jobs that follow in one
//! transaction. Nothing here waits for a network, a model or a sandbox.

mod artifacts;
mod budgets;
mod deliveries;
pub mod embedded;
mod jobs;
mod model_calls;
mod model_texts;
mod reports;
mod repositories;
mod schema;
mod tasks;
mod transition;
mod writable;

use std::sync::Arc;
use std::time::Duration;

use sqlx::Executor;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};

use crate::domain::{Illegal, Rules, TaskId};

pub use artifacts::{Artifact, ArtifactKind, KeptArtifact};
pub use budgets::{SetAside, Spending};
pub use deliveries::{Arrival, Arriving, Delivery, DeliveryEnd};
pub use jobs::{JobKind, JobListener, LEASE, Lease, LeaseLost, ScheduleName, Work};
pub use model_calls::{CallPrompt, ModelCall};
pub use model_texts::{CallTexts, TextDigest};
pub use reports::{DigestReport, StuckJob};
pub use schema::{DatabaseLook, Schema, look};
pub use tasks::{TransitionRecord, UnreadableTask};
pub use transition::{Applied, Transition};

/// A connection pool to the database, and the rules of the task's life.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
    rules: Arc<Rules>,
    /// Whose jobs are taken: this local run's, or the deployment's.
    run: Option<TaskId>,
}

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database did not answer as it should: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database's schema could not be brought up to date: {0}")]
    Migration(#[from] MigrateError),
    #[error(
        "the database was brought up to date by a newer version of the program: it has the migration {version}, \
         which this one does not know. Run that version again, or restore a back-up from before it"
    )]
    NewerSchema { version: i64 },
    #[error(transparent)]
    Unreadable(#[from] UnreadableTask),
    #[error(transparent)]
    Illegal(#[from] Illegal),
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// Nothing of ours should come to this; it is an error and not an empty column.
    #[error("a value could not be turned into JSON: {0}")]
    Unstorable(#[from] serde_json::Error),
    #[error("there is no {what} {id}")]
    Missing { what: &'static str, id: String },
}

/// A queue's table is empty in one minute and full in the next, and a plan that was kept from before reads
/// all of it for every job: so plans are made for the tables as they are. PostgreSQL takes statements that
/// stop at the first row for long ones, and must not compile them: that takes a second, they take none.
const PLANNING: &str = "SET plan_cache_mode = force_custom_plan; SET jit = off";

impl StoreError {
    /// Whether what was to be written can never be written: a value that the database does not take (class
    /// 22), or one above its limits (class 54; postgresql.org/docs, "PostgreSQL Error Codes").
    pub fn is_final(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("54"))
    }

    /// Whether the database answered, and said no; else it may be away.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(_)))
    }
}

/// How long to wait for a connection before the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

impl Store {
    /// Connects and brings the schema up to date. Several processes may do this at once: the
    /// migrations take a lock.
    pub async fn connect(url: &str, connections: u32, rules: Rules) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute(PLANNING).await?;
                    Ok(())
                })
            })
            .connect(url)
            .await?;
        sqlx::migrate!().run(&pool).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) => StoreError::NewerSchema { version },
            error => error.into(),
        })?;
        Ok(Self { pool, rules: Arc::new(rules), run: None })
    }

    /// The same database for one local run, which is named by its first task: tasks that are made here
    /// belong to it, and only its jobs are taken. The deployment's jobs have other rules, and another
    /// run's have other models.
    pub fn for_run(self, run: TaskId) -> Self {
        Self { run: Some(run), ..self }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query_scalar!("SELECT 1 AS one").fetch_one(&self.pool).await?;
        Ok(())
    }

    /// Gives all connections back to the server; nothing can be asked after that.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Hears of jobs that are added or ended by any process.
    pub async fn job_listener(&self) -> Result<JobListener, StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen("jobs").await?;
        Ok(JobListener(listener))
    }

    pub async fn begin(&self) -> Result<Transition<'_>, StoreError> {
        self.begin_under(&self.rules).await
    }

    /// A transaction under the rules of one repository.
    pub async fn begin_under<'a>(&self, rules: &'a Rules) -> Result<Transition<'a>, StoreError> {
        Ok(Transition::new(self.pool.begin().await?, rules, self.run))
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}

/// PostgreSQL has no unsigned integers. GitHub's ids and our counters stay far below 2^63.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

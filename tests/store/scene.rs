//! A database, and what tests ask of it.

use orchestrator::domain::{
    Account, Approvals, CommentId, Event, GitHubPlace, InstallationId, IssueNumber, Origin, PostedComment,
    Priority, Reading, RepositoryId, Risk, Rules, Size, SourceText, Task, TaskId, TaskSpecification, UserId,
    Workflow, body_digest,
};
use orchestrator::store::{Lease, Store, StoreError, Work};
use orchestrator::telemetry::clock;
use sqlx::{AssertSqlSafe, Connection, SqlSafeStr};

use crate::postgres::Database;

pub struct Scene {
    pub database: Database,
    pub store: Store,
}

impl Scene {
    pub async fn new() -> Self {
        let database = Database::new().await;
        let store = connect(&database).await.expect("a store");
        Self { database, store }
    }

    /// Another process on the same database.
    pub async fn other(&self) -> Store {
        connect(&self.database).await.expect("a store")
    }

    pub async fn sql(&self, statements: impl Into<String>) {
        let mut connection = self.database.connect().await;
        let statements = AssertSqlSafe(statements.into());
        sqlx::raw_sql(statements).execute(&mut connection).await.expect("done");
        connection.close().await.expect("closed");
    }

    pub async fn count(&self, question: impl SqlSafeStr) -> i64 {
        let mut connection = self.database.connect().await;
        let count = sqlx::query_scalar(question).fetch_one(&mut connection).await.expect("a number");
        connection.close().await.expect("closed");
        count
    }

    /// Whoever holds a lease was not heard of for longer than it lasts.
    pub async fn leases_run_out(&self) {
        self.sql("UPDATE jobs SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL")
            .await;
    }

    /// A task whose plan waits for ada.
    pub async fn planned_task(&self) -> Task {
        let task = labelled(3);
        let mut transition = self.store.begin().await.expect("begun");
        transition.create(&task).await.expect("made").expect("the issue's first");
        transition.apply(task.id, &discussed(), clock::now()).await.expect("planned");
        transition.commit().await.expect("committed");
        let of = self.store.task(task.id).await.expect("the task").proposal().expect("a plan");
        let comment = PostedComment { id: PLAN, body: body_digest("plan") };
        let posted = Event::PlanPosted { of, comment };
        let mut transition = self.store.begin().await.expect("begun");
        transition.apply(task.id, &posted, clock::now()).await.expect("posted");
        transition.commit().await.expect("committed");
        self.store.task(task.id).await.expect("the task")
    }
}

pub async fn connect(database: &Database) -> Result<Store, StoreError> {
    Store::connect(&database.url, 4, Rules::new(2, 2, Approvals::Wait, 14)).await
}

/// The comment that holds the plan of [`Scene::planned_task`].
pub const PLAN: CommentId = CommentId(4);

pub fn ada() -> Account {
    Account { id: UserId(7), login: "ada".into() }
}

pub fn labelled(issue: u64) -> Task {
    let place = GitHubPlace {
        installation: InstallationId(1),
        repository: RepositoryId(2),
        full_name: "acme/evenly".into(),
        issue: IssueNumber(issue),
    };
    Task::new(TaskId(clock::new_id()), Origin::GitHub(place), ada(), clock::now())
}

pub fn discussed() -> Event {
    let specification = TaskSpecification {
        title: "Greet the world".into(),
        objective: "Whoever reads it is greeted.".into(),
        requirements: vec!["it greets".into()],
        constraints: vec![],
        acceptance_criteria: vec!["it is read".into()],
        likely_files: vec![],
        protected_files: vec![],
        altered_tests: vec![],
        workflow: Workflow::Coding,
        risk: Risk::Low,
        size: Size::Small,
        priority: Priority::Normal,
        depends_on: vec![],
        prepared: orchestrator::domain::Preparation::default(),
    };
    Event::Discussed {
        source: SourceText { title: "Nobody is greeted".into(), body: "Truly.".into(), comments: vec![] },
        reading: Reading::Tasks {
            understood: "The world waits.".into(),
            specifications: vec![specification],
            new_ids: vec![],
        },
    }
}

/// Work that is told apart by a number.
pub fn ingest(delivery: i64) -> Work {
    Work::Ingest { delivery }
}

pub fn lost<T: std::fmt::Debug>(done: Result<T, StoreError>, lease: &Lease) {
    match done {
        Err(StoreError::LeaseLost(lost)) => assert_eq!(lost.job, lease.job),
        other => panic!("a write of a worker that lost its lease: {other:?}"),
    }
}

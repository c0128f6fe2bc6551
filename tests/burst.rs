//! What happens when a lot comes at once: deliveries that share a commit, and jobs that wait in a crowd.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use orchestrator::domain::{Approvals, Rules};
use orchestrator::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use orchestrator::store::{JobKind, LEASE, ScheduleName, Store, Work};
use orchestrator::web::{WebState, router};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

const SECRET: &str = "a secret";
const BODY: &str = r#"{"zen": "Anything added dilutes everything else."}"#;

struct Deployment {
    store: Store,
    url: String,
    database: EmbeddedPostgres,
    _folder: tempfile::TempDir,
}

impl Deployment {
    async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
        let database = EmbeddedPostgres::start(folder.path(), EmbeddedOptions::throwaway()).await.unwrap();
        let store = Store::connect(database.url(), 4, Rules::new(2, 2, Approvals::Wait, 14)).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/github", listener.local_addr().unwrap());
        let state = WebState { store: store.clone(), webhook_secret: Arc::new(SECRET.into()) };
        tokio::spawn(axum::serve(listener, router(state)).into_future());
        Self { store, url, database, _folder: folder }
    }

    async fn sql(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }

    async fn count(&self, question: &'static str) -> i64 {
        sqlx::query_scalar(question).fetch_one(&mut self.sql().await).await.unwrap()
    }

    /// Sends deliveries while the table is held, so that they have to gather; answers come when it is
    /// let go.
    async fn send_together(&self, guids: Vec<String>) -> Vec<(String, u16)> {
        let mut holder = self.sql().await;
        let mut hold = holder.begin().await.unwrap();
        sqlx::query("LOCK TABLE deliveries IN EXCLUSIVE MODE").execute(&mut *hold).await.unwrap();
        let (client, mut answers) = (reqwest::Client::new(), JoinSet::new());
        for guid in guids {
            answers.spawn(send(client.clone(), self.url.clone(), guid));
        }
        // Time for all of them to arrive; those that come later have commits of their own.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(answers.try_join_next().is_none(), "an answer came before its commit");
        hold.commit().await.unwrap();
        answers.join_all().await
    }

    async fn end(self) {
        drop(self.store);
        self.database.shutdown().await.unwrap();
    }
}

async fn send(client: reqwest::Client, url: String, guid: String) -> (String, u16) {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(BODY.as_bytes());
    let answer = client
        .post(url)
        .header("X-GitHub-Event", "ping")
        .header("X-GitHub-Delivery", &guid)
        .header("X-Hub-Signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
        .body(BODY)
        .send()
        .await
        .unwrap();
    (guid, answer.status().as_u16())
}

#[tokio::test]
async fn deliveries_that_wait_together_share_a_commit_and_each_is_stored_once() {
    let deployment = Deployment::start().await;
    let twice: Vec<String> = (0..20).chain(0..20).map(|number| format!("guid-{number}")).collect();
    let answers = deployment.send_together(twice).await;
    assert_eq!(answers.len(), 40);
    assert!(answers.iter().all(|(_, status)| *status == 202), "{answers:?}");
    assert_eq!(deployment.count("SELECT count(*) FROM deliveries").await, 20);
    assert_eq!(deployment.count("SELECT count(*) FROM jobs WHERE kind = 'ingest'").await, 20);
    let commits = deployment.count("SELECT count(DISTINCT xmin::text) FROM deliveries").await;
    // Two where all were in time: whoever came first, and all others. Each alone they are 20.
    assert!(commits <= 10, "{commits} commits");
    deployment.end().await;
}

#[tokio::test]
async fn a_delivery_that_the_database_refuses_costs_the_others_nothing() {
    let deployment = Deployment::start().await;
    sqlx::raw_sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON deliveries FOR EACH ROW WHEN (NEW.guid = 'guid-7')
         EXECUTE FUNCTION refuse()",
    )
    .execute(&mut deployment.sql().await)
    .await
    .unwrap();
    let answers = deployment.send_together((0..12).map(|number| format!("guid-{number}")).collect()).await;
    for (guid, status) in answers {
        assert_eq!(status, if guid == "guid-7" { 503 } else { 202 }, "{guid}");
    }
    assert_eq!(deployment.count("SELECT count(*) FROM deliveries").await, 11);
    deployment.end().await;
}

const KINDS: [JobKind; 2] = [JobKind::Ingest, JobKind::Effect];

#[tokio::test]
async fn jobs_are_claimed_by_time_and_one_of_a_lane_at_once() {
    let deployment = Deployment::start().await;
    sqlx::raw_sql(
        r#"INSERT INTO jobs (key, kind, lane, payload, run_at) VALUES
           ('second', 'effect', 'lane', '{"work": "ingest", "delivery": 1}', now() - interval '1 hour'),
           ('third', 'effect', 'lane', '{"work": "ingest", "delivery": 1}', now() - interval '3 hours'),
           ('first', 'ingest', 'alone', '{"work": "ingest", "delivery": 1}', now() - interval '2 hours'),
           ('later', 'ingest', 'later', '{"work": "ingest", "delivery": 1}', now() + interval '10 minutes')"#,
    )
    .execute(&mut deployment.sql().await)
    .await
    .unwrap();
    let store = &deployment.store;
    let first = store.claim(&KINDS, "me", 1).await.unwrap().unwrap();
    let second = store.claim(&KINDS, "me", 1).await.unwrap().unwrap();
    assert_eq!((first.key.as_str(), second.key.as_str()), ("first", "second"));
    assert!(store.claim(&KINDS, "me", 1).await.unwrap().is_none(), "the lane is taken");
    // The lease that runs out comes before the job that waits for its time.
    let due = store.next_due(&KINDS).await.unwrap().unwrap();
    assert!(due <= LEASE && due > LEASE / 2, "{due:?}");
    store.refuse(&second, "done").await.unwrap();
    let third = store.claim(&KINDS, "me", 1).await.unwrap().unwrap();
    assert_eq!(third.key, "third");
    store.refuse(&first, "done").await.unwrap();
    store.refuse(&third, "done").await.unwrap();
    let due = store.next_due(&KINDS).await.unwrap().unwrap();
    assert!(due > Duration::from_secs(500) && due <= Duration::from_secs(600), "{due:?}");
    assert!(store.next_due(&[JobKind::Stage]).await.unwrap().is_none());
    deployment.end().await;
}

#[tokio::test]
async fn claiming_costs_the_same_whatever_waits_behind() {
    let deployment = Deployment::start().await;
    // The table was empty for long enough for PostgreSQL to settle on a plan for an empty table.
    for _ in 0..40 {
        assert!(deployment.store.claim(&KINDS, "me", 1).await.unwrap().is_none());
    }
    // Of both sorts: jobs that are alone in their lane, and jobs whose lane others may be in.
    sqlx::raw_sql(
        r#"INSERT INTO jobs (key, kind, lane, payload)
           SELECT 'ingest/' || n, 'ingest', 'ingest/' || n, '{"work": "ingest", "delivery": 1}'
           FROM generate_series(1, 40000) AS n;
           INSERT INTO jobs (key, kind, lane, payload)
           SELECT 'effect/' || n, 'effect', 'lane/' || n % 20000, '{"work": "ingest", "delivery": 1}'
           FROM generate_series(1, 40000) AS n"#,
    )
    .execute(&mut deployment.sql().await)
    .await
    .unwrap();
    for kind in KINDS {
        let began = Instant::now();
        for _ in 0..100 {
            assert!(deployment.store.claim(&[kind], "me", 1).await.unwrap().is_some());
        }
        // Reading the whole backlog took 300 ms a claim, reading its head takes one or two.
        assert!(began.elapsed() < Duration::from_secs(20), "{kind:?}: {:?}", began.elapsed());
    }
    deployment.end().await;
}

#[tokio::test]
async fn a_new_job_is_announced_by_its_kind_and_the_end_of_an_ingest_job_is_not() {
    let deployment = Deployment::start().await;
    let mut listener = deployment.store.job_listener().await.unwrap();
    deployment.store.enqueue("one", &Work::Ingest { delivery: 1 }).await.unwrap();
    let news = tokio::time::timeout(Duration::from_secs(60), listener.next()).await;
    assert_eq!(news.unwrap().unwrap(), Some(JobKind::Ingest));
    let lease = deployment.store.claim(&[JobKind::Ingest], "me", 1).await.unwrap().unwrap();
    deployment.store.refuse(&lease, "done").await.unwrap();
    deployment.store.ensure_schedules().await.unwrap();
    let news = tokio::time::timeout(Duration::from_secs(60), listener.next()).await;
    assert_eq!(news.unwrap().unwrap(), Some(JobKind::Schedule));
    let lease = deployment.store.claim(&[JobKind::Schedule], "me", 1).await.unwrap().unwrap();
    deployment.store.refuse(&lease, "done").await.unwrap();
    // The schedules were added in a statement each.
    for _ in 1..ScheduleName::ALL.len() {
        let news = tokio::time::timeout(Duration::from_secs(60), listener.next()).await;
        assert_eq!(news.unwrap().unwrap(), Some(JobKind::Schedule));
    }
    let news = tokio::time::timeout(Duration::from_secs(60), listener.next()).await;
    assert_eq!(news.unwrap().unwrap(), None);
    deployment.end().await;
}

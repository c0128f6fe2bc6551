//! Two runners on one database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use orchestrator::queue::{Handler, JobFailure, Owner, Runner, Workers};
use orchestrator::store::{Lease, Store, Work};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::scene::{Scene, ingest};

const WORKERS: Workers = Workers { stages: 2, effects: 3, ingest: 4, stages_per_repository: 1 };
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs two runners, each with a store and a handler of its own, until the question's answer is 0.
async fn two_run<H: Handler + 'static>(scene: &Scene, handler: impl Fn(Store) -> H, left: &'static str) {
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for _ in 0..2 {
        let store = scene.other().await;
        let handler = Arc::new(handler(store.clone()));
        let runner = Runner::new(store, handler, Owner::of_this_process(), WORKERS);
        running.spawn(runner.run(stop.clone()));
    }
    let begun = Instant::now();
    while scene.count(left).await > 0 {
        assert!(begun.elapsed() < PATIENCE, "jobs are left: {}", scene.count(left).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    running.join_all().await;
}

/// Each job, done, leaves another behind that names the lease under which it was done.
struct Leaves(Store);

impl Handler for Leaves {
    fn handle<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), JobFailure>> {
        Box::pin(async move {
            let Work::Ingest { delivery } = lease.work else { panic!("{lease:?}") };
            tokio::time::sleep(Duration::from_millis(10 + delivery as u64 % 7 * 10)).await;
            let mut transition = self.0.begin().await?;
            let work = Work::DigestMail { until: delivery, days: 1, to: String::new() };
            transition.enqueue(&format!("done/{}/{}", lease.key, lease.attempts), &work).await?;
            transition.finish(lease).await?;
            Ok(transition.commit().await?)
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_done_twice_while_leases_run_out_under_two_runners() {
    const JOBS: i64 = 150;
    let scene = Scene::new().await;
    // What is left behind is for nobody to do.
    scene
        .sql(
            "CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN NEW.run_at = now() + interval '1 day'; RETURN NEW; END $$;
             CREATE TRIGGER later BEFORE INSERT ON jobs FOR EACH ROW WHEN (NEW.kind = 'effect')
                 EXECUTE FUNCTION later()",
        )
        .await;
    for delivery in 0..JOBS {
        scene.store.enqueue(&format!("job-{delivery}"), &ingest(delivery)).await.expect("enqueued");
    }
    let mut connection = scene.database.connect().await;
    let running_out = async {
        loop {
            sqlx::raw_sql(
                "UPDATE jobs SET lease_until = now() - interval '1 second' WHERE id IN (
                     SELECT id FROM jobs WHERE lease_until > now() AND attempts < 4 AND random() < 0.4
                     FOR UPDATE SKIP LOCKED)",
            )
            .execute(&mut connection)
            .await
            .expect("run out");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = running_out => {}
        () = two_run(&scene, Leaves, "SELECT count(*) FROM jobs WHERE kind = 'ingest' AND state = 'ready'") => {}
    }
    let again = scene.count("SELECT count(*) FROM jobs WHERE kind = 'ingest' AND attempts > 1").await;
    assert!(again > 0, "no job was taken by a second worker: the test shows nothing");
    assert_eq!(scene.count("SELECT count(*) FROM jobs WHERE kind = 'ingest' AND state = 'done'").await, JOBS);
    assert_eq!(scene.count("SELECT count(*) FROM jobs WHERE key LIKE 'done/%'").await, JOBS);
    let done = "SELECT count(DISTINCT split_part(key, '/', 2)) FROM jobs WHERE key LIKE 'done/%'";
    assert_eq!(scene.count(done).await, JOBS);
}

/// What was done in each lane, in order, and who is at work in it.
type Lanes = Arc<Mutex<BTreeMap<u32, (Vec<i64>, u32)>>>;

struct Notes {
    store: Store,
    lanes: Lanes,
}

impl Handler for Notes {
    fn handle<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), JobFailure>> {
        Box::pin(async move {
            let Work::DigestMail { until: number, days: lane, .. } = lease.work else { panic!("{lease:?}") };
            self.note(lane, |(_, at_work)| {
                *at_work += 1;
                assert_eq!(*at_work, 1, "two at once in lane {lane}");
            });
            tokio::time::sleep(Duration::from_millis(number as u64 % 5 * 4)).await;
            let fails = number % 4 == 1 && lease.attempts == 1;
            self.note(lane, |(done, at_work)| {
                *at_work -= 1;
                if !fails {
                    done.push(number);
                }
            });
            if fails {
                return Err(JobFailure::Retry {
                    error: "busy".into(),
                    wait: Some(Duration::from_millis(50)),
                });
            }
            let mut transition = self.store.begin().await?;
            transition.finish(lease).await?;
            Ok(transition.commit().await?)
        })
    }
}

impl Notes {
    fn note(&self, lane: u32, change: impl FnOnce(&mut (Vec<i64>, u32))) {
        change(self.lanes.lock().expect("no panic").entry(lane).or_default());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_is_done_in_order_by_two_runners_also_when_a_job_has_to_wait() {
    let scene = Scene::new().await;
    scene
        .sql(
            r#"INSERT INTO jobs (key, kind, lane, payload)
               SELECT lane || '/' || number, 'effect', 'lane-' || lane,
                      jsonb_build_object('work', 'digest_mail', 'until', number, 'days', lane, 'to', '')
               FROM generate_series(1, 12) AS number, generate_series(1, 8) AS lane"#,
        )
        .await;
    let lanes = Lanes::default();
    let handler = |store| Notes { store, lanes: Arc::clone(&lanes) };
    two_run(&scene, handler, "SELECT count(*) FROM jobs WHERE state = 'ready'").await;
    let lanes = lanes.lock().expect("no panic").clone();
    assert_eq!(lanes.len(), 8);
    for (lane, (done, _)) in &lanes {
        assert_eq!(*done, (1..=12).collect::<Vec<_>>(), "lane {lane}");
    }
    assert_eq!(scene.count("SELECT count(*) FROM jobs WHERE state = 'done' AND set_down = 1").await, 24);
}

/// Panics at each job once.
struct Panics(Store);

impl Handler for Panics {
    fn handle<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), JobFailure>> {
        Box::pin(async move {
            assert!(lease.attempts > 1, "a fault of the program");
            let mut transition = self.0.begin().await?;
            transition.finish(lease).await?;
            Ok(transition.commit().await?)
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_panics_costs_no_worker_and_counts_as_a_breakdown() {
    let scene = Scene::new().await;
    // More of them than there are workers.
    for delivery in 0..20 {
        scene.store.enqueue(&format!("job-{delivery}"), &ingest(delivery)).await.expect("enqueued");
    }
    let running_out = async {
        loop {
            scene.leases_run_out().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = running_out => {}
        () = two_run(&scene, Panics, "SELECT count(*) FROM jobs WHERE state = 'ready'") => {}
    }
    assert_eq!(scene.count("SELECT count(*) FROM jobs WHERE attempts > 1 AND set_down = 0").await, 20);
}

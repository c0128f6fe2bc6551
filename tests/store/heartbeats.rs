//! A lease is kept while its worker lives, and given up before another worker may have it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use orchestrator::queue::{Handler, JobFailure, Owner, Runner, Workers};
use orchestrator::store::{LEASE, Lease, Store};
use sqlx::Connection;
use tokio_util::sync::CancellationToken;

use crate::scene::{Scene, ingest};

const WORKERS: Workers = Workers { stages: 1, effects: 1, ingest: 1, stages_per_repository: 1 };

/// Starts a runner for one job.
async fn at_work(scene: &Scene, handler: impl FnOnce(Store) -> Arc<dyn Handler>) -> CancellationToken {
    scene.store.enqueue("one", &ingest(1)).await.expect("enqueued");
    let store = scene.other().await;
    let stop = CancellationToken::new();
    let runner = Runner::new(store.clone(), handler(store), Owner::of_this_process(), WORKERS);
    tokio::spawn(runner.run(stop.clone()));
    stop
}

/// Holds its thread up, as large pieces of work that nobody put on a thread of their own do.
struct Blocks {
    store: Store,
    long: Duration,
}

impl Handler for Blocks {
    fn handle<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), JobFailure>> {
        Box::pin(async move {
            std::thread::sleep(self.long);
            let mut transition = self.store.begin().await?;
            transition.finish(lease).await?;
            Ok(transition.commit().await?)
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_that_holds_its_thread_up_keeps_its_lease() {
    let scene = Scene::new().await;
    let stop = at_work(&scene, |store| Arc::new(Blocks { store, long: Duration::from_secs(24) })).await;
    let promised = "SELECT coalesce(extract(epoch FROM lease_until)::bigint, 0) FROM jobs WHERE key = 'one'";
    let begun = Instant::now();
    let mut first = 0;
    while first == 0 {
        assert!(begun.elapsed() < LEASE, "the job is not taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
        first = scene.count(promised).await;
    }
    let (begun, mut renewed) = (Instant::now(), first);
    while renewed < first + 8 {
        let long = begun.elapsed();
        assert!(long < Duration::from_secs(22), "promised until {first}, and after {long:?} until {renewed}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        renewed = scene.count(promised).await;
    }
    stop.cancel();
}

/// Never comes to an end by itself.
struct Hangs(Arc<AtomicBool>);

struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Handler for Hangs {
    fn handle<'a>(&'a self, _: &'a Lease) -> BoxFuture<'a, Result<(), JobFailure>> {
        let ended = Ended(Arc::clone(&self.0));
        Box::pin(async move {
            let _ended = ended;
            std::future::pending().await
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_renewals_are_not_answered_stops_before_its_lease_ends() {
    let scene = Scene::new().await;
    let ended = Arc::new(AtomicBool::new(false));
    let stop = at_work(&scene, |_| Arc::new(Hangs(Arc::clone(&ended)))).await;
    let taken = "SELECT count(*) FROM jobs WHERE lease_until IS NOT NULL";
    while scene.count(taken).await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begun = Instant::now();
    // Whoever writes this row now waits, as for a server that was cut off.
    let mut connection = scene.database.connect().await;
    let mut silence = connection.begin().await.expect("begun");
    sqlx::query("SELECT 1 FROM jobs FOR UPDATE").execute(&mut *silence).await.expect("locked");
    while !ended.load(Ordering::SeqCst) {
        assert!(begun.elapsed() < LEASE, "the worker goes on after its lease");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() > LEASE / 2, "it is not given up at the first silence");
    silence.rollback().await.expect("ended");
    stop.cancel();
}

//! One worker at a time holds a job, and what an earlier one still writes is refused.

use std::time::Duration;

use orchestrator::domain::{Command, CommentId, Event, IssueNumber};
use orchestrator::store::{Artifact, ArtifactKind, DeliveryEnd, JobKind, Lease, Store};
use orchestrator::telemetry::clock;

use crate::scene::{PLAN, Scene, ada, ingest, labelled, lost};

const SECOND: Duration = Duration::from_secs(1);

async fn claim(store: &Store, owner: &str) -> Lease {
    store.claim(&JobKind::ALL, owner, 9).await.expect("a look").expect("a job")
}

/// Tries everything that a worker writes under its lease.
async fn every_write_is_refused(scene: &Scene, stale: &Lease) {
    let rows = "SELECT hashtext(string_agg(j::text, '|' ORDER BY id))::bigint FROM jobs j";
    let before = scene.count(rows).await;
    let store = &scene.store;
    lost(store.renew(stale).await, stale);
    lost(store.retry(stale, SECOND, "again").await, stale);
    lost(store.reschedule(stale, SECOND).await, stale);
    lost(store.refuse(stale, "no").await, stale);
    let mut transition = store.begin().await.expect("begun");
    lost(transition.finish(stale).await, stale);
    let mut transition = store.begin().await.expect("begun");
    lost(transition.hold(stale).await, stale);
    let mut transition = store.begin().await.expect("begun");
    lost(transition.refuse(stale, "no").await, stale);
    assert_eq!(scene.count(rows).await, before, "no row of a job was touched");
}

#[tokio::test]
async fn every_write_of_a_worker_whose_lease_ran_out_is_refused() {
    let scene = Scene::new().await;
    scene.store.enqueue("one", &ingest(1)).await.expect("enqueued");
    let first = claim(&scene.store, "first").await;
    assert!(scene.store.claim(&JobKind::ALL, "second", 9).await.expect("a look").is_none(), "it is taken");
    scene.leases_run_out().await;
    let second = claim(&scene.store, "second").await;
    every_write_is_refused(&scene, &first).await;
    // The same process may be the one that takes it up again.
    scene.leases_run_out().await;
    let third = claim(&scene.store, "first").await;
    every_write_is_refused(&scene, &first).await;
    every_write_is_refused(&scene, &second).await;
    scene.store.renew(&third).await.expect("the holder");
    let mut transition = scene.store.begin().await.expect("begun");
    transition.hold(&third).await.expect("the holder");
    transition.finish(&third).await.expect("the holder");
    transition.commit().await.expect("committed");
    every_write_is_refused(&scene, &third).await;
}

#[tokio::test]
async fn nothing_of_a_stale_workers_transaction_stays() {
    let scene = Scene::new().await;
    let task = scene.planned_task().await;
    scene.sql("UPDATE jobs SET state = 'done'").await;
    let arrival = scene.store.receive("guid", "ping", b"{}", None).await.expect("received");
    let stale = claim(&scene.store, "first").await;
    scene.leases_run_out().await;
    claim(&scene.store, "second").await;

    let mut transition = scene.store.begin().await.expect("begun");
    let artifact = Artifact { kind: ArtifactKind::Patch, version: 1, name: "p".into(), body: b"p".to_vec() };
    transition.keep(task.id, &artifact).await.expect("kept");
    transition.end_delivery(1, &DeliveryEnd::Handled).await.expect("ended");
    transition.enqueue("next", &ingest(1)).await.expect("enqueued");
    let event = Event::Reacted { thumb: orchestrator::domain::Thumb::Up, by: ada(), on: PLAN };
    transition.apply(task.id, &event, clock::now()).await.expect("applied");
    lost(transition.finish(&stale).await, &stale);
    drop(transition);
    assert_eq!(scene.store.task(task.id).await.expect("the task"), task, "{arrival:?}");
    for nothing in [
        "SELECT count(*) FROM artifacts",
        "SELECT count(*) FROM jobs WHERE key = 'next'",
        "SELECT count(*) FROM deliveries WHERE status = 'handled'",
    ] {
        assert_eq!(scene.count(nothing).await, 0, "{nothing}");
    }
}

#[tokio::test]
async fn a_worker_whose_task_left_the_stage_loses_the_job_at_once() {
    let scene = Scene::new().await;
    let task = scene.planned_task().await;
    let up = Event::Reacted { thumb: orchestrator::domain::Thumb::Up, by: ada(), on: PLAN };
    scene.store.apply(task.id, &up, clock::now()).await.expect("approved");
    let stage = scene.store.claim(&[JobKind::Stage], "worker", 9).await.expect("a look").expect("its stage");
    let (by, comment, on) = (ada(), CommentId(5), IssueNumber(3));
    let cancel = Event::Commanded { command: Command::Cancel, by, comment, on };
    scene.store.apply(task.id, &cancel, clock::now()).await.expect("cancelled");
    every_write_is_refused(&scene, &stage).await;
    assert!(scene.store.claim(&[JobKind::Stage], "other", 9).await.expect("a look").is_none());
}

#[tokio::test]
async fn processes_that_died_at_a_job_are_told_from_times_that_it_was_set_down() {
    let scene = Scene::new().await;
    scene.store.enqueue("one", &ingest(1)).await.expect("enqueued");
    for dead in 0..4 {
        let lease = claim(&scene.store, "worker").await;
        assert_eq!((lease.attempts, lease.set_down, lease.breakdowns()), (dead + 1, 0, dead));
        scene.leases_run_out().await;
    }
    for set_down in 0..4 {
        let lease = claim(&scene.store, "worker").await;
        assert_eq!((lease.set_down, lease.breakdowns()), (set_down, 4), "a server was away, and said so");
        scene.store.retry(&lease, Duration::ZERO, "away").await.expect("set down");
    }
    // A killed process of this machine is seen before its lease ends, and counts the same.
    claim(&scene.store, "killed").await;
    assert_eq!(scene.store.free_leases_of("killed").await.expect("freed"), 1);
    let lease = claim(&scene.store, "worker").await;
    assert_eq!(lease.breakdowns(), 5);
    // A job that recurs begins anew.
    scene.store.reschedule(&lease, Duration::ZERO).await.expect("rescheduled");
    let lease = claim(&scene.store, "worker").await;
    assert_eq!((lease.attempts, lease.set_down, lease.breakdowns()), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stages_that_are_claimed_at_once_stay_within_what_a_repository_may_have() {
    let scene = Scene::new().await;
    for issue in 1..=6 {
        let mut transition = scene.store.begin().await.expect("begun");
        transition.create(&labelled(issue)).await.expect("made").expect("the issue's first");
        transition.commit().await.expect("committed");
    }
    // Between taking a stage and committing that, there is time enough for others to count.
    scene
        .sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END $$;
             CREATE TRIGGER slow BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        .await;
    let store = &scene.store;
    let claims = ["a", "b", "c", "d"].map(|owner| store.claim(&[JobKind::Stage], owner, 2));
    let claimed = futures::future::try_join_all(claims).await.expect("looks");
    assert_eq!(claimed.into_iter().flatten().count(), 2);
}

#[tokio::test]
async fn a_job_of_a_newer_version_is_left_to_it_and_holds_up_nobody() {
    let scene = Scene::new().await;
    scene
        .sql(
            r#"INSERT INTO jobs (key, kind, lane, payload, run_at) VALUES
               ('newer', 'ingest', 'newer', '{"work": "something_new", "size": 3}', now() - interval '1 hour')"#,
        )
        .await;
    scene.store.enqueue("known", &ingest(1)).await.expect("enqueued");
    assert!(scene.store.claim(&JobKind::ALL, "older", 9).await.expect("a look").is_none(), "not for us");
    assert_eq!(claim(&scene.store, "older").await.key, "known");
    let kept = "SELECT count(*) FROM jobs WHERE key = 'newer' AND state = 'ready' AND attempts = 0
                AND lease_owner IS NULL AND run_at > now() + interval '1 minute'";
    assert_eq!(scene.count(kept).await, 1, "the newer version finds it as it was");
}

#[tokio::test]
async fn a_schedule_that_was_ended_is_revived_by_a_start() {
    let scene = Scene::new().await;
    scene.store.ensure_schedules().await.expect("made");
    scene
        .sql(
            "UPDATE jobs SET state = 'refused', finished_at = now() WHERE key = 'schedule/reactions';
              UPDATE jobs SET run_at = now() + interval '1 hour' WHERE key = 'schedule/digest'",
        )
        .await;
    scene.store.ensure_schedules().await.expect("made");
    let due = "SELECT count(*) FROM jobs WHERE key = 'schedule/reactions' AND state = 'ready'
               AND run_at <= now() AND finished_at IS NULL";
    assert_eq!(scene.count(due).await, 1);
    let untouched = "SELECT count(*) FROM jobs WHERE key = 'schedule/digest' AND run_at > now()";
    assert_eq!(scene.count(untouched).await, 1, "what lives keeps its time");
}

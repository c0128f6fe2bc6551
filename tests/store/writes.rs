//! What the database cannot hold: it is replaced where that is possible, and final where it is not.

use std::time::Duration;

use orchestrator::domain::{Event, Reading, State, Usage, plan_digest};
use orchestrator::queue::JobFailure;
use orchestrator::store::{DeliveryEnd, JobKind, ModelCall, StoreError};
use orchestrator::telemetry::clock;

use crate::scene::{Scene, discussed, ingest, labelled};

#[tokio::test]
async fn a_nul_in_a_models_plan_is_replaced_and_the_approval_is_of_what_is_kept() {
    let scene = Scene::new().await;
    let task = labelled(3);
    let Event::Discussed { source, reading: Reading::Tasks { mut specifications, .. } } = discussed() else {
        panic!("a plan")
    };
    specifications[0].title = "Greet\0the world".into();
    let reading = Reading::Tasks { understood: "\0".into(), specifications, new_ids: vec![] };
    let mut transition = scene.store.begin().await.expect("begun");
    transition.create(&task).await.expect("made").expect("the issue's first");
    let event = Event::Discussed { source, reading };
    transition.apply(task.id, &event, clock::now()).await.expect("planned");
    transition.commit().await.expect("committed");
    let task = scene.store.task(task.id).await.expect("the task");
    let (plan, source) = task.plan.as_ref().zip(task.source.as_ref()).expect("a plan");
    assert_eq!((plan.understood.as_str(), task.title()), ("\u{fffd}", "Greet\u{fffd}the world"));
    assert_eq!(plan.digest, plan_digest(source.digest(), &plan.specification));
}

#[tokio::test]
async fn a_nul_in_questions_errors_and_notes_is_replaced() {
    let scene = Scene::new().await;
    let task = labelled(3);
    let Event::Discussed { source, .. } = discussed() else { panic!("a reading") };
    let reading = Reading::Questions { understood: String::new(), questions: vec!["Who\0?".into()] };
    let mut transition = scene.store.begin().await.expect("begun");
    transition.create(&task).await.expect("made").expect("the issue's first");
    let event = Event::Discussed { source, reading };
    transition.apply(task.id, &event, clock::now()).await.expect("asked");
    transition.commit().await.expect("committed");
    let asked = scene.store.task(task.id).await.expect("the task").state;
    assert_eq!(asked, State::WaitingForAnswer { questions: vec!["Who\u{fffd}?".into()] });

    let call = ModelCall {
        task: Some(task.id),
        stage: "implement".into(),
        role: "implementer".into(),
        model: "a:b".into(),
        usage: Usage::default(),
        latency: Duration::ZERO,
        stop_reason: Some("\0".into()),
        error: Some("junk: \0".into()),
        ..ModelCall::default()
    };
    scene.store.record_model_call(&call).await.expect("recorded");
    let calls = scene.store.model_calls(task.id).await.expect("calls");
    assert_eq!(calls[0].1.error.as_deref(), Some("junk: \u{fffd}"));

    scene.sql("UPDATE jobs SET state = 'done'").await;
    scene.store.receive("guid", "ping", b"{}", Some("bad \0")).await.expect("received");
    scene.store.enqueue("one", &ingest(1)).await.expect("enqueued");
    let claim = async || scene.store.claim(&[JobKind::Ingest], "worker", 9).await.expect("a look");
    let lease = claim().await.expect("a job");
    scene.store.retry(&lease, Duration::ZERO, "said \0").await.expect("set down");
    let lease = claim().await.expect("a job");
    let mut transition = scene.store.begin().await.expect("begun");
    transition.end_delivery(1, &DeliveryEnd::Ignored { why: "\0".into() }).await.expect("ended");
    transition.refuse(&lease, "no \0").await.expect("refused");
    transition.commit().await.expect("committed");
}

#[tokio::test]
async fn a_value_above_the_databases_limits_is_not_tried_again() {
    let scene = Scene::new().await;
    scene.store.enqueue("one", &ingest(1)).await.expect("enqueued");
    let lease = scene.store.claim(&[JobKind::Ingest], "worker", 9).await.expect("a look").expect("a job");
    let refused = scene.store.reschedule(&lease, Duration::MAX).await.expect_err("no such day");
    assert!(refused.is_final(), "{refused}");
    assert!(matches!(JobFailure::from(refused), JobFailure::Refuse { .. }));
    // A database that is away or busy may take it later.
    let away = StoreError::Database(sqlx::Error::PoolTimedOut);
    assert!(matches!(JobFailure::from(away), JobFailure::Retry { .. }));
}

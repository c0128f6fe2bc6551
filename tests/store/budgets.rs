//! What is set aside, and by whom it is seen.

use std::time::Duration;

use chrono::TimeDelta;
use orchestrator::domain::{BudgetScope, Origin, RepositoryId, TaskId, Usage};
use orchestrator::store::{ModelCall, SetAside, Spending, Store};

use crate::scene::{Scene, labelled};

const LIMIT: u64 = 1_000;

fn spending(tokens: u64) -> Spending {
    Spending { tokens, cost_micro_usd: tokens * 2 }
}

async fn task(store: &Store, issue: u64, repository: u64) -> TaskId {
    let mut task = labelled(issue);
    if let Origin::GitHub(place) = &mut task.origin {
        place.repository = RepositoryId(repository);
    }
    let mut transition = store.begin().await.expect("begun");
    transition.create(&task).await.expect("made").expect("the first of its issue");
    transition.commit().await.expect("committed");
    task.id
}

/// Sets aside so many tokens if that stays within [`LIMIT`]; the refusal is what was spent and set aside.
async fn set_aside(store: &Store, task: TaskId, scope: BudgetScope, tokens: u64) -> Result<i64, u64> {
    let wanted = SetAside { task, spending: spending(tokens), at_most: TimeDelta::minutes(5) };
    let covered = |_, used: Spending| match used.tokens + tokens <= LIMIT {
        true => Ok(()),
        false => Err(used.tokens),
    };
    store.set_aside(&wanted, &[scope], covered).await.expect("an answer")
}

async fn call(store: &Store, task: Option<TaskId>, tokens: u64) {
    let usage = Usage { calls: 1, input_tokens: tokens, cost_micro_usd: tokens * 2, ..Usage::default() };
    let (stage, role, model) = ("implement".into(), "implementer".into(), "a:b".into());
    let latency = Duration::from_millis(1);
    let call = ModelCall { task, stage, role, model, usage, latency, ..ModelCall::default() };
    store.record_model_call(&call).await.expect("written down");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_many_processes_never_have_more_than_the_budget_together() {
    let scene = Scene::new().await;
    let task = task(&scene.store, 3, 2).await;
    let stores = [scene.other().await, scene.other().await, scene.other().await];
    let tries = (0..30).map(|at| {
        let store = stores[at % stores.len()].clone();
        tokio::spawn(async move { set_aside(&store, task, BudgetScope::Task, 90).await })
    });
    let mut had = 0;
    for one in tries.collect::<Vec<_>>() {
        had += u64::from(one.await.expect("no panic").is_ok());
    }
    assert_eq!(had, LIMIT / 90);
    let all = scene.store.spending(BudgetScope::Task, task).await.expect("read");
    assert_eq!(all, spending(had * 90));
}

#[tokio::test]
async fn what_is_taken_back_is_free_and_what_was_spent_is_not() {
    let scene = Scene::new().await;
    let task = task(&scene.store, 3, 2).await;
    let number = set_aside(&scene.store, task, BudgetScope::Task, 900).await.expect("it fits");
    assert_eq!(set_aside(&scene.store, task, BudgetScope::Task, 200).await, Err(900));
    call(&scene.store, Some(task), 300).await;
    scene.store.take_back(number).await.expect("taken back");
    assert_eq!(set_aside(&scene.store, task, BudgetScope::Task, 701).await, Err(300));
    set_aside(&scene.store, task, BudgetScope::Task, 700).await.expect("it fits");
}

#[tokio::test]
async fn what_a_dead_process_set_aside_runs_out() {
    let scene = Scene::new().await;
    let task = task(&scene.store, 3, 2).await;
    set_aside(&scene.store, task, BudgetScope::Task, LIMIT).await.expect("it fits");
    assert_eq!(set_aside(&scene.store, task, BudgetScope::Task, 1).await, Err(LIMIT));
    scene.sql("UPDATE model_reservations SET until = now() - interval '1 second'").await;
    let number = set_aside(&scene.store, task, BudgetScope::Task, 1).await.expect("it fits");
    scene.store.take_back(number).await.expect("taken back");
    assert_eq!(scene.count("SELECT count(*) FROM model_reservations").await, 0, "swept with it");
}

#[tokio::test]
async fn each_scope_sees_its_own() {
    let scene = Scene::new().await;
    let store = &scene.store;
    let (one, beside, elsewhere) =
        (task(store, 3, 2).await, task(store, 4, 2).await, task(store, 3, 9).await);
    for (task, tokens) in [(Some(one), 1), (Some(beside), 10), (Some(elsewhere), 100), (None, 1_000)] {
        call(store, task, tokens).await;
    }
    let sees = async |scope| store.spending(scope, one).await.expect("read").tokens;
    let all = async || {
        [
            sees(BudgetScope::Task).await,
            sees(BudgetScope::RepositoryDay).await,
            sees(BudgetScope::Day).await,
            sees(BudgetScope::Month).await,
        ]
    };
    assert_eq!(all().await, [1, 11, 1_111, 1_111]);
    let earlier = |than: &str| {
        format!("UPDATE model_calls SET at = date_trunc('{than}', now(), 'UTC') - interval '1 second'")
    };
    scene.sql(earlier("month")).await;
    assert_eq!(all().await, [1, 0, 0, 0], "a task's budget has no end");
}

//! Events that come to one task at the same time.

use orchestrator::domain::{Command, CommentId, Event, InstallationId, IssueNumber, State, Thumb};
use orchestrator::store::Applied;
use orchestrator::telemetry::clock;
use tokio::task::JoinSet;

use crate::scene::{PLAN, Scene, ada, discussed, labelled};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_come_at_once_to_one_task_are_all_there_in_some_order() {
    const ASKED: u64 = 40;
    let scene = Scene::new().await;
    let task = scene.planned_task().await;
    let effects = "SELECT count(*) FROM jobs WHERE kind = 'effect'";
    let before = scene.count(effects).await;
    let stores = [scene.store.clone(), scene.other().await];
    let mut asking = JoinSet::new();
    for comment in 0..ASKED {
        let store = stores[comment as usize % 2].clone();
        let event = Event::Commanded {
            command: Command::Status,
            by: ada(),
            comment: CommentId(comment),
            on: IssueNumber(3),
        };
        asking.spawn(async move { store.apply(task.id, &event, clock::now()).await });
    }
    for applied in asking.join_all().await {
        assert!(matches!(applied.expect("applied"), Applied::Moved(_)));
    }
    let after = scene.store.task(task.id).await.expect("the task");
    assert_eq!(after.version, task.version + ASKED);
    let history = scene.store.history(task.id).await.expect("a history");
    let versions: Vec<u64> = history.iter().map(|line| line.version).collect();
    assert_eq!(versions, (0..=after.version).collect::<Vec<_>>(), "each has its place");
    assert_eq!(scene.count(effects).await, before + ASKED as i64, "each is answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_approvals_and_rejections_that_come_at_once_the_first_decides() {
    let scene = Scene::new().await;
    for _ in 0..5 {
        scene.sql("DELETE FROM jobs; DELETE FROM transitions; DELETE FROM tasks").await;
        let task = scene.planned_task().await;
        let stores = [scene.store.clone(), scene.other().await];
        let mut reacting = JoinSet::new();
        for number in 0..12 {
            let (store, thumb) = (stores[number % 2].clone(), [Thumb::Up, Thumb::Down][number / 2 % 2]);
            let event = Event::Reacted { thumb, by: ada(), on: PLAN };
            reacting.spawn(async move { store.apply(task.id, &event, clock::now()).await.expect("applied") });
        }
        let moved = reacting.join_all().await.into_iter().filter(|done| matches!(done, Applied::Moved(_)));
        assert_eq!(moved.count(), 1);
        let after = scene.store.task(task.id).await.expect("the task");
        let stages = "SELECT count(*) FROM jobs WHERE key LIKE '%/implement' AND state = 'ready'";
        let expected = match after.state {
            State::Queued => 1,
            State::Cancelled { .. } => 0,
            other => panic!("{other:?}"),
        };
        assert_eq!(scene.count(stages).await, expected);
    }
}

#[tokio::test]
async fn a_task_that_cannot_be_read_costs_the_others_nothing() {
    let scene = Scene::new().await;
    let bad = scene.planned_task().await;
    let good = labelled(4);
    let mut transition = scene.store.begin().await.expect("begun");
    transition.create(&good).await.expect("made").expect("the issue's first");
    transition.apply(good.id, &discussed(), clock::now()).await.expect("planned");
    transition.commit().await.expect("committed");
    let newer = r#"UPDATE tasks SET data = jsonb_set(data, '{state}', '{"state": "hovering"}') WHERE id = "#;
    scene.sql(format!("{newer}'{}'", bad.id)).await;
    let listed = scene.store.tasks_in(&["awaiting_approval"]).await.expect("a list");
    assert_eq!(listed.iter().map(|task| task.id).collect::<Vec<_>>(), [good.id]);
    assert!(scene.store.task(bad.id).await.is_err());
}

/// A transfer changes by whose leave we work, not only the name.
#[tokio::test]
async fn a_repository_that_was_given_away_is_reached_through_its_new_installation() {
    let scene = Scene::new().await;
    let task = scene.planned_task().await;
    let mut place = task.origin.github().expect("a place").clone();
    place.installation = InstallationId(77);
    place.full_name = "another/evenly".into();
    scene.store.rename_repository(&place).await.expect("noted");
    let now = scene.store.task(task.id).await.expect("the task");
    let now = now.origin.github().expect("a place");
    assert_eq!((now.installation, now.full_name.as_str()), (InstallationId(77), "another/evenly"));
    assert_eq!(now.issue, IssueNumber(3));
}

//! People push to the branch, too: their commits are never overwritten.

use orchestrator::domain::{Reason, State};
use orchestrator::simulator::github::{Effect, Fault};
use orchestrator::simulator::model::Answer;
use orchestrator::simulator::surroundings::{MAINTAINER, REPOSITORY};
use orchestrator::store::ArtifactKind;

use crate::scene::{Play, Scene};

/// The one branch of ours: its name and head.
fn branch(scene: &Scene) -> (String, String) {
    let (name, head) = scene.auto_branches().into_iter().next().expect("a branch");
    (name.trim_start_matches("refs/heads/").to_owned(), head)
}

/// The task stands still, the branch is as ada left it, and the pull request says so.
async fn is_told_of(scene: &Scene, issue: u64, pull: u64, hers: &str) {
    let task = scene.until(issue, "needs_person").await;
    let State::NeedsPerson { reason, .. } = &task.state else { unreachable!("asked for") };
    assert_eq!(*reason, Reason::BranchMoved { actual: hers.to_owned() });
    assert_eq!(branch(scene).1, hers, "her commit is on top");
    scene.answer(pull, "This needs a person").await;
    scene.idle(issue).await;
    assert!(scene.mails().len() >= 3, "and a mail: {:?}", scene.mails());
}

/// A fix that takes its time is asked for, and has begun.
async fn in_the_middle_of_a_fix(scene: &Scene, issue: u64, pull: u64) {
    scene.around.model.inject([Answer::Hang { seconds: 80.0 }]);
    scene.comment(MAINTAINER, pull, "/orchestrate fix say it louder, please").await;
    scene.until(issue, "fixing").await;
    crate::scene::wait("the model to be asked", || async {
        let asked = scene.around.model.journal();
        asked.last().is_some_and(|last| last.rule.is_none()).then_some(())
    })
    .await;
}

/// A retry goes on from what is there now, her commit included.
async fn goes_on_from(scene: &Scene, issue: u64, pull: u64, hers: &str) {
    scene.comment(MAINTAINER, pull, "/orchestrate retry").await;
    scene.answer(pull, "on top of this pull request").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let (name, head) = branch(scene);
    let commit = scene.get(&format!("/commits/{head}")).await;
    assert_eq!(commit["parents"][0]["sha"], hers, "on top of hers");
    let file = |path: &str| {
        let file = scene.around.github.admin().file(REPOSITORY, &name, path).expect("readable");
        String::from_utf8(file.expect("a file")).expect("text")
    };
    assert_eq!((file("hers.md").as_str(), file("greeting.txt").as_str()), ("mine\n", "hello, world!\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_of_a_person_during_a_fix_round_is_not_overwritten() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, pull) = scene.pull_request().await;
    in_the_middle_of_a_fix(&scene, issue, pull).await;
    let admin = scene.around.github.admin();
    let hers =
        admin.push_file(MAINTAINER, REPOSITORY, &branch(&scene).0, "hers.md", "mine\n").expect("a push");
    scene.around.model.let_go();
    is_told_of(&scene, issue, pull, &hers).await;
    goes_on_from(&scene, issue, pull, &hers).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_of_a_person_in_the_middle_of_ours_is_not_overwritten() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, pull) = scene.pull_request().await;
    // After we have looked where the branch is, and before our commits arrive.
    scene.fault(Fault::on_request(
        "POST",
        "/git-receive-pack$",
        Effect::PersonPushes {
            login: MAINTAINER.into(),
            repository: REPOSITORY.into(),
            branch: branch(&scene).0,
            path: "hers.md".into(),
            content: "mine\n".into(),
        },
    ));
    let before = branch(&scene).1;
    scene.comment(MAINTAINER, pull, "/orchestrate fix say it louder, please").await;
    scene.until(issue, "needs_person").await;
    let hers = branch(&scene).1;
    assert_ne!(hers, before);
    is_told_of(&scene, issue, pull, &hers).await;
    goes_on_from(&scene, issue, pull, &hers).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_of_a_person_before_a_fix_round_is_built_upon() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, pull) = scene.pull_request().await;
    let admin = scene.around.github.admin();
    let hers =
        admin.push_file(MAINTAINER, REPOSITORY, &branch(&scene).0, "hers.md", "mine\n").expect("a push");
    scene.comment(MAINTAINER, pull, "/orchestrate fix say it louder, please").await;
    scene.answer(pull, "on top of this pull request").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let head = branch(&scene).1;
    assert_eq!(scene.get(&format!("/commits/{head}")).await["parents"][0]["sha"], hers.as_str());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_merged_from_the_base_is_neither_reviewed_nor_mended() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, pull) = scene.pull_request().await;
    let admin = scene.around.github.admin();
    admin.push_file(MAINTAINER, REPOSITORY, "main", "upstream.md", "not the work's\n").expect("a push");
    scene.person(MAINTAINER, "PUT", &format!("/pulls/{pull}/update-branch"), serde_json::json!({})).await;
    let before = scene.around.model.journal().len();
    scene.comment(MAINTAINER, pull, "/orchestrate fix say it louder, please").await;
    scene.answer(pull, "on top of this pull request").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let merged = admin.file(REPOSITORY, &branch(&scene).0, "upstream.md").expect("readable");
    assert!(merged.is_some(), "it is on the branch");
    let asked = scene.around.model.journal().split_off(before);
    assert!(asked.len() > 4, "a fixer and the reviewers: {}", asked.len());
    for call in asked {
        let request = call.request.to_string();
        assert!(request.contains("hello, world"), "the work is shown: {request}");
        assert!(!request.contains("+not the work's"), "and no other change: {request}");
    }
    let task = scene.task(issue).await;
    let patch = scene.store.latest_artifact(&task, ArtifactKind::Patch).await.expect("an answer");
    let patch = String::from_utf8(patch.expect("a patch")).expect("text");
    assert!(patch.contains("+hello, world!") && !patch.contains("upstream"), "{patch}");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_a_person_deleted_is_not_made_again_without_being_asked() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, pull) = scene.pull_request().await;
    in_the_middle_of_a_fix(&scene, issue, pull).await;
    let path = format!("/git/refs/heads/{}", branch(&scene).0);
    scene.person(MAINTAINER, "DELETE", &path, serde_json::Value::Null).await;
    scene.around.model.let_go();
    // Without its branch the pull request is closed; the round that is at work ends, or a person is told.
    crate::scene::wait("the round to end", || async {
        let state = scene.task(issue).await.state;
        matches!(state, State::PullRequestClosed | State::NeedsPerson { .. }).then_some(())
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    scene.idle(issue).await;
    assert_eq!(scene.auto_branches().len(), 0);
    scene.finish().await;
}

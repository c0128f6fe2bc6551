//! What is true on GitHub counts, whatever was told of it, in which order, or not at all.

use orchestrator::domain::State;
use orchestrator::simulator::github::{Effect, Fault};
use orchestrator::simulator::model::{Answer, Stop};
use orchestrator::simulator::surroundings::{MAINTAINER, READER};
use orchestrator::store::ScheduleName;
use serde_json::{Value, json};

use crate::scene::{Play, Scene, wait};

/// The first delivery of a kind comes seconds after those that follow it.
fn comes_late(scene: &Scene, delivery: &str) {
    let late = Effect::DelayDelivery { milliseconds: 8_000 };
    scene.fault(Fault::on_delivery(delivery, late));
}

fn lost(scene: &Scene, delivery: &str) {
    scene.fault(Fault::on_delivery(delivery, Effect::LoseDelivery).forever());
}

/// Waits until all open tasks were compared with GitHub.
async fn reconciled(scene: &Scene) {
    let looks = async || scene.count("SELECT fence FROM jobs WHERE key = 'schedule/reconcile'").await;
    let before = looks().await;
    wait("a look at the open tasks", || async {
        scene.store.hurry_schedule(ScheduleName::Reconcile).await.expect("hurried");
        let leased = "SELECT count(*) FROM jobs WHERE key = 'schedule/reconcile' AND lease_until IS NOT NULL";
        (looks().await > before && scene.count(leased).await == 0).then_some(())
    })
    .await;
}

fn asks() -> Answer {
    let question = json!({
        "kind": "questions", "understood": "Somebody is to be greeted.", "tasks": [],
        "questions": ["Who is to be greeted?"],
    });
    Answer::Say { text: question.to_string(), calls: vec![], stop: Stop::Natural }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_that_is_gone_when_it_is_heard_of_starts_nothing() {
    let scene = Scene::play(Play::greeting()).await;
    comes_late(&scene, r"^issues\.labeled$");
    let issue = scene.labelled_issue().await;
    scene.unlabel(issue).await;
    scene.ingested().await;
    assert_eq!(scene.tasks(issue).await.len(), 0);
    assert_eq!(scene.around.model.journal().len(), 0, "no model was asked");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_is_heard_of_after_the_label_was_set_again_stops_nothing() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, _) = scene.planned_issue().await;
    comes_late(&scene, r"^issues\.unlabeled$");
    scene.unlabel(issue).await;
    scene.label(issue).await;
    comes_late(&scene, r"^issues\.closed$");
    scene.edit_issue(issue, json!({ "state": "closed" })).await;
    scene.edit_issue(issue, json!({ "state": "open" })).await;
    scene.ingested().await;
    assert_eq!(scene.task(issue).await.state, State::AwaitingApproval);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_is_what_it_is_and_not_what_was_heard_last() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, pull) = scene.pull_request().await;
    comes_late(&scene, r"^pull_request\.closed$");
    for state in ["closed", "open"] {
        scene.person(MAINTAINER, "PATCH", &format!("/pulls/{pull}"), json!({ "state": state })).await;
    }
    scene.ingested().await;
    assert_eq!(scene.task(issue).await.state, State::PullRequestOpen);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_that_was_merged_before_we_knew_it_is_done() {
    let scene = Scene::play(Play::greeting()).await;
    // It is made, the answer is lost, and finding it again takes a while.
    scene.fault(Fault::on_request("POST", "/pulls$", Effect::ApplyThenDrop));
    let bad_gateway = Effect::Refuse { status: 502, retry_after_seconds: None };
    let away = scene.fault(Fault::on_request("GET", r"/pulls\?.*head=", bad_gateway).after(1).forever());
    let issue = scene.approved_issue().await;
    let pull = wait("the pull request", || async {
        scene.list("/pulls").await.pop().map(|pull| crate::scene::number(&pull))
    })
    .await;
    scene
        .person(MAINTAINER, "PUT", &format!("/pulls/{pull}/merge"), json!({ "merge_method": "squash" }))
        .await;
    scene.ingested().await;
    assert_eq!(scene.task(issue).await.pull_request, None, "it was not known to be ours");
    let faults = scene.around.github.faults();
    wait("a look that comes to nothing", || async { (faults.struck(away) > 0).then_some(()) }).await;
    faults.remove(away);
    let task = scene.until(issue, "done").await;
    assert_eq!(task.pull_request.map(|number| number.0), Some(pull));
    scene.idle(issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_told_us_of_an_issue_is_found_and_costs_nothing_where_nothing_changed() {
    let scene = Scene::play(Play::greeting()).await;
    let mut issues = Vec::new();
    for _ in 0..6 {
        issues.push(scene.planned_issue().await.0);
    }
    let [unlabelled, closed, edited, deleted, revived, untouched] = issues[..] else { panic!("six") };
    lost(&scene, r"^issues");
    scene.comment(MAINTAINER, revived, "/orchestrate cancel").await;
    scene.until(revived, "cancelled").await;
    scene.unlabel(revived).await;
    scene.comment(MAINTAINER, revived, "/orchestrate retry").await;
    scene.plan_comment(revived, 2).await;
    for issue in &issues {
        scene.idle(*issue).await;
    }

    scene.unlabel(unlabelled).await;
    scene.edit_issue(closed, json!({ "state": "closed" })).await;
    scene.edit_issue(edited, json!({ "title": "Another one" })).await;
    let repository = orchestrator::simulator::surroundings::REPOSITORY;
    scene.around.github.admin().delete_issue(repository, deleted, MAINTAINER).expect("deleted");
    scene.ingested().await;
    for issue in &issues {
        assert_eq!(scene.task(*issue).await.state, State::AwaitingApproval, "nobody told us");
    }
    reconciled(&scene).await;
    for (issue, state) in [
        (unlabelled, "cancelled"),
        (closed, "cancelled"),
        (edited, "needs_person"),
        (deleted, "cancelled"),
        (revived, "awaiting_approval"),
        (untouched, "awaiting_approval"),
    ] {
        assert_eq!(scene.task(issue).await.state.name(), state, "issue {issue}");
        scene.idle(issue).await;
    }

    reconciled(&scene).await;
    let journal = scene.around.github.journal();
    let before = journal.requests().len();
    reconciled(&scene).await;
    let paths = [format!("/issues/{untouched}"), format!("/issues/{untouched}/comments?per_page=100")];
    let requests = journal.requests();
    for path in paths {
        let asked: Vec<_> = requests[before..].iter().filter(|one| one.path.ends_with(&path)).collect();
        assert!(!asked.is_empty() && asked.iter().all(|one| one.status == 304), "{path}: {asked:?}");
    }
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_told_us_of_is_found() {
    let scene = Scene::play(Play::greeting()).await;
    scene.around.model.inject([asks()]);
    let issue = scene.labelled_issue().await;
    scene.until(issue, "waiting_for_answer").await;
    scene.idle(issue).await;
    lost(&scene, r"^issue_comment");
    scene.comment(READER, issue, "I am only passing by.").await;
    reconciled(&scene).await;
    assert_eq!(scene.task(issue).await.state.name(), "waiting_for_answer", "nobody asked robin");
    scene.comment(MAINTAINER, issue, "The world.").await;
    reconciled(&scene).await;
    scene.plan_comment(issue, 1).await;
    scene.idle(issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comment_that_comes_while_the_issue_is_read_is_read_before_anything_is_asked() {
    let scene = Scene::play(Play::greeting()).await;
    // The model gets the issue as it was, and takes its time to ask.
    scene.around.model.inject([Answer::Hang { seconds: 80.0 }, asks()]);
    let issue = scene.labelled_issue().await;
    wait("the model's turn", || async { (!scene.around.model.journal().is_empty()).then_some(()) }).await;
    scene.comment(MAINTAINER, issue, "The world is to be greeted.").await;
    scene.around.model.let_go();
    scene.plan_comment(issue, 1).await;
    scene.idle(issue).await;
    let source = scene.task(issue).await.source.expect("it was read");
    assert_eq!(source.comments.len(), 1, "with what was said meanwhile");
    assert_eq!(scene.around.bot_comments(issue).await.expect("comments").len(), 1, "nothing was asked");
    scene.finish().await;
}

/// A comment as another App makes it with a person's token, as the delivery tells it.
fn through_another_app(mut payload: Value) -> Value {
    payload["comment"]["performed_via_github_app"] = json!({ "id": 4_711, "slug": "an-agent" });
    payload
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_with_a_persons_token_does_not_speak_for_them() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, _) = scene.planned_issue().await;
    lost(&scene, r"^issue_comment");
    scene.comment(MAINTAINER, issue, "/orchestrate approve").await;
    scene.around.github.settled().await;
    let told = scene.around.github.journal().deliveries_of("issue_comment.created");
    let told =
        told.into_iter().rfind(|one| one.payload["sender"]["login"] == MAINTAINER).expect("a delivery");
    let url = scene.webhook_url();
    let body = through_another_app(told.payload.clone()).to_string();
    assert_eq!(crate::deliveries::deliver(&url, "by-an-agent", "issue_comment", &body).await, 202);
    scene.ingested().await;
    assert_eq!(scene.task(issue).await.state, State::AwaitingApproval);
    // The same in her own words counts.
    let body = told.payload.to_string();
    assert_eq!(crate::deliveries::deliver(&url, "by-herself", "issue_comment", &body).await, 202);
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_gets_another_name_is_worked_on_under_it() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, _) = scene.planned_issue().await;
    let repository = orchestrator::simulator::surroundings::REPOSITORY;
    let (owner, _) = repository.split_once('/').expect("an owner");
    scene.around.github.admin().rename_repository(repository, "oddly").expect("renamed");
    scene.ingested().await;
    let task = scene.task(issue).await;
    let place = task.origin.github().expect("a place");
    assert_eq!(place.full_name, format!("{owner}/oddly"));
    // Its lists are under the new name now.
    scene.finish_altered().await;
}

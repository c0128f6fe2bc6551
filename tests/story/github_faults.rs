//! What goes wrong between us and GitHub: lost answers, limits, faults of its own, lost deliveries.

use orchestrator::simulator::github::{Effect, Fault, FaultId, RequestRecord};
use orchestrator::simulator::surroundings::MAINTAINER;
use orchestrator::store::ScheduleName;
use serde_json::json;

use crate::scene::{Play, Scene};

/// Every write of the story: method and path. The first label is set by ada.
const WRITES: [(&str, &str, u32); 6] = [
    ("POST", r"/issues/\d+/comments$", 0),
    ("POST", "/git-receive-pack$", 0),
    ("POST", "/pulls$", 0),
    ("POST", r"/issues/\d+/labels$", 1),
    ("POST", r"/pulls/\d+/reviews$", 0),
    ("POST", "/check-runs$", 0),
];

/// Lets each write of the story meet an effect once.
fn on_every_write(scene: &Scene, effect: &Effect) -> Vec<FaultId> {
    let faults = WRITES.iter().map(|(method, path, skip)| {
        scene.fault(Fault::on_request(method, path, effect.clone()).after(*skip))
    });
    faults.collect()
}

/// The story comes to its end, each of the faults has struck, and there is one of everything.
async fn comes_through(scene: Scene, faults: &[FaultId]) {
    let issue = scene.approved_issue().await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let handle = scene.around.github.faults();
    for (index, fault) in faults.iter().enumerate() {
        assert!(handle.struck(*fault) > 0, "fault {index} never struck");
    }
    scene.one_of_each(issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_is_found_and_not_done_again() {
    let scene = Scene::play(Play::greeting()).await;
    let faults = on_every_write(&scene, &Effect::ApplyThenDrop);
    comes_through(scene, &faults).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_lost_on_its_way_is_done_once() {
    let scene = Scene::play(Play::greeting()).await;
    let faults = on_every_write(&scene, &Effect::DropUnapplied);
    comes_through(scene, &faults).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_in_the_middle_is_renewed() {
    let scene = Scene::play(Play::greeting()).await;
    let mut faults = on_every_write(&scene, &Effect::ExpireTokens);
    for path in [r"/collaborators/[^/]+/permission$", "/git-upload-pack$", r"/comments/\d+/reactions"] {
        faults.push(scene.fault(Fault::on_request("*", path, Effect::ExpireTokens)));
    }
    comes_through(scene, &faults).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_github_are_waited_out() {
    let scene = Scene::play(Play::greeting()).await;
    let bad_gateway = Effect::Refuse { status: 502, retry_after_seconds: None };
    let mut faults = on_every_write(&scene, &bad_gateway);
    for path in ["/access_tokens$", r"/collaborators/[^/]+/permission$", "/info/refs", "/git-upload-pack$"] {
        faults.push(scene.fault(Fault::on_request("*", path, bad_gateway.clone())));
    }
    comes_through(scene, &faults).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_obeyed_for_as_long_as_github_says() {
    let scene = Scene::play(Play::greeting()).await;
    let limits = [
        ("POST", r"/issues/\d+/comments$", 403, 4),
        ("POST", "/pulls$", 429, 3),
        ("POST", r"/pulls/\d+/reviews$", 403, 2),
    ];
    let mut faults = Vec::new();
    for (method, path, status, seconds) in limits {
        let effect = Effect::Refuse { status, retry_after_seconds: Some(seconds) };
        faults.push(scene.fault(Fault::on_request(method, path, effect)));
    }
    let journal = scene.around.github.journal();
    comes_through(scene, &faults).await;
    let requests = journal.requests();
    for (method, path, status, seconds) in limits {
        let path = regex::Regex::new(path).expect("a pattern");
        let to: Vec<&RequestRecord> =
            requests.iter().filter(|one| one.method == method && path.is_match(&one.path)).collect();
        let refused = to.iter().position(|one| one.fault.is_some()).expect("the refused one");
        assert_eq!(to[refused].status, status);
        let waited = (to[refused + 1].at - to[refused].at).num_milliseconds();
        assert!(waited >= seconds as i64 * 1_000, "{path}: the next one came after {waited} ms");
        assert!(waited < seconds as i64 * 1_000 + 60_000, "{path}: {waited} ms is far too long");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_the_app_was_not_granted_is_told_and_not_tried_for_ever() {
    let scene = Scene::play(Play::greeting()).await;
    let forbidden = Effect::Refuse { status: 403, retry_after_seconds: None };
    let fault = scene.fault(Fault::on_request("POST", "/pulls$", forbidden).forever());
    let issue = scene.approved_issue().await;
    scene.until(issue, "needs_person").await;
    scene.answer(issue, "This needs a person").await;
    scene.idle(issue).await;
    assert_eq!(scene.around.github.faults().struck(fault), 1, "a plain no is not asked again");
    assert_eq!(scene.mails().len(), 2, "the plan, and the stop: {:?}", scene.mails());

    scene.around.github.faults().clear();
    scene.comment(MAINTAINER, issue, "/orchestrate retry").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    assert_eq!((scene.auto_branches().len(), scene.list("/pulls").await.len()), (1, 1));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inline_comment_that_github_refuses_does_not_hold_up_the_review() {
    let scene = Scene::play(Play::greeting()).await;
    let refusal = Effect::Refuse { status: 422, retry_after_seconds: None };
    scene.fault(Fault::on_request("POST", r"/pulls/\d+/reviews$", refusal));
    let (_, pull) = scene.pull_request().await;
    let reviews = scene.list(&format!("/pulls/{pull}/reviews")).await;
    assert_eq!(reviews.len(), 1);
    let body = reviews[0]["body"].as_str().unwrap_or_default();
    assert!(body.contains("The greeting is in English only"), "the finding is told in the body: {body}");
    assert_eq!(scene.list(&format!("/pulls/{pull}/comments")).await.len(), 0);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_deliveries_wedge_nothing() {
    let scene = Scene::play(Play::greeting()).await;
    let lose = |event: &str| Fault::on_delivery(event, Effect::LoseDelivery);
    scene.fault(lose(r"^issues\.labeled$"));
    let issue = scene.labelled_issue().await;
    scene.ingested().await;
    assert_eq!(scene.tasks(issue).await.len(), 0, "nobody knows of it");
    scene.unlabel(issue).await;
    scene.label(issue).await;
    let plan = scene.plan_comment(issue, 1).await;

    scene.fault(lose(r"^issue_comment\.created$"));
    scene.comment(MAINTAINER, issue, "/orchestrate status").await;
    scene.ingested().await;
    assert_eq!(scene.said(issue, "### Status").await.len(), 0);
    scene.comment(MAINTAINER, issue, "/orchestrate status").await;
    scene.answer(issue, "### Status").await;

    // Nothing that the work itself causes has to come back to us.
    scene.fault(lose("^(pull_request|issue_comment)$").forever());
    scene.react(MAINTAINER, plan, "+1").await;
    let task = scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let number = task.pull_request.expect("a pull request");
    let merge = json!({ "merge_method": "squash" });
    scene.person(MAINTAINER, "PUT", &format!("/pulls/{number}/merge"), merge).await;
    scene.ingested().await;
    assert_eq!(scene.task(issue).await.state.name(), "pull_request_open", "the merge was not heard of");
    // And it is found all the same.
    scene.store.hurry_schedule(ScheduleName::Reconcile).await.expect("hurried");
    scene.until(issue, "done").await;
    scene.idle(issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_in_another_order_come_to_the_same() {
    let scene = Scene::play(Play::greeting()).await;
    scene.fault(Fault::on_delivery("^issue", Effect::SwapDelivery).forever());
    let issue = scene.approved_issue().await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    scene.one_of_each(issue).await;
    scene.finish().await;
}

const REMARKS: &str = r#"
gates:
  - name: check
    run: sh check.sh
  - name: remarks
    run: |
      grep -q ',' greeting.txt && for n in $(seq 100); do echo "greeting.txt:1: remark $n"; done && exit 1
    required: false
"#;

/// The check run comes through with every annotation once, although one of the requests that add to it fails.
async fn all_annotations_arrive(effect: Effect) {
    let play = Play::greeting().with_file(".orchestrator/config.yaml", REMARKS);
    let scene = Scene::play(play).await;
    let fault = scene.fault(Fault::on_request("PATCH", r"/check-runs/\d+$", effect));
    let issue = scene.approved_issue().await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    assert_eq!(scene.around.github.faults().struck(fault), 1);
    let runs = scene.check_runs().await;
    assert_eq!(runs.len(), 1, "{runs:#?}");
    assert_eq!(runs[0]["status"], "completed");
    let path = format!("/check-runs/{}/annotations", runs[0]["id"]);
    let mut annotations = scene.list(&path).await;
    annotations.extend(scene.list(&format!("{path}?page=2")).await);
    let messages: std::collections::BTreeSet<_> =
        annotations.iter().map(|one| one["message"].as_str().unwrap_or_default()).collect();
    assert_eq!((annotations.len(), messages.len()), (101, 101), "the remarks and a reviewer's finding");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn annotations_that_were_lost_on_their_way_are_sent_again() {
    all_annotations_arrive(Effect::DropUnapplied).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn annotations_that_arrived_unnoticed_are_not_sent_again() {
    all_annotations_arrive(Effect::ApplyThenDrop).await;
}

//! From a labelled issue to a merged pull request.

use orchestrator::domain::{GateReport, ReviewRound};
use orchestrator::simulator::surroundings::MAINTAINER;
use orchestrator::store::ArtifactKind;
use serde_json::{Value, json};

use crate::scene::{Play, Scene};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_labelled_issue_becomes_a_reviewed_pull_request_and_ends_when_it_is_merged() {
    let scene = Scene::play(Play::demo()).await;
    let (issue, plan) = scene.planned_issue().await;
    let comment = scene.get(&format!("/issues/comments/{plan}")).await;
    let body = comment["body"].as_str().unwrap_or_default();
    for part in ["Make the shares of split() add up to the total", "👍 starts the work", "src/split.rs"] {
        assert!(body.contains(part), "the plan lacks {part:?}: {body}");
    }
    scene.nothing_is_published().await;

    scene.react(MAINTAINER, plan, "+1").await;
    let task = scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let number = task.pull_request.expect("a pull request");
    let pull = scene.get(&format!("/pulls/{number}")).await;
    let branch = pull["head"]["ref"].as_str().unwrap_or_default();
    let head = pull["head"]["sha"].as_str().unwrap_or_default();
    assert_eq!(scene.auto_branches().get(&format!("refs/heads/{branch}")).map(String::as_str), Some(head));
    assert_eq!(scene.auto_branches().len(), 1);
    assert!(pull["body"].as_str().unwrap_or_default().contains(&format!("Closes #{issue}")));
    assert_eq!(pull["draft"], false, "its gates passed");
    assert_eq!(names(&pull["labels"]), ["auto"]);

    let reviews = scene.list(&format!("/pulls/{number}/reviews")).await;
    assert_eq!(reviews.len(), 1);
    assert_eq!(reviews[0]["state"], "COMMENTED");
    let inline = scene.list(&format!("/pulls/{number}/comments")).await;
    assert_eq!(inline.len(), 1);
    assert_eq!((&inline[0]["path"], &inline[0]["line"]), (&json!("src/split.rs"), &json!(6)));
    let checks = scene.get(&format!("/commits/{head}/check-runs")).await;
    assert_eq!(checks["total_count"], 1);
    assert_eq!(checks["check_runs"][0]["conclusion"], "success");

    let runs: Vec<Vec<GateReport>> = kept(&scene, &task, ArtifactKind::Gates).await;
    let exits: Vec<_> = runs.iter().map(|run| run.iter().map(|gate| gate.exit).collect::<Vec<_>>()).collect();
    assert_eq!(
        exits,
        [vec![Some(101)], vec![Some(0), Some(0)], vec![Some(0), Some(0)]],
        "the first attempt failed; the mended ones did not, nor with the tests as they were"
    );
    let rounds: Vec<ReviewRound> = kept(&scene, &task, ArtifactKind::Review).await;
    let last = rounds.last().expect("a review");
    let titles = |findings: Vec<String>| findings;
    assert_eq!(
        titles(last.fixed().map(|f| f.title.clone()).collect()),
        ["split() panics when there are no people"]
    );
    assert_eq!(
        titles(last.open().map(|f| f.title.clone()).collect()),
        ["The comment still says that cents are dropped"]
    );

    let mails = scene.around.inbox.messages();
    assert_eq!(mails.len(), 2, "{:?}", scene.mails());
    assert_ne!(mails[0].message_id, mails[1].message_id);
    assert!(mails.iter().all(|mail| mail.to == ["ada@acme.example"]));
    let refusals: Vec<_> = scene.around.model.journal().into_iter().filter_map(|e| e.refusal).collect();
    assert_eq!(refusals, Vec::<String>::new(), "every request carried its evidence");

    let merge = json!({ "sha": head, "merge_method": "squash" });
    scene.person(MAINTAINER, "PUT", &format!("/pulls/{number}/merge"), merge).await;
    scene.until(issue, "done").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_that_is_closed_ends_the_task_and_reopened_it_goes_on() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, pull) = scene.pull_request().await;
    let set = |state: &'static str| json!({ "state": state });
    scene.person(MAINTAINER, "PATCH", &format!("/pulls/{pull}"), set("closed")).await;
    scene.until(issue, "pull_request_closed").await;
    scene.person(MAINTAINER, "PATCH", &format!("/pulls/{pull}"), set("open")).await;
    scene.until(issue, "pull_request_open").await;
    scene.finish().await;
}

async fn kept<T: serde::de::DeserializeOwned>(
    scene: &Scene,
    task: &orchestrator::domain::Task,
    kind: ArtifactKind,
) -> Vec<T> {
    let bodies = scene.store.artifacts_of_kind(task, kind).await.expect("artifacts");
    bodies.iter().map(|body| serde_json::from_slice(body).expect("as it was kept")).collect()
}

fn names(labels: &Value) -> Vec<&str> {
    labels.as_array().into_iter().flatten().filter_map(|label| label["name"].as_str()).collect()
}

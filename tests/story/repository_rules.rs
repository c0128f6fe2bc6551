//! What a repository says of itself in `.orchestrator/config.yaml` holds there.

use orchestrator::domain::{Reason, State, Task};
use orchestrator::simulator::surroundings::MAINTAINER;
use serde_json::json;

use crate::scene::{Play, Scene};

fn with_rules_of_its_own(yaml: &str) -> Play {
    let gates = "gates:\n  - name: check\n    run: sh check.sh\n    kind: test\n";
    Play::greeting().with_file(".orchestrator/config.yaml", &format!("{gates}{yaml}"))
}

async fn stopped(scene: &Scene, issue: u64) -> Task {
    crate::scene::wait("a person to be needed", || async {
        let task = scene.tasks(issue).await.into_iter().next()?;
        (task.state.name() == "needs_person").then_some(task)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repositorys_own_label_starts_work_there_and_the_deployments_does_not() {
    let scene = Scene::play(with_rules_of_its_own("label: robot\n")).await;
    scene.person(MAINTAINER, "POST", "/labels", json!({ "name": "robot", "color": "ededed" })).await;
    let issue = scene.labelled_issue().await;
    scene.ingested().await;
    assert_eq!(scene.tasks(issue).await.len(), 0, "`auto` is a label like any other there");
    scene.comment(MAINTAINER, issue, "/orchestrate status").await;
    let said = scene.answer(issue, "There is no task of mine here").await;
    assert!(said["body"].as_str().unwrap_or_default().contains("`robot`"), "{said}");

    scene.around.label(MAINTAINER, issue, "robot").await.expect("labelled");
    let plan = scene.plan_comment(issue, 1).await;
    scene.unlabel(issue).await;
    scene.ingested().await;
    scene.react(MAINTAINER, plan, "+1").await;
    let task = scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let pull = scene.get(&format!("/issues/{}", task.pull_request.expect("a pull request"))).await;
    let labels: Vec<_> = pull["labels"].as_array().into_iter().flatten().map(|l| &l["name"]).collect();
    assert_eq!(labels, ["robot"]);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repositorys_own_label_taken_away_cancels() {
    let scene = Scene::play(with_rules_of_its_own("label: robot\n")).await;
    scene.person(MAINTAINER, "POST", "/labels", json!({ "name": "robot", "color": "ededed" })).await;
    let project = &scene.around.project;
    let issue = scene.around.open_issue(MAINTAINER, &project.issue_title, &project.issue_body).await;
    let issue = issue.expect("an issue");
    scene.around.label(MAINTAINER, issue, "robot").await.expect("labelled");
    scene.plan_comment(issue, 1).await;
    let path = format!("/issues/{issue}/labels/robot");
    scene.person(MAINTAINER, "DELETE", &path, serde_json::Value::Null).await;
    scene.until(issue, "cancelled").await;
    scene.idle(issue).await;
    scene.finish().await;
}

const NEVER_MENDED: &str = r#"
  - name: the fixer makes it worse each time
    when:
      system: ["You are an engineer who mends a change"]
    not_when: { called: [write_file] }
    answer:
      tool_calls: [{ name: write_file, arguments: { path: notes.txt, content: "I tried.\n" } }]
  - name: and calls that mended
    when:
      system: ["You are an engineer who mends a change"]
      last_message: ["notes.txt was"]
    answer:
      tool_calls: [{ name: finish, arguments: { summary: It is mended., commit_subject: Mend it } }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_wants_fewer_gate_rounds_gets_fewer() {
    let play = with_rules_of_its_own("limits: { gate_rounds: 1 }\n");
    let scene =
        Scene::play(Play { scenario: Play::greeting().with_rules(NEVER_MENDED).scenario, ..play }).await;
    let issue = scene.approved_issue().await;
    let task = stopped(&scene, issue).await;
    let State::NeedsPerson { reason: Reason::GatesFail { rounds, .. }, .. } = &task.state else {
        panic!("{:?}", task.state)
    };
    assert_eq!(*rounds, 1, "and not the deployment's three");
    scene.comment(MAINTAINER, issue, "/orchestrate status").await;
    scene.answer(issue, "gate fixes 1 of 1").await;
    scene.idle(issue).await;
    scene.finish().await;
}

const NEVER_PLEASED: &str = r#"
  - name: safety objects whatever is done
    when:
      system: [{ regex: "whether it can do harm|whether it fits" }]
      last_message: ["hello, world"]
    answer:
      json:
        summary: This will not do.
        findings:
          - severity: CRITICAL
            path: greeting.txt
            start_line: 1
            end_line: 1
            title: The world is greeted
            why: Nobody asked the world.
            suggestion: null
  - name: the fixer says it louder
    when:
      system: ["You are an engineer who mends a change"]
      first_message: ["The world is greeted"]
    not_when: { called: [write_file] }
    answer:
      tool_calls: [{ name: write_file, arguments: { path: greeting.txt, content: "hello, world!\n" } }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_wants_fewer_review_rounds_gets_fewer() {
    let play = with_rules_of_its_own("limits: { review_rounds: 1 }\n");
    let scenario = Play::greeting().with_rules(NEVER_PLEASED).scenario;
    let scene = Scene::play(Play { scenario, ..play }).await;
    let issue = scene.approved_issue().await;
    let task = stopped(&scene, issue).await;
    let State::NeedsPerson { reason: Reason::BlockingFindings { rounds, .. }, .. } = &task.state else {
        panic!("{:?}", task.state)
    };
    assert_eq!(*rounds, 1, "and not the deployment's two");
    scene.idle(issue).await;
    scene.finish().await;
}

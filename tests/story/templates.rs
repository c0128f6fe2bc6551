//! What a repository's maintainers ask of every task of a kind is asked, whatever a model says.

use orchestrator::domain::{Reason, ReviewRound, State};
use orchestrator::simulator::surroundings::MAINTAINER;
use orchestrator::store::ArtifactKind;
use serde_json::json;

use crate::scene::{Play, Scene, wait};

const GREETINGS: &str = "when: Greetings.\nlabel: Salutation\nrequirements:\n  - The greeting is one line.\n\
                         acceptance_criteria:\n  - Every greeting is polite.\n  - '`sh check.sh` passes.'\n\
                         reviewers: [tone]\n";

/// The reviewer is shown the criterion that no model wrote.
const TONE: &str = r#"
  - name: the template's reviewer
    when:
      system: ["what the maintainers of the repository want looked for"]
      last_message: ["Greetings without an exclamation mark", "Every greeting is polite.", "hello, world"]
    answer: { json: { summary: It is polite enough., findings: [] } }
"#;

fn with_template(text: &str) -> Play {
    Play::greeting()
        .with_rules(TONE)
        .with_file(".orchestrator/reviewers/tone.md", "Greetings without an exclamation mark.\n")
        .with_file(".orchestrator/templates/greetings.yaml", text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_brings_the_templates_criteria_into_the_plan_and_its_reviewer_reviews() {
    let scene = Scene::play(with_template(GREETINGS)).await;
    scene.person(MAINTAINER, "POST", "/labels", json!({ "name": "salutation", "color": "ededed" })).await;
    let project = &scene.around.project;
    let issue = scene.around.open_issue(MAINTAINER, &project.issue_title, &project.issue_body).await;
    let issue = issue.expect("an issue");
    scene.around.label(MAINTAINER, issue, "salutation").await.expect("labelled");
    scene.label(issue).await;

    let plan = scene.plan_comment(issue, 1).await;
    let said = scene.get(&format!("/issues/comments/{plan}")).await;
    let said = said["body"].as_str().expect("a body");
    for line in ["- Every greeting is polite.", "- The greeting is one line.", "**Template**: `greetings`"] {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
    assert!(said.contains("The change is reviewed by `tone`."), "{said}");
    assert_eq!(said.matches("check.sh").count(), 1, "what the task says itself is not said twice: {said}");

    scene.react(MAINTAINER, plan, "+1").await;
    let task = scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let round = scene.store.latest_artifact(&task, ArtifactKind::Review).await.expect("the database");
    let round: ReviewRound = serde_json::from_slice(&round.expect("a review")).expect("as it was kept");
    let reviewed: Vec<_> = round.summaries.iter().map(|summary| summary.reviewer.as_str()).collect();
    assert_eq!((reviewed, round.failed.len()), (vec!["tone"], 0));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_cannot_be_used_stops_the_task_and_is_named() {
    let scene = Scene::play(with_template(&GREETINGS.replace("label", "lable"))).await;
    let issue = scene.labelled_issue().await;
    let task = wait("a person to be needed", || async {
        let task = scene.tasks(issue).await.into_iter().next()?;
        (task.state.name() == "needs_person").then_some(task)
    })
    .await;
    let State::NeedsPerson { reason: Reason::RulesUnusable { detail }, .. } = &task.state else {
        panic!("{:?}", task.state)
    };
    let told = ".orchestrator/templates/greetings.yaml:2:1: `lable`: unknown key; did you mean `label`?";
    assert_eq!(detail, told);
    scene.answer(issue, "The repository's own rules cannot be used for this task as they stand").await;
    scene.idle(issue).await;
    scene.finish().await;
}

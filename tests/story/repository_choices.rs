//! What a repository decides about workflows, models and stages, and what a label does; and the design of a large task.

use orchestrator::domain::{Answer, OptionalStage, State, SwitchedBy, SwitchedOff, Workflow};
use orchestrator::simulator::surroundings::MAINTAINER;
use orchestrator::store::ArtifactKind;
use serde_json::{Value, json};

use crate::scene::{Play, Scene, wait};

const GATES: &str = "gates:\n  - name: check\n    run: sh check.sh\n    kind: test\n";

fn choosing(play: Play, yaml: &str) -> Play {
    play.with_file(".orchestrator/config.yaml", &format!("{GATES}{yaml}"))
}

fn body(value: &Value) -> &str {
    value["body"].as_str().unwrap_or_default()
}

/// Which models were asked, and what.
fn prompts(scene: &Scene) -> Vec<(String, String)> {
    let model = |request: &Value| request["model"].as_str().unwrap_or_default().to_owned();
    let asked = scene.around.model.journal();
    asked.iter().map(|exchange| (model(&exchange.request), exchange.request.to_string())).collect()
}

fn asked_as<'a>(prompts: &'a [(String, String)], instructions: &str) -> Vec<&'a (String, String)> {
    prompts.iter().filter(|(_, prompt)| prompt.contains(instructions)).collect()
}

const REVIEWERS: &str = "You review a change before it is offered";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_without_reviews_gets_a_pull_request_that_says_so() {
    let scene = Scene::play(choosing(Play::greeting(), "stages: { review: off }\n")).await;
    let (issue, pull) = scene.pull_request().await;
    assert_eq!(scene.said(issue, "no reviewer will look at the change").await.len(), 1, "the plan says it");
    let text = scene.get(&format!("/pulls/{pull}")).await;
    let text = body(&text);
    assert!(text.contains("**Not reviewed.** No reviewer looked at this change"), "{text}");
    assert!(text.contains("switched off in the repository's rules"), "{text}");
    assert!(!text.contains("Reviewed by"), "{text}");
    let checks = scene.check_runs().await;
    assert_eq!(checks[0]["conclusion"], "neutral", "{checks:#?}");
    assert_eq!(checks[0]["output"]["title"], "Gates: 1 passed · Findings: not reviewed");
    assert_eq!(scene.list(&format!("/pulls/{pull}/reviews")).await, Vec::<Value>::new());
    assert_eq!(asked_as(&prompts(&scene), REVIEWERS).len(), 0, "nobody was asked");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_always_reviews_reviews_there_too() {
    let play = choosing(Play::greeting(), "stages: { review: off }\n");
    let scene = Scene::play(play.with_settings("stages: { review: always }\n")).await;
    let (issue, pull) = scene.pull_request().await;
    assert_eq!(scene.said(issue, "which this deployment does not allow: it takes place").await.len(), 1);
    assert!(body(&scene.get(&format!("/pulls/{pull}")).await).contains("Reviewed by"));
    assert_eq!(scene.list(&format!("/pulls/{pull}/reviews")).await.len(), 1);
    assert_eq!(asked_as(&prompts(&scene), REVIEWERS).len(), 3);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn findings_that_nobody_holds_against_the_code_are_said_to_be_so() {
    let scene = Scene::play(choosing(Play::greeting(), "stages: { verify: off }\n")).await;
    let (issue, pull) = scene.pull_request().await;
    let text = scene.get(&format!("/pulls/{pull}")).await;
    assert!(body(&text).contains("Nobody held them against the code"), "{}", body(&text));
    assert_eq!(
        asked_as(&prompts(&scene), "You hold what reviewers said of a change").len(),
        0,
        "the verifier was not asked"
    );
    let kept =
        scene.store.latest_artifact(&scene.task(issue).await, ArtifactKind::Review).await.expect("read");
    let round: orchestrator::domain::ReviewRound =
        serde_json::from_slice(&kept.expect("a round")).expect("a round");
    assert_eq!(round.findings.len(), 1, "what the reviewer found stands");
    let off = SwitchedOff { stage: OptionalStage::Verify, by: SwitchedBy::Repository };
    assert_eq!(round.switched_off, [off]);
    scene.finish().await;
}

const A_QUESTION: &str = r#"
  - name: the issue is a matter of opinion
    when: { system: ["You turn a report from an issue tracker into tasks"], any_message: ["Should the greeting stay"] }
    answer:
      json:
        kind: tasks
        understood: Somebody wonders whether the greeting should stay as it is.
        tasks:
          - title: Say whether the greeting should stay
            objective: Whoever asks knows whether the greeting should stay.
            requirements: ["The answer weighs both"]
            constraints: []
            acceptance_criteria: ["It says what speaks for it"]
            likely_files: []
            workflow: rag_qa
            risk: low
            size: small
            priority: normal
            depends_on: []
        questions: []
  - name: the router would have it computed
    when: { system: ["You decide how a task is worked on"] }
    answer: { json: { workflow: science, workers: [], controls: { use_debate: false, max_rounds: 1 } } }
  - name: the solver answers
    when: { system: ["you think a question through"], last_message: ["whether the greeting should stay"] }
    answer: { json: { look: [], answer: { text: "Keep it, and translate it.", citations: [] } } }
  - name: the critic is content
    when: { system: ["You are the critic of an answer"], last_message: ["translate it"] }
    answer: { json: { objections: [] } }
  - name: the verifier agrees
    when: { system: ["You say whether an answer holds"], last_message: ["translate it"] }
    answer: { json: { holds: true, why: "It follows." } }
"#;

fn question(settings: &str) -> Play {
    Play::greeting().with_rules(A_QUESTION).with_settings(settings)
}

/// An issue that asks a question and has these labels besides the one that starts work.
async fn labelled(scene: &Scene, labels: &[&str]) -> u64 {
    let title = "Should the greeting stay as it is?";
    let issue = scene.around.open_issue(MAINTAINER, title, "It has served us well.").await.expect("an issue");
    for label in labels {
        scene.person(MAINTAINER, "POST", "/labels", json!({ "name": label, "color": "ededed" })).await;
        scene.around.label(MAINTAINER, issue, label).await.expect("labelled");
    }
    scene.ingested().await;
    assert_eq!(scene.tasks(issue).await.len(), 0, "such a label alone starts nothing");
    scene.label(issue).await;
    issue
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_that_names_the_workflow_leads_there_without_a_router() {
    let scene = Scene::play(question("router: { enabled: true }\n")).await;
    let issue = labelled(&scene, &["auto:reasoning"]).await;
    let plan = scene.plan_comment(issue, 1).await;
    assert_eq!(scene.said(issue, "names the workflow; no router was asked").await.len(), 1);
    let asked = prompts(&scene);
    assert_eq!(asked_as(&asked, "You decide how a task is worked on").len(), 0);
    let discussed = asked_as(&asked, "You turn a report from an issue tracker into tasks");
    assert!(
        discussed[0].1.contains("A maintainer has named the workflow of every task"),
        "{}",
        discussed[0].1
    );
    scene.react(MAINTAINER, plan, "+1").await;
    let task = scene.until(issue, "answered").await;
    scene.answer(issue, "Keep it, and translate it.").await;
    scene.idle(issue).await;
    let kept = scene.store.latest_artifact(&task, ArtifactKind::Answer).await.expect("read");
    let answer: Answer = serde_json::from_slice(&kept.expect("an answer")).expect("an answer");
    assert_eq!((answer.workflow, answer.route), (Workflow::Reasoning, None));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_that_contradict_each_other_or_are_not_allowed_do_not_count() {
    let scene = Scene::play(question("workflows: [coding, rag_qa, reasoning]\n")).await;
    let issue = labelled(&scene, &["auto:reasoning", "auto:coding"]).await;
    scene.plan_comment(issue, 1).await;
    assert_eq!(scene.said(issue, "contradict each other, so none of them counts").await.len(), 1);
    let planned = |task: orchestrator::domain::Task| task.plan.expect("a plan").specification.workflow;
    assert_eq!(planned(scene.task(issue).await), Workflow::RagQa, "as the reading says");

    let path = format!("/issues/{issue}/labels/auto:coding");
    scene.person(MAINTAINER, "DELETE", &path, Value::Null).await;
    scene.comment(MAINTAINER, issue, "/orchestrate reject").await;
    scene.until(issue, "cancelled").await;
    scene.comment(MAINTAINER, issue, "/orchestrate retry").await;
    scene.plan_comment(issue, 2).await;
    assert_eq!(
        planned(scene.task(issue).await),
        Workflow::Reasoning,
        "labels count as the next reading finds them"
    );

    let issue = labelled(&scene, &["auto:science"]).await;
    scene.plan_comment(issue, 1).await;
    assert_eq!(scene.said(issue, "names a workflow that is not allowed here").await.len(), 1);
    assert_eq!(planned(scene.task(issue).await), Workflow::RagQa);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repositorys_workflows_bind_the_router_and_questions() {
    let play = choosing(question(""), "workflows: [coding, rag_qa]\nrouter: { enabled: true }\n");
    let scene = Scene::play(play).await;
    let issue = labelled(&scene, &[]).await;
    scene.plan_comment(issue, 1).await;
    let said = scene.said(issue, "Of the router's answer this was not taken").await;
    assert!(
        body(&said[0]).contains("science"),
        "the deployment has it, the repository does not: {}",
        body(&said[0])
    );
    scene.comment(MAINTAINER, issue, "/orchestrate ask reasoning: Should the greeting stay?").await;
    scene.answer(issue, "the workflow `reasoning` is not among those").await;
    scene.idle(issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repositorys_models_are_asked_there_and_what_is_not_allowed_is_told() {
    let models = "models:\n  roles:\n    implementer: [{ model: 'openai:gpt-5' }]\n    \
                  fixer: [{ model: 'openai:gpt-5' }, { model: 'evil:model' }]\n";
    let scene = Scene::play(choosing(Play::greeting(), models)).await;
    let (issue, _) = scene.pull_request().await;
    assert_eq!(scene.said(issue, "evil:model").await.len(), 1, "the plan tells it");
    let asked = prompts(&scene);
    let by = |instructions: &str| -> Vec<&str> {
        let mut models: Vec<&str> =
            asked_as(&asked, instructions).iter().map(|(model, _)| model.as_str()).collect();
        models.dedup();
        models
    };
    assert_eq!(by("You are an engineer who carries out one task"), ["gpt-5"]);
    assert_eq!(by("You are an engineer who mends a change"), ["gpt-5"]);
    assert_eq!(by("You turn a report from an issue tracker into tasks"), ["claude-sonnet-4-5"]);
    scene.finish().await;
}

const A_LARGE_TASK: &str = r#"
  - name: the issue becomes one large task
    when:
      system: ["You turn a report from an issue tracker into tasks"]
      any_message: ["The greeting leaves the world out"]
    answer:
      json:
        kind: tasks
        understood: The greeting has to name the world.
        tasks:
          - title: Greet the world
            objective: Whoever reads the greeting is greeted as part of the world.
            requirements: ["`greeting.txt` greets the world"]
            constraints: []
            acceptance_criteria: ["`sh check.sh` passes"]
            likely_files: [greeting.txt]
            workflow: coding
            risk: low
            size: large
            priority: normal
            depends_on: []
        questions: []
  - name: the design
    when: { system: ["You write the short design of a task"], last_message: ["Greet the world"] }
    answer: { json: { design: "One word is appended to the one line of greeting.txt; a second file was rejected." } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_task_is_designed_and_the_design_is_approved_and_worked_by() {
    let scene = Scene::play(Play::greeting().with_rules(A_LARGE_TASK)).await;
    let (issue, plan) = scene.planned_issue().await;
    let said = scene.said(issue, "a second file was rejected").await;
    assert_eq!(said.len(), 1);
    assert!(body(&said[0]).contains("**Design**"), "{}", body(&said[0]));
    scene.react(MAINTAINER, plan, "+1").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let asked = prompts(&scene);
    for reader in
        ["You are an engineer who carries out one task", "You are an engineer who mends a change", REVIEWERS]
    {
        let read = asked_as(&asked, reader);
        assert!(!read.is_empty(), "{reader}");
        assert!(read.iter().all(|(_, prompt)| prompt.contains("a second file was rejected")), "{reader}");
    }
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_without_designs_is_told_that_there_is_none() {
    let play = choosing(Play::greeting().with_rules(A_LARGE_TASK), "stages: { design: off }\n");
    let scene = Scene::play(play).await;
    let (issue, _) = scene.planned_issue().await;
    assert_eq!(scene.said(issue, "no design of this large task was made").await.len(), 1);
    let task = wait("the plan", || async { Some(scene.task(issue).await) }).await;
    assert_eq!(task.state, State::AwaitingApproval);
    assert_eq!(task.plan.expect("a plan").specification.prepared.design, "");
    assert_eq!(asked_as(&prompts(&scene), "You write the short design of a task").len(), 0);
    scene.finish().await;
}

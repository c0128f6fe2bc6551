//! Questions: in an issue, where a plan is approved first, and by `/orchestrate ask`.

use orchestrator::domain::{Answer, CitationFault, State, Task, Workflow};
use orchestrator::simulator::surroundings::{MAINTAINER, REPOSITORY};
use orchestrator::store::ArtifactKind;
use serde_json::Value;

use crate::scene::{Play, Scene, wait};
use crate::traces::export;

const RULES: &str = r#"
  - name: the issue is a question
    when: { system: ["You turn a report from an issue tracker into tasks"], any_message: ["How is the greeting checked"] }
    answer:
      json:
        kind: tasks
        understood: Somebody wants to know how the greeting is checked.
        tasks:
          - title: Say how the greeting is checked
            objective: Whoever asks knows how the greeting is checked.
            requirements: ["The answer names the file that checks"]
            constraints: []
            acceptance_criteria: ["Each claim has its place"]
            likely_files: []
            workflow: rag_qa
            risk: low
            size: small
            priority: normal
            depends_on: []
        questions: []
  - name: the file was read
    when:
      system: ["You answer a question about a repository"]
      last_message: ['name="read check.sh"', "echo 'greeting.txt lacks"]
    answer:
      json:
        look: []
        answer:
          text: "A script looks for the words [1]. In the evening it is laxer [2]."
          citations:
            - { number: 1, path: check.sh, start_line: 2, end_line: 3, quote: "grep -q 'hello,  world' greeting.txt && exit 0" }
            - { number: 2, path: greeting.txt, start_line: 1, end_line: 1, quote: "good evening" }
  - name: the file is to be read
    when: { system: ["You answer a question about a repository"], last_message: ["checked"] }
    answer:
      json: { look: [{ tool: read, path: check.sh }, { tool: search, pattern: "hello" }], answer: null }

  - name: the solver mends its answer
    when:
      system: ["you think a question through"]
      last_message: ["It forgets the other languages"]
    answer: { json: { look: [], answer: { text: "Keep it, and translate it.", citations: [] } } }
  - name: the solver answers
    when: { system: ["you think a question through"], last_message: ["Should the greeting stay"] }
    answer: { json: { look: [], answer: { text: "Keep it.", citations: [] } } }
  - name: the critic objects
    when: { system: ["You are the critic of an answer"], last_message: ["Keep it."] }
    answer: { json: { objections: ["It forgets the other languages."] } }
  - name: the critic is content
    when: { system: ["You are the critic of an answer"], last_message: [{ regex: "translate it|42001" }] }
    answer: { json: { objections: [] } }
  - name: the verifier agrees
    when: { system: ["You say whether an answer holds"], last_message: [{ regex: "translate it|42001" }] }
    answer: { json: { holds: true, why: "It follows." } }

  - name: the program has run
    when: { system: ["computed, measured or checked by numbers"], last_message: ["no network", "42001"] }
    answer: { json: { look: [], answer: { text: "It comes to 42001.", citations: [] } } }
  - name: a program is to run
    when: { system: ["computed, measured or checked by numbers"], last_message: ["How much is it"] }
    answer:
      json:
        look:
          - tool: python
            code: |
              import os, socket
              try:
                  socket.create_connection(("192.0.2.1", 80), 2)
                  print("a network")
              except OSError:
                  print("no network")
              print(len(open("greeting.txt").read()) * 7000 + 1)
              print(sorted(name for name in os.environ if "KEY" in name or "TOKEN" in name))
        answer: null
"#;

pub fn play() -> Play {
    Play::greeting().with_rules(RULES)
}

/// An issue that only asks something; [`ANSWER`] is what becomes of it.
pub async fn labelled_question(scene: &Scene) -> u64 {
    let text = "I see `check.sh`, and do not know who calls it.";
    let opened = scene.around.open_issue(MAINTAINER, "How is the greeting checked?", text);
    let issue = opened.await.expect("an issue");
    scene.label(issue).await;
    issue
}

pub const ANSWER: &str = "A script looks for the words";

async fn kept(scene: &Scene, task: &Task) -> Answer {
    let kept = scene.store.latest_artifact(task, ArtifactKind::Answer).await.expect("read");
    serde_json::from_slice(&kept.expect("an answer")).expect("an answer")
}

/// The question that was asked there, once it has come to its end.
async fn answered(scene: &Scene, on: u64) -> Task {
    let task = wait("the answer", || async {
        scene.questions(on).await.pop().filter(|task| task.stage().is_none())
    })
    .await;
    assert_eq!(task.state, State::Answered);
    scene.idle(on).await;
    task
}

fn body(comment: &serde_json::Value) -> &str {
    comment["body"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_in_an_issue_is_answered_once_it_is_approved_and_a_false_citation_is_dropped() {
    let scene = Scene::play(play()).await;
    let issue = labelled_question(&scene).await;
    let plan = scene.plan_comment(issue, 1).await;
    assert_eq!(scene.said(issue, "ends in an answer from the repository").await.len(), 1);
    scene.react(MAINTAINER, plan, "+1").await;
    let task = scene.until(issue, "answered").await;
    let comment = scene.answer(issue, ANSWER).await;
    scene.idle(issue).await;

    let answer = kept(&scene, &task).await;
    assert_eq!(answer.workflow, Workflow::RagQa);
    let sources: Vec<_> =
        answer.sources.iter().map(|s| (s.number, &*s.path, s.start_line, s.end_line)).collect();
    assert_eq!(sources, [(1, "check.sh", 1, 1)], "the lines are those where the words are");
    let dropped: Vec<_> = answer.dropped.iter().map(|d| (d.citation.number, d.fault)).collect();
    assert_eq!(dropped, [(2, CitationFault::NotThere)]);
    let body = body(&comment);
    let link = format!("/{REPOSITORY}/blob/{}/check.sh#L1-L1", answer.commit);
    assert!(body.contains(&link), "{link} in {body}");
    assert!(body.contains("1 of 2 citations was dropped"), "{body}");
    assert!(body.contains("dropped") && !body.contains("[2]. "), "{body}");
    scene.nothing_is_published().await;
    assert!(scene.store.usage_of(task.id).await.expect("usage").calls >= 3);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_write_asks_anywhere_and_strangers_nowhere() {
    let scene = Scene::play(play()).await;
    let issue =
        scene.around.open_issue(MAINTAINER, "A talk", "About this and that.").await.expect("an issue");
    scene.comment("mallory", issue, "/orchestrate ask How is the greeting checked?").await;
    scene.answer(issue, "is for people with write permission").await;
    assert!(scene.questions(issue).await.is_empty());
    assert!(scene.around.model.journal().is_empty(), "no model was asked");

    scene.comment(MAINTAINER, issue, "/orchestrate ask How is the greeting checked?").await;
    let task = answered(&scene, issue).await;
    let comment = scene.answer(issue, ANSWER).await;
    assert!(body(&comment).contains("asked: How is the greeting checked?"), "{}", body(&comment));
    assert!(scene.tasks(issue).await.is_empty(), "a question makes no task of the issue");
    assert_eq!(
        task.approval.and_then(|approval| approval.by).map(|by| by.login).as_deref(),
        Some(MAINTAINER)
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_on_a_pull_request_leaves_its_work_alone() {
    let scene = Scene::play(play()).await;
    let (issue, pull) = scene.pull_request().await;
    scene.comment(MAINTAINER, pull, "/orchestrate ask rag_qa: How is the greeting checked?").await;
    answered(&scene, pull).await;
    scene.answer(pull, "A script looks for the words").await;
    assert_eq!(scene.task(issue).await.state, State::PullRequestOpen);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reasoning_hears_its_critic_and_its_verifier() {
    let scene = Scene::play(play()).await;
    let issue = scene.around.open_issue(MAINTAINER, "A talk", "").await.expect("an issue");
    scene.comment(MAINTAINER, issue, "/orchestrate ask reasoning: Should the greeting stay as it is?").await;
    let task = answered(&scene, issue).await;
    let answer = kept(&scene, &task).await;
    assert_eq!((&*answer.text, answer.rounds, answer.objections.len()), ("Keep it, and translate it.", 1, 0));
    let comment = scene.answer(issue, "Keep it, and translate it.").await;
    assert!(body(&comment).contains("**Verified**"), "{}", body(&comment));
    assert!(!body(&comment).contains("Unsupported"), "thoughts need no place: {}", body(&comment));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn science_computes_in_a_sandbox_without_network_and_shows_how() {
    let scene = Scene::play(play()).await;
    let issue = scene.around.open_issue(MAINTAINER, "A talk", "").await.expect("an issue");
    scene.comment(MAINTAINER, issue, "/orchestrate ask science: How much is it?").await;
    let task = answered(&scene, issue).await;
    let answer = kept(&scene, &task).await;
    let output = &answer.computations[0].output;
    assert!(output.contains("no network") && output.contains("42001") && output.contains("[]"), "{output}");
    let comment = scene.answer(issue, "It comes to 42001.").await;
    let body = body(&comment);
    assert!(
        body.contains("<summary>What was computed: 1</summary>") && body.contains("* 7000 + 1"),
        "{body}"
    );
    scene.finish().await;
}

const A_ROUTER: &str = r#"
  - name: the router says junk
    when: { system: ["You decide how a task is worked on"], last_message: ["Say how the greeting is checked"] }
    answer:
      json:
        workflow: poetry
        workers: [{ role: solver, model: "evil:model" }, { role: king, model: "openai:gpt-5" }]
        controls: { use_debate: true, max_rounds: 9 }
  - name: the router finds a matter of opinion
    when: { system: ["You decide how a task is worked on"], last_message: ["Should the greeting stay"] }
    answer:
      json:
        workflow: reasoning
        workers: [{ role: critic, model: "openai:gpt-5" }]
        controls: { use_debate: true, max_rounds: 2 }
  - name: the router is silent
    when: { system: ["You decide how a task is worked on"] }
    answer: { text: "I would rather not say." }
"#;

fn routed_play() -> Play {
    let rules = format!("{A_ROUTER}{RULES}");
    Play::greeting().with_rules(&rules).with_settings("router: { enabled: true }\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_answers_junk_is_corrected_and_the_plan_says_so() {
    let scene = Scene::play(routed_play()).await;
    let text = "I see `check.sh`, and do not know who calls it.";
    let issue =
        scene.around.open_issue(MAINTAINER, "How is the greeting checked?", text).await.expect("an issue");
    scene.label(issue).await;
    let plan = scene.plan_comment(issue, 1).await;
    let said = scene.said(issue, "Of the router's answer this was not taken").await;
    assert_eq!(said.len(), 1);
    for part in ["poetry", "evil:model", "king", "9 rounds became 4", "up to 4 rounds with the critic"] {
        assert!(body(&said[0]).contains(part), "{part} in {}", body(&said[0]));
    }
    scene.react(MAINTAINER, plan, "+1").await;
    let task = scene.until(issue, "answered").await;
    scene.idle(issue).await;
    let plan = task.plan.expect("a plan");
    let route = plan.specification.prepared.route.expect("a route");
    assert_eq!((route.workflow, route.models.len(), route.corrected.len()), (Workflow::RagQa, 0, 4));
    let to = scene.folder().join("exported");
    let (code, said) = export(&scene, &[&task.id.to_string(), "--to", &to.display().to_string()]);
    assert_eq!(code, Some(0), "{said}");
    let decisions = std::fs::read_to_string(to.join("decisions.json")).expect("a file");
    let decisions: Value = serde_json::from_str(&decisions).expect("JSON");
    assert_eq!(decisions["route"], serde_json::to_value(&route).expect("JSON"), "{decisions}");
    assert_eq!(decisions["routes"][0]["name"], "route-1.json", "{decisions}");
    assert_eq!(decisions["routes"][0]["route"]["corrected"].as_array().map(Vec::len), Some(4), "{decisions}");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_names_no_workflow_is_routed_and_one_that_does_is_not() {
    let scene = Scene::play(routed_play()).await;
    let issue = scene.around.open_issue(MAINTAINER, "A talk", "").await.expect("an issue");
    scene.comment(MAINTAINER, issue, "/orchestrate ask Should the greeting stay as it is?").await;
    let task = answered(&scene, issue).await;
    let answer = kept(&scene, &task).await;
    assert_eq!((answer.workflow, answer.rounds), (Workflow::Reasoning, 1));
    let route = answer.route.expect("a route");
    assert_eq!((route.controls.most_rounds(), route.corrected.len()), (2, 0));
    let comment = scene.answer(issue, "Keep it, and translate it.").await;
    assert!(body(&comment).contains("**Routed**"), "{}", body(&comment));

    scene.comment(MAINTAINER, issue, "/orchestrate ask rag_qa: How is the greeting checked?").await;
    wait("the second answer", || async {
        let asked = scene.questions(issue).await;
        asked.iter().filter(|task| task.state == State::Answered).nth(1).map(|_| ())
    })
    .await;
    scene.idle(issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_that_the_deployment_does_not_allow_is_not_done() {
    let scene = Scene::play(play().with_settings("workflows: [coding, rag_qa]\n")).await;
    let issue = scene.around.open_issue(MAINTAINER, "A talk", "").await.expect("an issue");
    scene.comment(MAINTAINER, issue, "/orchestrate ask science: How much is it?").await;
    scene.answer(issue, "the workflow `science` is not among those").await;
    assert!(scene.around.model.journal().is_empty(), "no model was asked");
    scene.finish().await;
}

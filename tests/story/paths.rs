//! What a change may not touch, and what it may not do to tests: the model that does it, the fence that holds
//! it, and the plan that opens it.

use orchestrator::domain::{FixCause, Reason, Resume, State, Task};
use orchestrator::simulator::surroundings::REPOSITORY;
use orchestrator::store::ArtifactKind;
use serde_json::Value;

use crate::scene::{Play, Scene};

const ONE_ROUND: &str = "limits: { gate_rounds: 1, review_rounds: 1 }";

/// A plan like the story's own, with one list of it filled.
fn plan(list: &str, path: &str) -> String {
    format!(
        r#"
  - name: the issue becomes a task that opens a file
    when:
      system: ["You turn a report from an issue tracker into tasks"]
      any_message: ["The greeting leaves the world out", ".github/**"]
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
            {list}: ["{path}"]
            workflow: coding
            risk: low
            size: small
            priority: normal
            depends_on: []
        questions: []
"#
    )
}

/// An implementer that mends the greeting and writes one more file, whatever it is told.
fn writes_too(path: &str, content: &str) -> String {
    let content = serde_json::to_string(content).expect("JSON");
    format!(
        r#"
  - name: greet the world, and more
    when:
      system: ["You are an engineer who carries out one task"]
      first_message: ["Greet the world"]
    not_when: {{ called: [write_file] }}
    answer:
      tool_calls:
        - {{ name: write_file, arguments: {{ path: greeting.txt, content: "hello, world\n" }} }}
        - {{ name: write_file, arguments: {{ path: "{path}", content: {content} }} }}
  - name: nothing is wrong with it
    when:
      system: ["You are an engineer who carries out one task"]
      any_message: ["{path} was"]
    answer:
      tool_calls:
        - name: finish
          arguments: {{ summary: The greeting names the world., commit_subject: Greet the world }}
"#
    )
}

/// A fixer that says that it is done and did nothing to the tests.
const STUBBORN: &str = r#"
  - name: the fixer sees no fault
    when:
      system: ["You are an engineer who mends a change"]
      first_message: ["test guard"]
    not_when: { called: [write_file] }
    answer:
      tool_calls: [{ name: write_file, arguments: { path: greeting.txt, content: "hello, world!\n" } }]
"#;

/// Tests that the story's gate runs: every line of a test is a text that the greeting has to have.
const TESTS: &str = "def test_greets():\n    text = open('greeting.txt').read()\n    assert text.strip()\n    assert 'hello' in text\n";
const WEAKER: &str = "def test_greets():\n    text = open('greeting.txt').read()\n    assert text.strip()\n";

async fn refused(scene: &Scene, issue: u64) -> String {
    let task = scene.until(issue, "needs_person").await;
    let State::NeedsPerson { reason: Reason::ChangeRefused { detail }, .. } = &task.state else {
        panic!("{:?}", task.state)
    };
    assert_eq!(task.head, None, "what is refused is nobody's work to go on from");
    scene.idle(issue).await;
    scene.nothing_is_published().await;
    let patch = scene.store.latest_artifact(&task, ArtifactKind::Patch).await.expect("an answer");
    let patch = String::from_utf8(patch.expect("a patch")).expect("text");
    assert!(patch.contains("+hello, world"), "the work is kept: {patch}");
    let said = said(scene, issue).await;
    for part in ["refused", "as a patch", "+hello, world", "/orchestrate retry"] {
        assert!(said.contains(part), "the issue lacks {part:?}: {said}");
    }
    assert_eq!(scene.mails().len(), 2, "the plan, and the stop: {:?}", scene.mails());
    detail.clone()
}

async fn said(scene: &Scene, issue: u64) -> String {
    scene.answer(issue, "This needs a person").await["body"].as_str().unwrap_or_default().to_owned()
}

/// The texts of all requests to models.
fn asked(scene: &Scene) -> Vec<String> {
    scene.around.model.journal().iter().map(|entry| entry.request.to_string()).collect()
}

async fn file(scene: &Scene, task: &Task, path: &str) -> Option<Vec<u8>> {
    let branch = task.branch.as_ref().expect("a branch");
    scene.around.github.admin().file(REPOSITORY, branch.as_str(), path).expect("readable")
}

async fn published(scene: &Scene, issue: u64) -> (Task, String) {
    let task = scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let number = task.pull_request.expect("a pull request").0;
    let pull: Value = scene.get(&format!("/pulls/{number}")).await;
    (task, pull["body"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_or_a_lock_file_that_no_plan_names_is_not_pushed() {
    for (path, content, rule) in [
        (".github/workflows/ci.yml", "on: push\n", "protected (.github/**)"),
        (".GitHub/workflows/ci.yml", "on: push\n", "protected (.github/**)"),
        ("docs/AGENTS.md", "Obey.\n", "it instructs agents"),
        ("Cargo.lock", "version = 4\n", "lock file"),
    ] {
        let scene = Scene::play(Play::greeting().with_rules(&writes_too(path, content))).await;
        let issue = scene.approved_issue().await;
        let detail = refused(&scene, issue).await;
        assert!(detail.contains(path) && detail.contains(rule), "{detail}");
        let told =
            asked(&scene).iter().filter(|text| text.contains("The change cannot be taken as it is")).count();
        assert_eq!(told, 1, "the model is told once");
        scene.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_file_that_the_approved_plan_names_is_pushed_and_no_other_file_with_it() {
    // A workflow itself needs one more permission of the App, which GitHub asks for at the push.
    let path = ".github/dependabot.yml";
    let rules = format!("{}{}", plan("protected_files", path), writes_too(path, "version: 2\n"));
    let scene = Scene::play(Play::greeting().with_rules(&rules)).await;
    let issue = scene.approved_issue().await;
    let (task, _) = published(&scene, issue).await;
    assert_eq!(file(&scene, &task, path).await.as_deref(), Some(&b"version: 2\n"[..]));
    let plan_comment = scene.said(issue, "asks to change protected files").await;
    assert_eq!(plan_comment.len(), 1, "who approves sees what it opens");
    assert!(plan_comment[0]["body"].as_str().is_some_and(|body| body.contains(path)));
    scene.finish().await;

    let other = format!("{}{}", plan("protected_files", path), writes_too("CODEOWNERS", "* @bot\n"));
    let scene = Scene::play(Play::greeting().with_rules(&other)).await;
    let issue = scene.approved_issue().await;
    assert!(refused(&scene, issue).await.contains("CODEOWNERS"));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_mends_what_it_was_told_is_pushed() {
    let mends = r#"
  - name: take it back
    when:
      system: ["You are an engineer who carries out one task"]
      last_message: ["The change cannot be taken as it is", ".cursorrules"]
    answer:
      tool_calls: [{ name: delete_file, arguments: { path: .cursorrules } }]
  - name: taken back
    when:
      system: ["You are an engineer who carries out one task"]
      last_message: [".cursorrules was deleted"]
    answer:
      tool_calls:
        - name: finish
          arguments: { summary: The greeting names the world., commit_subject: Greet the world }
"#;
    let rules = format!("{mends}{}", writes_too(".cursorrules", "Obey.\n"));
    let scene = Scene::play(Play::greeting().with_rules(&rules)).await;
    let issue = scene.approved_issue().await;
    let (task, _) = published(&scene, issue).await;
    assert_eq!(file(&scene, &task, ".cursorrules").await, None);
    assert_eq!(file(&scene, &task, "greeting.txt").await.as_deref(), Some(&b"hello, world\n"[..]));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fixer_passes_the_same_fence() {
    let rules = r#"
  - name: the fixer mends the gate's workflow, too
    when:
      system: ["You are an engineer who mends a change"]
      first_message: ["exit code 1"]
    not_when: { called: [write_file] }
    answer:
      tool_calls:
        - { name: write_file, arguments: { path: greeting.txt, content: "hello, world\n" } }
        - { name: write_file, arguments: { path: .orchestrator/config.yaml, content: "gates: []\n" } }
  - name: nothing is wrong with it
    when:
      system: ["You are an engineer who mends a change"]
      any_message: [".orchestrator/config.yaml was"]
    answer:
      tool_calls:
        - name: finish
          arguments: { summary: The gate is content., commit_subject: Please the gate }
"#;
    let scene = Scene::play(Play::greeting().with_rules(rules)).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "needs_person").await;
    let State::NeedsPerson { reason: Reason::ChangeRefused { detail }, resume } = &task.state else {
        panic!("{:?}", task.state)
    };
    assert!(detail.contains(".orchestrator/config.yaml"), "{detail}");
    assert_eq!(*resume, Resume::Fix(FixCause::Gates), "refused where it was made");
    scene.idle(issue).await;
    scene.nothing_is_published().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_protected_meanwhile_is_not_published() {
    let slow = "sleep 10\ngrep -q 'hello, world' greeting.txt\n";
    let play = Play::greeting().with_rules(&writes_too("notes.txt", "x\n")).with_file("check.sh", slow);
    let mut scene = Scene::play(play).await;
    let issue = scene.approved_issue().await;
    scene.until(issue, "gating").await;
    scene.redeploy("paths: { protected: ['notes.*'] }").await;
    let task = scene.until(issue, "needs_person").await;
    let State::NeedsPerson { reason: Reason::ChangeRefused { detail }, resume: Resume::Publish } =
        &task.state
    else {
        panic!("{:?}", task.state)
    };
    assert!(detail.contains("notes.txt") && detail.contains("deployment protects it"), "{detail}");
    scene.idle(issue).await;
    scene.nothing_is_published().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limits_of_deployment_and_repository_hold_both() {
    let policy =
        "gates:\n  - name: check\n    run: sh check.sh\npaths:\n  allowed: [greeting.txt, notes/**]\n";
    let settings = "paths: { max_lines: 5 }";
    let long = "a line\n".repeat(20);
    for (path, content, rule) in [
        ("other.txt", "x\n", "other.txt: it lies outside of what may be changed (greeting.txt, notes/**)"),
        ("notes/long.txt", long.as_str(), "there are 22 lines added and removed; the limit is 5"),
    ] {
        let play = Play::greeting().with_rules(&writes_too(path, content)).with_settings(settings);
        let scene = Scene::play(play.with_file(".orchestrator/config.yaml", policy)).await;
        let issue = scene.approved_issue().await;
        assert_eq!(refused(&scene, issue).await, rule);
        scene.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_assertion_goes_to_the_fixer_and_then_to_a_person() {
    let rules = format!("{}{STUBBORN}", writes_too("tests/test_greeting.py", WEAKER));
    let play = Play::greeting().with_rules(&rules).with_settings(ONE_ROUND);
    let scene = Scene::play(play.with_file("tests/test_greeting.py", TESTS)).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "needs_person").await;
    let State::NeedsPerson { reason, .. } = &task.state else { unreachable!("asked for") };
    assert_eq!(*reason, Reason::BlockingFindings { count: 1, rounds: 1 });
    scene.idle(issue).await;
    scene.nothing_is_published().await;
    let said = said(&scene, issue).await;
    for part in ["tests/test_greeting.py", "asserts less", "-    assert 'hello' in text"] {
        assert!(said.contains(part), "the issue lacks {part:?}: {said}");
    }
    let fixer = asked(&scene).into_iter().find(|text| text.contains("who mends a change"));
    assert!(fixer.is_some_and(|text| text.contains("asserts less")), "the fixer is told");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_that_the_plan_is_about_may_assert_less_and_is_shown() {
    let path = "tests/test_greeting.py";
    let rules = format!("{}{}", plan("altered_tests", path), writes_too(path, WEAKER));
    let scene = Scene::play(Play::greeting().with_rules(&rules).with_file(path, TESTS)).await;
    let issue = scene.approved_issue().await;
    let (task, body) = published(&scene, issue).await;
    assert_eq!(file(&scene, &task, path).await.as_deref(), Some(WEAKER.as_bytes()));
    for part in ["Please look at these first", path, "asserts less", "The approved plan says"] {
        assert!(body.contains(part), "the pull request lacks {part:?}: {body}");
    }
    assert_eq!(scene.said(issue, "asks to change what existing tests").await.len(), 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_passes_with_changed_tests_only_does_not_pass() {
    // The gate runs what lies in tests/, which the change empties.
    let policy = "gates:\n  - { name: check, kind: test, run: 'for test in tests/*.sh; do sh $test || exit 1; done' }\n";
    let rules = r#"
  - name: the fixer is told what failed
    when:
      system: ["You are an engineer who mends a change"]
      first_message: ["with the tests as they were", "it lacks the moon"]
    not_when: { called: [write_file] }
    answer:
      tool_calls:
        - { name: write_file, arguments: { path: greeting.txt, content: "hello, world and moon\n" } }
        - { name: write_file, arguments: { path: tests/moon.sh, content: "grep -q moon greeting.txt || { echo 'it lacks the moon'; exit 1; }\n" } }
  - name: mended with its test put back
    when:
      system: ["You are an engineer who mends a change"]
      last_message: ["tests/moon.sh was"]
    answer:
      tool_calls:
        - name: finish
          arguments: { summary: The moon is there., commit_subject: Greet the moon }
"#;
    let moon = "grep -q moon greeting.txt || { echo 'it lacks the moon'; exit 1; }\n";
    let rules = format!("{rules}{}", writes_too("tests/moon.sh", "exit 0\n"));
    let play = Play::greeting().with_rules(&rules).with_settings(ONE_ROUND);
    let play = play.with_file("tests/moon.sh", moon).with_file(".orchestrator/config.yaml", policy);
    let scene = Scene::play(play).await;
    let issue = scene.approved_issue().await;
    let (task, body) = published(&scene, issue).await;
    assert_eq!(task.gate_rounds, 1);
    assert_eq!(file(&scene, &task, "tests/moon.sh").await.as_deref(), Some(moon.as_bytes()));
    assert!(!body.contains("with the tests as they were"), "the test is as it was, so it ran once: {body}");
    scene.finish().await;
}

//! The other engines on the whole product: an answer with all edits, an agent's own command line; and what a new
//! attempt is told of the one before.

use std::path::PathBuf;

use orchestrator::domain::{Choice, Reason, State};
use orchestrator::simulator::surroundings::{MAINTAINER, WEBHOOK_SECRET};
use orchestrator::store::ArtifactKind;

use crate::scene::{Play, Scene};
use crate::traces::export;

/// The first answer names text that is not there, the second is right but for a comma, which the gate misses.
const AT_ONCE: &str = r#"
  - name: the edit is repaired
    when:
      system: ["in a single answer, without tools"]
      last_message: ["greeting.txt", "This is not right yet"]
    answer:
      json:
        summary: The greeting names the world.
        commit_subject: Greet the world
        code: [{ path: greeting.txt, old: "hello", new: "hello world" }]
        tests: []
  - name: an edit that does not fit
    when:
      system: ["who carries out one task in a repository in a single answer"]
      first_message: ["Greet the world", "<data name=\"greeting.txt\">\nhello\n</data>", "Talk plainly."]
    answer:
      json:
        summary: The greeting names the world.
        commit_subject: Greet the world
        code: [{ path: greeting.txt, old: "good morning", new: "hello world" }]
        tests: [{ path: greeting.test, old: null, new: "hello world\n" }]
  - name: the comma
    when:
      system: ["who mends a change that is not right yet, in a single answer"]
      first_message: ["greeting.txt lacks \"hello, world\"", "<data name=\"greeting.txt\">\nhello world\n</data>"]
    answer:
      json:
        summary: The comma is there.
        commit_subject: Set the comma
        code: [{ path: greeting.txt, old: null, new: "hello, world\n" }]
        tests: []
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_in_one_answer_is_repaired_gated_mended_and_published() {
    let play = Play::greeting()
        .with_rules(AT_ONCE)
        .with_file("AGENTS.md", "Talk plainly.\n")
        .with_settings("implementer: { engine: single_shot }");
    let scene = Scene::play(play).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    scene.one_of_each(issue).await;
    let calls = scene.store.model_calls(task.id).await.expect("calls");
    let stages: Vec<&str> = calls.iter().map(|(_, call)| call.stage.as_str()).collect();
    assert_eq!(stages.iter().filter(|stage| **stage == "implement").count(), 2, "{stages:?}");
    assert_eq!(stages.iter().filter(|stage| **stage == "fix").count(), 1, "{stages:?}");
    let patch = scene.store.latest_artifact(&task, ArtifactKind::Patch).await.expect("an answer");
    let patch = String::from_utf8(patch.expect("a patch")).expect("text");
    assert!(patch.contains("+hello, world") && !patch.contains("greeting.test"), "all or none: {patch}");
    scene.finish().await;
}

/// What the tests' agent is answered, which calls its tools `write_file` and `run`.
const AGENT: &str = r#"
  - name: the agent has mended it
    when: { system: ["You are an agent."], first_message: ["You mend a change"], called: [write_file] }
    answer: { text: "The comma was missing. It is there now." }
  - name: the agent mends
    when: { system: ["You are an agent."], first_message: ["You mend a change", "greeting.txt lacks"] }
    answer: { tool_calls: [{ name: write_file, arguments: { path: greeting.txt, content: "hello, world\n" } }] }
  - name: the agent has written
    when: { system: ["You are an agent."], called: [write_file] }
    answer: { text: "The greeting names the world." }
  - name: the agent writes
    when: { system: ["You are an agent."], first_message: ["You carry out one task", "Greet the world"] }
    answer: { tool_calls: [{ name: write_file, arguments: { path: greeting.txt, content: "hello world\n" } }] }
"#;

fn agent_program() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/engines/agent.py")
}

/// A deployment that has the command `greeter`, and a repository that may choose it.
fn with_agent(mode: &str, policy: &str, more: &str) -> Play {
    let program = agent_program();
    let program = program.display();
    let settings = format!(
        r#"
implementer:
  {more}
  commands:
    greeter:
      argv: [/usr/bin/python3, "{program}", {mode}, "{{model}}", "{{prompt}}"]
      env: {{ ANTHROPIC_BASE_URL: "{{proxy_url}}", ANTHROPIC_API_KEY: "{{key}}" }}
      mounts: ["{program}"]
"#
    );
    let gates = "gates:\n  - name: check\n    run: sh check.sh\n";
    Play::greeting()
        .with_rules(AGENT)
        .with_settings(&settings)
        .with_file(".orchestrator/config.yaml", &format!("{gates}implementer: {policy}\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_own_command_writes_and_mends_and_its_calls_are_in_the_books() {
    let play = with_agent("anthropic", "{ engine: command, command: greeter }", "engine: tool_loop");
    let scene = Scene::play(play).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    scene.one_of_each(issue).await;
    let calls = scene.store.model_calls(task.id).await.expect("calls");
    let of = |stage: &str| calls.iter().filter(|(_, call)| call.stage == stage).count();
    assert_eq!((of("implement"), of("fix")), (2, 2));
    // What was recorded is what the server counted, the agent's calls included.
    let recorded: u64 = calls.iter().map(|(_, call)| call.usage.tokens()).sum();
    let counted: u64 = scene
        .around
        .model
        .journal()
        .iter()
        .map(|exchange| exchange.counted.input + exchange.counted.cached + exchange.counted.output)
        .sum();
    assert_eq!(recorded, counted);
    let log = scene.store.latest_artifact(&task, ArtifactKind::AgentLog).await.expect("an answer");
    let log = String::from_utf8(log.expect("a log")).expect("text");
    assert!(log.contains("command greeter: exit code 0") && log.contains("The comma was missing."), "{log}");
    assert!(!log.contains(scene.around.model.api_key()), "{log}");
    // What was said in them is there to be read, each in its place.
    let to = scene.folder().join("exported");
    let (code, said) = export(&scene, &[&task.id.to_string(), "--to", &to.display().to_string()]);
    assert_eq!(code, Some(0), "{said}");
    let read =
        |at: usize| std::fs::read_to_string(to.join(format!("calls/{:03}.md", at + 1))).expect("a call");
    let of =
        |stage: &str| (0..calls.len()).filter(|at| calls[*at].1.stage == stage).map(read).collect::<Vec<_>>();
    let (written, mended) = (of("implement"), of("fix"));
    assert!(
        written[0].contains("You are an agent.") && written[0].contains("Calls `write_file`"),
        "{}",
        written[0]
    );
    assert!(written[1].contains("This goes on from") && written[1].contains("written"), "{}", written[1]);
    assert!(mended[1].contains("The comma was missing. It is there now."), "{}", mended[1]);
    let readme = std::fs::read_to_string(to.join("README.md")).expect("a file");
    assert!(!readme.contains("the texts are not"), "{readme}");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_runs_out_of_its_budget_has_its_work_kept() {
    // The plan and the agent's first call fit, and its second does not: each may write 800 tokens.
    let budget = "limits: { task_tokens: 5200 }\nmodels: { default: [{ model: \"anthropic:claude-sonnet-4-5\", max_tokens: 512 }] }";
    let play = with_agent("anthropic", "{ engine: command }", "engine: command").with_settings("");
    let scene = Scene::play(Play { settings: format!("{}\n{budget}", play.settings), ..play }).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "needs_person").await;
    let State::NeedsPerson { reason: Reason::BudgetReached { detail, .. }, .. } = &task.state else {
        panic!("{:?}", task.state)
    };
    assert!(detail.contains("the budget of this task"), "{detail}");
    let spent = scene.store.usage_of(task.id).await.expect("usage");
    assert!(spent.tokens() <= 5_200, "{spent:?}");
    let log = scene.store.latest_artifact(&task, ArtifactKind::AgentLog).await.expect("an answer");
    let log = String::from_utf8(log.expect("a log")).expect("text");
    assert!(log.contains("refused: 402 /v1/messages"), "{log}");
    scene.answer(issue, "This needs a person").await;
    scene.idle(issue).await;
    scene.nothing_is_published().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_fails_by_itself_is_told_as_such_with_its_last_words() {
    let scene = Scene::play(with_agent("fail", "{ engine: command }", "engine: command")).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "needs_person").await;
    let State::NeedsPerson { reason: Reason::AgentFailed { command, ended, said }, .. } = &task.state else {
        panic!("{:?}", task.state)
    };
    assert_eq!((command.as_str(), ended.as_str()), ("greeter", "exit code 7"));
    assert_eq!(
        said,
        "standard output:\nI cannot work with [redacted].\nstandard error:\nfatal: no configuration"
    );
    let log = scene.store.latest_artifact(&task, ArtifactKind::AgentLog).await.expect("an answer");
    let log = String::from_utf8(log.expect("a log")).expect("text");
    assert!(log.contains("exit code 7") && !log.contains(WEBHOOK_SECRET), "{log}");
    scene.answer(issue, "it ended with exit code 7").await;
    scene.answer(issue, "fatal: no configuration").await;
    scene.answer(issue, "`agent.log`").await;
    scene.idle(issue).await;
    scene.nothing_is_published().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_the_deployment_does_not_allow_is_not_to_be_had() {
    let play = with_agent("anthropic", "{ engine: command }", "allowed: [tool_loop]");
    let scene = Scene::play(play).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "needs_person").await;
    let State::NeedsPerson { reason: Reason::RulesUnusable { detail }, .. } = &task.state else {
        panic!("{:?}", task.state)
    };
    assert!(
        detail.contains("`command`, which this deployment does not allow; it allows tool_loop"),
        "{detail}"
    );
    scene.answer(issue, "This needs a person").await;
    scene.idle(issue).await;
    scene.nothing_is_published().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_names_the_prompt_that_its_candidates_were_written_by() {
    let play = Play::greeting()
        .with_rules(AT_ONCE)
        .with_file("AGENTS.md", "Talk plainly.\n")
        .with_settings("implementer: { engine: single_shot, candidates: 2 }");
    let scene = Scene::play(play).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let choice = scene.store.latest_artifact(&task, ArtifactKind::Choice).await.expect("an answer");
    let choice: Choice = serde_json::from_slice(&choice.expect("a choice")).expect("readable");
    let calls = scene.store.model_calls(task.id).await.expect("calls");
    let mut used = calls.iter().filter(|(_, call)| call.stage == "implement");
    let used = used.find_map(|(_, call)| call.prompt.as_ref()).expect("a prompt");
    assert_eq!((choice.prompt.as_str(), choice.prompt_version), (used.name.as_str(), used.version));
    assert_eq!(choice.prompt, "single_shot");
    scene.finish().await;
}

const TELLS_AND_LEARNS: &str = r#"
  - name: it talks and does nothing
    when:
      system: ["You are an engineer who carries out one task"]
      first_message: ["Greet the world"]
    not_when: { first_message: ["An attempt stopped: no usable answer"] }
    answer: { text: "I would greet the world." }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_attempt_reads_why_the_one_before_stopped() {
    let scene = Scene::play(Play::greeting().with_rules(TELLS_AND_LEARNS)).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "needs_person").await;
    assert!(
        matches!(&task.state, State::NeedsPerson { reason: Reason::ModelJunk { .. }, .. }),
        "{:?}",
        task.state
    );
    scene.answer(issue, "This needs a person").await;
    // Of a version that kept its reports in another form.
    scene
        .sql(
            "INSERT INTO artifacts (task_id, kind, version, name, body)
             SELECT id, 'gates', version, 'gates.json', 'of old' FROM tasks",
        )
        .await;
    let before = scene.around.model.journal().len();
    scene.comment(MAINTAINER, issue, "/orchestrate retry").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let journal = scene.around.model.journal();
    let mut asked = journal[before..].iter().map(|exchange| exchange.request.to_string());
    let first = asked.find(|asked| asked.contains("You are an engineer who carries out one task"));
    let first = first.expect("it was asked again");
    for told in [
        "An attempt stopped: no usable answer",
        "3 turns without a tool call",
        "what they said cannot be read any more",
    ] {
        assert!(first.contains(told), "{told:?} is not told: {first}");
    }
    scene.finish().await;
}

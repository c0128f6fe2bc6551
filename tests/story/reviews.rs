//! Who reviews, what is dropped, what is tried in vain, and which of several candidates goes on.

use std::collections::BTreeMap;

use orchestrator::domain::{Choice, DecidedBy, ReviewRound, Task};
use orchestrator::simulator::surroundings::MAINTAINER;
use orchestrator::store::ArtifactKind;
use serde_json::{Value, json};

use crate::scene::{PROGRAM, Play, Scene, wait};

async fn newest<T: serde::de::DeserializeOwned>(scene: &Scene, task: &Task, kind: ArtifactKind) -> T {
    let body = scene.store.latest_artifact(task, kind).await.expect("the database").expect("an artifact");
    serde_json::from_slice(&body).expect("as it was kept")
}

async fn text_of_pull(scene: &Scene, pull: u64) -> String {
    let pull = scene.get(&format!("/pulls/{pull}")).await;
    pull["body"].as_str().unwrap_or_default().to_owned()
}

/// The story told by the script alone: no request came without the evidence that its answer asks for.
fn nothing_was_refused(scene: &Scene) {
    let refusals: Vec<_> = scene.around.model.journal().into_iter().filter_map(|e| e.refusal).collect();
    assert_eq!(refusals, Vec::<String>::new());
}

const A_GHOST: &str = r#"
  - name: safety sees a ghost
    when: { system: ["whether it can do harm"], last_message: ["hello, world"] }
    answer:
      json:
        summary: Nobody is greeted.
        findings:
          - severity: CRITICAL
            path: greeting.txt
            start_line: 1
            end_line: 1
            title: The world is not greeted
            why: The line greets nobody.
            suggestion: null
  - name: the verifier reads the line
    when:
      system: ["You hold what reviewers said of a change against the code"]
      last_message: ["Finding 1: CRITICAL at greeting.txt:1-1: The world is not greeted", "Finding 2: LOW"]
    answer:
      json:
        verdicts:
          - { finding: 1, holds: false, why: The line greets the world., proof: "hello, world" }
          - { finding: 2, holds: true, why: It is in English., proof: null }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_finding_that_does_not_hold_costs_no_round_and_is_shown_as_dropped() {
    let scene = Scene::play(Play::greeting().with_rules(A_GHOST)).await;
    let (issue, pull) = scene.pull_request().await;
    let task = scene.task(issue).await;
    assert_eq!(task.review_rounds, 0, "nothing had to be mended");
    let round: ReviewRound = newest(&scene, &task, ArtifactKind::Review).await;
    let dropped: Vec<_> = round.dropped.iter().map(|it| (&*it.finding.title, &*it.why, &*it.proof)).collect();
    assert_eq!(dropped, [("The world is not greeted", "The line greets the world.", "hello, world")]);
    assert_eq!((round.open().count(), &round.unverified), (1, &None));
    let body = text_of_pull(&scene, pull).await;
    assert!(body.contains("<summary>Findings that do not hold, as the code shows: 1</summary>"), "{body}");
    assert!(body.contains("The world is not greeted"), "{body}");
    let inline = scene.list(&format!("/pulls/{pull}/comments")).await;
    assert_eq!(inline.len(), 1, "what was dropped is no comment at a line");
    nothing_was_refused(&scene);
    scene.finish().await;
}

const TONE: &str = r#"
  - name: the repository's own reviewer
    when:
      system: ["what the maintainers of the repository want looked for"]
      last_message: ["Greetings without an exclamation mark", "hello, world"]
    answer:
      json:
        summary: It sounds bored.
        findings:
          - severity: MEDIUM
            path: greeting.txt
            start_line: 1
            end_line: 1
            title: There is no exclamation mark
            why: The maintainers want one.
            suggestion: "hello, world!"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repositorys_own_reviewer_joins_and_a_file_that_says_nothing_is_reported() {
    let play = Play::greeting()
        .with_rules(TONE)
        .with_file(".orchestrator/reviewers/tone.md", "Greetings without an exclamation mark.\n")
        .with_file(".orchestrator/reviewers/void.md", " \n")
        .with_file(".orchestrator/reviewers/notes.txt", "This is no reviewer.\n");
    let scene = Scene::play(play).await;
    let (issue, pull) = scene.pull_request().await;
    let round: ReviewRound = newest(&scene, &scene.task(issue).await, ArtifactKind::Review).await;
    let reviewed: Vec<_> = round.summaries.iter().map(|summary| summary.reviewer.as_str()).collect();
    assert_eq!(reviewed, ["safety", "architecture", "quality", "tone"]);
    let failed: Vec<_> = round.failed.iter().map(|failed| (&*failed.reviewer, &*failed.why)).collect();
    let empty = ".orchestrator/reviewers/void.md is empty: it has to say what to look for";
    assert_eq!(failed, [("void", empty)]);
    let body = text_of_pull(&scene, pull).await;
    let who = "Reviewed by `safety`, `architecture`, `quality`, `tone`; no usable answer from `void`";
    assert!(body.contains(who), "{body}");
    let inline = scene.list(&format!("/pulls/{pull}/comments")).await;
    let said: Vec<_> = inline.iter().filter_map(|comment| comment["body"].as_str()).collect();
    assert!(said.iter().any(|body| body.contains("There is no exclamation mark")), "{said:?}");
    nothing_was_refused(&scene);
    scene.finish().await;
}

const A_GRAVE_REMARK: &str = r#"
  - name: quality has a grave remark
    when: { system: ["whether people can live with it"], last_message: ["hello, world"] }
    answer:
      json:
        summary: English only.
        findings:
          - severity: HIGH
            path: greeting.txt
            start_line: 1
            end_line: 1
            title: The greeting is in English only
            why: Readers of other languages are left out.
            suggestion: null
"#;

const AND_NOBODY_MENDS_IT: &str = r#"
  - name: the fixer will not
    when:
      system: ["You are an engineer who mends a change"]
      first_message: ["The greeting is in English only"]
    answer:
      tool_calls:
        - name: finish
          arguments: { summary: English is what the task asks for., commit_subject: Nothing }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fix_that_fails_for_what_does_not_block_is_noted_and_the_pull_request_opens() {
    let play = Play::greeting().with_rules(&format!("{A_GRAVE_REMARK}{AND_NOBODY_MENDS_IT}"));
    let scene = Scene::play(play).await;
    let (issue, pull) = scene.pull_request().await;
    let task = scene.task(issue).await;
    assert_eq!((task.review_rounds, task.taken_back.len()), (1, 1));
    let body = text_of_pull(&scene, pull).await;
    assert!(body.contains("**Tried and taken back.**"), "{body}");
    assert!(body.contains("English is what the task asks for."), "{body}");
    assert!(body.contains("**HIGH** `greeting.txt:1`"), "it is still told: {body}");
    assert_eq!(scene.mails().len(), 2, "nobody is called: {:?}", scene.mails());
    nothing_was_refused(&scene);
    scene.finish().await;
}

const AND_IT_IS_MENDED_WRONGLY: &str = r#"
  - name: the fixer translates
    when:
      system: ["You are an engineer who mends a change"]
      first_message: ["The greeting is in English only"]
    not_when: { called: [write_file] }
    answer:
      tool_calls: [{ name: write_file, arguments: { path: greeting.txt, content: "bonjour, le monde\n" } }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remark_that_is_mended_wrongly_leaves_the_work_and_its_evidence_as_they_were() {
    let play = Play::greeting().with_rules(&format!("{A_GRAVE_REMARK}{AND_IT_IS_MENDED_WRONGLY}"));
    let scene = Scene::play(play).await;
    let (issue, pull) = scene.pull_request().await;
    let task = scene.task(issue).await;
    let number = format!("/contents/greeting.txt?ref={}", task.head.as_ref().expect("a head"));
    let file = scene.get(&number).await;
    let content = file["content"].as_str().unwrap_or_default().replace('\n', "");
    assert_eq!(content, "aGVsbG8sIHdvcmxkCg==", "`hello, world` is what was published");
    let body = text_of_pull(&scene, pull).await;
    assert!(body.contains("with it these gates failed: `check`"), "{body}");
    assert!(body.contains("| `check` | passed |"), "the gates that are told are those of the work: {body}");
    assert_eq!(scene.check_runs().await[0]["conclusion"], "success");
    let patch = scene.store.latest_artifact(&task, ArtifactKind::Patch).await.expect("the database");
    assert!(!String::from_utf8_lossy(&patch.expect("a patch")).contains("bonjour"));
    nothing_was_refused(&scene);
    scene.finish().await;
}

const TWO_MODELS: &str = r#"
models:
  request_timeout_seconds: 20
  default:
    - { model: "anthropic:claude-sonnet-4-5", max_tokens: 4096, usd_per_million_input_tokens: 3.0, usd_per_million_output_tokens: 15.0 }
  roles:
    implementer:
      - { model: "anthropic:claude-sonnet-4-5", max_tokens: 4096, usd_per_million_input_tokens: 3.0, usd_per_million_output_tokens: 15.0 }
      - { model: "openai:gpt-5", max_tokens: 4096, usd_per_million_input_tokens: 3.0, usd_per_million_output_tokens: 15.0 }
    reviewer:
      - { model: "openai:gpt-5", max_tokens: 4096 }
implementer: { candidates: 2, temperatures: [0.2, 0.7] }
"#;

const TWO_CANDIDATES: &str = r#"
  - name: one model is calm
    when: { wire: anthropic, system: ["You are an engineer who carries out one task"], first_message: ["Greet the world"] }
    not_when: { called: [write_file] }
    answer: { tool_calls: [{ name: write_file, arguments: { path: greeting.txt, content: "hello, world\n" } }] }
  - name: the other one shouts
    when: { system: ["You are an engineer who carries out one task"], first_message: ["Greet the world"] }
    not_when: { wire: anthropic, called: [write_file] }
    answer: { tool_calls: [{ name: write_file, arguments: { path: greeting.txt, content: "hello, world!\n" } }] }
  - name: the judge likes a shout that is shown first
    when:
      system: ["You compare two changes for the same task"]
      first_message: [{ regex: '(?s)"first change">.*\+hello, world!\n.*"second change">.*\+hello, world\n' }]
    answer: { json: { first: 9, second: 6, why: The first sounds glad. } }
  - name: and one that is shown second
    when:
      system: ["You compare two changes for the same task"]
      first_message: [{ regex: '(?s)"first change">.*\+hello, world\n.*"second change">.*\+hello, world!\n' }]
    answer: { json: { first: 6, second: 8, why: The second sounds glad. } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_better_of_two_candidates_goes_on_and_the_pair_is_exported_with_what_became_of_it() {
    let play = Play::greeting().with_rules(TWO_CANDIDATES).with_settings(TWO_MODELS);
    let scene = Scene::play(play).await;
    let (issue, pull) = scene.pull_request().await;
    let task = scene.task(issue).await;
    let choice: Choice = newest(&scene, &task, ArtifactKind::Choice).await;
    assert_eq!((choice.chosen, choice.decided_by), (2, DecidedBy::Judge));
    let models: Vec<_> = choice.candidates.iter().map(|candidate| candidate.models.join(" ")).collect();
    assert_eq!(models, ["anthropic:claude-sonnet-4-5", "openai:gpt-5"]);
    let mut temperatures: Vec<Value> = Vec::new();
    for exchange in scene.around.model.journal() {
        if exchange.request.to_string().contains("an engineer who carries out one task") {
            temperatures.push(exchange.request["temperature"].clone());
        }
    }
    assert!(temperatures.contains(&json!(0.2)) && temperatures.contains(&json!(0.7)), "{temperatures:?}");
    let judged = &choice.judged[0];
    assert_eq!((judged.earlier_score, judged.later_score), (12, 17));
    assert_eq!(choice.of_number(2).and_then(|it| it.measured()).map(|it| &it.head), task.head.as_ref());
    let body = text_of_pull(&scene, pull).await;
    let told = "number 2 of 2, which the judge prefers to those that measure the same (1 of 1 gates passed, \
                0 new tests, 2 changed lines)";
    assert!(body.contains(told), "{body}");

    let before = exported(&scene, &[]);
    assert_eq!((before.len(), &before[0]["outcome"]), (1, &json!("unknown")));
    let merge = json!({ "merge_method": "squash" });
    scene.person(MAINTAINER, "PUT", &format!("/pulls/{pull}/merge"), merge).await;
    scene.until(issue, "done").await;
    let pair = exported(&scene, &["--since", "2020-01-01", "--repository", "ACME/evenly"]).remove(0);
    assert_eq!(
        (&pair["outcome"], &pair["decided_by"], &pair["issue"]),
        (&json!("merged"), &json!("judge"), &json!(issue))
    );
    assert!(pair["chosen"]["patch"].as_str().is_some_and(|patch| patch.contains("+hello, world!")), "{pair}");
    assert!(
        pair["rejected"]["patch"].as_str().is_some_and(|patch| patch.contains("+hello, world\n")),
        "{pair}"
    );
    assert_eq!(pair["rejected"]["gates"][0]["exit"], 0);
    assert_eq!(pair["prompt"]["specification"]["title"], "Greet the world");
    assert_eq!(exported(&scene, &["--repository", "acme/other"]), Vec::<Value>::new());
    assert_eq!(exported(&scene, &["--since", "2999-01-01"]), Vec::<Value>::new());
    nothing_was_refused(&scene);
    scene.finish().await;
}

/// The lines of `orchestrator export preferences`.
fn exported(scene: &Scene, arguments: &[&str]) -> Vec<Value> {
    let (config, variables) = scene.for_a_process();
    let variables: BTreeMap<String, String> = variables.into_iter().collect();
    let output = std::process::Command::new(PROGRAM)
        .arg("--config")
        .arg(config)
        .args(["export", "preferences"])
        .args(arguments)
        .env_clear()
        .envs(variables)
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_comes_to_nothing_is_reported_and_the_other_goes_on() {
    let nothing = r#"
  - name: one model gives up
    when: { wire: anthropic, system: ["You are an engineer who carries out one task"] }
    answer: { tool_calls: [{ name: finish, arguments: { summary: I cannot., commit_subject: Nothing } }] }
"#;
    let play = Play::greeting().with_rules(&format!("{nothing}{TWO_CANDIDATES}")).with_settings(TWO_MODELS);
    let scene = Scene::play(play).await;
    let (issue, pull) = scene.pull_request().await;
    let choice: Choice = newest(&scene, &scene.task(issue).await, ArtifactKind::Choice).await;
    assert_eq!((choice.chosen, choice.decided_by, choice.judged.len()), (2, DecidedBy::Alone, 0));
    let body = text_of_pull(&scene, pull).await;
    assert!(body.contains("number 2 of 2, the only one that came to an end"), "{body}");
    assert!(body.contains("1 other came to nothing"), "{body}");
    nothing_was_refused(&scene);
    scene.finish().await;
}

const A_MODEL_THAT_HANGS: &str = r#"
  - name: the other one never answers
    when: { system: ["You are an engineer who carries out one task"] }
    not_when: { wire: anthropic }
    answer: { hang_seconds: 600 }
"#;

const ANOTHER_SECOND_MODEL: &str = r#"
models:
  request_timeout_seconds: 20
  default:
    - { model: "anthropic:claude-sonnet-4-5", max_tokens: 4096, usd_per_million_input_tokens: 3.0, usd_per_million_output_tokens: 15.0 }
  roles:
    implementer:
      - { model: "anthropic:claude-sonnet-4-5", max_tokens: 4096, usd_per_million_input_tokens: 3.0, usd_per_million_output_tokens: 15.0 }
      - { model: "anthropic:claude-opus-4-5", max_tokens: 4096, usd_per_million_input_tokens: 3.0, usd_per_million_output_tokens: 15.0 }
    reviewer:
      - { model: "openai:gpt-5", max_tokens: 4096 }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_is_begun_again_writes_only_the_candidates_that_are_missing() {
    let patient = TWO_MODELS.replace("request_timeout_seconds: 20", "request_timeout_seconds: 600");
    let rules = format!("{A_MODEL_THAT_HANGS}{TWO_CANDIDATES}");
    let mut scene = Scene::play(Play::greeting().with_rules(&rules).with_settings(&patient)).await;
    let issue = scene.approved_issue().await;
    wait("the first candidate to be kept", || async {
        let kept = "SELECT count(*) FROM artifacts WHERE name = '1/attempt.json'";
        (scene.count(kept).await == 1).then_some(())
    })
    .await;
    scene.redeploy(ANOTHER_SECOND_MODEL).await;
    let task = scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let choice: Choice = newest(&scene, &task, ArtifactKind::Choice).await;
    let models: Vec<_> = choice.candidates.iter().map(|candidate| candidate.models.join(" ")).collect();
    assert_eq!(models, ["anthropic:claude-sonnet-4-5", "anthropic:claude-opus-4-5"]);
    assert_eq!(choice.decided_by, DecidedBy::Order, "both wrote the same, and the first stays");
    let written = scene.store.model_calls(task.id).await.expect("calls");
    let first = written.iter().filter(|(_, call)| {
        call.stage == "implement" && call.model == "anthropic:claude-sonnet-4-5" && call.error.is_none()
    });
    assert_eq!(first.count(), 2, "the first candidate wrote and finished once");
    nothing_was_refused(&scene);
    scene.finish().await;
}

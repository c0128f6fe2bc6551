//! Gates and reviewers that will not be satisfied, and gates that never end.

use std::io::Read;

use flate2::read::GzDecoder;
use orchestrator::domain::{Baseline, GateReport, Reason, State, Task, Verdict};
use orchestrator::simulator::surroundings::MAINTAINER;
use orchestrator::store::ArtifactKind;

use crate::scene::{Play, Scene};

/// The fixer mistypes the word; shown that, it mends it.
const MISTYPES: &str = r#"
  - name: the typo is seen
    when:
      system: ["You are an engineer who mends a change"]
      first_message: ["hello, wrold", "exit code 1"]
    not_when: { called: [write_file] }
    answer:
      tool_calls: [{ name: write_file, arguments: { path: greeting.txt, content: "hello, world\n" } }]
  - name: a typo
    when:
      system: ["You are an engineer who mends a change"]
      first_message: ["exit code 1"]
    not_when: { called: [write_file] }
    answer:
      tool_calls: [{ name: write_file, arguments: { path: greeting.txt, content: "hello, wrold\n" } }]
"#;

const ONE_ROUND: &str = "limits: { gate_rounds: 1, review_rounds: 1 }";

/// A check that may take eight seconds, and a fixer that mends the file once it hears of that.
fn hurried(check: &str) -> Play {
    let fixer = r#"
  - name: it hung
    when:
      system: ["You are an engineer who mends a change"]
      first_message: ["ended by its time limit"]
    not_when: { called: [write_file] }
    answer:
      tool_calls: [{ name: write_file, arguments: { path: greeting.txt, content: "hello, world\n" } }]
"#;
    let policy = "gates:\n  - { name: check, run: sh check.sh, timeout_seconds: 8 }\n";
    let play = Play::greeting().with_rules(fixer).with_settings(ONE_ROUND);
    play.with_file("check.sh", check).with_file(".orchestrator/config.yaml", policy)
}

async fn body(scene: &Scene, on: u64, text: &str) -> String {
    scene.answer(on, text).await["body"].as_str().unwrap_or_default().to_owned()
}

async fn reports(scene: &Scene, task: &Task) -> Vec<GateReport> {
    let kept = scene.store.latest_artifact(task, ArtifactKind::Gates).await.expect("an answer");
    serde_json::from_slice(&kept.expect("gates")).expect("reports")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_whose_last_round_fails_is_kept_and_told_and_retry_goes_on_from_it() {
    let scene = Scene::play(Play::greeting().with_rules(MISTYPES).with_settings(ONE_ROUND)).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "needs_person").await;
    let State::NeedsPerson { reason: Reason::GatesFail { gates, rounds }, .. } = &task.state else {
        panic!("{:?}", task.state)
    };
    assert_eq!((gates.as_slice(), *rounds), (&["check".to_owned()][..], 1));
    scene.nothing_is_published().await;
    let said = body(&scene, issue, "This needs a person").await;
    for part in ["check", "lacks", "+hello, wrold", "/orchestrate retry", "/orchestrate fix"] {
        assert!(said.contains(part), "the issue lacks {part:?}: {said}");
    }
    let patch = scene.store.latest_artifact(&task, ArtifactKind::Patch).await.expect("an answer");
    assert!(String::from_utf8_lossy(&patch.expect("a patch")).contains("+hello, wrold"));
    scene.idle(issue).await;
    let mails = scene.around.inbox.messages();
    let mail = String::from_utf8_lossy(&mails.last().expect("a mail").raw).into_owned();
    assert!(mail.contains("check"), "the mail says which gate: {mail}");

    scene.comment(MAINTAINER, issue, "/orchestrate retry").await;
    let after = scene.until(issue, "pull_request_open").await;
    assert_eq!((after.revision, after.attempt), (1, 2), "it went on, with its rounds before it again");
    scene.idle(issue).await;
    let texts: Vec<String> = scene.around.model.journal().iter().map(|e| e.request.to_string()).collect();
    let implemented = texts.iter().filter(|text| text.contains("carries out one task")).count();
    assert_eq!(implemented, 2, "nothing was written anew");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fix_by_instruction_goes_on_where_the_gates_gave_up() {
    let scene = Scene::play(Play::greeting().with_rules(MISTYPES).with_settings(ONE_ROUND)).await;
    let issue = scene.approved_issue().await;
    scene.until(issue, "needs_person").await;
    scene.comment(MAINTAINER, issue, "/orchestrate fix say it louder, please").await;
    scene.answer(issue, "Working on this by your instruction").await;
    let task = scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let file = scene.around.github.admin().file(
        orchestrator::simulator::surroundings::REPOSITORY,
        task.branch.expect("a branch").as_str(),
        "greeting.txt",
    );
    assert_eq!(file.expect("readable").expect("a file"), b"hello, world!\n");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn findings_that_block_to_the_last_round_publish_nothing() {
    let stubborn = r#"
  - name: safety is never satisfied
    when: { system: ["whether it can do harm"], last_message: ["hello, world"] }
    answer:
      json:
        summary: It greets everybody, spies included.
        findings:
          - { severity: CRITICAL, path: greeting.txt, start_line: 1, end_line: 1, title: Spies are greeted, why: They are part of the world., suggestion: null }
  - name: the fixer tries
    when:
      system: ["You are an engineer who mends a change"]
      first_message: ["Spies are greeted"]
    not_when: { called: [write_file] }
    answer:
      tool_calls: [{ name: write_file, arguments: { path: greeting.txt, content: "hello, world but spies\n" } }]
"#;
    let scene = Scene::play(Play::greeting().with_rules(stubborn).with_settings(ONE_ROUND)).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "needs_person").await;
    let State::NeedsPerson { reason, .. } = &task.state else { unreachable!("asked for") };
    assert_eq!(*reason, Reason::BlockingFindings { count: 1, rounds: 1 });
    let said = body(&scene, issue, "This needs a person").await;
    assert!(said.contains("Spies are greeted") && said.contains("+hello, world but spies"), "{said}");
    scene.idle(issue).await;
    scene.nothing_is_published().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_before_holds_nothing_up_and_is_shown_as_old() {
    // The licence is missing on the base, and nobody asked for it.
    let policy = "gates:\n  - name: check\n    run: sh check.sh\n  - name: licence\n    run: test -e LICENCE || { seq 1 20000; echo LICENCE is missing; exit 1; }\n";
    let play = Play::greeting().with_file(".orchestrator/config.yaml", policy).with_settings(ONE_ROUND);
    let scene = Scene::play(play).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let last = reports(&scene, &task).await;
    assert_eq!(
        (last[1].verdict.clone(), last[1].baseline.clone()),
        (Verdict::Failed, Some(Baseline::SameFailure))
    );
    // The base was asked once for all rounds, and of the gate that passed not at all.
    let kept = scene.store.artifacts_of_kind(&task, ArtifactKind::BaseGates).await.expect("an answer");
    let runs: Vec<serde_json::Value> = serde_json::from_slice(&kept[0]).expect("runs");
    assert!(runs.len() <= 2 && !runs.is_empty(), "{runs:?}");
    // The report shows the ends of what it printed; all of it is kept, too.
    let packed = scene.store.artifacts_of_kind(&task, ArtifactKind::GateLog).await.expect("an answer");
    let mut whole = String::new();
    GzDecoder::new(packed[0].as_slice()).read_to_string(&mut whole).expect("gzip");
    let lines = whole.lines().count();
    assert!(last[1].log.contains("bytes cut") && lines == 20_001, "{lines} lines are kept");
    let check = scene.check_runs().await.remove(0);
    assert_eq!(check["conclusion"], "neutral");
    let summary = check["output"]["summary"].as_str().unwrap_or_default().to_owned();
    let pull = scene.list("/pulls?state=all").await.remove(0);
    for text in [summary.as_str(), pull["body"].as_str().unwrap_or_default()] {
        assert!(text.contains("failed before this change as well"), "{text}");
    }
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_hangs_is_killed_and_counts_as_failed() {
    // A number that no other process of this machine sleeps for; the second one left its process group.
    let long = 86_400 + std::process::id();
    let hang = format!(
        "if grep -qxE 'hello|hello, world' greeting.txt; then exit 0; fi\nsetsid sleep {long} &\nsleep {long}\n"
    );
    let scene = Scene::play(hurried(&hang)).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let rounds = scene.store.artifacts_of_kind(&task, ArtifactKind::Gates).await.expect("an answer");
    assert!(rounds.len() >= 2, "the second time it was mended");
    let report = serde_json::from_slice::<Vec<GateReport>>(&rounds[0]).expect("reports").remove(0);
    assert_eq!((report.verdict, report.exit), (Verdict::TimedOut, None));
    assert!(report.duration_ms < 60_000, "killed after {} ms", report.duration_ms);
    assert_eq!(sleepers(long), Vec::<String>::new(), "nothing of it is left");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_hangs_to_the_last_round_publishes_nothing() {
    let scene = Scene::play(hurried("grep -qx hello greeting.txt || sleep 600\n")).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "needs_person").await;
    assert!(matches!(&task.state, State::NeedsPerson { reason: Reason::GatesFail { .. }, .. }));
    let said = body(&scene, issue, "This needs a person").await;
    assert!(said.contains("timed out") || said.contains("time limit"), "{said}");
    scene.idle(issue).await;
    scene.nothing_is_published().await;
    scene.finish().await;
}

/// The command lines of what sleeps as long as the hanging gate does.
fn sleepers(long: u32) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.trim() == format!("sleep {long}") {
            found.push(line);
        }
    }
    found
}

//! Gates on the real sandbox, with the compilers and interpreters of this machine and without network.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orchestrator::domain::{GateKind, GateReport, Requirement, Verdict};
use orchestrator::gates::{Dependencies, EgressPolicy, Gate, GatePolicy, Stores, discover, prepare, run};
use orchestrator::sandbox::{
    Bubblewrap, BubblewrapOptions, Command, HostName, Limits, Outcome, Sandbox, Session, detect_toolchains,
};
use orchestrator::workspace::{FileEntry, FileMode, RepoPath, Snapshot};

mod sandbox_support;
use sandbox_support::*;

fn place() -> Place {
    let search = std::env::var_os("PATH").unwrap_or_default();
    Place::with(|options| options.toolchains = detect_toolchains(&search.to_string_lossy()))
}

/// Runs the gates that `files` make us find, on `files`.
async fn reports(files: &[(&str, &str)]) -> Vec<GateReport> {
    let place = place();
    let base = snapshot(files);
    let stores = Stores { cache_root: &place.path().join("cache"), repository: "test/1", egress: None };
    let dependencies = prepare(&place.sandbox, &base, None, stores).await.expect("prepared");
    let mut reports = vec![];
    for gate in discover(&base, None) {
        let session = place.sandbox.open(&base).await.expect("a session");
        reports.push(run(&*session, &gate, &dependencies).await.expect("ran"));
        session.close().await.expect("closed");
    }
    reports
}

fn could_not_run(report: &GateReport) -> &str {
    match &report.verdict {
        Verdict::CouldNotRun { reason } => reason,
        other => panic!("{other:?}: {}", report.log),
    }
}

const RUST_MANIFEST: &str = "[package]\nname = \"sample\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
const RUST_CI: &str = "- run: cargo fmt --check\n- run: cargo clippy -- -D warnings\n";

#[tokio::test]
async fn a_good_crate_passes_its_gates() {
    let lib = "pub fn add(a: i32, b: i32) -> i32 {\n    a + b\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn adds() {\n        \
               assert_eq!(super::add(1, 2), 3);\n    }\n}\n";
    let files = [("Cargo.toml", RUST_MANIFEST), ("src/lib.rs", lib), (".github/workflows/ci.yml", RUST_CI)];
    let reports = reports(&files).await;
    let names: Vec<&str> = reports.iter().map(|report| report.name.as_str()).collect();
    assert_eq!(names, ["cargo test", "cargo fmt", "cargo clippy"]);
    for report in reports {
        assert_eq!((report.verdict, report.exit), (Verdict::Passed, Some(0)), "{}", report.log);
        assert_eq!(report.findings, []);
    }
}

#[tokio::test]
async fn a_bad_crate_fails_each_gate_with_places() {
    let lib = "pub fn add(a: i32, b: i32) -> i32 {\n    return a - b;\n}\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn adds() {\n      \
               assert_eq!(super::add(1, 2), 3);\n    }\n}\n";
    let files = [("Cargo.toml", RUST_MANIFEST), ("src/lib.rs", lib), (".github/workflows/ci.yml", RUST_CI)];
    for report in reports(&files).await {
        assert_eq!(report.verdict, Verdict::Failed, "{}: {}", report.name, report.log);
        assert!(report.exit.is_some_and(|code| code != 0) && report.blocks());
        let finding = report.findings.first().unwrap_or_else(|| panic!("{}: {}", report.name, report.log));
        assert_eq!(finding.path.as_str(), "src/lib.rs");
        let expected = match report.kind {
            GateKind::Test => (8, "panicked: assertion `left == right` failed"),
            GateKind::Lint => (2, "unneeded `return` statement"),
            _ => (5, "not formatted as rustfmt would"),
        };
        assert!(finding.message.starts_with(expected.1), "{finding:?}");
        assert!(report.kind == GateKind::Format || finding.line == Some(expected.0), "{finding:?}");
    }
}

#[tokio::test]
async fn a_crate_without_tests_has_not_passed_its_tests() {
    let reports = reports(&[("Cargo.toml", RUST_MANIFEST), ("src/lib.rs", "")]).await;
    assert_eq!(could_not_run(&reports[0]), "no tests ran");
    assert_eq!(reports[0].exit, Some(0));
}

#[tokio::test]
async fn crates_that_nobody_may_fetch_are_named_with_the_key_to_set() {
    let manifest = format!("{RUST_MANIFEST}[dependencies]\nitoa = \"1\"\n");
    let reports = reports(&[("Cargo.toml", &manifest), ("src/lib.rs", "")]).await;
    assert_eq!(
        could_not_run(&reports[0]),
        "the project's rust packages were not fetched: name the package hosts in `sandbox.setup.allow_hosts`"
    );
    assert!(reports[0].blocks() || matches!(reports[0].verdict, Verdict::CouldNotRun { .. }));
}

#[tokio::test]
async fn a_change_that_asks_for_a_crate_the_base_has_not_could_not_run() {
    let place = place();
    let manifest = format!("{RUST_MANIFEST}[dependencies]\nitoa = \"1\"\n");
    let changed = snapshot(&[("Cargo.toml", &manifest), ("src/lib.rs", "")]);
    let gates = discover(&snapshot(&[("Cargo.toml", RUST_MANIFEST), ("src/lib.rs", "")]), None);
    let session = place.sandbox.open(&changed).await.expect("a session");
    let report = run(&*session, &gates[0], &Dependencies::default()).await.expect("ran");
    assert_eq!(
        could_not_run(&report),
        "cargo needs packages that were not fetched for the base branch",
        "{}",
        report.log
    );
}

#[tokio::test]
async fn python_tests_of_the_standard_library_run_without_set_up() {
    let good = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(1, 1)\n";
    let bad = good.replace("(1, 1)", "(1, 2)");
    let reports_good = reports(&[("setup.cfg", ""), ("tests/test_a.py", good)]).await;
    assert_eq!(reports_good[0].verdict, Verdict::Passed, "{}", reports_good[0].log);
    let reports_bad = reports(&[("setup.cfg", ""), ("tests/test_a.py", &bad)]).await;
    assert_eq!(reports_bad[0].verdict, Verdict::Failed);
    let finding = &reports_bad[0].findings[0];
    assert_eq!((finding.path.as_str(), finding.line), ("tests/test_a.py", Some(4)));
    assert_eq!(finding.message, "AssertionError: 1 != 2");
    let empty = good.replace("test_a", "other");
    let reports_empty = reports(&[("setup.cfg", ""), ("tests/test_a.py", &empty)]).await;
    assert_eq!(could_not_run(&reports_empty[0]), "no tests ran");
}

#[tokio::test]
async fn a_tool_that_is_not_installed_is_no_pass_and_no_failure() {
    let files = [("pytest.ini", "[pytest]\n"), ("ruff.toml", ""), ("test_a.py", "def test_a():\n    pass\n")];
    let reports = reports(&files).await;
    let hint = "nothing was fetched, because `sandbox.setup.allow_hosts` is empty";
    assert_eq!(could_not_run(&reports[0]), format!("the Python module `pytest` is not installed; {hint}"));
    assert!(could_not_run(&reports[1]).starts_with("`ruff` is not there"), "{reports:?}");
    assert!(reports[0].blocks() || matches!(reports[0].verdict, Verdict::CouldNotRun { .. }));
}

#[tokio::test]
async fn node_tests_run_without_set_up() {
    let package = r#"{"scripts": {"test": "node --test"}}"#;
    let test = "const test = require('node:test');\nconst assert = require('node:assert');\ntest('adds', () => {\n  assert.strictEqual(1, 1);\n});\n";
    let good = reports(&[("package.json", package), ("a.test.js", test)]).await;
    assert_eq!(good[0].verdict, Verdict::Passed, "{}", good[0].log);
    let bad = reports(&[("package.json", package), ("a.test.js", &test.replace("(1, 1)", "(1, 2)"))]).await;
    assert_eq!(bad[0].verdict, Verdict::Failed);
    let finding = bad[0].findings.first().unwrap_or_else(|| panic!("{}", bad[0].log));
    assert_eq!((finding.path.as_str(), finding.line), ("a.test.js", Some(4)), "{}", bad[0].log);
    let none = reports(&[("package.json", package), ("lib.js", "")]).await;
    assert_eq!(could_not_run(&none[0]), "no tests ran", "{}", none[0].log);
}

#[tokio::test]
async fn a_gate_that_hangs_is_killed_and_has_timed_out() {
    let place = place();
    let session = place.open(&[]).await;
    let mut gate = shell_gate("echo started; sleep 1000; echo ended");
    gate.timeout = Duration::from_millis(800);
    let start = Instant::now();
    let report = run(&*session, &gate, &Dependencies::default()).await.expect("ran");
    assert_eq!((&report.verdict, report.exit), (&Verdict::TimedOut, None));
    assert!(start.elapsed() < Duration::from_millis(2000), "{:?}", start.elapsed());
    assert!(report.log.starts_with("started\n") && report.log.contains("its time limit"), "{}", report.log);
}

#[tokio::test]
async fn a_limit_or_a_signal_is_never_a_pass() {
    let place = place();
    let session = place.open(&[]).await;
    for script in ["yes; exit 0", "kill -9 $$", "for i in $(seq 600); do sleep 3 & done; exit 0"] {
        let report = run(&*session, &shell_gate(script), &Dependencies::default()).await.expect("ran");
        assert!(!matches!(report.verdict, Verdict::Passed), "{script}: {:?}", report.verdict);
        assert!(report.log.len() < 100_000);
    }
}

#[tokio::test]
async fn output_and_error_output_stay_in_order_and_reports_survive_storage() {
    let place = place();
    let session = place.open(&[("sub/x", "")]).await;
    let mut gate = shell_gate(
        "echo one; echo two >&2; printf '\\033[31mthree\\033[0m\\0\\n'; echo a.py:3: error: wrong; exit 3",
    );
    gate.cwd = Some(path("sub"));
    let report = run(&*session, &gate, &Dependencies::default()).await.expect("ran");
    assert_eq!(report.log, "one\ntwo\nthree\na.py:3: error: wrong\n");
    assert_eq!((&report.verdict, report.exit), (&Verdict::Failed, Some(3)));
    assert_eq!(report.findings[0].path.as_str(), "sub/a.py");
    let stored = serde_json::to_string(&report).expect("stored");
    assert_eq!(serde_json::from_str::<GateReport>(&stored).expect("read"), report);
    let missing = GateReport { verdict: Verdict::CouldNotRun { reason: "x".into() }, ..report };
    let stored = serde_json::to_value(&missing).expect("stored");
    assert_eq!(stored["verdict"], serde_json::json!({ "verdict": "could_not_run", "reason": "x" }));
    assert_eq!(serde_json::from_value::<GateReport>(stored).expect("read"), missing);

    gate.cwd = Some(path("gone"));
    let report = run(&*session, &gate, &Dependencies::default()).await.expect("ran");
    assert_eq!(could_not_run(&report), "the tree has no folder gone");
}

#[tokio::test]
async fn the_changes_own_configuration_chooses_no_gate() {
    let base = snapshot(&[("Cargo.toml", RUST_MANIFEST)]);
    let policy: GatePolicy =
        serde_json::from_str(r#"{"gates": [{"name": "x", "run": "true"}]}"#).expect("a policy");
    assert_eq!(discover(&base, None).len(), 1);
    assert_eq!(discover(&base, Some(&policy))[0].command, ["sh", "-c", "true"]);
}

#[tokio::test]
async fn a_set_up_that_is_refused_a_host_says_which() {
    let place = place();
    let manifest = format!("{RUST_MANIFEST}[dependencies]\nitoa = \"1\"\n");
    let config = "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = \"sparse+https://mirror.example/index/\"\n";
    // The tree's own configuration would make the crates its own, so it lies where only cargo looks.
    let files =
        [("sub/Cargo.toml", manifest.as_str()), ("sub/src/lib.rs", ""), (".cargo/config.toml", config)];
    let base = snapshot(&files);
    let egress = EgressPolicy { allow_hosts: vec![HostName::parse("other.example").expect("a host")] };
    let stores =
        Stores { cache_root: &place.path().join("cache"), repository: "test/1", egress: Some(&egress) };
    let dependencies = prepare(&place.sandbox, &base, None, stores).await.expect("prepared");
    let session = place.sandbox.open(&base).await.expect("a session");
    let report = run(&*session, &discover(&base, None)[0], &dependencies).await.expect("ran");
    assert_eq!(
        could_not_run(&report),
        "fetching the project's rust packages was refused mirror.example:443: list them in `sandbox.setup.allow_hosts` if \
         that is meant",
        "{:?}",
        dependencies.records
    );
    assert_eq!(dependencies.records.len(), 1);
    assert!(!dependencies.records[0].succeeded && !dependencies.records[0].egress.is_empty());
}

fn shell_gate(script: &str) -> Gate {
    Gate {
        name: "gate".into(),
        kind: GateKind::Custom,
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        cwd: None,
        timeout: Duration::from_secs(60),
        requirement: Requirement::Required,
        needs_dependencies: None,
        source: "a test".into(),
    }
}

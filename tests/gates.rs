//! Gates on the real sandbox, with the compilers and interpreters of this machine and without network.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orchestrator::domain::{Age, Baseline, GateKind, GateReport, Requirement, Verdict};
use orchestrator::gates::{
    Base, BaseRun, CommandLine, Dependencies, EgressPolicy, Gate, GatePolicy, Round, RoundEnd, SetupPolicy,
    Stores, discover, prepare, run,
};
use orchestrator::sandbox::{
    Bubblewrap, BubblewrapOptions, HostName, Limits, Sandbox, Session, detect_toolchains,
};
use orchestrator::workspace::{FileEntry, FileMode, Snapshot};

mod sandbox_support;
use sandbox_support::*;
#[path = "gates/toolchains.rs"]
mod toolchains;

fn place() -> Place {
    let search = std::env::var_os("PATH").unwrap_or_default();
    Place::with(|options| options.toolchains = detect_toolchains(&search.to_string_lossy()))
}

/// Runs the gates that `files` make us find, on `files`.
async fn reports(files: &[(&str, &str)]) -> Vec<GateReport> {
    let place = place();
    let base = snapshot(files);
    let stores = Stores {
        cache_root: &place.path().join("cache"),
        repository: "test/1",
        egress: None,
        limits: &Limits::default(),
    };
    let dependencies = prepare(&place.sandbox, &base, None, stores).await.expect("prepared");
    let mut reports = vec![];
    for gate in discover(&base, None).expect("readable") {
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
    let gates =
        discover(&snapshot(&[("Cargo.toml", RUST_MANIFEST), ("src/lib.rs", "")]), None).expect("readable");
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
    assert!(could_not_run(&reports[1]).starts_with("`ruff` is missing"), "{reports:?}");
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
    gate.timeout = Duration::from_secs(5);
    let start = Instant::now();
    let report = run(&*session, &gate, &Dependencies::default()).await.expect("ran");
    assert_eq!((&report.verdict, report.exit), (&Verdict::TimedOut, None));
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert!(report.log.starts_with("started\n") && report.log.contains("its time limit"), "{}", report.log);
}

#[tokio::test]
async fn a_limit_or_a_signal_is_never_a_pass() {
    let place = place();
    let session = place.open(&[]).await;
    for script in ["yes; exit 0", "kill -9 $$", "for i in $(seq 600); do sleep 60 & done; exit 0"] {
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
    assert_eq!(discover(&base, None).expect("readable").len(), 1);
    assert_eq!(discover(&base, Some(&policy)).expect("readable")[0].command, ["sh", "-c", "true"]);
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
    let stores = Stores {
        cache_root: &place.path().join("cache"),
        repository: "test/1",
        egress: Some(&egress),
        limits: &Limits::default(),
    };
    let dependencies = prepare(&place.sandbox, &base, None, stores).await.expect("prepared");
    let session = place.sandbox.open(&base).await.expect("a session");
    let report =
        run(&*session, &discover(&base, None).expect("readable")[0], &dependencies).await.expect("ran");
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

/// Runs gates on a change beside its base.
async fn compared(
    gates: &[Gate],
    base: &[(&str, &str)],
    change: &[(&str, &str)],
    known: &[BaseRun],
) -> RoundEnd {
    let place = place();
    let (base, change) = (snapshot(base), snapshot(change));
    let round = Round {
        sandbox: &place.sandbox,
        dependencies: &Dependencies::default(),
        at_once: 2,
        coverage_floor: None,
        tree: &change,
        base: Some(Base { commit: "b1", tree: &base, known }),
    };
    round.run(gates).await.expect("ran")
}

#[tokio::test]
async fn a_failure_that_the_base_has_too_is_old_and_a_new_one_blocks() {
    let lint = shell_gate("cat found; test ! -s found");
    let gates = std::slice::from_ref(&lint);
    let (one, moved) = ("a.py:3: error: old\n", "a.py:8: error: old\n");
    let two = "a.py:8: error: old\nb.py:1: error: fresh\n";
    let same = compared(gates, &[("found", one)], &[("found", moved)], &[]).await.reports.remove(0);
    assert_eq!((&same.verdict, &same.baseline), (&Verdict::Failed, &Some(Baseline::SameFailure)));
    assert!(!same.blocks() && same.findings[0].age == Age::Old);

    let worse = compared(gates, &[("found", one)], &[("found", two)], &[]).await.reports.remove(0);
    assert_eq!(worse.baseline, Some(Baseline::Worse { new: vec!["b.py fresh".into()] }));
    let ages: Vec<_> = worse.findings.iter().map(|finding| (finding.path.as_str(), finding.age)).collect();
    assert!(worse.blocks() && ages == [("b.py", Age::New), ("a.py", Age::Old)], "{ages:?}");

    let fresh = compared(gates, &[("found", "")], &[("found", one)], &[]).await.reports.remove(0);
    assert!(fresh.blocks() && fresh.baseline == Some(Baseline::Passed), "{fresh:?}");
    let mended = compared(gates, &[("found", one)], &[("found", "")], &[]).await;
    assert_eq!((&mended.reports[0].verdict, &mended.reports[0].baseline), (&Verdict::Passed, &None));
    assert_eq!(mended.base_runs, [], "a gate that passes asks nothing of the base");
}

#[tokio::test]
async fn a_kept_run_of_the_base_is_used_for_the_same_base_and_gate_alone() {
    let gate = shell_gate("echo failed; exit 1");
    let gates = std::slice::from_ref(&gate);
    let first = compared(gates, &[("x", "")], &[("x", "changed")], &[]).await;
    assert_eq!(first.base_runs.len(), 1);
    // This base would pass: it is not run.
    let passing = shell_gate("test ! -e broken");
    let known =
        compared(std::slice::from_ref(&passing), &[("broken", "")], &[("broken", "")], &[]).await.base_runs;
    let again = compared(std::slice::from_ref(&passing), &[], &[("broken", "")], &known).await;
    assert_eq!(again.reports[0].baseline, Some(Baseline::SameFailure));
    assert_eq!(again.base_runs, known);
    let other = compared(std::slice::from_ref(&passing), &[], &[("broken", "")], &first.base_runs).await;
    assert_eq!(other.reports[0].baseline, Some(Baseline::Passed));
    assert_eq!(other.base_runs.len(), 2);
}

#[tokio::test]
async fn the_base_of_a_real_crate_is_compared_by_the_names_of_its_tests() {
    let lib = |tests: &str| format!("#[cfg(test)]\nmod tests {{\n{tests}}}\n");
    let failing =
        |name: &str, n: u8| format!("    #[test]\n    fn {name}() {{\n        assert_eq!({n}, 0);\n    }}\n");
    let (base, same, worse) = (
        lib(&failing("old", 1)),
        lib(&format!("\n\n{}", failing("old", 2))),
        lib(&format!("{}{}", failing("old", 1), failing("fresh", 1))),
    );
    fn files(lib: &str) -> [(&str, &str); 2] {
        [("Cargo.toml", RUST_MANIFEST), ("src/lib.rs", lib)]
    }
    let gates = discover(&snapshot(&files(&base)), None).expect("readable");
    let of = async |change: &str| {
        compared(&gates[..1], &files(&base), &files(change), &[]).await.reports.remove(0)
    };
    let report = of(&same).await;
    assert_eq!(
        (report.baseline.as_ref(), report.failed_tests.as_slice()),
        (Some(&Baseline::SameFailure), &["tests::old".to_owned()][..]),
        "{}",
        report.log
    );
    let report = of(&worse).await;
    assert_eq!(report.baseline, Some(Baseline::Worse { new: vec!["tests::fresh".into()] }), "{}", report.log);
}

#[tokio::test]
async fn a_test_that_fails_once_is_flaky_and_passes_with_that_mark() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = place();
    let runs = folder.path().join("runs");
    let sandbox = Counting { inner: &place.sandbox, runs: &runs };
    let tree = snapshot(&[(
        "t.sh",
        "echo \"test a ... $(test $RUN = 1 && echo FAILED || echo ok)\"; echo 'test b ... ok'; test $RUN != 1\n",
    )]);
    let mut gate = shell_gate("RUN=$(cat run) sh t.sh");
    let round = |tree| Round {
        sandbox: &sandbox,
        dependencies: &NOTHING,
        at_once: 1,
        coverage_floor: None,
        tree,
        base: Some(Base { commit: "b", tree, known: &[] }),
    };
    gate.kind = GateKind::Test;
    let end = round(&tree).run(std::slice::from_ref(&gate)).await.expect("ran");
    let report = &end.reports[0];
    assert_eq!(
        (&report.verdict, report.exit, &report.baseline),
        (&Verdict::Passed, Some(0), &None),
        "{}",
        report.log
    );
    let flaky = report.flaky.as_ref().expect("flaky");
    assert_eq!(
        (flaky.tests.as_slice(), flaky.first_log.as_str()),
        (&["a".to_owned()][..], "test a ... FAILED\ntest b ... ok\n")
    );
    assert!(end.base_runs.is_empty() && std::fs::read(&runs).expect("runs").len() == 2);

    // What is no test gets no second chance.
    std::fs::remove_file(&runs).expect("removed");
    gate.kind = GateKind::Lint;
    let report = round(&tree).run(std::slice::from_ref(&gate)).await.expect("ran").reports.remove(0);
    assert_eq!((&report.verdict, &report.flaky), (&Verdict::Failed, &None));
}

#[tokio::test]
async fn a_test_that_fails_twice_blocks_and_its_flaky_neighbour_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = place();
    let runs = folder.path().join("runs");
    let sandbox = Counting { inner: &place.sandbox, runs: &runs };
    let (base, change) = (snapshot(&[]), snapshot(&[("broken", "")]));
    let mut gate = shell_gate(
        "test -e broken || exit 0; test $(cat run) = 1 && echo 'test flaky ... FAILED'; echo 'test real ... FAILED'; exit 101",
    );
    gate.kind = GateKind::Test;
    let round = Round {
        sandbox: &sandbox,
        dependencies: &NOTHING,
        at_once: 1,
        coverage_floor: None,
        tree: &change,
        base: Some(Base { commit: "b", tree: &base, known: &[] }),
    };
    let report = round.run(&[gate]).await.expect("ran").reports.remove(0);
    assert!(report.blocks() && report.baseline == Some(Baseline::Passed), "{report:?}");
    assert_eq!(report.flaky.expect("flaky").tests, ["flaky"]);
    assert_eq!(report.failed_tests, ["real"]);
}

#[tokio::test]
async fn gates_run_side_by_side_up_to_the_limit_and_report_in_order() {
    let place = place();
    let tree = snapshot(&[]);
    let gates: Vec<Gate> = (0..4)
        .map(|n| Gate {
            name: format!("gate {n}"),
            // When it ran, in seconds since the machine started.
            ..shell_gate(&format!(
                "read from rest < /proc/uptime; sleep {}; read to rest < /proc/uptime; echo {n} $from $to",
                if n == 0 { 4.0 } else { 0.5 }
            ))
        })
        .collect();
    let met = async |at_once| {
        let round = Round {
            sandbox: &place.sandbox,
            dependencies: &NOTHING,
            at_once,
            coverage_floor: None,
            tree: &tree,
            base: None,
        };
        let reports = round.run(&gates).await.expect("ran").reports;
        let mut times = Vec::new();
        for (n, report) in reports.iter().enumerate() {
            let words: Vec<&str> = report.log.split_whitespace().collect();
            assert_eq!((report.name.as_str(), words[0]), (&*format!("gate {n}"), &*n.to_string()));
            let [from, to] = [words[1], words[2]].map(|word| word.parse::<f64>().expect("seconds"));
            times.push((from, to));
        }
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        times.windows(2).filter(|two| two[1].0 < two[0].1).count()
    };
    assert_eq!(met(1).await, 0, "one begins when the one before has ended");
    assert!(met(4).await > 0, "none began while another ran");
}

#[tokio::test]
async fn gates_do_not_see_what_other_gates_wrote() {
    let writes = shell_gate("echo x > left; ls");
    let end = compared(&[writes.clone(), writes], &[], &[("a", "")], &[]).await;
    assert!(end.reports.iter().all(|report| report.log == "a\nleft\n"), "{:?}", end.reports);
}

static NOTHING: std::sync::LazyLock<Dependencies> = std::sync::LazyLock::new(Dependencies::default);

/// The real sandbox, whose trees get a file `run` with the number of the session: what flakes has to know
/// that it was run before.
struct Counting<'a> {
    inner: &'a Bubblewrap,
    runs: &'a Path,
}

impl Sandbox for Counting<'_> {
    fn open<'a>(
        &'a self,
        tree: &'a Snapshot,
    ) -> futures::future::BoxFuture<'a, Result<Box<dyn Session>, orchestrator::sandbox::SandboxError>> {
        Box::pin(async move {
            let runs = std::fs::read_to_string(self.runs).unwrap_or_default() + "x";
            std::fs::write(self.runs, &runs).expect("noted");
            let mut tree = tree.clone();
            let entry =
                FileEntry { mode: FileMode::Regular, bytes: runs.len().to_string().into_bytes().into() };
            tree.files.insert(path("run"), entry);
            self.inner.open(&tree).await
        })
    }
}

/// A deployment that lets set-up steps reach a host that nobody asks for.
fn reachable() -> EgressPolicy {
    EgressPolicy { allow_hosts: vec![HostName::parse("packages.example").expect("a host")] }
}

async fn prepared(
    place: &Place,
    base: &Snapshot,
    setup: &[&str],
    egress: Option<&EgressPolicy>,
) -> Dependencies {
    let commands = setup.iter().map(|line| CommandLine::Shell((*line).to_owned())).collect();
    let policy = GatePolicy {
        gates: Some(vec![]),
        setup: SetupPolicy { commands, python: None },
        ..GatePolicy::default()
    };
    let cache_root = place.path().join("cache");
    let stores = Stores { cache_root: &cache_root, repository: "test/1", egress, limits: &Limits::default() };
    prepare(&place.sandbox, base, Some(&policy), stores).await.expect("prepared")
}

#[tokio::test]
async fn a_repositorys_own_set_up_runs_once_and_its_gates_see_what_it_made() {
    let place = place();
    let base = snapshot(&[("fetch.sh", "echo one > fetched\n"), ("Cargo.toml", RUST_MANIFEST)]);
    let setup = ["sh fetch.sh", "cd /tmp; echo \"$CARGO_HOME\" > /tree/home; touch /deps/rust/there"];
    let dependencies = prepared(&place, &base, &setup, Some(&reachable())).await;
    let [record] = dependencies.records.as_slice() else { panic!("{:?}", dependencies.records) };
    assert!(record.succeeded && record.commands.contains("sh fetch.sh"), "{record:?}");
    let gate = shell_gate("cat fetched home; ls /deps/rust; touch /deps/rust/x");
    let report = compared_with(&place, &dependencies, &gate, &base, &base).await;
    assert!(report.log.starts_with("one\n/deps/rust/cargo\nthere\n"), "{}", report.log);
    assert!(report.log.contains("Read-only"), "a cache is not written by tasks: {}", report.log);

    let again = prepared(&place, &base, &setup, Some(&reachable())).await;
    assert_eq!(again.records, [], "it is kept");
    let other = snapshot(&[("fetch.sh", "echo two > fetched\n"), ("Cargo.toml", RUST_MANIFEST)]);
    assert_eq!(
        prepared(&place, &other, &setup, Some(&reachable())).await.records.len(),
        1,
        "its input changed"
    );
}

#[tokio::test]
async fn a_failed_set_up_takes_the_blame_for_what_fails_on_the_base_too_and_for_nothing_else() {
    let place = place();
    let (base, change) = (snapshot(&[]), snapshot(&[("broken", "")]));
    let dependencies = prepared(&place, &base, &["echo no such package; exit 3"], Some(&reachable())).await;
    assert!(!dependencies.records[0].succeeded && dependencies.records[0].log == "no such package\n");
    let needs = compared_with(&place, &dependencies, &shell_gate("test -e fetched"), &base, &change).await;
    assert_eq!(
        could_not_run(&needs),
        "the `setup` of .orchestrator/config.yaml ended with code 3: no such package"
    );
    let passes = compared_with(&place, &dependencies, &shell_gate("true"), &base, &change).await;
    assert_eq!(passes.verdict, Verdict::Passed);
    let own_fault =
        compared_with(&place, &dependencies, &shell_gate("test ! -e broken"), &base, &change).await;
    assert!(own_fault.blocks(), "{own_fault:?}");

    let nowhere = prepared(&place, &base, &["true"], None).await;
    let needs = compared_with(&place, &nowhere, &shell_gate("test -e fetched"), &base, &change).await;
    assert_eq!(
        could_not_run(&needs),
        "the `setup` of .orchestrator/config.yaml was not run: name the package hosts in `sandbox.setup.allow_hosts`"
    );
}

async fn compared_with(
    place: &Place,
    dependencies: &Dependencies,
    gate: &Gate,
    base: &Snapshot,
    tree: &Snapshot,
) -> GateReport {
    let sandbox: &dyn Sandbox = &place.sandbox;
    let base = Some(Base { commit: "b", tree: base, known: &[] });
    let round = Round { sandbox, dependencies, at_once: 1, coverage_floor: None, tree, base };
    round.run(std::slice::from_ref(gate)).await.expect("ran").reports.remove(0)
}

#[tokio::test]
async fn result_files_become_findings_and_those_of_the_tree_do_not() {
    let sarif = |rule: &str| {
        format!(
            r#"{{"runs":[{{"tool":{{"driver":{{"name":"scan"}}}},"results":[{{"ruleId":"{rule}","level":"error","message":{{"text":"a hole"}},"locations":[{{"physicalLocation":{{"artifactLocation":{{"uri":"a.py"}},"region":{{"startLine":4}}}}}}]}}]}}]}}"#
        )
    };
    let place = place();
    let (kept, fresh) = (sarif("KEPT"), sarif("FRESH"));
    // Larger than what is kept of a command's output.
    let padded = format!("{fresh}{}", " ".repeat(1_200_000));
    let tree = snapshot(&[("old.sarif", &kept), ("source.json", &padded)]);
    let gate = shell_gate(
        "mkdir -p 'out dir'; cp source.json 'out dir/new.sarif'; ln -s /etc/passwd x.sarif; exit 1",
    );
    let report = compared_with(&place, &NOTHING, &gate, &tree, &tree).await;
    let shown: Vec<_> = report
        .findings
        .iter()
        .map(|f| (f.path.as_str(), f.line, f.tool.as_deref(), f.rule.as_deref(), f.age))
        .collect();
    assert_eq!(shown, [("a.py", Some(4), Some("scan"), Some("FRESH"), Age::Old)], "{report:?}");
    assert!(!report.blocks());
}

#[tokio::test]
async fn coverage_below_the_floor_blocks_unless_the_base_is_as_low() {
    let place = place();
    let lcov = |hit: u32| format!("SF:a.rs\nLF:100\nLH:{hit}\nend_of_record\n");
    let of = async |base: u32, change: u32, gate: &str| {
        let (base, tree) = (snapshot(&[("hits", &lcov(base))]), snapshot(&[("hits", &lcov(change))]));
        let base = Some(Base { commit: "b", tree: &base, known: &[] });
        let round = Round {
            sandbox: &place.sandbox,
            dependencies: &NOTHING,
            at_once: 1,
            coverage_floor: Some(80.0),
            tree: &tree,
            base,
        };
        round.run(&[shell_gate(gate)]).await.expect("ran").reports
    };
    let cover = "cp hits lcov.info";
    let enough = &of(90, 80, cover).await[0];
    assert_eq!((&enough.verdict, enough.coverage.map(|c| c.covered)), (&Verdict::Passed, Some(80)));
    let low = &of(90, 79, cover).await[0];
    assert!(low.blocks() && low.exit == Some(0) && low.baseline == Some(Baseline::Passed), "{low:?}");
    assert!(low.log.contains("[tests reach 79.0 % of the lines; the floor is 80 %]"), "{}", low.log);
    assert!(of(70, 75, cover).await[0].is_old());
    assert!(matches!(of(75, 70, cover).await[0].baseline, Some(Baseline::Worse { .. })));
    let unmeasured = of(90, 90, "true").await;
    assert!(could_not_run(&unmeasured[1]).contains("no gate wrote a coverage report"));
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

use super::*;
use crate::domain::Requirement;
use crate::gates::failed_tests;

/// A run of a gate that ended with this code and printed this.
fn ran(kind: GateKind, exit: i32, log: &str) -> (Verdict, Problems) {
    let report = GateReport {
        name: "gate".into(),
        kind,
        requirement: Requirement::Required,
        command: "gate".into(),
        verdict: if exit == 0 { Verdict::Passed } else { Verdict::Failed },
        exit: Some(exit),
        duration_ms: 1,
        log: log.into(),
        findings: findings::read(log, None),
        failed_tests: vec![],
        baseline: None,
        flaky: None,
        coverage: None,
    };
    let problems = Problems::of(&report, log, failed_tests::read(log));
    (report.verdict, problems)
}

fn compared(kind: GateKind, base: (i32, &str), change: (i32, &str)) -> Baseline {
    let (verdict, problems) = ran(kind, base.0, base.1);
    let base = BaseRun::new(String::new(), verdict, &problems);
    let (verdict, problems) = ran(kind, change.0, change.1);
    compare(&verdict, &problems, &base)
}

fn new(baseline: Baseline) -> Vec<String> {
    match baseline {
        Baseline::Worse { new } => new,
        other => panic!("{other:?}"),
    }
}

const OLD: Baseline = Baseline::SameFailure;

#[test]
fn a_finding_that_moved_down_is_old_and_a_second_of_its_kind_is_new() {
    let (lint, one) = (GateKind::Lint, "a.py:3:8: F401 `os` imported but unused\n");
    assert_eq!(compared(lint, (1, one), (1, "a.py:17:8: F401 `os` imported but unused\n")), OLD);
    let two = format!("{one}a.py:9:1: F401 `os` imported but unused\n");
    assert_eq!(new(compared(lint, (1, one), (1, &two))), ["a.py F401 `os` imported but unused"]);
    let elsewhere = "b.py:3:8: F401 `os` imported but unused\n";
    assert_eq!(new(compared(lint, (1, one), (1, elsewhere))).len(), 1);
    assert_eq!(compared(lint, (1, &two), (1, one)), OLD, "it got better");
    assert_eq!(compared(lint, (0, ""), (1, one)), Baseline::Passed);
}

#[test]
fn tests_are_compared_by_name() {
    let log = |names: &[&str]| names.iter().map(|n| format!("test {n} ... FAILED\n")).collect::<String>();
    let of =
        |base: &[&str], change: &[&str]| compared(GateKind::Test, (101, &log(base)), (101, &log(change)));
    assert_eq!(of(&["a", "b"], &["a"]), OLD);
    assert_eq!(new(of(&["a"], &["a", "c"])), ["c"]);
    // The same test fails with another figure.
    let said = |n: u8| format!("test a ... FAILED\nthread 'a' panicked at src/lib.rs:{n}:1:\nleft: {n}\n");
    assert_eq!(compared(GateKind::Test, (101, &said(1)), (101, &said(2))), OLD);
}

#[test]
fn a_crash_beside_an_old_failure_is_new() {
    let old = "test a ... FAILED\nerror: test failed, to rerun pass `--lib`\n";
    let crashed = format!(
        "{old}  process didn't exit successfully: `x` (signal: 11, SIGSEGV: invalid memory reference)\n"
    );
    assert_eq!(new(compared(GateKind::Test, (101, old), (101, &crashed))).len(), 1);
    let no_build = "error[E0308]: mismatched types\n --> src/lib.rs:3:5\nerror: could not compile `x`\n";
    assert!(!new(compared(GateKind::Test, (101, old), (101, no_build))).is_empty());
    // A warning that was there before excuses nothing.
    let warned = "warning: unused variable: `a`\n --> src/lib.rs:3:9\n";
    let base = format!("{warned}test a ... FAILED\n");
    assert!(!new(compared(GateKind::Test, (101, &base), (101, warned))).is_empty());
}

#[test]
fn without_findings_the_exit_code_and_the_complaints_decide() {
    let custom = GateKind::Custom;
    assert_eq!(compared(custom, (1, "checked 3 files\nbad\n"), (1, "checked 4 files\nbad\n")), OLD);
    assert_eq!(
        new(compared(custom, (1, "bad\n"), (2, "bad\n"))),
        ["it ends with exit code 2 and on the base with exit code 1"]
    );
    let base = "licence check failed: a.c (took 12 ms)\n";
    assert_eq!(compared(custom, (1, base), (1, "licence check failed: a.c (took 99 ms)\n")), OLD);
    let more = format!("{base}spelling check failed: b.md\n");
    assert_eq!(new(compared(custom, (1, base), (1, &more))), ["spelling check failed: b.md"]);
}

#[test]
fn what_the_base_printed_is_compared_and_not_kept() {
    let log = "token=ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa was denied\ntest keys::of_ada ... FAILED\n";
    let (verdict, problems) = ran(GateKind::Test, 1, log);
    let kept = serde_json::to_string(&BaseRun::new(String::new(), verdict, &problems)).expect("JSON");
    assert!(!kept.contains("ghp_") && !kept.contains("ada"), "{kept}");
    let read: BaseRun = serde_json::from_str(&kept).expect("read back");
    assert_eq!(compare(&Verdict::Failed, &problems, &read), OLD);
}

#[test]
fn time_limits_are_compared_too() {
    let base = |verdict| BaseRun::new(String::new(), verdict, &Problems::default());
    let nothing = Problems::default();
    let (slow, failed) = (Verdict::TimedOut, Verdict::Failed);
    assert_eq!(compare(&slow, &nothing, &base(Verdict::TimedOut)), OLD);
    assert!(matches!(compare(&slow, &nothing, &base(Verdict::Failed)), Baseline::Worse { .. }));
    assert!(matches!(compare(&failed, &nothing, &base(Verdict::TimedOut)), Baseline::Unknown { .. }));
    let missing = Verdict::CouldNotRun { reason: "no tool".into() };
    assert!(matches!(compare(&failed, &nothing, &base(missing)), Baseline::Unknown { .. }));
}

#[test]
fn old_findings_are_marked_and_stand_last() {
    let (verdict, problems) = ran(GateKind::Lint, 1, "a.py:3: error: old\n");
    let base = BaseRun::new(String::new(), verdict, &problems);
    let mut found = findings::read("a.py:5: error: old\na.py:9: error: old\nb.py:1: error: fresh\n", None);
    mark_old(&mut found, &base);
    let shown: Vec<_> = found.iter().map(|f| (f.line, f.age)).collect();
    assert_eq!(shown, [(Some(9), Age::New), (Some(1), Age::New), (Some(5), Age::Old)]);
}

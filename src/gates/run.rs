//! Running one gate in a session, and the verdict.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::Problems;
use super::dependencies::Dependencies;
use super::model::Gate;
use super::results::{self, Results};
use super::{failed_tests, findings, log, signs};
use crate::domain::{GateKind, GateReport, Verdict};
use crate::sandbox::{Captured, Command, Exit, LimitHit, Limits, Outcome, SandboxError, Session, WORK};
use crate::workspace::Snapshot;

/// Runs a gate on the tree of a session.
///
/// # Errors
/// When the sandbox itself fails. A gate that cannot do its work is a report with
/// [`Verdict::CouldNotRun`].
pub async fn run(
    session: &dyn Session,
    gate: &Gate,
    dependencies: &Dependencies,
) -> Result<GateReport, SandboxError> {
    Ok(observe(session, &Snapshot::default(), gate, dependencies).await?.report())
}

/// A run with everything that was read of it.
pub(super) struct Observed {
    /// With all findings.
    pub(super) report: GateReport,
    pub(super) problems: Problems,
    /// Everything that it printed, where the report shows only a part.
    pub(super) output: Option<Captured>,
}

/// Findings and tests that a report names.
const NAMED_FINDINGS: usize = 100;
pub(super) const NAMED_TESTS: usize = 100;

impl Observed {
    fn nothing(report: GateReport) -> Self {
        Self { report, problems: Problems::default(), output: None }
    }

    /// The report, of a size that can be stored and shown.
    pub(super) fn report(self) -> GateReport {
        let mut report = self.report;
        report.findings.truncate(NAMED_FINDINGS);
        report
    }
}

/// `tree` is what the session began with: result files in it are not the gate's.
pub(super) async fn observe(
    session: &dyn Session,
    tree: &Snapshot,
    gate: &Gate,
    dependencies: &Dependencies,
) -> Result<Observed, SandboxError> {
    if let Some(reason) = gate.needs_dependencies.and_then(|needed| dependencies.missing(needed)) {
        return Ok(Observed::nothing(report(gate, Verdict::CouldNotRun { reason: reason.to_owned() })));
    }
    let outcome = match session.run(&command(gate, dependencies)).await {
        Err(SandboxError::NoSuchFolder(folder)) => {
            let reason = format!("the tree has no folder {folder}");
            return Ok(Observed::nothing(report(gate, Verdict::CouldNotRun { reason })));
        }
        outcome => outcome?,
    };
    let mut log = log::plain(&outcome.stdout.text());
    let mut verdict = verdict(gate, &outcome, &log);
    if let (Verdict::CouldNotRun { reason }, Some(hint)) = (&mut verdict, dependencies.hint()) {
        *reason = format!("{reason}; {hint}");
    }
    if let Some(limit) = outcome.limit {
        log.push_str(&format!("\n[{}]\n", limit_reached(limit, gate)));
    }
    let exit = match outcome.exit {
        Exit::Code(code) => Some(code),
        Exit::Signal(_) => None,
    };
    let mut results = Results::default();
    if matches!(verdict, Verdict::Passed | Verdict::Failed) {
        for bytes in results::collect(session, tree).await {
            results.file(&bytes, gate.cwd.as_ref());
        }
        results.output(&log, gate.cwd.as_ref());
    }
    let mut tests = if verdict == Verdict::Passed { BTreeSet::new() } else { failed_tests::read(&log) };
    if verdict != Verdict::Passed {
        tests.extend(results.failed_tests);
    }
    let mut findings = findings::read(&log, gate.cwd.as_ref());
    // A result file says the same with tool and rule.
    findings.retain(|one| {
        !results.findings.iter().any(|f| (&f.path, f.line, &f.message) == (&one.path, one.line, &one.message))
    });
    findings.extend(results.findings);
    findings.truncate(findings::READ);
    let report = GateReport {
        exit,
        duration_ms: u64::try_from(outcome.wall.as_millis()).unwrap_or(u64::MAX),
        findings,
        coverage: results.coverage,
        log: log::ends(&log),
        failed_tests: tests.iter().take(NAMED_TESTS).cloned().collect(),
        ..report(gate, verdict)
    };
    let problems = Problems::of(&report, &log, tests);
    let output = (outcome.stdout.total_bytes() > log::SHOWN as u64).then_some(outcome.stdout);
    Ok(Observed { report, problems, output })
}

fn report(gate: &Gate, verdict: Verdict) -> GateReport {
    GateReport::of((&gate.name, gate.kind, gate.requirement), gate.as_typed(), verdict)
}

/// A code of 0 is a pass only when no limit was hit and, of tests, when something was tested.
fn verdict(gate: &Gate, outcome: &Outcome, log: &str) -> Verdict {
    let could_not_run = |reason: Option<String>| reason.map(|reason| Verdict::CouldNotRun { reason });
    match (outcome.limit, outcome.exit) {
        (Some(LimitHit::Wall), _) => Verdict::TimedOut,
        (Some(_), _) | (None, Exit::Signal(_)) => Verdict::Failed,
        (None, Exit::Code(0)) => {
            let nothing = if gate.kind == GateKind::Test { signs::tested_nothing(log) } else { None };
            could_not_run(nothing).unwrap_or(Verdict::Passed)
        }
        (None, Exit::Code(code)) => {
            let program = gate.command.first().map_or("", String::as_str);
            could_not_run(signs::could_not_run(program, gate.kind, code, log)).unwrap_or(Verdict::Failed)
        }
    }
}

/// The gate's command behind a shell that merges its output in the order in which it is written, puts the
/// fetched programs in front of the path, and places files that the set-up made and the tree lacks.
fn command(gate: &Gate, dependencies: &Dependencies) -> Command {
    let mut script = String::new();
    for folder in dependencies.path() {
        script.push_str(&format!("PATH={}:$PATH; ", quoted(folder)));
    }
    for generated in dependencies.generated() {
        // The tree's own files win; a file that cannot be placed shows in what the gate says.
        script.push_str(&format!("cp -rn {}/. {WORK}/ 2>/dev/null; ", quoted(&generated)));
    }
    for line in dependencies.prelude() {
        script.push_str(line);
        script.push_str("; ");
    }
    script.push_str("export PATH; exec \"$@\" 2>&1");
    let mut argv = ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    argv.extend(gate.command.iter().cloned());
    let mut env: BTreeMap<String, String> =
        ENVIRONMENT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    env.extend(dependencies.env());
    Command {
        argv,
        env,
        cwd: gate.cwd.clone(),
        limits: limits(gate, dependencies.limits()),
        mounts: dependencies.mounts(),
        scratch: dependencies.scratch(),
        ..Command::default()
    }
}

/// The deployment's limits with the gate's own time. Where that is longer, so is its processor time.
fn limits(gate: &Gate, configured: &Limits) -> Limits {
    let longer = gate.timeout.as_secs_f64() / configured.wall.as_secs_f64().max(1.0);
    Limits { wall: gate.timeout, cpu: configured.cpu.mul_f64(longer.max(1.0)), ..configured.clone() }
}

/// No colours, no questions, no attempts at the network.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("CI", "true"),
    ("NO_COLOR", "1"),
    ("CARGO_TERM_COLOR", "never"),
    ("CARGO_NET_OFFLINE", "true"),
    ("CARGO_INCREMENTAL", "0"),
    ("GOPROXY", "off"),
    ("GOTOOLCHAIN", "local"),
    ("GOFLAGS", "-modcacherw"),
    ("GRADLE_USER_HOME", "/tmp/gradle"),
    ("BUNDLE_FROZEN", "true"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("npm_config_offline", "true"),
    ("npm_config_update_notifier", "false"),
];

/// A word for the shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn limit_reached(limit: LimitHit, gate: &Gate) -> String {
    match limit {
        LimitHit::Wall => format!("ended after {} s, its time limit", gate.timeout.as_secs()),
        LimitHit::Cpu => "ended by the limit on processor time".into(),
        LimitHit::Memory => "ended by the limit on memory".into(),
        LimitHit::Processes => "it asked for more processes than it may have".into(),
        LimitHit::FileSize => "ended by the limit on the size of a file".into(),
        LimitHit::Disk => "ended by the limit on the size of the tree".into(),
        LimitHit::Output => "ended because it wrote too much output".into(),
    }
}

//! All gates of a tree, side by side: each in a session of its own, so that none sees what another wrote.
//!
//! A test gate that fails is run once more. A gate that still fails is run on the base too, which tells an
//! old failure from one that the change brought.

use std::collections::BTreeSet;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use super::compare::{self, BaseRun};
use super::dependencies::Dependencies;
use super::model::Gate;
use super::run::{self, Observed};
use crate::domain::{Baseline, Flaky, GateKind, GateReport, Requirement, Verdict};
use crate::sandbox::{self, Captured, Sandbox, SandboxError};
use crate::workspace::Snapshot;

/// One run of all gates.
#[derive(Clone, Copy)]
pub struct Round<'a> {
    pub sandbox: &'a dyn Sandbox,
    pub dependencies: &'a Dependencies,
    /// How many gates run at the same time; at least one does.
    pub at_once: usize,
    /// The least share of lines that tests have to reach, in percent, of gates that measure it.
    pub coverage_floor: Option<f64>,
    /// The tree that is checked.
    pub tree: &'a Snapshot,
    /// What failures are compared with. `None`: every failure counts.
    pub base: Option<Base<'a>>,
}

/// The tree before the change.
#[derive(Clone, Copy)]
pub struct Base<'a> {
    /// Its commit.
    pub commit: &'a str,
    pub tree: &'a Snapshot,
    /// What earlier rounds saw of it.
    pub known: &'a [BaseRun],
}

/// What a round came to.
#[derive(Debug, Default)]
pub struct RoundEnd {
    /// In the order of the gates.
    pub reports: Vec<GateReport>,
    /// What is known of the base now.
    pub base_runs: Vec<BaseRun>,
    /// Of gates that printed more than their reports show.
    pub outputs: Vec<WholeOutput>,
}

/// Everything that a gate printed, up to the sandbox's limit of output.
#[derive(Debug)]
pub struct WholeOutput {
    pub gate: String,
    pub text: Captured,
}

/// A gate's name as a part of a path.
pub fn file_name(gate: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    gate.chars().map(|c| if plain(c) { c } else { '-' }).collect()
}

/// One gate with everything that is to be known about it.
struct Judged {
    report: GateReport,
    /// What the base was asked for.
    base_run: Option<BaseRun>,
    output: Option<Captured>,
}

impl Round<'_> {
    /// Runs the gates.
    ///
    /// # Errors
    /// When the sandbox itself fails.
    pub async fn run(&self, gates: &[Gate]) -> Result<RoundEnd, SandboxError> {
        let mut runs: Vec<BoxFuture<'_, _>> = Vec::with_capacity(gates.len());
        for gate in gates {
            runs.push(Box::pin(self.judged(gate)));
        }
        let ended: Vec<_> = stream::iter(runs).buffered(self.at_once.max(1)).try_collect().await?;
        let mut end = RoundEnd::default();
        end.base_runs.extend(self.base.iter().flat_map(|base| base.known).cloned());
        for Judged { report, base_run, output } in ended {
            end.outputs.extend(output.map(|text| WholeOutput { gate: report.name.clone(), text }));
            end.reports.push(report);
            let fresh = base_run.filter(|run| end.base_runs.iter().all(|known| known.key != run.key));
            end.base_runs.extend(fresh);
        }
        if let Some(missing) = self.unmeasured(&end.reports) {
            end.reports.push(missing);
        }
        Ok(end)
    }

    /// A floor that no gate measures anything against.
    fn unmeasured(&self, reports: &[GateReport]) -> Option<GateReport> {
        let floor = self.coverage_floor?;
        let measured = reports.iter().any(|report| report.coverage.is_some());
        let reason = "no gate wrote a coverage report that can be read (LCOV or Cobertura)".to_owned();
        (!measured && !reports.is_empty()).then(|| {
            let gate = ("coverage", GateKind::Coverage, Requirement::Required);
            let wanted = format!("at least {floor} % of the lines");
            GateReport::of(gate, wanted, Verdict::CouldNotRun { reason })
        })
    }

    async fn judged(&self, gate: &Gate) -> Result<Judged, SandboxError> {
        let mut seen = self.observed(self.tree, gate).await?;
        let mut base_run = None;
        if let Some(base) = self.base.as_ref().filter(|_| seen.report.is_failure()) {
            let run = self.on_base(base, gate).await?;
            seen.report.baseline = Some(compare::compare(&seen.report.verdict, &seen.problems, &run));
            compare::mark_old(&mut seen.report.findings, &run);
            base_run = Some(run);
        }
        let output = seen.output.take();
        let mut report = seen.report();
        blame_set_up(&mut report, self.dependencies.own_failed());
        tracing::info!(
            gate = report.name,
            verdict = ?report.verdict,
            exit = report.exit,
            baseline = ?report.baseline,
            flaky = report.flaky.is_some(),
            "gate"
        );
        Ok(Judged { report, base_run, output })
    }

    /// Runs a gate, and a test gate that fails once more. What fails both times counts.
    async fn observed(&self, tree: &Snapshot, gate: &Gate) -> Result<Observed, SandboxError> {
        let first = self.once(tree, gate).await?;
        if gate.kind != GateKind::Test
            || first.report.verdict != Verdict::Failed
            || first.problems.low_coverage.is_some()
        {
            return Ok(first);
        }
        let mut second = self.once(tree, gate).await?;
        if matches!(second.report.verdict, Verdict::CouldNotRun { .. } | Verdict::TimedOut) {
            return Ok(first);
        }
        let passed_now: BTreeSet<String> =
            first.problems.tests.difference(&second.problems.tests).cloned().collect();
        if second.report.verdict == Verdict::Passed || !passed_now.is_empty() {
            let tests = passed_now.into_iter().take(run::NAMED_TESTS).collect();
            second.report.flaky = Some(Flaky { tests, first_log: first.report.log });
        }
        second.problems = first.problems.in_both(&second.problems);
        second.report.duration_ms += first.report.duration_ms;
        Ok(second)
    }

    async fn once(&self, tree: &Snapshot, gate: &Gate) -> Result<Observed, SandboxError> {
        let session = self.sandbox.open(tree).await?;
        let seen = run::observe(session.as_ref(), tree, gate, self.dependencies).await;
        sandbox::close(session).await;
        Ok(self.measured(seen?))
    }

    /// Takes the pass away where tests reach too little of the code.
    fn measured(&self, mut seen: Observed) -> Observed {
        let report = &mut seen.report;
        let (Some(floor), Some(coverage)) = (self.coverage_floor, report.coverage) else { return seen };
        let percent = coverage.percent();
        report
            .log
            .push_str(&format!("\n[tests reach {percent:.1} % of the lines; the floor is {floor} %]\n"));
        if report.verdict == Verdict::Passed && percent < floor {
            report.verdict = Verdict::Failed;
            seen.problems.low_coverage = Some(percent);
        }
        seen
    }

    async fn on_base(&self, base: &Base<'_>, gate: &Gate) -> Result<BaseRun, SandboxError> {
        let key = key(base.commit, gate, self.dependencies, self.coverage_floor);
        if let Some(known) = base.known.iter().find(|run| run.key == key) {
            return Ok(known.clone());
        }
        let seen = self.observed(base.tree, gate).await?;
        Ok(BaseRun::new(key, seen.report.verdict, &seen.problems))
    }
}

/// A gate that fails, and not only with the change, after the repository's own set-up failed says nothing.
fn blame_set_up(report: &mut GateReport, own_failed: Option<&str>) {
    let only_here = matches!(report.baseline, Some(Baseline::Passed));
    if let Some(reason) = own_failed.filter(|_| report.is_failure() && !only_here) {
        report.verdict = Verdict::CouldNotRun { reason: reason.to_owned() };
        report.baseline = None;
    }
}

/// What a run on the base depends on: its commit, the gate, and what the gate sees besides the tree.
fn key(commit: &str, gate: &Gate, dependencies: &Dependencies, floor: Option<f64>) -> String {
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text.as_bytes());
    };
    add(commit);
    add(&format!("{gate:?} {floor:?}"));
    add(&dependencies.environment());
    add(env!("CARGO_PKG_VERSION"));
    add("by digest");
    hex::encode(digest.finalize())
}

//! Running the gates on a fresh tree of the work, by the rules of the base.

use crate::checkout::Checkout;
use crate::config::{GateEntry, RepositoryPolicy};
use crate::domain::{CommitSha, Event, GateReport, Task, Verdict};
use crate::gates::{self, CommandLine, Dependencies, GatePolicy, GateRule};
use crate::store::ArtifactKind;
use crate::workspace::Snapshot;

use super::change::{commits_of, policy, snapshot};
use super::{Pipeline, StageEnd, StageError, json_artifact};

impl Pipeline {
    pub(super) async fn gate(&self, task: &Task) -> Result<StageEnd, StageError> {
        let checkout = self.repositories.checkout(task).await?;
        let (base, head) = commits_of(task)?;
        let base_files = snapshot(&checkout, base)?;
        let rules = gate_policy(&policy(&checkout, base)?);
        let dependencies = self.dependencies(&checkout, base, &base_files).await?;
        let session = self.sandbox.open(&snapshot(&checkout, head)?).await?;
        let mut reports: Vec<GateReport> = Vec::new();
        for gate in gates::discover(&base_files, Some(&rules)) {
            let report = gates::run(session.as_ref(), &gate, &dependencies).await?;
            tracing::info!(gate = report.name, verdict = ?report.verdict, exit = report.exit, "gate");
            reports.push(report);
        }
        session.close().await?;
        let named = |wanted: fn(&GateReport) -> bool| -> Vec<String> {
            reports.iter().filter(|report| wanted(report)).map(|report| report.name.clone()).collect()
        };
        let failed = named(GateReport::blocks);
        let could_not_run = named(|report| matches!(report.verdict, Verdict::CouldNotRun { .. }));
        let artifacts = vec![json_artifact(task, ArtifactKind::Gates, "gates.json", &reports)?];
        Ok(StageEnd { events: vec![Event::Gated { failed, could_not_run }], artifacts })
    }

    /// What the project depends on, fetched for the base's lock files where the operator allows it.
    pub(super) async fn dependencies(
        &self,
        checkout: &Checkout,
        base: &CommitSha,
        base_files: &Snapshot,
    ) -> Result<Dependencies, StageError> {
        let rules = gate_policy(&policy(checkout, base)?);
        let stores = gates::Stores { root: self.settings.dependencies.clone() };
        Ok(gates::prepare(self.sandbox.as_ref(), base_files, &rules, &stores, self.settings.egress.as_ref())
            .await?)
    }
}

/// A repository's own gates, as the gate room wants them.
fn gate_policy(policy: &RepositoryPolicy) -> GatePolicy {
    let gates = policy.gates.as_ref().map(|gates| gates.iter().map(rule).collect());
    GatePolicy { gates, ..GatePolicy::default() }
}

fn rule(entry: &GateEntry) -> GateRule {
    unimplemented_until_merge(entry)
}

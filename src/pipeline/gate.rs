//! Running the gates on a fresh tree of the work, by the rules of the base.

use std::num::NonZeroU32;

use crate::config::{GateEntry, RepositoryPolicy};
use crate::domain::{Event, GateKind, GateReport, Origin, Requirement, Task, Verdict};
use crate::gates::{self, CommandLine, Dependencies, GatePolicy, GateRule, Stores};
use crate::store::ArtifactKind;
use crate::workspace::Snapshot;

use super::change::{commits_of, policy, snapshot};
use super::{Pipeline, StageEnd, StageError, json_artifact};

impl Pipeline {
    pub(super) async fn gate(&self, task: &Task) -> Result<StageEnd, StageError> {
        let checkout = self.repositories.checkout(task).await?;
        let (base, head) = commits_of(task)?;
        let base_files = snapshot(&checkout, base).await?;
        let policy = policy(&checkout, base)?;
        let rules = gate_policy(&policy);
        let dependencies = self.dependencies(task, &rules, &base_files).await?;
        let session = self.sandbox.open(&snapshot(&checkout, head).await?).await?;
        let mut reports: Vec<GateReport> = Vec::new();
        for gate in gates::discover(&base_files, Some(&rules)) {
            let report = gates::run(session.as_ref(), &gate, &dependencies).await?;
            tracing::info!(gate = report.name, verdict = ?report.verdict, exit = report.exit, "gate");
            reports.push(report);
        }
        session.close().await?;
        reports.extend(self.base_tests(task, &checkout, (&policy, &dependencies), &reports).await?);
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
        task: &Task,
        rules: &GatePolicy,
        base_files: &Snapshot,
    ) -> Result<Dependencies, StageError> {
        let repository = match &task.origin {
            Origin::GitHub(place) => format!("github-{}", place.repository),
            Origin::Local { repository, .. } => format!("local-{repository}"),
        };
        let stores = Stores {
            cache_root: &self.settings.dependencies,
            repository: &repository,
            egress: self.settings.egress.as_ref(),
        };
        Ok(gates::prepare(self.sandbox.as_ref(), base_files, Some(rules), stores).await?)
    }
}

/// A repository's own gates, as the gate room wants them.
pub(super) fn gate_policy(policy: &RepositoryPolicy) -> GatePolicy {
    let gates = policy.gates.as_ref().map(|gates| gates.iter().map(rule).collect());
    GatePolicy { gates, ..GatePolicy::default() }
}

fn rule(entry: &GateEntry) -> GateRule {
    let seconds = entry.timeout.and_then(|timeout| u32::try_from(timeout.as_secs()).ok());
    let kind = entry.kind.as_ref().map(|kind| serde_json::Value::from(kind.as_str()));
    GateRule {
        name: entry.name.clone(),
        // A kind that we do not know is one of the repository's own.
        kind: kind.and_then(|kind| serde_json::from_value(kind).ok()).unwrap_or(GateKind::Custom),
        run: CommandLine::Words(entry.run.argv()),
        cwd: None,
        timeout_seconds: seconds.and_then(NonZeroU32::new),
        requirement: if entry.required { Requirement::Required } else { Requirement::Advisory },
        needs: None,
    }
}

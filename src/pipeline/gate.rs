//! Running the gates on fresh trees of the work, by the rules of the base and compared with it.

use std::num::NonZeroU32;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::config::{GateCommand, GateEntry, RepositoryPolicy};
use crate::domain::{Event, GateKind, GateReport, Origin, Requirement, Task, Verdict};
use crate::gates::{
    self, Base, BaseRun, CommandLine, Dependencies, GatePolicy, GateRule, Round, RoundEnd, SetupPolicy,
    Stores, WholeOutput,
};
use crate::store::{Artifact, ArtifactKind};
use crate::telemetry::Redactor;
use crate::workspace::{Snapshot, aside};

use super::change::{commits_of, policy, snapshot};
use super::cleaned::copy_clean;
use super::{Pipeline, StageEnd, StageError, json_artifact};

impl Pipeline {
    pub(super) async fn gate(&self, task: &Task) -> Result<StageEnd, StageError> {
        let (reports, artifacts) = self.gated(task).await?;
        let named = |wanted: fn(&GateReport) -> bool| -> Vec<String> {
            reports.iter().filter(|report| wanted(report)).map(|report| report.name.clone()).collect()
        };
        let failed = named(GateReport::blocks);
        let could_not_run = named(|report| matches!(report.verdict, Verdict::CouldNotRun { .. }));
        Ok(StageEnd { events: vec![Event::Gated { failed, could_not_run }], artifacts })
    }

    /// What the gates say of the task's head, and what is to be kept of it.
    pub(super) async fn gated(&self, task: &Task) -> Result<(Vec<GateReport>, Vec<Artifact>), StageError> {
        let checkout = self.repositories.checkout(task).await?;
        let (base, head) = commits_of(task)?;
        let base_files = snapshot(&checkout, base).await?;
        let policy = policy(&checkout, base)?;
        let rules = gate_policy(&policy);
        let dependencies = self.dependencies(task, &rules, &base_files).await?;
        let known: Vec<BaseRun> = self.kept(task, ArtifactKind::BaseGates).await?;
        let head_files = snapshot(&checkout, head).await?;
        let before = Base { commit: base.as_str(), tree: &base_files, known: &known };
        let round = Round {
            sandbox: self.sandbox.as_ref(),
            dependencies: &dependencies,
            at_once: self.settings.gates_at_once,
            coverage_floor: rules.coverage_floor,
            tree: &head_files,
            base: Some(before),
        };
        let gates = gates::discover(&base_files, Some(&rules))?;
        let RoundEnd { mut reports, base_runs, mut outputs } = round.run(&gates).await?;
        let again = self.base_tests(task, &checkout, (&round, before, &gates), &reports).await?;
        reports.extend(again.reports);
        outputs.extend(again.outputs);
        let mut artifacts = vec![json_artifact(task, ArtifactKind::Gates, "gates.json", &reports)?];
        let passed = |gate: &str| {
            reports.iter().any(|report| report.name == gate && report.verdict == Verdict::Passed)
        };
        let logs = outputs.iter().filter(|output| !passed(&output.gate)).enumerate();
        artifacts.extend(logs.filter_map(|(number, output)| whole_log(task, number, output, &self.redactor)));
        if base_runs != known {
            artifacts.push(json_artifact(task, ArtifactKind::BaseGates, "base-gates.json", &base_runs)?);
        }
        Ok((reports, artifacts))
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
            limits: &self.settings.command_limits,
        };
        let dependencies = gates::prepare(self.sandbox.as_ref(), base_files, Some(rules), stores).await?;
        for record in dependencies.records.iter().filter(|record| !record.succeeded) {
            tracing::warn!(commands = record.commands, "the set-up step failed");
        }
        if !dependencies.records.is_empty() {
            // Whatever becomes of the stage, what was asked of the network stays known.
            let kept = json_artifact(task, ArtifactKind::Setup, "setup.json", &dependencies.records)?;
            self.store.keep(task.id, &kept).await?;
        }
        Ok(dependencies)
    }
}

/// The most that one whole output takes in the database, packed.
const WHOLE_LOG: usize = 8 << 20;

/// Everything that a gate printed, packed. What stays too large even so, or cannot be read any more, is not
/// worth the stage: the report has its two ends.
fn whole_log(task: &Task, number: usize, output: &WholeOutput, redactor: &Redactor) -> Option<Artifact> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = aside(|| {
        copy_clean(output.text.whole(), &mut packed, redactor)?;
        packed.finish()
    });
    match packed {
        Ok(body) if body.len() <= WHOLE_LOG => {
            let name = format!("{number}-{}.log.gz", gates::file_name(&output.gate));
            Some(Artifact { kind: ArtifactKind::GateLog, version: task.version, name, body })
        }
        Ok(body) => {
            tracing::warn!(
                gate = output.gate,
                bytes = body.len(),
                "a gate's whole output is too large to keep"
            );
            None
        }
        Err(error) => {
            tracing::warn!(gate = output.gate, %error, "a gate's whole output cannot be read back");
            None
        }
    }
}

/// A repository's own gates, as the gate room wants them.
pub fn gate_policy(policy: &RepositoryPolicy) -> GatePolicy {
    let gates = policy.gates.as_ref().map(|gates| gates.iter().map(rule).collect());
    let commands = policy.setup.iter().flatten().map(|command| match command {
        GateCommand::Shell(line) => CommandLine::Shell(line.clone()),
        GateCommand::Argv(words) => CommandLine::Words(words.clone()),
    });
    let setup = SetupPolicy { commands: commands.collect(), python: None };
    GatePolicy { gates, setup, coverage_floor: policy.coverage_floor }
}

fn rule(entry: &GateEntry) -> GateRule {
    let seconds = entry.timeout.and_then(|timeout| u32::try_from(timeout.as_secs()).ok());
    GateRule {
        name: entry.name.clone(),
        kind: entry.kind.map_or(GateKind::Custom, kind),
        run: CommandLine::Words(entry.run.argv()),
        cwd: None,
        timeout_seconds: seconds.and_then(NonZeroU32::new),
        requirement: if entry.required { Requirement::Required } else { Requirement::Advisory },
        needs: None,
    }
}

/// The kinds that the policy's reader lets pass.
fn kind(name: &str) -> GateKind {
    match name {
        "format" => GateKind::Format,
        "lint" => GateKind::Lint,
        "types" => GateKind::Types,
        "test" => GateKind::Test,
        "coverage" => GateKind::Coverage,
        "security" => GateKind::Security,
        "audit" => GateKind::Audit,
        "secrets" => GateKind::Secrets,
        _ => GateKind::Custom,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GATE_KINDS;

    #[test]
    fn every_kind_that_a_policy_may_name_is_the_one_that_it_says() {
        for name in GATE_KINDS {
            let named: GateKind = serde_json::from_value(name.into()).expect("a kind");
            assert_eq!(kind(name), named);
        }
    }
}

//! What a run came to: its report, its exit code, and the same for programs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use crate::application::LocalApplication;
use crate::config::Config;
use crate::domain::{Answer, Origin, Reason, Requirement, State, Task, TaskId, Verdict};
use crate::effects::{Gathered, altered_tests, diff_of, size_of};
use crate::speech::{ChangeSize, Gateway, LocalReportView, Mode, local_outcome, local_report};
use crate::store::{Artifact, ArtifactKind};
use crate::telemetry::Redactor;

use super::super::Exit;

/// A task at its end, with what it has to show.
pub(super) struct Outcome {
    pub task: Task,
    pub gathered: Gathered,
    size: ChangeSize,
    altered_tests: Vec<String>,
    pub exit: Exit,
    /// The work as a file, where no branch holds it.
    pub patch: Option<PathBuf>,
}

/// A run that has ended.
pub(super) struct Ended {
    pub run: TaskId,
    pub tasks: Vec<Outcome>,
    pub report: PathBuf,
    pub dry_run: bool,
}

impl Ended {
    pub(super) fn exit(&self) -> Exit {
        worst(self.tasks.iter().map(|outcome| outcome.exit))
    }

    fn mode(&self) -> Mode {
        mode(self.dry_run)
    }
}

impl Outcome {
    fn view(&self, budget_micro_usd: Option<u64>, mode: Mode) -> LocalReportView<'_> {
        LocalReportView {
            task: &self.task,
            done: &self.gathered.summary,
            size: self.size,
            altered_tests: &self.altered_tests,
            evidence: self.gathered.evidence(budget_micro_usd),
            patch: self.patch.as_ref().and(self.gathered.patch.as_deref()),
            answer: self.gathered.answer.as_ref(),
            mode,
        }
    }
}

fn mode(dry_run: bool) -> Mode {
    if dry_run { Mode::DryRun } else { Mode::Live }
}

/// Several tasks end as the one that needs a person most.
fn worst(exits: impl Iterator<Item = Exit>) -> Exit {
    let rank = |exit: &Exit| match exit {
        Exit::Done => 0,
        Exit::Unverified => 1,
        Exit::NeedsAnswer => 2,
        Exit::NeedsPerson => 3,
        Exit::Usage => 4,
        Exit::Failed => 5,
    };
    exits.max_by_key(rank).unwrap_or(Exit::Failed)
}

/// Gathers what the tasks of a run came to and writes the report.
pub(super) async fn gather(
    config: &Config,
    application: &LocalApplication,
    run: TaskId,
    report: Option<&Path>,
) -> anyhow::Result<Ended> {
    let folder = config.data_dir.join("reports");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut tasks = Vec::new();
    for task in application.store.tasks_of_run(run).await? {
        tasks.push(outcome(config, application, task, &folder).await?);
    }
    let report = report.map_or_else(|| folder.join(format!("{run}.md")), Path::to_owned);
    let text = report_text(config, application, &tasks).await?;
    fs::write(&report, text).with_context(|| format!("cannot write the report {}", report.display()))?;
    let report = report.canonicalize().unwrap_or(report);
    Ok(Ended { run, tasks, report, dry_run: config.dry_run })
}

async fn outcome(
    config: &Config,
    application: &LocalApplication,
    task: Task,
    folder: &Path,
) -> anyhow::Result<Outcome> {
    let gathered = Gathered::of(&application.store, &task).await?;
    let (mut size, mut altered) = (ChangeSize::default(), Vec::new());
    if task.head.is_some() {
        // A repository that went away takes these figures with it, and not the report.
        let checkout = application.repositories.checkout(&task).await;
        if let Some(diff) = checkout.ok().and_then(|checkout| diff_of(&checkout, &task).ok()) {
            (size, altered) = (size_of(&diff), altered_tests(&diff));
        }
    }
    let mut patch = None;
    if task.state != State::Done
        && let Some(text) = gathered.patch.as_deref().filter(|text| !text.is_empty())
    {
        let path = folder.join(format!("{}.patch", task.id));
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        patch = Some(path.canonicalize().unwrap_or(path));
    }
    let exit = exit_of(&task, &gathered, config.dry_run);
    Ok(Outcome { task, gathered, size, altered_tests: altered, exit, patch })
}

fn exit_of(task: &Task, gathered: &Gathered, dry_run: bool) -> Exit {
    match &task.state {
        State::Done if is_verified(gathered) => Exit::Done,
        State::Done => Exit::Unverified,
        State::Answered if gathered.answer.as_ref().is_some_and(Answer::holds) => Exit::Done,
        State::Answered => Exit::Unverified,
        // All that a dry run is to do.
        State::NeedsPerson { reason: Reason::NothingChanged { .. }, .. } if dry_run => Exit::Done,
        State::NeedsPerson { .. } => Exit::NeedsPerson,
        State::WaitingForAnswer { .. } => Exit::NeedsAnswer,
        _ => Exit::Failed,
    }
}

/// Whether every required gate ran, and there was one. A failure that is older than the change is a run.
fn is_verified(gathered: &Gathered) -> bool {
    let mut required =
        gathered.gates.iter().filter(|gate| gate.requirement == Requirement::Required).peekable();
    required.peek().is_some() && required.all(|gate| gate.verdict == Verdict::Passed || gate.is_old())
}

/// The report of each task, one below the other; each is kept with its task as well.
async fn report_text(
    config: &Config,
    application: &LocalApplication,
    tasks: &[Outcome],
) -> anyhow::Result<String> {
    let redact = |text: &str| application.redactor.clean(text);
    let gateway = Gateway::new(&redact, &[]);
    let mut texts = Vec::new();
    for outcome in tasks {
        let task = &outcome.task;
        let text = local_report(
            &gateway,
            &outcome.view(
                task.budget.limits(config.limits.task(), config.limits.most).cost_micro_usd,
                mode(config.dry_run),
            ),
        );
        let body = text.clone().into_bytes();
        let kept =
            Artifact { kind: ArtifactKind::Report, version: task.version, name: "report.md".into(), body };
        application.store.keep(task.id, &kept).await?;
        texts.push(text);
    }
    Ok(texts.join("\n---\n\n"))
}

/// The end of a run in a few lines.
pub(super) fn summary(ended: &Ended, redactor: &Redactor) -> String {
    let redact = |text: &str| redactor.clean(text);
    let gateway = Gateway::new(&redact, &[]);
    let mut lines = Vec::new();
    for outcome in &ended.tasks {
        lines.extend(local_outcome(&gateway, &outcome.view(None, ended.mode())));
        lines.extend(outcome.patch.iter().map(|patch| format!("patch    {}", patch.display())));
    }
    lines.push(format!("report   {}", ended.report.display()));
    lines.join("\n")
}

/// The end of a run for programs.
pub(super) fn as_json(ended: &Ended, redactor: &Redactor) -> Value {
    let tasks: Vec<Value> = ended.tasks.iter().map(task_json).collect();
    let stopped = ended.tasks.iter().any(|outcome| outcome.exit == Exit::NeedsPerson);
    let value = json!({
        "outcome": ended.exit().name(),
        "exit": ended.exit() as u8,
        "run": ended.run,
        "dry_run": ended.dry_run,
        "report": ended.report,
        "resume": stopped.then(|| format!("orchestrator run --resume {}", ended.run)),
        "tasks": tasks,
    });
    // Models and tools have written parts of it.
    redactor.clean_json(value)
}

fn task_json(outcome: &Outcome) -> Value {
    let Outcome { task, gathered, size, altered_tests, exit, patch } = outcome;
    let (repository, base_branch) = match &task.origin {
        Origin::Local { repository, base } => (Some(repository), Some(base)),
        Origin::GitHub(_) => (None, None),
    };
    let gates = gathered.gates.iter().map(|gate| {
        json!({
            "name": gate.name, "command": gate.command, "requirement": gate.requirement,
            "verdict": gate.verdict, "exit": gate.exit, "duration_ms": gate.duration_ms,
        })
    });
    let findings =
        gathered.findings.iter().map(|(finding, status)| json!({ "finding": finding, "status": status }));
    json!({
        "id": task.id,
        "title": task.title(),
        "outcome": exit.name(),
        "state": task.state,
        "repository": repository,
        "base_branch": base_branch,
        "base": task.base,
        "head": task.head,
        "branch": task.branch.as_ref().filter(|_| task.state == State::Done),
        "patch": patch,
        "files_changed": size.files,
        "lines_added": size.added_lines,
        "lines_removed": size.removed_lines,
        "altered_tests": altered_tests,
        "gate_rounds": task.gate_rounds,
        "review_rounds": task.review_rounds,
        "gates": gates.collect::<Vec<_>>(),
        "findings": findings.collect::<Vec<_>>(),
        "failed_reviewers": gathered.failed_reviewers,
        "switched_off": gathered.switched_off,
        "answer": gathered.answer,
        "usage": gathered.usage,
        "cost_usd": gathered.usage.cost_usd(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{GateKind, GateReport};

    fn gate(requirement: Requirement, verdict: Verdict) -> GateReport {
        GateReport::of(("test", GateKind::Test, requirement), "make", verdict)
    }

    #[test]
    fn work_that_no_required_gate_looked_at_is_unverified() {
        let missing = Verdict::CouldNotRun { reason: "no tool".into() };
        let of = |gates: Vec<GateReport>| is_verified(&Gathered { gates, ..Gathered::default() });
        let (required, advisory) = (Requirement::Required, Requirement::Advisory);
        assert!(of(vec![gate(required, Verdict::Passed), gate(advisory, missing.clone())]));
        assert!(!of(vec![gate(required, Verdict::Passed), gate(required, missing)]));
        assert!(!of(vec![gate(advisory, Verdict::Passed)]));
        assert!(!of(vec![]));
    }

    #[test]
    fn the_task_that_needs_a_person_most_decides() {
        assert_eq!(worst([Exit::Done, Exit::NeedsPerson, Exit::Unverified].into_iter()), Exit::NeedsPerson);
        assert_eq!(worst([Exit::NeedsAnswer, Exit::Unverified].into_iter()), Exit::NeedsAnswer);
        assert_eq!(worst([].into_iter()), Exit::Failed);
    }
}

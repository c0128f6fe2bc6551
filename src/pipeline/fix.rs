//! Mending: what a gate, a reviewer or a person objects to.

use crate::agents::{Change, FixInput, Wrong};
use crate::config::ChosenEngine;
use crate::domain::{
    Age, Baseline, Changed, Event, FixCause, GateReport, Reason, ReviewRound, State, Task, Verdict,
};
use crate::llm::boundary::PromptText;
use crate::store::ArtifactKind;

use super::change::{change_of, fork_point, policy, snapshot};
use super::engine::{Desk, Job, Written, with_kept};
use super::gate::gate_policy;
use super::implement::{specification_of, whole_files};
use super::instructions::instructions;
use super::review::blocks;
use super::time::StageTime;
use super::{Pipeline, StageEnd, StageError};

impl Pipeline {
    pub(super) async fn fix(&self, task: &Task, time: StageTime) -> Result<StageEnd, StageError> {
        let State::Fixing { cause } = &task.state else {
            return Err(StageError::stop(Reason::Internal { detail: "there is nothing to fix".into() }));
        };
        let specification = specification_of(task)?;
        let checkout = self.repositories.checkout(task).await?;
        // On an open pull request the work goes on from what is there now, people's commits included.
        let remote_head = match (&task.branch, task.pull_request) {
            (Some(branch), Some(_)) => Some(checkout.mirror.resolve(branch)?),
            _ => None,
        };
        let parent = match (*cause, &remote_head, &task.head) {
            (FixCause::Instruction, Some(remote), _) => remote.clone(),
            (_, _, Some(head)) => head.clone(),
            (_, _, None) => {
                return Err(StageError::stop(Reason::Internal { detail: "there is no work to fix".into() }));
            }
        };
        let base = task.base.clone().unwrap_or_else(|| checkout.tip.clone());
        let policy = policy(&checkout, &base)?;
        let engine = self.engine(&policy)?;
        let limits = self.settings.limits.lowered_by(&policy.limits);
        let wrong = self.wrong(task, *cause).await?;
        let from = fork_point(&checkout, &base, &parent)?;
        let change = change_of(&checkout, &parent, &checkout.mirror.diff(&from, &parent)?)?;
        let files = snapshot(&checkout, &parent).await?;
        let base_files = snapshot(&checkout, &base).await?;
        let agent = self.agent(task, &policy, self.prompts(&base_files, &base)?);
        let mut fence = self.fence(task, &checkout, &base, &policy)?;
        let remote_head = remote_head.filter(|_| *cause == FixCause::Instruction);
        if let Some(remote) = &remote_head {
            fence = fence.after(remote);
        }
        let next = self.next_commit(fence, (&base, &parent), &base_files);
        let session = self.sandbox.open(&files).await?;
        let dependencies = self.dependencies(task, &gate_policy(&policy), &base_files).await?;
        let toolbox = self.toolbox(dependencies, &next, session.as_ref());
        let rules = next.fence.in_words();
        let places = self.places_of_wrong(&checkout, &parent, (&wrong, &change)).await;
        let touched: Vec<String> = touched(&change, &wrong);
        let instructions = instructions(&base_files, &touched);
        let whole = match engine {
            ChosenEngine::SingleShot => whole_files(&files, touched),
            ChosenEngine::ToolLoop | ChosenEngine::Command { .. } => PromptText::default(),
        };
        let input = FixInput {
            specification,
            rules: &rules,
            instructions: &instructions,
            change: &change,
            places: &places,
            wrong: &wrong,
        };
        let desk = Desk {
            task,
            agent: &agent,
            session: session.as_ref(),
            toolbox: &toolbox,
            limits: time.tool_limits(&limits),
            files: &whole,
        };
        let Written { done, kept } = self.write(engine, &desk, Job::Fix(input)).await?;
        drop(toolbox);
        let taken = self.take_in(task, "fixer", &next, session, done).await;
        let (head, artifacts) = with_kept(taken, kept)?;
        let event = match head {
            Ok(head) => Event::Fixed { head, changed: Changed::Yes, remote_head },
            Err(said) => Event::Fixed { head: parent, changed: Changed::No { said }, remote_head },
        };
        Ok(StageEnd { events: vec![event], artifacts })
    }

    /// What the fixer is told.
    async fn wrong(&self, task: &Task, cause: FixCause) -> Result<Vec<Wrong>, StageError> {
        match cause {
            FixCause::Instruction => {
                let text = task.instruction.clone().unwrap_or_default();
                Ok(vec![Wrong::Instruction { by: "a maintainer".into(), text }])
            }
            FixCause::Gates => {
                let reports: Vec<GateReport> = self.kept(task, ArtifactKind::Gates).await?;
                Ok(reports.iter().filter(|report| report.blocks()).map(gate_in_words).collect())
            }
            // Those that block come first; the others are mended with them, or tried alone.
            FixCause::Findings | FixCause::Remarks => {
                let round: ReviewRound = self.kept(task, ArtifactKind::Review).await?;
                let blocking = round.open().filter(|finding| blocks(&round, finding));
                let remarks = round.open().filter(|finding| self.is_remark(&round, finding));
                Ok(blocking.chain(remarks).cloned().map(Wrong::Finding).collect())
            }
        }
    }

    /// The newest kept results of a kind; empty where there are none.
    pub(super) async fn kept<T: serde::de::DeserializeOwned + Default>(
        &self,
        task: &Task,
        kind: ArtifactKind,
    ) -> Result<T, StageError> {
        match self.store.latest_artifact(task, kind).await? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let detail = format!("the kept {} results cannot be read: {error}", kind.as_str());
                StageError::stop(Reason::Internal { detail })
            }),
            None => Ok(T::default()),
        }
    }
}

/// The files that a fix is about: those of the change, and those that findings name.
fn touched(change: &Change, wrong: &[Wrong]) -> Vec<String> {
    let named = wrong.iter().filter_map(|wrong| match wrong {
        Wrong::Finding(finding) => Some(finding.path.clone()),
        Wrong::Gate { .. } | Wrong::Instruction { .. } => None,
    });
    change.files.iter().map(|file| file.path.clone()).chain(named).collect()
}

fn gate_in_words(report: &GateReport) -> Wrong {
    let end = match (&report.verdict, report.exit) {
        (Verdict::TimedOut, _) => "ended by its time limit".to_owned(),
        (_, Some(code)) => format!("exit code {code}"),
        (_, None) => "ended by a signal".to_owned(),
    };
    let log = format!("{}{}", report.log, places(report));
    Wrong::Gate { name: report.name.clone(), command: report.command.clone(), end, log }
}

/// Findings that a fixer is told of, the new ones first.
const MOST_PLACES: usize = 50;

/// Where a gate points to, and which of it is older than the change.
fn places(report: &GateReport) -> String {
    let mut text = String::new();
    for finding in report.findings.iter().take(MOST_PLACES) {
        let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
        let rule = finding.rule.as_ref().map(|rule| format!(" [{rule}]")).unwrap_or_default();
        let old = match finding.age {
            Age::New => "",
            Age::Old => " (the base has this too: not yours to mend)",
        };
        text.push_str(&format!("\n{}{line}: {}{rule}{old}", finding.path, finding.message));
    }
    if let Some(Baseline::Worse { new }) = &report.baseline {
        text.push_str("\nThe base fails too. New with this change: ");
        text.push_str(&new.join("; "));
    }
    if text.is_empty() { text } else { format!("\n[places that it names]{text}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{GateFinding, GateKind, GateSeverity, Requirement};

    #[test]
    fn a_fixer_is_told_how_the_gate_ended() {
        let report = |verdict, exit| GateReport {
            name: "test".into(),
            kind: GateKind::Test,
            requirement: Requirement::Required,
            command: "cargo test".into(),
            verdict,
            exit,
            duration_ms: 1,
            log: "FAILED".into(),
            findings: vec![],
            failed_tests: vec![],
            baseline: None,
            flaky: None,
            coverage: None,
        };
        let end = |wrong| match wrong {
            Wrong::Gate { end, .. } => end,
            other => panic!("{other:?}"),
        };
        assert_eq!(end(gate_in_words(&report(Verdict::Failed, Some(101)))), "exit code 101");
        assert_eq!(end(gate_in_words(&report(Verdict::TimedOut, None))), "ended by its time limit");

        let finding = |path: &str, age| GateFinding {
            path: path.into(),
            line: Some(3),
            message: "wrong".into(),
            severity: GateSeverity::Error,
            tool: None,
            rule: Some("R1".into()),
            age,
        };
        let findings = vec![finding("a.py", Age::New), finding("b.py", Age::Old)];
        let log = match gate_in_words(&GateReport { findings, ..report(Verdict::Failed, Some(1)) }) {
            Wrong::Gate { log, .. } => log,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            log,
            "FAILED\n[places that it names]\na.py:3: wrong [R1]\nb.py:3: wrong [R1] (the base has this too: not yours to mend)\n"
        );
    }
}

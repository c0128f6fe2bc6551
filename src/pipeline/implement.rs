//! Writing the code: a model with tools, on a tree in the sandbox.

use crate::agents::{AgentError, ImplementInput, Implemented, implement};
use crate::checkout::Checkout;
use crate::context::{overview, relevant, snippets_text};
use crate::domain::{CommitSha, Event, Reason, Task, TaskSpecification};
use crate::gates::GatePolicy;
use crate::sandbox::Session;
use crate::store::{Artifact, ArtifactKind};
use crate::workspace::Snapshot;

use super::change::{Made, policy, snapshot};
use super::gate::gate_policy;
use super::publish::check_approval;
use super::time::StageTime;
use super::toolbox::SandboxToolbox;
use super::{OVERVIEW_TOKENS, Pipeline, SNIPPETS_TOKENS, StageEnd, StageError, agent_failure, json_artifact};

/// A tree for an agent to work on.
pub(super) struct Bench<'a> {
    pub checkout: &'a Checkout,
    pub base: &'a CommitSha,
    /// What the work goes on from.
    pub parent: &'a CommitSha,
    pub role: &'static str,
}

impl Pipeline {
    pub(super) async fn implement(&self, task: &Task, time: StageTime) -> Result<StageEnd, StageError> {
        check_approval(task, self.store.rules())?;
        let specification = specification_of(task)?;
        let checkout = self.repositories.checkout(task).await?;
        let base = checkout.tip.clone();
        let policy = policy(&checkout, &base)?;
        let limits = self.settings.limits.lowered_by(&policy.limits);
        let files = snapshot(&checkout, &base).await?;
        let overview = overview(&files, OVERVIEW_TOKENS);
        let snippets = snippets_text(&relevant(&files, &query(specification), SNIPPETS_TOKENS));
        let agent = self.agent(task, &limits).await?;
        let session = self.sandbox.open(&files).await?;
        let toolbox = self.toolbox(task, &gate_policy(&policy), &files, session.as_ref()).await?;
        let input =
            ImplementInput { specification, overview: &overview, snippets: &snippets, earlier_failures: "" };
        let done = implement(&agent, &toolbox, time.tool_limits(&limits), input).await;
        drop(toolbox);
        let bench = Bench { checkout: &checkout, base: &base, parent: &base, role: "implementer" };
        let (head, artifacts) = self.take_in(task, &bench, session, done).await?;
        match head {
            Ok(head) => Ok(StageEnd { events: vec![Event::Implemented { base, head }], artifacts }),
            Err(said) => Err(StageError::Stop { reason: Reason::NothingChanged { said }, kept: artifacts }),
        }
    }

    /// The tools of a model, with the dependencies that the gates see.
    pub(super) async fn toolbox<'a>(
        &self,
        task: &Task,
        rules: &GatePolicy,
        base_files: &Snapshot,
        session: &'a dyn Session,
    ) -> Result<SandboxToolbox<'a>, StageError> {
        let dependencies = self.dependencies(task, rules, base_files).await?;
        Ok(SandboxToolbox { session, limits: self.settings.command_limits.clone(), dependencies })
    }

    /// Reads back what an agent left in its tree and commits it. The inner `Err` is what the agent says
    /// where it changed nothing. An agent that was interrupted has its work kept all the same.
    pub(super) async fn take_in(
        &self,
        task: &Task,
        bench: &Bench<'_>,
        session: Box<dyn Session>,
        done: Result<Implemented, AgentError>,
    ) -> Result<(Result<CommitSha, String>, Vec<Artifact>), StageError> {
        let read_back = session.read_back().await;
        session.close().await?;
        let files = read_back?.tree;
        match done {
            Ok(done) => {
                let made = Made {
                    base: bench.base,
                    parent: bench.parent,
                    files: &files,
                    subject: &done.commit_subject,
                    summary: &done.summary,
                    transcript: &done.transcript,
                };
                match self.commit(task, bench.checkout, &made).await? {
                    Some((head, artifacts)) => Ok((Ok(head), artifacts)),
                    None => {
                        let name = "transcript.json";
                        let kept = json_artifact(task, ArtifactKind::Transcript, name, &done.transcript)?;
                        Ok((Err(done.summary), vec![kept]))
                    }
                }
            }
            Err(error) => {
                let mut kept = Vec::new();
                if let AgentError::Interrupted(interrupted) = &error {
                    let made = Made {
                        base: bench.base,
                        parent: bench.parent,
                        files: &files,
                        subject: "wip: work that was interrupted",
                        summary: &error.to_string(),
                        transcript: &interrupted.transcript,
                    };
                    kept = match self.commit(task, bench.checkout, &made).await? {
                        Some((_, artifacts)) => artifacts,
                        None => Vec::new(),
                    };
                }
                Err(StageError::Stop { reason: agent_failure(bench.role, &error), kept })
            }
        }
    }
}

pub(super) fn specification_of(task: &Task) -> Result<&TaskSpecification, StageError> {
    match &task.plan {
        Some(plan) => Ok(&plan.specification),
        None => Err(StageError::stop(Reason::Internal { detail: "the task has no plan".into() })),
    }
}

/// What to look for in the repository.
fn query(specification: &TaskSpecification) -> String {
    let mut text = format!("{}\n{}\n", specification.title, specification.objective);
    for line in specification.requirements.iter().chain(&specification.likely_files) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

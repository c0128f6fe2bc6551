//! Writing the code: a model with tools, on a tree in the sandbox.

use crate::agents::{AgentError, ImplementInput, Implemented, implement};
use crate::context::{overview, relevant, snippets_text};
use crate::domain::{CommitSha, Event, Reason, Task, TaskSpecification};
use crate::gates::Dependencies;
use crate::sandbox::Session;
use crate::store::{Artifact, ArtifactKind};
use crate::workspace::Snapshot;

use super::change::{Made, policy, snapshot};
use super::fence::Fence;
use super::gate::gate_policy;
use super::publish::check_approval;
use super::time::StageTime;
use super::toolbox::SandboxToolbox;
use super::{OVERVIEW_TOKENS, Pipeline, SNIPPETS_TOKENS, StageEnd, StageError, agent_failure, json_artifact};

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
        let fence = self.fence(task, &checkout, (&base, &base), (&policy, &files))?;
        let session = self.sandbox.open(&files).await?;
        let dependencies = self.dependencies(task, &gate_policy(&policy), &files).await?;
        let toolbox = self.toolbox(dependencies, &fence, session.as_ref());
        let input = ImplementInput {
            specification,
            rules: &fence.in_words(),
            overview: &overview,
            snippets: &snippets,
            earlier_failures: "",
        };
        let done = implement(&agent, &toolbox, time.tool_limits(&limits), input).await;
        drop(toolbox);
        let (head, artifacts) = self.take_in(task, "implementer", &fence, session, done).await?;
        match head {
            Ok(head) => Ok(StageEnd { events: vec![Event::Implemented { base, head }], artifacts }),
            Err(said) => Err(StageError::Stop { reason: Reason::NothingChanged { said }, kept: artifacts }),
        }
    }

    /// The tools of a model, with the dependencies that the gates see.
    pub(super) fn toolbox<'a>(
        &self,
        dependencies: Dependencies,
        fence: &'a Fence<'a>,
        session: &'a dyn Session,
    ) -> SandboxToolbox<'a> {
        SandboxToolbox { session, limits: self.settings.command_limits.clone(), dependencies, fence }
    }

    /// Reads back what an agent left in its tree and commits it, if the fence lets it pass. The inner `Err` is
    /// what the agent says where it changed nothing. Work that is refused, or that an interrupted agent did, is
    /// kept and is nobody's head.
    pub(super) async fn take_in(
        &self,
        task: &Task,
        role: &str,
        fence: &Fence<'_>,
        session: Box<dyn Session>,
        done: Result<Implemented, AgentError>,
    ) -> Result<(Result<CommitSha, String>, Vec<Artifact>), StageError> {
        let read_back = session.read_back().await;
        session.close().await?;
        let files = read_back?.tree;
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                let kept = self.interrupted_work(task, fence, &files, &error)?;
                return Err(StageError::Stop { reason: agent_failure(role, &error), kept });
            }
        };
        let made = Made {
            files: &files,
            subject: &done.commit_subject,
            summary: &done.summary,
            transcript: &done.transcript,
        };
        let Some((head, artifacts)) = self.commit(task, fence, &made)? else {
            let name = "transcript.json";
            let kept = json_artifact(task, ArtifactKind::Transcript, name, &done.transcript)?;
            return Ok((Err(done.summary), vec![kept]));
        };
        match fence.refusal(&head)? {
            None => Ok((Ok(head), artifacts)),
            Some(detail) => {
                // Kept to be looked at, not to be gone on from.
                let looked_at = [ArtifactKind::Patch, ArtifactKind::Transcript];
                let kept =
                    artifacts.into_iter().filter(|artifact| looked_at.contains(&artifact.kind)).collect();
                Err(StageError::Stop { reason: Reason::ChangeRefused { detail }, kept })
            }
        }
    }

    fn interrupted_work(
        &self,
        task: &Task,
        fence: &Fence<'_>,
        files: &Snapshot,
        error: &AgentError,
    ) -> Result<Vec<Artifact>, StageError> {
        let AgentError::Interrupted(interrupted) = error else { return Ok(Vec::new()) };
        let made = Made {
            files,
            subject: "wip: work that was interrupted",
            summary: &error.to_string(),
            transcript: &interrupted.transcript,
        };
        Ok(self.commit(task, fence, &made)?.map(|(_, artifacts)| artifacts).unwrap_or_default())
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

//! The one place where a tree that an agent made becomes a commit: read back as bytes, committed on no branch,
//! searched for secrets and judged by the fence. What passes is the task's new head; what does not is kept to
//! be looked at.

use crate::agents::{AgentError, Implemented, Step};
use crate::domain::{CommitSha, Reason, Task};
use crate::sandbox::{self, Session};
use crate::speech::{CommitView, Gateway, commit_message};
use crate::store::{Artifact, ArtifactKind};
use crate::telemetry::clock;
use crate::workspace::{
    Author, CommitRequest, ContentReader, IgnoreRules, Snapshot, SnapshotLimits, TreeDiff, WorkspaceError,
};

use super::change::fork_point;
use super::fence::Fence;
use super::{Pipeline, StageError, agent_failure, json_artifact};

/// What builds and tests leave behind, where the repository does not say so itself.
const PRODUCTS: [&str; 8] = [
    "target/",
    "node_modules/",
    "__pycache__/",
    ".pytest_cache/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".venv/",
    "*.egg-info/",
];

/// A task's next commit: what it goes on from, and the fence that it has to pass.
pub(super) struct NextCommit<'a> {
    pub fence: Fence<'a>,
    /// What the work began from.
    base: CommitSha,
    parent: CommitSha,
    ignore: IgnoreRules,
    author: &'a Author,
}

/// What an agent made.
struct Made<'a> {
    files: &'a Snapshot,
    subject: &'a str,
    summary: &'a str,
    transcript: &'a [Step],
}

impl Pipeline {
    /// The commit that follows `parent`, in work that began from `base`, whose files are `base_files`.
    pub(super) fn next_commit<'a>(
        &'a self,
        fence: Fence<'a>,
        (base, parent): (&CommitSha, &CommitSha),
        base_files: &Snapshot,
    ) -> NextCommit<'a> {
        NextCommit {
            fence,
            base: base.clone(),
            parent: parent.clone(),
            ignore: IgnoreRules::of(base_files).with_patterns(PRODUCTS),
            author: &self.settings.author,
        }
    }

    /// Reads back what an agent left in its tree and commits it, if the fence lets it pass. The inner `Err` is
    /// what the agent says where it changed nothing. Work that is refused, or that an interrupted agent did, is
    /// kept and is nobody's head.
    pub(super) async fn take_in(
        &self,
        task: &Task,
        role: &str,
        next: &NextCommit<'_>,
        session: Box<dyn Session>,
        done: Result<Implemented, AgentError>,
    ) -> Result<(Result<CommitSha, String>, Vec<Artifact>), StageError> {
        let read_back = session.read_back().await;
        sandbox::close(session).await;
        let files = read_back?.tree;
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                let kept = self.interrupted_work(task, next, &files, &error)?;
                return Err(StageError::Stop { reason: agent_failure(role, &error), kept });
            }
        };
        let made = Made {
            files: &files,
            subject: &done.commit_subject,
            summary: &done.summary,
            transcript: &done.transcript,
        };
        let Some((head, artifacts)) = self.commit(task, next, &made)? else {
            let name = "transcript.json";
            let kept = json_artifact(task, ArtifactKind::Transcript, name, &done.transcript)?;
            return Ok((Err(done.summary), vec![kept]));
        };
        match next.fence.refusal(&head)? {
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
        next: &NextCommit<'_>,
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
        Ok(self.commit(task, next, &made)?.map(|(_, artifacts)| artifacts).unwrap_or_default())
    }

    /// Commits a change and packs the whole work for keeping. `None`: nothing was changed.
    fn commit(
        &self,
        task: &Task,
        next: &NextCommit<'_>,
        made: &Made<'_>,
    ) -> Result<Option<(CommitSha, Vec<Artifact>)>, StageError> {
        let redact = |text: &str| self.redactor.clean(text);
        let message = commit_message(
            &Gateway::new(&redact, &[]),
            &CommitView { task, subject: Some(made.subject), done: made.summary },
        );
        let Some(head) = next.commit(made.files, &message)? else { return Ok(None) };
        let kept =
            |kind, name: &str, body| Artifact { kind, version: task.version, name: name.to_owned(), body };
        let (checkout, base) = (next.fence.checkout, &next.base);
        let bundle = checkout.mirror.bundle(base, &head)?;
        let diff = checkout.mirror.diff(&fork_point(checkout, base, &head)?, &head)?;
        self.no_secret_in(&diff, made.files)?;
        let patch = diff.unified;
        let artifacts = vec![
            kept(ArtifactKind::Commits, "work.bundle", bundle),
            kept(ArtifactKind::Patch, "work.patch", patch.into_bytes()),
            kept(ArtifactKind::Summary, "summary.md", made.summary.as_bytes().to_vec()),
            json_artifact(task, ArtifactKind::Transcript, "transcript.json", &made.transcript)?,
        ];
        Ok(Some((head, artifacts)))
    }

    /// A sandbox holds no secret of the deployment, so none can be in a change. If one is all the same, the
    /// change is not kept: it would be pushed.
    fn no_secret_in(&self, diff: &TreeDiff, files: &Snapshot) -> Result<(), StageError> {
        let mut reader = ContentReader::default();
        for file in &diff.files {
            let name = file.path.as_str();
            let bytes = match files.files.get(&file.path) {
                Some(entry) => entry.bytes.read(&mut reader)?,
                None => &[],
            };
            if self.redactor.gives_away(name) || self.redactor.gives_away(&String::from_utf8_lossy(bytes)) {
                return Err(StageError::stop(Reason::ChangeRefused {
                    detail: format!(
                        "{} would hold a secret of this deployment. Nothing was published; renew the secret, and \
                         find out how the model came by it",
                        self.redactor.clean(name)
                    ),
                }));
            }
        }
        Ok(())
    }
}

impl NextCommit<'_> {
    /// Commits a tree on the parent, on no branch. `None`: nothing was changed.
    fn commit(&self, files: &Snapshot, message: &str) -> Result<Option<CommitSha>, WorkspaceError> {
        self.fence.checkout.mirror.commit(&CommitRequest {
            parents: std::slice::from_ref(&self.parent),
            files,
            limits: SnapshotLimits::default(),
            ignore: &self.ignore,
            author: self.author,
            committed_at: clock::now(),
            message,
        })
    }

    /// What would be refused if this tree were all there is: for a model that says that it is done.
    pub fn objection(&self, files: &Snapshot) -> Result<Option<String>, WorkspaceError> {
        let refused = match self.commit(files, "wip: not judged yet") {
            Ok(Some(head)) => self.fence.refusal(&head)?,
            Ok(None) => None,
            Err(error) if error.is_about_the_tree() => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        Ok(refused.map(|refused| {
            format!(
                "The change cannot be taken as it is:\n{refused}\nMend this: put back exactly what was there before, \
                 delete what was added, or do it another way. Then finish again."
            )
        }))
    }
}

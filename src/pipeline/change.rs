//! A change on its way: from the sandbox into a commit, and from commits into what an agent reads.

use crate::agents::{Change, ChangedFile, Hunk, HunkLine};
use crate::checkout::{Checkout, CheckoutError};
use crate::config::RepositoryPolicy;
use crate::domain::{CommitSha, Reason, Task};
use crate::speech::{CommitView, Gateway, commit_message};
use crate::store::{Artifact, ArtifactKind};
use crate::workspace::{FileDiff, FileStatus, LineKind, RepoPath, Snapshot, SnapshotLimits, TreeDiff};

use super::fence::Fence;
use super::{Pipeline, StageError, json_artifact};

/// What an agent made, to be committed on its fence's parent.
pub(super) struct Made<'a> {
    pub files: &'a Snapshot,
    pub subject: &'a str,
    pub summary: &'a str,
    pub transcript: &'a [crate::agents::Step],
}

impl Pipeline {
    /// Commits a change and packs the whole work for keeping. `None`: nothing was changed.
    pub(super) fn commit(
        &self,
        task: &Task,
        fence: &Fence<'_>,
        made: &Made<'_>,
    ) -> Result<Option<(CommitSha, Vec<Artifact>)>, StageError> {
        let redact = |text: &str| self.redactor.clean(text);
        let message = commit_message(
            &Gateway::new(&redact, &[]),
            &CommitView { task, subject: Some(made.subject), done: made.summary },
        );
        let Some(head) = fence.commit(made.files, &message)? else { return Ok(None) };
        let kept =
            |kind, name: &str, body| Artifact { kind, version: task.version, name: name.to_owned(), body };
        let (checkout, base) = (fence.checkout, &fence.base);
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
}

impl Pipeline {
    /// A sandbox holds no secret of the deployment, so none can be in a change. If one is all the same, the
    /// change is not kept: it would be pushed.
    fn no_secret_in(&self, diff: &TreeDiff, files: &Snapshot) -> Result<(), StageError> {
        let gives_away = |path: &RepoPath| {
            let bytes = files.files.get(path).map_or(&[][..], |entry| &entry.bytes);
            let (name, text) = (path.as_str(), String::from_utf8_lossy(bytes));
            self.redactor.gives_away(name) || self.redactor.gives_away(&text)
        };
        match diff.files.iter().find(|file| gives_away(&file.path)) {
            Some(file) => Err(StageError::stop(Reason::ChangeRefused {
                detail: format!(
                    "{} would hold a secret of this deployment. Nothing was published; renew the secret, and \
                     find out how the model came by it",
                    self.redactor.clean(file.path.as_str())
                ),
            })),
            None => Ok(()),
        }
    }
}

/// The files of a commit. Read on a thread of its own: a large tree takes a while.
pub(super) async fn snapshot(checkout: &Checkout, commit: &CommitSha) -> Result<Snapshot, StageError> {
    let (mirror, commit) = (checkout.mirror.clone(), commit.clone());
    let read = tokio::task::spawn_blocking(move || mirror.snapshot(&commit, &SnapshotLimits::default()));
    let read = read.await.map_err(|error| {
        StageError::stop(Reason::Internal { detail: format!("reading the tree ended early: {error}") })
    })?;
    Ok(read?)
}

/// The repository's own policy, as its base has it: a change cannot alter the rules that it is judged by.
pub(super) fn policy(checkout: &Checkout, base: &CommitSha) -> Result<RepositoryPolicy, StageError> {
    crate::checkout::policy(&checkout.mirror, base).map_err(|error| match error {
        CheckoutError::Unusable(detail) => StageError::stop(Reason::ChangeRefused { detail }),
        error => error.into(),
    })
}

/// Where the work left the branch that it is for, as the pull request shows it: what was merged from there
/// since, with "Update branch" say, is other people's and nothing to judge or to mend.
pub(super) fn fork_point(
    checkout: &Checkout,
    base: &CommitSha,
    head: &CommitSha,
) -> Result<CommitSha, StageError> {
    Ok(checkout.mirror.merge_base(&checkout.tip, head)?.unwrap_or_else(|| base.clone()))
}

/// The commits that a task has once its code stage was done.
pub(super) fn commits_of(task: &Task) -> Result<(&CommitSha, &CommitSha), StageError> {
    task.base.as_ref().zip(task.head.as_ref()).ok_or_else(|| {
        StageError::stop(Reason::Internal { detail: "the task has no work to look at".into() })
    })
}

/// A difference as agents read it.
pub(super) fn change_of(
    checkout: &Checkout,
    head: &CommitSha,
    diff: &TreeDiff,
) -> Result<Change, StageError> {
    let mut files = Vec::with_capacity(diff.files.len());
    for file in &diff.files {
        let bytes = match file.status {
            FileStatus::Deleted => None,
            _ => checkout.mirror.read_file(head, &file.path)?,
        };
        files.push(ChangedFile {
            path: file.path.to_string(),
            old_path: file.old_path.as_ref().map(ToString::to_string),
            new_text: bytes.and_then(|bytes| String::from_utf8(bytes).ok()),
            hunks: hunks_of(file),
        });
    }
    Ok(Change { files })
}

fn hunks_of(file: &FileDiff) -> Vec<Hunk> {
    let hunks = file.hunks().iter().map(|hunk| Hunk {
        new_start: hunk.new_start,
        lines: hunk
            .lines
            .iter()
            .map(|line| match line.kind {
                LineKind::Context => HunkLine::Context(line.text.clone()),
                LineKind::Added => HunkLine::Added(line.text.clone()),
                LineKind::Removed => HunkLine::Removed(line.text.clone()),
            })
            .collect(),
    });
    hunks.collect()
}

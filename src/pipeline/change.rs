//! What stages read of a change: its commits, its files, the rules it is judged by, and its difference as
//! agents read it. How it becomes a commit is told in `commit.rs`.

use crate::agents::{Change, ChangedFile, Hunk, HunkLine};
use crate::checkout::{Checkout, CheckoutError};
use crate::config::RepositoryPolicy;
use crate::domain::{CommitSha, Reason, Task};
use crate::workspace::{FileDiff, FileStatus, LineKind, Snapshot, SnapshotLimits, TreeDiff};

use super::StageError;

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
        CheckoutError::Unusable(detail) => StageError::stop(Reason::RulesUnusable { detail }),
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

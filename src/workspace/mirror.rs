//! A mirror as a task reads it: branches, commits, files. It opens the repository anew for each question,
//! so that many tasks may use one mirror at once and see what a fetch has just brought.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use git2::{ErrorCode, ObjectType, Repository, Sort};

use super::error::WorkspaceError;
use super::http::Http;
use super::libgit2;
use super::mirrors::{aside, sha};
use super::refs::{BranchName, CommitSha};
use super::snapshot::{FileEntry, RepoPath, Snapshot};
use super::tree::{self, GITLINK, Leaf, Leaves};

/// A bare repository of the host's own.
#[derive(Debug, Clone)]
pub struct Mirror {
    path: PathBuf,
    pub(super) http: Arc<Http>,
}

/// How much of a tree is read into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotLimits {
    pub files: u64,
    /// All files together.
    pub bytes: u64,
    /// Larger files are left out of the snapshot and stay as they are in the repository.
    pub file_bytes: u64,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self { files: 200_000, bytes: 2 << 30, file_bytes: 64 << 20 }
    }
}

/// An entry of a tree that is not in its snapshot. A commit on top keeps it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// For people: bytes that are not UTF-8 are replaced.
    pub path: String,
    pub reason: LeftOutReason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOutReason {
    /// Another repository at a commit: listed, never followed.
    Submodule {
        commit: String,
    },
    /// The name is not UTF-8 or not safe to write to a disk.
    UnusablePath,
    TooLarge {
        bytes: u64,
    },
}

/// A commit in a list of commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitSummary {
    pub sha: CommitSha,
    pub parents: Vec<CommitSha>,
    pub author_email: String,
    pub committer_email: String,
    pub committed_at: Option<DateTime<Utc>>,
    pub message: String,
}

/// The largest file that is read alone.
const LARGEST_FILE: u64 = 16 << 20;

impl Mirror {
    pub(super) fn new(path: PathBuf, http: Arc<Http>) -> Self {
        Self { path, http }
    }

    pub(super) fn open(&self) -> Result<Repository, WorkspaceError> {
        Ok(libgit2::open_bare(&self.path)?)
    }

    /// The bare repository itself, for readers of objects such as an index. It must not be written to.
    pub fn git_dir(&self) -> &Path {
        &self.path
    }

    /// Where a branch was at the last fetch.
    pub fn resolve(&self, branch: &BranchName) -> Result<CommitSha, WorkspaceError> {
        match self.open()?.refname_to_id(&branch.to_ref()) {
            Ok(id) => Ok(sha(id)),
            Err(error) if error.code() == ErrorCode::NotFound => {
                Err(WorkspaceError::NoSuchBranch(branch.clone()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the commit is here.
    pub fn has(&self, commit: &CommitSha) -> Result<bool, WorkspaceError> {
        let repository = self.open()?;
        match find_commit(&repository, commit) {
            Ok(_) => Ok(true),
            Err(WorkspaceError::NoSuchCommit(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The best common ancestor of two commits, if they have one.
    pub fn merge_base(
        &self,
        one: &CommitSha,
        other: &CommitSha,
    ) -> Result<Option<CommitSha>, WorkspaceError> {
        aside(|| {
            let repository = self.open()?;
            let (one, other) = (find_commit(&repository, one)?.id(), find_commit(&repository, other)?.id());
            match repository.merge_base(one, other) {
                Ok(id) => Ok(Some(sha(id))),
                Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// The commits that `head` has and `base` has not, newest first, at most `limit`.
    pub fn commits_between(
        &self,
        base: &CommitSha,
        head: &CommitSha,
        limit: usize,
    ) -> Result<Vec<CommitSummary>, WorkspaceError> {
        let repository = self.open()?;
        let mut walk = repository.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL)?;
        walk.push(find_commit(&repository, head)?.id())?;
        walk.hide(find_commit(&repository, base)?.id())?;
        walk.take(limit).map(|id| Ok(summary(&repository.find_commit(id?)?))).collect()
    }

    /// The bytes of one file, read without checkout, filters or links. `None`: there is no file at that path
    /// (a folder, link or submodule is none).
    pub fn read_file(&self, commit: &CommitSha, path: &RepoPath) -> Result<Option<Vec<u8>>, WorkspaceError> {
        aside(|| {
            let repository = self.open()?;
            let tree = find_commit(&repository, commit)?.tree()?;
            let entry = match tree.get_path(Path::new(path.as_str())) {
                Ok(entry) => entry,
                Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            if entry.kind() != Some(ObjectType::Blob) || entry.filemode_raw() == tree::LINK as i32 {
                return Ok(None);
            }
            let odb = repository.odb()?;
            let bytes = odb.read_header(entry.id())?.0 as u64;
            if bytes > LARGEST_FILE {
                return Err(WorkspaceError::FileTooLarge {
                    path: path.to_string(),
                    bytes,
                    limit: LARGEST_FILE,
                });
            }
            Ok(Some(odb.read(entry.id())?.data().to_vec()))
        })
    }

    /// The files of a commit as git stores them: no filter, no attribute, no line ending is touched; an LFS
    /// pointer stays a pointer. What [`Mirror::left_out`] lists is not in it.
    pub fn snapshot(&self, commit: &CommitSha, limits: &SnapshotLimits) -> Result<Snapshot, WorkspaceError> {
        aside(|| {
            let repository = self.open()?;
            let leaves = leaves(&repository, commit, limits)?;
            let odb = repository.odb()?;
            let mut snapshot = Snapshot::default();
            let mut total: u64 = 0;
            for (path, leaf) in &leaves {
                if left_out_reason(&odb, path, leaf, limits)?.is_some() {
                    continue;
                }
                let (Some(path), Some(mode)) = (tree::repo_path(path), leaf.file_mode()) else { continue };
                let object = odb.read(leaf.id)?;
                total += object.len() as u64;
                if total > limits.bytes {
                    let (commit, limit) = (commit.clone(), limits.bytes);
                    return Err(WorkspaceError::TreeTooLarge { commit, what: "bytes", limit });
                }
                snapshot.files.insert(path, FileEntry { mode, bytes: object.data().to_vec() });
            }
            Ok(snapshot)
        })
    }

    /// The entries of a commit that are not in its snapshot.
    pub fn left_out(
        &self,
        commit: &CommitSha,
        limits: &SnapshotLimits,
    ) -> Result<Vec<LeftOut>, WorkspaceError> {
        let repository = self.open()?;
        let odb = repository.odb()?;
        let mut left_out = Vec::new();
        for (path, leaf) in &leaves(&repository, commit, limits)? {
            if let Some(reason) = left_out_reason(&odb, path, leaf, limits)? {
                left_out.push(LeftOut { path: String::from_utf8_lossy(path).into_owned(), reason });
            }
        }
        Ok(left_out)
    }
}

pub(super) fn find_commit<'repo>(
    repository: &'repo Repository,
    commit: &CommitSha,
) -> Result<git2::Commit<'repo>, WorkspaceError> {
    repository.find_commit(libgit2::oid(commit)?).map_err(|error| match error.code() {
        ErrorCode::NotFound => WorkspaceError::NoSuchCommit(commit.clone()),
        _ => error.into(),
    })
}

pub(super) fn leaves(
    repository: &Repository,
    commit: &CommitSha,
    limits: &SnapshotLimits,
) -> Result<Leaves, WorkspaceError> {
    let root = find_commit(repository, commit)?.tree_id();
    let limit = usize::try_from(limits.files).unwrap_or(usize::MAX);
    let leaves = tree::flatten(repository, root, limit)?;
    leaves.ok_or_else(|| {
        let (commit, limit) = (commit.clone(), limits.files);
        WorkspaceError::TreeTooLarge { commit, what: "files or folders", limit }
    })
}

pub(super) fn left_out_reason(
    odb: &git2::Odb<'_>,
    path: &[u8],
    leaf: &Leaf,
    limits: &SnapshotLimits,
) -> Result<Option<LeftOutReason>, WorkspaceError> {
    if leaf.mode == GITLINK {
        return Ok(Some(LeftOutReason::Submodule { commit: leaf.id.to_string() }));
    }
    if tree::repo_path(path).is_none() {
        return Ok(Some(LeftOutReason::UnusablePath));
    }
    let bytes = odb.read_header(leaf.id)?.0 as u64;
    Ok((bytes > limits.file_bytes).then_some(LeftOutReason::TooLarge { bytes }))
}

fn summary(commit: &git2::Commit<'_>) -> CommitSummary {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    CommitSummary {
        sha: sha(commit.id()),
        parents: commit.parent_ids().map(sha).collect(),
        author_email: text(commit.author().email_bytes()),
        committer_email: text(commit.committer().email_bytes()),
        committed_at: DateTime::from_timestamp(commit.time().seconds(), 0),
        message: text(commit.message_bytes()),
    }
}

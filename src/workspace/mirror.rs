//! A mirror as a task reads it: branches, commits, files. It opens the repository anew for each question,
//! so that many tasks may use one mirror at once and see what a fetch has just brought.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::{ErrorCode, ObjectType, Repository};

use super::content::Objects;
use super::error::WorkspaceError;
use super::http::Http;
use super::libgit2;
use super::mirrors::{aside, sha};
use super::refs::{BranchName, CommitSha};
use super::snapshot::{FileEntry, RepoPath, Snapshot};
use super::tree::{self, FlatTree, GITLINK, Leaf};

/// A bare repository of the host's own.
#[derive(Debug, Clone)]
pub struct Mirror {
    path: PathBuf,
    pub(super) http: Arc<Http>,
}

/// How much of a tree is taken into a snapshot.
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
        let repository = self.open()?;
        match repository.refname_to_id(&branch.to_ref()) {
            Ok(id) => Ok(sha(id)),
            Err(error)
                if error.code() == ErrorCode::NotFound
                    && repository.references_glob("refs/heads/*")?.next().is_none() =>
            {
                Err(WorkspaceError::Empty)
            }
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
    /// pointer stays a pointer. Left out are submodules, which are other repositories, files above the limit, and
    /// names that are not UTF-8 or not safe to write to a disk. The files themselves are read when they are wanted.
    pub fn snapshot(&self, commit: &CommitSha, limits: &SnapshotLimits) -> Result<Snapshot, WorkspaceError> {
        aside(|| {
            let repository = self.open()?;
            let leaves = flattened(&repository, commit, limits)?.leaves;
            let named = leaves.iter().filter_map(|(path, leaf)| {
                let (path, mode) = tree::repo_path(path).zip(leaf.file_mode())?;
                Some((path, mode, leaf.id))
            });
            let named: Vec<_> = named.collect();
            let objects = Objects::open(&self.path)?;
            let sizes = objects.sizes(&named.iter().map(|(_, _, id)| *id).collect::<Vec<_>>())?;
            let mut total: u64 = 0;
            let mut files = Vec::with_capacity(named.len());
            for ((path, mode, id), bytes) in named.into_iter().zip(sizes) {
                if bytes > limits.file_bytes {
                    continue;
                }
                total = total.saturating_add(bytes);
                files.push((path, FileEntry { mode, bytes: objects.content(id, bytes) }));
            }
            if total > limits.bytes {
                let (commit, limit) = (commit.clone(), limits.bytes);
                return Err(WorkspaceError::TreeTooLarge { commit, what: "bytes", limit });
            }
            Ok(Snapshot { files: files.into_iter().collect() })
        })
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

pub(super) fn flattened(
    repository: &Repository,
    commit: &CommitSha,
    limits: &SnapshotLimits,
) -> Result<FlatTree, WorkspaceError> {
    let root = find_commit(repository, commit)?.tree_id();
    let limit = usize::try_from(limits.files).unwrap_or(usize::MAX);
    let flat = tree::flatten(repository, root, limit)?;
    flat.ok_or_else(|| {
        let (commit, limit) = (commit.clone(), limits.files);
        WorkspaceError::TreeTooLarge { commit, what: "files or folders", limit }
    })
}

/// Whether an entry is not in its commit's snapshot. A commit on top keeps it as it is.
pub(super) fn is_left_out(
    odb: &git2::Odb<'_>,
    path: &[u8],
    leaf: &Leaf,
    limits: &SnapshotLimits,
) -> Result<bool, WorkspaceError> {
    if leaf.mode == GITLINK || tree::repo_path(path).is_none() {
        return Ok(true);
    }
    Ok(odb.read_header(leaf.id)?.0 as u64 > limits.file_bytes)
}

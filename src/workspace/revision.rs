//! A commit of a person's repository, named in any of git's ways. Nothing is copied and nothing is written.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use git2::{Repository, RepositoryOpenFlags};

use super::error::WorkspaceError;
use super::libgit2;
use super::refs::CommitSha;

/// A commit and where its objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The git directory that has the folder `objects`, which several work trees may share.
    pub git_dir: PathBuf,
    pub commit: CommitSha,
}

impl Revision {
    /// Looks `rev` up (an id, a branch, a tag, `HEAD~2`) in the repository that `path` lies in, bare or not.
    /// `None`: it names no commit there.
    pub fn of(path: &Path, rev: &str) -> Result<Option<Self>, WorkspaceError> {
        libgit2::isolate();
        let no_ceiling: [&OsStr; 0] = [];
        let repository = Repository::open_ext(path, RepositoryOpenFlags::empty(), no_ceiling)?;
        let found = repository.revparse_single(rev).and_then(|object| object.peel_to_commit());
        let Ok(commit) = found else { return Ok(None) };
        let commit = CommitSha::parse(commit.id().to_string())
            .map_err(|error| WorkspaceError::InvalidRequest(error.to_string()))?;
        Ok(Some(Self { git_dir: repository.commondir().to_owned(), commit }))
    }
}

//! What a person's repository has to offer, before anything of it is copied.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use git2::{BranchType, ErrorCode, Repository, RepositoryOpenFlags};

use super::error::WorkspaceError;
use super::libgit2;
use super::refs::BranchName;

/// A repository as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Its work tree's folder, or the repository itself where it is bare.
    pub path: PathBuf,
    pub head: Head,
    /// All local branches with a name that can be used, sorted.
    pub branches: Vec<BranchName>,
}

/// What is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    Branch(BranchName),
    /// A commit that no branch stands for.
    Detached,
    /// A branch without a commit: nothing was ever committed, or the branch is gone.
    Unborn,
}

impl Survey {
    /// Looks at the repository that `path` lies in, as git finds it. `None`: there is none. Reads references
    /// only.
    pub fn of(path: &Path) -> Result<Option<Self>, WorkspaceError> {
        libgit2::isolate();
        let no_ceiling: [&OsStr; 0] = [];
        let unusable = |error: git2::Error| WorkspaceError::LocalRepository {
            path: path.to_owned(),
            reason: error.message().to_owned(),
        };
        let repository = match Repository::open_ext(path, RepositoryOpenFlags::empty(), no_ceiling) {
            Ok(repository) => repository,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(unusable(error)),
        };
        let head = match repository.head() {
            Ok(head) if head.is_branch() => {
                head.shorthand().ok().and_then(|name| BranchName::parse(name).ok())
            }
            Ok(_) => None,
            Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => {
                return Self::found(&repository, Head::Unborn).map(Some).map_err(unusable);
            }
            Err(error) => return Err(unusable(error)),
        };
        Self::found(&repository, head.map_or(Head::Detached, Head::Branch)).map(Some).map_err(unusable)
    }

    fn found(repository: &Repository, head: Head) -> Result<Self, git2::Error> {
        let mut branches = Vec::new();
        for branch in repository.branches(Some(BranchType::Local))? {
            let (branch, _) = branch?;
            branches.extend(branch.name().ok().flatten().and_then(|name| BranchName::parse(name).ok()));
        }
        branches.sort();
        // Without the slash at its end that libgit2 gives it.
        let path = repository.workdir().unwrap_or_else(|| repository.path()).components().collect();
        Ok(Self { path, head, branches })
    }
}

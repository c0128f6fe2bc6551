//! What can go wrong between the host and a repository.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::refs::{BranchName, CommitSha};
use super::snapshot::RepoPath;

/// Why the workspace could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    #[error("{url}: {reason}")]
    Transport { url: String, reason: TransportError },
    #[error("the repository has no branch `{0}`")]
    NoSuchBranch(BranchName),
    #[error("commit {0} is not in the mirror: fetch the repository, or take the commit in from its bundle")]
    NoSuchCommit(CommitSha),
    #[error("{path} is {bytes} bytes long; the limit is {limit}")]
    FileTooLarge { path: String, bytes: u64, limit: u64 },
    #[error("the tree of {commit} has more than {limit} {what}")]
    TreeTooLarge { commit: CommitSha, what: &'static str, limit: u64 },
    #[error("{0} is both a file and a folder")]
    FileAndFolder(String),
    #[error("the link {path} points to {target:?}, outside the repository")]
    LinkLeavesTree { path: RepoPath, target: String },
    #[error("{path} and {other} are one file where case or Unicode forms do not count")]
    SameName { path: RepoPath, other: String },
    #[error("{path} cannot be the name of a new file: {reason}")]
    UnsafeName { path: RepoPath, reason: &'static str },
    #[error(
        "{path} is kept in Git LFS: only a pointer to it is here, so it can be moved or deleted but not made or changed"
    )]
    InLfs { path: RepoPath },
    #[error("the repository is empty: it needs a first commit")]
    Empty,
    #[error("{0} names its objects by SHA-256; only repositories with SHA-1 can be worked on")]
    Sha256(String),
    #[error("{0}")]
    InvalidRequest(String),
    #[error(
        "the object {id} of the mirror cannot be read: {reason}. Remove the mirror: the next fetch makes it anew"
    )]
    Unreadable { id: String, reason: String },
    #[error("the bundle is not usable: {0}")]
    BadBundle(String),
    #[error("{path} is not a repository that can be used: {reason}")]
    LocalRepository { path: PathBuf, reason: String },
    #[error("another process held {lock} for {waited:?}")]
    Busy { lock: PathBuf, waited: Duration },
    #[error("{action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("git: {}", .0.message())]
    Git(#[from] git2::Error),
    #[error("the work on the repository stopped half-way: {0}")]
    Interrupted(String),
}

impl WorkspaceError {
    /// The same, said of a file.
    pub(super) fn of_file(&self, path: &impl fmt::Display) -> Self {
        match self {
            Self::Unreadable { id, reason } => {
                Self::Unreadable { id: format!("{id} ({path})"), reason: reason.clone() }
            }
            other => Self::Unreadable { id: path.to_string(), reason: other.to_string() },
        }
    }

    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { reason, .. } => reason.is_transient(),
            Self::Busy { .. } => true,
            _ => false,
        }
    }

    /// Whether the files themselves are what cannot be committed.
    pub fn is_about_the_tree(&self) -> bool {
        matches!(
            self,
            Self::FileAndFolder(_)
                | Self::LinkLeavesTree { .. }
                | Self::SameName { .. }
                | Self::UnsafeName { .. }
                | Self::InLfs { .. }
        )
    }

    /// Whether the server did not accept the token.
    pub fn wants_token(&self) -> bool {
        matches!(self, Self::Transport { reason: TransportError::Unauthorized, .. })
    }
}

/// Why a remote repository could not be read or written over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    #[error("the server asks for a valid token (401)")]
    Unauthorized,
    #[error("the token may not do this (403)")]
    Forbidden,
    #[error("there is no such repository, or the token does not see it (404)")]
    NotFound,
    #[error("the server answered {status}")]
    Unavailable { status: u16, retry_after: Option<Duration> },
    #[error("the server answered {0}, which git does not expect")]
    UnexpectedStatus(u16),
    #[error("the server redirects to {0}, which was not followed: only the configured server gets the token")]
    RedirectRefused(String),
    #[error("git asked for {0}, which lies outside the configured server: nothing was sent")]
    ForeignUrl(String),
    #[error("the server does not speak git's smart HTTP protocol here")]
    NotSmartHttp,
    #[error("no connection: {0}")]
    NoConnection(String),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("the transfer is larger than the limit of {0} bytes")]
    TooLarge(u64),
    #[error("the connection broke: {0}")]
    Broken(String),
}

impl TransportError {
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::NoConnection(_) | Self::TimedOut(_) | Self::Broken(_))
    }
}

/// Why a push did not happen.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The branch is not where it was expected to be. `None`: it does not exist.
    #[error("the branch has moved: it is at {}", .actual.as_ref().map_or("nothing", |sha| sha.as_str()))]
    Moved { actual: Option<CommitSha> },
    #[error("the push would drop commits that are on the branch")]
    NotFastForward,
    #[error("the server refused the push: {0}")]
    Refused(String),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

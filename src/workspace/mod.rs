//! Git on the host: mirrors, trees, commits and pushes, in repositories that only the host writes.
//!
//! The host never runs git and never opens a repository that a sandbox wrote. Files go out as a [`Snapshot`]
//! and come back as one; the host builds trees and commits from those bytes in bare repositories of its own.
//! Nothing here starts a process, reads a user's git configuration, runs a hook or applies a filter.

mod attributes;
mod bundle;
mod commit;
mod content;
mod diff;
pub mod edits;
mod error;
mod http;
mod ignored;
mod libgit2;
mod local;
mod mirror;
mod mirrors;
mod names;
mod push;
mod refs;
mod remote;
mod revision;
mod seed;
mod snapshot;
mod survey;
mod tree;
mod upkeep;

pub use commit::{Author, CommitRequest, InvalidAuthor};
pub use content::{Content, ContentReader};
pub use diff::{DiffLine, FileContent, FileDiff, FileStatus, Hunk, LineKind, Side, TreeDiff};
pub use error::{PushError, TransportError, WorkspaceError};
pub use http::TransferLimits;
pub use ignored::IgnoreRules;
pub use local::LocalRepository;
pub use mirror::{Mirror, SnapshotLimits};
pub use mirrors::Mirrors;
pub(crate) use mirrors::aside;
pub use names::folded;
pub use push::{Expected, Push, Pushed};
pub use refs::{BranchName, CommitSha};
pub use remote::{InvalidRemoteUrl, Remote, RemoteUrl};
pub use revision::Revision;
pub use snapshot::{FileEntry, FileMode, InvalidPath, RepoPath, Snapshot};
pub use survey::{Head, Survey};

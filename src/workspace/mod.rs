//! Git on the host: mirrors, trees, commits and pushes, in repositories that only the host writes.

mod snapshot;

pub use snapshot::{FileEntry, FileMode, InvalidPath, RepoPath, Snapshot};

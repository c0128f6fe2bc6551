//! The names of git's things, from the domain.

pub use crate::domain::{BranchName, CommitSha};

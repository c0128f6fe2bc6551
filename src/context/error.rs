//! What can go wrong when context is looked for.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error("{path} has no git objects to read", path = .path.display())]
    NoObjects { path: PathBuf, source: std::io::Error },
    #[error("the object {id} cannot be read")]
    Object { id: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the commit {id} is not in the repository")]
    NoSuchCommit { id: String },
    #[error("the object {id} is damaged: {what}")]
    Damaged { id: String, what: &'static str },
    #[error("the tree of {id} has more than {limit} files or folders")]
    TooLarge { id: String, limit: usize },
    #[error("the index at {path} cannot be {doing}", path = .path.display())]
    Index { path: PathBuf, doing: &'static str, source: std::io::Error },
}

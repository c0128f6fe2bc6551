//! Trees and commands of a line.

use std::time::Duration;

use orchestrator::sandbox::{Command, Limits, Outcome, Session};
use orchestrator::workspace::{FileEntry, FileMode, RepoPath, Snapshot};

pub fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).expect("a path")
}

pub fn snapshot(files: &[(&str, &str)]) -> Snapshot {
    let entry = |text: &str| FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().into() };
    Snapshot { files: files.iter().map(|(name, text)| (path(name), entry(text))).collect() }
}

pub fn shell(script: &str) -> Command {
    let mut command = Command::new(["sh", "-c", script]);
    command.limits = Limits { wall: Duration::from_secs(120), ..Limits::default() };
    command
}

pub async fn sh(session: &dyn Session, script: &str) -> Outcome {
    session.run(&shell(script)).await.expect("ran")
}

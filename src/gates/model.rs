//! The words of gates. All of them are stored as JSON, so a renamed field needs a reader for the old one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::workspace::RepoPath;

/// A check that a change has to pass, or at least be shown with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Unique within a repository.
    pub name: String,
    pub kind: GateKind,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The folder of the tree in which it runs; `None` is the root.
    pub cwd: Option<RepoPath>,
    pub timeout: Duration,
    pub requirement: Requirement,
    /// The packages that it needs besides what the tree holds.
    pub needs_dependencies: Option<Ecosystem>,
    /// Which file made us choose it, for people.
    pub source: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    Format,
    Lint,
    Types,
    Test,
    Security,
    Custom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// A change that does not pass it goes back to the fixer.
    Required,
    /// Shown and nothing more.
    Advisory,
}

/// A family of package managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ecosystem {
    Rust,
    Python,
    JavaScript,
}

impl Ecosystem {
    /// The name in paths and texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "javascript",
        }
    }
}

/// What became of a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It ran, did something, and ended with code 0 within all limits.
    Passed,
    Failed,
    TimedOut,
    /// Nothing can be said about the change, because of something else.
    CouldNotRun {
        reason: String,
    },
}

/// One run of a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    /// The gate's name.
    pub gate: String,
    pub kind: GateKind,
    pub requirement: Requirement,
    pub command: Vec<String>,
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The exit code that was seen; `None` after a signal and where nothing ran.
    pub exit: Option<i32>,
    pub duration_ms: u64,
    /// Output and error output as they came, without colours; the middle is cut where it is long.
    pub log: String,
    /// At most 100.
    pub findings: Vec<GateFinding>,
}

impl GateReport {
    /// Whether a change may go on: it passed, or it is only advisory.
    pub fn lets_pass(&self) -> bool {
        self.verdict == Verdict::Passed || self.requirement == Requirement::Advisory
    }
}

/// A place in the tree that a gate complained about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GateFinding {
    pub path: RepoPath,
    /// From 1; `None` where the tool names the file only.
    pub line: Option<u32>,
    pub message: String,
    pub severity: Severity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Error,
    Warning,
}

//! What a quality gate said.

use serde::{Deserialize, Serialize};

/// What a gate is for.
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

/// Whether a failure holds the change up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    Required,
    Advisory,
}

/// The outcome of a run, from an exit code that we saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    Passed,
    Failed,
    TimedOut,
    /// Its tool or what the project depends on is missing, or it tested nothing: neither a pass nor a
    /// failure of the change.
    CouldNotRun {
        reason: String,
    },
}

/// A line of a gate's output that points into the code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GateFinding {
    pub path: String,
    /// Counted from 1, where the tool names one.
    pub line: Option<u32>,
    pub message: String,
    pub severity: GateSeverity,
}

/// How grave the tool itself calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateSeverity {
    Error,
    Warning,
}

/// One run of one gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    pub name: String,
    pub kind: GateKind,
    pub requirement: Requirement,
    /// The command as a person would type it.
    pub command: String,
    pub verdict: Verdict,
    /// `None`: ended by a signal or never started.
    pub exit: Option<i32>,
    pub duration_ms: u64,
    /// What it printed, the middle of long output cut out.
    pub log: String,
    pub findings: Vec<GateFinding>,
}

impl GateReport {
    /// Whether this run holds the change up.
    pub fn blocks(&self) -> bool {
        self.requirement == Requirement::Required
            && matches!(self.verdict, Verdict::Failed | Verdict::TimedOut)
    }
}

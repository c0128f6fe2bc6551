//! The part of `.orchestrator/config.yaml` that is about gates and set-up, read from the base branch.
//!
//! ```yaml
//! gates:
//!   - name: unit tests
//!     kind: test
//!     run: make test
//!     timeout_seconds: 600
//!   - name: style
//!     kind: lint
//!     run: [ruff, check, src]
//!     requirement: advisory
//! setup:
//!   python:
//!     install: ["-r", "requirements-dev.txt", "-e", "."]
//! ```

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::{Ecosystem, Gate};
use crate::domain::{GateKind, Requirement};
use crate::workspace::RepoPath;

/// Gates that the repository names, and how its packages are fetched.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatePolicy {
    /// Where this is given, exactly these gates run and none are looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates: Option<Vec<GateRule>>,
    #[serde(default)]
    pub setup: SetupPolicy,
    /// The least share of lines that tests have to reach, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage_floor: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateRule {
    pub name: String,
    #[serde(default = "custom")]
    pub kind: GateKind,
    pub run: CommandLine,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<RepoPath>,
    /// Default 900, at most 7,200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<NonZeroU32>,
    #[serde(default = "required")]
    pub requirement: Requirement,
    /// Whose packages it needs, where it needs any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Ecosystem>,
}

/// A command: a list of words, or a line for the shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CommandLine {
    Words(Vec<String>),
    Shell(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetupPolicy {
    /// Commands for the tree's root that fetch everything, instead of what the project's files suggest.
    /// Empty: as the files suggest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonSetup>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PythonSetup {
    /// The arguments of `pip install`, instead of what the project's files suggest.
    pub install: Vec<String>,
}

/// Default time of a gate.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15 * 60);
const LONGEST: Duration = Duration::from_secs(2 * 60 * 60);

fn custom() -> GateKind {
    GateKind::Custom
}

fn required() -> Requirement {
    Requirement::Required
}

impl GateRule {
    pub(super) fn gate(&self) -> Gate {
        let command = match &self.run {
            CommandLine::Words(words) => words.clone(),
            CommandLine::Shell(line) => ["sh", "-c", line].map(str::to_owned).to_vec(),
        };
        let timeout = self.timeout_seconds.map_or(TIMEOUT, |s| Duration::from_secs(s.get().into()));
        Gate {
            name: self.name.clone(),
            kind: self.kind,
            command,
            cwd: self.cwd.clone(),
            timeout: timeout.min(LONGEST),
            requirement: self.requirement,
            needs_dependencies: self.needs,
            source: ".orchestrator/config.yaml".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Result<GatePolicy, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_policy_is_read_with_its_defaults() {
        let policy = policy(
            "gates:\n  - name: unit\n    run: make test\n  - name: style\n    kind: lint\n    run: [ruff, check]\n    \
             requirement: advisory\n    cwd: py\n    timeout_seconds: 30\n    needs: python\n",
        )
        .expect("a policy");
        let gates: Vec<Gate> = policy.gates.expect("gates").iter().map(GateRule::gate).collect();
        assert_eq!(gates[0].command, ["sh", "-c", "make test"]);
        assert_eq!((gates[0].kind, gates[0].requirement), (GateKind::Custom, Requirement::Required));
        assert_eq!(gates[0].timeout, TIMEOUT);
        assert_eq!(gates[1].command, ["ruff", "check"]);
        assert_eq!(gates[1].timeout, Duration::from_secs(30));
        assert_eq!(gates[1].needs_dependencies, Some(Ecosystem::Python));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in [
            "gate: []",
            "gates:\n  - name: x",
            "gates:\n  - name: x\n    run: y\n    required: true",
            "gates:\n  - name: x\n    run: y\n    timeout_seconds: 0",
            "gates:\n  - name: x\n    run: y\n    cwd: ../z",
            "gates:\n  - name: x\n    run: y\n    kind: nonsense",
        ] {
            assert!(policy(text).is_err(), "{text:?} was taken");
        }
    }
}

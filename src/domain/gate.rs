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
    /// How much of the code the tests reach, against a floor.
    Coverage,
    Security,
    /// Known faults in what the project depends on.
    Audit,
    /// Passwords and keys in the tree.
    Secrets,
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

/// A place in the code that a gate's output or result file points to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GateFinding {
    pub path: String,
    /// Counted from 1, where the tool names one.
    pub line: Option<u32>,
    pub message: String,
    pub severity: GateSeverity,
    /// The tool and its rule, where a result file names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(default)]
    pub age: Age,
}

/// Whether the change brought a finding. Only where the gate ran on the base too is anything called old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Age {
    #[default]
    New,
    /// The same gate says the same of the base.
    Old,
}

/// How grave the tool itself calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateSeverity {
    Error,
    Warning,
}

/// How the same gate does on the base. Asked only about gates that the change does not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "base")]
pub enum Baseline {
    /// The base passes: the failure is the change's.
    Passed,
    /// The base fails in the same way: the failure is old and holds nothing up.
    SameFailure,
    /// The base fails too, and with the change something more is wrong.
    Worse {
        /// What is new, in the tool's words. Never empty.
        new: Vec<String>,
    },
    /// Nothing can be said about the base, so the failure counts as the change's.
    Unknown { reason: String },
}

/// A gate that failed and, run again on the same tree, came to something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flaky {
    /// The tests that failed in the first run alone; empty where the tool names none.
    pub tests: Vec<String>,
    /// What the first run printed, the middle of long output cut out.
    pub first_log: String,
}

/// Lines of code that tests reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    pub covered: u64,
    /// Lines that could be reached; greater than 0.
    pub total: u64,
}

impl Coverage {
    pub fn percent(self) -> f64 {
        self.covered as f64 * 100.0 / self.total as f64
    }
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
    /// The names of tests that failed, where the tool names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_tests: Vec<String>,
    /// Where it failed: whether the base does too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// Where it failed first and then did not, or with fewer tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaky: Option<Flaky>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
}

impl GateReport {
    /// A report with nothing in it yet but what was run and what came of it.
    pub fn of(
        (name, kind, requirement): (&str, GateKind, Requirement),
        command: impl Into<String>,
        verdict: Verdict,
    ) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            requirement,
            command: command.into(),
            verdict,
            exit: None,
            duration_ms: 0,
            log: String::new(),
            findings: vec![],
            failed_tests: vec![],
            baseline: None,
            flaky: None,
            coverage: None,
        }
    }

    /// Whether it was run to its end and did not pass.
    pub fn is_failure(&self) -> bool {
        matches!(self.verdict, Verdict::Failed | Verdict::TimedOut)
    }

    /// Whether it fails, and did before the change in the same way.
    pub fn is_old(&self) -> bool {
        self.is_failure() && self.baseline == Some(Baseline::SameFailure)
    }

    /// Whether this run holds the change up.
    pub fn blocks(&self) -> bool {
        self.requirement == Requirement::Required && self.is_failure() && !self.is_old()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_was_kept_before_there_were_bases_is_read() {
        let kept = r#"{"name": "test", "kind": "test", "requirement": "required", "command": "make test",
            "verdict": {"verdict": "failed"}, "exit": 1, "duration_ms": 5, "log": "",
            "findings": [{"path": "a.rs", "line": 3, "message": "wrong", "severity": "error"}]}"#;
        let report: GateReport = serde_json::from_str(kept).expect("a report");
        assert!(report.blocks() && report.baseline.is_none());
        assert_eq!(report.findings[0].age, Age::New);
    }

    #[test]
    fn only_a_required_failure_that_is_not_old_blocks() {
        let kept = r#"{"name": "test", "kind": "test", "requirement": "required", "command": "make test",
            "verdict": {"verdict": "failed"}, "exit": 1, "duration_ms": 5, "log": "", "findings": []}"#;
        let report: GateReport = serde_json::from_str(kept).expect("a report");
        let on_a_base = |base| GateReport { baseline: Some(base), ..report.clone() };
        assert!(!on_a_base(Baseline::SameFailure).blocks());
        assert!(on_a_base(Baseline::Passed).blocks());
        assert!(on_a_base(Baseline::Worse { new: vec!["tests::a".into()] }).blocks());
        assert!(on_a_base(Baseline::Unknown { reason: "no base".into() }).blocks());
        let advisory = GateReport { requirement: Requirement::Advisory, ..on_a_base(Baseline::Passed) };
        assert!(!advisory.blocks());
    }
}

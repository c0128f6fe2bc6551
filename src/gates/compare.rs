//! Whether a gate that fails with a change failed before it in the same way.
//!
//! Line numbers, times and addresses differ from run to run and are left out. What the change's own code
//! prints is among what is compared: it can hide what it broke behind a failure that was there before, and
//! never make the base fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::findings;
use crate::domain::{Age, Baseline, GateFinding, GateKind, GateReport, GateSeverity, Verdict};

/// What a run complains of, without what changes from run to run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Problems {
    exit: Option<i32>,
    errors: BTreeMap<String, u32>,
    /// Of gates other than tests, whose compilers warn of what nobody asked them about.
    warnings: BTreeMap<String, u32>,
    pub(super) tests: BTreeSet<String>,
    /// Lines that tell of a failure, for tools that name no place and no test.
    complaints: BTreeMap<String, u32>,
    /// Lines of those that tell of a crash or a build that failed: there, much is not said at all.
    crashes: BTreeMap<String, u32>,
    /// There is more than was read.
    cut: bool,
    /// The share of lines that tests reach, in percent, where it is below the floor.
    #[serde(default)]
    pub(super) low_coverage: Option<f64>,
}

/// How a gate did on the base, kept so that no round of a task asks twice. What it complained of is kept by digest:
/// it is compared and never shown, and what was printed may hold a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaseRun {
    /// Digest of the base's commit, the gate and its surroundings.
    pub(super) key: String,
    pub(super) verdict: Verdict,
    /// [`Problems::by_digest`].
    problems: Problems,
}

impl BaseRun {
    pub(super) fn new(key: String, verdict: Verdict, problems: &Problems) -> Self {
        Self { key, verdict, problems: problems.by_digest() }
    }
}

/// New problems that are named to people.
const NAMED: usize = 20;
const LINES: usize = 2_000;
/// Points of coverage that a change may cost by moving lines alone.
const TOLERANCE: f64 = 0.05;

impl Problems {
    /// `report` has all findings that were read, and all tests.
    pub(super) fn of(report: &GateReport, log: &str, tests: BTreeSet<String>) -> Self {
        let keys = |severity| count(report.findings.iter().filter(|f| f.severity == severity).map(identity));
        let lines = |pattern: &'static Regex| {
            count(log.lines().filter(|line| pattern.is_match(line)).map(settled).take(LINES))
        };
        let is_test = report.kind == GateKind::Test;
        Self {
            exit: report.exit,
            errors: keys(GateSeverity::Error),
            warnings: if is_test { BTreeMap::new() } else { keys(GateSeverity::Warning) },
            tests,
            complaints: lines(&COMPLAINT),
            crashes: lines(&CRASH),
            cut: report.findings.len() >= findings::READ,
            low_coverage: None,
        }
    }

    /// What both of two runs of the same tree complain of.
    pub(super) fn in_both(&self, other: &Self) -> Self {
        let both = |a: &BTreeMap<String, u32>, b: &BTreeMap<String, u32>| {
            let shared = a.iter().filter_map(|(key, n)| Some((key.clone(), *n.min(b.get(key)?))));
            shared.collect()
        };
        Self {
            exit: other.exit,
            errors: both(&self.errors, &other.errors),
            warnings: both(&self.warnings, &other.warnings),
            tests: self.tests.intersection(&other.tests).cloned().collect(),
            complaints: both(&self.complaints, &other.complaints),
            crashes: both(&self.crashes, &other.crashes),
            cut: self.cut || other.cut,
            low_coverage: other.low_coverage,
        }
    }

    fn by_digest(&self) -> Self {
        let keys = |counts: &BTreeMap<String, u32>| counts.iter().map(|(key, n)| (digest(key), *n)).collect();
        Self {
            errors: keys(&self.errors),
            warnings: keys(&self.warnings),
            tests: self.tests.iter().map(|test| digest(test)).collect(),
            complaints: keys(&self.complaints),
            crashes: keys(&self.crashes),
            ..self.clone()
        }
    }

    fn names_anything(&self) -> bool {
        !self.errors.is_empty() || !self.tests.is_empty()
    }

    /// What is wrong here and not on the base, which is by digest. Where both name something, that decides, else the exit code
    /// and the lines that tell of a failure.
    fn beyond(&self, base: &Self) -> Vec<String> {
        if let Some(low) = self.low_coverage {
            // What the run itself says is fine here: it passed.
            return match base.low_coverage {
                Some(before) if low > before - TOLERANCE => vec![],
                Some(before) => {
                    vec![format!("tests reach {low:.1} % of the lines and on the base {before:.1} %")]
                }
                None => vec![format!("tests reach only {low:.1} % of the lines")],
            };
        }
        let mut new = beyond(&self.crashes, &base.crashes);
        let fewer = if !self.tests.is_empty() {
            new.extend(self.tests.iter().filter(|test| !base.tests.contains(&digest(test))).cloned());
            self.tests.len() < base.tests.len()
        } else if !self.errors.is_empty() {
            new.extend(beyond(&self.errors, &base.errors));
            self.errors.values().sum::<u32>() < base.errors.values().sum()
        } else if base.names_anything() {
            new.push("it fails in another way, and names nothing that the base names".to_owned());
            true
        } else if !self.warnings.is_empty() {
            new.extend(beyond(&self.warnings, &base.warnings));
            self.warnings.values().sum::<u32>() < base.warnings.values().sum()
        } else {
            new.extend(beyond(&self.complaints, &base.complaints));
            false
        };
        // Some tools count their failures in the code.
        if new.is_empty() && self.exit != base.exit && !fewer {
            new.push(format!("it ends with {} and on the base with {}", end(self.exit), end(base.exit)));
        }
        new
    }
}

/// Compares a run that did not pass with the base's.
pub(super) fn compare(verdict: &Verdict, problems: &Problems, base: &BaseRun) -> Baseline {
    match (verdict, &base.verdict) {
        (_, Verdict::Passed) => Baseline::Passed,
        (_, Verdict::CouldNotRun { reason }) => {
            Baseline::Unknown { reason: format!("it could not run on the base: {reason}") }
        }
        (Verdict::TimedOut, Verdict::TimedOut) => Baseline::SameFailure,
        (Verdict::TimedOut, _) => {
            Baseline::Worse { new: vec!["it no longer ends within its time limit".to_owned()] }
        }
        (_, Verdict::TimedOut) => {
            Baseline::Unknown { reason: "it did not end within its time limit on the base".to_owned() }
        }
        _ if problems.cut => Baseline::Unknown {
            reason: format!("it has more than {} findings, too many to compare", findings::READ),
        },
        _ => {
            let mut new = problems.beyond(&base.problems);
            new.truncate(NAMED);
            if new.is_empty() { Baseline::SameFailure } else { Baseline::Worse { new } }
        }
    }
}

/// Marks the findings that the base has too, and puts the new ones first.
pub(super) fn mark_old(found: &mut [GateFinding], base: &BaseRun) {
    let base = &base.problems;
    let mut left: BTreeMap<&str, u32> =
        base.errors.iter().chain(&base.warnings).map(|(key, n)| (key.as_str(), *n)).collect();
    for finding in &mut *found {
        if let Some(n) = left.get_mut(digest(&identity(finding)).as_str()).filter(|n| **n > 0) {
            *n -= 1;
            finding.age = Age::Old;
        }
    }
    found.sort_by_key(|finding| finding.age == Age::Old);
}

/// Tool, rule, path and message: what stays when lines are added above.
fn identity(finding: &GateFinding) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let (tool, rule) = (part(&finding.tool), part(&finding.rule));
    let words = [tool.as_str(), &rule, &finding.path, &settled(&finding.message)];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A text without places, times, addresses and temporary names.
fn settled(text: &str) -> String {
    VOLATILE.replace_all(text.trim(), "#").chars().take(400).collect()
}

fn count(keys: impl Iterator<Item = String>) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}

fn beyond(ours: &BTreeMap<String, u32>, base: &BTreeMap<String, u32>) -> Vec<String> {
    let new = ours.iter().filter(|(key, n)| base.get(&digest(key)).is_none_or(|before| before < n));
    new.map(|(key, _)| key.clone()).collect()
}

fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..16])
}

fn end(exit: Option<i32>) -> String {
    exit.map_or("a signal".to_owned(), |code| format!("exit code {code}"))
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

static VOLATILE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"0x[0-9a-fA-F]+|/tmp/\S+|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b\d+(?:\.\d+)? ?(?:ms|s|secs?|seconds|μs|ns)\b|:\d+(?::\d+)?\b|\blines? \d+\b|\(\d+\) panicked|-[0-9a-f]{16}\b|\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d\S*",
    )
});
static COMPLAINT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?:error|errors|fail|fails|failed|failing|failure|failures|fatal|panic|panicked|exception|traceback|not ok|denied|invalid|wrong|missing|lacks|forbidden|violations?)\b|✗|✘|✖|×",
    )
});
static CRASH: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)could not compile|signal: \d+|SIGSEGV|SIGABRT|SIGKILL|segmentation fault|core dumped|out of memory|stack overflow|INTERNALERROR|internal compiler error|\bBUILD FAILED\b|COMPILATION ERROR|errors during collection",
    )
});

#[cfg(test)]
mod tests;

//! Tests and gates that a change makes weaker: what was there before and is deleted, skipped, asserts less,
//! expects something else or tolerates more.
//!
//! A change may add what it likes. What it takes away from tests that were there is a finding with path and
//! line, which holds the change up unless the approved plan says that the task is about that file.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;

use super::assertions::{Weakened, weakened};
use super::settings;
use super::shadows::shadows;
use super::test_cases::{Case, Elsewhere, cases};
use super::test_files::{is_expected_output, is_gate_setting, is_test_file};
use super::test_text::{Language, code_lines, pattern};
use crate::domain::{Finding, Severity};

/// Who makes these findings, in the place of a reviewer's name.
pub const REVIEWER: &str = "test guard";

/// One changed file, before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextPair<'a> {
    /// After the change, or before it where the file was deleted.
    pub path: &'a str,
    /// Where a renamed file was.
    pub old_path: Option<&'a str>,
    /// `None`: it was not there, or is no text.
    pub before: Option<&'a str>,
    /// `None`: it is not there any more, or is no text.
    pub after: Option<&'a str>,
    /// The first line of the new side that is another one, from 1.
    pub first_line: u32,
}

/// Whether a finding of this room holds a change up, whatever severities the deployment lets pass.
pub fn is_blocking(finding: &Finding) -> bool {
    finding.reviewer == REVIEWER && finding.severity == Severity::Critical
}

/// What the change weakens. `gate_files`: files that a gate's own command names. `about`: the files that the
/// approved plan is about, whose findings are shown and hold nothing up.
pub fn tampering(files: &[TextPair<'_>], gate_files: &BTreeSet<String>, about: &[String]) -> Vec<Finding> {
    let elsewhere = Elsewhere::of(files);
    let mut findings = Vec::new();
    for file in files {
        let mut found = Found { file, findings: Vec::new(), weaker: HashSet::new() };
        let is_gate =
            gate_files.contains(file.path) || file.old_path.is_some_and(|old| gate_files.contains(old));
        found.look(is_gate, &elsewhere);
        let covered = [Some(file.path), file.old_path]
            .into_iter()
            .flatten()
            .all(|path| about.iter().any(|a| a == path));
        for mut finding in found.findings {
            if covered && finding.severity == Severity::Critical {
                finding.severity = Severity::Low;
                finding.why.push_str(" The approved plan says that the task is about this file.");
            }
            findings.push(finding);
        }
    }
    findings
}

struct Found<'a> {
    file: &'a TextPair<'a>,
    findings: Vec<Finding>,
    /// The titles of what is weaker, each of which is said once.
    weaker: HashSet<String>,
}

impl Found<'_> {
    fn add(&mut self, severity: Severity, line: u32, title: String, why: String) {
        let line = line.max(1);
        self.findings.push(Finding {
            reviewer: REVIEWER.to_owned(),
            also: Vec::new(),
            severity,
            path: self.file.path.to_owned(),
            start_line: line,
            end_line: line,
            code: String::new(),
            title,
            why,
            suggestion: None,
        });
    }

    fn block(&mut self, line: u32, title: impl Into<String>, why: impl Into<String>) {
        self.add(Severity::Critical, line, title.into(), why.into());
    }

    fn look(&mut self, is_gate: bool, elsewhere: &Elsewhere) {
        let TextPair { path, old_path, before, after, first_line } = *self.file;
        let was = old_path.unwrap_or(path);
        if is_gate && before.is_some() {
            self.block(
                first_line,
                "A file that a gate runs was changed",
                "A gate's command names this file, so the change decides what it is checked by.",
            );
        }
        if is_gate_setting(was) || is_gate_setting(path) {
            self.gate_setting(before, after, first_line);
        } else if after.is_some() && shadows(path) && (before.is_none() || !shadows(was)) {
            self.block(
                first_line,
                "A new file comes before what a gate uses",
                "A tool takes it instead of what was there, or no longer looks at what lies beside it.",
            );
        } else if let Some(what) = settings::loosened(self.file) {
            self.block(
                first_line,
                format!("Settings of a gate were changed: {what}"),
                "What is checked, and how strictly, is not for the change to say.",
            );
        }
        if let Some(after) = after {
            self.suppressions(before, after);
        }
        let Some(before) = before else { return };
        let Some(after) = after else {
            if is_test_file(was) {
                self.block(1, "A test file was deleted", "What it checked is checked by nobody any more.");
            } else {
                self.deleted_source(was, before, elsewhere);
            }
            return;
        };
        if is_test_file(was) && !is_test_file(path) {
            self.block(1, "A test file was moved to where no test is looked for", format!("It was {was}."));
        }
        if is_expected_output(was) {
            let now: HashSet<&str> = after.lines().collect();
            if before.lines().any(|line| !now.contains(line)) {
                self.block(
                    first_line,
                    "Expected output was changed",
                    "The tests now expect what the changed code gives.",
                );
            }
            return;
        }
        if let Some(language) = Language::of(path) {
            self.tests(language, before, after, elsewhere);
        }
    }

    fn gate_setting(&mut self, before: Option<&str>, after: Option<&str>, first_line: u32) {
        let title = match (before, after) {
            (None, _) => "Settings of a gate were added",
            (Some(_), None) => "Settings of a gate were deleted",
            (Some(before), Some(after)) if before.trim() == after.trim() => return,
            _ => "Settings of a gate were changed",
        };
        self.block(first_line, title, "What is checked, and how strictly, is not for the change to say.");
    }

    /// Tests inside of a source file that is gone.
    fn deleted_source(&mut self, was: &str, before: &str, elsewhere: &Elsewhere) {
        let Some(language) = Language::of(was) else { return };
        for case in cases(language, before).0 {
            self.compare(&case, None, elsewhere);
        }
    }

    fn tests(&mut self, language: Language, before: &str, after: &str, elsewhere: &Elsewhere) {
        let path = self.file.old_path.unwrap_or(self.file.path);
        let ((old, old_outside), (new, new_outside)) = (cases(language, before), cases(language, after));
        let by_name: HashMap<&str, &Case> = new.iter().map(|case| (case.name.as_str(), case)).collect();
        for case in &old {
            self.compare(case, by_name.get(case.name.as_str()).copied(), elsewhere);
        }
        let inline = |text: &str| text.matches("#[cfg(test)]").count();
        if language == Language::Rust && inline(after) < inline(before) {
            self.block(
                1,
                "Tests are no longer compiled",
                "A `#[cfg(test)]` is gone or depends on more than it did.",
            );
        }
        if !is_test_file(path) {
            return;
        }
        let focused =
            |text: &str| code_lines(language, text).iter().filter(|line| FOCUS.is_match(line)).count();
        if new_outside.skips > old_outside.skips || focused(after) > focused(before) {
            let line = self.file.first_line;
            self.block(
                line,
                "Tests of this file are skipped",
                "Something outside of the tests now decides whether they run.",
            );
        }
        for (how, text, line) in weakened(&old_outside.checks, &new_outside.checks) {
            let line = line.unwrap_or(self.file.first_line);
            self.weaker("Shared code of the tests", how, &text, line);
        }
    }

    fn compare(&mut self, case: &Case, same: Option<&Case>, elsewhere: &Elsewhere) {
        let name = shown(&case.name);
        let (other, line) = match (same, elsewhere.instead_of(case)) {
            (Some(other), _) => (other, other.line),
            (None, Some(other)) => (other, self.file.first_line),
            (None, None) => {
                let line = self.file.first_line;
                return self.block(
                    line,
                    format!("The test {name} was removed"),
                    "What it checked is checked by nobody any more.",
                );
            }
        };
        if other.skips > case.skips {
            self.block(
                line,
                format!("The test {name} is skipped"),
                "Something in it now keeps all or part of it from running.",
            );
        }
        let subject = format!("The test {name}");
        for (how, text, at) in weakened(&case.checks, &other.checks) {
            self.weaker(&subject, how, &text, at.unwrap_or(line));
        }
    }

    fn weaker(&mut self, subject: &str, how: Weakened, text: &str, line: u32) {
        let what = match how {
            Weakened::Removed => "asserts less",
            Weakened::Widened => "tolerates more",
            Weakened::ExpectsOther => "expects something else",
            Weakened::AssertsOther => "asserts something else",
        };
        let title = format!("{subject} {what}");
        // Several in one test are one finding: its fingerprint is its title.
        if self.weaker.insert(title.clone()) {
            self.block(line, title, format!("It no longer has: {}", cut(text, 300)));
        }
    }

    /// Comments and attributes that tell a linter or a type checker to look away.
    fn suppressions(&mut self, before: Option<&str>, after: &str) {
        let count = |text: &str, regex: &Regex| text.lines().filter(|line| regex.is_match(line)).count();
        let first = |regex: &Regex| {
            let known: BTreeSet<&str> = before.unwrap_or_default().lines().collect();
            let at = after.lines().position(|line| regex.is_match(line) && !known.contains(line));
            at.map_or(self.file.first_line, |index| index as u32 + 1)
        };
        let more = |regex: &Regex| count(after, regex) > before.map_or(0, |before| count(before, regex));
        if before.is_some() && more(&WHOLE_FILE) {
            let line = first(&WHOLE_FILE);
            self.block(
                line,
                "A check is switched off for the whole file",
                "What the linter or type checker says of this file is no longer seen.",
            );
        } else if more(&ONE_PLACE) || more(&WHOLE_FILE) {
            let line = first(if more(&ONE_PLACE) { &ONE_PLACE } else { &WHOLE_FILE });
            self.add(
                Severity::Low,
                line,
                "A linter or type checker is told to look away".to_owned(),
                "A reader should see why.".to_owned(),
            );
        }
    }
}

static WHOLE_FILE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^\s*#!\[(allow|expect|cfg)\b|#\s*(ruff|flake8):\s*noqa|#\s*mypy:\s*(ignore-errors|disable)|#\s*pylint:\s*(disable=all|skip-file)|#\s*type:\s*ignore\s*$|/\*\s*eslint-disable|@ts-nocheck|//go:build|@file:Suppress|rubocop:disable\s+all|#\s*pragma:\s*no cover\s*file|istanbul ignore file|c8 ignore start|v8 ignore file",
    )
});
static ONE_PLACE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"#\[(allow|expect)\(|#\s*noqa|#\s*type:\s*ignore|#\s*pylint:\s*disable|//\s*eslint-disable|@ts-(ignore|expect-error)|//\s*nolint|@SuppressWarnings|@Suppress\(|rubocop:disable|#\s*pragma:\s*no cover|istanbul ignore|#\s*nosec|NOSONAR",
    )
});

/// A test that is looked at alone keeps the others of its file from running.
static FOCUS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(it|test|describe|context|specify|suite)(\.\w+)*\.only\b|\b(fit|fdescribe|fcontext|fspecify)\b|:focus\b|\bfocus:\s*true",
    )
});

fn shown(name: &str) -> String {
    format!("`{}`", cut(name, 80).replace('`', "'"))
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;

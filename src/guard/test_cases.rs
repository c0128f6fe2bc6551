//! The tests of a text, each with what it checks and what keeps it from running.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;

use super::assertions::{Check, checks, weakened};
use super::tampering::TextPair;
use super::test_text::{Language, TestCase, code_lines, pattern, tests_of};

/// A test with what it checks. Tests of one name in one file count as one.
pub(super) struct Case {
    pub name: String,
    pub line: u32,
    pub checks: Vec<Check>,
    pub skips: usize,
}

/// The tests of a text, and what stands outside of them.
pub(super) fn cases(language: Language, text: &str) -> (Vec<Case>, Case) {
    let lines = code_lines(language, text);
    let tests = tests_of(language, &lines);
    let mut cases: Vec<Case> = Vec::new();
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for TestCase { name, line, lines: range } in &tests {
        let skips = skips(language, &lines[range.clone()]);
        let checks = checks(language, &lines, range.clone());
        let at = *by_name.entry(name).or_insert(cases.len());
        match cases.get_mut(at) {
            Some(case) => {
                case.checks.extend(checks);
                case.skips += skips;
            }
            None => cases.push(Case { name: name.clone(), line: *line, checks, skips }),
        }
    }
    let mut outside = lines;
    for test in &tests {
        outside[test.lines.clone()].iter_mut().for_each(String::clear);
    }
    let rest = checks(language, &outside, 0..outside.len());
    let outside = Case { name: String::new(), line: 1, checks: rest, skips: skips(language, &outside) };
    (cases, outside)
}

/// How many tests a file has, by name; 0 where its language is not known.
pub fn count_tests(path: &str, text: &str) -> usize {
    Language::of(path).map_or(0, |language| cases(language, text).0.len())
}

/// Most new tests that are held against one that is gone, so that many of one form take no time of their
/// square. A test that none of these stands for counts as removed.
const MOST_COMPARED: usize = 50;

/// The tests that files have now and had not before: where a test may have moved to.
pub(super) struct Elsewhere {
    cases: Vec<Case>,
    by_name: HashMap<String, usize>,
    /// Those that check the same, or the same with other values, by the text and the form of each check.
    by_check: HashMap<String, Vec<usize>>,
}

impl Elsewhere {
    pub fn of(files: &[TextPair<'_>]) -> Self {
        let cases: Vec<Case> = files.iter().flat_map(new_cases).collect();
        let (mut by_name, mut by_check) = (HashMap::new(), HashMap::<String, Vec<usize>>::new());
        for (at, case) in cases.iter().enumerate() {
            by_name.entry(case.name.clone()).or_insert(at);
            for key in case.checks.iter().flat_map(|check| [&check.text, &check.skeleton]) {
                let known = by_check.entry(key.clone()).or_default();
                if known.len() < MOST_COMPARED && known.last() != Some(&at) {
                    known.push(at);
                }
            }
        }
        Self { cases, by_name, by_check }
    }

    /// The test that moved, or that has another name and checks all that it checked before.
    pub fn instead_of(&self, case: &Case) -> Option<&Case> {
        if let Some(at) = self.by_name.get(&case.name) {
            return self.cases.get(*at);
        }
        let first = case.checks.first()?;
        let alike = [&first.text, &first.skeleton].into_iter().filter_map(|key| self.by_check.get(key));
        let mut alike = alike.flatten().filter_map(|at| self.cases.get(*at));
        alike.find(|other| weakened(&case.checks, &other.checks).is_empty())
    }
}

/// Tests that a file has now and had not before.
fn new_cases(file: &TextPair<'_>) -> Vec<Case> {
    let Some((language, after)) = Language::of(file.path).zip(file.after) else { return Vec::new() };
    let before = file.before.map(|before| cases(language, before).0).unwrap_or_default();
    let known: HashSet<&str> = before.iter().map(|case| case.name.as_str()).collect();
    let (after, _) = cases(language, after);
    after.into_iter().filter(|case| !known.contains(case.name.as_str())).collect()
}

static RUST_SKIP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"#\[\s*ignore|#!?\[\s*cfg(_attr)?\(|\breturn\s*(Ok\(\(\)\))?\s*;|\bif\s+(false|!true)\b|should_panic|catch_unwind",
    )
});
static PYTHON_SKIP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)(pytest|mark|unittest|self|@)\.?(skip\w*|xfail|importorskip|expectedFailure)|\bSkipTest\b|^\s*return\s*(None)?$|\bif\s+(False|0|not True)\b|collect_ignore|__test__\s*=\s*False|suppress\(|^\s*except\s*:|^\s*except\b.*\b((Base)?Exception|AssertionError|failureException)\b|pytest_collection_modifyitems|addopts|deselect",
    )
});
static SCRIPT_SKIP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(xit|xtest|xdescribe|xcontext|fit|fdescribe|fcontext)\s*\(|\.(skip|skipIf|runIf|only|todo|failing|fails)\b|\bthis\.skip\(|^\s*return;?\s*$|\bif\s*\(\s*(false|0)\s*\)|\bcatch\s*(\(\w*\))?\s*\{",
    )
});
static GO_SKIP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b[tbf]\.(Skip|Skipf|SkipNow)\(|//go:build|testing\.Short\(\)|^\s*return\s*$|\bif\s+false\b|\brecover\(\)",
    )
});
static JAVA_SKIP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"@(Disabled|Ignore|Enabled)\w*|\bassum(e|ing)\w*\s*\(|\bAssum(e|ptions)\.|enabled\s*=\s*false|^\s*return;|\bif\s*\(\s*false\s*\)|\bcatch\s*\(",
    )
});
static RUBY_SKIP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(xit|xdescribe|xcontext|xspecify|xscenario|fit|fdescribe|fcontext|fspecify)\b|\bskip\b|\bpending\b|:focus\b|\bfocus:|^\s*return\s*$|\bif\s+false\b|^\s*rescue\b",
    )
});

/// How often lines say that something does not run, or that a failure does not count.
pub(super) fn skips(language: Language, lines: &[String]) -> usize {
    let regex: &Regex = match language {
        Language::Rust => &RUST_SKIP,
        Language::Python => &PYTHON_SKIP,
        Language::JavaScript => &SCRIPT_SKIP,
        Language::Go => &GO_SKIP,
        Language::Java => &JAVA_SKIP,
        Language::Ruby => &RUBY_SKIP,
    };
    lines.iter().map(|line| regex.find_iter(line).count()).sum()
}

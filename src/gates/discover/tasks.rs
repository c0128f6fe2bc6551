//! The targets of a repository's task files.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::GateKind;
use crate::workspace::{RepoPath, Snapshot};

/// A target that can be run from the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) program: &'static str,
    pub(super) name: String,
    pub(super) file: String,
}

const FILES: &[(&str, &str)] = &[
    ("make", "GNUmakefile"),
    ("make", "makefile"),
    ("make", "Makefile"),
    ("just", "justfile"),
    ("just", "Justfile"),
    ("just", ".justfile"),
];

/// Names of targets by kind, the best first.
const NAMES: &[(GateKind, &[&str])] = &[
    (GateKind::Test, &["test", "tests", "unit-test", "unit", "check"]),
    (GateKind::Lint, &["lint", "vet", "lint-check"]),
    (GateKind::Format, &["fmt-check", "format-check", "check-format", "check-fmt", "fmtcheck", "checkfmt"]),
    (GateKind::Types, &["typecheck", "type-check", "types", "mypy"]),
    (GateKind::Coverage, &["coverage", "test-coverage"]),
    (GateKind::Security, &["security", "sec"]),
];

static TARGET: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^@?([A-Za-z][\w-]*)(?:\s+[\w=' \x22+*-]+)?\s*:(?:[^=]|$)").unwrap());

/// The targets that check something, of the first task file of each program; the best name of a kind first.
pub(super) fn read(base: &Snapshot) -> Vec<Task> {
    let mut tasks: Vec<Task> = vec![];
    for (program, file) in FILES {
        if tasks.iter().any(|task| task.program == *program) {
            continue;
        }
        let Some(entry) = RepoPath::parse(*file).ok().and_then(|path| base.files.get(&path)) else {
            continue;
        };
        let text = String::from_utf8_lossy(&entry.bytes);
        let names = text.lines().filter_map(|line| TARGET.captures(line)).map(|found| found[1].to_owned());
        let task = |name| Task { program, name, file: (*file).to_owned() };
        tasks.extend(names.map(task).filter(|task| task.kind().is_some()));
    }
    tasks.sort_by_key(Task::rank);
    tasks.dedup();
    tasks
}

impl Task {
    /// What its name says that it is for.
    pub(super) fn kind(&self) -> Option<GateKind> {
        NAMES.iter().find(|(_, names)| names.contains(&self.name.as_str())).map(|(kind, _)| *kind)
    }

    fn rank(&self) -> usize {
        let all = NAMES.iter().flat_map(|(_, names)| *names);
        all.into_iter().position(|name| *name == self.name).unwrap_or(usize::MAX)
    }
}

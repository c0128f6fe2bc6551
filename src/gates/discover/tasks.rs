//! The targets of a repository's task files, and what they run.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::pattern;
use super::shell::{self, Simple, Variables};
use crate::domain::GateKind;
use crate::workspace::{RepoPath, Snapshot};

/// The Makefile or justfile in a tree's root.
#[derive(Debug)]
pub(super) struct TaskFile {
    pub(super) program: &'static str,
    pub(super) file: &'static str,
    variables: Variables,
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    /// As it is written: `%` stands for anything in a Makefile.
    name: String,
    needs: Vec<String>,
    recipe: Vec<String>,
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
    LazyLock::new(|| pattern(r"^@?([A-Za-z%][\w.%/-]*)(?:\s+[\w=' \x22+*-]+)?\s*:([^=].*|)$"));
static VARIABLE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(?:export\s+)?([A-Za-z_]\w*)\s*(?:\?|:|::|\+)?=\s*(.*)$"));

/// The first task file of each program.
pub(super) fn read(base: &Snapshot) -> Vec<TaskFile> {
    let mut found: Vec<TaskFile> = vec![];
    for (program, file) in FILES {
        if found.iter().any(|one| one.program == *program) {
            continue;
        }
        let entry = RepoPath::parse(*file).ok().and_then(|path| base.files.get(&path));
        found.extend(entry.map(|entry| parse(program, file, &String::from_utf8_lossy(&entry.bytes))));
    }
    found
}

fn parse(program: &'static str, file: &'static str, text: &str) -> TaskFile {
    let mut found = TaskFile { program, file, variables: BTreeMap::new(), targets: vec![] };
    for line in text.replace("\\\n", " ").lines() {
        if line.starts_with(['\t', ' ']) {
            if let Some(target) = found.targets.last_mut() {
                // Make prints a line unless it begins with `@`, and goes on after `-`.
                target.recipe.push(line.trim().trim_start_matches(['@', '-', '+']).trim_start().to_owned());
            }
        } else if let Some(target) = TARGET.captures(line) {
            let needs = target[2].split('#').next().unwrap_or_default();
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            found.targets.push(Target { name: target[1].to_owned(), needs, recipe: vec![] });
        } else if let Some(variable) = VARIABLE.captures(line) {
            let value = variable[2].split(" #").next().unwrap_or_default().trim().to_owned();
            // What only the run knows stays unknown.
            if !value.contains("$(shell") && !value.contains('`') {
                found.variables.entry(variable[1].to_owned()).or_insert(value);
            }
        }
    }
    found
}

impl TaskFile {
    /// The targets whose names say that they check something, the best name of a kind first.
    pub(super) fn checks(&self) -> Vec<(GateKind, &str)> {
        let names = NAMES.iter().flat_map(|(kind, names)| names.iter().map(move |name| (*kind, *name)));
        names.filter(|(_, name)| self.targets.iter().any(|target| target.name == *name)).collect()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.target(name).is_some()
    }

    /// What a target runs with all that it needs.
    pub(super) fn runs(&self, name: &str) -> Vec<Simple> {
        let mut script = String::new();
        self.collect(name, 0, &mut script);
        shell::commands(&script, "", &self.variables)
    }

    /// What all targets run.
    pub(super) fn all(&self) -> Vec<Simple> {
        let recipes = self.targets.iter().flat_map(|target| &target.recipe);
        let script: Vec<&str> = recipes.map(String::as_str).collect();
        shell::commands(&script.join("\n"), "", &self.variables)
    }

    /// The target that `make` without one makes.
    pub(super) fn default_target(&self) -> Option<&str> {
        self.targets.first().map(|target| target.name.as_str())
    }

    fn collect(&self, name: &str, depth: usize, script: &mut String) {
        let Some(target) = self.target(name).filter(|_| depth < 4) else { return };
        target.needs.iter().for_each(|needed| self.collect(needed, depth + 1, script));
        for line in &target.recipe {
            script.push_str(line);
            script.push('\n');
        }
    }

    fn target(&self, name: &str) -> Option<&Target> {
        let by_pattern = |target: &&Target| {
            let parts = target.name.split_once('%');
            parts.is_some_and(|(before, after)| {
                name.len() > before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
            })
        };
        let with_recipe = |target: &&Target| target.name == name && !target.recipe.is_empty();
        let all = || self.targets.iter();
        let by_name = all().find(with_recipe).or_else(|| all().find(|target| target.name == name));
        // Of several patterns the one that says most.
        by_name.or_else(|| all().filter(by_pattern).max_by_key(|target| target.name.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::discover::tests::tree;

    fn runs(text: &str, target: &str) -> Vec<String> {
        let files = read(&tree(&[("Makefile", text)]));
        files[0].runs(target).into_iter().map(|one| one.text).collect()
    }

    #[test]
    fn a_target_runs_its_recipe_and_what_it_needs() {
        let text = "GO ?= go\nFLAGS := $(shell date)\nall: test\ntest: vet # first\n\t@$(GO) test $(FLAGS) ./...\nvet:\n\t-$(GO) vet \\\n\t  ./...\nlint-%:\n\tlinter $*\n";
        assert_eq!(runs(text, "test"), ["go vet  \t  ./...", "go test $(FLAGS) ./..."]);
        assert_eq!(runs(text, "lint-full"), ["linter $*"]);
        assert_eq!(runs(text, "other"), [""; 0]);
        assert_eq!(read(&tree(&[("Makefile", text)]))[0].default_target(), Some("all"));
    }
}

//! Settings of gates in files that hold other things, too: manifests, build files, task runners.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::test_text::pattern;

/// The part of a gate's settings that a change altered, by name; `None` where it altered none.
pub(super) fn loosened(path: &str, before: Option<&str>, after: Option<&str>) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let before = before?;
    let after = after.unwrap_or_default();
    match name.as_str() {
        "cargo.toml" => tables(toml_tables(before, CARGO), &toml_tables(after, CARGO)),
        "pyproject.toml" => tables(toml_tables(before, PYPROJECT), &toml_tables(after, PYPROJECT)),
        "package.json" => tables(package(before), &package(after)),
        "setup.cfg" => tables(ini(before), &ini(after)),
        "makefile" | "gnumakefile" | "justfile" | ".justfile" | "rakefile" | "taskfile.yml"
        | "taskfile.yaml" | "build.gradle" | "build.gradle.kts" | "pom.xml" | "build.xml" | "build.sbt"
        | "gemfile" => lines(before, after),
        _ => None,
    }
}

const CARGO: &[&str] = &[
    "lints",
    "workspace.lints",
    "test",
    "lib.test",
    "lib.doctest",
    "package.autotests",
    "workspace.metadata",
    "package.metadata",
];
const PYPROJECT: &[&str] = &[
    "tool.ruff",
    "tool.pytest",
    "tool.coverage",
    "tool.mypy",
    "tool.pyright",
    "tool.pylint",
    "tool.flake8",
    "tool.black",
    "tool.isort",
    "tool.tox",
    "tool.nox",
    "tool.bandit",
    "tool.interrogate",
    "tool.ty",
    "tool.hatch.envs",
    "tool.pdm.scripts",
    "tool.poe",
    "tool.taskipy",
];

type Tables = BTreeMap<String, Value>;

/// The first table that was there and is another one, or that is new. What a text that cannot be read says is
/// not known, so any change of it counts.
fn tables(before: Option<Tables>, after: &Option<Tables>) -> Option<String> {
    match (before, after) {
        (Some(before), Some(after)) => {
            let mut names = before.keys().chain(after.keys());
            names.find(|name| before.get(*name) != after.get(*name)).cloned()
        }
        (None, None) => None,
        _ => Some("the file cannot be read".to_owned()),
    }
}

fn toml_tables(text: &str, wanted: &[&str]) -> Option<Tables> {
    let root: toml::Table = toml::from_str(text).ok()?;
    let root = serde_json::to_value(root).ok()?;
    let found = wanted.iter().filter_map(|name| {
        let value = name.split('.').try_fold(&root, |table, part| table.get(part))?;
        Some(((*name).to_owned(), value.clone()))
    });
    Some(found.collect())
}

static SCRIPT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)test|lint|check|type|format|fmt|cover|verify|valid|audit|spec|^ci$"));

/// Scripts that are new decide nothing: only those that were there are compared.
fn package(text: &str) -> Option<Tables> {
    const WANTED: &[&str] = &[
        "jest",
        "eslintConfig",
        "eslintIgnore",
        "mocha",
        "nyc",
        "c8",
        "ava",
        "vitest",
        "prettier",
        "tap",
        "xo",
        "standard",
        "stylelint",
        "lint-staged",
        "size-limit",
    ];
    let root: Value = serde_json::from_str(text).ok()?;
    let mut found: Tables =
        WANTED.iter().filter_map(|name| Some(((*name).to_owned(), root.get(name)?.clone()))).collect();
    let scripts = root.get("scripts").and_then(Value::as_object).into_iter().flatten();
    for (name, script) in scripts.filter(|(name, _)| SCRIPT.is_match(name)) {
        found.insert(format!("scripts.{name}"), script.clone());
    }
    Some(found)
}

/// The sections of tools in a file of `[sections]`.
fn ini(text: &str) -> Option<Tables> {
    let tool = |name: &str| {
        [
            "tool:pytest",
            "pytest",
            "flake8",
            "mypy",
            "coverage",
            "pycodestyle",
            "pylint",
            "isort",
            "tox",
            "testenv",
        ]
        .iter()
        .any(|tool| name.starts_with(tool))
    };
    let mut found = Tables::new();
    let mut section = None;
    for line in text.lines() {
        let line = line.trim_end();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = tool(name).then(|| name.to_owned());
        } else if let Some(name) = &section
            && !line.trim().is_empty()
            && let Value::String(text) =
                found.entry(name.clone()).or_insert_with(|| Value::String(String::new()))
        {
            text.push_str(line);
            text.push('\n');
        }
    }
    Some(found)
}

static CHECKS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(\w*test\w*|\w*lint\w*|check\w*|clippy|verify|coverage|jacoco|minimum|rubocop|spotbugs|pmd|audit|mypy|ruff|tsc)\b",
    )
});
static LETS_PASS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\|\|\s*(true|:|exit 0)|ignoreFailures|ignoreTestFailure|skipTests|maven\.test\.skip|failOnViolation|failOnError|failIfNoTests|excludeTests?|--skip|--deselect|--ignore|--no-verify|--passWithNoTests|\bexit 0\b",
    )
});

/// A line about checks that is gone, or a new one that lets failures pass.
fn lines(before: &str, after: &str) -> Option<String> {
    let missing = |line: &&str, other: &str| !other.lines().any(|known| known.trim() == line.trim());
    let gone =
        before.lines().find(|line| CHECKS.is_match(line) && !line.trim().is_empty() && missing(line, after));
    let passing = after.lines().find(|line| LETS_PASS.is_match(line) && missing(line, before));
    gone.or(passing).map(|line| line.trim().chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(path: &str, before: &str, after: &str) -> bool {
        loosened(path, Some(before), Some(after)).is_some()
    }

    #[test]
    fn settings_of_gates_in_manifests_are_seen_and_the_rest_is_not() {
        let cargo = "[package]\nname = \"a\"\n[lints.clippy]\nall = \"deny\"\n";
        assert!(changed("a/Cargo.toml", cargo, &cargo.replace("deny", "allow")));
        assert!(changed("Cargo.toml", cargo, "[package]\nname = \"a\"\n"));
        assert!(changed("Cargo.toml", cargo, &format!("{cargo}[[test]]\nname = \"t\"\nharness = false\n")));
        assert!(!changed("Cargo.toml", cargo, &format!("{cargo}[dependencies]\nb = \"1\"\n")));
        let python = "[project]\nname = \"a\"\n[tool.coverage.report]\nfail_under = 90\n";
        assert!(changed("pyproject.toml", python, &python.replace("90", "10")));
        assert!(!changed("pyproject.toml", python, &python.replace("\"a\"", "\"b\"")));
        let package = r#"{"name": "a", "scripts": {"test": "jest --ci", "build": "tsc"}, "jest": {"x": 1}}"#;
        assert!(changed("package.json", package, &package.replace("jest --ci", "true")));
        assert!(changed("package.json", package, &package.replace("{\"x\": 1}", "{\"x\": 2}")));
        assert!(changed("package.json", package, "{"));
        assert!(!changed("package.json", package, &package.replace("\"tsc\"", "\"vite\"")));
        assert!(changed("setup.cfg", "[flake8]\nmax = 80\n", "[flake8]\nmax = 800\n"));
        assert!(!changed(
            "setup.cfg",
            "[metadata]\na = 1\n[flake8]\nb = 1\n",
            "[metadata]\na = 2\n[flake8]\nb = 1\n"
        ));
        let make = "all: build\ntest:\n\tcargo test\n";
        assert!(changed("Makefile", make, "all: build\ntest:\n\techo fine\n"));
        assert!(changed("Makefile", make, "all: build\ntest:\n\tcargo test\nlint:\n\truff check || true\n"));
        assert!(!changed("Makefile", make, "all: build docs\ntest:\n\tcargo test\ndocs:\n\tmdbook\n"));
        assert!(changed("pom.xml", "<a>\n</a>\n", "<a>\n<skipTests>true</skipTests>\n</a>\n"));
        assert_eq!(loosened("src/a.rs", Some("a"), Some("b")), None);
        assert_eq!(loosened("package.json", None, Some(package)), None);
    }
}

//! Settings of gates in files that hold other things, too: manifests, build files, task runners.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::tampering::TextPair;
use super::test_text::pattern;
use super::tested_set::smaller;

/// The part of a gate's settings that a change altered, by name; `None` where it altered none.
pub(super) fn loosened(file: &TextPair<'_>) -> Option<String> {
    let TextPair { path, old_path, before, after, .. } = *file;
    let was = old_path.unwrap_or(path);
    // A folder that is moved takes its manifest along; in the root, tools find a file by its place.
    let along = name(was) == name(path) && was.contains('/') && path.contains('/');
    if was == path || along {
        altered(path, before, after)
    } else {
        altered(was, before, None).or_else(|| altered(path, None, after))
    }
}

/// Whether this room looks into files of that name.
pub(super) fn is_looked_into(path: &str) -> bool {
    let name = name(path);
    MANIFESTS.contains(&name.as_str()) || LINES.contains(&name.as_str())
}

fn name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_lowercase()
}

const MANIFESTS: &[&str] = &[
    "cargo.toml",
    "pyproject.toml",
    "package.json",
    "setup.cfg",
    "pnpm-workspace.yaml",
    "go.work",
    "settings.gradle",
    "settings.gradle.kts",
];
const LINES: &[&str] = &[
    "makefile",
    "gnumakefile",
    "justfile",
    ".justfile",
    "rakefile",
    "taskfile.yml",
    "taskfile.yaml",
    "build.gradle",
    "build.gradle.kts",
    "gradle.properties",
    "pom.xml",
    "build.xml",
    "build.sbt",
    "gemfile",
    // Sphinx, where building the documentation is a gate.
    "conf.py",
];

/// The same for the file at one path. What is not there says what an empty file would.
fn altered(path: &str, before: Option<&str>, after: Option<&str>) -> Option<String> {
    let name = name(path);
    let (old, new) = (before.unwrap_or_default(), after.unwrap_or_default());
    let settings = match name.as_str() {
        // A new package below has lints and targets of its own, and no one else's.
        "cargo.toml" if before.is_none() && path.contains('/') => None,
        "cargo.toml" => tables(cargo(old), &cargo(new)),
        "pyproject.toml" => tables(toml_tables(old, PYPROJECT), &toml_tables(new, PYPROJECT)),
        "package.json" => package(before.unwrap_or("{}"), after.unwrap_or("{}")),
        "setup.cfg" => tables(ini(old), &ini(new)),
        "pnpm-workspace.yaml" => tables(pnpm(old), &pnpm(new)),
        // One that is new and comes before another is said by its name.
        name if before.is_some() && LINES.contains(&name) => lines(old, new),
        _ => None,
    };
    // A workspace that is new in a folder takes nothing from the one around it.
    let counts = before.is_some() || !path.contains('/');
    settings.or_else(|| smaller(&name, old, new).filter(|_| counts))
}

const CARGO: &[&str] = &[
    "lints",
    "workspace.lints",
    "test",
    "lib.test",
    "lib.doctest",
    "lib.harness",
    "lib.path",
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

/// The tables, and of each program whether and how it is tested.
fn cargo(text: &str) -> Option<Tables> {
    let mut found = toml_tables(text, CARGO)?;
    let programs = toml_tables(text, &["bin"])?;
    for program in programs.get("bin").and_then(Value::as_array).into_iter().flatten() {
        let name = program.get("name").and_then(Value::as_str).unwrap_or_default();
        for key in ["test", "harness"] {
            if let Some(value) = program.get(key) {
                found.insert(format!("bin.{name}.{key}"), value.clone());
            }
        }
    }
    Some(found)
}

/// Settings of pnpm that decide what a script is run by, and which packages it finds.
fn pnpm(text: &str) -> Option<Tables> {
    const WANTED: &[&str] = &[
        "scriptShell",
        "shellEmulator",
        "pnpmfile",
        "globalPnpmfile",
        "configDependencies",
        "nodeOptions",
        "enablePrePostScripts",
        "ignoreScripts",
        "useNodeVersion",
        "modulesDir",
    ];
    if text.trim().is_empty() {
        return Some(Tables::new());
    }
    let root: Value = serde_saphyr::from_str(text).ok()?;
    Some(WANTED.iter().filter_map(|name| Some(((*name).to_owned(), root.get(name)?.clone()))).collect())
}

static SCRIPT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)test|lint|check|type|format|fmt|cover|verify|valid|audit|spec|^ci$"));

/// Scripts that are new decide nothing, unless they run before or after one that was there.
fn package(before: &str, after: &str) -> Option<String> {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    let (old, new) = (parsed(before), parsed(after));
    let settings = tables(old.as_ref().map(package_settings), &new.as_ref().map(package_settings));
    let (Some(old), Some(new)) = (old, new) else { return settings };
    let scripts = |root: &Value| root.get("scripts").and_then(Value::as_object).cloned().unwrap_or_default();
    let (old, new) = (scripts(&old), scripts(&new));
    let around = |name: &str| {
        let inner = ["pre", "post"].iter().find_map(|when| name.strip_prefix(when));
        inner.is_some_and(|inner| old.contains_key(inner))
    };
    let counts = |name: &str| old.contains_key(name) && SCRIPT.is_match(name) || around(name);
    let mut names = old.keys().chain(new.keys());
    let mut script = || names.find(|name| counts(name) && old.get(*name) != new.get(*name));
    settings.or_else(|| script().map(|name| format!("scripts.{name}")))
}

fn package_settings(root: &Value) -> Tables {
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
    WANTED.iter().filter_map(|name| Some(((*name).to_owned(), root.get(name)?.clone()))).collect()
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
        r"(?i)\b(\w*test\w*|\w*lint\w*|check\w*|clippy|verify|coverage|jacoco|minimum|rubocop|spotbugs|pmd|audit|mypy|ruff|tsc|systemProp)\b",
    )
});
static LETS_PASS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\|\|\s*(true|:|exit 0)|<skip(ITs)?>|systemProp|org\.gradle\.(jvmargs|java\.home)|suppress_warnings|nitpick_ignore|exclude_patterns|ignoreFailures|ignoreTestFailure|skipTests|maven\.test\.skip|failOnViolation|failOnError|failIfNoTests|excludeTests?|--skip|--deselect|--ignore|--no-verify|--passWithNoTests|\bexit 0\b",
    )
});

/// A line about checks that is gone, or a new one that lets failures pass.
fn lines(before: &str, after: &str) -> Option<String> {
    fn known(text: &str) -> HashSet<&str> {
        text.lines().map(str::trim).collect()
    }
    let (old, new) = (known(before), known(after));
    // The patterns cost more than looking a line up.
    let gone = before.lines().map(str::trim).find(|line| !new.contains(line) && CHECKS.is_match(line));
    let passing =
        || after.lines().map(str::trim).find(|line| !old.contains(line) && LETS_PASS.is_match(line));
    gone.or_else(passing).map(|line| line.chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(path: &str, before: &str, after: &str) -> bool {
        of(path, None, Some(before), Some(after)).is_some()
    }

    fn of(path: &str, old_path: Option<&str>, before: Option<&str>, after: Option<&str>) -> Option<String> {
        loosened(&TextPair { path, old_path, before, after, first_line: 1 })
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
        assert_eq!(of("src/a.rs", None, Some("a"), Some("b")), None);
    }

    #[test]
    fn a_file_that_is_new_or_gone_or_moved_says_what_an_empty_one_would() {
        let pytest = "[tool:pytest]\naddopts = --co\n";
        assert_eq!(of("setup.cfg", None, None, Some(pytest)).as_deref(), Some("tool:pytest"));
        assert_eq!(of("setup.cfg", None, None, Some("[metadata]\nname = a\n")), None);
        assert_eq!(
            of("old.cfg", Some("setup.cfg"), Some(pytest), Some(pytest)).as_deref(),
            Some("tool:pytest")
        );
        assert!(of("docs/setup.cfg", Some("setup.cfg"), Some(pytest), Some(pytest)).is_some());
        assert!(of("setup.cfg", Some("x.cfg"), Some(pytest), Some(pytest)).is_some());
        let table = "[tool.pytest.ini_options]\naddopts = \"--co\"\n";
        assert_eq!(of("pyproject.toml", None, None, Some(table)).as_deref(), Some("tool.pytest"));
        assert!(of("package.json", None, None, Some(r#"{"jest": {"x": 1}}"#)).is_some());
        assert_eq!(of("package.json", None, None, Some(r#"{"scripts": {"test": "jest"}}"#)), None);
        let member = "[package]\nname = \"a\"\n[lints]\nworkspace = true\n";
        assert_eq!(of("a/Cargo.toml", None, None, Some(member)), None, "a new package of a workspace");
        assert_eq!(of("b/Cargo.toml", Some("a/Cargo.toml"), Some(member), Some(member)), None, "moved");
        assert!(of("a/Cargo.toml", None, Some(member), None).is_some());
    }

    #[test]
    fn a_new_script_counts_only_around_one_that_was_there() {
        let before = r#"{"scripts": {"test": "jest", "build": "tsc"}}"#;
        let with = |script: &str| before.replace("\"build\"", &format!("\"{script}\": \"true\", \"build\""));
        for script in ["lint", "test:fast", "prelint", "typecheck"] {
            assert!(!changed("package.json", before, &with(script)), "{script}");
        }
        for script in ["pretest", "posttest", "prebuild"] {
            assert!(changed("package.json", before, &with(script)), "{script}");
            assert!(changed("package.json", &with(script), before), "{script}");
        }
        assert!(changed("package.json", before, r#"{"scripts": {"build": "tsc"}}"#));
    }

    #[test]
    fn two_hundred_thousand_lines_are_compared_in_time_by_their_number() {
        let target = |number: usize| format!("t{number}:\n\tcargo test -p p{number}\n");
        let before: String = (0..100_000).map(target).collect();
        let after: String = (0..100_000).rev().map(target).collect();
        let begun = std::time::Instant::now();
        assert!(!changed("Makefile", &before, &after));
        assert!(begun.elapsed().as_secs() < 30, "{:?}, and by its square it is minutes", begun.elapsed());
    }
}

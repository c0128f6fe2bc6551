use super::*;
use crate::workspace::{FileEntry, FileMode, RepoPath};

pub(super) fn tree(files: &[(&str, &str)]) -> Snapshot {
    let entry = |text: &str| FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().to_vec() };
    let file = |(path, text): &(&str, &str)| (RepoPath::parse(*path).expect("a path"), entry(text));
    Snapshot { files: files.iter().map(file).collect() }
}

/// Each gate in a line: requirement, command, folder, what it needs, and where it comes from.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let show = |gate: Gate| {
        let needs = gate.needs_dependencies.map_or("nothing", Ecosystem::name);
        let place = gate.cwd.map(|cwd| format!(" in {cwd}")).unwrap_or_default();
        format!(
            "{:?} {:?}: {}{place}, needs {needs}, from {}",
            gate.requirement,
            gate.kind,
            gate.command.join(" "),
            gate.source
        )
    };
    discover(&tree(files), None).into_iter().map(show).collect()
}

#[test]
fn a_plain_crate_is_tested_and_nothing_else() {
    assert_eq!(
        found(&[("Cargo.toml", "[package]\nname = \"x\"\n"), ("src/lib.rs", "")]),
        ["Required Test: cargo test --no-fail-fast, needs nothing, from Cargo.toml"]
    );
}

#[test]
fn a_crate_is_formatted_and_linted_as_its_ci_does_it() {
    let ci = "- run: cargo fmt --all -- --check\n- run: cargo clippy --all-targets -- -D warnings\n- run: cargo test --workspace --locked\n";
    assert_eq!(
        found(&[
            ("Cargo.toml", "[package]\nname = \"x\"\n[dependencies]\nitoa = \"1\"\n"),
            (".github/workflows/ci.yml", ci),
        ]),
        [
            "Required Test: cargo test --no-fail-fast --workspace, needs rust, from Cargo.toml",
            "Required Format: cargo fmt --check --all, needs nothing, from .github/workflows/ci.yml",
            "Required Lint: cargo clippy --all-targets -- -D warnings, needs rust, from .github/workflows/ci.yml",
        ]
    );
}

#[test]
fn what_is_only_configured_is_advisory() {
    assert_eq!(
        found(&[
            ("Cargo.toml", "[package]\nname = \"x\"\n[lints.clippy]\nall = \"warn\"\n"),
            ("rustfmt.toml", "")
        ]),
        [
            "Required Test: cargo test --no-fail-fast, needs nothing, from Cargo.toml",
            "Advisory Format: cargo fmt --check, needs nothing, from rustfmt.toml",
            "Advisory Lint: cargo clippy, needs nothing, from Cargo.toml",
        ]
    );
}

#[test]
fn rust_dependencies_are_those_from_outside_the_tree() {
    let needs = |files: &[(&str, &str)]| discover(&tree(files), None)[0].needs_dependencies.is_some();
    let package = "[package]\nname = \"x\"\n";
    assert!(!needs(&[("Cargo.toml", &format!("{package}[dependencies]\ny = {{ path = \"y\" }}\n"))]));
    assert!(needs(&[(
        "Cargo.toml",
        &format!("{package}[target.'cfg(unix)'.dev-dependencies]\ny = \"1\"\n")
    )]));
    assert!(needs(&[("Cargo.toml", package), ("y/Cargo.toml", "[dependencies]\nz = \"1\"\n")]));
    let lock = "[[package]]\nname = \"x\"\n[[package]]\nname = \"y\"\nsource = \"registry\"\n";
    assert!(needs(&[("Cargo.toml", package), ("Cargo.lock", lock)]));
    let vendored = "[source.crates-io]\nreplace-with = \"vendored-sources\"\n";
    assert!(!needs(&[("Cargo.toml", package), ("Cargo.lock", lock), (".cargo/config.toml", vendored)]));
}

#[test]
fn python_gates_follow_the_projects_configuration() {
    let pyproject = "[project]\nname = \"x\"\ndependencies = [\"requests>=2\"]\n[project.optional-dependencies]\n\
                     test = [\"pytest\"]\n[tool.ruff]\nline-length = 100\n[tool.mypy]\nfiles = \"src\"\n[tool.black]\n";
    assert_eq!(
        found(&[("pyproject.toml", pyproject), (".github/workflows/ci.yml", "- run: ruff check .\n")]),
        [
            "Required Test: python3 -m pytest, needs python, from pyproject.toml",
            "Required Lint: ruff check, needs nothing, from .github/workflows/ci.yml",
            "Required Types: python3 -m mypy, needs python, from pyproject.toml",
            "Advisory Format: python3 -m black --check ., needs nothing, from pyproject.toml",
        ]
    );
}

#[test]
fn unittest_is_used_where_nothing_names_pytest() {
    let test = "import unittest\n";
    assert_eq!(
        found(&[("setup.py", "from setuptools import setup\n"), ("tests/test_a.py", test)]),
        ["Required Test: python3 -m unittest discover -v -s tests, needs nothing, from tests/test_a.py"]
    );
    assert_eq!(
        found(&[
            ("setup.cfg", ""),
            ("tests/__init__.py", ""),
            ("tests/test_a.py", test),
            ("requirements.txt", "six==1.0\n")
        ]),
        ["Required Test: python3 -m unittest discover -v, needs python, from tests/test_a.py"]
    );
    assert_eq!(found(&[("pyproject.toml", "[project]\nname = \"x\"\n")]), [""; 0]);
}

#[test]
fn requirements_are_read_by_name() {
    let files = [
        (
            "requirements.txt",
            "# comment\n-r other.txt\nPyTest_Mock[extra]>=3 ; python_version > '3'\n--hash=x\n",
        ),
        ("requirements/dev.txt", "black\n"),
        ("setup.cfg", "[options]\ninstall_requires =\n    flask>=2\n"),
        (
            "pyproject.toml",
            "[dependency-groups]\ndev = [\"mypy\", {include-group = \"x\"}]\n[tool.poetry.dependencies]\npython = \"^3\"\nrich = \"*\"\n",
        ),
    ];
    let base = tree(&files);
    let project = Project::find(&base, Ecosystem::Python).expect("a project");
    assert_eq!(python_declares(&project), ["black", "flask", "mypy", "pytest-mock", "rich"]);
}

#[test]
fn javascript_gates_are_the_packages_scripts() {
    let package = r#"{"scripts": {"test": "vitest run", "lint": "eslint --fix .", "lint:check": "eslint .",
        "typecheck": "tsc --noEmit", "format:check": "prettier --check ."}, "devDependencies": {"vitest": "1"}}"#;
    assert_eq!(
        found(&[
            ("package.json", package),
            ("pnpm-lock.yaml", ""),
            (".github/workflows/a.yml", "- run: pnpm lint:check\n")
        ]),
        [
            "Required Test: pnpm run test, needs javascript, from package.json",
            "Required Lint: pnpm run lint:check, needs javascript, from package.json",
            "Required Types: pnpm run typecheck, needs javascript, from package.json",
            "Advisory Format: pnpm run format:check, needs javascript, from package.json",
        ]
    );
    let placeholder = r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#;
    assert_eq!(found(&[("package.json", placeholder)]), [""; 0]);
    assert_eq!(
        found(&[("package.json", r#"{"scripts": {"test": "node --test"}}"#)]),
        ["Required Test: npm run test, needs nothing, from package.json"]
    );
}

#[test]
fn a_project_in_a_folder_is_found_and_examples_are_not_projects() {
    assert_eq!(
        found(&[
            ("examples/a/Cargo.toml", ""),
            ("rust/Cargo.toml", ""),
            ("rust/x/Cargo.toml", ""),
            ("web/node_modules/y/package.json", "{}")
        ]),
        ["Required Test: cargo test --no-fail-fast in rust, needs nothing, from rust/Cargo.toml"]
    );
}

#[test]
fn a_policy_that_names_gates_replaces_what_would_be_found() {
    let policy: GatePolicy =
        serde_saphyr::from_str("gates:\n  - name: all\n    kind: test\n    run: make check\n")
            .expect("a policy");
    let gates = discover(&tree(&[("Cargo.toml", "")]), Some(&policy));
    assert_eq!(gates.len(), 1);
    assert_eq!((gates[0].name.as_str(), gates[0].source.as_str()), ("all", ".orchestrator/config.yaml"));
    assert_eq!(gates[0].command, ["sh", "-c", "make check"]);
}

#[test]
fn broken_manifests_do_not_break_the_search() {
    let broken =
        [("Cargo.toml", "[[["), ("package.json", "{"), ("pyproject.toml", "= ="), ("Cargo.lock", "x")];
    assert_eq!(found(&broken), ["Required Test: cargo test --no-fail-fast, needs nothing, from Cargo.toml"]);
}

use super::*;
use crate::workspace::{FileEntry, FileMode, RepoPath};

mod by_ci;

pub(super) fn tree(files: &[(&str, &str)]) -> Snapshot {
    let entry = |text: &str| FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().into() };
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
    discover(&tree(files), None).expect("in memory").into_iter().map(show).collect()
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
            "Required Test: cargo test --no-fail-fast --workspace, needs rust, from .github/workflows/ci.yml",
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
    let needs = |files: &[(&str, &str)]| {
        discover(&tree(files), None).expect("in memory")[0].needs_dependencies.is_some()
    };
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
            "Required Lint: pnpm run lint:check, needs javascript, from .github/workflows/a.yml",
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
    let gates = discover(&tree(&[("Cargo.toml", "")]), Some(&policy)).expect("in memory");
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

#[test]
fn go_modules_are_checked_as_their_ci_does_it() {
    let ci = "jobs:\n  a:\n    steps:\n      - uses: golangci/golangci-lint-action@v6\n      - run: |\n          go vet ./...\n          go test -race -v ./... -coverprofile=c.out\n          test -z \"$(gofmt -l .)\"\n";
    let lines =
        found(&[("go.mod", "module x\n\nrequire github.com/a/b v1.0.0\n"), (".github/workflows/ci.yml", ci)]);
    let starts: Vec<&str> = lines.iter().map(|line| line.split(" $(find").next().unwrap_or(line)).collect();
    assert_eq!(starts[0], "Required Test: go test -race ./..., needs go, from .github/workflows/ci.yml");
    assert!(starts[1].starts_with("Required Format: sh -c found="), "{starts:?}");
    assert_eq!(starts[2], "Required Lint: golangci-lint run, needs go, from .github/workflows/ci.yml");
    assert_eq!(starts[3], "Required Lint: go vet ./..., needs go, from .github/workflows/ci.yml");
    assert_eq!(
        found(&[("go.mod", "module x\n")]),
        ["Required Test: go test ./..., needs nothing, from go.mod"]
    );
    let vendored = [("go.mod", "module x\nrequire a v1\n"), ("vendor/modules.txt", "")];
    assert_eq!(found(&vendored), ["Required Test: go test ./..., needs nothing, from go.mod"]);
}

#[test]
fn java_projects_are_built_by_what_they_carry() {
    let pom =
        "<project><build><plugins><artifactId>spotless-maven-plugin</artifactId></plugins></build></project>";
    assert_eq!(
        found(&[
            ("pom.xml", pom),
            (".github/workflows/ci.yml", "- run: mvn -B test\n- run: mvn spotless:check\n")
        ]),
        [
            "Required Test: mvn -B -o test, needs java, from .github/workflows/ci.yml",
            "Required Format: mvn -B -o spotless:check, needs java, from .github/workflows/ci.yml",
        ]
    );
    assert_eq!(
        found(&[
            ("build.gradle.kts", "plugins { checkstyle }\n"),
            ("gradlew", ""),
            (".github/workflows/ci.yml", "- run: ./gradlew --info build\n")
        ]),
        ["Required Test: ./gradlew --offline --no-daemon check, needs java, from .github/workflows/ci.yml"]
    );
    assert_eq!(
        found(&[("build.gradle", "apply plugin: 'checkstyle'\n")]),
        [
            "Required Test: gradle --offline --no-daemon test, needs java, from build.gradle",
            "Advisory Lint: gradle --offline --no-daemon checkstyleMain, needs java, from build.gradle",
        ]
    );
}

#[test]
fn ruby_projects_are_checked_through_their_bundle() {
    assert_eq!(
        found(&[
            ("Gemfile", "source \"x\"\ngem \"rspec\"\ngem \"brakeman\"\n"),
            ("spec/a_spec.rb", ""),
            (".rubocop.yml", ""),
            (".github/workflows/ci.yml", "- run: bundle exec rubocop --parallel\n")
        ]),
        [
            "Required Test: bundle exec rspec, needs ruby, from spec/a_spec.rb",
            "Required Lint: bundle exec rubocop, needs ruby, from .github/workflows/ci.yml",
            "Advisory Security: bundle exec brakeman -q --no-pager, needs ruby, from Gemfile",
        ]
    );
    assert_eq!(
        found(&[("Rakefile", ""), ("test/test_a.rb", "")]),
        ["Required Test: rake test, needs nothing, from test/test_a.rb"]
    );
    // A Gemfile for the web site of another project.
    assert_eq!(found(&[("Gemfile", "gem \"jekyll\"\n")]), [""; 0]);
}

#[test]
fn task_files_are_asked_where_nothing_else_is_found_or_ci_runs_them() {
    let makefile =
        "CC := cc\n.PHONY: test\nall: x\ntest: all\n\t./run-tests\nlint:\n\t./lint\nclean:\n\trm x\n";
    assert_eq!(
        found(&[("Makefile", makefile), ("a.c", "")]),
        [
            "Required Test: make test, needs nothing, from Makefile",
            "Advisory Lint: make lint, needs nothing, from Makefile",
        ]
    );
    // cargo's own tests are found already; the linter is the one that CI runs.
    assert_eq!(
        found(&[
            ("Cargo.toml", ""),
            ("justfile", "test:\n  cargo test\nlint target='all':\n  ./lint\nfmt-check:\n  ./fmt\n"),
            (".github/workflows/ci.yml", "- run: just lint\n")
        ]),
        [
            "Required Test: cargo test --no-fail-fast, needs nothing, from Cargo.toml",
            "Required Lint: just lint, needs nothing, from .github/workflows/ci.yml",
        ]
    );
}

#[test]
fn audits_and_searches_for_secrets_are_those_that_ci_runs() {
    let ci = "- run: cargo audit\n- uses: gitleaks/gitleaks-action@v2\n- run: bandit -r src\n";
    assert_eq!(
        found(&[("Cargo.toml", ""), ("setup.py", ""), (".github/workflows/ci.yml", ci)])[1..],
        [
            "Advisory Audit: cargo audit --no-fetch, needs nothing, from .github/workflows/ci.yml",
            "Required Security: python3 -m bandit -q -r ., needs nothing, from .github/workflows/ci.yml",
            "Required Secrets: gitleaks detect --no-git --redact --verbose, needs nothing, from .github/workflows/ci.yml",
        ]
    );
}

#[test]
fn tools_that_ci_calls_without_a_script_are_called_so_here() {
    let ci =
        "- run: npx eslint src --max-warnings 0\n- run: npx tsc --noEmit\n- run: npx prettier --write .\n";
    assert_eq!(
        found(&[("package.json", "{}"), (".github/workflows/ci.yml", ci)]),
        [
            "Required Lint: npx --no-install eslint src --max-warnings 0, needs javascript, from .github/workflows/ci.yml",
            "Required Types: npx --no-install tsc --noEmit, needs javascript, from .github/workflows/ci.yml",
        ]
    );
}

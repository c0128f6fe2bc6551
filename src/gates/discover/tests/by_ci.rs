//! What is found by the steps of CI.

use super::*;

/// The commands that CI's steps make us run, with the folder.
fn by_ci(steps: &str, files: &[(&str, &str)]) -> Vec<String> {
    let text = format!("on: pull_request\njobs:\n  a:\n    steps:\n{steps}");
    let all: Vec<(&str, &str)> =
        files.iter().copied().chain([(".github/workflows/ci.yml", text.as_str())]).collect();
    let show = |gate: Gate| {
        let place = gate.cwd.map(|cwd| format!(" in {cwd}")).unwrap_or_default();
        format!("{}{place}", gate.command.join(" "))
    };
    discover(&tree(&all), None).expect("in memory").into_iter().map(show).collect()
}

#[test]
fn what_is_installed_or_printed_is_not_run() {
    let steps = "      - run: pip install flake8 mypy\n      - run: rustup component add clippy\n      - run: echo run black\n";
    assert_eq!(by_ci(steps, &[("Cargo.toml", ""), ("setup.py", "")]), ["cargo test --no-fail-fast"]);
}

#[test]
fn cargos_other_checks_are_run_as_ci_does_it() {
    let steps = "      - run: cargo check\n      - run: cargo check --no-default-features\n      - run: cargo +nightly miri setup\n      - run: cargo +nightly miri test\n      \
                 - run: cargo doc --no-deps -q\n        env:\n          RUSTDOCFLAGS: --cfg docsrs -D warnings\n      - run: cargo-sort --check\n      \
                 - run: cargo hack check --each-feature\n      - run: cargo hack test --feature-powerset\n      - run: cargo build --target wasm32-unknown-unknown\n      \
                 - run: cargo test\n      - run: cargo test -p part --features x\n";
    assert_eq!(
        by_ci(steps, &[("Cargo.toml", "")]),
        [
            "cargo test --no-fail-fast",
            "cargo test --no-fail-fast -p part --features x",
            "cargo check --no-default-features",
            "env RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps",
            "cargo miri test",
            "cargo hack check --each-feature",
            "cargo hack test --feature-powerset",
            "cargo sort --check",
        ]
    );
}

#[test]
fn a_project_of_its_own_in_a_folder_is_checked_there_as_ci_does_it() {
    let steps = "      - run: cargo fmt --check --manifest-path tools/Cargo.toml\n      - run: cargo check\n        working-directory: fuzz\n";
    let files = [
        ("Cargo.toml", ""),
        ("fuzz/Cargo.toml", ""),
        ("tools/Cargo.toml", "[workspace]\n"),
        ("other/Cargo.toml", ""),
    ];
    assert_eq!(
        by_ci(steps, &files),
        ["cargo test --no-fail-fast", "cargo check in fuzz", "cargo fmt --check in tools"]
    );
    let text = "on: pull_request\njobs:\n  a:\n    strategy:\n      matrix:\n        place: ['.', tools]\n    steps:\n      - run: cargo fmt\n        \
                working-directory: ${{ matrix.place }}\n";
    let lines = found(&[("Cargo.toml", ""), ("tools/Cargo.toml", ""), (".github/workflows/ci.yml", text)]);
    assert_eq!(lines.len(), 3, "each folder of a matrix counts: {lines:?}");
}

#[test]
fn pythons_tools_look_at_what_ci_lets_them_look_at() {
    let steps = "      - run: mypy src tests --strict\n      - run: pyright\n      - run: coverage run -m pytest -n 2\n      - run: coverage report --fail-under=90\n      \
                 - run: sphinx-build -W -b doctest docs out\n      - run: pytest -m slow\n";
    let files = [("setup.py", ""), ("src/a.py", ""), ("tests/b.py", ""), ("docs/conf.py", "")];
    assert_eq!(
        by_ci(steps, &files),
        [
            "python3 -m pytest",
            "python3 -m mypy src tests",
            "pyright",
            "python3 -m pytest -m slow",
            "sh -c python3 -m coverage run -m pytest -n 2 && { python3 -m coverage combine || true; } && python3 -m coverage report --fail-under=90",
            "python3 -m sphinx -W -b doctest docs /tmp/documentation",
        ]
    );
    let floor = [("setup.py", ""), ("conftest.py", ""), (".coveragerc", "[report]\nfail_under = 80\n")];
    assert!(
        found(&floor)[1].starts_with("Required Coverage: sh -c python3 -m coverage run -m pytest"),
        "{floor:?}"
    );
}

#[test]
fn all_scripts_of_a_package_that_ci_runs_are_gates_and_releases_are_not() {
    let steps = "      - run: yarn install\n      - run: yarn lint:deps\n      - run: yarn run check:size --x\n      - run: yarn test-ci\n      - run: yarn release\n      \
                 - run: yarn workspace web test\n      - run: yarn absent\n      - run: node scripts/verify-all.js\n      - run: node scripts/prepare.js\n";
    let package = r#"{"scripts": {"lint:deps": "a", "check:size": "b", "test-ci": "nyc yarn test", "test": "c", "release": "d", "lint": "e"}}"#;
    let files = [
        ("package.json", package),
        ("yarn.lock", ""),
        ("scripts/verify-all.js", ""),
        ("scripts/prepare.js", ""),
    ];
    assert_eq!(
        by_ci(steps, &files),
        [
            "yarn run test-ci",
            "yarn workspace web run test",
            "yarn run lint:deps",
            "yarn run check:size",
            "node scripts/verify-all.js",
        ]
    );
}

#[test]
fn mavens_goals_are_those_of_ci_or_of_the_build_itself() {
    let steps = "      - run: mvn -B --no-transfer-progress\n      - run: mvn clean install -DskipTests\n      - run: mvn -P small --projects core test\n      - run: mvn deploy\n";
    let pom = "<project><build><defaultGoal>clean verify checkstyle:check japicmp:cmp</defaultGoal></build></project>";
    assert_eq!(
        by_ci(steps, &[("pom.xml", pom)]),
        [
            "mvn -B -o verify",
            "mvn -B -o checkstyle:check",
            "mvn -B -o -DskipTests package japicmp:cmp",
            "mvn -B -o -P small --projects core test",
        ]
    );
}

#[test]
fn gradles_tasks_are_those_of_ci_that_check() {
    let steps = "      - run: ./gradlew spotlessCheck -x lint --stacktrace\n      - run: ./gradlew -Px=y build\n      - run: ./gradlew publish coverageReport :a:nativeTest\n";
    assert_eq!(
        by_ci(steps, &[("build.gradle", ""), ("gradlew", "")]),
        [
            "./gradlew --offline --no-daemon check",
            "./gradlew --offline --no-daemon spotlessCheck",
            "./gradlew --offline --no-daemon coverageReport",
        ]
    );
}

#[test]
fn a_bundle_runs_what_ci_runs_from_it() {
    let steps = "      - run: bundle exec rake\n      - run: bundle exec rubocop lib\n      - run: bundle exec yard-junk --path lib\n      - run: bundle exec rake release\n      \
                 - run: bundle exec rake\n        working-directory: part\n";
    let files =
        [("Gemfile", ""), ("Rakefile", ""), ("lib/a.rb", ""), ("test/a_test.rb", ""), ("part/Gemfile", "")];
    assert_eq!(
        by_ci(steps, &files),
        [
            "bundle exec rake",
            "bundle exec rubocop lib",
            "bundle exec yard-junk --path lib",
            "bundle exec rake in part"
        ]
    );
}

#[test]
fn a_script_of_the_repository_is_what_it_runs_or_a_gate_of_its_own() {
    let steps = "      - run: ci/style.sh\n      - run: ci/test-completions.sh\n      - run: ci/check-history.sh\n      - run: ci/install.sh\n      - run: make test-ui\n";
    let files = [
        ("go.mod", "module x\n"),
        ("ci/style.sh", "#!/bin/sh\ngo vet ./...\n"),
        ("ci/test-completions.sh", "#!/bin/sh\nzsh completions\n"),
        ("ci/check-history.sh", "#!/bin/sh\ngit diff --exit-code\n"),
        ("ci/install.sh", "#!/bin/sh\napt-get install zsh\n"),
        ("Makefile", "test-%:\n\tgo test ./...\ntest-ui:\n\tbrowser --test\n"),
    ];
    assert_eq!(
        by_ci(steps, &files),
        ["go test ./...", "go vet ./...", "ci/test-completions.sh", "make test-ui"]
    );
}

#[test]
fn no_two_gates_have_one_name() {
    let steps = "      - run: cargo hack check --each-feature\n      - run: cargo hack test --each-feature\n";
    let text = format!("on: pull_request\njobs:\n  a:\n    steps:\n{steps}");
    let gates =
        discover(&tree(&[("Cargo.toml", ""), (".github/workflows/ci.yml", &text)]), None).expect("in memory");
    let names: Vec<&str> = gates.iter().map(|gate| gate.name.as_str()).collect();
    assert_eq!(names, ["cargo test", "cargo hack", "cargo hack (2)"]);
}

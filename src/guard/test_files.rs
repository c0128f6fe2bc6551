//! Which files are tests, or settings of gates, by the names that the tools themselves look for.

use super::test_text::{Language, inline_tests};

/// Whether a path is a test or belongs to tests: fixtures, snapshots, expected output.
pub fn is_test_file(path: &str) -> bool {
    let lower = path.to_lowercase();
    let (folders, name) = lower.rsplit_once('/').unwrap_or(("", &lower));
    let in_folder = folders.split('/').any(|part| {
        matches!(
            part,
            "test"
                | "tests"
                | "__tests__"
                | "spec"
                | "specs"
                | "testdata"
                | "__snapshots__"
                | "snapshots"
                | "__fixtures__"
        )
    });
    let stem = name.split('.').next().unwrap_or_default();
    let ending = ["_test", "_tests", "_spec", "-test", "-spec"].iter().any(|end| stem.ends_with(end));
    in_folder
        || matches!(stem, "test" | "tests" | "conftest")
        || stem.starts_with("test_")
        || ending
        || name.contains(".test.")
        || name.contains(".spec.")
        || name.ends_with(".snap")
        || java_test(path)
}

/// Surefire's and Gradle's default names: `TestX.java`, `XTest.java`, `XTests.java`, `XTestCase.java`, `XIT.java`.
fn java_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((stem, "java" | "kt" | "groovy" | "scala")) = name.rsplit_once('.') else { return false };
    let ends = ["Test", "Tests", "TestCase", "IT", "Spec"];
    stem.starts_with("Test") || ends.iter().any(|end| stem.len() > end.len() && stem.ends_with(end))
}

/// Whether the file holds what tests expect rather than what they do.
pub(super) fn is_expected_output(path: &str) -> bool {
    let lower = path.to_lowercase();
    let ending = [".snap", ".ambr", ".golden", ".approved.txt", ".expected", ".stdout", ".stderr"];
    let folders = ["__snapshots__", "snapshots", "golden", "goldens", "testdata", "expected"];
    let in_folder = lower.split('/').rev().skip(1).any(|part| folders.contains(&part));
    ending.iter().any(|end| lower.ends_with(end))
        || (in_folder && is_test_file(path) && Language::of(path).is_none())
}

/// Files that do nothing but set a gate: which rules hold, what is tested, how much has to be covered.
const SETTINGS: &[&str] = &[
    // Rust
    "clippy.toml",
    ".clippy.toml",
    "rustfmt.toml",
    ".rustfmt.toml",
    "deny.toml",
    "nextest.toml",
    "tarpaulin.toml",
    ".tarpaulin.toml",
    "audit.toml",
    "insta.yaml",
    "rust-toolchain",
    "rust-toolchain.toml",
    // Python
    "ruff.toml",
    ".ruff.toml",
    ".flake8",
    "mypy.ini",
    ".mypy.ini",
    "pytest.ini",
    ".pytest.ini",
    "pytest.toml",
    ".pytest.toml",
    "tox.ini",
    "tox.toml",
    "hatch.toml",
    "noxfile.py",
    "conftest.py",
    "ty.toml",
    "pyrefly.toml",
    ".isort.cfg",
    ".coveragerc",
    ".pylintrc",
    "pylintrc",
    "pyrightconfig.json",
    ".bandit",
    "bandit.yaml",
    // JavaScript and TypeScript
    ".eslintignore",
    ".prettierrc",
    ".prettierignore",
    ".mocharc.json",
    ".mocharc.yml",
    ".mocharc.yaml",
    ".mocharc.js",
    ".mocharc.cjs",
    ".nycrc",
    ".nycrc.json",
    ".c8rc.json",
    "biome.json",
    "biome.jsonc",
    "karma.conf.js",
    ".taprc",
    ".pnpmfile.cjs",
    ".pnpmfile.mjs",
    "pnpmfile.js",
    // Go
    ".golangci.yml",
    ".golangci.yaml",
    ".golangci.toml",
    ".golangci.json",
    ".testcoverage.yml",
    // Java
    "checkstyle.xml",
    "checkstyle-suppressions.xml",
    "pmd.xml",
    "ruleset.xml",
    "spotbugs-exclude.xml",
    "detekt.yml",
    "mvnw",
    "gradlew",
    // Ruby
    ".rubocop.yml",
    ".rubocop_todo.yml",
    ".rspec",
    ".simplecov",
    ".standard.yml",
    ".ruby-version",
    "steepfile",
    // All
    ".pre-commit-config.yaml",
    "codecov.yml",
    ".codecov.yml",
    "codecov.yaml",
    ".codecov.yaml",
    "sonar-project.properties",
    ".gitleaks.toml",
    ".gitleaksignore",
    ".secrets.baseline",
    ".codespellrc",
    "typos.toml",
    "_typos.toml",
    ".typos.toml",
    ".trivyignore",
    ".semgrepignore",
    ".semgrep.yml",
];

/// Beginnings of such names, of which there are many with one meaning.
const SETTINGS_BEGIN: &[&str] = &[
    ".eslintrc",
    "eslint.config.",
    "jest.config.",
    "vite.config.",
    "vitest.config.",
    "vitest.workspace.",
    "playwright.config.",
    "cypress.config.",
    "stylelint.config.",
    ".stylelintrc",
    "tsconfig.",
];

/// Whether the file is there to set a gate and for nothing else. Continuous integration is protected by path.
pub fn is_gate_setting(path: &str) -> bool {
    let lower = path.to_lowercase();
    let name = lower.rsplit('/').next().unwrap_or(&lower);
    SETTINGS.contains(&name)
        || SETTINGS_BEGIN.iter().any(|begin| name.starts_with(begin))
        || lower == "sorbet/config"
        || lower.ends_with("/sorbet/config")
}

/// `after` with its inline tests (`#[cfg(test)] mod tests { … }`) as `before` has them. `None`: there are none
/// to put back, or they are the same.
pub fn with_inline_tests_of(path: &str, before: &str, after: &str) -> Option<String> {
    let (old, new) = (inline_tests(path, before)?, inline_tests(path, after));
    let old_text = before.get(old)?;
    let changed = match new {
        Some(new) if after.get(new.clone())? == old_text => return None,
        Some(new) => format!("{}{old_text}{}", after.get(..new.start)?, after.get(new.end..)?),
        None => format!("{}\n\n{old_text}", after.trim_end()),
    };
    Some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_known_by_their_names() {
        for path in [
            "tests/a.rs",
            "src/x/__tests__/a.js",
            "test_a.py",
            "pkg/a_test.go",
            "a.spec.ts",
            "src/tests.rs",
            "conftest.py",
            "src/test/java/x/RoundingTest.java",
            "lib/TestRounding.java",
            "app/round_spec.rb",
            "pkg/testdata/a.golden",
            "src/a.test-d.test.tsx",
            "src/snapshots/a.snap",
        ] {
            assert!(is_test_file(path), "{path}");
        }
        for path in [
            "src/lib.rs",
            "contest.py",
            "latest/a.rs",
            "attest_b.go",
            "src/testimony.rs",
            "src/main/java/Contest.java",
            "docs/specification.md",
            "Testing.md",
            "IT.java",
        ] {
            assert!(!is_test_file(path), "{path}");
        }
    }

    #[test]
    fn settings_of_gates_are_known_by_their_names() {
        for path in [
            "clippy.toml",
            "web/.eslintrc.cjs",
            "eslint.config.mjs",
            "pytest.ini",
            ".golangci.yml",
            "x/conftest.py",
            "tsconfig.json",
            ".pytest.toml",
            "web/vite.config.ts",
            ".pnpmfile.cjs",
            "app/sorbet/config",
        ] {
            assert!(is_gate_setting(path), "{path}");
        }
        for path in ["src/clippy.rs", "package.json", "Cargo.toml", "docs/eslint.md"] {
            assert!(!is_gate_setting(path), "{path}");
        }
    }

    #[test]
    fn inline_tests_are_put_back_and_the_code_stays() {
        let before = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() {\n        assert!(true);\n    }\n}\n";
        let after = before.replace("fn a() {}", "fn a() { b() }").replace("        assert!(true);\n", "");
        let back = with_inline_tests_of("src/a.rs", before, &after).expect("put back");
        assert_eq!(back, before.replace("fn a() {}", "fn a() { b() }"));
        assert_eq!(with_inline_tests_of("src/a.rs", before, &before.replace("fn a", "fn z")), None);
        let gone = with_inline_tests_of("src/a.rs", before, "fn a() { c() }\n").expect("put back");
        assert!(gone.starts_with("fn a() { c() }\n\n#[cfg(test)]") && gone.contains("assert!(true)"));
        assert_eq!(with_inline_tests_of("src/a.rs", "fn a() {}\n", before), None);
    }
}

//! The names of failed tests in what test runners print.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

/// More names than this are not read.
pub(super) const MOST: usize = 5_000;
const LONGEST: usize = 300;

/// The names of the tests that failed, as far as the runner names them.
pub fn read(log: &str) -> BTreeSet<String> {
    let is_mocha = MOCHA_END.is_match(log);
    let mut names = BTreeSet::new();
    for line in log.lines().filter(|line| !line.trim().is_empty()) {
        let patterns = NAMED.iter().chain(is_mocha.then_some(&*MOCHA));
        let named = patterns.filter_map(|pattern| pattern.captures(line)).next();
        let Some(found) = named else { continue };
        let parts = found.iter().skip(1).flatten().map(|part| part.as_str().trim());
        let name: String = parts.collect::<Vec<_>>().join(" > ").chars().take(LONGEST).collect();
        if !name.is_empty() && !name.contains("# TODO") && names.len() < MOST {
            names.insert(name);
        }
    }
    names
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

static MOCHA_END: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^\s+\d+ failing$"));
static MOCHA: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s+\d+\) (.+?):?$"));

static NAMED: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // cargo test, cargo nextest
        r"^test (.+?) \.\.\. FAILED$",
        r"^\s+(?:FAIL|SIGSEGV|SIGABRT|TIMEOUT) \[[^\]]*\] (?:\(\S+\) )?(.+)$",
        // pytest, unittest
        r"^(?:FAILED|ERROR) (\S+\.py(?:::.*?)?)(?: - .*)?$",
        r"^(?:FAIL|ERROR): (\w.*)$",
        // go test
        r"^\s*--- FAIL: (\S+)",
        r"^FAIL\t(\S+) \[(?:build|setup) failed\]$",
        // jest, vitest, node, TAP
        r"^  ● (.+ › .+)$",
        r"^ FAIL  (.+ > .+)$",
        r"^\s*✖ (.+?) \([\d.]+ms\)$",
        r"^\s*not ok \d+ -? ?(.+)$",
        // rspec, minitest
        r"^rspec \./\S+ # (.+)$",
        r"^(\w[\w:]*#\w+) \[\S+:\d+\]:",
        // Maven's surefire, Gradle
        r"^\[ERROR\] {3}(\w[\w$]*\.\w+)(?::\d+| » |\b.*:\d+)",
        r"^(\w[\w.$]*) > (.+) FAILED$",
    ]
    .into_iter()
    .map(pattern)
    .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn names(log: &str) -> Vec<String> {
        read(log).into_iter().collect()
    }

    #[test]
    fn each_runner_names_its_failed_tests() {
        for (log, expected) in [
            (
                "test tests::adds ... FAILED\ntest tests::b ... ok\ntest result: FAILED. 1 passed; 1 failed",
                "tests::adds",
            ),
            ("        FAIL [   0.003s] sample tests::adds\n", "sample tests::adds"),
            ("FAILED tests/test_a.py::test_b[1 - 2] - assert 1 == 2\n", "tests/test_a.py::test_b[1"),
            ("ERROR tests/test_c.py - ImportError: x\n", "tests/test_c.py"),
            ("======\nFAIL: test_a (tests.test_a.T.test_a)\n------\n", "test_a (tests.test_a.T.test_a)"),
            ("--- FAIL: TestAdd (0.00s)\n    a_test.go:5: wrong\nFAIL\n", "TestAdd"),
            ("FAIL\texample.com/a [build failed]\n", "example.com/a"),
            ("  ● math › adds\n\n    expect(received)\n", "math › adds"),
            (" FAIL  src/a.test.ts > math > adds\n", "src/a.test.ts > math > adds"),
            ("✖ adds (1.234ms)\n", "adds"),
            ("not ok 2 - adds\n", "adds"),
            ("rspec ./spec/a_spec.rb:3 # Math adds\n", "Math adds"),
            ("MathTest#test_adds [test/math_test.rb:5]:\nExpected: 1\n", "MathTest#test_adds"),
            ("[ERROR]   MathTest.adds:12 expected: <1> but was: <2>\n", "MathTest.adds"),
            ("MathTest > adds() FAILED\n    java.lang.AssertionError\n", "MathTest > adds()"),
            ("  0 passing (2ms)\n  1 failing\n\n  1) math adds:\n     Error: x\n", "math adds"),
        ] {
            assert_eq!(names(log), [expected], "{log:?}");
        }
    }

    #[test]
    fn what_names_no_test_is_no_test() {
        for log in [
            "error: test failed, to rerun pass `--lib`\n",
            "  1) a list in prose\n",
            "FAIL\n",
            "FAILED (failures=1)\n",
        ] {
            assert_eq!(names(log), [""; 0], "{log:?}");
        }
    }
}

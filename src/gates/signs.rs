//! Signs in a gate's output that it did not do its work: a tool or a package is missing, or nothing was
//! tested. They can only take a pass away, never give one: the change's own code writes this output too.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::GateKind;

/// Why a gate that ended with a code other than 0 says nothing about the change; `None` where it does.
pub fn could_not_run(program: &str, kind: GateKind, code: i32, log: &str) -> Option<String> {
    match code {
        127 => return Some(format!("`{}` is missing: {}", missing_program(program, log), SETUP_HINT)),
        126 => return Some(format!("`{program}` cannot be executed")),
        5 if kind == GateKind::Test && (log.contains("no tests ran") || log.contains("NO TESTS RAN")) => {
            return Some("no tests ran".into());
        }
        _ => {}
    }
    // The first sign decides: later ones often follow from it.
    SIGNS.iter().find_map(|(pattern, reason)| {
        let found = pattern.captures(log)?;
        let what = found.get(1).map_or("", |what| what.as_str());
        Some(reason.replace("{}", what))
    })
}

/// Why a test run that ended with code 0 tested nothing; `None` where it did, or where that is not known.
pub fn tested_nothing(log: &str) -> Option<String> {
    let sum = |pattern: &Regex| {
        let mut counts = pattern.captures_iter(log).peekable();
        counts.peek()?;
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        let of_one = |found: regex::Captures<'_>| {
            found.iter().skip(1).flatten().map(|n| number(n.as_str())).sum::<u64>()
        };
        Some(counts.map(of_one).sum::<u64>())
    };
    let counts: Vec<u64> = COUNTS.iter().filter_map(sum).collect();
    (!counts.is_empty() && counts.iter().all(|count| *count == 0)).then(|| "no tests ran".to_owned())
}

const SETUP_HINT: &str = "install it where the sandbox finds it, or let the project's own set-up bring it";

fn missing_program<'a>(program: &'a str, log: &'a str) -> &'a str {
    // `sh: 1: foo: not found`, `sh: line 1: foo: command not found`, `sh: 1: exec: foo: not found`
    let named = NOT_FOUND.captures_iter(log).last().and_then(|found| found.get(1));
    named.map_or(program, |name| name.as_str())
}

macro_rules! patterns {
    ($($name:ident: $type:ty = $value:expr;)*) => {
        $(static $name: LazyLock<$type> = LazyLock::new(|| $value);)*
    };
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

patterns! {
    NOT_FOUND: Regex = pattern(r"(?m)^(?:/bin/)?(?:ba|da)?sh: (?:line )?\d+: (?:exec: )?([^\s:]+): (?:command )?not found");
    // passed, failed
    COUNTS: [Regex; 8] = [
        r"(?m)^test result: \w+\. (\d+) passed; (\d+) failed",
        r"(?m)^\s*Summary \[.*\] +(\d+) tests? run",
        r"(?m)^Ran (\d+) tests? in ",
        r"(?m)^(?:# |ℹ )tests (\d+)$",
        r"(?m)^Tests: .*?(\d+) total",
        r"(?m)^\s+Tests .*\((\d+)\)",
        r"(?m)^\s+(\d+) passing",
        r"(?m)^=*.*?\b(\d+) (?:passed|failed)\b.* in [\d.]+s",
    ]
    .map(pattern);
    SIGNS: Vec<(Regex, &'static str)> = [
        (r"(?m)^make: (?:\*\*\* )?([\w./-]+): No such file or directory", "`{}` is missing"),
        (r"(?m)^(?:/usr/bin/)?env: ‘?'?([\w./-]+?)’?'?: No such file or directory", "`{}` is missing"),
        (r"Non-resolvable|(?:Cannot access|was not found in) \S+ .*in offline mode|The following artifacts could not be resolved|No cached version of", "the build needs packages that were not fetched for the base branch"),
        (r"(?:module lookup disabled by GOPROXY=off|cannot find module providing package)", "go needs modules that were not fetched for the base branch"),
        (r"(?m)^(?:Could not find|Bundler could not find|bundler: command not found|Could not locate Gemfile)", "the project's bundle is not installed"),
        (r"(?i)(?:could ?n[o']t|unable to|failed to) (?:fetch|load|update|clone|download) (?:the )?(?:advisory|vulnerability)[\w -]*(?:database|db)", "it needs a database on the network"),
        (r"(?m)^\S*python[\d.]*: No module named ([\w.]+)", "the Python module `{}` is not installed"),
        (r"(?m)^(?:E +)?ModuleNotFoundError: No module named '(pytest\w*|ruff|mypy|black|flake8)'", "the Python module `{}` is not installed"),
        (r"error: no such command: `([\w-]+)`", "`cargo {}` is not installed"),
        (r"error: '(cargo-\w+|rustfmt)(?:\.exe)?' is not installed", "`{}` is not installed"),
        (r"(?s)(?:failed to (?:select|get|load|download|resolve|query)|no matching package).*(?:offline|--offline)", "cargo needs packages that were not fetched for the base branch"),
        (r"attempting to make an HTTP request, but --offline was specified", "cargo needs packages that were not fetched for the base branch"),
        (r"the lock file \S+ needs to be updated but --(?:locked|frozen) was passed", "Cargo.lock does not match the manifest"),
        (r#"npm (?:ERR!|error) Missing script: "?([\w:-]+)"#, "package.json has no script `{}`"),
        (r"(?m)^(?:sh: (?:\d+: )?)?(?:node_modules/\.bin/)?([\w-]+): (?:command )?not found$", "`{}` is not installed"),
        (r"(?m)^sh: (?:line )?\d+: ([\w./-]+): (?:command )?not found", "`{}` is not installed"),
        (r"npm (?:ERR!|error) (?:code )?(ENOTCACHED)", "npm needs packages that were not fetched for the base branch ({})"),
        (r"Local package\.json exists, but node_modules missing", "node_modules is missing"),
        (r"(?m)^(?:No tests found, exiting|No test files found, exiting|Error: No test files found)", "no tests ran"),
    ]
    .into_iter()
    .map(|(text, reason)| (pattern(text), reason))
    .collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_tools_and_packages_are_told_from_failures() {
        let reason = |kind, code, log| could_not_run("tool", kind, code, log);
        let test = |code, log| reason(GateKind::Test, code, log);
        for (code, log, expected) in [
            (127, "sh: 1: exec: ruff: not found\n", "`ruff` is missing"),
            (127, "sh: 1: jest: not found\n", "`jest` is missing"),
            (127, "", "`tool` is missing"),
            (126, "", "cannot be executed"),
            (1, "/usr/bin/python3: No module named pytest\n", "module `pytest` is not installed"),
            (1, "ModuleNotFoundError: No module named 'pytest'\n", "module `pytest` is not installed"),
            (5, "collected 0 items\n\n==== no tests ran in 0.01s ====\n", "no tests ran"),
            (101, "error: no such command: `nextest`\n", "`cargo nextest` is not installed"),
            (
                1,
                "error: 'cargo-fmt' is not installed for the toolchain 'stable'\n",
                "`cargo-fmt` is not installed",
            ),
            (
                101,
                "error: no matching package named `itoa` found\nlocation searched: crates.io index\nAs a reminder, \
                 you're using offline mode (--offline) which can sometimes cause\n",
                "were not fetched",
            ),
            (
                101,
                "error: failed to download `itoa v1.0.9`\n\nCaused by:\n  attempting to make an HTTP request, but \
                 --offline was specified\n",
                "were not fetched",
            ),
            (1, "npm error Missing script: \"lint\"\n", "no script `lint`"),
            (
                2,
                "make: golangci-lint: No such file or directory\nmake: *** [Makefile:3: lint] Error 127\n",
                "`golangci-lint` is missing",
            ),
            (1, "/usr/bin/env: 'ruby': No such file or directory\n", "`ruby` is missing"),
            (
                1,
                "[ERROR] Cannot access central (https://x) in offline mode and the artifact a:b:1 has not been downloaded\n",
                "not fetched",
            ),
            (
                1,
                "go: example.com/a@v1: module lookup disabled by GOPROXY=off\n",
                "modules that were not fetched",
            ),
            (1, "error: couldn't fetch advisory database: git operation failed\n", "database on the network"),
            (1, "No tests found, exiting with code 1\n", "no tests ran"),
        ] {
            let found = test(code, log).unwrap_or_default();
            assert!(found.contains(expected), "{log:?} gave {found:?}");
        }
    }

    #[test]
    fn failures_stay_failures() {
        for (code, log) in [
            (1, "FAILED tests/test_a.py::test_b - AssertionError: no tests ran\n"),
            (101, "error[E0432]: unresolved import `itoa`\n"),
            (1, "ModuleNotFoundError: No module named 'mypackage.missing'\n"),
            (2, "src/a.ts(1,1): error TS2307: Cannot find module './b'\n"),
            (5, "exit code five\n"),
        ] {
            assert_eq!(could_not_run("tool", GateKind::Test, code, log), None, "{log:?}");
        }
    }

    #[test]
    fn a_run_that_tested_nothing_is_seen() {
        for log in [
            "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured\n\ntest result: ok. 0 passed; 0 failed; 0 ignored\n",
            "----\nRan 0 tests in 0.000s\n\nOK\n",
            "# tests 0\n# suites 0\n",
            "  0 passing (2ms)\n",
        ] {
            assert!(tested_nothing(log).is_some(), "{log:?}");
        }
        for log in [
            "test result: ok. 3 passed; 0 failed\n\ntest result: ok. 0 passed; 0 failed\n",
            "Ran 12 tests in 0.1s\n\nOK\n",
            "==== 4 passed, 1 skipped in 0.12s ====\n",
            "4 passed in 0.12s\n",
            "Tests:       1 failed, 7 passed, 8 total\n",
            " Tests  3 passed (3)\n",
            "# tests 2\n",
            "ℹ tests 2\n",
            "a program of its own that says nothing\n",
        ] {
            assert_eq!(tested_nothing(log), None, "{log:?}");
        }
    }
}

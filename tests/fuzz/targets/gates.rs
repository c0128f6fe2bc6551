//! What gates print and write, and the files of a repository that say which gates it has.

use orchestrator::domain::GateKind;
use orchestrator::gates::{
    Results, could_not_run, discover, failed_tests_in, findings_in, kept_ends, plain_log, tested_nothing,
};
use orchestrator::workspace::{FileEntry, FileMode, IgnoreRules, RepoPath, Snapshot};

use super::{Target, input};

const FILE_CAP: usize = 4 << 20;
/// The head and the tail that the sandbox keeps of a command's output.
const OUTPUT_CAP: usize = 768 * 1024;

pub const SARIF: Target = Target {
    name: "sarif",
    run: file,
    words: &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "null",
        "1",
        "-1",
        "4294967296",
        "\"runs\"",
        "\"tool\"",
        "\"driver\"",
        "\"name\"",
        "\"results\"",
        "\"ruleId\"",
        "\"kind\"",
        "\"pass\"",
        "\"level\"",
        "\"error\"",
        "\"none\"",
        "\"message\"",
        "\"text\"",
        "\"markdown\"",
        "\"locations\"",
        "\"physicalLocation\"",
        "\"uri\"",
        "\"artifactLocation\"",
        "\"region\"",
        "\"startLine\"",
        "\"suppressions\"",
        "\"src/a.rs\"",
        "\"%2e%2e/\"",
        "\"file:///tree/a\"",
        "\"%e9\"",
        "{\"runs\":[{\"results\":[",
        "]}]}",
        "{\"message\":{\"text\":\"m\"},\"locations\":[{\"physicalLocation\":{\"artifactLocation\":{\"uri\":\"a.rs\"}}}]},",
    ],
    seeds: &[
        "{\"version\":\"2.1.0\",\"runs\":[{\"tool\":{\"driver\":{\"name\":\"ruff\"}},\"results\":[\n{\"ruleId\":\"F401\",\"level\":\"error\",\"message\":{\"text\":\"`os` unused\"},\"locations\":[{\"physicalLocation\":{\"artifactLocation\":{\"uri\":\"src/a%20b.py\"},\"region\":{\"startLine\":3}}}]},\n{\"ruleId\":\"F402\",\"kind\":\"pass\",\"message\":{\"text\":\"x\"}}\n]}]}",
        "{\"runs\":[{\"results\":null},{\"results\":[{\"suppressions\":[{}],\"message\":{\"markdown\":\"x\"}}]}]}",
    ],
    longest: 1_024,
    cap: FILE_CAP,
};

pub const JUNIT: Target = Target {
    name: "junit",
    run: file,
    words: &[
        "<testsuites>",
        "<testsuite name=\"a\">",
        "</testsuite>",
        "<testcase ",
        "<testcase classname=\"a\" name=\"b\">",
        "</testcase>",
        "name=\"",
        "classname=\"",
        "file=\"src/a.py\" ",
        "line=\"3\" ",
        "\"",
        ">",
        "/>",
        "<failure ",
        "<failure message=\"m\">",
        "</failure>",
        "<error/>",
        "<skipped/>",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "&amp;",
        "&#x0;",
        "&#1114112;",
        "<?xml version=\"1.0\"?>",
        "<!DOCTYPE a [<!ENTITY b \"c\">]>",
        "&b;",
        "\n",
        " ",
        "src/a.py:3: error: x\n",
        "  File \"/tree/a.py\", line 3\n",
        "Error: x\n",
        "\u{feff}",
        "é",
    ],
    seeds: &[
        "<?xml version=\"1.0\"?>\n<testsuites>\n<testsuite name=\"s\">\n<testcase classname=\"tests.test_a\" name=\"test_b\" file=\"tests/test_a.py\" line=\"7\">\n<failure message=\"assert 1 == 2\">tests/test_a.py:9: AssertionError\n</failure>\n</testcase>\n<testcase name=\"ok\"/>\n</testsuite>\n</testsuites>\n",
        "<testsuite><testcase name=\"a\"><error><![CDATA[    at f (/tree/a.js:1:2)\n]]></error></testcase></testsuite>",
    ],
    longest: 1_024,
    cap: FILE_CAP,
};

pub const COVERAGE: Target = Target {
    name: "coverage",
    run: file,
    words: &[
        "SF:a.c\n",
        "DA:1,1\n",
        "DA:1,0\n",
        "DA:",
        "LF:",
        "LH:",
        "LF:10\n",
        "LH:5\n",
        "end_of_record\n",
        "TN:\n",
        ",",
        "18446744073709551615",
        "-1",
        "\n",
        "<coverage ",
        "<coverage>",
        "lines-covered=\"",
        "lines-valid=\"",
        "\"",
        ">",
        "/>",
        "<line hits=\"1\"/>",
        "<line hits=\"0\"/>",
        "<methods>",
        "</methods>",
        "<line ",
        "number=\"1\" ",
        "</coverage>",
        "<!--",
        "-->",
        "&lt;",
        "line-rate=\"0.5\"",
    ],
    seeds: &[
        "TN:\nSF:src/a.c\nDA:1,5\nDA:2,0\nLF:2\nLH:1\nend_of_record\n",
        "SF:a\nDA:1,1\nend_of_record\nSF:b\nLF:18446744073709551615\nLH:18446744073709551615\nend_of_record\n",
        "<?xml version=\"1.0\"?>\n<coverage lines-covered=\"5\" lines-valid=\"10\">\n</coverage>\n",
        "<coverage>\n<class>\n<methods>\n<line hits=\"1\"/>\n</methods>\n<lines>\n<line number=\"1\" hits=\"1\"/>\n</lines>\n</class>\n</coverage>",
    ],
    longest: 1_024,
    cap: FILE_CAP,
};

/// A result file, whatever its format.
fn file(data: &[u8]) {
    let made;
    let bytes = match data.first() {
        Some(1 | 2) => {
            let words = [SARIF.words, JUNIT.words, COVERAGE.words].concat();
            made = input::text(data, &words);
            made.as_bytes()
        }
        _ => data,
    };
    for cwd in [None, Some(folder())] {
        let mut results = Results::default();
        results.file(bytes, cwd.as_ref());
        check(&results);
        if let Some(coverage) = results.coverage {
            assert!(coverage.total > 0 && coverage.covered <= coverage.total, "{coverage:?}");
        }
        // A second file adds to the first.
        let before = results.findings.len();
        results.file(bytes, cwd.as_ref());
        check(&results);
        assert_eq!(results.findings.len(), before, "the same findings twice");
    }
}

fn check(results: &Results) {
    assert!(results.findings.len() <= 2_000);
    assert!(results.failed_tests.len() <= 5_000);
    assert!(results.failed_tests.iter().all(|name| name.chars().count() <= 300));
    for finding in &results.findings {
        check_finding(&finding.path, finding.line, &finding.message);
        for word in [&finding.tool, &finding.rule].into_iter().flatten() {
            assert!(word.chars().count() <= 100 && !word.chars().any(char::is_control), "{word:?}");
        }
    }
}

fn check_finding(path: &str, line: Option<u32>, message: &str) {
    assert!(RepoPath::parse(path).is_ok(), "{path:?} lies outside of the tree");
    assert_ne!(line, Some(0));
    assert!((1..=500).contains(&message.chars().count()), "{message:?}");
    assert!(message.chars().all(|c| !c.is_control() || c.is_whitespace()), "{message:?}");
}

fn folder() -> RepoPath {
    RepoPath::parse("pkg/sub").expect("a path")
}

pub const COMPILERS: Target = Target {
    name: "compiler-json",
    run: compilers,
    words: &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\n",
        "null",
        "1",
        "\"reason\":\"compiler-message\"",
        "\"message\":",
        "\"level\":\"error\"",
        "\"level\":\"warning\"",
        "\"spans\":[",
        "\"is_primary\":true",
        "\"file_name\":\"src/a.rs\"",
        "\"line_start\":3",
        "\"code\":{\"code\":\"E0308\"}",
        "\"Action\":\"fail\"",
        "\"Test\":\"TestA\"",
        "\"filePath\":\"/tree/a.js\"",
        "\"messages\":[",
        "\"ruleId\":\"x\"",
        "\"severity\":1",
        "\"line\":2",
        "\"filename\":\"a.py\"",
        "\"code\":\"F401\"",
        "\"location\":{\"row\":1}",
        "\"files\":[",
        "\"path\":\"a.rb\"",
        "\"offenses\":[",
        "\"cop_name\":\"A/B\"",
        "{\"reason\":\"compiler-message\",\"message\":{\"level\":\"error\",\"message\":\"m\",\"spans\":[{\"is_primary\":true,\"file_name\":\"a.rs\",\"line_start\":1}]}}\n",
        "{\"Action\":\"fail\",\"Test\":\"T\"}\n",
        "{\n",
        "[\n",
    ],
    seeds: &[
        "{\"reason\":\"compiler-message\",\"message\":{\"message\":\"mismatched types\",\"level\":\"error\",\"code\":{\"code\":\"E0308\"},\"spans\":[{\"file_name\":\"src/lib.rs\",\"line_start\":3,\"is_primary\":true}]}}\n",
        "{\"Action\":\"run\",\"Test\":\"TestA\"}\n{\"Action\":\"fail\",\"Test\":\"TestA\"}\n",
        "[{\"filePath\":\"/tree/a.js\",\"messages\":[{\"ruleId\":\"no-undef\",\"severity\":2,\"message\":\"x\",\"line\":3}]}]\n",
        "[{\"filename\":\"a.py\",\"code\":\"F401\",\"message\":\"unused\",\"location\":{\"row\":1}}]",
        "{\"files\":[{\"path\":\"a.rb\",\"offenses\":[{\"cop_name\":\"Style/X\",\"severity\":\"convention\",\"message\":\"m\",\"location\":{\"start_line\":1}}]}]}",
    ],
    longest: 512,
    cap: OUTPUT_CAP,
};

fn compilers(data: &[u8]) {
    let output = plain_log(&input::text(data, COMPILERS.words));
    let mut results = Results::default();
    results.output(&output, Some(&folder()));
    assert!(results.findings.len() <= 2_000);
    for finding in &results.findings {
        check_finding(&finding.path, finding.line, &finding.message);
    }
    check(&results);
}

pub const LOG: Target = Target {
    name: "gate-log",
    run: log,
    words: &[
        "\n",
        " ",
        "error: ",
        "warning: ",
        "error[E0308]: mismatched types\n",
        "  --> src/main.rs:10:5\n",
        "   |\n",
        "thread 'a' panicked at src/lib.rs:20:9:\n",
        "Diff in /tree/src/lib.rs:3:\n",
        "would reformat a.py\n",
        "[warn] web/c.ts\n",
        "src/a.ts(4,10): error TS2322: x\n",
        "pkg/a.py:3: error: x\n",
        "/tree/src/b.js\n",
        "  12:5  error    'x' is not defined  no-undef\n",
        "Traceback (most recent call last):\n",
        "  File \"/tree/tests/test_u.py\", line 7, in test_it\n",
        "AssertionError: 1 != 2\n",
        "stack: |-\n",
        "...\n",
        "not ok 1 - adds\n",
        "    at f (/tree/a.js:1:2)\n",
        "    at node:internal/x:1:1\n",
        "  1 failing\n",
        "  1) adds:\n",
        "test a::b ... FAILED\n",
        "FAILED tests/test_a.py::test_b - x\n",
        "--- FAIL: TestAdd (0.00s)\n",
        "test result: ok. 0 passed; 0 failed; 0 ignored\n",
        "Ran 0 tests in 0.000s\n",
        "sh: 1: jest: not found\n",
        "\x1b[31m",
        "\x1b[0m",
        "\x1b]0;t\x07",
        "\r",
        "\r\n",
        "\0",
        "✖ adds (1.2ms)\n",
        "  ● math › adds\n",
        "\u{feff}",
        "FAIL: test_a (tests.T)\n",
        "[ERROR]   MathTest.adds:12 expected\n",
        "MathTest > adds() FAILED\n",
        "offline",
        "no matching package",
        "==== 4 passed in 0.12s ====\n",
        "../",
        "/",
        ":",
        "1",
        "99999999999",
    ],
    seeds: &[
        "   Compiling x v0.1.0 (/tree)\nwarning: unused variable: `a`\n --> src/lib.rs:3:9\n  |\nerror[E0308]: mismatched types\n  --> src/main.rs:10:5\nthread 'tests::adds' (12) panicked at src/lib.rs:20:9:\nassertion failed\ntest tests::adds ... FAILED\n",
        "Traceback (most recent call last):\n  File \"/usr/lib/x.py\", line 9, in run\n  File \"/tree/tests/test_u.py\", line 7, in test_it\n    self.assertEqual(1, 2)\nAssertionError: 1 != 2\nRan 1 test in 0.0s\nFAILED (failures=1)\n",
        "TAP version 13\nnot ok 1 - adds\n  ---\n  stack: |-\n    TestContext.<anonymous> (file:///tree/test/a.test.js:5:10)\n  ...\n",
        "/tree/src/b.js\n  12:5  error    'x' is not defined  no-undef\n\nAssertionError: x\n    at node:internal/x:1:1\n    at T (/tree/test/c.test.js:5:10)\n",
        "  0 passing (2ms)\n  1 failing\n\n  1) math adds:\n     Error: x\n",
    ],
    longest: 256,
    cap: OUTPUT_CAP,
};

fn log(data: &[u8]) {
    let text = input::text(data, LOG.words);
    let log = plain_log(&text);
    assert!(log.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')), "{log:?}");
    assert!(kept_ends(&log).len() <= 64 * 1024 + 100);
    let cwd = data.len().is_multiple_of(2).then(folder);
    let found = findings_in(&log, cwd.as_ref());
    assert!(found.len() <= 2_000);
    for finding in &found {
        check_finding(&finding.path, finding.line, &finding.message);
    }
    let failed = failed_tests_in(&log);
    assert!(failed.len() <= 5_000 && failed.iter().all(|name| (1..=300).contains(&name.chars().count())));
    let _ = tested_nothing(&log);
    let code = [1, 5, 126, 127][data.len() / 2 % 4];
    let _ = could_not_run("tool", GateKind::Test, code, &log);
}

pub const DISCOVERY: Target = Target {
    name: "gate-discovery",
    run: discovery,
    words: &[
        "\n=====\n",
        "\n",
        ": ",
        "- ",
        "  ",
        "    ",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "= ",
        "jobs:\n",
        "  a:\n",
        "    steps:\n",
        "      - run: ",
        "      - uses: ",
        "cargo test",
        "npm test",
        "pytest",
        "make lint",
        "go vet ./...",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "|\n",
        ">\n",
        "\\\n",
        "test:\n",
        "lint: ",
        "scripts",
        "\"scripts\": {",
        "\"test\": \"jest\"",
        "[tool.ruff]\n",
        "[package]\n",
        "[workspace]\n",
        "name = \"a\"\n",
        "[project]\n",
        "dependencies = [\"pytest\"]\n",
        "module a\n",
        "<project>",
        "</project>",
        "gem \"rspec\"\n",
        "*.rs\n",
        "!a\n",
        "**/\n",
        "[a-",
        "{a,b}",
        "\\",
        "$",
        "`",
        "'",
        "target/\n",
        "--flag",
        " && ",
        " | ",
        "# ",
        "é",
    ],
    seeds: &[
        "jobs:\n  a:\n    steps:\n      - run: cargo test --all-features && echo\n      - run: |\n          cargo clippy \\\n            -- -D warnings\n      - uses: a/b@v1\n\n=====\n[package]\nname = \"a\"\n[dependencies]\n\n=====\ntest:\n\tcargo test\nlint: a\n",
        "\n=====\n[project]\nname = \"a\"\ndependencies = [\"pytest>=8\"]\n[tool.ruff.format]\n[tool.mypy]\nfiles = [\"a\"]\n\n=====\n{\"scripts\": {\"test\": \"jest\", \"lint\": \"eslint .\"}, \"devDependencies\": {\"typescript\": \"5\"}}\n",
        "\n=====\nmodule a\n\ngo 1.22\n\n=====\n<project><artifactId>a</artifactId></project>\n\n=====\ngem \"rspec\"\n\n=====\n*.log\n!keep.log\n/build/\n[a-z]*.tmp\n",
    ],
    longest: 512,
    cap: 256 * 1024,
};

/// Where the parts of the input lie; which set it is, the first byte says.
const TREES: [[&str; 4]; 3] = [
    [".github/workflows/ci.yml", "Cargo.toml", "Makefile", ".gitignore"],
    [".gitlab-ci.yml", "pyproject.toml", "package.json", "tox.ini"],
    ["go.mod", "pom.xml", "Gemfile", "requirements.txt"],
];

fn discovery(data: &[u8]) {
    let text = input::text(data, DISCOVERY.words);
    let parts = input::parts::<4>(&text);
    for tree in TREES {
        let mut base = Snapshot::default();
        for (path, part) in tree.iter().zip(parts) {
            let entry = FileEntry { mode: FileMode::Regular, bytes: part.as_bytes().into() };
            base.files.insert(RepoPath::parse(*path).expect("a path"), entry);
        }
        for gate in discover(&base, None).expect("in memory") {
            assert!(!gate.name.is_empty() && !gate.name.contains('\n'), "{gate:?}");
            assert!(gate.command.first().is_some_and(|program| !program.is_empty()), "{gate:?}");
            assert!(!gate.timeout.is_zero() && !gate.as_typed().is_empty());
        }
        let rules = IgnoreRules::of(&base);
        for path in ["src/a.rs", "build/x.log", "keep.log", "deep/er/x.tmp"] {
            let _ = rules.is_ignored(&RepoPath::parse(path).expect("a path"));
        }
    }
}

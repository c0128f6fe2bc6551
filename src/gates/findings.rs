//! Places in the tree that compilers, linters and test runners name in what they print.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::domain::{Age, GateFinding, GateSeverity as Severity};
use crate::sandbox::WORK;
use crate::workspace::RepoPath;

/// More findings than this are not read.
pub(super) const READ: usize = 2_000;
const LONGEST_MESSAGE: usize = 500;
/// So many lines around a line are looked at for what belongs to it. Without an end, output that is made for
/// it would be read over and over.
const NEAR: usize = 200;

/// Reads the findings out of a gate's plain output. `cwd` is the folder that relative paths start from.
pub fn read(log: &str, cwd: Option<&RepoPath>) -> Vec<GateFinding> {
    let mut reader = Reader { cwd, found: vec![], seen: HashSet::new(), head: "" };
    let lines: Vec<&str> = log.lines().collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        reader.one_line(line);
        reader.with_neighbours(&lines, at);
        if !line.starts_with(' ') {
            reader.head = line;
        }
        if reader.found.len() >= READ {
            break;
        }
    }
    reader.found
}

struct Reader<'a> {
    cwd: Option<&'a RepoPath>,
    found: Vec<GateFinding>,
    seen: HashSet<GateFinding>,
    /// The last line that is not indented.
    head: &'a str,
}

impl<'a> Reader<'a> {
    /// Formats that say everything in one line.
    fn one_line(&mut self, line: &str) {
        if let Some(c) = TSC.captures(line) {
            let severity = severity(&c["severity"]);
            let line = c.name("line").or_else(|| c.name("pretty"));
            self.add(&c["path"], line.map(|l| l.as_str()), &c["message"], severity);
        } else if let Some(c) = RUSTFMT.captures(line) {
            self.add(&c["path"], Some(&c["line"]), "not formatted as rustfmt would", Severity::Error);
        } else if let Some(c) = BLACK.captures(line) {
            self.add(&c["path"], None, "not formatted as black would", Severity::Error);
        } else if let Some(c) = PRETTIER.captures(line) {
            self.add(&c["path"], None, "not formatted as prettier would", Severity::Error);
        } else if let Some(c) = COLONS.captures(line) {
            self.colons(&c);
        }
    }

    /// `path:line[:column]: message`, as mypy, ruff, flake8 and pytest write it.
    fn colons(&mut self, c: &Captures<'_>) {
        let message = &c["message"];
        if message.starts_with("note:") {
            return;
        }
        let severity = if message.starts_with("warning") { Severity::Warning } else { Severity::Error };
        let message = message.trim_start_matches("error: ").trim_start_matches("warning: ");
        self.add(&c["path"], Some(&c["line"]), message, severity);
    }

    /// Formats in which the place and the message stand on different lines.
    fn with_neighbours(&mut self, lines: &[&'a str], at: usize) {
        let line = lines[at];
        let before =
            |back: usize| at.checked_sub(back).and_then(|at| lines.get(at)).copied().unwrap_or_default();
        let after = lines.get(at + 1).copied().unwrap_or_default();
        if let Some(c) = ARROW.captures(line) {
            // rustc and ruff: the message stands before the arrow.
            if let Some(head) = RUSTC.captures(before(1)) {
                self.add(&c["path"], Some(&c["line"]), &head["message"], severity(&head["severity"]));
            } else if RULE.is_match(before(1)) {
                self.add(&c["path"], Some(&c["line"]), before(1), Severity::Error);
            }
        } else if let Some(c) = PANIC.captures(line) {
            self.add(&c["path"], Some(&c["line"]), &format!("panicked: {after}"), Severity::Error);
        } else if let Some(c) = ESLINT.captures(line) {
            if !self.head.is_empty() {
                self.add(self.head, Some(&c["line"]), &c["message"], severity(&c["severity"]));
            }
        } else if TRACEBACK_END.is_match(line) {
            // Python: the deepest frame of the traceback that lies in the tree.
            let frames =
                lines[..at].iter().rev().take_while(|l| l.starts_with(' ') || l.starts_with("Traceback"));
            let frame = frames.filter_map(|l| FRAME.captures(l)).find(|c| in_tree(&c["path"]).is_some());
            if let Some(c) = frame {
                self.add(&c["path"], Some(&c["line"]), line, Severity::Error);
            }
        } else if line.trim() == "stack: |-" {
            // TAP: the first frame that lies in the tree; the test's name stands above the report.
            let mut frames = lines[at + 1..].iter().take(NEAR).take_while(|l| l.trim() != "...");
            let frame = frames.find_map(|l| TAP_FRAME.captures(l));
            let test = lines[..at].iter().rev().take(NEAR).find_map(|l| TAP_FAILURE.captures(l));
            if let (Some(c), Some(test)) = (frame, test) {
                let message = format!("the test failed: {}", &test["name"]);
                self.add(&c["path"], Some(&c["line"]), &message, Severity::Error);
            }
        } else if let Some(c) = STACK.captures(line) {
            // Node: the first line of a stack that lies in the tree; the message stands above the stack.
            let first = !lines[..at]
                .iter()
                .rev()
                .take(NEAR)
                .take_while(|l| l.trim_start().starts_with("at "))
                .any(|l| STACK.is_match(l));
            let mut above = lines[..at].iter().rev().take(NEAR);
            let message = above.find(|l| !l.trim_start().starts_with("at ") && !l.trim().is_empty());
            if let (true, Some(message)) = (first, message) {
                self.add(&c["path"], Some(&c["line"]), message.trim(), Severity::Error);
            }
        }
    }

    fn add(&mut self, path: &str, line: Option<&str>, message: &str, severity: Severity) {
        let line = line.and_then(|line| line.parse().ok());
        let finding = Place { cwd: self.cwd }.finding(path, line, message, severity);
        if let Some(finding) = finding.filter(|finding| !self.seen.contains(finding)) {
            self.seen.insert(finding.clone());
            self.found.push(finding);
        }
    }
}

/// Where the paths that a tool names start from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The folder in which it ran; `None`: the tree's root.
    pub(super) cwd: Option<&'a RepoPath>,
}

impl Place<'_> {
    /// A finding at a path that a tool names. `None` outside of the tree, and without a message.
    pub(super) fn finding(
        self,
        path: &str,
        line: Option<u32>,
        message: &str,
        severity: Severity,
    ) -> Option<GateFinding> {
        let path = self.path(path.trim())?.to_string();
        let line = line.filter(|line| *line > 0);
        let shown = message.trim().chars().filter(|c| !c.is_control() || c.is_whitespace());
        let message: String = shown.take(LONGEST_MESSAGE).collect();
        let found = GateFinding { path, line, message, severity, tool: None, rule: None, age: Age::New };
        (!found.message.is_empty()).then_some(found)
    }

    /// A path in the repository; `None` for what lies elsewhere, such as a library.
    fn path(self, text: &str) -> Option<RepoPath> {
        let text = text.strip_prefix("file://").unwrap_or(text);
        let relative = match (in_tree(text), self.cwd) {
            (Some(inside), _) => inside.to_owned(),
            (None, _) if text.starts_with('/') => return None,
            (None, Some(cwd)) => format!("{cwd}/{}", text.trim_start_matches("./")),
            (None, None) => text.trim_start_matches("./").to_owned(),
        };
        let foreign = ["node_modules/", "site-packages/", "target/"];
        if foreign.iter().any(|folder| relative.contains(folder)) {
            return None;
        }
        RepoPath::parse(relative).ok()
    }
}

fn severity(word: &str) -> Severity {
    if word.starts_with("warn") { Severity::Warning } else { Severity::Error }
}

/// A path of the sandbox from the tree's root on; `None` outside of it.
fn in_tree(path: &str) -> Option<&str> {
    path.strip_prefix(WORK)?.strip_prefix('/')
}

macro_rules! patterns {
    ($($name:ident = $text:expr;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| pattern(&$text));)*
    };
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

patterns! {
    RUSTC = r"^(?P<severity>error|warning)(?:\[\w+\])?: (?P<message>.+)$";
    RULE = r"^[A-Z]+\d+ ";
    ARROW = r"^\s*--> (?P<path>[^:]+):(?P<line>\d+):\d+$";
    PANIC = r"^thread '.*' (?:\(\d+\) )?panicked at (?P<path>[^:]+):(?P<line>\d+):\d+:$";
    RUSTFMT = r"^Diff in (?P<path>[^:]+?)(?:\:| at line )(?P<line>\d+):$";
    BLACK = r"^would reformat (?P<path>\S.*)$";
    PRETTIER = r"^\[warn\] (?P<path>[^\s].*\.\w+)$";
    TSC = r"^(?P<path>[^\s(:][^(:]*)(?:\((?P<line>\d+),\d+\): |:(?P<pretty>\d+):\d+ - )(?P<severity>error|warning) (?P<message>TS\d+: .+)$";
    COLONS = r"^(?P<path>[\w./@+-][^:\s]*\.\w+):(?P<line>\d+):(?:\d+:)? (?P<message>\S.*)$";
    ESLINT = r"^  +(?P<line>\d+):\d+  +(?P<severity>error|warning)  +(?P<message>.+)$";
    FRAME = r#"^  File "(?P<path>[^"]+)", line (?P<line>\d+)"#;
    TRACEBACK_END = r"^[\w.]*(?:Error|Exception|Failure|Warning|Exit)(?::|$)";
    TAP_FAILURE = r"^\s*not ok \d+ - (?P<name>.+)$";
    TAP_FRAME = format!(r"^\s+.*\((?:file://)?(?P<path>{WORK}/[^:()]+):(?P<line>\d+):\d+\)$");
    STACK = format!(r"^\s+at (?:.*\()?(?:file://)?(?P<path>{WORK}/[^:()]+):(?P<line>\d+):\d+\)?$");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(log: &str) -> Vec<String> {
        let line = |line: Option<u32>| line.map_or("-".to_owned(), |line| line.to_string());
        let show = |f: GateFinding| format!("{}:{} {:?} {}", f.path, line(f.line), f.severity, f.message);
        read(log, None).into_iter().map(show).collect()
    }

    #[test]
    fn rustc_and_panics_are_read() {
        let log = "   Compiling x v0.1.0 (/tree)\nwarning: unused variable: `a`\n --> src/lib.rs:3:9\n  |\n\
                   error[E0308]: mismatched types\n  --> src/main.rs:10:5\n\
                   thread 'tests::adds' (12) panicked at src/lib.rs:20:9:\nassertion `left == right` failed\n  left: 1\n\
                   error: could not compile `x`\n";
        assert_eq!(
            found(log),
            [
                "src/lib.rs:3 Warning unused variable: `a`",
                "src/main.rs:10 Error mismatched types",
                "src/lib.rs:20 Error panicked: assertion `left == right` failed",
            ]
        );
    }

    #[test]
    fn formatters_are_read() {
        let log = "Diff in /tree/src/lib.rs:3:\n Diff\nDiff in /tree/src/a.rs at line 7:\nwould reformat /tree/pkg/b.py\n[warn] web/c.ts\n";
        assert_eq!(
            found(log),
            [
                "src/lib.rs:3 Error not formatted as rustfmt would",
                "src/a.rs:7 Error not formatted as rustfmt would",
                "pkg/b.py:- Error not formatted as black would",
                "web/c.ts:- Error not formatted as prettier would",
            ]
        );
    }

    #[test]
    fn python_tools_are_read() {
        let log = "tests/test_a.py:12: AssertionError\npkg/a.py:3: error: Incompatible types  [assignment]\n\
                   pkg/a.py:3: note: see here\npkg/b.py:1:8: F401 `os` imported but unused\n\
                   F841 Local variable `x` is assigned to but never used\n --> pkg/c.py:5:5\n\
                   Traceback (most recent call last):\n  File \"/usr/lib/python3/unittest/case.py\", line 9, in run\n  \
                   File \"/tree/tests/test_u.py\", line 7, in test_it\n    self.assertEqual(1, 2)\n  \
                   File \"/usr/lib/python3/unittest/case.py\", line 99, in fail\n    raise x\n\
                   AssertionError: 1 != 2\n";
        assert_eq!(
            found(log),
            [
                "tests/test_a.py:12 Error AssertionError",
                "pkg/a.py:3 Error Incompatible types  [assignment]",
                "pkg/b.py:1 Error F401 `os` imported but unused",
                "pkg/c.py:5 Error F841 Local variable `x` is assigned to but never used",
                "tests/test_u.py:7 Error AssertionError: 1 != 2",
            ]
        );
    }

    #[test]
    fn javascript_tools_are_read() {
        let log = "src/a.ts(4,10): error TS2322: Type 'string' is not assignable\nsrc/p.ts:6:1 - error TS1005: ';' expected.\n\n/tree/src/b.js\n  \
                   12:5  error    'x' is not defined  no-undef\n  14:1  warning  Unexpected console  no-console\n\n\
                   AssertionError [ERR_ASSERTION]: 1 == 2\n    at node:internal/x:1:1\n    \
                   at TestContext.<anonymous> (/tree/test/c.test.js:5:10)\n    at Test.run (file:///tree/other.js:1:1)\n    \
                   at fn (/tree/node_modules/lib/x.js:1:1)\n";
        assert_eq!(
            found(log),
            [
                "src/a.ts:4 Error TS2322: Type 'string' is not assignable",
                "src/p.ts:6 Error TS1005: ';' expected.",
                "src/b.js:12 Error 'x' is not defined  no-undef",
                "src/b.js:14 Warning Unexpected console  no-console",
                "test/c.test.js:5 Error AssertionError [ERR_ASSERTION]: 1 == 2",
            ]
        );
    }

    #[test]
    fn paths_start_from_the_gates_folder_and_never_leave_the_tree() {
        let cwd = RepoPath::parse("py").expect("a path");
        let log = "pkg/a.py:3: error: x\n../evil.py:1: error: x\n/usr/lib/x.py:2: error: y\n.git/x.py:1: error: z\n";
        let found: Vec<_> = read(log, Some(&cwd)).into_iter().map(|f| f.path.to_string()).collect();
        assert_eq!(found, ["py/pkg/a.py"]);
    }

    #[test]
    fn output_made_to_be_read_over_and_over_is_read_once() {
        let began = std::time::Instant::now();
        for line in [
            "stack: |-\n",
            "    at x\n",
            "    at f (/tree/a.js:1:2)\n",
            "  1:1  error  x\n",
            "\n",
            "Error: x\n  File \"/a\", line 3\n",
        ] {
            found(&line.repeat(100_000 / line.len()));
        }
        // Before there was a bound, the first alone took many minutes.
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
    }

    #[test]
    fn a_flood_of_findings_is_cut_and_repeats_are_dropped() {
        let log: String = (0..5_000).map(|n| format!("a.py:{}: error: x\n", 1 + n % 3_000)).collect();
        assert_eq!(found(&log).len(), READ);
        assert_eq!(found("a.py:1: error: x\na.py:1: error: x\n").len(), 1);
    }
}

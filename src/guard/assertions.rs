//! What a test checks: its assertions, and the data that it holds results against, in a form that layout
//! does not change.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::test_text::{Language, pattern};

/// One thing that a test checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    /// Where it begins, from 1.
    pub line: u32,
    /// Without layout.
    pub text: String,
    /// The text with a mark in the place of each literal.
    pub skeleton: String,
    pub literals: Vec<String>,
}

/// Longest statement in lines.
const LONGEST: usize = 60;

static RUST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\b(\w+::)*(debug_|prop_)?assert\w*!|\b(expect_err|unwrap_err)\(|should_panic|\bpanic!")
});
static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^\s*assert\b|\bself\.(assert\w+|fail\w*)\(|\bpytest\.(raises|warns|approx|fail)\b|\.?\bassert_\w+\(",
    )
});
static SCRIPT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\bexpect(\.\w+)*\s*\(|\bassert(\.\w+)*\s*\(|\.should\b|\bt\.(is|not|deepEqual|like|true|false|truthy|falsy|throws\w*|regex|snapshot|assert|equal|same|match\w*)\(",
    )
});
static GO: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b[tbf]\.(Error|Errorf|Fatal|Fatalf|Fail|FailNow)\(|\b(assert|require|is|qt|c)\.\w+\(|^\s*(\}\s*else\s+)?if\s.*(==|!=|<|>|!\w|\.Is\(|\.As\().*\{",
    )
});
static JAVA: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(assert\w*|verify\w*|fail|expectThrows|then|expect)\s*\(|\b(Assertions|Assert)\.\w+|@Test\s*\(.*expected|\bshould\w*\b",
    )
});
static RUBY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\bexpect\b|\bassert\w*|\brefute\w*|\b(must|wont)_\w+|\.should(_not)?\b|\bis_expected\b")
});
static EXPECTED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)\b(?:\w*(?:want|expected|golden)\w*|exp)\s*(:[\w<>\[\]&' ,]*=|:=|=[^=>]|:\s*[^:\s])")
});
static TOLERANCE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)approx|almost|close_?to|within|delta|epsilon|toleran|\brel=|\babs=|rel_tol|abs_tol|places|decimal|precision|margin|ulps",
    )
});
/// Of these the greater number is the stricter.
static DIGITS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)places|decimal|precision|toBeCloseTo"));

/// Everything that the given lines check.
pub(super) fn checks(language: Language, lines: &[String], range: Range<usize>) -> Vec<Check> {
    let asserts: &Regex = match language {
        Language::Rust => &RUST,
        Language::Python => &PYTHON,
        Language::JavaScript => &SCRIPT,
        Language::Go => &GO,
        Language::Java => &JAVA,
        Language::Ruby => &RUBY,
    };
    let mut checks = Vec::new();
    let mut index = range.start;
    while index < range.end {
        let line = &lines[index];
        let wanted = asserts.is_match(line) || EXPECTED.is_match(line);
        let first = Scanned::of(language, line);
        if !wanted && !is_row(line, &first) {
            index += 1;
            continue;
        }
        let (scanned, next) =
            if wanted { statement(language, lines, index, range.end) } else { (first, index + 1) };
        let Scanned { text, skeleton, literals, .. } = scanned;
        checks.push(Check { line: index as u32 + 1, text, skeleton, literals });
        index = next;
    }
    checks
}

/// A line of a table of cases: nothing but values.
fn is_row(line: &str, scanned: &Scanned) -> bool {
    let line = line.trim();
    !scanned.literals.is_empty()
        && line.starts_with(|c: char| {
            matches!(c, '(' | '{' | '[' | '"' | '\'' | '|' | '-') || c.is_ascii_digit()
        })
        && line.ends_with([',', ')', '}', ']', '|', '"', '\''])
}

/// The whole statement that begins in a line, and the line after it. A brace at a line's end opens a body,
/// which is not part of it.
fn statement(language: Language, lines: &[String], first: usize, end: usize) -> (Scanned, usize) {
    let mut text = lines[first].clone();
    let mut next = first + 1;
    let most = end.min(first + LONGEST);
    while next < most {
        let open = Scanned::of(language, text.trim_end().trim_end_matches('{')).depth > 0;
        let chained =
            lines[next].trim_start().starts_with(['.', '&']) || lines[next].trim_start().starts_with("?.");
        if !open && !chained && !text.ends_with('\\') {
            break;
        }
        text.push('\n');
        text.push_str(&lines[next]);
        next += 1;
    }
    (Scanned::of(language, &text), next)
}

struct Scanned {
    text: String,
    skeleton: String,
    literals: Vec<String>,
    /// Brackets that are still open.
    depth: i32,
}

impl Scanned {
    fn of(language: Language, source: &str) -> Self {
        let mut scanned =
            Self { text: String::new(), skeleton: String::new(), literals: Vec::new(), depth: 0 };
        let chars: Vec<char> = source.chars().collect();
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            let from = at;
            let quote = matches!(c, '"' | '`')
                || (c == '\''
                    && (!language.quotes_characters()
                        || chars.get(at + 1) == Some(&'\\')
                        || chars.get(at + 2) == Some(&'\'')));
            if quote {
                at += 1;
                while let Some(&inner) = chars.get(at) {
                    at += if inner == '\\' { 2 } else { 1 };
                    if inner == c {
                        break;
                    }
                }
                scanned.literal(chars[from..at.min(chars.len())].iter().collect());
            } else if c.is_alphanumeric() || c == '_' {
                let number = c.is_ascii_digit();
                let goes_on = |at: usize| {
                    let c = chars.get(at).copied().unwrap_or(' ');
                    let fraction = number && c == '.' && chars.get(at + 1).is_some_and(char::is_ascii_digit);
                    let exponent = number && c == '-' && matches!(chars.get(at - 1), Some('e' | 'E'));
                    c.is_alphanumeric() || c == '_' || fraction || exponent
                };
                while at < chars.len() && goes_on(at) {
                    at += 1;
                }
                let word: String = chars[from..at].iter().collect();
                let constant = matches!(
                    word.as_str(),
                    "true" | "false" | "True" | "False" | "None" | "nil" | "null" | "undefined"
                );
                if number || constant { scanned.literal(word) } else { scanned.plain(&word) }
            } else {
                at += 1;
                scanned.depth += match c {
                    '(' | '[' | '{' => 1,
                    ')' | ']' | '}' => -1,
                    _ => 0,
                };
                if matches!(c, ')' | ']' | '}') && scanned.text.ends_with(',') {
                    scanned.text.pop();
                    scanned.skeleton.pop();
                }
                if !c.is_whitespace() {
                    scanned.plain(&c.to_string());
                } else if from > 0
                    && chars[from - 1].is_alphanumeric()
                    && chars.get(at).is_some_and(|c| c.is_alphanumeric())
                {
                    scanned.plain(" ");
                }
            }
        }
        scanned
    }

    fn plain(&mut self, text: &str) {
        self.text.push_str(text);
        self.skeleton.push_str(text);
    }

    fn literal(&mut self, text: String) {
        self.text.push_str(&text);
        self.skeleton.push('\u{1}');
        self.literals.push(text);
    }
}

/// What became of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weakened {
    Removed,
    Widened,
    ExpectsOther,
    AssertsOther,
}

/// The checks of `before` that `after` does not make any more, each with how and the line in `after` that
/// stands in its place, if one does.
pub(super) fn weakened(before: &[Check], after: &[Check]) -> Vec<(Weakened, String, Option<u32>)> {
    let mut left = vec![true; after.len()];
    let mut by_text = queues(after, &left, |check| &check.text);
    let mut missing: Vec<&Check> = Vec::new();
    for check in before {
        match by_text.get_mut(check.text.as_str()).and_then(VecDeque::pop_front) {
            Some(at) => left[at] = false,
            None => missing.push(check),
        }
    }
    let mut by_skeleton = queues(after, &left, |check| &check.skeleton);
    let mut found = Vec::new();
    let mut without_partner = Vec::new();
    for check in missing {
        match by_skeleton.get_mut(check.skeleton.as_str()).and_then(VecDeque::pop_front) {
            Some(at) => {
                left[at] = false;
                if let Some(how) = other_literals(check, &after[at]) {
                    found.push((how, check.text.clone(), Some(after[at].line)));
                }
            }
            None => without_partner.push(check),
        }
    }
    // What stays without a partner was dropped, or is another assertion now.
    let mut left = after.iter().zip(left).filter_map(|(check, left)| left.then_some(check));
    for check in without_partner {
        let other = if after.len() < before.len() { None } else { left.next() };
        let how = if other.is_some() { Weakened::AssertsOther } else { Weakened::Removed };
        found.push((how, check.text.clone(), other.map(|other| other.line)));
    }
    found
}

/// The places of the checks that are left, in their order, by what they are looked for by.
fn queues<'c>(
    checks: &'c [Check],
    left: &[bool],
    key: fn(&Check) -> &String,
) -> HashMap<&'c str, VecDeque<usize>> {
    let mut queues: HashMap<&str, VecDeque<usize>> = HashMap::new();
    for (at, check) in checks.iter().enumerate().filter(|(at, _)| left[*at]) {
        queues.entry(key(check)).or_default().push_back(at);
    }
    queues
}

/// How a check of the same form differs; `None`: it became stricter.
fn other_literals(before: &Check, after: &Check) -> Option<Weakened> {
    let differs = before.literals.iter().zip(&after.literals).filter(|(old, new)| old != new);
    let differs: Vec<_> = differs.collect();
    let number =
        |text: &str| text.replace('_', "").trim_end_matches(|c: char| c.is_alphabetic()).parse::<f64>().ok();
    if TOLERANCE.is_match(&before.text)
        && let [(old, new)] = differs.as_slice()
        && before.literals.last() != after.literals.last()
        && let (Some(old), Some(new)) = (number(old), number(new))
    {
        let narrower = if DIGITS.is_match(&before.text) { new > old } else { new < old };
        return (!narrower).then_some(Weakened::Widened);
    }
    Some(Weakened::ExpectsOther)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::test_text::code_lines;

    fn of(path: &str, text: &str) -> Vec<Check> {
        let language = Language::of(path).expect("a language");
        let lines = code_lines(language, text);
        checks(language, &lines, 0..lines.len())
    }

    fn how(path: &str, before: &str, after: &str) -> Vec<Weakened> {
        weakened(&of(path, before), &of(path, after)).into_iter().map(|(how, ..)| how).collect()
    }

    #[test]
    fn layout_names_and_more_assertions_weaken_nothing() {
        for (path, before, after) in [
            ("a.rs", "assert_eq!(a(1), 2);", "assert_eq!(\n    a(1),\n    2,\n);\nassert!(b);"),
            ("a.py", "assert a(1) == 2\nx = 1", "y = 5\nassert a(1)  ==  2"),
            ("a.ts", "expect(a).toBe('x')", "expect(a)\n  .toBe(\n    'x',\n  )\nexpect(b).toBe(1)"),
            ("a_test.go", "if got != 4 {\n\tt.Fatal(got)\n}", "if got != 4 {\n\n\tt.Fatal(got)\n}"),
            ("A.java", "assertEquals(2, a());", "assertEquals(2,\n  a());"),
            ("a.rb", "assert_equal 2, a", "assert_equal 2,   a"),
            ("a.py", "assert a == pytest.approx(1.0, abs=0.1)", "assert a == pytest.approx(1.0, abs=0.01)"),
            ("a.js", "expect(a).toBeCloseTo(b, 2)", "expect(a).toBeCloseTo(b, 5)"),
        ] {
            assert_eq!(how(path, before, after), [], "{path}: {before:?} {after:?}");
        }
    }

    #[test]
    fn each_way_of_weakening_is_told_apart() {
        use Weakened::*;
        for (path, before, after, expected) in [
            ("a.rs", "assert_eq!(a(1), 2);", "", Removed),
            ("a.rs", "assert_eq!(a(1), 2);", "// assert_eq!(a(1), 2);", Removed),
            ("a.rs", "assert_eq!(a(1), 2);", "assert_eq!(a(1), 3);", ExpectsOther),
            ("a.rs", "assert_eq!(a(1), \"a b\");", "assert_eq!(a(1), \"ab\");", ExpectsOther),
            ("a.rs", "assert_eq!(a(1), 2);", "assert!(a(1) > 0);", AssertsOther),
            ("a.rs", "let expected = 4;", "let expected = 5;", ExpectsOther),
            ("a.py", "assert a == 2", "assert a", AssertsOther),
            ("a.py", "assert a == approx(1.0, abs=0.01)", "assert a == approx(1.0, abs=0.5)", Widened),
            (
                "a.py",
                "self.assertAlmostEqual(a, b, places=7)",
                "self.assertAlmostEqual(a, b, places=1)",
                Widened,
            ),
            ("a.py", "    (1, 2),", "    (1, 3),", ExpectsOther),
            (
                "a.py",
                "with pytest.raises(KeyError):\n    a()",
                "with pytest.raises(Exception):\n    a()",
                AssertsOther,
            ),
            ("a.js", "expect(a).toBe(true)", "expect(a).toBeDefined()", AssertsOther),
            ("a.js", "expect(a).toBeCloseTo(1.5, 5)", "expect(a).toBeCloseTo(1.5, 1)", Widened),
            ("a_test.go", "assert.InDelta(t, 1.0, x, 0.01)", "assert.InDelta(t, 1.0, x, 10)", Widened),
            (
                "a_test.go",
                "if got != 4 {\n\tt.Errorf(\"x\")\n}",
                "if got == 0 {\n\tt.Errorf(\"x\")\n}",
                AssertsOther,
            ),
            ("a_test.go", "{in: 1, want: 2},", "{in: 1, want: 3},", ExpectsOther),
            ("A.java", "assertThrows(A.class, () -> b());", "assertDoesNotThrow(() -> b());", AssertsOther),
            ("a.rb", "expect(a).to eq 2", "expect(a).to eq 3", ExpectsOther),
            ("a.rb", "expect(a).to eq 2", "expect(a).to be_truthy", AssertsOther),
        ] {
            assert_eq!(how(path, before, after), [expected], "{path}: {before:?} {after:?}");
        }
    }

    #[test]
    fn a_table_of_two_hundred_thousand_lines_is_compared_in_time_by_its_length() {
        let table = |from: usize| -> Vec<Check> {
            let check = |line: usize| {
                let literal = (from + line).to_string();
                let text = format!("({literal},f{}())", line % 1000);
                let skeleton = format!("(\u{1},f{}())", line % 1000);
                Check { line: line as u32, text, skeleton, literals: vec![literal] }
            };
            (0..200_000).map(check).collect()
        };
        let (before, after) = (table(0), table(1_000_000));
        let begun = std::time::Instant::now();
        assert_eq!(weakened(&before, &after).len(), 200_000, "each expects something else");
        assert_eq!(weakened(&before, &before.iter().rev().cloned().collect::<Vec<_>>()), []);
        assert!(begun.elapsed().as_secs() < 30, "{:?}, and by its square it is minutes", begun.elapsed());
    }
}

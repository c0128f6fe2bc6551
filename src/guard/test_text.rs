//! Tests in source text: where each begins and ends, by the signs that the six ecosystems' runners go by.
//!
//! It reads lines and indentation and does not parse: formatted code is enough, and what it cannot tell
//! apart is taken as changed rather than as unchanged.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// A language whose tests are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Rust,
    Python,
    JavaScript,
    Go,
    Java,
    Ruby,
}

/// One test of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestCase {
    pub name: String,
    /// Where its head stands, from 1.
    pub line: u32,
    /// Its lines, attributes included, from 0.
    pub lines: Range<usize>,
}

/// A regular expression of this program's own.
pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern that is a literal")
}

impl Language {
    pub fn of(path: &str) -> Option<Self> {
        let (_, extension) = path.rsplit_once('.')?;
        Some(match extension.to_lowercase().as_str() {
            "rs" => Self::Rust,
            "py" | "pyi" => Self::Python,
            "js" | "jsx" | "mjs" | "cjs" | "ts" | "tsx" | "mts" | "cts" | "vue" | "svelte" => {
                Self::JavaScript
            }
            "go" => Self::Go,
            "java" | "kt" | "kts" | "groovy" | "scala" => Self::Java,
            "rb" => Self::Ruby,
            _ => return None,
        })
    }

    /// Whether a comment runs from `#` to the line's end; otherwise from `//`.
    fn hash_comments(self) -> bool {
        matches!(self, Self::Python | Self::Ruby)
    }

    /// Whether a single quote begins a character, or means something else, rather than a string.
    pub fn quotes_characters(self) -> bool {
        matches!(self, Self::Rust | Self::Go)
    }
}

/// What the scanner is in.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Code,
    /// Depth: Rust's comments nest.
    Comment(u32),
    Text(char),
    Raw(usize),
    /// Text between triple quotes; the flag: it is a statement of its own, which says nothing to a runner.
    Triple(char, bool),
}

/// The lines of a source text without its comments; as many lines as before.
pub(super) fn code_lines(language: Language, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside = Inside::Code;
    let mut ruby_comment = false;
    for line in text.lines() {
        if language == Language::Ruby {
            ruby_comment |= line.starts_with("=begin");
            if ruby_comment {
                ruby_comment = !line.starts_with("=end");
                lines.push(String::new());
                continue;
            }
        }
        if language == Language::Go && line.starts_with("//go:build") {
            lines.push(line.to_owned());
            continue;
        }
        let mut scan =
            LineScan { language, chars: line.chars().collect(), at: 0, kept: String::new(), inside };
        scan.run();
        inside = match scan.inside {
            // A string that is still open ends with its line, where the language has it so.
            Inside::Text('`') => scan.inside,
            Inside::Text('"') if language == Language::Rust => scan.inside,
            Inside::Text(_) => Inside::Code,
            other => other,
        };
        lines.push(scan.kept.trim_end().to_owned());
    }
    lines
}

struct LineScan {
    language: Language,
    chars: Vec<char>,
    at: usize,
    kept: String,
    inside: Inside,
}

impl LineScan {
    fn run(&mut self) {
        while let Some(&c) = self.chars.get(self.at) {
            match self.inside {
                Inside::Comment(depth) => self.comment(depth),
                Inside::Code => {
                    if self.code(c) {
                        return;
                    }
                }
                Inside::Text(quote) => {
                    let width = if c == '\\' { 2 } else { 1 };
                    self.keep(width);
                    if c == quote {
                        self.inside = Inside::Code;
                    }
                }
                Inside::Raw(hashes) => {
                    let ends = c == '"' && self.follows(1, &"#".repeat(hashes));
                    self.keep(if ends { hashes + 1 } else { 1 });
                    if ends {
                        self.inside = Inside::Code;
                    }
                }
                Inside::Triple(quote, dropped) => {
                    let ends = self.follows(0, &quote.to_string().repeat(3));
                    let width = if ends { 3 } else { 1 };
                    if dropped {
                        self.at += width
                    } else {
                        self.keep(width)
                    }
                    if ends {
                        self.inside = Inside::Code;
                    }
                }
            }
        }
    }

    fn follows(&self, ahead: usize, text: &str) -> bool {
        text.chars().enumerate().all(|(index, c)| self.chars.get(self.at + ahead + index) == Some(&c))
    }

    fn keep(&mut self, count: usize) {
        let end = (self.at + count).min(self.chars.len());
        self.kept.extend(&self.chars[self.at..end]);
        self.at = end;
    }

    fn comment(&mut self, depth: u32) {
        if self.follows(0, "*/") {
            self.at += 2;
            self.inside = if depth > 1 { Inside::Comment(depth - 1) } else { Inside::Code };
        } else if self.language == Language::Rust && self.follows(0, "/*") {
            self.at += 2;
            self.inside = Inside::Comment(depth + 1);
        } else {
            self.at += 1;
        }
    }

    /// One step in code; whether the rest of the line is a comment.
    fn code(&mut self, c: char) -> bool {
        let hash = self.language.hash_comments();
        if (hash && c == '#') || (!hash && self.follows(0, "//")) {
            return true;
        }
        if !hash && self.follows(0, "/*") {
            self.at += 2;
            self.inside = Inside::Comment(1);
            return false;
        }
        let triple = self.language == Language::Python
            && matches!(c, '"' | '\'')
            && self.follows(0, &c.to_string().repeat(3));
        if triple {
            let dropped = self.kept.trim().is_empty();
            self.inside = Inside::Triple(c, dropped);
            if dropped {
                self.at += 3
            } else {
                self.keep(3)
            }
            return false;
        }
        if self.language == Language::Rust
            && c == 'r'
            && !self.kept.ends_with(|c: char| c.is_alphanumeric() || c == '_')
        {
            let hashes = self.chars[self.at + 1..].iter().take_while(|c| **c == '#').count();
            if self.chars.get(self.at + 1 + hashes) == Some(&'"') {
                self.keep(hashes + 2);
                self.inside = Inside::Raw(hashes);
                return false;
            }
        }
        let character = c == '\'' && self.language.quotes_characters();
        let closed = self.chars.get(self.at + 1) == Some(&'\\') || self.chars.get(self.at + 2) == Some(&'\'');
        if matches!(c, '"' | '`') || (c == '\'' && (!character || closed)) {
            self.inside = Inside::Text(c);
        }
        // What is escaped outside of a text stands in a pattern of JavaScript.
        self.keep(if c == '\\' { 2 } else { 1 });
        false
    }
}

static RUST_MARK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"#\[\s*(\w+::)*(test|rstest|test_case|quickcheck|wasm_bindgen_test|bench|test_log|traced_test)\b",
    )
});
static RUST_HEAD: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:(?:async|const|unsafe)\s+)*fn\s+(\w+)"));
static PYTHON_HEAD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*(?:async\s+)?def\s+(test\w*)\s*\("));
static SCRIPT_HEAD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"^\s*(?:await\s+)?[xf]?(?:it|test|specify|bench)(?:\.\w+)*(?:\([^'"`]*\))?\s*\(\s*(?:'([^']+)'|"([^"]+)"|`([^`]+)`)"#,
    )
});
static GO_HEAD: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^func\s+((?:Test|Fuzz|Example|Benchmark)\w*)\s*\("));
static JAVA_MARK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^\s*@(?:\w+\.)*(?:Test|ParameterizedTest|RepeatedTest|TestFactory|TestTemplate|Property)\b")
});
static JAVA_HEAD: LazyLock<Regex> = LazyLock::new(|| pattern(r"(`[^`]+`|\b\w+)\s*\([^)]*\)?[^;]*$"));
static JAVA_ANNOTATION: LazyLock<Regex> = LazyLock::new(|| pattern(r"@[\w.]+(\([^)]*\))?\s*"));
static RUBY_HEAD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"^\s*(?:def\s+(test_\w+[?!]?)|[xf]?(?:it|specify|example|scenario|test)\s*\(?\s*(?:'([^']+)'|"([^"]+)"))"#,
    )
});

/// The tests in lines without comments, in their order.
pub(super) fn tests_of(language: Language, lines: &[String]) -> Vec<TestCase> {
    let mut tests = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = head(language, lines, index, line) else { continue };
        let first = above(lines, index);
        let last = end_of(lines, index);
        tests.push(TestCase { name, line: index as u32 + 1, lines: first..last });
    }
    tests
}

fn head(language: Language, lines: &[String], index: usize, line: &str) -> Option<String> {
    let name = |regex: &Regex| {
        let found = regex.captures(line)?;
        found.iter().skip(1).flatten().next().map(|name| name.as_str().to_owned())
    };
    let marks = || &lines[above(lines, index)..index];
    match language {
        Language::Rust => name(&RUST_HEAD).filter(|_| marks().iter().any(|line| RUST_MARK.is_match(line))),
        Language::Python => name(&PYTHON_HEAD),
        Language::JavaScript => name(&SCRIPT_HEAD),
        Language::Go => name(&GO_HEAD),
        Language::Ruby => name(&RUBY_HEAD),
        Language::Java => {
            // An annotation may stand on the line of what it is about.
            let bare = JAVA_ANNOTATION.replace_all(line, "");
            let name = JAVA_HEAD.captures(&bare)?.get(1)?.as_str().to_owned();
            let marked = JAVA_MARK.is_match(line) || marks().iter().any(|line| JAVA_MARK.is_match(line));
            marked.then_some(name)
        }
    }
}

/// The first line of the attributes, decorators or annotations that stand directly above a head.
fn above(lines: &[String], head: usize) -> usize {
    let mut first = head;
    for at in (head.saturating_sub(40)..head).rev() {
        let line = lines[at].trim();
        if line.is_empty() || (line.ends_with(['{', '}', ';', ':']) && !line.starts_with('@')) {
            break;
        }
        if line.starts_with(['@', '#']) {
            first = at;
        }
    }
    first
}

/// One past the last line of what begins at `head`: the line that closes it at the same indentation.
fn end_of(lines: &[String], head: usize) -> usize {
    let depth = indentation(&lines[head]);
    let mut last = head;
    for (index, line) in lines.iter().enumerate().skip(head + 1) {
        let text = line.trim_start();
        if text.is_empty() {
            continue;
        }
        if indentation(line) > depth {
            last = index;
            continue;
        }
        let goes_on =
            text.starts_with([')', '{', ']']) && !text.ends_with(';') && text.ends_with(['{', ':', ',', '(']);
        if goes_on {
            last = index;
            continue;
        }
        let closes = text.starts_with(['}', ')', ']']) || text == "end" || text.starts_with("end ");
        return if closes { index + 1 } else { last + 1 };
    }
    last + 1
}

fn indentation(line: &str) -> usize {
    line.chars().take_while(|c| c.is_whitespace()).map(|c| if c == '\t' { 4 } else { 1 }).sum()
}

/// Where the inline tests of a Rust file stand in it, in bytes: from `#[cfg(test)]` to the module's end.
pub(super) fn inline_tests(path: &str, text: &str) -> Option<Range<usize>> {
    if Language::of(path) != Some(Language::Rust) {
        return None;
    }
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let first = lines.iter().position(|line| line.trim() == "#[cfg(test)]")?;
    let is_module = |line: &String| {
        let line = line.trim_start();
        line.starts_with("mod ") || line.starts_with("pub mod ") || line.starts_with("pub(crate) mod ")
    };
    let head = (first + 1..lines.len()).take(4).find(|index| is_module(&lines[*index]))?;
    if !lines[head].trim_end().ends_with('{') {
        return None;
    }
    let end = end_of(&lines, head);
    let starts: Vec<usize> =
        std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    Some(*starts.get(first)?..starts.get(end).copied().unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(String, u32, String)> {
        let language = Language::of(path).expect("a language");
        let lines = code_lines(language, text);
        assert_eq!(lines.len(), text.lines().count(), "no line is lost");
        let tests = tests_of(language, &lines);
        tests.into_iter().map(|test| (test.name, test.line, lines[test.lines].join("\n"))).collect()
    }

    fn names(path: &str, text: &str) -> Vec<String> {
        found(path, text).into_iter().map(|(name, ..)| name).collect()
    }

    #[test]
    fn the_tests_of_rust_are_found_with_their_attributes_and_ends() {
        let text = "fn helper() {}\n\n/// Says why.\n#[tokio::test(\n    flavor = \"multi_thread\",\n)]\n#[ignore]\nasync fn one() {\n    a();\n}\n\n#[test]\nfn two(\n) {\n    b(\"}\\n// no\");\n}\nfn three() { c() }\n";
        let tests = found("a.rs", text);
        assert_eq!(
            tests.iter().map(|(name, line, _)| (name.as_str(), *line)).collect::<Vec<_>>(),
            [("one", 8), ("two", 13)]
        );
        assert!(
            tests[0].2.contains("#[ignore]") && tests[0].2.ends_with('}') && !tests[0].2.contains("Says why")
        );
        assert!(tests[1].2.contains("b(\"}\\n// no\");") && !tests[1].2.contains("three"));
    }

    #[test]
    fn the_tests_of_the_other_languages_are_found() {
        let python = "@pytest.mark.skip\ndef test_a(x):\n    \"\"\"assert nothing\"\"\"\n    assert x  # sure\n\nclass TestB:\n    async def test_c(self):\n        assert 1\n\n    def helper(self):\n        pass\n";
        let tests = found("test_a.py", python);
        assert_eq!(tests[0].2, "@pytest.mark.skip\ndef test_a(x):\n\n    assert x");
        assert_eq!((tests[1].0.as_str(), tests.len()), ("test_c", 2));
        let script = "describe('x', () => {\n  it.skip('adds', async () => {\n    expect(1).toBe(1)\n  })\n  xit(\"subtracts\", () => {})\n  test.each([1, 2])('times %d', () => {})\n  /* it('not', () => {}) */\n});\n";
        assert_eq!(names("a.test.ts", script), ["adds", "subtracts", "times %d"]);
        let go = "func TestA(t *testing.T) {\n\tt.Skip()\n}\n\nfunc helper() {}\nfunc BenchmarkB(b *testing.B) {\n}\n";
        assert_eq!(names("a_test.go", go), ["TestA", "BenchmarkB"]);
        let java = "class ATest {\n    @Test\n    @Disabled(\"later\")\n    void adds() throws Exception {\n        assertEquals(2, a());\n    }\n\n    @ParameterizedTest @ValueSource(ints = {1})\n    void times(int x) {\n    }\n\n    void helper() {\n    }\n}\n";
        assert_eq!(names("ATest.java", java), ["adds", "times"]);
        assert_eq!(
            names("ATest.kt", "class A {\n  @Test\n  fun `adds two`() {\n    x()\n  }\n}\n"),
            ["`adds two`"]
        );
        let ruby = "class A\n  def test_adds\n    assert_equal 2, a\n  end\nend\nit 'works' do\n  expect(a).to eq 1\nend\nxit \"not\" do\nend\n";
        assert_eq!(names("a_test.rb", ruby), ["test_adds", "works", "not"]);
    }

    #[test]
    fn what_is_commented_out_is_gone_and_what_stands_in_text_is_not() {
        let lines =
            |path: &str, text: &str| code_lines(Language::of(path).expect("a language"), text).join("|");
        assert_eq!(
            lines("a.rs", "a /* b /* c */ d\n*/ e // f\n'\"' 'a b \"//\" r#\"/*\"# x"),
            "a|e|'\"' 'a b \"//\" r#\"/*\"# x".replace("|e", "| e")
        );
        assert_eq!(
            lines("a.py", "x = '#' # y\n'''\nassert a\n'''\nb = \"\"\"#\n\"\"\""),
            "x = '#'||||b = \"\"\"#|\"\"\""
        );
        assert_eq!(lines("a.js", "m(/https?:\\/\\//) // c\n`a\n//b` // d"), "m(/https?:\\/\\//)|`a|//b`");
        assert_eq!(lines("a.rb", "a\n=begin\nassert b\n=end\n\"#{c}\" # d"), "a||||\"#{c}\"");
        assert_eq!(lines("a.go", "//go:build ignore\n// x\n'\\'' // y"), "//go:build ignore||'\\''");
    }
}

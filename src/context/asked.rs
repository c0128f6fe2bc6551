//! What a text asks for: words with their weights, names of identifiers, and the sentences that programs print.

use std::collections::HashMap;

use super::common::is_common;
use super::kind::FileKind;
use super::terms::{Role, Term, Terms, joined, runs, split, term};

/// A word of the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    /// As it was written, in lower case.
    pub(super) text: String,
    pub(super) weight: f64,
    pub(super) term: Term,
    pub(super) defined: Term,
}

/// An identifier of the text, or a word that may be one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) weight: f64,
    /// Written as code is: of several words, or between ticks.
    pub(super) code: bool,
    pub(super) compound: Term,
    pub(super) defined: Term,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Asked {
    pub(super) words: Vec<Word>,
    pub(super) names: Vec<Name>,
    /// Kinds of files that the title asks for beside source.
    about: Vec<FileKind>,
    /// Literal pieces of quoted text and of what programs said.
    pub(super) phrases: Vec<String>,
}

/// Words and names that are asked for at most, the heaviest first.
const MOST_WORDS: usize = 160;
const MOST_NAMES: usize = 120;
const MOST_PHRASES: usize = 16;
const SHORTEST_PHRASE: usize = 12;

const TITLE: f64 = 1.5;
const PROSE: f64 = 1.0;
const FENCED: f64 = 0.5;
const ABOUT_THE_MACHINE: f64 = 0.15;
const QUOTED: f64 = 1.5;
/// Names that look like names of code count more than words that may be some.
const PLAIN_NAME: f64 = 0.5;

impl Asked {
    pub(super) fn of(text: &str) -> Self {
        let mut collected = Collected { about: about(text), ..Collected::default() };
        let mut place = Place::Text;
        let mut title = true;
        for line in without_comments(text).lines() {
            if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
                place = if place == Place::Fence { Place::Text } else { Place::Fence };
                continue;
            }
            if place != Place::Fence
                && let Some(heading) = heading(line)
            {
                place = if is_about_the_machine(heading) { Place::Machine } else { Place::Text };
                if !title {
                    continue;
                }
            }
            let weight = match place {
                _ if title => TITLE,
                Place::Fence => FENCED,
                Place::Machine => ABOUT_THE_MACHINE,
                Place::Text => PROSE,
            };
            title &= line.trim().is_empty();
            collected.line(line, weight);
            collected.phrases(line);
        }
        collected.done()
    }

    /// Whether the text is about files of a kind that is no source.
    pub(super) fn is_about(&self, kind: FileKind) -> bool {
        self.about.contains(&kind)
    }
}

/// Words of a title that ask for files that are no source.
const ABOUT: [(FileKind, &[&str]); 4] = [
    (
        FileKind::Docs,
        &["doc", "docs", "documentation", "readme", "changelog", "typo", "typos", "guide", "tutorial"],
    ),
    (FileKind::Test, &["test", "tests", "testing", "flaky", "coverage", "testsuite"]),
    (
        FileKind::Config,
        &["ci", "workflow", "workflows", "dockerfile", "makefile", "cmake", "dependency", "dependencies"],
    ),
    (FileKind::Example, &["example", "examples", "sample", "samples", "demo", "benchmark", "benchmarks"]),
];

fn about(text: &str) -> Vec<FileKind> {
    let title = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().to_lowercase();
    let words = || title.split(|c: char| !c.is_alphanumeric());
    let has = |list: &[&str]| words().any(|word| list.contains(&word));
    ABOUT.iter().filter(|(_, list)| has(list)).map(|(kind, _)| *kind).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    Fence,
    Machine,
}

#[derive(Default)]
struct Collected {
    terms: Terms,
    /// By stem: the word as written, the greatest weight, how often.
    words: HashMap<String, (String, f64, u32)>,
    names: HashMap<String, (String, f64, bool)>,
    phrases: Vec<String>,
    about: Vec<FileKind>,
}

impl Collected {
    fn line(&mut self, line: &str, weight: f64) {
        let line = without_urls(line);
        let mut parts = Vec::new();
        let mut ticks = 0;
        let mut last = 0;
        runs(line.as_bytes(), |at, run| {
            ticks += memchr::memchr_iter(b'`', &line.as_bytes()[last..at]).count();
            last = at;
            let quoted = ticks % 2 == 1;
            let weight = if quoted { weight.max(PROSE) * QUOTED } else { weight };
            split(run, &mut parts);
            if parts.is_empty() {
                return;
            }
            for part in &parts {
                if is_common(part) {
                    continue;
                }
                let stem = self.terms.stem(part);
                let word = self.words.entry(stem).or_insert_with(|| (part.clone(), 0.0, 0));
                word.1 = word.1.max(weight);
                word.2 += 1;
            }
            let whole = joined(run);
            let compound = parts.len() > 1 || whole != parts[0];
            if whole.len() < 3 || (!compound && is_common(&whole)) {
                return;
            }
            let code = compound || quoted;
            let weight = if code { weight } else { weight * PLAIN_NAME };
            let shown = || String::from_utf8_lossy(run).into_owned();
            let name = self.names.entry(whole).or_insert_with(|| (shown(), 0.0, false));
            name.1 = name.1.max(weight);
            name.2 |= code;
        });
    }

    /// Quoted text of several words, and what follows the name of an error.
    fn phrases(&mut self, line: &str) {
        for quote in ['"', '\'', '`'] {
            for piece in line.split(quote).skip(1).step_by(2) {
                self.phrase(piece);
            }
        }
        let lower = line.to_ascii_lowercase();
        for mark in ["error: ", "exception: ", "panicked at ", "warning: ", "failed: ", "fatal: "] {
            if let Some(at) = lower.find(mark) {
                self.phrase(&line[at + mark.len()..]);
            }
        }
    }

    /// Keeps what a program's text has between the values that it puts in.
    fn phrase(&mut self, text: &str) {
        let variable = |c: char| c.is_ascii_digit() || "'\"`{}<>%$()[]:/\\".contains(c);
        for piece in text.split(variable) {
            let piece = piece.trim();
            if piece.len() >= SHORTEST_PHRASE && piece.contains(' ') && self.phrases.len() < MOST_PHRASES {
                let piece = piece.to_ascii_lowercase();
                if !self.phrases.contains(&piece) {
                    self.phrases.push(piece);
                }
            }
        }
    }

    fn done(self) -> Asked {
        let heaviest = |a: (f64, &str), b: (f64, &str)| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1));
        let mut words: Vec<Word> = self
            .words
            .iter()
            .map(|(stem, (text, weight, count))| Word {
                text: text.clone(),
                weight: weight * (1.0 + 0.3 * f64::from(*count).ln()),
                term: term(Role::Word, stem.as_bytes()),
                defined: term(Role::DefinedWord, stem.as_bytes()),
            })
            .collect();
        words.sort_by(|a, b| heaviest((a.weight, &a.text), (b.weight, &b.text)).then(a.term.cmp(&b.term)));
        words.truncate(MOST_WORDS);
        let mut names: Vec<Name> = self
            .names
            .iter()
            .map(|(whole, (text, weight, code))| Name {
                code: *code,
                text: text.clone(),
                weight: *weight,
                compound: term(Role::Compound, whole.as_bytes()),
                defined: term(Role::Defined, whole.as_bytes()),
            })
            .collect();
        names.sort_by(|a, b| heaviest((a.weight, &a.text), (b.weight, &b.text)));
        names.truncate(MOST_NAMES);
        Asked { words, names, phrases: self.phrases, about: self.about }
    }
}

/// Without what the forms of issues hide from readers.
fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("<!--") {
        kept.push_str(&rest[..start]);
        rest = rest[start..].find("-->").map_or("", |end| &rest[start + end + 3..]);
    }
    kept.push_str(rest);
    kept
}

fn without_urls(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find("http://").into_iter().chain(rest.find("https://")).min() {
        kept.push_str(&rest[..start]);
        let url = &rest[start..];
        let end = url.find(|c: char| c.is_whitespace() || ")>\"'`]".contains(c)).unwrap_or(url.len());
        rest = &url[end..];
    }
    kept.push_str(rest);
    kept
}

/// The text of a line that is a heading: `## Steps`, `**Steps**`, `Steps:`.
fn heading(line: &str) -> Option<&str> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix('#') {
        return Some(rest.trim_start_matches('#').trim());
    }
    let bold = line.strip_prefix("**").and_then(|rest| rest.trim_end_matches(':').strip_suffix("**"));
    bold.filter(|text| text.len() < 60)
}

fn is_about_the_machine(heading: &str) -> bool {
    let heading = heading.to_lowercase();
    ["environment", "version", "system info", "platform", "checklist", "reproduction link", "your setup"]
        .iter()
        .any(|word| heading.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(asked: &Asked, text: &str) -> Option<f64> {
        asked.words.iter().find(|word| word.text == text).map(|word| word.weight)
    }

    #[test]
    fn the_title_counts_more_than_the_text_and_the_text_more_than_the_machine() {
        let text = "Amount rounds down\n\nThe cents are lost.\n\n```\ntrace here\n```\n## Environment\nDarwin kernel\n";
        let asked = Asked::of(text);
        let of = |word| weight(&asked, word).expect(word);
        assert!(of("amount") > of("cents") && of("cents") > of("trace") && of("trace") > of("kernel"));
        assert!(weight(&asked, "the").is_none() && weight(&asked, "are").is_none());
    }

    #[test]
    fn identifiers_are_names_and_ticks_lift_them() {
        let asked = Asked::of("x\nIt calls splitAmount and `frob`, and https://example.org/aaa/bbb too.");
        let of = |text: &str| asked.names.iter().find(|name| name.text == text).map(|name| name.weight);
        assert!(of("splitAmount").is_some() && of("frob") > of("splitAmount"));
        assert!(weight(&asked, "bbb").is_none());
    }

    #[test]
    fn what_programs_said_is_kept_between_its_values() {
        let asked = Asked::of(
            "crash\nTypeError: cannot read property 'x' of undefined object\nsays \"no such widget: 42\"",
        );
        assert_eq!(asked.phrases, ["cannot read property", "of undefined object", "no such widget"]);
    }

    #[test]
    fn hidden_comments_ask_for_nothing() {
        assert!(weight(&Asked::of("a title\n<!-- secret words --> shown"), "secret").is_none());
    }
}

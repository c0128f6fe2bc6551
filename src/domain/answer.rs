//! An answer in words: what it rests on, what of that was found to hold, and what was not.
//!
//! A citation is believed when its quotation stands in the file at the commit, and not before. White space
//! is all that may differ, since models wrap and indent what they quote.

use std::collections::BTreeSet;
use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag};
use serde::{Deserialize, Serialize};

use super::refs::CommitSha;
use super::route::Route;
use super::specification::Workflow;

/// What a model says that its answer rests on. The text refers to it by its number in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Citation {
    /// As the text has it: `[1]`.
    pub number: u32,
    pub path: String,
    /// From 1, inclusive.
    pub start_line: u32,
    pub end_line: u32,
    /// Words of these lines.
    pub quote: String,
}

/// A citation that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub number: u32,
    pub path: String,
    /// Where the quotation really stands.
    pub start_line: u32,
    pub end_line: u32,
}

/// A citation that does not, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedSource {
    pub citation: Citation,
    pub fault: CitationFault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CitationFault {
    /// There is no such text file at the commit.
    NoFile,
    /// The file ends before the lines begin, or the range is none.
    NoLines,
    /// The words are not in the file, or in several other places.
    NotThere,
    /// Too little is quoted to find it by.
    TooShort,
}

/// Code that was run for an answer, and what it printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computation {
    pub code: String,
    pub output: String,
}

/// Whether somebody who did not write the answer finds that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    pub holds: bool,
    pub why: String,
}

/// What a task that ends in words came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub workflow: Workflow,
    /// What it is about.
    pub commit: CommitSha,
    /// Markdown of a model.
    pub text: String,
    pub sources: Vec<Source>,
    pub dropped: Vec<DroppedSource>,
    #[serde(default)]
    pub computations: Vec<Computation>,
    /// How often the critic looked at it.
    #[serde(default)]
    pub rounds: u8,
    /// What the critic still objects to.
    #[serde(default)]
    pub objections: Vec<String>,
    /// `None`: nobody was asked.
    #[serde(default)]
    pub verification: Option<Verification>,
    /// `None`: no router was asked.
    #[serde(default)]
    pub route: Option<Route>,
    /// What of the repository's rules was not taken, for a question that had no plan to say it.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Answer {
    /// The text, where a reference to what was dropped says so.
    pub fn text_as_it_holds(&self) -> String {
        let dropped: BTreeSet<u32> = self.dropped.iter().map(|dropped| dropped.citation.number).collect();
        let mut text = self.text.clone();
        for (place, number) in references(&self.text).into_iter().rev() {
            if dropped.contains(&number) {
                text.replace_range(place, "[dropped]");
            }
        }
        text
    }

    /// Whether nothing speaks against it that we know of.
    pub fn holds(&self) -> bool {
        !self.is_unsupported() && self.verification.as_ref().is_none_or(|verification| verification.holds)
    }

    /// Whether nothing of the repository bears out an answer that has to rest on it.
    pub fn is_unsupported(&self) -> bool {
        self.sources.is_empty() && (self.workflow == Workflow::RagQa || !self.dropped.is_empty())
    }
}

/// References to citations, `[1]`, with their places in a text. What stands in code, is the text of a link, or
/// follows a name as an index does, is none.
pub fn references(text: &str) -> Vec<(Range<usize>, u32)> {
    let code: Vec<Range<usize>> = Parser::new_ext(text, Options::ENABLE_TABLES)
        .into_offset_iter()
        .filter(|(event, _)| matches!(event, Event::Code(_) | Event::Start(Tag::CodeBlock(_))))
        .map(|(_, place)| place)
        .collect();
    let mut found = Vec::new();
    for (at, _) in text.match_indices('[') {
        let digits = text[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        let Ok(number) = text[at + 1..at + 1 + digits].parse() else { continue };
        let (before, after) = (text[..at].chars().next_back(), &text[at + 1 + digits..]);
        let is_index = before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ')' | ']' | '\\'));
        // Two references may stand beside each other.
        let is_index = is_index && found.last().is_none_or(|(last, _): &(Range<usize>, u32)| last.end != at);
        let is_link = !after.starts_with(']') || after.starts_with("](") || after.starts_with("]:");
        if !is_index && !is_link && !code.iter().any(|place| place.contains(&at)) {
            found.push((at..at + digits + 2, number));
        }
    }
    found
}

/// Fewest letters and digits of a quotation: what is shorter stands nearly anywhere.
const QUOTE_MIN_CHARS: usize = 4;
/// Most lines of a citation: what is longer is not a place.
const MOST_LINES: u32 = 200;

/// Finds the lines of a citation in the text of its file. Where the words stand in other lines than it says, and
/// in one place only, these are the lines.
///
/// # Errors
/// Why it does not hold.
pub fn find_citation(citation: &Citation, file: Option<&str>) -> Result<(u32, u32), CitationFault> {
    let file = file.ok_or(CitationFault::NoFile)?;
    let quote = citation.quote.split_whitespace().collect::<Vec<_>>().join(" ");
    if quote.chars().filter(|c| c.is_alphanumeric()).count() < QUOTE_MIN_CHARS {
        return Err(CitationFault::TooShort);
    }
    let (first, last) = (citation.start_line, citation.end_line);
    let lines = file.lines().count() as u64;
    if first == 0 || last < first || last - first >= MOST_LINES || u64::from(first) > lines {
        return Err(CitationFault::NoLines);
    }
    let words = Words::of(file);
    let found: Vec<(u32, u32)> =
        words.text.match_indices(&quote).map(|(at, _)| words.lines(at, quote.len())).collect();
    let inside = found.iter().find(|(start, end)| *start >= first && *end <= last);
    match (inside, &found[..]) {
        (Some(place), _) => Ok(*place),
        (None, [only]) => Ok(*only),
        (None, _) => Err(CitationFault::NotThere),
    }
}

/// The words of a file with one space between them, and the line that each begins in.
struct Words {
    text: String,
    /// Byte offset and line, both growing.
    begins: Vec<(usize, u32)>,
}

impl Words {
    fn of(file: &str) -> Self {
        let (mut text, mut begins) = (String::with_capacity(file.len()), Vec::new());
        for (line, number) in file.lines().zip(1_u32..) {
            for word in line.split_whitespace() {
                if !text.is_empty() {
                    text.push(' ');
                }
                begins.push((text.len(), number));
                text.push_str(word);
            }
        }
        Self { text, begins }
    }

    fn lines(&self, at: usize, length: usize) -> (u32, u32) {
        let line_of = |offset: usize| {
            let after = self.begins.partition_point(|(begin, _)| *begin <= offset);
            after.checked_sub(1).and_then(|index| self.begins.get(index)).map_or(1, |(_, line)| *line)
        };
        (line_of(at), line_of(at + length.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str =
        "fn split(total: u64) {\n    let each = total / 3;\n\n    each\n}\nfn other() {\n    each\n}\n";

    fn found(path_exists: bool, (start, end): (u32, u32), quote: &str) -> Result<(u32, u32), CitationFault> {
        let quote = quote.to_owned();
        let citation = Citation { number: 1, path: "a".into(), start_line: start, end_line: end, quote };
        find_citation(&citation, path_exists.then_some(FILE))
    }

    #[test]
    fn a_citation_holds_where_its_words_stand() {
        assert_eq!(found(true, (2, 2), "let each = total / 3;"), Ok((2, 2)));
        assert_eq!(
            found(true, (1, 4), "let each   =\n total / 3;\neach"),
            Ok((2, 4)),
            "white space may differ"
        );
        assert_eq!(found(true, (2, 4), "total / 3"), Ok((2, 2)), "part of a line");
        assert_eq!(found(true, (4, 5), "let each = total"), Ok((2, 2)), "the only place is the right one");
        assert_eq!(found(true, (7, 8), "each }"), Ok((7, 8)), "of several places the one that was meant");
    }

    #[test]
    fn a_citation_of_what_is_not_there_is_told_from_the_others() {
        assert_eq!(found(false, (1, 1), "let each"), Err(CitationFault::NoFile));
        assert_eq!(found(true, (1, 2), "let each = total / 4;"), Err(CitationFault::NotThere));
        assert_eq!(
            found(true, (1, 2), "each }"),
            Err(CitationFault::NotThere),
            "it stands in two other places"
        );
        assert_eq!(found(true, (1, 2), "} {"), Err(CitationFault::TooShort));
        for range in [(0, 1), (3, 2), (9, 9), (1, 400)] {
            assert_eq!(found(true, range, "let each"), Err(CitationFault::NoLines), "{range:?}");
        }
    }

    #[test]
    fn a_reference_to_what_was_dropped_says_so() {
        let commit = CommitSha::parse("a".repeat(40)).expect("a sha");
        let citation =
            Citation { number: 2, path: "a".into(), start_line: 1, end_line: 1, quote: "x".into() };
        let source = Source { number: 1, path: "a".into(), start_line: 1, end_line: 1 };
        let mut answer = Answer {
            workflow: Workflow::RagQa,
            commit,
            text: "It is [1], and also [2].".into(),
            sources: vec![source],
            dropped: vec![DroppedSource { citation, fault: CitationFault::NoFile }],
            computations: vec![],
            rounds: 0,
            objections: vec![],
            verification: None,
            route: None,
            notes: vec![],
        };
        assert_eq!(answer.text_as_it_holds(), "It is [1], and also [dropped].");
        assert!(!answer.is_unsupported());
        answer.sources.clear();
        assert!(answer.is_unsupported());
        (answer.workflow, answer.dropped) = (Workflow::Reasoning, vec![]);
        assert!(!answer.is_unsupported() && answer.holds(), "thoughts need no place");
        answer.verification = Some(Verification { holds: false, why: "It does not follow.".into() });
        assert!(!answer.holds());
    }

    #[test]
    fn what_only_looks_like_a_reference_is_none() {
        let text = "So it is [1][2], see `argv[1]`, argv[1], [1](x), [x], [], [1\n\n```\na [3]\n```\n\n- é[4] [5]: [99999999999]";
        let numbers: Vec<u32> = references(text).into_iter().map(|(_, number)| number).collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(references("[7]"), [(0..3, 7)]);
    }

    proptest! {
        #[test]
        fn references_stand_where_they_are_said_to(text in "[\\[\\]`()a1-3é \n:]{0,40}") {
            for (place, number) in references(&text) {
                prop_assert_eq!(&text[place], format!("[{number}]"));
            }
        }

        #[test]
        fn whatever_is_cited_of_a_text_is_found_and_lies_in_it(
            lines in proptest::collection::vec("[a-c ]{0,6}", 1..12),
            citation in (0_u32..20, 0_u32..20, "[a-c \n]{0,9}"),
        ) {
            let file = lines.join("\n");
            let (start_line, end_line, quote) = citation;
            let citation = Citation { number: 1, path: "a".into(), start_line, end_line, quote };
            if let Ok((first, last)) = find_citation(&citation, Some(&file)) {
                prop_assert!(first >= 1 && first <= last && last as usize <= lines.len());
                let shown = lines[first as usize - 1..last as usize].join(" ");
                let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                prop_assert!(words(&shown).contains(&words(&citation.quote)));
            }
        }
    }
}

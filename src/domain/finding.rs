//! What a reviewer objects to, and what makes two findings the same one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How bad a finding is. The order is the rank: `Critical` is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Medium, Self::Low];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }
}

/// Something that a reviewer found in the change, tied to lines of the new side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The reviewer that found it (`safety`, `architecture`, `quality`, …).
    pub reviewer: String,
    /// Other reviewers that found the same, in order, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    pub severity: Severity,
    /// A path of the reviewed head.
    pub path: String,
    /// First line, counted from 1, on the new side.
    pub start_line: u32,
    /// Last line, inclusive; not before `start_line`.
    pub end_line: u32,
    /// What these lines say, by [`code_digest`]; empty where nobody looked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    pub title: String,
    /// Why it matters, in a paragraph.
    pub why: String,
    /// Text that would replace the lines `start_line..=end_line`, if the reviewer has one.
    pub suggestion: Option<String>,
}

/// How sure it is that two findings of different rounds are the same one. The greater the surer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sameness {
    /// The same lines, in other words.
    Code,
    /// The same words, on lines that were edited meanwhile.
    Words,
    Both,
}

impl Finding {
    /// A name that stays the same when lines come or go around the finding, and when they are only indented anew.
    pub fn fingerprint(&self) -> String {
        let title = words(&self.title).join(" ");
        let mut hash = Sha256::new();
        for part in [self.path.as_str(), &title, &self.code] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hex::encode(&hash.finalize()[..8])
    }

    /// Everybody who found it.
    pub fn reviewers(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.reviewer.as_str()).chain(self.also.iter().map(String::as_str))
    }

    /// Whether both say the same of the same lines of one head.
    pub(super) fn is_double_of(&self, other: &Self) -> bool {
        let overlap = self.start_line <= other.end_line && other.start_line <= self.end_line;
        let same_place = self.path == other.path && overlap;
        same_place && are_alike(&self.title, &other.title)
    }

    /// Whether a later round says again what an earlier one said.
    pub(super) fn says_again(&self, earlier: &Self) -> Option<Sameness> {
        if self.path != earlier.path {
            return None;
        }
        let same_words = words(&self.title) == words(&earlier.title);
        let same_code = !self.code.is_empty() && self.code == earlier.code;
        match (same_words, same_code) {
            (true, true) => Some(Sameness::Both),
            (true, false) if self.code.is_empty() && earlier.code.is_empty() => Some(Sameness::Both),
            (true, false) => Some(Sameness::Words),
            (false, true) if are_alike(&self.title, &earlier.title) => Some(Sameness::Code),
            (false, _) => None,
        }
    }
}

/// What lines say, whatever their indentation and the blank lines between them; empty where they say nothing.
pub fn code_digest<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let squeezed = |line: &str| line.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let lines: Vec<String> = lines.into_iter().map(squeezed).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return String::new();
    }
    hex::encode(&Sha256::digest(lines.join("\n").as_bytes())[..8])
}

/// Words that say nothing of the matter.
const EMPTY_WORDS: [&str; 21] = [
    "a", "an", "the", "is", "are", "be", "in", "on", "at", "of", "to", "for", "with", "by", "and", "or",
    "it", "its", "this", "that", "when",
];

/// The words of a title that count, in lower case and without the `s` of a plural or of a verb.
fn words(title: &str) -> Vec<String> {
    let lower = title.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let said: Vec<&str> = words.clone().filter(|word| !EMPTY_WORDS.contains(word)).collect();
    let said = if said.is_empty() { words.collect() } else { said };
    let stem = |word: &str| match word.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with('s') => stem.to_owned(),
        _ => word.to_owned(),
    };
    said.into_iter().map(stem).collect()
}

/// Whether two titles share at least half of the words of both.
fn are_alike(one: &str, other: &str) -> bool {
    let (one, other): (BTreeSet<_>, BTreeSet<_>) =
        (words(one).into_iter().collect(), words(other).into_iter().collect());
    let all = one.union(&other).count();
    all > 0 && 2 * one.intersection(&other).count() >= all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finding(title: &str, (start_line, end_line): (u32, u32), code: &str) -> Finding {
        Finding {
            reviewer: "safety".into(),
            also: vec![],
            severity: Severity::High,
            path: "src/a.rs".into(),
            start_line,
            end_line,
            code: code_digest(code.lines()),
            title: title.into(),
            why: "It wraps.".into(),
            suggestion: None,
        }
    }

    #[test]
    fn a_finding_keeps_its_name_when_lines_shift_or_are_indented() {
        let one = finding("Overflow", (3, 4), "let a = b + c;\nreturn a;");
        let shifted = finding("the overflow.", (13, 15), "    let a = b + c;\n\n    return a;\n");
        assert_eq!(one.fingerprint(), shifted.fingerprint());
        let others = [
            Finding { path: "src/b.rs".into(), ..one.clone() },
            finding("Underflow", (3, 4), "let a = b + c;\nreturn a;"),
            finding("Overflow", (3, 4), "let a = b - c;\nreturn a;"),
        ];
        for other in others {
            assert_ne!(one.fingerprint(), other.fingerprint(), "{other:?}");
        }
    }

    #[test]
    fn only_the_same_place_and_the_same_matter_make_a_double() {
        let one = finding("SQL injection in the search", (10, 14), "x");
        let double = |title: &str, lines| one.is_double_of(&finding(title, lines, "x"));
        assert!(double("The search is open to SQL injection", (14, 20)));
        assert!(!double("The search is open to SQL injection", (15, 20)), "another place");
        assert!(!double("The name says too little", (10, 14)), "another matter");
        assert!(!one.is_double_of(&Finding { path: "src/b.rs".into(), ..one.clone() }), "another file");
    }

    #[test]
    fn what_is_said_again_is_known_by_its_words_or_by_its_lines() {
        let earlier = finding("`r` may be null", (3, 3), "use(r);");
        let again = |title: &str, code: &str| finding(title, (9, 9), code).says_again(&earlier);
        assert_eq!(again("r may be null", "use(r);"), Some(Sameness::Both));
        assert_eq!(again("`r` may be null", "use(r, 1);"), Some(Sameness::Words), "the line was edited");
        assert_eq!(again("null in `r`", "use(r);"), Some(Sameness::Code), "other words");
        assert_eq!(again("Not tested", "use(r);"), None);
        assert_eq!(again("Not tested", "other();"), None);
    }

    #[test]
    fn a_finding_that_was_kept_before_there_were_digests_is_read() {
        let kept = r#"{"reviewer": "safety", "severity": "HIGH", "path": "a", "start_line": 1, "end_line": 2,
            "title": "T", "why": "W", "suggestion": null}"#;
        let finding: Finding = serde_json::from_str(kept).expect("a finding");
        assert!(finding.code.is_empty() && finding.also.is_empty());
        assert_eq!(finding.says_again(&finding), Some(Sameness::Both));
    }

    #[test]
    fn critical_is_the_greatest_severity() {
        assert_eq!(Severity::ALL.iter().max(), Some(&Severity::Critical));
    }

    fn lines() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[a-z(){}; ]{0,12}", 1..30)
    }

    proptest! {
        /// Wherever its lines are after an edit elsewhere in the file, a finding is the one that it was.
        #[test]
        fn lines_that_come_and_go_around_a_finding_leave_its_name(
            before in lines(),
            inside in lines(),
            after in lines(),
            new_before in lines(),
            new_after in lines(),
            indent in 0_usize..9,
        ) {
            let at = |above: &[String], middle: &[String], below: &[String]| {
                let file: Vec<&str> = above.iter().chain(middle).chain(below).map(String::as_str).collect();
                let (first, last) = (above.len(), above.len() + middle.len());
                let lines = (first as u32 + 1, last as u32);
                Finding { code: code_digest(file[first..last].iter().copied()), ..finding("T", lines, "") }
            };
            let moved: Vec<String> = inside.iter().map(|line| " ".repeat(indent) + line).collect();
            let (one, other) = (at(&before, &inside, &after), at(&new_before, &moved, &new_after));
            prop_assert_eq!(one.fingerprint(), other.fingerprint());
            prop_assert_eq!(other.says_again(&one), Some(Sameness::Both));
        }

        /// Being alike does not depend on who is asked first.
        #[test]
        fn doubles_are_doubles_from_both_sides(
            titles in ("[a-d ]{0,9}", "[a-d ]{0,9}"),
            starts in (1_u32..9, 1_u32..9),
            lengths in (0_u32..4, 0_u32..4),
        ) {
            let one = finding(&titles.0, (starts.0, starts.0 + lengths.0), "");
            let other = finding(&titles.1, (starts.1, starts.1 + lengths.1), "");
            prop_assert_eq!(one.is_double_of(&other), other.is_double_of(&one));
        }
    }
}

//! The review on the pull request: a comment at each finding, and in the body what has no line.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::evidence::{Evidence, finding_lines, found_by, place, reviewed};
use super::gateway::{Body, Gateway};
use super::page::{Block, Page, Room};
use super::text::{Line, code, line_of, quote, strong};
use super::verification::verification;
use crate::domain::{Finding, FindingStatus};

/// The lines of the new side that a diff shows, and so those that may carry a comment: GitHub answers
/// 422 for any other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiffLines(BTreeMap<String, Vec<RangeInclusive<u32>>>);

impl DiffLines {
    /// Adds a hunk: its first and last line on the new side, context included.
    pub fn add(&mut self, path: impl Into<String>, hunk: RangeInclusive<u32>) {
        if !hunk.is_empty() {
            self.0.entry(path.into()).or_default().push(hunk);
        }
    }

    /// The part of the lines that lies in one hunk, where there is one.
    fn shown(&self, finding: &Finding) -> Option<RangeInclusive<u32>> {
        let hunks = self.0.get(&finding.path)?;
        let parts = hunks
            .iter()
            .map(|hunk| finding.start_line.max(*hunk.start())..=finding.end_line.min(*hunk.end()));
        parts.filter(|part| !part.is_empty()).max_by_key(|part| part.end() - part.start())
    }
}

#[derive(Debug, Clone, Copy)]
pub struct ReviewView<'a> {
    /// The effect's key, for the marker.
    pub key: &'a str,
    /// Findings and who reviewed; only open findings are told.
    pub evidence: Evidence<'a>,
    pub lines: &'a DiffLines,
}

/// One review with the event `COMMENT`: an App may not approve its own pull request or ask for changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewText {
    pub body: Body,
    pub comments: Vec<InlineComment>,
}

/// A comment on the new side (`RIGHT`) of a diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineComment {
    pub path: String,
    /// The last line, counted from 1.
    pub line: u32,
    /// The first line, where there are several.
    pub start_line: Option<u32>,
    pub body: Body,
}

pub fn review(gateway: &Gateway, view: &ReviewView) -> ReviewText {
    let mut comments = Vec::new();
    let mut outside = Vec::new();
    for finding in view.evidence.open_by_severity() {
        match view.lines.shown(finding) {
            Some(lines) => comments.push(comment(gateway, finding, lines)),
            None => outside.push((finding.clone(), FindingStatus::Open)),
        }
    }
    let inline = comments.len();
    ReviewText { body: gateway.fit(view.key, |room| body(view, inline, &outside, room)), comments }
}

fn body(view: &ReviewView, inline: usize, outside: &[(Finding, FindingStatus)], room: Room) -> Page {
    let mut page = Page::default();
    page.paragraph(reviewed(&view.evidence));
    if inline > 0 {
        page.paragraph(line_of![
            "Each open finding is a comment at its lines. ",
            code("/orchestrate fix <text>"),
            " works on what you name.",
        ]);
    }
    if !outside.is_empty() {
        page.paragraph(line_of![strong("On lines that the diff does not show:")]);
        page.bullets(finding_lines(&Evidence { findings: outside, ..view.evidence }, room));
    }
    page.append(verification(&view.evidence, room));
    page
}

fn comment(gateway: &Gateway, finding: &Finding, lines: RangeInclusive<u32>) -> InlineComment {
    let (start, end) = (*lines.start(), *lines.end());
    let whole = start == finding.start_line && end == finding.end_line;
    let shown = if whole { Shown::Whole } else { Shown::Part };
    InlineComment {
        path: finding.path.clone(),
        line: end,
        start_line: (start < end).then_some(start),
        body: gateway.body(|room| comment_page(finding, shown, room)),
    }
}

/// How much of a finding's lines the diff shows. A suggestion replaces the commented lines, so it
/// applies only where they are all there.
#[derive(Debug, Clone, Copy)]
enum Shown {
    Whole,
    Part,
}

fn comment_page(finding: &Finding, shown: Shown, room: Room) -> Page {
    let mut page = Page::default();
    let mut title: Line = line_of![strong(finding.severity.as_str()), " ", quote(&finding.title)];
    title.push(" (");
    title.extend(found_by(finding));
    title.push(")");
    page.paragraph(title);
    page.push(Block::Prose(finding.why.clone(), room.text));
    match (&finding.suggestion, shown) {
        (Some(text), Shown::Whole) => page.push(Block::Suggestion(text.clone())),
        (Some(text), Shown::Part) => {
            page.paragraph(line_of!["A replacement for ", place(finding), ", to apply by hand:"]);
            page.push(Block::Exact(text.clone(), room.log.max(200)));
        }
        (None, _) => {}
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Severity;
    use crate::speech::tests::rules;
    use crate::speech::tests::samples::{self, gateway};

    fn lines() -> DiffLines {
        let mut lines = DiffLines::default();
        lines.add("src/round.rs", 1..=20);
        lines.add("src/round.rs", 40..=44);
        lines
    }

    fn finding(start_line: u32, end_line: u32, suggestion: Option<&str>) -> Finding {
        Finding {
            reviewer: "quality".into(),
            also: vec![],
            severity: Severity::Low,
            path: "src/round.rs".into(),
            start_line,
            end_line,
            code: String::new(),
            title: "The name says too little".into(),
            why: "`r` is the ratio here.\n\nA reader has to look it up.".into(),
            suggestion: suggestion.map(str::to_owned),
        }
    }

    fn review_of(findings: Vec<Finding>) -> ReviewText {
        let findings: Vec<_> = findings.into_iter().map(|finding| (finding, FindingStatus::Open)).collect();
        let reviewers = ["safety", "quality"].map(str::to_owned);
        let evidence = Evidence { findings: &findings, reviewers: &reviewers, ..Evidence::default() };
        review(&gateway(), &ReviewView { key: "key", evidence, lines: &lines() })
    }

    fn whole(text: &ReviewText) -> String {
        let mut out = text.body.as_str().to_owned();
        for comment in &text.comments {
            let start = comment.start_line.map(|line| format!("{line}-")).unwrap_or_default();
            out.push_str(&format!(
                "\n=== {}:{start}{}\n{}",
                comment.path,
                comment.line,
                comment.body.as_str()
            ));
        }
        out
    }

    #[test]
    fn a_review_with_comments_suggestions_and_a_finding_outside_of_the_diff() {
        let elsewhere = Finding { path: "src/other.rs".into(), ..finding(3, 3, None) };
        let mut critical = finding(12, 12, None);
        critical.severity = Severity::Critical;
        let text = review_of(vec![
            finding(3, 4, Some("    let ratio = 1;\n    ratio\n")),
            critical,
            finding(19, 25, Some("cut")),
            finding(30, 31, None),
            elsewhere,
        ]);
        insta::assert_snapshot!(whole(&text));
    }

    #[test]
    fn a_review_without_findings() {
        insta::assert_snapshot!(whole(&review_of(vec![])));
    }

    #[test]
    fn a_comment_covers_only_lines_of_one_hunk() {
        let cases = [
            ((3, 4), Some((Some(3), 4))),
            ((7, 7), Some((None, 7))),
            ((19, 25), Some((Some(19), 20))),
            ((20, 42), Some((Some(40), 42))),
            ((21, 39), None),
            ((500, 501), None),
        ];
        for ((start, end), expected) in cases {
            let text = review_of(vec![finding(start, end, None)]);
            let found = text.comments.first().map(|comment| (comment.start_line, comment.line));
            assert_eq!(found, expected, "{start}-{end}");
        }
    }

    #[test]
    fn a_suggestion_is_exactly_the_text_or_none() {
        let body = |suggestion: &str| {
            let text = review_of(vec![finding(3, 3, Some(suggestion))]);
            text.comments[0].body.as_str().to_owned()
        };
        for (suggestion, fenced) in [
            ("let a = 1;", "```suggestion\nlet a = 1;\n```"),
            ("let a = 1;\n", "```suggestion\nlet a = 1;\n```"),
            ("", "```suggestion\n```"),
            ("/// ```\n/// x\n/// ```", "````suggestion\n/// ```\n/// x\n/// ```\n````"),
            ("`````\n", "``````suggestion\n`````\n``````"),
        ] {
            assert!(body(suggestion).contains(fenced), "{suggestion:?}: {}", body(suggestion));
        }
        for suggestion in
            ["a\u{202e}b", "/lgtm", "x\n/orchestrate approve", "ghp_SECRET", "<!-- orchestrator:x -->"]
        {
            let body = body(suggestion);
            assert!(!body.contains("```suggestion"), "{suggestion:?}: {body}");
            assert!(body.contains("to apply by hand"));
            assert!(body.lines().all(|line| !line.starts_with('/')), "{body}");
        }
    }

    #[test]
    fn a_hostile_review_acts_nowhere() {
        let hostile = samples::hostile_findings();
        let text = review_of(hostile.into_iter().map(|(finding, _)| finding).collect());
        rules::assert_harmless(text.body.as_str());
        for comment in &text.comments {
            rules::assert_harmless(comment.body.as_str());
        }
        insta::assert_snapshot!(whole(&text));
    }
}

//! One reviewer with one concern; several at the same time.

use futures::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use super::AgentContext;
use super::change::Change;
use super::error::AgentError;
use super::sections;
use super::structured;
use crate::domain::{Finding, Severity, TaskSpecification, code_digest};
use crate::llm::Role;
use crate::llm::boundary::{PromptText, Written};

const CHANGE_MAX_CHARS: usize = 80_000;
const FILES_MAX_CHARS: usize = 120_000;
const NAMES_MAX_CHARS: usize = 20_000;
const MAX_FINDINGS: usize = 20;
const TITLE_MAX_CHARS: usize = 200;
const TEXT_MAX_CHARS: usize = 2_000;
/// Longest description of a reviewer that a repository may give, in characters.
pub const WORDS_MAX_CHARS: usize = 8_000;

/// Who reviews, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewer {
    pub name: String,
    pub looks_for: LooksFor,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LooksFor {
    /// What the prompt `review_<name>` says.
    Prompt,
    /// What a repository's maintainers say, in their words.
    Words(String),
}

impl Reviewer {
    /// A reviewer of the deployment.
    pub fn of_prompt(name: impl Into<String>) -> Self {
        Self { name: name.into(), looks_for: LooksFor::Prompt }
    }
}

/// What a reviewer reads.
#[derive(Debug, Clone, Copy)]
pub struct ReviewInput<'a> {
    pub specification: &'a TaskSpecification,
    pub change: &'a Change,
    /// Unchanged places that may use what the change touches; fenced by [`crate::context::snippets_text`].
    pub places: &'a PromptText,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    pub reviewer: String,
    pub summary: String,
    pub findings: Vec<Finding>,
}

/// A reviewer that gave no review.
#[derive(Debug)]
pub struct FailedReview {
    pub reviewer: String,
    pub error: AgentError,
}

/// What several reviewers said, in the order in which they were named.
#[derive(Debug)]
pub struct ReviewAnswers {
    pub reviews: Vec<Review>,
    pub failed: Vec<FailedReview>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReview {
    summary: String,
    findings: Vec<RawFinding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFinding {
    severity: Severity,
    path: String,
    start_line: u32,
    end_line: u32,
    title: String,
    why: String,
    #[serde(default)]
    suggestion: Option<String>,
}

/// All reviewers at the same time. One that fails does not take the others with it.
pub async fn review_all(
    context: &AgentContext,
    reviewers: &[Reviewer],
    input: ReviewInput<'_>,
) -> ReviewAnswers {
    let outcomes = join_all(reviewers.iter().map(|reviewer| review(context, reviewer, input))).await;
    let mut round = ReviewAnswers { reviews: Vec::new(), failed: Vec::new() };
    for (reviewer, outcome) in reviewers.iter().zip(outcomes) {
        match outcome {
            Ok(review) => round.reviews.push(review),
            Err(error) => round.failed.push(FailedReview { reviewer: reviewer.name.clone(), error }),
        }
    }
    round
}

/// One review.
pub async fn review(
    context: &AgentContext,
    reviewer: &Reviewer,
    input: ReviewInput<'_>,
) -> Result<Review, AgentError> {
    let name = reviewer.name.as_str();
    let shown = |name, text: String, max| PromptText::data(name, &text, Written::AsCode, max);
    // What cannot be shown is named behind the rest, so there is some room for that.
    let (change_max, files_max) = (CHANGE_MAX_CHARS + NAMES_MAX_CHARS, FILES_MAX_CHARS + NAMES_MAX_CHARS);
    let specification = sections::specification(input.specification);
    let change = shown("change", input.change.text(CHANGE_MAX_CHARS), change_max);
    let files = shown("files", input.change.files_text(FILES_MAX_CHARS), files_max);
    let places = input.places.or("(none)");
    let mut values =
        vec![("specification", &specification), ("change", &change), ("files", &files), ("places", &places)];
    let prompt = match &reviewer.looks_for {
        LooksFor::Prompt => context.prompts.render(&format!("review_{name}"), &values)?,
        LooksFor::Words(words) => {
            let words = PromptText::data(name, words, Written::ForPeople, WORDS_MAX_CHARS);
            values.push(("looks_for", &words));
            context.prompts.render("reviewer", &values)?
        }
    };
    let call = context.call(Role::Reviewer, format!("review: {name}"), &prompt);
    structured::ask(context, &call, prompt, schema(), |object| check(name, input.change, object)).await
}

fn check(reviewer: &str, change: &Change, object: Value) -> Result<Review, Vec<String>> {
    let raw: RawReview = serde_json::from_value(object).map_err(|error| vec![error.to_string()])?;
    let mut faults = Vec::new();
    if raw.summary.trim().is_empty() || raw.summary.chars().count() > TEXT_MAX_CHARS {
        faults.push(format!("`summary` has to have 1 to {TEXT_MAX_CHARS} characters"));
    }
    if raw.findings.len() > MAX_FINDINGS {
        faults.push(format!("more than {MAX_FINDINGS} findings: keep the gravest"));
    }
    for (index, finding) in raw.findings.iter().enumerate() {
        faults.extend(
            finding_faults(change, finding).into_iter().map(|fault| format!("findings[{index}]: {fault}")),
        );
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let findings = raw.findings.into_iter().map(|finding| finding.by(reviewer, change)).collect();
    Ok(Review { reviewer: reviewer.to_owned(), summary: raw.summary.trim().to_owned(), findings })
}

fn finding_faults(change: &Change, finding: &RawFinding) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, text, max) in
        [("title", &finding.title, TITLE_MAX_CHARS), ("why", &finding.why, TEXT_MAX_CHARS)]
    {
        if text.trim().is_empty() || text.chars().count() > max {
            faults.push(format!("`{name}` has to have 1 to {max} characters"));
        }
    }
    if finding.title.trim().contains('\n') {
        faults.push("`title` has to be one line".to_owned());
    }
    let Some(file) = change.file(&finding.path) else {
        let paths: Vec<_> = change.files.iter().map(|file| file.path.as_str()).collect();
        faults.push(format!("the change has no file {:?}; it has {}", finding.path, paths.join(", ")));
        return faults;
    };
    let Some(text) = &file.new_text else {
        faults.push(format!("{} has no new side: no line of it can be named", finding.path));
        return faults;
    };
    let (start, end, lines) = (finding.start_line, finding.end_line, file.new_lines());
    if start == 0 || start > end || end > lines {
        faults
            .push(format!("the lines {start} to {end} are no range of {}, which has {lines}", finding.path));
        return faults;
    }
    if let Some(suggestion) = &finding.suggestion {
        faults.extend(suggestion_fault(suggestion, &range_of(text, start, end)));
    }
    faults
}

fn range_of(text: &str, start: u32, end: u32) -> Vec<&str> {
    text.lines()
        .skip(start.saturating_sub(1) as usize)
        .take((end + 1).saturating_sub(start) as usize)
        .collect()
}

/// A suggestion stands in place of the lines: it must change them, and must not carry their numbers.
fn suggestion_fault(suggestion: &str, range: &[&str]) -> Option<String> {
    let lines: Vec<&str> = suggestion.lines().collect();
    if lines == range {
        return Some("`suggestion` is what stands there already".to_owned());
    }
    let is_numbered = |line: &&str| {
        line.trim_start().split_once('\t').is_some_and(|(number, _)| number.parse::<u32>().is_ok())
    };
    if !lines.is_empty() && lines.iter().all(is_numbered) {
        return Some("`suggestion` carries line numbers: give only the text".to_owned());
    }
    None
}

impl RawFinding {
    fn by(self, reviewer: &str, change: &Change) -> Finding {
        let text = change.file(&self.path).and_then(|file| file.new_text.as_deref()).unwrap_or_default();
        Finding {
            reviewer: reviewer.to_owned(),
            also: Vec::new(),
            code: code_digest(range_of(text, self.start_line, self.end_line)),
            severity: self.severity,
            path: self.path,
            start_line: self.start_line,
            end_line: self.end_line,
            title: self.title.trim().to_owned(),
            why: self.why.trim().to_owned(),
            suggestion: self.suggestion,
        }
    }
}

fn schema() -> Value {
    let severities: Vec<_> = Severity::ALL.iter().map(|severity| severity.as_str()).collect();
    json!({
        "type": "object",
        "properties": {
            "summary": {"type": "string"},
            "findings": {"type": "array", "items": {
                "type": "object",
                "properties": {
                    "severity": {"type": "string", "enum": severities},
                    "path": {"type": "string"},
                    "start_line": {"type": "integer"},
                    "end_line": {"type": "integer"},
                    "title": {"type": "string"},
                    "why": {"type": "string"},
                    "suggestion": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                },
                "required": ["severity", "path", "start_line", "end_line", "title", "why", "suggestion"],
                "additionalProperties": false,
            }},
        },
        "required": ["summary", "findings"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::change::ChangedFile;
    use super::*;

    fn change() -> Change {
        let file = |path: &str, text: Option<&str>| ChangedFile {
            path: path.into(),
            old_path: None,
            new_text: text.map(str::to_owned),
            hunks: vec![],
        };
        Change { files: vec![file("a.rs", Some("one\ntwo\nthree\n")), file("gone.rs", None)] }
    }

    fn finding(changes: Value) -> Value {
        let mut finding = json!({
            "severity": "HIGH", "path": "a.rs", "start_line": 2, "end_line": 3, "title": "T", "why": "W",
            "suggestion": "zwei\ndrei",
        });
        for (key, value) in changes.as_object().expect("object") {
            finding[key] = value.clone();
        }
        json!({"summary": "s", "findings": [finding]})
    }

    #[test]
    fn a_whole_finding_is_taken() {
        let review = check("safety", &change(), finding(json!({}))).expect("taken");
        assert_eq!(review.findings[0].reviewer, "safety");
        assert_eq!(review.findings[0].severity, Severity::High);
        assert_eq!(review.findings[0].code, code_digest(["two", "three"]));
    }

    #[test]
    fn a_finding_that_points_nowhere_is_told_back() {
        let cases = [
            (json!({"path": "b.rs"}), "no file \"b.rs\""),
            (json!({"path": "gone.rs"}), "no new side"),
            (json!({"end_line": 4}), "no range of a.rs, which has 3"),
            (json!({"start_line": 0}), "no range"),
            (json!({"start_line": 3, "end_line": 2}), "no range"),
            (json!({"severity": "BAD"}), "unknown variant `BAD`"),
            (json!({"title": " "}), "`title` has to have"),
            (json!({"why": ""}), "`why` has to have"),
            (json!({"suggestion": "two\nthree"}), "stands there already"),
            (json!({"suggestion": "    2\tzwei\n    3\tdrei"}), "line numbers"),
            (json!({"confidence": 1}), "unknown field `confidence`"),
        ];
        for (changes, part) in cases {
            let faults = check("safety", &change(), finding(changes.clone())).expect_err("faulty").join("; ");
            assert!(faults.contains(part), "{changes}: {faults}");
        }
    }
}

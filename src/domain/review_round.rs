//! A round of reviews: what was found, by whom, and what became of what earlier rounds had found.

use serde::{Deserialize, Serialize};

use super::finding::{Finding, Sameness, Severity};
use super::optional_stage::{OptionalStage, SwitchedBy, SwitchedOff};

/// Whether a finding was still there when its last review looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingStatus {
    Open,
    Fixed,
}

/// A finding and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedFinding {
    /// The fingerprint that it had in the round that made it first; later rounds keep it, whatever becomes of its
    /// lines and its words. Empty in rounds that were kept before there was one.
    #[serde(default)]
    pub id: String,
    pub finding: Finding,
    pub status: FindingStatus,
}

/// A finding that does not hold, as the verifier showed by the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedFinding {
    pub finding: Finding,
    pub why: String,
    /// Lines of the reviewed code that show it.
    pub proof: String,
}

/// What one reviewer said of the change as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewerSummary {
    pub reviewer: String,
    pub summary: String,
}

/// A reviewer that gave no review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedReviewer {
    pub reviewer: String,
    pub why: String,
}

/// A round of all reviewers over a head, with what earlier rounds had found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReviewRound {
    pub summaries: Vec<ReviewerSummary>,
    pub failed: Vec<FailedReviewer>,
    pub findings: Vec<TrackedFinding>,
    #[serde(default)]
    pub dropped: Vec<DroppedFinding>,
    /// Why the verifier said nothing of some findings. They stand as the reviewers made them.
    #[serde(default)]
    pub unverified: Option<String>,
    /// Severities that hold the change up.
    #[serde(default = "critical")]
    pub blocking: Vec<Severity>,
    /// What did not take place because it is switched off.
    #[serde(default)]
    pub switched_off: Vec<SwitchedOff>,
}

fn critical() -> Vec<Severity> {
    vec![Severity::Critical]
}

impl ReviewRound {
    pub fn open(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|t| t.status == FindingStatus::Open).map(|t| &t.finding)
    }

    pub fn fixed(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|t| t.status == FindingStatus::Fixed).map(|t| &t.finding)
    }

    /// Who switched a stage of the round off, if anybody did.
    pub fn off(&self, stage: OptionalStage) -> Option<SwitchedBy> {
        SwitchedOff::of(&self.switched_off, stage)
    }

    /// Adds open findings, each with an id of its own.
    pub fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            let id = free_id(self.findings.iter(), finding.fingerprint());
            self.findings.push(TrackedFinding { id, finding, status: FindingStatus::Open });
        }
    }

    /// Puts a new round after an earlier one: what is found again keeps its id, and what the reviewers no longer
    /// find was fixed. But what somebody found who failed this time is not known to be, and stays open; and what
    /// the verifier dropped was never there.
    #[must_use]
    pub fn after(self, earlier: &Self) -> Self {
        let failed: Vec<String> = self.failed.iter().map(|failed| failed.reviewer.clone()).collect();
        self.after_unheard(earlier, |reviewer| failed.iter().any(|failed| failed == reviewer))
    }

    /// The same where it is said who was not heard this time.
    #[must_use]
    pub fn after_unheard(mut self, earlier: &Self, unheard: impl Fn(&str) -> bool) -> Self {
        let found: Vec<&Finding> = self.findings.iter().map(|t| &t.finding).collect();
        let again = said_again(&found, &earlier.findings);
        let mut gone = Vec::new();
        let mut first_now = vec![true; self.findings.len()];
        for (tracked, now) in earlier.findings.iter().zip(again) {
            let known =
                if tracked.id.is_empty() { tracked.finding.fingerprint() } else { tracked.id.clone() };
            let is_dropped =
                |dropped: &DroppedFinding| dropped.finding.says_again(&tracked.finding).is_some();
            match now {
                Some(now) => {
                    self.findings[now].id = known;
                    first_now[now] = false;
                }
                None if self.dropped.iter().any(is_dropped) => {}
                None => {
                    let status = match tracked.finding.reviewers().any(&unheard) {
                        true => tracked.status,
                        false => FindingStatus::Fixed,
                    };
                    gone.push(TrackedFinding { id: known, finding: tracked.finding.clone(), status });
                }
            }
        }
        for at in (0..first_now.len()).filter(|at| first_now[*at]) {
            let id = std::mem::take(&mut self.findings[at].id);
            self.findings[at].id = free_id(self.findings.iter().chain(&gone), id);
        }
        self.findings.extend(gone);
        let told = |dropped: &&DroppedFinding| {
            let again = |finding: &Finding| finding.says_again(&dropped.finding).is_some();
            !self.findings.iter().any(|t| again(&t.finding))
                && !self.dropped.iter().any(|d| again(&d.finding))
        };
        let dropped: Vec<DroppedFinding> = earlier.dropped.iter().filter(told).cloned().collect();
        self.dropped.extend(dropped);
        self
    }
}

/// For each finding of an earlier round the one of now that says it again, each taken once; the surest pairs
/// first.
fn said_again(now: &[&Finding], earlier: &[TrackedFinding]) -> Vec<Option<usize>> {
    let mut taken = vec![false; now.len()];
    let mut again = vec![None; earlier.len()];
    for wanted in [Sameness::Both, Sameness::Words, Sameness::Code] {
        for (tracked, again) in earlier.iter().zip(&mut again).filter(|(_, again)| again.is_none()) {
            let is_it = |at: &usize| !taken[*at] && now[*at].says_again(&tracked.finding) == Some(wanted);
            *again = (0..now.len()).find(is_it);
            if let Some(at) = *again {
                taken[at] = true;
            }
        }
    }
    again
}

/// The same lines may stand in a file twice, with the same fault.
fn free_id<'a>(taken: impl Iterator<Item = &'a TrackedFinding> + Clone, id: String) -> String {
    let is_free = |id: &String| taken.clone().all(|tracked| tracked.id != *id);
    let numbered = (2..).map(|number: usize| format!("{id}-{number}"));
    std::iter::once(id.clone()).chain(numbered).find(is_free).unwrap_or(id)
}

/// The findings without doubles: what several reviewers say of the same lines is one finding, at the greatest
/// severity and in the words that go with it, by all of them.
pub fn merged(findings: impl IntoIterator<Item = Finding>) -> Vec<Finding> {
    let mut merged: Vec<Finding> = Vec::new();
    for finding in findings {
        match merged.iter_mut().find(|known| known.is_double_of(&finding)) {
            Some(known) => absorb(known, finding),
            None => merged.push(finding),
        }
    }
    merged
}

fn absorb(known: &mut Finding, mut other: Finding) {
    if other.severity > known.severity {
        std::mem::swap(known, &mut other);
    }
    let more: Vec<String> =
        other.reviewers().filter(|name| known.reviewer != *name).map(str::to_owned).collect();
    known.also.extend(more);
    known.also.sort();
    known.also.dedup();
    let same_lines = (known.start_line, known.end_line) == (other.start_line, other.end_line);
    if known.suggestion.is_none() && same_lines {
        known.suggestion = other.suggestion;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::finding::code_digest;
    use super::*;

    fn finding(reviewer: &str, title: &str) -> Finding {
        Finding {
            reviewer: reviewer.into(),
            also: vec![],
            severity: Severity::Critical,
            path: "a.rs".into(),
            start_line: 1,
            end_line: 1,
            code: String::new(),
            title: title.into(),
            why: String::new(),
            suggestion: None,
        }
    }

    fn round(findings: &[Finding], failed: &[&str]) -> ReviewRound {
        let failed = failed.iter().map(|r| FailedReviewer { reviewer: (*r).into(), why: "x".into() });
        let mut round = ReviewRound { failed: failed.collect(), ..ReviewRound::default() };
        round.add(findings.iter().cloned());
        round
    }

    fn dropped(finding: Finding) -> DroppedFinding {
        DroppedFinding { finding, why: "It is checked above.".into(), proof: "check(a);".into() }
    }

    fn titles<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<&'a str> {
        findings.map(|finding| finding.title.as_str()).collect()
    }

    #[test]
    fn a_finding_that_its_reviewer_no_longer_makes_was_fixed() {
        let first =
            round(&[finding("safety", "A b"), finding("safety", "B c"), finding("quality", "C d")], &[]);
        let second = round(&[finding("safety", "B c")], &["quality"]).after(&first);
        assert_eq!(titles(second.open()), ["B c", "C d"]);
        assert_eq!(titles(second.fixed()), ["A b"]);
    }

    #[test]
    fn what_several_found_is_not_known_to_be_fixed_while_one_of_them_is_silent() {
        let both = Finding { also: vec!["quality".into()], ..finding("safety", "A") };
        let second = round(&[], &["quality"]).after(&round(&[both], &[]));
        assert_eq!(titles(second.open()), ["A"]);
    }

    #[test]
    fn what_nobody_looked_at_again_is_not_taken_for_mended() {
        let first = round(&[finding("safety", "A b"), finding("comparison", "B c")], &[]);
        let second = round(&[], &[]).after_unheard(&first, |reviewer| reviewer != "comparison");
        assert_eq!((titles(second.open()), titles(second.fixed())), (vec!["A b"], vec!["B c"]));
    }

    #[test]
    fn what_was_dropped_later_is_neither_open_nor_fixed_and_is_told_until_it_is_found_again() {
        let first = round(&[finding("safety", "A")], &[]);
        let second = ReviewRound { dropped: vec![dropped(finding("safety", "A"))], ..round(&[], &[]) };
        let second = second.after(&first);
        assert_eq!((second.findings.len(), second.dropped.len()), (0, 1));
        let third = round(&[], &[]).after(&second);
        assert_eq!(third.dropped.len(), 1, "what was dropped stays known");
        let fourth = round(&[finding("safety", "A")], &[]).after(&third);
        assert_eq!((titles(fourth.open()), fourth.dropped.len()), (vec!["A"], 0));
    }

    #[test]
    fn a_finding_keeps_its_id_through_rounds_in_which_its_lines_and_its_words_change() {
        let at = |title: &str, line: u32, code: &str| Finding {
            start_line: line,
            end_line: line,
            code: code_digest([code]),
            ..finding("safety", title)
        };
        let first = round(&[at("`r` may be null", 3, "use(r);")], &[]);
        let id = first.findings[0].id.clone();
        let moved = round(&[at("`r` may be null", 30, "  use(r);")], &[]).after(&first);
        let edited = round(&[at("`r` may be null", 31, "use(r, 1);")], &[]).after(&moved);
        let other_words = round(&[at("null in `r`", 31, "use(r, 1);")], &[]).after(&edited);
        for round in [&moved, &edited, &other_words] {
            assert_eq!((round.findings.len(), &round.findings[0].id), (1, &id));
        }
    }

    #[test]
    fn the_same_fault_on_the_same_words_twice_in_a_file_is_two_findings() {
        let at = |line| Finding { start_line: line, end_line: line, ..finding("safety", "Unwrap may panic") };
        let first = round(&[at(3), at(90)], &[]);
        assert_eq!(first.open().count(), 2);
        assert_ne!(first.findings[0].id, first.findings[1].id);
        let second = round(&[at(91)], &[]).after(&first);
        assert_eq!((second.open().count(), second.fixed().count()), (1, 1));
    }

    #[test]
    fn doubles_become_one_finding_by_all_at_the_greatest_severity() {
        let low = Finding { severity: Severity::Low, ..finding("quality", "Panics for nobody") };
        let high = Finding {
            severity: Severity::High,
            why: "It divides by zero.".into(),
            ..finding("safety", "A panic for nobody")
        };
        let third = Finding { severity: Severity::Medium, ..finding("architecture", "Panic for nobody") };
        let merged = merged([low, high, third, finding("quality", "Another matter")]);
        assert_eq!(titles(merged.iter()), ["A panic for nobody", "Another matter"]);
        assert_eq!((merged[0].severity, merged[0].why.as_str()), (Severity::High, "It divides by zero."));
        assert_eq!(merged[0].reviewers().collect::<Vec<_>>(), ["safety", "architecture", "quality"]);
    }

    #[test]
    fn a_round_that_was_kept_before_there_was_a_verifier_is_read() {
        let kept = r#"{"summaries": [], "failed": [], "findings": [{"status": "open", "finding":
            {"reviewer": "safety", "severity": "HIGH", "path": "a", "start_line": 1, "end_line": 2,
             "title": "T", "why": "W", "suggestion": null}}]}"#;
        let kept: ReviewRound = serde_json::from_str(kept).expect("a round");
        assert_eq!(kept.blocking, [Severity::Critical]);
        let next = round(&[kept.findings[0].finding.clone()], &[]).after(&kept);
        assert_eq!((next.open().count(), next.fixed().count()), (1, 0));
    }

    fn any_finding() -> impl Strategy<Value = Finding> {
        let reviewer = proptest::sample::select(vec!["a", "b", "c"]);
        let severity = proptest::sample::select(Severity::ALL.to_vec());
        let title =
            proptest::sample::select(vec!["null pointer", "pointer null", "race", "no test for race", ""]);
        let path = proptest::sample::select(vec!["x", "y"]);
        let found = (reviewer, severity, title, path, 1_u32..6, 0_u32..3);
        found.prop_map(|(reviewer, severity, title, path, start_line, more)| Finding {
            severity,
            path: path.into(),
            start_line,
            end_line: start_line + more,
            code: code_digest([title]),
            ..finding(reviewer, title)
        })
    }

    proptest! {
        /// Nobody's word is lost: each finding is in one of the merged ones, which is at least as grave, at the
        /// same file, and names its reviewer; and merging once more changes nothing.
        #[test]
        fn merging_loses_nobody_and_softens_nothing(findings in proptest::collection::vec(any_finding(), 0..12)) {
            let once = merged(findings.clone());
            for finding in &findings {
                let covers = |kept: &Finding| {
                    kept.path == finding.path
                        && kept.severity >= finding.severity
                        && kept.reviewers().any(|name| name == finding.reviewer)
                };
                prop_assert!(once.iter().any(covers), "{:?}", finding);
            }
            for kept in &once {
                let mut names: Vec<&str> = kept.reviewers().collect();
                let count = names.len();
                names.sort_unstable();
                names.dedup();
                prop_assert_eq!(names.len(), count, "each is named once");
            }
        }

        /// The same findings at other lines are the same findings; and no two share an id.
        #[test]
        fn a_round_after_itself_opens_and_fixes_nothing(
            findings in proptest::collection::vec(any_finding(), 0..8),
            shift in 0_u32..100,
        ) {
            let first = round(&findings, &[]);
            let moved: Vec<Finding> = findings
                .iter()
                .map(|f| Finding { start_line: f.start_line + shift, end_line: f.end_line + shift, ..f.clone() })
                .collect();
            let second = round(&moved, &[]).after(&first);
            prop_assert_eq!(second.fixed().count(), 0);
            let ids = |round: &ReviewRound| round.findings.iter().map(|t| t.id.clone()).collect::<Vec<_>>();
            prop_assert_eq!(ids(&second), ids(&first));
            let mut distinct = ids(&first);
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), findings.len());
        }
    }
}

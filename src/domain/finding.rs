//! What a reviewer objects to.

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
    pub severity: Severity,
    /// A path of the reviewed head.
    pub path: String,
    /// First line, counted from 1, on the new side.
    pub start_line: u32,
    /// Last line, inclusive; not before `start_line`.
    pub end_line: u32,
    pub title: String,
    /// Why it matters, in a paragraph.
    pub why: String,
    /// Text that would replace the lines `start_line..=end_line`, if the reviewer has one.
    pub suggestion: Option<String>,
}

impl Finding {
    /// A name that stays the same when lines above the finding come or go.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for part in [self.path.as_str(), self.title.trim()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.to_lowercase().as_bytes());
        }
        hex::encode(&hash.finalize()[..8])
    }
}

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
    pub finding: Finding,
    pub status: FindingStatus,
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
}

impl ReviewRound {
    pub fn open(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|t| t.status == FindingStatus::Open).map(|t| &t.finding)
    }

    pub fn fixed(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|t| t.status == FindingStatus::Fixed).map(|t| &t.finding)
    }

    /// Puts a new round after an earlier one: what the reviewers no longer find was fixed, but what a
    /// reviewer found that failed this time is not known to be, and stays open.
    #[must_use]
    pub fn after(mut self, earlier: &Self) -> Self {
        let present: Vec<String> = self.findings.iter().map(|t| t.finding.fingerprint()).collect();
        let mut gone = Vec::new();
        for tracked in &earlier.findings {
            if present.contains(&tracked.finding.fingerprint()) {
                continue;
            }
            let silent = self.failed.iter().any(|failed| failed.reviewer == tracked.finding.reviewer);
            let status = if silent { tracked.status } else { FindingStatus::Fixed };
            gone.push(TrackedFinding { finding: tracked.finding.clone(), status });
        }
        self.findings.extend(gone);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_keeps_its_name_when_lines_shift() {
        let finding = Finding {
            reviewer: "safety".into(),
            severity: Severity::High,
            path: "src/a.rs".into(),
            start_line: 3,
            end_line: 4,
            title: "Overflow".into(),
            why: "It wraps.".into(),
            suggestion: None,
        };
        let shifted =
            Finding { start_line: 13, end_line: 14, why: "It wraps around.".into(), ..finding.clone() };
        assert_eq!(finding.fingerprint(), shifted.fingerprint());
        let other = Finding { path: "src/b.rs".into(), ..finding.clone() };
        assert_ne!(finding.fingerprint(), other.fingerprint());
    }

    fn finding(reviewer: &str, title: &str) -> Finding {
        Finding {
            reviewer: reviewer.into(),
            severity: Severity::Critical,
            path: "a.rs".into(),
            start_line: 1,
            end_line: 1,
            title: title.into(),
            why: String::new(),
            suggestion: None,
        }
    }

    #[test]
    fn a_finding_that_its_reviewer_no_longer_makes_was_fixed() {
        let round = |findings: &[Finding], failed: &[&str]| ReviewRound {
            summaries: Vec::new(),
            failed: failed
                .iter()
                .map(|r| FailedReviewer { reviewer: (*r).into(), why: "x".into() })
                .collect(),
            findings: findings
                .iter()
                .map(|finding| TrackedFinding { finding: finding.clone(), status: FindingStatus::Open })
                .collect(),
        };
        let first = round(&[finding("safety", "A"), finding("safety", "B"), finding("quality", "C")], &[]);
        let second = round(&[finding("safety", "B")], &["quality"]).after(&first);
        let open: Vec<_> = second.open().map(|f| f.title.as_str()).collect();
        let fixed: Vec<_> = second.fixed().map(|f| f.title.as_str()).collect();
        assert_eq!((open, fixed), (vec!["B", "C"], vec!["A"]));
    }

    #[test]
    fn critical_is_the_greatest_severity() {
        assert_eq!(Severity::ALL.iter().max(), Some(&Severity::Critical));
    }
}

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

    #[test]
    fn critical_is_the_greatest_severity() {
        assert_eq!(Severity::ALL.iter().max(), Some(&Severity::Critical));
    }
}

//! Stages that work can do without, and who switched one off.

use serde::{Deserialize, Serialize};

/// A stage that can be switched off. What runs in a sandbox and what compares both sides of a change cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionalStage {
    /// The short design of a large task.
    Design,
    /// The reviewers, all of them.
    Review,
    /// Holding what reviewers found against the code.
    Verify,
}

impl OptionalStage {
    pub const ALL: [Self; 3] = [Self::Design, Self::Review, Self::Verify];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Design => "design",
            Self::Review => "review",
            Self::Verify => "verify",
        }
    }
}

/// Whose word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchedBy {
    Deployment,
    Repository,
}

/// A stage that does not take place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchedOff {
    pub stage: OptionalStage,
    pub by: SwitchedBy,
}

impl SwitchedOff {
    /// Who switched the stage off, if anybody did.
    pub fn of(all: &[Self], stage: OptionalStage) -> Option<SwitchedBy> {
        all.iter().find(|off| off.stage == stage).map(|off| off.by)
    }
}

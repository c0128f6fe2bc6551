//! What a model is asked to be.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A part that a model plays; each has its own list of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Understands an issue: tasks or questions.
    Discussion,
    /// Chooses the workflow of a task.
    Router,
    /// Looks for what a question or a task is about.
    Retriever,
    /// Writes the change.
    Implementer,
    /// Looks for what is wrong with it.
    Reviewer,
    /// Mends what gates and reviewers found.
    Fixer,
    /// Holds findings and answers against the code.
    Verifier,
    /// Compares candidates.
    Judge,
}

impl Role {
    pub const ALL: [Self; 8] = [
        Self::Discussion,
        Self::Router,
        Self::Retriever,
        Self::Implementer,
        Self::Reviewer,
        Self::Fixer,
        Self::Verifier,
        Self::Judge,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discussion => "discussion",
            Self::Router => "router",
            Self::Retriever => "retriever",
            Self::Implementer => "implementer",
            Self::Reviewer => "reviewer",
            Self::Fixer => "fixer",
            Self::Verifier => "verifier",
            Self::Judge => "judge",
        }
    }

    /// The role's other name, for those who know these workflows from elsewhere.
    pub fn alias(self) -> Option<&'static str> {
        match self {
            Self::Implementer => Some("solver"),
            Self::Reviewer => Some("critic"),
            Self::Verifier => Some("tester"),
            Self::Judge => Some("evaluator"),
            Self::Discussion | Self::Router | Self::Retriever | Self::Fixer => None,
        }
    }

    /// The role of that name or other name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name || role.alias() == Some(name))
    }

    /// The role whose models stand in for those of this one where it has none of its own.
    pub fn stand_in(self) -> Option<Self> {
        match self {
            Self::Verifier | Self::Judge => Some(Self::Reviewer),
            Self::Router | Self::Retriever => Some(Self::Discussion),
            Self::Discussion | Self::Implementer | Self::Reviewer | Self::Fixer => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_is_found_by_each_of_its_names_and_no_two_share_one() {
        for role in Role::ALL {
            for name in [Some(role.as_str()), role.alias()].into_iter().flatten() {
                assert_eq!(Role::named(name), Some(role), "{name}");
            }
        }
        assert_eq!(Role::named("Reviewer"), None);
    }
}

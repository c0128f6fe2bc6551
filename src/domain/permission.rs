//! Who may do what, in one table.

use serde::{Deserialize, Serialize};

use super::command::Command;

/// A person's permission on a repository, as GitHub's legacy `permission` field tells it
/// (`maintain` counts as write, `triage` as read). The order is the rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    None,
    Read,
    Write,
    Admin,
}

impl Permission {
    /// Anything that GitHub may call a permission; a name that we do not know grants nothing.
    pub fn from_github(name: &str) -> Self {
        match name {
            "admin" => Self::Admin,
            "write" | "maintain" => Self::Write,
            "read" | "triage" => Self::Read,
            _ => Self::None,
        }
    }
}

impl Command {
    /// The least permission that the command takes.
    pub fn needs(&self) -> Permission {
        match self {
            Self::Help | Self::Status => Permission::None,
            Self::Approve
            | Self::Reject
            | Self::Retry
            | Self::Fix(_)
            | Self::Cancel
            | Self::Budget(_)
            | Self::Ask(_) => Permission::Write,
        }
    }

    pub fn verb(&self) -> &'static str {
        match self {
            Self::Help => "help",
            Self::Status => "status",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Retry => "retry",
            Self::Fix(_) => "fix",
            Self::Cancel => "cancel",
            Self::Budget(_) => "budget",
            Self::Ask(_) => "ask",
        }
    }
}

/// The least permission whose 👍 or 👎 on a plan counts.
pub const APPROVAL_NEEDS: Permission = Permission::Write;

#[cfg(test)]
mod tests {
    use super::super::command::Question;
    use super::*;

    #[test]
    fn what_changes_something_takes_write_permission() {
        let changing =
            [Command::Approve, Command::Reject, Command::Retry, Command::Fix("x".into()), Command::Cancel];
        let asked = Question { workflow: None, text: "why?".into() };
        for command in changing.into_iter().chain([Command::Ask(asked)]) {
            assert_eq!(command.needs(), Permission::Write, "{command:?}");
        }
    }

    #[test]
    fn an_unknown_permission_grants_nothing() {
        for name in ["", "owner", "Admin", "none"] {
            assert_eq!(Permission::from_github(name), Permission::None, "{name}");
        }
        assert!(Permission::from_github("triage") < APPROVAL_NEEDS);
        assert!(Permission::from_github("maintain") >= APPROVAL_NEEDS);
    }
}

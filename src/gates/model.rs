//! What a gate is. What it said is in [`crate::domain`], where people's texts are made from it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::run::quoted;
use crate::domain::{GateKind, Requirement};
use crate::workspace::RepoPath;

/// A check that a change has to pass, or at least be shown with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Unique within a repository.
    pub name: String,
    pub kind: GateKind,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The folder of the tree in which it runs; `None` is the root.
    pub cwd: Option<RepoPath>,
    pub timeout: Duration,
    pub requirement: Requirement,
    /// The packages that it needs besides what the tree holds.
    pub needs_dependencies: Option<Ecosystem>,
    /// Which file made us choose it, for people.
    pub source: String,
}

impl Gate {
    /// The command as a person would type it.
    pub fn as_typed(&self) -> String {
        if let [shell, flag, line] = self.command.as_slice()
            && matches!(shell.as_str(), "sh" | "/bin/sh")
            && flag == "-c"
        {
            return line.clone();
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
        let words = self.command.as_slice().iter().map(|word| {
            if !word.is_empty() && word.chars().all(plain) { word.clone() } else { quoted(word) }
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

/// A family of package managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ecosystem {
    Rust,
    Python,
    JavaScript,
    Go,
    Java,
    Ruby,
}

impl Ecosystem {
    pub const ALL: [Self; 6] = [Self::Rust, Self::Python, Self::JavaScript, Self::Go, Self::Java, Self::Ruby];

    /// The name in paths and texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::Go => "go",
            Self::Java => "java",
            Self::Ruby => "ruby",
        }
    }
}

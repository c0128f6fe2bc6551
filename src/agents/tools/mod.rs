//! The tools that a model works with on a tree: what it may ask, and how the file operations are done.
//!
//! [`execute`] and [`serve`] run inside the sandbox, on a tree that strangers' code may have written.
//! Commands are not run here: [`ToolRequest::Run`] goes to the sandbox's own session, and
//! [`command_answer`] puts its outcome into words.

mod edit;
mod execute;
mod place;
mod search;
mod serve;
mod tree;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub use execute::execute;
pub use serve::serve;

/// What a model asks of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tool", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToolRequest {
    /// Files below a folder; the whole tree where `path` is `None`.
    List {
        path: Option<String>,
    },
    /// Lines that match a regular expression, in files whose path matches the glob.
    Search {
        pattern: String,
        glob: Option<String>,
    },
    /// Lines `start..=end`, counted from 1.
    Read {
        path: String,
        start: Option<u32>,
        end: Option<u32>,
    },
    /// Replaces the one place where `old` stands.
    Edit {
        path: String,
        old: String,
        new: String,
    },
    Write {
        path: String,
        content: String,
    },
    Delete {
        path: String,
    },
    /// Changes of any number of files in one text; see [`crate::workspace::edits::Edit::Patch`].
    Patch {
        /// The name that some models know it by is taken, too.
        #[serde(alias = "input")]
        patch: String,
    },
    /// Edits that apply all, or none: those of one answer. Anything else among them is refused.
    Together {
        edits: Vec<ToolRequest>,
    },
    /// A line for `sh -c`, run in the root of the tree.
    Run {
        command: String,
        timeout_seconds: Option<u32>,
    },
}

impl ToolRequest {
    /// Whether it changes files by what it says itself.
    pub fn is_edit(&self) -> bool {
        match self {
            Self::Edit { .. }
            | Self::Write { .. }
            | Self::Delete { .. }
            | Self::Patch { .. }
            | Self::Together { .. } => true,
            Self::List { .. } | Self::Search { .. } | Self::Read { .. } | Self::Run { .. } => false,
        }
    }
}

/// Whether the tool did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolOutcome {
    Done,
    /// Nothing was changed; the text says why.
    Failed,
}

/// What the model is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolAnswer {
    pub outcome: ToolOutcome,
    pub text: String,
}

impl ToolAnswer {
    pub fn done(text: impl Into<String>) -> Self {
        Self { outcome: ToolOutcome::Done, text: text.into() }
    }

    pub fn failed(text: impl Into<String>) -> Self {
        Self { outcome: ToolOutcome::Failed, text: text.into() }
    }
}

/// The tools themselves do not work: the sandbox is gone. The model can do nothing about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tools cannot be used: {0}")]
pub struct ToolboxError(pub String);

/// Carries out requests on one tree.
pub trait Toolbox: Send + Sync {
    fn call<'a>(&'a self, call: &'a ToolRequest) -> BoxFuture<'a, Result<ToolAnswer, ToolboxError>>;

    /// What is wrong with the tree as it stands, when the model says that it is done. It is asked once, so
    /// that the model can mend it; whoever takes the tree over checks for himself.
    fn objection(&self) -> BoxFuture<'_, Result<Option<String>, ToolboxError>> {
        Box::pin(async { Ok(None) })
    }
}

/// How a command ended, for [`command_answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandEnd<'a> {
    /// As in `exit code 101` or `killed by signal 9`.
    pub how: String,
    /// The limit that was hit, in words.
    pub limit: Option<String>,
    pub stdout: &'a str,
    pub stderr: &'a str,
}

/// The outcome of a command as the model reads it. A command that fails is an answer like any other.
pub fn command_answer(end: &CommandEnd<'_>) -> ToolAnswer {
    let mut text = end.how.clone();
    if let Some(limit) = &end.limit {
        text.push_str(&format!(" ({limit})"));
    }
    for (name, stream) in [("standard output", end.stdout), ("standard error", end.stderr)] {
        let stream = crate::llm::boundary::without_hidden_characters(stream.trim_end());
        if !stream.is_empty() {
            text.push_str(&format!("\n--- {name}\n{stream}"));
        }
    }
    ToolAnswer::done(text)
}

/// Longest tool answer that a model is shown, in characters.
pub const ANSWER_MAX_CHARS: usize = 10_000;

pub use crate::llm::boundary::cut_in_the_middle;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_keeps_its_beginning_and_its_end() {
        let text = format!("begin{}end", "ü".repeat(20_000));
        let cut = cut_in_the_middle(&text, ANSWER_MAX_CHARS);
        assert!(cut.starts_with("begin") && cut.ends_with("end"));
        assert!(cut.contains("[… 10008 characters left out …]"), "{}", &cut[9_990..10_200]);
        assert_eq!(cut_in_the_middle("short", 10), "short");
    }

    #[test]
    fn a_failed_command_tells_how_it_ended_and_what_it_wrote() {
        let end = CommandEnd {
            how: "exit code 101".into(),
            limit: Some("the time limit of 60 s was reached".into()),
            stdout: "running 1 test\n",
            stderr: "",
        };
        assert_eq!(
            command_answer(&end).text,
            "exit code 101 (the time limit of 60 s was reached)\n--- standard output\nrunning 1 test"
        );
    }

    #[test]
    fn a_request_has_one_form_as_json() {
        let request = ToolRequest::Read { path: "a".into(), start: Some(1), end: None };
        let json = serde_json::to_string(&request).expect("serialises");
        assert_eq!(json, r#"{"tool":"read","path":"a","start":1,"end":null}"#);
        assert_eq!(serde_json::from_str::<ToolRequest>(&json).expect("reads"), request);
        assert!(serde_json::from_str::<ToolRequest>(r#"{"tool":"read","path":"a","lines":1}"#).is_err());
    }
}

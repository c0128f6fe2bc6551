//! Where every call is written down.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;

use super::message::{Message, Request, StopReason};
use super::model::{ModelName, TokenCount};
use crate::domain::{Role, TaskId, Usage};

/// What a call was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallLabel {
    pub task: Option<TaskId>,
    /// The stage or the reviewer, for people: `implement`, `review: safety`, …
    pub stage: String,
    /// What it was asked with; `None` where no prompt file was.
    pub prompt: Option<PromptUsed>,
}

/// The prompt file that a call was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromptUsed {
    pub name: String,
    pub version: u32,
    /// `embedded`, a file of the deployment, or a file of the repository with its commit.
    pub source: String,
}

/// What was said in a call, both ways.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub request: Arc<Request>,
    /// `None`: no answer came.
    pub answer: Option<Message>,
}

/// Where the numbers of a record come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Accounting {
    /// The provider counted, to the end of the answer.
    Reported,
    /// The provider may have worked, but its count did not come, or not all of it: what it did report, the rest
    /// by our estimate of four bytes a token.
    Estimated,
    /// The provider refused before doing anything.
    Nothing,
}

/// One call to a provider, successful or not.
#[derive(Debug, Clone, Serialize)]
pub struct CallRecord {
    pub label: CallLabel,
    pub role: Role,
    pub model: ModelName,
    /// Counted from 1, over all models of the role.
    pub attempt: usize,
    pub tokens: TokenCount,
    pub usage: Usage,
    pub accounting: Accounting,
    pub latency: Duration,
    pub stop: Option<StopReason>,
    /// The kind of [`super::LlmError`] and its message.
    pub error: Option<(String, String)>,
    /// Not part of the numbers: a ledger may keep it, or not.
    #[serde(skip)]
    pub exchange: Option<Exchange>,
}

/// Why a record could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LedgerError(pub String);

/// Keeps the records of all calls.
pub trait Ledger: Send + Sync {
    fn record<'a>(&'a self, record: &'a CallRecord) -> BoxFuture<'a, Result<(), LedgerError>>;
}

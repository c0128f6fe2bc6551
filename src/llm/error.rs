//! What can go wrong with a model, sorted by what can be done about it.

use std::time::Duration;

use super::model::ModelName;
use crate::domain::{Amount, BudgetScope, Role};

/// A failed call.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LlmError {
    #[error("no answer within {} s", .after.as_secs_f32())]
    TimedOut { after: Duration },
    /// A stream in which nothing more came.
    #[error("the connection was silent for {} s", .after.as_secs_f32())]
    Silent { after: Duration },
    #[error("the provider's rate limit is reached: {message}")]
    RateLimited { retry_after: Option<Duration>, message: String },
    #[error("the provider is overloaded: {message}")]
    Overloaded { retry_after: Option<Duration>, message: String },
    /// 408, 409 and the 5xx that do not say overloaded.
    #[error("the provider failed with status {status}: {message}")]
    Server { status: u16, retry_after: Option<Duration>, message: String },
    #[error("the provider refused the key: {0}")]
    Unauthorized(String),
    #[error("the provider's account has no credit: {0}")]
    OutOfCredit(String),
    #[error("the provider refused the request: {0}")]
    InvalidRequest(String),
    #[error("the answer could not be read: {0}")]
    Malformed(String),
    #[error("the connection failed: {0}")]
    Transport(String),
    #[error("the request has {bytes} bytes of text, the limit is {max_bytes}")]
    TooLarge { bytes: usize, max_bytes: usize },
    #[error(
        "the request has about {tokens} tokens and leaves {output_tokens} for the answer; {model} takes {context_tokens} together"
    )]
    TooLong { model: ModelName, tokens: u64, output_tokens: u64, context_tokens: u64 },
    /// It failed so often that it is left alone for a while.
    #[error("{model} failed {failures} times in a row and is asked again in {} s", .retry_in.as_secs_f32().ceil())]
    LeftAlone { model: ModelName, failures: u32, retry_in: Duration },
    #[error(
        "the budget {scope} does not cover the call: it may need {needed}, and {left} of {limit} is left"
    )]
    BudgetExhausted { scope: BudgetScope, needed: Amount, left: Amount, limit: Amount },
    #[error("no model is configured for the role {0}")]
    NoModel(Role),
    /// The call was made, but what it cost could not be written down.
    #[error("the call's cost could not be recorded: {0}")]
    NotRecorded(String),
    #[error("every model failed: {}", list(.0))]
    EveryModelFailed(Vec<(ModelName, LlmError)>),
}

fn list(errors: &[(ModelName, LlmError)]) -> String {
    let lines: Vec<_> = errors.iter().map(|(model, error)| format!("{model}: {error}")).collect();
    lines.join("; ")
}

impl LlmError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::TimedOut { .. }
            | Self::Silent { .. }
            | Self::LeftAlone { .. }
            | Self::RateLimited { .. }
            | Self::Overloaded { .. }
            | Self::Server { .. }
            | Self::Malformed(_)
            | Self::Transport(_)
            | Self::NotRecorded(_) => true,
            Self::Unauthorized(_)
            | Self::OutOfCredit(_)
            | Self::InvalidRequest(_)
            | Self::TooLarge { .. }
            | Self::TooLong { .. }
            | Self::BudgetExhausted { .. }
            | Self::NoModel(_) => false,
            Self::EveryModelFailed(errors) => errors.iter().any(|(_, error)| error.is_transient()),
        }
    }

    /// How long the provider asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. }
            | Self::Overloaded { retry_after, .. }
            | Self::Server { retry_after, .. } => *retry_after,
            Self::LeftAlone { retry_in, .. } => Some(*retry_in),
            // The first of the models that is ready again.
            Self::EveryModelFailed(errors) => {
                errors.iter().filter_map(|(_, error)| error.retry_after()).min()
            }
            _ => None,
        }
    }

    /// Whether another model could do better.
    pub(super) fn allows_fallback(&self) -> bool {
        !matches!(self, Self::BudgetExhausted { .. } | Self::NotRecorded(_) | Self::TooLarge { .. })
    }

    /// Whether the provider may have worked on the call, and so may charge for it.
    pub(crate) fn may_have_cost(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Silent { .. } | Self::Malformed(_) | Self::Transport(_))
    }

    /// One word for a record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TimedOut { .. } => "timed_out",
            Self::Silent { .. } => "silent",
            Self::LeftAlone { .. } => "left_alone",
            Self::TooLong { .. } => "too_long",
            Self::RateLimited { .. } => "rate_limited",
            Self::Overloaded { .. } => "overloaded",
            Self::Server { .. } => "server",
            Self::Unauthorized(_) => "unauthorized",
            Self::OutOfCredit(_) => "out_of_credit",
            Self::InvalidRequest(_) => "invalid_request",
            Self::Malformed(_) => "malformed",
            Self::Transport(_) => "transport",
            Self::TooLarge { .. } => "too_large",
            Self::BudgetExhausted { .. } => "budget_exhausted",
            Self::NoModel(_) => "no_model",
            Self::NotRecorded(_) => "not_recorded",
            Self::EveryModelFailed(_) => "every_model_failed",
        }
    }
}

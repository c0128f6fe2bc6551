//! Why an agent gave no result.

use std::time::Duration;

use super::prompts::PromptError;
use super::tool_loop::Step;
use super::tools::ToolboxError;
use crate::domain::Usage;
use crate::llm::LlmError;

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The model was told each time what was wrong with its answer, and never mended it.
    #[error("the model gave no usable answer in {attempts} attempts; the last fault: {last_fault}")]
    Junk { attempts: usize, last_fault: String },
    #[error(transparent)]
    Model(#[from] LlmError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// A tool loop ended before the model was done.
    #[error("{}", .0.why)]
    Interrupted(Box<Interrupted>),
}

fn last_words(said: &str) -> String {
    if said.trim().is_empty() { String::new() } else { format!("; it said last: {}", said.trim()) }
}

/// A tool loop that did not come to its end, with everything it did.
#[derive(Debug)]
pub struct Interrupted {
    pub why: Interruption,
    pub transcript: Vec<Step>,
    pub usage: Usage,
}

#[derive(Debug, thiserror::Error)]
pub enum Interruption {
    #[error("the limit of {0} steps is reached")]
    Steps(u32),
    #[error("the time limit of {} s is reached", .0.as_secs())]
    WallTime(Duration),
    #[error("the limit of {limit} tokens is reached: {used} are used")]
    Tokens { used: u64, limit: u64 },
    #[error("the limit of ${:.2} is reached: ${:.2} are spent", *.limit as f64 / 1e6, *.spent as f64 / 1e6)]
    Cost { spent: u64, limit: u64 },
    #[error("the model is stuck: it made the same call {0} times and got the same answer")]
    SameCall(usize),
    #[error("the model is stuck: it made the same call {0} times, and it failed each time")]
    SameError(usize),
    #[error("the model is stuck: it went to and fro between the same two turns {0} times")]
    Alternating(usize),
    #[error("the model is stuck: {0} turns without a tool call")]
    NoToolCall(usize),
    #[error(transparent)]
    Model(LlmError),
    #[error(transparent)]
    Toolbox(ToolboxError),
    /// An agent's own command that failed by itself.
    #[error("the agent's command {name} ended with {how}{}", last_words(.said))]
    Command { name: String, how: String, said: String },
    /// An agent's own command that hit a limit of the sandbox.
    #[error("the agent's command {name}: {how}{}", last_words(.said))]
    CommandLimit { name: String, how: String, said: String },
}

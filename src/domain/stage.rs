//! The stages of the work, and which of them is at work.

use serde::{Deserialize, Serialize};

use super::task::{State, Task};

/// The long parts of the work, each a job of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Discuss,
    Implement,
    Gate,
    Review,
    Fix,
    Publish,
    /// Of the workflows that end in words.
    Answer,
}

impl Stage {
    pub const ALL: [Self; 7] =
        [Self::Discuss, Self::Implement, Self::Gate, Self::Review, Self::Fix, Self::Publish, Self::Answer];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discuss => "discuss",
            Self::Implement => "implement",
            Self::Gate => "gate",
            Self::Review => "review",
            Self::Fix => "fix",
            Self::Publish => "publish",
            Self::Answer => "answer",
        }
    }
}

impl Task {
    /// The stage whose job is at work. With which one an approved task begins, its plan says.
    pub fn stage(&self) -> Option<Stage> {
        match &self.state {
            State::Queued if self.ends_in_answer() => Some(Stage::Answer),
            State::Queued => Some(Stage::Implement),
            state => state.stage(),
        }
    }

    /// Whether its plan ends in words.
    pub fn ends_in_answer(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.specification.workflow.ends_in_answer())
    }
}

impl State {
    /// `None` for a state that waits or has ended, and for one that leaves it to the plan.
    fn stage(&self) -> Option<Stage> {
        match self {
            Self::Discussing => Some(Stage::Discuss),
            Self::Implementing => Some(Stage::Implement),
            Self::Gating => Some(Stage::Gate),
            Self::Reviewing => Some(Stage::Review),
            Self::Fixing { .. } => Some(Stage::Fix),
            Self::Publishing => Some(Stage::Publish),
            Self::Answering => Some(Stage::Answer),
            Self::Queued
            | Self::WaitingForAnswer { .. }
            | Self::AwaitingApproval
            | Self::PullRequestOpen
            | Self::PullRequestClosed
            | Self::Done
            | Self::Answered
            | Self::NeedsPerson { .. }
            | Self::Cancelled { .. } => None,
        }
    }
}

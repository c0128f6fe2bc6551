//! What a transition wants done outside, each with a key that makes doing it twice the same as once.

use serde::{Deserialize, Serialize};

use super::budget::{Amount, BudgetChange};
use super::command::CommandFault;
use super::ids::{CommentId, IssueNumber};
use super::task::Task;

/// Something to say in a comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "notice")]
pub enum Notice {
    Help,
    Status,
    Questions,
    NotACommand {
        fault: CommandFault,
    },
    NotAllowed {
        verb: String,
        login: String,
    },
    /// The command is known, but there is nothing for it to do in this state.
    NotNow {
        verb: String,
    },
    NoTaskHere,
    Approved {
        login: String,
    },
    Cancelled,
    NeedsPerson,
    Retrying,
    BudgetChanged {
        change: BudgetChange,
    },
    /// More than the operator lets a task have.
    BudgetTooLarge {
        most: Amount,
    },
    FixStarted,
    FixChangedNothing {
        said: String,
    },
    /// Labelled again, and the text is the one that was planned (and ended) before.
    SameTextAgain,
    Pushed,
    /// GitHub refused something that the work does not hang on.
    NotDone {
        what: String,
        detail: String,
    },
}

/// What a mail tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    PlanWaits,
    PullRequestReady,
    NeedsPerson,
}

/// One act on the world outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "effect")]
pub enum Effect {
    PostPlan,
    Comment { on: IssueNumber, notice: Notice },
    PushBranch,
    OpenPullRequest,
    LabelPullRequest,
    PostReview,
    ReportCheck,
    Mail { kind: MailKind },
    WriteLocalBranch,
    PostAnswer,
}

impl Effect {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PostPlan => "post_plan",
            Self::Comment { .. } => "comment",
            Self::PushBranch => "push_branch",
            Self::OpenPullRequest => "open_pull_request",
            Self::LabelPullRequest => "label_pull_request",
            Self::PostReview => "post_review",
            Self::ReportCheck => "report_check",
            Self::Mail { .. } => "mail",
            Self::WriteLocalBranch => "write_local_branch",
            Self::PostAnswer => "post_answer",
        }
    }

    /// One of each kind, for whoever has to cover them all.
    pub const KINDS: [&'static str; 10] = [
        "post_plan",
        "comment",
        "push_branch",
        "open_pull_request",
        "label_pull_request",
        "post_review",
        "report_check",
        "mail",
        "write_local_branch",
        "post_answer",
    ];

    /// The key of this effect of this transition. A transition is committed once, so its version
    /// tells apart what may happen more than once in a task's life.
    pub fn key(&self, task: &Task, index: usize) -> String {
        format!("{}/{}.{}/{}", task.id, task.version, index, self.kind())
    }
}

/// The key of an answer to a comment that belongs to no task.
pub fn reply_key(repository: u64, comment: CommentId) -> String {
    format!("reply/{repository}/{comment}")
}

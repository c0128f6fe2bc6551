//! What can happen to a task.

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::ids::{Account, CommentId, IssueNumber, TaskId};
use super::refs::CommitSha;
use super::source_text::{SourceText, TextDigest};
use super::specification::TaskSpecification;
use super::stage::Stage;
use super::task::{PostedComment, Proposal, Reason};

/// What came of reading the issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Reading {
    Tasks {
        understood: String,
        /// In order; the first is for the task that read. Never empty.
        specifications: Vec<TaskSpecification>,
        /// Ids for the tasks beyond the first, drawn outside since nothing here is random.
        new_ids: Vec<TaskId>,
    },
    /// A task that was born with its plan reads the text only: its plan stays, and is put before people anew.
    SamePlan,
    Questions {
        understood: String,
        questions: Vec<String>,
    },
}

/// The text as it stands now, of that part which the plan was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedText {
    /// Digest of title, body and the comments that were read; a deleted comment changes it too.
    pub source: TextDigest,
    /// Digest of the plan comment's body; `None`: it is gone or was never posted.
    pub plan_comment: Option<TextDigest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thumb {
    Up,
    Down,
}

/// Something happened. Whoever is named here was checked to be who they are and to have the
/// permission it takes, before the event was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The label was set again; `source` is the digest of the whole issue as it stands.
    Relabelled {
        source: TextDigest,
    },
    Unlabelled,
    IssueClosed,
    IssueDeleted,
    AccessRemoved,
    /// A newer reading of the issue has other tasks.
    Superseded,
    TextObserved(ObservedText),
    /// Somebody other than us wrote a comment that is no command.
    Commented {
        comment: CommentId,
    },
    Commanded {
        command: Command,
        by: Account,
        comment: CommentId,
        on: IssueNumber,
    },
    /// `on`: the plan's comment.
    Reacted {
        thumb: Thumb,
        by: Account,
        on: CommentId,
    },
    ReactionWithdrawn {
        by: Account,
    },

    StageStarted {
        stage: Stage,
    },
    Discussed {
        source: SourceText,
        reading: Reading,
    },
    Implemented {
        base: CommitSha,
        head: CommitSha,
    },
    /// `remote_head`: what the branch was on GitHub when a follow-up round began.
    Fixed {
        head: CommitSha,
        changed: Changed,
        remote_head: Option<CommitSha>,
    },
    Gated {
        failed: Vec<String>,
        could_not_run: Vec<String>,
    },
    /// `remarks`: open findings that hold nothing up and are worth a fix.
    Reviewed {
        blocking: u32,
        #[serde(default)]
        remarks: u32,
        failed_reviewers: Vec<String>,
        reviewers: u32,
    },
    /// The text still is what was approved, and the commit is ready.
    PublishChecked,
    /// The answer is kept, and can be posted.
    Answered,
    StageFailed {
        stage: Stage,
        reason: Reason,
    },

    PlanPosted {
        of: Proposal,
        comment: PostedComment,
    },
    Pushed {
        head: CommitSha,
    },
    PushRefused {
        actual: String,
    },
    PullRequestOpened {
        number: IssueNumber,
    },
    /// GitHub said no in a way that trying again does not change.
    EffectRefused {
        /// The kind of effect.
        what: String,
        detail: String,
        /// The plan that was before people when the effect was asked for.
        of: Option<Proposal>,
    },
    LocalBranchWritten,

    PullRequestMerged,
    PullRequestClosed,
    PullRequestReopened,

    /// The wait that began with this version of the task is over.
    WaitExpired {
        version: u64,
    },
}

/// Whether a fix round changed any file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Changed {
    Yes,
    No { said: String },
}

impl Event {
    /// The name in the log and the history.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Relabelled { .. } => "relabelled",
            Self::Unlabelled => "unlabelled",
            Self::IssueClosed => "issue_closed",
            Self::IssueDeleted => "issue_deleted",
            Self::AccessRemoved => "access_removed",
            Self::Superseded => "superseded",
            Self::TextObserved(_) => "text_observed",
            Self::Commented { .. } => "commented",
            Self::Commanded { .. } => "commanded",
            Self::Reacted { .. } => "reacted",
            Self::ReactionWithdrawn { .. } => "reaction_withdrawn",
            Self::StageStarted { .. } => "stage_started",
            Self::Discussed { .. } => "discussed",
            Self::Implemented { .. } => "implemented",
            Self::Fixed { .. } => "fixed",
            Self::Gated { .. } => "gated",
            Self::Reviewed { .. } => "reviewed",
            Self::PublishChecked => "publish_checked",
            Self::Answered => "answered",
            Self::StageFailed { .. } => "stage_failed",
            Self::PlanPosted { .. } => "plan_posted",
            Self::Pushed { .. } => "pushed",
            Self::PushRefused { .. } => "push_refused",
            Self::PullRequestOpened { .. } => "pull_request_opened",
            Self::EffectRefused { .. } => "effect_refused",
            Self::LocalBranchWritten => "local_branch_written",
            Self::PullRequestMerged => "pull_request_merged",
            Self::PullRequestClosed => "pull_request_closed",
            Self::PullRequestReopened => "pull_request_reopened",
            Self::WaitExpired { .. } => "wait_expired",
        }
    }
}

//! The task: everything that decides what happens next with a piece of work.
//!
//! What is only kept and shown (gate logs, findings, patches, model calls) lives in rows of its own.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::budget::{BudgetScope, TaskBudget};
use super::ids::{Account, CommentId, InstallationId, IssueNumber, RepositoryId, TaskId};
use super::question::Asked;
use super::refs::{BranchName, CommitSha};
use super::source_text::{SourceText, TextDigest};
use super::specification::TaskSpecification;
use super::written_task::WrittenTask;

/// Where an issue lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitHubPlace {
    pub installation: InstallationId,
    pub repository: RepositoryId,
    /// `owner/name` when last seen; for people and URLs, never an identity.
    pub full_name: String,
    pub issue: IssueNumber,
}

/// Where a task comes from, and so where its result goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Origin {
    GitHub(GitHubPlace),
    /// A person's own repository, without GitHub: `orchestrator run`.
    Local {
        repository: String,
        base: BranchName,
    },
}

impl Origin {
    pub fn github(&self) -> Option<&GitHubPlace> {
        match self {
            Self::GitHub(place) => Some(place),
            Self::Local { .. } => None,
        }
    }
}

/// A comment of ours as GitHub returned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedComment {
    pub id: CommentId,
    pub body: TextDigest,
}

/// The task as it was understood, which a person approves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub understood: String,
    pub specification: TaskSpecification,
    /// How many tasks came of the same reading of the issue.
    pub tasks_in_plan: u32,
    pub digest: TextDigest,
    pub comment: Option<PostedComment>,
}

/// A plan among the plans of its task: what an effect or a reaction is about may be replaced meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub revision: u32,
    pub digest: TextDigest,
}

/// How an approval was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalMeans {
    Reaction,
    Command(CommentId),
    /// A person ran the task on their own repository.
    LocalRun,
    /// `DRY_RUN`: nothing is written, so nothing needs a person.
    DryRun,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub by: Option<Account>,
    pub means: ApprovalMeans,
    /// The plan's digest at that moment.
    pub plan: TextDigest,
    pub at: DateTime<Utc>,
}

/// What a fix round is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FixCause {
    Gates,
    Findings,
    /// A person's `/orchestrate fix`.
    Instruction,
    /// Findings that hold nothing up. Where this fails, the work goes on without it.
    Remarks,
}

/// Work that could be published, while a fix that it can do without is tried on top of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// What to go back to.
    pub head: CommitSha,
    /// The version at which the trial began.
    pub since: u64,
}

/// A trial that failed. What was made in these versions of the task says nothing of its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    pub first: u64,
    /// Inclusive.
    pub last: u64,
    /// The follow-up round that it belongs to; see [`Task::round`].
    pub round: u32,
    pub why: Reason,
}

/// Why a task waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Reason {
    TextChanged,
    /// The plan was made in a dry run, which took its approval as given, and this is none.
    NotApproved,
    ModelJunk {
        role: String,
        fault: String,
    },
    /// An agent's own command ended by itself, and not well.
    AgentFailed {
        /// Its name in the configuration.
        command: String,
        /// `exit code 3`, or `signal 11`.
        ended: String,
        /// The end of what it printed.
        said: String,
    },
    ModelUnavailable {
        detail: String,
    },
    LimitReached {
        limit: String,
    },
    /// The next call could cost more than is left.
    BudgetReached {
        scope: BudgetScope,
        detail: String,
    },
    NothingChanged {
        said: String,
    },
    GatesFail {
        gates: Vec<String>,
        rounds: u8,
    },
    BlockingFindings {
        count: u32,
        rounds: u8,
    },
    ReviewersFailed {
        reviewers: Vec<String>,
    },
    BranchMoved {
        actual: String,
    },
    ChangeRefused {
        detail: String,
    },
    /// What the repository keeps in `.orchestrator/`, or what of it the task asks for, cannot be used.
    RulesUnusable {
        detail: String,
    },
    Refused {
        what: String,
        detail: String,
    },
    SandboxUnavailable {
        detail: String,
    },
    Unreachable {
        what: String,
        detail: String,
    },
    /// A task of the same plan that this one builds on was cancelled.
    DependencyEnded {
        title: String,
    },
    WaitExpired {
        what: String,
        days: u32,
    },
    /// A fault of ours, with what an operator needs to find it.
    Internal {
        detail: String,
    },
}

/// Where `retry` takes the work up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    Discuss,
    Implement,
    Gate,
    Review,
    Fix(FixCause),
    Publish,
    Answer,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum CancelReason {
    Command {
        by: String,
    },
    Rejected {
        by: String,
    },
    LabelRemoved,
    IssueClosed,
    IssueDeleted,
    /// A newer reading of the issue has other tasks.
    Superseded,
    AccessRemoved,
}

/// Where a task is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    Discussing,
    WaitingForAnswer { questions: Vec<String> },
    AwaitingApproval,
    Queued,
    Implementing,
    Gating,
    Reviewing,
    Fixing { cause: FixCause },
    Publishing,
    Answering,
    PullRequestOpen,
    PullRequestClosed,
    Done,
    Answered,
    NeedsPerson { reason: Reason, resume: Resume },
    Cancelled { reason: CancelReason },
}

impl State {
    /// The name in the database, the log and the status comment.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Discussing => "discussing",
            Self::WaitingForAnswer { .. } => "waiting_for_answer",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Queued => "queued",
            Self::Implementing => "implementing",
            Self::Gating => "gating",
            Self::Reviewing => "reviewing",
            Self::Fixing { .. } => "fixing",
            Self::Publishing => "publishing",
            Self::Answering => "answering",
            Self::PullRequestOpen => "pull_request_open",
            Self::PullRequestClosed => "pull_request_closed",
            Self::Done => "done",
            Self::Answered => "answered",
            Self::NeedsPerson { .. } => "needs_person",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// Whether the task has ended; only `retry` or a new label goes on from here.
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Done | Self::Answered | Self::Cancelled { .. })
    }
}

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub id: TaskId,
    pub origin: Origin,
    /// Which of the plan's tasks, from 1. The first is the one that reads the issue. A question has 0: it
    /// belongs to no plan of the issue.
    pub ordinal: u32,
    /// Counts readings of the issue, from 1.
    pub revision: u32,
    /// Counts `retry`, from 1.
    pub attempt: u32,
    /// Counts follow-up rounds on an open pull request; 0 is the work that opened it.
    pub round: u32,
    pub state: State,
    pub requested_by: Account,
    /// The question that the task is, where a person asked one with `/orchestrate ask`.
    #[serde(default)]
    pub asked: Option<Asked>,
    /// What a person wrote instead of an issue; no model reads the text then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<WrittenTask>,
    /// Exactly what the model read, once it was read.
    pub source: Option<SourceText>,
    pub plan: Option<Plan>,
    pub approval: Option<Approval>,
    /// Fix rounds spent on gates in this attempt and round.
    pub gate_rounds: u8,
    /// Fix rounds spent on findings in this attempt and round.
    pub review_rounds: u8,
    /// The version at which the work began that `base` and `head` are of. What was made before belongs to
    /// work that was given up.
    #[serde(default)]
    pub work_since: u64,
    /// The commit that the work started from.
    pub base: Option<CommitSha>,
    /// The work so far.
    pub head: Option<CommitSha>,
    /// What the remote branch has to be for us to push: `None`, it must not exist.
    pub remote_head: Option<CommitSha>,
    pub branch: Option<BranchName>,
    pub pull_request: Option<IssueNumber>,
    /// The text of the `fix` that is being worked on.
    pub instruction: Option<String>,
    /// What people changed about what the task may spend.
    #[serde(default)]
    pub budget: TaskBudget,
    /// The newest comment that came while the issue was being read, and may have come too late for it.
    #[serde(default)]
    pub unread: Option<CommentId>,
    #[serde(default)]
    pub trial: Option<Trial>,
    #[serde(default)]
    pub taken_back: Vec<TakenBack>,
    /// The version at which the present wait for a person began.
    pub waits_since: Option<u64>,
    pub created_at: DateTime<Utc>,
    /// Counts transitions; the store's guard against a lost update.
    pub version: u64,
}

impl Task {
    /// A task at its birth: an issue was labelled, or a person runs one by hand.
    pub fn new(id: TaskId, origin: Origin, requested_by: Account, at: DateTime<Utc>) -> Self {
        Self {
            id,
            origin,
            ordinal: 1,
            revision: 1,
            attempt: 1,
            round: 0,
            state: State::Discussing,
            requested_by,
            asked: None,
            given: None,
            source: None,
            plan: None,
            approval: None,
            gate_rounds: 0,
            review_rounds: 0,
            work_since: 0,
            base: None,
            head: None,
            remote_head: None,
            branch: None,
            pull_request: None,
            instruction: None,
            budget: TaskBudget::default(),
            unread: None,
            trial: None,
            taken_back: Vec::new(),
            waits_since: None,
            created_at: at,
            version: 0,
        }
    }

    /// Which plan of this task is before people now.
    pub fn proposal(&self) -> Option<Proposal> {
        let plan = self.plan.as_ref()?;
        Some(Proposal { revision: self.revision, digest: plan.digest })
    }

    /// The title to call it by before and after there is a plan.
    pub fn title(&self) -> &str {
        match (&self.plan, &self.source) {
            (Some(plan), _) => &plan.specification.title,
            (None, Some(source)) => &source.title,
            (None, None) => "a task that was not read yet",
        }
    }
}

//! What the product is about, and nothing else: no I/O, no clock, no randomness in here.

mod answer;
mod budget;
mod candidate;
mod command;
mod effect;
mod event;
mod finding;
mod gate;
mod ids;
mod labels;
mod optional_stage;
mod permission;
mod question;
mod refs;
mod review_round;
mod role;
mod route;
mod source_text;
mod specification;
mod stage;
mod step;
mod task;
mod template;
mod usage;
mod visible_text;
mod written_task;

pub use answer::{
    Answer, Citation, CitationFault, Computation, DroppedSource, Source, Verification, find_citation,
    references,
};
pub use budget::{Amount, BudgetChange, BudgetLimits, BudgetScope, TaskBudget};
pub use candidate::{CameTo, Candidate, Choice, DecidedBy, Judged, Measured, Standing, standing};
pub use command::{Command, CommandFault, Question, parse_command};
pub use effect::{Effect, MailKind, Notice, reply_key};
pub use event::{Changed, Event, ObservedText, Reading, Thumb};
pub use finding::{Finding, Severity, code_digest};
pub use gate::{
    Age, Baseline, Coverage, Flaky, GateFinding, GateKind, GateReport, GateSeverity, Requirement, Verdict,
};
pub use ids::{Account, CommentId, InstallationId, IssueNumber, RepositoryId, TaskId, UserId};
pub use labels::LabelledWorkflow;
pub use optional_stage::{OptionalStage, SwitchedBy, SwitchedOff};
pub use permission::{APPROVAL_NEEDS, Permission};
pub use question::Asked;
pub use refs::{BranchName, CommitSha, InvalidBranchName, InvalidCommitSha};
pub use review_round::{
    DroppedFinding, FailedReviewer, FindingStatus, ReviewRound, ReviewerSummary, TrackedFinding, merged,
};
pub use role::Role;
pub use route::{Controls, Route, RouteLimits};
pub use source_text::{SourceComment, SourceText, TextDigest, body_digest, plan_digest};
pub use specification::{
    DESIGN_MAX_CHARS, LIST_MAX_ENTRIES, PLAN_MAX_TASKS, Preparation, Priority, Risk, Size,
    SpecificationFault, SpecificationFaults, TEXT_MAX_CHARS, TITLE_MAX_CHARS, TaskSpecification, Workflow,
};
pub use stage::Stage;
pub use step::{Approvals, Consequence, Illegal, Rules, Step, propose_spawned, step};
pub use task::{
    Approval, ApprovalMeans, CancelReason, FixCause, GitHubPlace, Origin, Plan, PostedComment, Proposal,
    Reason, Resume, State, TakenBack, Task, Trial,
};
pub use template::{Template, Templates, UsedTemplate};
pub use usage::Usage;
pub use visible_text::{hidden_characters, is_hidden, visible_text, without_hidden_characters};
pub use written_task::WrittenTask;

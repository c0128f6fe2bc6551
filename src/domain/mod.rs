//! What the product is about, and nothing else: no I/O, no clock, no randomness in here.

mod finding;
mod ids;
mod refs;
mod source_text;
mod specification;
mod usage;

pub use finding::{Finding, FindingStatus, Severity};
pub use ids::{Account, CommentId, InstallationId, IssueNumber, RepositoryId, TaskId, UserId};
pub use refs::{BranchName, CommitSha, InvalidRef};
pub use source_text::{SourceComment, SourceText, TextDigest, body_digest, plan_digest};
pub use specification::{
    PLAN_MAX_TASKS, Priority, Risk, Size, SpecificationFaults, TaskSpecification, Workflow,
};
pub use usage::Usage;

//! A question of `/orchestrate ask`: a task that nobody has to plan.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{Account, CommentId, TaskId};
use super::source_text::{SourceText, plan_digest};
use super::specification::{TaskSpecification, Workflow};
use super::task::{Approval, ApprovalMeans, GitHubPlace, Origin, Plan, State, Task};

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The command's comment.
    pub comment: CommentId,
    /// Where the person named it.
    pub workflow: Option<Workflow>,
}

impl Task {
    /// A question that a person asked with `/orchestrate ask`. That they asked is its approval, so its work
    /// begins at once; `source` is what is written where it was asked.
    pub fn question(
        id: TaskId,
        place: GitHubPlace,
        by: Account,
        (asked, text, source): (Asked, &str, SourceText),
        at: DateTime<Utc>,
    ) -> Self {
        let specification = TaskSpecification::question(text, asked.workflow.unwrap_or(Workflow::RagQa));
        let digest = plan_digest(source.digest(), &specification);
        let means = ApprovalMeans::Command(asked.comment);
        let understood = String::new();
        Self {
            ordinal: 0,
            state: State::Answering,
            plan: Some(Plan { understood, specification, tasks_in_plan: 1, digest, comment: None }),
            approval: Some(Approval { by: Some(by.clone()), means, plan: digest, at }),
            source: Some(source),
            asked: Some(asked),
            ..Self::new(id, Origin::GitHub(place), by, at)
        }
    }
}

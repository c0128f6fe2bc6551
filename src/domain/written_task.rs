//! A specification that a person wrote, so that no issue has to be read.

use serde::{Deserialize, Serialize};

use super::specification::{Preparation, Priority, Risk, Size, TaskSpecification, Workflow};

/// The part of a [`TaskSpecification`] that a person writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenTask {
    pub title: String,
    pub objective: String,
    pub requirements: Vec<String>,
    pub constraints: Vec<String>,
    pub acceptance_criteria: Vec<String>,
    pub likely_files: Vec<String>,
    pub protected_files: Vec<String>,
    pub altered_tests: Vec<String>,
    /// `None`: the router's choice where one is asked, else [`WrittenTask::WORKFLOW`].
    pub workflow: Option<Workflow>,
    pub risk: Risk,
    pub size: Size,
    pub priority: Priority,
    /// One of the repository's templates, by its name.
    pub template: Option<String>,
}

impl WrittenTask {
    pub const WORKFLOW: Workflow = Workflow::Coding;
    pub const RISK: Risk = Risk::Medium;
    pub const SIZE: Size = Size::Medium;
    pub const PRIORITY: Priority = Priority::Normal;

    /// The specification of a plan with this one task, without what its template adds.
    pub fn specification(&self) -> TaskSpecification {
        TaskSpecification {
            title: self.title.clone(),
            objective: self.objective.clone(),
            requirements: self.requirements.clone(),
            constraints: self.constraints.clone(),
            acceptance_criteria: self.acceptance_criteria.clone(),
            likely_files: self.likely_files.clone(),
            protected_files: self.protected_files.clone(),
            altered_tests: self.altered_tests.clone(),
            workflow: self.workflow.unwrap_or(Self::WORKFLOW),
            risk: self.risk,
            size: self.size,
            priority: self.priority,
            depends_on: Vec::new(),
            prepared: Preparation::default(),
        }
    }
}

//! What is worked out about a task before people see it: its route, where a router is asked, and the short design
//! of a large one. Both stand in the plan, so they are part of what is approved.

use std::collections::BTreeMap;

use crate::agents::{AgentContext, design, route};
use crate::domain::{Preparation, Reason, Role, Route, RouteLimits, Size, Task, TaskSpecification, Workflow};
use crate::llm::boundary::PromptText;
use crate::store::{Artifact, ArtifactKind};

use super::{Pipeline, StageError, agent_failure, json_artifact};

/// What an operator decides about routes.
#[derive(Debug, Clone)]
pub struct RouterSettings {
    pub is_asked: bool,
    /// Models that a route may choose for each role.
    pub top_models: usize,
    /// The workflows that may be used at all.
    pub workflows: Vec<Workflow>,
}

impl Pipeline {
    /// The tasks of a reading with their routes and designs.
    pub(super) async fn prepared(
        &self,
        task: &Task,
        agent: &AgentContext,
        specifications: Vec<TaskSpecification>,
        shown: (&PromptText, &PromptText),
    ) -> Result<(Vec<TaskSpecification>, Vec<Artifact>), StageError> {
        let (mut all, mut kept) = (Vec::new(), Vec::new());
        for (mut specification, ordinal) in specifications.into_iter().zip(1..) {
            // Ours to say, whatever the model that read the issue says.
            specification.prepared = Preparation::default();
            if self.settings.router.is_asked {
                let (route, artifact) = self.route(task, agent, (&specification, ordinal), |_| true).await?;
                specification.workflow = route.workflow;
                specification.prepared.route = Some(route);
                kept.push(artifact);
            }
            self.allowed(specification.workflow)?;
            if specification.size == Size::Large && !specification.workflow.ends_in_answer() {
                let designed = design(agent, &specification, shown).await;
                let designed = designed.map_err(|error| StageError::Stop {
                    reason: agent_failure("discussion", &error),
                    kept: std::mem::take(&mut kept),
                })?;
                specification.prepared.design = self.redactor.clean(&designed);
            }
            all.push(specification);
        }
        Ok((all, kept))
    }

    /// Asks the router. Only workflows that `fits` takes are possible.
    pub(super) async fn route(
        &self,
        task: &Task,
        agent: &AgentContext,
        (specification, ordinal): (&TaskSpecification, u32),
        fits: impl Fn(Workflow) -> bool,
    ) -> Result<(Route, Artifact), StageError> {
        let settings = &self.settings.router;
        let workflows: Vec<Workflow> =
            settings.workflows.iter().copied().filter(|workflow| fits(*workflow)).collect();
        let names = |role: Role| self.model.models_of(role).iter().map(ToString::to_string).collect();
        let models: BTreeMap<Role, Vec<String>> =
            Role::ALL.into_iter().map(|role| (role, names(role))).collect();
        let limits = RouteLimits {
            workflows: &workflows,
            planned: specification.workflow,
            models: &models,
            top_models: settings.top_models,
        };
        let mut route = route(agent, specification, limits).await;
        for correction in &mut route.corrected {
            *correction = self.redactor.clean(correction);
        }
        let name = format!("route-{ordinal}.json");
        let artifact = json_artifact(task, ArtifactKind::Route, &name, &route)?;
        Ok((route, artifact))
    }

    /// Stops where a deployment does not do such work.
    pub(super) fn allowed(&self, workflow: Workflow) -> Result<(), StageError> {
        if self.settings.router.workflows.contains(&workflow) {
            return Ok(());
        }
        let limit =
            format!("the workflow `{}` is not among those that this deployment allows", workflow.as_str());
        Err(StageError::stop(Reason::LimitReached { limit }))
    }
}

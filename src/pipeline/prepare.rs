//! What is worked out about a task before people see it: its route, where a router is asked, and the short design
//! of a large one. Both stand in the plan, so they are part of what is approved; the agents of the work follow the route.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::agents::{AgentContext, DEFAULT_MAX_ANSWERS, Prompts, design, route};
use crate::config::Limits;
use crate::domain::{Preparation, Reason, Role, Route, RouteLimits, Size, Task, TaskSpecification, Workflow};
use crate::llm::boundary::PromptText;
use crate::llm::{Model, ModelName};
use crate::store::{Artifact, ArtifactKind};

use super::purse::purse;
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
            // Ours to say, whatever the model that read the issue says. The template was added by us.
            let template = specification.prepared.template.take();
            let by_template = template.as_ref().and_then(|template| template.workflow);
            specification.prepared = Preparation { template, ..Preparation::default() };
            if self.settings.router.is_asked && !names_workflow(task) {
                if let Some(workflow) = by_template {
                    self.allowed(workflow)?;
                }
                let fits = |workflow| by_template.is_none_or(|only| only == workflow);
                let (route, artifact) = self.route(task, agent, (&specification, ordinal), fits).await?;
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

    /// What an agent works with. What the task spent before counts against its budget.
    pub(super) fn agent(&self, task: &Task, limits: &Limits, prompts: Arc<Prompts>) -> AgentContext {
        let route = task.plan.as_ref().and_then(|plan| plan.specification.prepared.route.as_ref());
        AgentContext {
            model: self.model_by(route),
            prompts,
            task: Some(task.id),
            budgets: vec![Arc::new(purse(&self.store, task, limits))],
            max_answers: DEFAULT_MAX_ANSWERS,
        }
    }

    /// The models as a route orders them.
    pub(super) fn model_by(&self, route: Option<&Route>) -> Arc<dyn Model> {
        let parsed = |models: &[String]| models.iter().filter_map(|name| name.parse().ok()).collect();
        let chosen: BTreeMap<Role, Vec<ModelName>> = route
            .iter()
            .flat_map(|route| &route.models)
            .map(|(role, models)| (*role, parsed(models)))
            .collect();
        let model = if chosen.is_empty() { None } else { self.model.choosing(&chosen) };
        model.unwrap_or_else(|| Arc::clone(&self.model))
    }
}

/// Whether the person who wrote the task says how it is worked on, so that there is nothing to choose.
fn names_workflow(task: &Task) -> bool {
    task.given.as_ref().is_some_and(|given| given.workflow.is_some())
}

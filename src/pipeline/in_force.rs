//! What holds for a task: what the deployment decides, as the repository's rules narrow it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::agents::{AgentContext, DEFAULT_MAX_ANSWERS, Prompts};
use crate::config::{RepositoryPolicy, RouterConfig};
use crate::domain::{OptionalStage, Reason, Role, Route, SwitchedBy, SwitchedOff, Task, Workflow};
use crate::llm::{Model, ModelName};

use super::models::model_lists;
use super::purse::purse;
use super::{Pipeline, StageError};

/// The deployment's decisions under the rules of one repository.
pub(super) struct InForce {
    /// Which workflows there are, and whether a router is asked.
    pub router: RouterConfig,
    pub switched_off: Vec<SwitchedOff>,
    /// Asks the models that the repository wants.
    pub model: Arc<dyn Model>,
    /// What the rules ask for in vain, one sentence each.
    pub notes: Vec<String>,
}

impl InForce {
    pub fn off(&self, stage: OptionalStage) -> Option<SwitchedBy> {
        SwitchedOff::of(&self.switched_off, stage)
    }

    /// Stops where such work is not done.
    pub fn allowed(&self, workflow: Workflow) -> Result<(), StageError> {
        if self.router.workflows.contains(&workflow) {
            return Ok(());
        }
        let name = workflow.as_str();
        let limit =
            format!("the workflow `{name}` is not among those that are allowed here: {}", self.workflows());
        Err(StageError::stop(Reason::LimitReached { limit }))
    }

    /// The workflows that may be used.
    ///
    /// # Errors
    /// Where the repository wants none of those that the deployment allows.
    pub fn some_workflow(&self) -> Result<&[Workflow], StageError> {
        if self.router.workflows.is_empty() {
            let limit =
                "this deployment allows none of the workflows that the repository's rules name".to_owned();
            return Err(StageError::stop(Reason::LimitReached { limit }));
        }
        Ok(&self.router.workflows)
    }

    fn workflows(&self) -> String {
        let names: Vec<&str> = self.router.workflows.iter().map(|workflow| workflow.as_str()).collect();
        if names.is_empty() { "none is".to_owned() } else { names.join(", ") }
    }

    /// The models as a route orders them.
    pub fn model_by(&self, route: Option<&Route>) -> Arc<dyn Model> {
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

impl Pipeline {
    pub(super) fn in_force(&self, policy: &RepositoryPolicy) -> InForce {
        let settings = &self.settings;
        let (router, mut notes) = settings.router.for_repository(&policy.router);
        let (lists, faults) = settings.models.for_repository(&policy.models);
        notes.extend(faults);
        let (switched_off, faults) = settings.stages.for_repository(&policy.stages);
        notes.extend(faults);
        let model = lists.and_then(|lists| self.model.asking(model_lists(&settings.models, &lists)));
        let model = model.unwrap_or_else(|| Arc::clone(&self.model));
        let notes = notes.iter().map(|note| self.redactor.clean(note)).collect();
        InForce { router, switched_off, model, notes }
    }

    /// What an agent works with. What the task spent before counts against its budget.
    pub(super) fn agent(
        &self,
        task: &Task,
        policy: &RepositoryPolicy,
        prompts: Arc<Prompts>,
    ) -> AgentContext {
        let route = task.plan.as_ref().and_then(|plan| plan.specification.prepared.route.as_ref());
        let limits = self.settings.limits.lowered_by(&policy.limits);
        AgentContext {
            model: self.in_force(policy).model_by(route),
            prompts,
            task: Some(task.id),
            budgets: vec![Arc::new(purse(&self.store, task, &limits))],
            max_answers: DEFAULT_MAX_ANSWERS,
        }
    }
}

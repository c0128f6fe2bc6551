//! What is worked out about a task before people see it: its route, where a router is asked, and the short design
//! of a large one. Both stand in the plan, so they are part of what is approved; the agents of the work follow the route.

use std::collections::BTreeMap;

use crate::agents::{AgentContext, design, route};
use crate::domain::{
    LabelledWorkflow, OptionalStage, Preparation, Role, Route, RouteLimits, Size, SwitchedBy, Task,
    TaskSpecification, Workflow,
};
use crate::llm::boundary::PromptText;
use crate::store::{Artifact, ArtifactKind};

use super::in_force::InForce;
use super::{Pipeline, StageError, agent_failure, json_artifact};

/// What the tasks of a reading are prepared under.
pub(super) struct Frame<'a> {
    pub in_force: &'a InForce,
    /// A workflow that people named by a label holds for all tasks, and no router is asked.
    pub labelled: &'a LabelledWorkflow,
    /// The repository's overview, and the places that fit.
    pub shown: (&'a PromptText, &'a PromptText),
}

impl Frame<'_> {
    /// What people have to know who decide on the task.
    fn notes(&self, specification: &TaskSpecification) -> Vec<String> {
        let mut notes: Vec<String> =
            self.in_force.notes.iter().chain(&self.labelled.notes).cloned().collect();
        if specification.workflow.ends_in_answer() {
            return notes;
        }
        for stage in OptionalStage::ALL {
            // What is always so in a deployment is nothing to tell at each plan.
            if self.in_force.off(stage) == Some(SwitchedBy::Repository) {
                let what = match stage {
                    OptionalStage::Design if specification.size != Size::Large => continue,
                    OptionalStage::Design => "no design of this large task was made",
                    OptionalStage::Review => "no reviewer will look at the change",
                    OptionalStage::Verify => "what reviewers find will not be held against the code",
                };
                let name = stage.as_str();
                notes.push(format!("The repository's rules switch `stages.{name}` off: {what}."));
            }
        }
        notes
    }
}

impl Pipeline {
    /// The tasks of a reading with their routes and designs.
    pub(super) async fn prepared(
        &self,
        task: &Task,
        agent: &AgentContext,
        specifications: Vec<TaskSpecification>,
        frame: Frame<'_>,
    ) -> Result<(Vec<TaskSpecification>, Vec<Artifact>), StageError> {
        let (mut all, mut kept) = (Vec::new(), Vec::new());
        for (mut specification, ordinal) in specifications.into_iter().zip(1..) {
            // Ours to say, whatever the model that read the issue says. The template was added by us.
            let template = specification.prepared.template.take();
            let by_template = template.as_ref().and_then(|template| template.workflow);
            specification.prepared = Preparation { template, ..Preparation::default() };
            if let Some(workflow) = frame.labelled.workflow {
                specification.workflow = workflow;
            } else if frame.in_force.router.is_asked && !names_workflow(task) {
                if let Some(workflow) = by_template {
                    frame.in_force.allowed(workflow)?;
                }
                let fits = |workflow| by_template.is_none_or(|only| only == workflow);
                let subject = (&specification, ordinal);
                let (route, artifact) = self.route(task, (agent, frame.in_force), subject, fits).await?;
                specification.workflow = route.workflow;
                specification.prepared.route = Some(route);
                kept.push(artifact);
            }
            frame.in_force.allowed(specification.workflow)?;
            let is_designed = frame.in_force.off(OptionalStage::Design).is_none();
            if is_designed && specification.size == Size::Large && !specification.workflow.ends_in_answer() {
                let designed = design(agent, &specification, frame.shown).await;
                let designed = designed.map_err(|error| StageError::Stop {
                    reason: agent_failure("discussion", &error),
                    kept: std::mem::take(&mut kept),
                })?;
                specification.prepared.design = self.redactor.clean(&designed);
            }
            let notes = frame.notes(&specification);
            specification.prepared.notes = notes.iter().map(|note| self.redactor.clean(note)).collect();
            all.push(specification);
        }
        Ok((all, kept))
    }

    /// Asks the router. Only workflows that `fits` takes are possible.
    pub(super) async fn route(
        &self,
        task: &Task,
        (agent, in_force): (&AgentContext, &InForce),
        (specification, ordinal): (&TaskSpecification, u32),
        fits: impl Fn(Workflow) -> bool,
    ) -> Result<(Route, Artifact), StageError> {
        let settings = &in_force.router;
        let workflows: Vec<Workflow> =
            settings.workflows.iter().copied().filter(|workflow| fits(*workflow)).collect();
        let names =
            |role: Role| in_force.model.models_of(role).iter().map(|model| model.name.to_string()).collect();
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
}

/// Whether the person who wrote the task says how it is worked on, so that there is nothing to choose.
fn names_workflow(task: &Task) -> bool {
    task.given.as_ref().is_some_and(|given| given.workflow.is_some())
}

//! Asks which workflow, models and controls fit a task. Whatever comes back is held within the limits, so this
//! never fails: where no usable answer comes, the defaults hold, and the route says so.

use serde_json::{Value, json};

use super::AgentContext;
use super::error::AgentError;
use super::{sections, structured};
use crate::domain::{Role, Route, RouteLimits, TaskSpecification, Workflow};
use crate::llm::boundary::{PromptText, Written};

const MODELS_MAX_CHARS: usize = 20_000;
/// One answer and one attempt to mend it: a router that needs more saves nothing.
const MOST_ANSWERS: usize = 2;

pub async fn route(
    context: &AgentContext,
    specification: &TaskSpecification,
    limits: RouteLimits<'_>,
) -> Route {
    match ask(context, specification, limits).await {
        Ok(answer) => Route::checked(&answer, limits),
        Err(error) => {
            tracing::warn!(%error, "no route, the defaults are used");
            Route::default_because(
                limits,
                format!("the router gave no usable answer, so the defaults hold: {error}"),
            )
        }
    }
}

async fn ask(
    context: &AgentContext,
    specification: &TaskSpecification,
    limits: RouteLimits<'_>,
) -> Result<Value, AgentError> {
    let models: String = limits
        .models
        .iter()
        .filter(|(role, _)| asked_in_work(**role))
        .map(|(role, models)| format!("{role}: {}\n", models.join(", ")))
        .collect();
    let workflows: Vec<&str> = limits.workflows.iter().map(|workflow| workflow.as_str()).collect();
    let values = [
        ("specification", sections::specification(specification)),
        (
            "workflows",
            PromptText::data("workflows", &workflows.join(", "), Written::AsCode, MODELS_MAX_CHARS),
        ),
        ("models", PromptText::data("models", &models, Written::AsCode, MODELS_MAX_CHARS)),
        ("top_models", PromptText::number(limits.top_models)),
    ];
    let prompt = context.prompts.render_owned("router", &values)?;
    let context = AgentContext { max_answers: MOST_ANSWERS, ..context.clone() };
    let call = context.call(Role::Router, "route", &prompt);
    structured::ask(&context, &call, prompt, schema(limits.workflows), Ok).await
}

/// The roles whose models a route may choose.
fn asked_in_work(role: Role) -> bool {
    !matches!(role, Role::Router | Role::Discussion)
}

fn schema(workflows: &[Workflow]) -> Value {
    let worker = json!({
        "type": "object",
        "properties": {"role": {"type": "string"}, "model": {"type": "string"}},
        "required": ["role", "model"],
        "additionalProperties": false,
    });
    let names: Vec<&str> = workflows.iter().map(|workflow| workflow.as_str()).collect();
    json!({
        "type": "object",
        "properties": {
            "workflow": {"type": "string", "enum": names},
            "workers": {"type": "array", "items": worker},
            "controls": {
                "type": "object",
                "properties": {"use_debate": {"type": "boolean"}, "max_rounds": {"type": "integer"}},
                "required": ["use_debate", "max_rounds"],
                "additionalProperties": false,
            },
        },
        "required": ["workflow", "workers", "controls"],
        "additionalProperties": false,
    })
}

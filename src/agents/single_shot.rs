//! The whole change in one answer: edits of code and of tests, applied all or none, and repaired a bounded number
//! of times where they do not fit.

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::AgentContext;
use super::error::{AgentError, Interrupted, Interruption};
use super::fixer::FixInput;
use super::implementer::{ImplementInput, Implemented};
use super::prompts::Rendered;
use super::structured::object_in;
use super::tool_calls::{self, Finish};
use super::tool_loop::{Step, StepCall, ToolLimits, recorded};
use super::tools::{ANSWER_MAX_CHARS, ToolAnswer, ToolOutcome, ToolRequest, Toolbox, cut_in_the_middle};
use crate::domain::Usage;
use crate::llm::boundary::{PromptText, Written};
use crate::llm::{Answer, CallContext, Message, Request, Role, StopReason};

/// Most edits of one answer.
const MAX_EDITS: usize = 400;
const FAULTS_MAX_CHARS: usize = 2 * ANSWER_MAX_CHARS;

/// A change as the model gives it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proposal {
    summary: String,
    commit_subject: String,
    code: Vec<EditAnswer>,
    tests: Vec<EditAnswer>,
}

/// One edit: `old` and `new` for a place, `new` alone for a whole file, neither to delete it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct EditAnswer {
    path: String,
    #[serde(default)]
    old: Option<String>,
    #[serde(default)]
    new: Option<String>,
}

/// Carries out a task. `files` are the files that it is about, whole, as [`file_text`] shows them.
pub async fn implement_at_once(
    context: &AgentContext,
    toolbox: &dyn Toolbox,
    limits: ToolLimits,
    input: ImplementInput<'_>,
    files: &PromptText,
) -> Result<Implemented, AgentError> {
    let mut values = input.values();
    values.retain(|(name, _)| *name != "snippets");
    values.push(("files", files.or("(none)")));
    let prompt = context.prompts.render_owned("single_shot", &values)?;
    let call = context.call(Role::Implementer, "implement", &prompt);
    run(Shot { context, call: &call, toolbox, limits }, prompt).await
}

/// Mends a change. `files` are the files that it changed, as they are now.
pub async fn fix_at_once(
    context: &AgentContext,
    toolbox: &dyn Toolbox,
    limits: ToolLimits,
    input: FixInput<'_>,
    files: &PromptText,
) -> Result<Implemented, AgentError> {
    let mut values = input.values();
    values.push(("files", files.or("(none)")));
    let prompt = context.prompts.render_owned("single_shot_fix", &values)?;
    let call = context.call(Role::Fixer, "fix", &prompt);
    run(Shot { context, call: &call, toolbox, limits }, prompt).await
}

/// A file for these prompts: without line numbers, so that text can be copied from it.
pub fn file_text(path: &str, text: &str, max_chars: usize) -> PromptText {
    PromptText::data(path, text, Written::AsCode, max_chars)
}

#[derive(Clone, Copy)]
struct Shot<'a> {
    context: &'a AgentContext,
    call: &'a CallContext,
    toolbox: &'a dyn Toolbox,
    limits: ToolLimits,
}

/// What happened so far.
#[derive(Default)]
struct Progress {
    transcript: Vec<Step>,
    usage: Usage,
    /// What became of the tree with the last answer that could be applied.
    applied: Option<Finish>,
}

async fn run(shot: Shot<'_>, prompt: Rendered) -> Result<Implemented, AgentError> {
    let mut progress = Progress::default();
    let wall = shot.limits.wall;
    let ended = match tokio::time::timeout(wall, attempts(shot, prompt, &mut progress)).await {
        Ok(ended) => ended,
        Err(_) => Err(Ended::Interrupted(Interruption::WallTime(wall))),
    };
    let Progress { transcript, usage, .. } = progress;
    match ended {
        Ok(finish) => Ok(Implemented {
            summary: finish.summary,
            commit_subject: finish.commit_subject,
            steps: transcript.len() as u32,
            transcript,
            usage,
        }),
        Err(Ended::Interrupted(why)) => {
            Err(AgentError::Interrupted(Box::new(Interrupted { why, transcript, usage })))
        }
        Err(Ended::Junk { attempts, last_fault }) => Err(AgentError::Junk { attempts, last_fault }),
    }
}

enum Ended {
    Interrupted(Interruption),
    Junk { attempts: usize, last_fault: String },
}

async fn attempts(shot: Shot<'_>, prompt: Rendered, progress: &mut Progress) -> Result<Finish, Ended> {
    let mut request = Request {
        system: prompt.system.into_string(),
        messages: vec![Message::user(prompt.user)],
        tools: Vec::new(),
        max_output_tokens: None,
        temperature: None,
        response_schema: Some(schema()),
    };
    let attempts = shot.context.max_answers.max(1);
    let mut last_fault = String::new();
    let mut objected = false;
    let started = Instant::now();
    for attempt in 1..=attempts {
        check_limits(&shot.limits, progress, started)?;
        let answer = shot.context.model.call(shot.call, request.clone()).await;
        let answer = answer.map_err(|error| Ended::Interrupted(Interruption::Model(error)))?;
        progress.usage += answer.usage;
        let fault = match proposal(&answer) {
            Err(fault) => {
                note(progress, &answer, None);
                fault
            }
            Ok(proposal) => match apply(shot, progress, &answer, proposal).await? {
                Err(fault) => fault,
                Ok(finish) => {
                    // As with tools: what is wrong with the tree is told once; whoever takes it over checks again.
                    let asked = !objected && attempt < attempts;
                    objected = true;
                    match if asked { objection(shot).await? } else { None } {
                        None => return Ok(finish),
                        Some(fault) => {
                            format!("The edits were applied, and the tree is now as they made it. {fault}")
                        }
                    }
                }
            },
        };
        last_fault = fault;
        request.messages.push(answer.into_message());
        request.messages.push(Message::user(PromptText::joined(
            [
                PromptText::own("This is not right yet:"),
                PromptText::data("faults", &last_fault, Written::AsCode, FAULTS_MAX_CHARS),
                PromptText::own("Answer again with the whole JSON object and nothing else."),
            ],
            "\n",
        )));
    }
    match progress.applied.take() {
        Some(finish) => Ok(finish),
        None => Err(Ended::Junk { attempts, last_fault }),
    }
}

fn check_limits(limits: &ToolLimits, progress: &Progress, started: Instant) -> Result<(), Ended> {
    let (used, spent) = (progress.usage.tokens(), progress.usage.cost_micro_usd);
    let why = if progress.transcript.len() as u64 >= u64::from(limits.steps) {
        Some(Interruption::Steps(limits.steps))
    } else if started.elapsed() >= limits.wall {
        Some(Interruption::WallTime(limits.wall))
    } else if let Some(limit) = limits.tokens.filter(|&limit| used >= limit) {
        Some(Interruption::Tokens { used, limit })
    } else {
        let limit = limits.cost_micro_usd.filter(|&limit| spent >= limit);
        limit.map(|limit| Interruption::Cost { spent, limit })
    };
    why.map_or(Ok(()), |why| Err(Ended::Interrupted(why)))
}

async fn objection(shot: Shot<'_>) -> Result<Option<String>, Ended> {
    shot.toolbox.objection().await.map_err(|error| Ended::Interrupted(Interruption::Toolbox(error)))
}

/// Applies all edits, or none. The inner `Err` tells the model what is wrong.
async fn apply(
    shot: Shot<'_>,
    progress: &mut Progress,
    answer: &Answer,
    (proposal, finish): (Vec<ToolRequest>, Finish),
) -> Result<Result<Finish, String>, Ended> {
    if proposal.is_empty() {
        note(progress, answer, None);
        return Ok(Ok(finish));
    }
    let request = ToolRequest::Together { edits: proposal };
    let done = shot.toolbox.call(&request).await;
    let done = done.map_err(|error| Ended::Interrupted(Interruption::Toolbox(error)))?;
    let done = ToolAnswer { text: cut_in_the_middle(&done.text, ANSWER_MAX_CHARS), ..done };
    note(progress, answer, Some(done.clone()));
    Ok(match done.outcome {
        ToolOutcome::Done => {
            progress.applied = Some(finish.clone());
            Ok(finish)
        }
        ToolOutcome::Failed => Err(done.text),
    })
}

fn note(progress: &mut Progress, answer: &Answer, applied: Option<ToolAnswer>) {
    let number = progress.transcript.len() as u32 + 1;
    let arguments = object_in(&answer.text).unwrap_or(Value::Null);
    let call = |answer| StepCall { name: "edits".to_owned(), arguments: recorded(&arguments), answer };
    let text = if applied.is_some() { String::new() } else { answer.text.clone() };
    progress.transcript.push(Step { number, text, calls: applied.map(call).into_iter().collect() });
}

/// The edits of an answer, or what is wrong with it.
fn proposal(answer: &Answer) -> Result<(Vec<ToolRequest>, Finish), String> {
    let object = match (&answer.stop, object_in(&answer.text)) {
        (StopReason::Refused, _) => return Err("you refused to answer".to_owned()),
        (_, Some(object)) => object,
        (StopReason::OutputLimit, None) => {
            return Err(
                "the answer was cut off at the output limit: give edits of places instead of whole files"
                    .into(),
            );
        }
        (_, None) => return Err("there is no JSON object in the answer".to_owned()),
    };
    let proposal: Proposal = serde_json::from_value(object).map_err(|error| error.to_string())?;
    let finish = json!({ "summary": proposal.summary, "commit_subject": proposal.commit_subject });
    let finish = tool_calls::finish(&finish)?;
    let edits: Vec<_> = proposal.code.into_iter().chain(proposal.tests).collect();
    if edits.len() > MAX_EDITS {
        return Err(format!("there are {} edits, {MAX_EDITS} at most", edits.len()));
    }
    Ok((edits.into_iter().map(EditAnswer::request).collect(), finish))
}

impl EditAnswer {
    fn request(self) -> ToolRequest {
        let Self { path, old, new } = self;
        match (old, new) {
            (Some(old), new) if !old.is_empty() => {
                ToolRequest::Edit { path, old, new: new.unwrap_or_default() }
            }
            (_, Some(content)) => ToolRequest::Write { path, content },
            (_, None) => ToolRequest::Delete { path },
        }
    }
}

fn schema() -> Value {
    let edit = json!({
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "old": {"type": ["string", "null"]},
            "new": {"type": ["string", "null"]},
        },
        "required": ["path", "old", "new"],
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "properties": {
            "summary": {"type": "string"},
            "commit_subject": {"type": "string"},
            "code": {"type": "array", "items": edit},
            "tests": {"type": "array", "items": edit},
        },
        "required": ["summary", "commit_subject", "code", "tests"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_told_from_a_whole_file_and_from_a_deletion() {
        let edit = |old: Option<&str>, new: Option<&str>| {
            EditAnswer { path: "a".into(), old: old.map(str::to_owned), new: new.map(str::to_owned) }
                .request()
        };
        let path = || "a".to_owned();
        assert_eq!(
            edit(Some("x"), Some("y")),
            ToolRequest::Edit { path: path(), old: "x".into(), new: "y".into() }
        );
        assert_eq!(
            edit(Some("x"), None),
            ToolRequest::Edit { path: path(), old: "x".into(), new: String::new() }
        );
        assert_eq!(edit(None, Some("y")), ToolRequest::Write { path: path(), content: "y".into() });
        assert_eq!(edit(Some(""), Some("y")), ToolRequest::Write { path: path(), content: "y".into() });
        assert_eq!(edit(None, None), ToolRequest::Delete { path: path() });
    }
}

//! The loop of a model with tools: calls, answers, limits, and a record of every step.
//!
//! What is said is kept in [`super::history`], and whether it goes round in circles is told by
//! [`super::stuck`]. What the model is told about a limit is nothing: a loop that reaches one ends, and its
//! record goes to whoever decides what follows.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AgentContext;
use super::error::{AgentError, Interrupted, Interruption};
use super::history::History;
use super::prompts::Rendered;
use super::stuck::{Stuck, StuckLimits, StuckWatch};
use super::tool_calls::{self, EditStyle, Finish, Understood};
use super::tools::{ANSWER_MAX_CHARS, ToolAnswer, ToolOutcome, ToolRequest, Toolbox, cut_in_the_middle};
use crate::domain::Usage;
use crate::llm::boundary::PromptText;
use crate::llm::{Answer, CallContext, Message, Request, StopReason, ToolCall, ToolDefinition, ToolResult};

/// Longest argument that is kept in a record, in characters.
const RECORDED_MAX_CHARS: usize = 4_000;

/// Where a loop ends at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolLimits {
    /// Answers of the model.
    pub steps: u32,
    pub wall: Duration,
    /// All tokens of the loop, cached ones included.
    pub tokens: Option<u64>,
    pub cost_micro_usd: Option<u64>,
    /// Bytes of the conversation after which it is condensed.
    pub history_bytes: usize,
    pub stuck: StuckLimits,
}

/// About 100,000 tokens: half of what the usual models take.
const DEFAULT_HISTORY_BYTES: usize = 400_000;

impl Default for ToolLimits {
    fn default() -> Self {
        Self {
            steps: 60,
            wall: Duration::from_secs(30 * 60),
            tokens: None,
            cost_micro_usd: None,
            history_bytes: DEFAULT_HISTORY_BYTES,
            stuck: StuckLimits::default(),
        }
    }
}

/// One answer of the model and what its calls brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// From 1.
    pub number: u32,
    pub text: String,
    pub calls: Vec<StepCall>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepCall {
    pub name: String,
    pub arguments: Value,
    pub answer: ToolAnswer,
}

/// How a loop ended well.
pub(super) struct Finished {
    pub finish: Finish,
    pub transcript: Vec<Step>,
    pub usage: Usage,
}

/// What a loop works with.
#[derive(Clone, Copy)]
pub(super) struct LoopInput<'a> {
    pub context: &'a AgentContext,
    pub call: &'a CallContext,
    pub toolbox: &'a dyn Toolbox,
    pub limits: ToolLimits,
}

/// Half of what a model takes, at four bytes a token: the rest is for its answers and for counting amiss.
fn half_in_bytes(tokens: u64) -> usize {
    usize::try_from(tokens.saturating_mul(2)).unwrap_or(usize::MAX)
}

pub(super) async fn run(input: LoopInput<'_>, prompt: Rendered) -> Result<Finished, AgentError> {
    let model = input.context.model.first_choice(input.call.role);
    let style = EditStyle::of(model.as_ref().map(|model| &model.name));
    let room = model.and_then(|model| model.context_tokens).map_or(usize::MAX, half_in_bytes);
    let mut state = Loop {
        input,
        system: prompt.system.into_string(),
        tools: tool_calls::definitions(style),
        history: History::new(prompt.user, input.limits.history_bytes.min(room)),
        started: Instant::now(),
        transcript: Vec::new(),
        usage: Usage::default(),
        stuck: StuckWatch::new(input.limits.stuck),
        objected: Objected::NotYet,
    };
    // The wall time holds for a command or call that is under way, too.
    let outcome = match tokio::time::timeout(input.limits.wall, state.run()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Interruption::WallTime(input.limits.wall)),
    };
    let Loop { transcript, usage, .. } = state;
    match outcome {
        Ok(finish) => Ok(Finished { finish, transcript, usage }),
        Err(why) => Err(AgentError::Interrupted(Box::new(Interrupted { why, transcript, usage }))),
    }
}

struct Loop<'a> {
    input: LoopInput<'a>,
    system: String,
    tools: Vec<ToolDefinition>,
    history: History,
    started: Instant,
    transcript: Vec<Step>,
    usage: Usage,
    stuck: StuckWatch,
    objected: Objected,
}

/// Whether the model was told what is wrong with the tree that it called done.
#[derive(PartialEq)]
enum Objected {
    NotYet,
    Once,
}

impl Loop<'_> {
    async fn run(&mut self) -> Result<Finish, Interruption> {
        loop {
            self.check_limits()?;
            self.history.condense(&self.transcript);
            let model = &self.input.context.model;
            let answer = model.call(self.input.call, self.request()).await.map_err(Interruption::Model)?;
            self.usage += answer.usage;
            let number = self.transcript.len() as u32 + 1;
            self.transcript.push(Step { number, text: answer.text.clone(), calls: Vec::new() });
            if answer.tool_calls.is_empty() {
                self.without_call(answer)?;
                continue;
            }
            if let Some(finish) = self.with_calls(answer).await? {
                return Ok(finish);
            }
        }
    }

    fn request(&self) -> Request {
        Request {
            system: self.system.clone(),
            messages: self.history.messages().to_vec(),
            tools: self.tools.clone(),
            max_output_tokens: None,
            temperature: None,
            response_schema: None,
        }
    }

    fn check_limits(&self) -> Result<(), Interruption> {
        let limits = self.input.limits;
        if self.transcript.len() as u64 >= u64::from(limits.steps) {
            return Err(Interruption::Steps(limits.steps));
        }
        if self.started.elapsed() >= limits.wall {
            return Err(Interruption::WallTime(limits.wall));
        }
        let used = self.usage.tokens();
        if let Some(limit) = limits.tokens.filter(|&limit| used >= limit) {
            return Err(Interruption::Tokens { used, limit });
        }
        let spent = self.usage.cost_micro_usd;
        if let Some(limit) = limits.cost_micro_usd.filter(|&limit| spent >= limit) {
            return Err(Interruption::Cost { spent, limit });
        }
        Ok(())
    }

    fn without_call(&mut self, answer: Answer) -> Result<(), Interruption> {
        if let Some(stuck) = self.stuck.turn_without_call() {
            return Err(stuck.into());
        }
        let reminder = match answer.stop {
            StopReason::OutputLimit => {
                "Your answer was cut off at the output limit before a tool call was whole. Do less in one turn: \
                 edit a file in several steps instead of writing it at once."
            }
            _ => {
                "You called no tool. Go on with a tool, or call `finish` if the work is done or cannot be done."
            }
        };
        self.history.push(answer.into_message());
        self.history.push(Message::user(PromptText::own(reminder)));
        Ok(())
    }

    async fn with_calls(&mut self, answer: Answer) -> Result<Option<Finish>, Interruption> {
        let calls = answer.tool_calls.clone();
        let cut_off = answer.stop == StopReason::OutputLimit;
        self.history.push(answer.into_message());
        let understood: Vec<_> =
            calls.iter().map(|call| tool_calls::understand(&call.name, &call.arguments)).collect();
        let mut told: Vec<ToolAnswer> = Vec::with_capacity(calls.len());
        while let Some(call) = calls.get(told.len()) {
            let at = told.len();
            let failed_before = told.iter().any(|answer| answer.outcome == ToolOutcome::Failed);
            let edits = calls[at..].iter().take_while(|call| tool_calls::edits(&call.name)).count();
            let answers = if cut_off {
                vec![ToolAnswer::failed(
                    "not carried out: your answer was cut off at the output limit; do less in one turn",
                )]
            } else if edits > 0 {
                self.edits(&understood[at..at + edits]).await?
            } else {
                vec![match &understood[at] {
                    Err(fault) => ToolAnswer::failed(fault.as_str()),
                    Ok(Understood::Finish(_)) if failed_before => ToolAnswer::failed(
                        "another call of this turn failed: look at its answer before you finish",
                    ),
                    Ok(Understood::Finish(finish)) => match self.objection().await? {
                        Some(objection) => ToolAnswer::failed(objection),
                        None => {
                            self.write_down(call, ToolAnswer::done("finished"));
                            return Ok(Some(finish.clone()));
                        }
                    },
                    Ok(Understood::Tool(request)) => {
                        self.input.toolbox.call(request).await.map_err(Interruption::Toolbox)?
                    }
                }]
            };
            for (call, answer) in calls[at..].iter().zip(answers) {
                let answer = ToolAnswer { text: cut_in_the_middle(&answer.text, ANSWER_MAX_CHARS), ..answer };
                if answer.outcome == ToolOutcome::Done {
                    self.history.note_edit(call);
                }
                self.write_down(call, answer.clone());
                told.push(answer);
            }
        }
        if let Some(stuck) = self.stuck.turn(calls.iter().zip(&told)) {
            return Err(stuck.into());
        }
        let results =
            calls.iter().zip(&told).map(|(call, answer)| ToolResult::of(call, shown(answer))).collect();
        self.history.push(Message::ToolResults { results });
        Ok(None)
    }

    /// Edits that stand together in an answer: all of them apply, or none.
    async fn edits(
        &self,
        understood: &[Result<Understood, String>],
    ) -> Result<Vec<ToolAnswer>, Interruption> {
        let mut requests = Vec::with_capacity(understood.len());
        for one in understood {
            if let Ok(Understood::Tool(request)) = one {
                requests.push(request.clone());
            }
        }
        if requests.len() < understood.len() {
            let answer = |one: &Result<Understood, String>| match one {
                Err(fault) => ToolAnswer::failed(fault.as_str()),
                Ok(_) => ToolAnswer::failed(
                    "not carried out: another edit of this turn is not right, and all apply or none",
                ),
            };
            return Ok(understood.iter().map(answer).collect());
        }
        let request = match <[ToolRequest; 1]>::try_from(requests) {
            Ok([request]) => request,
            Err(edits) => ToolRequest::Together { edits },
        };
        let first = self.input.toolbox.call(&request).await.map_err(Interruption::Toolbox)?;
        let others = match first.outcome {
            ToolOutcome::Done => "done together with the first edit of this turn: see its answer",
            ToolOutcome::Failed => {
                "not done, like the first edit of this turn: see its answer for what is wrong"
            }
        };
        let others =
            vec![ToolAnswer { outcome: first.outcome, text: others.to_owned() }; understood.len() - 1];
        Ok([vec![first], others].concat())
    }

    async fn objection(&mut self) -> Result<Option<String>, Interruption> {
        if self.objected == Objected::Once {
            return Ok(None);
        }
        let objection = self.input.toolbox.objection().await.map_err(Interruption::Toolbox)?;
        if objection.is_some() {
            self.objected = Objected::Once;
        }
        Ok(objection)
    }

    fn write_down(&mut self, call: &ToolCall, answer: ToolAnswer) {
        let call = StepCall { name: call.name.clone(), arguments: recorded(&call.arguments), answer };
        if let Some(step) = self.transcript.last_mut() {
            step.calls.push(call);
        }
    }
}

impl From<Stuck> for Interruption {
    fn from(stuck: Stuck) -> Self {
        match stuck {
            Stuck::SameTurn(times) => Self::SameCall(times),
            Stuck::SameError(times) => Self::SameError(times),
            Stuck::Alternating(times) => Self::Alternating(times),
            Stuck::NoCall(times) => Self::NoToolCall(times),
        }
    }
}

/// The providers have no common field for a failed tool, so the text says it.
fn shown(answer: &ToolAnswer) -> PromptText {
    // Longer than what was cut already by the line that says so, and the word for a failure.
    let most = ANSWER_MAX_CHARS + 100;
    match answer.outcome {
        ToolOutcome::Done => PromptText::answer(&answer.text, most).or("(nothing)"),
        ToolOutcome::Failed => PromptText::answer(&format!("FAILED: {}", answer.text), most),
    }
}

/// Arguments with long texts cut: a record is for reading.
pub(super) fn recorded(arguments: &Value) -> Value {
    match arguments {
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| (key.clone(), recorded(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::String(text) => cut_in_the_middle(text, RECORDED_MAX_CHARS).into(),
        other => other.clone(),
    }
}

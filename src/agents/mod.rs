//! The roles that a model plays: typed input → prompt → typed output that was checked.
//!
//! An agent knows nothing of the others, of GitHub or of the pipeline. What a model answers is never
//! believed: junk is told back to it a bounded number of times, and then the work goes to a person.

mod answer;
mod change;
mod command;
mod critic;
mod design;
mod discussion;
mod error;
mod fixer;
mod history;
mod implementer;
mod judge;
mod prompts;
mod repository_prompts;
mod reviewer;
mod router;
mod sections;
mod single_shot;
mod structured;
mod stuck;
mod tool_calls;
mod tool_loop;
pub mod tools;
mod verifier;

use std::sync::Arc;

use crate::domain::TaskId;
use crate::llm::{CallContext, CallLabel, Model, Purse, Role};

pub use answer::{AnswerInput, Desk, Draft, Look, Solver};
pub use change::{Change, ChangedFile, Hunk, HunkLine};
pub use command::{command_fix_prompt, command_prompt};
pub use critic::{JudgedAnswer, criticise, verify_answer};
pub use design::design;
pub use discussion::{DiscussionInput, DiscussionOutcome, MAX_QUESTIONS, Workflows, discuss};
pub use error::{AgentError, Interrupted, Interruption};
pub use fixer::{FixInput, Wrong, fix};
pub use implementer::{ImplementInput, Implemented, implement};
pub use judge::{Comparison, JudgeInput, compare};
pub use prompts::{PromptError, PromptSource, Prompts, Rendered};
pub use repository_prompts::PROMPTS_FOLDER;
pub use reviewer::{
    FailedReview, LooksFor, Review, ReviewAnswers, ReviewInput, Reviewer, WORDS_MAX_CHARS, review, review_all,
};
pub use router::route;
pub use single_shot::{file_text, fix_at_once, implement_at_once};
pub use structured::object_in;
pub use stuck::StuckLimits;
pub use tool_calls::{Finish, Understood, understand};
pub use tool_loop::{Step, StepCall, ToolLimits};
pub use verifier::{Verification, VerifyInput, verify};

/// What every agent is given besides its input.
#[derive(Clone)]
pub struct AgentContext {
    pub model: Arc<dyn Model>,
    pub prompts: Arc<Prompts>,
    /// For the records.
    pub task: Option<TaskId>,
    /// All of them have to cover each call.
    pub budgets: Vec<Arc<dyn Purse>>,
    /// How often a model may answer one question, the first time included.
    pub max_answers: usize,
}

/// Three answers: one, and two attempts to mend it.
pub const DEFAULT_MAX_ANSWERS: usize = 3;

impl AgentContext {
    fn call(&self, role: Role, stage: impl Into<String>, prompt: &Rendered) -> CallContext {
        let label = CallLabel { task: self.task, stage: stage.into(), prompt: Some(prompt.used.clone()) };
        CallContext { role, label, budgets: self.budgets.clone() }
    }
}

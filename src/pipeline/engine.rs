//! Who writes a change: a model with tools, a model in one answer, or an agent's own command line. Each leaves its
//! work in the session's tree, where the same guard, path policy and gates judge it.

use std::io::Read;
use std::sync::Arc;

use crate::agents::tools::ToolAnswer;
use crate::agents::{
    AgentContext, AgentError, FixInput, ImplementInput, Implemented, Interrupted, Interruption, Step,
    StepCall, ToolLimits, command_fix_prompt, command_prompt, fix, fix_at_once, implement, implement_at_once,
};
use crate::config::{AgentLine, ChosenEngine, RepositoryPolicy};
use crate::domain::{Reason, Task, Usage};
use crate::engines::{Account, AgentCommand, Filled, Metered, Metering, Spent};
use crate::llm::boundary::{PromptText, cut_in_the_middle};
use crate::llm::{CallLabel, LlmError, Role};
use crate::sandbox::{Captured, Command, LimitHit, Limits, Outcome, Session};
use crate::store::{Artifact, ArtifactKind};

use super::toolbox::{SandboxToolbox, how, in_words};
use super::{Pipeline, StageError};

/// What an agent's command printed is kept up to here, in bytes of each stream.
const MOST_KEPT: u64 = 4 << 20;
/// Longest part of it that is the summary of the work, and that a failure tells of each stream, in characters.
const SUMMARY_CHARS: usize = 4_000;
const LAST_WORDS_CHARS: usize = 600;

/// What there is to write.
pub(super) enum Job<'a> {
    Implement(ImplementInput<'a>),
    Fix(FixInput<'a>),
}

/// What to write it with.
pub(super) struct Desk<'a> {
    pub task: &'a Task,
    pub agent: &'a AgentContext,
    pub session: &'a dyn Session,
    pub toolbox: &'a SandboxToolbox<'a>,
    pub limits: ToolLimits,
    /// Whole files, for an answer without tools.
    pub files: &'a PromptText,
}

/// What came of it, and what there is to keep of how.
pub(super) struct Written {
    pub done: Result<Implemented, AgentError>,
    pub kept: Vec<Artifact>,
}

/// The prompt file that a change is written by.
pub(super) fn prompt_of(engine: ChosenEngine<'_>) -> &'static str {
    match engine {
        ChosenEngine::ToolLoop => "implementer",
        ChosenEngine::SingleShot => "single_shot",
        ChosenEngine::Command { .. } => "command",
    }
}

impl Pipeline {
    /// Who writes the changes of a repository.
    pub(super) fn engine(&self, policy: &RepositoryPolicy) -> Result<ChosenEngine<'_>, StageError> {
        let chosen = self.settings.implementer.chosen_by(&policy.implementer);
        let chosen = chosen.map_err(|detail| StageError::stop(Reason::RulesUnusable { detail }))?;
        // A dry run asks nobody and starts nothing: its model has one answer, and that is for the loop.
        Ok(if self.metering.is_none() { ChosenEngine::ToolLoop } else { chosen })
    }

    pub(super) async fn write(
        &self,
        engine: ChosenEngine<'_>,
        desk: &Desk<'_>,
        job: Job<'_>,
    ) -> Result<Written, StageError> {
        let Desk { agent, toolbox, limits, files, .. } = *desk;
        let done = match (engine, job) {
            (ChosenEngine::ToolLoop, Job::Implement(input)) => implement(agent, toolbox, limits, input).await,
            (ChosenEngine::ToolLoop, Job::Fix(input)) => fix(agent, toolbox, limits, input).await,
            (ChosenEngine::SingleShot, Job::Implement(input)) => {
                implement_at_once(agent, toolbox, limits, input, files).await
            }
            (ChosenEngine::SingleShot, Job::Fix(input)) => {
                fix_at_once(agent, toolbox, limits, input, files).await
            }
            (ChosenEngine::Command { name, line }, job) => {
                return self.run_agent(desk, (name, line), job).await;
            }
        };
        Ok(Written { done, kept: Vec::new() })
    }

    /// Runs an agent's command line with its own way to models.
    async fn run_agent(
        &self,
        desk: &Desk<'_>,
        (name, line): (&str, &AgentLine),
        job: Job<'_>,
    ) -> Result<Written, StageError> {
        let internal = |detail: String| StageError::stop(Reason::Internal { detail });
        let (role, stage, prompt) = match &job {
            Job::Implement(input) => {
                (Role::Implementer, "implement", command_prompt(&desk.agent.prompts, input))
            }
            Job::Fix(input) => (Role::Fixer, "fix", command_fix_prompt(&desk.agent.prompts, input)),
        };
        let (prompt, used) = prompt.map_err(|error| internal(error.to_string()))?;
        let metering: &Arc<Metering> =
            self.metering.as_ref().ok_or_else(|| internal("there is no metering proxy".into()))?;
        let account = Account {
            role,
            label: CallLabel { task: Some(desk.task.id), stage: stage.to_owned(), prompt: Some(used) },
            budgets: desk.agent.budgets.clone(),
            models: Role::ALL.into_iter().flat_map(|role| desk.agent.model.models_of(role)).collect(),
            most_calls: desk.limits.steps,
        };
        let proxy = metering
            .open(account)
            .await
            .map_err(|error| internal(format!("the metering proxy cannot be started: {error}")))?;
        // Of candidates, each has its own first choice.
        let model = desk.agent.model.first_choice(role).map(|model| model.name.model).unwrap_or_default();
        let agent =
            AgentCommand { argv: line.argv.clone(), env: line.env.clone(), mounts: line.mounts.clone() };
        // It works as long as the stage lets it, however long a gate may.
        let limits = Limits { wall: desk.limits.wall, ..self.settings.command_limits.clone() };
        let limits = Limits { cpu: limits.cpu.max(limits.wall * 4), ..limits };
        let filled = Filled { prompt: prompt.as_str(), model: &model, path: &desk.toolbox.path() };
        let command = agent.command(filled, limits, proxy.socket());
        let outcome = desk.session.run(&desk.toolbox.with_dependencies(command.clone())).await;
        let metered = proxy.finish().await;
        let ran = Ran { name, command: &command, outcome: outcome?, metered };
        Ok(self.come_to(desk, &ran))
    }

    fn come_to(&self, desk: &Desk<'_>, ran: &Ran<'_>) -> Written {
        let said = |stream: &Captured| self.redactor.clean(stream.text().trim());
        let (stdout, stderr) = (said(&ran.outcome.stdout), said(&ran.outcome.stderr));
        let summary = if stdout.is_empty() { "The agent said nothing.".to_owned() } else { stdout.clone() };
        let end = match ran.outcome.limit {
            Some(limit) => format!("{} ({})", how(ran.outcome.exit), in_words(limit)),
            None => how(ran.outcome.exit),
        };
        let answer = format!("{end}, {} calls of a model\n{stderr}", ran.metered.calls);
        let answer = ToolAnswer::done(cut_in_the_middle(&answer, SUMMARY_CHARS));
        let arguments = serde_json::json!({ "command": ran.name });
        let call = StepCall { name: "command".to_owned(), arguments, answer };
        let transcript = vec![Step { number: 1, text: tail(&summary, SUMMARY_CHARS), calls: vec![call] }];
        let usage: Usage = ran.metered.usage;
        let done = match ran.interruption(desk.limits, &end, &last_words(&stdout, &stderr)) {
            Some(why) => Err(AgentError::Interrupted(Box::new(Interrupted { why, transcript, usage }))),
            None => Ok(Implemented {
                summary: tail(&summary, SUMMARY_CHARS),
                // Made of the task's title: the agent's words are no subject.
                commit_subject: String::new(),
                transcript,
                steps: ran.metered.calls,
                usage,
            }),
        };
        let log = Artifact {
            kind: ArtifactKind::AgentLog,
            version: desk.task.version,
            name: "agent.log".to_owned(),
            body: self.log(ran, &end).into_bytes(),
        };
        Written { done, kept: vec![log] }
    }

    /// Everything that it printed and what it was refused, without a secret of the deployment.
    fn log(&self, ran: &Ran<'_>, end: &str) -> String {
        let mut log = format!("command {}: {end}\n{} calls of a model\n", ran.name, ran.metered.calls);
        for refused in &ran.metered.refused {
            log.push_str(&format!("refused: {} {}: {}\n", refused.status, refused.path, refused.reason));
        }
        for (name, stream) in
            [("standard output", &ran.outcome.stdout), ("standard error", &ran.outcome.stderr)]
        {
            let mut bytes = Vec::new();
            let whole = stream.whole().take(MOST_KEPT).read_to_end(&mut bytes);
            let text = match whole {
                Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(_) => stream.text(),
            };
            log.push_str(&format!("--- {name}, {} bytes\n{text}\n", stream.total_bytes()));
        }
        self.redactor.clean(&log)
    }
}

/// A command that has ended.
struct Ran<'a> {
    name: &'a str,
    command: &'a Command,
    outcome: Outcome,
    metered: Metered,
}

impl Ran<'_> {
    /// Why its work is not whole. What it did until then is in the tree.
    fn interruption(&self, limits: ToolLimits, end: &str, said: &str) -> Option<Interruption> {
        let Metered { unrecorded, spent, last_failure, .. } = &self.metered;
        if let Some(error) = unrecorded {
            return Some(Interruption::Model(LlmError::NotRecorded(error.clone())));
        }
        match spent {
            Some(Spent::Budget(error)) => return Some(Interruption::Model(error.clone())),
            Some(Spent::Calls(_)) => return Some(Interruption::Steps(limits.steps)),
            None => {}
        }
        if self.outcome.limit == Some(LimitHit::Wall) {
            return Some(Interruption::WallTime(self.command.limits.wall));
        }
        if self.outcome.succeeded() {
            return None;
        }
        match last_failure {
            Some(error) => Some(Interruption::Model(error.clone())),
            None => {
                let (name, how, said) = (self.name.to_owned(), end.to_owned(), said.to_owned());
                Some(match self.outcome.limit {
                    Some(_) => Interruption::CommandLimit { name, how, said },
                    None => Interruption::Command { name, how, said },
                })
            }
        }
    }
}

/// The end of what a command printed. Some agents say on one stream what went wrong, some on the other.
fn last_words(stdout: &str, stderr: &str) -> String {
    let end = |stream: &str| tail(stream, LAST_WORDS_CHARS);
    match (stdout.is_empty(), stderr.is_empty()) {
        (false, false) => {
            format!("standard output:\n{}\nstandard error:\n{}", end(stdout), end(stderr))
        }
        (true, _) => end(stderr),
        (false, true) => end(stdout),
    }
}

/// The end of a text, which is where agents say what they did.
fn tail(text: &str, chars: usize) -> String {
    let skipped = text.chars().count().saturating_sub(chars);
    text.chars().skip(skipped).collect()
}

/// What an engine has to keep, with what the stage keeps.
pub(super) fn with_kept<T>(
    taken: Result<(T, Vec<Artifact>), StageError>,
    more: Vec<Artifact>,
) -> Result<(T, Vec<Artifact>), StageError> {
    match taken {
        Ok((value, mut kept)) => {
            kept.extend(more);
            Ok((value, kept))
        }
        Err(StageError::Stop { reason, mut kept }) => {
            kept.extend(more);
            Err(StageError::Stop { reason, kept })
        }
        Err(error) => Err(error),
    }
}

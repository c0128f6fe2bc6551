//! A model's tools, all of them inside the sandbox: our own program is there to serve the file tools,
//! so that no process with a secret ever opens a path that a model chose.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::agents::tools::{CommandEnd, ToolAnswer, ToolRequest, Toolbox, ToolboxError, command_answer};
use crate::gates::Dependencies;
use crate::sandbox::{Command, Exit, LimitHit, Limits, PROGRAM_INSIDE, SandboxError, Session};

use super::Pipeline;
use super::commit::NextCommit;

/// Longest time of a command that names none, and longest that one may ask for.
const DEFAULT_COMMAND: Duration = Duration::from_secs(300);

pub(super) struct SandboxToolbox<'a> {
    session: &'a dyn Session,
    limits: Limits,
    /// What the gates see of the project's packages, for the model's commands too.
    dependencies: Dependencies,
    /// What the tree would become when the model says that it is done.
    next: &'a NextCommit<'a>,
}

impl Pipeline {
    /// The tools of a model, with the dependencies that the gates see.
    pub(super) fn toolbox<'a>(
        &self,
        dependencies: Dependencies,
        next: &'a NextCommit<'a>,
        session: &'a dyn Session,
    ) -> SandboxToolbox<'a> {
        SandboxToolbox { session, limits: self.settings.command_limits.clone(), dependencies, next }
    }
}

impl SandboxToolbox<'_> {
    /// Folders of the project's packages for `PATH`, each with a colon behind it.
    pub(super) fn path(&self) -> String {
        self.dependencies.path().iter().map(|folder| format!("{folder}:")).collect()
    }

    /// A command with what the gates see of the project's packages; what it says itself is stronger.
    pub(super) fn with_dependencies(&self, command: Command) -> Command {
        let (mut env, mut mounts) = (self.dependencies.env(), self.dependencies.mounts());
        env.extend(command.env);
        mounts.extend(command.mounts);
        Command { env, mounts, scratch: self.dependencies.scratch(), ..command }
    }

    async fn run(&self, line: &str, timeout: Option<u32>) -> Result<ToolAnswer, ToolboxError> {
        let asked = timeout.map_or(DEFAULT_COMMAND, |seconds| Duration::from_secs(seconds.into()));
        let line = format!("PATH={}$PATH; export PATH\n{line}", self.path());
        let command = self.with_dependencies(Command {
            limits: Limits { wall: asked.min(self.limits.wall), ..self.limits.clone() },
            ..Command::new(["/bin/sh", "-c", &line])
        });
        let outcome = self.session.run(&command).await.map_err(|error| ToolboxError(error.to_string()))?;
        let end = CommandEnd {
            how: how(outcome.exit),
            limit: outcome.limit.map(|limit| in_words(limit).to_owned()),
            stdout: &outcome.stdout.text(),
            stderr: &outcome.stderr.text(),
        };
        Ok(command_answer(&end))
    }
}

/// Has our own program do what a file tool was asked for, inside the sandbox.
pub(super) async fn serve(
    session: &dyn Session,
    limits: &Limits,
    request: &ToolRequest,
) -> Result<ToolAnswer, ToolboxError> {
    let broken = |error: String| ToolboxError(error);
    let stdin = serde_json::to_vec(request).map_err(|error| broken(error.to_string()))?;
    let mut command = Command::new([PROGRAM_INSIDE, "in-sandbox", "tool"]);
    command.stdin = Some(stdin);
    command.limits = Limits { wall: Duration::from_secs(60), ..limits.clone() };
    let outcome = session.run(&command).await.map_err(|error| broken(error.to_string()))?;
    if !outcome.succeeded() {
        let said = outcome.stderr.text();
        return Ok(ToolAnswer::failed(format!("the tool ended with {}: {said}", how(outcome.exit))));
    }
    serde_json::from_str(&outcome.stdout.text()).map_err(|error| broken(error.to_string()))
}

impl Toolbox for SandboxToolbox<'_> {
    fn call<'a>(&'a self, call: &'a ToolRequest) -> BoxFuture<'a, Result<ToolAnswer, ToolboxError>> {
        Box::pin(async move {
            match call {
                ToolRequest::Run { command, timeout_seconds } => self.run(command, *timeout_seconds).await,
                ToolRequest::List { .. }
                | ToolRequest::Search { .. }
                | ToolRequest::Read { .. }
                | ToolRequest::Edit { .. }
                | ToolRequest::Write { .. }
                | ToolRequest::Delete { .. }
                | ToolRequest::Patch { .. }
                | ToolRequest::Together { .. } => serve(self.session, &self.limits, call).await,
            }
        })
    }

    fn objection(&self) -> BoxFuture<'_, Result<Option<String>, ToolboxError>> {
        Box::pin(async move {
            match self.session.read_back().await {
                Ok(back) => self.next.objection(&back.tree).map_err(|error| ToolboxError(error.to_string())),
                Err(error) => match unreadable(&error) {
                    Some(fault) => Ok(Some(format!("The tree cannot be taken over: {fault}"))),
                    None => Err(ToolboxError(error.to_string())),
                },
            }
        })
    }
}

/// Why a tree could not even be read, where its files are the reason.
fn unreadable(error: &SandboxError) -> Option<String> {
    match error {
        SandboxError::TreeRefused(_) | SandboxError::TreeTooLarge { .. } => Some(error.to_string()),
        _ => None,
    }
}

pub(super) fn how(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    }
}

pub(super) fn in_words(limit: LimitHit) -> &'static str {
    match limit {
        LimitHit::Wall => "ended by the time limit",
        LimitHit::Cpu => "ended by the processor time limit",
        LimitHit::Memory => "the memory limit was hit",
        LimitHit::Processes => "the limit of processes was hit",
        LimitHit::FileSize => "the limit for one file's size was hit",
        LimitHit::Disk => "the disk limit was hit",
        LimitHit::Output => "it printed more than is allowed",
    }
}

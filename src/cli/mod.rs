//! The command line: arguments become one command, a command ends in an exit code.

mod context;
mod demo;
mod doctor;
mod exit;
mod export;
mod gates;
mod in_sandbox;
mod prompts;
mod run;
mod serve;
mod simulate;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::config::{Config, Environment, FILE_NAME};
use crate::telemetry::{self, LogFormat};

pub use exit::Exit;

/// Turns labelled issues into reviewed pull requests.
#[derive(Debug, Parser)]
#[command(name = "orchestrator", version, arg_required_else_help = true)]
struct Arguments {
    /// The configuration file. Default: `orchestrator.yaml` in this folder, where there is one.
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive webhooks and work on tasks.
    Serve,
    /// Play the whole story on this machine: issue, plan, approval, code, gates, reviews, pull request, mail.
    Demo(demo::DemoArguments),
    /// Start the GitHub stand-in, the scripted model and the inbox alone, to play with.
    Simulate(simulate::SimulateArguments),
    /// Work on an issue in a repository of your own, without GitHub; ends in a local `auto/` branch.
    Run(run::RunArguments),
    /// Show the gates that are found in a repository, and with `--run` run them in the sandbox.
    Gates(gates::GatesArguments),
    /// Show the files and places that a model would see for an issue, and why.
    Context(context::ContextArguments),
    /// Show which prompt file is in force for each job, and why.
    Prompts(prompts::PromptsArguments),
    /// Print what the database holds, for other programs, or write it into a folder.
    Export(export::ExportArguments),
    /// Check everything that a deployment needs and say how to mend what is missing.
    Doctor(doctor::DoctorArguments),
    /// What our own program does inside a sandbox.
    #[command(hide = true)]
    InSandbox(in_sandbox::InSandboxArguments),
}

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::InSandbox(inside) = &arguments.command {
        return in_sandbox::main(inside);
    }
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&anyhow::Error::new(error).context("no threads to work with")),
    };
    match runtime.block_on(dispatch(arguments)) {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error),
    }
}

async fn dispatch(arguments: Arguments) -> anyhow::Result<Exit> {
    let environment = Environment::of_process();
    match arguments.command {
        Command::Serve => serve::serve(load(arguments.config, &environment)?).await,
        Command::Demo(demo) => demo::demo(demo, arguments.config, &environment).await,
        Command::Simulate(simulate) => simulate::simulate(simulate).await,
        Command::Run(run) => run::run(run, arguments.config, &environment).await,
        Command::Gates(gates) => gates::gates(gates, arguments.config, &environment).await,
        Command::Context(context) => context::context(context, arguments.config, &environment).await,
        Command::Prompts(prompts) => prompts::prompts(prompts, arguments.config, &environment).await,
        Command::Export(export) => export::export(export, arguments.config, &environment).await,
        Command::Doctor(doctor) => doctor::doctor(doctor, arguments.config, &environment).await,
        Command::InSandbox(_) => Ok(Exit::Usage),
    }
}

/// The file that is named, by argument or by variable, or the usual one where it exists.
fn configuration_file(file: Option<PathBuf>, environment: &Environment) -> Option<PathBuf> {
    let usual = PathBuf::from(FILE_NAME);
    file.or_else(|| environment.get("ORCHESTRATOR_CONFIG").map(PathBuf::from))
        .or_else(|| usual.exists().then_some(usual))
}

/// The configuration of a deployment: the named file, or the usual one where it exists.
fn load_quietly(file: Option<PathBuf>, environment: &Environment) -> anyhow::Result<Config> {
    let file = configuration_file(file, environment);
    Ok(Config::load(file.as_deref(), environment)?)
}

/// The same, with the log as it configures it.
fn load(file: Option<PathBuf>, environment: &Environment) -> anyhow::Result<Config> {
    let config = load_quietly(file, environment)?;
    telemetry::init(config.log.format, &config.log.filter).context("the log cannot be set up")?;
    for notice in &config.notices {
        tracing::warn!("{notice}");
    }
    Ok(config)
}

/// Logs of commands that talk to a person: warnings only, unless asked for more.
fn quiet_log(verbose: bool) -> anyhow::Result<()> {
    let filter = if verbose { "info" } else { "error" };
    telemetry::init(LogFormat::Pretty, filter).context("the log cannot be set up")
}

/// Listens for Ctrl-C and for the order to stop from now on; the future ends when one of them has come. Also what
/// comes before the future is awaited counts.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

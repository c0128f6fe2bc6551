//! `orchestrator in-sandbox …`: what our own program does inside a sandbox. No configuration is read,
//! no environment, and there is no secret to be had.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

/// The status of a helper that could not do its part, as timeout(1) and chroot(1) use it.
const HELPER_FAILED: u8 = 125;

#[derive(Debug, Args)]
pub(super) struct InSandboxArguments {
    #[command(subcommand)]
    what: Inside,
}

#[derive(Debug, Subcommand)]
enum Inside {
    /// Serve one request of a model's file tools: JSON in, JSON out.
    Tool,
    /// Serve one request of the host as the first process of a container.
    Supervise,
    /// Run a command whose only way out is the egress proxy.
    Forward {
        #[arg(long)]
        socket: PathBuf,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

pub(super) fn main(arguments: &InSandboxArguments) -> ExitCode {
    let done = match &arguments.what {
        Inside::Tool => crate::agents::tools::serve(
            std::io::stdin().lock(),
            std::io::stdout().lock(),
            Path::new(crate::sandbox::WORK),
        )
        .map(|()| 0),
        Inside::Supervise => crate::sandbox::inside::supervise(),
        Inside::Forward { socket, command } => crate::sandbox::inside::forward(socket, command),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("orchestrator: {error}");
            ExitCode::from(HELPER_FAILED)
        }
    }
}

//! `orchestrator demo`: the whole story on this machine, with nobody's account and nobody's key.
//!
//! A real deployment works against the simulator's GitHub, the scripted model and the inbox; what a
//! maintainer does is done by HTTP, as a maintainer. At the end everything is read back from the servers:
//! what the deployment believes of itself counts for nothing here.

mod files;
mod readback;
mod story;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::application::Application;
use crate::config::{Config, Environment};
use crate::simulator::model::Scenario;
use crate::simulator::surroundings::{Surroundings, SurroundingsOptions};
use crate::telemetry::clock;

use super::{Exit, quiet_log};

#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Where everything that the demo made is put, in a new folder for each run.
    #[arg(long, value_name = "FOLDER", default_value = "demo-out")]
    out: PathBuf,
    /// Use the models of the real configuration instead of the scripted one.
    #[arg(long)]
    live: bool,
    /// Print the deployment's log too.
    #[arg(long, short)]
    verbose: bool,
}

/// Longest time that any step of the story may take.
const SCRIPTED_PATIENCE: Duration = Duration::from_secs(300);
const LIVE_PATIENCE: Duration = Duration::from_secs(3_600);

pub(super) async fn demo(
    arguments: DemoArguments,
    file: Option<PathBuf>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    quiet_log(arguments.verbose)?;
    let folder = arguments.out.join(clock::now().format("%Y%m%dT%H%M%SZ").to_string());
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let state = tempfile::tempdir().context("no folder for the demo's state")?;
    println!("Orchestrator's main job, on this machine: a GitHub, a model and an inbox are simulated, the");
    println!("HTTP, git, database, sandbox and mail are real.\n");
    let scenario = Scenario::embedded("demo")?;
    let surroundings = Surroundings::start(SurroundingsOptions::new(&folder, scenario)).await?;
    let config = configuration(
        &surroundings,
        state.path(),
        arguments.live.then_some((file, environment)),
        environment,
    )?;
    let application = Application::build(&config).await?;
    surroundings.deliver_to(application.address()?);
    let store = application.store.clone();
    let github = application.github.clone();
    let stop = CancellationToken::new();
    let deployment = tokio::spawn(application.run(stop.clone()));
    let patience = if arguments.live { LIVE_PATIENCE } else { SCRIPTED_PATIENCE };
    let told = story::play(&surroundings, &store, &github, patience).await;
    let summary = match &told {
        Ok(played) => readback::read(&surroundings, &store, played, arguments.live).await,
        Err(error) => Err(anyhow::anyhow!("{error:#}")),
    };
    let written = match (&told, &summary) {
        (Ok(played), Ok(summary)) => files::write(&folder, &surroundings, &store, played, summary).await,
        _ => Ok(()),
    };
    stop.cancel();
    deployment.await.context("the deployment panicked")??;
    told?;
    let summary = summary?;
    written?;
    readback::report(&folder, &summary);
    Ok(if summary.faults.is_empty() { Exit::Done } else { Exit::Failed })
}

/// The demo's configuration. Without `--live` nothing of the person's environment gets in but where
/// programs and certificates are.
fn configuration(
    surroundings: &Surroundings,
    state: &Path,
    live: Option<(Option<PathBuf>, &Environment)>,
    environment: &Environment,
) -> anyhow::Result<Config> {
    let mut pairs = surroundings.environment();
    for name in ["PATH", "SSL_CERT_FILE"] {
        pairs.extend(environment.get(name).map(|value| (name.to_owned(), value.to_owned())));
    }
    pairs.push(("ORCHESTRATOR_DATA_DIR".into(), state.display().to_string()));
    pairs.push(("ORCHESTRATOR_LISTEN".into(), "127.0.0.1:0".into()));
    let scripted: Environment = pairs.into_iter().collect();
    let mut config = Config::from_text(Path::new("demo.yaml"), include_str!("demo.yaml"), &scripted)?;
    if let Some((file, environment)) = live {
        config.models = super::load_quietly(file, environment)?.models;
        config.limits.stage_wall = LIVE_PATIENCE;
    }
    Ok(config)
}

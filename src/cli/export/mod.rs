//! `orchestrator export`: what the database holds, for people and other programs. Nothing is changed, and what is
//! printed or written has passed the redactor.

mod calls;
mod folder;
mod pairs;
mod preferences;
mod record;
mod run;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::application::{self, Source};
use crate::config::{Config, Environment};
use crate::store::{Store, embedded::EmbeddedPostgres};
use crate::telemetry::Redactor;

use super::{Exit, load_quietly, quiet_log};

/// Connections of an export: it asks one thing after the other.
const CONNECTIONS: u32 = 2;

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    #[command(subcommand)]
    what: What,
    /// Print the log too.
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Pairs of candidates, chosen and rejected, as JSON Lines: for whoever trains or compares models.
    Preferences(preferences::PreferencesArguments),
    /// Everything that is known of one task as a folder: plan, reviews, gates, decisions, log, patches, calls of models.
    Run(run::RunArguments),
}

pub(super) async fn export(
    arguments: ExportArguments,
    file: Option<PathBuf>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    quiet_log(arguments.verbose)?;
    let done = work(&arguments.what, file, environment).await;
    if let What::Run(run::RunArguments { json: true, .. }) = &arguments.what {
        let value = match &done {
            Ok(value) => value.clone(),
            Err(error) => {
                let exit = Exit::of(error);
                json!({ "outcome": exit.name(), "exit": exit as u8, "error": format!("{error:#}") })
            }
        };
        println!("{value}");
    }
    done.map(|_| Exit::Done)
}

async fn work(what: &What, file: Option<PathBuf>, environment: &Environment) -> anyhow::Result<Value> {
    let config = load_quietly(file, environment)?;
    let opened = Opened::open(&config).await?;
    let done = match what {
        What::Preferences(preferences) => {
            preferences::preferences(&opened, preferences).await.map(|()| Value::Null)
        }
        What::Run(run) => run::run(&opened, run).await,
    };
    opened.close().await?;
    done
}

/// The deployment's database, and what knows its secrets.
struct Opened {
    store: Store,
    redactor: Redactor,
    database: Option<EmbeddedPostgres>,
}

impl Opened {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let (url, database) = application::database(config).await?;
        let store = Store::connect(&url, CONNECTIONS, application::rules(config, Source::GitHub)).await?;
        // Where an App is configured, its secrets have to be known to be taken out of what is exported.
        let has_key = config.github.private_key.is_some() || config.github.private_key_path.is_some();
        let credentials = has_key.then(|| config.github.app_credentials()).transpose()?;
        let redactor = application::redactor(config, credentials.as_ref());
        Ok(Self { store, redactor, database })
    }

    async fn close(self) -> anyhow::Result<()> {
        self.store.close().await;
        if let Some(database) = self.database {
            database.shutdown().await?;
        }
        Ok(())
    }
}

//! `orchestrator doctor`: what a deployment needs, whether it is there, and how to mend what is not.
//!
//! Everything is tried for real: a file is written, the private database started, a command run in a
//! sandbox, GitHub and the mail server asked, each model told to say one word. Nothing is changed that
//! `serve` would not make at its first start.

mod check;
mod machine;
mod services;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::application::redactor;
use crate::config::{Config, ConfigError, Environment};

use super::{Exit, configuration_file, quiet_log};
use check::{Check, Checks, Mark};
use services::ModelCalls;

#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Do not ask the models, which costs a few tokens each.
    #[arg(long)]
    no_model_calls: bool,
    /// Print the log too.
    #[arg(long, short)]
    verbose: bool,
}

pub(super) async fn doctor(
    arguments: DoctorArguments,
    file: Option<PathBuf>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    quiet_log(arguments.verbose)?;
    let file = configuration_file(file, environment);
    let mut answer =
        Answer { for_programs: arguments.json, found: Vec::new(), redact: Box::new(str::to_owned) };
    let config = match Config::load(file.as_deref(), environment) {
        Ok(config) => config,
        Err(error) => {
            answer.take(misconfigured(&error));
            answer.end();
            return Ok(Exit::Usage);
        }
    };
    let secrets = redactor(&config, config.github.app_credentials().ok().as_ref());
    answer.redact = Box::new(move |text| secrets.clean(text));
    answer.take(machine::configuration(&config, file.as_deref()));
    let folder = machine::data_folder(&config);
    let has_folder = folder.found.iter().all(|check| check.mark != Mark::Broken);
    answer.take(folder);
    let mut embedded = None;
    let mut store = None;
    if has_folder {
        let (checks, database) = machine::database(&config).await;
        answer.take(checks);
        (store, embedded) = (database.store, database.embedded);
        answer.take(machine::sandbox(&config).await);
    } else {
        for area in ["database", "sandbox"] {
            let mut checks = Checks::of(area);
            checks.not_checked("it needs the data folder");
            answer.take(checks);
        }
    }
    let calls = if arguments.no_model_calls { ModelCalls::LeftOut } else { ModelCalls::Made };
    answer.take(services::models(&config, calls, store.as_ref()).await);
    answer.take(services::github_app(&config).await);
    answer.take(machine::port(&config).await);
    answer.take(services::mail(&config).await);
    drop(store);
    if let Some(embedded) = embedded {
        embedded.shutdown().await?;
    }
    Ok(answer.end())
}

fn misconfigured(error: &ConfigError) -> Checks {
    let mut checks = Checks::of("configuration");
    checks.broken(error.to_string(), "change that; nothing else was checked");
    checks
}

/// What was found so far. A line is printed as soon as it is known.
struct Answer {
    for_programs: bool,
    found: Vec<Check>,
    redact: Box<dyn Fn(&str) -> String>,
}

impl Answer {
    fn take(&mut self, checks: Checks) {
        for mut check in checks.found {
            check.what = (self.redact)(&check.what);
            check.mend = check.mend.map(|mend| (self.redact)(&mend));
            if !self.for_programs {
                println!("{check}");
            }
            self.found.push(check);
        }
    }

    fn end(&self) -> Exit {
        let count = |mark| self.found.iter().filter(|check| check.mark == mark).count();
        let (broken, weak) = (count(Mark::Broken), count(Mark::Weak));
        if self.for_programs {
            println!(
                "{}",
                json!({ "ok": broken == 0, "broken": broken, "weak": weak, "checks": self.found })
            );
        } else if broken == 0 {
            println!("\nNothing is broken.");
        } else {
            println!("\n{broken} broken: mend that first.");
        }
        if broken == 0 { Exit::Done } else { Exit::Failed }
    }
}

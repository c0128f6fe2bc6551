//! `orchestrator prompts`: which prompt file is in force for each job, and why. No database, no model.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::agents::{PROMPTS_FOLDER, PromptSource, Prompts};
use crate::application;
use crate::config::{Config, Environment};
use crate::workspace::{Mirrors, SnapshotLimits};

use super::run::{InputError, surveyed};
use super::{Exit, load_quietly, quiet_log};

#[derive(Debug, Args)]
pub(super) struct PromptsArguments {
    /// Look at this git repository's own prompts too, as the commit has them that is checked out. A task takes them
    /// from the default branch.
    #[arg(long, value_name = "PATH")]
    repo: Option<PathBuf>,
    /// Print the text of one prompt instead of the list.
    #[arg(long, value_name = "NAME")]
    show: Option<String>,
    /// Print one JSON object, also where it is an error.
    #[arg(long)]
    json: bool,
    /// Print the log too.
    #[arg(long, short)]
    verbose: bool,
}

pub(super) async fn prompts(
    arguments: PromptsArguments,
    file: Option<PathBuf>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    quiet_log(arguments.verbose)?;
    let done = answer(&arguments, file, environment).await;
    match (&done, arguments.json) {
        (Ok((_, value)), true) => println!("{value}"),
        (Ok((text, _)), false) => print!("{text}"),
        (Err(error), true) => {
            let exit = Exit::of(error);
            let error = format!("{error:#}");
            println!("{}", json!({ "outcome": exit.name(), "exit": exit as u8, "error": error }));
        }
        (Err(_), false) => {}
    }
    done.map(|_| Exit::Done)
}

/// For people and for programs.
async fn answer(
    arguments: &PromptsArguments,
    file: Option<PathBuf>,
    environment: &Environment,
) -> anyhow::Result<(String, Value)> {
    let config = load_quietly(file, environment)?;
    let mut prompts = application::prompts(config.prompts_dir.as_deref())?;
    if let Some(repository) = arguments.repo.as_deref().filter(|_| config.repository_prompts)
        && let Some(own) = of_repository(&prompts, &config, repository).await?
    {
        prompts = own;
    }
    let Some(name) = &arguments.show else { return Ok(list(&prompts, &config, arguments.repo.as_deref())) };
    let found = prompts.in_force().find(|(known, ..)| known == name).zip(prompts.text(name));
    let ((_, version, source), text) = found.ok_or_else(|| InputError::NoPrompt {
        name: name.clone(),
        known: prompts.in_force().map(|(name, ..)| name).collect::<Vec<_>>().join(", "),
    })?;
    let value = json!({
        "name": name,
        "version": version,
        "source": source.kind(),
        "place": source.to_string(),
        "text": text,
    });
    Ok((text, value))
}

async fn of_repository(
    prompts: &Prompts,
    config: &Config,
    repository: &Path,
) -> anyhow::Result<Option<Prompts>> {
    let survey = surveyed(repository)?;
    let mirrors = Mirrors::new(config.data_dir.join("mirrors"));
    let local = mirrors.open_local(&survey.path).await.map_err(InputError::from)?;
    let (mirror, head) = (local.mirror.clone(), local.head.clone());
    let files =
        tokio::task::spawn_blocking(move || mirror.snapshot(&head, &SnapshotLimits::default())).await??;
    Ok(prompts.of_repository(&files, local.head.as_str()).map_err(InputError::from)?)
}

fn list(prompts: &Prompts, config: &Config, repository: Option<&Path>) -> (String, Value) {
    let why = |source: &PromptSource| match source {
        PromptSource::Repository { path, commit } => {
            format!("{path} of the repository, at {}", commit.get(..12).unwrap_or(commit))
        }
        PromptSource::Override(path) => format!("{}, which `prompts_dir` names", path.display()),
        PromptSource::Embedded if config.prompts_dir.is_some() => {
            "built in: `prompts_dir` has none of this name".to_owned()
        }
        PromptSource::Embedded => "built in".to_owned(),
    };
    let mut text = String::new();
    let mut entries = Vec::new();
    for (name, version, source) in prompts.in_force() {
        let why = why(source);
        text.push_str(&format!("{name:<22} version {version:<4} {why}\n"));
        entries.push(json!({
            "name": name,
            "version": version,
            "source": source.kind(),
            "place": source.to_string(),
            "why": why,
        }));
    }
    let note = match (repository, config.repository_prompts) {
        (_, false) => "A repository's own prompts do not count: `repository_prompts` is false.".to_owned(),
        (None, true) => format!("A repository's own, in {PROMPTS_FOLDER}, come before these: see --repo."),
        (Some(_), true) => String::new(),
    };
    if !note.is_empty() {
        text.push_str(&format!("\n{note}\n"));
    }
    let value = json!({
        "prompts": entries,
        "prompts_dir": config.prompts_dir,
        "repository_prompts": config.repository_prompts,
    });
    (text, value)
}

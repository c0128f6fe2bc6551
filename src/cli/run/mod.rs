//! `orchestrator run`: the pipeline on a person's own repository, without GitHub.
//!
//! The repository is read; the one thing that is written into it is a new `auto/` branch at the end. The
//! run is named by its first task and does its own jobs only, so that several of them, and a deployment,
//! share a data folder.

mod follow;
mod inputs;
mod outcome;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::application::LocalApplication;
use crate::config::{Config, Environment};
use crate::domain::{Account, Command, CommentId, Event, IssueNumber, Origin, State, Task, TaskId, UserId};
use crate::store::Store;
use crate::telemetry::clock;

use super::{Exit, load_quietly, quiet_log, stop_signal};
use follow::Follower;
pub(super) use inputs::{InputError, issue, lacks_key, surveyed};
use outcome::Ended;

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// The git repository to work on: its folder, or one inside it.
    #[arg(long, value_name = "PATH", default_value = ".")]
    repo: PathBuf,
    /// The issue as a text file: its first line is the title. `-` reads standard input.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["resume", "task"])]
    issue: Option<PathBuf>,
    /// The task itself as a YAML or JSON file, so that no issue has to be read; see docs/task.example.yaml.
    /// `-` reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "issue")]
    task: Option<PathBuf>,
    /// The branch to start from. Default: the one that is checked out.
    #[arg(long, value_name = "BASE")]
    branch: Option<String>,
    /// Go on with a run that stopped: the number of one of its tasks.
    #[arg(long, value_name = "TASK", conflicts_with_all = ["repo", "issue", "task", "branch"])]
    resume: Option<Uuid>,
    /// Where to write the report. Default: the folder `reports` of the data folder.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the outcome as one JSON object, also where it is an error.
    #[arg(long)]
    json: bool,
    /// Print the log too.
    #[arg(long, short)]
    verbose: bool,
}

/// How a run ended, as far as it came.
enum End {
    Ended(Box<Ended>, Value, String),
    /// Told to stop; what was done is kept.
    Interrupted(TaskId),
}

pub(super) async fn run(
    arguments: RunArguments,
    file: Option<PathBuf>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    let for_programs = arguments.json;
    let done = work(arguments, file, environment).await;
    let (exit, value) = match &done {
        Ok(End::Ended(ended, value, summary)) => {
            if !for_programs {
                println!("{summary}");
            }
            (ended.exit(), value.clone())
        }
        Ok(End::Interrupted(run)) => {
            let resume = format!("orchestrator run --resume {run}");
            eprintln!("stopped: what was done is kept; go on with: {resume}");
            let exit = Exit::NeedsPerson;
            (exit, json!({ "outcome": "interrupted", "exit": exit as u8, "run": run, "resume": resume }))
        }
        Err(error) => {
            let exit = Exit::of(error);
            (exit, json!({ "outcome": exit.name(), "exit": exit as u8, "error": format!("{error:#}") }))
        }
    };
    if for_programs {
        println!("{value}");
    }
    done.map(|_| exit)
}

async fn work(
    arguments: RunArguments,
    file: Option<PathBuf>,
    environment: &Environment,
) -> anyhow::Result<End> {
    quiet_log(arguments.verbose)?;
    let config = load_quietly(file, environment)?;
    if !config.dry_run {
        inputs::models(&config)?;
    }
    if let Some(report) = &arguments.report {
        inputs::report(report)?;
    }
    let fresh = match arguments.resume {
        None => fresh(&arguments, environment)?,
        Some(_) => None,
    };
    let mut run = TaskId(clock::new_id());
    let application = LocalApplication::build(&config, async |store| {
        run = chosen(store, arguments.resume, fresh.as_ref()).await?;
        Ok(run)
    })
    .await?;
    let told = match &fresh {
        Some(task) => begin(&application.store, task).await.map(|()| BTreeMap::new())?,
        None => take_up(&application.store, run, &person(environment)).await?,
    };
    follow(application, Followed { run, told }, &config, arguments.report.as_deref()).await
}

/// The task of a new run, if there is something to make it from.
fn fresh(arguments: &RunArguments, environment: &Environment) -> Result<Option<Task>, InputError> {
    let (given, issue) = (arguments.task.as_deref(), arguments.issue.as_deref());
    if given.is_none() && issue.is_none() {
        return Ok(None);
    }
    let place = inputs::place(&arguments.repo, arguments.branch.as_deref())?;
    let given = given.map(inputs::task).transpose()?;
    let (given, source) = match (given, issue) {
        (Some((given, source)), _) => (Some(given), Some(source)),
        (None, issue) => (None, issue.map(inputs::issue).transpose()?),
    };
    let repository = place.repository.display().to_string();
    let origin = Origin::Local { repository, base: place.base };
    let mut task = Task::new(TaskId(clock::new_id()), origin, person(environment), clock::now());
    (task.given, task.source) = (given, source);
    Ok(Some(task))
}

/// Who runs this, as the machine calls them. No account of GitHub has the number 0.
fn person(environment: &Environment) -> Account {
    let login = ["USER", "LOGNAME"].into_iter().find_map(|name| environment.get(name));
    Account { id: UserId(0), login: login.unwrap_or("local").to_owned() }
}

async fn chosen(store: &Store, resume: Option<Uuid>, fresh: Option<&Task>) -> anyhow::Result<TaskId> {
    match (fresh, resume) {
        (Some(task), _) => Ok(task.id),
        (None, Some(task)) => Ok(store.run_of(TaskId(task)).await?.ok_or(InputError::NoRun(task))?),
        (None, None) => anyhow::bail!("there is neither an issue nor a run to go on with"),
    }
}

async fn begin(store: &Store, task: &Task) -> anyhow::Result<()> {
    let mut transition = store.begin().await?;
    transition.create(task).await?;
    transition.commit().await.context("the run could not be noted down")
}

/// Goes on with the tasks that stopped; those that are at work go on by themselves. Answers the versions
/// that were told of before: of a task at work its present state is told once more.
async fn take_up(store: &Store, run: TaskId, by: &Account) -> anyhow::Result<BTreeMap<TaskId, u64>> {
    let mut told = BTreeMap::new();
    for task in store.tasks_of_run(run).await? {
        let at_work = u64::from(task.stage().is_some());
        told.insert(task.id, task.version.saturating_sub(at_work));
        if matches!(task.state, State::NeedsPerson { .. }) {
            // There is no comment to answer: its number and its place are not looked at.
            let (comment, on) = (CommentId(0), IssueNumber(0));
            let retry = Event::Commanded { command: Command::Retry, by: by.clone(), comment, on };
            store.apply(task.id, &retry, clock::now()).await?;
        }
    }
    Ok(told)
}

/// A run, and the versions of its tasks that were told of before.
struct Followed {
    run: TaskId,
    told: BTreeMap<TaskId, u64>,
}

/// Works until the run ends or the person stops it.
async fn follow(
    mut application: LocalApplication,
    Followed { run, told }: Followed,
    config: &Config,
    report: Option<&Path>,
) -> anyhow::Result<End> {
    let told_to_stop = stop_signal()?;
    let stop = CancellationToken::new();
    let working = application.work(stop.clone());
    let mut follower = Follower::new(&application.store, run, &application.redactor, told);
    if config.dry_run {
        follower.say("dry run: no model is asked, and nothing is changed");
    }
    let ended = tokio::select! {
        ended = follower.run_to_the_end() => Some(ended),
        () = told_to_stop => None,
    };
    drop(follower);
    let gathered = match ended {
        Some(Ok(())) => Some(outcome::gather(config, &application, run, report).await),
        Some(Err(error)) => Some(Err(error)),
        None => None,
    };
    let texts = gathered.map(|ended| {
        let ended = ended?;
        let value = outcome::as_json(&ended, &application.redactor);
        let summary = outcome::summary(&ended, &application.redactor);
        Ok(End::Ended(Box::new(ended), value, summary))
    });
    stop.cancel();
    working.await.context("the work broke off")?;
    application.close().await?;
    texts.unwrap_or(Ok(End::Interrupted(run)))
}

//! What the people of the story do, and what is seen of the deployment meanwhile.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::domain::{IssueNumber, RepositoryId, State, Task};
use crate::github::GitHub;
use crate::simulator::surroundings::{MAINTAINER, REPOSITORY, Surroundings};
use crate::speech::{Gateway, progress};
use crate::store::Store;
use crate::telemetry::clock;

/// How often the story looks whether something happened.
const LOOK: Duration = Duration::from_millis(40);

/// What happened, for reading it back.
pub(super) struct Played {
    pub issue: u64,
    pub task: Task,
    pub labelled_at: DateTime<Utc>,
    pub plan_comment: u64,
    /// Time that writes waited for GitHub's pace until the pull request was open.
    pub paced: Duration,
}

pub(super) async fn play(
    surroundings: &Surroundings,
    store: &Store,
    github: &GitHub,
    patience: Duration,
) -> anyhow::Result<Played> {
    let started = Instant::now();
    let project = &surroundings.project;
    let issue = surroundings.open_issue(MAINTAINER, &project.issue_title, &project.issue_body).await?;
    say(started, &format!("{MAINTAINER} opens issue #{issue}: {}", project.issue_title));
    surroundings.label(MAINTAINER, issue, "auto").await?;
    let labelled_at = clock::now();
    say(started, &format!("{MAINTAINER} labels it `auto`"));
    let plan = wait(patience, "the plan comment", || plan_comment(surroundings, issue)).await?;
    let plan_comment = plan["id"].as_u64().context("the plan comment has no id")?;
    say(started, "the plan is posted as a comment");
    surroundings.react(MAINTAINER, plan_comment, "+1").await?;
    say(started, &format!("{MAINTAINER} approves it with 👍"));
    let task = follow(surroundings, store, issue, started, patience).await?;
    let paced = github.paced();
    // The effects behind the pull request come one after the other; the mail is a lane of its own.
    wait(patience, "the last effects", || finished(surroundings, store, &task)).await?;
    say(started, "review, check run and mail are there");
    Ok(Played { issue, task, labelled_at, plan_comment, paced })
}

/// Prints each state that the task comes to, until the pull request is open or a person is needed.
async fn follow(
    surroundings: &Surroundings,
    store: &Store,
    issue: u64,
    started: Instant,
    patience: Duration,
) -> anyhow::Result<Task> {
    let repository = surroundings.get(&format!("/repos/{REPOSITORY}")).await?;
    let repository = RepositoryId(repository["id"].as_u64().context("the repository has no id")?);
    let mut shown = 0;
    let begun = Instant::now();
    loop {
        let tasks = store.tasks_of_issue(repository, IssueNumber(issue)).await?;
        let task = tasks.first().context("the issue has no task")?;
        let history = store.history(task.id).await?;
        let known = shown;
        for record in history.iter().filter(|record| record.version > known) {
            shown = record.version;
            let then = store.task_as_of(task.id, record.version).await?;
            if matches!(then.state, State::Discussing | State::AwaitingApproval) {
                continue;
            }
            let redact = |text: &str| text.to_owned();
            println!("{}", progress(&Gateway::new(&redact, &[]), &then, started.elapsed()));
        }
        match &task.state {
            State::PullRequestOpen => return Ok(task.clone()),
            State::NeedsPerson { reason, .. } => bail!("the task stopped and needs a person: {reason:?}"),
            State::Cancelled { reason } => bail!("the task was cancelled: {reason:?}"),
            _ => {}
        }
        if begun.elapsed() > patience {
            bail!("the task is still {} after {} s", task.state.name(), patience.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn plan_comment(surroundings: &Surroundings, issue: u64) -> anyhow::Result<Option<Value>> {
    Ok(surroundings.bot_comments(issue).await?.into_iter().next())
}

/// Whether every job of the task has ended.
async fn finished(surroundings: &Surroundings, store: &Store, task: &Task) -> anyhow::Result<Option<()>> {
    let mailed = surroundings.inbox.messages().len() >= 2;
    Ok((mailed && store.jobs_left(task.id).await? == 0).then_some(()))
}

/// Looks until there is something, or patience ends.
async fn wait<T, F>(patience: Duration, what: &str, look: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let begun = Instant::now();
    while begun.elapsed() < patience {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("{what} did not come within {} s", patience.as_secs())
}

fn say(started: Instant, line: &str) {
    println!("{:>7.1} s  {line}", started.elapsed().as_secs_f64());
    // A pipe is not flushed by itself, and progress that comes at the end is none.
    let _ = std::io::stdout().flush();
}

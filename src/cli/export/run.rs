//! `orchestrator export run`: everything that is known of one task, as a folder for people and programs.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::run::InputError;
use crate::domain::TaskId;
use crate::store::Store;

use super::folder::Folder;
use super::{Opened, calls, record};

/// Tasks that a wrong number is told of.
const NEAR: usize = 5;

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// The number of the task, or its first characters as far as they name one task only.
    #[arg(value_name = "ID")]
    id: String,
    /// The folder to make. It must not be there yet, or be empty.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Print one JSON object, also where it is an error.
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn run(opened: &Opened, arguments: &RunArguments) -> anyhow::Result<Value> {
    let id = task_of(&opened.store, &arguments.id).await?;
    let task = opened.store.task(id).await?;
    let mut folder = Folder::begin(&arguments.to, &opened.redactor)?;
    let noted = record::write(&opened.store, &task, &mut folder).await?;
    let spent = calls::write(&opened.store, id, &mut folder).await?;
    folder.text("README.md", &readme(&task, &spent, &noted))?;
    let (place, files) = folder.finish()?;
    if !arguments.json {
        println!("{}: {files} files, {} calls of models, ${:.4}", place.display(), spent.calls, spent.usd());
    }
    Ok(json!({
        "outcome": "done",
        "exit": 0,
        "task": id,
        "folder": place,
        "files": files,
        "calls": spent.calls,
        "cost_usd": spent.usd(),
    }))
}

/// The one task whose number begins so.
async fn task_of(store: &Store, wanted: &str) -> anyhow::Result<TaskId> {
    let wanted = wanted.trim().to_ascii_lowercase();
    let all = store.task_ids().await?;
    let found: Vec<&String> = all.iter().filter(|id| !wanted.is_empty() && id.starts_with(&wanted)).collect();
    match found.as_slice() {
        [one] => Ok(TaskId(one.parse()?)),
        [] => Err(InputError::NoTask { near: near(&all, &wanted), id: wanted }.into()),
        several => {
            let known = several.iter().take(NEAR).map(|id| id.as_str()).collect::<Vec<_>>().join(", ");
            Err(InputError::SeveralTasks { count: several.len(), id: wanted, known }.into())
        }
    }
}

/// Those that share the longest beginning; among equals the newest, which come first in `all`.
fn near(all: &[String], wanted: &str) -> String {
    let shared = |id: &String| id.bytes().zip(wanted.bytes()).take_while(|(a, b)| a == b).count();
    let mut near: Vec<&String> = all.iter().collect();
    near.sort_by_key(|id| std::cmp::Reverse(shared(id)));
    match near.into_iter().take(NEAR).map(String::as_str).collect::<Vec<_>>() {
        ids if ids.is_empty() => "there is no task yet".to_owned(),
        ids => format!("near it are {}", ids.join(", ")),
    }
}

fn readme(task: &crate::domain::Task, spent: &calls::Spent, noted: &record::Noted) -> String {
    let mut text = format!(
        "# Task {}\n\n{}\n\nState: {}. {} calls of models, ${:.4}.\n\n",
        task.id,
        task.title(),
        task.state.name(),
        spent.calls,
        spent.usd()
    );
    text.push_str(
        "| file | what it is |\n|---|---|\n\
         | `specification.json`, `plan.md` | the task as it was understood and approved |\n\
         | `state.json` | the task as it is now, with the text that was read |\n\
         | `log.jsonl` | each transition with its time, oldest first |\n\
         | `decisions.json` | what people and the program decided: approvals, commands, the route and what of the router's answer was \
         corrected, the design, candidates, what was taken back |\n\
         | `reviews/`, `gates/`, `patches/` | what reviewers found, what gates said, the change; by the task's version |\n\
         | `work.bundle` | the commits: `git fetch work.bundle refs/heads/work` |\n\
         | `calls.jsonl` | each call of a model with its numbers; the costs add up to what was spent |\n\
         | `calls/` | the same calls to read: what was new in each, and the answer |\n\
         | `more/` | what else the stages kept: summaries, transcripts, logs of agents' commands, times |\n\n",
    );
    text.push_str(
        "A folder or file that is not here had nothing to hold. Secrets of the deployment are replaced.\n",
    );
    for note in noted.notes.iter().chain(&spent.notes) {
        text.push_str(&format!("\n{note}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_number_is_told_with_those_that_begin_like_it() {
        let all = ["0199-c", "0199-b", "0188-a"].map(str::to_owned);
        assert_eq!(near(&all, "0188-x"), "near it are 0188-a, 0199-c, 0199-b");
        assert_eq!(near(&[], "0188"), "there is no task yet");
    }
}

//! `orchestrator context`: the files and places that a model would see for an issue, and why. No model, no
//! database, and nothing is written but the index.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use crate::config::{Config, Environment};
use crate::context::{ContextRequest, Contexts, Selection};
use crate::workspace::Revision;

use super::run::{InputError, issue, surveyed};
use super::{Exit, load_quietly, quiet_log};

#[derive(Debug, Args)]
pub(super) struct ContextArguments {
    /// The git repository: its folder, or one inside it; bare or with a work tree.
    #[arg(long, value_name = "PATH", default_value = ".")]
    repo: PathBuf,
    /// The commit to look at, in any of git's ways. Nothing is read that is not in it or its ancestors.
    #[arg(long, value_name = "REV", default_value = "HEAD")]
    rev: String,
    /// The issue: a file, or `-` for standard input. The first line is the title.
    #[arg(long, value_name = "FILE")]
    issue: PathBuf,
    /// Files to show at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// Tokens of the snippets together, at four bytes a token.
    #[arg(long, value_name = "N", default_value_t = 12_000)]
    budget_tokens: usize,
    /// Where the index is kept. Default: `context` in the data folder.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Print one JSON object, also where it is an error.
    #[arg(long)]
    json: bool,
    /// Print the log too.
    #[arg(long, short)]
    verbose: bool,
}

/// A selection and what it was asked of.
struct Answer {
    repository: PathBuf,
    revision: Revision,
    selection: Selection,
    elapsed_ms: u64,
}

pub(super) async fn context(
    arguments: ContextArguments,
    file: Option<PathBuf>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    quiet_log(arguments.verbose)?;
    let for_programs = arguments.json;
    let cache = match &arguments.cache {
        Some(cache) => Ok(cache.clone()),
        None => load_quietly(file, environment).map(|config: Config| config.data_dir.join("context")),
    };
    let answer = match cache {
        Ok(cache) => tokio::task::spawn_blocking(move || answer(&arguments, cache)).await?,
        Err(error) => Err(error),
    };
    match (&answer, for_programs) {
        (Ok(answer), true) => println!("{}", as_json(answer)),
        (Ok(answer), false) => print!("{}", as_text(answer)),
        (Err(error), true) => {
            let exit = Exit::of(error);
            println!(
                "{}",
                json!({ "outcome": exit.name(), "exit": exit as u8, "error": format!("{error:#}") })
            );
        }
        (Err(_), false) => {}
    }
    answer.map(|_| Exit::Done)
}

fn answer(arguments: &ContextArguments, cache: PathBuf) -> anyhow::Result<Answer> {
    let started = Instant::now();
    let repository = surveyed(&arguments.repo)?.path;
    let issue = issue(&arguments.issue)?;
    let revision = Revision::of(&repository, &arguments.rev).map_err(InputError::from)?;
    let revision = revision.ok_or_else(|| InputError::NoRevision {
        path: repository.clone(),
        revision: arguments.rev.clone(),
    })?;
    let text = format!("{}\n\n{}", issue.title, issue.body);
    let (top, budget_tokens) = (arguments.top, arguments.budget_tokens);
    let request = ContextRequest { commit: &revision.commit, text: &text, top, budget_tokens };
    let selection = Contexts::new(cache).select(&revision.git_dir, &request)?;
    let elapsed_ms = started.elapsed().as_millis() as u64;
    Ok(Answer { repository, revision, selection, elapsed_ms })
}

fn as_json(answer: &Answer) -> Value {
    let snippets = answer.selection.snippets.iter().map(|snippet| {
        json!({
            "path": snippet.path,
            "start_line": snippet.start_line,
            "end_line": snippet.end_line,
            "tokens": snippet.tokens,
        })
    });
    json!({
        "repo": answer.repository,
        "rev": answer.revision.commit.as_str(),
        "files": answer.selection.files,
        "snippets": snippets.collect::<Vec<_>>(),
        "tokens": answer.selection.tokens,
        "indexed_blobs": answer.selection.indexed_blobs,
        "elapsed_ms": answer.elapsed_ms,
    })
}

fn as_text(answer: &Answer) -> String {
    let selection = &answer.selection;
    let mut text = String::new();
    // Writing to a String never fails.
    if selection.files.is_empty() {
        text.push_str("No file of the commit has anything to do with the text.\n");
    }
    for (at, file) in selection.files.iter().enumerate() {
        let _ = writeln!(text, "{:>3}. {} ({:.2})", at + 1, file.path, file.score);
        for reason in &file.reasons {
            let _ = writeln!(text, "       {reason}");
        }
    }
    let _ = writeln!(text, "\nA model would see {} tokens:", selection.tokens);
    for snippet in &selection.snippets {
        let (path, start, end) = (&snippet.path, snippet.start_line, snippet.end_line);
        let _ = writeln!(text, "  {path} lines {start}-{end} ({} tokens)", snippet.tokens);
    }
    let (blobs, ms) = (selection.indexed_blobs, answer.elapsed_ms);
    let _ = writeln!(text, "\n{blobs} files were read for the index; it took {ms} ms.");
    text
}

//! How long the search takes on a repository's newest commit: cold, warm, for the next commit, and for a process
//! that finds the index made.

use std::path::{Path, PathBuf};
use std::time::Instant;

use git2::Repository;
use orchestrator::context::{ContextRequest, Contexts};
use orchestrator::workspace::CommitSha;

pub const HEAD: &str = "files   cold  warm  next commit  new process   ms";

/// A row, or why there is none.
pub fn row(path: &Path) -> String {
    measured(path).unwrap_or_else(|| "it has no commit with a parent".to_owned())
}

fn measured(path: &Path) -> Option<String> {
    let git = Repository::open(path).ok()?;
    let tip = git.head().ok()?.peel_to_commit().ok()?;
    let before = tip.parent(0).ok()?;
    let mut files = 0;
    let walked = tip.tree().ok()?.walk(git2::TreeWalkMode::PreOrder, |_, entry| {
        files += usize::from(entry.kind() == Some(git2::ObjectType::Blob));
        git2::TreeWalkResult::Ok
    });
    walked.ok()?;
    let text = before.message().unwrap_or_default().to_owned();
    let id = |commit: &git2::Commit<'_>| CommitSha::parse(commit.id().to_string()).ok();
    let (tip, before) = (id(&tip)?, id(&before)?);
    let cache = tempfile::tempdir().expect("a folder for the index");
    let contexts = Contexts::new(cache.path().to_owned());
    let git_dir: PathBuf = git.commondir().to_owned();
    let time = |contexts: &Contexts, commit: &CommitSha| {
        let request = ContextRequest { commit, text: &text, top: 20, budget_tokens: 8_000 };
        let started = Instant::now();
        contexts.select(&git_dir, &request).expect("a selection");
        started.elapsed().as_secs_f64() * 1000.0
    };
    let cold = time(&contexts, &before);
    let mut warm: Vec<f64> = (0..5).map(|_| time(&contexts, &before)).collect();
    warm.sort_by(f64::total_cmp);
    let next = time(&contexts, &tip);
    let anew = time(&Contexts::new(cache.path().to_owned()), &tip);
    Some(format!("{files:>6} {cold:>5.0} {:>5.1} {next:>12.1} {anew:>12.1}", warm[2]))
}

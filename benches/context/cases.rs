//! Bug-fix commits as questions: the message without paths, file names and links; the source files that were
//! changed; the lines of them that were changed or beside which some were added.

use std::path::{Path, PathBuf};

use git2::{Commit, Delta, DiffOptions, Patch, Repository, Sort};
use orchestrator::workspace::CommitSha;
use regex::Regex;

pub struct Case {
    pub git_dir: PathBuf,
    /// The commit before the fix.
    pub before: CommitSha,
    pub text: String,
    pub changed: Vec<String>,
    pub lines: Vec<(String, usize)>,
}

/// Cases of a repository at most, spread over its history.
const MOST: usize = 40;
const MOST_CHANGED: usize = 6;
const MOST_DELTAS: usize = 20;
const FIX: &str = r"(?i)\b(fix(e[sd])?|fixing|bug|crash(es|ed)?|regression|incorrect(ly)?|wrong(ly)?|broken|fail(s|ed|ure)?|leak|panic|deadlock|race)\b";
const NO_FIX: &str =
    r"(?i)\b(typo|lint|docs?|readme|changelog|ci|tests?|spec|clippy|format|build|bump|merge|revert)\b";
const SOURCE: &str = r"\.(rs|py|js|jsx|mjs|cjs|ts|tsx|mts|go|java|kt|scala|rb|c|h|cc|cpp|cxx|hh|hpp|cs|php|swift|ex|exs|hs|ml|lua|pl|vue|svelte)$";
const NO_SOURCE: &str = r"(?i)(^|/)(tests?|__tests__|specs?|e2e|fixtures?|testdata|examples?|samples?|benche?s?|benchmarks?|docs?|vendor|node_modules|third_party|dist|target|scripts?)/|(^|/)test_[^/]*$|(_test|\.test|\.spec|_spec|Tests?)\.[a-z]+$";
const NAMES: &str = r"https?://\S+|\(?#\d+\)?|[\w.\-]*(/[\w.\-]+)+|\b[\w\-]+\.(rs|py|jsx?|tsx?|mjs|go|java|rb|c|h|cc|cpp|hpp|cs|php|md|ya?ml|json|toml)\b";
const TRAILER: &str = r"(?im)^([a-z-]+-(by|to|id)|cc):.*$";

struct Rules {
    fix: Regex,
    no_fix: Regex,
    source: Regex,
    no_source: Regex,
    names: Regex,
    trailer: Regex,
}

pub fn of(path: &Path) -> Vec<Case> {
    let of = |pattern: &str| Regex::new(pattern).expect("a pattern");
    let rules = Rules {
        fix: of(FIX),
        no_fix: of(NO_FIX),
        source: of(SOURCE),
        no_source: of(NO_SOURCE),
        names: of(NAMES),
        trailer: of(TRAILER),
    };
    let git = Repository::open(path).expect("a repository");
    let mut walk = git.revwalk().expect("a walk");
    walk.set_sorting(Sort::TIME).expect("an order");
    walk.push_head().expect("a head");
    let all: Vec<Case> = walk
        .filter_map(|id| git.find_commit(id.ok()?).ok())
        .filter_map(|commit| case(&git, &commit, &rules))
        .collect();
    let step = all.len().div_ceil(MOST).max(1);
    all.into_iter().step_by(step).collect()
}

fn case(git: &Repository, commit: &Commit<'_>, rules: &Rules) -> Option<Case> {
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    let subject = message.lines().next()?;
    if commit.parent_count() != 1 || !rules.fix.is_match(subject) || rules.no_fix.is_match(subject) {
        return None;
    }
    let text = rules.trailer.replace_all(&message, "");
    let text = rules.names.replace_all(&text, "").trim().to_owned();
    if text.split_whitespace().count() < 4 {
        return None;
    }
    let parent = commit.parent(0).ok()?;
    let (old, new) = (parent.tree().ok()?, commit.tree().ok()?);
    let mut options = DiffOptions::new();
    options.context_lines(0);
    let diff = git.diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options)).ok()?;
    if diff.deltas().len() > MOST_DELTAS {
        return None;
    }
    let (mut changed, mut lines) = (Vec::new(), Vec::new());
    for (at, delta) in diff.deltas().enumerate() {
        let path = delta.old_file().path()?.to_str()?.to_owned();
        let source = rules.source.is_match(&path) && !rules.no_source.is_match(&path);
        if delta.status() != Delta::Modified || !source {
            continue;
        }
        let patch = Patch::from_diff(&diff, at).ok()??;
        for hunk in 0..patch.num_hunks() {
            let (hunk, _) = patch.hunk(hunk).ok()?;
            let start = (hunk.old_start() as usize).max(1);
            let count = (hunk.old_lines() as usize).max(1);
            lines.extend((start..start + count).map(|line| (path.clone(), line)));
        }
        changed.push(path);
    }
    if changed.is_empty() || changed.len() > MOST_CHANGED || lines.is_empty() {
        return None;
    }
    let before = CommitSha::parse(parent.id().to_string()).ok()?;
    Some(Case { git_dir: git.commondir().to_owned(), before, text, changed, lines })
}

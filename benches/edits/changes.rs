//! Real changes of text files, out of a repository's history, as blocks of kept, removed and added lines.

use std::path::Path;

use git2::{Delta, DiffOptions, Repository, Sort};
use similar::{ChangeTag, TextDiff};

/// Changes of a repository at most, spread over its history.
const MOST: usize = 100;
/// Of one commit.
const MOST_OF_COMMIT: usize = 4;
const MOST_BYTES: usize = 200_000;
/// Larger rewrites are no edits.
const MOST_HUNKS: usize = 12;

pub struct Change {
    pub path: String,
    pub before: String,
    pub after: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Keep,
    Remove,
    Add,
}

#[derive(Clone)]
pub struct Line {
    pub step: Step,
    /// Without its line feed.
    pub text: String,
    /// Whether the file has something else there.
    pub altered: Altered,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Altered {
    No,
    /// The words differ.
    Words,
    /// It stands for lines that are left out.
    LeftOut,
}

#[derive(Clone)]
pub struct Hunk {
    /// The first line of the block before and after the change, from 1.
    pub start: (usize, usize),
    pub lines: Vec<Line>,
    /// The nearest line above that is indented less.
    pub heading: Option<String>,
}

pub fn of(path: &Path) -> Vec<Change> {
    let git = Repository::open(path).expect("a repository");
    let mut walk = git.revwalk().expect("a walk");
    walk.set_sorting(Sort::TIME).expect("an order");
    walk.push_head().expect("a head");
    let commits: Vec<_> = walk.filter_map(Result::ok).collect();
    let step = (commits.len() * MOST_OF_COMMIT).div_ceil(MOST * 8).max(1);
    let mut changes: Vec<Change> =
        commits.into_iter().step_by(step).flat_map(|id| of_commit(&git, id).unwrap_or_default()).collect();
    let step = changes.len().div_ceil(MOST).max(1);
    let mut at = 0;
    changes.retain(|_| {
        at += 1;
        (at - 1) % step == 0
    });
    changes
}

fn of_commit(git: &Repository, id: git2::Oid) -> Result<Vec<Change>, git2::Error> {
    let commit = git.find_commit(id)?;
    if commit.parent_count() != 1 {
        return Ok(Vec::new());
    }
    let (old, new) = (commit.parent(0)?.tree()?, commit.tree()?);
    let diff = git.diff_tree_to_tree(Some(&old), Some(&new), Some(&mut DiffOptions::new()))?;
    let text = |id| -> Option<String> {
        let blob = git.find_blob(id).ok()?;
        let fits = blob.size() <= MOST_BYTES && blob.size() > 0 && !blob.is_binary();
        fits.then(|| String::from_utf8(blob.content().to_vec()).ok()).flatten()
    };
    let modified = diff.deltas().filter(|delta| delta.status() == Delta::Modified);
    let changes = modified.filter_map(|delta| {
        let path = delta.new_file().path()?.to_str()?.to_owned();
        let (before, after) = (text(delta.old_file().id())?, text(delta.new_file().id())?);
        let plain = !before.contains('\r')
            && !after.contains('\r')
            && before.ends_with('\n')
            && after.ends_with('\n');
        let few = (1..=MOST_HUNKS).contains(&hunks(&before, &after, 3).len());
        (plain && few).then_some(Change { path, before, after })
    });
    Ok(changes.take(MOST_OF_COMMIT).collect())
}

/// What changed, with so many lines of context.
pub fn hunks(before: &str, after: &str, context: usize) -> Vec<Hunk> {
    let diff = TextDiff::from_lines(before, after);
    let old: Vec<&str> = before.lines().collect();
    let of_group = |group: &Vec<similar::DiffOp>| {
        let start = (group[0].old_range().start, group[0].new_range().start);
        let lines = group.iter().flat_map(|op| diff.iter_changes(op)).map(|change| Line {
            step: match change.tag() {
                ChangeTag::Equal => Step::Keep,
                ChangeTag::Delete => Step::Remove,
                ChangeTag::Insert => Step::Add,
            },
            text: change.value().trim_end_matches('\n').to_owned(),
            altered: Altered::No,
        });
        Hunk { start: (start.0 + 1, start.1 + 1), lines: lines.collect(), heading: heading(&old, start.0) }
    };
    diff.grouped_ops(context).iter().map(of_group).collect()
}

fn heading(lines: &[&str], start: usize) -> Option<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let first = lines[start.min(lines.len())..].iter().find(|line| !line.trim().is_empty())?;
    let above =
        lines[..start].iter().rev().find(|line| !line.trim().is_empty() && indent(line) < indent(first))?;
    above.contains(char::is_alphabetic).then(|| above.trim().to_owned())
}

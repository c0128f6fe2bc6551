//! What changed between two commits, as GitHub shows it: three lines of context, renames found. From it
//! comes also which lines a review comment may be put on.

use git2::{
    Delta, Diff, DiffFile, DiffFindOptions, DiffFlags, DiffFormat, DiffLineType, DiffOptions, FileMode, Odb,
    Patch,
};

use super::error::WorkspaceError;
use super::mirror::{Mirror, find_commit};
use super::mirrors::aside;
use super::refs::CommitSha;
use super::snapshot::RepoPath;
use super::tree;

/// The changes of a whole tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TreeDiff {
    pub files: Vec<FileDiff>,
    /// Changed files whose names cannot be used here (not UTF-8, or not safe to write to a disk).
    pub unnamed: Vec<String>,
    /// The same as text, as `git diff` prints it; bytes that are not UTF-8 are replaced.
    pub unified: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff {
    /// The path after the change, or before it when the file is deleted.
    pub path: RepoPath,
    /// Where a renamed file was.
    pub old_path: Option<RepoPath>,
    pub status: FileStatus,
    /// Size before the change; 0 where there was none.
    pub old_bytes: u64,
    /// Size after the change; 0 where there is none.
    pub bytes: u64,
    pub content: FileContent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStatus {
    Added,
    Modified,
    Deleted,
    Renamed,
    /// A file became a link or a submodule, or the other way round.
    TypeChanged,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    Text {
        additions: usize,
        deletions: usize,
        hunks: Vec<Hunk>,
    },
    /// Not text, or too large to compare.
    Binary,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    pub old_start: u32,
    pub old_lines: u32,
    pub new_start: u32,
    pub new_lines: u32,
    pub lines: Vec<DiffLine>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffLine {
    pub kind: LineKind,
    /// The line's number before the change, from 1.
    pub old: Option<u32>,
    /// The line's number after the change, from 1.
    pub new: Option<u32>,
    /// Without its line feed; bytes that are not UTF-8 are replaced.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    Context,
    Added,
    Removed,
}

/// A side of a diff, in the words of GitHub's review comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Before the change.
    Left,
    /// After the change.
    Right,
}

/// Larger files are told as binary.
const LARGEST_TEXT: i64 = 4 << 20;
/// Above so many added and deleted files, renames are not looked for by content (as `diff.renameLimit`).
const RENAME_LIMIT: usize = 1000;

impl Mirror {
    /// The changes from `base` to `head`. For a pull request, `base` is the merge base.
    pub fn diff(&self, base: &CommitSha, head: &CommitSha) -> Result<TreeDiff, WorkspaceError> {
        aside(|| {
            let repository = self.open()?;
            let (old, new) =
                (find_commit(&repository, base)?.tree()?, find_commit(&repository, head)?.tree()?);
            let mut options = DiffOptions::new();
            options.context_lines(3).indent_heuristic(true).include_typechange(true).max_size(LARGEST_TEXT);
            let mut diff = repository.diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options))?;
            diff.find_similar(Some(DiffFindOptions::new().renames(true).rename_limit(RENAME_LIMIT)))?;
            let mut result = TreeDiff { unified: unified(&diff)?, ..TreeDiff::default() };
            let odb = repository.odb()?;
            for index in 0..diff.deltas().len() {
                match file_diff(&diff, index, &odb)? {
                    Ok(file) => result.files.push(file),
                    Err(unnamed) => result.unnamed.push(unnamed),
                }
            }
            Ok(result)
        })
    }
}

impl TreeDiff {
    pub fn file(&self, path: &RepoPath) -> Option<&FileDiff> {
        self.files.iter().find(|file| file.path == *path)
    }

    /// Whether GitHub takes a review comment there: on a line of a hunk, context included.
    pub fn takes_comment(&self, path: &RepoPath, side: Side, line: u32) -> bool {
        self.file(path).is_some_and(|file| file.lines(side).any(|number| number == line))
    }

    /// The line nearest to `line` that takes a comment.
    pub fn nearest_line(&self, path: &RepoPath, side: Side, line: u32) -> Option<u32> {
        self.file(path)?.lines(side).min_by_key(|number| number.abs_diff(line))
    }
}

impl FileDiff {
    pub fn hunks(&self) -> &[Hunk] {
        match &self.content {
            FileContent::Text { hunks, .. } => hunks,
            FileContent::Binary => &[],
        }
    }

    /// The numbers of the lines in the hunks on one side, in order.
    pub fn lines(&self, side: Side) -> impl Iterator<Item = u32> + '_ {
        let number = move |line: &DiffLine| match side {
            Side::Left => line.old,
            Side::Right => line.new,
        };
        self.hunks().iter().flat_map(|hunk| &hunk.lines).filter_map(number)
    }
}

fn unified(diff: &Diff<'_>) -> Result<String, WorkspaceError> {
    let mut bytes = Vec::new();
    diff.print(DiffFormat::Patch, |_, _, line| {
        if matches!(line.origin(), '+' | '-' | ' ') {
            bytes.push(line.origin() as u8);
        }
        bytes.extend_from_slice(line.content());
        true
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One file of the diff, or the name of one that has no usable path.
fn file_diff(
    diff: &Diff<'_>,
    index: usize,
    odb: &Odb<'_>,
) -> Result<Result<FileDiff, String>, WorkspaceError> {
    let patch = Patch::from_diff(diff, index)?;
    let Some(delta) = diff.get_delta(index) else { return Ok(Err(String::new())) };
    let status = match delta.status() {
        Delta::Added | Delta::Copied => FileStatus::Added,
        Delta::Deleted => FileStatus::Deleted,
        Delta::Renamed => FileStatus::Renamed,
        Delta::Typechange => FileStatus::TypeChanged,
        _ => FileStatus::Modified,
    };
    let old = delta.old_file().path_bytes().unwrap_or_default();
    let new = delta.new_file().path_bytes().unwrap_or_default();
    let name = if status == FileStatus::Deleted { old } else { new };
    let Some(path) = tree::repo_path(name) else {
        return Ok(Err(String::from_utf8_lossy(name).into_owned()));
    };
    let old_path = if status == FileStatus::Renamed { tree::repo_path(old) } else { None };
    let content = match patch {
        Some(patch) if !patch.delta().flags().contains(DiffFlags::BINARY) => text_content(&patch)?,
        _ => FileContent::Binary,
    };
    let (old_bytes, bytes) = (size(odb, &delta.old_file())?, size(odb, &delta.new_file())?);
    Ok(Ok(FileDiff { path, old_path, status, old_bytes, bytes, content }))
}

fn size(odb: &Odb<'_>, file: &DiffFile<'_>) -> Result<u64, WorkspaceError> {
    // A submodule's commit is not here.
    if file.id().is_zero() || file.mode() == FileMode::Commit {
        return Ok(0);
    }
    Ok(odb.read_header(file.id())?.0 as u64)
}

fn text_content(patch: &Patch<'_>) -> Result<FileContent, WorkspaceError> {
    let (_, additions, deletions) = patch.line_stats()?;
    let mut hunks = Vec::new();
    for index in 0..patch.num_hunks() {
        let (hunk, count) = patch.hunk(index)?;
        let mut lines = Vec::with_capacity(count);
        for line in 0..count {
            let line = patch.line_in_hunk(index, line)?;
            let kind = match line.origin_value() {
                DiffLineType::Context => LineKind::Context,
                DiffLineType::Addition => LineKind::Added,
                DiffLineType::Deletion => LineKind::Removed,
                // "No newline at end of file" is no line.
                _ => continue,
            };
            let content = line.content();
            let text = String::from_utf8_lossy(content.strip_suffix(b"\n").unwrap_or(content)).into_owned();
            lines.push(DiffLine { kind, old: line.old_lineno(), new: line.new_lineno(), text });
        }
        hunks.push(Hunk {
            old_start: hunk.old_start(),
            old_lines: hunk.old_lines(),
            new_start: hunk.new_start(),
            new_lines: hunk.new_lines(),
            lines,
        });
    }
    Ok(FileContent::Text { additions, deletions, hunks })
}

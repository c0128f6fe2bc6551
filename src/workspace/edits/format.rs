//! The forms in which models write changes of several files as one text, and how they are told apart.

use super::lines;
use super::patch::FilePatch;
use super::{apply_patch, blocks, patch};
use crate::workspace::snapshot::RepoPath;

/// A change of one file, as a text says it.
#[derive(Debug)]
pub(super) enum FileChange<'a> {
    Patch(FilePatch<'a>),
    /// Whole lines in the place of others; none to replace for a new file.
    Block {
        path: RepoPath,
        old: &'a str,
        new: &'a str,
    },
    Write {
        path: RepoPath,
        content: String,
    },
    Delete {
        path: RepoPath,
    },
}

impl FileChange<'_> {
    pub(super) fn path(&self) -> Option<&RepoPath> {
        match self {
            Self::Patch(patch) => patch.new.as_ref().or(patch.old.as_ref()),
            Self::Block { path, .. } | Self::Write { path, .. } | Self::Delete { path } => Some(path),
        }
    }
}

/// Reads a text in the form that its first mark belongs to.
pub(super) fn parse(text: &str) -> Result<Vec<FileChange<'_>>, String> {
    for line in lines::split(text.as_bytes()) {
        if apply_patch::begins(&line) {
            return apply_patch::parse(text);
        }
        if blocks::begins(&line) {
            return blocks::parse(text);
        }
        if patch::begins(&line) {
            break;
        }
    }
    Ok(patch::parse(text)?.into_iter().map(FileChange::Patch).collect())
}

/// A text that ends all of its lines as Windows does, its own marks included, says nothing about the files' lines.
pub(super) fn with_plain_endings(text: &str) -> std::borrow::Cow<'_, str> {
    if lines::only_windows_endings(text.as_bytes()) { text.replace("\r\n", "\n").into() } else { text.into() }
}

//! Edits as a model writes them, applied to files in memory: all of an answer's edits apply, or none.
//!
//! The text to change is looked for exactly, then with tolerance for what models get slightly wrong: line
//! endings, trailing white space, indentation, typographic quotes, line numbers, lines left out, a line of
//! context misremembered. Where two places fit nothing is guessed: the refusal says in words what was found
//! where, so that a model can try again.
//! Nothing here reads a disk.

mod adapt;
mod apply_patch;
mod blocks;
mod elided;
mod format;
mod hunk;
mod lines;
mod nearest;
mod patch;
mod places;
mod replace;
mod whole;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use format::FileChange;

use super::snapshot::{FileEntry, FileMode, RepoPath, Snapshot};

/// One change that a model asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Puts `new` in the place of `old`, which must be found exactly once. An empty `old` makes a new file.
    Replace {
        path: RepoPath,
        old: String,
        new: String,
    },
    /// Makes or overwrites a file. One that is executable stays so; its line endings and the line feed at its end
    /// stay, too.
    Write {
        path: RepoPath,
        content: String,
    },
    Delete {
        path: RepoPath,
    },
    /// Changes of any number of files in one text: a unified diff with `---` and `+++` lines, the `apply_patch`
    /// format with `*** Begin Patch`, or blocks of `<<<<<<< SEARCH`, `=======`, `>>>>>>> REPLACE`. The numbers in
    /// `@@` lines may be wrong.
    Patch {
        text: String,
    },
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Written(FileEntry),
    Deleted,
}

/// Where files are read from.
pub trait Files {
    /// The file at a path, if there is one. The error says why it cannot be edited.
    fn file(&self, path: &RepoPath) -> Result<Option<Cow<'_, FileEntry>>, String>;
    /// Whether there is anything at a path.
    fn holds(&self, path: &RepoPath) -> bool {
        !matches!(self.file(path), Ok(None))
    }

    /// All paths, asked for when a path is new or not found.
    fn paths(&self) -> Vec<RepoPath>;
}

impl Files for Snapshot {
    fn file(&self, path: &RepoPath) -> Result<Option<Cow<'_, FileEntry>>, String> {
        Ok(self.files.get(path).map(Cow::Borrowed))
    }

    fn paths(&self) -> Vec<RepoPath> {
        self.files.keys().cloned().collect()
    }
}

/// Why nothing was changed: one entry for each edit that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditRefusal {
    pub refused: Vec<RefusedEdit>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEdit {
    /// The place of the edit in the list, from 1.
    pub number: usize,
    pub path: Option<RepoPath>,
    /// What is wrong and what would be right, for a model to act on.
    pub reason: String,
}

impl fmt::Display for EditRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("None of the edits was applied, because not all of them could be.")?;
        for RefusedEdit { number, path, reason } in &self.refused {
            match path {
                Some(path) => write!(f, "\n\nEdit {number}, {path}: {reason}")?,
                None => write!(f, "\n\nEdit {number}: {reason}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for EditRefusal {}

/// Applies edits in their order, a later one on what an earlier one made, and tells which files differ in
/// the end, by path.
pub fn apply(files: &impl Files, edits: &[Edit]) -> Result<Vec<(RepoPath, Change)>, EditRefusal> {
    let mut draft = Draft { files, changed: BTreeMap::new(), present: None };
    let mut refused: Vec<RefusedEdit> = Vec::new();
    for (index, edit) in edits.iter().enumerate() {
        let problems = draft.apply(edit).err().unwrap_or_default();
        for (path, reason) in problems {
            // What follows on a file whose edit was refused follows from that.
            if path.is_none()
                || refused.iter().all(|earlier| earlier.path != path || earlier.number == index + 1)
            {
                refused.push(RefusedEdit { number: index + 1, path, reason });
            }
        }
    }
    if refused.is_empty() { Ok(draft.into_changes()) } else { Err(EditRefusal { refused }) }
}

/// Puts changes into a snapshot.
pub fn put(snapshot: &mut Snapshot, changes: &[(RepoPath, Change)]) {
    for (path, change) in changes {
        match change {
            Change::Written(entry) => snapshot.files.insert(path.clone(), entry.clone()),
            Change::Deleted => snapshot.files.remove(path),
        };
    }
}

/// Refused files of one diff that are told.
const MOST_PROBLEMS: usize = 20;

/// A reason, with the file that it is about.
type Problem = (Option<RepoPath>, String);

/// The files as the edits so far have made them.
struct Draft<'a, F> {
    files: &'a F,
    /// `None`: deleted.
    changed: BTreeMap<RepoPath, Option<FileEntry>>,
    /// All paths as they are now, once a new one was asked for.
    present: Option<BTreeSet<String>>,
}

impl<F: Files> Draft<'_, F> {
    fn apply(&mut self, edit: &Edit) -> Result<(), Vec<Problem>> {
        let at = |path: &RepoPath, reason: String| vec![(Some(path.clone()), reason)];
        match edit {
            Edit::Replace { path, old, new } => {
                self.replace(path, old, new).map_err(|reason| at(path, reason))
            }
            Edit::Write { path, content } => self.write(path, content).map_err(|reason| at(path, reason)),
            Edit::Delete { path } => self.delete(path).map_err(|reason| at(path, reason)),
            Edit::Patch { text } => self.patch(text),
        }
    }

    fn entry(&self, path: &RepoPath) -> Result<Option<Cow<'_, FileEntry>>, String> {
        match self.changed.get(path) {
            Some(changed) => Ok(changed.as_ref().map(Cow::Borrowed)),
            None => self.files.file(path),
        }
    }

    /// An existing file that can be edited as text.
    fn text(&self, path: &RepoPath) -> Result<FileEntry, String> {
        let Some(entry) = self.entry(path)? else { return Err(self.not_found(path)) };
        check_text(&entry)?;
        Ok(entry.into_owned())
    }

    fn replace(&mut self, path: &RepoPath, old: &str, new: &str) -> Result<(), String> {
        if old.is_empty() {
            return match self.entry(path)? {
                Some(entry) if !entry.bytes.is_empty() => Err(
                    "the text to replace is empty, but the file is not. Give the lines to replace, or write the whole file."
                        .to_owned(),
                ),
                _ => self.write(path, new),
            };
        }
        let mut entry = self.text(path)?;
        entry.bytes = replace::replace(&entry.bytes, old, new)?.into();
        self.set(path, Some(entry));
        Ok(())
    }

    fn write(&mut self, path: &RepoPath, content: &str) -> Result<(), String> {
        let entry = match self.entry(path)?.map(Cow::into_owned) {
            Some(entry) => {
                if entry.mode == FileMode::Symlink {
                    check_text(&entry)?;
                }
                let bytes = whole::content(&entry.bytes, content)?;
                FileEntry { mode: entry.mode, bytes: bytes.into() }
            }
            None => {
                self.check_new(path)?;
                FileEntry { mode: FileMode::Regular, bytes: content.as_bytes().into() }
            }
        };
        self.set(path, Some(entry));
        Ok(())
    }

    fn delete(&mut self, path: &RepoPath) -> Result<(), String> {
        let there = self.changed.get(path).map_or_else(|| self.files.holds(path), Option::is_some);
        if !there {
            return Err(self.not_found(path));
        }
        self.set(path, None);
        Ok(())
    }

    /// Applies a text; when one of its files is refused, the others are still looked at.
    fn patch(&mut self, text: &str) -> Result<(), Vec<Problem>> {
        let text = format::with_plain_endings(text);
        let changes = format::parse(&text).map_err(|reason| vec![(None, reason)])?;
        let problems = changes.iter().filter_map(|change| {
            let reason = self.change(change).err()?;
            Some((change.path().cloned(), reason))
        });
        let problems: Vec<_> = problems.take(MOST_PROBLEMS).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn change(&mut self, change: &FileChange<'_>) -> Result<(), String> {
        match change {
            FileChange::Patch(patch) => self.patch_file(patch),
            FileChange::Block { path, old: "", new } => self.replace(path, "", new),
            FileChange::Block { path, old, new } => {
                let mut entry = self.text(path)?;
                entry.bytes = replace::replace_block(&entry.bytes, old, new)?.into();
                self.set(path, Some(entry));
                Ok(())
            }
            FileChange::Write { path, content } => self.write(path, content),
            FileChange::Delete { path } => self.delete(path),
        }
    }

    fn patch_file(&mut self, patch: &patch::FilePatch<'_>) -> Result<(), String> {
        let before = match &patch.old {
            Some(old) => self.text(old)?,
            None => FileEntry { mode: FileMode::Regular, bytes: Vec::new().into() },
        };
        let bytes = hunk::apply(&before.bytes, &patch.hunks)?;
        let Some(new) = &patch.new else {
            let old = patch.old.as_ref().ok_or("the diff names no file")?;
            if !bytes.is_empty() {
                return Err(
                    "the diff deletes the file but leaves some of its lines. Delete the file instead."
                        .to_owned(),
                );
            }
            return self.delete(old);
        };
        if patch.old.as_ref() != Some(new) {
            if self.entry(new)?.is_some() {
                return Err(
                    "the diff makes a new file, but there is one. Change that file instead.".to_owned()
                );
            }
            if let Some(old) = &patch.old {
                self.set(old, None);
            }
            self.check_new(new)?;
        }
        let mode = patch.mode.unwrap_or(before.mode);
        self.set(new, Some(FileEntry { mode, bytes: bytes.into() }));
        Ok(())
    }

    fn not_found(&self, path: &RepoPath) -> String {
        let nearest = nearest::paths(path, &self.paths());
        match nearest.as_slice() {
            [] => "there is no such file.".to_owned(),
            nearest => format!("there is no such file. The nearest names are: {}.", nearest.join(", ")),
        }
    }

    /// A new file must not take the place of a folder or lie below a file.
    fn check_new(&mut self, path: &RepoPath) -> Result<(), String> {
        if self.present.is_none() {
            self.present = Some(self.paths().iter().map(ToString::to_string).collect());
        }
        let Some(present) = &self.present else { return Ok(()) };
        let (name, below) = (path.as_str(), format!("{path}/"));
        if present.range::<String, _>(&below..).next().is_some_and(|other| other.starts_with(&below)) {
            return Err("there is a folder of that name.".to_owned());
        }
        let folders = name.match_indices('/').map(|(at, _)| &name[..at]);
        match folders.into_iter().find(|folder| present.contains(*folder)) {
            Some(file) => Err(format!("{file} is a file, so nothing can lie below it.")),
            None => Ok(()),
        }
    }

    fn set(&mut self, path: &RepoPath, entry: Option<FileEntry>) {
        if let Some(present) = &mut self.present {
            match entry {
                Some(_) => present.insert(path.to_string()),
                None => present.remove(path.as_str()),
            };
        }
        self.changed.insert(path.clone(), entry);
    }

    fn paths(&self) -> Vec<RepoPath> {
        let mut paths = self.files.paths();
        paths.retain(|path| !self.changed.contains_key(path));
        paths.extend(self.changed.iter().filter(|(_, entry)| entry.is_some()).map(|(path, _)| path.clone()));
        paths
    }

    fn into_changes(self) -> Vec<(RepoPath, Change)> {
        let mut changes = Vec::new();
        for (path, entry) in self.changed {
            let before = self.files.file(&path).ok().flatten();
            match entry {
                Some(entry) if before.as_deref() != Some(&entry) => {
                    changes.push((path, Change::Written(entry)))
                }
                None if self.files.holds(&path) => changes.push((path, Change::Deleted)),
                _ => {}
            }
        }
        changes
    }
}

fn check_text(entry: &FileEntry) -> Result<(), String> {
    if entry.mode == FileMode::Symlink {
        let target = String::from_utf8_lossy(&entry.bytes);
        return Err(format!("it is a link to {target}. Edit that file, or delete the link first."));
    }
    if entry.bytes.contains(&0) {
        return Err("it is not a text file.".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;

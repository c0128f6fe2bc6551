//! The files below a root, for edits: read one by one, and changed all together or not at all.

use std::borrow::Cow;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::execute::MAX_FILE_BYTES;
use super::place::{Purpose, place};
use super::search;
use crate::workspace::edits::{Change, Files};
use crate::workspace::{FileEntry, FileMode, RepoPath};

/// Whoever may run it.
const EXECUTE: u32 = 0o111;

pub(super) struct Tree<'a> {
    pub root: &'a Path,
}

impl Files for Tree<'_> {
    fn file(&self, path: &RepoPath) -> Result<Option<Cow<'_, FileEntry>>, String> {
        let place = place(self.root, path.as_str(), Purpose::Write)?;
        let Ok(metadata) = fs::symlink_metadata(&place) else { return Ok(None) };
        if metadata.is_dir() {
            return Err(format!("{path} is a folder"));
        }
        if !metadata.is_file() {
            return Err(format!("{path} is no regular file"));
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(format!("{path} is larger than {MAX_FILE_BYTES} bytes"));
        }
        let bytes = fs::read(&place).map_err(|error| format!("{path}: {error}"))?;
        let executable = metadata.permissions().mode() & EXECUTE != 0;
        let mode = if executable { FileMode::Executable } else { FileMode::Regular };
        Ok(Some(Cow::Owned(FileEntry { mode, bytes: bytes.into() })))
    }

    fn paths(&self) -> Vec<RepoPath> {
        search::files(self.root, self.root).filter_map(|(name, _)| RepoPath::parse(name).ok()).collect()
    }
}

impl Tree<'_> {
    /// Makes all changes. After an error the tree is as it was, as far as the disk allows.
    pub(super) fn put(&self, changes: &[(RepoPath, Change)]) -> Result<(), String> {
        for (path, change) in changes {
            if let Change::Written(entry) = change
                && entry.bytes.len() as u64 > MAX_FILE_BYTES
            {
                return Err(format!("{path} would be larger than {MAX_FILE_BYTES} bytes"));
            }
        }
        let mut undo = Vec::new();
        // A folder may come where a file was.
        let deleted = |(_, change): &&(RepoPath, Change)| *change == Change::Deleted;
        let in_order = changes.iter().filter(deleted).chain(changes.iter().filter(|change| !deleted(change)));
        for (path, change) in in_order {
            let done = match change {
                Change::Deleted => self.delete(path, &mut undo),
                Change::Written(entry) => self.write(path, entry, &mut undo),
            };
            if let Err(reason) = done {
                let left: Vec<_> = undo.into_iter().rev().filter_map(|undo| undo.undo().err()).collect();
                return Err(match left.first() {
                    None => reason,
                    Some(error) => {
                        format!("{reason}; and what was changed before it could not be undone: {error}")
                    }
                });
            }
        }
        Ok(())
    }

    fn delete(&self, path: &RepoPath, undo: &mut Vec<Undo>) -> Result<(), String> {
        // A link itself may go: removing it touches nothing that it points to. Its folder has to be inside.
        let (folder, name) = match path.as_str().rsplit_once('/') {
            Some((folder, name)) => (place(self.root, folder, Purpose::Read)?, name),
            None => (self.root.to_owned(), path.as_str()),
        };
        let place = folder.join(name);
        let metadata = fs::symlink_metadata(&place).map_err(|_| format!("there is no file {path}"))?;
        if metadata.is_dir() {
            return Err(format!("{path} is a folder: delete its files one by one"));
        }
        let failed = |error: io::Error| format!("{path} cannot be deleted: {error}");
        let before = if metadata.is_symlink() {
            Undo::Link { place: place.clone(), target: fs::read_link(&place).map_err(failed)? }
        } else if metadata.is_file() && metadata.len() <= MAX_FILE_BYTES {
            Undo::kept(&place).map_err(failed)?
        } else {
            Undo::Nothing
        };
        fs::remove_file(&place).map_err(failed)?;
        undo.push(before);
        Ok(())
    }

    fn write(&self, path: &RepoPath, entry: &FileEntry, undo: &mut Vec<Undo>) -> Result<(), String> {
        let place = place(self.root, path.as_str(), Purpose::Write)?;
        let failed = |error: io::Error| format!("{path} cannot be written: {error}");
        if place.is_file() {
            undo.push(Undo::kept(&place).map_err(failed)?);
        } else {
            // A folder whose last file was deleted is none that anybody keeps.
            let _ = fs::remove_dir(&place);
            let folder = place.parent().unwrap_or(self.root);
            fs::create_dir_all(folder)
                .map_err(|error| format!("{path}: its folder cannot be made: {error}"))?;
            undo.push(Undo::New { place: place.clone() });
        }
        fs::write(&place, &*entry.bytes).map_err(failed)?;
        let mode = fs::metadata(&place).map_err(failed)?.permissions().mode();
        let wanted = if entry.mode == FileMode::Executable { mode | 0o755 } else { mode & !EXECUTE };
        if (mode & EXECUTE != 0) != (entry.mode == FileMode::Executable) {
            fs::set_permissions(&place, Permissions::from_mode(wanted)).map_err(failed)?;
        }
        Ok(())
    }
}

/// How a change is taken back.
enum Undo {
    New { place: PathBuf },
    Kept { place: PathBuf, bytes: Vec<u8>, permissions: Permissions },
    Link { place: PathBuf, target: PathBuf },
    Nothing,
}

impl Undo {
    fn kept(place: &Path) -> io::Result<Self> {
        let permissions = fs::metadata(place)?.permissions();
        Ok(Self::Kept { place: place.to_owned(), bytes: fs::read(place)?, permissions })
    }

    fn undo(self) -> io::Result<()> {
        match self {
            Self::New { place } => match fs::remove_file(place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            Self::Kept { place, bytes, permissions } => {
                fs::write(&place, bytes)?;
                fs::set_permissions(&place, permissions)
            }
            Self::Link { place, target } => symlink(target, place),
            Self::Nothing => Err(io::Error::other("a file that was too large to be kept in mind is gone")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> RepoPath {
        RepoPath::parse(path).expect("a path")
    }

    fn written(text: &str) -> Change {
        Change::Written(FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().into() })
    }

    #[test]
    fn what_cannot_all_be_written_leaves_the_tree_as_it_was() {
        let dir = tempfile::tempdir().expect("dir");
        let root = dir.path();
        fs::write(root.join("a"), "a\n").expect("a");
        fs::write(root.join("gone"), "gone\n").expect("gone");
        symlink("a", root.join("link")).expect("link");
        fs::create_dir_all(root.join("folder/full")).expect("folder");
        let changes = [
            (path("a"), written("b\n")),
            (path("folder"), written("x\n")),
            (path("gone"), Change::Deleted),
            (path("link"), Change::Deleted),
            (path("made"), written("made\n")),
        ];
        let error = Tree { root }.put(&changes).expect_err("a folder with something in it stays");
        assert!(error.contains("folder"), "{error}");
        let read = |name: &str| fs::read_to_string(root.join(name)).expect(name);
        assert_eq!((read("a"), read("gone"), read("link")), ("a\n".into(), "gone\n".into(), "a\n".into()));
        assert!(root.join("link").is_symlink() && !root.join("made").exists());
    }

    #[test]
    fn a_file_takes_the_place_of_a_folder_and_a_folder_that_of_a_file() {
        let dir = tempfile::tempdir().expect("dir");
        let root = dir.path();
        fs::create_dir(root.join("n")).expect("n");
        fs::write(root.join("n/a"), "a").expect("a");
        fs::write(root.join("file"), "f").expect("file");
        let changes = [
            (path("file"), Change::Deleted),
            (path("file/x"), written("x")),
            (path("n"), written("n")),
            (path("n/a"), Change::Deleted),
        ];
        Tree { root }.put(&changes).expect("changed");
        assert_eq!(fs::read_to_string(root.join("file/x")).expect("x"), "x");
        assert_eq!(fs::read_to_string(root.join("n")).expect("n"), "n");
    }

    #[test]
    fn whoever_may_run_a_file_is_kept_and_changed() {
        let dir = tempfile::tempdir().expect("dir");
        let root = dir.path();
        let entry = FileEntry { mode: FileMode::Executable, bytes: b"#!/bin/sh\n".to_vec().into() };
        Tree { root }.put(&[(path("run"), Change::Written(entry.clone()))]).expect("made");
        assert_eq!(Tree { root }.file(&path("run")), Ok(Some(Cow::Owned(entry.clone()))));
        let entry = FileEntry { mode: FileMode::Regular, ..entry };
        Tree { root }.put(&[(path("run"), Change::Written(entry.clone()))]).expect("changed");
        assert_eq!(Tree { root }.file(&path("run")), Ok(Some(Cow::Owned(entry))));
    }
}

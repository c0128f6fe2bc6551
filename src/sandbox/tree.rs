//! Writing a snapshot to disk as the tree of a session.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{num::NonZero, thread};

use nix::sys::stat::fstat;

use super::identity::Owner;
use super::model::SandboxError;
use super::written::{Stamp, Written};
use crate::workspace::{ContentReader, FileEntry, FileMode, RepoPath, Snapshot, aside};

/// Files that one thread writes before it looks for more.
const BATCH: usize = 64;
/// More threads than this only wait for the disk.
const MOST_THREADS: usize = 8;

/// Writes the files of `snapshot` below `root`, which is empty and in which nobody else works yet, and
/// gives all of it to `owner`. Several threads share the work.
///
/// Links are made last: no file is ever written through one.
pub(super) fn write(snapshot: &Snapshot, root: &Path, owner: Owner) -> Result<Written, SandboxError> {
    refuse_files_that_are_folders(snapshot)?;
    aside(|| {
        let (links, files): (Vec<_>, Vec<_>) =
            snapshot.files.iter().partition(|(_, entry)| entry.mode == FileMode::Symlink);
        let mut folders = BTreeSet::new();
        for (path, _) in snapshot.files.iter() {
            let place = root.join(path.as_str());
            let parent = place.parent().unwrap_or(root);
            make_folders(root, parent, owner, &mut folders).map_err(|error| invalid(path, &error))?;
        }
        let stamps = write_files(&files, root, owner)?;
        let mut reader = ContentReader::default();
        for (path, entry) in links {
            write_entry(&root.join(path.as_str()), entry, owner, &mut reader)
                .map_err(|error| invalid(path, &error))?;
        }
        Ok(Written::new(root, files, stamps))
    })
}

type File<'a> = (&'a RepoPath, &'a FileEntry);

fn write_files(files: &[File<'_>], root: &Path, owner: Owner) -> Result<Vec<(usize, Stamp)>, SandboxError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut reader, mut stamps) = (ContentReader::default(), vec![]);
        loop {
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            let Some(rest) = files.get(first..).filter(|rest| !rest.is_empty()) else { return Ok(stamps) };
            for (at, (path, entry)) in rest.iter().take(BATCH).enumerate() {
                let stamp = write_entry(&root.join(path.as_str()), entry, owner, &mut reader);
                let stamp = stamp.map_err(|error| {
                    // Nobody needs to write the rest.
                    next.store(files.len(), Ordering::Relaxed);
                    invalid(path, &error)
                })?;
                stamps.extend(stamp.map(|stamp| (first + at, stamp)));
            }
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> =
            (1..threads.min(files.len().div_ceil(BATCH))).map(|_| scope.spawn(work)).collect();
        let mut stamps = work();
        for other in others {
            let ended = other.join();
            let more = ended.unwrap_or_else(|_| {
                Err(SandboxError::Setup { reason: "a thread that writes the tree ended early".into() })
            });
            match (&mut stamps, more) {
                (Ok(stamps), Ok(more)) => stamps.extend(more),
                (Ok(_), Err(error)) => stamps = Err(error),
                (Err(_), _) => {}
            }
        }
        stamps
    })
}

/// Writes a file whose folder is there.
fn write_entry(
    target: &Path,
    entry: &FileEntry,
    owner: Owner,
    reader: &mut ContentReader,
) -> io::Result<Option<Stamp>> {
    let bytes = entry.bytes.read(reader).map_err(io::Error::other)?;
    if entry.mode == FileMode::Symlink {
        symlink(OsStr::from_bytes(bytes), target)?;
        return lchown(target, owner.uid(), owner.gid()).map(|()| None);
    }
    let mode = if entry.mode == FileMode::Executable { 0o755 } else { 0o644 };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(target)?;
    file.write_all(bytes)?;
    if let (Some(uid), gid) = (owner.uid(), owner.gid()) {
        std::os::unix::fs::fchown(&file, Some(uid), gid)?;
    }
    Ok(Some(Stamp::of(&fstat(&file)?)))
}

/// Writes one file and the folders above it.
pub(super) fn write_one(
    root: &Path,
    (path, entry): File<'_>,
    owner: Owner,
    folders: &mut BTreeSet<PathBuf>,
) -> io::Result<()> {
    let target = root.join(path.as_str());
    make_folders(root, target.parent().unwrap_or(root), owner, folders)?;
    write_entry(&target, entry, owner, &mut ContentReader::default()).map(drop)
}

fn make_folders(root: &Path, folder: &Path, owner: Owner, known: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    if folder == root || known.contains(folder) {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(root, parent, owner, known)?;
    }
    fs::DirBuilder::new().mode(0o755).create(folder)?;
    chown(folder, owner.uid(), owner.gid())?;
    known.insert(folder.to_path_buf());
    Ok(())
}

pub(super) fn refuse_files_that_are_folders(snapshot: &Snapshot) -> Result<(), SandboxError> {
    for path in snapshot.files.keys() {
        for (at, _) in path.as_str().match_indices('/') {
            let folder = &path.as_str()[..at];
            let is_file = RepoPath::parse(folder).is_ok_and(|folder| snapshot.files.contains_key(&folder));
            if is_file {
                return Err(invalid(path, &format_args!("{folder} is a file and a folder at once")));
            }
        }
    }
    Ok(())
}

fn invalid(path: &RepoPath, reason: &dyn std::fmt::Display) -> SandboxError {
    SandboxError::InvalidTree { path: path.to_string(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(files: &[(&str, FileMode, &str)]) -> Snapshot {
        let files = files.iter().map(|(path, mode, bytes)| {
            let path = RepoPath::parse(*path).expect("a path");
            (path, FileEntry { mode: *mode, bytes: bytes.as_bytes().into() })
        });
        Snapshot { files: files.collect() }
    }

    #[test]
    fn a_file_below_a_link_is_refused_before_anything_is_written() {
        let parent = tempfile::tempdir().expect("a folder");
        let (outside, root) = (parent.path().join("outside"), parent.path().join("root"));
        fs::create_dir(&outside).expect("outside");
        fs::create_dir(&root).expect("root");
        let target = outside.to_str().expect("text").to_owned();
        let tree = snapshot(&[("a", FileMode::Symlink, &target), ("a/b", FileMode::Regular, "owned")]);
        let error = write(&tree, &root, Owner::Own).expect_err("refused");
        assert!(error.to_string().contains("a is a file and a folder at once"), "{error}");
        assert!(!outside.join("b").exists());
        assert_eq!(fs::read_dir(&root).expect("root").count(), 0);
    }

    #[test]
    fn modes_and_links_are_written_as_git_records_them() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().expect("a folder");
        let tree = snapshot(&[
            ("run.sh", FileMode::Executable, "#!/bin/sh\n"),
            ("src/lib.rs", FileMode::Regular, "x"),
            ("link", FileMode::Symlink, "src/lib.rs"),
        ]);
        write(&tree, root.path(), Owner::Own).expect("written");
        let mode =
            |path: &str| root.path().join(path).metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode("run.sh"), mode("src/lib.rs")), (0o755, 0o644));
        assert_eq!(fs::read_link(root.path().join("link")).expect("link"), Path::new("src/lib.rs"));
    }
}

//! Writing a snapshot to disk as the tree of a session.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use super::identity::Owner;
use super::model::SandboxError;
use crate::workspace::{FileEntry, FileMode, RepoPath, Snapshot};

/// Files written before other work on the same thread gets a turn.
const BATCH: usize = 64;

/// Writes the files of `snapshot` below `root`, which is empty and in which nobody else works yet, and
/// gives all of it to `owner`.
///
/// Links are made last: no file is ever written through one.
pub(super) async fn write(snapshot: &Snapshot, root: &Path, owner: Owner) -> Result<(), SandboxError> {
    refuse_files_that_are_folders(snapshot)?;
    let mut folders = BTreeSet::new();
    let (links, files): (Vec<_>, Vec<_>) =
        snapshot.files.iter().partition(|(_, entry)| entry.mode == FileMode::Symlink);
    for batch in files.chunks(BATCH).chain(links.chunks(BATCH)) {
        for (path, entry) in batch {
            write_entry(root, path, entry, owner, &mut folders)
                .map_err(|error| invalid(path, error.to_string()))?;
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

pub(super) fn write_entry(
    root: &Path,
    path: &RepoPath,
    entry: &FileEntry,
    owner: Owner,
    folders: &mut BTreeSet<PathBuf>,
) -> io::Result<()> {
    let target = root.join(path.as_str());
    let parent = target.parent().unwrap_or(root);
    make_folders(root, parent, owner, folders)?;
    if entry.mode == FileMode::Symlink {
        symlink(OsStr::from_bytes(&entry.bytes), &target)?;
        return lchown(&target, owner.uid(), owner.gid());
    }
    let mode = if entry.mode == FileMode::Executable { 0o755 } else { 0o644 };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&target)?;
    file.write_all(&entry.bytes)?;
    if let (Some(uid), gid) = (owner.uid(), owner.gid()) {
        std::os::unix::fs::fchown(&file, Some(uid), gid)?;
    }
    Ok(())
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
                return Err(invalid(path, format!("{folder} is a file and a folder at once")));
            }
        }
    }
    Ok(())
}

fn invalid(path: &RepoPath, reason: impl Into<String>) -> SandboxError {
    SandboxError::InvalidTree { path: path.to_string(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(files: &[(&str, FileMode, &str)]) -> Snapshot {
        let files = files.iter().map(|(path, mode, bytes)| {
            let path = RepoPath::parse(*path).expect("a path");
            (path, FileEntry { mode: *mode, bytes: bytes.as_bytes().to_vec() })
        });
        Snapshot { files: files.collect() }
    }

    #[tokio::test]
    async fn a_file_below_a_link_is_refused_before_anything_is_written() {
        let parent = tempfile::tempdir().expect("a folder");
        let (outside, root) = (parent.path().join("outside"), parent.path().join("root"));
        fs::create_dir(&outside).expect("outside");
        fs::create_dir(&root).expect("root");
        let target = outside.to_str().expect("text").to_owned();
        let tree = snapshot(&[("a", FileMode::Symlink, &target), ("a/b", FileMode::Regular, "owned")]);
        let error = write(&tree, &root, Owner::Own).await.expect_err("refused");
        assert!(error.to_string().contains("a is a file and a folder at once"), "{error}");
        assert!(!outside.join("b").exists());
        assert_eq!(fs::read_dir(&root).expect("root").count(), 0);
    }

    #[tokio::test]
    async fn modes_and_links_are_written_as_git_records_them() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().expect("a folder");
        let tree = snapshot(&[
            ("run.sh", FileMode::Executable, "#!/bin/sh\n"),
            ("src/lib.rs", FileMode::Regular, "x"),
            ("link", FileMode::Symlink, "src/lib.rs"),
        ]);
        write(&tree, root.path(), Owner::Own).await.expect("written");
        let mode =
            |path: &str| root.path().join(path).metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode("run.sh"), mode("src/lib.rs")), (0o755, 0o644));
        assert_eq!(fs::read_link(root.path().join("link")).expect("link"), Path::new("src/lib.rs"));
    }
}

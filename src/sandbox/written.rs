//! Which files of a session's tree are as they were written, told without reading them: by what the file system
//! says about them, as git's index does it.
//!
//! Nobody in a sandbox can set a file's change time: the kernel sets it at every change of content, name, owner or
//! mode. A file whose change time, number, size and modification time are those that it was written with is
//! unchanged, unless it was written so late that a change could have got the same time; those are read.

use std::collections::HashMap;
use std::path::Path;

use nix::sys::stat::{FileStat, stat};
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, XFS_SUPER_MAGIC, statfs};

use crate::workspace::{FileEntry, RepoPath};

/// What the file system says about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    bytes: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(stat: &FileStat) -> Self {
        Self {
            inode: stat.st_ino,
            bytes: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// The files of a tree as they were written. Empty: every file has to be read.
#[derive(Debug, Default)]
pub(super) struct Written {
    files: HashMap<RepoPath, (Stamp, FileEntry)>,
}

impl Written {
    /// `files` have all been written below `root`; each stamp names one by its place in them.
    pub(super) fn new(root: &Path, files: Vec<(&RepoPath, &FileEntry)>, stamps: Vec<(usize, Stamp)>) -> Self {
        let Some(now) = settled(root) else { return Self::default() };
        let trusted = stamps.into_iter().filter(|(_, stamp)| stamp.changed < now);
        let entry = |(at, stamp): (usize, Stamp)| {
            let (path, entry) = files[at];
            (path.clone(), (stamp, entry.clone()))
        };
        Self { files: trusted.map(entry).collect() }
    }

    /// The entry of a file that is still what was written.
    pub(super) fn unchanged(&self, path: &RepoPath, stat: &FileStat) -> Option<&FileEntry> {
        let (stamp, entry) = self.files.get(path)?;
        (*stamp == Stamp::of(stat)).then_some(entry)
    }
}

/// The file system's time now, where it notes every change in time. (Files in memory keep their times when they
/// are written through a mapping, and of network file systems little is certain.)
fn settled(root: &Path) -> Option<(i64, i64)> {
    let kind = statfs(root).ok()?.filesystem_type();
    let known = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC];
    if !known.contains(&kind) {
        return None;
    }
    let beside = tempfile::NamedTempFile::new_in(root.parent()?).ok()?;
    let stat = stat(beside.path()).ok()?;
    Some((stat.st_ctime, stat.st_ctime_nsec))
}

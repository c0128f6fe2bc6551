//! Steps over a folder that strangers wrote: every step is relative to an open folder and follows no link.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

/// What kind of thing a folder's entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    Link,
    Special(&'static str),
}

pub(super) fn kind(stat: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFDIR => Kind::Folder,
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFLNK => Kind::Link,
        SFlag::S_IFSOCK => Kind::Special("socket"),
        SFlag::S_IFIFO => Kind::Special("named pipe"),
        _ => Kind::Special("device"),
    }
}

/// Opens the root of a walk. The path's own parents belong to the host.
pub(super) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, FOLDER, Mode::empty())?)
}

/// Opens a folder inside another, or fails where the entry is anything else.
pub(super) fn open_folder(parent: impl AsFd, name: &std::ffi::OsStr) -> io::Result<OwnedFd> {
    match openat(parent.as_fd(), name, FOLDER, Mode::empty()) {
        Err(Errno::EACCES) => {
            allow_owner(parent.as_fd(), name, Mode::S_IRWXU)?;
            Ok(openat(parent.as_fd(), name, FOLDER, Mode::empty())?)
        }
        opened => Ok(opened?),
    }
}

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Adds permissions for the owner to an entry that is not a link. Needed where the sandbox's user is our
/// own and took its permissions away.
pub(super) fn allow_owner(parent: impl AsFd, name: &std::ffi::OsStr, add: Mode) -> io::Result<()> {
    let entry = openat(parent, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    let stat = nix::sys::stat::fstat(&entry)?;
    if kind(&stat) == Kind::Link {
        return Err(Errno::ELOOP.into());
    }
    // `fchmod` refuses a descriptor opened with O_PATH; its name in /proc leads to the same inode.
    let mode = Mode::from_bits_truncate(stat.st_mode) | add;
    fs::set_permissions(proc_path(&entry), std::os::unix::fs::PermissionsExt::from_mode(mode.bits()))
}

/// A name by which the kernel finds an open file again, whatever lies at its path now.
pub(super) fn proc_path(fd: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// The most entries that one folder may have, where all of them have to be known at once.
pub(super) const MOST_NAMES: usize = 1 << 20;

/// The names in an open folder, sorted.
///
/// # Errors
/// When it cannot be read; of the kind `FileTooLarge` when it has more than [`MOST_NAMES`] entries.
pub(super) fn names(folder: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = some_names(folder, MOST_NAMES + 1)?;
    if names.len() > MOST_NAMES {
        let reason = format!("a folder has more than {MOST_NAMES} entries");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    names.sort();
    Ok(names)
}

/// The first so many names in an open folder, in any order.
pub(super) fn some_names(folder: &OwnedFd, most: usize) -> io::Result<Vec<OsString>> {
    fs::read_dir(proc_path(folder))?.take(most).map(|entry| Ok(entry?.file_name())).collect()
}

pub(super) fn stat(folder: &OwnedFd, name: &std::ffi::OsStr) -> nix::Result<FileStat> {
    fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// What lies at a path of the tree; `None` is nothing, an error is a link on the way or at its end.
pub(super) fn kind_below(tree: &Path, below: &Path) -> io::Result<Option<Kind>> {
    let mut folder = open_root(tree)?;
    let mut found = Kind::Folder;
    for part in below {
        if found != Kind::Folder {
            return Ok(None);
        }
        found = match stat(&folder, part) {
            Ok(stat) => kind(&stat),
            Err(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match found {
            Kind::Folder => folder = open_folder(&folder, part)?,
            Kind::Link => return Err(Errno::ELOOP.into()),
            Kind::File | Kind::Special(_) => {}
        }
    }
    Ok(Some(found))
}

/// Folders nested deeper than this are no work of a person's.
pub(super) const DEPTH: usize = 200;

/// What every entry counts at least: an empty file takes an inode and a name, of which there are not endlessly
/// many either.
const LEAST: u64 = 4096;

/// The space on disk that a folder takes, in bytes, each entry at least 4 KiB. What vanishes meanwhile is not
/// counted; the walk ends early once `enough` is passed. A tree deeper than [`DEPTH`] counts as endless, so that
/// nothing can be hidden at its bottom.
pub(super) fn disk_use(root: &Path, enough: u64) -> io::Result<u64> {
    let mut total = 0;
    add_disk_use(&open_root(root)?, enough, 0, &mut total);
    Ok(total)
}

fn add_disk_use(folder: &OwnedFd, enough: u64, depth: usize, total: &mut u64) {
    if depth > DEPTH {
        *total = u64::MAX;
    }
    let Ok(entries) = fs::read_dir(proc_path(folder)) else { return };
    // Only the names of folders are kept, and no more of them than `enough` has room for.
    let mut folders = vec![];
    for entry in entries.flatten() {
        if *total > enough {
            return;
        }
        let name = entry.file_name();
        let Ok(stat) = stat(folder, &name) else { continue };
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
        *total = total.saturating_add((blocks * 512).max(LEAST));
        if kind(&stat) == Kind::Folder {
            folders.push(name);
        }
    }
    for name in folders {
        if *total > enough {
            return;
        }
        if let Ok(inner) = open_folder(folder, &name) {
            add_disk_use(&inner, enough, depth + 1, total);
        }
    }
}

/// Makes every file below a folder readable, and every folder enterable, for everyone, without following
/// links. For caches, which one sandbox user fills and others read.
///
/// # Errors
/// When the folder cannot be read or permissions cannot be changed.
pub fn make_readable(root: &Path) -> io::Result<()> {
    let folder = open_root(root)?;
    fs::set_permissions(proc_path(&folder), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    readable_below(&folder, 0)
}

fn readable_below(folder: &OwnedFd, depth: usize) -> io::Result<()> {
    if depth > DEPTH {
        return Err(io::Error::other(format!("folders are nested more than {DEPTH} deep")));
    }
    for name in names(folder)? {
        let entry_kind = kind(&stat(folder, &name)?);
        match entry_kind {
            Kind::Folder => {
                let add = Mode::S_IRWXU | Mode::from_bits_truncate(0o055);
                allow_owner(folder, &name, add)?;
                readable_below(&open_folder(folder, &name)?, depth + 1)?;
            }
            Kind::File => allow_owner(folder, &name, Mode::from_bits_truncate(0o444))?,
            Kind::Link | Kind::Special(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_takes_space_too_and_the_walk_ends_when_it_has_seen_enough() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("a/b")).expect("folders");
        for n in 0..100 {
            fs::write(root.path().join(format!("a/b/{n}")), "").expect("a file");
        }
        let used = disk_use(root.path(), u64::MAX - 1).expect("walked");
        assert!((102 * LEAST..120 * LEAST).contains(&used), "{used}");
        let enough = disk_use(root.path(), 10 * LEAST).expect("walked");
        assert!((11 * LEAST..=13 * LEAST).contains(&enough), "{enough}");
    }

    #[test]
    fn some_names_are_no_more_than_were_asked_for() {
        let root = tempfile::tempdir().expect("a folder");
        (0..10).for_each(|n| fs::write(root.path().join(n.to_string()), "").expect("a file"));
        let folder = open_root(root.path()).expect("open");
        assert_eq!(some_names(&folder, 4).expect("read").len(), 4);
        assert_eq!(names(&folder).expect("read").len(), 10);
    }
}

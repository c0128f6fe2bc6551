//! Reading a tree back that strangers wrote: bytes only, no link followed, everything counted.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat};

use super::model::SandboxError;
use super::walk::{self, Kind};
use super::written::Written;
use crate::workspace::{FileEntry, FileMode, RepoPath, Snapshot};

/// A tree as it came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBack {
    pub tree: Snapshot,
    /// What was there and is not in `tree`, at most 1,000 of it.
    pub left_out: Vec<LeftOut>,
}

/// An entry that is not taken over.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LeftOut {
    /// The path; bytes that are not UTF-8 are replaced.
    pub path: String,
    pub reason: String,
}

/// An entry because of which nothing is taken over.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RefusedEntry {
    pub path: String,
    pub reason: String,
}

impl fmt::Display for RefusedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// How much may be read back. Files that nobody changed do not count where they are known without being read
/// (bubblewrap, on ext4, XFS, Btrfs and overlays of them).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TreeLimits {
    /// Default 100,000.
    pub files: u64,
    /// Of all files together. Default 512 MiB.
    pub bytes: u64,
    /// Of one file. Default 100 MiB, which is also the most that GitHub takes.
    pub file_bytes: u64,
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self { files: 100_000, bytes: 512 << 20, file_bytes: 100 << 20 }
    }
}

/// What must be remembered of the tree that a session started from.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Opened {
    links: BTreeMap<RepoPath, Vec<u8>>,
    product_folders: BTreeSet<String>,
    /// What lies in the tree and is no part of it: mounts of a backend that has to write them there.
    pub(super) apart: BTreeSet<String>,
}

/// Folders that builds make, which are left out unless the opened tree had them.
const PRODUCTS: &[&str] =
    &["target", "node_modules", ".venv", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"];

const MOST_LEFT_OUT: usize = 1000;

impl Opened {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut opened = Self::default();
        for (path, entry) in &snapshot.files {
            if entry.mode == FileMode::Symlink {
                opened.links.insert(path.clone(), entry.bytes.to_vec());
            }
            for (at, _) in path.as_str().match_indices('/') {
                let folder = &path.as_str()[..at];
                if is_product(folder.rsplit('/').next().unwrap_or(folder)) {
                    opened.product_folders.insert(folder.to_owned());
                }
            }
        }
        opened
    }
}

fn is_product(name: &str) -> bool {
    PRODUCTS.contains(&name)
}

/// Copies a tree out. What is still as it was written is neither read nor counted. Blocks.
pub(super) fn copy(
    root: &Path,
    (opened, written): (&Opened, &Written),
    limits: TreeLimits,
) -> Result<ReadBack, SandboxError> {
    let mut tree = Snapshot::default();
    let left_out = copy_each(root, (opened, written), limits, &mut |path, entry| {
        tree.files.insert(path.clone(), entry);
        Ok(())
    })?;
    Ok(ReadBack { tree, left_out })
}

/// Copies a tree out, one entry after the other; gives what is left out. Blocks.
pub(super) fn copy_each(
    root: &Path,
    (opened, written): (&Opened, &Written),
    limits: TreeLimits,
    take: Take<'_>,
) -> Result<Vec<LeftOut>, SandboxError> {
    let folder = walk::open_root(root).map_err(SandboxError::io("opening the sandbox's tree"))?;
    let taken = Taken::new(opened, limits);
    let mut copy = Copy { taken, written, take, left_out: vec![], refused: vec![] };
    copy.folder(&folder, "", 0)?;
    if !copy.refused.is_empty() {
        return Err(SandboxError::TreeRefused(copy.refused));
    }
    Ok(copy.left_out)
}

/// What becomes of an entry that may leave.
type Take<'a> = &'a mut dyn FnMut(&RepoPath, FileEntry) -> Result<(), SandboxError>;

/// What has been taken over so far, and what may still be.
pub(super) struct Taken<'a> {
    opened: &'a Opened,
    limits: TreeLimits,
    files: u64,
    bytes: u64,
}

impl<'a> Taken<'a> {
    pub(super) fn new(opened: &'a Opened, limits: TreeLimits) -> Self {
        Self { opened, limits, files: 0, bytes: 0 }
    }

    /// The most bytes that the next file may have, with the limit's name and value.
    fn room(&self) -> (u64, &'static str, u64) {
        let left = self.limits.bytes.saturating_sub(self.bytes);
        if self.limits.file_bytes <= left {
            (self.limits.file_bytes, "bytes in one file", self.limits.file_bytes)
        } else {
            (left, "bytes in all files", self.limits.bytes)
        }
    }

    /// Refuses a file that is too large before any of it is read.
    pub(super) fn check_size(&self, bytes: u64) -> Result<(), SandboxError> {
        let (most, what, limit) = self.room();
        if bytes > most { Err(SandboxError::TreeTooLarge { what: what.into(), limit }) } else { Ok(()) }
    }

    pub(super) fn count(&mut self, bytes: u64) -> Result<(), SandboxError> {
        self.bytes += bytes;
        self.files += 1;
        if self.files > self.limits.files {
            return Err(SandboxError::TreeTooLarge { what: "files".into(), limit: self.limits.files });
        }
        Ok(())
    }

    /// Whether a link may leave: one that the tree came with may stay as it was.
    pub(super) fn check_link(&self, path: &RepoPath, target: &[u8]) -> Result<(), String> {
        let unchanged = self.opened.links.get(path).is_some_and(|before| before == target);
        let target = OsStr::from_bytes(target);
        match stays_inside(path, target) {
            Err(reason) if !unchanged => Err(format!("it is a link to {target:?}, which {reason}")),
            _ => Ok(()),
        }
    }

    /// The folder of build products that a path lies in and that the tree did not come with.
    pub(super) fn new_product_folder<'p>(&self, path: &'p RepoPath) -> Option<&'p str> {
        let mut folders = path.as_str().match_indices('/').map(|(at, _)| &path.as_str()[..at]);
        folders.find(|folder| {
            is_product(folder.rsplit('/').next().unwrap_or(folder))
                && !self.opened.product_folders.contains(*folder)
        })
    }
}

struct Copy<'a> {
    taken: Taken<'a>,
    written: &'a Written,
    take: Take<'a>,
    left_out: Vec<LeftOut>,
    refused: Vec<RefusedEntry>,
}

impl Copy<'_> {
    fn folder(&mut self, folder: &OwnedFd, prefix: &str, depth: usize) -> Result<(), SandboxError> {
        if depth > walk::DEPTH {
            return Err(SandboxError::TreeTooLarge {
                what: "nested folders".into(),
                limit: walk::DEPTH as u64,
            });
        }
        let names = walk::names(folder).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => SandboxError::TreeTooLarge {
                what: "entries in one folder".into(),
                limit: walk::MOST_NAMES as u64,
            },
            _ => SandboxError::io(format!("reading {prefix:?} of the tree"))(error),
        })?;
        for name in names {
            let Some(path) = self.path(prefix, &name) else { continue };
            if self.taken.opened.apart.contains(path.as_str()) {
                continue;
            }
            let stat = match walk::stat(folder, &name) {
                Ok(stat) => stat,
                Err(Errno::ENOENT) => continue,
                Err(error) => return Err(reading(&path)(error.into())),
            };
            let taken = match walk::kind(&stat) {
                Kind::Folder => self.inner(folder, &name, &path, depth)?,
                Kind::File => match self.written.unchanged(&path, &stat) {
                    Some(entry) => (self.take)(&path, entry.clone()).map(Ok)?,
                    None => self.file(folder, &name, &path)?,
                },
                Kind::Link => self.link(folder, &name, &path)?,
                Kind::Special(kind) => Err(format!("it is a {kind}")),
            };
            if let Err(reason) = taken {
                self.refused.push(RefusedEntry { path: path.to_string(), reason });
            }
            if self.refused.len() >= MOST_LEFT_OUT {
                return Err(SandboxError::TreeRefused(std::mem::take(&mut self.refused)));
            }
        }
        Ok(())
    }

    /// The path of an entry, unless its name is one that no repository may have.
    fn path(&mut self, prefix: &str, name: &OsStr) -> Option<RepoPath> {
        let shown = format!("{prefix}{}", name.to_string_lossy());
        let parsed = match name.to_str() {
            Some(_) => RepoPath::parse(shown.clone()).map_err(|invalid| invalid.reason.to_owned()),
            None => Err("its name is not UTF-8".to_owned()),
        };
        parsed.map_err(|reason| self.leave_out(shown, reason)).ok()
    }

    fn leave_out(&mut self, path: String, reason: String) {
        if self.left_out.len() < MOST_LEFT_OUT {
            self.left_out.push(LeftOut { path, reason });
        }
    }

    fn inner(&mut self, folder: &OwnedFd, name: &OsStr, path: &RepoPath, depth: usize) -> Answer {
        let came_with = || self.taken.opened.product_folders.contains(path.as_str());
        if name.to_str().is_some_and(is_product) && !came_with() {
            self.leave_out(format!("{path}/"), "it is a build product that the tree did not have".into());
            return Ok(Ok(()));
        }
        match walk::open_folder(folder, name) {
            Ok(inner) => self.folder(&inner, &format!("{path}/"), depth + 1).map(Ok),
            Err(error) => changed_or(error, path),
        }
    }

    fn file(&mut self, folder: &OwnedFd, name: &OsStr, path: &RepoPath) -> Answer {
        let file = match open_file(folder, name) {
            Ok(file) => file,
            Err(error) => return changed_or(error, path),
        };
        let stat = fstat(&file).map_err(io::Error::from).map_err(reading(path))?;
        if walk::kind(&stat) != Kind::File {
            return Ok(Err(CHANGED.into()));
        }
        let bytes = self.read(file, &stat, path)?;
        let executable = stat.st_mode & 0o100 != 0;
        let mode = if executable { FileMode::Executable } else { FileMode::Regular };
        self.take(path, FileEntry { mode, bytes: bytes.into() }).map(Ok)
    }

    fn read(&self, file: OwnedFd, stat: &FileStat, path: &RepoPath) -> Result<Vec<u8>, SandboxError> {
        let (most, what, limit) = self.taken.room();
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        let mut bytes = Vec::with_capacity(usize::try_from(size.min(most)).unwrap_or(0));
        // The size can change while it is read, so the reading is bounded and not only the size.
        if size <= most {
            File::from(file).take(most + 1).read_to_end(&mut bytes).map_err(reading(path))?;
        }
        if size > most || bytes.len() as u64 > most {
            return Err(SandboxError::TreeTooLarge { what: what.into(), limit });
        }
        Ok(bytes)
    }

    fn link(&mut self, folder: &OwnedFd, name: &OsStr, path: &RepoPath) -> Answer {
        let target: OsString = match readlinkat(folder, name) {
            Ok(target) => target,
            Err(Errno::ENOENT) => return Ok(Ok(())),
            Err(Errno::EINVAL) => return Ok(Err(CHANGED.into())),
            Err(error) => return Err(reading(path)(error.into())),
        };
        let bytes = target.as_bytes().to_vec();
        match self.taken.check_link(path, &bytes) {
            Ok(()) => self.take(path, FileEntry { mode: FileMode::Symlink, bytes: bytes.into() }).map(Ok),
            refused => Ok(refused),
        }
    }

    fn take(&mut self, path: &RepoPath, entry: FileEntry) -> Result<(), SandboxError> {
        self.taken.count(entry.bytes.len() as u64)?;
        (self.take)(path, entry)
    }
}

/// The inner error is why an entry is refused; the outer one ends the copy.
type Answer = Result<Result<(), String>, SandboxError>;

const CHANGED: &str = "it changed its kind while it was copied";

/// An entry that is gone is no entry; one that turned into a link or something else is refused.
fn changed_or(error: io::Error, path: &RepoPath) -> Answer {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => Ok(Ok(())),
        Some(Errno::ELOOP | Errno::ENOTDIR | Errno::ENXIO) => Ok(Err(CHANGED.into())),
        _ => Err(reading(path)(error)),
    }
}

fn reading(path: &RepoPath) -> impl FnOnce(io::Error) -> SandboxError + use<> {
    SandboxError::io(format!("reading {path} of the sandbox's tree"))
}

/// Opens a file without following a link and without waiting for the other end of a pipe.
fn open_file(folder: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    match openat(folder, name, flags, Mode::empty()) {
        Err(Errno::EACCES) => {
            walk::allow_owner(folder, name, Mode::S_IRUSR)?;
            Ok(openat(folder, name, flags, Mode::empty())?)
        }
        opened => Ok(opened?),
    }
}

/// A target is fine when it is relative, climbs only at its beginning and no further than the tree's root,
/// and names no git directory. Since nothing climbs after it has descended, a chain of such links cannot
/// leave the tree either.
fn stays_inside(link: &RepoPath, target: &OsStr) -> Result<(), &'static str> {
    let target = target.to_str().ok_or("is not UTF-8")?;
    if target.starts_with('/') {
        return Err("is absolute");
    }
    let depth = link.as_str().matches('/').count();
    let mut parts = target.trim_end_matches('/').split('/').filter(|part| *part != ".").peekable();
    let mut climbed = 0;
    while parts.next_if_eq(&"..").is_some() {
        climbed += 1;
    }
    if climbed > depth {
        return Err("leaves the tree");
    }
    let rest: Vec<&str> = parts.collect();
    if rest.contains(&"..") {
        return Err("climbs after it has descended");
    }
    if !rest.is_empty() && RepoPath::parse(rest.join("/")).is_err() {
        return Err("is not a path of a repository");
    }
    Ok(())
}

#[cfg(test)]
mod tests;

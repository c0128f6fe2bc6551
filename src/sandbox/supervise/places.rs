//! Mounts of commands that share a pod: written there, read back, and removed, always between commands, when
//! nothing else runs. As a mount would, they cover what the tree has at their place, and uncover it in the end.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use sha2::{Digest, Sha256};

use super::listen::Listener;
use super::say;
use super::wire::{self, End, Kind};
use crate::sandbox::arguments::WORK;
use crate::sandbox::carry::{self, Writer};
use crate::sandbox::model::Access;
use crate::sandbox::removal::remove_tree;
use crate::sandbox::walk::{self, Kind as Entry};

/// Where the packages of projects are, and where a pod has a disk of its own for mounts.
pub(in crate::sandbox) const DEPENDENCIES: &str = "/deps";

/// The root that a place lies below, and the rest of its path.
fn split(inside: &Path) -> io::Result<(&'static Path, &Path)> {
    let roots = [WORK, DEPENDENCIES].map(Path::new);
    let found = roots.into_iter().find_map(|root| Some((root, inside.strip_prefix(root).ok()?)));
    found.filter(|(_, below)| below.components().next().is_some()).ok_or_else(|| {
        let reason =
            format!("{} is no place for a mount: a pod has {WORK} and {DEPENDENCIES}", inside.display());
        io::Error::new(io::ErrorKind::InvalidInput, reason)
    })
}

/// What lies at a place; an error is a link on the way or at its end.
pub(super) fn kind(inside: &Path) -> io::Result<Option<Entry>> {
    let (root, below) = split(inside)?;
    walk::kind_below(root, below)
}

/// Writes what comes to a place. A folder may be there, which is then covered.
pub(super) fn place(listener: &Listener, inside: &Path, access: Access) -> io::Result<End> {
    match kind(inside) {
        Ok(Some(Entry::Folder)) => cover(inside)?,
        Ok(None) => {}
        Ok(Some(_)) => return Err(io::Error::other(format!("something else is at {}", inside.display()))),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
        Err(_) => return Ok(End::ThroughALink(inside.to_path_buf())),
    }
    if let Some(parent) = inside.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut writer = Writer::new(inside, access, u64::MAX);
    loop {
        let frame = listener.content()?;
        if frame.kind == Kind::End {
            writer.finish()?;
            let covers = matches!(kind(&covered(inside)), Ok(Some(Entry::Folder)));
            return Ok(End::Placed { covers });
        }
        writer.take(&frame)?;
    }
}

/// Where what the tree has at a place is kept while it is covered: on the pod's other disk, where nothing that
/// walks the tree comes upon it.
fn covered(inside: &Path) -> PathBuf {
    let place: PathBuf = inside.components().collect();
    let digest = hex::encode(Sha256::digest(place.as_os_str().as_bytes()));
    Path::new(DEPENDENCIES).join(format!(".covered-{}", &digest[..32]))
}

/// Takes a folder out of the way of a mount.
fn cover(inside: &Path) -> io::Result<()> {
    match fs::remove_dir(inside) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
        removed => return removed,
    }
    // What is not the tree's is nobody's.
    if inside.starts_with(WORK) {
        let kept = covered(inside);
        remove(&kept)?;
        walk::make_readable(inside)?;
        copy(inside, &kept)?;
    }
    remove_tree(inside)
}

/// Puts back what a mount covered, where that is still possible.
fn uncover(inside: &Path) -> io::Result<()> {
    let kept = covered(inside);
    if !matches!(kind(&kept), Ok(Some(Entry::Folder))) {
        return Ok(());
    }
    let is_free = matches!(kind(inside), Ok(None));
    if is_free && inside.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok()) {
        copy(&kept, inside)?;
    }
    remove(&kept)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut writer = Writer::new(to, Access::ReadWrite, u64::MAX);
    carry::send(from, u64::MAX, &mut |mut frame| writer.take(&wire::read(&mut frame)?))?;
    writer.finish()
}

pub(super) fn fetch(inside: &Path, limit: u64) -> io::Result<End> {
    match kind(inside) {
        Ok(Some(Entry::Folder | Entry::File)) => {}
        Ok(_) => return Ok(End::NotThere(inside.to_path_buf())),
        Err(_) => return Ok(End::ThroughALink(inside.to_path_buf())),
    }
    // As root could, whatever permissions were left behind.
    if inside.is_dir() {
        walk::make_readable(inside)?;
    }
    carry::send(inside, limit, &mut |frame| say(frame))?;
    Ok(End::Fetched)
}

/// Removes a place and uncovers what was there before. One that is not there is fine, and so is a link, which is
/// nobody's mount.
pub(super) fn clear(inside: &Path) -> io::Result<()> {
    remove(inside)?;
    uncover(inside)
}

fn remove(inside: &Path) -> io::Result<()> {
    match kind(inside) {
        Ok(Some(Entry::Folder)) => remove_tree(inside),
        Ok(Some(_)) => fs::remove_file(inside),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Folders to which a command may write, on top of what is there: what it adds goes with it.
pub(super) struct Scratch(Vec<(PathBuf, Vec<OsString>)>);

impl Scratch {
    /// Makes those that are missing. The inner `Err` is a place that a link of the tree has moved.
    pub(super) fn make(places: &[PathBuf]) -> io::Result<Result<Self, PathBuf>> {
        let mut made = Self(vec![]);
        for inside in places {
            match kind(inside) {
                Ok(Some(Entry::Folder)) => {}
                Ok(None) => create(inside)?,
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
                _ => return Ok(Err(inside.clone())),
            }
            made.0.push((inside.clone(), walk::names(&walk::open_root(inside)?)?));
        }
        Ok(Ok(made))
    }

    /// Removes what was added.
    pub(super) fn empty(self) -> io::Result<()> {
        // A command may have put anything there, or nothing.
        let folders = self.0.iter().filter(|(inside, _)| matches!(kind(inside), Ok(Some(Entry::Folder))));
        folders.into_iter().try_for_each(|(inside, before)| empty(inside, before))
    }
}

/// Makes a folder, also in one that is there to be read.
fn create(inside: &Path) -> io::Result<()> {
    let parent = inside.parent().unwrap_or(Path::new(WORK));
    match fs::create_dir_all(inside) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let before = fs::metadata(parent)?.permissions();
            let grandparent = parent.parent().unwrap_or(Path::new(WORK));
            let name = parent.file_name().unwrap_or_default();
            walk::allow_owner(walk::open_root(grandparent)?, name, Mode::S_IRWXU)?;
            fs::create_dir(inside)?;
            fs::set_permissions(parent, before)
        }
        made => made,
    }
}

/// Entries that are known at once.
const BATCH: usize = 1 << 16;

/// Removes all entries of a folder but these.
pub(super) fn empty(inside: &Path, but: &[OsString]) -> io::Result<()> {
    let folder = walk::open_root(inside)?;
    // One that belongs to somebody else is writable for everybody.
    let _ = fs::set_permissions(walk::proc_path(&folder), fs::Permissions::from_mode(0o777));
    loop {
        let mut names = walk::some_names(&folder, but.len() + BATCH)?;
        names.retain(|name| !but.contains(name));
        if names.is_empty() {
            return Ok(());
        }
        for name in &names {
            match walk::kind(&walk::stat(&folder, name)?) {
                Entry::Folder => remove_tree(&inside.join(name))?,
                _ => fs::remove_file(inside.join(name))?,
            }
        }
    }
}

//! A folder or file of a mount, as frames: for sandboxes that cannot see the host's disk.
//!
//! Unlike a tree it keeps empty folders, permissions and links that lead anywhere. What is written is written
//! where nothing was, below folders that were written before, and links are made last: nothing is ever written
//! through one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, fstat};
use serde::{Deserialize, Serialize};

use super::model::Access;
use super::supervise::wire::{self, Frame, Kind};
use super::walk;

/// One entry; the content of a file follows it as [`Kind::Content`].
#[derive(Debug, Serialize, Deserialize)]
struct Item {
    /// Relative to what is carried, which itself is the empty path.
    path: String,
    what: What,
}

#[derive(Debug, Serialize, Deserialize)]
enum What {
    Folder { mode: u32 },
    File { mode: u32, bytes: u64 },
    Link { target: String },
}

/// Where frames go.
type Put<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<()>;

/// Sends what is at `root`, at most `limit` bytes of it. Blocks.
///
/// # Errors
/// When it is larger, cannot be read, or has a name that is not UTF-8.
pub(super) fn send(root: &Path, limit: u64, put: Put<'_>) -> io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let opened = open(root, flags, Mode::empty())?;
    let mut sender = Sender { put, left: limit, limit };
    match walk::kind(&fstat(&opened)?) {
        walk::Kind::Folder => sender.folder(&opened, "", 0),
        walk::Kind::File => sender.file(opened, String::new()),
        _ => Err(io::Error::other("it is neither a folder nor a file")),
    }
}

struct Sender<'a> {
    put: Put<'a>,
    left: u64,
    limit: u64,
}

/// What an entry costs beside its bytes and its names.
const ENTRY_COST: u64 = 256;
/// The kernel's own limit for paths, `PATH_MAX`, and so for the targets of links.
const LONGEST_NAME: usize = 4096;

impl Item {
    /// What it takes of a limit: its bytes, and what has to be kept to know it.
    fn cost(&self) -> io::Result<u64> {
        let (bytes, target) = match &self.what {
            What::Folder { .. } => (0, 0),
            What::File { bytes, .. } => (*bytes, 0),
            What::Link { target } => (0, target.len()),
        };
        if self.path.len() > LONGEST_NAME || target > LONGEST_NAME {
            return Err(broken(&format!(
                "a path or the target of a link has more than {LONGEST_NAME} bytes"
            )));
        }
        Ok(bytes.saturating_add(ENTRY_COST + (self.path.len() + target) as u64))
    }
}

impl Sender<'_> {
    fn item(&mut self, path: String, what: What) -> io::Result<()> {
        let item = Item { path, what };
        let too_large = || {
            io::Error::other(format!(
                "it is larger than {} MiB, the most that is carried into a sandbox",
                self.limit >> 20
            ))
        };
        self.left = self.left.checked_sub(item.cost()?).ok_or_else(too_large)?;
        (self.put)(&wire::document(Kind::Item, &item)?)
    }

    fn folder(&mut self, folder: &OwnedFd, path: &str, depth: usize) -> io::Result<()> {
        if depth > walk::DEPTH {
            return Err(io::Error::other(format!("folders are nested more than {} deep", walk::DEPTH)));
        }
        self.item(path.to_owned(), What::Folder { mode: permissions(folder)? })?;
        for name in walk::names(folder)? {
            let text = name.to_str().ok_or_else(|| io::Error::other(format!("{name:?} is not UTF-8")))?;
            let below = if path.is_empty() { text.to_owned() } else { format!("{path}/{text}") };
            match walk::kind(&walk::stat(folder, &name)?) {
                walk::Kind::Folder => self.folder(&walk::open_folder(folder, &name)?, &below, depth + 1)?,
                walk::Kind::Link => {
                    let target = readlinkat(folder, name.as_os_str())?.into_string();
                    let target =
                        target.map_err(|target| io::Error::other(format!("{target:?} is not UTF-8")))?;
                    self.item(below, What::Link { target })?;
                }
                walk::Kind::File => {
                    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                    let file = openat(folder, name.as_os_str(), flags, Mode::empty())?;
                    self.file(file, below)?;
                }
                // Sockets and pipes are nobody's packages.
                walk::Kind::Special(_) => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, file: OwnedFd, path: String) -> io::Result<()> {
        let (mode, mut file) = (permissions(&file)?, File::from(file));
        let bytes = file.metadata()?.len();
        self.item(path, What::File { mode, bytes })?;
        let (mut left, mut buffer) = (bytes, vec![0; wire::PIECE]);
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = file.read(&mut buffer[..most])?;
            if n == 0 {
                return Err(io::Error::other("a file became shorter while it was read"));
            }
            left -= n as u64;
            (self.put)(&wire::frame(Kind::Content, &buffer[..n]))?;
        }
        Ok(())
    }
}

fn permissions(entry: &impl AsFd) -> io::Result<u32> {
    Ok(fstat(entry)?.st_mode & 0o777)
}

/// Writes what comes to a place where nothing is.
#[derive(Debug)]
pub(super) struct Writer {
    root: PathBuf,
    access: Access,
    /// Bytes that may still come.
    left: u64,
    open: Option<(File, u64)>,
    /// With the permissions that they get in the end, by their paths relative to the root.
    folders: BTreeMap<PathBuf, u32>,
    links: Vec<(PathBuf, String)>,
}

impl Writer {
    /// With [`Access::ReadOnly`] nobody may write to what was written, as far as permissions say so.
    pub(super) fn new(root: &Path, access: Access, limit: u64) -> Self {
        let (folders, links) = (BTreeMap::new(), vec![]);
        Self { root: root.to_path_buf(), access, left: limit, open: None, folders, links }
    }

    /// Takes the next frame. Blocks.
    pub(super) fn take(&mut self, frame: &Frame) -> io::Result<()> {
        match (frame.kind, &mut self.open) {
            (Kind::Item, None) => {
                let item: Item = serde_json::from_slice(&frame.bytes).map_err(io::Error::other)?;
                self.item(item)?;
            }
            (Kind::Content, Some((file, left))) => {
                let length = frame.bytes.len() as u64;
                *left = left
                    .checked_sub(length)
                    .ok_or_else(|| broken("a file is longer than it was said to be"))?;
                file.write_all(&frame.bytes)?;
            }
            _ => return Err(broken("it does not belong there")),
        }
        self.open.take_if(|(_, left)| *left == 0);
        Ok(())
    }

    fn item(&mut self, item: Item) -> io::Result<()> {
        let left = self.left.checked_sub(item.cost()?);
        self.left = left.ok_or_else(|| broken("more than may come"))?;
        let Item { path, what } = item;
        let is_plain = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
        if !is_plain || path.contains('\0') {
            return Err(broken("a path that leads elsewhere"));
        }
        let path = PathBuf::from(path);
        // A link that is still to be made is no folder, and so nothing comes to lie below it.
        if path.parent().is_some_and(|parent| !self.folders.contains_key(parent)) {
            return Err(broken(&format!("{} is in no folder that came before", path.display())));
        }
        let is_root = path.as_os_str().is_empty();
        let target = if is_root { self.root.clone() } else { self.root.join(&path) };
        match what {
            What::Folder { mode } => {
                fs::DirBuilder::new().mode(0o700).create(&target)?;
                self.folders.insert(path, mode);
            }
            What::File { mode, bytes } => {
                let mode = self.mode(mode) | 0o400;
                let mut options = fs::OpenOptions::new();
                let file = options.write(true).create_new(true).mode(mode).open(&target)?;
                file.set_permissions(fs::Permissions::from_mode(mode))?;
                self.open = Some((file, bytes));
            }
            What::Link { .. } if is_root => return Err(broken("all of it is a link")),
            What::Link { target: to } => self.links.push((target, to)),
        }
        Ok(())
    }

    fn mode(&self, mode: u32) -> u32 {
        match self.access {
            Access::ReadOnly => mode & 0o555,
            Access::ReadWrite => mode & 0o777,
        }
    }

    /// Makes the links and gives folders their permissions.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.open.is_some() {
            return Err(broken("the last file is not whole"));
        }
        self.links.sort_by_key(|(place, _)| Reverse(place.components().count()));
        for (place, target) in &self.links {
            symlink(target, place)?;
        }
        // The innermost first: a folder that nobody may write to takes no more entries.
        for (folder, mode) in self.folders.iter().rev() {
            let folder =
                if folder.as_os_str().is_empty() { self.root.clone() } else { self.root.join(folder) };
            fs::set_permissions(folder, fs::Permissions::from_mode(self.mode(*mode) | 0o500))?;
        }
        Ok(())
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("what is carried makes no sense: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(root: &Path, limit: u64) -> io::Result<Vec<Frame>> {
        let mut bytes = vec![];
        send(root, limit, &mut |frame| {
            bytes.extend_from_slice(frame);
            Ok(())
        })?;
        let (mut from, mut frames) = (bytes.as_slice(), vec![]);
        while !from.is_empty() {
            frames.push(wire::read(&mut from)?);
        }
        Ok(frames)
    }

    fn write(root: &Path, access: Access, frames: &[Frame]) -> io::Result<()> {
        let mut writer = Writer::new(root, access, 1 << 20);
        frames.iter().try_for_each(|frame| writer.take(frame))?;
        writer.finish()
    }

    #[test]
    fn what_was_sent_is_written_with_its_permissions_empty_folders_and_links() {
        let root = tempfile::tempdir().expect("a folder");
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        fs::create_dir_all(from.join("a/empty")).expect("folders");
        fs::write(from.join("a/run"), vec![7; wire::PIECE + 5]).expect("a file");
        fs::set_permissions(from.join("a/run"), fs::Permissions::from_mode(0o755)).expect("a mode");
        symlink("/usr/bin/python3", from.join("a/python")).expect("a link");
        let sent = frames(&from, 1 << 20).expect("sent");
        write(&to, Access::ReadOnly, &sent).expect("written");
        let mode = |path: &str| to.join(path).symlink_metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode("a/run"), mode("a"), mode("a/empty")), (0o555, 0o555, 0o555));
        assert_eq!(fs::read(to.join("a/run")).expect("read"), vec![7; wire::PIECE + 5]);
        assert_eq!(fs::read_link(to.join("a/python")).expect("a link"), Path::new("/usr/bin/python3"));
        assert!(write(&to, Access::ReadOnly, &sent).is_err(), "something was there");
        assert!(frames(&from, 100).expect_err("too large").to_string().contains("larger than"));
        let file = root.path().join("file");
        write(&file, Access::ReadWrite, &frames(&from.join("a/run"), 1 << 20).expect("sent"))
            .expect("written");
        assert_eq!(fs::metadata(&file).expect("there").len(), wire::PIECE as u64 + 5);
    }

    #[test]
    fn nothing_is_written_through_a_link_or_outside() {
        let root = tempfile::tempdir().expect("a folder");
        let outside = root.path().join("outside");
        fs::create_dir(&outside).expect("a folder");
        let item = |path: &str, what| {
            let bytes = serde_json::to_vec(&Item { path: path.into(), what }).expect("json");
            Frame { kind: Kind::Item, bytes }
        };
        let top = || item("", What::Folder { mode: 0o755 });
        let link = |path: &str| item(path, What::Link { target: outside.display().to_string() });
        let file = |path| item(path, What::File { mode: 0o644, bytes: 0 });
        let folder = |path| item(path, What::Folder { mode: 0o755 });
        for (number, below) in [
            vec![link("a"), file("a/planted")],
            vec![link("a"), link("a/planted")],
            vec![link("a/planted"), link("a")],
            vec![link("a"), folder("a/planted")],
            vec![folder("a"), link("a"), link("a/planted")],
            vec![folder("a"), file("a/b"), link("a/b/../../planted")],
            vec![file("b/planted")],
        ]
        .into_iter()
        .enumerate()
        {
            let to = root.path().join(format!("to-{number}"));
            let all: Vec<_> = [top()].into_iter().chain(below).collect();
            assert!(write(&to, Access::ReadWrite, &all).is_err(), "{all:?}");
        }
        assert!(write(&root.path().join("all"), Access::ReadWrite, &[link("")]).is_err());
        for path in ["../outside/planted", "/etc/planted", "b/../../outside/planted"] {
            let to = root.path().join(hex::encode(path));
            assert!(write(&to, Access::ReadWrite, &[top(), file(path)]).is_err(), "{path}");
        }
        assert_eq!(fs::read_dir(&outside).expect("a folder").count(), 0);
    }

    #[test]
    fn names_count_as_well_and_none_is_longer_than_the_kernel_allows() {
        let root = tempfile::tempdir().expect("a folder");
        let frame = |path: String, what| {
            let bytes = serde_json::to_vec(&Item { path, what }).expect("json");
            Frame { kind: Kind::Item, bytes }
        };
        let link = |name: usize, target: usize| {
            let what = What::Link { target: "t".repeat(target) };
            frame(format!("{name:04}"), what)
        };
        let mut all = vec![frame(String::new(), What::Folder { mode: 0o755 })];
        all.extend((0..300).map(|name| link(name, 4000)));
        let said = write(&root.path().join("much"), Access::ReadWrite, &all).expect_err("a MiB of names");
        assert!(said.to_string().contains("more than may come"), "{said}");
        let long = [link(0, 5000), frame("p".repeat(5000), What::Folder { mode: 0o755 })];
        for (number, long) in long.into_iter().enumerate() {
            let all = [frame(String::new(), What::Folder { mode: 0o755 }), long];
            let said = write(&root.path().join(number.to_string()), Access::ReadWrite, &all);
            assert!(said.expect_err("too long").to_string().contains("more than 4096 bytes"));
        }
        let from = root.path().join("from");
        fs::create_dir(&from).expect("a folder");
        (0..10).for_each(|name| symlink("t".repeat(4000), from.join(name.to_string())).expect("a link"));
        assert!(frames(&from, 40_000).expect_err("too large").to_string().contains("larger than"));
        assert!(frames(&from, 50_000).is_ok());
    }
}

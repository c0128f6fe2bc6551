//! A folder or file of a mount, as frames: for sandboxes that cannot see the host's disk.
//!
//! Unlike a tree it keeps empty folders, permissions and links that lead anywhere. What is written is written
//! where nothing was, and links are made last, so that nothing is ever written through one.

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

/// What an entry costs beside its bytes.
const ENTRY_COST: u64 = 256;

impl Sender<'_> {
    fn item(&mut self, path: String, what: What, bytes: u64) -> io::Result<()> {
        let too_large = || {
            io::Error::other(format!(
                "it is larger than {} MiB, the most that is carried into a sandbox",
                self.limit >> 20
            ))
        };
        self.left = self.left.checked_sub(bytes.saturating_add(ENTRY_COST)).ok_or_else(too_large)?;
        (self.put)(&wire::document(Kind::Item, &Item { path, what })?)
    }

    fn folder(&mut self, folder: &OwnedFd, path: &str, depth: usize) -> io::Result<()> {
        if depth > walk::DEPTH {
            return Err(io::Error::other(format!("folders are nested more than {} deep", walk::DEPTH)));
        }
        self.item(path.to_owned(), What::Folder { mode: permissions(folder)? }, 0)?;
        for name in walk::names(folder)? {
            let text = name.to_str().ok_or_else(|| io::Error::other(format!("{name:?} is not UTF-8")))?;
            let below = if path.is_empty() { text.to_owned() } else { format!("{path}/{text}") };
            match walk::kind(&walk::stat(folder, &name)?) {
                walk::Kind::Folder => self.folder(&walk::open_folder(folder, &name)?, &below, depth + 1)?,
                walk::Kind::Link => {
                    let target = readlinkat(folder, name.as_os_str())?.into_string();
                    let target =
                        target.map_err(|target| io::Error::other(format!("{target:?} is not UTF-8")))?;
                    self.item(below, What::Link { target }, 0)?;
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
        self.item(path, What::File { mode, bytes }, bytes)?;
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
    folders: Vec<(PathBuf, u32)>,
    links: Vec<(PathBuf, String)>,
}

impl Writer {
    /// With [`Access::ReadOnly`] nobody may write to what was written, as far as permissions say so.
    pub(super) fn new(root: &Path, access: Access, limit: u64) -> Self {
        let (folders, links) = (vec![], vec![]);
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

    fn item(&mut self, Item { path, what }: Item) -> io::Result<()> {
        let is_plain = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
        if !is_plain || path.contains('\0') {
            return Err(broken("a path that leads elsewhere"));
        }
        let target = if path.is_empty() { self.root.clone() } else { self.root.join(&path) };
        let bytes = if let What::File { bytes, .. } = &what { *bytes } else { 0 };
        let left = self.left.checked_sub(bytes.saturating_add(ENTRY_COST));
        self.left = left.ok_or_else(|| broken("more than may come"))?;
        match what {
            What::Folder { mode } => {
                fs::DirBuilder::new().mode(0o700).create(&target)?;
                self.folders.push((target, mode));
            }
            What::File { mode, bytes } => {
                let mode = self.mode(mode) | 0o400;
                let mut options = fs::OpenOptions::new();
                let file = options.write(true).create_new(true).mode(mode).open(&target)?;
                file.set_permissions(fs::Permissions::from_mode(mode))?;
                self.open = Some((file, bytes));
            }
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
    pub(super) fn finish(self) -> io::Result<()> {
        if self.open.is_some() {
            return Err(broken("the last file is not whole"));
        }
        for (place, target) in &self.links {
            symlink(target, place)?;
        }
        // The innermost first: a folder that nobody may write to takes no more entries.
        for (folder, mode) in self.folders.iter().rev() {
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
        let (outside, to) = (root.path().join("outside"), root.path().join("to"));
        fs::create_dir(&outside).expect("a folder");
        let item = |path: &str, what| {
            let bytes = serde_json::to_vec(&Item { path: path.into(), what }).expect("json");
            Frame { kind: Kind::Item, bytes }
        };
        let top = || item("", What::Folder { mode: 0o755 });
        let link = item("a", What::Link { target: outside.display().to_string() });
        let file = |path| item(path, What::File { mode: 0o644, bytes: 0 });
        assert!(write(&to, Access::ReadWrite, &[top(), link, file("a/planted")]).is_err());
        for path in ["../outside/planted", "/etc/planted", "b/../../outside/planted"] {
            let to = root.path().join(hex::encode(path));
            assert!(write(&to, Access::ReadWrite, &[top(), file(path)]).is_err(), "{path}");
        }
        assert_eq!(fs::read_dir(&outside).expect("a folder").count(), 0);
    }
}

//! What is said between this program and its own first process in a container or a pod, as frames: a kind,
//! a length, and that many bytes. Both ends are this program; each still checks what the other says.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nix::libc;
use serde::{Deserialize, Serialize};

use crate::sandbox::copy_out::{LeftOut, Opened, RefusedEntry, TreeLimits};
use crate::sandbox::model::{Access, Exit, LimitHit, Limits, SandboxError};
use crate::workspace::{ContentReader, FileEntry, FileMode, RepoPath, Snapshot};

/// Bytes in one frame at most.
pub(in crate::sandbox) const LARGEST: usize = 8 << 20;
/// Bytes of content that are put into one frame.
pub(in crate::sandbox) const PIECE: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Kind {
    /// Host to inside: what to do.
    Request,
    /// Content of the file that the last [`Kind::Entry`] or [`Kind::Item`] announced.
    Content,
    /// No more files come; from inside: how it ended.
    End,
    Out,
    Err,
    /// A file of the tree: [`Entry`].
    Entry,
    /// Host to inside: what the command reads.
    Input,
    InputEnd,
    /// Host to inside: what runs is to end now. The answer still comes.
    Stop,
    /// A file, folder or link of a mount: see [`crate::sandbox::carry`].
    Item,
    /// A connection to the egress proxy, by its number: see [`crate::sandbox::tunnel`].
    Open,
    Bytes,
    /// No more bytes come in this direction.
    Shut,
    /// So many bytes have been passed on, and as many more may come.
    Credit,
}

const KINDS: [Kind; 14] = [
    Kind::Request,
    Kind::Content,
    Kind::End,
    Kind::Out,
    Kind::Err,
    Kind::Entry,
    Kind::Input,
    Kind::InputEnd,
    Kind::Stop,
    Kind::Item,
    Kind::Open,
    Kind::Bytes,
    Kind::Shut,
    Kind::Credit,
];

/// Another number for every change of what is said.
pub(in crate::sandbox) const VERSION: u32 = 2;

#[derive(Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct Frame {
    pub(in crate::sandbox) kind: Kind,
    pub(in crate::sandbox) bytes: Vec<u8>,
}

/// What the first process is there for.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::sandbox) enum Request {
    /// Say who you are, and try whether there is network.
    Greet,
    /// Write the files that follow. With an owner, give the tree's folder to that user and become it first.
    Unpack {
        owner: Option<(u32, u32)>,
    },
    Run(Box<Run>),
    /// Send the files of the tree.
    Pack {
        opened: Opened,
        limits: TreeLimits,
    },
    /// Write the items that follow to this place. What the tree has there is kept until it is cleared.
    Place {
        inside: PathBuf,
        access: Access,
    },
    /// Send what is at this place.
    Fetch {
        inside: PathBuf,
        limit: u64,
    },
    /// Remove what is at this place, and put back what it covered.
    Clear {
        inside: PathBuf,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::sandbox) struct Run {
    pub(in crate::sandbox) argv: Vec<String>,
    /// All of the environment.
    pub(in crate::sandbox) env: BTreeMap<String, String>,
    pub(in crate::sandbox) cwd: Option<RepoPath>,
    pub(in crate::sandbox) limits: Limits,
    /// Where something must be mounted, lest a link of the tree has moved it.
    pub(in crate::sandbox) mounted: Vec<PathBuf>,
    /// Folders whose size is limited.
    pub(in crate::sandbox) watched: Vec<PathBuf>,
    /// File systems in memory that the command may write to.
    pub(in crate::sandbox) writable: Vec<PathBuf>,
    pub(in crate::sandbox) rooms: Rooms,
}

/// What keeps commands of one session apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sandbox) enum Rooms {
    /// Each has a container of its own, with mounts of its own and its own limits.
    Own,
    /// They run one after the other in the same pod: what is mounted was placed before, what is to be gone
    /// with the command is emptied, and limits are this program's to keep.
    Shared {
        /// Emptied when the command has ended.
        emptied: Vec<PathBuf>,
        /// Folders to make, and to empty again of what the command adds.
        scratch: Vec<PathBuf>,
        /// Whether connections to the egress proxy are carried over the wire.
        tunnel: bool,
        /// The most processes that the user may have, should the watching be too slow.
        most_processes: u64,
    },
}

/// How a request ended.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sandbox) enum End {
    Greeted(Greeting),
    Ran(Ran),
    Unpacked,
    Packed {
        left_out: Vec<LeftOut>,
    },
    /// Whether the tree has something there, which is covered meanwhile.
    Placed {
        covers: bool,
    },
    Fetched,
    Cleared,
    Refused(Vec<RefusedEntry>),
    TooLarge {
        what: String,
        limit: u64,
    },
    NoSuchFolder,
    ThroughALink(PathBuf),
    /// What was placed there is not there any more.
    NotThere(PathBuf),
    InvalidTree {
        path: String,
        reason: String,
    },
    Failed(String),
}

/// Who the first process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sandbox) struct Greeting {
    pub(in crate::sandbox) program: String,
    pub(in crate::sandbox) wire: u32,
    /// The environment that the image gives.
    pub(in crate::sandbox) env: Vec<(String, String)>,
    /// The cluster's API, where the environment names it and it could be reached.
    pub(in crate::sandbox) reached: Option<SocketAddr>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sandbox) struct Ran {
    pub(in crate::sandbox) exit: Exit,
    pub(in crate::sandbox) limit: Option<LimitHit>,
    pub(in crate::sandbox) cpu_us: u64,
    pub(in crate::sandbox) peak_memory_bytes: u64,
    pub(in crate::sandbox) wall_us: u64,
}

/// A file that follows as [`Kind::Content`] of `bytes` bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::sandbox) struct Entry {
    pub(in crate::sandbox) path: String,
    pub(in crate::sandbox) mode: Mode,
    pub(in crate::sandbox) bytes: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in crate::sandbox) enum Mode {
    Regular,
    Executable,
    Symlink,
}

impl Ran {
    /// A command that was killed together with all that could have said more about it.
    pub(in crate::sandbox) fn killed(limit: LimitHit, wall: Duration) -> Self {
        let wall_us = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
        Self {
            exit: Exit::Signal(libc::SIGKILL),
            limit: Some(limit),
            cpu_us: 0,
            peak_memory_bytes: 0,
            wall_us,
        }
    }
}

impl End {
    /// What an answer means that is not the one that was hoped for.
    pub(in crate::sandbox) fn into_error(self, doing: &str) -> SandboxError {
        match self {
            Self::Refused(entries) => SandboxError::TreeRefused(entries),
            Self::TooLarge { what, limit } => SandboxError::TreeTooLarge { what, limit },
            Self::InvalidTree { path, reason } => SandboxError::InvalidTree { path, reason },
            Self::Failed(reason) => SandboxError::Setup { reason: format!("{doing}: {reason}") },
            _ => SandboxError::Setup {
                reason: format!("{doing}: the first process inside answers something else"),
            },
        }
    }
}

/// The files of a tree as they are to be written: links last, so that none is written through one.
pub(in crate::sandbox) fn links_last(tree: &Snapshot) -> impl Iterator<Item = (&RepoPath, &FileEntry)> {
    let (links, files): (Vec<_>, Vec<_>) =
        tree.files.iter().partition(|(_, entry)| entry.mode == FileMode::Symlink);
    files.into_iter().chain(links)
}

impl From<FileMode> for Mode {
    fn from(mode: FileMode) -> Self {
        match mode {
            FileMode::Regular => Self::Regular,
            FileMode::Executable => Self::Executable,
            FileMode::Symlink => Self::Symlink,
        }
    }
}

impl From<Mode> for FileMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Regular => Self::Regular,
            Mode::Executable => Self::Executable,
            Mode::Symlink => Self::Symlink,
        }
    }
}

/// What was said makes no sense.
#[derive(Debug)]
pub(in crate::sandbox) struct Broken(io::Error);

impl From<Broken> for io::Error {
    fn from(Broken(error): Broken) -> Self {
        error
    }
}

impl From<Broken> for SandboxError {
    fn from(Broken(source): Broken) -> Self {
        Self::Io { doing: "reading a tree that comes from a container".into(), source }
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a broken frame: {what}"))
}

/// A frame as bytes. `bytes` are at most [`LARGEST`]; what is longer is refused by the reader.
pub(in crate::sandbox) fn frame(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    let number = KINDS.iter().position(|known| *known == kind).unwrap_or_default();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(bytes.len() + 5);
    frame.push(u8::try_from(number).unwrap_or_default());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

/// A frame that holds a document.
pub(in crate::sandbox) fn document(kind: Kind, value: &impl Serialize) -> io::Result<Vec<u8>> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
    // A request can be longer than one frame may be: only files and output are cut into pieces.
    if bytes.len() > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a command or a list that is too long"));
    }
    Ok(frame(kind, &bytes))
}

fn header(bytes: [u8; 5]) -> io::Result<(Kind, usize)> {
    let [number, length @ ..] = bytes;
    let kind = *KINDS.get(usize::from(number)).ok_or_else(|| broken("its kind is unknown"))?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| broken("its length"))?;
    if length > LARGEST { Err(broken("it is too long")) } else { Ok((kind, length)) }
}

/// Reads one frame; an end in the middle of one is an error as well.
pub(in crate::sandbox) fn read(from: &mut impl Read) -> io::Result<Frame> {
    let mut start = [0; 5];
    from.read_exact(&mut start)?;
    let (kind, length) = header(start)?;
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(Frame { kind, bytes })
}

/// Sends a file.
pub(in crate::sandbox) fn send(
    to: &mut impl Write,
    path: &RepoPath,
    file: &FileEntry,
    reader: &mut ContentReader,
) -> io::Result<()> {
    let content = file.bytes.read(reader).map_err(io::Error::other)?;
    let bytes = content.len() as u64;
    let entry = Entry { path: path.to_string(), mode: file.mode.into(), bytes };
    to.write_all(&document(Kind::Entry, &entry)?)?;
    content.chunks(PIECE).try_for_each(|piece| to.write_all(&frame(Kind::Content, piece)))
}

/// Frames out of bytes that come in pieces of any size.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Decoder {
    bytes: Vec<u8>,
    taken: usize,
}

impl Decoder {
    pub(in crate::sandbox) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub(in crate::sandbox) fn next(&mut self) -> io::Result<Option<Frame>> {
        let rest = &self.bytes[self.taken..];
        let Some(start) = rest.first_chunk::<5>() else { return Ok(None) };
        let (kind, length) = header(*start)?;
        let Some(bytes) = rest.get(5..5 + length) else { return Ok(None) };
        let frame = Frame { kind, bytes: bytes.to_vec() };
        self.taken += 5 + length;
        Ok(Some(frame))
    }
}

/// Puts files together out of frames.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Assembly {
    open: Option<(Entry, Vec<u8>)>,
}

impl Assembly {
    /// Takes a frame of a file; gives the file when it is whole. `admit` sees each file before any of its
    /// bytes are kept.
    pub(in crate::sandbox) fn take<E: From<Broken>>(
        &mut self,
        frame: &Frame,
        admit: impl FnOnce(&Entry) -> Result<(), E>,
    ) -> Result<Option<(String, FileEntry)>, E> {
        match (frame.kind, &mut self.open) {
            (Kind::Entry, None) => {
                let entry: Entry =
                    serde_json::from_slice(&frame.bytes).map_err(|error| Broken(error.into()))?;
                admit(&entry)?;
                self.open = Some((entry, vec![]));
            }
            (Kind::Content, Some((entry, bytes))) => {
                bytes.extend_from_slice(&frame.bytes);
                if bytes.len() as u64 > entry.bytes {
                    return Err(Broken(broken("a file is longer than it was said to be")).into());
                }
            }
            _ => return Err(Broken(broken("it does not belong there")).into()),
        }
        let whole = self.open.take_if(|(entry, bytes)| bytes.len() as u64 == entry.bytes);
        Ok(whole
            .map(|(entry, bytes)| (entry.path, FileEntry { mode: entry.mode.into(), bytes: bytes.into() })))
    }

    pub(in crate::sandbox) fn is_between_files(&self) -> bool {
        self.open.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let sent = [frame(Kind::Out, b"hello"), frame(Kind::Err, b""), frame(Kind::End, &[7; 300])].concat();
        for size in [1, 3, 5, 7, 1000] {
            let (mut decoder, mut heard) = (Decoder::default(), vec![]);
            for piece in sent.chunks(size) {
                decoder.push(piece);
                while let Some(frame) = decoder.next().expect("frames") {
                    heard.push((frame.kind, frame.bytes.len()));
                }
            }
            assert_eq!(heard, [(Kind::Out, 5), (Kind::Err, 0), (Kind::End, 300)], "pieces of {size}");
        }
    }

    #[test]
    fn nonsense_is_an_error_and_takes_no_memory() {
        for bytes in [[99, 0, 0, 0, 0], [1, 0xff, 0xff, 0xff, 0xff]] {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            assert!(decoder.next().is_err());
            assert!(read(&mut bytes.as_slice()).is_err());
        }
        assert!(read(&mut [2, 0, 0, 0, 9, 1].as_slice()).is_err(), "an end in the middle is taken");
    }

    #[test]
    fn a_file_is_whole_only_with_all_of_its_bytes_and_never_longer() {
        let path = RepoPath::parse("a/b").expect("a path");
        let file = FileEntry { mode: FileMode::Executable, bytes: vec![5; PIECE + 10].into() };
        let mut sent = vec![];
        send(&mut sent, &path, &file, &mut ContentReader::default()).expect("sent");
        let (mut from, mut assembly, mut files) = (sent.as_slice(), Assembly::default(), vec![]);
        while !from.is_empty() {
            let frame = read(&mut from).expect("a frame");
            files.extend(assembly.take(&frame, |_| Ok::<_, io::Error>(())).expect("taken"));
            assert_eq!(assembly.is_between_files(), !files.is_empty());
        }
        assert_eq!(files, [("a/b".to_owned(), file)]);

        let mut assembly = Assembly::default();
        let entry = Entry { path: "x".into(), mode: Mode::Regular, bytes: 2 };
        let entry = Frame { kind: Kind::Entry, bytes: serde_json::to_vec(&entry).expect("json") };
        let content = |n| Frame { kind: Kind::Content, bytes: vec![0; n] };
        let admit = |_: &Entry| Ok::<_, io::Error>(());
        assert!(assembly.take(&content(1), admit).is_err(), "content of nothing");
        assert_eq!(assembly.take(&entry, admit).expect("taken"), None);
        assert!(assembly.take(&content(3), admit).is_err(), "more than was announced");
    }
}

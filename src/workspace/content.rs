//! The bytes of a file in a tree: in memory, or still in a mirror of ours and read when they are wanted.
//! So a tree of any size costs little until its files are looked at, copies of a tree share what they hold,
//! and a file that nobody changed is known by its id.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::{num::NonZero, thread};

use git2::{ObjectType, Oid};
use gix_odb::{HandleArc, Header, Store};

use super::error::WorkspaceError;

/// The bytes of a file. Copies share them.
///
/// As a slice it is read once and then kept in memory. What cannot be read is empty there, and the tree is not
/// [`whole`](super::Snapshot::whole) any more: that is for looking at many files and asking once. What is made
/// from a file reads it with [`Content::read`].
#[derive(Clone)]
pub struct Content(Arc<Held>);

enum Held {
    Memory(Vec<u8>),
    Stored(Stored),
}

struct Stored {
    id: Oid,
    bytes: u64,
    objects: Objects,
    /// What was found by looking, or why nothing was.
    looked_at: OnceLock<Result<Vec<u8>, WorkspaceError>>,
}

/// The objects of a mirror, read by several threads. Nothing but the folder `objects` is opened.
#[derive(Clone)]
pub(super) struct Objects(Arc<Store>);

/// Reads contents one after the other; for one thread.
#[derive(Default)]
pub struct ContentReader {
    open: Option<(Arc<Store>, HandleArc)>,
    buffer: Vec<u8>,
}

/// Bytes of objects that others are deltas of, kept by a reader.
const KEPT_BASES: usize = 24 << 20;
/// So many objects are looked for by one thread.
const FEW: usize = 2000;

impl Objects {
    pub(super) fn open(git_dir: &Path) -> Result<Self, WorkspaceError> {
        let options = gix_odb::store::init::Options::default();
        let path = git_dir.join("objects");
        let none = &mut std::iter::empty();
        let store = Store::at_opts(path.clone(), gix_hash::Kind::Sha1, none, options)
            .map_err(|source| WorkspaceError::Io { action: "cannot open", path, source })?;
        Ok(Self(Arc::new(store)))
    }

    /// The sizes of objects, in their order. Several threads look for many.
    pub(super) fn sizes(&self, ids: &[Oid]) -> Result<Vec<u64>, WorkspaceError> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let share = ids.len().div_ceil(threads).max(FEW);
        thread::scope(|scope| {
            let parts: Vec<_> = ids.chunks(share).map(|part| scope.spawn(|| self.sizes_of(part))).collect();
            let mut sizes = Vec::with_capacity(ids.len());
            for part in parts {
                let ended = part.join();
                sizes.extend(
                    ended.unwrap_or_else(|_| Err(WorkspaceError::Interrupted("a reader ended".into())))?,
                );
            }
            Ok(sizes)
        })
    }

    fn sizes_of(&self, ids: &[Oid]) -> Result<Vec<u64>, WorkspaceError> {
        let handle = self.0.to_cache_arc();
        let size = |id: &Oid| {
            let header = Header::try_header(&handle, &object_id(id)?);
            let header = header.map_err(|error| unreadable(id, error))?;
            header.map(|header| header.size()).ok_or_else(|| unreadable(id, "it is not there"))
        };
        ids.iter().map(size).collect()
    }

    /// The content of a file that is `bytes` long and has not been read yet.
    pub(super) fn content(&self, id: Oid, bytes: u64) -> Content {
        let stored = Stored { id, bytes, objects: self.clone(), looked_at: OnceLock::new() };
        Content(Arc::new(Held::Stored(stored)))
    }
}

impl ContentReader {
    fn stored(&mut self, stored: &Stored) -> Result<&[u8], WorkspaceError> {
        let store = &stored.objects.0;
        let (_, handle) = match self.open.take() {
            Some(open) if Arc::ptr_eq(&open.0, store) => self.open.insert(open),
            _ => {
                let mut handle = store.to_cache_arc();
                handle.set_pack_cache(|| {
                    Box::new(gix_pack::cache::lru::StaticLinkedList::<64>::new(KEPT_BASES))
                });
                self.open.insert((Arc::clone(store), handle))
            }
        };
        let found = gix_object::Find::try_find(handle, &object_id(&stored.id)?, &mut self.buffer);
        let object = found.map_err(|error| unreadable(&stored.id, error))?;
        let object = object.ok_or_else(|| unreadable(&stored.id, "it is not there"))?;
        if object.kind != gix_object::Kind::Blob {
            return Err(unreadable(&stored.id, "it is no file"));
        }
        Ok(object.data)
    }
}

fn object_id(id: &Oid) -> Result<gix_hash::ObjectId, WorkspaceError> {
    gix_hash::ObjectId::try_from(id.as_bytes()).map_err(|error| unreadable(id, error))
}

fn unreadable(id: &Oid, reason: impl fmt::Display) -> WorkspaceError {
    WorkspaceError::Unreadable { id: id.to_string(), reason: reason.to_string() }
}

impl Content {
    /// In bytes. Nothing is read for it.
    pub fn len(&self) -> usize {
        match &*self.0 {
            Held::Memory(bytes) => bytes.len(),
            Held::Stored(stored) => usize::try_from(stored.bytes).unwrap_or(usize::MAX),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, without keeping them in memory longer than the reader is used for this file.
    ///
    /// # Errors
    /// [`WorkspaceError::Unreadable`] where the mirror is damaged.
    pub fn read<'a>(&'a self, reader: &'a mut ContentReader) -> Result<&'a [u8], WorkspaceError> {
        match &*self.0 {
            Held::Memory(bytes) => Ok(bytes),
            Held::Stored(stored) => match stored.looked_at.get() {
                Some(Ok(bytes)) => Ok(bytes),
                Some(Err(_)) | None => reader.stored(stored),
            },
        }
    }

    /// Why the bytes could not be looked at, where that was tried.
    pub(super) fn fault(&self) -> Option<&WorkspaceError> {
        match &*self.0 {
            Held::Memory(_) => None,
            Held::Stored(stored) => stored.looked_at.get()?.as_ref().err(),
        }
    }

    /// The id that git gives to these bytes. What came from a repository is not hashed again.
    pub(super) fn blob_id(&self) -> Result<Oid, git2::Error> {
        match &*self.0 {
            Held::Memory(bytes) => Oid::hash_object(ObjectType::Blob, bytes),
            Held::Stored(stored) => Ok(stored.id),
        }
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &*self.0 {
            Held::Memory(bytes) => bytes,
            Held::Stored(stored) => stored
                .looked_at
                .get_or_init(|| {
                    let read = ContentReader::default().stored(stored).map(<[u8]>::to_vec);
                    read.inspect_err(
                        |error| tracing::error!(%error, "a file of a mirror cannot be looked at"),
                    )
                })
                .as_deref()
                .unwrap_or_default(),
        }
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (&*self.0, &*other.0) {
            (Held::Memory(one), Held::Memory(other)) => one == other,
            // Files of different lengths need no hash to differ.
            _ => self.len() == other.len() && self.blob_id().is_ok_and(|id| other.blob_id() == Ok(id)),
        }
    }
}

impl Eq for Content {}

impl<T: AsRef<[u8]>> PartialEq<T> for Content {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Held::Memory(bytes) => bytes.fmt(f),
            Held::Stored(stored) => write!(f, "{} ({} bytes)", stored.id, stored.bytes),
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Held::Memory(bytes)))
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

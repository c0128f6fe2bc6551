//! A repository's objects, read fast and by several threads: nothing but the folder `objects` is opened, no
//! configuration, reference or hook.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use gix_object::Find;
use gix_odb::{HandleArc, Header, Store};

use super::error::ContextError;

/// The id of an object, as SHA-1 has it.
pub(super) type Id = [u8; 20];

const MOST_FILES: usize = 200_000;
/// Bytes of trees that one walk through history keeps.
const KEPT_TREES: usize = 32 << 20;
/// Bytes of objects that others are deltas of, for one thread.
const KEPT_BASES: usize = 24 << 20;

/// A repository's object database.
#[derive(Clone)]
pub(super) struct Objects {
    store: Arc<Store>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").field("path", &self.store.path()).finish()
    }
}

/// A path, and its file's id; none where the file is gone.
pub(super) type Change = (String, Option<Id>);

/// A file of a tree: no link, no submodule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) path: String,
    pub(super) id: Id,
}

/// A commit as far as it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) tree: Id,
    pub(super) parents: Vec<Id>,
    /// Of the committer, in seconds.
    pub(super) time: i64,
    pub(super) message: Vec<u8>,
}

impl Objects {
    /// `git_dir` is the git directory: of a bare repository the folder itself.
    pub(super) fn open(git_dir: &Path) -> Result<Self, ContextError> {
        let options = gix_odb::store::init::Options::default();
        let none = &mut std::iter::empty();
        let store = Store::at_opts(git_dir.join("objects"), gix_hash::Kind::Sha1, none, options)
            .map_err(|source| ContextError::NoObjects { path: git_dir.to_owned(), source })?;
        Ok(Self { store: Arc::new(store) })
    }

    /// The same objects without the packs that are mapped: those count as this process's memory.
    pub(super) fn anew(&self) -> Result<Self, ContextError> {
        Self::open(self.store.path().parent().unwrap_or(self.store.path()))
    }

    /// A reader for one thread.
    pub(super) fn reader(&self) -> Reader {
        let mut handle = self.store.to_cache_arc();
        handle.set_pack_cache(|| Box::new(gix_pack::cache::lru::StaticLinkedList::<64>::new(KEPT_BASES)));
        handle.refresh_never();
        Reader { handle, buffer: Vec::new(), trees: HashMap::new(), tree_bytes: 0 }
    }
}

pub(super) struct Reader {
    handle: HandleArc,
    buffer: Vec<u8>,
    trees: HashMap<Id, Rc<[u8]>>,
    tree_bytes: usize,
}

/// An entry of a tree as git records it.
struct Entry<'a> {
    mode: u32,
    name: &'a [u8],
    id: Id,
}

const FOLDER: u32 = 0o040_000;
const KIND: u32 = 0o170_000;
const FILE: u32 = 0o100_000;

impl Reader {
    /// The size of an object, `None` where it is not here (a partial clone has not all).
    pub(super) fn size(&self, id: &Id) -> Result<Option<u64>, ContextError> {
        let header = Header::try_header(&self.handle, object_id(id).as_ref());
        Ok(header.map_err(|error| unreadable(id, error))?.map(|header| header.size()))
    }

    /// The bytes of an object, `None` where it is not here.
    pub(super) fn bytes(&mut self, id: &Id) -> Result<Option<&[u8]>, ContextError> {
        let object = self.handle.try_find(object_id(id).as_ref(), &mut self.buffer);
        Ok(object.map_err(|error| unreadable(id, error))?.map(|object| object.data))
    }

    pub(super) fn commit(&mut self, id: &Id) -> Result<Option<Commit>, ContextError> {
        let Some(bytes) = self.bytes(id)? else { return Ok(None) };
        let damaged = |what| ContextError::Damaged { id: hex(id), what };
        parse_commit(bytes).map(Some).ok_or_else(|| damaged("it is no commit"))
    }

    /// The files of a tree in the order of their paths' bytes. Links, submodules and names that are not UTF-8 are
    /// left out.
    pub(super) fn files(&mut self, tree: &Id) -> Result<Vec<Leaf>, ContextError> {
        let mut files = Vec::new();
        let mut folders = vec![(String::new(), *tree)];
        let mut visited = 0;
        while let Some((prefix, id)) = folders.pop() {
            visited += 1;
            if visited > MOST_FILES || files.len() > MOST_FILES {
                return Err(ContextError::TooLarge { id: hex(tree), limit: MOST_FILES });
            }
            let Some(bytes) = self.bytes(&id)? else { continue };
            for entry in entries(bytes) {
                let Ok(name) = std::str::from_utf8(entry.name) else { continue };
                match entry.mode & KIND {
                    FOLDER => folders.push((format!("{prefix}{name}/"), entry.id)),
                    FILE => files.push(Leaf { path: format!("{prefix}{name}"), id: entry.id }),
                    _ => {}
                }
            }
        }
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// The files that differ between two trees by their paths, at most `limit`; `None` where there are more.
    pub(super) fn changed(
        &mut self,
        before: Option<&Id>,
        after: &Id,
        limit: usize,
    ) -> Result<Option<Vec<Change>>, ContextError> {
        let mut paths = Vec::new();
        let mut pairs = vec![(String::new(), before.copied(), Some(*after))];
        while let Some((prefix, before, after)) = pairs.pop() {
            if before == after {
                continue;
            }
            let (old, new) = (self.tree(before)?, self.tree(after)?);
            let old: HashMap<&[u8], Entry<'_>> = entries(&old).map(|entry| (entry.name, entry)).collect();
            let mut seen = 0;
            let mut note = |entry: &Entry<'_>, before: Option<Id>, after: Option<Id>| {
                let Ok(name) = std::str::from_utf8(entry.name) else { return };
                match entry.mode & KIND {
                    FOLDER => pairs.push((format!("{prefix}{name}/"), before, after)),
                    FILE => paths.push((format!("{prefix}{name}"), after)),
                    _ => {}
                }
            };
            let mut kept = std::collections::HashSet::new();
            for entry in entries(&new) {
                let same_kind = old.get(entry.name).filter(|old| old.mode & KIND == entry.mode & KIND);
                if let Some(old) = same_kind {
                    kept.insert(old.name);
                    seen += 1;
                    if old.id != entry.id {
                        note(&entry, Some(old.id), Some(entry.id));
                    }
                } else {
                    note(&entry, None, Some(entry.id));
                }
            }
            if seen < old.len() {
                for entry in old.values().filter(|entry| !kept.contains(entry.name)) {
                    note(entry, Some(entry.id), None);
                }
            }
            if paths.len() > limit || pairs.len() > 4 * limit {
                return Ok(None);
            }
        }
        paths.sort_unstable();
        Ok(Some(paths))
    }

    fn tree(&mut self, id: Option<Id>) -> Result<Rc<[u8]>, ContextError> {
        let Some(id) = id else { return Ok(Rc::default()) };
        if let Some(bytes) = self.trees.get(&id) {
            return Ok(Rc::clone(bytes));
        }
        let bytes: Rc<[u8]> = self.bytes(&id)?.unwrap_or_default().into();
        if self.tree_bytes > KEPT_TREES {
            self.trees.clear();
            self.tree_bytes = 0;
        }
        self.tree_bytes += bytes.len();
        self.trees.insert(id, Rc::clone(&bytes));
        Ok(bytes)
    }
}

fn object_id(id: &Id) -> gix_hash::ObjectId {
    gix_hash::ObjectId::Sha1(*id)
}

fn unreadable(id: &Id, error: impl std::error::Error + Send + Sync + 'static) -> ContextError {
    ContextError::Object { id: hex(id), source: Box::new(error) }
}

pub(super) fn hex(id: &Id) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The id that 40 hexadecimal digits write.
pub(super) fn id_of_hex(text: &str) -> Option<Id> {
    let mut id = [0; 20];
    if text.len() != 40 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(id)
}

/// The entries of a tree's bytes; ends where they are no tree's.
fn entries(mut bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    std::iter::from_fn(move || {
        let space = memchr::memchr(b' ', bytes.get(..8.min(bytes.len()))?)?;
        let mode = bytes[..space].iter().try_fold(0u32, |mode, digit| {
            digit.is_ascii_digit().then(|| mode.wrapping_mul(8) + u32::from(digit - b'0'))
        })?;
        let rest = &bytes[space + 1..];
        let end = memchr::memchr(0, rest)?;
        let id = Id::try_from(rest.get(end + 1..end + 21)?).ok()?;
        bytes = &rest[end + 21..];
        Some(Entry { mode, name: &rest[..end], id })
    })
}

fn parse_commit(bytes: &[u8]) -> Option<Commit> {
    let end = memchr::memmem::find(bytes, b"\n\n").unwrap_or(bytes.len());
    let head = std::str::from_utf8(&bytes[..end])
        .map_or_else(|_| String::from_utf8_lossy(&bytes[..end]), Into::into);
    let (mut tree, mut parents, mut time) = (None, Vec::new(), 0);
    for line in head.lines() {
        match line.split_once(' ') {
            Some(("tree", id)) if tree.is_none() => tree = id_of_hex(id),
            Some(("parent", id)) => parents.push(id_of_hex(id)?),
            Some(("committer", rest)) => {
                let mut words = rest.rsplit(' ').skip(1);
                time = words.next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
            }
            _ => {}
        }
    }
    Some(Commit { tree: tree?, parents, time, message: bytes.get(end + 2..).unwrap_or_default().to_vec() })
}

//! A git tree as a flat list of entries, and back.

use std::collections::{BTreeMap, HashMap, HashSet};

use git2::{ObjectType, Odb, Oid, Repository};

use super::error::WorkspaceError;
use super::snapshot::{FileMode, RepoPath};

/// An entry of a tree that is not itself a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) id: Oid,
    /// As git records it: 0o100644, 0o100755, 0o120000, 0o160000 (and 0o100664 in old repositories).
    pub(super) mode: u32,
}

/// Entries by path. Paths are bytes: git does not ask for UTF-8.
pub(super) type Leaves = BTreeMap<Vec<u8>, Leaf>;

pub(super) const REGULAR: u32 = 0o100_644;
pub(super) const EXECUTABLE: u32 = 0o100_755;
pub(super) const LINK: u32 = 0o120_000;
pub(super) const GITLINK: u32 = 0o160_000;
const FOLDER: u32 = 0o040_000;

/// Folders nest no deeper than a path of 4,096 bytes can; a tree that says more is an attack on the stack.
const DEEPEST: usize = 2048;

impl Leaf {
    /// How the file is handed out; `None` for a submodule.
    pub(super) fn file_mode(&self) -> Option<FileMode> {
        match self.mode {
            GITLINK => None,
            LINK => Some(FileMode::Symlink),
            mode if mode & 0o111 != 0 => Some(FileMode::Executable),
            _ => Some(FileMode::Regular),
        }
    }
}

/// The path of an entry, where it is one that can be handed out.
pub(super) fn repo_path(path: &[u8]) -> Option<RepoPath> {
    RepoPath::parse(str::from_utf8(path).ok()?).ok()
}

/// A tree's entries, and its folders by their paths with a slash at the end (the root: no path).
#[derive(Debug, Default)]
pub(super) struct FlatTree {
    pub(super) leaves: Leaves,
    folders: HashMap<Vec<u8>, Oid>,
}

/// Lists the entries of a tree; `None` beyond `limit` entries or folders (a few small objects can describe
/// billions of either).
pub(super) fn flatten(
    repository: &Repository,
    root: Oid,
    limit: usize,
) -> Result<Option<FlatTree>, git2::Error> {
    let mut flat = FlatTree::default();
    let mut folders = vec![(Vec::new(), root, 0)];
    let mut visited = 0;
    while let Some((prefix, id, depth)) = folders.pop() {
        visited += 1;
        if depth > DEEPEST || visited > limit.saturating_add(1) {
            return Ok(None);
        }
        for entry in &repository.find_tree(id)? {
            let mut path: Vec<u8> = prefix.clone();
            path.extend_from_slice(entry.name_bytes());
            if entry.kind() == Some(ObjectType::Tree) {
                path.push(b'/');
                folders.push((path, entry.id(), depth + 1));
            } else {
                let mode = u32::try_from(entry.filemode_raw()).unwrap_or(REGULAR);
                flat.leaves.insert(path, Leaf { id: entry.id(), mode });
                if flat.leaves.len() > limit {
                    return Ok(None);
                }
            }
        }
        flat.folders.insert(prefix, id);
    }
    Ok(Some(flat))
}

/// Writes a tree with these entries and tells its id. Only the folders in which something differs from `base`
/// are written.
pub(super) fn write(odb: &Odb<'_>, base: &FlatTree, leaves: &Leaves) -> Result<Oid, WorkspaceError> {
    let entries: Vec<(&[u8], Leaf)> = leaves.iter().map(|(path, leaf)| (path.as_slice(), *leaf)).collect();
    let changed = leaves.iter().filter(|(path, leaf)| base.leaves.get(*path) != Some(leaf));
    let gone = base.leaves.keys().filter(|path| !leaves.contains_key(*path));
    let paths = changed.map(|(path, _)| path).chain(gone);
    let touched = paths.flat_map(|path| folders_of(path).chain([&b""[..]])).collect();
    Writer { odb, base, touched }.folder(&entries, 0)
}

struct Writer<'a> {
    odb: &'a Odb<'a>,
    base: &'a FlatTree,
    /// The folders that are other than in the base.
    touched: HashSet<&'a [u8]>,
}

impl Writer<'_> {
    /// Writes the folder of which all `entries` share the first `skip` bytes of their paths.
    fn folder(&self, entries: &[(&[u8], Leaf)], skip: usize) -> Result<Oid, WorkspaceError> {
        let here = entries.first().map_or(&b""[..], |(path, _)| &path[..skip]);
        if let Some(id) = self.base.folders.get(here).filter(|_| !self.touched.contains(here)) {
            return Ok(*id);
        }
        let mut lines: Vec<(&[u8], u32, Oid)> = Vec::new();
        let mut rest = entries;
        while let Some((path, leaf)) = rest.first() {
            let name_end = path[skip..].iter().position(|&byte| byte == b'/').map(|at| skip + at);
            let Some(end) = name_end else {
                lines.push((&path[skip..], leaf.mode, leaf.id));
                rest = &rest[1..];
                continue;
            };
            let folder = &path[..=end];
            let size = rest.partition_point(|(path, _)| path.starts_with(folder));
            lines.push((&path[skip..end], FOLDER, self.folder(&rest[..size], end + 1)?));
            rest = &rest[size..];
        }
        self.write(lines)
    }

    fn write(&self, mut lines: Vec<(&[u8], u32, Oid)>) -> Result<Oid, WorkspaceError> {
        // Git orders a folder as if its name ended with a slash.
        let key =
            |line: &(&[u8], u32, Oid)| [line.0, if line.1 == FOLDER { b"/" } else { &b""[..] }].concat();
        lines.sort_by_key(key);
        let mut bytes = Vec::new();
        for (name, mode, id) in &lines {
            bytes.extend_from_slice(format!("{mode:o} ").as_bytes());
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(id.as_bytes());
        }
        Ok(self.odb.write(ObjectType::Tree, &bytes)?)
    }
}

/// The folders above a path, each with a slash at its end.
fn folders_of(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..=at])
}

/// The first new path that makes something a file and a folder at once, in which case there is no such tree.
pub(super) fn file_and_folder(base: &Leaves, leaves: &Leaves) -> Option<String> {
    let mut new = leaves.keys().filter(|path| !base.contains_key(*path));
    let both = new.find_map(|path| {
        let below = [path, &b"/"[..]].concat();
        let first_below = leaves.range(below.clone()..).next();
        if first_below.is_some_and(|(path, _)| path.starts_with(&below)) {
            return Some(path.as_slice());
        }
        let mut folders = folders_of(path).map(|folder| &folder[..folder.len() - 1]);
        folders.find(|folder| leaves.contains_key(*folder))
    });
    both.map(|both| String::from_utf8_lossy(both).into_owned())
}

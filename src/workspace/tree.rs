//! A git tree as a flat list of entries, and back.

use std::collections::BTreeMap;

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

/// Lists the entries of a tree; `None` beyond `limit` entries or folders (a few small objects can describe
/// billions of either).
pub(super) fn flatten(
    repository: &Repository,
    root: Oid,
    limit: usize,
) -> Result<Option<Leaves>, git2::Error> {
    let mut leaves = Leaves::new();
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
                leaves.insert(path, Leaf { id: entry.id(), mode });
                if leaves.len() > limit {
                    return Ok(None);
                }
            }
        }
    }
    Ok(Some(leaves))
}

/// Writes a tree with these entries and tells its id.
pub(super) fn write(odb: &Odb<'_>, leaves: &Leaves) -> Result<Oid, WorkspaceError> {
    let entries: Vec<(&[u8], Leaf)> = leaves.iter().map(|(path, leaf)| (path.as_slice(), *leaf)).collect();
    write_folder(odb, &entries, 0)
}

/// Writes the folder of which all `entries` share the first `skip` bytes of their paths.
fn write_folder(odb: &Odb<'_>, entries: &[(&[u8], Leaf)], skip: usize) -> Result<Oid, WorkspaceError> {
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
        lines.push((&path[skip..end], FOLDER, write_folder(odb, &rest[..size], end + 1)?));
        rest = &rest[size..];
    }
    // Git orders a folder as if its name ended with a slash.
    let key = |line: &(&[u8], u32, Oid)| [line.0, if line.1 == FOLDER { b"/" } else { &b""[..] }].concat();
    lines.sort_by_key(key);
    let mut bytes = Vec::new();
    for (name, mode, id) in &lines {
        bytes.extend_from_slice(format!("{mode:o} ").as_bytes());
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(id.as_bytes());
    }
    Ok(odb.write(ObjectType::Tree, &bytes)?)
}

/// The first path that is a file and a folder at once, in which case there is no such tree.
pub(super) fn file_and_folder(leaves: &Leaves) -> Option<String> {
    leaves.keys().find_map(|path| {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut folders = slashes.map(|(at, _)| &path[..at]);
        let both = folders.find(|folder| leaves.contains_key(*folder))?;
        Some(String::from_utf8_lossy(both).into_owned())
    })
}

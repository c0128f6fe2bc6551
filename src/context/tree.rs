//! The files of a commit's tree with what their paths say. It is made once for a tree and of the tree before where
//! that is known: most of the next commit is the same.

use std::sync::Arc;

use super::error::ContextError;
use super::history::path_hash;
use super::kind::{FileKind, Folders, is_code};
use super::mentions::{module_stem, plain};
use super::objects::{Change, Id, Leaf, Reader};
use super::segment::Key;
use super::terms::{Term, Terms, hash_bytes, runs};

/// More changed files than this are not worth a comparison.
const MOST_CHANGES: usize = 2_000;

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) id: Id,
    /// In the order of their paths.
    pub(super) files: Vec<File>,
}

#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) id: Id,
    pub(super) named: Arc<Named>,
}

/// What a path says, whatever its file has.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) path: String,
    pub(super) kind: FileKind,
    pub(super) code: bool,
    /// Of the path, as history has it.
    pub(super) hash: u64,
    /// Of the file's name.
    pub(super) name: u64,
    /// Of the last part of the module that the file is.
    pub(super) stem: u64,
    /// Of the file's name without its ending.
    pub(super) terms: Box<[Term]>,
    pub(super) folder: Arc<Folder>,
}

#[derive(Debug, Default)]
pub(super) struct Folder {
    /// With the slash at its end; empty at the root.
    path: String,
    folders: Folders,
    pub(super) terms: Box<[Term]>,
}

impl File {
    pub(super) fn path(&self) -> &str {
        &self.named.path
    }

    pub(super) fn kind(&self) -> FileKind {
        self.named.kind
    }

    /// What the index has it by; none where its words are not worth one.
    pub(super) fn key(&self) -> Option<Key> {
        self.named.kind.is_read().then_some(Key { id: self.id, code: self.named.code })
    }
}

impl Tree {
    /// All files of a tree, whatever is known of others.
    pub(super) fn read(reader: &mut Reader, id: &Id) -> Result<Self, ContextError> {
        let mut naming = Naming::default();
        let files = reader.files(id)?.into_iter().map(|leaf| naming.file(leaf));
        Ok(Self { id: *id, files: files.collect() })
    }

    /// All files of a tree that is much like this one.
    pub(super) fn next(&self, reader: &mut Reader, id: &Id) -> Result<Self, ContextError> {
        match reader.changed(Some(&self.id), id, MOST_CHANGES)? {
            Some(changes) => Ok(self.with(*id, changes)),
            None => Self::read(reader, id),
        }
    }

    /// `changes` in the order of their paths.
    fn with(&self, id: Id, changes: Vec<Change>) -> Self {
        let mut naming = Naming::default();
        let mut files = Vec::with_capacity(self.files.len() + changes.len());
        let mut old = self.files.as_slice();
        for (path, id) in changes {
            let (before, rest) = old.split_at(old.partition_point(|file| *file.path() < *path));
            files.extend_from_slice(before);
            old = rest;
            let same = old.split_first().filter(|(file, _)| file.path() == path);
            let named = same.map(|(file, rest)| {
                old = rest;
                Arc::clone(&file.named)
            });
            if let Some(id) = id {
                files.push(match named {
                    Some(named) => File { id, named },
                    None => naming.file(Leaf { path, id }),
                });
            }
        }
        files.extend_from_slice(old);
        Self { id, files }
    }
}

/// Looks at paths; neighbours share their folders.
#[derive(Default)]
pub(super) struct Naming {
    terms: Terms,
    folder: Arc<Folder>,
}

impl Naming {
    pub(super) fn file(&mut self, leaf: Leaf) -> File {
        let Leaf { path, id } = leaf;
        let start = path.rfind('/').map_or(0, |at| at + 1);
        if self.folder.path != path[..start] {
            let folders = Folders::of(path[..start].trim_end_matches('/'));
            let terms = self.terms_of(&path[..start]);
            self.folder = Arc::new(Folder { path: path[..start].to_owned(), folders, terms });
        }
        let name = &path[start..];
        let stem = &name[..name.rfind('.').filter(|&at| at > 0).unwrap_or(name.len())];
        let terms = self.terms_of(stem);
        let named = Named {
            kind: self.folder.folders.kind_of(name),
            code: is_code(&path),
            hash: path_hash(&path),
            name: hash_bytes(name.as_bytes()),
            stem: hash_bytes(plain(module_stem(&path)).as_bytes()),
            terms,
            folder: Arc::clone(&self.folder),
            path,
        };
        File { id, named: Arc::new(named) }
    }

    fn terms_of(&mut self, text: &str) -> Box<[Term]> {
        let mut found = Vec::new();
        runs(text.as_bytes(), |_, run| found.extend_from_slice(self.terms.of_run(run)));
        found.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, u8)]) -> Tree {
        let mut naming = Naming::default();
        let file = |&(path, id): &(&str, u8)| naming.file(Leaf { path: path.to_owned(), id: [id; 20] });
        Tree { id: [0; 20], files: files.iter().map(file).collect() }
    }

    fn seen(tree: &Tree) -> Vec<(&str, u8)> {
        tree.files.iter().map(|file| (file.path(), file.id[0])).collect()
    }

    #[test]
    fn the_next_tree_has_what_was_changed_added_and_left() {
        let first = tree(&[("a.rs", 1), ("b/c.rs", 2), ("b/d.rs", 3), ("e.rs", 4)]);
        let change = |path: &str, id: Option<u8>| (path.to_owned(), id.map(|id| [id; 20]));
        let changes = vec![
            change("a.rs", Some(9)),
            change("b/aa.rs", Some(5)),
            change("b/d.rs", None),
            change("zz.rs", Some(6)),
        ];
        let next = first.with([1; 20], changes);
        assert_eq!(seen(&next), [("a.rs", 9), ("b/aa.rs", 5), ("b/c.rs", 2), ("e.rs", 4), ("zz.rs", 6)]);
        assert!(Arc::ptr_eq(&next.files[0].named, &first.files[0].named));
        assert_eq!(next.files[1].named.terms, tree(&[("b/aa.rs", 5)]).files[0].named.terms);
    }
}

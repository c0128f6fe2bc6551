//! What past commits say: their messages' terms and the files that they changed.
//!
//! Only ancestors of the commit that is asked for are read, the newest first and a bounded number of them. Records
//! are kept beside the index of blobs: a commit never changes.

use std::collections::{BinaryHeap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::ContextError;
use super::objects::{Commit, Id, Objects, Reader, hex};
use super::sealed::{self, Cursor};
use super::terms::{HashedMap, Term, Terms, hash_bytes, runs};

const KIND: &str = "commits";
/// More segments than this are made into one.
const MOST_SEGMENTS: usize = 16;
/// Commits that changed more files say little about each.
pub(super) const MOST_FILES: usize = 60;
const MOST_TERMS: usize = 120;
/// Commits that no walk of this process has met go when there are so many.
const MOST_COMMITS: usize = 200_000;

/// A commit as history counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) id: Id,
    pub(super) time: i64,
    pub(super) parents: Vec<Id>,
    /// Of its message, each once, in ascending order.
    pub(super) terms: Vec<Term>,
    /// [`path_hash`] of the files that differ from the first parent; empty where there are too many.
    pub(super) files: Vec<u64>,
}

pub(super) fn path_hash(path: &str) -> u64 {
    hash_bytes(path.as_bytes())
}

#[derive(Debug, Default)]
pub(super) struct History {
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    files: HashSet<PathBuf>,
    commits: HashedMap<Id, Arc<Past>>,
}

impl History {
    /// The newest `limit` ancestors of `from` and itself, newest first. `folder` is the index's.
    pub(super) fn ancestors(
        &self,
        objects: &Objects,
        folder: &Path,
        from: &Id,
        limit: usize,
    ) -> Result<Vec<Arc<Past>>, ContextError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if !loaded.commits.contains_key(from) {
            loaded.refresh(folder);
        }
        let mut walk = Walk { reader: objects.reader(), terms: Terms::default(), new: Vec::new() };
        let mut heap = BinaryHeap::new();
        let mut seen = HashSet::from([*from]);
        let mut found = Vec::new();
        match walk.past(&mut loaded, from)? {
            Some(past) => heap.push((past.time, *from)),
            None => return Err(ContextError::NoSuchCommit { id: hex(from) }),
        }
        while let Some((_, id)) = heap.pop() {
            let Some(past) = loaded.commits.get(&id).cloned() else { continue };
            if found.len() >= limit {
                break;
            }
            for parent in &past.parents {
                // A shallow history ends where a parent is not here.
                if seen.insert(*parent)
                    && let Some(parent_past) = walk.past(&mut loaded, parent)?
                {
                    heap.push((parent_past.time, *parent));
                }
            }
            found.push(past);
        }
        loaded.keep(folder, &walk.new);
        Ok(found)
    }
}

/// Reads what is not yet known.
struct Walk {
    reader: Reader,
    terms: Terms,
    new: Vec<Arc<Past>>,
}

impl Walk {
    fn past(&mut self, loaded: &mut Loaded, id: &Id) -> Result<Option<Arc<Past>>, ContextError> {
        if let Some(past) = loaded.commits.get(id) {
            return Ok(Some(Arc::clone(past)));
        }
        let Some(commit) = self.reader.commit(id)? else { return Ok(None) };
        let files = self.files(&commit)?;
        let Commit { parents, time, message, .. } = commit;
        let past = Arc::new(Past { id: *id, time, parents, terms: self.message_terms(&message), files });
        loaded.commits.insert(*id, Arc::clone(&past));
        self.new.push(Arc::clone(&past));
        Ok(Some(past))
    }

    fn files(&mut self, commit: &Commit) -> Result<Vec<u64>, ContextError> {
        let Some(parent) = commit.parents.first() else { return Ok(Vec::new()) };
        let Some(parent) = self.reader.commit(parent)? else { return Ok(Vec::new()) };
        let changed = self.reader.changed(Some(&parent.tree), &commit.tree, MOST_FILES)?;
        Ok(changed.unwrap_or_default().iter().map(|(path, _)| path_hash(path)).collect())
    }

    fn message_terms(&mut self, message: &[u8]) -> Vec<Term> {
        let mut found = Vec::new();
        for line in message.split(|&byte| byte == b'\n').filter(|line| !is_trailer(line)) {
            runs(line, |_, run| {
                if found.len() < MOST_TERMS {
                    found.extend_from_slice(self.terms.of_run(run));
                }
            });
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Lines that name people and other commits.
pub(super) fn is_trailer(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else { return false };
    let key = &line[..colon];
    let ends = |end: &[u8]| key.to_ascii_lowercase().ends_with(end);
    !key.contains(&b' ') && (ends(b"-by") || ends(b"-id") || ends(b"-to") || key == b"Cc" || key == b"Link")
}

impl Loaded {
    fn refresh(&mut self, folder: &Path) {
        for path in sealed::list(folder, KIND) {
            if self.files.contains(&path) {
                continue;
            }
            match sealed::read(&path).and_then(|bytes| decode(&bytes)) {
                Some(commits) => {
                    for past in commits {
                        self.commits.entry(past.id).or_insert_with(|| Arc::new(past));
                    }
                    self.files.insert(path);
                }
                None => {
                    tracing::warn!(path = %path.display(), "a damaged part of the index is removed and made anew");
                    let _ = std::fs::remove_file(&path);
                }
            }
        }
    }

    /// Writes what is new; makes one file of many. What cannot be written is read anew the next time.
    fn keep(&mut self, folder: &Path, new: &[Arc<Past>]) {
        if new.is_empty() {
            return;
        }
        let existing = sealed::list(folder, KIND);
        let together = existing.len() >= MOST_SEGMENTS;
        let written = if together {
            self.refresh(folder);
            let mut all: Vec<&Arc<Past>> = self.commits.values().collect();
            all.sort_unstable_by_key(|past| (std::cmp::Reverse(past.time), past.id));
            all.truncate(MOST_COMMITS);
            sealed::write(folder, KIND, &[&encode(all.into_iter())])
        } else {
            sealed::write(folder, KIND, &[&encode(new.iter())])
        };
        match written {
            Ok(path) => {
                self.files.insert(path);
                if together {
                    for path in existing {
                        let _ = std::fs::remove_file(&path);
                        self.files.remove(&path);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, folder = %folder.display(), "a part of the index could not be written");
            }
        }
    }
}

fn encode<'a>(commits: impl Iterator<Item = &'a Arc<Past>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for past in commits {
        bytes.extend_from_slice(&past.id);
        bytes.extend_from_slice(&past.time.to_le_bytes());
        bytes.extend_from_slice(&(past.parents.len().min(255) as u8).to_le_bytes());
        past.parents.iter().take(255).for_each(|parent| bytes.extend_from_slice(parent));
        bytes.extend_from_slice(&(past.terms.len() as u16).to_le_bytes());
        past.terms.iter().for_each(|term| bytes.extend_from_slice(&term.0.to_le_bytes()));
        bytes.extend_from_slice(&(past.files.len() as u16).to_le_bytes());
        past.files.iter().for_each(|file| bytes.extend_from_slice(&file.to_le_bytes()));
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<Vec<Past>> {
    let mut cursor = Cursor(bytes);
    let mut commits = Vec::new();
    while !cursor.0.is_empty() {
        let (id, time) = (cursor.array()?, i64::from_le_bytes(cursor.array()?));
        let parents = cursor.u8()?;
        let parents = (0..parents).map(|_| cursor.array()).collect::<Option<_>>()?;
        let terms = cursor.u16()?;
        let terms = (0..terms).map(|_| cursor.u32().map(Term)).collect::<Option<_>>()?;
        let files = cursor.u16()?;
        let files = (0..files).map(|_| cursor.u64()).collect::<Option<_>>()?;
        commits.push(Past { id, time, parents, terms, files });
    }
    Some(commits)
}

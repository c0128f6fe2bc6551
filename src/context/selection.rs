//! From a commit and a text to ranked files and packed snippets.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::Snippet;
use super::error::ContextError;
use super::history::History;
use super::index::Index;
use super::objects::{Id, Objects, Reader, hex, id_of_hex};
use super::pack::{Packed, pack, tokens};
use super::placed::Placed;
use super::rank::{self, Ranking};
use super::reasons::reasons;
use super::segment::Key;
use super::terms::hash_bytes;
use super::tree::Tree;
use crate::workspace::CommitSha;

/// Ancestors whose messages and files are looked at; in the measurement more of them found nothing more.
const ANCESTORS: usize = 3000;
/// Repositories whose index stays in memory.
const KEPT: usize = 4;
/// Trees of a repository that stay in memory with their places in the index.
const KEPT_TREES: usize = 2;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct ContextRequest<'a> {
    /// Nothing is read that is not in this commit or its ancestors.
    pub commit: &'a CommitSha,
    /// An issue or a task: its first line is the title.
    pub text: &'a str,
    /// Files that are told at most.
    pub top: usize,
    /// Tokens of the snippets, at four bytes a token.
    pub budget_tokens: usize,
}

/// A file that a change may touch or need.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RelevantFile {
    pub path: String,
    /// Above zero; it compares files of one answer only.
    pub score: f64,
    /// For a person, never empty.
    pub reasons: Vec<String>,
}

/// The answer, the best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    pub files: Vec<RelevantFile>,
    pub snippets: Vec<Snippet>,
    /// Of all snippets.
    pub tokens: usize,
    /// Blobs that had to be read for this answer: none where all were known.
    pub indexed_blobs: usize,
}

/// The indexes of all repositories, below one folder. Several processes may use the same folder at once.
#[derive(Debug)]
pub struct Contexts {
    root: PathBuf,
    /// The last used last.
    open: Mutex<Vec<(PathBuf, Arc<Repository>)>>,
}

#[derive(Debug)]
pub(super) struct Repository {
    git_dir: PathBuf,
    pub(super) index: Index,
    pub(super) history: History,
    /// The last used last.
    trees: Mutex<Vec<Arc<Placed>>>,
}

impl Contexts {
    pub fn new(root: PathBuf) -> Self {
        Self { root, open: Mutex::default() }
    }

    /// The files and snippets of a commit that fit a text. `git_dir` is the folder that has the repository's
    /// `objects`. It blocks: call it on a thread of its own.
    pub fn select(&self, git_dir: &Path, request: &ContextRequest<'_>) -> Result<Selection, ContextError> {
        let id = id_of_hex(request.commit.as_str());
        let no_commit = || ContextError::NoSuchCommit { id: request.commit.to_string() };
        self.repository(git_dir)?.select(&id.ok_or_else(no_commit)?, request)
    }

    pub(super) fn repository(&self, git_dir: &Path) -> Result<Arc<Repository>, ContextError> {
        let path = git_dir.canonicalize().unwrap_or_else(|_| git_dir.to_owned());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.iter().position(|(other, _)| *other == path).map(|at| open.remove(at));
        let (path, repository) = match known {
            Some(known) => known,
            None => {
                let folder = self.root.join(folder_name(&path));
                let (index, history) = (Index::open(&folder)?, History::default());
                let (git_dir, trees) = (path.clone(), Mutex::default());
                (path, Arc::new(Repository { git_dir, index, history, trees }))
            }
        };
        if open.len() >= KEPT {
            open.remove(0);
        }
        open.push((path, Arc::clone(&repository)));
        Ok(repository)
    }
}

/// A name for a repository's index: readable, and no other repository's.
fn folder_name(git_dir: &Path) -> String {
    let parts = git_dir.components().rev().map(|part| part.as_os_str().to_string_lossy());
    let name = parts.into_iter().find(|part| part != ".git" && part != "/").unwrap_or_default();
    let name: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(60).collect();
    let name = name.trim_start_matches('.');
    format!("{name}-{:016x}", hash_bytes(git_dir.as_os_str().as_encoded_bytes()))
}

impl Repository {
    fn select(&self, commit: &Id, request: &ContextRequest<'_>) -> Result<Selection, ContextError> {
        // Opened anew each time: packs come and go while this process lives.
        let objects = Objects::open(&self.git_dir)?;
        let mut reader = objects.reader();
        let found = reader.commit(commit)?.ok_or_else(|| ContextError::NoSuchCommit { id: hex(commit) })?;
        let (placed, past) = std::thread::scope(|scope| {
            let past =
                scope.spawn(|| self.history.ancestors(&objects, self.index.folder(), commit, ANCESTORS));
            scope.spawn(|| self.index.warm());
            let placed = self.placed(&objects, &mut reader, &found.tree);
            (placed, past.join())
        });
        let past = past.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (placed, indexed_blobs) = placed?;
        let ranking = rank::rank(&placed, &past, request.text, &objects)?;
        let packed = pack(&ranking.ranked, request.budget_tokens);
        let snippets = snippets(&ranking, &placed.tree, &packed, &mut reader)?;
        let files = ranking.ranked.iter().take(request.top).map(|ranked| RelevantFile {
            path: placed.tree.files[ranked.file].path().to_owned(),
            score: ranked.score,
            reasons: reasons(&ranking, &placed.tree, ranked),
        });
        Ok(Selection {
            files: files.collect(),
            tokens: packed.iter().map(|place| tokens(place.bytes)).sum(),
            snippets,
            indexed_blobs,
        })
    }

    /// A tree with its places in the index, and how many blobs had to be read for it.
    pub(super) fn placed(
        &self,
        objects: &Objects,
        reader: &mut Reader,
        tree: &Id,
    ) -> Result<(Arc<Placed>, usize), ContextError> {
        let last = {
            let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = trees.iter().position(|placed| placed.tree.id == *tree) {
                let placed = trees.remove(at);
                trees.push(Arc::clone(&placed));
                return Ok((placed, 0));
            }
            trees.last().cloned()
        };
        let tree = match last {
            Some(last) => last.tree.next(reader, tree)?,
            None => Tree::read(reader, tree)?,
        };
        let keys: Vec<Key> = tree.files.iter().filter_map(|file| file.key()).collect();
        let found = self.index.records(objects, &keys)?;
        let read = found.read;
        let placed = Arc::new(Placed::of(Arc::new(tree), found));
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if trees.len() >= KEPT_TREES {
            trees.remove(0);
        }
        trees.push(Arc::clone(&placed));
        Ok((placed, read))
    }
}

fn snippets(
    ranking: &Ranking,
    tree: &Tree,
    packed: &[Packed],
    reader: &mut Reader,
) -> Result<Vec<Snippet>, ContextError> {
    let mut snippets = Vec::with_capacity(packed.len());
    for place in packed {
        let ranked = &ranking.ranked[place.rank];
        let file = &tree.files[ranked.file];
        let Some(bytes) = reader.bytes(&file.id)? else { continue };
        let text = lines(bytes, place.start_line, place.end_line);
        snippets.push(Snippet {
            path: file.path().to_owned(),
            start_line: place.start_line,
            end_line: place.end_line,
            text: String::from_utf8_lossy(text).into_owned(),
            tokens: tokens(place.bytes),
            reason: reasons(ranking, tree, ranked).into_iter().next().unwrap_or_default(),
        });
    }
    Ok(snippets)
}

/// The lines from `start` to `end`, counted from 1, both inclusive, with their line ends.
fn lines(text: &[u8], start: usize, end: usize) -> &[u8] {
    let ends = || memchr::memchr_iter(b'\n', text).map(|at| at + 1);
    let from = if start <= 1 { 0 } else { ends().nth(start - 2).unwrap_or(text.len()) };
    let to = ends().nth(end.saturating_sub(1)).unwrap_or(text.len());
    &text[from..to.max(from)]
}

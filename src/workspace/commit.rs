//! A new commit from files that came back as bytes. It is a function of its request: the same request makes
//! the same id, so that a stage that runs again changes nothing.

use std::collections::{HashMap, HashSet};
use std::fmt;

use chrono::{DateTime, Utc};
use git2::{ObjectType, Odb, Signature, Time};

use super::attributes::{Attributes, is_pointer};
use super::content::ContentReader;
use super::error::WorkspaceError;
use super::ignored::IgnoreRules;
use super::mirror::{Mirror, SnapshotLimits, find_commit, flattened, is_left_out};
use super::mirrors::{aside, sha};
use super::names;
use super::refs::CommitSha;
use super::snapshot::{FileEntry, FileMode, RepoPath, Snapshot};
use super::tree::{self, EXECUTABLE, GITLINK, LINK, Leaf, Leaves, REGULAR};

/// What a commit is made of.
#[derive(Debug, Clone, Copy)]
pub struct CommitRequest<'a> {
    /// The commits it follows; the first is the one that `files` are compared with.
    pub parents: &'a [CommitSha],
    /// The whole tree as it is to be. What the first parent's snapshot left out stays as it was.
    pub files: &'a Snapshot,
    /// The limits with which the first parent's snapshot was taken.
    pub limits: SnapshotLimits,
    /// Applied to files that the first parent does not have.
    pub ignore: &'a IgnoreRules,
    pub author: &'a Author,
    pub committed_at: DateTime<Utc>,
    /// A sign-off of the author is put below it.
    pub message: &'a str,
}

/// Who a commit is by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    name: String,
    email: String,
}

/// Why a name and address cannot stand in a commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be the {1} of a commit's author: it is empty or has <, > or a control character")]
pub struct InvalidAuthor(String, &'static str);

impl Author {
    pub fn new(name: &str, email: &str) -> Result<Self, InvalidAuthor> {
        let usable = |text: &str| {
            !text.is_empty() && !text.contains(|c: char| matches!(c, '<' | '>') || c.is_control())
        };
        let (name, email) = (name.trim(), email.trim());
        if !usable(name) || !name.contains(char::is_alphanumeric) {
            return Err(InvalidAuthor(name.to_owned(), "name"));
        }
        if !usable(email) || email.contains(char::is_whitespace) {
            return Err(InvalidAuthor(email.to_owned(), "address"));
        }
        // Git takes marks such as a full stop from the ends; the sign-off must say the same as the header.
        let refuse = |_| InvalidAuthor(name.to_owned(), "name");
        let signature = Signature::new(name, email, &Time::new(0, 0)).map_err(refuse)?;
        let kept = |text: Result<&str, git2::Error>| text.map(str::to_owned).map_err(refuse);
        Ok(Self { name: kept(signature.name())?, email: kept(signature.email())? })
    }

    pub fn email(&self) -> &str {
        &self.email
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <{}>", self.name, self.email)
    }
}

impl Mirror {
    /// Makes a commit, on no branch, and tells its id; `None` when the tree is the first parent's and there
    /// is nothing to join.
    ///
    /// Bytes are kept as they are, but where `.gitattributes` has git store LF, a new or changed text file is stored
    /// so. New links must stay inside the tree; submodules and what Git LFS has cannot be changed.
    pub fn commit(&self, request: &CommitRequest<'_>) -> Result<Option<CommitSha>, WorkspaceError> {
        aside(|| {
            let Some(first) = request.parents.first() else {
                return Err(WorkspaceError::InvalidRequest("a commit needs a parent".to_owned()));
            };
            let repository = self.open()?;
            let odb = repository.odb()?;
            let flat = flattened(&repository, first, &request.limits)?;
            let base = &flat.leaves;
            let after = new_leaves(&odb, base, request)?;
            if after == *base && request.parents.len() == 1 {
                return Ok(None);
            }
            if let Some(path) = tree::file_and_folder(base, &after) {
                return Err(WorkspaceError::FileAndFolder(path));
            }
            check_new_names(base, &after)?;
            let tree = repository.find_tree(tree::write(&odb, &flat, &after)?)?;
            let parents = request.parents.iter().map(|parent| find_commit(&repository, parent));
            let parents = parents.collect::<Result<Vec<_>, _>>()?;
            let time = Time::new(request.committed_at.timestamp(), 0);
            let signature = Signature::new(&request.author.name, &request.author.email, &time)?;
            let message = signed_off(request.message, request.author);
            let parents: Vec<_> = parents.iter().collect();
            let commit =
                repository.commit_create_buffer(&signature, &signature, &message, &tree, &parents)?;
            Ok(Some(sha(odb.write(ObjectType::Commit, &commit)?)))
        })
    }
}

/// The entries of the new tree; new contents are written to the repository.
fn new_leaves(odb: &Odb<'_>, base: &Leaves, request: &CommitRequest<'_>) -> Result<Leaves, WorkspaceError> {
    let mut after = Leaves::new();
    let ignore = request.ignore.with_memory();
    let attributes = Attributes::new(odb, base);
    for (path, entry) in &request.files.files {
        let key = path.as_str().as_bytes();
        let before = base.get(key).filter(|before| before.mode != GITLINK);
        if before.is_none() && (in_submodule(base, key) || ignore.is_ignored(path)) {
            continue;
        }
        let id = entry.bytes.blob_id()?;
        let leaf = match before {
            Some(before) if before.id == id && before.file_mode() == Some(entry.mode) => *before,
            // Only its mode is another.
            Some(before) if before.id == id && entry.mode != FileMode::Symlink => {
                Leaf { id, mode: mode_of(entry.mode) }
            }
            _ => new_leaf(odb, before, (path, entry), &attributes)?,
        };
        after.insert(key.to_vec(), leaf);
    }
    for (path, leaf) in base {
        if !after.contains_key(path) && is_left_out(odb, path, leaf, &request.limits)? {
            after.insert(path.clone(), *leaf);
        }
    }
    Ok(after)
}

/// Writes a file that is new or has another content than before, as git would take it in.
fn new_leaf(
    odb: &Odb<'_>,
    before: Option<&Leaf>,
    (path, entry): (&RepoPath, &FileEntry),
    attributes: &Attributes<'_>,
) -> Result<Leaf, WorkspaceError> {
    let mut reader = ContentReader::default();
    let content = entry.bytes.read(&mut reader)?;
    if entry.mode == FileMode::Symlink {
        check_link(path, content)?;
        return Ok(Leaf { id: odb.write(ObjectType::Blob, content)?, mode: LINK });
    }
    let of_file = attributes.of(path)?;
    let before = before.filter(|before| before.mode != LINK);
    let old = before.map(|before| odb.read(before.id)).transpose()?;
    let was_pointer = old.as_ref().is_some_and(|old| is_pointer(old.data()));
    // A pointer to what LFS has already may appear anywhere: a file was moved.
    let moved = is_pointer(content) && odb.exists(entry.bytes.blob_id()?);
    if !moved && (is_pointer(content) || was_pointer || of_file.is_lfs && old.is_none()) {
        return Err(WorkspaceError::InLfs { path: path.clone() });
    }
    let content = of_file.text.taken_in(content, old.as_ref().map(|old| old.data()));
    Ok(Leaf { id: odb.write(ObjectType::Blob, &content)?, mode: mode_of(entry.mode) })
}

fn mode_of(mode: FileMode) -> u32 {
    match mode {
        FileMode::Regular => REGULAR,
        FileMode::Executable => EXECUTABLE,
        FileMode::Symlink => LINK,
    }
}

/// Refuses new files that another machine would take for other files, or could not write. Names that the
/// repository has already are its own affair.
fn check_new_names(base: &Leaves, after: &Leaves) -> Result<(), WorkspaceError> {
    let new =
        || after.keys().filter(|path| !base.contains_key(*path)).filter_map(|path| tree::repo_path(path));
    for path in new() {
        if let Some(reason) = names::fault(&path) {
            return Err(WorkspaceError::UnsafeName { path, reason });
        }
    }
    if new().next().is_none() {
        return Ok(());
    }
    // Each file and each folder above it as it is spelled, by its fold.
    let mut spelled: HashMap<String, String> = HashMap::new();
    let mut exact: HashSet<String> = HashSet::new();
    for path in after.keys().filter(|path| base.contains_key(*path)) {
        let text = String::from_utf8_lossy(path);
        for place in places(&text) {
            if exact.insert(place.to_owned()) {
                spelled.entry(names::folded(place)).or_insert_with(|| place.to_owned());
            }
        }
    }
    for path in new() {
        for place in places(path.as_str()) {
            if !exact.insert(place.to_owned()) {
                continue;
            }
            let fold = names::folded(place);
            if let Some(other) = spelled.get(&fold) {
                return Err(WorkspaceError::SameName { other: other.clone(), path: path.clone() });
            }
            spelled.insert(fold, place.to_owned());
        }
    }
    Ok(())
}

/// The folders above a path, and the path itself.
fn places(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at]).chain([path])
}

/// Whether the path is a submodule of the base or lies in one.
fn in_submodule(base: &Leaves, path: &[u8]) -> bool {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let mut prefixes = ends.chain([path.len()]);
    prefixes.any(|end| base.get(&path[..end]).is_some_and(|leaf| leaf.mode == GITLINK))
}

/// Refuses a link whose target, read as text, leaves the tree or enters a git directory, and a link in the
/// place of one of git's own files (git refuses those too: CVE-2018-17456 and its kin).
fn check_link(path: &RepoPath, target: &[u8]) -> Result<(), WorkspaceError> {
    let refuse = || WorkspaceError::LinkLeavesTree {
        path: path.clone(),
        target: String::from_utf8_lossy(target).chars().take(200).collect(),
    };
    let text = str::from_utf8(target).map_err(|_| refuse())?;
    if text.starts_with('/') || names::is_git_file(path) {
        return Err(refuse());
    }
    let mut place: Vec<&str> = path.as_str().split('/').collect();
    place.pop();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                place.pop().ok_or_else(refuse)?;
            }
            part => place.push(part),
        }
    }
    if !place.is_empty() {
        RepoPath::parse(place.join("/")).map_err(|_| refuse())?;
    }
    if text.is_empty() { Err(refuse()) } else { Ok(()) }
}

/// The message with the author's sign-off as its last line, joined to trailers that are there already.
fn signed_off(message: &str, author: &Author) -> String {
    let message = message.replace('\0', "").replace("\r\n", "\n");
    let message = message.trim();
    let trailer = format!("Signed-off-by: {author}");
    let last_paragraph = message.rsplit("\n\n").next().unwrap_or_default();
    if last_paragraph.lines().any(|line| line.trim() == trailer) {
        return format!("{message}\n");
    }
    let trailers = message.contains("\n\n") && last_paragraph.lines().all(is_trailer);
    let gap = if trailers { "\n" } else { "\n\n" };
    format!("{message}{gap}{trailer}\n").trim_start().to_owned()
}

fn is_trailer(line: &str) -> bool {
    line.split_once(": ").is_some_and(|(key, value)| {
        !key.is_empty()
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !value.trim().is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author() -> Author {
        Author::new("Orchestrator", "bot@example.org").expect("an author")
    }

    #[test]
    fn the_sign_off_is_the_last_trailer_and_stands_once() {
        let signed = |message| signed_off(message, &author());
        assert_eq!(signed("Fix it"), "Fix it\n\nSigned-off-by: Orchestrator <bot@example.org>\n");
        assert_eq!(
            signed("Fix it\n\nWhy.\n\nRefs: #4\n"),
            "Fix it\n\nWhy.\n\nRefs: #4\nSigned-off-by: Orchestrator <bot@example.org>\n"
        );
        assert_eq!(signed("fix: it"), "fix: it\n\nSigned-off-by: Orchestrator <bot@example.org>\n");
        assert_eq!(signed(&signed("Fix it")), signed("Fix it"));
    }

    #[test]
    fn the_sign_off_names_the_author_as_git_does() {
        let author = Author::new("Example, Inc.", "bot@example.org").expect("an author");
        let time = Time::new(0, 0);
        let git = Signature::new("Example, Inc.", "bot@example.org", &time).expect("a signature");
        assert_eq!(author.to_string(), format!("{} <bot@example.org>", git.name().expect("a name")));
        let bot = Author::new("orchestrator[bot]", "1+orchestrator[bot]@users.noreply.github.com")
            .expect("an author");
        assert_eq!(bot.to_string(), "orchestrator[bot] <1+orchestrator[bot]@users.noreply.github.com>");
    }

    #[test]
    fn an_author_cannot_smuggle_a_header_into_a_commit() {
        for (name, email) in
            [("", "a@b"), ("a\nb", "a@b"), ("a <x>", "a@b"), ("a", "a@b>\nparent"), ("a", ""), ("a", "a b")]
        {
            assert!(Author::new(name, email).is_err(), "{name:?} {email:?} was taken");
        }
    }

    #[test]
    fn links_must_stay_inside_the_tree() {
        let check = |path: &str, target: &str| {
            check_link(&RepoPath::parse(path).expect("a path"), target.as_bytes()).is_ok()
        };
        for (path, target) in [("a", "b"), ("a/b", "../c"), ("a/b/c", "./../../d/e"), ("a/b", "..")] {
            assert!(check(path, target), "{path} -> {target} was refused");
        }
        for (path, target) in [
            ("a", "/etc/passwd"),
            ("a", "../x"),
            ("a/b", "../../x"),
            ("a/b", "../../../a/x"),
            ("a", ".git/config"),
            ("a/b", "../.GIT/hooks"),
            ("a", ""),
            (".gitmodules", "x"),
            (".GitAttributes", "x"),
            ("a/.gitignore", "x"),
            (".g\u{200d}itmodules", "x"),
        ] {
            assert!(!check(path, target), "{path} -> {target} was taken");
        }
    }
}

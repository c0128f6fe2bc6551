//! Git: the simulator's own bare repositories, read and written with libgit2.
//!
//! Smart HTTP is `git_http`'s; which lines of a diff may carry a comment is `diff_lines`'.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use chrono::{DateTime, Utc};
use git2::{
    Delta, DiffFindOptions, DiffOptions, FileMode, ObjectType, Oid, Repository, Signature, Sort, Time,
};

/// A file of a new repository or commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedFile {
    pub bytes: Vec<u8>,
    pub executable: bool,
}

impl SeedFile {
    pub fn text(text: &str) -> Self {
        Self { bytes: text.as_bytes().to_vec(), executable: false }
    }

    pub fn script(text: &str) -> Self {
        Self { bytes: text.as_bytes().to_vec(), executable: true }
    }
}

/// The author or committer of a commit.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub name: String,
    pub email: String,
    pub when: DateTime<Utc>,
}

impl Person {
    fn signature(&self) -> Result<Signature<'static>, git2::Error> {
        Signature::new(&self.name, &self.email, &Time::new(self.when.timestamp(), 0))
    }
}

/// One file of a diff, with its hunks as text.
#[derive(Clone, Debug)]
pub(super) struct FileChange {
    pub path: String,
    pub previous_path: Option<String>,
    pub status: &'static str,
    /// Blob id of the new side (of the old one, where the file was removed).
    pub blob: String,
    pub additions: usize,
    pub deletions: usize,
    /// From the first `@@`, without the file's header; empty for binary files and pure renames.
    pub patch: String,
}

/// What a merge of two commits would give.
pub(super) enum MergeTree {
    Clean(Oid),
    Conflict,
}

#[derive(Clone, Debug)]
pub(super) struct BareRepository {
    path: PathBuf,
}

impl BareRepository {
    /// Makes an empty bare repository that accepts pushes over HTTP.
    pub fn create(path: &Path, default_branch: &str) -> anyhow::Result<Self> {
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).no_reinit(true).initial_head(default_branch).external_template(false);
        let repository = Repository::init_opts(path, &options)
            .with_context(|| format!("the bare repository {} cannot be made", path.display()))?;
        let mut config = repository.config()?;
        config.set_bool("http.receivepack", true)?;
        config.set_bool("uploadpack.allowFilter", true)?;
        config.set_bool("uploadpack.allowAnySHA1InWant", true)?;
        // Pull requests' refs are GitHub's own: "deny updating a hidden ref".
        config.set_str("receive.hideRefs", "refs/pull")?;
        config.set_bool("gc.auto", false)?;
        Ok(Self { path: path.to_owned() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn open(&self) -> Result<Repository, git2::Error> {
        Repository::open_bare(&self.path)
    }

    /// Every ref but HEAD, with the object it names.
    pub fn refs(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let repository = self.open()?;
        let mut refs = BTreeMap::new();
        for reference in repository.references()? {
            let reference = reference?;
            let (Ok(name), Some(target)) = (reference.name(), reference.target()) else { continue };
            refs.insert(name.to_owned(), target.to_string());
        }
        Ok(refs)
    }

    /// Points a ref at an object, or removes it.
    pub fn set_ref(&self, name: &str, target: Option<&str>) -> anyhow::Result<()> {
        let repository = self.open()?;
        match target {
            Some(sha) => {
                repository.reference(name, Oid::from_str(sha)?, true, "api")?;
            }
            None => repository.find_reference(name)?.delete()?,
        }
        Ok(())
    }

    /// A commit with `changes` (None removes a path) on top of `parent`'s tree; no ref is moved.
    pub fn commit_files(
        &self,
        parent: Option<&str>,
        changes: &BTreeMap<String, Option<SeedFile>>,
        author: &Person,
        message: &str,
    ) -> anyhow::Result<String> {
        let repository = self.open()?;
        let parent = match parent {
            Some(sha) => Some(repository.find_commit(Oid::from_str(sha)?)?),
            None => None,
        };
        let mut index = git2::Index::new()?;
        if let Some(parent) = &parent {
            index.read_tree(&parent.tree()?)?;
        }
        for (path, file) in changes {
            match file {
                Some(file) => index.add(&index_entry(&repository, path, file)?)?,
                None => index.remove(Path::new(path), 0)?,
            }
        }
        let tree = repository.find_tree(index.write_tree_to(&repository)?)?;
        let signature = author.signature()?;
        let parents: Vec<_> = parent.iter().collect();
        Ok(repository.commit(None, &signature, &signature, message, &tree, &parents)?.to_string())
    }

    /// A commit of a tree that exists already, as a merge makes it.
    pub fn commit_tree(
        &self,
        tree: Oid,
        parents: &[&str],
        author: &Person,
        message: &str,
    ) -> anyhow::Result<String> {
        let repository = self.open()?;
        let tree = repository.find_tree(tree)?;
        let parents: Vec<_> = parents
            .iter()
            .map(|sha| repository.find_commit(Oid::from_str(sha)?))
            .collect::<Result<_, git2::Error>>()?;
        let signature = author.signature()?;
        let parents: Vec<_> = parents.iter().collect();
        Ok(repository.commit(None, &signature, &signature, message, &tree, &parents)?.to_string())
    }

    pub fn merge_base(&self, one: &str, two: &str) -> anyhow::Result<Option<String>> {
        let repository = self.open()?;
        match repository.merge_base(Oid::from_str(one)?, Oid::from_str(two)?) {
            Ok(base) => Ok(Some(base.to_string())),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub fn merge(&self, ours: &str, theirs: &str) -> anyhow::Result<MergeTree> {
        let repository = self.open()?;
        let ours = repository.find_commit(Oid::from_str(ours)?)?;
        let theirs = repository.find_commit(Oid::from_str(theirs)?)?;
        let mut index = repository.merge_commits(&ours, &theirs, None)?;
        if index.has_conflicts() {
            return Ok(MergeTree::Conflict);
        }
        Ok(MergeTree::Clean(index.write_tree_to(&repository)?))
    }

    /// True when `ancestor` is `descendant` or one of its ancestors.
    pub fn contains(&self, descendant: &str, ancestor: &str) -> anyhow::Result<bool> {
        Ok(self.merge_base(descendant, ancestor)?.as_deref() == Some(ancestor))
    }

    /// Commits reachable from `head` and not from `base`, oldest first. Without `base`: all.
    pub fn commits_between(&self, base: Option<&str>, head: &str) -> anyhow::Result<Vec<Oid>> {
        let repository = self.open()?;
        let mut walk = repository.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
        walk.push(Oid::from_str(head)?)?;
        if let Some(base) = base {
            walk.hide(Oid::from_str(base)?)?;
        }
        Ok(walk.collect::<Result<_, _>>()?)
    }

    /// The commit a branch, tag, full ref or (abbreviated) SHA names.
    pub fn resolve_commit(&self, name: &str) -> anyhow::Result<Option<String>> {
        let repository = self.open()?;
        let candidates = [
            format!("refs/heads/{name}"),
            format!("refs/tags/{name}"),
            format!("refs/{name}"),
            name.to_owned(),
        ];
        for candidate in &candidates {
            let plain_sha = candidate.len() >= 4 && candidate.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !(candidate.starts_with("refs/") || candidate == "HEAD" || plain_sha) {
                continue;
            }
            let Ok(object) = repository.revparse_single(candidate) else { continue };
            if let Ok(commit) = object.peel(ObjectType::Commit) {
                return Ok(Some(commit.id().to_string()));
            }
        }
        Ok(None)
    }

    /// The changes between the trees of two commits (from nothing, without `base`), renames found and
    /// with three lines of context, as GitHub shows them.
    pub fn diff(&self, base: Option<&str>, head: &str) -> anyhow::Result<Vec<FileChange>> {
        let repository = self.open()?;
        let diff = open_diff(&repository, base, head)?;
        let mut changes = Vec::new();
        for index in 0..diff.deltas().len() {
            changes.push(file_change(&diff, index)?);
        }
        Ok(changes)
    }

    /// The same as one unified diff, as `application/vnd.github.diff` gives it.
    pub fn diff_text(&self, base: Option<&str>, head: &str) -> anyhow::Result<Vec<u8>> {
        let repository = self.open()?;
        let diff = open_diff(&repository, base, head)?;
        let mut text = Vec::new();
        diff.print(git2::DiffFormat::Patch, |_, _, line| {
            if matches!(line.origin(), '+' | '-' | ' ') {
                text.push(line.origin() as u8);
            }
            text.extend_from_slice(line.content());
            true
        })?;
        Ok(text)
    }

    /// The bytes of a file at a commit; `None` where there is none.
    pub fn file(&self, commit: &str, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let repository = self.open()?;
        let tree = repository.find_commit(Oid::from_str(commit)?)?.tree()?;
        let Ok(entry) = tree.get_path(Path::new(path)) else { return Ok(None) };
        match entry.to_object(&repository)?.into_blob() {
            Ok(blob) => Ok(Some(blob.content().to_vec())),
            Err(_) => Ok(None),
        }
    }
}

fn index_entry(repository: &Repository, path: &str, file: &SeedFile) -> anyhow::Result<git2::IndexEntry> {
    let unsafe_part = |part: &str| matches!(part, "" | "." | "..") || part.eq_ignore_ascii_case(".git");
    if path.split('/').any(unsafe_part) {
        return Err(anyhow!("{path:?} is not a path that git can hold"));
    }
    let mode = if file.executable { FileMode::BlobExecutable } else { FileMode::Blob };
    let nothing = git2::IndexTime::new(0, 0);
    Ok(git2::IndexEntry {
        ctime: nothing,
        mtime: nothing,
        dev: 0,
        ino: 0,
        mode: i32::from(mode) as u32,
        uid: 0,
        gid: 0,
        file_size: 0,
        id: repository.blob(&file.bytes)?,
        flags: 0,
        flags_extended: 0,
        path: path.as_bytes().to_vec(),
    })
}

fn open_diff<'repo>(
    repository: &'repo Repository,
    base: Option<&str>,
    head: &str,
) -> anyhow::Result<git2::Diff<'repo>> {
    let tree = |sha: &str| -> Result<git2::Tree<'repo>, git2::Error> {
        repository.find_commit(Oid::from_str(sha)?)?.tree()
    };
    let old = base.map(tree).transpose()?;
    let new = tree(head)?;
    let mut options = DiffOptions::new();
    options.context_lines(3).interhunk_lines(0);
    let mut diff = repository.diff_tree_to_tree(old.as_ref(), Some(&new), Some(&mut options))?;
    diff.find_similar(Some(DiffFindOptions::new().renames(true)))?;
    Ok(diff)
}

fn file_change(diff: &git2::Diff<'_>, index: usize) -> anyhow::Result<FileChange> {
    let mut patch = git2::Patch::from_diff(diff, index)?;
    let delta = diff.get_delta(index).ok_or_else(|| anyhow!("the diff has no file {index}"))?;
    let name = |file: git2::DiffFile<'_>| {
        file.path_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
    };
    let removed = delta.status() == Delta::Deleted;
    let mut change = FileChange {
        path: name(if removed { delta.old_file() } else { delta.new_file() }),
        previous_path: (delta.status() == Delta::Renamed).then(|| name(delta.old_file())),
        status: match delta.status() {
            Delta::Added => "added",
            Delta::Deleted => "removed",
            Delta::Renamed => "renamed",
            Delta::Copied => "copied",
            Delta::Typechange => "changed",
            _ => "modified",
        },
        blob: if removed { delta.old_file().id() } else { delta.new_file().id() }.to_string(),
        additions: 0,
        deletions: 0,
        patch: String::new(),
    };
    if let Some(patch) = patch.as_mut() {
        (_, change.additions, change.deletions) = patch.line_stats()?;
        let text = patch.to_buf()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        if let Some(start) = first_hunk(&text) {
            change.patch = text[start..].trim_end_matches('\n').to_owned();
        }
    }
    Ok(change)
}

fn first_hunk(patch: &str) -> Option<usize> {
    if patch.starts_with("@@ ") {
        return Some(0);
    }
    patch.find("\n@@ ").map(|at| at + 1)
}

//! The path policy: which files a change may touch, and how much it may change.
//!
//! It is made of the deployment's rules and the repository's; the stricter wins. A plan that a person
//! approved opens files that are protected, one by one; nothing opens what lies outside of `allowed` or
//! above a limit.

use std::collections::BTreeSet;
use std::fmt;

use super::globs::{BadGlob, Exact, Loose};
use super::manifests::{alters_dependencies, has_member, is_one_of, manifests, workspace_file};
use super::protected::BY_DEFAULT;
use crate::workspace::{FileContent, FileDiff, FileStatus, TreeDiff, folded};

/// How large a change may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeLimits {
    pub files: u64,
    /// Lines added and lines removed, together.
    pub lines: u64,
    /// Size of a file that is new or grew.
    pub file_bytes: u64,
    /// What all files together grow by.
    pub total_bytes: u64,
    pub binary: BinaryFiles,
}

/// Whether files that are not text may be added or changed without the plan's naming them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BinaryFiles {
    Protected,
    Allowed,
}

impl ChangeLimits {
    /// The lower of each.
    #[must_use]
    pub fn lowered_by(self, other: Self) -> Self {
        Self {
            files: self.files.min(other.files),
            lines: self.lines.min(other.lines),
            file_bytes: self.file_bytes.min(other.file_bytes),
            total_bytes: self.total_bytes.min(other.total_bytes),
            binary: self.binary.min(other.binary),
        }
    }
}

/// What one side, the deployment or the repository, has to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathRules {
    /// `None`: everything.
    pub allowed: Option<Vec<String>>,
    /// Besides what is protected by default.
    pub protected: Vec<String>,
}

/// The rules of both sides, ready to be asked.
#[derive(Debug, Clone)]
pub struct PathPolicy {
    allowed: Vec<(Vec<String>, Exact)>,
    protected: Vec<Protected>,
    set: Loose,
    limits: ChangeLimits,
}

/// A glob that is protected, and why.
#[derive(Debug, Clone)]
struct Protected {
    glob: String,
    why: &'static str,
}

/// One thing that a change does and may not do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// `None`: the change as a whole.
    pub path: Option<String>,
    pub rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{path}: {}", self.rule),
            None => f.write_str(&self.rule),
        }
    }
}

/// Before or after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

impl PathPolicy {
    /// Both sides' rules in one: a path has to be allowed by each, and is protected if either says so.
    pub fn new(
        deployment: &PathRules,
        repository: &PathRules,
        limits: ChangeLimits,
    ) -> Result<Self, BadGlob> {
        let mut allowed = Vec::new();
        let mut protected = Vec::new();
        for (why, globs) in BY_DEFAULT {
            protected.extend(globs.iter().map(|glob| Protected { glob: (*glob).to_owned(), why }));
        }
        for (rules, why) in [
            (deployment, "the configuration of this deployment protects it"),
            (repository, "`.orchestrator/config.yaml` protects it"),
        ] {
            if let Some(globs) = &rules.allowed {
                allowed.push((globs.clone(), Exact::new(globs)?));
            }
            protected.extend(rules.protected.iter().map(|glob| Protected { glob: glob.clone(), why }));
        }
        let set = Loose::new(protected.iter().map(|one| one.glob.as_str()))?;
        Ok(Self { allowed, protected, set, limits })
    }

    /// Everything that the change may not do, files first. `opened`: the files that the approved plan asks
    /// for, by their exact paths. `read` gives the text of a file on one side, `None` where it has none; it is
    /// asked about manifests where a lock file changes.
    pub fn violations<E>(
        &self,
        diff: &TreeDiff,
        opened: &[String],
        read: &impl Fn(Side, &str) -> Result<Option<String>, E>,
    ) -> Result<Vec<Violation>, E> {
        let mut found = BTreeSet::new();
        for path in &diff.unnamed {
            let rule = "its name cannot be used here".to_owned();
            found.insert(Violation { path: Some(path.clone()), rule });
        }
        for (file, path) in sides(diff) {
            let violation = |rule| Violation { path: Some(path.to_owned()), rule };
            found.extend(self.not_allowed(path).map(violation));
            if !opened.iter().any(|open| open == path) {
                found.extend(self.protection(path).map(violation));
                found.extend(without_manifest(path, diff, read)?.map(violation));
                if path == file.path.as_str() {
                    found.extend(self.not_text(file).map(violation));
                }
            }
        }
        let mut found: Vec<Violation> = found.into_iter().collect();
        found.extend(self.too_much(diff));
        Ok(found)
    }

    /// Why a path is protected, by default or by one of the sides.
    pub fn protection(&self, path: &str) -> Option<String> {
        let Protected { glob, why } = self.protected.get(self.set.first_match(path)?)?;
        Some(format!("it is protected ({glob}): {why}"))
    }

    fn not_allowed(&self, path: &str) -> Option<String> {
        let (globs, _) = self.allowed.iter().find(|(_, set)| !set.matches(path))?;
        Some(format!("it lies outside of what may be changed ({})", globs.join(", ")))
    }

    fn not_text(&self, file: &FileDiff) -> Option<String> {
        let binary = file.content == FileContent::Binary && file.status != FileStatus::Deleted;
        (binary && self.limits.binary == BinaryFiles::Protected)
            .then(|| "it is not text, or too large to compare, and the plan does not name it".to_owned())
    }

    fn too_much(&self, diff: &TreeDiff) -> Vec<Violation> {
        let limits = self.limits;
        let mut found = Vec::new();
        for file in &diff.files {
            if file.bytes > limits.file_bytes && file.bytes > file.old_bytes {
                let rule =
                    format!("it has {} bytes; the limit for a file is {}", file.bytes, limits.file_bytes);
                found.push(Violation { path: Some(file.path.to_string()), rule });
            }
        }
        let lines = |file: &FileDiff| match file.content {
            FileContent::Text { additions, deletions, .. } => (additions + deletions) as u64,
            FileContent::Binary => 0,
        };
        let sums = [
            ("files changed", diff.files.len() as u64, limits.files),
            ("lines added and removed", diff.files.iter().map(lines).sum(), limits.lines),
            (
                "bytes added",
                diff.files.iter().map(|file| file.bytes.saturating_sub(file.old_bytes)).sum(),
                limits.total_bytes,
            ),
        ];
        for (what, count, limit) in sums {
            if count > limit {
                found.push(Violation {
                    path: None,
                    rule: format!("there are {count} {what}; the limit is {limit}"),
                });
            }
        }
        found
    }

    /// The globs that are protected, for whoever writes a plan or a change.
    pub fn protected_globs(&self) -> impl Iterator<Item = &str> {
        self.protected.iter().map(|one| one.glob.as_str())
    }

    /// The rules as a model reads them.
    pub fn in_words(&self, opened: &[String]) -> String {
        let globs: Vec<_> = self.protected_globs().collect();
        let mut text = format!(
            "Protected files, by globs from the root: {}\nLock files are protected as long as no manifest of \
             theirs changes what it depends on.\n",
            globs.join(" ")
        );
        for (globs, _) in &self.allowed {
            text.push_str(&format!("Only files that match one of these may change: {}\n", globs.join(" ")));
        }
        let ChangeLimits { files, lines, file_bytes, total_bytes, binary } = self.limits;
        text.push_str(&format!(
            "At most {files} files, {lines} lines added and removed, {file_bytes} bytes in a file that is new or \
             grows, {total_bytes} bytes more in all.\n"
        ));
        if binary == BinaryFiles::Protected {
            text.push_str("Files that are not text are protected, too.\n");
        }
        match opened {
            [] => text.push_str("The approved plan opens no protected file.\n"),
            opened => text.push_str(&format!("The approved plan opens: {}\n", opened.join(", "))),
        }
        text
    }
}

/// Each path that the change touches: of a renamed file both, where it was and where it is.
fn sides(diff: &TreeDiff) -> impl Iterator<Item = (&FileDiff, &str)> {
    diff.files.iter().flat_map(|file| {
        let old = file.old_path.as_ref().map(|path| (file, path.as_str()));
        [(file, file.path.as_str())].into_iter().chain(old)
    })
}

/// A lock file follows a manifest of its folder, or of its workspace, that asks for something else now.
fn without_manifest<E>(
    path: &str,
    diff: &TreeDiff,
    read: &impl Fn(Side, &str) -> Result<Option<String>, E>,
) -> Result<Option<String>, E> {
    let lock = folded(path);
    let Some(manifests) = manifests(&lock) else { return Ok(None) };
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for file in &diff.files {
        let now = file.path.as_str();
        let was = file.old_path.as_ref().map_or(now, |old| old.as_str());
        let is_manifest = [now, was].into_iter().any(|one| is_one_of(manifests, &folded(one)));
        if is_manifest
            && (belongs(folder, &lock, now, read)? || belongs(folder, &lock, was, read)?)
            && alters_dependencies(
                now,
                read(Side::Before, was)?.as_deref(),
                read(Side::After, now)?.as_deref(),
            )
        {
            return Ok(None);
        }
    }
    Ok(Some(format!(
        "it is a lock file, and what it is made from ({}) asks for nothing else",
        manifests.join(", ")
    )))
}

/// Whether a manifest is one that the lock file in the folder is made from.
fn belongs<E>(
    folder: &str,
    lock: &str,
    manifest: &str,
    read: &impl Fn(Side, &str) -> Result<Option<String>, E>,
) -> Result<bool, E> {
    let inside = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    let place = manifest.rsplit_once('/').map_or("", |(place, _)| place);
    if place == folder {
        return Ok(true);
    }
    let below = if folder.is_empty() { Some(place) } else { place.strip_prefix(&inside("")) };
    let (Some(below), Some(files)) = (below, workspace_file(lock)) else { return Ok(below.is_some()) };
    for file in files {
        for side in [Side::Before, Side::After] {
            if read(side, &inside(file))?.is_some_and(|text| has_member(file, &text, below)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;

//! The files of a tree as bytes: what crosses the line between sandbox and host.

use std::collections::BTreeMap;
use std::fmt;

use super::content::Content;
use super::error::WorkspaceError;
use super::names::is_ignored;

/// A path inside a repository: relative, `/`-separated, without empty, `.`, `..` or `.git` parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct RepoPath(String);

/// Why a string is not a path inside a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not a path inside the repository: {reason}")]
pub struct InvalidPath {
    pub path: String,
    pub reason: &'static str,
}

impl RepoPath {
    /// Checks a path. The names that git refuses on any platform are refused here too
    /// (`verify_path` in git's read-cache.c; CVE-2014-9390 for the spellings of `.git`).
    pub fn parse(path: impl Into<String>) -> Result<Self, InvalidPath> {
        let path = path.into();
        let refuse = |reason| Err(InvalidPath { path: path.clone(), reason });
        if path.is_empty() {
            return refuse("it is empty");
        }
        if path.len() > 4096 {
            return refuse("it is longer than 4096 bytes");
        }
        if path.contains('\0') || path.contains('\\') || path.chars().any(|c| c.is_control()) {
            return refuse("it has a backslash or a control character");
        }
        for part in path.split('/') {
            match part {
                "" => return refuse("it is absolute or has an empty part"),
                "." | ".." => return refuse("it has a `.` or `..` part"),
                _ if is_dot_git(part) => return refuse("it names a git directory"),
                _ => {}
            }
        }
        Ok(Self(path))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a path part is `.git` on some file system: any case, NTFS short names, trailing dots and
/// spaces, code points that HFS+ ignores.
fn is_dot_git(part: &str) -> bool {
    let folded: String = part.chars().filter(|c| !is_ignored(*c)).collect::<String>().to_lowercase();
    let name = folded.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    name == ".git" || name == "git~1"
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for RepoPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// How git records a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileMode {
    Regular,
    Executable,
    /// The bytes are the link's target.
    Symlink,
}

/// One file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    pub mode: FileMode,
    pub bytes: Content,
}

/// All files of a tree. Directories exist only as prefixes, as in git.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    pub files: BTreeMap<RepoPath, FileEntry>,
}

impl Snapshot {
    /// To be asked after looking at files and before deciding by what was seen.
    ///
    /// # Errors
    /// [`WorkspaceError::Unreadable`] where a file that was looked at could not be read.
    pub fn whole(&self) -> Result<(), WorkspaceError> {
        let damaged = self.files.iter().find_map(|(path, entry)| Some((path, entry.bytes.fault()?)));
        damaged.map_or(Ok(()), |(path, fault)| Err(fault.of_file(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_are_taken_as_they_are() {
        for path in ["a", "src/lib.rs", ".github/workflows/ci.yml", ".gitignore", "日本/語.txt", "a b/c"] {
            assert_eq!(RepoPath::parse(path).expect(path).as_str(), path);
        }
    }

    #[test]
    fn paths_that_leave_the_tree_or_name_a_git_directory_are_refused() {
        for path in [
            "",
            "/etc/passwd",
            "a//b",
            "a/",
            "./a",
            "a/../b",
            "..",
            ".git",
            "a/.GIT/config",
            ".git.",
            ".git ",
            "GIT~1/x",
            ".g\u{200c}it/hooks",
            ".git:stream",
            "a\\b",
            "a\0b",
            "a\nb",
        ] {
            assert!(RepoPath::parse(path).is_err(), "{path:?} was taken");
        }
    }
}

//! Names of git's things that are checked before they reach git.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

/// A commit's object id: 40 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CommitSha(String);

/// A branch name, without `refs/heads/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct BranchName(String);

/// Why a string is not the name of a commit or branch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a {what}: {reason}")]
pub struct InvalidRef {
    pub what: &'static str,
    pub value: String,
    pub reason: &'static str,
}

impl CommitSha {
    pub fn parse(value: impl Into<String>) -> Result<Self, InvalidRef> {
        let value = value.into();
        if value.len() == 40 && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(value))
        } else {
            Err(InvalidRef { what: "commit id", value, reason: "it is not 40 lower-case hexadecimal digits" })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl BranchName {
    /// The rules of git-check-ref-format(1), and no leading `-`.
    pub fn parse(value: impl Into<String>) -> Result<Self, InvalidRef> {
        let value = value.into();
        let refuse = |reason| Err(InvalidRef { what: "branch name", value: value.clone(), reason });
        if value.is_empty() || value.len() > 200 {
            return refuse("it is empty or longer than 200 bytes");
        }
        if value.starts_with('-') || value == "@" || value == "HEAD" {
            return refuse("git reads it as something else");
        }
        if value.contains("..") || value.contains("@{") || value.ends_with('.') {
            return refuse("it has `..`, `@{` or a dot at the end");
        }
        if value.bytes().any(|b| b <= b' ' || b == 0x7f || b"~^:?*[\\".contains(&b)) {
            return refuse("it has a space, a control character or one of ~^:?*[\\");
        }
        if value.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock")) {
            return refuse("a part is empty, starts with a dot or ends in .lock");
        }
        Ok(Self(value))
    }

    /// `auto/<UTC timestamp>-<issue>-<slug>`: the branch of a task.
    pub fn auto(at: DateTime<Utc>, issue: Option<u64>, title: &str) -> Self {
        let stamp = at.format("%Y%m%dT%H%M%SZ");
        let slug = slug(title);
        match issue {
            Some(issue) => Self(format!("auto/{stamp}-{issue}-{slug}")),
            None => Self(format!("auto/{stamp}-{slug}")),
        }
    }

    /// Whether the branch is in the part of the namespace that is ours to push to.
    pub fn is_ours(&self) -> bool {
        self.0.starts_with("auto/")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lower-case ASCII words of a title joined by `-`, at most 40 characters, never empty.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    for word in title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        if slug.len() + word.len() + 1 > 40 {
            break;
        }
        if !slug.is_empty() {
            slug.push('-');
        }
        slug.push_str(&word.to_ascii_lowercase());
    }
    if slug.is_empty() { "task".to_owned() } else { slug }
}

impl fmt::Display for CommitSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CommitSha {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for BranchName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_git_or_its_command_line_would_misread_are_refused() {
        for name in [
            "",
            "-x",
            "--upload-pack=x",
            "@",
            "HEAD",
            "a..b",
            "a@{1}",
            "a b",
            "a\nb",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "a\u{7f}",
        ] {
            assert!(BranchName::parse(name).is_err(), "{name:?} was taken");
        }
        for name in ["main", "auto/x-1", "feature/ü", "v1.2"] {
            assert!(BranchName::parse(name).is_ok(), "{name:?} was refused");
        }
    }

    #[test]
    fn a_commit_id_is_forty_lower_case_hex_digits() {
        assert!(CommitSha::parse("a".repeat(40)).is_ok());
        for sha in ["", "abc", &"A".repeat(40), &"g".repeat(40), &"a".repeat(41)] {
            assert!(CommitSha::parse(sha).is_err(), "{sha:?} was taken");
        }
    }

    #[test]
    fn a_branch_is_named_by_time_issue_and_title() {
        let at = DateTime::from_timestamp(1_795_230_900, 0).expect("in range");
        for (title, branch) in [
            ("Fix: the thing!", "auto/20261121T031500Z-42-fix-the-thing"),
            ("日本語", "auto/20261121T031500Z-42-task"),
            ("../../etc/passwd --force", "auto/20261121T031500Z-42-etc-passwd-force"),
            (&"x".repeat(300), "auto/20261121T031500Z-42-task"),
        ] {
            let name = BranchName::auto(at, Some(42), title);
            assert_eq!(name.as_str(), branch);
            assert!(BranchName::parse(name.as_str()).is_ok_and(|name| name.is_ours()));
        }
    }
}

//! Names of git's things that are checked before they reach git.

use std::fmt;

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

    pub fn as_str(&self) -> &str {
        &self.0
    }
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

//! Commit ids and branch names that are safe to hand to git. Pure: nothing here touches a repository.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The id of a commit: 40 lower-case hexadecimal digits (SHA-1, the only format that GitHub serves).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitSha(String);

/// Why a string is not a commit id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a commit id: it must be 40 lower-case hexadecimal digits")]
pub struct InvalidCommitSha(String);

impl CommitSha {
    pub fn parse(sha: impl Into<String>) -> Result<Self, InvalidCommitSha> {
        let sha = sha.into();
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if sha.len() == 40 && sha.bytes().all(hex) && sha.bytes().any(|byte| byte != b'0') {
            Ok(Self(sha))
        } else {
            Err(InvalidCommitSha(sha.chars().take(64).collect()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first ten digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

/// The name of a branch, without `refs/heads/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);

/// Why a string is not the name of a branch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not the name of a branch: {reason}")]
pub struct InvalidBranchName {
    pub name: String,
    pub reason: &'static str,
}

/// GitHub refuses a full ref name (`refs/heads/…`) of more than 255 bytes.
const LONGEST_NAME: usize = 255 - "refs/heads/".len();

impl BranchName {
    /// Checks a name by the rules of git-check-ref-format(1), and refuses besides what a command line, a
    /// refspec or a reader could take for something else: a leading `-`, a full ref name, a commit id,
    /// invisible characters.
    pub fn parse(name: impl Into<String>) -> Result<Self, InvalidBranchName> {
        let name = name.into();
        match refusal(&name) {
            None => Ok(Self(name)),
            Some(reason) => Err(InvalidBranchName { name: name.chars().take(300).collect(), reason }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The branch on which a task's work is published: `auto/20261121T031500Z-42-fix-the-thing`, without the
    /// number where there is no issue.
    pub fn auto(at: DateTime<Utc>, issue: Option<u64>, title: &str) -> Self {
        let stamp = at.format("%Y%m%dT%H%M%SZ");
        let slug = slug(title);
        Self(match issue {
            Some(issue) => format!("auto/{stamp}-{issue}-{slug}"),
            None => format!("auto/{stamp}-{slug}"),
        })
    }

    /// The full name of the ref.
    pub fn to_ref(&self) -> String {
        format!("refs/heads/{}", self.0)
    }

    /// Whether the branch lies under `auto/`, where the bot may push by itself.
    pub fn is_auto(&self) -> bool {
        self.0.starts_with("auto/")
    }
}

fn refusal(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > LONGEST_NAME {
        return Some("it is longer than 244 bytes");
    }
    if name.starts_with('-') {
        return Some("it begins with `-`");
    }
    if name == "@" || name == "HEAD" {
        return Some("git gives that name another meaning");
    }
    if name.starts_with("refs/") {
        return Some("it is a full ref name");
    }
    if name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some("it looks like a commit id");
    }
    if name.contains("..") || name.contains("@{") {
        return Some("it has `..` or `@{`");
    }
    let forbidden = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    if name.chars().any(forbidden) {
        return Some("it has a space, a control character or one of ~ ^ : ? * [ \\");
    }
    if name.chars().any(is_invisible) {
        return Some("it has an invisible character");
    }
    if name.ends_with('.') {
        return Some("it ends with `.`");
    }
    name.split('/').find_map(|part| match part {
        "" => Some("it begins or ends with `/`, or has `//`"),
        _ if part.starts_with('.') => Some("a part begins with `.`"),
        _ if part.ends_with(".lock") => Some("a part ends with `.lock`"),
        _ => None,
    })
}

/// Zero-width and bidirectional characters make two different names look alike.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// The longest slug in a branch's name, in characters.
const LONGEST_SLUG: usize = 40;

/// Lower-case ASCII words joined by `-`, cut between words where possible; never empty.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    for word in words {
        let joint = usize::from(!slug.is_empty());
        if slug.len() + joint + word.len() > LONGEST_SLUG {
            if slug.is_empty() {
                slug = word[..LONGEST_SLUG].to_ascii_lowercase();
            }
            break;
        }
        if joint == 1 {
            slug.push('-');
        }
        slug.push_str(&word.to_ascii_lowercase());
    }
    if slug.is_empty() { "task".to_owned() } else { slug }
}

macro_rules! text_newtype {
    ($name:ident, $error:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(text)
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}

text_newtype!(CommitSha, InvalidCommitSha);
text_newtype!(BranchName, InvalidBranchName);

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use proptest::prelude::*;

    #[test]
    fn only_forty_lower_case_digits_are_a_commit_id() {
        let sha = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(CommitSha::parse(sha).expect("a good id").as_str(), sha);
        let upper = sha.to_uppercase();
        for bad in ["", "HEAD", &sha[1..], &upper, &"0".repeat(40), "--upload-pack=x", &format!("{sha}\n")] {
            assert!(CommitSha::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn ordinary_branch_names_are_taken() {
        for name in ["main", "release/1.2", "dependabot/npm_and_yarn/a-1.0", "feature/日本", "a@b", "x.y"] {
            assert_eq!(BranchName::parse(name).expect(name).to_ref(), format!("refs/heads/{name}"));
        }
    }

    #[test]
    fn names_that_git_or_a_command_line_reads_otherwise_are_refused() {
        for name in [
            "",
            "-x",
            "--upload-pack=touch x",
            "a b",
            "a..b",
            "a~1",
            "a^",
            "a:b",
            "+a:b",
            "a?",
            "a*",
            "a[b",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "@",
            "HEAD",
            "a@{1}",
            "a\0",
            "a\nb",
            "a\u{7f}",
            "refs/heads/main",
            "0123456789abcdef0123456789abcdef01234567",
            "ma\u{200b}in",
            "a\u{202e}b",
        ] {
            assert!(BranchName::parse(name).is_err(), "{name:?} was taken");
        }
        assert!(BranchName::parse("a".repeat(244)).is_ok());
        assert!(BranchName::parse("a".repeat(245)).is_err());
    }

    #[test]
    fn a_name_read_from_json_is_checked_too() {
        assert!(serde_json::from_str::<BranchName>("\"a..b\"").is_err());
        assert!(serde_json::from_str::<CommitSha>("\"HEAD\"").is_err());
    }

    #[test]
    fn the_published_branch_names_its_time_issue_and_title() {
        let at = Utc.with_ymd_and_hms(2026, 11, 21, 3, 15, 0).single().expect("a time");
        let name = |title| BranchName::auto(at, Some(42), title).to_string();
        assert_eq!(name("Fix the thing!"), "auto/20261121T031500Z-42-fix-the-thing");
        assert_eq!(name("日本語"), "auto/20261121T031500Z-42-task");
        assert_eq!(name("  ../..//--.lock @{1}"), "auto/20261121T031500Z-42-lock-1");
        assert_eq!(
            name("The parser does not accept an empty list of arguments"),
            "auto/20261121T031500Z-42-the-parser-does-not-accept-an-empty-list"
        );
        assert_eq!(name(&"x".repeat(90)), format!("auto/20261121T031500Z-42-{}", "x".repeat(40)));
    }

    proptest! {
        #[test]
        fn every_title_makes_a_valid_branch(title in "\\PC*", issue in 1u64..) {
            let at = Utc.with_ymd_and_hms(2026, 11, 21, 3, 15, 0).single().expect("a time");
            let branch = BranchName::auto(at, Some(issue), &title);
            prop_assert!(BranchName::parse(branch.as_str()).is_ok());
            prop_assert!(branch.is_auto());
        }
    }
}

//! Identifiers. A number from GitHub and a number of ours never mix.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// GitHub's number for an installation of the App.
    InstallationId
);
number_id!(
    /// GitHub's number for a repository; it outlives renames and transfers.
    RepositoryId
);
number_id!(
    /// The number of an issue or pull request inside its repository.
    IssueNumber
);
number_id!(
    /// GitHub's number for an issue comment.
    CommentId
);
number_id!(
    /// GitHub's number for an account; logins change hands, this does not.
    UserId
);

/// One piece of work: a task of an issue, through all its revisions, attempts and rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub Uuid);

impl TaskId {
    /// The id of the question that a comment asks: the same, however often its delivery comes.
    pub fn of_question(repository: RepositoryId, comment: CommentId) -> Self {
        let hash = Sha256::digest(format!("question/{repository}/{comment}"));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A GitHub account as we saw it: the id decides, the login is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: UserId,
    pub login: String,
}

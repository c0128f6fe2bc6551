//! Repositories and who may do what in them.

use serde::Deserialize;

use crate::domain::{Account, Permission};

use super::{Actor, GitHubError, RepositoryClient};

/// A repository as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Repository {
    pub id: u64,
    pub full_name: String,
    pub default_branch: String,
}

/// A person's live permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collaborator {
    pub account: Account,
    pub permission: Permission,
}

impl RepositoryClient {
    pub async fn repository(&self) -> Result<Repository, GitHubError> {
        self.get(&self.path("")).await
    }

    /// What somebody may do here, now. GitHub can only be asked by login, and logins change hands: the
    /// answer counts only when it carries the id that we know; else, and for anybody whom GitHub does
    /// not call a person, it is [`Permission::None`].
    pub async fn permission(&self, actor: &Actor) -> Result<Permission, GitHubError> {
        #[derive(Deserialize)]
        struct Answer {
            permission: String,
            user: Option<Actor>,
        }
        if !actor.is_person() {
            return Ok(Permission::None);
        }
        let path = self.path(&format!("/collaborators/{}/permission", actor.login));
        let answer: Answer = match self.get(&path).await {
            Ok(answer) => answer,
            Err(GitHubError::NotFound { .. }) => return Ok(Permission::None),
            Err(other) => return Err(other),
        };
        let same = answer.user.is_some_and(|user| user.id == actor.id && user.is_person());
        Ok(if same { Permission::from_github(&answer.permission) } else { Permission::None })
    }
}

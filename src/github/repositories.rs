//! Repositories and who may do what in them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::domain::Permission;

use super::{Actor, GitHubError, RepositoryClient};

/// A repository as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Repository {
    pub id: u64,
    pub full_name: String,
    pub default_branch: String,
}

impl RepositoryClient {
    pub async fn repository(&self) -> Result<Repository, GitHubError> {
        self.get(&self.path("")).await
    }

    /// A file of the default branch as it is now, of at most 1 MB. `None`: there is no file at that path.
    pub async fn file(&self, path: &str) -> Result<Option<Vec<u8>>, GitHubError> {
        let answer: Value = match self.get(&self.path(&format!("/contents/{path}"))).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        // A folder is a list, a link or a submodule has no content, and a larger file another encoding.
        let Some(content) = answer["content"].as_str().filter(|_| answer["encoding"] == "base64") else {
            return Ok(None);
        };
        let content: String = content.split_ascii_whitespace().collect();
        let bytes = STANDARD.decode(content);
        bytes.map(Some).map_err(|error| GitHubError::Unreadable(format!("{path}: {error}")))
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

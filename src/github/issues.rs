//! Issues, their comments and reactions.

use serde::Deserialize;
use serde_json::json;

use crate::domain::{CommentId, IssueNumber, Thumb};

use super::client::Conditional;
use super::{Actor, GitHubError, RepositoryClient};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Label {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AppReference {
    pub id: u64,
}

/// An issue, or a pull request seen as one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Issue {
    pub number: u64,
    pub title: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub body: String,
    pub state: String,
    /// `None` for a deleted account ("ghost").
    pub user: Option<Actor>,
    #[serde(default)]
    pub labels: Vec<Label>,
    /// Present on pull requests.
    pub pull_request: Option<serde_json::Value>,
}

/// A comment of an issue or of a pull request's conversation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Comment {
    pub id: u64,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub body: String,
    pub user: Option<Actor>,
    pub performed_via_github_app: Option<AppReference>,
    #[serde(default)]
    pub html_url: String,
}

impl Issue {
    pub fn is_open(&self) -> bool {
        self.state == "open"
    }

    /// GitHub compares labels without regard to case.
    pub fn has_label(&self, name: &str) -> bool {
        self.labels.iter().any(|label| label.name.eq_ignore_ascii_case(name))
    }
}

impl Comment {
    pub fn comment_id(&self) -> CommentId {
        CommentId(self.id)
    }

    /// Whether a person wrote it themselves. An App that acts with a person's token is told from them by
    /// `performed_via_github_app` alone.
    pub fn is_persons_own(&self) -> bool {
        self.performed_via_github_app.is_none() && self.user.as_ref().is_some_and(Actor::is_person)
    }
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

/// GitHub's eight reactions; only the thumbs mean something to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReactionContent {
    Thumb(Thumb),
    Other,
}

impl<'de> Deserialize<'de> for ReactionContent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match String::deserialize(deserializer)?.as_str() {
            "+1" => Self::Thumb(Thumb::Up),
            "-1" => Self::Thumb(Thumb::Down),
            _ => Self::Other,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Reaction {
    pub id: u64,
    pub content: ReactionContent,
    pub user: Option<Actor>,
}

impl RepositoryClient {
    pub async fn issue(&self, number: IssueNumber) -> Result<Issue, GitHubError> {
        self.get(&self.path(&format!("/issues/{number}"))).await
    }

    /// All comments, oldest first.
    pub async fn comments(&self, number: IssueNumber) -> Result<Vec<Comment>, GitHubError> {
        self.list(&self.path(&format!("/issues/{number}/comments"))).await
    }

    pub async fn create_comment(&self, number: IssueNumber, body: &str) -> Result<Comment, GitHubError> {
        let path = self.path(&format!("/issues/{number}/comments"));
        self.post(&path, &json!({ "body": body })).await
    }

    pub async fn delete_comment(&self, id: CommentId) -> Result<(), GitHubError> {
        self.delete(&self.path(&format!("/issues/comments/{id}"))).await
    }

    pub async fn add_labels(&self, number: IssueNumber, labels: &[&str]) -> Result<(), GitHubError> {
        let path = self.path(&format!("/issues/{number}/labels"));
        self.post::<_, serde_json::Value>(&path, &json!({ "labels": labels })).await?;
        Ok(())
    }

    /// The issue, unless it is still the one with this ETag.
    pub async fn issue_if_changed(
        &self,
        number: IssueNumber,
        etag: Option<&str>,
    ) -> Result<Conditional<Issue>, GitHubError> {
        self.get_if_changed(&self.path(&format!("/issues/{number}")), etag).await
    }

    /// All comments, oldest first, unless they still are those with this ETag.
    pub async fn comments_if_changed(
        &self,
        number: IssueNumber,
        etag: Option<&str>,
    ) -> Result<Conditional<Vec<Comment>>, GitHubError> {
        self.list_if_changed(&self.path(&format!("/issues/{number}/comments")), etag).await
    }

    /// The reactions on a comment of ours; `etag` is that of the last look.
    pub async fn reactions(
        &self,
        id: CommentId,
        etag: Option<&str>,
    ) -> Result<Conditional<Vec<Reaction>>, GitHubError> {
        self.list_if_changed(&self.path(&format!("/issues/comments/{id}/reactions")), etag).await
    }

    /// Whether this App wrote the comment. Login and text can be imitated; the App's id cannot.
    pub fn is_ours(&self, comment: &Comment) -> bool {
        comment.performed_via_github_app.as_ref().is_some_and(|app| app.id == self.app_id)
    }
}

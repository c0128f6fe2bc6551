//! Webhook payloads: the fields that we use of the events that we know.

use serde::Deserialize;
use serde_json::Value;

use super::Actor;
use super::issues::{Comment, Issue, Label};

/// A delivery's body, by its event. Whatever we do not know is [`Payload::Unknown`], and kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    Issues(IssuesPayload),
    IssueComment(IssueCommentPayload),
    PullRequest(PullRequestPayload),
    Installation(InstallationPayload),
    InstallationRepositories(InstallationRepositoriesPayload),
    Repository(RepositoryPayload),
    Ping,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RepositoryReference {
    pub id: u64,
    pub full_name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct InstallationReference {
    pub id: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct IssuesPayload {
    pub action: String,
    pub issue: Issue,
    pub label: Option<Label>,
    pub sender: Actor,
    pub repository: RepositoryReference,
    pub installation: Option<InstallationReference>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct IssueCommentPayload {
    pub action: String,
    pub issue: Issue,
    pub comment: Comment,
    pub sender: Actor,
    pub repository: RepositoryReference,
    pub installation: Option<InstallationReference>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PullRequestPayload {
    pub action: String,
    pub number: u64,
    pub pull_request: PullRequestState,
    pub repository: RepositoryReference,
    pub installation: Option<InstallationReference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PullRequestState {
    #[serde(default)]
    pub merged: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InstallationPayload {
    pub action: String,
    pub installation: InstallationReference,
    #[serde(default)]
    pub repositories: Vec<RepositoryReference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InstallationRepositoriesPayload {
    pub action: String,
    pub installation: InstallationReference,
    #[serde(default)]
    pub repositories_added: Vec<RepositoryReference>,
    #[serde(default)]
    pub repositories_removed: Vec<RepositoryReference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RepositoryPayload {
    pub action: String,
    pub repository: RepositoryReference,
    pub installation: Option<InstallationReference>,
}

impl Payload {
    /// Reads a body. An error says which field is not as GitHub documents it.
    pub fn parse(event: &str, body: &Value) -> Result<Self, serde_json::Error> {
        Ok(match event {
            "issues" => Self::Issues(IssuesPayload::deserialize(body)?),
            "issue_comment" => Self::IssueComment(IssueCommentPayload::deserialize(body)?),
            "pull_request" => Self::PullRequest(PullRequestPayload::deserialize(body)?),
            "installation" => Self::Installation(InstallationPayload::deserialize(body)?),
            "installation_repositories" => {
                Self::InstallationRepositories(InstallationRepositoriesPayload::deserialize(body)?)
            }
            "repository" => Self::Repository(RepositoryPayload::deserialize(body)?),
            "ping" => Self::Ping,
            _ => Self::Unknown,
        })
    }
}

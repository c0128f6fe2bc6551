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
    pub repository: RepositoryReference,
    pub installation: Option<InstallationReference>,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is subscribed and ignored is only load; what is used and not subscribed never comes.
    #[test]
    fn the_app_subscribes_to_what_is_used_and_to_nothing_else() {
        #[derive(Deserialize)]
        struct Manifest {
            default_events: Vec<String>,
        }
        let manifest = include_str!("../../app-manifest.yml");
        let mut subscribed = serde_saphyr::from_str::<Manifest>(manifest).expect("a manifest").default_events;
        // Of the events that an App may ask for (docs.github.com, "Webhook events and payloads").
        let events = "branch_protection_rule check_run check_suite code_scanning_alert commit_comment create \
            delete deploy_key deployment deployment_status discussion discussion_comment fork gollum \
            issue_comment issues label member membership merge_group meta milestone org_block organization \
            page_build project public pull_request pull_request_review pull_request_review_comment \
            pull_request_review_thread push release repository repository_dispatch star status sub_issues \
            team team_add watch workflow_dispatch workflow_job workflow_run";
        let is_used = |event: &&str| !matches!(Payload::parse(event, &Value::Null), Ok(Payload::Unknown));
        let mut used: Vec<&str> = events.split_whitespace().filter(is_used).collect();
        subscribed.sort_unstable();
        used.sort_unstable();
        assert_eq!(subscribed, used);
    }
}

//! Pull requests and their reviews.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::{BranchName, CommitSha, Event, IssueNumber};

use super::client::Conditional;
use super::{Actor, GitHubError, RepositoryClient};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PullSide {
    #[serde(rename = "ref")]
    pub branch: String,
    pub sha: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PullRequest {
    pub number: u64,
    pub state: String,
    pub title: String,
    pub html_url: String,
    pub head: PullSide,
    pub base: PullSide,
    /// When it was merged. Unlike `merged`, lists of pull requests have it, too.
    #[serde(default)]
    pub merged_at: Option<String>,
}

/// What became of a pull request so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Open,
    Merged,
    /// Closed without being merged.
    Closed,
}

impl Fate {
    pub fn event(self) -> Event {
        match self {
            Self::Open => Event::PullRequestReopened,
            Self::Merged => Event::PullRequestMerged,
            Self::Closed => Event::PullRequestClosed,
        }
    }
}

impl PullRequest {
    pub fn fate(&self) -> Fate {
        match (&self.merged_at, self.state.as_str()) {
            (Some(_), _) => Fate::Merged,
            (None, "open") => Fate::Open,
            (None, _) => Fate::Closed,
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct NewPullRequest<'a> {
    pub title: &'a str,
    pub body: &'a str,
    pub head: &'a BranchName,
    pub base: &'a str,
    pub draft: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Review {
    pub id: u64,
    #[serde(default)]
    pub body: String,
    pub user: Option<Actor>,
}

/// A comment of a new review, on lines of the new side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReviewComment {
    pub path: String,
    pub body: String,
    /// The last line that it is about.
    pub line: u32,
    pub side: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_side: Option<&'static str>,
}

/// A review that only comments: GitHub lets nobody approve or refuse their own pull request.
#[derive(Debug, Clone)]
pub struct NewReview<'a> {
    pub commit: &'a CommitSha,
    pub body: &'a str,
    pub comments: &'a [ReviewComment],
}

impl RepositoryClient {
    pub async fn pull_request(&self, number: IssueNumber) -> Result<PullRequest, GitHubError> {
        self.get(&self.path(&format!("/pulls/{number}"))).await
    }

    /// The pull request, unless it is still the one with this ETag.
    pub async fn pull_request_if_changed(
        &self,
        number: IssueNumber,
        etag: Option<&str>,
    ) -> Result<Conditional<PullRequest>, GitHubError> {
        self.get_if_changed(&self.path(&format!("/pulls/{number}")), etag).await
    }

    /// Pull requests from a branch of this repository, in any state.
    pub async fn pull_requests_from(&self, branch: &BranchName) -> Result<Vec<PullRequest>, GitHubError> {
        let owner = self.place.full_name.split('/').next().unwrap_or_default();
        let head = encode(&format!("{owner}:{branch}"));
        self.list(&self.path(&format!("/pulls?state=all&head={head}"))).await
    }

    pub async fn create_pull_request(&self, new: &NewPullRequest<'_>) -> Result<PullRequest, GitHubError> {
        self.post(&self.path("/pulls"), new).await
    }

    pub async fn reviews(&self, number: IssueNumber) -> Result<Vec<Review>, GitHubError> {
        self.list(&self.path(&format!("/pulls/{number}/reviews"))).await
    }

    pub async fn create_review(
        &self,
        number: IssueNumber,
        new: &NewReview<'_>,
    ) -> Result<Review, GitHubError> {
        let body = json!({
            "commit_id": new.commit, "body": new.body, "event": "COMMENT", "comments": new.comments,
        });
        self.post(&self.path(&format!("/pulls/{number}/reviews")), &body).await
    }
}

/// Percent-encodes everything that a query value cannot carry as it is.
pub(super) fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_name_cannot_add_to_a_query() {
        assert_eq!(encode("o:auto/x&state=open#é"), "o%3Aauto%2Fx%26state%3Dopen%23%C3%A9");
    }
}

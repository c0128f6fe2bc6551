//! Installation tokens: each reaches one repository and may do what one purpose needs, no more.
//!
//! octocrab asks for tokens with everything that the installation grants, so they are asked for here
//! (docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app). A token is kept
//! until shortly before its end, by GitHub's clock.

use std::time::{Duration, Instant};

use chrono::DateTime;
use octocrab::Octocrab;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use crate::domain::{InstallationId, RepositoryId};

use super::error::GitHubError;

/// What a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Stages, and understanding deliveries: nothing can be changed with it.
    Read,
    /// Comments on issues and pull requests, and their labels.
    Comment,
    /// `git push`.
    Push,
    /// Opening the pull request and reviewing it.
    PullRequest,
    /// The check run.
    Check,
}

impl Purpose {
    pub const ALL: [Self; 5] = [Self::Read, Self::Comment, Self::Push, Self::PullRequest, Self::Check];

    /// Permission and level, in the words of the REST API. `metadata: read` comes with every token.
    pub fn permissions(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Read => &[("contents", "read"), ("issues", "read"), ("pull_requests", "read")],
            Self::Comment => &[("issues", "write"), ("pull_requests", "write")],
            Self::Push => &[("contents", "write")],
            // GitHub opens a pull request between branches that the token can read.
            Self::PullRequest => &[("contents", "read"), ("pull_requests", "write")],
            Self::Check => &[("checks", "write")],
        }
    }

    fn in_words(self) -> String {
        let named = self.permissions().iter().map(|(name, level)| format!("{name}: {level}"));
        named.collect::<Vec<_>>().join(", ")
    }
}

/// A token that ends sooner is not used for another call.
const LEAST_LIFE: Duration = Duration::from_secs(60);
/// How long a token is taken to live where the answer does not say what time it is at GitHub.
const UNDATED_LIFE: Duration = Duration::from_secs(300);

/// The token of one purpose in one repository.
pub(super) struct Tokens {
    pub(super) app: Octocrab,
    pub(super) installation: InstallationId,
    pub(super) repository: RepositoryId,
    pub(super) purpose: Purpose,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    token: SecretString,
    ends: Instant,
}

#[derive(Deserialize)]
struct Issued {
    token: String,
    expires_at: Option<String>,
}

impl Tokens {
    pub(super) fn new(
        app: Octocrab,
        installation: InstallationId,
        repository: RepositoryId,
        purpose: Purpose,
    ) -> Self {
        Self { app, installation, repository, purpose, kept: Mutex::default() }
    }

    /// A token that is good for another minute at least.
    pub(super) async fn token(&self) -> Result<SecretString, GitHubError> {
        // Held while GitHub is asked: calls at the same time share one token.
        let mut kept = self.kept.lock().await;
        match kept.as_ref().filter(|kept| kept.ends > Instant::now() + LEAST_LIFE) {
            Some(good) => Ok(good.token.clone()),
            None => Ok(kept.insert(self.issue().await?).token.clone()),
        }
    }

    /// A token other than this one, which GitHub ended before its time.
    pub(super) async fn instead_of(&self, ended: &SecretString) -> Result<SecretString, GitHubError> {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|kept| kept.token.expose_secret() == ended.expose_secret()) {
            *kept = None;
        }
        drop(kept);
        self.token().await
    }

    async fn issue(&self) -> Result<Kept, GitHubError> {
        let permissions: serde_json::Map<_, _> = self
            .purpose
            .permissions()
            .iter()
            .map(|(name, level)| ((*name).to_owned(), json!(level)))
            .collect();
        let body = json!({ "repository_ids": [self.repository.0], "permissions": permissions });
        let path = format!("/app/installations/{}/access_tokens", self.installation.0);
        let response = self.app._post(path, Some(&body)).await?;
        let response = octocrab::map_github_error(response).await.map_err(|error| self.refused(error))?;
        let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let body = self.app.body_to_string(response).await?;
        let issued: Issued =
            // The body is a token: what serde says of it may quote it.
            serde_json::from_str(&body).map_err(|_| GitHubError::Unreadable("the answer holds no token".into()))?;
        let expires = issued.expires_at.and_then(|at| DateTime::parse_from_rfc3339(&at).ok());
        let life = match (expires, date) {
            (Some(expires), Some(date)) => (expires - date).to_std().unwrap_or_default(),
            _ => UNDATED_LIFE,
        };
        Ok(Kept { token: issued.token.into(), ends: Instant::now() + life })
    }

    /// 422 is what GitHub says to a permission that the installation does not have.
    fn refused(&self, error: octocrab::Error) -> GitHubError {
        match GitHubError::from(error) {
            GitHubError::Refused { status: 422, message } => GitHubError::Forbidden {
                message: format!(
                    "no token with {} for this repository: {message} (compare the App's permissions with \
                     app-manifest.yml, and let the installation accept them)",
                    self.purpose.in_words()
                ),
            },
            error => error,
        }
    }
}

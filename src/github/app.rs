//! The App as GitHub has it registered, for `doctor`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use http::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{AppIdentity, GitHub, limited};
use super::error::GitHubError;

/// What `GET /app` says (docs.github.com/rest/apps/apps#get-the-authenticated-app).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RegisteredApp {
    #[serde(flatten)]
    pub identity: AppIdentity,
    /// Permission to level: `read`, `write` or `admin`.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    #[serde(default)]
    pub events: BTreeSet<String>,
    #[serde(default)]
    pub installations_count: Option<u64>,
    /// GitHub's clock when it answered.
    #[serde(skip)]
    pub answered_at: Option<DateTime<Utc>>,
}

/// Where the App's webhooks go (docs.github.com/rest/apps/webhooks).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HookConfig {
    #[serde(default)]
    pub url: Option<String>,
    /// `json` or `form`.
    #[serde(default)]
    pub content_type: Option<String>,
}

impl GitHub {
    pub async fn registered(&self) -> Result<RegisteredApp, GitHubError> {
        let (mut app, headers) = self.read::<RegisteredApp>("/app").await?;
        let date = headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        app.answered_at = date.map(|date| date.with_timezone(&Utc));
        Ok(app)
    }

    pub async fn hook_config(&self) -> Result<HookConfig, GitHubError> {
        Ok(self.read("/app/hook/config").await?.0)
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<(T, HeaderMap), GitHubError> {
        limited(async {
            let response = octocrab::map_github_error(self.app()._get(path).await?).await?;
            let headers = response.headers().clone();
            let body = self.app().body_to_string(response).await?;
            let value =
                serde_json::from_str(&body).map_err(|error| GitHubError::Unreadable(error.to_string()))?;
            Ok((value, headers))
        })
        .await
    }
}

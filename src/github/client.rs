//! The App and its installations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use octocrab::Octocrab;
use octocrab::models::{AppId, InstallationId as OctoInstallationId, RepositoryId as OctoRepositoryId};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::{GitHubPlace, InstallationId, RepositoryId};

use super::error::GitHubError;
use super::pacing::Pacer;

/// A call's own limit: shorter than what is left of a lease at its last renewal.
const CALL_LIMIT: Duration = Duration::from_secs(25);
/// GitHub's largest page.
const PAGE: usize = 100;
/// Pages read of one list before we say that it is too long.
const MOST_PAGES: usize = 50;

/// How to reach GitHub and who we are there.
pub struct GitHubOptions {
    /// `https://api.github.com`, or `https://HOST/api/v3` of an Enterprise Server.
    pub api_url: String,
    pub app_id: u64,
    /// The App's private key, PEM.
    pub private_key: SecretString,
    /// Between two writes of content in one installation.
    pub write_interval: Duration,
}

/// GitHub, as the App.
#[derive(Clone)]
pub struct GitHub {
    app: Octocrab,
    app_id: u64,
    repositories: Arc<Mutex<HashMap<(InstallationId, RepositoryId), Arc<Octocrab>>>>,
    pacer: Arc<Pacer>,
}

/// The App as GitHub knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AppIdentity {
    pub id: u64,
    pub slug: String,
    pub name: String,
}

impl AppIdentity {
    /// The login under which the App comments.
    pub fn bot_login(&self) -> String {
        format!("{}[bot]", self.slug)
    }
}

impl GitHub {
    pub fn new(options: &GitHubOptions) -> Result<Self, GitHubError> {
        use secrecy::ExposeSecret;
        let unusable = |message: String| GitHubError::Unauthorized { message };
        let key = jsonwebtoken::EncodingKey::from_rsa_pem(options.private_key.expose_secret().as_bytes())
            .map_err(|error| unusable(format!("the App's private key is no RSA key in PEM: {error}")))?;
        let app = Octocrab::builder()
            .base_uri(options.api_url.trim_end_matches('/'))
            .map_err(|error| unusable(format!("{} is no URL: {error}", options.api_url)))?
            .add_retry_config(octocrab::service::middleware::retry::RetryConfig::None)
            .set_connect_timeout(Some(Duration::from_secs(5)))
            .set_read_timeout(Some(Duration::from_secs(20)))
            .set_write_timeout(Some(Duration::from_secs(20)))
            .app(AppId(options.app_id), key)
            .build()?;
        let pacer = Arc::new(Pacer::new(options.write_interval));
        Ok(Self { app, app_id: options.app_id, repositories: Arc::default(), pacer })
    }

    /// Who we are; also the cheapest proof that the credentials are good.
    pub async fn identity(&self) -> Result<AppIdentity, GitHubError> {
        limited(async { Ok(self.app.get("/app", None::<&()>).await?) }).await
    }

    /// How long writes of this process have waited for their turn, all together.
    pub fn paced(&self) -> Duration {
        self.pacer.waited()
    }

    /// The client that acts as the App itself.
    pub(super) fn app(&self) -> &Octocrab {
        &self.app
    }

    pub fn app_id(&self) -> u64 {
        self.app_id
    }

    /// A client whose token reaches this one repository only. Clients are kept, and with them their
    /// tokens, which octocrab renews 30 s before they expire, and which a clone of a client does not share.
    pub fn repository(&self, place: &GitHubPlace) -> Result<RepositoryClient, GitHubError> {
        let key = (place.installation, place.repository);
        let mut clients = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        let octocrab = match clients.get(&key) {
            Some(octocrab) => Arc::clone(octocrab),
            None => {
                let installation = self.app.installation_builder(OctoInstallationId(place.installation.0));
                let one = installation.repository_ids(vec![OctoRepositoryId(place.repository.0)]);
                let octocrab = Arc::new(one.build()?);
                clients.insert(key, Arc::clone(&octocrab));
                octocrab
            }
        };
        Ok(RepositoryClient {
            octocrab,
            place: place.clone(),
            app_id: self.app_id,
            pacer: Arc::clone(&self.pacer),
        })
    }
}

/// GitHub, as the App's installation on one repository.
#[derive(Clone)]
pub struct RepositoryClient {
    octocrab: Arc<Octocrab>,
    pub(super) place: GitHubPlace,
    pub(super) app_id: u64,
    pacer: Arc<Pacer>,
}

/// An answer to a conditional request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conditional<T> {
    /// `etag`: what to ask with the next time; `None`: the answer has to be read again in any case.
    Changed { value: T, etag: Option<String> },
    /// The same as when the ETag was given out. It cost nothing of the rate limit.
    Unchanged,
}

impl RepositoryClient {
    /// A path below the repository. By name and not by id: the documented routes are by name, and a
    /// renamed repository's old name is redirected.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("/repos/{}{rest}", self.place.full_name)
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, GitHubError> {
        limited(async { Ok(self.octocrab.get(path, None::<&()>).await?) }).await
    }

    /// All pages of a list.
    pub(super) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, GitHubError> {
        let mut all = Vec::new();
        let joint = if path.contains('?') { '&' } else { '?' };
        for page in 1..=MOST_PAGES {
            let one: Vec<T> = self.get(&format!("{path}{joint}per_page={PAGE}&page={page}")).await?;
            let full = one.len() == PAGE;
            all.extend(one);
            if !full {
                return Ok(all);
            }
        }
        Err(GitHubError::Unreadable(format!("{path} has more than {} entries", MOST_PAGES * PAGE)))
    }

    /// All pages of a list, unless its only page is still the one with this ETag. Of a longer list an ETag
    /// says nothing about the pages behind the first, so none is given out.
    pub(super) async fn list_if_changed<T: DeserializeOwned>(
        &self,
        path: &str,
        etag: Option<&str>,
    ) -> Result<Conditional<Vec<T>>, GitHubError> {
        let first = format!("{path}?per_page={PAGE}");
        match self.get_if_changed::<Vec<T>>(&first, etag).await? {
            Conditional::Changed { value, .. } if value.len() >= PAGE => {
                Ok(Conditional::Changed { value: self.list(path).await?, etag: None })
            }
            answer => Ok(answer),
        }
    }

    /// A first page, unless it is still the one with this ETag; such an answer costs nothing of the
    /// rate limit.
    pub(super) async fn get_if_changed<T: DeserializeOwned>(
        &self,
        path: &str,
        etag: Option<&str>,
    ) -> Result<Conditional<T>, GitHubError> {
        let mut headers = HeaderMap::new();
        if let Some(etag) = etag.and_then(|etag| etag.parse().ok()) {
            headers.insert(http::header::IF_NONE_MATCH, etag);
        }
        limited(async {
            let response = self.octocrab._get_with_headers(path, Some(headers)).await?;
            if response.status() == StatusCode::NOT_MODIFIED {
                return Ok(Conditional::Unchanged);
            }
            let etag = response.headers().get(http::header::ETAG).and_then(|etag| etag.to_str().ok());
            let etag = etag.map(str::to_owned);
            let response = octocrab::map_github_error(response).await?;
            let body = self.octocrab.body_to_string(response).await?;
            let value =
                serde_json::from_str(&body).map_err(|error| GitHubError::Unreadable(error.to_string()))?;
            Ok(Conditional::Changed { value, etag })
        })
        .await
    }

    /// Creates content, at the pace that GitHub asks for.
    pub(super) async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, GitHubError> {
        let waited = self.pacer.turn(self.place.installation).await;
        tracing::debug!(path, waited_ms = waited.as_millis() as u64, "GitHub write");
        limited(async { Ok(self.octocrab.post(path, Some(body)).await?) }).await
    }

    pub(super) async fn patch<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, GitHubError> {
        self.pacer.turn(self.place.installation).await;
        limited(async { Ok(self.octocrab.patch(path, Some(body)).await?) }).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), GitHubError> {
        self.pacer.turn(self.place.installation).await;
        limited(async {
            let response = self.octocrab._delete(path, None::<&()>).await?;
            octocrab::map_github_error(response).await?;
            Ok(())
        })
        .await
    }

    /// The installation token, for git over HTTP. Limited to this repository.
    pub async fn token(&self) -> Result<SecretString, GitHubError> {
        self.token_good_for(chrono::Duration::seconds(60)).await
    }

    /// A new token in place of one that GitHub ended before its time.
    pub async fn renewed_token(&self) -> Result<SecretString, GitHubError> {
        // Longer than any token's life: the one that is kept never is good for so long.
        self.token_good_for(chrono::Duration::days(1)).await
    }

    async fn token_good_for(&self, time: chrono::Duration) -> Result<SecretString, GitHubError> {
        limited(async { Ok(self.octocrab.installation_token_with_buffer(time).await?) }).await
    }

    pub fn place(&self) -> &GitHubPlace {
        &self.place
    }
}

/// Ends a call that takes too long; whether it arrived is then unknown.
pub(super) async fn limited<T>(call: impl Future<Output = Result<T, GitHubError>>) -> Result<T, GitHubError> {
    match tokio::time::timeout(CALL_LIMIT, call).await {
        Ok(result) => result,
        Err(_) => Err(GitHubError::Transport(format!("no answer within {} s", CALL_LIMIT.as_secs()))),
    }
}

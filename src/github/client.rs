//! The App and its installations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use octocrab::Octocrab;
use octocrab::models::AppId;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{GitHubPlace, InstallationId, RepositoryId};

use super::error::GitHubError;
use super::pacing::Pacer;
use super::tokens::{Purpose, Tokens};

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

type TokensByPurpose = HashMap<(InstallationId, RepositoryId, Purpose), Arc<Tokens>>;

/// GitHub, as the App.
#[derive(Clone)]
pub struct GitHub {
    app: Octocrab,
    app_id: u64,
    tokens: Arc<Mutex<TokensByPurpose>>,
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
        Ok(Self { app, app_id: options.app_id, tokens: Arc::default(), pacer })
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

    /// A client whose token reaches this one repository only, and may do there what the purpose needs.
    /// All clients of the same repository and purpose share a token.
    pub fn repository(&self, place: &GitHubPlace, purpose: Purpose) -> RepositoryClient {
        let mut all = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = all.entry((place.installation, place.repository, purpose)).or_insert_with(|| {
            Arc::new(Tokens::new(self.app.clone(), place.installation, place.repository, purpose))
        });
        RepositoryClient {
            tokens: Arc::clone(tokens),
            place: place.clone(),
            app_id: self.app_id,
            pacer: Arc::clone(&self.pacer),
        }
    }
}

/// GitHub, as the App's installation on one repository.
#[derive(Clone)]
pub struct RepositoryClient {
    tokens: Arc<Tokens>,
    pub(super) place: GitHubPlace,
    pub(super) app_id: u64,
    pacer: Arc<Pacer>,
}

/// A good answer, read to its end.
struct Answer {
    status: StatusCode,
    etag: Option<String>,
    body: String,
}

impl Answer {
    fn value<T: DeserializeOwned>(&self) -> Result<T, GitHubError> {
        serde_json::from_str(&self.body).map_err(|error| GitHubError::Unreadable(error.to_string()))
    }
}

/// One request, to be sent a second time if need be.
struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<Value>,
    /// The answer is left out while this is its ETag.
    unless: Option<&'a HeaderValue>,
}

impl<'a> Call<'a> {
    fn bare(method: Method, path: &'a str) -> Self {
        Self { method, path, body: None, unless: None }
    }

    fn with<B: Serialize + ?Sized>(method: Method, path: &'a str, body: &B) -> Result<Self, GitHubError> {
        let body = serde_json::to_value(body);
        let body = body.map_err(|error| GitHubError::Unreadable(format!("our own request: {error}")))?;
        Ok(Self { body: Some(body), ..Self::bare(method, path) })
    }
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
        self.send(Call::bare(Method::GET, path)).await?.value()
    }

    /// Sends a request with our token. 401 means that GitHub ended the token before its time and did nothing,
    /// so the request is sent once more with a new one.
    async fn send(&self, call: Call<'_>) -> Result<Answer, GitHubError> {
        limited(async {
            let token = self.tokens.token().await?;
            match self.send_with(&token, &call).await {
                Err(GitHubError::Unauthorized { .. }) => {
                    let token = self.tokens.instead_of(&token).await?;
                    self.send_with(&token, &call).await
                }
                answered => answered,
            }
        })
        .await
    }

    async fn send_with(&self, token: &SecretString, call: &Call<'_>) -> Result<Answer, GitHubError> {
        let octocrab = self.tokens.app.user_access_token(token.clone())?;
        let mut request = http::request::Builder::new().method(call.method.clone()).uri(call.path);
        if let Some(etag) = call.unless {
            request = request.header(http::header::IF_NONE_MATCH, etag);
        }
        let response = octocrab.execute(octocrab.build_request(request, call.body.as_ref())?).await?;
        let response = match response.status() {
            StatusCode::NOT_MODIFIED => response,
            _ => octocrab::map_github_error(response).await?,
        };
        let etag = response.headers().get(http::header::ETAG).and_then(|etag| etag.to_str().ok());
        let (status, etag) = (response.status(), etag.map(str::to_owned));
        Ok(Answer { status, etag, body: octocrab.body_to_string(response).await? })
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
        let etag = etag.and_then(|etag| etag.parse().ok());
        let answer = self.send(Call { unless: etag.as_ref(), ..Call::bare(Method::GET, path) }).await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(Conditional::Unchanged);
        }
        Ok(Conditional::Changed { value: answer.value()?, etag: answer.etag })
    }

    /// Creates content, at the pace that GitHub asks for.
    pub(super) async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, GitHubError> {
        let waited = self.pacer.turn(self.place.installation).await;
        tracing::debug!(path, waited_ms = waited.as_millis() as u64, "GitHub write");
        self.send(Call::with(Method::POST, path, body)?).await?.value()
    }

    pub(super) async fn patch<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, GitHubError> {
        self.pacer.turn(self.place.installation).await;
        self.send(Call::with(Method::PATCH, path, body)?).await?.value()
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), GitHubError> {
        self.pacer.turn(self.place.installation).await;
        self.send(Call::bare(Method::DELETE, path)).await?;
        Ok(())
    }

    /// The installation token, for git over HTTP. Limited to this repository and purpose.
    pub async fn token(&self) -> Result<SecretString, GitHubError> {
        limited(self.tokens.token()).await
    }

    /// A token in place of one that GitHub ended before its time.
    pub async fn token_instead_of(&self, ended: &SecretString) -> Result<SecretString, GitHubError> {
        limited(self.tokens.instead_of(ended)).await
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

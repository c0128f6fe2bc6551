//! The read-only port of the stages: a task's repository on this machine (mirror, work so far, base to
//! start from) and the text of its issue. It fetches and takes in kept commits; it writes nothing outside.

mod issue_text;
mod label;

use std::path::Path;

use crate::config::RepositoryPolicy;
use crate::domain::{BranchName, CommitSha, GitHubPlace, ObservedText, Origin, SourceText, Task};
use crate::github::{GitHub, GitHubError, Purpose};
use crate::store::{ArtifactKind, Store, StoreError};
use crate::workspace::{LocalRepository, Mirror, Mirrors, Remote, RemoteUrl, RepoPath, WorkspaceError};

use issue_text::read_issue;
pub use issue_text::{observe, observed, read_source, unread};
pub use label::label_of;

/// Finds the repositories of tasks.
#[derive(Clone)]
pub struct Repositories {
    pub store: Store,
    /// `None` in a local run.
    pub github: Option<GitHub>,
    /// Base address of GitHub's web and git server.
    pub server_url: String,
    pub mirrors: Mirrors,
}

/// A task's repository on this machine.
pub struct Checkout {
    pub mirror: Mirror,
    /// The branch that the work is for.
    pub base_branch: BranchName,
    /// The newest commit of that branch.
    pub tip: CommitSha,
    pub home: Home,
}

/// Where the repository really lives.
pub enum Home {
    GitHub(Remote),
    Local(LocalRepository),
}

/// What became of an issue's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    Text(ObservedText),
    /// The issue was deleted, or is out of reach.
    Gone,
    /// The task was made from no issue, or has not read it yet.
    NoIssue,
}

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error("{0}")]
    Unusable(String),
}

impl Repositories {
    /// Fetches the repository and takes in the work so far, which another machine may have done.
    pub async fn checkout(&self, task: &Task) -> Result<Checkout, CheckoutError> {
        let checkout = match &task.origin {
            Origin::GitHub(place) => self.fetch(place).await?,
            Origin::Local { repository, base } => {
                let local = self.mirrors.open_local(Path::new(repository)).await?;
                let mirror = local.mirror.clone();
                let tip = mirror.resolve(base)?;
                Checkout { mirror, base_branch: base.clone(), tip, home: Home::Local(local) }
            }
        };
        if let Some(head) = &task.head
            && !checkout.mirror.has(head)?
        {
            let kept = self.store.latest_artifact(task, ArtifactKind::Commits).await?;
            let bundle = kept.ok_or_else(|| {
                CheckoutError::Unusable(format!("commit {head} of the work so far is neither here nor kept"))
            })?;
            checkout.mirror.unbundle(&bundle)?;
        }
        Ok(checkout)
    }

    /// The repository's own rules as the task's base has them, or the newest default branch while there is
    /// no base. A base that was fetched before is read without the network.
    pub async fn policy(&self, task: &Task) -> Result<RepositoryPolicy, CheckoutError> {
        if let (Some(base), Some(place)) = (&task.base, task.origin.github())
            && let Some(mirror) = self.mirrors.existing(place.repository.0)
            && mirror.has(base)?
        {
            return policy(&mirror, base);
        }
        let checkout = self.checkout(task).await?;
        policy(&checkout.mirror, task.base.as_ref().unwrap_or(&checkout.tip))
    }

    /// The text that a task is to be made from, with the issue's labels: the issue as it stands, or what the
    /// person of a local run gave. `None`: the issue is gone.
    pub async fn source(&self, task: &Task) -> Result<Option<(SourceText, Vec<String>)>, CheckoutError> {
        let Some(place) = task.origin.github() else {
            return Ok(task.source.clone().map(|source| (source, Vec::new())));
        };
        match read_issue(&self.github()?.repository(place, Purpose::Read), place).await {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// How that text stands now.
    pub async fn observe(&self, task: &Task) -> Result<Observed, CheckoutError> {
        let Some(place) = task.origin.github() else { return Ok(Observed::NoIssue) };
        match observe(&self.github()?.repository(place, Purpose::Read), task).await {
            Ok(Some(text)) => Ok(Observed::Text(text)),
            Ok(None) => Ok(Observed::NoIssue),
            Err(error) if error.is_not_found() => Ok(Observed::Gone),
            Err(error) => Err(error.into()),
        }
    }

    fn github(&self) -> Result<&GitHub, CheckoutError> {
        self.github.as_ref().ok_or_else(|| CheckoutError::Unusable("this process has no GitHub".into()))
    }

    async fn fetch(&self, place: &GitHubPlace) -> Result<Checkout, CheckoutError> {
        let unusable = |error: &dyn std::fmt::Display| CheckoutError::Unusable(error.to_string());
        let client = self.github()?.repository(place, Purpose::Read);
        let repository = client.repository().await?;
        let base_branch = BranchName::parse(repository.default_branch).map_err(|error| unusable(&error))?;
        // The name as GitHub tells it now: git, unlike the API, is not redirected across names here.
        let (owner, name) = repository
            .full_name
            .split_once('/')
            .ok_or_else(|| unusable(&format!("{} is no owner/name", repository.full_name)))?;
        let url = RemoteUrl::new(&self.server_url, owner, name).map_err(|error| unusable(&error))?;
        let token = client.token().await?;
        let mut remote = Remote { repository_id: place.repository.0, url, token: Some(token.clone()) };
        let mirror = match self.mirrors.fetch(&remote).await {
            Err(error) if error.wants_token() => {
                remote.token = Some(client.token_instead_of(&token).await?);
                self.mirrors.fetch(&remote).await?
            }
            fetched => fetched?,
        };
        let tip = mirror.resolve(&base_branch)?;
        Ok(Checkout { mirror, base_branch, tip, home: Home::GitHub(remote) })
    }
}

/// The repository's own rules as a commit has them. Without such a file there are none.
///
/// # Errors
/// [`CheckoutError::Unusable`] where the file is not as it has to be, with key, line and the nearest right key.
pub fn policy(mirror: &Mirror, commit: &CommitSha) -> Result<RepositoryPolicy, CheckoutError> {
    let unusable = |error: &dyn std::fmt::Display| CheckoutError::Unusable(error.to_string());
    let path = RepoPath::parse(RepositoryPolicy::PATH).map_err(|error| unusable(&error))?;
    match mirror.read_file(commit, &path)? {
        Some(bytes) => {
            RepositoryPolicy::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| unusable(&error))
        }
        None => Ok(RepositoryPolicy::default()),
    }
}

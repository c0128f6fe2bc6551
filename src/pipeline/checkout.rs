//! The repository of a task: its mirror, the commits of the work so far, and the base to start from.

use std::path::Path;

use secrecy::SecretString;

use crate::config::RepositoryPolicy;
use crate::domain::{BranchName, CommitSha, Origin, Reason, Task};
use crate::github::GitHub;
use crate::store::{Artifact, ArtifactKind};
use crate::workspace::{
    CommitRequest, IgnoreRules, Mirror, Remote, RemoteUrl, RepoPath, Snapshot, SnapshotLimits,
};

use super::{Pipeline, StageError};

/// A task's repository on this machine.
pub(super) struct Checkout {
    pub mirror: Mirror,
    /// The newest commit of the branch that the work is for.
    pub tip: CommitSha,
}

/// Where a GitHub repository is fetched from and pushed to.
pub fn remote_of(
    server_url: &str,
    place: &crate::domain::GitHubPlace,
    token: SecretString,
) -> Result<Remote, StageErrorText> {
    let (owner, name) = place
        .full_name
        .split_once('/')
        .ok_or_else(|| StageErrorText(format!("{} is no owner/name", place.full_name)))?;
    let url = RemoteUrl::new(server_url, owner, name).map_err(|error| StageErrorText(error.to_string()))?;
    Ok(Remote { repository_id: place.repository.0, url, token: Some(token) })
}

/// Why no address could be made for a repository.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StageErrorText(String);

impl From<StageErrorText> for StageError {
    fn from(error: StageErrorText) -> Self {
        Self::stop(Reason::ChangeRefused { detail: error.0 })
    }
}

impl Pipeline {
    /// Fetches the repository and takes in the work so far, which another machine may have done.
    pub(super) async fn checkout(&self, task: &Task) -> Result<Checkout, StageError> {
        let checkout = match &task.origin {
            Origin::GitHub(place) => {
                let github = self.github.as_ref().ok_or_else(no_github)?;
                self.fetch(github, place).await?
            }
            Origin::Local { repository, base } => {
                let local = self.mirrors.open_local(Path::new(repository)).await?;
                let tip = local.mirror.resolve(base)?;
                Checkout { mirror: local.mirror, tip }
            }
        };
        if let Some(head) = &task.head
            && !checkout.mirror.has(head)?
        {
            let kept = self.store.latest_artifact(task.id, ArtifactKind::Commits).await?;
            let bundle = kept.ok_or_else(|| {
                let detail = format!("commit {head} of the work so far is neither here nor kept");
                StageError::stop(Reason::Internal { detail })
            })?;
            checkout.mirror.unbundle(&bundle)?;
        }
        Ok(checkout)
    }

    async fn fetch(&self, github: &GitHub, place: &crate::domain::GitHubPlace) -> Result<Checkout, StageError> {
        let client = github.repository(place)?;
        let default = client.repository().await?.default_branch;
        let branch = BranchName::parse(default)
            .map_err(|error| StageError::stop(Reason::ChangeRefused { detail: error.to_string() }))?;
        let remote = remote_of(&self.server_url, place, client.token().await?)?;
        let mirror = self.mirrors.fetch(&remote).await?;
        let tip = mirror.resolve(&branch)?;
        Ok(Checkout { mirror, tip })
    }

    /// Where the task's pushed branch is now, a person's commits included.
    pub(super) async fn pushed_head(&self, task: &Task, mirror: &Mirror) -> Result<Option<CommitSha>, StageError> {
        let Some(branch) = task.branch.as_ref().filter(|_| task.pull_request.is_some()) else {
            return Ok(None);
        };
        Ok(Some(mirror.resolve(branch)?))
    }
}

fn no_github() -> StageError {
    StageError::stop(Reason::Internal { detail: "a GitHub task without a GitHub".into() })
}

impl Checkout {
    /// The repository's own policy, as its base has it: a change cannot alter the rules that it is
    /// judged by.
    pub(super) fn policy(&self, base: &CommitSha) -> Result<RepositoryPolicy, StageError> {
        let refused = |detail: String| StageError::stop(Reason::ChangeRefused { detail });
        let path = RepoPath::parse(RepositoryPolicy::PATH).map_err(|error| refused(error.to_string()))?;
        match self.mirror.read_file(base, &path)? {
            Some(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                RepositoryPolicy::parse(&text).map_err(|error| refused(error.to_string()))
            }
            None => Ok(RepositoryPolicy::default()),
        }
    }

    pub(super) fn snapshot(&self, commit: &CommitSha) -> Result<Snapshot, StageError> {
        Ok(self.mirror.snapshot(commit, &SnapshotLimits::default())?)
    }
}

/// A change that a model made, to be committed on top of `parent`.
pub(super) struct Change<'a> {
    pub task: &'a Task,
    pub base: &'a CommitSha,
    pub parent: &'a CommitSha,
    pub files: &'a Snapshot,
    pub message: &'a str,
}

impl Pipeline {
    /// Commits a change and packs the whole work for keeping. `None`: nothing was changed.
    pub(super) fn commit(
        &self,
        checkout: &Checkout,
        change: &Change<'_>,
    ) -> Result<Option<(CommitSha, Vec<Artifact>)>, StageError> {
        let rules = IgnoreRules::of(&checkout.snapshot(change.base)?);
        let head = checkout.mirror.commit(&CommitRequest {
            parents: std::slice::from_ref(change.parent),
            files: change.files,
            limits: SnapshotLimits::default(),
            ignore: &rules,
            author: &self.settings.author,
            committed_at: crate::telemetry::clock::now(),
            message: change.message,
        })?;
        let Some(head) = head else { return Ok(None) };
        let kept = |kind, name: &str, body| Artifact {
            kind,
            version: change.task.version,
            name: name.to_owned(),
            body,
        };
        let bundle = checkout.mirror.bundle(change.base, &head)?;
        let patch = checkout.mirror.diff(change.base, &head)?.unified();
        let artifacts = vec![
            kept(ArtifactKind::Commits, "work.bundle", bundle),
            kept(ArtifactKind::Patch, "work.patch", patch.into_bytes()),
        ];
        Ok(Some((head, artifacts)))
    }
}

//! A push that overwrites nobody's work. libgit2 has no `--force-with-lease`: the branch's place is compared
//! before the pack is sent, the server compares it again with the old id that the push names, and a refusal
//! is looked into before it is reported.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use git2::{Direction, Oid, PushOptions, RemoteCallbacks, Repository};

use super::error::{PushError, WorkspaceError};
use super::libgit2;
use super::mirror::{Mirror, find_commit};
use super::mirrors::{advertised, blocking, remote_head, sha};
use super::refs::{BranchName, CommitSha};
use super::remote::Remote;

/// What is pushed, and what must be true for it.
#[derive(Debug, Clone)]
pub struct Push {
    pub remote: Remote,
    pub head: CommitSha,
    pub branch: BranchName,
    /// Where the branch is expected to be now.
    pub expected: Expected,
    /// The longest time that the push may take: shorter than what is left of the caller's lease.
    pub within: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Absent,
    At(CommitSha),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    Done,
    /// The branch was at `head` before: an earlier push had arrived.
    AlreadyThere,
}

impl Mirror {
    /// Puts `head` on the branch of the remote. Safe to repeat.
    pub async fn push(&self, push: Push) -> Result<Pushed, PushError> {
        let mirror = self.clone();
        blocking(move || mirror.push_blocking(&push)).await
    }

    fn push_blocking(&self, push: &Push) -> Result<Pushed, PushError> {
        let repository = self.open()?;
        find_commit(&repository, &push.head)?;
        let remote = &push.remote;
        let refusal = self.http.session(&remote.url, remote.token.as_ref(), push.within, || {
            let mut git =
                repository.remote_anonymous(remote.url.as_url().as_str()).map_err(WorkspaceError::Git)?;
            attempt(&repository, &mut git, push)
        });
        let reason = match refusal? {
            Outcome::Pushed(pushed) => return Ok(pushed),
            Outcome::Refused(reason) => reason,
        };
        // The server said no: because the branch moved between the question and the push, or by a rule.
        match remote_head(&self.http, remote, &push.branch)? {
            Some(actual) if actual == push.head => Ok(Pushed::AlreadyThere),
            actual if actual != push.expected.as_sha() => Err(PushError::Moved { actual }),
            _ => Err(PushError::Refused(reason)),
        }
    }
}

impl Expected {
    fn as_sha(&self) -> Option<CommitSha> {
        match self {
            Self::Absent => None,
            Self::At(sha) => Some(sha.clone()),
        }
    }
}

enum Outcome {
    Pushed(Pushed),
    Refused(String),
}

fn attempt(repository: &Repository, git: &mut git2::Remote<'_>, push: &Push) -> Result<Outcome, PushError> {
    let name = push.branch.to_ref();
    let mut connection = git.connect_auth(Direction::Push, None, None).map_err(WorkspaceError::Git)?;
    let heads = advertised(connection.list().map_err(WorkspaceError::Git)?);
    let actual = heads.iter().find(|head| head.name == name).map(|head| sha(head.id));
    if actual.as_ref() == Some(&push.head) {
        return Ok(Outcome::Pushed(Pushed::AlreadyThere));
    }
    if actual != push.expected.as_sha() {
        return Err(PushError::Moved { actual });
    }
    if let Some(actual) = &actual {
        check_dropped(repository, actual, push)?;
    }

    let refspec = format!("{}:{name}", push.head);
    let (expected, head) = (actual.as_ref().map(libgit2::oid).transpose(), libgit2::oid(&push.head));
    let expected = expected.map_err(WorkspaceError::Git)?.unwrap_or(Oid::ZERO_SHA1);
    let head = head.map_err(WorkspaceError::Git)?;
    let refusal = Rc::new(RefCell::new(None::<String>));
    let mut callbacks = RemoteCallbacks::new();
    callbacks.push_negotiation(|updates| match updates {
        [update] if update.src() == expected && update.dst() == head => Ok(()),
        _ => Err(git2::Error::from_str("the branch is not where it was a moment ago")),
    });
    let noted = refusal.clone();
    callbacks.push_update_reference(move |_, status| {
        if let Some(status) = status {
            *noted.borrow_mut() = Some(status.to_owned());
        }
        Ok(())
    });
    let mut options = PushOptions::new();
    options.remote_callbacks(callbacks);
    let sent = connection.remote().push(&[refspec], Some(&mut options));
    if let Some(reason) = refusal.borrow_mut().take() {
        return Ok(Outcome::Refused(reason));
    }
    match sent {
        Ok(()) => Ok(Outcome::Pushed(Pushed::Done)),
        Err(error) if error.code() == git2::ErrorCode::NotFastForward => Err(PushError::NotFastForward),
        Err(error) => Err(WorkspaceError::Git(error).into()),
    }
}

/// Makes sure that `head` has all commits of the branch: what somebody put there is never dropped.
fn check_dropped(repository: &Repository, actual: &CommitSha, push: &Push) -> Result<(), PushError> {
    find_commit(repository, actual)?;
    let dropped = || {
        let mut walk = repository.revwalk()?;
        walk.push(libgit2::oid(actual)?)?;
        walk.hide(libgit2::oid(&push.head)?)?;
        walk.next().transpose()
    };
    match dropped().map_err(WorkspaceError::Git)? {
        None => Ok(()),
        Some(_) => Err(PushError::NotFastForward),
    }
}

//! One session of bubblewrap: a folder, a user, and commands one after the other.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::bubblewrap::Shared;
use super::copy_out::{self, Opened, ReadBack};
use super::identity::{Identity, Owner};
use super::leftovers::SessionFolder;
use super::model::{Command, Outcome, SandboxError, Session};
use super::run;
use super::written::Written;

pub(super) struct BubblewrapSession {
    pub(super) shared: Arc<Shared>,
    held: Held,
    opened: Arc<Opened>,
    /// The tree as it was written.
    pub(super) written: Arc<Written>,
    /// Commands and copies take turns: mount points below the tree are checked before they are used, and
    /// nobody may change them in between.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// What a session has taken from the machine. The user goes back only after the folder is gone.
struct Held(Option<(SessionFolder, Identity)>);

impl Held {
    fn release(mut self) -> std::io::Result<()> {
        self.0.take().map_or(Ok(()), |(folder, _identity)| folder.remove())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(taken) = self.0.take() else { return };
        // Processes of a command that was just dropped need a moment to die; nobody should wait here.
        std::thread::spawn(move || {
            if let Err(error) = Held(Some(taken)).release() {
                tracing::warn!(%error, "a sandbox could not be removed; the next start will try again");
            }
        });
    }
}

impl BubblewrapSession {
    pub(super) fn new(
        shared: Arc<Shared>,
        folder: SessionFolder,
        identity: Identity,
        opened: Opened,
    ) -> Self {
        let held = Held(Some((folder, identity)));
        Self { shared, held, opened: Arc::new(opened), written: Arc::default(), turn: Arc::default() }
    }

    pub(super) fn tree(&self) -> PathBuf {
        self.folder().map(SessionFolder::tree).unwrap_or_default()
    }

    pub(super) fn folder(&self) -> Option<&SessionFolder> {
        self.held.0.as_ref().map(|(folder, _)| folder)
    }

    pub(super) fn owner(&self) -> Owner {
        self.held.0.as_ref().map_or(Owner::Own, |(_, identity)| identity.owner())
    }
}

impl Session for BubblewrapSession {
    fn run<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<Outcome, SandboxError>> {
        Box::pin(async move {
            let turn = Arc::clone(&self.turn).lock_owned().await;
            run::run(self, command, turn).await
        })
    }

    fn read_back(&self) -> BoxFuture<'_, Result<ReadBack, SandboxError>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            let (tree, limits) = (self.tree(), self.shared.options.tree_limits);
            let (opened, written) = (self.opened.clone(), self.written.clone());
            tokio::task::spawn_blocking(move || copy_out::copy(&tree, (&opened, &written), limits))
                .await
                .map_err(|error| SandboxError::io("copying a tree out")(std::io::Error::other(error)))?
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), SandboxError>> {
        let held = self.held;
        Box::pin(async move {
            let released = tokio::task::spawn_blocking(move || held.release());
            released
                .await
                .unwrap_or_else(|error| Err(std::io::Error::other(error)))
                .map_err(SandboxError::io("removing a sandbox"))
        })
    }
}

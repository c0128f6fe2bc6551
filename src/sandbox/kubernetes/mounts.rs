//! Mounts of a session's commands, carried into its pod and back: nothing of the host's disk is there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::channel;

use super::line::{Cut, Feed, Line};
use crate::sandbox::arguments::WORK;
use crate::sandbox::carry::{self, Writer};
use crate::sandbox::check;
use crate::sandbox::model::{Access, Mount, SandboxError};
use crate::sandbox::removal::remove_tree;
use crate::sandbox::supervise::DEPENDENCIES;
use crate::sandbox::supervise::wire::{End, Frame, Request};

/// The most that one mount may hold.
const MOST: u64 = 4 << 30;
/// Time to carry one.
pub(super) const CARRY: Duration = Duration::from_secs(900);
/// Frames that are read ahead.
const AHEAD: usize = 8;

/// What has been carried into a pod, by its place. What is only read stays there for the next command.
#[derive(Debug, Default)]
pub(super) struct Placed(BTreeMap<PathBuf, Mount>);

impl Placed {
    /// Sees to it that these mounts are there as the host has them.
    pub(super) async fn bring(&mut self, line: &mut Line, mounts: &[Mount]) -> Result<(), SandboxError> {
        for mount in mounts {
            is_possible(mount)?;
            if mount.access == Access::ReadOnly && self.0.get(&mount.inside) == Some(mount) {
                continue;
            }
            if self.0.contains_key(&mount.inside) {
                self.clear(line, &mount.inside).await?;
            }
            self.0.insert(mount.inside.clone(), mount.clone());
            place(line, mount).await?;
        }
        Ok(())
    }

    /// Writes what a command may have changed back to the host, and takes it out of the pod.
    pub(super) async fn take_back(&mut self, line: &mut Line, mounts: &[Mount]) -> Result<(), SandboxError> {
        for mount in mounts.iter().filter(|mount| mount.access == Access::ReadWrite) {
            fetch(line, mount).await?;
            self.clear(line, &mount.inside).await?;
        }
        Ok(())
    }

    async fn clear(&mut self, line: &mut Line, inside: &Path) -> Result<(), SandboxError> {
        let request = Request::Clear { inside: inside.to_path_buf() };
        match line.ask(&request, Feed::Nothing, CARRY, &mut |_| Ok(())).await? {
            Ok(End::Cleared) => drop(self.0.remove(inside)),
            other => return Err(unexpected("removing a mount", inside, other)),
        }
        Ok(())
    }

    /// The places that lie in the tree, as paths of it.
    pub(super) fn in_tree(&self) -> impl Iterator<Item = String> {
        let below = self.0.keys().filter_map(|inside| inside.strip_prefix(WORK).ok());
        below.map(|path| path.display().to_string())
    }
}

/// A pod's own places for mounts are made with it; all else is read-only.
fn is_possible(mount: &Mount) -> Result<(), SandboxError> {
    if [WORK, DEPENDENCIES].iter().any(|root| mount.inside.starts_with(root)) {
        return Ok(());
    }
    let inside = mount.inside.display();
    Err(SandboxError::InvalidCommand {
        reason: format!("{inside} is no place for a mount: a pod has {WORK} and {DEPENDENCIES}"),
    })
}

async fn place(line: &mut Line, mount: &Mount) -> Result<(), SandboxError> {
    let (sender, frames) = channel(AHEAD);
    let host = mount.host.clone();
    tokio::task::spawn_blocking(move || {
        let put = |frame: &[u8]| sender.blocking_send(Ok(frame.to_vec())).map_err(|_| gone());
        if let Err(error) = carry::send(&host, MOST, &mut { put }) {
            let error = io::Error::other(format!("carrying {} into a sandbox: {error}", host.display()));
            let _ = sender.blocking_send(Err(error));
        }
    });
    let request = Request::Place { inside: mount.inside.clone(), access: mount.access };
    match line.ask(&request, Feed::Frames(frames), CARRY, &mut |_| Ok(())).await? {
        Ok(End::Placed) => Ok(()),
        other => Err(unexpected("carrying a mount into the pod", &mount.inside, other)),
    }
}

fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// What comes is written beside the folder, which it then replaces: nothing that an earlier command left
/// there, such as a link, is in the way.
async fn fetch(line: &mut Line, mount: &Mount) -> Result<(), SandboxError> {
    let failed = || format!("writing {} back", mount.host.display());
    let parent = mount.host.parent().unwrap_or(Path::new("/"));
    let beside = tempfile::Builder::new().prefix(".incoming-").tempdir_in(parent);
    let beside = beside.map_err(SandboxError::io(failed()))?;
    let new = beside.path().join("new");
    let mut writer = Writer::new(&new, Access::ReadWrite, MOST);
    let request = Request::Fetch { inside: mount.inside.clone(), limit: MOST };
    let mut take = |frame: Frame| writer.take(&frame).map_err(SandboxError::io(failed()));
    match line.ask(&request, Feed::Nothing, CARRY, &mut take).await? {
        Ok(End::Fetched) => {}
        other => return Err(unexpected("carrying a mount back", &mount.inside, other)),
    }
    let replaced = writer.finish().and_then(|()| match mount.host.is_dir() {
        true => remove_tree(&mount.host),
        false => Ok(()),
    });
    replaced.and_then(|()| std::fs::rename(&new, &mount.host)).map_err(SandboxError::io(failed()))
}

fn unexpected(doing: &str, inside: &Path, answer: Result<End, Cut>) -> SandboxError {
    let setup = |why: &str| SandboxError::Setup { reason: format!("{doing} ({}): {why}", inside.display()) };
    match answer {
        Ok(End::ThroughALink(place)) => check::through_a_link(&place),
        Ok(End::Failed(reason)) => setup(&reason),
        Ok(_) => setup("its first process gave an answer to something else"),
        Err(Cut::Clock) => setup(&format!("it took more than {CARRY:?}")),
        Err(Cut::Gone) => setup("the connection to the pod ended"),
    }
}

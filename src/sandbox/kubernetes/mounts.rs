//! Mounts of a session's commands, carried into its pod and back: nothing of the host's disk is there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::channel;

use crate::sandbox::arguments::WORK;
use crate::sandbox::carry::{self, Writer};
use crate::sandbox::check;
use crate::sandbox::line::{Cut, Feed, Line};
use crate::sandbox::model::{Access, Mount, SandboxError};
use crate::sandbox::removal::remove_tree;
use crate::sandbox::supervise::DEPENDENCIES;
use crate::sandbox::supervise::wire::{End, Frame, Request};
use crate::workspace::aside;

/// Time to carry one.
pub(super) const CARRY: Duration = Duration::from_secs(900);
/// Frames that are read ahead.
const AHEAD: usize = 8;

/// What has been carried into a pod. What is only read stays there for the next command.
#[derive(Debug)]
pub(super) struct Placed {
    by_place: BTreeMap<PathBuf, One>,
    /// Bytes that one mount may hold.
    most: u64,
}

#[derive(Debug)]
struct One {
    mount: Mount,
    /// Not so while it is carried, and after that has failed.
    is_whole: bool,
    /// The tree has something at its place.
    covers: bool,
}

impl Placed {
    /// Of a new pod; a mount may hold so many bytes.
    pub(super) fn new(most: u64) -> Self {
        Self { by_place: BTreeMap::new(), most }
    }

    /// Sees to it that these mounts are there as the host has them, and that no other one covers anything.
    pub(super) async fn bring(&mut self, line: &mut Line, mounts: &[Mount]) -> Result<(), SandboxError> {
        self.uncover(line, mounts).await?;
        for mount in mounts {
            is_possible(mount)?;
            let there = self.by_place.get(&mount.inside);
            if mount.access == Access::ReadOnly
                && there.is_some_and(|there| there.is_whole && there.mount == *mount)
            {
                continue;
            }
            if there.is_some() {
                self.clear(line, &mount.inside).await?;
            }
            let new = One { mount: mount.clone(), is_whole: false, covers: true };
            let new = self.by_place.entry(mount.inside.clone()).insert_entry(new).into_mut();
            new.covers = place(line, mount, self.most).await?;
            new.is_whole = true;
        }
        Ok(())
    }

    /// Removes what covers something of the tree, but for these.
    pub(super) async fn uncover(&mut self, line: &mut Line, but: &[Mount]) -> Result<(), SandboxError> {
        let is_wanted = |inside: &Path| but.iter().any(|mount| mount.inside == inside);
        let covering = self.by_place.iter().filter(|(inside, one)| one.covers && !is_wanted(inside));
        let covering: Vec<PathBuf> = covering.map(|(inside, _)| inside.clone()).collect();
        for inside in covering {
            self.clear(line, &inside).await?;
        }
        Ok(())
    }

    /// Takes note that a command has moved a mount away.
    pub(super) fn forget(&mut self, inside: &Path) {
        self.by_place.remove(inside);
    }

    /// Writes what a command may have changed back to the host, and takes it out of the pod.
    pub(super) async fn take_back(&mut self, line: &mut Line, mounts: &[Mount]) -> Result<(), SandboxError> {
        for mount in mounts.iter().filter(|mount| mount.access == Access::ReadWrite) {
            fetch(line, mount, self.most).await?;
            self.clear(line, &mount.inside).await?;
        }
        Ok(())
    }

    async fn clear(&mut self, line: &mut Line, inside: &Path) -> Result<(), SandboxError> {
        let request = Request::Clear { inside: inside.to_path_buf() };
        match line.ask(&request, Feed::Nothing, CARRY, &mut |_| Ok(())).await? {
            Ok(End::Cleared) => drop(self.by_place.remove(inside)),
            other => return Err(unexpected("removing a mount", inside, other)),
        }
        Ok(())
    }

    /// The places that lie in the tree, as paths of it.
    pub(super) fn in_tree(&self) -> impl Iterator<Item = String> {
        let below = self.by_place.keys().filter_map(|inside| inside.strip_prefix(WORK).ok());
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

/// Says whether it covers something of the tree.
async fn place(line: &mut Line, mount: &Mount, most: u64) -> Result<bool, SandboxError> {
    let (sender, frames) = channel(AHEAD);
    let host = mount.host.clone();
    tokio::task::spawn_blocking(move || {
        let put = |frame: &[u8]| sender.blocking_send(Ok(frame.to_vec())).map_err(|_| gone());
        if let Err(error) = carry::send(&host, most, &mut { put }) {
            let error = io::Error::other(format!("carrying {} into a sandbox: {error}", host.display()));
            let _ = sender.blocking_send(Err(error));
        }
    });
    let request = Request::Place { inside: mount.inside.clone(), access: mount.access };
    match line.ask(&request, Feed::Frames(frames), CARRY, &mut |_| Ok(())).await? {
        Ok(End::Placed { covers }) => Ok(covers),
        other => Err(unexpected("carrying a mount into the pod", &mount.inside, other)),
    }
}

fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// What comes is written beside the folder, which it then replaces: nothing that an earlier command left
/// there, such as a link, is in the way.
async fn fetch(line: &mut Line, mount: &Mount, most: u64) -> Result<(), SandboxError> {
    let failed = || format!("writing {} back", mount.host.display());
    let parent = mount.host.parent().unwrap_or(Path::new("/"));
    let beside = tempfile::Builder::new().prefix(".incoming-").tempdir_in(parent);
    let beside = beside.map_err(SandboxError::io(failed()))?;
    let new = beside.path().join("new");
    let mut writer = Writer::new(&new, Access::ReadWrite, most);
    let request = Request::Fetch { inside: mount.inside.clone(), limit: most };
    let mut take = |frame: Frame| aside(|| writer.take(&frame)).map_err(SandboxError::io(failed()));
    match line.ask(&request, Feed::Nothing, CARRY, &mut take).await? {
        Ok(End::Fetched) => {}
        other => return Err(unexpected("carrying a mount back", &mount.inside, other)),
    }
    let replace = || {
        writer.finish()?;
        if mount.host.is_dir() {
            remove_tree(&mount.host)?;
        }
        std::fs::rename(&new, &mount.host)
    };
    aside(replace).map_err(SandboxError::io(failed()))
}

fn unexpected(doing: &str, inside: &Path, answer: Result<End, Cut>) -> SandboxError {
    let setup = |why: &str| SandboxError::Setup { reason: format!("{doing} ({}): {why}", inside.display()) };
    match answer {
        Ok(End::ThroughALink(place)) => check::through_a_link(&place),
        Ok(End::NotThere(place)) => check::no_longer_there(&place),
        Ok(End::Failed(reason)) => setup(&reason),
        Ok(_) => setup("its first process gave an answer to something else"),
        Err(Cut::Clock) => setup(&format!("it took more than {CARRY:?}")),
        Err(Cut::Gone) => setup("the connection to the pod ended"),
    }
}

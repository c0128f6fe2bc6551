//! The tree, into the container and out of it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use nix::unistd::{Gid, Uid, chown, setgroups, setresgid, setresuid};

use super::listen::Listener;
use super::say;
use super::wire::{self, Assembly, End, Entry, Kind};
use crate::sandbox::arguments::WORK;
use crate::sandbox::copy_out::{self, Opened, TreeLimits};
use crate::sandbox::identity::Owner;
use crate::sandbox::model::SandboxError;
use crate::sandbox::tree;
use crate::sandbox::written::Written;
use crate::workspace::{ContentReader, RepoPath};

/// Writes the files that come. With an owner it first gives the tree's folder to that user and becomes it.
pub(super) fn unpack(listener: &Listener, owner: Option<(u32, u32)>) -> io::Result<End> {
    if let Some((uid, gid)) = owner {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        chown(WORK, Some(uid), Some(gid))?;
        setgroups(&[])?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
    }
    let (mut assembly, mut folders) = (Assembly::default(), BTreeSet::new());
    loop {
        let frame = listener.content()?;
        if frame.kind == Kind::End && assembly.is_between_files() {
            return Ok(End::Unpacked);
        }
        let admit = |_: &Entry| Ok::<_, io::Error>(());
        let Some((path, entry)) = assembly.take(&frame, admit)? else { continue };
        let written = RepoPath::parse(path.clone())
            .map_err(|invalid| io::Error::other(invalid.reason))
            .and_then(|path| tree::write_one(Path::new(WORK), (&path, &entry), Owner::Own, &mut folders));
        if let Err(error) = written {
            return Ok(End::InvalidTree { path, reason: error.to_string() });
        }
    }
}

/// Sends the tree, without following links.
pub(super) fn pack(opened: &Opened, limits: TreeLimits) -> io::Result<End> {
    let mut send = |path: &RepoPath, entry| {
        let mut frames = vec![];
        wire::send(&mut frames, path, &entry, &mut ContentReader::default())
            .and_then(|()| say(&frames))
            .map_err(SandboxError::io("sending the tree"))
    };
    Ok(match copy_out::copy_each(Path::new(WORK), (opened, &Written::default()), limits, &mut send) {
        Ok(left_out) => End::Packed { left_out },
        Err(SandboxError::TreeRefused(refused)) => End::Refused(refused),
        Err(SandboxError::TreeTooLarge { what, limit }) => End::TooLarge { what, limit },
        Err(error) => End::Failed(error.to_string()),
    })
}

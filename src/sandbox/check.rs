//! What a command has to be before anything is started for it, whichever the backend.

use std::io;
use std::os::fd::AsFd;
use std::path::{Component, Path};

use super::arguments::WORK;
use super::identity::Owner;
use super::model::{Access, Command, SandboxError};
use super::walk::{self, Kind};

/// Refuses a command that makes no sense in any tree.
pub(super) fn check(command: &Command) -> Result<(), SandboxError> {
    let invalid = |reason: String| Err(SandboxError::InvalidCommand { reason });
    let Some(program) = command.argv.first() else { return invalid("it is empty".into()) };
    if program.is_empty() || program.starts_with('-') {
        return invalid(format!("{program:?} is not the name of a program"));
    }
    let env = command.env.iter().flat_map(|(name, value)| [name, value]);
    if command.argv.iter().chain(env).any(|text| text.contains('\0')) {
        return invalid("an argument or a variable holds a zero byte".into());
    }
    if let Some(name) = command.env.keys().find(|name| name.is_empty() || name.contains('=')) {
        return invalid(format!("{name:?} is not the name of a variable"));
    }
    let places = command.mounts.iter().map(|mount| &mount.inside).chain(&command.scratch);
    for inside in places {
        let plain = inside.components().all(|part| !matches!(part, Component::ParentDir));
        if !inside.is_absolute() || !plain || inside.parent().is_none() {
            return invalid(format!("{} is not a place to mount at", inside.display()));
        }
    }
    Ok(())
}

/// Refuses a command that makes no sense in the tree at `tree`.
pub(super) fn check_in(command: &Command, tree: &Path) -> Result<(), SandboxError> {
    if let Some(cwd) = &command.cwd
        && !matches!(walk::kind_below(tree, Path::new(cwd.as_str())), Ok(Some(Kind::Folder)))
    {
        return Err(SandboxError::NoSuchFolder(cwd.clone()));
    }
    for inside in command.mounts.iter().map(|mount| &mount.inside).chain(&command.scratch) {
        if let Ok(below) = inside.strip_prefix(WORK)
            && walk::kind_below(tree, below).is_err()
        {
            return Err(through_a_link(inside));
        }
    }
    Ok(())
}

pub(super) fn through_a_link(inside: &Path) -> SandboxError {
    SandboxError::InvalidCommand { reason: format!("{} leads through a link of the tree", inside.display()) }
}

pub(super) fn no_longer_there(inside: &Path) -> SandboxError {
    SandboxError::InvalidCommand { reason: format!("{} is no longer there", inside.display()) }
}

/// Gives the folders that a command may write to the user that it runs as.
pub(super) fn give_mounts(command: &Command, owner: Owner) -> Result<(), SandboxError> {
    let Some(uid) = owner.uid() else { return Ok(()) };
    for mount in command.mounts.iter().filter(|mount| mount.access == Access::ReadWrite) {
        let give = || -> io::Result<()> {
            let folder = walk::open_root(&mount.host)?;
            nix::unistd::fchown(folder.as_fd(), Some(uid.into()), Some(uid.into()))?;
            Ok(())
        };
        give().map_err(SandboxError::io(format!("giving {} to a sandbox", mount.host.display())))?;
    }
    Ok(())
}

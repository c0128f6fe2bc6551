//! What a first process's answers mean to whoever asked.

use std::time::Duration;

use super::capture::Captured;
use super::check;
use super::egress::Proxy;
use super::model::{Command, Outcome, SandboxError};
use super::supervise::wire::{End, Ran};

/// How a command ended.
pub(super) fn ran(end: End, command: &Command) -> Result<Ran, SandboxError> {
    match (end, &command.cwd) {
        (End::Ran(ran), _) => Ok(ran),
        (End::NoSuchFolder, Some(folder)) => Err(SandboxError::NoSuchFolder(folder.clone())),
        (End::ThroughALink(place), _) => Err(check::through_a_link(&place)),
        (End::NotThere(place), _) => Err(check::no_longer_there(&place)),
        (other, _) => Err(other.into_error("running a command")),
    }
}

/// The result of a command, and the end of its way out.
pub(super) fn outcome(ran: Ran, stdout: Captured, stderr: Captured, proxy: Option<Proxy>) -> Outcome {
    Outcome {
        exit: ran.exit,
        limit: ran.limit,
        stdout,
        stderr,
        wall: Duration::from_micros(ran.wall_us),
        cpu: Duration::from_micros(ran.cpu_us),
        peak_memory_bytes: ran.peak_memory_bytes,
        egress: proxy.map(Proxy::finish).unwrap_or_default(),
    }
}

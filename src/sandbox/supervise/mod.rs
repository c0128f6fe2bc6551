//! This program as the first process of a container: it writes the tree, runs the command and watches it,
//! or sends the tree back. It says what it did to the host in frames ([`wire`]) on its standard output,
//! which nothing else inside has.
//!
//! It runs as the same user as the command. What keeps it out of the command's reach: it is process 1, which
//! no signal of its own namespace kills, and it is not dumpable, so that its memory and descriptors in
//! `/proc` belong to root. When the host's end of its standard input closes it kills everything and ends.

mod child;
mod files;
mod run;
pub(super) mod wire;

use std::io;

use nix::libc;

use wire::{End, Kind, Request};

/// Threads of this program inside while a command runs; the engine's count of processes has them too.
pub(super) const OWN_TASKS: u32 = 6;

/// Serves one request. Gives the exit code of this process.
///
/// # Errors
/// When this is not the first process of a container, or the host says something that makes no sense.
pub fn serve() -> io::Result<u8> {
    // It kills every process that it can see: anywhere else that would be all of its user's.
    if std::process::id() != 1 {
        return Err(io::Error::other("this is not the first process of a container"));
    }
    // SAFETY: numbers only.
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut input = io::stdin();
    let frame = wire::read(&mut input)?;
    if frame.kind != Kind::Request {
        return Err(io::Error::other("the host asked for nothing"));
    }
    let end = match serde_json::from_slice(&frame.bytes).map_err(io::Error::other)? {
        Request::Unpack { uid, gid } => files::unpack(&mut input, uid, gid),
        Request::Pack { opened, limits } => files::pack(&opened, limits),
        Request::Run(run) => run::run(*run),
    };
    let end = end.unwrap_or_else(|error| End::Failed(error.to_string()));
    say(&wire::document(Kind::End, &end)?)?;
    // Whoever ends with input unread may take the engine's connection with it, and what was said last. The
    // host hangs up, or kills, when it has heard the end.
    io::copy(&mut input, &mut io::sink())?;
    Ok(0)
}

/// Writes one frame; frames of several threads do not mix.
fn say(frame: &[u8]) -> io::Result<()> {
    use io::Write;
    let mut output = io::stdout().lock();
    output.write_all(frame)?;
    output.flush()
}

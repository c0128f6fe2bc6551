//! This program as the first process of a container or a pod: it writes the tree, runs commands and watches
//! them, and sends the tree back. It says what it did to the host in frames ([`wire`]) on its standard
//! output, which nothing else inside has.
//!
//! It runs as the same user as the commands. What keeps it out of their reach: it is process 1, which no
//! signal of its own namespace kills, and it is not dumpable, so that its memory and descriptors in `/proc`
//! belong to root. When the host's end of its standard input closes it kills everything and ends.

mod attend;
mod child;
mod files;
mod ipc;
mod listen;
mod places;
mod run;
mod tunnel;
pub(super) mod wire;

pub(super) use places::DEPENDENCIES;

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::libc;

use listen::{Listener, Order};
use wire::{End, Greeting, Kind, Request};

/// Threads of this program inside while a command runs; the engine's count of processes has them too.
pub(super) const OWN_TASKS: u32 = 8;
/// How long an address that nobody may reach is tried.
const REACH: Duration = Duration::from_secs(2);

/// Serves the host's requests, one after the other, until it hangs up. Gives the exit code of this process.
///
/// # Errors
/// When this is not the first process of a container, or the host says something that makes no sense.
pub fn serve() -> io::Result<u8> {
    // It kills every process that it can see: anywhere else that would be all of its user's.
    if std::process::id() != 1 {
        return Err(io::Error::other("this is not the first process of a container"));
    }
    // From here on even this process may not read its own.
    let environment = fs::read("/proc/self/environ").unwrap_or_default();
    // SAFETY: numbers only.
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let listener = Listener::start();
    // Anything but a request is the rest of one that has already failed.
    while let Some(order) = listener.next() {
        let Order::Request(bytes) = order else { continue };
        let request = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        let end =
            answer(request, &listener, &environment).unwrap_or_else(|error| End::Failed(error.to_string()));
        listener.is_idle();
        say(&wire::document(Kind::End, &end)?)?;
    }
    Ok(0)
}

fn answer(request: Request, listener: &Listener, environment: &[u8]) -> io::Result<End> {
    match request {
        Request::Greet => Ok(End::Greeted(greet(environment))),
        Request::Unpack { owner } => files::unpack(listener, owner),
        Request::Pack { opened, limits } => files::pack(&opened, limits),
        Request::Run(run) => run::run(*run, listener),
        Request::Place { inside, access } => places::place(listener, &inside, access),
        Request::Fetch { inside, limit } => places::fetch(&inside, limit),
        Request::Clear { inside } => places::clear(&inside).map(|()| End::Cleared),
    }
}

fn greet(environment: &[u8]) -> Greeting {
    let env = environment.split(|byte| *byte == 0).filter_map(|line| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let env: Vec<_> = env.collect();
    let reached = api(&env).filter(|api| TcpStream::connect_timeout(api, REACH).is_ok());
    Greeting { program: env!("CARGO_PKG_VERSION").into(), wire: wire::VERSION, env, reached }
}

/// Where the cluster's API is: every pod is told so.
fn api(env: &[(String, String)]) -> Option<SocketAddr> {
    let value = |wanted: &str| env.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let (host, port) = (value("KUBERNETES_SERVICE_HOST")?, value("KUBERNETES_SERVICE_PORT")?);
    Some(SocketAddr::new(host.parse().ok()?, port.parse().ok()?))
}

/// Writes one frame; frames of several threads do not mix.
fn say(frame: &[u8]) -> io::Result<()> {
    use io::Write;
    let mut output = io::stdout().lock();
    output.write_all(frame)?;
    output.flush()
}

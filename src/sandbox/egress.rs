//! The only way out of a sandbox that has one: a CONNECT proxy on a Unix socket, or one server of our own.
//!
//! The proxy takes the names that the operator listed and nothing else, resolves them on the host's side, and
//! writes down what was asked of it. What flows through is encrypted between the sandbox and the server.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream, lookup_host};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::identity::Owner;
use super::leftovers::SessionFolder;
use super::model::{Command, Network, SandboxError};

mod address;
mod host;

pub use host::{HostName, InvalidHostName};

/// One request to the proxy.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EgressRecord {
    /// What was asked for, as it was asked: a host and a port, or the first line of something else.
    pub target: String,
    pub verdict: EgressVerdict,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EgressVerdict {
    /// Connected; bytes from the sandbox to the host and back.
    Allowed {
        sent: u64,
        received: u64,
    },
    Refused {
        reason: String,
    },
    /// Allowed, but the host could not be reached.
    Failed {
        reason: String,
    },
}

/// Records kept of one command.
const MOST_RECORDS: usize = 2000;
/// Connections at once.
const MOST_CONNECTIONS: usize = 128;
const LONGEST_HEAD: usize = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

type Log = Arc<Mutex<Vec<EgressRecord>>>;

/// The host's end of a command's way out.
#[derive(Debug)]
pub(super) struct Proxy {
    socket: PathBuf,
    /// `None` where somebody else listens.
    own: Option<Listening>,
}

/// A proxy that lives as long as one command.
#[derive(Debug)]
struct Listening {
    task: JoinHandle<()>,
    log: Log,
}

impl Proxy {
    /// The way out of a command that may use the network, with its socket in a session's folder.
    pub(super) async fn of(
        command: &Command,
        session: Option<&SessionFolder>,
        owner: Owner,
    ) -> Result<Option<Self>, SandboxError> {
        let hosts = match &command.network {
            Network::None => return Ok(None),
            Network::Service(socket) => return Ok(Some(Self { socket: socket.clone(), own: None })),
            Network::AllowList(hosts) => hosts,
        };
        let folder = session.map(|folder| folder.path().to_path_buf()).unwrap_or_default();
        let proxy = Self::start(folder.join("egress.sock"), hosts.clone(), owner).await;
        proxy.map(Some).map_err(SandboxError::io("starting the egress proxy"))
    }

    async fn start(socket: PathBuf, hosts: Vec<HostName>, owner: Owner) -> io::Result<Self> {
        match tokio::fs::remove_file(&socket).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&socket)?;
        std::os::unix::fs::chown(&socket, owner.uid(), owner.gid())?;
        let log = Log::default();
        let task = tokio::spawn(serve(listener, Arc::new(hosts), log.clone()));
        Ok(Self { socket, own: Some(Listening { task, log }) })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Ends the proxy and gives its records.
    pub(super) fn finish(self) -> Vec<EgressRecord> {
        let records =
            |own: &Listening| std::mem::take(&mut *own.log.lock().unwrap_or_else(PoisonError::into_inner));
        self.own.as_ref().map(records).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let Some(own) = &self.own else { return };
        // The task owns its connections, which end with it.
        own.task.abort();
        let _ = std::fs::remove_file(&self.socket);
    }
}

async fn serve(listener: UnixListener, hosts: Arc<Vec<HostName>>, log: Log) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => {
                let Ok((client, _)) = accepted else { continue };
                let (hosts, log) = (hosts.clone(), log.clone());
                connections.spawn(async move { attend(client, &hosts, &log).await });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A line in the log, which is written when the request begins and completed when it ends.
struct Entry<'a>(&'a Log, Option<usize>);

impl<'a> Entry<'a> {
    fn new(log: &'a Log, target: &str, verdict: EgressVerdict) -> Self {
        let mut records = log.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= MOST_RECORDS {
            return Self(log, None);
        }
        let target = target.chars().take(300).filter(|c| !c.is_control()).collect();
        records.push(EgressRecord { target, verdict });
        Self(log, Some(records.len() - 1))
    }

    fn set(&self, verdict: EgressVerdict) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = self.1.and_then(|at| records.get_mut(at)) {
            record.verdict = verdict;
        }
    }
}

async fn attend(mut client: UnixStream, hosts: &[HostName], log: &Log) {
    let head = match timeout(PATIENCE, read_head(&mut client)).await {
        Ok(Ok(head)) => head,
        // Nothing was asked for.
        Ok(Err(_)) | Err(_) => return,
    };
    let line = head.lines().next().unwrap_or_default();
    let (target, name) = match egress_target(line, hosts) {
        Ok(allowed) => allowed,
        Err((target, reason)) => {
            Entry::new(log, target, EgressVerdict::Refused { reason: reason.to_owned() });
            return answer(&mut client, "403 Forbidden", reason).await;
        }
    };
    let entry = Entry::new(log, target, EgressVerdict::Allowed { sent: 0, received: 0 });
    match timeout(PATIENCE, connect(name)).await {
        Ok(Ok(mut server)) => {
            if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
                carry(&mut client, &mut server, &entry).await;
            }
        }
        Ok(Err(ConnectError::Refused(reason))) => {
            entry.set(EgressVerdict::Refused { reason: reason.to_owned() });
            answer(&mut client, "403 Forbidden", reason).await;
        }
        Ok(Err(ConnectError::Failed(error))) => {
            entry.set(EgressVerdict::Failed { reason: error.to_string() });
            answer(&mut client, "502 Bad Gateway", "the host could not be reached").await;
        }
        Err(_) => {
            entry.set(EgressVerdict::Failed { reason: "the host did not answer in time".into() });
            answer(&mut client, "504 Gateway Timeout", "the host did not answer in time").await;
        }
    }
}

/// Copies both ways and keeps the record's counts right while it does: the command may end first.
async fn carry(client: &mut UnixStream, server: &mut TcpStream, entry: &Entry<'_>) {
    let (mut sent, mut received) = (0, 0);
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 64 * 1024]);
    let (mut up_open, mut down_open) = (true, true);
    while up_open || down_open {
        tokio::select! {
            n = client.read(&mut up), if up_open => match n {
                Ok(n) if n > 0 && server.write_all(&up[..n]).await.is_ok() => sent += n as u64,
                _ => {
                    up_open = false;
                    let _ = server.shutdown().await;
                }
            },
            n = server.read(&mut down), if down_open => match n {
                Ok(n) if n > 0 && client.write_all(&down[..n]).await.is_ok() => received += n as u64,
                _ => {
                    down_open = false;
                    let _ = client.shutdown().await;
                }
            },
        }
        entry.set(EgressVerdict::Allowed { sent, received });
    }
}

/// Reads up to the empty line. What follows it belongs to the tunnel, and clients wait with that for our
/// answer; bytes that come early are an error.
async fn read_head(client: &mut UnixStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let n = client.read(&mut buffer).await?;
        head.extend_from_slice(&buffer[..n]);
        if n == 0 || head.len() > LONGEST_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            let early = head.len() > end + 4 && head.starts_with(b"CONNECT ");
            return if early {
                Err(io::ErrorKind::InvalidData.into())
            } else {
                Ok(String::from_utf8_lossy(&head).into_owned())
            };
        }
    }
}

/// The listed host that a request line asks for, or what it asked for and why not.
pub fn egress_target<'a>(
    line: &'a str,
    hosts: &'a [HostName],
) -> Result<(&'a str, &'a HostName), (&'a str, &'static str)> {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method != "CONNECT" {
        return Err((line, "only CONNECT to port 443 of a listed host is allowed"));
    }
    let (host, port) = target.rsplit_once(':').ok_or((target, "the port is missing"))?;
    let port: u16 = port.parse().map_err(|_| (target, "the port is not a number"))?;
    if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        return Err((target, "addresses are not allowed, only listed names"));
    }
    let listed = hosts.iter().find(|listed| listed.matches(host, port));
    listed.map(|listed| (target, listed)).ok_or((target, "the host is not on the list"))
}

enum ConnectError {
    Refused(&'static str),
    Failed(io::Error),
}

/// Resolves and connects in one step: the address that was checked is the one that is used.
async fn connect(host: &HostName) -> Result<TcpStream, ConnectError> {
    let found = lookup_host((host.name(), host.port())).await.map_err(ConnectError::Failed)?;
    let (usable, refused): (Vec<SocketAddr>, Vec<_>) =
        found.partition(|found| host.has_explicit_port() || address::is_public(found.ip()));
    if usable.is_empty() && !refused.is_empty() {
        return Err(ConnectError::Refused("the name leads to a private address"));
    }
    let mut last = io::Error::other("the name has no address");
    for address in usable {
        match TcpStream::connect(address).await {
            Ok(server) => return Ok(server),
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Failed(last))
}

async fn answer(client: &mut UnixStream, status: &str, reason: impl fmt::Display) {
    let body = format!("{reason}\n");
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // A client that has gone misses nothing.
    let _ = client.write_all(text.as_bytes()).await;
    let _ = client.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listed_name_at_its_port_is_taken() {
        let hosts = ["packages.example", "local.example:8443"].map(|h| HostName::parse(h).expect("a host"));
        let verdict = |line: &str| egress_target(line, &hosts).map(|(target, _)| target.to_owned()).is_ok();
        assert!(verdict("CONNECT packages.example:443 HTTP/1.1"));
        assert!(verdict("CONNECT PACKAGES.example:443 HTTP/1.1"));
        assert!(verdict("CONNECT local.example:8443 HTTP/1.1"));
        for line in [
            "CONNECT packages.example:80 HTTP/1.1",
            "CONNECT packages.example:8443 HTTP/1.1",
            "CONNECT local.example:443 HTTP/1.1",
            "CONNECT packages.example HTTP/1.1",
            "CONNECT a.packages.example:443 HTTP/1.1",
            "CONNECT packages.example.evil.example:443 HTTP/1.1",
            "CONNECT packages.example@evil.example:443 HTTP/1.1",
            "CONNECT 93.184.215.14:443 HTTP/1.1",
            "CONNECT [2606:2800::1]:443 HTTP/1.1",
            "CONNECT 2130706433:443 HTTP/1.1",
            "GET http://packages.example/ HTTP/1.1",
            "connect packages.example:443 HTTP/1.1",
            "",
        ] {
            assert!(!verdict(line), "{line:?} was taken");
        }
    }
}

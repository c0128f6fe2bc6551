//! What our own program does when it runs inside a sandbox: it forwards a local port to the egress proxy's
//! socket, starts the command, and ends as the command ends. It holds no secret and reads nothing else.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use super::supervise::serve as supervise;

/// Where programs inside find the proxy.
pub const FORWARDER: &str = "127.0.0.1:3128";

/// Runs `argv` with [`FORWARDER`] connected to the Unix socket `socket`. Gives the exit code of the
/// command: 128 + n after signal n, 127 where there is no such program, 126 where it cannot be started.
///
/// # Errors
/// When the port cannot be opened or the command is empty.
pub fn forward(socket: &Path, argv: &[String]) -> io::Result<u8> {
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command to run was given"))?;
    let listener = TcpListener::bind(FORWARDER)?;
    let socket = socket.to_path_buf();
    std::thread::spawn(move || accept(&listener, &socket));
    let status = match Command::new(program).args(arguments).status() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("{program}: {error}");
            return Ok(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 });
        }
    };
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(u8::try_from(code).unwrap_or(255))
}

fn accept(listener: &TcpListener, socket: &PathBuf) {
    for client in listener.incoming().flatten() {
        // A connection that cannot be forwarded is closed, which the client sees.
        if let Ok(proxy) = UnixStream::connect(socket) {
            let _ = join(client, proxy);
        }
    }
}

fn join(client: TcpStream, proxy: UnixStream) -> io::Result<()> {
    let (mut from_client, mut to_proxy) = (client.try_clone()?, proxy.try_clone()?);
    let (mut from_proxy, mut to_client) = (proxy, client);
    let threads = || std::thread::Builder::new().stack_size(128 * 1024);
    threads().spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_proxy);
        let _ = to_proxy.shutdown(Shutdown::Write);
    })?;
    threads().spawn(move || {
        let _ = io::copy(&mut from_proxy, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    })?;
    Ok(())
}

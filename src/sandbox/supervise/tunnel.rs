//! The inner end of the egress proxy's connections: a local port, and a thread that carries what comes.

use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, channel, unbounded_channel};

use super::say;
use super::wire::{Frame, Kind};
use crate::sandbox::inside::FORWARDER;
use crate::sandbox::tunnel::{Links, about};

/// Frames that wait to be said.
const WAITING: usize = 16;

/// Lives as long as the command: when it is dropped, its thread ends and with it all connections.
pub(super) struct Tunnel {
    frames: Option<UnboundedSender<Frame>>,
    thread: Option<JoinHandle<()>>,
}

impl Tunnel {
    /// Opens [`FORWARDER`].
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(FORWARDER)?;
        listener.set_nonblocking(true)?;
        let (frames, heard) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let thread = std::thread::spawn(move || runtime.block_on(serve(listener, heard)));
        Ok(Self { frames: Some(frames), thread: Some(thread) })
    }

    pub(super) fn hear(&self, frame: Frame) {
        // One that has ended has told nobody anything that is still to be heard.
        let _ = self.frames.as_ref().map(|frames| frames.send(frame));
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.frames = None;
        // The next command's port is the same.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Numbers are not used again within a session: what comes late finds nobody.
static NEXT: AtomicU32 = AtomicU32::new(1);

async fn serve(listener: TcpListener, mut heard: UnboundedReceiver<Frame>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let (put, mut spoken) = channel::<Vec<u8>>(WAITING);
    let mut links = Links::new(put);
    loop {
        let has_room = links.has_room();
        tokio::select! {
            frame = heard.recv() => match frame {
                Some(frame) => links.hear(&frame),
                None => return,
            },
            Some(bytes) = spoken.recv() => {
                if say(&bytes).is_err() {
                    return;
                }
            }
            accepted = listener.accept(), if has_room => {
                let Ok((client, _)) = accepted else { continue };
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                if say(&about(Kind::Open, number, &[])).is_err() {
                    return;
                }
                links.add(number, async move { Ok(client) });
            }
        }
    }
}

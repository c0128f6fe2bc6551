//! What the host says, read by a thread of its own: whatever this program is doing, it hears at once that
//! all is to end, or that the host is gone.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::run::kill_all;
use super::tunnel::Tunnel;
use super::wire::{self, Frame, Kind};

/// What the main thread is told.
#[derive(Debug)]
pub(super) enum Order {
    Request(Vec<u8>),
    /// Content that belongs to a request, its end included.
    Content(Frame),
    Stop,
}

/// What a command reads.
#[derive(Debug)]
pub(super) enum Input {
    Bytes(Vec<u8>),
    End,
}

/// Orders that may wait: what is to be written to disk comes no faster than it is written.
const WAITING: usize = 64;

/// The code of this process when the host hung up on a command: no verdict on the command, and not one of those
/// by which an engine says that a container was killed. `EX_TEMPFAIL` of sysexits.h.
const HUNG_UP: i32 = 75;

type InputEnds = (Sender<Input>, Option<Receiver<Input>>);

pub(super) struct Listener {
    orders: Receiver<Order>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The present request is to end.
    stopped: AtomicBool,
    busy: AtomicBool,
    /// Both ends of what the present command reads; without a bound, since the listener may not wait for a
    /// command. The host bounds it.
    input: Mutex<Option<InputEnds>>,
    tunnel: Mutex<Option<Tunnel>>,
}

impl Listener {
    pub(super) fn start() -> Self {
        let (sender, orders) = sync_channel(WAITING);
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || for_thread.listen(&sender));
        Self { orders, shared }
    }

    /// The next order; `None` when the host is gone.
    pub(super) fn next(&self) -> Option<Order> {
        self.orders.recv().ok()
    }

    /// The next frame of content.
    pub(super) fn content(&self) -> io::Result<Frame> {
        match self.next() {
            Some(Order::Content(frame)) => Ok(frame),
            Some(Order::Stop) => Err(io::Error::other("the host does not want it any more")),
            _ => Err(io::Error::other("the host asks for something else in the middle")),
        }
    }

    /// What the present command is to read. Once for each request.
    pub(super) fn input(&self) -> Option<Receiver<Input>> {
        let mut input = self.shared.input.lock().unwrap_or_else(PoisonError::into_inner);
        input.as_mut().and_then(|(_, receiver)| receiver.take())
    }

    /// Whether what runs is to end now.
    pub(super) fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::SeqCst)
    }

    /// Who takes what comes for the egress proxy's connections.
    pub(super) fn connect(&self, tunnel: Option<Tunnel>) {
        *self.shared.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = tunnel;
    }

    /// The request is carried out: an end of the host is now an end in order.
    pub(super) fn is_idle(&self) {
        self.shared.busy.store(false, Ordering::SeqCst);
    }
}

impl Shared {
    fn listen(&self, orders: &SyncSender<Order>) {
        let mut from = io::stdin();
        while let Ok(frame) = wire::read(&mut from) {
            if !self.hear(frame, orders) {
                break;
            }
        }
        kill_all();
        if self.busy.load(Ordering::SeqCst) {
            std::process::exit(HUNG_UP);
        }
    }

    /// Passes a frame on; `false` when nobody takes any.
    fn hear(&self, frame: Frame, orders: &SyncSender<Order>) -> bool {
        match frame.kind {
            Kind::Request => {
                self.busy.store(true, Ordering::SeqCst);
                self.stopped.store(false, Ordering::SeqCst);
                let (sender, receiver) = channel();
                *self.input.lock().unwrap_or_else(PoisonError::into_inner) = Some((sender, Some(receiver)));
                orders.send(Order::Request(frame.bytes)).is_ok()
            }
            Kind::Stop => {
                // First the mark: a command that is just being started sees it, one that runs is killed.
                self.stopped.store(true, Ordering::SeqCst);
                kill_all();
                orders.send(Order::Stop).is_ok()
            }
            Kind::Input | Kind::InputEnd => {
                let input = if frame.kind == Kind::Input { Input::Bytes(frame.bytes) } else { Input::End };
                // A command that does not read all of its input is no error.
                if let Some((sender, _)) = &*self.input.lock().unwrap_or_else(PoisonError::into_inner) {
                    let _ = sender.send(input);
                }
                true
            }
            Kind::Open | Kind::Bytes | Kind::Shut | Kind::Credit => {
                if let Some(tunnel) = &*self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) {
                    tunnel.hear(frame);
                }
                true
            }
            _ => orders.send(Order::Content(frame)).is_ok(),
        }
    }
}

//! Connections that are carried as frames, for sandboxes that share no socket with the host: many at once,
//! each with a window, so that none holds the others up and neither end has to keep much.
//!
//! Every frame begins with the connection's number. Both ends use this; who opens a connection, and to what,
//! is theirs to say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, TryAcquireError};
use tokio::task::{AbortHandle, JoinSet};

use super::supervise::wire::{self, Frame, Kind};

/// Bytes of one connection that may be under way in one direction.
const WINDOW: usize = 512 << 10;
const PIECE: usize = 32 << 10;
/// Connections at once.
pub(super) const MOST: usize = 128;

/// The connections of one command. Dropping it ends all of them.
pub(super) struct Links {
    open: BTreeMap<u32, Link>,
    tasks: JoinSet<u32>,
    /// Where frames for the other end go.
    put: Sender<Vec<u8>>,
}

struct Link {
    said: UnboundedSender<Said>,
    /// Bytes that may be sent.
    credit: Arc<Semaphore>,
    /// Bytes that came and are not yet passed on.
    waiting: Arc<AtomicUsize>,
    task: AbortHandle,
}

enum Said {
    Bytes(Vec<u8>),
    Shut,
}

/// A frame about a connection.
pub(super) fn about(kind: Kind, number: u32, bytes: &[u8]) -> Vec<u8> {
    wire::frame(kind, &[&number.to_be_bytes(), bytes].concat())
}

/// Which connection a frame is about.
pub(super) fn number(frame: &Frame) -> Option<u32> {
    frame.bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

impl Links {
    pub(super) fn new(put: Sender<Vec<u8>>) -> Self {
        Self { open: BTreeMap::new(), tasks: JoinSet::new(), put }
    }

    /// Whether one more may be opened.
    pub(super) fn has_room(&mut self) -> bool {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            if let Ok((id, number)) = ended
                && self.open.get(&number).is_some_and(|link| link.task.id() == id)
            {
                self.open.remove(&number);
            }
        }
        // A task that is just ending still counts.
        self.tasks.len() < MOST
    }

    /// Carries a connection from now on; `connect` makes it. A number that is in use is refused: the connection
    /// that has it goes on, and there is no other.
    pub(super) fn add<S, C>(&mut self, number: u32, connect: C)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
        C: Future<Output = std::io::Result<S>> + Send + 'static,
    {
        if self.open.contains_key(&number) {
            return;
        }
        let (said, heard) = unbounded_channel();
        let (credit, waiting) = (Arc::new(Semaphore::new(WINDOW)), Arc::new(AtomicUsize::new(0)));
        let end =
            End { number, put: self.put.clone(), credit: Arc::clone(&credit), waiting: Arc::clone(&waiting) };
        let task = self.tasks.spawn(async move {
            match connect.await {
                Ok(stream) => end.carry(stream, heard).await,
                Err(_) => end.put(Kind::Shut, &[]).await,
            }
            number
        });
        self.open.insert(number, Link { said, credit, waiting, task });
    }

    /// Passes on what the other end says of a connection. One that is not there any more is nobody's.
    pub(super) fn hear(&mut self, frame: &Frame) {
        let Some((number, link)) = number(frame).and_then(|number| Some((number, self.open.get(&number)?)))
        else {
            return;
        };
        let rest = &frame.bytes[4..];
        let is_fair = match frame.kind {
            Kind::Bytes => {
                let waiting = link.waiting.fetch_add(rest.len(), Ordering::SeqCst) + rest.len();
                waiting <= WINDOW && link.said.send(Said::Bytes(rest.to_vec())).is_ok()
            }
            Kind::Shut => link.said.send(Said::Shut).is_ok(),
            Kind::Credit => link.give(rest),
            _ => true,
        };
        if !is_fair && let Some(link) = self.open.remove(&number) {
            link.task.abort();
        }
    }
}

impl Link {
    /// Takes credit, never more than what was used of it.
    fn give(&self, bytes: &[u8]) -> bool {
        let Some(more) = bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) as usize) else {
            return false;
        };
        if self.credit.available_permits().saturating_add(more) > WINDOW {
            return false;
        }
        self.credit.add_permits(more);
        true
    }
}

/// One end of a connection.
struct End {
    number: u32,
    put: Sender<Vec<u8>>,
    credit: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl End {
    async fn put(&self, kind: Kind, bytes: &[u8]) {
        // Without the other end there is no connection either.
        let _ = self.put.send(about(kind, self.number, bytes)).await;
    }

    /// Both ways at once: neither waits for the other.
    async fn carry(&self, stream: impl AsyncRead + AsyncWrite, heard: UnboundedReceiver<Said>) {
        let (read, write) = tokio::io::split(stream);
        tokio::join!(self.send(read), self.receive(write, heard));
    }

    async fn send(&self, mut from: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; PIECE];
        loop {
            let Ok(permit) = self.credit.acquire().await else { break };
            permit.forget();
            let mut most = 1;
            while most < PIECE {
                match self.credit.try_acquire_many(u32::try_from(PIECE - most).unwrap_or(1)) {
                    Ok(permit) => {
                        permit.forget();
                        most = PIECE;
                    }
                    Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => break,
                }
            }
            let n = from.read(&mut buffer[..most]).await.unwrap_or(0);
            self.credit.add_permits(most - n);
            if n == 0 {
                break;
            }
            self.put(Kind::Bytes, &buffer[..n]).await;
        }
        self.put(Kind::Shut, &[]).await;
    }

    async fn receive(&self, mut to: impl AsyncWrite + Unpin, mut heard: UnboundedReceiver<Said>) {
        while let Some(Said::Bytes(bytes)) = heard.recv().await {
            // What cannot be passed on is dropped: its sender learns of that from its own end.
            let _ = to.write_all(&bytes).await;
            self.waiting.fetch_sub(bytes.len(), Ordering::SeqCst);
            let length = u32::try_from(bytes.len()).unwrap_or_default();
            self.put(Kind::Credit, &length.to_be_bytes()).await;
        }
        let _ = to.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::sync::mpsc::channel;

    fn parse(bytes: Vec<u8>) -> Frame {
        wire::read(&mut bytes.as_slice()).expect("a frame")
    }

    /// Two ends, joined.
    fn joined() -> (tokio::io::DuplexStream, tokio::io::DuplexStream) {
        let ((near, one), (two, far)) = (duplex(1000), duplex(1000));
        let ((to_two, mut from_one), (to_one, mut from_two)) = (channel(4), channel(4));
        let (mut first, mut second) = (Links::new(to_two), Links::new(to_one));
        first.add(7, async { Ok(one) });
        second.add(7, async { Ok(two) });
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(bytes) = from_one.recv() => second.hear(&parse(bytes)),
                    Some(bytes) = from_two.recv() => first.hear(&parse(bytes)),
                    else => return,
                }
            }
        });
        (near, far)
    }

    #[tokio::test]
    async fn much_more_than_a_window_goes_both_ways_at_once() {
        let (mut near, mut far) = joined();
        let sent: Vec<u8> = (0..3 * WINDOW as u32).map(|n| (n / 3) as u8).collect();
        let echo = async {
            let (mut read, mut write) = tokio::io::split(&mut far);
            tokio::io::copy(&mut read, &mut write).await.expect("copied");
            write.shutdown().await.expect("shut");
        };
        let talk = async {
            let (mut read, mut write) = tokio::io::split(&mut near);
            let mut back = vec![];
            let write = async {
                write.write_all(&sent).await.expect("written");
                write.shutdown().await.expect("shut");
            };
            tokio::join!(write, async { read.read_to_end(&mut back).await.expect("read") });
            back
        };
        let ((), back) = tokio::join!(echo, talk);
        assert!(back == sent, "{} bytes came back", back.len());
    }

    #[tokio::test]
    async fn who_sends_more_than_the_window_or_gives_what_nobody_used_is_cut_off() {
        let (put, _kept) = channel(100);
        let mut links = Links::new(put);
        let (kept, stream) = duplex(10);
        links.add(1, async { Ok(stream) });
        let bytes = parse(about(Kind::Bytes, 1, &vec![0; WINDOW / 2]));
        (0..2).for_each(|_| links.hear(&bytes));
        assert_eq!(links.open.len(), 1);
        links.hear(&bytes);
        assert_eq!(links.open.len(), 0, "it holds more than a window");
        links.add(2, async { Ok(duplex(10).0) });
        links.hear(&parse(about(Kind::Credit, 2, &[0, 0, 0, 1])));
        assert_eq!(links.open.len(), 0, "credit out of nothing is taken");
        for nonsense in [vec![], vec![1], vec![0, 0, 0, 9, 1]] {
            links.hear(&Frame { kind: Kind::Bytes, bytes: nonsense });
        }
        drop(kept);
    }

    #[tokio::test]
    async fn a_number_in_use_opens_nothing_and_there_are_never_more_tasks_than_connections() {
        let (put, _kept) = channel(100);
        let mut links = Links::new(put);
        for _ in 0..3 * MOST {
            if links.has_room() {
                links.add(1, std::future::pending::<std::io::Result<tokio::io::DuplexStream>>());
            }
        }
        assert_eq!((links.tasks.len(), links.open.len()), (1, 1));
        // Cut off and opened again: what has not ended yet still counts.
        let too_much = parse(about(Kind::Bytes, 1, &vec![0; WINDOW + 1]));
        for _ in 0..3 * MOST {
            links.hear(&too_much);
            if links.has_room() {
                links.add(1, std::future::pending::<std::io::Result<tokio::io::DuplexStream>>());
            }
        }
        assert!(links.tasks.len() <= MOST, "{} tasks", links.tasks.len());
    }
}

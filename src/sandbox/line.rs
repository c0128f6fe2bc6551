//! The talk with a first process that serves inside a container or a pod: one request after the other, over
//! whatever connection the backend has to it.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::bytes::Bytes;

use super::model::SandboxError;
use super::supervise::wire::{self, Decoder, End, Frame, Kind, Request};
use crate::workspace::{ContentReader, Snapshot};

/// Frames that wait to be sent.
const WAITING: usize = 16;
/// How long the first process may take to end what runs when it is told to.
const STOPPING: Duration = Duration::from_secs(15);
/// What of a broken first process's own words is kept.
const LAST_WORDS: usize = 4 << 10;

/// What comes over the connection.
pub(super) enum Said {
    /// A piece of the frames.
    Frames(Bytes),
    /// Something where nothing is expected: why it cannot go on.
    Stray(Bytes),
}

pub(super) type Speech = Pin<Box<dyn Stream<Item = io::Result<Said>> + Send>>;

/// The connection.
pub(super) struct Line {
    to: Sender<Vec<u8>>,
    from: Speech,
    decoder: Decoder,
    stray: Vec<u8>,
    /// Whether an answer is still to come.
    is_busy: bool,
}

/// How a request ended without its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The host's own clock: what watches inside did not. It may still run.
    Clock,
    /// The connection ended, and the first process with it.
    Gone,
}

/// What is sent after a request.
pub(super) enum Feed<'a> {
    Nothing,
    Input(&'a [u8]),
    Tree(&'a Snapshot),
    /// Frames that somebody else makes; an `Err` is why there are no more.
    Frames(Receiver<io::Result<Vec<u8>>>),
}

/// What becomes of every frame but the last.
pub(super) type Take<'a> = &'a mut (dyn FnMut(Frame) -> Result<(), SandboxError> + Send);

impl Line {
    /// `to` is closed when the line is dropped, and with it ends the first process.
    pub(super) fn new(mut to: impl AsyncWrite + Send + Unpin + 'static, from: Speech) -> Self {
        let (sender, mut frames) = channel::<Vec<u8>>(WAITING);
        tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                if to.write_all(&frame).await.is_err() || to.flush().await.is_err() {
                    return;
                }
            }
        });
        Self { to: sender, from, decoder: Decoder::default(), stray: vec![], is_busy: false }
    }

    /// Where frames go that belong to no request's own content.
    pub(super) fn sender(&self) -> Sender<Vec<u8>> {
        self.to.clone()
    }

    /// The next frame; `None` when no more comes.
    async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.decoder.next()? {
                return Ok(Some(frame));
            }
            match self.from.next().await {
                Some(Ok(Said::Frames(bytes))) => self.decoder.push(&bytes),
                Some(Ok(Said::Stray(bytes))) => self.keep(&bytes),
                Some(Err(error)) => {
                    self.keep(error.to_string().as_bytes());
                    return Err(error);
                }
                None => return Ok(None),
            }
        }
    }

    fn keep(&mut self, words: &[u8]) {
        let room = LAST_WORDS.saturating_sub(self.stray.len());
        self.stray.extend_from_slice(&words[..words.len().min(room)]);
    }

    /// Sends a request and takes what comes until its answer, for so long. Without an answer the line stays
    /// busy: [`Line::stop`] ends what runs, and so does the next request.
    pub(super) async fn ask(
        &mut self,
        request: &Request,
        feed: Feed<'_>,
        time: Duration,
        take: Take<'_>,
    ) -> Result<Result<End, Cut>, SandboxError> {
        let request = wire::document(Kind::Request, request);
        let request = request.map_err(|error| SandboxError::InvalidCommand { reason: error.to_string() })?;
        self.stop().await?;
        self.is_busy = true;
        let (deadline, to) = (Instant::now() + time, self.to.clone());
        let mut sending = std::pin::pin!(send(&to, request, feed));
        let mut is_sent = false;
        loop {
            let heard = tokio::select! {
                sent = &mut sending, if !is_sent => {
                    is_sent = true;
                    match sent {
                        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                            return Err(SandboxError::Setup { reason: error.to_string() });
                        }
                        // A first process that no longer listens says why, or ends.
                        _ => continue,
                    }
                }
                heard = timeout_at(deadline, self.next()) => heard,
            };
            match heard {
                Err(_) => return Ok(Err(Cut::Clock)),
                Ok(Ok(Some(frame))) if frame.kind == Kind::End => {
                    self.is_busy = false;
                    return end(&frame).map(Ok);
                }
                Ok(Ok(Some(frame))) => take(frame)?,
                Ok(Ok(None) | Err(_)) => return Ok(Err(Cut::Gone)),
            }
        }
    }

    /// Ends what runs, if anything does, and waits until it has ended.
    pub(super) async fn stop(&mut self) -> Result<(), SandboxError> {
        if !self.is_busy {
            return Ok(());
        }
        let broken = |what: &str| SandboxError::Setup {
            reason: format!("the connection to the sandbox is broken: {what}"),
        };
        let to = self.to.clone();
        let stopped = async {
            let stop = to.send(wire::frame(Kind::Stop, &[])).await;
            stop.map_err(|_| broken("nobody listens"))?;
            while let Some(frame) = self.next().await.map_err(|error| broken(&error.to_string()))? {
                if frame.kind == Kind::End {
                    return Ok(());
                }
            }
            Err(broken("its first process has ended"))
        };
        let stopped = timeout(STOPPING, stopped).await;
        let stopped = stopped.unwrap_or_else(|_| Err(broken("its first process does not answer")));
        self.is_busy = stopped.is_err();
        stopped
    }

    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// What the first process, or the connection, said of its own end.
    pub(super) fn last_words(&self) -> String {
        String::from_utf8_lossy(&self.stray).trim().to_owned()
    }
}

fn end(frame: &Frame) -> Result<End, SandboxError> {
    serde_json::from_slice(&frame.bytes)
        .map_err(io::Error::other)
        .map_err(SandboxError::io("reading what a first process said"))
}

/// Sends a request and what belongs to it.
async fn send(to: &Sender<Vec<u8>>, request: Vec<u8>, feed: Feed<'_>) -> io::Result<()> {
    let put =
        async |frame: Vec<u8>| to.send(frame).await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe));
    put(request).await?;
    match feed {
        Feed::Nothing => return put(wire::frame(Kind::InputEnd, &[])).await,
        Feed::Input(bytes) => {
            for piece in bytes.chunks(wire::PIECE) {
                put(wire::frame(Kind::Input, piece)).await?;
            }
            return put(wire::frame(Kind::InputEnd, &[])).await;
        }
        Feed::Tree(tree) => {
            let mut reader = ContentReader::default();
            for (path, entry) in wire::links_last(tree) {
                let mut frames = vec![];
                wire::send(&mut frames, path, entry, &mut reader)?;
                put(frames).await?;
            }
        }
        Feed::Frames(mut frames) => {
            while let Some(frame) = frames.recv().await {
                put(frame?).await?;
            }
        }
    }
    put(wire::frame(Kind::End, &[])).await
}

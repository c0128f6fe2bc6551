//! The connection to a pod's first process, and one request after the other over it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::api::{AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::{Instant, timeout, timeout_at};

use super::errors::{api_error, once};
use super::{Shared, spec};
use crate::sandbox::model::SandboxError;
use crate::sandbox::supervise::wire::{self, Decoder, End, Frame, Kind, Request};
use crate::workspace::{ContentReader, Snapshot};

/// Frames that wait to be sent.
const WAITING: usize = 16;
const BUFFER: usize = 256 << 10;
/// How long the first process may take to end what runs when it is told to.
const STOPPING: Duration = Duration::from_secs(15);
/// What of a broken pod's own words is kept.
const LAST_WORDS: usize = 4 << 10;
/// How long to wait for bytes of a connection that is over.
const REST: Duration = Duration::from_millis(100);

/// The connection. Dropping it ends the pod.
pub(super) struct Line {
    process: AttachedProcess,
    to: Sender<Vec<u8>>,
    from: Box<dyn AsyncRead + Send + Unpin>,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// Ready when the connection is over, however it ended; `None` after that.
    over: Option<BoxFuture<'static, ()>>,
    /// What it writes where nothing is expected: why it cannot go on.
    stray: Arc<Mutex<Vec<u8>>>,
    /// Whether an answer is still to come.
    is_busy: bool,
}

/// How a request ended without its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The host's own clock: what watches inside did not.
    Clock,
    /// The connection ended, and the pod with it.
    Gone,
}

/// What is sent after a request.
pub(super) enum Feed<'a> {
    Nothing,
    Input(&'a [u8]),
    Tree(&'a Snapshot),
    /// Frames that somebody else makes; an `Err` is why there are no more.
    Frames(tokio::sync::mpsc::Receiver<io::Result<Vec<u8>>>),
}

/// What becomes of every frame but the last.
pub(super) type Take<'a> = &'a mut (dyn FnMut(Frame) -> Result<(), SandboxError> + Send);

impl Line {
    /// Attaches to a pod that runs.
    pub(super) async fn attach(shared: &Shared, pod: &str) -> Result<Self, SandboxError> {
        let how = AttachParams {
            container: Some(spec::CONTAINER.into()),
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
            max_stdin_buf_size: Some(BUFFER),
            max_stdout_buf_size: Some(BUFFER),
            max_stderr_buf_size: Some(BUFFER),
        };
        let attached = once(shared.pods().attach(pod, &how)).await;
        let mut process = attached.map_err(api_error("attaching to a pod"))?;
        let missing = || SandboxError::Setup { reason: "attaching to a pod: the API gave no streams".into() };
        let mut stdin = process.stdin().ok_or_else(missing)?;
        let from = process.stdout().ok_or_else(missing)?;
        let stderr = process.stderr().ok_or_else(missing)?;
        let (to, mut frames) = channel::<Vec<u8>>(WAITING);
        tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                if stdin.write_all(&frame).await.is_err() || stdin.flush().await.is_err() {
                    return;
                }
            }
        });
        let over = process.take_status().map(|status| status.map(|_| ()).boxed());
        let (stray, decoder) = (Arc::default(), Decoder::default());
        tokio::spawn(keep_beginning(stderr, Arc::clone(&stray)));
        let (from, buffer) = (Box::new(from), vec![0; BUFFER]);
        Ok(Self { process, to, from, decoder, buffer, over, stray, is_busy: false })
    }

    /// Where frames for the pod go that belong to no request's own content.
    pub(super) fn sender(&self) -> Sender<Vec<u8>> {
        self.to.clone()
    }

    /// The next frame; `None` when the pod says no more.
    async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.decoder.next()? {
                return Ok(Some(frame));
            }
            let n = match &mut self.over {
                Some(over) => tokio::select! {
                    biased;
                    n = self.from.read(&mut self.buffer) => n?,
                    () = over => {
                        self.over = None;
                        continue;
                    }
                },
                // A connection that broke leaves its streams open: what is there is all.
                None => timeout(REST, self.from.read(&mut self.buffer)).await.unwrap_or(Ok(0))?,
            };
            if n == 0 {
                return Ok(None);
            }
            self.decoder.push(&self.buffer[..n]);
        }
    }

    /// Sends a request and takes what comes until its answer, for so long.
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
        let mut sent = None;
        loop {
            let heard = tokio::select! {
                done = &mut sending, if sent.is_none() => {
                    sent = Some(done);
                    match &sent {
                        Some(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
                            let error = SandboxError::Setup { reason: error.to_string() };
                            return self.stop().await.and(Err(error));
                        }
                        // A first process that no longer listens says why, or ends.
                        _ => continue,
                    }
                }
                heard = timeout_at(deadline, self.next()) => heard,
            };
            match heard {
                Err(_) => return self.stop().await.map(|()| Err(Cut::Clock)),
                Ok(Ok(Some(frame))) if frame.kind == Kind::End => {
                    self.is_busy = false;
                    return end(&frame).map(Ok);
                }
                Ok(Ok(Some(frame))) => {
                    if let Err(error) = take(frame) {
                        self.stop().await?;
                        return Err(error);
                    }
                }
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
            reason: format!("the connection to the pod is broken: {what}"),
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
            Err(broken("the pod has ended"))
        };
        let stopped =
            timeout(STOPPING, stopped).await.unwrap_or_else(|_| Err(broken("the pod does not answer")));
        self.is_busy = stopped.is_err();
        stopped
    }

    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// What the pod said of its own end.
    pub(super) fn last_words(&self) -> String {
        let words = self.stray.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&words).trim().to_owned()
    }
}

/// Keeps the beginning of what comes, and reads on, since nobody may be kept waiting.
async fn keep_beginning(mut from: impl AsyncRead + Unpin, kept: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = LAST_WORDS.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..n.min(room)]);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.process.abort();
    }
}

fn end(frame: &Frame) -> Result<End, SandboxError> {
    serde_json::from_slice(&frame.bytes)
        .map_err(io::Error::other)
        .map_err(SandboxError::io("reading what a pod said"))
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

//! A container that runs, and the two directions of talk with its first process.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
};
use futures::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::spec::Spec;
use super::{Shared, engine_error};
use crate::sandbox::model::SandboxError;
use crate::sandbox::supervise::wire::{self, Decoder, Frame, Kind};
use crate::workspace::{ContentReader, Snapshot};

/// What of a broken container's own words is kept.
const LAST_WORDS: usize = 4 << 10;

/// A container. Dropping it kills and removes it, as far as that can be done without waiting.
pub(super) struct Running {
    docker: Docker,
    id: Option<String>,
}

/// What the first process is told.
pub(super) type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// What the first process says.
pub(super) struct Heard {
    stream: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>,
    decoder: Decoder,
    /// What it wrote where nothing is expected: why it could not start.
    pub(super) stray: Vec<u8>,
}

impl Running {
    /// Makes, attaches to, and starts a container.
    pub(super) async fn start(
        shared: &Shared,
        session: &str,
        spec: Spec,
    ) -> Result<(Self, Input, Heard), SandboxError> {
        let docker = shared.docker.clone();
        let body = spec.body(shared, session);
        let made = docker.create_container(None, body).await.map_err(engine_error("making a container"))?;
        let running = Self { docker: docker.clone(), id: Some(made.id.clone()) };
        let everything = AttachContainerOptionsBuilder::default()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        let attached = docker.attach_container(&made.id, Some(everything)).await;
        let attached = attached.map_err(engine_error("attaching to a container"))?;
        let started = docker.start_container(&made.id, None).await;
        started.map_err(engine_error("starting a container"))?;
        let heard = Heard { stream: attached.output, decoder: Decoder::default(), stray: vec![] };
        Ok((running, attached.input, heard))
    }

    /// How it ended on its own: its code, and whether the kernel killed it for its memory.
    pub(super) async fn ended(&self) -> (Option<i64>, bool) {
        let Some(id) = &self.id else { return (None, false) };
        let state =
            patiently(|| self.docker.inspect_container(id, None)).await.ok().and_then(|found| found.state);
        let state = state.unwrap_or_default();
        (state.exit_code, state.oom_killed.unwrap_or(false))
    }

    /// Kills whatever runs in it and removes it. What fails, or is not waited for, is tried once more.
    pub(super) async fn remove(mut self) -> Result<(), SandboxError> {
        if let Some(id) = &self.id {
            remove(&self.docker, id).await?;
        }
        self.id = None;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let docker = self.docker.clone();
        // Without a runtime this program ends: the first process sees that, and the next start sweeps.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = remove(&docker, &id).await {
                tracing::warn!(%error, "a container could not be removed; the next start will try again");
            }
        });
    }
}

/// Kills and removes a container. One that is not there is fine.
pub(super) async fn remove(docker: &Docker, id: &str) -> Result<(), SandboxError> {
    // Removing alone waits for a polite end first. An error means that it does not run.
    let kill = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
    let _ = docker.kill_container(id, Some(kill)).await;
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    // It may be just ending, or somebody else is removing it: soon it can be removed, or is gone.
    let removed = patiently(|| docker.remove_container(id, Some(options.clone()))).await;
    match removed {
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        removed => removed.map_err(engine_error("removing a container")),
    }
}

/// How long a container that is ending may be in a state in which nothing can be done with it.
const ENDING: Duration = Duration::from_secs(15);

/// Asks again while a container is between two states. Podman calls one of them by a name that the API does
/// not have, which shows as an answer that cannot be read.
pub(super) async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error> {
    let deadline = Instant::now() + ENDING;
    loop {
        match attempt().await {
            Err(
                Error::DockerResponseServerError { status_code: 409 | 500, .. } | Error::JsonDataError { .. },
            ) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(30)).await,
            answer => return answer,
        }
    }
}

impl Heard {
    /// The next frame; `None` when the first process has ended.
    pub(super) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.decoder.next()? {
                return Ok(Some(frame));
            }
            match self.stream.next().await {
                Some(Ok(LogOutput::StdOut { message })) => self.decoder.push(&message),
                Some(Ok(other)) => {
                    let room = LAST_WORDS.saturating_sub(self.stray.len());
                    let bytes = other.into_bytes();
                    self.stray.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(None),
            }
        }
    }
}

/// What is sent after a request.
pub(super) enum Feed<'a> {
    Nothing,
    Input(&'a [u8]),
    Tree(&'a Snapshot),
}

/// Sends a request and what belongs to it. The connection stays open: its end would be the end of all.
pub(super) async fn send(to: &mut Input, request: &[u8], feed: Feed<'_>) -> io::Result<()> {
    to.write_all(request).await?;
    let mut end = Kind::End;
    match feed {
        Feed::Nothing => end = Kind::InputEnd,
        Feed::Input(bytes) => {
            end = Kind::InputEnd;
            for piece in bytes.chunks(wire::PIECE) {
                to.write_all(&wire::frame(Kind::Input, piece)).await?;
            }
        }
        Feed::Tree(tree) => {
            let mut reader = ContentReader::default();
            for (path, entry) in wire::links_last(tree) {
                let mut frames = vec![];
                wire::send(&mut frames, path, entry, &mut reader)?;
                to.write_all(&frames).await?;
            }
        }
    }
    to.write_all(&wire::frame(end, &[])).await?;
    to.flush().await
}

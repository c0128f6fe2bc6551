//! One request to the first process of a container, from start to removal.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::channel::{Feed, Running, send};
use super::spec::Spec;
use crate::sandbox::model::SandboxError;
use crate::sandbox::supervise::wire::{self, End, Frame, Kind, Request};

/// How it ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The host's own clock: what watches inside did not.
    Clock,
    /// The kernel killed the first process for the container's memory, and the engine saw it.
    Memory,
}

/// A request with all that goes with it.
pub(super) struct Exchange<'a> {
    pub(super) shared: &'a Shared,
    pub(super) session: &'a str,
    pub(super) spec: Spec,
    pub(super) request: Request,
    pub(super) feed: Feed<'a>,
    /// Longest time from the start of the container.
    pub(super) time: Duration,
}

impl Exchange<'_> {
    /// Carries it out; `take` gets every frame but the last. The container is gone when this returns, and
    /// going when the future is dropped.
    pub(super) async fn carry_out(
        self,
        take: &mut (dyn FnMut(Frame) -> Result<(), SandboxError> + Send),
    ) -> Result<Result<End, Cut>, SandboxError> {
        let request = wire::document(Kind::Request, &self.request);
        let request = request.map_err(|error| SandboxError::InvalidCommand { reason: error.to_string() })?;
        let (running, mut input, mut heard) = Running::start(self.shared, self.session, self.spec).await?;
        let deadline = Instant::now() + self.time;
        let listening = async {
            let sending = send(&mut input, &request, self.feed);
            tokio::pin!(sending);
            let mut is_sent = false;
            loop {
                tokio::select! {
                    // A first process that no longer listens says why, or ends.
                    _ = &mut sending, if !is_sent => is_sent = true,
                    frame = heard.next() => match frame.map_err(SandboxError::io("listening to a container"))? {
                        Some(frame) if frame.kind == Kind::End => return Ok(Some(frame)),
                        Some(frame) => take(frame)?,
                        None => return Ok(None),
                    },
                }
            }
        };
        let answer = match timeout_at(deadline, listening).await {
            Err(_) => Ok(Err(Cut::Clock)),
            Ok(Ok(Some(frame))) => end(&frame).map(Ok),
            Ok(Ok(None)) => cut(&running, std::mem::take(&mut heard.stray)).await,
            Ok(Err(error)) => Err(error),
        };
        drop(input);
        running.remove().await?;
        answer
    }
}

fn end(frame: &Frame) -> Result<End, SandboxError> {
    serde_json::from_slice(&frame.bytes)
        .map_err(io::Error::other)
        .map_err(SandboxError::io("reading what a container said"))
}

/// Why the first process ended without an answer.
async fn cut(running: &Running, said: Vec<u8>) -> Result<Result<End, Cut>, SandboxError> {
    let (code, for_memory) = running.ended().await;
    // Code 137 alone says only that somebody killed it: an operator, or an engine that was stopped.
    if for_memory {
        return Ok(Err(Cut::Memory));
    }
    let said = String::from_utf8_lossy(&said);
    let said = if said.trim().is_empty() { "it said nothing" } else { said.trim() };
    let code = code.map_or("an unknown code".to_owned(), |code| format!("code {code}"));
    Err(SandboxError::Setup {
        reason: format!("the container ended with {code} before its command did: {said}"),
    })
}

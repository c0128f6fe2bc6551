//! One request to the first process of a container, from start to removal.

use std::time::Duration;

use super::Shared;
use super::running::Running;
use super::spec::Spec;
use crate::sandbox::line::{Cut, Feed, Take};
use crate::sandbox::model::{LimitHit, SandboxError};
use crate::sandbox::supervise::wire::{End, Request};

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
    /// Carries it out; `take` gets every frame but the last. `Err`: the limit that ended it without an answer. The
    /// container is gone when this returns, and going when the future is dropped.
    pub(super) async fn carry_out(self, take: Take<'_>) -> Result<Result<End, LimitHit>, SandboxError> {
        let (running, mut line) = Running::start(self.shared, self.session, self.spec).await?;
        let answer = match line.ask(&self.request, self.feed, self.time, take).await {
            Ok(Ok(end)) => Ok(Ok(end)),
            Ok(Err(Cut::Clock)) => Ok(Err(LimitHit::Wall)),
            Ok(Err(Cut::Gone)) => cut(&running, &line.last_words()).await.map(Err),
            Err(error) => Err(error),
        };
        drop(line);
        running.remove().await?;
        answer
    }
}

/// Why the first process ended without an answer.
async fn cut(running: &Running, said: &str) -> Result<LimitHit, SandboxError> {
    let (code, for_memory) = running.ended().await;
    // Code 137 alone says only that somebody killed it: an operator, or an engine that was stopped.
    if for_memory {
        return Ok(LimitHit::Memory);
    }
    let said = if said.is_empty() { "it said nothing" } else { said };
    let code = code.map_or("an unknown code".to_owned(), |code| format!("code {code}"));
    Err(SandboxError::Setup {
        reason: format!("the container ended with {code} before its command did: {said}"),
    })
}

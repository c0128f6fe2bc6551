//! How long a stage is in sandboxes, so that it can be told from what we ourselves take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::future::BoxFuture;

use crate::sandbox::{Command, Outcome, ReadBack, Sandbox, SandboxError, Session};
use crate::workspace::Snapshot;

tokio::task_local! {
    static METER: Meter;
}

/// Counts the time that one stage spends in sandboxes.
#[derive(Clone, Default)]
pub(super) struct Meter(Arc<AtomicU64>);

impl Meter {
    /// Everything that `work` does in a [`MeteredSandbox`] is counted here.
    pub(super) async fn measure<F: Future>(&self, work: F) -> F::Output {
        METER.scope(self.clone(), work).await
    }

    pub(super) fn spent_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed) / 1_000
    }
}

/// A sandbox whose use is counted.
pub struct MeteredSandbox(pub Arc<dyn Sandbox>);

struct MeteredSession(Box<dyn Session>);

async fn counted<F: Future>(work: F) -> F::Output {
    let start = Instant::now();
    let output = work.await;
    let spent = start.elapsed().as_micros() as u64;
    // Outside of a stage nobody counts.
    let _ = METER.try_with(|meter| meter.0.fetch_add(spent, Ordering::Relaxed));
    output
}

impl Sandbox for MeteredSandbox {
    fn open<'a>(&'a self, tree: &'a Snapshot) -> BoxFuture<'a, Result<Box<dyn Session>, SandboxError>> {
        Box::pin(counted(async move {
            let session = self.0.open(tree).await?;
            Ok(Box::new(MeteredSession(session)) as Box<dyn Session>)
        }))
    }
}

impl Session for MeteredSession {
    fn run<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<Outcome, SandboxError>> {
        Box::pin(counted(self.0.run(command)))
    }

    fn read_back(&self) -> BoxFuture<'_, Result<ReadBack, SandboxError>> {
        Box::pin(counted(self.0.read_back()))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), SandboxError>> {
        Box::pin(counted(self.0.close()))
    }
}

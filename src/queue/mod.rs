//! Leased and fenced jobs: the worker loop, heartbeats and retries.
//!
//! What a job does is not known here: a [`Handler`] does it, and ends the job in the same transaction
//! as its result. This room sees to it that a job is tried by one worker at a time, that a worker that
//! lost its lease stops, and that a failure is tried again later.

mod owner;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::store::{JobKind, LEASE, Lease, ScheduleName, Store, StoreError};

pub use owner::Owner;

/// How often a lease is renewed.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Longest sleep of an idle worker: what a lost notification can cost.
const POLL: Duration = Duration::from_secs(5);
/// Longest pause between two tries of a job.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why a job was not ended by its handler.
#[derive(Debug, thiserror::Error)]
pub enum JobFailure {
    /// Try again, after `wait` or a growing pause.
    #[error("{error}")]
    Retry { error: String, wait: Option<Duration> },
    /// Never try again.
    #[error("{error}")]
    Refuse { error: String },
    /// The job belongs to somebody else by now, or is void: there is nothing to write.
    #[error("the lease was lost")]
    LeaseLost,
}

impl From<StoreError> for JobFailure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::LeaseLost(_) => Self::LeaseLost,
            error if error.is_final() => Self::Refuse { error: error.to_string() },
            StoreError::Database(_) | StoreError::Migration(_) => {
                Self::Retry { error: error.to_string(), wait: None }
            }
            // A newer version of the program wrote it, or a mend of the data has to come first.
            StoreError::Unreadable(_) => Self::Retry { error: error.to_string(), wait: Some(LONGEST_PAUSE) },
            StoreError::Illegal(_)
            | StoreError::Unstorable(_)
            | StoreError::NewerSchema { .. }
            | StoreError::Missing { .. } => Self::Refuse { error: error.to_string() },
        }
    }
}

/// Does jobs. A handler that succeeds has ended its job.
pub trait Handler: Send + Sync {
    fn handle<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), JobFailure>>;
}

/// How many workers there are of each sort, and how many stages may run at once in one repository.
#[derive(Debug, Clone, Copy)]
pub struct Workers {
    pub stages: usize,
    pub effects: usize,
    pub ingest: usize,
    pub stages_per_repository: usize,
}

/// Runs jobs until told to stop.
pub struct Runner {
    store: Store,
    handler: Arc<dyn Handler>,
    owner: Owner,
    workers: Workers,
}

impl Runner {
    pub fn new(store: Store, handler: Arc<dyn Handler>, owner: Owner, workers: Workers) -> Self {
        Self { store, handler, owner, workers }
    }

    /// Works until `stop`; what is being done then is given back for another worker to take up. What a
    /// process of this machine left when it was killed is taken up at once.
    pub async fn run(self, stop: CancellationToken) {
        let runner = Arc::new(self);
        runner.free_leases_of_the_dead().await;
        let mut running = JoinSet::new();
        running.spawn(Arc::clone(&runner).look_after_the_dead(stop.clone()));
        let pools: [(&'static [JobKind], usize); 5] = [
            (&[JobKind::Ingest], runner.workers.ingest),
            (&[JobKind::Effect], runner.workers.effects),
            (&[JobKind::Stage], runner.workers.stages),
            (&[JobKind::Wait], 1),
            // One each: a long round of one keeps no other waiting.
            (&[JobKind::Schedule], ScheduleName::ALL.len()),
        ];
        let mut wakes = Vec::new();
        for (kinds, count) in pools {
            let wake = Arc::new(Notify::new());
            wakes.push((kinds, Arc::clone(&wake)));
            for _ in 0..count.max(1) {
                running.spawn(Arc::clone(&runner).work(kinds, Arc::clone(&wake), stop.clone()));
            }
        }
        running.spawn(Arc::clone(&runner).listen(wakes, stop.clone()));
        while running.join_next().await.is_some() {}
    }

    async fn look_after_the_dead(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(POLL) => self.free_leases_of_the_dead().await,
            }
        }
    }

    /// Without this, too, their jobs go on: once the leases run out.
    async fn free_leases_of_the_dead(&self) {
        let freed = async {
            let mut jobs = 0;
            for owner in self.store.lease_owners().await? {
                if self.owner.knows_dead(&owner) {
                    jobs += self.store.free_leases_of(&owner).await?;
                }
            }
            Ok::<_, StoreError>(jobs)
        };
        match freed.await {
            Ok(0) => {}
            Ok(jobs) => tracing::info!(jobs, "taking up the jobs of a process that was killed"),
            Err(error) => tracing::warn!(%error, "cannot look for jobs of dead processes"),
        }
    }

    /// Wakes the workers of a kind when any process adds a job of it. Losing this connection costs speed
    /// only: the workers also look by themselves.
    async fn listen(self: Arc<Self>, wakes: Vec<(&'static [JobKind], Arc<Notify>)>, stop: CancellationToken) {
        let wake = |news: Option<JobKind>| {
            let concerned = wakes.iter().filter(|(kinds, _)| news.is_none_or(|kind| kinds.contains(&kind)));
            concerned.for_each(|(_, workers)| workers.notify_waiters());
        };
        loop {
            let listening = async {
                let mut listener = self.store.job_listener().await?;
                wake(None);
                loop {
                    wake(listener.next().await?);
                }
            };
            let ended: Result<std::convert::Infallible, StoreError> = tokio::select! {
                () = stop.cancelled() => return,
                ended = listening => ended,
            };
            let Err(error) = ended;
            tracing::warn!(%error, "not listening for jobs, trying again");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    async fn work(self: Arc<Self>, kinds: &'static [JobKind], wake: Arc<Notify>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let woken = wake.notified();
            tokio::pin!(woken);
            // Registered before looking, so that a job that comes in between is not slept over.
            woken.as_mut().enable();
            let limit = self.workers.stages_per_repository.max(1) as i64;
            let asked = Instant::now();
            match self.store.claim(kinds, self.owner.as_str(), limit).await {
                Ok(Some(lease)) => self.attend(&lease, asked + LEASE, &stop).await,
                Ok(None) => {
                    let due = self.store.next_due(kinds).await.ok().flatten().unwrap_or(POLL);
                    // A due job that could not be claimed waits for a place; do not spin on it.
                    let nap = due.clamp(Duration::from_millis(200), POLL);
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = &mut woken => {}
                        () = tokio::time::sleep(nap) => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot look for jobs");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    }
                }
            }
        }
    }

    /// Does one job under its lease.
    async fn attend(&self, lease: &Lease, good_until: Instant, stop: &CancellationToken) {
        let span = tracing::info_span!("job", key = %lease.key, attempt = lease.attempts);
        async {
            // A task of its own: a handler that holds its thread up does not hold the heartbeat up. It
            // ends with this set.
            let mut heartbeat = JoinSet::new();
            heartbeat.spawn(keep_alive(self.store.clone(), lease.clone(), good_until).in_current_span());
            // A task that was just spawned waits for this very thread: it is let go first.
            tokio::task::yield_now().await;
            let outcome = tokio::select! {
                outcome = AssertUnwindSafe(self.handler.handle(lease)).catch_unwind() => match outcome {
                    Ok(outcome) => Some(outcome),
                    Err(_) => {
                        // The lease is left to run out, as that of a process that died at the job: it
                        // counts as a breakdown, and costs this process no worker.
                        tracing::error!("the job panicked");
                        return;
                    }
                },
                _ = heartbeat.join_next() => Some(Err(JobFailure::LeaseLost)),
                () = stop.cancelled() => None,
            };
            let outcome = outcome.unwrap_or_else(|| {
                Err(JobFailure::Retry { error: "the process was stopped".into(), wait: Some(Duration::ZERO) })
            });
            if let Err(failure) = outcome {
                self.set_down(lease, failure).await;
            }
        }
        .instrument(span)
        .await;
    }

    async fn set_down(&self, lease: &Lease, failure: JobFailure) {
        let noted = match failure {
            JobFailure::LeaseLost => {
                tracing::info!("another worker has the job, or it was cancelled");
                return;
            }
            JobFailure::Retry { error, wait } => {
                let pause = wait.unwrap_or_else(|| pause(lease.set_down));
                tracing::warn!(error, pause_s = pause.as_secs_f64(), "the job will be tried again");
                self.store.retry(lease, pause, &error).await
            }
            JobFailure::Refuse { error } => {
                tracing::error!(error, "the job cannot be done");
                self.store.refuse(lease, &error).await
            }
        };
        if let Err(error) = noted {
            // The lease runs out and the job is taken up again.
            tracing::warn!(%error, "the failure could not be noted");
        }
    }
}

/// Renews the lease until it is lost. While the database is away or does not answer, the lease may still be
/// ours, up to the time that the database promised us; it is given up before that.
async fn keep_alive(store: Store, lease: Lease, mut good_until: Instant) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let asked = Instant::now();
        match tokio::time::timeout_at(good_until.min(asked + HEARTBEAT), store.renew(&lease)).await {
            Ok(Ok(())) => good_until = asked + LEASE,
            Ok(Err(StoreError::LeaseLost(_))) => return,
            Ok(Err(error)) => tracing::warn!(%error, "the lease could not be renewed"),
            Err(_) => tracing::warn!("the lease could not be renewed: the database did not answer"),
        }
        if Instant::now() + HEARTBEAT >= good_until {
            return;
        }
    }
}

/// 1, 2, 4, … seconds, up to five minutes.
fn pause(set_down: u32) -> Duration {
    Duration::from_secs(1 << set_down.min(10)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_at_five_minutes() {
        assert_eq!(pause(0), Duration::from_secs(1));
        assert_eq!(pause(3), Duration::from_secs(8));
        assert_eq!(pause(40), Duration::from_secs(300));
    }
}

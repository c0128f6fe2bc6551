//! Deliveries that wait at the same time are committed together: while one commit is under way the
//! next ones gather, and share the following commit. A delivery that comes alone waits for nobody.
//!
//! Each sender is answered after the commit that holds its delivery, and never before.

use axum::body::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::store::{Arrival, Arriving, Store, StoreError};

/// Deliveries and bytes after which a commit takes no more.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// A delivery whose signature was good.
#[derive(Debug)]
pub(super) struct Accepted {
    pub guid: String,
    pub event: String,
    pub payload: Bytes,
    /// Why the body is no JSON, if it is none.
    pub malformed: Option<String>,
}

/// The delivery may not be stored. (It may: where an answer of the database was lost, nobody knows.)
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotStored(String);

struct Waiting {
    delivery: Accepted,
    answer: oneshot::Sender<Result<Arrival, NotStored>>,
}

/// The way into the store.
#[derive(Clone)]
pub(super) struct Intake {
    queue: mpsc::Sender<Waiting>,
}

impl Intake {
    /// Ends when the last clone is dropped and everything that waited is answered.
    pub(super) fn start(store: Store) -> Self {
        let (queue, waiting) = mpsc::channel(BATCH);
        tokio::spawn(commit_batches(store, waiting));
        Self { queue }
    }

    /// Comes back when the delivery is committed, or was before.
    pub(super) async fn store(&self, delivery: Accepted) -> Result<Arrival, NotStored> {
        let lost = || NotStored("the intake of deliveries has stopped".to_owned());
        let (answer, answered) = oneshot::channel();
        self.queue.send(Waiting { delivery, answer }).await.map_err(|_| lost())?;
        answered.await.map_err(|_| lost())?
    }
}

/// One commit after the other. Two at once were measured and gained nothing: each is smaller, and a
/// transaction that notifies holds a lock of the whole server while it commits.
async fn commit_batches(store: Store, mut queue: mpsc::Receiver<Waiting>) {
    while let Some(batch) = next_batch(&mut queue).await {
        let store = store.clone();
        let committed = tokio::spawn(async move { commit(&store, batch).await });
        // In a task of its own, so that a panic costs one batch and not the receiver.
        if let Err(panic) = committed.await {
            tracing::error!(%panic, "deliveries could not be stored");
        }
    }
}

/// What waits now; if nothing does, the next that comes. `None`: nothing will come any more.
async fn next_batch(queue: &mut mpsc::Receiver<Waiting>) -> Option<Vec<Waiting>> {
    let first = queue.recv().await?;
    let mut bytes = first.delivery.payload.len();
    let mut batch = vec![first];
    while batch.len() < BATCH && bytes < BATCH_BYTES {
        let Ok(next) = queue.try_recv() else { break };
        bytes += next.delivery.payload.len();
        batch.push(next);
    }
    Some(batch)
}

async fn commit(store: &Store, batch: Vec<Waiting>) {
    let arriving: Vec<Arriving<'_>> = batch.iter().map(|waiting| waiting.delivery.arriving()).collect();
    match store.receive_all(&arriving).await {
        Ok(arrivals) => {
            for (waiting, arrival) in batch.into_iter().zip(arrivals) {
                // A sender that hung up will ask again, and its delivery is known then.
                let _ = waiting.answer.send(Ok(arrival));
            }
        }
        Err(error) if batch.len() > 1 && error.is_refusal() => {
            tracing::warn!(%error, count = batch.len(), "deliveries were refused together, trying each alone");
            commit_each(store, batch).await;
        }
        Err(error) => refuse_all(batch, &error),
    }
}

/// What the database refuses in one delivery must not cost the others that came with it.
async fn commit_each(store: &Store, batch: Vec<Waiting>) {
    let mut left = batch.into_iter();
    while let Some(waiting) = left.next() {
        let Arriving { guid, event, payload, malformed } = waiting.delivery.arriving();
        match store.receive(guid, event, payload, malformed).await {
            Ok(arrival) => {
                let _ = waiting.answer.send(Ok(arrival));
            }
            Err(error) if error.is_refusal() => refuse_all([waiting], &error),
            Err(error) => return refuse_all([waiting].into_iter().chain(left), &error),
        }
    }
}

fn refuse_all(batch: impl IntoIterator<Item = Waiting>, error: &StoreError) {
    let fault = NotStored(error.to_string());
    for waiting in batch {
        let _ = waiting.answer.send(Err(fault.clone()));
    }
}

impl Accepted {
    fn arriving(&self) -> Arriving<'_> {
        Arriving {
            guid: &self.guid,
            event: &self.event,
            payload: &self.payload,
            malformed: self.malformed.as_deref(),
        }
    }
}

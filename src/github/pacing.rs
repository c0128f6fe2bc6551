//! One second between writes of content, as GitHub asks of Apps
//! (docs.github.com, "Best practices for using the REST API").

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::domain::InstallationId;

/// Spaces the writes of each installation.
#[derive(Debug)]
pub(super) struct Pacer {
    interval: Duration,
    next: Mutex<HashMap<InstallationId, Instant>>,
    waited_ms: AtomicU64,
}

impl Pacer {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, next: Mutex::default(), waited_ms: AtomicU64::new(0) }
    }

    /// Waits for this installation's turn and returns how long that took.
    pub(super) async fn turn(&self, installation: InstallationId) -> Duration {
        let start = Instant::now();
        let at = {
            let mut next = self.next.lock().await;
            let at = next.get(&installation).copied().unwrap_or(start).max(start);
            next.insert(installation, at + self.interval);
            at
        };
        tokio::time::sleep_until(at).await;
        let waited = start.elapsed();
        self.waited_ms.fetch_add(waited.as_millis() as u64, Ordering::Relaxed);
        waited
    }

    pub(super) fn waited(&self) -> Duration {
        Duration::from_millis(self.waited_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn writes_of_one_installation_are_spaced_and_of_two_are_not() {
        let pacer = Pacer::new(Duration::from_secs(60));
        let start = Instant::now();
        pacer.turn(InstallationId(1)).await;
        pacer.turn(InstallationId(2)).await;
        assert!(start.elapsed() < Duration::from_secs(50));

        let pacer = Pacer::new(Duration::from_millis(400));
        let start = Instant::now();
        for _ in 0..3 {
            pacer.turn(InstallationId(1)).await;
        }
        assert!(start.elapsed() >= Duration::from_millis(800));
    }
}

//! From a job to the room that does it.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, Timelike, Utc, Weekday};
use futures::future::BoxFuture;

use crate::config::{Config, DigestSchedule};
use crate::domain::Event;
use crate::queue::{Handler, JobFailure};
use crate::store::{Lease, ScheduleName, Store, Work};
use crate::telemetry::clock;

use super::parts::Parts;
use super::retention;

/// How often it is looked whether a digest is due.
const DIGEST_LOOK: Duration = Duration::from_secs(600);

pub(super) struct Dispatch {
    store: Store,
    parts: Parts,
    reactions_every: Duration,
    reconcile_every: Duration,
    digest: DigestSchedule,
    digest_hour: u32,
    digest_to: Vec<String>,
    model_texts_days: u32,
}

impl Dispatch {
    pub(super) fn new(store: Store, parts: Parts, config: &Config) -> Self {
        Self {
            store,
            parts,
            reactions_every: config.polling.reactions,
            reconcile_every: config.polling.reconcile,
            digest: config.mail.digest,
            digest_hour: config.mail.digest_hour_utc.into(),
            digest_to: config.mail.to.clone(),
            model_texts_days: config.model_texts_days,
        }
    }

    /// A schedule lives as long as its deployment: whatever goes wrong in a round, the next one comes.
    async fn schedule(&self, lease: &Lease, name: ScheduleName) -> Result<(), JobFailure> {
        match self.round(lease, name).await {
            Err(JobFailure::Refuse { error }) => Err(JobFailure::Retry { error, wait: None }),
            done => done,
        }
    }

    async fn round(&self, lease: &Lease, name: ScheduleName) -> Result<(), JobFailure> {
        let again = match name {
            ScheduleName::Reactions => {
                if let Some(ingest) = &self.parts.ingest {
                    ingest.poll_reactions().await?;
                }
                self.reactions_every
            }
            ScheduleName::Reconcile => {
                if let Some(ingest) = &self.parts.ingest {
                    ingest.reconcile().await?;
                }
                self.reconcile_every
            }
            ScheduleName::Digest => {
                self.enqueue_digests().await?;
                DIGEST_LOOK
            }
            ScheduleName::Retention => {
                retention::forget_texts(&self.store, self.model_texts_days).await?.next_look()
            }
        };
        Ok(self.store.reschedule(lease, again).await?)
    }

    /// A digest's key is its day and its reader: looking often sends none twice.
    async fn enqueue_digests(&self) -> Result<(), JobFailure> {
        let Some(until) = last_digest(clock::now(), self.digest, self.digest_hour) else { return Ok(()) };
        for to in &self.digest_to {
            let key = format!("digest/{}/{to}", until.format("%Y-%m-%d"));
            let work =
                Work::DigestMail { until: until.timestamp(), days: days_of(self.digest), to: to.clone() };
            self.store.enqueue(&key, &work).await?;
        }
        Ok(())
    }
}

fn days_of(schedule: DigestSchedule) -> u32 {
    match schedule {
        DigestSchedule::Off | DigestSchedule::Daily => 1,
        DigestSchedule::Weekly => 7,
    }
}

/// The newest moment, not after `now`, for which a digest is due.
fn last_digest(now: DateTime<Utc>, schedule: DigestSchedule, hour: u32) -> Option<DateTime<Utc>> {
    let mut day = now.date_naive();
    if now.hour() < hour {
        day = day.checked_sub_days(Days::new(1))?;
    }
    match schedule {
        DigestSchedule::Off => return None,
        DigestSchedule::Daily => {}
        DigestSchedule::Weekly => {
            while day.weekday() != Weekday::Mon {
                day = day.checked_sub_days(Days::new(1))?;
            }
        }
    }
    Some(day.and_hms_opt(hour, 0, 0)?.and_utc())
}

impl Handler for Dispatch {
    fn handle<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), JobFailure>> {
        Box::pin(async move {
            match &lease.work {
                Work::Ingest { delivery } => match &self.parts.ingest {
                    Some(ingest) => ingest.handle(lease, *delivery).await,
                    None => Err(nobody("deliveries")),
                },
                Work::Stage { task, stage, .. } => self.parts.pipeline.run(lease, *task, *stage).await,
                Work::Effect { .. } | Work::Reply { .. } | Work::DigestMail { .. } => {
                    self.parts.effects.perform(lease).await
                }
                Work::Wait { task, version } => {
                    let mut transition = self.store.begin().await?;
                    transition.finish(lease).await?;
                    let event = Event::WaitExpired { version: *version };
                    transition.apply(*task, &event, clock::now()).await?;
                    Ok(transition.commit().await?)
                }
                Work::Schedule { name } => self.schedule(lease, *name).await,
            }
        })
    }
}

fn nobody(what: &str) -> JobFailure {
    JobFailure::Refuse { error: format!("this process has no GitHub for {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> DateTime<Utc> {
        text.parse().expect("a moment")
    }

    #[test]
    fn a_digest_is_due_from_its_hour_on_until_the_next() {
        let due = |now: &str, schedule| last_digest(moment(now), schedule, 6).map(|at| at.to_rfc3339());
        let daily = DigestSchedule::Daily;
        assert_eq!(due("2026-11-21T06:00:00Z", daily).as_deref(), Some("2026-11-21T06:00:00+00:00"));
        assert_eq!(due("2026-11-21T05:59:59Z", daily).as_deref(), Some("2026-11-20T06:00:00+00:00"));
        let weekly = DigestSchedule::Weekly;
        assert_eq!(due("2026-11-21T12:00:00Z", weekly).as_deref(), Some("2026-11-16T06:00:00+00:00"));
        assert_eq!(due("2026-11-16T05:00:00Z", weekly).as_deref(), Some("2026-11-09T06:00:00+00:00"));
        assert_eq!(due("2026-11-21T12:00:00Z", DigestSchedule::Off), None);
    }
}

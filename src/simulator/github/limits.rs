//! Rate limits: the hourly one and the secondary one on writes of content.
//!
//! Source: docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use super::answer::Refusal;
use super::refusals;

#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests an hour and actor (an installation, a person); GitHub: 5,000 at least.
    pub requests_per_hour: u64,
    /// "In general, no more than 80 content-generating requests per minute".
    pub content_writes_per_minute: usize,
    /// "… and no more than 500 content-generating requests per hour".
    pub content_writes_per_hour: usize,
}

/// "The primary rate limit for unauthenticated requests is 60 requests per hour."
const ANONYMOUS_PER_HOUR: u64 = 60;

impl Limits {
    fn of(&self, actor: &str) -> u64 {
        match actor {
            "anonymous" => self.requests_per_hour.min(ANONYMOUS_PER_HOUR),
            _ => self.requests_per_hour,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_per_hour: 5000, content_writes_per_minute: 80, content_writes_per_hour: 500 }
    }
}

impl Limits {
    /// For load tests, where GitHub's pacing is not the question.
    pub fn unlimited() -> Self {
        Self {
            requests_per_hour: u64::MAX / 2,
            content_writes_per_minute: usize::MAX,
            content_writes_per_hour: usize::MAX,
        }
    }
}

/// What each actor has used.
#[derive(Clone, Debug, Default)]
pub(super) struct RateBook {
    actors: HashMap<String, Usage>,
}

#[derive(Clone, Debug)]
struct Usage {
    resets_at: DateTime<Utc>,
    used: u64,
    writes: VecDeque<DateTime<Utc>>,
}

/// The figures of the `x-ratelimit-*` headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub limit: u64,
    pub used: u64,
    pub resets_at: DateTime<Utc>,
}

impl Standing {
    pub fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    pub fn headers(&self) -> Vec<(&'static str, String)> {
        vec![
            ("x-ratelimit-limit", self.limit.to_string()),
            ("x-ratelimit-remaining", self.remaining().to_string()),
            ("x-ratelimit-used", self.used.min(self.limit).to_string()),
            ("x-ratelimit-reset", self.resets_at.timestamp().to_string()),
            ("x-ratelimit-resource", "core".to_owned()),
        ]
    }

    pub fn show(&self) -> Value {
        json!({
            "limit": self.limit, "remaining": self.remaining(), "used": self.used.min(self.limit),
            "reset": self.resets_at.timestamp(),
        })
    }
}

impl RateBook {
    fn usage(&mut self, actor: &str, now: DateTime<Utc>) -> &mut Usage {
        let usage = self.actors.entry(actor.to_owned()).or_insert_with(|| Usage {
            resets_at: now + Duration::hours(1),
            used: 0,
            writes: VecDeque::new(),
        });
        if usage.resets_at <= now {
            usage.resets_at = now + Duration::hours(1);
            usage.used = 0;
        }
        usage
    }

    pub fn standing(&mut self, actor: &str, limits: &Limits, now: DateTime<Utc>) -> Standing {
        let usage = self.usage(actor, now);
        Standing { limit: limits.of(actor), used: usage.used, resets_at: usage.resets_at }
    }

    /// Counts a request; refused when the hour is used up.
    pub fn count(&mut self, actor: &str, limits: &Limits, now: DateTime<Utc>) -> Result<(), Refusal> {
        let usage = self.usage(actor, now);
        usage.used += 1;
        if usage.used > limits.of(actor) {
            return Err(Refusal::forbidden(format!("{} for {actor}.", refusals::PRIMARY_LIMIT.says)));
        }
        Ok(())
    }

    /// A request answered with 304 does not count.
    pub fn give_back(&mut self, actor: &str, now: DateTime<Utc>) {
        let usage = self.usage(actor, now);
        usage.used = usage.used.saturating_sub(1);
    }

    /// Counts a write of content; too many in a minute or an hour meet the secondary limit.
    pub fn count_write(&mut self, actor: &str, limits: &Limits, now: DateTime<Utc>) -> Result<(), Refusal> {
        let usage = self.usage(actor, now);
        while usage.writes.front().is_some_and(|&at| at <= now - Duration::hours(1)) {
            usage.writes.pop_front();
        }
        let minute = usage.writes.iter().rev().take_while(|&&at| at > now - Duration::minutes(1)).count();
        if minute >= limits.content_writes_per_minute || usage.writes.len() >= limits.content_writes_per_hour
        {
            return Err(secondary_limit(60));
        }
        usage.writes.push_back(now);
        Ok(())
    }
}

/// 403 with `retry-after`, as GitHub answers when it is called too fast.
pub(super) fn secondary_limit(retry_after_seconds: u64) -> Refusal {
    let mut refusal = Refusal::forbidden(
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. If you \
         reach out to GitHub Support for help, please include the request ID.",
    )
    .with_header("retry-after", retry_after_seconds.to_string());
    refusal.documentation_url =
        "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"
            .into();
    refusal
}

#[cfg(test)]
mod tests {
    use chrono::{Duration, Utc};

    use super::{Limits, RateBook};
    use crate::simulator::github::clock::Clock;

    #[test]
    fn the_81st_write_of_a_minute_is_refused_and_the_next_minute_is_free() {
        let now: chrono::DateTime<Utc> = Clock::default().now();
        let (mut book, limits) = (RateBook::default(), Limits::default());
        for _ in 0..80 {
            book.count_write("installation 1", &limits, now).expect("within the limit");
        }
        let refusal = book.count_write("installation 1", &limits, now).expect_err("over the limit");
        assert_eq!(refusal.status, 403);
        assert_eq!(refusal.headers, [("retry-after", "60".to_owned())]);
        book.count_write("installation 2", &limits, now).expect("another actor");
        book.count_write("installation 1", &limits, now + Duration::seconds(61)).expect("a minute later");
    }

    #[test]
    fn the_hour_ends_and_begins_again() {
        let now = Clock::default().now();
        let limits = Limits { requests_per_hour: 2, ..Limits::default() };
        let mut book = RateBook::default();
        assert!(book.count("a", &limits, now).is_ok() && book.count("a", &limits, now).is_ok());
        assert!(book.count("a", &limits, now).is_err());
        assert_eq!(book.standing("a", &limits, now).remaining(), 0);
        assert!(book.count("a", &limits, now + Duration::minutes(61)).is_ok());
    }
}

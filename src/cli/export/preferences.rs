//! `orchestrator export preferences`: a line for each candidate that was passed over.

use std::io::Write as _;

use anyhow::Context;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Args;

use crate::domain::{Choice, Origin, Task};
use crate::store::{ArtifactKind, KeptArtifact};

use super::Opened;
use super::pairs::{Decision, pairs};

#[derive(Debug, Args)]
pub(super) struct PreferencesArguments {
    /// Only decisions since then: a day, such as 2026-11-01, or a time, such as 2026-11-01T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<DateTime<Utc>>,
    /// Only those of one repository: `owner/name`, or the folder of local runs.
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
}

pub(super) async fn preferences(opened: &Opened, arguments: &PreferencesArguments) -> anyhow::Result<()> {
    let since = arguments.since.unwrap_or(DateTime::UNIX_EPOCH);
    let mut out = std::io::stdout().lock();
    for (task, kept) in opened.store.choices(since).await? {
        if arguments.repository.as_ref().is_some_and(|name| !is_of(&task, name)) {
            continue;
        }
        for pair in of_decision(opened, &task, &kept).await? {
            let line = serde_json::to_string(&opened.redactor.clean_json(pair))?;
            writeln!(out, "{line}").context("the output cannot be written")?;
        }
    }
    out.flush().context("the output cannot be written")
}

async fn of_decision(
    opened: &Opened,
    task: &Task,
    kept: &KeptArtifact,
) -> anyhow::Result<Vec<serde_json::Value>> {
    let choice: Choice = match serde_json::from_slice(&kept.body) {
        Ok(choice) => choice,
        Err(error) => {
            tracing::error!(task = %task.id, %error, "a decision that cannot be read is left out");
            return Ok(Vec::new());
        }
    };
    let files = opened.store.artifacts_until(task.id, ArtifactKind::Candidate, kept.version).await?;
    pairs(&Decision { task, choice: &choice, at: kept.created_at, files: &files })
        .with_context(|| format!("the gates of a candidate of the task {} cannot be read", task.id))
}

fn is_of(task: &Task, name: &str) -> bool {
    match &task.origin {
        Origin::GitHub(place) => place.full_name.eq_ignore_ascii_case(name),
        Origin::Local { repository, .. } => repository == name,
    }
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc));
    time.map_err(|_| "expected a day such as 2026-11-01, or a time such as 2026-11-01T08:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_or_a_moment() {
        assert_eq!(time("2026-11-01").expect("a day").to_rfc3339(), "2026-11-01T00:00:00+00:00");
        assert_eq!(
            time("2026-11-01T09:30:00+01:00").expect("a time").to_rfc3339(),
            "2026-11-01T08:30:00+00:00"
        );
        for wrong in ["yesterday", "2026-13-01", ""] {
            assert!(time(wrong).expect_err(wrong).contains("2026-11-01"), "{wrong}");
        }
    }
}

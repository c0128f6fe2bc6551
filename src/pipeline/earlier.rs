//! What went wrong with a task before, and with others of its repository, in short: a new attempt reads it, so that it
//! does not go the same way.

use crate::domain::{GateReport, Origin, Reason, State, Task};
use crate::store::{ArtifactKind, StoreError};

use super::{Pipeline, StageError};

/// Of all of it, in characters; the newest is kept.
const MAX_CHARS: usize = 8_000;
const MOST_REASONS: usize = 5;
/// Gate rounds of an attempt that are told.
const MOST_ROUNDS: usize = 2;
const MOST_TESTS: usize = 20;
const DETAIL_CHARS: usize = 600;
const LOG_LINES: usize = 12;
const LOG_CHARS: usize = 1_200;
/// Other tasks of the repository that are told of, and how much of them together, in characters.
const MOST_OTHERS: u32 = 4;
const OTHERS_MAX_CHARS: usize = 2_000;
const TITLE_CHARS: usize = 100;
const OTHER_DETAIL_CHARS: usize = 200;
const OTHER_TESTS: usize = 5;
/// What is told of a round of gates that cannot be read.
const UNREADABLE: &str =
    "The gates were run on an earlier attempt, but what they said cannot be read any more.";

impl Pipeline {
    /// Why this task stopped before and which gates its work failed, and the same of the tasks that stood in its
    /// place in the issue; before that, in a line each, why others of the repository stopped. Empty where nothing did.
    pub(super) async fn earlier_failures(&self, task: &Task) -> Result<String, StageError> {
        let mut parts = Vec::new();
        if let Some(place) = task.origin.github() {
            let all = self.store.tasks_of_issue(place.repository, place.issue).await?;
            let before = |other: &&Task| {
                other.id != task.id && other.ordinal == task.ordinal && other.created_at < task.created_at
            };
            for other in all.iter().filter(before) {
                parts.extend(self.failures_of(other).await?);
            }
        }
        parts.extend(self.failures_of(task).await?);
        let others = newest_within(OTHERS_MAX_CHARS, &self.failures_of_others(task).await?);
        let own = newest_within(MAX_CHARS, &parts);
        Ok([others, own].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n"))
    }

    /// One for each of the repository's other tasks that stopped over its work, oldest first.
    async fn failures_of_others(&self, task: &Task) -> Result<Vec<String>, StoreError> {
        let others = match &task.origin {
            Origin::GitHub(place) => {
                self.store.stopped_tasks(place.repository, place.issue, MOST_OTHERS).await?
            }
            // Its folder is what a local repository is known by.
            Origin::Local { repository, .. } => {
                self.store.stopped_local_tasks(repository, task.id, MOST_OTHERS).await?
            }
        };
        let mut parts = Vec::new();
        for other in others.iter().rev() {
            let history = self.store.history(other.id).await?;
            let Some(stop) = history.iter().rfind(|record| record.state == "needs_person") else { continue };
            let State::NeedsPerson { reason, .. } =
                self.store.task_as_of(other.id, stop.version).await?.state
            else {
                continue;
            };
            let Some(reason) = reason_in_short(&reason) else { continue };
            let whole = Task { work_since: 0, ..other.clone() };
            let rounds = self.store.artifacts_of_kind(&whole, ArtifactKind::Gates).await?;
            let last = rounds.last().map_or_else(|| Some(Vec::new()), |round| reports(other, round));
            parts.push(other_in_short(other.title(), &reason, last.as_deref()));
        }
        Ok(parts)
    }

    /// Oldest first.
    async fn failures_of(&self, task: &Task) -> Result<Vec<String>, StoreError> {
        let mut parts = Vec::new();
        // Every round of it, whatever became of the work since.
        let whole = Task { work_since: 0, ..task.clone() };
        let rounds = self.store.artifacts_of_kind(&whole, ArtifactKind::Gates).await?;
        for round in &rounds[rounds.len().saturating_sub(MOST_ROUNDS)..] {
            match reports(task, round) {
                Some(reports) => {
                    parts.extend(reports.iter().filter(|report| report.blocks()).map(gate_in_short));
                }
                None => parts.push(UNREADABLE.to_owned()),
            }
        }
        let history = self.store.history(task.id).await?;
        let stops: Vec<_> = history.iter().filter(|record| record.state == "needs_person").collect();
        for stop in &stops[stops.len().saturating_sub(MOST_REASONS)..] {
            if let State::NeedsPerson { reason, .. } =
                self.store.task_as_of(task.id, stop.version).await?.state
                && let Some(reason) = reason_in_short(&reason)
            {
                parts.push(format!("An attempt stopped: {reason}"));
            }
        }
        Ok(parts)
    }
}

/// `None`: a version kept them in another form, or what is kept is damaged.
fn reports(task: &Task, round: &[u8]) -> Option<Vec<GateReport>> {
    let read = serde_json::from_slice(round);
    read.inspect_err(|error| {
        tracing::warn!(task = %task.id, %error, "an earlier round of gates cannot be read; the prompt says so");
    })
    .ok()
}

/// `gates`: of its last round; `None` where they cannot be read.
fn other_in_short(title: &str, reason: &str, gates: Option<&[GateReport]>) -> String {
    let (title, reason) = (cut(title, TITLE_CHARS), cut(reason, OTHER_DETAIL_CHARS));
    let mut text = format!("Another task of this repository, {title:?}, stopped: {reason}.");
    if gates.is_none() {
        text.push_str(" What its gates said cannot be read.");
    }
    for gate in gates.into_iter().flatten().filter(|gate| gate.blocks()) {
        text.push_str(&format!(" The gate {:?} failed", cut(&gate.name, TITLE_CHARS)));
        if !gate.failed_tests.is_empty() {
            let names: Vec<String> =
                gate.failed_tests.iter().take(OTHER_TESTS).map(|name| cut(name, TITLE_CHARS)).collect();
            text.push_str(&format!(" ({})", names.join(", ")));
        }
        text.push('.');
    }
    text
}

fn gate_in_short(report: &GateReport) -> String {
    let end = report.exit.map_or("without an exit code".to_owned(), |code| format!("exit code {code}"));
    let mut text = format!("The gate {:?} failed ($ {}), {end}.", report.name, cut(&report.command, 200));
    if !report.failed_tests.is_empty() {
        let names: Vec<&str> = report.failed_tests.iter().take(MOST_TESTS).map(String::as_str).collect();
        text.push_str(&format!(" Tests that failed: {}.", names.join(", ")));
    }
    let lines: Vec<&str> = report.log.lines().collect();
    let last = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
    if !last.trim().is_empty() {
        let skipped = last.chars().count().saturating_sub(LOG_CHARS);
        text.push_str(&format!(" Its last lines:\n{}", last.chars().skip(skipped).collect::<String>()));
    }
    text
}

/// `None`: nothing that whoever writes the change could do better.
fn reason_in_short(reason: &Reason) -> Option<String> {
    Some(match reason {
        Reason::ModelJunk { fault, .. } => format!("no usable answer: {}", cut(fault, DETAIL_CHARS)),
        Reason::AgentFailed { command, ended, said } => {
            format!("the agent's command {command} ended with {ended}: {}", cut(said, DETAIL_CHARS))
        }
        Reason::LimitReached { limit } => format!("a limit was reached: {}", cut(limit, DETAIL_CHARS)),
        Reason::NothingChanged { said } => {
            format!("nothing was changed, with the words: {}", cut(said, DETAIL_CHARS))
        }
        Reason::GatesFail { gates, rounds } => {
            format!("after {rounds} rounds of fixing these gates still failed: {}", gates.join(", "))
        }
        Reason::BlockingFindings { count, rounds } => {
            format!("after {rounds} rounds of fixing {count} findings of reviewers still held it up")
        }
        Reason::ChangeRefused { detail } => format!("the change was refused: {}", cut(detail, DETAIL_CHARS)),
        Reason::TextChanged
        | Reason::NotApproved
        | Reason::ModelUnavailable { .. }
        | Reason::BudgetReached { .. }
        | Reason::ReviewersFailed { .. }
        | Reason::RulesUnusable { .. }
        | Reason::BranchMoved { .. }
        | Reason::Refused { .. }
        | Reason::SandboxUnavailable { .. }
        | Reason::Unreachable { .. }
        | Reason::DependencyEnded { .. }
        | Reason::WaitExpired { .. }
        | Reason::Internal { .. } => return None,
    })
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// As many whole parts as fit, from the end; the last one is cut if even it does not.
fn newest_within(max_chars: usize, parts: &[String]) -> String {
    let mut kept: Vec<String> = Vec::new();
    let mut left = max_chars;
    for part in parts.iter().rev() {
        let length = part.chars().count() + 2;
        if length <= left {
            kept.push(part.clone());
            left -= length;
        } else {
            if kept.is_empty() {
                kept.push(cut(part, max_chars));
            }
            break;
        }
    }
    kept.reverse();
    kept.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{GateKind, Requirement, Verdict};

    #[test]
    fn a_failed_gate_is_told_in_short() {
        let command = "cargo test";
        let gate = ("test", GateKind::Test, Requirement::Required);
        let report = GateReport {
            exit: Some(101),
            failed_tests: (0..90).map(|n| format!("t{n}")).collect(),
            log: (0..500).map(|n| format!("line {n}\n")).collect(),
            ..GateReport::of(gate, command, Verdict::Failed)
        };
        let text = gate_in_short(&report);
        assert!(
            text.starts_with(
                "The gate \"test\" failed ($ cargo test), exit code 101. Tests that failed: t0,"
            )
        );
        assert!(
            text.contains("t19.") && !text.contains("t20") && text.ends_with("line 498\nline 499"),
            "{text}"
        );
        assert!(text.len() < 3_000);
    }

    #[test]
    fn another_task_is_told_in_a_line() {
        let gate = ("test", GateKind::Test, Requirement::Required);
        let report = GateReport {
            failed_tests: (0..9).map(|n| format!("t{n}")).collect(),
            ..GateReport::of(gate, "cargo test", Verdict::Failed)
        };
        let text = other_in_short("Split", "nothing was changed", Some(&[report]));
        assert_eq!(
            text,
            "Another task of this repository, \"Split\", stopped: nothing was changed. The gate \"test\" failed (t0, \
             t1, t2, t3, t4)."
        );
        let long = "x".repeat(10_000);
        assert!(other_in_short(&long, &long, Some(&[])).len() < 500);
        let unread = other_in_short("Split", "nothing was changed", None);
        assert!(
            unread.ends_with("stopped: nothing was changed. What its gates said cannot be read."),
            "{unread}"
        );
    }

    #[test]
    fn the_newest_is_kept_within_the_room() {
        let parts: Vec<String> = (0..10).map(|n| format!("{n}{}", "x".repeat(99))).collect();
        let kept = newest_within(320, &parts);
        assert_eq!(kept.chars().filter(char::is_ascii_digit).collect::<String>(), "789");
        assert_eq!(newest_within(50, &parts).chars().count(), 50);
        assert_eq!(newest_within(50, &[]), "");
    }

    #[test]
    fn what_the_writer_cannot_help_is_not_told() {
        assert_eq!(reason_in_short(&Reason::TextChanged), None);
        assert_eq!(reason_in_short(&Reason::Internal { detail: "x".into() }), None);
        let gates = Reason::GatesFail { gates: vec!["lint".into()], rounds: 2 };
        assert!(reason_in_short(&gates).is_some_and(|text| text.contains("lint")));
    }
}

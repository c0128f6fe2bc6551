//! Small words and figures that more than one text uses.

use chrono::{DateTime, Utc};

use super::text::{Piece, figure};
use crate::domain::{
    FixCause, GateKind, GateReport, Priority, Risk, Severity, Size, State, Usage, Verdict, Workflow,
};

/// Whether the work is real or played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Live,
    /// `DRY_RUN`: answers are simulated from the input, nothing is written outside.
    DryRun,
}

/// `41,200`
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 gate`, `2 gates`
pub(super) fn plural(number: u64, one: &'static str, many: &'static str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Millionths of a dollar as `0.12 USD`, without the sign that GitHub takes for mathematics.
pub(super) fn usd(micro: u64) -> String {
    match micro {
        0 => "0.00 USD".to_owned(),
        1..5_000 => "under 0.01 USD".to_owned(),
        _ => {
            let cents = (micro + 5_000) / 10_000;
            format!("{}.{:02} USD", count(cents / 100), cents % 100)
        }
    }
}

pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..100 => format!("{ms} ms"),
        100..10_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        10_000..60_000 => format!("{} s", ms / 1_000),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

pub(super) fn time(at: DateTime<Utc>) -> Piece {
    figure(at.format("%Y-%m-%d %H:%M UTC").to_string())
}

/// `9 model calls, 41,200 tokens, 0.12 USD`
pub(super) fn usage(usage: &Usage) -> String {
    if usage.calls == 0 {
        return "no model was called".to_owned();
    }
    let mut out =
        format!("{}, {} tokens", plural(usage.calls, "model call", "model calls"), count(usage.tokens()));
    if usage.cost_micro_usd > 0 {
        out.push_str(&format!(", {}", usd(usage.cost_micro_usd)));
    } else {
        out.push_str(", no price is configured for the models");
    }
    out
}

/// The state as a person says it.
pub(super) fn state(state: &State) -> &'static str {
    match state {
        State::Discussing => "reading the issue",
        State::WaitingForAnswer { .. } => "waiting for answers",
        State::AwaitingApproval => "waiting for approval",
        State::Queued => "approved, waiting for its turn",
        State::Implementing => "writing the change",
        State::Gating => "running the gates",
        State::Reviewing => "reviewing the change",
        State::Fixing { cause: FixCause::Gates } => "fixing what the gates found",
        State::Fixing { cause: FixCause::Findings } => "fixing what the reviewers found",
        State::Fixing { cause: FixCause::Remarks } => "trying to fix what the reviewers remarked",
        State::Fixing { cause: FixCause::Instruction } => "working by an instruction",
        State::Publishing => "publishing",
        State::PullRequestOpen => "pull request open",
        State::PullRequestClosed => "pull request closed without a merge",
        State::Answering => "working out the answer",
        State::Done => "done",
        State::Answered => "answered",
        State::NeedsPerson { .. } => "stopped, needs a person",
        State::Cancelled { .. } => "cancelled",
    }
}

/// What a gate is for.
pub(super) fn gate_kind(kind: GateKind) -> &'static str {
    match kind {
        GateKind::Format => "format",
        GateKind::Lint => "lint",
        GateKind::Types => "types",
        GateKind::Test => "tests",
        GateKind::Coverage => "coverage",
        GateKind::Security => "security",
        GateKind::Audit => "dependency audit",
        GateKind::Secrets => "secret scan",
        GateKind::Custom => "custom",
    }
}

/// How a gate ended, with what is known about the base and about its tests.
pub(super) fn gate(gate: &GateReport) -> &'static str {
    match (&gate.verdict, gate.is_old(), &gate.flaky) {
        (Verdict::Passed, _, None) => "passed",
        (Verdict::Passed, _, Some(_)) => "passed when run again (flaky)",
        (Verdict::Failed, false, _) => "failed",
        (Verdict::Failed, true, _) => "failed before this change as well",
        (Verdict::TimedOut, false, _) => "timed out",
        (Verdict::TimedOut, true, _) => "timed out before this change as well",
        (Verdict::CouldNotRun { .. }, _, _) => "could not run",
    }
}

pub(super) fn risk(risk: Risk) -> &'static str {
    match risk {
        Risk::Low => "low",
        Risk::Medium => "medium",
        Risk::High => "high",
    }
}

pub(super) fn size(size: Size) -> &'static str {
    match size {
        Size::Small => "small",
        Size::Medium => "medium",
        Size::Large => "large",
    }
}

pub(super) fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "low",
        Priority::Normal => "normal",
        Priority::High => "high",
    }
}

pub(super) fn workflow(workflow: Workflow) -> &'static str {
    match workflow {
        Workflow::Coding => "coding, ends in a pull request",
        Workflow::Reasoning => "reasoning, ends in an answer",
        Workflow::Science => "science, ends in an answer that was computed",
        Workflow::RagQa => "rag_qa, ends in an answer from the repository",
    }
}

/// `1 HIGH, 2 LOW`; empty without findings.
pub(super) fn severities(all: impl Iterator<Item = Severity> + Clone) -> String {
    let counts = Severity::ALL
        .into_iter()
        .map(|severity| (severity, all.clone().filter(|one| *one == severity).count()));
    let named: Vec<String> = counts
        .filter(|(_, count)| *count > 0)
        .map(|(severity, count)| format!("{count} {}", severity.as_str()))
        .collect();
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        for (micro, text) in [
            (0, "0.00 USD"),
            (1, "under 0.01 USD"),
            (5_000, "0.01 USD"),
            (1_999_999, "2.00 USD"),
            (1_234_560_000, "1,234.56 USD"),
        ] {
            assert_eq!(usd(micro), text);
        }
        for (ms, text) in
            [(7, "7 ms"), (1_250, "1.2 s"), (59_999, "59 s"), (61_000, "1 min 1 s"), (3_660_000, "1 h 1 min")]
        {
            assert_eq!(duration(ms), text);
        }
    }
}

//! A line on the terminal for each state that a task comes to.

use std::time::Duration;

use super::gateway::Gateway;
use super::text::{Line, code, commit, figure, line_of, quote, quote_up_to};
use super::words::{self, plural};
use crate::domain::{FixCause, GateKind, GateReport, Reason, Requirement, State, Task, Verdict};

/// `    12.3 s  running the gates: after fix round 1`, without a line's end. `elapsed`: since the task began.
pub fn progress(gateway: &Gateway, task: &Task, elapsed: Duration) -> String {
    let mut line = line_of![figure(format!("{:>10}  ", words::duration(elapsed.as_millis() as u64)))];
    line.push(match task.state {
        State::Discussing if task.given.is_some() => "reading the task",
        _ => words::state(&task.state),
    });
    if let Some(more) = more(task) {
        line.push(": ");
        line.extend(more);
    }
    gateway.plain(&line)
}

/// How one gate ended, as a line below the one of its task.
pub fn gate_progress(gateway: &Gateway, gate: &GateReport) -> String {
    let mut line = line_of!["          ", code(&gate.name), ": "];
    line.extend(gate_end(gate));
    line.extend(line_of![" (", figure(words::duration(gate.duration_ms)), ")"]);
    gateway.plain(&line)
}

/// A gate that was found in a repository.
#[derive(Debug, Clone)]
pub struct FoundGate<'a> {
    pub name: &'a str,
    pub kind: GateKind,
    pub requirement: Requirement,
    /// As a person would type it.
    pub command: String,
    /// The folder that it runs in; `None`: the tree's root.
    pub folder: Option<&'a str>,
    /// The file that told of it.
    pub source: &'a str,
}

/// A gate that would run and why, in one line.
pub fn found_gate(gateway: &Gateway, gate: &FoundGate) -> String {
    let mut line = line_of![code(gate.name), " (", words::gate_kind(gate.kind)];
    line.push(match gate.requirement {
        Requirement::Required => ", required): ",
        Requirement::Advisory => ", advisory): ",
    });
    line.push(code(&gate.command));
    if let Some(folder) = gate.folder {
        line.extend(line_of![" in ", code(folder)]);
    }
    line.extend(line_of![", because of ", code(gate.source)]);
    gateway.plain(&line)
}

/// How a gate of a repository ended, in one line.
pub fn gate_result(gateway: &Gateway, gate: &GateReport) -> String {
    let mut line = line_of![code(&gate.name), ": "];
    line.extend(gate_end(gate));
    line.extend(line_of![" (", figure(words::duration(gate.duration_ms)), ")"]);
    gateway.plain(&line)
}

/// `failed, exit code 101`
pub(super) fn gate_end(gate: &GateReport) -> Line {
    let mut line = line_of![words::gate(gate)];
    match (&gate.verdict, gate.exit) {
        (Verdict::CouldNotRun { reason }, _) => line.extend(line_of![": ", quote(reason)]),
        (_, Some(exit)) => line.extend(line_of![", exit code ", exit]),
        (_, None) => line.push(", ended by a signal"),
    }
    line
}

fn more(task: &Task) -> Option<Line> {
    match &task.state {
        State::Discussing => Some(line_of![quote_up_to(80, task.title())]),
        State::WaitingForAnswer { questions } => {
            Some(line_of![figure(plural(questions.len() as u64, "question", "questions"))])
        }
        State::AwaitingApproval => Some(line_of!["plan ", quote_up_to(80, task.title())]),
        State::Gating if task.gate_rounds + task.review_rounds > 0 => {
            Some(line_of!["after fix round ", task.gate_rounds + task.review_rounds,])
        }
        State::Fixing { cause: FixCause::Gates } => Some(line_of!["round ", task.gate_rounds]),
        State::Fixing { cause: FixCause::Findings | FixCause::Remarks } => {
            Some(line_of!["round ", task.review_rounds])
        }
        State::PullRequestOpen | State::PullRequestClosed => task.pull_request.map(|number| line_of![number]),
        State::Done => task.branch.as_ref().map(|branch| line_of![code(branch.as_str())]),
        State::NeedsPerson { reason, .. } => Some(short(reason)),
        State::Publishing => task.head.as_ref().map(|head| line_of!["commit ", commit(head)]),
        State::Implementing | State::Answering => Some(line_of![quote_up_to(80, task.title())]),
        State::Queued
        | State::Gating
        | State::Reviewing
        | State::Fixing { .. }
        | State::Answered
        | State::Cancelled { .. } => None,
    }
}

/// The reason in a few words.
fn short(reason: &Reason) -> Line {
    match reason {
        Reason::TextChanged => "the approved text was changed".into(),
        Reason::NotApproved => "nobody approved the plan of a dry run".into(),
        Reason::ModelJunk { role, .. } => line_of!["no usable answer from the ", code(role)],
        Reason::AgentFailed { command, ended, .. } => {
            line_of!["the agent's command ", code(command), " ended with ", quote(ended)]
        }
        Reason::ModelUnavailable { detail } => line_of!["no model answers: ", quote(detail)],
        Reason::LimitReached { limit } => line_of!["limit reached: ", quote(limit)],
        Reason::BudgetReached { scope, .. } => line_of!["the budget ", scope.as_str(), " is spent"],
        Reason::NothingChanged { .. } => "the model changed nothing".into(),
        Reason::GatesFail { gates, .. } => {
            let mut line = line_of!["gates still fail: "];
            line.extend(Line::listed(gates.iter().map(code)));
            line
        }
        Reason::BlockingFindings { count, .. } => line_of!["blocking findings still open: ", *count],
        Reason::ReviewersFailed { .. } => "no reviewer gave a usable answer".into(),
        Reason::BranchMoved { .. } => "somebody else moved the branch".into(),
        Reason::ChangeRefused { detail } => line_of!["change refused: ", quote(detail)],
        Reason::RulesUnusable { detail } => line_of!["unusable rules: ", quote(detail)],
        Reason::Refused { what, detail } if what == "write_local_branch" => {
            line_of!["the branch could not be written: ", quote(detail)]
        }
        Reason::Refused { detail, .. } => line_of!["GitHub refused: ", quote(detail)],
        Reason::SandboxUnavailable { detail } => line_of!["no sandbox: ", quote(detail)],
        Reason::Unreachable { what, .. } => line_of![quote(what), " cannot be reached"],
        Reason::DependencyEnded { title } => line_of!["builds on a cancelled task: ", quote(title)],
        Reason::WaitExpired { what, .. } => line_of!["waited too long for ", quote(what)],
        Reason::Internal { detail } => line_of!["internal fault: ", quote(detail)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::tests::samples::{self, gateway};

    #[test]
    fn a_line_for_each_state_and_reason() {
        let mut lines = Vec::new();
        for (index, task) in samples::in_every_state().iter().chain(&samples::for_every_reason()).enumerate()
        {
            lines.push(progress(&gateway(), task, Duration::from_millis(index as u64 * 2_345)));
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_found_gate_says_why_it_runs_and_sends_no_codes_to_the_terminal() {
        let gate = FoundGate {
            name: "cargo test",
            kind: GateKind::Test,
            requirement: Requirement::Required,
            command: "cargo test\u{1b}[2J".into(),
            folder: Some("rust"),
            source: ".github/workflows/ci.yml",
        };
        assert_eq!(
            found_gate(&gateway(), &gate),
            "cargo test (tests, required): cargo test in rust, because of .github/workflows/ci.yml"
        );
    }

    #[test]
    fn a_title_sends_no_codes_to_the_terminal() {
        let mut task = samples::task();
        let title = &mut task.plan.as_mut().expect("a plan").specification.title;
        *title = "a\u{1b}[2J\u{1b}]0;owned\u{7}\r\nb\u{202e}".into();
        task.state = State::AwaitingApproval;
        assert_eq!(progress(&gateway(), &task, Duration::ZERO), "      0 ms  waiting for approval: plan a b");
    }
}

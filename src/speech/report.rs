//! The report of `orchestrator run`: the same facts as a pull request, for a file.

use super::evidence::{Evidence, could_not_run, gate_logs};
use super::gateway::Gateway;
use super::notice::dry_run;
use super::page::{Block, Page, Room, Summary};
use super::progress::gate_end;
use super::pull_request::{ChangeSize, altered_tests, checks, facts};
use super::reason::advice;
use super::text::{Line, code, line_of, quote, quote_up_to, strong};
use super::words::{self, Mode};
use super::{answer, plan, status};
use crate::domain::{Answer, Reason, State, Task};

#[derive(Debug, Clone, Copy)]
pub struct LocalReportView<'a> {
    /// The task at its end.
    pub task: &'a Task,
    /// What the implementer says that it did; empty before there was code.
    pub done: &'a str,
    pub size: ChangeSize,
    /// Tests of the base branch that the change alters or removes.
    pub altered_tests: &'a [String],
    pub evidence: Evidence<'a>,
    /// The work as a patch, where no branch holds it.
    pub patch: Option<&'a str>,
    /// Where the task ends in words.
    pub answer: Option<&'a Answer>,
    pub mode: Mode,
}

/// Markdown.
pub fn local_report(gateway: &Gateway, view: &LocalReportView) -> String {
    gateway.body(|room| page(view, room)).into_string()
}

/// The same in a few lines for a terminal.
pub fn local_outcome(gateway: &Gateway, view: &LocalReportView) -> Vec<String> {
    let task = view.task;
    let mut lines: Vec<Line> = Vec::new();
    match (&task.state, &task.branch) {
        (State::Done, Some(branch)) => {
            lines.push(line_of!["branch   ", code(branch.as_str())]);
            if let crate::domain::Origin::Local { repository, .. } = &task.origin {
                lines.push(line_of!["         in ", code(repository), "; your checkout was not touched"]);
            }
        }
        (State::NeedsPerson { reason: Reason::NothingChanged { .. }, .. }, _)
            if view.mode == Mode::DryRun =>
        {
            lines.push(
                "dry run  answers were simulated, nothing was changed and no branch was written".into(),
            );
        }
        (State::NeedsPerson { .. }, _) => {
            lines.push(line_of![
                "stopped  go on with: ",
                code(format!("orchestrator run --resume {}", task.id))
            ]);
        }
        (State::WaitingForAnswer { questions }, _) => {
            lines.push("asked    put the answers into the issue file and run it again:".into());
            lines.extend(questions.iter().map(|question| line_of!["         - ", quote(question)]));
        }
        (State::Answered, _) if view.answer.is_some_and(Answer::holds) => {
            lines.push("answered; the answer stands in the report".into());
        }
        (State::Answered, _) => {
            lines.push("answered, but what speaks against the answer stands with it in the report".into());
        }
        (state, _) => lines.push(line_of!["ended    ", words::state(state)]),
    }
    lines.extend(view.evidence.gates.iter().map(|gate| {
        let mut line = line_of!["gate     ", code(&gate.name), " (", code(&gate.command), "): "];
        line.extend(gate_end(gate));
        line
    }));
    lines.iter().map(|line| gateway.plain(line)).collect()
}

fn page(view: &LocalReportView, room: Room) -> Page {
    let task = view.task;
    let mut page = Page::default();
    page.heading(line_of![quote_up_to(200, task.title())]);
    if view.mode == Mode::DryRun {
        page.append(dry_run());
    }
    page.append(outcome(view));
    if task.head.is_some() {
        page.append(could_not_run(&view.evidence, room));
    }
    if let Some(said) = view.answer {
        page.append(answer::answer(said, None, room));
    }
    page.push(Block::Prose(view.done.to_owned(), room.text));
    page.append(altered_tests(view.altered_tests));
    if task.head.is_some() {
        page.append(checks(&view.evidence, room));
    }
    page.heading("Facts");
    page.bullets(facts(task, &view.size, &view.evidence));
    page.append(gate_logs(&view.evidence, room));
    if let Some(plan) = &task.plan {
        page.details(
            Summary::from("The task as it was understood"),
            plan::task(&plan.specification, &[], room),
        );
    }
    if let Some(patch) = view.patch.filter(|patch| !patch.trim().is_empty() && room.log > 0) {
        let mut inner = Page::default();
        inner.push(Block::Log(patch.to_owned(), room.log));
        page.details("The work as a patch", inner);
    }
    page
}

/// What the run ended in and what to do with it.
fn outcome(view: &LocalReportView) -> Page {
    let task = view.task;
    let mut page = Page::default();
    match (&task.state, &task.branch) {
        (State::Done, Some(branch)) => {
            page.paragraph(line_of![
                strong("Done."),
                " The change is on the branch ",
                code(branch.as_str()),
                "."
            ]);
            page.paragraph(line_of![
                "Your checkout was not touched. ",
                code(format!("git diff {}...{branch}", base(task))),
                " shows the change, ",
                code(format!("git merge {branch}")),
                " takes it.",
            ]);
        }
        (State::Answered, _) => {}
        (State::NeedsPerson { reason: Reason::NothingChanged { .. }, .. }, _)
            if view.mode == Mode::DryRun =>
        {
            page.paragraph(line_of![
                strong("Nothing was done."),
                " A dry run ends where a model would write code. Your repository was read and not changed.",
            ]);
        }
        (State::NeedsPerson { reason, resume }, _) => {
            let advice = advice(task, reason, *resume, "");
            let mut line = line_of![strong("Not done."), " "];
            line.extend(advice.happened);
            page.paragraph(line);
            if let Some(said) = advice.said {
                page.push(Block::Log(said, 4_000));
            }
            page.paragraph(advice.kept);
            page.bullets(advice.to_do);
        }
        (State::WaitingForAnswer { questions }, _) => {
            page.paragraph(line_of![
                strong("Not done."),
                " The issue leaves open what has to be known first:"
            ]);
            page.bullets(questions.iter().map(|question| quote(question).into()).collect());
            page.paragraph("Put the answers into the issue file and run it again.");
        }
        (State::Cancelled { reason }, _) => {
            let mut line = line_of![strong("Cancelled."), " "];
            line.extend(status::cancelled(task, reason));
            page.paragraph(line);
        }
        (state, _) => {
            page.paragraph(line_of![strong("Not done."), " The run ended while ", words::state(state), "."]);
        }
    }
    page
}

fn base(task: &Task) -> String {
    match (&task.origin, &task.base) {
        (crate::domain::Origin::Local { base, .. }, _) => base.to_string(),
        (_, Some(base)) => base.to_string(),
        _ => "HEAD".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FixCause, Reason, Resume};
    use crate::speech::tests::samples::{self, Proof, gateway};

    #[test]
    fn a_report_of_finished_work() {
        let (task, proof) = (samples::local(State::Done), Proof::good());
        insta::assert_snapshot!(local_report(&gateway(), &samples::report_view(&task, &proof)));
    }

    #[test]
    fn a_report_of_work_that_stopped() {
        let reason = Reason::GatesFail { gates: vec!["test".into()], rounds: 2 };
        let mut task = samples::local(State::NeedsPerson { reason, resume: Resume::Fix(FixCause::Gates) });
        task.branch = None;
        let proof = Proof::mixed();
        let view =
            LocalReportView { patch: Some("--- a/x\n+++ b/x\n"), ..samples::report_view(&task, &proof) };
        insta::assert_snapshot!(local_report(&gateway(), &view));
    }

    #[test]
    fn a_report_of_an_issue_that_leaves_questions() {
        let questions = vec!["Which currency?".to_owned(), "Since when?".to_owned()];
        let mut task = samples::local(State::WaitingForAnswer { questions });
        (task.plan, task.branch, task.head, task.base, task.approval) = (None, None, None, None, None);
        let (proof, view) = (Proof::none(), LocalReportView::clone);
        let whole = samples::report_view(&task, &proof);
        insta::assert_snapshot!(local_report(
            &gateway(),
            &LocalReportView { done: "", mode: Mode::DryRun, ..view(&whole) }
        ));
    }

    #[test]
    fn a_report_of_cancelled_work() {
        let task = samples::local(State::Cancelled {
            reason: crate::domain::CancelReason::Command { by: "ada".into() },
        });
        let proof = Proof::none();
        insta::assert_snapshot!(local_report(&gateway(), &samples::report_view(&task, &proof)));
    }

    #[test]
    fn the_end_of_a_run_in_a_few_lines() {
        let reason = Reason::GatesFail { gates: vec!["test".into()], rounds: 2 };
        let nothing = Reason::NothingChanged { said: "x".into() };
        let questions = vec!["Which\u{1b}[2J\ncurrency?".to_owned()];
        let stopped = |reason| State::NeedsPerson { reason, resume: Resume::Fix(FixCause::Gates) };
        let cases = [
            (State::Done, Proof::good(), Mode::Live),
            (stopped(reason), Proof::mixed(), Mode::Live),
            (stopped(nothing), Proof::none(), Mode::DryRun),
            (State::WaitingForAnswer { questions }, Proof::none(), Mode::Live),
        ];
        let mut told = Vec::new();
        for (state, proof, mode) in cases {
            let task = samples::local(state);
            let view = samples::report_view(&task, &proof);
            told.extend(local_outcome(&gateway(), &LocalReportView { mode, ..view }));
            told.push(String::new());
        }
        insta::assert_snapshot!(told.join("\n"));
    }
}

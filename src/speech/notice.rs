//! Comments that answer a command or tell of a turn in a task's life.

use super::evidence::{
    Evidence, could_not_run, finding_counts, gate_counts, gate_logs, gate_past, gate_table, open_findings,
    spend,
};
use super::gateway::{Body, Gateway};
use super::page::{Block, Page, Room};
use super::reason::{self, advice};
use super::text::{Line, code, commit, figure, line_of, quote_up_to, strong};
use super::words::{self, Mode};
use super::{help, status};
use crate::domain::{Amount, ApprovalMeans, BudgetChange, CommandFault, Notice, Reason, Resume, State, Task};

/// What a notice may have to tell beside itself.
#[derive(Debug, Clone, Copy)]
pub struct NoticeView<'a> {
    /// The effect's key, for the marker.
    pub key: &'a str,
    /// The task as it was when the notice was decided; `None` where no task is concerned.
    pub task: Option<&'a Task>,
    /// The label that starts work.
    pub label: &'a str,
    pub evidence: Evidence<'a>,
    /// Most fix rounds for gates.
    pub gate_rounds: u8,
    /// Most fix rounds for findings.
    pub review_rounds: u8,
    /// The kept work as a patch.
    pub patch: Option<&'a str>,
    pub mode: Mode,
}

/// The comment for a notice.
pub fn notice(gateway: &Gateway, notice: &Notice, view: &NoticeView) -> Body {
    gateway.fit(view.key, |room| {
        let mut page = Page::default();
        if view.mode == Mode::DryRun {
            page.append(dry_run());
        }
        page.append(which_task(notice, view.task));
        page.append(notice_page(notice, view, room));
        page
    })
}

/// What stands above everything that a dry run says.
pub(super) fn dry_run() -> Page {
    let mut page = Page::default();
    page.paragraph(line_of![
        strong("Dry run."),
        " Answers of models are simulated from the input; nothing is written to GitHub and no mail is sent.",
    ]);
    page
}

fn notice_page(notice: &Notice, view: &NoticeView, room: Room) -> Page {
    match (notice, view.task) {
        (Notice::Help, _) => commands(),
        (Notice::NotACommand { fault }, _) => not_a_command(fault),
        (Notice::NotAllowed { verb, login }, _) => not_allowed(verb, login),
        (Notice::NoTaskHere, _) | (_, None) => no_task(view.label),
        (Notice::Status, Some(task)) => status::page(task, view),
        (Notice::Questions, Some(task)) => questions(task, room),
        (Notice::NotNow { verb }, Some(task)) => not_now(verb, task),
        (Notice::Approved { login }, Some(task)) => approved(login, task),
        (Notice::Cancelled, Some(task)) => cancelled(task),
        (Notice::NeedsPerson, Some(task)) => needs_person(task, view, room),
        (Notice::Retrying, Some(task)) => retrying(task),
        (Notice::BudgetChanged { change }, Some(task)) => budget_changed(*change, task),
        (Notice::BudgetTooLarge { most }, Some(_)) => budget_too_large(*most),
        (Notice::FixStarted, Some(task)) => fix_started(task, view, room),
        (Notice::FixChangedNothing { said }, Some(_)) => fix_changed_nothing(said, room),
        (Notice::SameTextAgain, Some(task)) => same_text(task, view.label),
        (Notice::Pushed, Some(task)) => pushed(task, view, room),
        (Notice::NotDone { what, detail }, Some(_)) => not_done(what, detail, room),
    }
}

/// An issue may have become several tasks, and each speaks in the same place.
fn which_task(notice: &Notice, task: Option<&Task>) -> Page {
    let mut page = Page::default();
    let concerns_none = matches!(
        notice,
        Notice::Help
            | Notice::NotACommand { .. }
            | Notice::NotAllowed { .. }
            | Notice::NoTaskHere
            | Notice::Status
    );
    if let Some((task, plan)) = task.and_then(|task| Some((task, task.plan.as_ref()?)))
        && plan.tasks_in_plan > 1
        && !concerns_none
    {
        let title = quote_up_to(200, task.title());
        page.paragraph(line_of!["About task ", task.ordinal, " of ", plan.tasks_in_plan, ": ", title]);
    }
    page
}

fn commands() -> Page {
    let mut page = Page::default();
    page.heading("Commands");
    page.append(help::table());
    page
}

fn not_a_command(fault: &CommandFault) -> Page {
    let what = match fault {
        CommandFault::NoVerb => line_of!["There is no verb after ", code("/orchestrate"), "."],
        CommandFault::UnknownVerb(verb) => line_of![code(verb), " is not a verb that I know."],
        CommandFault::NothingToFix => line_of![code("fix"), " needs a text that says what to change."],
        CommandFault::NothingAsked => line_of![code("ask"), " needs a question after it."],
        CommandFault::NoAnswerFrom(workflow) => line_of![
            code(workflow.as_str()),
            " ends in a pull request and not in an answer. An issue with the label asks for that.",
        ],
        CommandFault::NoAmount(text) if text.is_empty() => {
            line_of![
                code("budget"),
                " needs an amount, such as ",
                code("5"),
                ", ",
                code("+2.50"),
                " or ",
                code("500k tokens"),
                "."
            ]
        }
        CommandFault::NoAmount(text) => line_of![
            code(text),
            " is no amount. Amounts are ",
            code("5"),
            " and ",
            code("+2.50"),
            " in US dollars, or ",
            code("500k tokens"),
            "."
        ],
        CommandFault::UnexpectedText(verb) => line_of![code(verb), " takes no text after it."],
        CommandFault::Several => {
            "There is more than one command in the comment, and I act on one at a time.".into()
        }
    };
    let mut line = what;
    line.push(" Nothing was done. This is what I understand:");
    let mut page = Page::default();
    page.paragraph(line);
    page.append(help::table());
    page
}

fn not_allowed(verb: &str, login: &str) -> Page {
    let needs = help::commands().into_iter().find(|command| command.verb() == verb);
    let who = needs.map_or("people with write permission", |command| help::who(command.needs()));
    let mut page = Page::default();
    page.paragraph(line_of![
        code(verb),
        " is for ",
        who,
        " on this repository, and GitHub did not confirm that ",
        code(login),
        " is one of them. Nothing was done.",
    ]);
    page
}

fn no_task(label: &str) -> Page {
    let mut page = Page::default();
    page.paragraph(line_of![
        "There is no task of mine here. Setting the label ",
        code(label),
        " on an issue starts one; ",
        code("/orchestrate help"),
        " lists the commands.",
    ]);
    page
}

fn questions(task: &Task, room: Room) -> Page {
    let State::WaitingForAnswer { questions } = &task.state else { return overtaken(task) };
    let mut page = Page::default();
    page.heading("Before there can be a plan");
    page.paragraph("The issue leaves open what has to be known first:");
    page.bullets(questions.iter().map(|question| quote_up_to(room.text, question).into()).collect());
    page.paragraph(line_of![
        "Please answer in a comment, in your own words, or edit the issue. An answer of whoever wrote the issue, ",
        "asked for the work, or may write here is read, and a plan or further questions follow.",
    ]);
    page
}

/// The task went on between the decision to say something and its saying.
fn overtaken(task: &Task) -> Page {
    let mut page = Page::default();
    page.paragraph(line_of![
        "The task has gone on in the meantime; it is now: ",
        words::state(&task.state),
        "."
    ]);
    page
}

fn not_now(verb: &str, task: &Task) -> Page {
    let mut line =
        line_of![code(verb), " has nothing to do now: the task is ", words::state(&task.state), ". "];
    let possible = possible(task);
    if possible.is_empty() {
        line.push("No command changes it in this state.");
    } else {
        line.push("What would do something: ");
        line.extend(Line::listed(possible.into_iter().map(code)));
        line.push(".");
    }
    let mut page = Page::default();
    page.paragraph(line);
    page
}

/// The commands that have an effect in the task's state.
fn possible(task: &Task) -> Vec<&'static str> {
    const RETRY: &str = "/orchestrate retry";
    const FIX: &str = "/orchestrate fix <text>";
    const CANCEL: &str = "/orchestrate cancel";
    const BUDGET: &str = "/orchestrate budget +5";
    match &task.state {
        State::AwaitingApproval => vec!["/orchestrate approve", "/orchestrate reject", CANCEL],
        State::WaitingForAnswer { .. } => vec!["/orchestrate reject", CANCEL],
        State::NeedsPerson { reason, resume } => {
            let mut possible = Vec::new();
            // The first task of a plan reads the issue for all of them.
            if *resume != Resume::Discuss || task.ordinal == 1 {
                possible.push(RETRY);
            }
            if matches!(reason, Reason::BudgetReached { .. }) {
                possible.push(BUDGET);
            }
            if task.head.is_some() && *reason != Reason::TextChanged {
                possible.push(FIX);
            }
            possible.push(CANCEL);
            possible
        }
        State::PullRequestOpen => vec![FIX],
        State::Cancelled { .. } if task.ordinal == 1 => vec![RETRY],
        State::Cancelled { .. } | State::PullRequestClosed | State::Done | State::Answered => vec![],
        State::Discussing
        | State::Queued
        | State::Implementing
        | State::Gating
        | State::Reviewing
        | State::Fixing { .. }
        | State::Publishing
        | State::Answering => vec![CANCEL],
    }
}

fn approved(login: &str, task: &Task) -> Page {
    let mut line = line_of!["Approved by ", code(login), ": revision ", task.revision];
    if let Some(plan) = &task.plan {
        line.extend(line_of![" of the plan, digest ", code(plan.digest.short())]);
    }
    line.push("; ");
    line.extend(status::begins(task));
    if task.approval.as_ref().is_some_and(|approval| approval.means == ApprovalMeans::Reaction) {
        line.push(" Until then, taking the reaction back takes the approval back.");
    }
    let mut page = Page::default();
    page.paragraph(line);
    page
}

fn cancelled(task: &Task) -> Page {
    let mut page = Page::default();
    match &task.state {
        State::Cancelled { reason } => {
            let mut line = line_of![strong("Cancelled."), " "];
            line.extend(status::cancelled(task, reason));
            page.paragraph(line);
        }
        State::PullRequestOpen => page.paragraph(line_of![
            "The round that was at work is dropped. The pull request stays as it was before it.",
        ]),
        _ => return overtaken(task),
    }
    page
}

fn needs_person(task: &Task, view: &NoticeView, room: Room) -> Page {
    let State::NeedsPerson { reason, resume } = &task.state else { return overtaken(task) };
    let advice = advice(task, reason, *resume, view.label);
    let mut page = Page::default();
    page.heading("This needs a person");
    page.paragraph(advice.happened);
    if let Some(said) = advice.said {
        let mut quoted = Page::default();
        quoted.push(Block::Log(said, room.text));
        page.append(quoted);
    }
    if reason_is_about_the_change(reason) {
        page.append(gate_table(&view.evidence));
        page.append(gate_past(&view.evidence, room));
        page.append(could_not_run(&view.evidence, room));
        page.append(open_findings(&view.evidence, room));
    }
    let mut kept = line_of![strong("What is kept:"), " "];
    kept.extend(advice.kept);
    page.paragraph(kept);
    page.paragraph(line_of![strong("What to do:")]);
    page.bullets(advice.to_do);
    let mut cost = line_of!["Spent so far: "];
    cost.extend(spend(&view.evidence.spend));
    cost.push(".");
    page.paragraph(cost);
    if reason_is_about_the_change(reason) {
        page.append(gate_logs(&view.evidence, room));
    }
    if let Some(patch) = view.patch.filter(|patch| !patch.trim().is_empty() && room.log > 0) {
        let mut inner = Page::default();
        inner.push(Block::Log(patch.to_owned(), room.log));
        page.details("The work so far as a patch", inner);
    }
    page
}

fn reason_is_about_the_change(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::GatesFail { .. } | Reason::BlockingFindings { .. } | Reason::ReviewersFailed { .. }
    )
}

fn retrying(task: &Task) -> Page {
    let mut page = Page::default();
    page.paragraph(line_of![
        "Going on with attempt ",
        task.attempt,
        " of revision ",
        task.revision,
        ": ",
        words::state(&task.state),
        ".",
    ]);
    page
}

fn budget_changed(change: BudgetChange, task: &Task) -> Page {
    let amount = figure(change.amount().to_string());
    let mut line = match change {
        BudgetChange::Set(_) => line_of!["This task may now spend ", amount, " in all on models."],
        BudgetChange::Add(_) => line_of!["This task may now spend ", amount, " more on models."],
    };
    if task.stage().is_some() {
        line.extend(line_of![" It is ", words::state(&task.state), "."]);
    }
    let mut page = Page::default();
    page.paragraph(line);
    page
}

fn budget_too_large(most: Amount) -> Page {
    let mut page = Page::default();
    page.paragraph(line_of![
        "The operator of this deployment lets a task spend ",
        figure(most.to_string()),
        " at most, in all or more at a time. Nothing was changed.",
    ]);
    page
}

fn fix_started(task: &Task, view: &NoticeView, room: Room) -> Page {
    let mut page = Page::default();
    page.paragraph(line_of![
        "Working on this by your instruction. ",
        view.evidence.judges(),
        " look at the result before it is pushed on top of what is there:",
    ]);
    page.push(Block::Exact(task.instruction.clone().unwrap_or_default(), room.text));
    page
}

fn fix_changed_nothing(said: &str, room: Room) -> Page {
    let mut page = Page::default();
    page.paragraph("The round ended without a change, so nothing was pushed. The model said:");
    page.push(Block::Log(said.to_owned(), room.text));
    page.paragraph(line_of![code("/orchestrate fix <text>"), " in other words may get further."]);
    page
}

fn not_done(what: &str, detail: &str, room: Room) -> Page {
    let mut page = Page::default();
    page.paragraph(line_of!["GitHub refused to ", reason::act(what), ", so it is missing here. It said:"]);
    page.push(Block::Log(detail.to_owned(), room.text));
    page.paragraph("The work itself is not affected. Most often the App lacks a permission.");
    page
}

fn same_text(task: &Task, label: &str) -> Page {
    let mut line = line_of![
        "The label is set again, but the issue says the same as when it was last planned, so nothing was started. ",
    ];
    match &task.state {
        State::Cancelled { .. } => line.extend(line_of![
            code("/orchestrate retry"),
            " makes a new plan all the same; so does changing the text and setting the label ",
            code(label),
            " again.",
        ]),
        _ => line.extend(line_of![
            "Change the text to what is wanted now, then remove the label ",
            code(label),
            " and set it again.",
        ]),
    }
    let mut page = Page::default();
    page.paragraph(line);
    page
}

fn pushed(task: &Task, view: &NoticeView, room: Room) -> Page {
    let mut page = Page::default();
    let mut line = line_of!["Pushed"];
    if let Some(head) = &task.head {
        line.extend(line_of![" ", commit(head)]);
    }
    line.extend(line_of![" on top of this pull request (follow-up round ", task.round, ")."]);
    page.paragraph(line);
    page.append(could_not_run(&view.evidence, room));
    page.paragraph("Where it stands:");
    let facts: [(&'static str, Line); 3] = [
        ("Gates", gate_counts(&view.evidence)),
        ("Findings", finding_counts(&view.evidence)),
        ("Spent", spend(&view.evidence.spend)),
    ];
    page.bullets(
        facts
            .into_iter()
            .map(|(name, value)| {
                let mut line = line_of![strong(name), ": "];
                line.extend(value);
                line
            })
            .collect(),
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_command;
    use crate::speech::tests::rules;
    use crate::speech::tests::samples::{self, Proof, gateway};

    fn said(notice: &Notice, task: Option<&Task>, proof: &Proof) -> String {
        let view = NoticeView {
            key: "key",
            task,
            label: "auto",
            evidence: proof.evidence(),
            gate_rounds: 3,
            review_rounds: 2,
            patch: None,
            mode: Mode::Live,
        };
        super::notice(&gateway(), notice, &view).into_string()
    }

    fn together(texts: impl IntoIterator<Item = String>) -> String {
        texts.into_iter().collect::<Vec<_>>().join("\n=====\n\n")
    }

    fn with(state: State) -> Task {
        Task { state, ..samples::published() }
    }

    #[test]
    fn the_answers_that_need_no_task() {
        let fault = |fault| Notice::NotACommand { fault };
        let notices = [
            Notice::Help,
            fault(CommandFault::NoVerb),
            fault(CommandFault::UnknownVerb("dance @octocat".into())),
            fault(CommandFault::NothingToFix),
            fault(CommandFault::NothingAsked),
            fault(CommandFault::NoAnswerFrom(crate::domain::Workflow::Coding)),
            fault(CommandFault::UnexpectedText("approve".into())),
            fault(CommandFault::NoAmount(String::new())),
            fault(CommandFault::NoAmount("5 @octocat".into())),
            fault(CommandFault::Several),
            Notice::NotAllowed { verb: "approve".into(), login: "mallory".into() },
            Notice::NoTaskHere,
            Notice::Status,
        ];
        insta::assert_snapshot!(together(notices.iter().map(|one| said(one, None, &Proof::none()))));
    }

    #[test]
    fn the_status_in_every_state() {
        let proof = Proof::mixed();
        let states = samples::in_every_state();
        insta::assert_snapshot!(together(states.iter().map(|task| said(
            &Notice::Status,
            Some(task),
            &proof
        ))));
    }

    #[test]
    fn a_stop_for_every_reason() {
        let proof = Proof::mixed();
        let tasks = samples::for_every_reason();
        insta::assert_snapshot!(together(tasks.iter().map(|task| said(
            &Notice::NeedsPerson,
            Some(task),
            &proof
        ))));
    }

    #[test]
    fn every_reason_is_among_the_samples() {
        // Exhaustive, so that a new reason does not compile until this and the samples know it.
        let place = |reason: &Reason| match reason {
            Reason::TextChanged => 0,
            Reason::ModelJunk { .. } => 1,
            Reason::ModelUnavailable { .. } => 2,
            Reason::LimitReached { .. } => 3,
            Reason::NothingChanged { .. } => 4,
            Reason::GatesFail { .. } => 5,
            Reason::BlockingFindings { .. } => 6,
            Reason::ReviewersFailed { .. } => 7,
            Reason::BranchMoved { .. } => 8,
            Reason::ChangeRefused { .. } => 9,
            Reason::Refused { .. } => 10,
            Reason::SandboxUnavailable { .. } => 11,
            Reason::Unreachable { .. } => 12,
            Reason::WaitExpired { .. } => 13,
            Reason::Internal { .. } => 14,
            Reason::DependencyEnded { .. } => 15,
            Reason::NotApproved => 16,
            Reason::BudgetReached { .. } => 17,
            Reason::AgentFailed { .. } => 18,
            Reason::RulesUnusable { .. } => 19,
        };
        let tasks = samples::for_every_reason();
        let mut places: Vec<usize> = tasks
            .iter()
            .filter_map(|task| {
                if let State::NeedsPerson { reason, .. } = &task.state { Some(place(reason)) } else { None }
            })
            .collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places, (0..=19).collect::<Vec<_>>());
    }

    #[test]
    fn the_turns_of_a_task() {
        let questions = vec!["Which currency?".to_owned(), "Since when? @octocat says `1999`.".to_owned()];
        let approved = Notice::Approved { login: "ada".into() };
        let instruction = Some("Use a table.\n\nFixes #99 @octocat".to_owned());
        let cancel =
            samples::cancel_reasons().map(|reason| (Notice::Cancelled, with(State::Cancelled { reason })));
        let mut turns = vec![
            (Notice::Questions, with(State::WaitingForAnswer { questions })),
            (approved, with(State::Queued)),
            (Notice::Retrying, Task { attempt: 2, ..with(State::Gating) }),
            (
                Notice::BudgetChanged { change: BudgetChange::Set(Amount::MicroUsd(5_000_000)) },
                with(State::Queued),
            ),
            (
                Notice::BudgetChanged { change: BudgetChange::Add(Amount::Tokens(500_000)) },
                with(State::Queued),
            ),
            (Notice::BudgetTooLarge { most: Amount::MicroUsd(50_000_000) }, with(State::PullRequestOpen)),
            (Notice::FixStarted, Task { instruction, round: 1, ..with(State::PullRequestOpen) }),
            (Notice::FixChangedNothing { said: "It is done already.".into() }, with(State::PullRequestOpen)),
            (
                Notice::SameTextAgain,
                with(State::Cancelled { reason: crate::domain::CancelReason::LabelRemoved }),
            ),
            (Notice::SameTextAgain, with(State::Done)),
            (Notice::Pushed, Task { round: 1, ..with(State::PullRequestOpen) }),
            (
                Notice::NotDone {
                    what: "report_check".into(),
                    detail: "GitHub forbids it: Resource not accessible by integration".into(),
                },
                with(State::PullRequestOpen),
            ),
            (Notice::Cancelled, with(State::PullRequestOpen)),
        ];
        turns.extend(cancel);
        let proof = Proof::mixed();
        insta::assert_snapshot!(together(turns.iter().map(|(notice, task)| said(
            notice,
            Some(task),
            &proof
        ))));
    }

    #[test]
    fn a_turn_of_one_task_of_several_says_which() {
        let mut task = Task { ordinal: 2, ..samples::stopped_by_gates() };
        task.plan.as_mut().expect("a plan").tasks_in_plan = 3;
        let about = "About task 2 of 3: Round half to even";
        for notice in [Notice::NeedsPerson, Notice::Retrying, Notice::Approved { login: "ada".into() }] {
            let text = said(&notice, Some(&task), &Proof::none());
            assert!(text.contains(about), "{text}");
        }
        assert!(!said(&Notice::Help, Some(&task), &Proof::none()).contains(about));
    }

    #[test]
    fn a_command_that_has_nothing_to_do_in_any_state() {
        let notice = Notice::NotNow { verb: "retry".into() };
        let states = samples::in_every_state();
        insta::assert_snapshot!(together(states.iter().map(|task| said(
            &notice,
            Some(task),
            &Proof::none()
        ))));
    }

    #[test]
    fn a_notice_whose_moment_has_passed_says_where_the_task_is() {
        for notice in [Notice::Questions, Notice::NeedsPerson, Notice::Cancelled] {
            let text = said(&notice, Some(&with(State::Gating)), &Proof::none());
            assert!(text.contains("it is now: running the gates"), "{text}");
        }
    }

    #[test]
    fn a_stop_of_a_dry_run_shows_the_kept_patch() {
        let task = samples::stopped_by_gates();
        let proof = Proof::mixed();
        let view = NoticeView {
            key: "key",
            task: Some(&task),
            label: "auto",
            evidence: proof.evidence(),
            gate_rounds: 3,
            review_rounds: 2,
            patch: Some("--- a/src/round.rs\n+++ b/src/round.rs\n@@ -1 +1 @@\n-a\n+b\n"),
            mode: Mode::DryRun,
        };
        insta::assert_snapshot!(super::notice(&gateway(), &Notice::NeedsPerson, &view).as_str());
    }

    #[test]
    fn hostile_notices_act_nowhere() {
        let proof = Proof::hostile();
        for text in samples::HOSTILE {
            let text = || text.to_owned();
            let reasons = [
                Reason::ModelJunk { role: text(), fault: text() },
                Reason::AgentFailed { command: text(), ended: text(), said: text() },
                Reason::NothingChanged { said: text() },
                Reason::GatesFail { gates: vec![text()], rounds: 1 },
                Reason::BranchMoved { actual: text() },
                Reason::Refused { what: text(), detail: text() },
                Reason::Unreachable { what: text(), detail: text() },
                Reason::LimitReached { limit: text() },
                Reason::WaitExpired { what: text(), days: 1 },
                Reason::DependencyEnded { title: text() },
            ];
            let mut said_of: Vec<(Notice, Task)> =
                reasons.map(|reason| (Notice::NeedsPerson, samples::stopped(reason, Resume::Gate))).into();
            said_of.extend([
                (Notice::Questions, with(State::WaitingForAnswer { questions: vec![text()] })),
                (Notice::NotACommand { fault: CommandFault::UnknownVerb(text()) }, samples::task()),
                (Notice::NotAllowed { verb: text(), login: text() }, samples::task()),
                (Notice::NotNow { verb: text() }, samples::task()),
                (Notice::Approved { login: text() }, samples::task()),
                (Notice::FixStarted, Task { instruction: Some(text()), ..samples::published() }),
                (Notice::FixChangedNothing { said: text() }, samples::published()),
                (Notice::Status, samples::hostile_task()),
                (Notice::NotDone { what: text(), detail: text() }, samples::published()),
            ]);
            for (notice, task) in said_of {
                let body = said(&notice, Some(&task), &proof);
                rules::assert_harmless(&body);
                assert_eq!(parse_command(&body), None, "{body}");
            }
        }
    }
}

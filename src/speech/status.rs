//! Where a task stands, what comes next, and who has to do something.

use super::evidence::{finding_counts, gate_counts, spend};
use super::notice::NoticeView;
use super::page::Page;
use super::reason::advice;
use super::text::{Line, code, commit, figure, line_of, quote, strong};
use super::words;
use crate::domain::{Account, ApprovalMeans, CancelReason, State, Task};

pub(super) fn page(task: &Task, view: &NoticeView) -> Page {
    let mut page = Page::default();
    page.heading(line_of!["Status: ", words::state(&task.state)]);
    let mut facts = vec![fact("Task", line_of![quote(task.title())])];
    facts.push(fact("Plan", plan(task)));
    if task.plan.is_some() && !task.ends_in_answer() {
        facts.push(fact("Rounds", rounds(task, view)));
        facts.push(fact("Gates", gate_counts(&view.evidence)));
        facts.push(fact("Findings", finding_counts(&view.evidence)));
    }
    facts.push(fact("Spent", spend(&view.evidence.spend)));
    facts.extend(places(task));
    if let State::NeedsPerson { reason, resume } = &task.state {
        facts.push(fact("Stopped", advice(task, reason, *resume, view.label).happened));
    }
    facts.push(fact("Next", next(task, view)));
    facts.push(fact("Waits for", waits_for(task)));
    page.bullets(facts);
    page
}

fn fact(name: &'static str, value: Line) -> Line {
    let mut line = line_of![strong(name), ": "];
    line.extend(value);
    line
}

/// Which plan the task follows, and who approved it.
pub(super) fn plan(task: &Task) -> Line {
    let Some(plan) = &task.plan else { return "not made yet".into() };
    let mut line = line_of!["revision ", task.revision];
    if plan.tasks_in_plan > 1 {
        line.extend(line_of![", task ", task.ordinal, " of ", plan.tasks_in_plan]);
    }
    line.extend(line_of![", digest ", code(plan.digest.short())]);
    match &task.approval {
        Some(approval) => {
            line.push(", ");
            line.extend(approved(&approval.by, &approval.means));
            line.extend(line_of![" at ", words::time(approval.at)]);
        }
        None => line.push(", not approved"),
    }
    line
}

/// `approved by ada with a reaction`
pub(super) fn approved(by: &Option<Account>, means: &ApprovalMeans) -> Line {
    let mut line = match by {
        Some(account) => line_of!["approved by ", code(&account.login)],
        None => line_of!["approved"],
    };
    line.push(match means {
        ApprovalMeans::Reaction => " with a reaction",
        ApprovalMeans::Command(_) => " with a command",
        ApprovalMeans::LocalRun => " by running it here",
        ApprovalMeans::DryRun => " by itself, since this is a dry run",
    });
    line
}

fn rounds(task: &Task, view: &NoticeView) -> Line {
    let mut line = line_of![
        "gate fixes ",
        task.gate_rounds,
        " of ",
        view.gate_rounds,
        ", review fixes ",
        task.review_rounds,
        " of ",
        view.review_rounds,
        ", attempt ",
        task.attempt,
    ];
    if task.round > 0 {
        line.extend(line_of![", follow-up round ", task.round]);
    }
    line
}

fn places(task: &Task) -> Vec<Line> {
    let mut places = Vec::new();
    if let Some(branch) = &task.branch {
        let mut line = line_of![code(branch.as_str())];
        if let Some(head) = &task.head {
            line.extend(line_of![" at ", commit(head)]);
        }
        places.push(fact("Branch", line));
    } else if let Some(head) = &task.head {
        places.push(fact("Commit", line_of![commit(head), ", kept and not pushed"]));
    }
    if let Some(number) = task.pull_request {
        places.push(fact("Pull request", line_of![number]));
    }
    places
}

fn next(task: &Task, view: &NoticeView) -> Line {
    match &task.state {
        State::Discussing => "the issue becomes a plan, which is posted here for approval.".into(),
        State::WaitingForAnswer { .. } => {
            "a comment of one of these people in the issue is read as the answer.".into()
        }
        State::AwaitingApproval if task.ends_in_answer() => {
            "after the approval, the answer is worked out.".into()
        }
        State::AwaitingApproval => "after the approval, the change is written and checked.".into(),
        State::Queued => begins(task),
        State::Implementing => "the gates run on the change.".into(),
        State::Gating => "if the gates pass, the review is next; if not, it is fixed.".into(),
        State::Reviewing => "if no blocking finding is open, the change is published.".into(),
        State::Fixing { .. } => "the gates run again.".into(),
        State::Publishing if task.pull_request.is_some() => {
            "the branch of the pull request is updated.".into()
        }
        State::Publishing => "the branch is pushed and the pull request opened.".into(),
        State::PullRequestOpen => line_of![
            "a person merges or closes it; ",
            code("/orchestrate fix <text>"),
            " works on it once more."
        ],
        State::PullRequestClosed => {
            line_of![
                "nothing; reopening the pull request goes on, and a changed issue with the label ",
                code(view.label),
                " starts anew."
            ]
        }
        State::Answering => "the answer is posted here.".into(),
        State::Done => "nothing, the task is finished.".into(),
        State::Answered => line_of![
            "nothing, the question is answered; ",
            code("/orchestrate ask <question>"),
            " asks another."
        ],
        State::NeedsPerson { reason, resume } => {
            let advice = advice(task, reason, *resume, view.label);
            advice.to_do.into_iter().next().unwrap_or_default()
        }
        State::Cancelled { reason } => cancelled(task, reason),
    }
}

/// When the work on an approved plan begins.
pub(super) fn begins(task: &Task) -> Line {
    let waits = task.plan.as_ref().is_some_and(|plan| !plan.specification.depends_on.is_empty());
    if waits && task.origin.github().is_some() {
        "the work starts once the tasks that it depends on are merged and a worker is free.".into()
    } else {
        "the work starts as soon as a worker is free.".into()
    }
}

/// What ended the task, and whether it can be taken up again.
pub(super) fn cancelled(task: &Task, reason: &CancelReason) -> Line {
    let mut line = match reason {
        CancelReason::Command { by } => line_of!["It was cancelled by ", code(by), "."],
        CancelReason::Rejected { by } => line_of!["The plan was rejected by ", code(by), "."],
        CancelReason::LabelRemoved => "The label was removed.".into(),
        CancelReason::IssueClosed => "The issue was closed.".into(),
        CancelReason::IssueDeleted => "The issue was deleted.".into(),
        CancelReason::Superseded => "A newer reading of the issue has other tasks.".into(),
        CancelReason::AccessRemoved => "Orchestrator's access to the repository was removed.".into(),
    };
    let can_come_back = match reason {
        CancelReason::Command { .. }
        | CancelReason::Rejected { .. }
        | CancelReason::LabelRemoved
        | CancelReason::IssueClosed => true,
        CancelReason::IssueDeleted | CancelReason::Superseded | CancelReason::AccessRemoved => false,
    };
    // The first task of a plan reads the issue for all of them.
    if can_come_back && task.ordinal == 1 && task.origin.github().is_some() {
        line.extend(line_of![" ", code("/orchestrate retry"), " reads the issue anew and makes a new plan."]);
    }
    line
}

fn waits_for(task: &Task) -> Line {
    match &task.state {
        State::WaitingForAnswer { questions } => {
            let questions = words::plural(questions.len() as u64, "answer", "answers");
            line_of![
                figure(questions),
                " in the issue, from whoever wrote it, asked for the work, or may write here."
            ]
        }
        State::AwaitingApproval => "a person with write permission: 👍 or 👎 on the plan comment.".into(),
        State::PullRequestOpen => "a person's review of the pull request.".into(),
        State::NeedsPerson { .. } => "a person with write permission.".into(),
        State::Queued | State::Discussing | State::Implementing | State::Gating | State::Reviewing => {
            "nobody.".into()
        }
        State::Fixing { .. } | State::Publishing | State::Answering => "nobody.".into(),
        State::PullRequestClosed | State::Done | State::Answered | State::Cancelled { .. } => {
            "nobody.".into()
        }
    }
}

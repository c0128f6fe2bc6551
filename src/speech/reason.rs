//! Why a task stopped, in words: what happened, what is kept, what to do.

use super::text::{Line, Piece, code, commit, figure, line_of, quote};
use super::words::plural;
use crate::domain::{BudgetScope, FixCause, Origin, Reason, Resume, Task};

pub(super) struct Advice {
    pub happened: Line,
    /// What the model, the forge or a tool said of it, where that is longer than a line.
    pub said: Option<String>,
    pub kept: Line,
    pub to_do: Vec<Line>,
}

/// What to tell of a task that stopped for `reason` and would go on at `resume`. `label` is the one
/// that starts work.
pub(super) fn advice(task: &Task, reason: &Reason, resume: Resume, label: &str) -> Advice {
    let (mut happened, said) = happened(task, reason);
    let tells = matches!(reason, Reason::BlockingFindings { .. });
    if resume == Resume::Fix(FixCause::Findings) && !tells {
        happened.push(" It was to mend a finding that blocks, so the work does not go on without it.");
    }
    let mut to_do = match task.origin {
        Origin::GitHub(_) => vec![retry(task, resume, label)],
        Origin::Local { .. } => vec![resume_line(task, resume)],
    };
    to_do.extend(fix(task, reason));
    to_do.extend(before_retrying(task, reason));
    Advice { happened, said, kept: kept(task, reason), to_do }
}

fn happened(task: &Task, reason: &Reason) -> (Line, Option<String>) {
    let unpublished = match task.pull_request {
        None if task.origin.github().is_none() => " No branch was written.",
        None => " Nothing was pushed.",
        Some(_) => " The pull request is unchanged.",
    };
    match reason {
        Reason::TextChanged => (
            line_of![
                "The issue or the plan comment was changed after the plan was made. An approval covers the ",
                "exact text, so it is void, and the work stopped before anything was published.",
            ],
            None,
        ),
        Reason::NotApproved => (
            line_of![
                "The plan was made in a dry run, where approval is taken as given. Nobody approved it, so nothing ",
                "is done by it.",
            ],
            None,
        ),
        Reason::ModelJunk { role, fault } => (
            line_of![
                "The model in the role ",
                code(role),
                " gave answers that cannot be used, also after it was told what was wrong with them.",
            ],
            Some(fault.clone()),
        ),
        Reason::AgentFailed { command, ended, said } => (
            line_of![
                "The agent's own command ",
                code(command),
                " failed: it ended with ",
                quote(ended),
                ".",
                unpublished,
                if said.is_empty() { " It printed nothing." } else { " The end of what it printed:" },
            ],
            Some(said.clone()).filter(|said| !said.is_empty()),
        ),
        Reason::ModelUnavailable { detail } => {
            ("No model answered, also not after several tries.".into(), Some(detail.clone()))
        }
        Reason::LimitReached { limit } => (line_of!["The work reached a limit: ", quote(limit), "."], None),
        Reason::BudgetReached { scope, detail } => (
            line_of![
                "The budget ",
                scope.as_str(),
                " does not cover the next call of a model. Work stops before money is spent that nobody allowed."
            ],
            Some(detail.clone()),
        ),
        Reason::NothingChanged { said } => {
            ("The model ended its work without changing a file. It said:".into(), Some(said.clone()))
        }
        Reason::GatesFail { gates, rounds } => {
            let mut line = line_of![
                "After ",
                figure(plural(u64::from(*rounds), "round", "rounds")),
                " of fixes, required gates still fail: ",
            ];
            line.extend(Line::listed(gates.iter().map(code)));
            line.push(".");
            line.push(unpublished);
            (line, None)
        }
        Reason::BlockingFindings { count, rounds } => {
            let line = line_of![
                "After ",
                figure(plural(u64::from(*rounds), "round", "rounds")),
                " of fixes, ",
                figure(plural(u64::from(*count), "blocking finding is", "blocking findings are")),
                " still open.",
                unpublished,
            ];
            (line, None)
        }
        Reason::ReviewersFailed { reviewers } => {
            let mut line = line_of!["No reviewer gave a usable answer: "];
            line.extend(Line::listed(reviewers.iter().map(code)));
            line.push(". A change that nobody reviewed is not published.");
            (line, None)
        }
        Reason::BranchMoved { actual } => (branch_moved(task, actual), None),
        Reason::ChangeRefused { detail } => (
            line_of![
                "The change touches what it may not touch, or is larger than it may be, so it was refused.",
                unpublished
            ],
            Some(detail.clone()),
        ),
        Reason::RulesUnusable { detail } => (
            line_of!["The repository's own rules cannot be used for this task as they stand.", unpublished],
            Some(detail.clone()),
        ),
        Reason::Refused { what, detail } if what == "write_local_branch" => {
            ("The branch could not be written into your repository.".into(), Some(detail.clone()))
        }
        Reason::Refused { what, detail } => (
            line_of!["GitHub refused to ", act(what), ", and trying again does not help."],
            Some(detail.clone()),
        ),
        Reason::SandboxUnavailable { detail } => (
            line_of!["The sandbox could not be started, and nothing is run outside of it.", unpublished],
            Some(detail.clone()),
        ),
        Reason::Unreachable { what, detail } => (
            line_of![quote(what), " could not be reached, also not after several tries."],
            Some(detail.clone()),
        ),
        Reason::DependencyEnded { title } => (
            line_of![
                "It builds on another task of the plan, which was cancelled: ",
                quote(title),
                ". Nothing was begun."
            ],
            None,
        ),
        Reason::WaitExpired { what, days } => (
            line_of![
                "I waited for ",
                quote(what),
                " for ",
                figure(plural(u64::from(*days), "day", "days")),
                ", and the wait is over.",
            ],
            None,
        ),
        Reason::Internal { detail } => (
            line_of![
                "Something failed in Orchestrator itself. The log has more under the task ",
                code(task.id.to_string()),
                "."
            ],
            Some(detail.clone()),
        ),
    }
}

fn branch_moved(task: &Task, actual: &str) -> Line {
    let branch = match &task.branch {
        Some(branch) => line_of!["The branch ", code(branch.as_str())],
        None => line_of!["The branch"],
    };
    let mut line = branch;
    line.extend(line_of![
        " is not where I left it on GitHub (found: ",
        code(actual),
        "). Somebody else pushed to it or removed it, and I never overwrite a person's commit.",
    ]);
    line
}

/// What the effect was to do, by [`crate::domain::Effect::kind`].
pub(super) fn act(effect: &str) -> Piece {
    match effect {
        "post_plan" => "post the plan".into(),
        "comment" => "post a comment".into(),
        "push_branch" => "take the branch".into(),
        "open_pull_request" => "open the pull request".into(),
        "label_pull_request" => "label the pull request".into(),
        "post_review" => "take the review".into(),
        "report_check" => "take the check run".into(),
        "post_answer" => "post the answer".into(),
        other => quote(other),
    }
}

fn kept(task: &Task, reason: &Reason) -> Line {
    let refused = matches!(reason, Reason::ChangeRefused { .. });
    match (&task.head, &task.base) {
        (Some(head), Some(base)) => line_of![
            "The work so far is kept as commit ",
            commit(head),
            " on ",
            commit(base),
            ", with its patch, logs and findings.",
        ],
        (Some(head), None) => line_of!["The work so far is kept as commit ", commit(head), "."],
        (None, _) if refused => "The plan is kept, and so is the refused change, as a patch.".into(),
        (None, _) if task.asked.is_some() => "The question is kept, and what was looked at for it.".into(),
        (None, _) if task.plan.is_some() => "The plan is kept. There is no code yet.".into(),
        (None, _) => "The issue was not turned into a plan yet, so there is nothing to keep.".into(),
    }
}

/// What goes on with a local run.
fn resume_line(task: &Task, resume: Resume) -> Line {
    let goes_on = match resume {
        Resume::Discuss => " reads the issue again.",
        resume => going_on(resume),
    };
    line_of![
        code(format!("orchestrator run --resume {}", task.id)),
        goes_on,
        " To say more, change the issue file and run it from the beginning.",
    ]
}

fn retry(task: &Task, resume: Resume, label: &str) -> Line {
    if resume == Resume::Discuss && task.ordinal > 1 {
        return line_of![
            "The first task of the plan reads the issue for all of its tasks. Change the issue to what you want, ",
            "then remove the label ",
            code(label),
            " and set it again.",
        ];
    }
    line_of![code("/orchestrate retry"), going_on(resume)]
}

fn going_on(resume: Resume) -> &'static str {
    match resume {
        Resume::Discuss => {
            " reads the issue as it stands now and makes a new plan, which needs a new approval."
        }
        Resume::Implement => " writes the change again from the approved plan.",
        Resume::Gate => " runs the gates again on the kept work.",
        Resume::Review => " has the kept work reviewed again.",
        Resume::Fix(FixCause::Gates) => {
            " goes on from the kept work with a fresh set of rounds for the gates."
        }
        Resume::Fix(FixCause::Findings) => {
            " goes on from the kept work with a fresh set of rounds for the findings."
        }
        Resume::Fix(FixCause::Remarks) => " goes on from the kept work with another try at the remarks.",
        Resume::Fix(FixCause::Instruction) => {
            " works on the instruction again, from the branch as it is now."
        }
        Resume::Publish => " publishes the kept work again.",
        Resume::Answer => " works the answer out again.",
    }
}

/// `fix` needs work to go on from, and a text that was approved.
fn fix(task: &Task, reason: &Reason) -> Option<Line> {
    let by_words = match reason {
        Reason::TextChanged
        | Reason::NotApproved
        | Reason::WaitExpired { .. }
        | Reason::DependencyEnded { .. } => return None,
        Reason::NothingChanged { .. } => " says in other words what to change.",
        Reason::ChangeRefused { .. } => " says how to do it without touching that.",
        Reason::GatesFail { .. } | Reason::BlockingFindings { .. } => {
            " does the same, with your advice on how to mend it."
        }
        _ => " goes on from the kept work by your instruction.",
    };
    task.origin.github()?;
    task.head.as_ref().map(|_| line_of![code("/orchestrate fix <text>"), by_words])
}

/// What has to be mended first, where retrying alone would only fail again.
fn before_retrying(task: &Task, reason: &Reason) -> Option<Line> {
    let doctor = |what: &'static str| {
        Some(line_of![
            "Whoever runs Orchestrator: ",
            code("orchestrator doctor"),
            " checks ",
            what,
            " and says how to mend it."
        ])
    };
    match reason {
        Reason::ModelJunk { .. } => Some(line_of![
            "If it happens again: say in the issue more exactly what is wanted, or have the operator give the role ",
            "another model in ",
            code("orchestrator.yaml"),
            ".",
        ]),
        Reason::AgentFailed { command, .. } => Some(line_of![
            "If it fails in the same way again, the operator looks after the command ",
            code(command),
            " in ",
            code("orchestrator.yaml"),
            " (",
            code("implementer.commands"),
            "): all that it printed, and which calls it was refused, is in ",
            code("agent.log"),
            ", which ",
            code(format!("orchestrator export run {} --to <folder>", task.id)),
            " writes.",
        ]),
        Reason::ModelUnavailable { .. } => doctor("the model's address and key"),
        Reason::LimitReached { .. } => Some(line_of![
            "Limits are set by the operator in ",
            code("orchestrator.yaml"),
            "; a smaller task reaches them later.",
        ]),
        Reason::BudgetReached { scope: BudgetScope::Task, .. } if task.origin.github().is_some() => {
            Some(line_of![
                code("/orchestrate budget +5"),
                " lets this task spend 5 US dollars more and goes on; ",
                code("/orchestrate budget +500k tokens"),
                " does so where tokens ran out.",
            ])
        }
        Reason::BudgetReached { scope: BudgetScope::Task, .. } => Some(line_of![
            "Raise ",
            code("limits.task_usd"),
            " or ",
            code("limits.task_tokens"),
            " in ",
            code("orchestrator.yaml"),
            " first.",
        ]),
        Reason::BudgetReached { scope, .. } => Some(line_of![
            match scope {
                BudgetScope::Month => "The next month (UTC) brings a new budget",
                _ => "The next day (UTC) brings a new budget",
            },
            "; the operator sets it in ",
            code("orchestrator.yaml"),
            ".",
        ]),
        Reason::NothingChanged { .. } if task.origin.github().is_some() => {
            Some("If the issue itself should say more, edit it: that makes a new plan.".into())
        }
        Reason::RulesUnusable { .. } => Some(line_of![
            "Mend the rules first: they are in ",
            code(".orchestrator/"),
            " on the branch that the work is for, and are read anew at the next try.",
        ]),
        Reason::ChangeRefused { .. } => Some(line_of![
            "Where the task needs a protected file, say so in the issue, by the file's path: the new plan then asks \
             for it, and an approval opens it. Which paths are protected and how large a change may be is set in ",
            code(".orchestrator/config.yaml"),
            " on the default branch and, for all repositories, in ",
            code("orchestrator.yaml"),
            ".",
        ]),
        Reason::Refused { what, .. } if what == "write_local_branch" => None,
        Reason::Refused { .. } => Some(line_of![
            "Mend what GitHub names first: most often a permission that the App was not granted, or a rule for branches.",
        ]),
        Reason::SandboxUnavailable { .. } => doctor("the sandbox"),
        Reason::Unreachable { .. } => doctor("what it has to reach"),
        Reason::ReviewersFailed { .. } => doctor("the model's address and key"),
        Reason::Internal { .. } => {
            Some("If it happens again, give the operator the task's number from above.".into())
        }
        Reason::TextChanged
        | Reason::NotApproved
        | Reason::NothingChanged { .. }
        | Reason::GatesFail { .. }
        | Reason::BlockingFindings { .. }
        | Reason::BranchMoved { .. }
        | Reason::DependencyEnded { .. }
        | Reason::WaitExpired { .. } => None,
    }
}

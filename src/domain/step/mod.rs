//! The task's life: one total function from a task and an event to the task after it.
//!
//! The rules are grouped by who acts: people ([`people`]) or the work itself ([`work`]); the moves that
//! both are made of are in [`moves`]. It runs in production, in recovery and in the tests; the store refuses what it refuses.

mod moves;
mod people;
mod work;

use chrono::{DateTime, Utc};

use super::budget::BudgetLimits;
use super::effect::Effect;
use super::event::Event;
use super::stage::Stage;
use super::task::{ApprovalMeans, Task};

/// What an operator decides about the life of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    gate_rounds: u8,
    review_rounds: u8,
    pub approvals: Approvals,
    /// Days to wait for an answer or an approval before saying that the wait is over.
    pub wait_days: u32,
    /// The most that people may let a task spend.
    most: BudgetLimits,
}

/// Whether a plan waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approvals {
    Wait,
    Given(ApprovalMeans),
}

impl Rules {
    /// Rounds are clamped to 1..=4: none would make the loop pointless, more only costs.
    pub fn new(gate_rounds: u8, review_rounds: u8, approvals: Approvals, wait_days: u32) -> Self {
        Self {
            gate_rounds: gate_rounds.clamp(1, 4),
            review_rounds: review_rounds.clamp(1, 4),
            approvals,
            wait_days: wait_days.max(1),
            most: BudgetLimits::default(),
        }
    }

    /// The same, where no person may let a task spend more than this.
    #[must_use]
    pub fn with_budgets_up_to(self, most: BudgetLimits) -> Self {
        Self { most, ..self }
    }

    /// The same with at most so many rounds, where a repository asks for less.
    #[must_use]
    pub fn with_at_most(&self, gate_rounds: u8, review_rounds: u8) -> Self {
        let gate_rounds = self.gate_rounds.min(gate_rounds);
        let review_rounds = self.review_rounds.min(review_rounds);
        Self { gate_rounds, review_rounds, ..self.clone() }
    }
}

/// The task after an event, and what that asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub task: Task,
    pub then: Vec<Consequence>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consequence {
    Run(Stage),
    Perform(Effect),
    /// Look again after that many days.
    Wait {
        days: u32,
    },
    Spawn(Box<Task>),
    /// Cancel the other tasks that earlier readings of the issue made.
    SupersedeOlder,
}

/// An event that has no place in this state: a fault of ours or the result of a job that lost its
/// task. Nothing is changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{event}` has no place in state `{state}`")]
pub struct Illegal {
    pub state: &'static str,
    pub event: &'static str,
}

/// `Ok(None)`: the event is in order and changes nothing.
pub fn step(task: &Task, event: &Event, at: DateTime<Utc>, rules: &Rules) -> Result<Option<Step>, Illegal> {
    let mut next = task.clone();
    next.version += 1;
    let mut turn = Turn { next, then: Vec::new(), at, rules };
    let decided = match event {
        Event::Relabelled { .. }
        | Event::Unlabelled
        | Event::IssueClosed
        | Event::IssueDeleted
        | Event::AccessRemoved
        | Event::Superseded
        | Event::TextObserved(_)
        | Event::Commented { .. }
        | Event::WaitExpired { .. } => Ok(turn.on_issue(event)),
        Event::Commanded { command, by, comment, on } => Ok(turn.on_command(command, by, *comment, *on)),
        Event::Reacted { thumb, by, on } => Ok(turn.on_reaction(*thumb, by, *on)),
        Event::ReactionWithdrawn { by } => Ok(turn.on_withdrawal(by)),
        Event::StageStarted { stage } => turn.on_started(*stage),
        Event::Discussed { source, reading } => turn.on_discussed(source, reading),
        Event::Implemented { .. } | Event::Fixed { .. } => turn.on_code(event),
        Event::Gated { .. } | Event::Reviewed { .. } => turn.on_verdict(event),
        Event::PublishChecked => turn.on_publish_checked(),
        Event::Answered => turn.on_answered(),
        Event::StageFailed { stage, reason } => turn.on_stage_failed(*stage, reason),
        Event::PlanPosted { .. }
        | Event::Pushed { .. }
        | Event::PushRefused { .. }
        | Event::PullRequestOpened { .. }
        | Event::EffectRefused { .. }
        | Event::LocalBranchWritten => turn.on_effect(event),
        Event::PullRequestMerged | Event::PullRequestClosed | Event::PullRequestReopened => {
            Ok(turn.on_pull_request(event))
        }
    };
    match decided {
        Ok(Decision::Move) => Ok(Some(Step { task: turn.next, then: turn.then })),
        Ok(Decision::Stay) => Ok(None),
        Err(NoPlace) => Err(Illegal { state: task.state.name(), event: event.name() }),
    }
}

/// Whether the event changed anything.
enum Decision {
    Move,
    Stay,
}

struct NoPlace;

struct Turn<'a> {
    next: Task,
    then: Vec<Consequence>,
    at: DateTime<Utc>,
    rules: &'a Rules,
}

/// The first move of a task that was born with its plan: the plan is put before a person.
pub fn propose_spawned(task: Task, at: DateTime<Utc>, rules: &Rules) -> Step {
    let plan = task.plan.clone();
    let mut turn = Turn { next: task, then: Vec::new(), at, rules };
    if let Some(plan) = plan {
        turn.propose(plan);
    }
    Step { task: turn.next, then: turn.then }
}

#[cfg(test)]
mod tests;

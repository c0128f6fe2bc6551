//! The task's life: one total function from a task and an event to the task after it.
//!
//! It runs in production, in recovery and in the tests; the store refuses what it refuses.

use chrono::{DateTime, Utc};

use super::command::Command;
use super::effect::{Effect, MailKind, Notice};
use super::event::{Changed, Event, ObservedText, Reading, Thumb};
use super::ids::{Account, CommentId, IssueNumber};
use super::refs::BranchName;
use super::source_text::{SourceText, plan_digest};
use super::task::{
    Approval, ApprovalMeans, CancelReason, FixCause, Origin, Plan, Reason, Resume, Stage, State, Task,
};

/// What an operator decides about the life of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    gate_rounds: u8,
    review_rounds: u8,
    pub approvals: Approvals,
    /// Days to wait for an answer or an approval before saying that the wait is over.
    pub wait_days: u32,
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
        }
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
        Event::Reacted { thumb, by } => Ok(turn.on_reaction(*thumb, by)),
        Event::ReactionWithdrawn { by } => Ok(turn.on_withdrawal(by)),
        Event::StageStarted { stage } => turn.on_started(*stage),
        Event::Discussed { source, reading } => turn.on_discussed(source, reading),
        Event::Implemented { .. } | Event::Fixed { .. } => turn.on_code(event),
        Event::Gated { .. } | Event::Reviewed { .. } => turn.on_verdict(event),
        Event::PublishChecked => turn.on_publish_checked(),
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

impl Turn<'_> {
    fn on_issue(&mut self, event: &Event) -> Decision {
        match event {
            Event::Relabelled { source, .. } => self.on_relabelled(*source),
            Event::Unlabelled => self.cancel_unpublished(CancelReason::LabelRemoved),
            Event::IssueClosed => self.cancel_unpublished(CancelReason::IssueClosed),
            Event::IssueDeleted => self.cancel_unpublished(CancelReason::IssueDeleted),
            Event::Superseded => self.cancel_unpublished(CancelReason::Superseded),
            Event::AccessRemoved if self.next.state.has_ended() => Decision::Stay,
            Event::AccessRemoved => self.end(State::Cancelled { reason: CancelReason::AccessRemoved }),
            Event::TextObserved(observed) => self.on_text(observed),
            Event::Commented { .. } if matches!(self.next.state, State::WaitingForAnswer { .. }) => {
                self.enter(State::Discussing)
            }
            Event::WaitExpired { version } if self.next.waits_since == Some(*version) => self.on_expired(),
            _ => Decision::Stay,
        }
    }

    fn on_relabelled(&mut self, source: super::TextDigest) -> Decision {
        let unread = self.next.source.is_none();
        let same = self.next.source.as_ref().is_some_and(|read| read.digest() == source);
        match &self.next.state {
            State::Cancelled { .. } | State::Done | State::PullRequestClosed if same => {
                self.say(Notice::SameTextAgain)
            }
            _ if same => Decision::Stay,
            State::Cancelled { .. }
            | State::Done
            | State::PullRequestClosed
            | State::NeedsPerson { .. }
            | State::WaitingForAnswer { .. }
            | State::AwaitingApproval => self.read_anew(),
            State::Queued if !unread => self.read_anew(),
            // The stage that is at work reads the newest text, or the text check stops it.
            State::Discussing
            | State::Queued
            | State::Implementing
            | State::Gating
            | State::Reviewing
            | State::Fixing { .. }
            | State::Publishing
            | State::PullRequestOpen => Decision::Stay,
        }
    }

    fn on_text(&mut self, observed: &ObservedText) -> Decision {
        let Some(source) = &self.next.source else { return Decision::Stay };
        let source_changed = source.digest() != observed.source;
        let posted = self.next.plan.as_ref().and_then(|plan| plan.comment.as_ref());
        let plan_changed = posted.is_some_and(|comment| observed.plan_comment != Some(comment.body));
        match &self.next.state {
            State::WaitingForAnswer { .. } if source_changed => self.enter(State::Discussing),
            // What is published is judged by people on the pull request from then on.
            _ if self.next.pull_request.is_some() => Decision::Stay,
            State::AwaitingApproval
            | State::Queued
            | State::Implementing
            | State::Gating
            | State::Reviewing
            | State::Fixing { .. }
            | State::Publishing
                if source_changed || plan_changed =>
            {
                self.needs_person(Reason::TextChanged, Resume::Discuss)
            }
            _ => Decision::Stay,
        }
    }

    fn on_expired(&mut self) -> Decision {
        let (what, resume) = match self.next.state {
            State::WaitingForAnswer { .. } => ("an answer", Resume::Discuss),
            State::AwaitingApproval => ("an approval", Resume::Discuss),
            _ => return Decision::Stay,
        };
        self.needs_person(Reason::WaitExpired { what: what.into(), days: self.rules.wait_days }, resume)
    }

    fn on_command(
        &mut self,
        command: &Command,
        by: &Account,
        comment: CommentId,
        on: IssueNumber,
    ) -> Decision {
        let login = by.login.clone();
        match (command, &self.next.state) {
            (Command::Help, _) => self.answer(on, Notice::Help),
            (Command::Status, _) => self.answer(on, Notice::Status),
            (Command::Approve, State::AwaitingApproval) => {
                self.approve(Some(by.clone()), ApprovalMeans::Command(comment));
                self.answer(on, Notice::Approved { login })
            }
            (Command::Reject, State::AwaitingApproval | State::WaitingForAnswer { .. }) => {
                self.cancel(CancelReason::Rejected { by: login })
            }
            // The first task reads the issue, for all of them.
            (
                Command::Retry,
                State::NeedsPerson { resume: Resume::Discuss, .. } | State::Cancelled { .. },
            ) if self.next.ordinal > 1 => self.answer(on, Notice::NotNow { verb: "retry".into() }),
            (Command::Retry, State::NeedsPerson { resume, .. }) => {
                let resume = *resume;
                self.answer(on, Notice::Retrying);
                self.retry(resume)
            }
            (Command::Retry, State::Cancelled { .. }) => {
                self.answer(on, Notice::Retrying);
                self.retry(Resume::Discuss)
            }
            (Command::Fix(text), State::PullRequestOpen | State::NeedsPerson { .. })
                if self.next.head.is_some() =>
            {
                self.answer(on, Notice::FixStarted);
                self.fix(text)
            }
            (Command::Cancel, _) => self.on_cancel(on, login),
            (Command::Approve | Command::Reject | Command::Retry | Command::Fix(_), _) => {
                self.answer(on, Notice::NotNow { verb: command.verb().into() })
            }
        }
    }

    fn on_cancel(&mut self, on: IssueNumber, login: String) -> Decision {
        match &self.next.state {
            State::PullRequestOpen | State::PullRequestClosed | State::Done | State::Cancelled { .. } => {
                self.answer(on, Notice::NotNow { verb: "cancel".into() })
            }
            // A follow-up round is dropped; the pull request stays as it was.
            _ if self.next.pull_request.is_some() => {
                self.next.instruction = None;
                self.enter(State::PullRequestOpen);
                self.answer(on, Notice::Cancelled)
            }
            _ => self.cancel(CancelReason::Command { by: login }),
        }
    }

    fn on_reaction(&mut self, thumb: Thumb, by: &Account) -> Decision {
        match (thumb, &self.next.state) {
            (Thumb::Up, State::AwaitingApproval) => {
                self.approve(Some(by.clone()), ApprovalMeans::Reaction);
                self.say(Notice::Approved { login: by.login.clone() })
            }
            (Thumb::Down, State::AwaitingApproval) => {
                self.cancel(CancelReason::Rejected { by: by.login.clone() })
            }
            _ => Decision::Stay,
        }
    }

    fn on_withdrawal(&mut self, by: &Account) -> Decision {
        let theirs = self.next.approval.as_ref().is_some_and(|approval| {
            approval.means == ApprovalMeans::Reaction
                && approval.by.as_ref().is_some_and(|approver| approver.id == by.id)
        });
        if !theirs || self.next.state != State::Queued {
            return Decision::Stay;
        }
        self.next.approval = None;
        self.enter(State::AwaitingApproval)
    }

    fn on_started(&mut self, stage: Stage) -> Result<Decision, NoPlace> {
        match (stage, &self.next.state) {
            (Stage::Implement, State::Queued) => {
                self.next.state = State::Implementing;
                Ok(Decision::Move)
            }
            (stage, state) if state.stage() == Some(stage) => Ok(Decision::Stay),
            _ => Err(NoPlace),
        }
    }

    fn on_discussed(&mut self, source: &SourceText, reading: &Reading) -> Result<Decision, NoPlace> {
        if self.next.state != State::Discussing {
            return Err(NoPlace);
        }
        self.next.source = Some(source.clone());
        match reading {
            Reading::Questions { questions, .. } => {
                self.enter(State::WaitingForAnswer { questions: questions.clone() });
                self.wait();
                Ok(self.say(Notice::Questions))
            }
            Reading::Tasks { understood, specifications, new_ids } => {
                self.then.push(Consequence::SupersedeOlder);
                let digest = source.digest();
                let count = specifications.len() as u32;
                let plan_of = |specification: &super::TaskSpecification| Plan {
                    understood: understood.clone(),
                    specification: specification.clone(),
                    tasks_in_plan: count,
                    digest: plan_digest(digest, specification),
                    comment: None,
                };
                let (first, others) = specifications.split_first().ok_or(NoPlace)?;
                let parent = self.next.clone();
                self.propose(plan_of(first));
                for (index, (specification, id)) in others.iter().zip(new_ids).enumerate() {
                    let mut sibling =
                        Task::new(*id, parent.origin.clone(), parent.requested_by.clone(), self.at);
                    sibling.ordinal = index as u32 + 2;
                    sibling.revision = parent.revision;
                    sibling.source = parent.source.clone();
                    sibling.plan = Some(plan_of(specification));
                    self.then.push(Consequence::Spawn(Box::new(sibling)));
                }
                Ok(Decision::Move)
            }
        }
    }

    fn on_code(&mut self, event: &Event) -> Result<Decision, NoPlace> {
        match (event, self.next.state.clone()) {
            (Event::Implemented { base, head }, State::Implementing) => {
                self.next.base = Some(base.clone());
                self.next.head = Some(head.clone());
                Ok(self.enter(State::Gating))
            }
            (Event::Fixed { changed: Changed::No { said }, .. }, State::Fixing { cause }) => {
                if cause == FixCause::Instruction && self.next.pull_request.is_some() {
                    self.next.instruction = None;
                    self.enter(State::PullRequestOpen);
                    return Ok(self.say(Notice::FixChangedNothing { said: said.clone() }));
                }
                let reason = Reason::NothingChanged { said: said.clone() };
                Ok(self.needs_person(reason, Resume::Fix(cause)))
            }
            (Event::Fixed { head, remote_head, .. }, State::Fixing { .. }) => {
                self.next.head = Some(head.clone());
                if remote_head.is_some() {
                    self.next.remote_head = remote_head.clone();
                }
                Ok(self.enter(State::Gating))
            }
            _ => Err(NoPlace),
        }
    }

    fn on_verdict(&mut self, event: &Event) -> Result<Decision, NoPlace> {
        match (event, &self.next.state) {
            (Event::Gated { failed, .. }, State::Gating) if failed.is_empty() => {
                Ok(self.enter(State::Reviewing))
            }
            (Event::Gated { failed, .. }, State::Gating) => {
                if self.next.gate_rounds >= self.rules.gate_rounds {
                    let rounds = self.next.gate_rounds;
                    let reason = Reason::GatesFail { gates: failed.clone(), rounds };
                    return Ok(self.needs_person(reason, Resume::Fix(FixCause::Gates)));
                }
                self.next.gate_rounds += 1;
                Ok(self.enter(State::Fixing { cause: FixCause::Gates }))
            }
            (Event::Reviewed { failed_reviewers, reviewers, .. }, State::Reviewing)
                if *reviewers > 0 && failed_reviewers.len() as u32 >= *reviewers =>
            {
                let reason = Reason::ReviewersFailed { reviewers: failed_reviewers.clone() };
                Ok(self.needs_person(reason, Resume::Review))
            }
            (Event::Reviewed { blocking: 0, .. }, State::Reviewing) => Ok(self.enter(State::Publishing)),
            (Event::Reviewed { blocking, .. }, State::Reviewing) => {
                if self.next.review_rounds >= self.rules.review_rounds {
                    let reason =
                        Reason::BlockingFindings { count: *blocking, rounds: self.next.review_rounds };
                    return Ok(self.needs_person(reason, Resume::Fix(FixCause::Findings)));
                }
                self.next.review_rounds += 1;
                Ok(self.enter(State::Fixing { cause: FixCause::Findings }))
            }
            _ => Err(NoPlace),
        }
    }

    fn on_publish_checked(&mut self) -> Result<Decision, NoPlace> {
        if self.next.state != State::Publishing || self.next.head.is_none() {
            return Err(NoPlace);
        }
        if self.next.branch.is_none() {
            let issue = self.next.origin.github().map(|place| place.issue.0);
            self.next.branch = Some(BranchName::auto(self.at, issue, self.next.title()));
        }
        self.perform(match self.next.origin {
            Origin::GitHub(_) => Effect::PushBranch,
            Origin::Local { .. } => Effect::WriteLocalBranch,
        });
        Ok(Decision::Move)
    }

    fn on_stage_failed(&mut self, stage: Stage, reason: &Reason) -> Result<Decision, NoPlace> {
        if self.next.state.stage() != Some(stage) {
            return Err(NoPlace);
        }
        let resume = match (stage, &self.next.state) {
            (_, State::Fixing { cause }) => Resume::Fix(*cause),
            (Stage::Discuss, _) => Resume::Discuss,
            (Stage::Implement | Stage::Fix, _) => Resume::Implement,
            (Stage::Gate, _) => Resume::Gate,
            (Stage::Review, _) => Resume::Review,
            (Stage::Publish, _) => Resume::Publish,
        };
        let resume = if *reason == Reason::TextChanged { Resume::Discuss } else { resume };
        Ok(self.needs_person(reason.clone(), resume))
    }

    fn on_effect(&mut self, event: &Event) -> Result<Decision, NoPlace> {
        match (event, &self.next.state) {
            (Event::PlanPosted { comment }, state) => {
                let awaiting = *state == State::AwaitingApproval;
                self.next.plan.as_mut().ok_or(NoPlace)?.comment = Some(comment.clone());
                if awaiting {
                    self.mail(MailKind::PlanWaits);
                }
                Ok(Decision::Move)
            }
            (Event::Pushed { head }, State::Publishing) => {
                self.next.remote_head = Some(head.clone());
                match self.next.pull_request {
                    None => self.perform(Effect::OpenPullRequest),
                    Some(number) => {
                        self.next.instruction = None;
                        self.enter(State::PullRequestOpen);
                        self.perform(Effect::PostReview);
                        self.perform(Effect::ReportCheck);
                        self.answer(number, Notice::Pushed);
                        self.mail(MailKind::PullRequestReady);
                    }
                }
                Ok(Decision::Move)
            }
            (Event::PullRequestOpened { number }, State::Publishing) => {
                self.next.pull_request = Some(*number);
                self.enter(State::PullRequestOpen);
                self.perform(Effect::LabelPullRequest);
                self.perform(Effect::PostReview);
                self.perform(Effect::ReportCheck);
                self.mail(MailKind::PullRequestReady);
                Ok(Decision::Move)
            }
            (Event::PushRefused { actual }, State::Publishing) => {
                let resume = match self.next.pull_request {
                    Some(_) => Resume::Fix(FixCause::Instruction),
                    None => {
                        self.next.branch = None;
                        Resume::Publish
                    }
                };
                Ok(self.needs_person(Reason::BranchMoved { actual: actual.clone() }, resume))
            }
            (Event::EffectRefused { what, detail }, state) => {
                let resume = match (what.as_str(), state) {
                    ("post_plan", State::AwaitingApproval) => Resume::Discuss,
                    ("push_branch" | "open_pull_request" | "write_local_branch", State::Publishing) => {
                        Resume::Publish
                    }
                    _ => return Ok(Decision::Stay),
                };
                let reason = Reason::Refused { what: what.clone(), detail: detail.clone() };
                Ok(self.needs_person(reason, resume))
            }
            (Event::LocalBranchWritten, State::Publishing) => Ok(self.end(State::Done)),
            // The task was cancelled or stopped while the effect was on its way.
            (Event::Pushed { head }, _) => {
                self.next.remote_head = Some(head.clone());
                Ok(Decision::Move)
            }
            (Event::PullRequestOpened { number }, _) => {
                self.next.pull_request = Some(*number);
                Ok(Decision::Move)
            }
            (Event::PushRefused { .. }, _) => Ok(Decision::Stay),
            _ => Err(NoPlace),
        }
    }

    fn on_pull_request(&mut self, event: &Event) -> Decision {
        if self.next.pull_request.is_none() {
            return Decision::Stay;
        }
        match (event, &self.next.state) {
            (_, State::Done) => Decision::Stay,
            (Event::PullRequestMerged, _) => self.end(State::Done),
            (Event::PullRequestClosed, State::PullRequestClosed) => Decision::Stay,
            (Event::PullRequestClosed, _) => self.end(State::PullRequestClosed),
            (Event::PullRequestReopened, State::PullRequestClosed) => self.enter(State::PullRequestOpen),
            _ => Decision::Stay,
        }
    }
}

/// The moves that the rules above are made of.
impl Turn<'_> {
    /// Goes to a state and starts its stage, if it has one.
    fn enter(&mut self, state: State) -> Decision {
        self.next.waits_since = None;
        if let Some(stage) = state.stage() {
            self.then.push(Consequence::Run(stage));
        }
        let waits = state == State::AwaitingApproval;
        self.next.state = state;
        if waits {
            self.wait();
        }
        Decision::Move
    }

    fn end(&mut self, state: State) -> Decision {
        self.next.waits_since = None;
        self.next.instruction = None;
        self.next.state = state;
        Decision::Move
    }

    fn wait(&mut self) {
        self.next.waits_since = Some(self.next.version);
        self.then.push(Consequence::Wait { days: self.rules.wait_days });
    }

    fn perform(&mut self, effect: Effect) {
        self.then.push(Consequence::Perform(effect));
    }

    fn answer(&mut self, on: IssueNumber, notice: Notice) -> Decision {
        if self.next.origin.github().is_some() {
            self.perform(Effect::Comment { on, notice });
        }
        Decision::Move
    }

    /// Says something where the task is being talked about: the pull request once there is one.
    fn say(&mut self, notice: Notice) -> Decision {
        if let Some(place) = self.next.origin.github() {
            let on = self.next.pull_request.unwrap_or(place.issue);
            self.perform(Effect::Comment { on, notice });
        }
        Decision::Move
    }

    fn mail(&mut self, kind: MailKind) {
        if self.next.origin.github().is_some() {
            self.perform(Effect::Mail { kind });
        }
    }

    /// Puts a plan before a person, or goes on where no person has to be asked.
    fn propose(&mut self, plan: Plan) {
        self.next.plan = Some(plan);
        self.perform_for_github(Effect::PostPlan);
        match &self.rules.approvals {
            Approvals::Wait => {
                self.enter(State::AwaitingApproval);
            }
            Approvals::Given(means) => self.approve(None, means.clone()),
        }
    }

    fn perform_for_github(&mut self, effect: Effect) {
        if self.next.origin.github().is_some() {
            self.perform(effect);
        }
    }

    fn approve(&mut self, by: Option<Account>, means: ApprovalMeans) {
        if let Some(plan) = &self.next.plan {
            self.next.approval = Some(Approval { by, means, plan: plan.digest, at: self.at });
            self.enter(State::Queued);
        }
    }

    fn cancel(&mut self, reason: CancelReason) -> Decision {
        self.end(State::Cancelled { reason });
        self.say(Notice::Cancelled)
    }

    fn cancel_unpublished(&mut self, reason: CancelReason) -> Decision {
        if self.next.state.has_ended() || self.next.pull_request.is_some() {
            return Decision::Stay;
        }
        if reason == CancelReason::IssueDeleted {
            return self.end(State::Cancelled { reason });
        }
        self.cancel(reason)
    }

    fn needs_person(&mut self, reason: Reason, resume: Resume) -> Decision {
        self.next.waits_since = None;
        self.next.state = State::NeedsPerson { reason, resume };
        self.say(Notice::NeedsPerson);
        self.mail(MailKind::NeedsPerson);
        Decision::Move
    }

    /// A new attempt at where the task stopped, with its rounds before it again.
    fn retry(&mut self, resume: Resume) -> Decision {
        if resume == Resume::Discuss {
            return self.read_anew();
        }
        self.next.attempt += 1;
        self.next.gate_rounds = 0;
        self.next.review_rounds = 0;
        self.enter(match resume {
            Resume::Discuss => State::Discussing,
            Resume::Implement => State::Queued,
            Resume::Gate => State::Gating,
            Resume::Review => State::Reviewing,
            Resume::Fix(cause) => State::Fixing { cause },
            Resume::Publish => State::Publishing,
        })
    }

    fn fix(&mut self, text: &str) -> Decision {
        if self.next.pull_request.is_some() {
            self.next.round += 1;
        } else {
            self.next.attempt += 1;
        }
        self.next.gate_rounds = 0;
        self.next.review_rounds = 0;
        self.next.instruction = Some(text.to_owned());
        self.enter(State::Fixing { cause: FixCause::Instruction })
    }

    /// Starts over with the issue as it stands: a new revision of the plan.
    fn read_anew(&mut self) -> Decision {
        let fresh = Task::new(
            self.next.id,
            self.next.origin.clone(),
            self.next.requested_by.clone(),
            self.next.created_at,
        );
        self.next = Task {
            ordinal: self.next.ordinal,
            revision: self.next.revision + 1,
            version: self.next.version,
            ..fresh
        };
        self.enter(State::Discussing)
    }
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

//! The moves that the rules are made of.

use super::super::effect::{Effect, MailKind, Notice};
use super::super::ids::{Account, IssueNumber};
use super::super::task::{
    Approval, ApprovalMeans, CancelReason, FixCause, Plan, Reason, Resume, State, TakenBack, Task, Trial,
};
use super::{Approvals, Consequence, Decision, Turn};

impl Turn<'_> {
    /// Goes to a state and starts its stage, if it has one.
    pub(super) fn enter(&mut self, state: State) -> Decision {
        self.next.waits_since = None;
        self.next.state = state;
        if let Some(stage) = self.next.stage() {
            self.then.push(Consequence::Run(stage));
        }
        match self.next.state {
            State::Queued => self.next.work_since = self.next.version,
            State::AwaitingApproval => self.wait(),
            _ => {}
        }
        Decision::Move
    }

    pub(super) fn end(&mut self, state: State) -> Decision {
        self.next.waits_since = None;
        self.next.instruction = None;
        self.next.state = state;
        Decision::Move
    }

    /// A local run ends where it would wait: its person is told at once.
    pub(super) fn wait(&mut self) {
        if self.next.origin.github().is_some() {
            self.next.waits_since = Some(self.next.version);
            self.then.push(Consequence::Wait { days: self.rules.wait_days });
        }
    }

    pub(super) fn perform(&mut self, effect: Effect) {
        self.then.push(Consequence::Perform(effect));
    }

    pub(super) fn answer(&mut self, on: IssueNumber, notice: Notice) -> Decision {
        if self.next.origin.github().is_some() {
            self.perform(Effect::Comment { on, notice });
        }
        Decision::Move
    }

    /// Says something where the task is being talked about: the pull request once there is one.
    pub(super) fn say(&mut self, notice: Notice) -> Decision {
        if let Some(place) = self.next.origin.github() {
            let on = self.next.pull_request.unwrap_or(place.issue);
            self.perform(Effect::Comment { on, notice });
        }
        Decision::Move
    }

    pub(super) fn mail(&mut self, kind: MailKind) {
        if self.next.origin.github().is_some() {
            self.perform(Effect::Mail { kind });
        }
    }

    /// Puts a plan before a person, or goes on where no person has to be asked.
    pub(super) fn propose(&mut self, plan: Plan) {
        self.next.plan = Some(plan);
        self.perform_for_github(Effect::PostPlan);
        match &self.rules.approvals {
            Approvals::Wait => {
                self.enter(State::AwaitingApproval);
            }
            Approvals::Given(means) => self.approve(None, means.clone()),
        }
    }

    pub(super) fn perform_for_github(&mut self, effect: Effect) {
        if self.next.origin.github().is_some() {
            self.perform(effect);
        }
    }

    pub(super) fn approve(&mut self, by: Option<Account>, means: ApprovalMeans) {
        if let Some(plan) = &self.next.plan {
            self.next.approval = Some(Approval { by, means, plan: plan.digest, at: self.at });
            self.enter(State::Queued);
        }
    }

    pub(super) fn cancel(&mut self, reason: CancelReason) -> Decision {
        self.end(State::Cancelled { reason });
        self.say(Notice::Cancelled)
    }

    pub(super) fn cancel_unpublished(&mut self, reason: CancelReason) -> Decision {
        if self.next.state.has_ended() || self.next.pull_request.is_some() {
            return Decision::Stay;
        }
        if reason == CancelReason::IssueDeleted {
            return self.end(State::Cancelled { reason });
        }
        self.cancel(reason)
    }

    pub(super) fn needs_person(&mut self, reason: Reason, resume: Resume) -> Decision {
        self.next.waits_since = None;
        self.next.state = State::NeedsPerson { reason, resume };
        self.say(Notice::NeedsPerson);
        self.mail(MailKind::NeedsPerson);
        Decision::Move
    }

    /// Begins a fix that the work can do without. What there is now has passed everything.
    pub(super) fn try_remarks(&mut self) -> Option<Decision> {
        let head = self.next.head.clone()?;
        self.next.review_rounds += 1;
        self.next.trial = Some(Trial { head, since: self.next.version });
        Some(self.enter(State::Fixing { cause: FixCause::Remarks }))
    }

    /// Ends a trial that failed: the work is what it was before, and goes on. `None`: there is no trial.
    pub(super) fn take_back(&mut self, why: &Reason) -> Option<Decision> {
        let Trial { head, since } = self.next.trial.take()?;
        self.next.head = Some(head);
        let last = self.next.version.saturating_sub(1);
        self.next.taken_back.push(TakenBack { first: since, last, round: self.next.round, why: why.clone() });
        Some(self.enter(State::Publishing))
    }

    /// A new attempt at where the task stopped, with its rounds before it again.
    pub(super) fn retry(&mut self, resume: Resume) -> Decision {
        // A question is what it is: there is no issue to read it from anew.
        let resume = if self.next.asked.is_some() { Resume::Answer } else { resume };
        if resume == Resume::Discuss {
            return self.read_anew();
        }
        self.next.attempt += 1;
        self.next.gate_rounds = 0;
        self.next.review_rounds = 0;
        self.next.trial = None;
        self.enter(match resume {
            Resume::Discuss => State::Discussing,
            Resume::Implement => State::Queued,
            Resume::Gate => State::Gating,
            Resume::Review => State::Reviewing,
            Resume::Fix(cause) => State::Fixing { cause },
            Resume::Publish => State::Publishing,
            Resume::Answer => State::Answering,
        })
    }

    pub(super) fn fix(&mut self, text: &str) -> Decision {
        if self.next.pull_request.is_some() {
            self.next.round += 1;
        } else {
            self.next.attempt += 1;
        }
        self.next.gate_rounds = 0;
        self.next.review_rounds = 0;
        self.next.trial = None;
        self.next.instruction = Some(text.to_owned());
        self.enter(State::Fixing { cause: FixCause::Instruction })
    }

    /// A task that was born with its plan reads the issue's text anew and keeps the plan, which the other
    /// tasks of the reading share.
    pub(super) fn reconsider(&mut self) -> Decision {
        self.next.attempt += 1;
        self.next.approval = None;
        self.next.base = None;
        self.next.head = None;
        self.next.trial = None;
        if let Some(plan) = &mut self.next.plan {
            plan.comment = None;
        }
        self.enter(State::Discussing)
    }

    /// Starts over with the issue as it stands: a new revision of the plan. The text of a local run is
    /// nowhere else, so it stays, and so does the task that a person wrote.
    pub(super) fn read_anew(&mut self) -> Decision {
        let source = self.next.source.take().filter(|_| self.next.origin.github().is_none());
        let given = self.next.given.take();
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
            budget: self.next.budget,
            source,
            given,
            ..fresh
        };
        self.enter(State::Discussing)
    }
}

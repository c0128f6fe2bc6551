//! What people do: labels, edits, commands, reactions, and their silence.

use super::super::budget::BudgetChange;
use super::super::command::Command;
use super::super::effect::Notice;
use super::super::event::{Event, ObservedText, Thumb};
use super::super::ids::{Account, CommentId, IssueNumber};
use super::super::source_text::TextDigest;
use super::super::task::{ApprovalMeans, CancelReason, Reason, Resume, State};
use super::{Decision, Turn};

impl Turn<'_> {
    pub(super) fn on_issue(&mut self, event: &Event) -> Decision {
        match event {
            Event::Relabelled { source } => self.on_relabelled(*source),
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
            Event::Commented { comment } if self.next.state == State::Discussing => {
                self.next.unread = Some(*comment);
                Decision::Move
            }
            Event::WaitExpired { version } if self.next.waits_since == Some(*version) => self.on_expired(),
            _ => Decision::Stay,
        }
    }

    pub(super) fn on_relabelled(&mut self, source: TextDigest) -> Decision {
        let unread = self.next.source.is_none();
        let same = self.next.source.as_ref().is_some_and(|read| read.digest() == source);
        match &self.next.state {
            State::Cancelled { .. } | State::Done | State::Answered | State::PullRequestClosed if same => {
                self.say(Notice::SameTextAgain)
            }
            _ if same => Decision::Stay,
            State::Cancelled { .. }
            | State::Done
            | State::Answered
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
            | State::Answering
            | State::PullRequestOpen => Decision::Stay,
        }
    }

    pub(super) fn on_text(&mut self, observed: &ObservedText) -> Decision {
        // A question is what its command said, whatever becomes of the text around it.
        if self.next.asked.is_some() {
            return Decision::Stay;
        }
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
            | State::Answering
                if source_changed || plan_changed =>
            {
                self.needs_person(Reason::TextChanged, Resume::Discuss)
            }
            _ => Decision::Stay,
        }
    }

    pub(super) fn on_expired(&mut self) -> Decision {
        let (what, resume) = match self.next.state {
            State::WaitingForAnswer { .. } => ("an answer", Resume::Discuss),
            State::AwaitingApproval => ("an approval", Resume::Discuss),
            _ => return Decision::Stay,
        };
        self.needs_person(Reason::WaitExpired { what: what.into(), days: self.rules.wait_days }, resume)
    }

    pub(super) fn on_command(
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
            (Command::Approve, State::AwaitingApproval) if self.was_read_before(comment) => {
                self.approve(Some(by.clone()), ApprovalMeans::Command(comment));
                self.answer(on, Notice::Approved { login })
            }
            (Command::Reject, State::AwaitingApproval | State::WaitingForAnswer { .. }) => {
                self.cancel(CancelReason::Rejected { by: login })
            }
            // The first task reads the issue, for all of them.
            (Command::Retry, State::Cancelled { .. }) if self.next.ordinal > 1 => {
                self.answer(on, Notice::NotNow { verb: "retry".into() })
            }
            // The stop came when its pull request was on the way.
            (Command::Retry, State::Cancelled { .. }) if self.next.pull_request.is_some() => {
                self.answer(on, Notice::Retrying);
                self.enter(State::PullRequestOpen)
            }
            (Command::Retry, State::NeedsPerson { resume: Resume::Discuss, .. }) if self.next.ordinal > 1 => {
                self.answer(on, Notice::Retrying);
                self.reconsider()
            }
            (Command::Retry, State::NeedsPerson { resume, .. }) => {
                let resume = *resume;
                self.answer(on, Notice::Retrying);
                self.retry(resume)
            }
            (Command::Retry, State::Cancelled { .. }) => {
                self.answer(on, Notice::Retrying);
                self.retry(Resume::Discuss)
            }
            // What stopped because its ground is gone goes on with a new plan only.
            (Command::Fix(_), State::NeedsPerson { resume: Resume::Discuss, .. }) => {
                self.answer(on, Notice::NotNow { verb: "fix".into() })
            }
            (Command::Fix(text), State::PullRequestOpen | State::NeedsPerson { .. })
                if self.next.head.is_some() =>
            {
                self.answer(on, Notice::FixStarted);
                self.fix(text)
            }
            (Command::Cancel, _) => self.on_cancel(on, login),
            (Command::Budget(change), state) if !state.has_ended() => {
                let may_resume = match state {
                    State::NeedsPerson { reason: Reason::BudgetReached { .. }, resume } => Some(*resume),
                    _ => None,
                };
                self.on_budget(*change, on, may_resume)
            }
            // A question becomes a task of its own, before any task hears of it.
            (Command::Ask(_), _) => Decision::Stay,
            (
                Command::Approve | Command::Reject | Command::Retry | Command::Fix(_) | Command::Budget(_),
                _,
            ) => self.answer(on, Notice::NotNow { verb: command.verb().into() }),
        }
    }

    /// A task that stopped because its money was spent goes on with the new budget.
    fn on_budget(&mut self, change: BudgetChange, on: IssueNumber, may_resume: Option<Resume>) -> Decision {
        let asked = change.amount();
        if let Some(most) = self.rules.most.in_unit_of(asked).filter(|most| most.is_less_than(asked)) {
            return self.answer(on, Notice::BudgetTooLarge { most });
        }
        self.next.budget = self.next.budget.changed(change);
        let said = self.answer(on, Notice::BudgetChanged { change });
        match may_resume {
            // A task that was born with its plan keeps it: see `retry`.
            Some(Resume::Discuss) if self.next.ordinal > 1 => self.reconsider(),
            Some(resume) => self.retry(resume),
            None => said,
        }
    }

    pub(super) fn on_cancel(&mut self, on: IssueNumber, login: String) -> Decision {
        match &self.next.state {
            State::PullRequestOpen
            | State::PullRequestClosed
            | State::Done
            | State::Answered
            | State::Cancelled { .. } => self.answer(on, Notice::NotNow { verb: "cancel".into() }),
            // A follow-up round is dropped; the pull request stays as it was.
            _ if self.next.pull_request.is_some() => {
                self.next.instruction = None;
                self.enter(State::PullRequestOpen);
                self.answer(on, Notice::Cancelled)
            }
            _ => self.cancel(CancelReason::Command { by: login }),
        }
    }

    /// Whether the plan that waits was there to be read when a comment was written: GitHub counts the ids
    /// of comments up.
    fn was_read_before(&self, comment: CommentId) -> bool {
        let posted = self.next.plan.as_ref().and_then(|plan| plan.comment.as_ref());
        posted.is_some_and(|posted| posted.id < comment)
    }

    pub(super) fn on_reaction(&mut self, thumb: Thumb, by: &Account, on: CommentId) -> Decision {
        let posted = self.next.plan.as_ref().and_then(|plan| plan.comment.as_ref());
        if posted.is_none_or(|posted| posted.id != on) {
            return Decision::Stay;
        }
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

    pub(super) fn on_withdrawal(&mut self, by: &Account) -> Decision {
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
}

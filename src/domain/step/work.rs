//! What the work comes to: results of stages and effects, and the pull request's fate.

use super::super::effect::{Effect, MailKind, Notice};
use super::super::event::{Changed, Event, Reading};
use super::super::refs::BranchName;
use super::super::source_text::{SourceText, plan_digest};
use super::super::specification::TaskSpecification;
use super::super::stage::Stage;
use super::super::task::{FixCause, Origin, Plan, Reason, Resume, State, Task};
use super::{Consequence, Decision, NoPlace, Turn};

impl Turn<'_> {
    pub(super) fn on_started(&mut self, stage: Stage) -> Result<Decision, NoPlace> {
        if self.next.stage() != Some(stage) {
            return Err(NoPlace);
        }
        if self.next.state != State::Queued {
            return Ok(Decision::Stay);
        }
        self.next.state = match stage {
            Stage::Answer => State::Answering,
            _ => State::Implementing,
        };
        Ok(Decision::Move)
    }

    pub(super) fn on_discussed(
        &mut self,
        source: &SourceText,
        reading: &Reading,
    ) -> Result<Decision, NoPlace> {
        if self.next.state != State::Discussing {
            return Err(NoPlace);
        }
        self.next.source = Some(source.clone());
        let unread = self.next.unread.take().filter(|comment| !source.comment_ids().contains(comment));
        match reading {
            // Somebody said something meanwhile: it may answer what would be asked.
            Reading::Questions { .. } if unread.is_some() => Ok(self.enter(State::Discussing)),
            Reading::Questions { questions, .. } => {
                self.enter(State::WaitingForAnswer { questions: questions.clone() });
                self.wait();
                Ok(self.say(Notice::Questions))
            }
            Reading::SamePlan => {
                let plan = self.next.plan.clone().ok_or(NoPlace)?;
                let digest = plan_digest(source.digest(), &plan.specification);
                self.propose(Plan { digest, comment: None, ..plan });
                Ok(Decision::Move)
            }
            Reading::Tasks { understood, specifications, new_ids } => {
                self.then.push(Consequence::SupersedeOlder);
                let digest = source.digest();
                let count = specifications.len() as u32;
                let plan_of = |specification: &TaskSpecification| Plan {
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

    pub(super) fn on_code(&mut self, event: &Event) -> Result<Decision, NoPlace> {
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
                Ok(self.stop_or_take_back(reason, Resume::Fix(cause)))
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

    pub(super) fn on_verdict(&mut self, event: &Event) -> Result<Decision, NoPlace> {
        match (event, &self.next.state) {
            (Event::Gated { failed, .. }, State::Gating) if failed.is_empty() => {
                Ok(self.enter(State::Reviewing))
            }
            (Event::Gated { failed, .. }, State::Gating) => {
                let rounds = self.next.gate_rounds;
                if let Some(back) = self.take_back(&Reason::GatesFail { gates: failed.clone(), rounds }) {
                    return Ok(back);
                }
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
                Ok(self.stop_or_take_back(reason, Resume::Review))
            }
            (Event::Reviewed { blocking: 0, remarks, .. }, State::Reviewing) => {
                let tried = self.next.trial.take().is_some();
                let rounds_left = self.next.review_rounds < self.rules.review_rounds;
                if *remarks > 0
                    && rounds_left
                    && !tried
                    && let Some(begun) = self.try_remarks()
                {
                    return Ok(begun);
                }
                Ok(self.enter(State::Publishing))
            }
            (Event::Reviewed { blocking, .. }, State::Reviewing) => {
                let rounds = self.next.review_rounds;
                let reason = Reason::BlockingFindings { count: *blocking, rounds };
                if self.next.trial.is_some() || rounds >= self.rules.review_rounds {
                    return Ok(self.stop_or_take_back(reason, Resume::Fix(FixCause::Findings)));
                }
                self.next.review_rounds += 1;
                Ok(self.enter(State::Fixing { cause: FixCause::Findings }))
            }
            _ => Err(NoPlace),
        }
    }

    pub(super) fn on_publish_checked(&mut self) -> Result<Decision, NoPlace> {
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

    pub(super) fn on_answered(&mut self) -> Result<Decision, NoPlace> {
        if self.next.state != State::Answering {
            return Err(NoPlace);
        }
        self.perform_for_github(Effect::PostAnswer);
        Ok(self.end(State::Answered))
    }

    pub(super) fn on_stage_failed(&mut self, stage: Stage, reason: &Reason) -> Result<Decision, NoPlace> {
        if self.next.stage() != Some(stage) {
            return Err(NoPlace);
        }
        let resume = match (stage, &self.next.state) {
            (_, State::Fixing { cause }) => Resume::Fix(*cause),
            (Stage::Discuss, _) => Resume::Discuss,
            (Stage::Implement | Stage::Fix, _) => Resume::Implement,
            (Stage::Gate, _) => Resume::Gate,
            (Stage::Review, _) => Resume::Review,
            (Stage::Publish, _) => Resume::Publish,
            (Stage::Answer, _) => Resume::Answer,
        };
        let groundless = matches!(reason, Reason::TextChanged | Reason::NotApproved);
        if groundless {
            return Ok(self.needs_person(reason.clone(), Resume::Discuss));
        }
        Ok(self.stop_or_take_back(reason.clone(), resume))
    }

    /// What fails stops the task, unless it was a fix that the work can do without.
    fn stop_or_take_back(&mut self, reason: Reason, resume: Resume) -> Decision {
        match self.take_back(&reason) {
            Some(back) => back,
            None => self.needs_person(reason, resume),
        }
    }

    pub(super) fn on_effect(&mut self, event: &Event) -> Result<Decision, NoPlace> {
        match (event, &self.next.state) {
            // The comment of a plan that was replaced meanwhile.
            (Event::PlanPosted { of, .. }, _) if self.next.proposal() != Some(*of) => Ok(Decision::Stay),
            (Event::PlanPosted { comment, .. }, state) => {
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
            // A stop that came when the request was on its way came too late: people judge what is there.
            (Event::PullRequestOpened { number }, State::Publishing | State::NeedsPerson { .. }) => {
                self.next.pull_request = Some(*number);
                self.enter(State::PullRequestOpen);
                self.perform(Effect::LabelPullRequest);
                self.perform(Effect::PostReview);
                self.perform(Effect::ReportCheck);
                self.mail(MailKind::PullRequestReady);
                Ok(Decision::Move)
            }
            // A new branch of a local run, whose name was taken: the later publishing has a later name.
            (Event::PushRefused { .. }, State::Publishing) if self.next.origin.github().is_none() => {
                self.next.branch = None;
                Ok(self.enter(State::Publishing))
            }
            (Event::PushRefused { actual }, State::Publishing) => {
                let resume = match self.next.pull_request {
                    Some(_) => Resume::Fix(FixCause::Instruction),
                    None => {
                        self.next.branch = None;
                        self.next.remote_head = None;
                        Resume::Publish
                    }
                };
                Ok(self.needs_person(Reason::BranchMoved { actual: actual.clone() }, resume))
            }
            (Event::EffectRefused { what, detail, of }, state) => {
                let resume = match (what.as_str(), state) {
                    ("post_plan", State::AwaitingApproval) if *of == self.next.proposal() => Resume::Discuss,
                    ("push_branch" | "open_pull_request" | "write_local_branch", State::Publishing) => {
                        Resume::Publish
                    }
                    ("post_answer", State::Answered) => Resume::Answer,
                    ("label_pull_request" | "post_review" | "report_check", _) => {
                        return Ok(self.say(Notice::NotDone { what: what.clone(), detail: detail.clone() }));
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
                if matches!(self.next.state, State::Cancelled { .. }) {
                    self.say(Notice::Cancelled);
                }
                Ok(Decision::Move)
            }
            (Event::PushRefused { .. }, _) => Ok(Decision::Stay),
            _ => Err(NoPlace),
        }
    }

    pub(super) fn on_pull_request(&mut self, event: &Event) -> Decision {
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

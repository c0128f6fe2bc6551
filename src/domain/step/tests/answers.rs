//! Tasks that end in words: approved like any other, or asked by a command, which is its approval.

use super::*;
use crate::domain::{Asked, MailKind, Notice};

/// A reading of `text("b")` as one task of that workflow.
pub(super) fn reading(workflow: Workflow) -> Event {
    let specifications = vec![TaskSpecification { workflow, ..specification("One") }];
    let reading = Reading::Tasks { understood: "u".into(), specifications, new_ids: vec![] };
    Event::Discussed { source: text("b"), reading }
}

fn proposed(workflow: Workflow) -> Task {
    let task = after(task(), &[reading(workflow)]);
    let of = task.proposal().expect("a plan");
    after(task, &[Event::PlanPosted { of, comment: posted() }])
}

fn begun() -> Event {
    Event::StageStarted { stage: Stage::Answer }
}

fn withdrawn() -> Event {
    Event::ReactionWithdrawn { by: ada() }
}

fn question() -> Task {
    let place = task().origin.github().cloned().expect("a place");
    let asked = Asked { comment: CommentId(11), workflow: None };
    Task::question(TaskId(uuid::Uuid::nil()), place, ada(), (asked, "Why?", text("b")), at())
}

#[test]
fn a_question_in_an_issue_waits_for_its_approval_and_ends_in_one_answer() {
    for workflow in [Workflow::Reasoning, Workflow::Science, Workflow::RagQa] {
        let waiting = proposed(workflow);
        assert_eq!(waiting.state, State::AwaitingApproval);
        let (queued, then) = after_with(waiting, &[reacted(Thumb::Up)], &rules());
        assert_eq!((&queued.state, queued.stage()), (&State::Queued, Some(Stage::Answer)));
        assert!(then.contains(&Consequence::Run(Stage::Answer)));
        assert!(
            step(&queued, &Event::StageStarted { stage: Stage::Implement }, at(), &rules()).is_err(),
            "there is no code"
        );
        let answering = after(queued, &[begun()]);
        assert_eq!(answering.state, State::Answering);
        let (answered, then) = after_with(answering, &[Event::Answered], &rules());
        assert_eq!((answered.state.name(), answered.state.has_ended()), ("answered", true));
        assert_eq!(effects(&then), ["post_answer"]);
        assert!(step(&answered, &Event::Answered, at(), &rules()).is_err(), "there is one answer");
    }
}

#[test]
fn who_takes_the_reaction_back_before_the_answer_is_begun_takes_the_approval_back() {
    let queued = after(proposed(Workflow::Science), &[reacted(Thumb::Up)]);
    let waiting = after(queued.clone(), &[withdrawn()]);
    assert_eq!((waiting.state, waiting.approval), (State::AwaitingApproval, None));
    let at_work = after(queued, &[begun()]);
    assert_eq!(after(at_work, &[withdrawn()]).state, State::Answering);
}

#[test]
fn an_edit_voids_what_is_being_answered() {
    let answering = after(proposed(Workflow::RagQa), &[reacted(Thumb::Up), begun()]);
    assert_eq!(answering.state, State::Answering);
    let stopped = after(answering, &[observed("edited", "plan")]);
    let State::NeedsPerson { reason, resume } = stopped.state else { panic!("{:?}", stopped.state) };
    assert_eq!((reason, resume), (Reason::TextChanged, Resume::Discuss));
}

#[test]
fn a_question_by_command_is_its_own_approval_and_knows_no_issue() {
    let asked = question();
    assert_eq!((asked.ordinal, asked.stage()), (0, Some(Stage::Answer)));
    let approval = asked.approval.as_ref().map(|approval| approval.plan);
    assert_eq!(approval, asked.plan.as_ref().map(|plan| plan.digest));
    assert_eq!(
        step(&asked, &observed("edited", "plan"), at(), &rules()),
        Ok(None),
        "it was asked as it was asked"
    );

    let failed =
        Event::StageFailed { stage: Stage::Answer, reason: Reason::LimitReached { limit: "x".into() } };
    let (stopped, then) = after_with(asked, &[failed], &rules());
    assert!(
        matches!(stopped.state, State::NeedsPerson { resume: Resume::Answer, .. }),
        "{:?}",
        stopped.state
    );
    assert!(then.contains(&Consequence::Perform(Effect::Mail { kind: MailKind::NeedsPerson })));
    let again = after(stopped, &[command(Command::Retry)]);
    assert_eq!(again.state, State::Answering);
    let cancelled = after(again, &[command(Command::Cancel)]);
    let again = after(cancelled, &[command(Command::Retry)]);
    assert_eq!(again.state, State::Answering, "it is not read from the issue");
}

#[test]
fn an_answer_that_github_refuses_needs_a_person() {
    let answered = after(question(), &[Event::Answered]);
    let refused =
        Event::EffectRefused { what: "post_answer".into(), detail: "locked".into(), of: answered.proposal() };
    let (stopped, then) = after_with(answered, &[refused], &rules());
    assert!(matches!(stopped.state, State::NeedsPerson { resume: Resume::Answer, .. }));
    let on = IssueNumber(3);
    assert!(then.contains(&Consequence::Perform(Effect::Comment { on, notice: Notice::NeedsPerson })));
}

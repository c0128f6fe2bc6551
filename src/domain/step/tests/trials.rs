//! Fixes that the work can do without.

use std::collections::BTreeSet;

use super::super::super::task::{TakenBack, Trial};
use super::*;

fn two_rounds() -> Rules {
    Rules::new(2, 2, Approvals::Wait, 14)
}

/// The work passed its gates, and reviewers have remarks that hold nothing up.
fn remarked() -> Task {
    after_with(implemented(), &[gated(&[]), found(0, 2)], &two_rounds()).0
}

#[test]
fn remarks_are_worth_one_round_and_the_work_goes_on_whatever_is_left_of_them() {
    let fixing = remarked();
    assert_eq!(fixing.state, State::Fixing { cause: FixCause::Remarks });
    assert_eq!(fixing.trial.as_ref().map(|trial| &trial.head), Some(&sha('b')));
    let (done, _) = after_with(fixing, &[fixed('c'), gated(&[]), found(0, 1)], &two_rounds());
    assert_eq!((done.state, done.head, done.trial), (State::Publishing, Some(sha('c')), None));
    assert_eq!((done.review_rounds, done.taken_back), (1, vec![]));
}

#[test]
fn a_fix_that_fails_for_what_does_not_block_is_noted_and_the_work_goes_on_as_it_was() {
    let nothing = Changed::No { said: "It is as it should be.".into() };
    let reason = Reason::LimitReached { limit: "60 steps".into() };
    let failed = |stage| Event::StageFailed { stage, reason: reason.clone() };
    let silent =
        Event::Reviewed { blocking: 0, remarks: 0, failed_reviewers: vec!["safety".into()], reviewers: 1 };
    let cases = [
        (
            vec![Event::Fixed { head: sha('b'), changed: nothing, remote_head: None }],
            Reason::NothingChanged { said: "It is as it should be.".into() },
        ),
        (vec![failed(Stage::Fix)], reason.clone()),
        (vec![fixed('c'), gated(&["test"])], Reason::GatesFail { gates: vec!["test".into()], rounds: 0 }),
        (vec![fixed('c'), failed(Stage::Gate)], reason.clone()),
        (vec![fixed('c'), gated(&[]), reviewed(1)], Reason::BlockingFindings { count: 1, rounds: 1 }),
        (vec![fixed('c'), gated(&[]), failed(Stage::Review)], reason.clone()),
        (vec![fixed('c'), gated(&[]), silent], Reason::ReviewersFailed { reviewers: vec!["safety".into()] }),
    ];
    for (events, why) in cases {
        let fixing = remarked();
        let since = fixing.version;
        let (on, then) = after_with(fixing, &events, &two_rounds());
        assert_eq!((&on.state, &on.head, &on.trial), (&State::Publishing, &Some(sha('b')), &None), "{why:?}");
        assert_eq!(on.taken_back, [TakenBack { first: since, last: on.version - 1, round: 0, why }]);
        assert_eq!(then, [Consequence::Run(Stage::Publish)], "and nobody is called");
    }
}

#[test]
fn a_fix_that_fails_for_what_blocks_stops_the_task_and_says_so() {
    let nothing = Changed::No { said: "It is as it should be.".into() };
    let reason = Reason::LimitReached { limit: "60 steps".into() };
    let cases = [
        vec![Event::Fixed { head: sha('b'), changed: nothing, remote_head: None }],
        vec![Event::StageFailed { stage: Stage::Fix, reason }],
        vec![fixed('c'), gated(&[]), found(1, 1), fixed('d'), gated(&[]), found(1, 0)],
    ];
    for events in cases {
        let fixing = after_with(implemented(), &[gated(&[]), found(1, 3)], &two_rounds()).0;
        assert_eq!(fixing.state, State::Fixing { cause: FixCause::Findings });
        let (stopped, then) = after_with(fixing, &events, &two_rounds());
        let State::NeedsPerson { resume, .. } = stopped.state else { panic!("{:?}", stopped.state) };
        assert_eq!(resume, Resume::Fix(FixCause::Findings));
        assert_eq!(effects(&then), ["comment", "mail"]);
    }
}

#[test]
fn remarks_get_no_round_where_blocking_findings_took_all() {
    let events = [gated(&[]), found(1, 1), fixed('c'), gated(&[]), found(0, 1)];
    assert_eq!(after(implemented(), &events).state, State::Publishing);
}

#[test]
fn an_edit_of_the_text_stops_a_trial_too() {
    let (edited, _) = after_with(remarked(), &[observed("edited", "plan")], &two_rounds());
    assert_eq!(edited.state.name(), "needs_person");
    let groundless = Event::StageFailed { stage: Stage::Fix, reason: Reason::TextChanged };
    assert_eq!(after_with(remarked(), &[groundless], &two_rounds()).0.state.name(), "needs_person");
    let again = after(edited, &[command(Command::Retry)]);
    assert_eq!(again.trial, None);
}

#[test]
fn a_task_that_was_kept_before_there_were_trials_is_read() {
    let mut kept = serde_json::to_value(published()).expect("serialises");
    for field in ["trial", "taken_back"] {
        kept.as_object_mut().expect("an object").remove(field).expect("a field");
    }
    assert_eq!(serde_json::from_value::<Task>(kept).expect("reads"), published());
    let reviewed =
        serde_json::json!({"event": "reviewed", "blocking": 1, "failed_reviewers": [], "reviewers": 3});
    assert_eq!(serde_json::from_value::<Event>(reviewed).expect("reads"), found(1, 0));
}

/// What may happen to work that is under way, each fix with a head of its own.
fn any_work() -> impl Strategy<Value = Vec<(u8, u32, u32)>> {
    proptest::collection::vec((0..5_u8, 0..2_u32, 0..2_u32), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What goes to be published has passed its gates and has been reviewed without a blocking finding, whatever
    /// became of fixes in between; and what was taken back reaches from before to after.
    #[test]
    fn only_what_passed_everything_is_published(work in any_work()) {
        let mut now = implemented();
        let (mut gates, mut reviews) = (BTreeSet::new(), BTreeSet::new());
        for (number, (what, blocking, remarks)) in work.into_iter().enumerate() {
            let head = CommitSha::parse(format!("{:040x}", number + 1)).expect("hex");
            let event = match what {
                0 => Event::Fixed { head, changed: Changed::Yes, remote_head: None },
                1 => Event::Fixed {
                    head: now.head.clone().expect("a head"),
                    changed: Changed::No { said: "s".into() },
                    remote_head: None,
                },
                2 => gated(if blocking > 0 { &["t"] } else { &[] }),
                3 => found(blocking, remarks),
                _ => Event::StageFailed {
                    stage: now.stage().unwrap_or(Stage::Fix),
                    reason: Reason::LimitReached { limit: "l".into() },
                },
            };
            let judged = now.head.clone().expect("a head").to_string();
            match (&event, &now.state) {
                (Event::Gated { failed, .. }, State::Gating) if failed.is_empty() => { gates.insert(judged); }
                (Event::Reviewed { blocking: 0, .. }, State::Reviewing) => { reviews.insert(judged); }
                _ => {}
            }
            let Ok(Some(Step { task, .. })) = step(&now, &event, at(), &two_rounds()) else { continue };
            if let Some(Trial { head, since }) = &task.trial {
                prop_assert!(gates.contains(head.as_str()) && reviews.contains(head.as_str()));
                prop_assert!(*since <= task.version);
            }
            for taken in &task.taken_back {
                prop_assert!(taken.first <= taken.last && taken.last < task.version);
            }
            if task.state == State::Publishing {
                let head = task.head.clone().expect("a head").to_string();
                prop_assert!(gates.contains(&head) && reviews.contains(&head), "{} was not judged", head);
                prop_assert_eq!(&task.trial, &None);
                break;
            }
            now = task;
        }
    }
}

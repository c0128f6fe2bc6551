mod answers;
mod budget;
mod trials;

use proptest::prelude::*;

use super::super::command::Command;
use super::super::event::{Changed, ObservedText, Reading, Thumb};
use super::super::ids::{Account, CommentId, InstallationId, IssueNumber, RepositoryId, TaskId, UserId};
use super::super::refs::CommitSha;
use super::super::source_text::{SourceText, body_digest, plan_digest};
use super::super::specification::{Priority, Risk, Size, TaskSpecification, Workflow};
use super::super::task::{
    CancelReason, FixCause, GitHubPlace, Origin, PostedComment, Proposal, Reason, Resume, State,
};
use super::super::written_task::WrittenTask;
use super::*;

fn ada() -> Account {
    Account { id: UserId(7), login: "ada".into() }
}

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_230_900, 0).expect("in range")
}

fn rules() -> Rules {
    Rules::new(2, 1, Approvals::Wait, 14)
}

fn text(body: &str) -> SourceText {
    SourceText { title: "Totals are off".into(), body: body.into(), comments: vec![] }
}

fn specification(title: &str) -> TaskSpecification {
    TaskSpecification {
        title: title.into(),
        objective: "o".into(),
        requirements: vec!["r".into()],
        constraints: vec![],
        acceptance_criteria: vec!["a".into()],
        likely_files: vec![],
        protected_files: vec![],
        altered_tests: vec![],
        workflow: Workflow::Coding,
        risk: Risk::Low,
        size: Size::Small,
        priority: Priority::Normal,
        depends_on: vec![],
        prepared: super::super::specification::Preparation::default(),
    }
}

fn sha(digit: char) -> CommitSha {
    CommitSha::parse(digit.to_string().repeat(40)).expect("hex")
}

fn task() -> Task {
    let place = GitHubPlace {
        installation: InstallationId(1),
        repository: RepositoryId(2),
        full_name: "o/r".into(),
        issue: IssueNumber(3),
    };
    Task::new(TaskId(uuid::Uuid::nil()), Origin::GitHub(place), ada(), at())
}

fn reading(titles: &[&str]) -> Event {
    let new_ids = (1..titles.len() as u128).map(|n| TaskId(uuid::Uuid::from_u128(n))).collect();
    Event::Discussed {
        source: text("b"),
        reading: Reading::Tasks {
            understood: "u".into(),
            specifications: titles.iter().map(|title| specification(title)).collect(),
            new_ids,
        },
    }
}

fn posted() -> PostedComment {
    PostedComment { id: CommentId(9), body: body_digest("plan") }
}

/// The plan of a reading of `text("b")` was posted.
fn plan_posted(revision: u32) -> Event {
    let digest = plan_digest(text("b").digest(), &specification("One"));
    Event::PlanPosted { of: Proposal { revision, digest }, comment: posted() }
}

fn reacted(thumb: Thumb) -> Event {
    Event::Reacted { thumb, by: ada(), on: posted().id }
}

fn observed(body: &str, plan: &str) -> Event {
    let (source, plan_comment) = (text(body).digest(), Some(body_digest(plan)));
    Event::TextObserved(ObservedText { source, plan_comment })
}

fn command(command: Command) -> Event {
    Event::Commanded { command, by: ada(), comment: CommentId(11), on: IssueNumber(3) }
}

fn fixed(digit: char) -> Event {
    Event::Fixed { head: sha(digit), changed: Changed::Yes, remote_head: None }
}

fn gated(failed: &[&str]) -> Event {
    Event::Gated { failed: failed.iter().map(|&f| f.into()).collect(), could_not_run: vec![] }
}

fn reviewed(blocking: u32) -> Event {
    found(blocking, 0)
}

fn found(blocking: u32, remarks: u32) -> Event {
    Event::Reviewed { blocking, remarks, failed_reviewers: vec![], reviewers: 3 }
}

/// Lets events happen one after the other; each has to be in order.
fn after(task: Task, events: &[Event]) -> Task {
    after_with(task, events, &rules()).0
}

fn after_with(task: Task, events: &[Event], rules: &Rules) -> (Task, Vec<Consequence>) {
    let mut now = (task, Vec::new());
    for event in events {
        match step(&now.0, event, at(), rules) {
            Ok(Some(Step { task, then })) => now = (task, then),
            Ok(None) => now.1.clear(),
            Err(illegal) => panic!("{illegal}"),
        }
    }
    now
}

fn approved() -> Task {
    let up = reacted(Thumb::Up);
    after(task(), &[reading(&["One"]), plan_posted(1), up])
}

fn implemented() -> Task {
    let started = Event::StageStarted { stage: Stage::Implement };
    after(approved(), &[started, Event::Implemented { base: sha('a'), head: sha('b') }])
}

fn published() -> Task {
    after(
        implemented(),
        &[
            gated(&[]),
            reviewed(0),
            Event::PublishChecked,
            Event::Pushed { head: sha('b') },
            Event::PullRequestOpened { number: IssueNumber(12) },
        ],
    )
}

fn effects(then: &[Consequence]) -> Vec<&'static str> {
    then.iter()
        .filter_map(|c| if let Consequence::Perform(effect) = c { Some(effect.kind()) } else { None })
        .collect()
}

#[test]
fn the_whole_story_ends_in_a_pull_request() {
    let (task, then) = after_with(
        implemented(),
        &[
            gated(&["test"]),
            fixed('c'),
            gated(&[]),
            reviewed(1),
            fixed('d'),
            gated(&[]),
            reviewed(0),
            Event::PublishChecked,
            Event::Pushed { head: sha('d') },
            Event::PullRequestOpened { number: IssueNumber(12) },
        ],
        &rules(),
    );
    assert_eq!(task.state, State::PullRequestOpen);
    assert_eq!((task.gate_rounds, task.review_rounds), (1, 1));
    assert_eq!(effects(&then), ["label_pull_request", "post_review", "report_check", "mail"]);
    assert_eq!(after(task, &[Event::PullRequestMerged]).state, State::Done);
}

#[test]
fn gate_rounds_and_review_rounds_are_counted_apart_and_both_end() {
    let stuck = after(implemented(), &[gated(&["t"]), fixed('c'), gated(&["t"]), fixed('d'), gated(&["t"])]);
    let State::NeedsPerson { reason, .. } = stuck.state else { panic!("{:?}", stuck.state) };
    assert_eq!(reason, Reason::GatesFail { gates: vec!["t".into()], rounds: 2 });
    let stuck = after(implemented(), &[gated(&[]), reviewed(2), fixed('c'), gated(&[]), reviewed(1)]);
    let State::NeedsPerson { reason, .. } = stuck.state else { panic!("{:?}", stuck.state) };
    assert_eq!(reason, Reason::BlockingFindings { count: 1, rounds: 1 });
    assert_eq!(stuck.head, Some(sha('c')), "the work is kept");
}

#[test]
fn a_retry_goes_on_from_the_work_so_far_with_its_rounds_before_it() {
    let stuck = after(implemented(), &[gated(&["t"]), fixed('c'), gated(&["t"]), fixed('d'), gated(&["t"])]);
    let again = after(stuck, &[command(Command::Retry)]);
    assert_eq!(again.state, State::Fixing { cause: FixCause::Gates });
    assert_eq!((again.attempt, again.gate_rounds, again.head), (2, 0, Some(sha('d'))));
}

#[test]
fn an_edit_voids_the_approval_at_every_stage_before_the_pull_request() {
    let start = Event::StageStarted { stage: Stage::Implement };
    let stages = [
        after(task(), &[reading(&["One"]), plan_posted(1)]),
        approved(),
        after(approved(), &[start]),
        implemented(),
        after(implemented(), &[gated(&["t"])]),
        after(implemented(), &[gated(&[])]),
        after(implemented(), &[gated(&[]), reviewed(0)]),
        after(implemented(), &[gated(&[]), reviewed(0), Event::PublishChecked]),
    ];
    for task in stages {
        for edit in [observed("edited", "plan"), observed("b", "edited plan")] {
            let state = after(task.clone(), &[edit]).state;
            let State::NeedsPerson { reason: Reason::TextChanged, resume: Resume::Discuss } = state else {
                panic!("{:?} went to {state:?}", task.state);
            };
        }
        assert_eq!(after(task.clone(), &[observed("b", "plan")]).state, task.state, "nothing was edited");
    }
    assert_eq!(after(published(), &[observed("edited", "plan")]).state, State::PullRequestOpen);
}

#[test]
fn the_same_text_labelled_again_starts_nothing_and_changed_text_makes_a_new_revision() {
    let waiting = after(task(), &[reading(&["One"]), plan_posted(1)]);
    let again = |body: &str| Event::Relabelled { source: text(body).digest() };
    assert_eq!(step(&waiting, &again("b"), at(), &rules()), Ok(None));
    let (anew, then) = after_with(waiting.clone(), &[again("changed")], &rules());
    assert_eq!((anew.state.clone(), anew.revision), (State::Discussing, 2));
    assert_eq!((anew.approval, anew.plan), (None, None));
    assert!(then.contains(&Consequence::Run(Stage::Discuss)));
    let (ended, then) = after_with(waiting, &[Event::Unlabelled, again("b")], &rules());
    assert_eq!(ended.state, State::Cancelled { reason: CancelReason::LabelRemoved });
    assert_eq!(effects(&then), ["comment"], "it says why nothing starts");
}

#[test]
fn only_the_plan_that_was_there_to_be_read_is_approved() {
    let unseen = after(task(), &[reading(&["One"])]);
    assert_eq!(after(unseen, &[command(Command::Approve)]).state, State::AwaitingApproval, "not posted yet");
    let waiting = after(task(), &[reading(&["One"]), plan_posted(1)]);
    let earlier = Event::Commanded {
        command: Command::Approve,
        by: ada(),
        comment: CommentId(posted().id.0 - 1),
        on: IssueNumber(3),
    };
    assert_eq!(after(waiting.clone(), &[earlier]).state, State::AwaitingApproval, "written before the plan");
    let elsewhere = Event::Reacted { thumb: Thumb::Up, by: ada(), on: CommentId(8) };
    assert_eq!(after(waiting.clone(), &[elsewhere]).state, State::AwaitingApproval, "on another comment");
    assert_eq!(after(waiting.clone(), &[command(Command::Approve)]).state, State::Queued);
    assert_eq!(after(waiting, &[reacted(Thumb::Up)]).state, State::Queued);
}

#[test]
fn what_became_of_a_plan_that_was_replaced_says_nothing_about_the_new_one() {
    let changed = Event::Relabelled { source: text("changed").digest() };
    let anew = after(task(), &[reading(&["One"]), changed, reading(&["One"])]);
    assert_eq!((anew.revision, anew.state.clone()), (2, State::AwaitingApproval));
    assert_eq!(after(anew.clone(), &[plan_posted(1)]).plan, anew.plan, "the old comment is not its comment");
    let refused = |of| Event::EffectRefused { what: "post_plan".into(), detail: "no".into(), of };
    let old = anew.proposal().map(|now| Proposal { revision: 1, ..now });
    assert_eq!(after(anew.clone(), &[refused(old)]).state, State::AwaitingApproval);
    assert_eq!(after(anew.clone(), &[refused(anew.proposal())]).state.name(), "needs_person");
}

#[test]
fn a_task_that_was_born_with_its_plan_proposes_it_again_for_an_edited_text() {
    let (_, then) = after_with(task(), &[reading(&["One", "Two"])], &rules());
    let Some(Consequence::Spawn(second)) = then.iter().find(|c| matches!(c, Consequence::Spawn(_))) else {
        panic!("{then:?}")
    };
    let second = propose_spawned((**second).clone(), at(), &rules()).task;
    let retried = after(second.clone(), &[observed("edited", "plan"), command(Command::Retry)]);
    assert_eq!(retried.state, State::Discussing);
    let same = Event::Discussed { source: text("edited"), reading: Reading::SamePlan };
    let (again, then) = after_with(retried, &[same], &rules());
    assert_eq!((again.state.clone(), effects(&then)), (State::AwaitingApproval, vec!["post_plan"]));
    assert_eq!(again.title(), "Two");
    assert_ne!(again.proposal(), second.proposal(), "what is approved covers the new text");
}

#[test]
fn a_pull_request_that_opens_after_a_stop_belongs_to_its_task() {
    let publishing = after(implemented(), &[gated(&[]), reviewed(0), Event::PublishChecked]);
    let opened = Event::PullRequestOpened { number: IssueNumber(12) };
    let (open, then) =
        after_with(publishing.clone(), &[observed("edited", "plan"), opened.clone()], &rules());
    assert_eq!((open.state.clone(), open.pull_request), (State::PullRequestOpen, Some(IssueNumber(12))));
    assert_eq!(effects(&then), ["label_pull_request", "post_review", "report_check", "mail"]);
    let (cancelled, then) = after_with(publishing, &[Event::Unlabelled, opened], &rules());
    assert_eq!(cancelled.state, State::Cancelled { reason: CancelReason::LabelRemoved });
    assert_eq!(effects(&then), ["comment"], "the pull request says that it is nobody's work any more");
    let again = after(cancelled, &[command(Command::Retry)]);
    assert_eq!((again.state, again.pull_request), (State::PullRequestOpen, Some(IssueNumber(12))));
}

#[test]
fn a_branch_that_moved_before_there_is_a_pull_request_is_left_for_a_new_one() {
    let publishing = after(implemented(), &[gated(&[]), reviewed(0), Event::PublishChecked]);
    let refused = Event::EffectRefused { what: "open_pull_request".into(), detail: "no".into(), of: None };
    let gone = Event::PushRefused { actual: "nothing".into() };
    let stopped = after(
        publishing,
        &[Event::Pushed { head: sha('b') }, refused, command(Command::Retry), Event::PublishChecked, gone],
    );
    assert_eq!((stopped.branch, stopped.remote_head), (None, None), "nothing is expected of the new one");
}

#[test]
fn what_was_made_for_an_earlier_plan_is_told_from_the_work_of_this_one() {
    let changed = Event::Relabelled { source: text("changed").digest() };
    let first = implemented();
    let stopped = after(first.clone(), &[observed("changed", "plan")]);
    let anew = after(stopped, &[changed, reading(&["One"]), plan_posted(2), reacted(Thumb::Up)]);
    assert!(anew.work_since > first.version, "{} and {}", anew.work_since, first.version);
    let fixing = after(anew.clone(), &[Event::StageStarted { stage: Stage::Implement }]);
    assert_eq!(fixing.work_since, anew.work_since);
}

#[test]
fn a_withdrawn_reaction_takes_back_what_has_not_started() {
    let withdrawn = |id| Event::ReactionWithdrawn { by: Account { id: UserId(id), login: "x".into() } };
    assert_eq!(after(approved(), &[withdrawn(7)]).state, State::AwaitingApproval);
    assert_eq!(after(approved(), &[withdrawn(8)]).state, State::Queued);
    assert_eq!(after(implemented(), &[withdrawn(7)]).state, State::Gating);
}

#[test]
fn several_tasks_are_put_before_people_one_by_one() {
    let (first, then) = after_with(task(), &[reading(&["One", "Two", "Three"])], &rules());
    let spawned: Vec<_> = then
        .iter()
        .filter_map(|c| if let Consequence::Spawn(task) = c { Some(task) } else { None })
        .collect();
    assert_eq!(spawned.iter().map(|task| task.ordinal).collect::<Vec<_>>(), [2, 3]);
    let Step { task: second, then } = propose_spawned((*spawned[0]).as_ref().clone(), at(), &rules());
    assert_eq!(second.state, State::AwaitingApproval);
    assert_eq!(effects(&then), ["post_plan"]);
    assert_ne!(first.plan.map(|plan| plan.digest), second.plan.map(|plan| plan.digest));
}

#[test]
fn a_fix_on_an_open_pull_request_is_one_bounded_round_on_top() {
    let fixing = after(published(), &[command(Command::Fix("rename it".into()))]);
    assert_eq!(fixing.state, State::Fixing { cause: FixCause::Instruction });
    assert_eq!(fixing.round, 1);
    let on_top = Event::Fixed { head: sha('e'), changed: Changed::Yes, remote_head: Some(sha('d')) };
    let (done, then) = after_with(
        fixing,
        &[on_top, gated(&[]), reviewed(0), Event::PublishChecked, Event::Pushed { head: sha('e') }],
        &rules(),
    );
    assert_eq!((done.state, done.remote_head), (State::PullRequestOpen, Some(sha('e'))));
    assert_eq!(effects(&then), ["post_review", "report_check", "comment", "mail"]);
}

#[test]
fn a_fix_does_not_go_on_from_text_that_was_voided() {
    let voided = after(implemented(), &[observed("edited", "plan")]);
    let (still, then) = after_with(voided.clone(), &[command(Command::Fix("go on".into()))], &rules());
    assert_eq!(still.state, voided.state);
    assert_eq!(effects(&then), ["comment"]);
}

#[test]
fn nobody_is_asked_where_the_approval_is_given() {
    let given = Rules::new(2, 2, Approvals::Given(ApprovalMeans::DryRun), 14);
    let (task, _) = after_with(task(), &[reading(&["One"])], &given);
    assert_eq!(task.state, State::Queued);
}

#[test]
fn rounds_are_clamped() {
    assert_eq!(Rules::new(0, 200, Approvals::Wait, 0), Rules::new(1, 4, Approvals::Wait, 1));
}

fn local_rules() -> Rules {
    Rules::new(2, 1, Approvals::Given(ApprovalMeans::LocalRun), 14)
}

fn local() -> Task {
    let base = crate::domain::BranchName::parse("main").expect("a name");
    let origin = Origin::Local { repository: "/r".into(), base };
    Task { source: Some(text("b")), ..Task::new(TaskId(uuid::Uuid::nil()), origin, ada(), at()) }
}

fn written(title: &str) -> WrittenTask {
    WrittenTask {
        title: title.into(),
        objective: "o".into(),
        requirements: vec!["r".into()],
        constraints: vec![],
        acceptance_criteria: vec!["a".into()],
        likely_files: vec![],
        protected_files: vec![],
        altered_tests: vec![],
        workflow: None,
        risk: WrittenTask::RISK,
        size: WrittenTask::SIZE,
        priority: WrittenTask::PRIORITY,
        template: None,
    }
}

#[test]
fn a_local_run_whose_branch_is_taken_is_published_under_another_name() {
    let events = [
        reading(&["A"]),
        Event::StageStarted { stage: Stage::Implement },
        Event::Implemented { base: sha('a'), head: sha('b') },
        gated(&[]),
        reviewed(0),
        Event::PublishChecked,
    ];
    let (task, then) = after_with(local(), &events, &local_rules());
    assert_eq!(effects(&then), ["write_local_branch"]);
    let refused = Event::PushRefused { actual: sha('c').to_string() };
    let (task, then) = after_with(task, &[refused], &local_rules());
    assert_eq!((&task.state, &task.branch), (&State::Publishing, &None));
    assert_eq!(then, [Consequence::Run(Stage::Publish)]);
}

#[test]
fn a_local_run_waits_for_nobody_and_keeps_its_text() {
    let questions = Reading::Questions { understood: "u".into(), questions: vec!["?".into()] };
    let asked = Event::Discussed { source: text("b"), reading: questions };
    let (_, then) = after_with(local(), &[asked], &local_rules());
    assert_eq!(then, []);
    let failed =
        Event::StageFailed { stage: Stage::Discuss, reason: Reason::ReviewersFailed { reviewers: vec![] } };
    let given = Some(written("One"));
    let local = Task { given: given.clone(), ..local() };
    let (task, then) = after_with(local, &[failed, command(Command::Retry)], &local_rules());
    assert_eq!((task.state, task.source, task.given), (State::Discussing, Some(text("b")), given));
    assert_eq!(then, [Consequence::Run(Stage::Discuss)]);
}

fn any_event() -> impl Strategy<Value = Event> {
    let commands = prop_oneof![
        Just(Command::Help),
        Just(Command::Status),
        Just(Command::Approve),
        Just(Command::Reject),
        Just(Command::Retry),
        Just(Command::Cancel),
        Just(Command::Fix("x".into())),
        Just(Command::Budget(super::super::budget::BudgetChange::Add(super::super::budget::Amount::Tokens(
            5
        )))),
    ];
    let body = prop_oneof![Just("b"), Just("edited")];
    let digit = prop_oneof![Just('a'), Just('b'), Just('c')];
    let failures = prop_oneof![Just(&[] as &[&str]), Just(&["t"] as &[&str])];
    let stage = proptest::sample::select(Stage::ALL.to_vec());
    prop_oneof![
        commands.prop_map(command),
        body.clone().prop_map(|body| Event::Relabelled { source: text(body).digest() }),
        body.prop_map(|body| observed(body, "plan")),
        Just(Event::Unlabelled),
        Just(Event::IssueClosed),
        Just(Event::Commented { comment: CommentId(1) }),
        Just(reacted(Thumb::Up)),
        Just(reacted(Thumb::Down)),
        Just(Event::ReactionWithdrawn { by: ada() }),
        stage.clone().prop_map(|stage| Event::StageStarted { stage }),
        Just(reading(&["One", "Two"])),
        Just(Event::Discussed {
            source: text("b"),
            reading: Reading::Questions { understood: "u".into(), questions: vec!["q".into()] },
        }),
        Just(Event::Implemented { base: sha('a'), head: sha('b') }),
        digit.clone().prop_map(fixed),
        failures.prop_map(gated),
        (0..2_u32, 0..2_u32).prop_map(|(blocking, remarks)| found(blocking, remarks)),
        Just(Event::PublishChecked),
        Just(answers::reading(Workflow::RagQa)),
        Just(Event::Answered),
        stage.prop_map(|stage| Event::StageFailed { stage, reason: Reason::TextChanged }),
        (1..3_u32).prop_map(plan_posted),
        digit.prop_map(|digit| Event::Pushed { head: sha(digit) }),
        Just(Event::PushRefused { actual: "x".into() }),
        Just(Event::PullRequestOpened { number: IssueNumber(12) }),
        Just(Event::PullRequestMerged),
        Just(Event::PullRequestClosed),
        Just(Event::PullRequestReopened),
        (0..9_u64).prop_map(|version| Event::WaitExpired { version }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever happens in whatever order: nothing panics, rounds stay bounded, nothing is worked on
    /// or pushed without an approval of the very plan, and a task that is no one's turn has ended.
    #[test]
    fn no_order_of_events_breaks_the_rules(events in proptest::collection::vec(any_event(), 1..40)) {
        let rules = rules();
        let mut now = task();
        for event in &events {
            let Ok(Some(Step { task, then })) = step(&now, event, at(), &rules) else { continue };
            prop_assert_eq!(task.version, now.version + 1);
            prop_assert!(task.gate_rounds <= 2 && task.review_rounds <= 1);
            let works = matches!(task.stage(), Some(stage) if stage != Stage::Discuss);
            if works {
                let approval = task.approval.as_ref().map(|approval| approval.plan);
                prop_assert_eq!(approval, task.plan.as_ref().map(|plan| plan.digest));
            }
            let runs = then.iter().filter(|c| matches!(c, Consequence::Run(_))).count();
            prop_assert!(runs <= 1);
            if then.iter().any(|c| matches!(c, Consequence::Perform(Effect::PushBranch))) {
                prop_assert!(task.branch.as_ref().is_some_and(|branch| branch.is_auto()));
            }
            if task.stage().is_some() && task.stage() != now.stage() {
                prop_assert_eq!(runs, 1, "a stage that nobody runs: {:?}", task.state);
            }
            now = task;
        }
    }

    /// What a state is called and what it is stay together through the database.
    #[test]
    fn a_task_survives_being_stored(events in proptest::collection::vec(any_event(), 1..20)) {
        let mut now = task();
        for event in &events {
            if let Ok(Some(Step { task, .. })) = step(&now, event, at(), &rules()) { now = task }
            let json = serde_json::to_value(event).expect("serialises");
            prop_assert_eq!(&serde_json::from_value::<Event>(json).expect("reads"), event);
        }
        let json = serde_json::to_value(&now).expect("serialises");
        prop_assert_eq!(&json["state"]["state"], now.state.name());
        prop_assert_eq!(serde_json::from_value::<Task>(json).expect("reads"), now);
    }
}

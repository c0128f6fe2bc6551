//! `/orchestrate budget`, by example.

use super::super::super::budget::{Amount, BudgetChange, BudgetLimits, BudgetScope};
use super::super::super::effect::{Effect, Notice};
use super::*;

const USD: u64 = 1_000_000;

fn rules() -> Rules {
    let most = BudgetLimits { tokens: None, cost_micro_usd: Some(50 * USD) };
    super::rules().with_budgets_up_to(most)
}

fn budget(text: &str) -> Event {
    command(Command::Budget(BudgetChange::parse(text).expect("an amount")))
}

fn notices(then: &[Consequence]) -> Vec<&Notice> {
    let notice = |one| match one {
        &Consequence::Perform(Effect::Comment { ref notice, .. }) => Some(notice),
        _ => None,
    };
    then.iter().filter_map(notice).collect()
}

fn may_spend(task: &Task) -> Option<u64> {
    task.budget
        .limits(BudgetLimits { tokens: None, cost_micro_usd: Some(10 * USD) }, rules().most)
        .cost_micro_usd
}

fn spent(stage: Stage) -> Event {
    let reason = Reason::BudgetReached { scope: BudgetScope::Task, detail: "d".into() };
    Event::StageFailed { stage, reason }
}

#[test]
fn a_task_that_stopped_for_its_budget_goes_on_where_it_was() {
    let (task, _) = after_with(implemented(), &[gated(&["t"]), spent(Stage::Fix)], &rules());
    assert!(matches!(task.state, State::NeedsPerson { .. }));
    let (task, then) = after_with(task, &[budget("+5")], &rules());
    assert_eq!(task.state, State::Fixing { cause: FixCause::Gates });
    assert_eq!((&task.head, may_spend(&task)), (&Some(sha('b')), Some(15 * USD)));
    assert!(then.contains(&Consequence::Run(Stage::Fix)));
    assert!(matches!(notices(&then)[..], [Notice::BudgetChanged { .. }]), "{then:?}");
}

#[test]
fn a_task_that_works_or_stopped_for_another_reason_only_has_another_budget() {
    let (task, then) = after_with(implemented(), &[budget("3")], &rules());
    assert_eq!((&task.state, may_spend(&task)), (&State::Gating, Some(3 * USD)));
    assert_eq!(then.len(), 1, "one answer: {then:?}");
    let failed = Event::StageFailed { stage: Stage::Gate, reason: Reason::TextChanged };
    let (task, then) = after_with(implemented(), &[failed, budget("+1")], &rules());
    assert!(matches!(task.state, State::NeedsPerson { .. }));
    assert_eq!((then.len(), may_spend(&task)), (1, Some(11 * USD)));
}

#[test]
fn nobody_lets_a_task_spend_more_than_the_operator_allows() {
    for text in ["50.01", "+60"] {
        let (task, then) = after_with(implemented(), &[spent(Stage::Gate), budget(text)], &rules());
        assert!(matches!(task.state, State::NeedsPerson { .. }), "{text}");
        assert_eq!(may_spend(&task), Some(10 * USD), "{text}");
        let most = Amount::MicroUsd(50 * USD);
        assert_eq!(notices(&then), [&Notice::BudgetTooLarge { most }], "{text}");
    }
    let (task, _) = after_with(implemented(), &[budget("50"), budget("+50"), budget("9M tokens")], &rules());
    assert_eq!(may_spend(&task), Some(50 * USD), "also not in steps");
}

#[test]
fn a_new_reading_of_the_issue_keeps_what_people_allowed() {
    let stopped = Event::StageFailed { stage: Stage::Gate, reason: Reason::TextChanged };
    let (task, _) = after_with(implemented(), &[budget("7"), stopped], &rules());
    let (task, _) = after_with(task, &[Event::Relabelled { source: text("new").digest() }], &rules());
    assert_eq!((&task.state, may_spend(&task)), (&State::Discussing, Some(7 * USD)));
}

#[test]
fn a_task_that_ended_takes_no_budget() {
    let (task, _) = after_with(implemented(), &[command(Command::Cancel)], &rules());
    let (_, then) = after_with(task, &[budget("7")], &rules());
    assert_eq!(notices(&then), [&Notice::NotNow { verb: "budget".into() }]);
}

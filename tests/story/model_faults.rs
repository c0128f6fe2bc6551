//! What goes wrong between us and the models: junk, silence, limits, and a budget that ends.

use orchestrator::domain::{BudgetScope, Reason, State};
use orchestrator::simulator::model::{Answer, Stop};
use orchestrator::simulator::surroundings::{MAINTAINER, READER};
use orchestrator::store::ArtifactKind;

use crate::scene::{Play, Scene};

fn reason(state: &State) -> &Reason {
    match state {
        State::NeedsPerson { reason, .. } => reason,
        other => panic!("nobody is needed: {other:?}"),
    }
}

fn error(status: u16, retry_after: Option<&str>) -> Answer {
    Answer::Error {
        status,
        retry_after: retry_after.map(str::to_owned),
        message: "not now".into(),
        code: None,
    }
}

fn says(text: &str) -> Answer {
    Answer::Say { text: text.into(), calls: vec![], stop: Stop::Natural }
}

const JUNK_DISCUSSION: &str = r#"
  - name: no plan but a poem
    when: { system: ["You turn a report from an issue tracker into tasks"] }
    answer: { text: "Roses are red, and greetings are blue." }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_answers_junk_three_times_is_given_up_and_a_person_is_told_why() {
    let scene = Scene::play(Play::greeting().with_rules(JUNK_DISCUSSION)).await;
    let issue = scene.labelled_issue().await;
    let task = scene.until(issue, "needs_person").await;
    assert!(matches!(reason(&task.state), Reason::ModelJunk { role, .. } if role == "discussion"));
    let asked = scene.around.model.journal();
    assert_eq!(asked.len(), 3, "a bounded number of times");
    let last = asked[2].request.to_string();
    assert!(last.contains("Roses are red"), "the model is shown what it said and what is wrong with it");
    let said = scene.answer(issue, "This needs a person").await;
    let said = said["body"].as_str().unwrap_or_default();
    assert!(said.contains("/orchestrate retry"), "and what to do: {said}");
    scene.idle(issue).await;
    let mails = scene.around.inbox.messages();
    assert_eq!(mails.len(), 1, "{:?}", scene.mails());
    let mail = String::from_utf8_lossy(&mails[0].raw).into_owned();
    assert!(mail.contains("/orchestrate retry"), "the mail says it, too: {mail}");
    scene.nothing_is_published().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_that_is_followed_by_sense_costs_nothing_but_a_call() {
    let scene = Scene::play(Play::greeting()).await;
    scene.around.model.inject([
        says("Of course! Here is the plan:"),
        says(r#"{"kind": "tasks", "understood": "", "tasks": [], "questions": []}"#),
    ]);
    let (issue, plan) = scene.planned_issue().await;
    // In the middle of the code, too: bytes that are no answer, half a call, a connection that breaks.
    scene.around.model.inject([
        Answer::Junk { body: "<html>Bad gateway</html>".into() },
        Answer::HalfToolCall { name: "write_file".into() },
        Answer::DropConnection,
    ]);
    scene.react(MAINTAINER, plan, "+1").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    scene.one_of_each(issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_and_storms_of_limits_are_waited_out() {
    // Five answers that are none before one that is: within what a call may be repeated.
    let model = r#"{ model: "anthropic:claude-sonnet-4-5", max_tokens: 4096 }"#;
    let settings = format!("models: {{ request_timeout_seconds: 5, retries: 6, default: [{model}] }}");
    let scene = Scene::play(Play::greeting().with_settings(&settings)).await;
    scene.around.model.inject([
        error(429, Some("1")),
        error(529, None),
        Answer::Hang { seconds: 30.0 },
        error(429, Some("1")),
        error(500, None),
    ]);
    let (issue, plan) = scene.planned_issue().await;
    scene.around.model.inject([Answer::Hang { seconds: 30.0 }, error(529, Some("1"))]);
    scene.react(MAINTAINER, plan, "+1").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    scene.one_of_each(issue).await;
    let calls = scene.store.model_calls(scene.task(issue).await.id).await.expect("calls");
    let failed = calls.iter().filter(|(_, call)| call.error.is_some()).count();
    assert_eq!(failed, 7, "each failed call is in the books");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_stays_away_needs_a_person_and_retry_goes_on_from_there() {
    let model = r#"{ model: "anthropic:claude-sonnet-4-5", max_tokens: 4096 }"#;
    let settings = format!("models: {{ retries: 1, default: [{model}] }}");
    let scene = Scene::play(Play::greeting().with_settings(&settings)).await;
    let (issue, plan) = scene.planned_issue().await;
    scene.around.model.inject([error(529, Some("0")), error(529, Some("0"))]);
    scene.react(MAINTAINER, plan, "+1").await;
    let task = scene.until(issue, "needs_person").await;
    assert!(matches!(reason(&task.state), Reason::ModelUnavailable { .. }), "{:?}", task.state);
    scene.answer(issue, "This needs a person").await;
    scene.idle(issue).await;
    assert_eq!(scene.mails().len(), 2, "the plan, and the stop: {:?}", scene.mails());
    scene.nothing_is_published().await;
    scene.comment(MAINTAINER, issue, "/orchestrate retry").await;
    scene.answer(issue, "Going on with attempt 2 of revision 1").await;
    let task = scene.until(issue, "pull_request_open").await;
    assert_eq!(task.revision, 1, "the approval still holds: the text is the same");
    scene.idle(issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_ends_keeps_the_work_and_needs_a_person() {
    // Enough to plan and to write the first attempt, and not enough to mend it: the plan and the first
    // attempt take some 5,000 tokens, and each call needs room for its longest answer.
    let model = r#"{ model: "anthropic:claude-sonnet-4-5", max_tokens: 512 }"#;
    let limits = "limits: { task_tokens: 6500, most_tokens: 9000000 }";
    let settings = format!("{limits}\nmodels: {{ default: [{model}] }}");
    let scene = Scene::play(Play::greeting().with_settings(&settings)).await;
    let issue = scene.approved_issue().await;
    let task = scene.until(issue, "needs_person").await;
    let of_task = matches!(reason(&task.state), Reason::BudgetReached { scope: BudgetScope::Task, .. });
    assert!(of_task, "{:?}", task.state);
    let spent = scene.store.usage_of(task.id).await.expect("usage");
    assert!(task.head.is_some(), "the first attempt is kept: {spent:?}");
    let patch = scene.store.latest_artifact(&task, ArtifactKind::Patch).await.expect("an answer");
    let patch = String::from_utf8(patch.expect("a patch")).expect("text");
    assert!(patch.contains("+hello world"), "{patch}");
    let said = scene.answer(issue, "This needs a person").await;
    assert!(said["body"].as_str().unwrap_or_default().contains("+hello world"), "the patch is shown: {said}");
    scene.idle(issue).await;
    assert_eq!(scene.mails().len(), 2, "{:?}", scene.mails());
    scene.nothing_is_published().await;
    scene.comment(READER, issue, "/orchestrate budget +2M tokens").await;
    scene.answer(issue, "is for people with write permission").await;
    scene.comment(MAINTAINER, issue, "/orchestrate budget 9M tokens and more").await;
    scene.answer(issue, "is no amount").await;
    scene.comment(MAINTAINER, issue, "/orchestrate budget 10M tokens").await;
    scene.answer(issue, "at most").await;
    scene.comment(MAINTAINER, issue, "/orchestrate budget +2M tokens").await;
    scene.answer(issue, "may now spend 2000000 tokens more").await;
    let task = scene.until(issue, "pull_request_open").await;
    assert_eq!((task.attempt, task.revision), (2, 1), "it went on from what was kept");
    scene.idle(issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_spent_its_day_says_so_before_a_call_is_made() {
    let model = r#"{ model: "anthropic:claude-sonnet-4-5", max_tokens: 4096 }"#;
    let settings = format!("limits: {{ repository_day_tokens: 1000 }}\nmodels: {{ default: [{model}] }}");
    let scene = Scene::play(Play::greeting().with_settings(&settings)).await;
    let issue = scene.labelled_issue().await;
    let task = scene.until(issue, "needs_person").await;
    let of_day =
        matches!(reason(&task.state), Reason::BudgetReached { scope: BudgetScope::RepositoryDay, .. });
    assert!(of_day, "{:?}", task.state);
    scene.answer(issue, "of this repository for today").await;
    assert!(scene.around.model.journal().is_empty(), "nothing was asked");
    scene.idle(issue).await;
    scene.finish().await;
}

const WRITES_AND_HANGS: &str = r#"
  - name: it writes, and is never heard of again
    when:
      system: ["You are an engineer who carries out one task"]
      last_message: ["greeting.txt was replaced"]
    not_when: { first_message: ["An earlier attempt was interrupted"] }
    answer: { hang_seconds: 300 }
  - name: it goes on from what it wrote
    when:
      system: ["You are an engineer who carries out one task"]
      first_message: ["An earlier attempt was interrupted", "It changed greeting.txt.", "a limit was reached"]
    answer:
      tool_calls:
        - name: finish
          arguments: { summary: The greeting names the world., commit_subject: Greet the world }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_runs_out_of_time_has_its_work_kept_and_the_next_goes_on_from_it() {
    let model = r#"{ model: "anthropic:claude-sonnet-4-5", max_tokens: 4096 }"#;
    let settings = format!(
        "limits: {{ stage_wall_seconds: 25 }}\nmodels: {{ request_timeout_seconds: 120, default: [{model}] }}"
    );
    let scene = Scene::play(Play::greeting().with_rules(WRITES_AND_HANGS).with_settings(&settings)).await;
    let issue = scene.approved_issue().await;
    scene.until(issue, "implementing").await;
    crate::scene::wait("the end of its time", || async {
        (scene.task(issue).await.state.name() != "implementing").then_some(())
    })
    .await;
    let task = scene.task(issue).await;
    assert!(matches!(reason(&task.state), Reason::LimitReached { .. }), "{:?}", task.state);
    let kept = async |kind| {
        let kept = scene.store.latest_artifact(&task, kind).await.expect("an answer");
        String::from_utf8_lossy(&kept.unwrap_or_default()).into_owned()
    };
    assert!(kept(ArtifactKind::Patch).await.contains("+hello world"), "what it wrote");
    assert!(kept(ArtifactKind::Commits).await.starts_with("# v2 git bundle"), "and its commit");
    assert!(kept(ArtifactKind::Transcript).await.contains("write_file"), "and what it said and did");
    scene.answer(issue, "This needs a person").await;
    scene.idle(issue).await;
    scene.nothing_is_published().await;
    scene.comment(MAINTAINER, issue, "/orchestrate retry").await;
    let task = scene.until(issue, "pull_request_open").await;
    assert_eq!(task.attempt, 2);
    scene.idle(issue).await;
    scene.finish().await;
}

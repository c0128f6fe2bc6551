//! `DRY_RUN`: the real deployment reads GitHub, and neither writes, mails nor asks a model.

use orchestrator::domain::{ApprovalMeans, Reason, State, Task};
use orchestrator::simulator::surroundings::{MAINTAINER, REPOSITORY};
use orchestrator::store::ScheduleName;
use serde_json::Value;

use crate::process::Process;
use crate::scene::{Play, Scene, wait};

const MARK: &str = "[simulated] ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_reads_github_and_writes_mails_and_pays_nothing() {
    let settings = "mail: { digest: daily }\n";
    let scene = Scene::set(Play::greeting().with_variable("DRY_RUN", "true").with_settings(settings)).await;
    let refs = scene.around.github.admin().refs(REPOSITORY).expect("refs");
    let served = Process::serve(&scene).await;
    let issue = scene.labelled_issue().await;
    let task = scene.until(issue, "needs_person").await;
    scene.comment(MAINTAINER, issue, "/orchestrate status").await;
    scene.ingested().await;
    scene.idle(issue).await;
    digests_are_through(&scene, 1).await;

    let journal = scene.around.github.journal();
    let ours = journal.requests().into_iter().filter(|request| !request.actor.starts_with("user "));
    let (reads, others): (Vec<_>, Vec<_>) = ours.partition(|request| request.method == "GET");
    let path = format!("/issues/{issue}");
    assert!(reads.iter().any(|read| read.path.ends_with(&path)), "the issue was read");
    for other in others {
        let harmless = ["/access_tokens", "/git-upload-pack"].iter().any(|end| other.path.ends_with(end));
        assert!(harmless && other.method == "POST", "{} {}", other.method, other.path);
    }
    assert_eq!(scene.around.bot_comments(issue).await.expect("comments"), Vec::<Value>::new());
    assert_eq!(scene.around.github.admin().refs(REPOSITORY).expect("refs"), refs);
    scene.nothing_is_published().await;
    assert_eq!(scene.mails(), Vec::<String>::new(), "the digest is a mail, too");
    assert!(scene.around.model.journal().is_empty(), "no model was asked");
    assert_eq!(scene.store.usage_of(task.id).await.expect("usage").calls, 0);

    let told = told(&served);
    let plan = said(&told, "The approval is taken as given");
    assert!(plan.contains("Dry run.") && plan.contains("The greeting leaves the world out"), "{plan}");
    let stop = said(&told, "Nothing was changed: this is a dry run");
    assert!(stop.contains("Dry run."), "{stop}");
    said(&told, "by itself, since this is a dry run");
    served.kill();
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dry_run_makes_up_is_marked_and_made_from_the_input() {
    // Nothing that costs or goes out has to be configured.
    let without = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "SMTP_URL", "MAIL_FROM", "MAIL_TO"];
    let play = Play::greeting().with_variable("DRY_RUN", "true");
    let scene = Scene::play(without.iter().fold(play, |play, name| play.with_variable(name, ""))).await;
    for (title, body) in [("Say good morning", "Before noon, that is."), ("Say good night", "In the dark.")] {
        let issue = scene.around.open_issue(MAINTAINER, title, body).await.expect("an issue");
        scene.label(issue).await;
        let task = scene.until(issue, "needs_person").await;
        let approval = task.approval.as_ref().expect("taken as given");
        assert_eq!((&approval.means, &approval.by), (&ApprovalMeans::DryRun, &None));
        let plan = task.plan.as_ref().expect("a plan");
        let made = &plan.specification;
        assert_eq!(made.title, format!("{MARK}{title}"));
        assert_eq!(made.objective, format!("{MARK}{body}"));
        let lists = [&made.requirements, &made.constraints, &made.acceptance_criteria];
        let texts: Vec<&String> = lists.into_iter().flatten().chain([&plan.understood]).collect();
        assert!(texts.iter().all(|text| text.starts_with(MARK)), "{texts:#?}");
        assert!(made.likely_files.is_empty(), "nobody looked for files");
        changed_nothing(&task);
        let history = scene.store.history(task.id).await.expect("a history");
        let states: Vec<&str> = history.iter().map(|line| line.state.as_str()).collect();
        assert_eq!(states, ["discussing", "queued", "implementing", "needs_person"]);
    }
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_workflow_that_ends_in_an_answer_is_rehearsed() {
    let scene = Scene::set(Play::greeting().with_variable("DRY_RUN", "true")).await;
    let served = Process::serve(&scene).await;
    let issue =
        scene.around.open_issue(MAINTAINER, "A talk", "About this and that.").await.expect("an issue");
    for workflow in ["rag_qa", "reasoning", "science"] {
        scene.comment(MAINTAINER, issue, &format!("/orchestrate ask {workflow}: Why {workflow}?")).await;
    }
    wait("three answers", || async {
        let asked = scene.questions(issue).await;
        (asked.iter().filter(|task| task.state == State::Answered).count() == 3).then_some(())
    })
    .await;
    scene.idle(issue).await;
    assert_eq!(scene.around.bot_comments(issue).await.expect("comments"), Vec::<Value>::new());
    assert!(scene.around.model.journal().is_empty(), "no model was asked");
    let told = told(&served);
    for workflow in ["rag_qa", "reasoning", "science"] {
        let answer = said(&told, &format!("Answer: Why {workflow}?"));
        assert!(answer.contains("Dry run.") && answer.contains("simulated"), "{answer}");
    }
    served.kill();
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_approval_of_a_dry_run_is_none_for_the_deployment_after_it() {
    let mut scene = Scene::play(Play::greeting().with_variable("DRY_RUN", "true")).await;
    let issue = scene.labelled_issue().await;
    scene.until(issue, "needs_person").await;
    scene.idle(issue).await;
    scene.stop().await;

    scene.set_variable("DRY_RUN", "false");
    scene.deploy().await;
    scene.comment(MAINTAINER, issue, "/orchestrate retry").await;
    scene.answer(issue, "Nobody approved it").await;
    let task = scene.task(issue).await;
    assert!(matches!(task.state, State::NeedsPerson { reason: Reason::NotApproved, .. }), "{:?}", task.state);
    assert!(scene.around.model.journal().is_empty(), "nothing was worked on");
    scene.nothing_is_published().await;

    scene.comment(MAINTAINER, issue, "/orchestrate retry").await;
    let plan = scene.plan_comment(issue, 2).await;
    scene.react(MAINTAINER, plan, "+1").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    scene.finish().await;
}

fn changed_nothing(task: &Task) {
    let State::NeedsPerson { reason: Reason::NothingChanged { said }, .. } = &task.state else {
        panic!("the code stage came to something else: {:?}", task.state)
    };
    assert!(said.starts_with(MARK) && said.contains("Nothing was changed"), "{said}");
    assert_eq!((&task.head, &task.branch), (&None, &None));
}

/// What the log shows instead of a comment.
fn told(served: &Process) -> Vec<String> {
    let said = |line: &Value| line["message"] == "dry run: this would be said now";
    let lines = served.log().into_iter().filter(said);
    lines.map(|line| line["text"].as_str().expect("a text").to_owned()).collect()
}

fn said<'a>(told: &'a [String], part: &str) -> &'a str {
    let found: Vec<_> = told.iter().filter(|text| text.contains(part)).collect();
    assert_eq!(found.len(), 1, "{part:?} is said once in {told:#?}");
    found[0]
}

/// Waits until so many digests were dealt with.
async fn digests_are_through(scene: &Scene, count: i64) {
    scene.store.hurry_schedule(ScheduleName::Digest).await.expect("hurried");
    wait("the digest's job", || async {
        let done = "SELECT count(*) FROM jobs WHERE key LIKE 'digest/%' AND state = 'done'";
        let done = scene.count(done).await;
        (done == count).then_some(())
    })
    .await;
}

//! kill -9 at every boundary: while a stage is at work, when its work is done and not yet recorded, and
//! between an effect's act and its record. Whatever happens, there is one of everything at the end.
//!
//! The moment is held in the database: a trigger lets the record of one job wait, so that the shipped
//! program needs no switch for being tested.

use std::path::Path;

use orchestrator::domain::{Effect, Stage};
use orchestrator::simulator::model::Answer;
use orchestrator::simulator::surroundings::MAINTAINER;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::answers;
use crate::process::{self, Process};
use crate::scene::{Play, Scene, wait};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The stage has begun.
    AtWork(Stage),
    /// The stage's work is done, and what came of it is not committed yet.
    Done(Stage),
    /// The effect was done outside, and the database does not know.
    Acted(&'static str),
}

impl Moment {
    fn job(self) -> &'static str {
        match self {
            Self::AtWork(stage) | Self::Done(stage) => stage.as_str(),
            Self::Acted(kind) => kind,
        }
    }

    /// Whether it comes in the story of a question.
    fn is_of_an_answer(self) -> bool {
        matches!(self, Self::AtWork(Stage::Answer) | Self::Done(Stage::Answer) | Self::Acted("post_answer"))
    }
}

macro_rules! killed {
    ($($name:ident: $moment:expr;)+) => {
        const MOMENTS: &[Moment] = &[$($moment),+];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                survives($moment).await;
            }
        )+
    };
}

killed! {
    a_kill_during_the_discussion_changes_nothing: Moment::AtWork(Stage::Discuss);
    a_kill_after_the_discussion_changes_nothing: Moment::Done(Stage::Discuss);
    a_kill_during_the_implementation_changes_nothing: Moment::AtWork(Stage::Implement);
    a_kill_after_the_implementation_changes_nothing: Moment::Done(Stage::Implement);
    a_kill_during_the_gates_changes_nothing: Moment::AtWork(Stage::Gate);
    a_kill_after_the_gates_changes_nothing: Moment::Done(Stage::Gate);
    a_kill_during_the_fix_changes_nothing: Moment::AtWork(Stage::Fix);
    a_kill_after_the_fix_changes_nothing: Moment::Done(Stage::Fix);
    a_kill_during_the_review_changes_nothing: Moment::AtWork(Stage::Review);
    a_kill_after_the_review_changes_nothing: Moment::Done(Stage::Review);
    a_kill_during_the_last_check_changes_nothing: Moment::AtWork(Stage::Publish);
    a_kill_after_the_last_check_changes_nothing: Moment::Done(Stage::Publish);
    a_kill_while_a_question_is_answered_changes_nothing: Moment::AtWork(Stage::Answer);
    a_kill_after_a_question_was_answered_changes_nothing: Moment::Done(Stage::Answer);
    a_kill_after_an_answer_was_posted_posts_no_second: Moment::Acted("post_answer");
    a_kill_after_the_plan_was_posted_posts_no_second: Moment::Acted("post_plan");
    a_kill_after_a_comment_was_posted_posts_no_second: Moment::Acted("comment");
    a_kill_after_the_push_pushes_nothing_else: Moment::Acted("push_branch");
    a_kill_after_the_pull_request_was_opened_opens_no_second: Moment::Acted("open_pull_request");
    a_kill_after_the_label_was_set_changes_nothing: Moment::Acted("label_pull_request");
    a_kill_after_the_review_was_posted_posts_no_second: Moment::Acted("post_review");
    a_kill_after_the_check_run_was_made_makes_no_second: Moment::Acted("report_check");
    a_kill_after_a_mail_was_sent_sends_no_other: Moment::Acted("mail");
    a_kill_after_a_local_branch_was_written_writes_no_second: Moment::Acted("write_local_branch");
}

#[test]
fn every_stage_and_every_effect_has_its_kill() {
    for stage in Stage::ALL {
        assert!(MOMENTS.contains(&Moment::AtWork(stage)), "no kill during {stage:?}");
        assert!(MOMENTS.contains(&Moment::Done(stage)), "no kill after {stage:?}");
    }
    for kind in Effect::KINDS {
        assert!(MOMENTS.contains(&Moment::Acted(kind)), "no kill after {kind}");
    }
}

async fn survives(moment: Moment) {
    let asks = moment.is_of_an_answer();
    let scene = Scene::set(if asks { answers::play() } else { Play::greeting() }).await;
    if moment == Moment::Acted("write_local_branch") {
        return survives_locally(&scene).await;
    }
    let mut connection = scene.database.connect().await;
    if !matches!(moment, Moment::AtWork(_)) {
        hold_the_record(&mut connection, moment.job()).await;
    }
    let first = Process::serve(&scene).await;
    let issue = if asks { answers::labelled_question(&scene).await } else { scene.labelled_issue().await };
    let story = async {
        let plan = scene.plan_comment(issue, 1).await;
        scene.react(MAINTAINER, plan, "+1").await;
        scene.until(issue, if asks { "answered" } else { "pull_request_open" }).await;
        scene.idle(issue).await;
    };
    let kill = async {
        match moment {
            Moment::AtWork(stage) => leased(&scene, stage).await,
            Moment::Done(_) => held(&scene).await,
            Moment::Acted(kind) => {
                held(&scene).await;
                assert!(was_done(&scene, issue, kind).await, "{kind} was not done yet");
            }
        }
        first.kill();
        let_go(&mut connection).await;
        Process::serve(&scene).await
    };
    let ((), second) = tokio::join!(story, kill);
    if asks {
        scene.answer(issue, answers::ANSWER).await;
        scene.nothing_is_published().await;
    } else {
        scene.one_of_each(issue).await;
    }
    second.kill();
    scene.finish().await;
}

/// The model does not answer its next call.
fn silence(scene: &Scene) -> usize {
    scene.around.model.inject([Answer::Hang { seconds: 60.0 }]);
    scene.around.model.journal().len()
}

/// Waits until the model is asked, which it was so many times before.
async fn asked(scene: &Scene, before: usize) {
    let journal = async || (scene.around.model.journal().len() > before).then_some(());
    wait("a call of the model", journal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_takes_its_process_down_every_time_is_given_up() {
    let mut scene = Scene::play(Play::greeting()).await;
    let (issue, plan) = scene.planned_issue().await;
    scene.idle(issue).await;
    scene.stop().await;
    scene.react(MAINTAINER, plan, "+1").await;
    for _ in 0..6 {
        let before = silence(&scene);
        let process = Process::serve(&scene).await;
        asked(&scene, before).await;
        process.kill();
    }
    scene.deploy().await;
    scene.until(issue, "needs_person").await;
    scene.answer(issue, "was begun 6 times and never ended").await;
    scene.idle(issue).await;
    scene.nothing_is_published().await;
    // A person may let it be tried again.
    scene.comment(MAINTAINER, issue, "/orchestrate retry").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_was_stopped_in_order_as_often_is_not_given_up() {
    let mut scene = Scene::play(Play::greeting()).await;
    let (issue, plan) = scene.planned_issue().await;
    scene.idle(issue).await;
    scene.stop().await;
    scene.react(MAINTAINER, plan, "+1").await;
    for _ in 0..8 {
        let before = silence(&scene);
        scene.deploy().await;
        asked(&scene, before).await;
        scene.stop().await;
    }
    scene.deploy().await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    scene.finish().await;
}

/// A person's own run has no `serve`: it is killed and gone on with.
async fn survives_locally(scene: &Scene) {
    let mut connection = scene.database.connect().await;
    hold_the_record(&mut connection, "write_local_branch").await;
    let project = &scene.around.project;
    let repository = scene.folder().join("checkout");
    for (path, bytes) in &project.files {
        let path = repository.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["add", "-A"]);
    git(&repository, &["-c", "user.name=Ada", "-c", "user.email=ada@acme.example", "commit", "-qm", "One"]);
    let issue = scene.folder().join("issue.md");
    std::fs::write(&issue, format!("{}\n\n{}\n", project.issue_title, project.issue_body)).expect("a file");

    let (repo, issue) = (repository.display().to_string(), issue.display().to_string());
    let run = process::run(scene, &["--repo", &repo, "--issue", &issue]);
    held(scene).await;
    let before = auto_branches(&repository);
    assert_eq!(before.len(), 1, "the branch was not written yet");
    run.kill();
    let_go(&mut connection).await;
    let task: uuid::Uuid =
        sqlx::query_scalar("SELECT id FROM tasks").fetch_one(&mut connection).await.expect("one task");
    process::run(scene, &["--resume", &task.to_string()]).ends_well().await;
    assert_eq!(auto_branches(&repository), before, "one branch, at the same commit");
    let state: String =
        sqlx::query_scalar("SELECT state FROM tasks").fetch_one(&mut connection).await.expect("one task");
    assert_eq!(state, "done");
    assert_eq!(git(&repository, &["status", "--porcelain"]), "", "the checkout is not touched");
    assert_eq!(scene.mails(), Vec::<String>::new(), "a person's own run sends no mail");
}

fn auto_branches(repository: &Path) -> Vec<String> {
    let listed = git(repository, &["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/auto"]);
    listed.lines().map(str::to_owned).collect()
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let done = std::process::Command::new("git").current_dir(folder).args(arguments).output();
    let done = done.expect("git is installed: run scripts/bootstrap");
    assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Lets the record of the next job of that name wait, inside its transaction.
async fn hold_the_record(connection: &mut PgConnection, job: &str) {
    let trigger = format!(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;
         CREATE TRIGGER hold BEFORE UPDATE OF state ON jobs FOR EACH ROW
             WHEN (NEW.state = 'done' AND OLD.key LIKE '%/{job}') EXECUTE FUNCTION hold()"
    );
    sqlx::raw_sql(AssertSqlSafe(trigger)).execute(connection).await.expect("a trigger");
}

const HELD: &str = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";

async fn held(scene: &Scene) {
    let mut connection = scene.database.connect().await;
    loop {
        let count = AssertSqlSafe(format!("SELECT count(*) {HELD}"));
        let held: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.expect("a count");
        if held > 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn leased(scene: &Scene, stage: Stage) {
    wait(&format!("{stage:?} to begin"), || async {
        let mut connection = scene.database.connect().await;
        // The fence stays when the lease is given back: a short stage is not missed between two looks.
        let sql = "SELECT count(*) FROM jobs WHERE key LIKE $1 AND fence > 0";
        let pattern = format!("%/{}", stage.as_str());
        let leased: i64 =
            sqlx::query_scalar(sql).bind(pattern).fetch_one(&mut connection).await.expect("a count");
        connection.close().await.expect("closed");
        (leased > 0).then_some(())
    })
    .await;
}

/// Ends what the dead process left open in the database, as the server itself does once it notices.
async fn let_go(connection: &mut PgConnection) {
    let end = AssertSqlSafe(format!("SELECT pg_terminate_backend(pid) {HELD}"));
    sqlx::query(end).execute(&mut *connection).await.expect("ended");
    let trigger = "DROP TRIGGER IF EXISTS hold ON jobs";
    sqlx::query(trigger).execute(connection).await.expect("dropped");
}

/// Whether the act of an effect can be seen on the servers.
async fn was_done(scene: &Scene, issue: u64, kind: &str) -> bool {
    let on_pull = async |path: &'static str| -> Vec<Value> {
        let Some(pull) = scene.list("/pulls?state=all").await.pop() else { return Vec::new() };
        scene.list(&format!("/pulls/{}/{path}", crate::scene::number(&pull))).await
    };
    match kind {
        "post_plan" => !scene.said(issue, "This waits for you").await.is_empty(),
        "post_answer" => !scene.said(issue, answers::ANSWER).await.is_empty(),
        "comment" => !scene.said(issue, "Approved by").await.is_empty(),
        "push_branch" => !scene.auto_branches().is_empty(),
        "open_pull_request" => !scene.list("/pulls").await.is_empty(),
        "label_pull_request" => scene.list("/issues?labels=auto").await.len() == 2,
        "post_review" => !on_pull("reviews").await.is_empty(),
        "report_check" => !scene.check_runs().await.is_empty(),
        "mail" => !scene.mails().is_empty(),
        other => panic!("how does one see {other}?"),
    }
}

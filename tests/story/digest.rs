//! The daily digest. Its time is brought near from outside: the settings name the hour that it is, the
//! schedule's job is made due, and what was done is moved back to before that hour.

use orchestrator::store::ScheduleName;
use orchestrator::telemetry::clock;
use sqlx::AssertSqlSafe;

use crate::process::Process;
use crate::scene::{Play, Scene, wait};

/// Due since this hour began.
fn daily() -> String {
    format!(
        "mail: {{ digest: daily, digest_hour_utc: {} }}\ndatabase: {{ max_connections: 8 }}\n",
        clock::now().format("%-H")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_digest_tells_once_what_was_done_what_waits_and_what_it_cost() {
    let mut scene = Scene::play(Play::greeting()).await;
    let (done, pull) = scene.pull_request().await;
    let (waiting, _) = scene.planned_issue().await;
    scene.idle(waiting).await;
    scene.stop().await;
    assert_eq!(digests(&scene).len(), 0, "its schedule was off");
    sql(&scene, "UPDATE transitions SET at = at - interval '2 hours'").await;
    sql(&scene, "UPDATE model_calls SET at = at - interval '2 hours'").await;

    scene.change_settings(&daily());
    scene.deploy().await;
    let other = Process::serve(&scene).await;
    look(&scene).await;
    let mail = wait("the digest", || async { digests(&scene).pop() }).await;
    assert_eq!(mail.to, ["ada@acme.example"]);
    assert_eq!(mail.subject, "Orchestrator: 2 tasks wait for you, 1 done");
    let text = String::from_utf8_lossy(&mail.raw).replace("=\r\n", "");
    let section = |title: &str, next: &str| -> String {
        let from = text.split_once(title).unwrap_or_else(|| panic!("no {title}: {text}")).1;
        from.split_once(next).unwrap_or_else(|| panic!("no {next}: {text}")).0.to_owned()
    };
    let (waits, ended) =
        (section("\r\nWaits for you\r\n", "\r\nDone\r\n"), section("\r\nDone\r\n", "\r\nAt work\r\n"));
    assert!(waits.contains(&format!("acme/evenly#{waiting}): waiting for approval")), "{waits}");
    assert!(waits.contains(&format!("/acme/evenly/issues/{waiting}")), "{waits}");
    assert!(ended.contains(&format!("acme/evenly#{pull}): pull request open")), "{ended}");
    let usage = scene.store.usage_of(scene.task(done).await.id).await.expect("usage");
    assert!(usage.cost_micro_usd > 0);
    let cost = format!(", {:.2} USD", usage.cost_usd());
    assert!(ended.contains(&cost), "{ended} lacks {cost}");
    assert!(
        text.contains("\r\nSpent: ") && section("\r\nSpent: ", "\r\n").contains(" model calls"),
        "{text}"
    );

    // Two deployments look again, and one that was started anew.
    look(&scene).await;
    look(&scene).await;
    scene.stop().await;
    other.kill();
    scene.deploy().await;
    look(&scene).await;
    effects_are_done(&scene).await;
    assert_eq!(digests(&scene).len(), 1, "one digest of one day");

    // As the table is a day later.
    sql(&scene, "UPDATE jobs SET key = replace(key, 'digest/', 'digest/before/') WHERE key LIKE 'digest/%'")
        .await;
    look(&scene).await;
    wait("the next day's digest", || async { (digests(&scene).len() == 2).then_some(()) }).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_deployments_that_begin_at_once_send_one_digest() {
    let scene = Scene::set(Play::greeting().with_settings(&daily())).await;
    let (one, two) = tokio::join!(Process::serve(&scene), Process::serve(&scene));
    wait("the digest", || async { digests(&scene).pop() }).await;
    for _ in 0..3 {
        look(&scene).await;
    }
    effects_are_done(&scene).await;
    assert_eq!(digests(&scene).len(), 1);
    assert_eq!(digests(&scene)[0].subject, "Orchestrator: Nothing waits for you, 0 done");
    one.kill();
    two.kill();
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_mail_server_a_digest_fails_nothing() {
    let scene = Scene::play(Play::greeting().with_settings(&daily()).with_variable("SMTP_URL", "")).await;
    look(&scene).await;
    effects_are_done(&scene).await;
    assert_eq!(jobs(&scene, "state = 'done'").await, 1, "looked at, and let go");
    assert_eq!(scene.mails(), Vec::<String>::new());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_reader_and_where_it_is_off_there_is_no_digest() {
    for (settings, to) in [(daily(), ""), ("mail: { digest: \"off\" }\n".to_owned(), "ada@acme.example")] {
        let scene = Scene::play(Play::greeting().with_settings(&settings).with_variable("MAIL_TO", to)).await;
        look(&scene).await;
        assert_eq!(jobs(&scene, "true").await, 0, "{settings}");
        scene.finish().await;
    }
}

fn digests(scene: &Scene) -> Vec<orchestrator::simulator::inbox::ReceivedMail> {
    let mails = scene.around.inbox.messages().into_iter();
    mails.filter(|mail| mail.subject.ends_with(" done")).collect()
}

/// Lets a deployment look whether a digest is due, and waits until it has.
async fn look(scene: &Scene) {
    let looks = async || scene.count("SELECT fence FROM jobs WHERE key = 'schedule/digest'").await;
    let before = looks().await;
    wait("a look at the digest's time", || async {
        // One that is going on may be older than the test's wish.
        scene.store.hurry_schedule(ScheduleName::Digest).await.expect("hurried");
        (looks().await >= before + 2).then_some(())
    })
    .await;
}

async fn effects_are_done(scene: &Scene) {
    wait("the digests' jobs", || async { (jobs(scene, "state = 'ready'").await == 0).then_some(()) }).await;
}

async fn jobs(scene: &Scene, which: &str) -> i64 {
    let count = format!("SELECT count(*) FROM jobs WHERE key LIKE 'digest/%' AND {which}");
    scene.count(AssertSqlSafe(count)).await
}

async fn sql(scene: &Scene, statement: &'static str) {
    sqlx::query(statement).execute(&mut scene.database.connect().await).await.expect("done");
}

//! What comes twice counts once.

use std::time::Duration;

use futures::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use orchestrator::simulator::surroundings::WEBHOOK_SECRET;
use sha2::Sha256;

use crate::scene::{Play, Scene};

/// Sends a body as GitHub would and answers the status.
pub async fn deliver(url: &str, guid: &str, event: &str, body: &str) -> u16 {
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).expect("any length");
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let request = reqwest::Client::new().post(url).timeout(Duration::from_secs(20)).body(body.to_owned());
    let request = request.header("x-hub-signature-256", signature).header("x-github-delivery", guid);
    request.header("x-github-event", event).send().await.expect("an answer").status().as_u16()
}

/// The delivery of the label, kept from the deployment, and where it would have gone.
async fn held_back_label() -> (Scene, u64, String, String) {
    let scene = Scene::play(Play::greeting()).await;
    let lose = orchestrator::simulator::github::Effect::LoseDelivery;
    scene.fault(orchestrator::simulator::github::Fault::on_delivery("^issues", lose).forever());
    let issue = scene.labelled_issue().await;
    scene.around.github.settled().await;
    let labelled = scene.around.github.journal().deliveries_of("issues.labeled");
    assert_eq!(labelled.len(), 1);
    let url = scene.webhook_url();
    (scene, issue, url, labelled[0].payload.to_string())
}

async fn one_task_and_one_plan(scene: Scene, issue: u64) {
    scene.plan_comment(issue, 1).await;
    scene.ingested().await;
    scene.idle(issue).await;
    assert_eq!(scene.tasks(issue).await.len(), 1);
    assert_eq!(scene.around.bot_comments(issue).await.expect("comments").len(), 1);
    assert_eq!(scene.mails().len(), 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_comes_again_starts_nothing_twice() {
    let (scene, issue, url, body) = held_back_label().await;
    assert_eq!(deliver(&url, "same-one", "issues", &body).await, 202);
    assert_eq!(deliver(&url, "same-one", "issues", &body).await, 202);
    scene.plan_comment(issue, 1).await;
    assert_eq!(deliver(&url, "same-one", "issues", &body).await, 202, "after its work was done, too");
    one_task_and_one_plan(scene, issue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_delivery_ten_times_at_once_starts_one_task() {
    let (scene, issue, url, body) = held_back_label().await;
    let at_once = (0..10).map(|_| deliver(&url, "same-one", "issues", &body));
    assert_eq!(join_all(at_once).await, [202; 10]);
    one_task_and_one_plan(scene, issue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_deliveries_of_the_same_labelling_start_one_task() {
    let (scene, issue, url, body) = held_back_label().await;
    let guids: Vec<String> = (0..10).map(|index| format!("another-{index}")).collect();
    let at_once = guids.iter().map(|guid| deliver(&url, guid, "issues", &body));
    assert_eq!(join_all(at_once).await, [202; 10]);
    one_task_and_one_plan(scene, issue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicated_webhook_of_every_event_changes_nothing() {
    use orchestrator::simulator::github::{Effect, Fault};
    let scene = Scene::play(Play::greeting()).await;
    scene.fault(Fault::on_delivery(".", Effect::DuplicateDelivery { copies: 2 }).forever());
    let (issue, pull) = scene.pull_request().await;
    scene.ingested().await;
    assert_eq!(scene.tasks(issue).await.len(), 1);
    assert_eq!(scene.list("/pulls?state=all").await.len(), 1);
    assert_eq!(scene.list(&format!("/pulls/{pull}/reviews")).await.len(), 1);
    assert_eq!(scene.mails().len(), 2);
    scene.finish().await;
}

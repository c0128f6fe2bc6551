//! Every change sends its signed webhook, in order, to an App that is installed and subscribed.

use hmac::{Hmac, KeyInit, Mac};
use orchestrator::simulator::github::{AppManifest, Installed, Limits, Reach};
use serde_json::{Value, json};
use sha2::Sha256;

use super::harness::{GRACE, LIB, REPO, Received, SECRET, Stage, manifest};

fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_delivery_is_signed_and_carries_githubs_headers() {
    let stage = Stage::new().await;
    stage.want(201, GRACE, "POST", &format!("{REPO}/issues"), json!({"title": "Ünïcode 🎉"})).await;
    stage.sim.settled().await;
    let received = stage.inbox.all();
    assert_eq!(stage.inbox.names(), ["ping", "issues.opened"]);
    for delivery in &received {
        assert_eq!(delivery.header("x-hub-signature-256"), signature(&delivery.body));
        assert!(delivery.header("x-hub-signature").starts_with("sha1="));
        assert!(delivery.header("user-agent").starts_with("GitHub-Hookshot/"));
        assert_eq!(delivery.header("x-github-hook-installation-target-id"), "4711");
        assert_eq!(delivery.header("x-github-hook-installation-target-type"), "integration");
        assert_eq!(delivery.header("content-type"), "application/json");
        assert_eq!(delivery.header("x-github-delivery").len(), 36);
    }
    let issue = received[1].json();
    assert_eq!(issue["installation"]["id"], stage.installation);
    assert_eq!((&issue["sender"]["login"], &issue["sender"]["type"]), (&json!("grace"), &json!("User")));
    assert_eq!(issue["issue"]["title"], "Ünïcode 🎉");
    stage.finish().await;
}

#[tokio::test]
async fn the_life_of_an_issue_is_told_in_order() {
    let stage = Stage::new().await;
    let token = stage.installation_token(Value::Null).await;
    let issue = format!("{REPO}/issues/1");
    stage.want(201, GRACE, "POST", &format!("{REPO}/issues"), json!({"title": "One", "body": "old"})).await;
    stage.want(200, GRACE, "POST", &format!("{issue}/labels"), json!({"labels": ["auto"]})).await;
    stage.want(200, GRACE, "POST", &format!("{issue}/labels"), json!({"labels": ["auto"]})).await;
    stage.want(200, GRACE, "PATCH", &issue, json!({"body": "new"})).await;
    let comments = format!("{issue}/comments");
    let comment = stage.want(201, &token, "POST", &comments, json!({"body": "plan"})).await;
    let one = format!("{REPO}/issues/comments/{}", comment["id"]);
    stage.want(201, GRACE, "POST", &format!("{one}/reactions"), json!({"content": "+1"})).await;
    stage.want(200, &token, "PATCH", &one, json!({"body": "better plan"})).await;
    stage.want(204, &token, "DELETE", &one, Value::Null).await;
    stage.want(200, GRACE, "DELETE", &format!("{issue}/labels/auto"), Value::Null).await;
    stage.want(200, GRACE, "PATCH", &issue, json!({"state": "closed"})).await;
    stage.want(200, GRACE, "PATCH", &issue, json!({"state": "open"})).await;
    stage.sim.admin().delete_issue("acme/widgets", 1, "ada").expect("deleted");
    stage.sim.settled().await;
    assert_eq!(
        stage.inbox.names(),
        [
            "ping",
            "issues.opened",
            "issues.labeled",
            "issues.edited",
            "issue_comment.created",
            "issue_comment.edited",
            "issue_comment.deleted",
            "issues.unlabeled",
            "issues.closed",
            "issues.reopened",
            "issues.deleted",
        ]
    );
    let received = stage.inbox.all();
    assert_eq!(received[2].json()["label"]["name"], "auto");
    assert_eq!(received[3].json()["changes"], json!({"body": {"from": "old"}}));
    let by_bot = received[4].json();
    assert_eq!(by_bot["sender"]["login"], "orchestrator[bot]");
    assert_eq!(by_bot["sender"]["type"], "Bot");
    assert_eq!(received[5].json()["changes"]["body"]["from"], "plan");
    stage.finish().await;
}

#[tokio::test]
async fn the_life_of_a_pull_request_is_told_in_order() {
    let stage = Stage::new().await;
    let token = stage.installation_token(Value::Null).await;
    let before = stage.branch("auto/x", "src/lib.rs", &LIB.replace("    1", "    11"));
    stage.open_pull(&token, "auto/x").await;
    let after = stage.branch("auto/x", "more.md", "more");
    let one = format!("{REPO}/pulls/1");
    stage.want(200, GRACE, "PATCH", &one, json!({"title": "Better"})).await;
    let remark = json!({"path": "src/lib.rs", "line": 2, "body": "here"});
    let review = json!({"event": "COMMENT", "body": "seen", "comments": [remark]});
    stage.want(200, &token, "POST", &format!("{one}/reviews"), review).await;
    let run = json!({"name": "gates", "head_sha": after, "status": "completed", "conclusion": "success"});
    stage.want(201, &token, "POST", &format!("{REPO}/check-runs"), run).await;
    stage.want(200, GRACE, "PATCH", &one, json!({"state": "closed"})).await;
    stage.want(200, GRACE, "PATCH", &one, json!({"state": "open"})).await;
    stage.want(200, GRACE, "PUT", &format!("{one}/merge"), json!({"merge_method": "squash"})).await;
    stage.sim.settled().await;
    assert_eq!(
        stage.inbox.names(),
        [
            "ping",
            "push",
            "pull_request.opened",
            "push",
            "pull_request.synchronize",
            "pull_request.edited",
            "pull_request_review.submitted",
            "pull_request_review_comment.created",
            "check_run.created",
            "check_run.completed",
            "pull_request.closed",
            "pull_request.reopened",
            "pull_request.closed",
            "push",
        ]
    );
    let received: Vec<Value> = stage.inbox.all().iter().map(Received::json).collect();
    assert_eq!((&received[4]["before"], &received[4]["after"]), (&json!(before), &json!(after)));
    assert_eq!(received[6]["review"]["state"], "commented");
    assert_eq!(received[10]["pull_request"]["merged"], false);
    assert_eq!(received[12]["pull_request"]["merged"], true);
    let push = &received[1];
    assert_eq!((&push["ref"], &push["created"]), (&json!("refs/heads/auto/x"), &json!(true)));
    assert_eq!(push["commits"][0]["modified"], json!(["src/lib.rs"]));
    assert_eq!(push["pusher"]["name"], "grace");
    stage.finish().await;
}

#[tokio::test]
async fn only_subscribed_events_of_installed_repositories_are_sent() {
    let few = AppManifest { default_events: ["issues".to_owned()].into(), ..manifest() };
    let stage = Stage::with(|options| options.manifest = few).await;
    let admin = stage.sim.admin();
    stage.want(201, GRACE, "POST", &format!("{REPO}/issues"), json!({"title": "One"})).await;
    stage.want(201, GRACE, "POST", &format!("{REPO}/issues/1/comments"), json!({"body": "hi"})).await;
    stage.branch("side", "a.md", "a");
    admin.set_installed("acme/widgets", Installed::No).expect("removed");
    stage.want(201, GRACE, "POST", &format!("{REPO}/issues"), json!({"title": "Two"})).await;
    admin.set_installed("acme/widgets", Installed::Yes).expect("added");
    admin.add_user("other", 3000, orchestrator::simulator::github::AccountKind::User, "").expect("other");
    let other = admin.install_app("other", &Reach::AllRepositories).expect("installed");
    admin.suspend_installation(other).expect("suspended");
    stage.sim.settled().await;
    assert_eq!(
        stage.inbox.names(),
        [
            "ping",
            "issues.opened",
            "installation_repositories.removed",
            "installation_repositories.added",
            "installation.created",
            "installation.suspend",
        ]
    );
    stage.finish().await;
}

#[tokio::test]
async fn a_failed_delivery_waits_until_it_is_asked_for_and_keeps_its_guid() {
    let stage = Stage::new().await;
    stage.sim.settled().await;
    stage.inbox.answer_next_with(axum::http::StatusCode::SERVICE_UNAVAILABLE);
    stage.want(201, GRACE, "POST", &format!("{REPO}/issues"), json!({"title": "One"})).await;
    stage.sim.settled().await;
    let jwt = stage.jwt();
    let failed = stage.get(&jwt, "/app/hook/deliveries?status=failure").await;
    assert_eq!((failed.as_array().map(Vec::len), &failed[0]["status_code"]), (Some(1), &json!(503)));
    let full = stage.get(&jwt, &format!("/app/hook/deliveries/{}", failed[0]["id"])).await;
    assert_eq!(full["request"]["payload"]["issue"]["title"], "One");
    stage
        .want(202, &jwt, "POST", &format!("/app/hook/deliveries/{}/attempts", failed[0]["id"]), Value::Null)
        .await;
    stage.sim.settled().await;
    let guids: Vec<String> =
        stage.inbox.all()[1..].iter().map(|one| one.header("x-github-delivery").to_owned()).collect();
    assert_eq!(guids.len(), 2);
    assert_eq!(guids[0], guids[1]);
    let entry = stage.sim.journal().deliveries_of("issues").remove(0);
    let attempts: Vec<_> = entry.attempts.iter().map(|one| (one.redelivery, one.status)).collect();
    assert_eq!(attempts, [(false, Some(503)), (true, Some(202))]);
    stage.finish().await;
}

#[tokio::test]
async fn deliveries_are_listed_with_a_cursor() {
    let stage = Stage::with(|options| options.limits = Limits::unlimited()).await;
    for number in 0..5 {
        stage.want(201, GRACE, "POST", &format!("{REPO}/issues"), json!({"title": number.to_string()})).await;
    }
    stage.sim.settled().await;
    let (jwt, mut path, mut seen) = (stage.jwt(), "/app/hook/deliveries?per_page=2".to_owned(), Vec::new());
    loop {
        let page = stage.send(&jwt, "GET", &path, Value::Null).await;
        seen.extend(page.json().as_array().cloned().unwrap_or_default());
        let next = page.header("link").strip_prefix('<').and_then(|rest| rest.split_once('>'));
        match next {
            Some((next, _)) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.windows(2).all(|pair| pair[0]["id"].as_u64() > pair[1]["id"].as_u64()));
    stage.finish().await;
}

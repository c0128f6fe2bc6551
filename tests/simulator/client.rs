//! The client that the product uses reads the simulator's answers and webhooks.

use octocrab::Octocrab;
use octocrab::models::reactions::ReactionContent;
use octocrab::models::webhook_events::WebhookEvent;
use octocrab::models::{AppId, InstallationId};
use octocrab::params::State;
use serde_json::json;

use super::harness::{APP_ID, GRACE, LIB, REPO, Stage, key};

fn app(stage: &Stage) -> Octocrab {
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(key().private_pem.as_bytes()).expect("a key");
    let builder = Octocrab::builder().base_uri(stage.sim.api_url()).expect("an address");
    builder.app(AppId(APP_ID), key).build().expect("a client")
}

#[tokio::test]
async fn octocrab_does_the_main_job_against_the_simulator() {
    let stage = Stage::new().await;
    let app = app(&stage);
    let installations = app.apps().installations().send().await.expect("installations");
    assert_eq!(installations.items[0].id, InstallationId(stage.installation));
    let bot = app.installation(InstallationId(stage.installation)).expect("a client");

    let issues = bot.issues("acme", "widgets");
    let wish = json!({"title": "Two is wrong", "body": "It is.", "labels": ["bug"]});
    stage.want(201, GRACE, "POST", &format!("{REPO}/issues"), wish).await;
    assert_eq!(issues.get(1).await.expect("an issue").user.login, "grace");
    issues.add_labels(1, &["auto".to_owned()]).await.expect("labels");
    let plan = issues.create_comment(1, "The plan").await.expect("a comment");
    issues.update_comment(plan.id, "The better plan").await.expect("an edited comment");
    stage
        .want(
            201,
            GRACE,
            "POST",
            &format!("{REPO}/issues/comments/{}/reactions", plan.id),
            json!({"content": "+1"}),
        )
        .await;
    let reactions = issues.list_comment_reactions(plan.id).send().await.expect("reactions");
    assert_eq!(reactions.items[0].content, ReactionContent::PlusOne);

    let head = stage.branch("auto/x", "src/lib.rs", &LIB.replace("    2", "    22"));
    let pulls = bot.pulls("acme", "widgets");
    let pull = pulls.create("Two is two", "auto/x", "main").body("Fixes #1").send().await.expect("a pull");
    let found = pulls.list().state(State::Open).head("acme:auto/x").send().await.expect("a list");
    assert_eq!(found.items[0].number, pull.number);
    assert!(pulls.get_diff(pull.number).await.expect("a diff").contains("+    22"));
    let run = bot.checks("acme", "widgets").create_check_run("gates", head).send().await.expect("a run");
    assert_eq!(run.name, "gates");
    let merged = pulls.merge(pull.number).send().await.expect("a merge");
    assert!(merged.merged);

    stage.sim.settled().await;
    for received in stage.inbox.all() {
        let event = received.header("x-github-event");
        let parsed = WebhookEvent::try_from_header_and_body(event, &received.body);
        assert!(parsed.is_ok(), "{}: {:?}", received.name(), parsed.err());
    }
    assert_eq!(stage.sim.journal().unknown_routes(), Vec::<String>::new());
    assert_eq!(stage.sim.journal().contract_violations(), Vec::<String>::new());
}

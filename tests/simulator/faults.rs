//! Faults: what goes wrong between a client and GitHub, on demand.

use std::sync::Arc;

use orchestrator::simulator::github::{Effect, Fault, Moment, SimulatorOptions};
use serde_json::{Value, json};

use super::harness::{GRACE, LIB, REPO, Stage};

fn add(stage: &Stage, fault: Fault) {
    stage.sim.faults().add(fault).expect("a good pattern");
}

#[tokio::test]
async fn a_write_is_applied_and_its_answer_lost() {
    let stage = Stage::new().await;
    add(&stage, Fault::on_request("POST", "/issues$", Effect::ApplyThenDrop));
    let path = format!("{REPO}/issues");
    let lost = stage.send_with(GRACE, "POST", &path, json!({"title": "Once"}), &[]).await;
    assert!(lost.is_err(), "no answer comes");
    assert_eq!(stage.get(GRACE, &path).await[0]["title"], "Once");
    stage.want(201, GRACE, "POST", &path, json!({"title": "Twice"})).await;

    add(&stage, Fault::on_request("POST", "/issues$", Effect::DropUnapplied));
    assert!(stage.send_with(GRACE, "POST", &path, json!({"title": "Never"}), &[]).await.is_err());
    assert_eq!(stage.get(GRACE, &path).await.as_array().map(Vec::len), Some(2));
    stage.finish().await;
}

#[tokio::test]
async fn the_nth_request_is_refused_and_nothing_is_done() {
    let stage = Stage::new().await;
    for (status, retry_after_seconds) in [(401, None), (403, Some(30)), (429, Some(7)), (502, None)] {
        let effect = Effect::Refuse { status, retry_after_seconds };
        add(&stage, Fault::on_request("POST", "/labels$", effect).after(1));
        let path = format!("{REPO}/labels");
        let label = |number: u32| json!({"name": format!("{status}-{number}"), "color": "ffffff"});
        stage.want(201, GRACE, "POST", &path, label(1)).await;
        let refused = stage.send(GRACE, "POST", &path, label(2)).await;
        assert_eq!(refused.status, status);
        let wanted = retry_after_seconds.map(|seconds| seconds.to_string()).unwrap_or_default();
        assert_eq!(refused.header("retry-after"), wanted);
        stage.want(201, GRACE, "POST", &path, label(2)).await;
        stage.sim.faults().clear();
    }
    stage.finish().await;
}

#[tokio::test]
async fn a_token_ends_between_two_requests() {
    let stage = Stage::new().await;
    let token = stage.installation_token(Value::Null).await;
    stage.get(&token, REPO).await;
    add(&stage, Fault::on_request("GET", "/widgets$", Effect::ExpireTokens));
    stage.want(401, &token, "GET", REPO, Value::Null).await;
    let fresh = stage.installation_token(Value::Null).await;
    stage.get(&fresh, REPO).await;

    let short = Stage::with(|options: &mut SimulatorOptions| {
        options.token_lifetime = chrono::Duration::seconds(1);
    })
    .await;
    let token = short.installation_token(Value::Null).await;
    short.sim.admin().advance_clock(chrono::Duration::seconds(2));
    short.want(401, &token, "GET", REPO, Value::Null).await;
    short.finish().await;
    stage.finish().await;
}

#[tokio::test]
async fn a_person_pushes_in_the_middle_of_a_request() {
    let stage = Stage::new().await;
    let token = stage.installation_token(Value::Null).await;
    let old = stage.branch("auto/x", "src/lib.rs", &LIB.replace("    1", "    11"));
    stage.open_pull(&token, "auto/x").await;
    let push = Effect::PersonPushes {
        login: "grace".into(),
        repository: "acme/widgets".into(),
        branch: "auto/x".into(),
        path: "hers.md".into(),
        content: "mine".into(),
    };
    add(&stage, Fault::on_request("PUT", "/merge$", push));
    stage.want(409, &token, "PUT", &format!("{REPO}/pulls/1/merge"), json!({"sha": old})).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_callback_runs_before_or_after_a_request() {
    let stage = Stage::new().await;
    let act = |body: &'static str| -> orchestrator::simulator::github::Act {
        Arc::new(move |admin| {
            let written = admin.push_file("ada", "acme/widgets", "side", "note.md", body);
            written.expect("a push");
        })
    };
    add(
        &stage,
        Fault::on_request(
            "GET",
            "branches/side",
            Effect::Callback { moment: Moment::Before, act: act("one") },
        ),
    );
    stage.get(GRACE, &format!("{REPO}/branches/side")).await;
    add(
        &stage,
        Fault::on_request(
            "GET",
            "contents/note",
            Effect::Callback { moment: Moment::After, act: act("two") },
        ),
    );
    let first = stage.get(GRACE, &format!("{REPO}/contents/note.md?ref=side")).await;
    let second = stage.get(GRACE, &format!("{REPO}/contents/note.md?ref=side")).await;
    assert_eq!((&first["content"], &second["content"]), (&json!("b25l\n"), &json!("dHdv\n")));
    stage.finish().await;
}

async fn three_issues(stage: &Stage) {
    for title in ["a", "b", "c"] {
        stage.want(201, GRACE, "POST", &format!("{REPO}/issues"), json!({"title": title})).await;
    }
    stage.sim.settled().await;
}

fn titles(stage: &Stage) -> Vec<String> {
    let received = stage.inbox.all();
    let title = |one: &super::harness::Received| one.json()["issue"]["title"].as_str().map(str::to_owned);
    received.iter().filter_map(title).collect()
}

#[tokio::test]
async fn deliveries_are_lost_doubled_swapped_and_delayed() {
    for (effect, wanted) in [
        (Effect::LoseDelivery, "bc"),
        (Effect::DuplicateDelivery { copies: 2 }, "aaabc"),
        (Effect::SwapDelivery, "bac"),
        (Effect::DelayDelivery { milliseconds: 5_000 }, "bca"),
    ] {
        let stage = Stage::new().await;
        add(&stage, Fault::on_delivery("^issues.opened$", effect.clone()));
        three_issues(&stage).await;
        assert_eq!(titles(&stage).concat(), wanted, "{effect:?}");
        if wanted == "aaabc" {
            let guids: Vec<String> =
                stage.inbox.all().iter().map(|one| one.header("x-github-delivery").to_owned()).collect();
            assert!(guids[1] == guids[2] && guids[2] == guids[3] && guids[3] != guids[4]);
        }
        if wanted == "bc" {
            let failed = stage.get(&stage.jwt(), "/app/hook/deliveries?status=failure").await;
            assert_eq!(failed[0]["status"], "timed out");
        }
        stage.finish().await;
    }
}

#[tokio::test]
async fn the_last_delivery_comes_even_if_nothing_follows_to_swap_with() {
    let stage = Stage::new().await;
    add(&stage, Fault::on_delivery("^issues", Effect::SwapDelivery).after(2));
    three_issues(&stage).await;
    assert_eq!(titles(&stage).concat(), "abc");
    stage.finish().await;
}

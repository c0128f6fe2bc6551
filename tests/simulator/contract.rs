//! The judge itself: what leaves GitHub's description is seen, so that its silence means something.

use std::path::Path;

use orchestrator::simulator::github::{Contract, ContractError};
use serde_json::{Value, json};

use super::harness::{GRACE, REPO, Stage, contract};

#[tokio::test]
async fn a_payload_that_leaves_the_description_is_seen() {
    let stage = Stage::new().await;
    stage.want(201, GRACE, "POST", &format!("{REPO}/issues"), json!({"title": "One"})).await;
    stage.sim.settled().await;
    let delivery = stage.sim.journal().deliveries_of("issues.opened").remove(0);
    let judge = |payload: &Value| contract().check_webhook("issues", Some("opened"), payload);
    assert_eq!(judge(&delivery.payload), Vec::<String>::new());
    for (pointer, wrong) in [
        ("/issue/number", json!("1")),
        ("/issue/user", json!({"login": "grace"})),
        ("/issue/created_at", json!("yesterday")),
        ("/action", json!("closed")),
        ("/repository/private", Value::Null),
        ("/issue/author_association", json!("FRIEND")),
    ] {
        let mut payload = delivery.payload.clone();
        *payload.pointer_mut(pointer).expect("a part of the payload") = wrong;
        assert!(!judge(&payload).is_empty(), "{pointer}");
    }
    let unheard = contract().check_webhook("issues", Some("sung"), &delivery.payload);
    assert_eq!(unheard, ["webhook issues-sung is not described"]);
    stage.finish().await;
}

#[tokio::test]
async fn a_request_that_leaves_the_description_is_seen() {
    for (path, body, wanted) in [
        ("/issues", json!({"title": "One", "colour": "red"}), "\"colour\" is not described"),
        ("/issues?page=1", json!({"title": "One"}), "query page: this parameter is not described"),
        ("/issues", json!({"title": "One", "milestone": {}}), "/milestone: "),
        ("/issues", json!({"title": 5}), "REFUSED"),
    ] {
        let stage = Stage::new().await;
        let answer = stage.send(GRACE, "POST", &format!("{REPO}{path}"), body).await;
        let journal = stage.sim.journal();
        let violations = [journal.contract_violations(), journal.ignored_by_github()].concat();
        // What is refused with 422 need not be right: the refusal is the answer.
        let expected = match wanted {
            "REFUSED" => answer.status == 422 && violations.is_empty(),
            wanted => violations.iter().any(|violation| violation.contains(wanted)),
        };
        assert!(expected, "{path}: {violations:?}");
    }
}

#[tokio::test]
async fn a_route_that_is_not_simulated_is_404_and_remembered() {
    let stage = Stage::new().await;
    stage.want(404, GRACE, "GET", &format!("{REPO}/topics"), Value::Null).await;
    assert_eq!(stage.sim.journal().unknown_routes(), [format!("GET {REPO}/topics")]);
}

#[test]
fn a_missing_description_says_how_to_get_it() {
    let error = Contract::installed(Path::new("/nonexistent")).expect_err("nothing is there");
    assert!(matches!(error, ContractError::Read { .. }));
    assert!(error.to_string().contains("scripts/contract"), "{error}");
}

//! Every route answers as GitHub's description says, from real state.

use orchestrator::simulator::github::route_table;
use serde_json::{Value, json};

use super::harness::{ADA, GRACE, LIB, LINUS, REPO, Stage, contract};

fn id(value: &Value) -> u64 {
    value["id"].as_u64().expect("an id")
}

async fn app_routes(stage: &Stage) {
    let jwt = stage.jwt();
    let app = stage.get(&jwt, "/app").await;
    assert_eq!((app["slug"].as_str(), app["installations_count"].as_u64()), (Some("orchestrator"), Some(1)));
    let all = stage.get(&jwt, "/app/installations").await;
    assert_eq!(id(&all[0]), stage.installation);
    stage.get(&jwt, &format!("/app/installations/{}", stage.installation)).await;
    stage.get(&jwt, &format!("{REPO}/installation")).await;
    stage.get(&jwt, "/app/hook/config").await;
    stage.sim.settled().await;
    let deliveries = stage.get(&jwt, "/app/hook/deliveries").await;
    let delivery = id(&deliveries[0]);
    stage.get(&jwt, &format!("/app/hook/deliveries/{delivery}")).await;
    stage.want(202, &jwt, "POST", &format!("/app/hook/deliveries/{delivery}/attempts"), Value::Null).await;
    let token = stage.installation_token(json!({"repositories": ["widgets"]})).await;
    let reached = stage.get(&token, "/installation/repositories").await;
    assert_eq!(reached["total_count"], 1);
    stage.want(204, &token, "DELETE", "/installation/token", Value::Null).await;
    stage.want(401, &token, "GET", "/installation/repositories", Value::Null).await;
}

async fn issue_routes(stage: &Stage, token: &str) {
    let issues = format!("{REPO}/issues");
    let issue = json!({"title": "Two is wrong", "body": "It says 2.", "labels": ["bug", "new one"]});
    let issue = stage.want(201, GRACE, "POST", &issues, issue).await;
    assert_eq!((&issue["number"], &issue["author_association"]), (&json!(1), &json!("COLLABORATOR")));
    stage.get(token, &issues).await;
    let one = format!("{issues}/1");
    let edited = stage.want(200, GRACE, "PATCH", &one, json!({"body": "It says three."})).await;
    assert_eq!(edited["body"], "It says three.");
    stage.want(200, token, "PATCH", &one, json!({"state": "closed", "state_reason": "not_planned"})).await;
    stage.want(200, token, "PATCH", &one, json!({"state": "open"})).await;

    let comments = format!("{one}/comments");
    let comment = stage.want(201, token, "POST", &comments, json!({"body": "The plan"})).await;
    assert_eq!(comment["user"]["type"], "Bot");
    assert_eq!(comment["user"]["login"], "orchestrator[bot]");
    assert_eq!(comment["performed_via_github_app"]["slug"], "orchestrator");
    let at = format!("{issues}/comments/{}", id(&comment));
    stage.get(token, &comments).await;
    stage.get(token, &format!("{issues}/comments?sort=updated&direction=desc")).await;
    stage.get(token, &at).await;
    stage.want(200, token, "PATCH", &at, json!({"body": "The better plan"})).await;

    for target in [&one, &at] {
        let reactions = format!("{target}/reactions");
        let thumb = stage.want(201, GRACE, "POST", &reactions, json!({"content": "+1"})).await;
        stage.want(200, GRACE, "POST", &reactions, json!({"content": "+1"})).await;
        stage.want(201, token, "POST", &reactions, json!({"content": "eyes"})).await;
        let up = stage.get(token, &format!("{reactions}?content=%2B1")).await;
        assert_eq!(up.as_array().map(Vec::len), Some(1));
        assert_eq!(up[0]["user"]["id"], 1002);
        stage.want(204, GRACE, "DELETE", &format!("{reactions}/{}", id(&thumb)), Value::Null).await;
    }
    assert_eq!(stage.get(token, &at).await["reactions"]["eyes"], 1);
    stage.want(204, token, "DELETE", &at, Value::Null).await;
    stage.want(404, token, "GET", &at, Value::Null).await;
}

async fn label_routes(stage: &Stage, token: &str) {
    let labels = format!("{REPO}/labels");
    let auto = json!({"name": "auto", "color": "0e8a16", "description": "Done by the bot"});
    stage.want(201, token, "POST", &labels, auto).await;
    stage.get(token, &labels).await;
    stage.get(token, &format!("{labels}/new%20one")).await;
    stage.want(200, token, "PATCH", &format!("{labels}/new%20one"), json!({"new_name": "newer"})).await;
    stage.want(204, token, "DELETE", &format!("{labels}/newer"), Value::Null).await;
    let on_issue = format!("{REPO}/issues/1/labels");
    let now = stage.want(200, GRACE, "POST", &on_issue, json!({"labels": ["auto"]})).await;
    assert_eq!(now.as_array().map(Vec::len), Some(2));
    stage.get(token, &on_issue).await;
    stage.want(200, token, "DELETE", &format!("{on_issue}/auto"), Value::Null).await;
    stage.want(200, token, "PUT", &on_issue, json!({"labels": ["auto", "question"]})).await;
    stage.want(204, token, "DELETE", &on_issue, Value::Null).await;
}

async fn pull_routes(stage: &Stage, token: &str) -> Value {
    stage.branch("auto/two", "src/lib.rs", &LIB.replace("    2", "    22"));
    stage.open_pull(token, "auto/two").await;
    let pulls = format!("{REPO}/pulls");
    let found = stage.get(token, &format!("{pulls}?head=acme:auto/two&state=all")).await;
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    let number = &found[0]["number"];
    let one = format!("{pulls}/{number}");
    assert_eq!(stage.get(token, &one).await["mergeable"], Value::Null);
    let pull = stage.get(token, &one).await;
    assert_eq!((&pull["mergeable"], &pull["mergeable_state"]), (&json!(true), &json!("clean")));
    assert_eq!((&pull["additions"], &pull["deletions"], &pull["commits"]), (&json!(1), &json!(1), &json!(1)));
    stage.want(200, token, "PATCH", &one, json!({"title": "Two is two", "body": "Fixes #1"})).await;
    let files = stage.get(token, &format!("{one}/files")).await;
    assert_eq!(files[0]["filename"], "src/lib.rs");
    let commits = stage.get(token, &format!("{one}/commits")).await;
    assert_eq!(commits[0]["sha"], pull["head"]["sha"]);
    let sha = pull["head"]["sha"].as_str().expect("a SHA");
    stage.get(token, &format!("{REPO}/commits/{sha}/pulls")).await;
    stage.get(token, &format!("{REPO}/issues/{number}")).await;
    stage.get(token, &format!("{REPO}/issues")).await;
    pull
}

async fn review_routes(stage: &Stage, token: &str, pull: &Value) {
    let one = format!("{REPO}/pulls/{}", pull["number"]);
    let sha = &pull["head"]["sha"];
    let remark = json!({"path": "src/lib.rs", "line": 6, "side": "RIGHT", "body": "Why 22?"});
    let review = json!({"event": "COMMENT", "body": "One finding", "commit_id": sha, "comments": [remark]});
    let review = stage.want(200, token, "POST", &format!("{one}/reviews"), review).await;
    assert_eq!(review["state"], "COMMENTED");
    let this = format!("{one}/reviews/{}", id(&review));
    stage.get(token, &format!("{one}/reviews")).await;
    stage.get(token, &this).await;
    stage.get(token, &format!("{this}/comments")).await;
    stage.want(200, token, "PUT", &this, json!({"body": "One finding, LOW"})).await;

    let single =
        json!({"body": "And here", "commit_id": sha, "path": "src/lib.rs", "line": 6, "start_line": 5});
    let comment = stage.want(201, token, "POST", &format!("{one}/comments"), single).await;
    assert!(comment["diff_hunk"].as_str().is_some_and(|hunk| hunk.starts_with("@@ ")), "{comment}");
    let replies = format!("{one}/comments/{}/replies", id(&comment));
    let reply = stage.want(201, GRACE, "POST", &replies, json!({"body": "Because"})).await;
    assert_eq!(reply["in_reply_to_id"], comment["id"]);
    stage.get(token, &format!("{one}/comments")).await;
    stage.get(token, &format!("{REPO}/pulls/comments")).await;
    let at = format!("{REPO}/pulls/comments/{}", id(&comment));
    stage.get(token, &at).await;
    stage.want(200, token, "PATCH", &at, json!({"body": "And there"})).await;
    let reactions = format!("{at}/reactions");
    let eyes = stage.want(201, token, "POST", &reactions, json!({"content": "eyes"})).await;
    stage.get(token, &reactions).await;
    stage.want(204, token, "DELETE", &format!("{reactions}/{}", id(&eyes)), Value::Null).await;
    stage.want(204, token, "DELETE", &format!("{REPO}/pulls/comments/{}", id(&reply)), Value::Null).await;

    let pending = stage.want(200, GRACE, "POST", &format!("{one}/reviews"), json!({"body": "later"})).await;
    assert_eq!(pending["state"], "PENDING");
    let submit = format!("{one}/reviews/{}/events", id(&pending));
    let approved = stage.want(200, GRACE, "POST", &submit, json!({"event": "APPROVE"})).await;
    assert_eq!(approved["state"], "APPROVED");
    let dismiss = format!("{one}/reviews/{}/dismissals", id(&pending));
    stage.want(200, ADA, "PUT", &dismiss, json!({"message": "too early"})).await;
    let again = stage.want(200, GRACE, "POST", &format!("{one}/reviews"), json!({})).await;
    stage.want(200, GRACE, "DELETE", &format!("{one}/reviews/{}", id(&again)), Value::Null).await;
}

async fn check_routes(stage: &Stage, token: &str, pull: &Value) {
    let sha = pull["head"]["sha"].as_str().expect("a SHA");
    let runs = format!("{REPO}/check-runs");
    let run = json!({"name": "gates", "head_sha": sha, "status": "in_progress", "external_id": "task-1"});
    let run = stage.want(201, token, "POST", &runs, run).await;
    let one = format!("{runs}/{}", id(&run));
    let output = json!({"title": "2 gates", "summary": "all passed", "annotations": [{
        "path": "src/lib.rs", "start_line": 6, "end_line": 6, "annotation_level": "notice", "message": "here",
    }]});
    let done = json!({"conclusion": "success", "output": output});
    let done = stage.want(200, token, "PATCH", &one, done).await;
    assert_eq!((&done["status"], &done["output"]["annotations_count"]), (&json!("completed"), &json!(1)));
    stage.get(token, &one).await;
    stage.get(token, &format!("{one}/annotations")).await;
    stage.want(201, GRACE, "POST", &format!("{one}/rerequest"), Value::Null).await;
    let listed = stage.get(token, &format!("{REPO}/commits/auto/two/check-runs?check_name=gates")).await;
    assert_eq!(listed["total_count"], 1);
    let status = json!({"state": "success", "context": "lint", "description": "fine"});
    stage.want(201, GRACE, "POST", &format!("{REPO}/statuses/{sha}"), status).await;
    stage.get(GRACE, &format!("{REPO}/commits/{sha}/statuses")).await;
    assert_eq!(stage.get(GRACE, &format!("{REPO}/commits/{sha}/status")).await["state"], "success");
}

async fn content_routes(stage: &Stage, token: &str, pull: &Value) {
    let sha = pull["head"]["sha"].as_str().expect("a SHA");
    let reference = stage.get(token, &format!("{REPO}/git/ref/heads/auto/two")).await;
    assert_eq!(reference["object"]["sha"], sha);
    stage.get(token, &format!("{REPO}/git/matching-refs/heads/auto/")).await;
    let created = json!({"ref": "refs/heads/side", "sha": pull["base"]["sha"]});
    stage.want(201, token, "POST", &format!("{REPO}/git/refs"), created).await;
    let side = format!("{REPO}/git/refs/heads/side");
    stage.want(200, token, "PATCH", &side, json!({"sha": sha})).await;
    stage.want(204, token, "DELETE", &side, Value::Null).await;
    stage.get(token, &format!("{REPO}/branches")).await;
    stage.get(token, &format!("{REPO}/branches/auto/two")).await;
    let compared = stage.get(token, &format!("{REPO}/compare/main...auto/two")).await;
    assert_eq!((&compared["status"], &compared["ahead_by"]), (&json!("ahead"), &json!(1)));
    let file = stage.get(token, &format!("{REPO}/contents/src/lib.rs?ref=auto/two")).await;
    assert_eq!(file["encoding"], "base64");
    stage.get(token, &format!("{REPO}/contents/src")).await;
    stage.get(token, &format!("{REPO}/contents")).await;
    stage.get(token, &format!("{REPO}/contents/")).await;
    let new = json!({"message": "Add a note", "content": "bm90ZQo=", "branch": "main"});
    stage.want(201, token, "PUT", &format!("{REPO}/contents/docs/note.md"), new).await;
    stage.get(token, &format!("{REPO}/commits?path=docs")).await;
    stage.get(token, &format!("{REPO}/commits/{sha}")).await;
    stage.get(token, &format!("{REPO}/git/commits/{sha}")).await;
}

async fn people_routes(stage: &Stage, token: &str) {
    stage.get(token, REPO).await;
    let repo = stage.get(GRACE, REPO).await;
    assert_eq!(repo["permissions"]["push"], true);
    stage.get(token, &format!("/repositories/{}", id(&repo))).await;
    stage.get(token, "/users/grace").await;
    stage.get(token, "/users/orchestrator%5Bbot%5D").await;
    stage.get(token, "/user/1002").await;
    assert_eq!(stage.get(LINUS, "/user").await["login"], "linus");
    stage.get(token, "/rate_limit").await;
    stage.get(token, &format!("{REPO}/collaborators")).await;
    stage.want(204, token, "GET", &format!("{REPO}/collaborators/grace"), Value::Null).await;
    let may = stage.get(token, &format!("{REPO}/collaborators/grace/permission")).await;
    assert_eq!((&may["permission"], &may["user"]["id"]), (&json!("write"), &json!(1002)));
}

#[tokio::test]
async fn every_route_answers_as_github_describes_it() {
    let stage = Stage::new().await;
    app_routes(&stage).await;
    let token = stage.installation_token(Value::Null).await;
    people_routes(&stage, &token).await;
    issue_routes(&stage, &token).await;
    label_routes(&stage, &token).await;
    let pull = pull_routes(&stage, &token).await;
    review_routes(&stage, &token, &pull).await;
    check_routes(&stage, &token, &pull).await;
    content_routes(&stage, &token, &pull).await;
    let one = format!("{REPO}/pulls/{}", pull["number"]);
    let update = format!("{one}/update-branch");
    stage.want(403, LINUS, "PUT", &update, json!({})).await;
    stage.want(202, GRACE, "PUT", &update, json!({"expected_head_sha": pull["head"]["sha"]})).await;
    stage.want(422, GRACE, "PUT", &update, json!({})).await;
    let pull = stage.get(&token, &one).await;
    let merge = format!("{one}/merge");
    stage.want(404, &token, "GET", &merge, Value::Null).await;
    let merged = stage.want(200, GRACE, "PUT", &merge, json!({"sha": pull["head"]["sha"]})).await;
    assert_eq!(merged["merged"], true);
    stage.want(204, &token, "GET", &merge, Value::Null).await;
    assert_eq!(stage.get(&token, &format!("{REPO}/issues/1")).await["state"], "closed");

    let journal = stage.sim.journal();
    let untouched: Vec<String> = route_table()
        .iter()
        .filter(|route| journal.requests_to(route.method, route.template).is_empty())
        .map(|route| format!("{} {}", route.method, route.template))
        .collect();
    assert_eq!(untouched, Vec::<String>::new(), "routes that this test does not exercise");
    stage.finish().await;
}

#[test]
fn every_route_is_githubs_and_as_open_to_apps_as_there() {
    let contract = contract();
    for route in route_table() {
        let (method, template) = (route.method, route.described_as);
        assert!(contract.describes(method, template), "{method} {template} is not described");
        // Replies are marked as closed to Apps in the description and open in the permissions table.
        let marked_wrongly = template.ends_with("/replies");
        if route.for_installations && !marked_wrongly {
            assert_eq!(contract.enabled_for_apps(method, template), Some(true), "{method} {template}");
        }
    }
}

/// A template with names that exist where the permission is looked at: the rest is not reached.
fn filled(template: &str) -> String {
    let part = |part: &str| match part {
        "{owner}" => "acme".to_owned(),
        "{repo}" => "widgets".to_owned(),
        "{basehead}" => "main...main".to_owned(),
        part if part.starts_with('{') => "1".to_owned(),
        part => part.to_owned(),
    };
    template.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn a_token_without_the_permission_is_refused_on_every_route_that_wants_one() {
    let stage = Stage::new().await;
    let token = stage.installation_token(json!({"permissions": {"metadata": "read"}})).await;
    let mut refused = 0;
    for route in route_table().into_iter().filter(|route| !route.permissions.is_empty()) {
        let open = route.permissions.iter().any(|(name, _)| *name == "metadata");
        let answer = stage.send(&token, route.method, &filled(route.template), json!({})).await;
        assert_eq!(answer.status == 403, !open, "{} {}: {}", route.method, route.template, answer.text);
        let accepted = answer.header("x-accepted-github-permissions");
        assert!(accepted.contains(route.permissions[0].0), "{accepted}");
        refused += usize::from(!open);
    }
    assert!(refused > 50, "{refused}");
    stage.sim.shutdown().await;
}

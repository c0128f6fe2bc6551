//! The manners of GitHub's REST API: pages, entity tags, media types, redirects, mergeability.

use orchestrator::simulator::github::{AccountKind, Limits, NewRepository, Role};
use serde_json::{Value, json};

use super::harness::{ADA, GRACE, LIB, REPO, Stage};

#[tokio::test]
async fn pages_follow_links_by_repository_id_and_end_empty() {
    let stage = Stage::with(|options| options.limits = Limits::unlimited()).await;
    let issues = format!("{REPO}/issues");
    for number in 0..35 {
        stage.want(201, GRACE, "POST", &issues, json!({"title": number.to_string()})).await;
    }
    let first = stage.send(GRACE, "GET", &issues, Value::Null).await;
    assert_eq!(first.json().as_array().map(Vec::len), Some(30));
    let link = first.header("link");
    assert!(link.contains("rel=\"next\"") && link.contains("rel=\"last\""), "{link}");
    let next = link.split('>').next().and_then(|text| text.strip_prefix('<')).expect("a link");
    assert!(next.contains("/repositories/"), "{next}");
    let second = stage.send(GRACE, "GET", next, Value::Null).await;
    assert_eq!(second.json().as_array().map(Vec::len), Some(5));
    assert!(!second.header("link").contains("rel=\"next\""));
    assert_eq!(stage.get(GRACE, &format!("{issues}?page=9")).await, json!([]));
    assert_eq!(stage.get(GRACE, &format!("{issues}?per_page=1000")).await.as_array().map(Vec::len), Some(35));
    stage.finish().await;
}

#[tokio::test]
async fn an_unchanged_answer_is_304_and_costs_nothing() {
    let stage = Stage::new().await;
    let first = stage.send(GRACE, "GET", REPO, Value::Null).await;
    let tag = first.header("etag").to_owned();
    let left: u64 = first.header("x-ratelimit-remaining").parse().expect("a number");
    let same =
        stage.send_with(GRACE, "GET", REPO, Value::Null, &[("if-none-match", &tag)]).await.expect("304");
    assert_eq!((same.status, same.text.as_str()), (304, ""));
    assert_eq!(same.header("x-ratelimit-remaining"), left.to_string());
    stage.want(201, GRACE, "POST", &format!("{REPO}/issues"), json!({"title": "One"})).await;
    let changed =
        stage.send_with(GRACE, "GET", REPO, Value::Null, &[("if-none-match", &tag)]).await.expect("200");
    assert_eq!(changed.status, 200);
    stage.finish().await;
}

#[tokio::test]
async fn media_types_change_the_answer() {
    let stage = Stage::new().await;
    stage.branch("auto/x", "src/lib.rs", &LIB.replace("    1", "    11"));
    stage.open_pull(GRACE, "auto/x").await;
    let ask = |path: String, accept: &'static str| {
        let stage = &stage;
        async move {
            stage.send_with(GRACE, "GET", &path, Value::Null, &[("accept", accept)]).await.expect("an answer")
        }
    };
    let diff = ask(format!("{REPO}/pulls/1"), "application/vnd.github.v3.diff").await;
    assert!(diff.text.starts_with("diff --git a/src/lib.rs b/src/lib.rs\n"), "{}", diff.text);
    assert!(diff.text.contains("\n-    1\n+    11\n"), "{}", diff.text);
    assert!(diff.header("content-type").starts_with("application/vnd.github.diff"));
    let raw = ask(format!("{REPO}/contents/run.sh"), "application/vnd.github.raw+json").await;
    assert_eq!(raw.text, "#!/bin/sh\n");
    assert_eq!(ask(REPO.to_owned(), "text/html").await.status, 415);
    let version = [("x-github-api-version", "1999-01-01")];
    let old = stage.send_with(GRACE, "GET", REPO, Value::Null, &version).await.expect("an answer");
    assert_eq!(old.status, 400);
    stage.finish().await;
}

#[tokio::test]
async fn mergeability_is_null_until_it_is_known_and_again_after_each_push() {
    let stage = Stage::new().await;
    let one = format!("{REPO}/pulls/1");
    stage.branch("auto/x", "src/lib.rs", &LIB.replace("    1", "    11"));
    assert_eq!(stage.open_pull(GRACE, "auto/x").await["mergeable"], Value::Null);
    let look = || async { stage.get(GRACE, &one).await["mergeable"].clone() };
    assert_eq!((look().await, look().await), (Value::Null, json!(true)));
    stage.branch("main", "src/lib.rs", &LIB.replace("    1", "    12"));
    assert_eq!((look().await, look().await), (Value::Null, json!(false)));
    stage.branch("auto/x", "src/lib.rs", &LIB.replace("    1", "    12"));
    assert_eq!((look().await, look().await), (Value::Null, json!(true)));
    stage.finish().await;
}

#[tokio::test]
async fn a_review_comment_moves_with_its_line_and_is_outdated_when_it_goes() {
    let stage = Stage::new().await;
    let token = stage.installation_token(Value::Null).await;
    let sha = stage.branch("auto/x", "src/lib.rs", &LIB.replace("    2", "    22"));
    stage.open_pull(&token, "auto/x").await;
    let comment = json!({"body": "b", "commit_id": sha, "path": "src/lib.rs", "line": 6, "side": "RIGHT"});
    let path = format!("{REPO}/pulls/1/comments");
    let comment = stage.want(201, &token, "POST", &path, comment).await;
    let at = format!("{REPO}/pulls/comments/{}", comment["id"]);
    stage.branch("auto/x", "src/lib.rs", &format!("// new\n{}", LIB.replace("    2", "    22")));
    let moved = stage.get(&token, &at).await;
    assert_eq!((&moved["line"], &moved["original_line"]), (&json!(7), &json!(6)));
    stage.branch("auto/x", "src/lib.rs", &LIB.replace("    2", "    222"));
    let outdated = stage.get(&token, &at).await;
    assert_eq!((&outdated["line"], &outdated["position"]), (&Value::Null, &Value::Null));
    assert_eq!(outdated["original_line"], 6);
    stage.finish().await;
}

#[tokio::test]
async fn a_renamed_person_is_another_answer_and_a_renamed_repository_redirects() {
    let stage = Stage::new().await;
    let token = stage.installation_token(Value::Null).await;
    let admin = stage.sim.admin();
    admin.set_custom_role("grace", "acme/widgets", Role::Write, "security lead").expect("a role");
    let may = format!("{REPO}/collaborators/grace/permission");
    assert_eq!(stage.get(&token, &may).await["role_name"], "security lead");
    admin.rename_user("grace", "grace-h").expect("renamed");
    stage.want(404, &token, "GET", &may, Value::Null).await;
    admin.add_user("grace", 6666, AccountKind::User, "").expect("the login is free");
    let imposter = stage.get(&token, &may).await;
    assert_eq!((&imposter["permission"], &imposter["user"]["id"]), (&json!("none"), &json!(6666)));

    admin.rename_repository("acme/widgets", "gadgets").expect("renamed");
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let url = format!("{}{REPO}", stage.sim.api_url());
    let answer =
        client.get(url).bearer_auth(&token).header("user-agent", "t").send().await.expect("an answer");
    assert_eq!(answer.status(), 301);
    assert_eq!(stage.get(&token, REPO).await["name"], "gadgets");
    stage.finish().await;
}

#[tokio::test]
async fn a_public_repository_may_be_read_by_all_and_written_by_few() {
    let stage = Stage::new().await;
    let token = stage.installation_token(Value::Null).await;
    let admin = stage.sim.admin();
    let open = NewRepository::new("acme/open", &[("a.md", "a")]).public();
    admin.create_repository(&open).expect("a repository");
    stage.get(&token, "/repos/acme/open").await;
    stage.get("", "/repos/acme/open").await;
    stage.want(403, &token, "POST", "/repos/acme/open/issues", json!({"title": "no"})).await;
    stage.want(401, "", "POST", "/repos/acme/open/issues", json!({"title": "no"})).await;
    admin.archive_repository("acme/widgets").expect("archived");
    stage.want(403, ADA, "POST", &format!("{REPO}/issues"), json!({"title": "no"})).await;
    stage.finish().await;
}

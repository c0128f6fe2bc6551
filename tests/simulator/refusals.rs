//! GitHub's own refusals, row by row. A row of the table without a case here fails.

use std::collections::BTreeMap;

use jsonwebtoken::Algorithm;
use orchestrator::simulator::github::{KnownRefusal, Limits, NewRepository, REFUSALS, SimulatorOptions};
use serde_json::{Value, json};

use super::harness::{APP_ID, Answer, GRACE, LIB, REPO, STRANGER, Stage, new_key, sign, sign_with, unix_now};

fn claims(issued: i64, expires: i64) -> Value {
    json!({"iss": APP_ID, "iat": unix_now() + issued, "exp": unix_now() + expires})
}

/// A stage with a pull request by the bot (1) and one by grace (2), and a token of the App.
async fn prepared(limits: Limits) -> (Stage, String) {
    let stage = Stage::with(|options: &mut SimulatorOptions| options.limits = limits).await;
    let token = stage.installation_token(Value::Null).await;
    stage.branch("auto/one", "src/lib.rs", &LIB.replace("    1", "    11"));
    stage.branch("by-grace", "src/lib.rs", &LIB.replace("    1", "    111").replace("    5", "    55"));
    stage.open_pull(&token, "auto/one").await;
    stage.open_pull(GRACE, "by-grace").await;
    (stage, token)
}

fn long(length: usize) -> String {
    // Characters count, not bytes.
    "ä".repeat(length)
}

async fn app_case(stage: &Stage, name: &str) -> Option<Answer> {
    let get = |secret: String| async move { stage.send(&secret, "GET", "/app", Value::Null).await };
    Some(match name {
        "JWT_UNDECODABLE" => get(sign_with(&claims(-60, 300), &new_key(), Algorithm::RS256)).await,
        "JWT_TOO_LONG" => get(sign(&claims(-60, 700))).await,
        "JWT_EXPIRED" => get(sign(&claims(-900, -300))).await,
        "JWT_FROM_THE_FUTURE" => get(sign(&claims(120, 300))).await,
        "TOKEN_BEYOND_GRANT" => {
            let path = format!("/app/installations/{}/access_tokens", stage.installation);
            let asked = json!({"permissions": {"administration": "write"}});
            stage.send(&stage.jwt(), "POST", &path, asked).await
        }
        _ => return None,
    })
}

async fn access_case(stage: &Stage, token: &str, name: &str) -> Option<Answer> {
    Some(match name {
        "BAD_CREDENTIALS" => {
            stage.sim.admin().advance_clock(chrono::Duration::minutes(61));
            stage.send(token, "GET", REPO, Value::Null).await
        }
        "NOT_GRANTED" => {
            let sha = stage.get(token, &format!("{REPO}/pulls/1")).await["head"]["sha"].clone();
            let path = format!("{REPO}/statuses/{}", sha.as_str().expect("a SHA"));
            stage.send(token, "POST", &path, json!({"state": "success"})).await
        }
        "NOT_FOUND" => {
            stage.sim.admin().create_repository(&NewRepository::new("acme/other", &[])).expect("made");
            stage.send(token, "GET", "/repos/acme/other", Value::Null).await
        }
        "NO_USER_AGENT" => {
            let url = format!("{}{REPO}", stage.sim.api_url());
            let response = reqwest::Client::new().get(url).send().await.expect("an answer");
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Answer { status, headers, text: response.text().await.expect("a text") }
        }
        "SECONDARY_LIMIT" => {
            let path = format!("{REPO}/issues/1/comments");
            let mut last = None;
            for number in 0..20 {
                let answer = stage.send(token, "POST", &path, json!({"body": number.to_string()})).await;
                if answer.status != 201 {
                    assert_eq!(answer.header("retry-after"), "60");
                    last = Some(answer);
                    break;
                }
            }
            last?
        }
        "PRIMARY_LIMIT" => {
            for _ in 0..40 {
                let answer = stage.send(token, "GET", REPO, Value::Null).await;
                if answer.status != 200 {
                    assert_eq!(answer.header("x-ratelimit-remaining"), "0");
                    return Some(answer);
                }
            }
            return None;
        }
        "BROKEN_JSON" => {
            let url = format!("{}{REPO}/issues", stage.sim.api_url());
            let request = reqwest::Client::new().post(url).bearer_auth(token).header("user-agent", "tests");
            let response = request.body("{").send().await.expect("an answer");
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Answer { status, headers, text: response.text().await.expect("a text") }
        }
        _ => return None,
    })
}

async fn text_case(stage: &Stage, token: &str, name: &str) -> Option<Answer> {
    let issues = format!("{REPO}/issues");
    let comments = format!("{REPO}/issues/1/comments");
    Some(match name {
        "BODY_TOO_LONG" => {
            let fits = json!({"title": "fits", "body": long(65_536)});
            stage.want(201, token, "POST", &issues, fits).await;
            stage.send(token, "POST", &issues, json!({"title": "no", "body": long(65_537)})).await
        }
        "COMMENT_TOO_LONG" => {
            let fits = stage.want(201, token, "POST", &comments, json!({"body": long(65_536)})).await;
            let edit = format!("{issues}/comments/{}", fits["id"]);
            let edited = stage.send(token, "PATCH", &edit, json!({"body": long(65_537)})).await;
            assert!(edited.text.contains("\"body is too long"), "{}", edited.text);
            stage.send(token, "POST", &comments, json!({"body": long(65_537)})).await
        }
        "TITLE_TOO_LONG" => {
            stage.want(201, token, "POST", &issues, json!({"title": long(256)})).await;
            stage.send(token, "POST", &issues, json!({"title": long(257)})).await
        }
        "BLANK_COMMENT" => stage.send(token, "POST", &comments, json!({"body": " \n"})).await,
        "LABEL_EXISTS" => {
            stage
                .send(token, "POST", &format!("{REPO}/labels"), json!({"name": "BUG", "color": "ffffff"}))
                .await
        }
        _ => return None,
    })
}

async fn pull_case(stage: &Stage, token: &str, name: &str) -> Option<Answer> {
    let pulls = format!("{REPO}/pulls");
    let open = |head: &'static str| json!({"title": "Again", "head": head, "base": "main"});
    Some(match name {
        "SECOND_PULL" => stage.send(token, "POST", &pulls, open("auto/one")).await,
        "NO_COMMITS" => {
            let main = stage.get(token, &format!("{REPO}/branches/main")).await;
            let same = json!({"ref": "refs/heads/same", "sha": main["commit"]["sha"]});
            stage.want(201, token, "POST", &format!("{REPO}/git/refs"), same).await;
            stage.send(token, "POST", &pulls, open("same")).await
        }
        "UNKNOWN_HEAD" => stage.send(token, "POST", &pulls, open("acme:nowhere")).await,
        "NOT_MERGEABLE" => {
            stage.branch("main", "src/lib.rs", &LIB.replace("    1", "    12"));
            for _ in 0..2 {
                stage.get(token, &format!("{pulls}/1")).await;
            }
            assert_eq!(stage.get(token, &format!("{pulls}/1")).await["mergeable_state"], "dirty");
            stage.send(token, "PUT", &format!("{pulls}/1/merge"), json!({})).await
        }
        "HEAD_MOVED" => {
            let old = stage.get(token, &format!("{pulls}/1")).await["head"]["sha"].clone();
            stage.branch("auto/one", "other.md", "more");
            stage.send(token, "PUT", &format!("{pulls}/1/merge"), json!({"sha": old})).await
        }
        "REF_EXISTS" => {
            let main = stage.get(token, &format!("{REPO}/branches/main")).await;
            let same = json!({"ref": "refs/heads/auto/one", "sha": main["commit"]["sha"]});
            stage.send(token, "POST", &format!("{REPO}/git/refs"), same).await
        }
        "NOT_FAST_FORWARD" => {
            let main = stage.get(token, &format!("{REPO}/branches/main")).await;
            let path = format!("{REPO}/git/refs/heads/auto/one");
            stage.send(token, "PATCH", &path, json!({"sha": main["commit"]["sha"], "force": false})).await
        }
        _ => return None,
    })
}

async fn review_case(stage: &Stage, token: &str, name: &str) -> Option<Answer> {
    let own = format!("{REPO}/pulls/1/reviews");
    let theirs = format!("{REPO}/pulls/2");
    let review = |comment: Value| json!({"event": "COMMENT", "body": "Look", "comments": [comment]});
    let remark = |more: Value| {
        let mut remark = json!({"path": "src/lib.rs", "body": "here"});
        for (key, value) in more.as_object().into_iter().flatten() {
            remark[key] = value.clone();
        }
        remark
    };
    Some(match name {
        "OWN_APPROVAL" => stage.send(token, "POST", &own, json!({"event": "APPROVE"})).await,
        "OWN_CHANGES" => {
            stage.send(token, "POST", &own, json!({"event": "REQUEST_CHANGES", "body": "no"})).await
        }
        "REVIEW_OUTSIDE_DIFF" => {
            // Lines 1 to 5 are the first hunk; line 10 lies between the hunks.
            let fits = review(remark(json!({"line": 5})));
            stage.want(200, token, "POST", &format!("{theirs}/reviews"), fits).await;
            stage.send(token, "POST", &format!("{theirs}/reviews"), review(remark(json!({"line": 10})))).await
        }
        "COMMENT_OUTSIDE_DIFF" => {
            let sha = stage.get(token, &theirs).await["head"]["sha"].clone();
            let outside = remark(json!({"line": 10, "commit_id": sha}));
            stage.send(token, "POST", &format!("{theirs}/comments"), outside).await
        }
        "START_AFTER_END" => {
            let wrong = review(remark(json!({"line": 2, "start_line": 2})));
            stage.send(token, "POST", &format!("{theirs}/reviews"), wrong).await
        }
        "OTHER_HUNK" => {
            let wrong = review(remark(json!({"line": 18, "start_line": 2})));
            stage.send(token, "POST", &format!("{theirs}/reviews"), wrong).await
        }
        "SECOND_PENDING" => {
            stage.want(200, token, "POST", &own, json!({"body": "first"})).await;
            stage.send(token, "POST", &own, json!({"body": "second"})).await
        }
        _ => return None,
    })
}

async fn check_case(stage: &Stage, token: &str, name: &str) -> Option<Answer> {
    let runs = format!("{REPO}/check-runs");
    let sha = stage.get(token, &format!("{REPO}/pulls/1")).await["head"]["sha"].clone();
    let annotated = |count: usize| {
        let one = json!({
            "path": "a", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m",
        });
        json!({"name": "gates", "head_sha": sha, "output": {
            "title": "t", "summary": "s", "annotations": vec![one; count],
        }})
    };
    Some(match name {
        "TOO_MANY_ANNOTATIONS" => {
            stage.want(201, token, "POST", &runs, annotated(50)).await;
            stage.send(token, "POST", &runs, annotated(51)).await
        }
        "ONLY_APPS" => stage.send(GRACE, "POST", &runs, annotated(0)).await,
        "UNKNOWN_COMMIT" => {
            let nowhere = json!({"name": "gates", "head_sha": "0123456789012345678901234567890123456789"});
            stage.send(token, "POST", &runs, nowhere).await
        }
        _ => return None,
    })
}

async fn case(stage: &Stage, token: &str, row: &KnownRefusal) -> Option<Answer> {
    if let Some(answer) = app_case(stage, row.name).await {
        return Some(answer);
    }
    if let Some(answer) = access_case(stage, token, row.name).await {
        return Some(answer);
    }
    if let Some(answer) = text_case(stage, token, row.name).await {
        return Some(answer);
    }
    if let Some(answer) = pull_case(stage, token, row.name).await {
        return Some(answer);
    }
    if let Some(answer) = review_case(stage, token, row.name).await {
        return Some(answer);
    }
    check_case(stage, token, row.name).await
}

#[tokio::test]
async fn every_refusal_of_the_table_is_given_with_its_status_and_words() {
    for row in REFUSALS {
        let limits = match row.name {
            "SECONDARY_LIMIT" => Limits { content_writes_per_minute: 10, ..Limits::default() },
            "PRIMARY_LIMIT" => Limits { requests_per_hour: 30, ..Limits::default() },
            _ => Limits::default(),
        };
        let (stage, token) = prepared(limits).await;
        let answer = case(&stage, &token, row).await;
        let answer = answer.unwrap_or_else(|| panic!("{} has no case in this test", row.name));
        assert_eq!(answer.status, row.status, "{}: {}", row.name, answer.text);
        let body = answer.json();
        let mut said = vec![body["message"].as_str().unwrap_or_default().to_owned()];
        for error in body["errors"].as_array().into_iter().flatten() {
            said.extend(error.as_str().map(str::to_owned));
            said.extend(["message", "code"].iter().filter_map(|key| error[*key].as_str().map(str::to_owned)));
        }
        assert!(said.iter().any(|one| one.contains(row.says)), "{}: {said:?}", row.name);
        assert!(
            body["documentation_url"].as_str().is_some_and(|url| url.starts_with("https://docs.github.com/"))
        );
        stage.finish().await;
    }
}

#[tokio::test]
async fn a_stranger_sees_a_private_repository_nowhere() {
    let stage = Stage::new().await;
    for (method, path, body) in [
        ("GET", REPO.to_owned(), Value::Null),
        ("GET", format!("{REPO}/issues"), Value::Null),
        ("POST", format!("{REPO}/issues"), json!({"title": "hello"})),
    ] {
        stage.want(404, STRANGER, method, &path, body.clone()).await;
        let anonymous = stage.send("", method, &path, body).await;
        assert_eq!(anonymous.status, 404, "{method} {path}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn roles_open_what_they_open_at_github() {
    let stage = Stage::new().await;
    let linus = super::harness::LINUS;
    stage
        .want(201, linus, "POST", &format!("{REPO}/issues"), json!({"title": "A wish", "labels": ["bug"]}))
        .await;
    let issue = stage.get(linus, &format!("{REPO}/issues/1")).await;
    assert_eq!(issue["labels"], json!([]), "a reader's labels are dropped silently");
    stage.want(200, linus, "PATCH", &format!("{REPO}/issues/1"), json!({"body": "his own"})).await;
    stage.want(403, linus, "POST", &format!("{REPO}/issues/1/labels"), json!({"labels": ["bug"]})).await;
    stage.want(201, GRACE, "POST", &format!("{REPO}/issues"), json!({"title": "Another"})).await;
    stage.want(403, linus, "PATCH", &format!("{REPO}/issues/2"), json!({"title": "Mine"})).await;
    let mut said = BTreeMap::new();
    for login in ["ada", "grace", "linus", "stranger"] {
        let token = stage.installation_token(Value::Null).await;
        let may = stage.get(&token, &format!("{REPO}/collaborators/{login}/permission")).await;
        said.insert(login, may["permission"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(json!(said), json!({"ada": "admin", "grace": "write", "linus": "read", "stranger": "none"}));
    stage.finish().await;
}

//! Installation tokens: one repository, and no more than the job at hand needs.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use orchestrator::domain::{GitHubPlace, InstallationId, IssueNumber, RepositoryId};
use orchestrator::github::{GitHub, GitHubError, GitHubOptions, Purpose};
use orchestrator::simulator::surroundings::REPOSITORY;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::scene::{Play, Scene};

const TOKENS: &str = "/app/installations/{installation_id}/access_tokens";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_token_of_a_story_reaches_one_repository_with_one_purpose() {
    let scene = Scene::play(Play::greeting()).await;
    scene.pull_request().await;
    let repository = scene.get("").await["id"].clone();
    let asked = scene.around.github.journal().requests_to("POST", TOKENS);
    let mut purposes = Vec::new();
    for request in &asked {
        assert_eq!(request.body["repository_ids"], json!([repository]), "{}", request.body);
        let of =
            Purpose::ALL.into_iter().find(|purpose| permissions(*purpose) == request.body["permissions"]);
        purposes.push(of.unwrap_or_else(|| panic!("no purpose needs {}", request.body["permissions"])));
    }
    for purpose in Purpose::ALL {
        assert_eq!(purposes.iter().filter(|one| **one == purpose).count(), 1, "{purpose:?}: {purposes:?}");
    }
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_reading_can_change_nothing() {
    let scene = Scene::set(Play::greeting()).await;
    let (github, place) = as_app(&scene).await;
    let reads = github.repository(&place, Purpose::Read);
    let refused = reads.create_comment(IssueNumber(1), "x").await;
    assert!(matches!(refused, Err(GitHubError::Forbidden { .. })), "{refused:?}");
    let labels = reads.add_labels(IssueNumber(1), &["x"]).await;
    assert!(matches!(labels, Err(GitHubError::Forbidden { .. })), "{labels:?}");
    let token = reads.token().await.expect("a token").expose_secret().to_owned();
    assert_eq!(receive_pack(&scene, &token).await, 403);
    // Each of the others writes one thing: only `Push` pushes.
    for purpose in Purpose::ALL {
        let token =
            github.repository(&place, purpose).token().await.expect("a token").expose_secret().to_owned();
        let pushes = receive_pack(&scene, &token).await == 200;
        assert_eq!(pushes, purpose == Purpose::Push, "{purpose:?}");
    }

    // The weak variant: a token as libraries ask for it, with all that the installation grants.
    let weak = everything_token(&scene, place.installation.0).await;
    assert_eq!(receive_pack(&scene, &weak).await, 200);
    let comment = format!("{}/repos/{REPOSITORY}/issues/1/comments", scene.around.github.api_url());
    let posted = reqwest::Client::new().post(comment).bearer_auth(&weak).header("user-agent", "x");
    assert_eq!(posted.json(&json!({ "body": "x" })).send().await.expect("an answer").status(), 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_one_purpose_share_a_token_and_renew_it_once() {
    let scene = Scene::set(Play::greeting()).await;
    let (github, place) = as_app(&scene).await;
    let issued = || scene.around.github.journal().requests_to("POST", TOKENS).len();
    let before = issued();
    let ask = || async { github.repository(&place, Purpose::Read).repository().await.expect("a repository") };
    futures::future::join_all((0..8).map(|_| ask())).await;
    assert_eq!(issued() - before, 1);
    scene.around.github.admin().expire_tokens();
    futures::future::join_all((0..8).map(|_| ask())).await;
    assert_eq!(issued() - before, 2);
}

fn permissions(purpose: Purpose) -> Value {
    purpose
        .permissions()
        .iter()
        .map(|(name, level)| ((*name).to_owned(), json!(level)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn variable(scene: &Scene, name: &str) -> String {
    scene.around.environment().into_iter().find(|(known, _)| known == name).expect("set").1
}

/// The App as a deployment would be it, an issue, and where it is.
pub async fn as_app(scene: &Scene) -> (GitHub, GitHubPlace) {
    let options = GitHubOptions {
        api_url: scene.around.github.api_url(),
        app_id: variable(scene, "GITHUB_APP_ID").parse().expect("a number"),
        private_key: variable(scene, "GITHUB_APP_PRIVATE_KEY").into(),
        write_interval: std::time::Duration::ZERO,
    };
    let issue = scene.around.open_issue("ada", "An issue", "text").await.expect("an issue");
    let repository = scene.get("").await["id"].as_u64().expect("an id");
    let installation =
        app_call(scene, "GET", &format!("/repos/{REPOSITORY}/installation")).await["id"].as_u64();
    let place = GitHubPlace {
        installation: InstallationId(installation.expect("an id")),
        repository: RepositoryId(repository),
        full_name: REPOSITORY.to_owned(),
        issue: IssueNumber(issue),
    };
    (GitHub::new(&options).expect("the App"), place)
}

async fn app_call(scene: &Scene, method: &str, path: &str) -> Value {
    let key = EncodingKey::from_rsa_pem(variable(scene, "GITHUB_APP_PRIVATE_KEY").as_bytes()).expect("a key");
    let now = orchestrator::telemetry::clock::now().timestamp();
    let app: u64 = variable(scene, "GITHUB_APP_ID").parse().expect("a number");
    let claims = json!({ "iat": now - 30, "exp": now + 300, "iss": app });
    let jwt = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).expect("signed");
    let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
    let request = reqwest::Client::new().request(method, format!("{}{path}", scene.around.github.api_url()));
    let answer =
        request.bearer_auth(jwt).header("user-agent", "x").json(&json!({})).send().await.expect("an answer");
    answer.json().await.expect("JSON")
}

async fn everything_token(scene: &Scene, installation: u64) -> String {
    let answer = app_call(scene, "POST", &format!("/app/installations/{installation}/access_tokens")).await;
    answer["token"].as_str().expect("a token").to_owned()
}

/// What git would be told that asks to push.
async fn receive_pack(scene: &Scene, token: &str) -> u16 {
    let url =
        format!("{}/{REPOSITORY}.git/info/refs?service=git-receive-pack", scene.around.github.server_url());
    let request = reqwest::Client::new().get(url).basic_auth("x-access-token", Some(token));
    request.send().await.expect("an answer").status().as_u16()
}

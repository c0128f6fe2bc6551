//! A simulator with a few people and one repository, its App installed, and a receiver for its webhooks.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use orchestrator::simulator::github::{
    AccountKind, AppManifest, Contract, GithubSimulator, NewRepository, Reach, Role, SeedFile,
    SimulatorOptions, WebhookTarget,
};
use serde_json::{Value, json};

pub const APP_ID: u64 = 4711;
pub const SECRET: &str = "It's a Secret to Everybody";
pub const REPO: &str = "/repos/acme/widgets";
/// The owner of nothing, who may write.
pub const GRACE: &str = "ghp_grace";
/// May read.
pub const LINUS: &str = "ghp_linus";
/// May do everything.
pub const ADA: &str = "ghp_ada";
/// Has no seat.
pub const STRANGER: &str = "ghp_stranger";

pub const LIB: &str = "pub fn one() -> u32 {\n    1\n}\n\npub fn two() -> u32 {\n    2\n}\n\n\
                       pub fn three() -> u32 {\n    3\n}\n\npub fn four() -> u32 {\n    4\n}\n\n\
                       pub fn five() -> u32 {\n    5\n}\n";

pub struct Key {
    pub private_pem: String,
    pub public_pem: String,
}

pub fn key() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(new_key)
}

pub fn new_key() -> Key {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("an RSA key");
    Key { private_pem: pair.serialize_pem(), public_pem: pair.public_key_pem() }
}

pub fn contract() -> Arc<Contract> {
    static CONTRACT: OnceLock<Arc<Contract>> = OnceLock::new();
    let installed = || {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/contract");
        let contract = Contract::installed(&folder);
        Arc::new(contract.expect("GitHub's description is installed: run scripts/contract"))
    };
    Arc::clone(CONTRACT.get_or_init(installed))
}

pub fn manifest() -> AppManifest {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("app-manifest.yml");
    let text = std::fs::read_to_string(path).expect("app-manifest.yml");
    let mut manifest = AppManifest::from_yaml(&text).expect("a good manifest");
    // The simulator sends more than the product asks for.
    let more = ["check_run", "pull_request_review", "pull_request_review_comment", "push"];
    manifest.default_events.extend(more.map(str::to_owned));
    manifest
}

/// A webhook as it arrived.
#[derive(Clone)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn name(&self) -> String {
        let event = self.header("x-github-event").to_owned();
        self.json()["action"].as_str().map_or(event.clone(), |action| format!("{event}.{action}"))
    }
}

#[derive(Clone, Default)]
pub struct Inbox {
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<Vec<StatusCode>>>,
}

impl Inbox {
    pub fn all(&self) -> Vec<Received> {
        self.received.lock().expect("not poisoned").clone()
    }

    pub fn names(&self) -> Vec<String> {
        self.all().iter().map(Received::name).collect()
    }

    /// The next delivery gets this status.
    pub fn answer_next_with(&self, status: StatusCode) {
        self.answers.lock().expect("not poisoned").push(status);
    }
}

async fn receive(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> StatusCode {
    inbox.received.lock().expect("not poisoned").push(Received { headers, body });
    inbox.answers.lock().expect("not poisoned").pop().unwrap_or(StatusCode::ACCEPTED)
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

pub struct Stage {
    pub sim: GithubSimulator,
    pub inbox: Inbox,
    pub installation: u64,
    pub data: tempfile::TempDir,
    http: reqwest::Client,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut SimulatorOptions)) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let path = data.path().join("repositories");
        let mut options = SimulatorOptions::new(path, manifest(), APP_ID, key().public_pem.clone());
        options.contract = Some(contract());
        change(&mut options);
        let sim = GithubSimulator::start(options).await.expect("a simulator");
        let inbox = Inbox::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/webhook", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(receive).with_state(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });

        let admin = sim.admin();
        admin.add_user("acme", 2000, AccountKind::Organization, "").expect("acme");
        admin.add_user("ada", 1001, AccountKind::User, ADA).expect("ada");
        admin.add_user("grace", 1002, AccountKind::User, GRACE).expect("grace");
        admin.add_user("linus", 1003, AccountKind::User, LINUS).expect("linus");
        admin.add_user("stranger", 1004, AccountKind::User, STRANGER).expect("stranger");
        let mut repository =
            NewRepository::new("acme/widgets", &[("README.md", "# Widgets\n"), ("src/lib.rs", LIB)]);
        repository.files.insert("run.sh".into(), SeedFile::script("#!/bin/sh\n"));
        admin.create_repository(&repository).expect("a repository");
        admin.set_permission("ada", "acme/widgets", Role::Admin).expect("a seat");
        admin.set_permission("grace", "acme/widgets", Role::Write).expect("a seat");
        admin.set_permission("linus", "acme/widgets", Role::Read).expect("a seat");
        let reach = Reach::Only(vec!["acme/widgets".into()]);
        let installation = admin.install_app("acme", &reach).expect("an installation");
        sim.settled().await;
        sim.set_webhook(Some(WebhookTarget { url, secret: SECRET.into() }));
        Self { sim, inbox, installation, data, http: reqwest::Client::new() }
    }

    pub async fn send(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        self.send_with(token, method, path, body, &[]).await.expect("an answer")
    }

    pub async fn send_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Value,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, reqwest::Error> {
        let url =
            if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.sim.api_url()) };
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, url).header("user-agent", "tests");
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// Sends and wants this status.
    pub async fn want(&self, status: u16, token: &str, method: &str, path: &str, body: Value) -> Value {
        let answer = self.send(token, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        answer.json()
    }

    pub async fn get(&self, token: &str, path: &str) -> Value {
        self.want(200, token, "GET", path, Value::Null).await
    }

    pub fn jwt(&self) -> String {
        let now = unix_now();
        sign(&json!({"iss": APP_ID.to_string(), "iat": now - 60, "exp": now + 540}))
    }

    pub async fn installation_token(&self, narrowed: Value) -> String {
        let path = format!("/app/installations/{}/access_tokens", self.installation);
        let answer = self.want(201, &self.jwt(), "POST", &path, narrowed).await;
        answer["token"].as_str().expect("a token").to_owned()
    }

    /// A branch with one commit that changes `path`, made by grace.
    pub fn branch(&self, name: &str, path: &str, content: &str) -> String {
        self.sim.admin().push_file("grace", "acme/widgets", name, path, content).expect("a push")
    }

    pub async fn open_pull(&self, token: &str, head: &str) -> Value {
        let body = json!({"title": format!("Change by {head}"), "head": head, "base": "main", "body": "why"});
        self.want(201, token, "POST", &format!("{REPO}/pulls"), body).await
    }

    /// No violation of GitHub's description, no route that is missing.
    pub async fn finish(self) {
        self.sim.settled().await;
        let journal = self.sim.journal();
        assert_eq!(journal.contract_violations(), Vec::<String>::new());
        assert_eq!(journal.ignored_by_github(), Vec::<String>::new());
        assert_eq!(journal.unknown_routes(), Vec::<String>::new());
        self.sim.shutdown().await;
    }
}

pub fn sign(claims: &Value) -> String {
    sign_with(claims, key(), jsonwebtoken::Algorithm::RS256)
}

pub fn sign_with(claims: &Value, key: &Key, algorithm: jsonwebtoken::Algorithm) -> String {
    let header = jsonwebtoken::Header::new(algorithm);
    let pem = jsonwebtoken::EncodingKey::from_rsa_pem(key.private_pem.as_bytes()).expect("a key");
    jsonwebtoken::encode(&header, claims, &pem).expect("a token")
}

pub fn unix_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_secs()).expect("a time")
}

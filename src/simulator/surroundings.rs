//! Everything that stands around a deployment, on this machine: a GitHub with people and a repository,
//! a model server and an inbox. What a deployment has to know of it comes as environment variables, the
//! way an operator would set them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Value, json};

use super::github::{
    AccountKind, AppManifest, Contract, Faults, GithubSimulator, Limits, NewRepository, Reach, Role,
    SeedFile, SimulatorOptions, WebhookTarget,
};
use super::inbox::Inbox;
use super::model::{DemoProject, ModelServer, Scenario};

/// The repository that everybody works on.
pub const REPOSITORY: &str = "acme/evenly";
/// Writes issues and may decide about them.
pub const MAINTAINER: &str = "ada";
/// May look and talk.
pub const READER: &str = "robin";
/// Has no seat in the repository.
pub const STRANGER: &str = "mallory";
/// The secret that webhooks are signed with; it opens nothing else.
pub const WEBHOOK_SECRET: &str = "simulated-webhook-secret";
const APP_ID: u64 = 4_242;

/// What the surroundings start with.
pub struct SurroundingsOptions {
    /// Bare repositories and mails are kept below it.
    pub folder: PathBuf,
    pub scenario: Scenario,
    pub project: DemoProject,
    /// Judges requests and answers, where GitHub's description is at hand.
    pub contract: Option<Arc<Contract>>,
    pub limits: Limits,
    pub faults: Faults,
}

impl SurroundingsOptions {
    pub fn new(folder: &Path, scenario: Scenario) -> Self {
        Self {
            folder: folder.to_owned(),
            scenario,
            project: DemoProject::embedded(),
            contract: None,
            limits: Limits::default(),
            faults: Faults::default(),
        }
    }
}

/// The running servers; they stop when dropped.
pub struct Surroundings {
    pub github: GithubSimulator,
    pub model: ModelServer,
    pub inbox: Inbox,
    pub project: DemoProject,
    private_key: String,
    http: reqwest::Client,
}

impl Surroundings {
    pub async fn start(options: SurroundingsOptions) -> anyhow::Result<Self> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).context("no key for the App")?;
        let manifest = AppManifest::from_yaml(include_str!("../../app-manifest.yml"))?;
        let folder = options.folder.join("github");
        let mut simulator = SimulatorOptions::new(folder, manifest, APP_ID, key.public_key_pem());
        simulator.contract = options.contract;
        simulator.limits = options.limits;
        simulator.faults = options.faults;
        let github = GithubSimulator::start(simulator).await?;
        seed(&github, &options.project)?;
        Ok(Self {
            github,
            model: ModelServer::start(options.scenario).await?,
            inbox: Inbox::start(&options.folder.join("mails")).await?,
            project: options.project,
            private_key: key.serialize_pem(),
            http: reqwest::Client::new(),
        })
    }

    /// What an operator would put into the environment of a deployment here.
    pub fn environment(&self) -> Vec<(String, String)> {
        let pairs = [
            ("GITHUB_APP_ID", APP_ID.to_string()),
            ("GITHUB_APP_PRIVATE_KEY", self.private_key.clone()),
            ("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
            ("GITHUB_API_URL", self.github.api_url()),
            ("GITHUB_SERVER_URL", self.github.server_url()),
            ("ANTHROPIC_API_KEY", self.model.api_key().to_owned()),
            ("ANTHROPIC_BASE_URL", self.model.anthropic_url()),
            ("OPENAI_API_KEY", self.model.api_key().to_owned()),
            ("OPENAI_BASE_URL", self.model.openai_url()),
            ("SMTP_URL", self.inbox.smtp_url()),
            ("MAIL_FROM", "Orchestrator <orchestrator@acme.example>".to_owned()),
            ("MAIL_TO", "ada@acme.example".to_owned()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Tells GitHub where the deployment's webhook receiver is.
    pub fn deliver_to(&self, address: std::net::SocketAddr) {
        let url = format!("http://{address}/webhooks/github");
        self.github.set_webhook(Some(WebhookTarget { url, secret: WEBHOOK_SECRET.to_owned() }));
    }

    /// A request of a person, as `curl` with their token would make it.
    pub async fn person(&self, login: &str, method: &str, path: &str, body: Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.github.api_url());
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let mut request = self.http.request(method.clone(), &url).bearer_auth(token(login));
        request = request.header("accept", "application/vnd.github+json").header("user-agent", login);
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        anyhow::ensure!(status.is_success(), "{login}: {method} {path} was answered {status}: {text}");
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.person(MAINTAINER, "GET", path, Value::Null).await
    }

    /// Opens an issue and answers its number.
    pub async fn open_issue(&self, login: &str, title: &str, body: &str) -> anyhow::Result<u64> {
        let path = format!("/repos/{REPOSITORY}/issues");
        let issue = self.person(login, "POST", &path, json!({ "title": title, "body": body })).await?;
        issue["number"].as_u64().context("the issue has no number")
    }

    pub async fn label(&self, login: &str, issue: u64, label: &str) -> anyhow::Result<()> {
        let path = format!("/repos/{REPOSITORY}/issues/{issue}/labels");
        self.person(login, "POST", &path, json!({ "labels": [label] })).await?;
        Ok(())
    }

    pub async fn comment(&self, login: &str, issue: u64, body: &str) -> anyhow::Result<u64> {
        let path = format!("/repos/{REPOSITORY}/issues/{issue}/comments");
        let comment = self.person(login, "POST", &path, json!({ "body": body })).await?;
        comment["id"].as_u64().context("the comment has no id")
    }

    pub async fn react(&self, login: &str, comment: u64, content: &str) -> anyhow::Result<u64> {
        let path = format!("/repos/{REPOSITORY}/issues/comments/{comment}/reactions");
        let reaction = self.person(login, "POST", &path, json!({ "content": content })).await?;
        reaction["id"].as_u64().context("the reaction has no id")
    }

    /// The comments of an issue or pull request that our App wrote, oldest first.
    pub async fn bot_comments(&self, issue: u64) -> anyhow::Result<Vec<Value>> {
        let path = format!("/repos/{REPOSITORY}/issues/{issue}/comments?per_page=100");
        let comments = self.get(&path).await?;
        let of_bot = |comment: &&Value| comment["user"]["type"] == "Bot";
        Ok(comments.as_array().into_iter().flatten().filter(of_bot).cloned().collect())
    }
}

/// The token of a person of the simulator.
pub fn token(login: &str) -> String {
    format!("ghp_simulated_{login}")
}

fn seed(github: &GithubSimulator, project: &DemoProject) -> anyhow::Result<()> {
    let admin = github.admin();
    admin.add_user("acme", 900, AccountKind::Organization, &token("acme"))?;
    for (id, login) in [(1_001, MAINTAINER), (1_002, READER), (1_003, STRANGER)] {
        admin.add_user(login, id, AccountKind::User, &token(login))?;
    }
    let mut repository = NewRepository::new(REPOSITORY, &[]).public();
    repository.files = project
        .files
        .iter()
        .map(|(path, bytes)| (path.clone(), SeedFile { bytes: bytes.clone(), executable: false }))
        .collect();
    admin.create_repository(&repository)?;
    admin.set_permission(MAINTAINER, REPOSITORY, Role::Admin)?;
    admin.set_permission(READER, REPOSITORY, Role::Read)?;
    admin.install_app("acme", &Reach::Only(vec![REPOSITORY.to_owned()]))?;
    Ok(())
}

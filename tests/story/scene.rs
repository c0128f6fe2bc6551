//! A deployment of the product with everything around it, and what people do there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use orchestrator::application::{Application, Source, rules};
use orchestrator::config::{Config, Environment};
use orchestrator::domain::{IssueNumber, RepositoryId, State, Task};
use orchestrator::simulator::github::{AccountKind, Contract, Fault, FaultId};
use orchestrator::simulator::model::{DemoProject, Scenario};
use orchestrator::simulator::surroundings::{
    MAINTAINER, REPOSITORY, Surroundings, SurroundingsOptions, token,
};
use orchestrator::store::Store;
use serde_json::{Value, json};
use sqlx::Connection;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::postgres::Database;
use crate::published;

/// Longest wait for anything. Generous: the machine may have much else to do.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(25);
/// States that end by themselves: between two looks a task may have come and gone.
const PASSING: [&str; 4] = ["queued", "implementing", "gating", "fixing"];

/// The product's own program, which serves the file tools inside sandboxes.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_orchestrator");

/// What a scene starts with.
pub struct Play {
    pub scenario: Scenario,
    pub project: DemoProject,
    /// More of `orchestrator.yaml`.
    pub settings: String,
    /// More of the environment; an empty value takes a variable away.
    pub variables: Vec<(String, String)>,
    pub faults: Vec<Fault>,
}

impl Play {
    /// The story of the demo, with a Rust project and its tests.
    pub fn demo() -> Self {
        let scenario = Scenario::embedded("demo").expect("a good scenario");
        Self::of(scenario, DemoProject::embedded())
    }

    /// A story that takes little time: see `scripts/greeting.yaml`.
    pub fn greeting() -> Self {
        let scenario = Scenario::parse(include_str!("scripts/greeting.yaml")).expect("a good scenario");
        Self::of(scenario, greeting_project())
    }

    fn of(scenario: Scenario, project: DemoProject) -> Self {
        let (settings, variables, faults) = (String::new(), Vec::new(), Vec::new());
        Self { scenario, project, settings, variables, faults }
    }

    pub fn with_settings(mut self, yaml: &str) -> Self {
        self.settings.push_str(yaml);
        self
    }

    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn with_file(mut self, path: &str, text: &str) -> Self {
        self.project.files.insert(path.to_owned(), text.as_bytes().to_vec());
        self
    }

    /// Rules that are asked before those of the scenario.
    pub fn with_rules(mut self, yaml: &str) -> Self {
        let greeting = include_str!("scripts/greeting.yaml");
        let (head, rules) = greeting.split_once("rules:\n").expect("rules");
        let text = format!("{head}rules:\n{yaml}\n{rules}");
        self.scenario = Scenario::parse(&text).expect("a good scenario");
        self
    }
}

/// The repository's one gate. The file as it was before passes too: what fails is the change's.
pub const CHECK: &str = "grep -q 'hello, world' greeting.txt && exit 0\n\
                     grep -qx hello greeting.txt && exit 0\n\
                     echo 'greeting.txt lacks \"hello, world\"'\nexit 1\n";

fn greeting_project() -> DemoProject {
    let files = [
        ("README.md", "# A greeting\n"),
        ("greeting.txt", "hello\n"),
        ("check.sh", CHECK),
        (".orchestrator/config.yaml", "gates:\n  - name: check\n    run: sh check.sh\n"),
    ];
    let files: BTreeMap<_, _> =
        files.into_iter().map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect();
    DemoProject {
        files,
        issue_title: "The greeting leaves the world out".into(),
        issue_body: "`greeting.txt` says hello to nobody in particular.".into(),
    }
}

const SETTINGS: &str = r#"
github: { write_interval_ms: 0 }
models:
  request_timeout_seconds: 90
  default:
    - { model: "anthropic:claude-sonnet-4-5", max_tokens: 4096, usd_per_million_input_tokens: 3.0, usd_per_million_output_tokens: 15.0, usd_per_million_cached_tokens: 0.3 }
  roles:
    reviewer:
      - { model: "openai:gpt-5", max_tokens: 4096 }
polling: { reactions_seconds: 1 }
"#;

/// Everything around a deployment, and its database.
pub struct Scene {
    pub around: Surroundings,
    pub database: Database,
    /// The test's own door to the deployment's database.
    pub store: Store,
    folder: tempfile::TempDir,
    settings: String,
    variables: Vec<(String, String)>,
    repository: RepositoryId,
    deployment: Option<Deployment>,
    webhook_url: String,
}

struct Deployment {
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Scene {
    /// Sets everything up and starts a deployment in this process.
    pub async fn play(play: Play) -> Self {
        let mut scene = Self::set(play).await;
        scene.deploy().await;
        scene
    }

    /// Everything but a deployment.
    pub async fn set(play: Play) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut options = SurroundingsOptions::new(folder.path(), play.scenario);
        options.project = play.project;
        options.contract = Some(contract());
        options.faults.list = play.faults;
        let around = Surroundings::start(options).await.expect("the surroundings");
        let database = Database::new().await;
        let repository = around.get(&format!("/repos/{REPOSITORY}")).await.expect("the repository");
        let repository = RepositoryId(repository["id"].as_u64().expect("an id"));
        let settings = merged(SETTINGS, &play.settings);
        let config = config_of(
            environment(&around, &database, folder.path(), &play.variables),
            folder.path(),
            &settings,
        );
        let store = Store::connect(&database.url, 2, rules(&config, Source::GitHub)).await;
        let store = store.expect("the database");
        Self {
            around,
            database,
            store,
            folder,
            settings,
            variables: play.variables,
            repository,
            deployment: None,
            webhook_url: String::new(),
        }
    }

    pub fn config(&self) -> Config {
        config_of(self.environment(), self.folder.path(), &self.settings)
    }

    /// Starts a deployment in this process.
    pub async fn deploy(&mut self) {
        let application = Application::build_with(&self.config(), Path::new(PROGRAM)).await;
        let application = application.expect("a deployment");
        let address = application.address().expect("an address");
        self.webhook_url = format!("http://{address}/webhooks/github");
        self.around.deliver_to(address);
        let stop = CancellationToken::new();
        let running = tokio::spawn(application.run(stop.clone()));
        self.deployment = Some(Deployment { stop, running });
    }

    /// Stops the deployment as an operator would.
    pub async fn stop(&mut self) {
        if let Some(deployment) = self.deployment.take() {
            deployment.stop.cancel();
            deployment.running.await.expect("no panic").expect("a deployment that ends well");
        }
    }

    /// Stops the deployment and starts it with more settings.
    pub async fn redeploy(&mut self, settings: &str) {
        self.stop().await;
        self.settings = merged(&self.settings, settings);
        self.deploy().await;
    }

    /// What every story ends with: nothing went wrong between us and GitHub, no task is silently stuck, and
    /// nothing of ours stands on GitHub twice.
    pub async fn finish(self) {
        let scene = self.ended().await;
        scene.nothing_is_doubled().await;
    }

    /// The same where people have altered our comments.
    pub async fn finish_altered(self) {
        self.ended().await;
    }

    async fn ended(mut self) -> Self {
        self.around.github.settled().await;
        self.stop().await;
        let journal = self.around.github.journal();
        assert_eq!(journal.contract_violations(), Vec::<String>::new(), "GitHub's description is kept");
        assert_eq!(journal.unknown_routes(), Vec::<String>::new(), "only routes that GitHub has are called");
        self
    }

    /// No two comments, reviews or check runs carry the same key of an effect.
    pub async fn nothing_is_doubled(&self) {
        let issues = self.list("/issues?state=all").await;
        let mut seen = BTreeSet::new();
        for issue in &issues {
            for comment in self.around.bot_comments(number(issue)).await.expect("comments") {
                let body = comment["body"].as_str().unwrap_or_default();
                let marker = body.lines().last().unwrap_or_default().to_owned();
                assert!(marker.starts_with("<!-- orchestrator:"), "a comment without our marker: {body}");
                assert!(seen.insert(marker), "posted twice: {body}");
            }
        }
    }

    // What people do.

    /// Opens the project's issue and labels it.
    pub async fn labelled_issue(&self) -> u64 {
        let project = &self.around.project;
        let issue = self.around.open_issue(MAINTAINER, &project.issue_title, &project.issue_body).await;
        let issue = issue.expect("an issue");
        self.label(issue).await;
        issue
    }

    pub async fn label(&self, issue: u64) {
        self.around.label(MAINTAINER, issue, "auto").await.expect("labelled");
    }

    pub async fn unlabel(&self, issue: u64) {
        self.person(MAINTAINER, "DELETE", &format!("/issues/{issue}/labels/auto"), Value::Null).await;
    }

    pub async fn edit_issue(&self, issue: u64, change: Value) {
        self.person(MAINTAINER, "PATCH", &format!("/issues/{issue}"), change).await;
    }

    /// An issue whose plan is posted, and the plan's comment.
    pub async fn planned_issue(&self) -> (u64, u64) {
        let issue = self.labelled_issue().await;
        (issue, self.plan_comment(issue, 1).await)
    }

    /// An issue whose plan ada approved.
    pub async fn approved_issue(&self) -> u64 {
        let (issue, plan) = self.planned_issue().await;
        self.react(MAINTAINER, plan, "+1").await;
        issue
    }

    /// An issue that has come to an open pull request, with everything that belongs to it.
    pub async fn pull_request(&self) -> (u64, u64) {
        let issue = self.approved_issue().await;
        let task = self.until(issue, "pull_request_open").await;
        self.idle(issue).await;
        (issue, task.pull_request.expect("a pull request").0)
    }

    pub async fn react(&self, login: &str, comment: u64, content: &str) {
        self.around.react(login, comment, content).await.expect("a reaction");
    }

    pub async fn comment(&self, login: &str, on: u64, body: &str) -> u64 {
        self.around.comment(login, on, body).await.expect("a comment")
    }

    /// A request of a person to a path below the repository.
    pub async fn person(&self, login: &str, method: &str, path: &str, body: Value) -> Value {
        let path = format!("/repos/{REPOSITORY}{path}");
        self.around.person(login, method, &path, body).await.expect("done")
    }

    /// Adds a person without any seat.
    pub fn add_person(&self, login: &str, id: u64) {
        let admin = self.around.github.admin();
        admin.add_user(login, id, AccountKind::User, &token(login)).expect("a new person");
    }

    pub fn fault(&self, fault: Fault) -> FaultId {
        self.around.github.faults().add(fault).expect("a good pattern")
    }

    // What is seen.

    /// All entries of a list below the repository, as ada sees them.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("/repos/{REPOSITORY}{path}{joint}per_page=100");
        let answer = self.around.get(&path).await.expect("a list");
        answer.as_array().cloned().expect("a list")
    }

    pub async fn get(&self, path: &str) -> Value {
        self.around.get(&format!("/repos/{REPOSITORY}{path}")).await.expect("an answer")
    }

    pub async fn tasks(&self, issue: u64) -> Vec<Task> {
        self.store.tasks_of_issue(self.repository, IssueNumber(issue)).await.expect("tasks")
    }

    /// The questions that people asked with a command.
    pub async fn questions(&self, on: u64) -> Vec<Task> {
        self.store.questions_on(self.repository, IssueNumber(on)).await.expect("questions")
    }

    pub async fn task(&self, issue: u64) -> Task {
        let mut tasks = self.tasks(issue).await;
        assert_eq!(tasks.len(), 1, "one issue makes one task here");
        tasks.remove(0)
    }

    /// The bot's comments that contain a text.
    pub async fn said(&self, on: u64, text: &str) -> Vec<Value> {
        let comments = self.around.bot_comments(on).await.expect("comments");
        comments.into_iter().filter(|c| c["body"].as_str().is_some_and(|body| body.contains(text))).collect()
    }

    /// Waits for the plan comment of a revision and answers its id.
    pub async fn plan_comment(&self, issue: u64, revision: u32) -> u64 {
        wait(&format!("the plan of revision {revision}"), || async {
            let task = self.tasks(issue).await.into_iter().next()?;
            let plan = task.plan.filter(|_| task.revision == revision)?;
            Some(plan.comment?.id.0)
        })
        .await
    }

    /// Waits until the issue's task is in a state, or has gone through one that does not last.
    pub async fn until(&self, issue: u64, state: &str) -> Task {
        let begun = Instant::now();
        let mut first_seen = None;
        loop {
            let task = self.tasks(issue).await.into_iter().next();
            let since = *first_seen.get_or_insert(task.as_ref().map_or(0, |task| task.version));
            let passed = match &task {
                Some(task) if PASSING.contains(&state) => self.went_through(task, state, since).await,
                _ => false,
            };
            match task {
                Some(task) if passed || task.state.name() == state => return task,
                Some(Task { state: State::NeedsPerson { reason, .. }, .. })
                    if begun.elapsed() > PATIENCE / 2 =>
                {
                    panic!("waited for {state}, and the task needs a person: {reason:?}")
                }
                task if begun.elapsed() > PATIENCE => {
                    panic!("waited for {state}, and the task is {:?}", task.map(|task| task.state))
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    async fn went_through(&self, task: &Task, state: &str, since: u64) -> bool {
        let history = self.store.history(task.id).await.expect("a history");
        history.iter().any(|one| one.version > since && one.state == state)
    }

    /// Waits until nothing is left to do for the issue's tasks.
    pub async fn idle(&self, issue: u64) {
        wait("the last job", || async {
            for task in self.tasks(issue).await.into_iter().chain(self.questions(issue).await) {
                if self.store.jobs_left(task.id).await.expect("a count") > 0 {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// Waits for the bot's comment with a text, and makes sure that there is one only.
    pub async fn answer(&self, on: u64, text: &str) -> Value {
        wait(&format!("a comment with {text:?}"), || async { self.said(on, text).await.pop() }).await;
        self.around.github.settled().await;
        let mut said = self.said(on, text).await;
        assert_eq!(said.len(), 1, "said once: {said:#?}");
        said.remove(0)
    }

    /// The branches under `auto/`, with their heads.
    pub fn auto_branches(&self) -> BTreeMap<String, String> {
        let refs = self.around.github.admin().refs(REPOSITORY).expect("refs");
        refs.into_iter().filter(|(name, _)| name.starts_with("refs/heads/auto/")).collect()
    }

    /// Nothing of the work is on GitHub.
    pub async fn nothing_is_published(&self) {
        assert_eq!(self.auto_branches(), BTreeMap::new());
        assert_eq!(self.list("/pulls?state=all").await, Vec::<Value>::new());
    }

    /// The check runs of the work's head.
    pub async fn check_runs(&self) -> Vec<Value> {
        let Some(head) = self.auto_branches().into_values().next() else { return Vec::new() };
        let answer = self.get(&format!("/commits/{head}/check-runs")).await;
        answer["check_runs"].as_array().cloned().unwrap_or_default()
    }

    /// The greeting's story has come to its end, and there is one of everything.
    pub async fn one_of_each(&self, issue: u64) {
        assert_eq!(self.said(issue, "This waits for you").await.len(), 1, "one plan comment");
        assert_eq!(self.said(issue, "Approved by").await.len(), 1, "one answer to the approval");
        assert_eq!(self.around.bot_comments(issue).await.expect("comments").len(), 2, "and nothing else");
        assert_eq!(self.auto_branches().len(), 1, "one branch");
        let pulls = self.list("/pulls?state=all").await;
        assert_eq!(pulls.len(), 1, "one pull request");
        let number = number(&pulls[0]);
        assert_eq!(self.list(&format!("/pulls/{number}/reviews")).await.len(), 1, "one review");
        assert_eq!(self.list(&format!("/pulls/{number}/comments")).await.len(), 1, "one inline comment");
        assert_eq!(self.check_runs().await.len(), 1, "one check run");
        assert_eq!(pulls[0]["labels"].as_array().map(Vec::len), Some(1), "one label");
        let mails = self.around.inbox.messages();
        let ids: BTreeSet<_> = mails.iter().map(|mail| &mail.message_id).collect();
        assert_eq!(ids.len(), 2, "two mails: {:?}", self.mails());
        assert!(mails.len() <= 3, "SMTP cannot be asked: a mail may come twice, under its one id");
    }

    /// The subjects of the mails so far.
    pub fn mails(&self) -> Vec<String> {
        self.around.inbox.messages().into_iter().map(|mail| mail.subject).collect()
    }

    /// Waits until every delivery so far was taken in and understood.
    pub async fn ingested(&self) {
        self.around.github.settled().await;
        wait("the deliveries to be handled", || async {
            let open = self.count("SELECT count(*) FROM deliveries WHERE status = 'received'").await;
            (open == 0).then_some(())
        })
        .await;
    }

    /// Waits until the deployment has looked at all reactions once more, and has taken in every delivery.
    pub async fn polled(&self) {
        self.polled_only().await;
        self.ingested().await;
    }

    /// Waits until the deployment has looked at all reactions once more.
    pub async fn polled_only(&self) {
        let looks = async || self.count("SELECT fence FROM jobs WHERE key = 'schedule/reactions'").await;
        let before = looks().await;
        // The one that is going on may have looked already.
        wait("a look at the reactions", || async { (looks().await >= before + 2).then_some(()) }).await;
    }

    /// A number that the database knows.
    pub async fn count(&self, question: impl sqlx::SqlSafeStr) -> i64 {
        let mut connection = self.database.connect().await;
        let count = sqlx::query_scalar(question).fetch_one(&mut connection).await.expect("a number");
        // At once: a server has only so many, and questions are asked again and again.
        connection.close().await.expect("closed");
        count
    }

    /// Does something to the deployment's database.
    pub async fn sql(&self, statements: &'static str) {
        let mut connection = self.database.connect().await;
        sqlx::raw_sql(statements).execute(&mut connection).await.expect("done");
        connection.close().await.expect("closed");
    }

    pub fn webhook_url(&self) -> String {
        self.webhook_url.clone()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// An operator sets a variable, for deployments that start from now on; empty takes it away.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// An operator changes settings, for deployments that start from now on.
    pub fn change_settings(&mut self, yaml: &str) {
        self.settings = merged(&self.settings, yaml);
    }

    fn environment(&self) -> Vec<(String, String)> {
        environment(&self.around, &self.database, self.folder.path(), &self.variables)
    }

    /// The settings as a file, and the variables to go with it: for a process of its own.
    pub fn for_a_process(&self) -> (PathBuf, Vec<(String, String)>) {
        let file = self.folder.path().join("orchestrator.yaml");
        std::fs::write(&file, &self.settings).expect("a file");
        (file, self.environment())
    }
}

/// GitHub's description, read once: it is large.
fn contract() -> Arc<Contract> {
    static CONTRACT: OnceLock<Arc<Contract>> = OnceLock::new();
    let installed = || {
        let contract = Contract::installed(&published::folder());
        Arc::new(contract.expect("GitHub's description is installed: run scripts/contract"))
    };
    Arc::clone(CONTRACT.get_or_init(installed))
}

fn environment(
    around: &Surroundings,
    database: &Database,
    folder: &Path,
    more: &[(String, String)],
) -> Vec<(String, String)> {
    let mut pairs = around.environment();
    let process = Environment::of_process();
    for name in ["PATH", "SSL_CERT_FILE"] {
        pairs.extend(process.get(name).map(|value| (name.to_owned(), value.to_owned())));
    }
    pairs.push(("DATABASE_URL".into(), database.url.clone()));
    pairs.push(("ORCHESTRATOR_DATA_DIR".into(), folder.join("data").display().to_string()));
    pairs.push(("ORCHESTRATOR_LISTEN".into(), "127.0.0.1:0".into()));
    // Of a name that comes twice, the later value counts.
    pairs.extend(more.iter().cloned());
    pairs
}

fn config_of(variables: Vec<(String, String)>, folder: &Path, settings: &str) -> Config {
    let environment: Environment = variables.into_iter().collect();
    Config::from_text(&folder.join("orchestrator.yaml"), settings, &environment).expect("a configuration")
}

/// A play's settings add sections; a section that is there already is replaced.
fn merged(base: &str, more: &str) -> String {
    let mut sections: BTreeMap<String, Value> = serde_saphyr::from_str(base).expect("YAML");
    if !more.is_empty() {
        let more: BTreeMap<String, Value> = serde_saphyr::from_str(more).expect("YAML");
        sections.extend(more);
    }
    sections.entry("mail".into()).or_insert(json!({ "digest": "off" }));
    // JSON is YAML.
    serde_json::to_string_pretty(&sections).expect("JSON")
}

pub fn number(value: &Value) -> u64 {
    value["number"].as_u64().expect("a number")
}

/// Looks until there is something.
pub async fn wait<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("waited in vain for {what}")
}

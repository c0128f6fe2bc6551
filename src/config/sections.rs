//! The typed sections of the configuration, as the rest of the program sees them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::ConfigError;
use crate::domain::BudgetLimits;
use crate::domain::Role;
use crate::telemetry::LogFormat;

#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// `None`: a private PostgreSQL in the data folder.
    pub url: Option<SecretString>,
    pub max_connections: u32,
}

#[derive(Clone, Debug)]
pub struct GithubConfig {
    pub app_id: Option<u64>,
    pub private_key: Option<SecretString>,
    pub private_key_path: Option<PathBuf>,
    pub webhook_secret: Option<SecretString>,
    /// Without a slash at the end.
    pub api_url: String,
    /// Without a slash at the end.
    pub server_url: String,
    /// Time between two writes of content in milliseconds; GitHub asks for at least one second.
    pub write_interval_ms: u64,
}

/// What `serve` needs to act as the App.
#[derive(Clone, Debug)]
pub struct AppCredentials {
    pub app_id: u64,
    /// PEM.
    pub private_key: SecretString,
    pub webhook_secret: SecretString,
}

macro_rules! names {
    ($type:ty { $($variant:ident => $name:literal),+ }) => {
        impl $type {
            /// The name as written in the configuration file.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

names!(Protocol {
    Anthropic => "anthropic",
    OpenAi => "openai",
    OpenAiResponses => "openai-responses",
    Gemini => "gemini",
    Ollama => "ollama"
});
names!(EffortName { Low => "low", Medium => "medium", High => "high" });
names!(DigestSchedule { Off => "off", Daily => "daily", Weekly => "weekly" });
names!(SandboxBackend { Bubblewrap => "bubblewrap", Container => "container", Kubernetes => "kubernetes" });
names!(SeverityName { Critical => "CRITICAL", High => "HIGH", Medium => "MEDIUM", Low => "LOW" });

impl GithubConfig {
    /// The App's credentials, with the private key read from its file if a file is named.
    ///
    /// # Errors
    /// Names everything that is missing at once, or says why the key file cannot be used.
    pub fn app_credentials(&self) -> Result<AppCredentials, ConfigError> {
        let has_key = self.private_key.is_some() || self.private_key_path.is_some();
        if let (Some(app_id), true, Some(secret)) = (self.app_id, has_key, &self.webhook_secret) {
            let private_key = self.read_private_key()?;
            return Ok(AppCredentials { app_id, private_key, webhook_secret: secret.clone() });
        }
        let missing: Vec<&str> = [
            (self.app_id.is_none(), "GITHUB_APP_ID"),
            (!has_key, "GITHUB_APP_PRIVATE_KEY_PATH (or GITHUB_APP_PRIVATE_KEY)"),
            (self.webhook_secret.is_none(), "GITHUB_WEBHOOK_SECRET"),
        ]
        .into_iter()
        .filter_map(|(absent, name)| absent.then_some(name))
        .collect();
        Err(ConfigError::new(format!(
            "the GitHub App is not configured: set {} in the environment, or the keys of the same \
             meaning in the `github` section of the configuration file",
            missing.join(", ")
        )))
    }

    fn read_private_key(&self) -> Result<SecretString, ConfigError> {
        let (text, key) = match (&self.private_key, &self.private_key_path) {
            (Some(key), _) => (key.expose_secret().to_owned(), "github.private_key"),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    ConfigError::new(format!("cannot read {}: {error}", path.display()))
                        .of_key("github.private_key_path")
                })?;
                (text, "github.private_key_path")
            }
            (None, None) => return Err(ConfigError::new("not set").of_key("github.private_key_path")),
        };
        // A variable can hold one line only in many shells and services: `\n` stands for a line's end.
        let text = if text.contains('\n') { text } else { text.replace("\\n", "\n") };
        if !text.trim_start().starts_with("-----BEGIN ") {
            let problem = "this is not a private key in PEM form (it begins with `-----BEGIN`)";
            return Err(ConfigError::new(problem).of_key(key));
        }
        Ok(text.into())
    }
}

#[derive(Clone, Debug)]
pub struct WebConfig {
    pub listen: SocketAddr,
}

/// The wire format that a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Anthropic's Messages API.
    Anthropic,
    /// OpenAI's chat completions, which most other servers imitate.
    OpenAi,
    /// OpenAI's Responses API.
    OpenAiResponses,
    /// Google's `generateContent`.
    Gemini,
    /// Ollama's own API.
    Ollama,
}

/// How much a model is to think before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffortName {
    Low,
    Medium,
    High,
}

#[derive(Clone, Debug)]
pub struct ProviderConfig {
    pub protocol: Protocol,
    /// Without a slash at the end. For `openai` it includes the version (`…/v1`), for `anthropic` it
    /// does not, as in the providers' own SDKs.
    pub base_url: String,
    /// `None` for servers that ask for no key, such as one on this machine.
    pub api_key: Option<SecretString>,
    /// Whether answers come event by event, or in one piece.
    pub stream: bool,
}

impl ProviderConfig {
    /// Whether this is a provider's own server, which answers nobody without a key. One at another address
    /// may do without.
    pub fn asks_for_key(&self) -> bool {
        const HOSTS: [&str; 5] = [
            "api.anthropic.com",
            "api.openai.com",
            "generativelanguage.googleapis.com",
            "api.x.ai",
            "api.groq.com",
        ];
        let url = reqwest::Url::parse(&self.base_url).ok();
        url.and_then(|url| url.host_str().map(|host| HOSTS.contains(&host))).unwrap_or(false)
    }
}

/// US dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    pub input: f64,
    pub output: f64,
    /// Input tokens that the provider read from its cache.
    pub cached: f64,
    /// Input tokens that it wrote to its cache. `None`: as its protocol usually charges them.
    pub cache_write: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ModelChoice {
    /// A name in [`ModelsConfig::providers`].
    pub provider: String,
    pub model: String,
    /// `None`: the parameter is not sent, since some models refuse it.
    pub temperature: Option<f64>,
    pub max_tokens: u32,
    /// `None`: left to the provider, since not every model takes it.
    pub effort: Option<EffortName>,
    /// Prompt and answer together. `None`: not known.
    pub context_tokens: Option<u64>,
    /// `None`: not known; its calls count tokens but no dollars.
    pub prices: Option<Prices>,
}

impl ModelChoice {
    /// `provider:model`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.provider, self.model)
    }
}

/// For each role the models to try, best first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleModels(BTreeMap<Role, Vec<ModelChoice>>);

impl RoleModels {
    /// Empty: no model is configured.
    pub fn of(&self, role: Role) -> &[ModelChoice] {
        self.0.get(&role).map_or(&[], Vec::as_slice)
    }

    /// Every role with its models.
    pub fn all(&self) -> impl Iterator<Item = (Role, &[ModelChoice])> {
        Role::ALL.into_iter().map(|role| (role, self.of(role)))
    }
}

impl FromIterator<(Role, Vec<ModelChoice>)> for RoleModels {
    fn from_iter<I: IntoIterator<Item = (Role, Vec<ModelChoice>)>>(lists: I) -> Self {
        Self(lists.into_iter().collect())
    }
}

#[derive(Clone, Debug)]
pub struct ModelsConfig {
    pub providers: BTreeMap<String, ProviderConfig>,
    /// In the order in which they are asked.
    pub roles: RoleModels,
    /// In the order in which the operator wrote them.
    pub as_written: RoleModels,
    /// What repositories may choose from besides the models of the role. `None`: the models of all roles.
    pub repositories_may_use: Option<Vec<ModelChoice>>,
    /// For one call, from connecting to the last byte.
    pub request_timeout: Duration,
    /// Longest time in which not a byte of an answer comes.
    pub idle_timeout: Duration,
    /// Failures in a row after which a model is left alone.
    pub circuit_failures: u32,
    pub circuit_pause: Duration,
    /// How often a failed call is repeated before the next model is tried.
    pub retries: u32,
}

/// What tasks may use. A repository's policy can only lower these.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// 1..=4: rounds of fixing after failed gates.
    pub gate_rounds: u8,
    /// 1..=4: rounds of fixing after reviews.
    pub review_rounds: u8,
    /// Model turns of one agent in one stage.
    pub agent_steps: u32,
    pub stage_wall: Duration,
    pub task_tokens: u64,
    pub task_usd: f64,
    /// What `/orchestrate budget` may raise a task's limits to.
    pub most: BudgetLimits,
    /// All tasks of one repository, each day.
    pub repository_day: BudgetLimits,
    /// The whole deployment, each day.
    pub day: BudgetLimits,
    /// The whole deployment, each month.
    pub month: BudgetLimits,
    pub concurrent_tasks: u32,
    pub concurrent_tasks_per_repository: u32,
}

#[derive(Clone, Debug)]
pub struct Polling {
    /// 1 s..=60 s.
    pub reactions: Duration,
    /// 1 min..=1 day: between two comparisons of open tasks with GitHub.
    pub reconcile: Duration,
}

#[derive(Clone, Debug)]
pub struct GitIdentity {
    pub author_name: String,
    pub author_email: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestSchedule {
    Off,
    Daily,
    /// On Mondays.
    Weekly,
}

#[derive(Clone, Debug)]
pub struct MailConfig {
    /// `None`: no mail is sent.
    pub smtp_url: Option<SecretString>,
    /// `Name <address>` or an address; checked.
    pub from: Option<String>,
    /// The same form as `from`; checked.
    pub to: Vec<String>,
    pub digest: DigestSchedule,
    /// 0..=23.
    pub digest_hour_utc: u8,
}

/// User ids that the sandbox may use when the program runs as root: one for each sandbox at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UidRange {
    pub first: u32,
    pub count: u32,
}

/// What runs strangers' code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxBackend {
    Bubblewrap,
    /// Docker, Podman, or another engine that speaks the Docker API.
    Container,
    /// Jobs in a cluster.
    Kubernetes,
}

/// The container engine, for [`SandboxBackend::Container`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerConfig {
    /// The engine's Unix socket.
    pub socket: PathBuf,
    /// By digest; empty where the backend is another one.
    pub image: String,
    /// The engine's runtime, such as `runsc`; `None` is its default.
    pub runtime: Option<String>,
}

/// The cluster, for [`SandboxBackend::Kubernetes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// `None`: the service account of the pod that this program runs in, or the usual kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub namespace: String,
    /// By digest; empty where the backend is another one.
    pub image: String,
    /// Where this program is in the image.
    pub program: PathBuf,
    pub runtime_class: Option<String>,
    pub user_namespaces: bool,
    pub node_selector: BTreeMap<String, String>,
    /// Processors that a pod may use.
    pub cpus: u32,
    /// Of a session's tree, and as much again for what is mounted into it.
    pub disk_mb: u64,
    /// Longest wait for a pod to run.
    pub start: Duration,
}

#[derive(Clone, Debug)]
pub struct SandboxConfig {
    pub backend: SandboxBackend,
    pub container: ContainerConfig,
    pub kubernetes: KubernetesConfig,
    pub memory_mb: u64,
    pub cpu_seconds: u64,
    pub wall: Duration,
    pub processes: u32,
    /// Gates of one task that run side by side; 1..=64.
    pub gates_at_once: usize,
    /// Hosts that the set-up step may reach, `host` or `host:port`; empty: none, and no set-up step.
    pub setup_allow_hosts: Vec<String>,
    pub uid_range: UidRange,
    /// The `PATH` of this process: where toolchains to show inside are looked for.
    pub search_path: String,
    /// The certificates that this process trusts (`SSL_CERT_FILE`), for set-up steps with network.
    pub ca_bundle: Option<PathBuf>,
}

impl SandboxConfig {
    /// As many gates side by side as the machine has processors, four at most: each may take all the memory
    /// that the sandbox allows.
    pub(super) fn gates_at_once() -> u64 {
        std::thread::available_parallelism().map_or(1, |count| count.get().min(4) as u64)
    }
}

/// The severity of a finding, as written in configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeverityName {
    Critical,
    High,
    Medium,
    Low,
}

#[derive(Clone, Debug)]
pub struct LogConfig {
    /// In the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    pub format: LogFormat,
}

//! The shape of `orchestrator.yaml` as written: everything may be missing. Bounds, defaults and the
//! environment are applied in `resolve`.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::implementer::ImplementerFile;
use super::paths::Paths;
use super::router::RouterFile;
use super::stages::StagesFile;

/// A value that must not be printed.
#[derive(Clone, Debug)]
pub(super) struct Secret(pub SecretString);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub data_dir: Option<String>,
    pub dry_run: Option<bool>,
    pub label: Option<String>,
    pub database: Database,
    pub github: Github,
    pub web: Web,
    pub models: Models,
    pub implementer: ImplementerFile,
    pub workflows: Option<Vec<String>>,
    pub router: RouterFile,
    pub stages: StagesFile,
    pub limits: LimitsSection,
    pub polling: PollingSection,
    pub git: Git,
    pub mail: Mail,
    pub sandbox: Sandbox,
    pub paths: Paths,
    pub reviewers: Option<Vec<String>>,
    pub blocking_severities: Option<Vec<String>>,
    pub fix_severities: Option<Vec<String>>,
    pub prompts_dir: Option<String>,
    pub repository_prompts: Option<bool>,
    pub retention: Retention,
    pub log: Log,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Database {
    pub url: Option<Secret>,
    pub max_connections: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Github {
    pub app_id: Option<u64>,
    pub private_key: Option<Secret>,
    pub private_key_path: Option<String>,
    pub webhook_secret: Option<Secret>,
    pub api_url: Option<String>,
    pub server_url: Option<String>,
    pub write_interval_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Web {
    pub listen: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Models {
    pub providers: BTreeMap<String, Provider>,
    pub default: Option<Vec<Model>>,
    /// By the role's name or its other name.
    pub roles: BTreeMap<String, Vec<Model>>,
    pub repositories_may_use: Option<Vec<Model>>,
    pub catalog: Option<String>,
    pub profile: Option<String>,
    pub request_timeout_seconds: Option<u64>,
    pub idle_timeout_seconds: Option<u64>,
    pub retries: Option<u64>,
    pub circuit_failures: Option<u64>,
    pub circuit_pause_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Provider {
    pub protocol: Option<String>,
    pub base_url: Option<String>,
    pub api_key: Option<Secret>,
    pub stream: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Model {
    pub model: Option<String>,
    pub temperature: Option<f64>,
    pub max_tokens: Option<u64>,
    pub effort: Option<String>,
    pub context_tokens: Option<u64>,
    pub usd_per_million_input_tokens: Option<f64>,
    pub usd_per_million_output_tokens: Option<f64>,
    pub usd_per_million_cached_tokens: Option<f64>,
    pub usd_per_million_cache_write_tokens: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsSection {
    pub gate_rounds: Option<u64>,
    pub review_rounds: Option<u64>,
    pub agent_steps: Option<u64>,
    pub stage_wall_seconds: Option<u64>,
    pub task_tokens: Option<u64>,
    pub task_usd: Option<f64>,
    pub most_tokens: Option<u64>,
    pub most_usd: Option<f64>,
    pub repository_day_usd: Option<f64>,
    pub repository_day_tokens: Option<u64>,
    pub day_usd: Option<f64>,
    pub day_tokens: Option<u64>,
    pub month_usd: Option<f64>,
    pub month_tokens: Option<u64>,
    pub concurrent_tasks: Option<u64>,
    pub concurrent_tasks_per_repository: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PollingSection {
    pub reactions_seconds: Option<u64>,
    pub reconcile_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Git {
    pub author_name: Option<String>,
    pub author_email: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Mail {
    pub smtp_url: Option<Secret>,
    pub from: Option<String>,
    pub to: Option<Vec<String>>,
    pub digest: Option<String>,
    pub digest_hour_utc: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sandbox {
    pub backend: Option<String>,
    pub memory_mb: Option<u64>,
    pub cpu_seconds: Option<u64>,
    pub wall_seconds: Option<u64>,
    pub processes: Option<u64>,
    pub gates_at_once: Option<u64>,
    pub setup: Setup,
    pub uid_range: Uids,
    pub container: Container,
    pub kubernetes: Kubernetes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Kubernetes {
    pub kubeconfig: Option<String>,
    pub context: Option<String>,
    pub namespace: Option<String>,
    pub image: Option<String>,
    pub program: Option<String>,
    pub runtime_class: Option<String>,
    pub user_namespaces: Option<bool>,
    pub node_selector: Option<BTreeMap<String, String>>,
    pub cpus: Option<u64>,
    pub disk_mb: Option<u64>,
    pub start_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Container {
    pub socket: Option<String>,
    pub image: Option<String>,
    pub runtime: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Setup {
    pub allow_hosts: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Uids {
    pub first: Option<u64>,
    pub count: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retention {
    pub model_texts_days: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub filter: Option<String>,
    pub format: Option<String>,
}

//! The configuration for printing: every secret and every password in a URL is replaced.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::implementer::AgentLine;
use super::sections::{ModelChoice, ProviderConfig};
use super::{Config, percent_decoded};
use crate::domain::{BudgetLimits, OptionalStage};

const REDACTED: &str = "[redacted]";

impl Config {
    /// The configuration in effect as YAML with the file's own keys, without any secret.
    pub fn redacted(&self) -> String {
        let value = json!({
            "data_dir": self.data_dir,
            "dry_run": self.dry_run,
            "label": self.label,
            "database": {
                "url": self.database.url.as_ref().map(without_password),
                "max_connections": self.database.max_connections,
            },
            "github": {
                "app_id": self.github.app_id,
                "private_key": mask(self.github.private_key.as_ref()),
                "private_key_path": self.github.private_key_path,
                "webhook_secret": mask(self.github.webhook_secret.as_ref()),
                "api_url": self.github.api_url,
                "server_url": self.github.server_url,
                "write_interval_ms": self.github.write_interval_ms,
            },
            "web": { "listen": self.web.listen.to_string() },
            "models": self.redacted_models(),
            "implementer": self.redacted_implementer(),
            "workflows": self.router.workflows.iter().map(|workflow| workflow.as_str()).collect::<Vec<_>>(),
            "router": {
                "enabled": self.router.is_asked,
                "top_models": self.router.top_models,
                "repositories_may_enable": self.router.repositories_may_enable,
            },
            "stages": OptionalStage::ALL
                .into_iter()
                .map(|stage| (stage.as_str(), self.stages.rule(stage).as_str()))
                .collect::<BTreeMap<_, _>>(),
            "limits": {
                "gate_rounds": self.limits.gate_rounds,
                "review_rounds": self.limits.review_rounds,
                "agent_steps": self.limits.agent_steps,
                "stage_wall_seconds": self.limits.stage_wall.as_secs(),
                "task_tokens": self.limits.task_tokens,
                "task_usd": self.limits.task_usd,
                "most_tokens": self.limits.most.tokens,
                "most_usd": usd(self.limits.most),
                "repository_day_tokens": self.limits.repository_day.tokens,
                "repository_day_usd": usd(self.limits.repository_day),
                "day_tokens": self.limits.day.tokens,
                "day_usd": usd(self.limits.day),
                "month_tokens": self.limits.month.tokens,
                "month_usd": usd(self.limits.month),
                "concurrent_tasks": self.limits.concurrent_tasks,
                "concurrent_tasks_per_repository": self.limits.concurrent_tasks_per_repository,
            },
            "polling": {
                "reactions_seconds": self.polling.reactions.as_secs(),
                "reconcile_seconds": self.polling.reconcile.as_secs(),
            },
            "git": { "author_name": self.git.author_name, "author_email": self.git.author_email },
            "mail": {
                "smtp_url": self.mail.smtp_url.as_ref().map(without_password),
                "from": self.mail.from,
                "to": self.mail.to,
                "digest": self.mail.digest.as_str(),
                "digest_hour_utc": self.mail.digest_hour_utc,
            },
            "sandbox": {
                "backend": self.sandbox.backend.as_str(),
                "container": {
                    "socket": self.sandbox.container.socket,
                    "image": self.sandbox.container.image,
                    "runtime": self.sandbox.container.runtime,
                },
                "kubernetes": {
                    "kubeconfig": self.sandbox.kubernetes.kubeconfig,
                    "context": self.sandbox.kubernetes.context,
                    "namespace": self.sandbox.kubernetes.namespace,
                    "image": self.sandbox.kubernetes.image,
                    "program": self.sandbox.kubernetes.program,
                    "runtime_class": self.sandbox.kubernetes.runtime_class,
                    "user_namespaces": self.sandbox.kubernetes.user_namespaces,
                    "node_selector": self.sandbox.kubernetes.node_selector,
                    "cpus": self.sandbox.kubernetes.cpus,
                    "disk_mb": self.sandbox.kubernetes.disk_mb,
                    "start_seconds": self.sandbox.kubernetes.start.as_secs(),
                },
                "memory_mb": self.sandbox.memory_mb,
                "cpu_seconds": self.sandbox.cpu_seconds,
                "wall_seconds": self.sandbox.wall.as_secs(),
                "processes": self.sandbox.processes,
                "gates_at_once": self.sandbox.gates_at_once,
                "setup": { "allow_hosts": self.sandbox.setup_allow_hosts },
                "uid_range": { "first": self.sandbox.uid_range.first, "count": self.sandbox.uid_range.count },
            },
            "paths": {
                "allowed": self.paths.allowed,
                "protected": self.paths.protected,
                "max_files": self.paths.max_files,
                "max_lines": self.paths.max_lines,
                "max_file_bytes": self.paths.max_file_bytes,
                "max_total_bytes": self.paths.max_total_bytes,
                "binary_files": self.paths.binary_files,
            },
            "reviewers": self.reviewers,
            "blocking_severities":
                self.blocking_severities.iter().map(|severity| severity.as_str()).collect::<Vec<_>>(),
            "fix_severities":
                self.fix_severities.iter().map(|severity| severity.as_str()).collect::<Vec<_>>(),
            "prompts_dir": self.prompts_dir,
            "repository_prompts": self.repository_prompts,
            "retention": { "model_texts_days": self.model_texts_days },
            "log": { "filter": self.log.filter, "format": self.log.format.as_str() },
        });
        serde_saphyr::to_string(&without_nulls(value)).unwrap_or_else(|error| format!("# {error}\n"))
    }

    fn redacted_implementer(&self) -> Value {
        let implementer = &self.implementer;
        // A value without a placeholder could be a key that somebody put there by mistake.
        let variable = |(name, value): (&String, &String)| {
            let shown = if value.contains('{') || value.len() < 8 { value } else { REDACTED };
            (name.clone(), Value::from(shown))
        };
        let command = |line: &AgentLine| {
            let env: Map<String, Value> = line.env.iter().map(variable).collect();
            json!({ "argv": line.argv, "env": env, "mounts": line.mounts })
        };
        let commands: BTreeMap<_, _> =
            implementer.commands.iter().map(|(name, line)| (name, command(line))).collect();
        json!({
            "engine": implementer.engine.as_str(),
            "command": implementer.command,
            "allowed": implementer.allowed.iter().map(|engine| engine.as_str()).collect::<Vec<_>>(),
            "commands": commands,
            "candidates": self.candidates.count,
            "max_candidates": self.candidates.most,
            "temperatures": self.candidates.temperatures,
        })
    }

    fn redacted_models(&self) -> Value {
        let provider = |provider: &ProviderConfig| {
            json!({
                "protocol": provider.protocol.as_str(),
                "base_url": provider.base_url,
                "api_key": mask(provider.api_key.as_ref()),
                "stream": provider.stream,
            })
        };
        let model = |choice: &ModelChoice| {
            json!({
                "model": format!("{}:{}", choice.provider, choice.model),
                "temperature": choice.temperature,
                "max_tokens": choice.max_tokens,
                "effort": choice.effort.map(|effort| effort.as_str()),
                "context_tokens": choice.context_tokens,
                "usd_per_million_input_tokens": choice.prices.map(|prices| prices.input),
                "usd_per_million_output_tokens": choice.prices.map(|prices| prices.output),
                "usd_per_million_cached_tokens": choice.prices.map(|prices| prices.cached),
                "usd_per_million_cache_write_tokens": choice.prices.and_then(|prices| prices.cache_write),
            })
        };
        let role = |models: &[ModelChoice]| {
            // An empty list would be refused when read back; a role that is left out means the same.
            if models.is_empty() { Value::Null } else { models.iter().map(model).collect() }
        };
        let roles: BTreeMap<_, _> =
            self.models.roles.all().map(|(name, models)| (name.as_str(), role(models))).collect();
        let providers: BTreeMap<_, _> = self.models.providers.iter().map(|(n, p)| (n, provider(p))).collect();
        json!({
            "providers": providers,
            "roles": roles,
            "repositories_may_use":
                self.models.repositories_may_use.as_ref().map(|models| models.iter().map(model).collect::<Vec<_>>()),
            "request_timeout_seconds": self.models.request_timeout.as_secs(),
            "idle_timeout_seconds": self.models.idle_timeout.as_secs(),
            "retries": self.models.retries,
            "circuit_failures": self.models.circuit_failures,
            "circuit_pause_seconds": self.models.circuit_pause.as_secs(),
        })
    }

    /// Every secret that the configuration holds, for the redaction of what leaves the program.
    ///
    /// A private key that is named by its path is not among them: it is read by
    /// [`app_credentials`](super::GithubConfig::app_credentials).
    pub fn secrets(&self) -> Vec<SecretString> {
        let urls = [&self.database.url, &self.mail.smtp_url];
        let passwords = urls.into_iter().flatten().filter_map(password);
        let github = [&self.github.private_key, &self.github.webhook_secret];
        let keys = self.models.providers.values().map(|provider| &provider.api_key);
        let whole = github.into_iter().chain(urls).chain(keys).flatten().cloned();
        whole.chain(passwords).collect()
    }
}

fn usd(limits: BudgetLimits) -> Option<f64> {
    limits.cost_micro_usd.map(|micro| micro as f64 / 1e6)
}

fn mask(secret: Option<&SecretString>) -> Option<&'static str> {
    secret.map(|_| REDACTED)
}

fn password(url: &SecretString) -> Option<SecretString> {
    let url = reqwest::Url::parse(url.expose_secret()).ok()?;
    let pairs = url.query_pairs().find(|(name, _)| name == "password").map(|(_, value)| value.into_owned());
    url.password().and_then(percent_decoded).or(pairs).map(SecretString::from)
}

/// Scheme, host, port and path only: user names and parameters may be secrets too.
fn without_password(url: &SecretString) -> String {
    let Ok(url) = reqwest::Url::parse(url.expose_secret()) else { return REDACTED.to_owned() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let user = if url.username().is_empty() && url.password().is_none() { "" } else { "[redacted]@" };
    format!("{}://{user}{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

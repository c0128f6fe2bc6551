//! The rooms of a deployment, built from its configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use secrecy::SecretString;

use crate::agents::Prompts;
use crate::checkout::Repositories;
use crate::config::{AppCredentials, Config, SandboxBackend, SeverityName};
use crate::context::Contexts;
use crate::domain::{Role, Severity};
use crate::effects::{self, Effects};
use crate::engines::{AgentCommand, Metering};
use crate::gates::EgressPolicy;
use crate::github::{GitHub, GitHubOptions};
use crate::ingest::Ingest;
use crate::llm::simulated::SimulatedModel;
use crate::llm::{Client, Model};
use crate::mail::Mailer;
use crate::pipeline::{self, MeteredSandbox, Pipeline, PromptsOf, StoreLedger};
use crate::sandbox::{
    Backend, Bubblewrap, BubblewrapOptions, Container, ContainerOptions, HostName, Kubernetes,
    KubernetesOptions, Limits, Sandbox, TreeLimits, UserNamespaces, detect_toolchains,
};
use crate::speech::{Estimate, Mode};
use crate::store::Store;
use crate::telemetry::Redactor;
use crate::workspace::{Author, Mirrors};

use super::WAIT_DAYS;
use super::models::model_settings;

/// Everything that jobs are done with.
pub(super) struct Parts {
    /// `None` in a local run.
    pub ingest: Option<Ingest>,
    pub pipeline: Pipeline,
    pub effects: Effects,
}

impl Parts {
    pub(super) async fn build(
        config: &Config,
        store: &Store,
        app: Option<(&AppCredentials, &GitHub)>,
        program: &Path,
    ) -> anyhow::Result<Self> {
        let (credentials, github) =
            app.map_or((None, None), |(app, github)| (Some(app), Some(github.clone())));
        let repositories = Repositories {
            store: store.clone(),
            github: github.clone(),
            server_url: config.github.server_url.clone(),
            mirrors: swept(Mirrors::new(config.data_dir.join("mirrors"))).await,
        };
        let redactor = Arc::new(redactor(config, credentials));
        let sandbox = sandbox_with(config, program).await?;
        let pipeline = pipeline(config, store, repositories.clone(), Arc::clone(&redactor), sandbox)?;
        let mailer = match config.dry_run {
            true => None,
            false => Mailer::from_config(&config.mail)?,
        };
        let effects = Effects::new(repositories, mailer, redactor, effect_settings(config));
        let ingest = github.map(|github| Ingest::new(store.clone(), github, config.label.clone()));
        Ok(Self { ingest, pipeline, effects })
    }
}

/// Leftovers of dead processes and mirrors that nobody uses any more are removed.
async fn swept(mirrors: Mirrors) -> Mirrors {
    let sweeping = mirrors.clone();
    match tokio::task::spawn_blocking(move || sweeping.sweep()).await {
        Ok(Ok(0)) => {}
        Ok(Ok(count)) => tracing::info!(count, "removed mirrors that nobody uses"),
        Ok(Err(error)) => tracing::warn!(%error, "old mirrors could not be removed"),
        Err(error) => tracing::warn!(%error, "removing old mirrors ended early"),
    }
    mirrors
}

/// GitHub, as the App of the configuration.
pub fn github(config: &Config, credentials: &AppCredentials) -> anyhow::Result<GitHub> {
    Ok(GitHub::new(&GitHubOptions {
        api_url: config.github.api_url.clone(),
        app_id: credentials.app_id,
        private_key: credentials.private_key.clone(),
        write_interval: std::time::Duration::from_millis(config.github.write_interval_ms),
    })?)
}

/// Knows every secret of the configuration, so that none of them leaves.
pub fn redactor(config: &Config, credentials: Option<&AppCredentials>) -> Redactor {
    let app = credentials.map(|app| [app.private_key.clone(), app.webhook_secret.clone()]);
    let secrets: Vec<SecretString> = config.secrets().into_iter().chain(app.into_iter().flatten()).collect();
    Redactor::new(secrets)
}

/// The program that this process runs, which also serves the file tools inside sandboxes.
pub(super) fn own_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("our own program cannot be found")
}

/// The sandbox of a deployment. Leftovers of dead processes are removed.
pub async fn sandbox(config: &Config) -> anyhow::Result<Arc<dyn Backend>> {
    sandbox_with(config, &own_program()?).await
}

async fn sandbox_with(config: &Config, program: &Path) -> anyhow::Result<Arc<dyn Backend>> {
    let backend: Arc<dyn Backend> = match config.sandbox.backend {
        SandboxBackend::Bubblewrap => Arc::new(bubblewrap(config, program).await?),
        SandboxBackend::Container => Arc::new(container(config, program).await?),
        SandboxBackend::Kubernetes => Arc::new(kubernetes(config).await?),
    };
    match backend.sweep().await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "removed sandboxes of dead processes"),
        Err(error) => tracing::warn!(%error, "a leftover sandbox could not be removed"),
    }
    Ok(backend)
}

fn user_ids(config: &Config) -> std::ops::RangeInclusive<u32> {
    let (first, count) = (config.sandbox.uid_range.first, config.sandbox.uid_range.count);
    first..=first.saturating_add(count.saturating_sub(1))
}

async fn bubblewrap(config: &Config, program: &Path) -> anyhow::Result<Bubblewrap> {
    let mut options = BubblewrapOptions::new(config.data_dir.join("sandbox"), program.to_owned());
    options.toolchains = detect_toolchains(&config.sandbox.search_path);
    options.ca_bundle = config.sandbox.ca_bundle.clone();
    options.user_ids = user_ids(config);
    Ok(tokio::task::spawn_blocking(move || Bubblewrap::new(options)).await??)
}

async fn container(config: &Config, program: &Path) -> anyhow::Result<Container> {
    let container = &config.sandbox.container;
    let work_root = config.data_dir.join("sandbox");
    std::fs::create_dir_all(&work_root).with_context(|| format!("making {}", work_root.display()))?;
    let options = ContainerOptions {
        // The engine looks at paths from a folder of its own.
        work_root: std::path::absolute(work_root)?,
        socket: container.socket.clone(),
        image: container.image.clone(),
        runtime: container.runtime.clone(),
        program: program.to_owned(),
        ca_bundle: config.sandbox.ca_bundle.clone(),
        user_ids: user_ids(config),
        tree_limits: TreeLimits::default(),
    };
    Ok(Container::connect(options).await?)
}

async fn kubernetes(config: &Config) -> anyhow::Result<Kubernetes> {
    let (sandbox, kubernetes) = (&config.sandbox, &config.sandbox.kubernetes);
    let work_root = config.data_dir.join("sandbox");
    std::fs::create_dir_all(&work_root).with_context(|| format!("making {}", work_root.display()))?;
    let options = KubernetesOptions {
        work_root,
        kubeconfig: kubernetes.kubeconfig.clone(),
        context: kubernetes.context.clone(),
        namespace: kubernetes.namespace.clone(),
        image: kubernetes.image.clone(),
        program: kubernetes.program.clone(),
        runtime_class: kubernetes.runtime_class.clone(),
        user_namespaces: match kubernetes.user_namespaces {
            true => UserNamespaces::Own,
            false => UserNamespaces::Nodes,
        },
        node_selector: kubernetes.node_selector.clone(),
        cpus: kubernetes.cpus,
        limits: Limits {
            memory_bytes: sandbox.memory_mb << 20,
            disk_bytes: kubernetes.disk_mb << 20,
            ..Limits::default()
        },
        start_time: kubernetes.start,
        ca_bundle: sandbox.ca_bundle.clone(),
        tree_limits: TreeLimits::default(),
    };
    Ok(Kubernetes::connect(options).await?)
}

fn pipeline(
    config: &Config,
    store: &Store,
    repositories: Repositories,
    redactor: Arc<Redactor>,
    sandbox: Arc<dyn Sandbox>,
) -> anyhow::Result<Pipeline> {
    check_commands(config, &redactor)?;
    let (model, metering): (Arc<dyn Model>, _) = if config.dry_run {
        (Arc::new(SimulatedModel), None)
    } else {
        let ledger =
            Arc::new(StoreLedger::new(store.clone(), config.model_texts_days, Arc::clone(&redactor)));
        let settings = model_settings(&config.models);
        let folder = config.data_dir.join("proxies");
        let metering = Metering::new(settings.clone(), ledger.clone(), folder)
            .context("the proxy for agents' commands cannot be set up")?;
        (Arc::new(Client::new(settings, ledger)?), Some(Arc::new(metering)))
    };
    let prompts = prompts(config.prompts_dir.as_deref())?;
    let egress = egress_policy(config)?;
    Ok(Pipeline {
        store: store.clone(),
        repositories,
        sandbox: Arc::new(MeteredSandbox(sandbox)),
        model,
        prompts: Arc::new(prompts),
        redactor,
        contexts: Arc::new(Contexts::new(config.data_dir.join("context"))),
        metering,
        settings: pipeline::Settings {
            limits: config.limits.clone(),
            implementer: config.implementer.clone(),
            paths: config.paths.clone(),
            author: Author::new(&config.git.author_name, &config.git.author_email)?,
            reviewers: config.reviewers.clone(),
            blocking: config.blocking_severities.iter().map(severity).collect(),
            candidates: pipeline::CandidateSettings {
                count: config.candidates.count,
                most: config.candidates.most,
                temperatures: config.candidates.temperatures.clone(),
            },
            router: config.router.clone(),
            stages: config.stages.clone(),
            models: config.models.clone(),
            label: config.label.clone(),
            worth_a_fix: config.fix_severities.iter().map(severity).collect(),
            wait_days: WAIT_DAYS,
            command_limits: command_limits(config),
            gates_at_once: config.sandbox.gates_at_once,
            egress,
            dependencies: config.data_dir.join("dependencies"),
            prompts_of: match config.repository_prompts {
                true => PromptsOf::DeploymentAndRepository,
                false => PromptsOf::Deployment,
            },
        },
    })
}

/// Commands of agents that cannot work, or that would carry a secret into the sandbox, are refused at the start.
fn check_commands(config: &Config, redactor: &Redactor) -> anyhow::Result<()> {
    for (name, line) in &config.implementer.commands {
        let command =
            AgentCommand { argv: line.argv.clone(), env: line.env.clone(), mounts: line.mounts.clone() };
        command.check().with_context(|| format!("`implementer.commands.{name}` cannot work"))?;
        let texts = line.argv.iter().chain(line.env.values());
        if texts.into_iter().any(|text| redactor.gives_away(text)) {
            anyhow::bail!(
                "`implementer.commands.{name}` holds a secret of this deployment, and what a command is given is seen \
                 inside the sandbox: write {{key}} in its place; the proxy puts the real key on outside"
            );
        }
    }
    Ok(())
}

/// What a command in the sandbox may use.
pub fn command_limits(config: &Config) -> Limits {
    Limits {
        wall: config.sandbox.wall,
        cpu: std::time::Duration::from_secs(config.sandbox.cpu_seconds),
        memory_bytes: config.sandbox.memory_mb * 1024 * 1024,
        processes: config.sandbox.processes,
        disk_bytes: match config.sandbox.backend {
            SandboxBackend::Kubernetes => config.sandbox.kubernetes.disk_mb << 20,
            _ => Limits::default().disk_bytes,
        },
        ..Limits::default()
    }
}

/// Where set-up steps may fetch packages from; `None`: nowhere.
pub fn egress_policy(config: &Config) -> anyhow::Result<Option<EgressPolicy>> {
    let hosts = config.sandbox.setup_allow_hosts.iter().map(|host| HostName::parse(host));
    let allow_hosts = hosts.collect::<Result<Vec<_>, _>>()?;
    Ok((!allow_hosts.is_empty()).then_some(EgressPolicy { allow_hosts }))
}

/// The deployment's prompts.
pub fn prompts(folder: Option<&Path>) -> anyhow::Result<Prompts> {
    Ok(match folder {
        Some(folder) => Prompts::with_overrides(folder)?,
        None => Prompts::embedded()?,
    })
}

fn severity(name: &SeverityName) -> Severity {
    match name {
        SeverityName::Critical => Severity::Critical,
        SeverityName::High => Severity::High,
        SeverityName::Medium => Severity::Medium,
        SeverityName::Low => Severity::Low,
    }
}

fn effect_settings(config: &Config) -> effects::Settings {
    effects::Settings {
        label: config.label.clone(),
        mode: if config.dry_run { Mode::DryRun } else { Mode::Live },
        gate_rounds: config.limits.gate_rounds,
        review_rounds: config.limits.review_rounds,
        wait_days: WAIT_DAYS,
        budget: config.limits.task(),
        most: config.limits.most,
        estimate: estimate(config),
        link_hosts: link_hosts(config),
        mail_from: config.mail.from.clone(),
        mail_to: config.mail.to.clone(),
        server_url: config.github.server_url.clone(),
    }
}

/// Tokens that a small and a large task take, seen in runs: the plan's estimate until a deployment has
/// its own history.
const SMALL_TASK: (f64, f64) = (20_000.0, 2_000.0);
const LARGE_TASK: (f64, f64) = (1_500_000.0, 60_000.0);

/// What a task costs by the implementer's prices, between a small and a large one, and never above the
/// budget. `None` where no prices are configured.
fn estimate(config: &Config) -> Option<Estimate> {
    let prices = config.models.roles.of(Role::Implementer).first()?.prices?;
    let budget = config.limits.task().cost_micro_usd.unwrap_or(u64::MAX);
    let cost =
        |(input, output): (f64, f64)| ((input * prices.input + output * prices.output) as u64).min(budget);
    Some(Estimate { least_micro_usd: cost(SMALL_TASK), most_micro_usd: cost(LARGE_TASK) })
}

fn link_hosts(config: &Config) -> Vec<String> {
    let url = config.github.server_url.split("://").nth(1).unwrap_or_default();
    vec![url.split(['/', ':']).next().unwrap_or_default().to_owned()]
}

//! The parts put together: from a configuration to a running deployment.
//!
//! `serve`, `demo`, `run` and the tests build the same [`Application`]; only the configuration differs.

mod dispatch;
mod models;
mod parts;
mod retention;

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::checkout::Repositories;
use crate::config::Config;
use crate::domain::{ApprovalMeans, Approvals, Rules, TaskId};
use crate::github::GitHub;
use crate::queue::{Owner, Runner, Workers};
use crate::store::Store;
use crate::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use crate::telemetry::Redactor;
use crate::web::{WebState, router};

pub use models::model_settings;
pub use parts::{command_limits, egress_policy, github, prompts, redactor, sandbox};

/// Days that a question or a plan waits for a person.
const WAIT_DAYS: u32 = 14;

/// A deployment on this machine, ready to run.
pub struct Application {
    pub store: Store,
    pub github: GitHub,
    listener: TcpListener,
    router: axum::Router,
    runner: Runner,
    database: Option<EmbeddedPostgres>,
}

/// Where the tasks come from, and so who approves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    GitHub,
    /// A person runs a task on their own repository.
    Local,
}

/// The database of a deployment: the configured one, or a private one in the data folder.
pub async fn database(config: &Config) -> anyhow::Result<(String, Option<EmbeddedPostgres>)> {
    use secrecy::ExposeSecret;
    match &config.database.url {
        Some(url) => Ok((url.expose_secret().to_owned(), None)),
        None => {
            let embedded = EmbeddedPostgres::start(&config.data_dir, EmbeddedOptions::default())
                .await
                .context("the private PostgreSQL could not be started")?;
            Ok((embedded.url().to_owned(), Some(embedded)))
        }
    }
}

/// The rules of the tasks' life under a configuration.
pub fn rules(config: &Config, source: Source) -> Rules {
    let approvals = match source {
        Source::Local => Approvals::Given(ApprovalMeans::LocalRun),
        Source::GitHub if config.dry_run => Approvals::Given(ApprovalMeans::DryRun),
        Source::GitHub => Approvals::Wait,
    };
    Rules::new(config.limits.gate_rounds, config.limits.review_rounds, approvals, WAIT_DAYS)
        .with_budgets_up_to(config.limits.most)
}

impl Application {
    /// Connects to everything that has to be there, and listens. Nothing is worked on yet.
    pub async fn build(config: &Config) -> anyhow::Result<Self> {
        Self::build_with(config, &parts::own_program()?).await
    }

    /// The same where this process is not the product's own program: `program` is, and serves the file
    /// tools inside sandboxes.
    pub async fn build_with(config: &Config, program: &Path) -> anyhow::Result<Self> {
        let credentials = config.github.app_credentials()?;
        let (url, database) = database(config).await?;
        let store = Store::connect(&url, config.database.max_connections, rules(config, Source::GitHub))
            .await
            .context("the database cannot be used")?;
        store.ensure_schedules().await?;
        let listener = TcpListener::bind(config.web.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.web.listen))?;
        let state =
            WebState { store: store.clone(), webhook_secret: Arc::new(credentials.webhook_secret.clone()) };
        let github = parts::github(config, &credentials)?;
        let parts = parts::Parts::build(config, &store, Some((&credentials, &github)), program).await?;
        let handler = dispatch::Dispatch::new(store.clone(), parts, config);
        let runner = Runner::new(store.clone(), Arc::new(handler), Owner::of_this_process(), workers(config));
        Ok(Self { store, github, listener, router: router(state), runner, database })
    }

    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves and works until `stop`.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let serving = axum::serve(self.listener, self.router)
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .into_future();
        let working = self.runner.run(stop.clone());
        let (served, ()) = tokio::join!(
            async {
                let served = serving.await;
                // A server that fell over takes the workers along: half a process helps nobody.
                stop.cancel();
                served
            },
            working
        );
        self.store.close().await;
        served.context("the web server failed")?;
        if let Some(database) = self.database {
            database.shutdown().await?;
        }
        Ok(())
    }
}

/// A deployment without a web server or GitHub, for one local run. It does the jobs of that run and no
/// others, so that any number of them, and a deployment, work on one database at the same time.
pub struct LocalApplication {
    pub store: Store,
    pub repositories: Repositories,
    pub redactor: Arc<Redactor>,
    /// `None` once it works.
    runner: Option<Runner>,
    database: Option<EmbeddedPostgres>,
}

/// Connections of one local run: many of them have to fit into one database.
const LOCAL_CONNECTIONS: u32 = 8;

impl LocalApplication {
    /// `choose`: names the run by its first task, once the database is there to look in.
    pub async fn build(
        config: &Config,
        choose: impl AsyncFnOnce(&Store) -> anyhow::Result<TaskId>,
    ) -> anyhow::Result<Self> {
        let (url, database) = database(config).await?;
        let connections = config.database.max_connections.min(LOCAL_CONNECTIONS);
        let store = Store::connect(&url, connections, rules(config, Source::Local))
            .await
            .context("the database cannot be used")?;
        // Nobody else does it where no deployment serves on this database.
        if let Err(error) = retention::forget_texts(&store, config.model_texts_days).await {
            tracing::warn!(%error, "old texts of model calls could not be removed");
        }
        let run = choose(&store).await?;
        let store = store.for_run(run);
        let parts = parts::Parts::build(config, &store, None, &parts::own_program()?).await?;
        let repositories = parts.effects.repositories.clone();
        let redactor = Arc::clone(&parts.effects.redactor);
        let handler = dispatch::Dispatch::new(store.clone(), parts, config);
        let workers = Workers { effects: 1, ingest: 1, ..workers(config) };
        let runner = Runner::new(store.clone(), Arc::new(handler), Owner::of_this_process(), workers);
        Ok(Self { store, repositories, redactor, runner: Some(runner), database })
    }

    /// Starts to work, until `stop`.
    pub fn work(&mut self, stop: CancellationToken) -> tokio::task::JoinHandle<()> {
        let runner = self.runner.take();
        tokio::spawn(async move {
            if let Some(runner) = runner {
                runner.run(stop).await;
            }
        })
    }

    /// Gives the database up; the last one to do so stops a private one.
    pub async fn close(self) -> anyhow::Result<()> {
        if let Some(database) = self.database {
            database.shutdown().await?;
        }
        Ok(())
    }
}

fn workers(config: &Config) -> Workers {
    Workers {
        stages: config.limits.concurrent_tasks as usize,
        effects: 4,
        ingest: 4,
        stages_per_repository: config.limits.concurrent_tasks_per_repository as usize,
    }
}

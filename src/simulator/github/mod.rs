//! A GitHub that runs on this machine: REST, webhooks and git over HTTP, as strict as the real one.
//!
//! A request passes [`server`] (faults, sign-in, limits, permissions), finds its route in [`routes`] and
//! changes the [`world`]; each change queues its webhook, which [`deliveries`] signs and sends. Git objects
//! lie in real bare repositories. What GitHub refuses is refused here in the same words; [`contract`] holds
//! every answer against GitHub's published description.
//!
//! Not here: forks, GraphQL, Actions, and anything a person does only in the browser. [`Admin`] seeds what
//! GitHub's API cannot make.

mod account;
mod admin;
mod anchor;
mod answer;
mod app;
mod auth;
mod call;
mod check;
mod clock;
mod comment;
mod commit;
mod contents;
mod contract;
mod deliveries;
mod delivery_log;
mod diff_lines;
mod event;
mod fate;
mod fault;
mod git;
mod git_http;
mod hook;
mod hub;
mod issue;
mod issues;
mod journal;
mod label;
mod limits;
mod listener;
mod manifest;
mod merge;
mod pull;
mod pulls;
mod push;
mod random;
mod reaction;
mod refs;
mod refusals;
mod repository;
mod review;
mod review_comment;
mod route;
mod routes;
mod seed;
mod server;
mod status;
mod user;
mod world;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use account::{AccountKind, Role};
pub use admin::{Admin, Installed, Reach};
pub use clock::Clock;
pub use contract::{Contract, ContractError};
pub use deliveries::WebhookTarget;
pub use fault::{Act, Effect, Fault, FaultHandle, FaultId, Faults, Matcher, Moment};
pub use git::SeedFile;
pub use journal::{Attempt, DeliveryEntry, Journal, RequestRecord};
pub use limits::Limits;
pub use manifest::{AppManifest, Level, ManifestError};
pub use refusals::{KnownRefusal, REFUSALS};
pub use seed::NewRepository;

use hub::Hub;
use world::{Settings, World};

/// What a simulator starts with. [`SimulatorOptions::new`] fills in what is seldom changed.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// Bare repositories are made below it.
    pub data_dir: PathBuf,
    /// A loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    pub manifest: AppManifest,
    pub app_id: u64,
    /// Verifies the App's JWT.
    pub app_public_key_pem: String,
    pub webhook: Option<WebhookTarget>,
    pub faults: Faults,
    pub clock: Clock,
    pub limits: Limits,
    /// How long an installation token lives; GitHub: one hour.
    pub token_lifetime: chrono::Duration,
    /// Decides ids, tokens and delivery GUIDs.
    pub seed: u64,
    /// Judges every request, answer and payload, where given.
    pub contract: Option<Arc<Contract>>,
}

impl SimulatorOptions {
    pub fn new(data_dir: PathBuf, manifest: AppManifest, app_id: u64, app_public_key_pem: String) -> Self {
        Self {
            data_dir,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            manifest,
            app_id,
            app_public_key_pem,
            webhook: None,
            faults: Faults::default(),
            clock: Clock::default(),
            limits: Limits::default(),
            token_lifetime: chrono::Duration::hours(1),
            seed: 1,
            contract: None,
        }
    }
}

/// One route of the simulator, for lists and for tests that want each exercised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    pub method: &'static str,
    pub template: &'static str,
    /// The template in GitHub's OpenAPI description, where it is another one.
    pub described_as: &'static str,
    /// Where GitHub documents it.
    pub documentation: &'static str,
    /// Installation tokens may call it.
    pub for_installations: bool,
    /// Any one of these lets an installation token in; empty where it needs none.
    pub permissions: Vec<(&'static str, Level)>,
}

/// Every route that the simulator answers.
pub fn route_table() -> Vec<RouteEntry> {
    routes::all()
        .map(|route| RouteEntry {
            method: route.verb.as_str(),
            template: route.template,
            described_as: route.contract_template(),
            documentation: route.documentation,
            for_installations: matches!(
                route.access,
                route::Access::Repository { .. } | route::Access::Installation
            ),
            permissions: match route.access {
                route::Access::Repository { any_of, .. } => {
                    any_of.iter().map(|need| (need.0, need.1)).collect()
                }
                _ => Vec::new(),
            },
        })
        .collect()
}

/// A running simulator; it stops with [`GithubSimulator::shutdown`], or when it is dropped.
pub struct GithubSimulator {
    hub: Arc<Hub>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
    sender: JoinHandle<()>,
}

impl GithubSimulator {
    /// Binds the address and serves.
    ///
    /// # Errors
    /// The address is not on loopback or is taken, or a fault's pattern cannot be read.
    pub async fn start(options: SimulatorOptions) -> anyhow::Result<Self> {
        if !options.listen.ip().is_loopback() {
            bail!("the GitHub simulator listens on loopback only, not on {}", options.listen);
        }
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("the GitHub simulator cannot listen on {}", options.listen))?;
        let address = format!("http://{}", listener.local_addr()?);
        let settings = Settings {
            data_dir: options.data_dir,
            api_url: address.clone(),
            server_url: address,
            manifest: options.manifest,
            app_id: options.app_id,
            app_public_key_pem: options.app_public_key_pem,
            hook_id: 480_000_000 + options.app_id,
            limits: options.limits,
            token_lifetime: options.token_lifetime,
        };
        let faults = FaultHandle::new(options.faults).context("a fault's pattern cannot be read")?;
        let (queue, waiting) = mpsc::unbounded_channel();
        let world = World::new(settings, options.clock, options.seed);
        let hub = Arc::new(Hub::new(world, faults, options.contract, queue)?);
        let sender = tokio::spawn(deliveries::run_sender(Arc::clone(&hub), waiting));
        let (stop, stopped) = oneshot::channel();
        let app = Router::new().fallback(server::serve).with_state(Arc::clone(&hub));
        let service = app.into_make_service_with_connect_info::<listener::Connection>();
        let server = tokio::spawn(async move {
            let serving = axum::serve(listener::CuttableListener(listener), service);
            tokio::select! {
                result = serving => {
                    if let Err(error) = result {
                        tracing::error!(%error, "the GitHub simulator stopped serving");
                    }
                }
                _ = stopped => {}
            }
        });
        if let Some(target) = options.webhook {
            hub.set_webhook(Some(target));
        }
        Ok(Self { hub, stop: Some(stop), server, sender })
    }

    /// The REST API's root, as `https://api.github.com` is.
    pub fn api_url(&self) -> String {
        self.hub.settings.api_url.clone()
    }

    /// The root of git over HTTP: `{server}/{owner}/{repo}.git`, as `https://github.com` is.
    pub fn server_url(&self) -> String {
        self.hub.settings.server_url.clone()
    }

    /// Where webhooks go from now on; a new address gets a `ping`.
    pub fn set_webhook(&self, target: Option<WebhookTarget>) {
        self.hub.set_webhook(target);
    }

    pub fn faults(&self) -> FaultHandle {
        self.hub.faults.clone()
    }

    pub fn journal(&self) -> Journal {
        self.hub.journal.clone()
    }

    pub fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.hub))
    }

    /// Returns when every delivery so far has been sent (or lost by a fault).
    pub async fn settled(&self) {
        self.hub.in_flight.settled().await;
    }

    /// Stops serving; deliveries that wait are dropped.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop.take() {
            // The server may have stopped by itself: then nobody listens.
            let _ = stop.send(());
        }
        if let Err(error) = (&mut self.server).await {
            tracing::warn!(%error, "the GitHub simulator ended badly");
        }
    }
}

impl Drop for GithubSimulator {
    fn drop(&mut self) {
        self.server.abort();
        self.sender.abort();
    }
}

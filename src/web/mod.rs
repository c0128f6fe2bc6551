//! The HTTP server: webhook receiver, health.
//!
//! Nothing is decided here: a delivery is verified, stored, and acknowledged once it is committed.
//! Deliveries that arrive at the same time share a commit, see [`intake`].

mod health;
mod intake;
mod signature;
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use secrecy::SecretString;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::store::Store;

use intake::Intake;
use webhook::Receiver;

pub use signature::{Signature, SignatureFault};
pub use webhook::body_fault;

/// Where GitHub's deliveries go.
pub const WEBHOOK_PATH: &str = "/webhooks/github";
/// GitHub's own cap for a payload (docs.github.com, "Webhook events and payloads": 25 MB).
pub const BODY_CAP: usize = 25 * 1024 * 1024;
/// A sender that is silent for this long in the middle of a body is cut off.
const BODY_IDLE: std::time::Duration = std::time::Duration::from_secs(10);

/// What the handlers need.
#[derive(Clone)]
pub struct WebState {
    pub store: Store,
    pub webhook_secret: Arc<SecretString>,
}

/// The server's routes. To be called within a Tokio runtime: the intake of deliveries is started.
pub fn router(state: WebState) -> Router {
    let intake = Intake::start(state.store.clone());
    Router::new()
        .route(
            WEBHOOK_PATH,
            post(webhook::receive).with_state(Receiver { intake, webhook_secret: state.webhook_secret }),
        )
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready).with_state(state.store))
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(BODY_CAP))
        .layer(RequestBodyTimeoutLayer::new(BODY_IDLE))
        .layer(CatchPanicLayer::new())
}

#[cfg(test)]
mod tests {
    use super::WEBHOOK_PATH;

    #[test]
    fn the_manifest_names_the_path_that_is_served() {
        let manifest = include_str!("../../app-manifest.yml");
        let url = manifest.lines().find_map(|line| line.strip_prefix("  url: ")).expect("a webhook address");
        assert_eq!(url, format!("https://orchestrator.example.com{WEBHOOK_PATH}"));
    }
}

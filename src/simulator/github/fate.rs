//! What the faults make of a request before it is handled.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;

use super::admin::Admin;
use super::answer::{Answer, Refusal};
use super::fault::{Effect, Moment};
use super::hub::Hub;
use super::limits::secondary_limit;
use super::server::Incoming;

/// What the faults leave of a request.
pub(super) enum Fate {
    Handle { drop_answer: bool, delay: Duration, after: Vec<Effect> },
    Refuse { status: u16, retry_after_seconds: Option<u64> },
    Drop,
}

pub(super) async fn fate_of(hub: &Arc<Hub>, incoming: &Incoming) -> (Fate, Option<String>) {
    let effects = hub.faults.on_request(&incoming.method, &incoming.path_and_query());
    if effects.is_empty() {
        return (Fate::Handle { drop_answer: false, delay: Duration::ZERO, after: vec![] }, None);
    }
    let described = effects.iter().map(|effect| format!("{effect:?}")).collect::<Vec<_>>().join(", ");
    let (mut drop_answer, mut delay, mut before, mut after) = (false, Duration::ZERO, vec![], vec![]);
    let mut other = None;
    for effect in effects {
        match effect {
            Effect::Refuse { status, retry_after_seconds } => {
                other = Some(Fate::Refuse { status, retry_after_seconds });
            }
            Effect::DropUnapplied => other = Some(Fate::Drop),
            Effect::ApplyThenDrop => drop_answer = true,
            Effect::DelayAnswer { milliseconds } => delay = Duration::from_millis(milliseconds),
            Effect::ExpireTokens => hub.world().expire_tokens(),
            Effect::Callback { moment: Moment::After, .. } => after.push(effect),
            Effect::Callback { moment: Moment::Before, .. } | Effect::PersonPushes { .. } => {
                before.push(effect);
            }
            Effect::LoseDelivery
            | Effect::DuplicateDelivery { .. }
            | Effect::DelayDelivery { .. }
            | Effect::SwapDelivery => {}
        }
    }
    run_callbacks(hub, before).await;
    (other.unwrap_or(Fate::Handle { drop_answer, delay, after }), Some(described))
}

pub(super) async fn run_callbacks(hub: &Arc<Hub>, effects: Vec<Effect>) {
    for effect in effects {
        let admin = Admin::new(Arc::clone(hub));
        let run = tokio::task::spawn_blocking(move || match effect {
            Effect::Callback { act, .. } => act(&admin),
            Effect::PersonPushes { login, repository, branch, path, content } => {
                if let Err(error) = admin.push_file(&login, &repository, &branch, &path, &content) {
                    tracing::error!(error = format!("{error:#}"), "the push in the middle failed");
                }
            }
            _ => {}
        });
        if let Err(error) = run.await {
            tracing::error!(%error, "a fault's callback panicked");
        }
    }
}

pub(super) fn refuse(status: u16, retry_after_seconds: Option<u64>) -> Answer {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let refusal = match (status, retry_after_seconds) {
        (401, _) => super::auth::bad_credentials(),
        (403 | 429, Some(seconds)) => Refusal { status: code, ..secondary_limit(seconds) },
        (403, None) => super::auth::not_accessible(),
        (502, _) => Refusal::new(code, "Server Error"),
        _ => Refusal::new(code, code.canonical_reason().unwrap_or("Error")),
    };
    refusal.into_answer("")
}

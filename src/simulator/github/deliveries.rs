//! Webhook deliveries: signing, sending in order, and the record that GitHub keeps of them.
//!
//! GitHub does not try a failed delivery again by itself; the App asks for it below `/app/hook/deliveries`.
//! Source: docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha1::Sha1;
use sha2::Sha256;
use tokio::sync::{Notify, mpsc};

use super::fault::Effect;
use super::hub::Hub;
use super::journal::{Attempt, DeliveryEntry};
use super::world::World;

/// Where webhooks go and the secret that signs them.
#[derive(Clone)]
pub struct WebhookTarget {
    pub url: String,
    pub secret: String,
}

impl std::fmt::Debug for WebhookTarget {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WebhookTarget").field("url", &self.url).finish_non_exhaustive()
    }
}

/// An event on its way out.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub guid: String,
    pub event: String,
    pub action: Option<String>,
    pub installation: Option<u64>,
    pub repository: Option<u64>,
    pub payload: Value,
    pub redelivery: bool,
}

/// One attempt, as `GET /app/hook/deliveries/{id}` shows it.
#[derive(Clone, Debug)]
pub(super) struct DeliveryRecord {
    pub id: u64,
    pub sent: Outgoing,
    pub at: DateTime<Utc>,
    pub seconds: f64,
    /// Zero where no answer came.
    pub status_code: u16,
    pub status: String,
    pub url: String,
    pub request_headers: Map<String, Value>,
    pub response_headers: Map<String, Value>,
    pub response_body: String,
}

/// Source: docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap.
const PAYLOAD_MAXIMUM: usize = 25 * 1024 * 1024;
/// "Your server should respond with a 2XX response within 10 seconds".
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a delivery that is to change places waits for one that follows.
const SWAP_WAIT: Duration = Duration::from_millis(500);

/// Counts what is on its way, so that a test can wait for silence.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    count: AtomicUsize,
    silence: Notify,
}

impl InFlight {
    pub fn begin(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    pub fn end(&self) {
        if self.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.silence.notify_waiters();
        }
    }

    /// Returns when nothing is on its way.
    pub async fn settled(&self) {
        loop {
            let silence = self.silence.notified();
            tokio::pin!(silence);
            silence.as_mut().enable();
            if self.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            silence.await;
        }
    }
}

/// Sends deliveries one after another, in the order of the changes that caused them.
pub(super) async fn run_sender(hub: Arc<Hub>, mut queue: mpsc::UnboundedReceiver<Outgoing>) {
    let mut held: Option<Outgoing> = None;
    loop {
        let next = match &held {
            None => queue.recv().await,
            Some(_) => match tokio::time::timeout(SWAP_WAIT, queue.recv()).await {
                Ok(next) => next,
                Err(_) => {
                    release(&hub, &mut held).await;
                    continue;
                }
            },
        };
        let Some(outgoing) = next else { break };
        hub.check_payload(&outgoing);
        let mut copies = 1;
        let mut lost = false;
        let mut swap = false;
        let mut delay = None;
        for effect in hub.faults.on_delivery(&outgoing.event, outgoing.action.as_deref()) {
            match effect {
                Effect::LoseDelivery => lost = true,
                Effect::DuplicateDelivery { copies: more } => copies += more,
                Effect::DelayDelivery { milliseconds } => delay = Some(Duration::from_millis(milliseconds)),
                Effect::SwapDelivery => swap = held.is_none(),
                _ => {}
            }
        }
        if swap {
            held = Some(outgoing);
            continue;
        }
        if let Some(delay) = delay {
            let hub = Arc::clone(&hub);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                deliver(&hub, outgoing).await;
            });
            continue;
        }
        if lost {
            hub.record_attempt(outgoing, Sent::lost());
            hub.in_flight.end();
        } else {
            for _ in 1..copies {
                hub.in_flight.begin();
                deliver(&hub, outgoing.clone()).await;
            }
            deliver(&hub, outgoing).await;
        }
        release(&hub, &mut held).await;
    }
    release(&hub, &mut held).await;
}

async fn release(hub: &Hub, held: &mut Option<Outgoing>) {
    if let Some(outgoing) = held.take() {
        deliver(hub, outgoing).await;
    }
}

async fn deliver(hub: &Hub, outgoing: Outgoing) {
    let Some(target) = hub.webhook() else {
        hub.in_flight.end();
        return;
    };
    let body = outgoing.payload.to_string();
    let sent = match body.len() > PAYLOAD_MAXIMUM {
        true => Sent::lost(),
        false => send(hub, &target, &outgoing, body).await,
    };
    hub.record_attempt(outgoing, sent);
    hub.in_flight.end();
}

/// What became of an attempt.
pub(super) struct Sent {
    status: Option<u16>,
    reason: String,
    seconds: f64,
    request_headers: HeaderMap,
    response_headers: HeaderMap,
    response_body: String,
}

impl Sent {
    fn lost() -> Self {
        Self {
            status: None,
            reason: "timed out".into(),
            seconds: ANSWER_WITHIN.as_secs_f64(),
            request_headers: HeaderMap::new(),
            response_headers: HeaderMap::new(),
            response_body: String::new(),
        }
    }
}

async fn send(hub: &Hub, target: &WebhookTarget, outgoing: &Outgoing, body: String) -> Sent {
    let headers = headers_of(hub, target, outgoing, body.as_bytes());
    let started = Instant::now();
    let request =
        hub.http.post(&target.url).headers(headers.clone()).timeout(ANSWER_WITHIN).body(body).send().await;
    let mut sent = Sent { request_headers: headers, ..Sent::lost() };
    match request {
        Ok(response) => {
            let status = response.status();
            sent.status = Some(status.as_u16());
            sent.reason = if status.is_success() {
                "OK".into()
            } else {
                format!("Invalid HTTP Response: {}", status.as_u16())
            };
            sent.response_headers = response.headers().clone();
            sent.response_body = response.text().await.unwrap_or_default().chars().take(65_536).collect();
        }
        Err(error) if error.is_timeout() => {}
        Err(error) => sent.reason = format!("failed to connect to host: {error}"),
    }
    sent.seconds = started.elapsed().as_secs_f64();
    sent
}

/// Source: docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers.
fn headers_of(hub: &Hub, target: &WebhookTarget, outgoing: &Outgoing, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    set("accept", "*/*".into());
    set("content-type", "application/json".into());
    set("user-agent", "GitHub-Hookshot/5170e24".into());
    set("x-github-event", outgoing.event.clone());
    set("x-github-delivery", outgoing.guid.clone());
    set("x-github-hook-id", hub.settings.hook_id.to_string());
    set("x-github-hook-installation-target-id", hub.settings.app_id.to_string());
    set("x-github-hook-installation-target-type", "integration".into());
    if !target.secret.is_empty() {
        set("x-hub-signature-256", format!("sha256={}", sign_sha256(&target.secret, body)));
        set("x-hub-signature", format!("sha1={}", sign_sha1(&target.secret, body)));
    }
    headers
}

fn sign_sha256(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn sign_sha1(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

impl Hub {
    fn record_attempt(&self, outgoing: Outgoing, sent: Sent) {
        let url = self.webhook().map(|target| target.url).unwrap_or_default();
        let mut world = self.world();
        let at = world.now();
        let entry = DeliveryEntry {
            guid: outgoing.guid.clone(),
            event: outgoing.event.clone(),
            action: outgoing.action.clone(),
            payload: outgoing.payload.clone(),
            attempts: Vec::new(),
        };
        self.journal
            .note_attempt(entry, Attempt { at, redelivery: outgoing.redelivery, status: sent.status });
        let record = DeliveryRecord {
            id: world.new_id(),
            sent: outgoing,
            at,
            seconds: sent.seconds,
            status_code: sent.status.unwrap_or(0),
            status: sent.reason,
            url,
            request_headers: show_headers(&sent.request_headers),
            response_headers: show_headers(&sent.response_headers),
            response_body: sent.response_body,
        };
        world.deliveries.push(record);
    }
}

fn show_headers(headers: &HeaderMap) -> Map<String, Value> {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    headers.iter().map(|(name, value)| (name.to_string(), json!(text(value)))).collect()
}

impl World {
    pub fn take_outgoing(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.outgoing)
    }
}

#[cfg(test)]
mod tests {
    use super::{sign_sha1, sign_sha256};

    /// Source: docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation.
    #[test]
    fn the_signature_is_the_one_of_githubs_own_example() {
        assert_eq!(
            sign_sha256("It's a Secret to Everybody", b"Hello, World!"),
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
        assert_eq!(
            sign_sha1("key", b"The quick brown fox jumps over the lazy dog"),
            "de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9"
        );
    }
}

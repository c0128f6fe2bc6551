//! `POST /webhooks/github`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};

use crate::store::Arrival;

use super::Signature;
use super::intake::{Accepted, Intake};

/// What the receiver needs.
#[derive(Clone)]
pub(super) struct Receiver {
    pub intake: Intake,
    pub webhook_secret: Arc<SecretString>,
}

/// Longest `X-GitHub-Delivery` and `X-GitHub-Event` that are taken; GitHub's are 36 and below 40.
const HEADER_CAP: usize = 100;

/// Answers 202 only after the delivery is committed, and 5xx whenever it is not, so that GitHub shows
/// it as failed and it can be delivered again. The body, which may be large, is taken in only from a sender
/// whose headers are those of a delivery.
pub(super) async fn receive(State(receiver): State<Receiver>, request: Request) -> Response {
    let headers = request.headers().clone();
    let header = |name: &str| headers.get(name).map(|value| value.as_bytes());
    let signature = match Signature::from_header(header("x-hub-signature-256")) {
        Ok(signature) => signature,
        Err(fault) => return refuse(StatusCode::UNAUTHORIZED, &fault.to_string()),
    };
    let (Some(guid), Some(event)) = (plain(header("x-github-delivery")), plain(header("x-github-event")))
    else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "X-GitHub-Delivery or X-GitHub-Event is missing or malformed",
        );
    };
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) => return refuse(rejection.status(), &rejection.body_text()),
    };
    if !signature.verifies(receiver.webhook_secret.expose_secret().as_bytes(), &body) {
        return refuse(StatusCode::UNAUTHORIZED, "the signature does not match the body");
    }
    let malformed = body_fault(&body);
    let is_malformed = malformed.is_some();
    let delivery =
        Accepted { guid: guid.to_owned(), event: event.to_owned(), payload: body.clone(), malformed };
    match receiver.intake.store(delivery).await {
        Ok(arrival) => {
            let known = arrival == Arrival::Known;
            tracing::info!(guid, event, known, malformed = is_malformed, "delivery");
            (StatusCode::ACCEPTED, "accepted\n").into_response()
        }
        Err(error) => {
            tracing::error!(guid, event, %error, "the delivery could not be stored");
            (StatusCode::SERVICE_UNAVAILABLE, "the delivery could not be stored; deliver it again\n")
                .into_response()
        }
    }
}

fn refuse(status: StatusCode, why: &str) -> Response {
    tracing::warn!(status = status.as_u16(), why, "a webhook request was refused");
    (status, format!("{why}\n")).into_response()
}

fn plain(header: Option<&[u8]>) -> Option<&str> {
    let text = std::str::from_utf8(header?).ok()?;
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    (printable && !text.is_empty() && text.len() <= HEADER_CAP).then_some(text)
}

/// Why a body is not a JSON object, if it is not. Only its form is looked at: what it means is for
/// `ingest`.
pub fn body_fault(body: &[u8]) -> Option<String> {
    // What `IgnoredAny` skips is not even looked at for being UTF-8.
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => return Some(error.to_string()),
    };
    // `IgnoredAny` builds nothing, and serde_json stops at a depth of 128.
    match serde_json::from_str::<std::collections::BTreeMap<String, serde::de::IgnoredAny>>(text) {
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_objects_are_well_formed() {
        assert_eq!(body_fault(br#"{"a": [1, {"b": null}]}"#), None);
        let deep = [b"{\"a\":".as_slice(), &vec![b'['; 100_000]].concat();
        for body in [&b""[..], b"[]", b"{", b"\xff", b"{\"a\":\"\xff\"}", b"{\"a\":1}x", &deep] {
            assert!(body_fault(body).is_some());
        }
    }
}

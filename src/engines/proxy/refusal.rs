//! A refusal of ours in a provider's own form, so that an agent shows it as it shows the provider's.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::format::Format;

/// Why a call is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub kind: &'static str,
    pub message: String,
}

impl Refusal {
    /// The request is not one.
    pub fn request(message: impl Into<String>) -> Self {
        Self { status: 400, kind: "invalid_request_error", message: message.into() }
    }

    /// The request asks for what is not allowed here.
    pub fn not_allowed(message: impl Into<String>) -> Self {
        Self { status: 403, kind: "permission_error", message: message.into() }
    }

    pub fn no_such_path(message: impl Into<String>) -> Self {
        Self { status: 404, kind: "not_found_error", message: message.into() }
    }

    pub fn too_large(most: usize) -> Self {
        let message = format!("the request is larger than {most} bytes");
        Self { status: 413, kind: "request_too_large", message }
    }

    /// What may be spent is spent. 402 is what no client repeats.
    pub fn spent(message: impl Into<String>) -> Self {
        Self { status: 402, kind: "billing_error", message: message.into() }
    }

    /// The provider, or the way to it, failed.
    pub fn upstream(message: impl Into<String>) -> Self {
        Self { status: 502, kind: "api_error", message: message.into() }
    }

    pub fn answer(&self, format: Option<Format>) -> Response {
        let Self { kind, message, .. } = self;
        let body = match format {
            Some(Format::Chat | Format::Responses) => {
                json!({ "error": { "message": message, "type": kind, "param": null, "code": kind } })
            }
            Some(Format::Gemini { .. }) => {
                json!({ "error": { "code": self.status, "message": message, "status": kind } })
            }
            Some(Format::Messages) | None => {
                json!({ "type": "error", "error": { "type": kind, "message": message } })
            }
        };
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(body)).into_response();
        // Both Anthropic's and OpenAI's clients obey this (`_should_retry` of their SDKs).
        let again = if self.status == 502 { "true" } else { "false" };
        response.headers_mut().insert("x-should-retry", HeaderValue::from_static(again));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

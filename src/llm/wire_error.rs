//! What a provider's refusal means: status, body and headers → [`LlmError`].

use std::time::Duration;

use chrono::DateTime;
use genai::webc;
use http::HeaderMap;
use serde_json::{Value, json};

use super::error::LlmError;
use crate::telemetry::with_causes;

/// Longest part of a provider's answer that is kept in an error, in characters.
const MESSAGE_CHARS: usize = 600;

/// Whether the connection or the server's refusal ended the stream, and not an event that the crate could
/// not read.
pub(super) fn is_of_the_transport(error: &genai::Error) -> bool {
    matches!(error, genai::Error::WebStream { .. } | genai::Error::HttpError { .. })
}

/// Sorts an error of the client crate; `idle` is the limit that a silent stream passed.
pub(super) fn failed(error: genai::Error, idle: Duration) -> LlmError {
    match error {
        genai::Error::WebModelCall { webc_error, .. } | genai::Error::WebAdapterCall { webc_error, .. } => {
            web(webc_error)
        }
        genai::Error::HttpError { status, body, headers, .. } => by_status(status.as_u16(), &body, &headers),
        genai::Error::WebStream { error, .. } => broken_stream(error, idle),
        other => LlmError::InvalidRequest(short(&other.to_string())),
    }
}

fn broken_stream(error: genai::BoxError, idle: Duration) -> LlmError {
    let error = match error.downcast::<genai::Error>() {
        Ok(inner) => return failed(*inner, idle),
        Err(error) => error,
    };
    if error.is::<webc::StreamTimeout>() {
        return LlmError::Silent { after: idle };
    }
    match error.downcast_ref::<reqwest::Error>() {
        Some(error) => transport(error),
        None => LlmError::Malformed(short(&error.to_string())),
    }
}

/// A connection that could not be made or broke off. The address may hold a secret and is left out.
pub(super) fn transport(error: &reqwest::Error) -> LlmError {
    let text = with_causes(error);
    let text = error.url().map_or(text.clone(), |url| text.replace(url.as_str(), "the provider"));
    LlmError::Transport(short(&text))
}

/// A body that is no JSON.
pub(super) fn unreadable(error: &serde_json::Error, body: &str) -> LlmError {
    LlmError::Malformed(format!("{error}: {}", short(body)))
}

/// An error that came in the middle of an answer, in the words of whichever provider.
pub(super) fn reported(event: &Value) -> LlmError {
    let error = event.get("error").filter(|error| !error.is_null()).unwrap_or(event);
    let text = |name: &str| error.get(name).and_then(Value::as_str);
    let message = text("message").or(error.as_str()).unwrap_or("no text");
    let number = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let word = text("code").or(text("status")).or(text("type")).unwrap_or_default();
    let status = match word {
        _ if number.is_some_and(|number| (400..600).contains(&number)) => number.unwrap_or(500),
        "overloaded_error" => 529,
        "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" => 429,
        "UNAVAILABLE" => 503,
        "invalid_request_error" | "invalid_prompt" | "INVALID_ARGUMENT" => 400,
        "insufficient_quota" | "billing_error" => 402,
        _ => 500,
    };
    by_status(status, &json!({"error": {"message": message}}).to_string(), &HeaderMap::new())
}

fn web(error: webc::Error) -> LlmError {
    match error {
        webc::Error::ResponseFailedStatus { status, body, headers } => {
            by_status(status.as_u16(), &body, &headers)
        }
        webc::Error::ResponseFailedNotJson { content_type, body } => {
            LlmError::Malformed(format!("content type {content_type:?} instead of JSON: {}", short(&body)))
        }
        webc::Error::ResponseFailedInvalidJson { body, cause } => {
            LlmError::Malformed(format!("{cause}: {}", short(&body)))
        }
        webc::Error::JsonValueExt(error) => LlmError::Malformed(short(&error.to_string())),
        webc::Error::Reqwest(error) => transport(&error),
    }
}

pub(super) fn by_status(status: u16, body: &str, headers: &HeaderMap) -> LlmError {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let detail = |key: &str| json.pointer(&format!("/error/{key}")).and_then(Value::as_str);
    // Ollama's `error` is the text itself.
    let text = json.get("error").and_then(Value::as_str);
    let message = detail("message").or(text).unwrap_or(if body.is_empty() { "no text" } else { body });
    let message = short(message);
    let retry_after = retry_after(headers).or_else(|| retry_delay(&json));
    match status {
        // Gemini's word for a wrong key.
        400 if message.starts_with("API key not valid") => LlmError::Unauthorized(message),
        // OpenAI says 429 for an account without credit too; waiting does not help there.
        429 if detail("code") == Some("insufficient_quota") => LlmError::OutOfCredit(message),
        402 => LlmError::OutOfCredit(message),
        429 => LlmError::RateLimited { retry_after, message },
        // 529 is Anthropic's own (`overloaded_error`).
        503 | 529 => LlmError::Overloaded { retry_after, message },
        401 | 403 => LlmError::Unauthorized(message),
        408 | 409 | 500..=599 => LlmError::Server { status, retry_after, message },
        300..=399 => {
            LlmError::InvalidRequest(format!("a redirect ({status}), which is not followed: {message}"))
        }
        _ => LlmError::InvalidRequest(format!("{status}: {message}")),
    }
}

/// Gemini says in the body how long to wait: `"retryDelay": "34s"` among the details (google.rpc.RetryInfo).
fn retry_delay(body: &Value) -> Option<Duration> {
    let details = body.pointer("/error/details").and_then(Value::as_array)?;
    let delay = details.iter().find_map(|detail| detail.get("retryDelay").and_then(Value::as_str))?;
    Duration::try_from_secs_f64(delay.strip_suffix('s')?.parse().ok()?).ok()
}

/// RFC 9110, 10.2.3: seconds or a date. A date is measured against the answer's own `date`, so that
/// our clock plays no part. `retry-after-ms` is what OpenAI and Azure send besides.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(milliseconds) = text("retry-after-ms").and_then(|value| value.parse::<u64>().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let value = text("retry-after")?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = DateTime::parse_from_rfc2822(value).ok()?;
    let now = DateTime::parse_from_rfc2822(text("date")?).ok()?;
    Some((until - now).to_std().unwrap_or(Duration::ZERO))
}

fn short(text: &str) -> String {
    let mut kept: String = text.chars().take(MESSAGE_CHARS).collect();
    if kept.len() < text.len() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("name"), value.parse().expect("value")))
            .collect()
    }

    type Headers = &'static [(&'static str, &'static str)];

    #[test]
    fn retry_after_is_read_in_every_form() {
        let cases: [(Headers, Option<u64>); 6] = [
            (&[("retry-after", "2")], Some(2_000)),
            (&[("retry-after", "0.5")], Some(500)),
            (&[("retry-after-ms", "1500"), ("retry-after", "9")], Some(1_500)),
            (
                &[
                    ("retry-after", "Fri, 21 Nov 2026 10:00:30 GMT"),
                    ("date", "Fri, 21 Nov 2026 10:00:00 GMT"),
                ],
                None,
            ),
            (
                &[
                    ("retry-after", "Sat, 21 Nov 2026 10:00:30 GMT"),
                    ("date", "Sat, 21 Nov 2026 10:00:00 GMT"),
                ],
                Some(30_000),
            ),
            (&[("retry-after", "-3")], None),
        ];
        for (pairs, expected) in cases {
            let found = retry_after(&headers(pairs)).map(|wait| wait.as_millis() as u64);
            assert_eq!(found, expected, "{pairs:?}");
        }
    }

    #[test]
    fn statuses_are_sorted_by_what_can_be_done() {
        let none = HeaderMap::new();
        let cases = [
            (401, "unauthorized", false),
            (402, "out_of_credit", false),
            (404, "invalid_request", false),
            (408, "server", true),
            (409, "server", true),
            (429, "rate_limited", true),
            (500, "server", true),
            (503, "overloaded", true),
            (529, "overloaded", true),
            (302, "invalid_request", false),
        ];
        for (status, kind, transient) in cases {
            let error = by_status(status, r#"{"error":{"message":"no"}}"#, &none);
            assert_eq!((error.kind(), error.is_transient()), (kind, transient), "{status}");
        }
        let quota = by_status(429, r#"{"error":{"message":"no","code":"insufficient_quota"}}"#, &none);
        assert_eq!((quota.kind(), quota.is_transient()), ("out_of_credit", false));
    }

    #[test]
    fn an_error_in_the_middle_of_an_answer_is_sorted_whoever_reports_it() {
        let cases = [
            (
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
                "overloaded",
            ),
            (
                json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "busy"}}),
                "rate_limited",
            ),
            (json!({"type": "error", "code": "server_error", "message": "busy"}), "server"),
            (json!({"error": "busy"}), "server"),
            (json!({"error": {"code": "insufficient_quota", "message": "busy"}}), "out_of_credit"),
        ];
        for (event, kind) in cases {
            let error = reported(&event);
            assert_eq!(error.kind(), kind, "{event}");
            assert!(error.to_string().contains("busy"), "{error}");
        }
    }

    #[test]
    fn a_long_body_is_cut() {
        let error = by_status(500, &"x".repeat(100_000), &HeaderMap::new());
        assert!(error.to_string().len() < 1_000);
    }
}

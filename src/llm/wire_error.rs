//! What a provider's refusal means: status, body and headers → [`LlmError`].

use std::time::Duration;

use chrono::DateTime;
use genai::webc;
use http::HeaderMap;
use serde_json::{Value, json};

use super::error::LlmError;
use super::message::{StopReason, ToolCall};
use super::model::{Protocol, TokenCount};
use super::wire::{FailedCall, Reply};
use crate::telemetry::with_causes;

/// Longest part of a provider's answer that is kept in an error, in characters.
const MESSAGE_CHARS: usize = 600;

/// Sorts an error of the client crate. An answer that was only cut off at the output limit in the
/// middle of a tool call is an answer, not an error.
pub(super) fn failed(protocol: Protocol, error: genai::Error) -> Result<Reply, FailedCall> {
    match error {
        genai::Error::WebModelCall { webc_error, .. } | genai::Error::WebAdapterCall { webc_error, .. } => {
            Err(web(webc_error).into())
        }
        genai::Error::HttpError { status, body, headers, .. } => {
            Err(by_status(status.as_u16(), &body, &headers).into())
        }
        genai::Error::ChatResponseGeneration { response_body, cause, .. } => {
            unreadable(protocol, &response_body, &cause)
        }
        other => Err(LlmError::InvalidRequest(short(&other.to_string())).into()),
    }
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
        webc::Error::Reqwest(error) => LlmError::Transport(short(&with_causes(&error.without_url()))),
    }
}

fn by_status(status: u16, body: &str, headers: &HeaderMap) -> LlmError {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let detail = |key: &str| json.pointer(&format!("/error/{key}")).and_then(Value::as_str);
    let message = short(detail("message").unwrap_or(if body.is_empty() { "no text" } else { body }));
    let retry_after = retry_after(headers);
    match status {
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

/// A body that the crate could not read. With OpenAI's format the one thing that models get wrong is the
/// arguments of a tool call, a string that should hold JSON: the call is kept with the text as it is, for
/// the model to be told.
fn unreadable(protocol: Protocol, body: &Value, cause: &str) -> Result<Reply, FailedCall> {
    let tokens = reported_tokens(protocol, body);
    if protocol == Protocol::OpenAi
        && let (Some(tokens), Some(choice)) = (tokens, body.pointer("/choices/0"))
        && let Some(tool_calls) = lenient_calls(choice)
    {
        let cut_off = choice.get("finish_reason").and_then(Value::as_str) == Some("length");
        let text = choice.pointer("/message/content").and_then(Value::as_str).unwrap_or_default();
        return Ok(Reply {
            text: text.to_owned(),
            tool_calls: if cut_off { Vec::new() } else { tool_calls },
            stop: if cut_off { StopReason::OutputLimit } else { StopReason::ToolCalls },
            tokens,
            continuation: None,
        });
    }
    let error = LlmError::Malformed(format!("{}: {}", short(cause), short(&body.to_string())));
    Err(FailedCall { error, tokens })
}

fn lenient_calls(choice: &Value) -> Option<Vec<ToolCall>> {
    let calls = choice.pointer("/message/tool_calls")?.as_array().filter(|calls| !calls.is_empty())?;
    calls
        .iter()
        .map(|call| {
            let text = |path: &str| call.pointer(path).and_then(Value::as_str);
            let arguments = match call.pointer("/function/arguments") {
                // Local servers send nothing for a call without arguments.
                None | Some(Value::Null) => json!({}),
                Some(Value::String(text)) if text.trim().is_empty() => json!({}),
                Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
                Some(other) => other.clone(),
            };
            Some(ToolCall {
                id: text("/id")?.to_owned(),
                name: text("/function/name")?.to_owned(),
                arguments,
            })
        })
        .collect()
}

/// The usage of a body that could not be read as an answer.
fn reported_tokens(protocol: Protocol, body: &Value) -> Option<TokenCount> {
    let usage = body.get("usage")?;
    let number = |path: &str| usage.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    Some(match protocol {
        Protocol::Anthropic => TokenCount {
            input: number("/input_tokens") + number("/cache_creation_input_tokens"),
            cached: number("/cache_read_input_tokens"),
            cache_written: number("/cache_creation_input_tokens"),
            output: number("/output_tokens"),
        },
        Protocol::OpenAi => {
            let cached = number("/prompt_tokens_details/cached_tokens");
            TokenCount {
                input: number("/prompt_tokens").saturating_sub(cached),
                cached,
                cache_written: 0,
                output: number("/completion_tokens"),
            }
        }
    })
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
    fn arguments_that_are_no_json_are_kept_for_the_model_to_be_told() {
        let call = |arguments: &str| {
            json!({
                "choices": [{"finish_reason": "tool_calls", "message": {"content": null, "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "list_files", "arguments": arguments}}]}}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3},
            })
        };
        for (arguments, expected) in
            [("", json!({})), ("{\"a\": 1}", json!({"a": 1})), ("{\"a", json!("{\"a"))]
        {
            let reply = unreadable(Protocol::OpenAi, &call(arguments), "cause").expect("kept");
            assert_eq!(reply.tool_calls[0].arguments, expected);
            assert_eq!((reply.tokens.input, reply.tokens.output), (7, 3));
        }
        assert!(unreadable(Protocol::OpenAi, &json!({"usage": {}}), "cause").is_err());
    }

    #[test]
    fn a_long_body_is_cut() {
        let error = by_status(500, &"x".repeat(100_000), &HeaderMap::new());
        assert!(error.to_string().len() < 1_000);
    }
}

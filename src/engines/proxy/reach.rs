//! What of a request would make the provider's own servers reach somewhere: a page, a picture, a tool server.
//!
//! A sandbox without network stays without one. A provider that fetches an address for an agent is a way out, and
//! tools that a provider runs itself cost money that no estimate knows.

use serde_json::Value;

use super::format::Format;

/// What in a request is not allowed.
pub(super) fn outside(format: Format, body: &Value) -> Option<String> {
    let forbidden: &[&str] = match format {
        Format::Messages => &["mcp_servers", "container"],
        Format::Chat => &["web_search_options", "n"],
        Format::Responses => &["previous_response_id", "conversation", "background", "prompt"],
        Format::Gemini { .. } => &["cachedContent", "cached_content"],
    };
    for name in forbidden {
        let value = body.get(name).unwrap_or(&Value::Null);
        let harmless = value.is_null() || *value == Value::Bool(false) || (*name == "n" && *value == 1);
        if !harmless {
            return Some(format!("`{name}` is not allowed here"));
        }
    }
    if let Some(config) = body.get("generationConfig").or_else(|| body.get("generation_config"))
        && let Some(count) = config.get("candidateCount").or_else(|| config.get("candidate_count"))
        && *count != 1
    {
        return Some("more than one candidate is not allowed here".to_owned());
    }
    if let Some(tool) = body.get("tools").and_then(Value::as_array).into_iter().flatten().find_map(|tool| {
        let kind = tool_kind(format, tool);
        kind.err()
    }) {
        return Some(format!("the tool {tool:?} is run by the provider, which is not allowed here"));
    }
    address(body, 0)
}

/// `Err` names a tool that the provider itself would run.
fn tool_kind(format: Format, tool: &Value) -> Result<(), String> {
    let kind = tool.get("type").and_then(Value::as_str);
    let ours = match format {
        // Tools of these kinds are described by the provider and run by the client.
        Format::Messages => kind.is_none_or(|kind| {
            kind == "custom"
                || ["bash_", "text_editor_", "computer_", "memory_"]
                    .iter()
                    .any(|start| kind.starts_with(start))
        }),
        Format::Chat => matches!(kind, Some("function" | "custom")),
        Format::Responses => matches!(kind, Some("function" | "custom" | "local_shell" | "apply_patch")),
        Format::Gemini { .. } => tool.as_object().is_some_and(|tool| {
            tool.keys().all(|name| name == "functionDeclarations" || name == "function_declarations")
        }),
    };
    if ours {
        return Ok(());
    }
    let named = tool.as_object().and_then(|tool| tool.keys().next().cloned());
    Err(kind.map(str::to_owned).or(named).unwrap_or_else(|| "(without a type)".to_owned()))
}

/// Nested deeper, nothing of a conversation is; serde_json itself stops at 128.
const DEEPEST: usize = 128;
/// The fields in which the formats name something to be fetched, and files that were uploaded before.
const ADDRESSES: [&str; 8] =
    ["image_url", "file_url", "fileUri", "file_uri", "fileData", "file_data_uri", "file_id", "video_url"];

/// An address in a conversation that the provider would open. What stands in a tool's arguments or in a text is a
/// string there, and so none.
fn address(value: &Value, depth: usize) -> Option<String> {
    if depth > DEEPEST {
        return Some("the request is nested too deeply".to_owned());
    }
    match value {
        Value::Array(items) => items.iter().find_map(|item| address(item, depth + 1)),
        Value::Object(object) => {
            let kind = object.get("type").and_then(Value::as_str);
            // A tool's schema and a call's arguments are the client's own business.
            let own = |name: &str| {
                matches!(
                    (name, kind),
                    ("input", Some("tool_use"))
                        | ("input_schema" | "parameters" | "parametersJsonSchema" | "args" | "response", _)
                )
            };
            if matches!(kind, Some("url" | "file"))
                && (object.contains_key("url") || object.contains_key("file_id"))
            {
                return Some("pictures and files have to be sent along, not named by an address".to_owned());
            }
            object.iter().find_map(|(name, inner)| {
                if own(name) {
                    return None;
                }
                let given = match inner {
                    Value::String(text) => Some(text.as_str()),
                    Value::Object(inner) => {
                        inner.get("url").or_else(|| inner.get("fileUri")).and_then(Value::as_str)
                    }
                    _ => None,
                };
                let is_address = ADDRESSES.contains(&name.as_str())
                    && given.is_some_and(|given| !given.starts_with("data:"));
                if is_address {
                    return Some(format!("`{name}` names an address: send the content along instead"));
                }
                address(inner, depth + 1)
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_agent_needs_is_let_through() {
        let cases = [
            (
                Format::Messages,
                json!({"tools": [
                    {"name": "read", "input_schema": {"properties": {"file_url": {"type": "string"}}}},
                    {"type": "bash_20250124", "name": "bash"},
                    {"type": "text_editor_20250728", "name": "edit"},
                ], "messages": [
                    {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "aa"}}]},
                    {"role": "assistant", "content": [{"type": "tool_use", "input": {"type": "url", "url": "x"}}]},
                    {"role": "user", "content": "see https://example.org"},
                ]}),
            ),
            (
                Format::Chat,
                json!({"n": 1, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
                    "messages": [{"role": "user", "content": [
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aa"}}]}]}),
            ),
            (
                Format::Responses,
                json!({"store": false, "tools": [{"type": "function"}, {"type": "custom"}, {"type": "local_shell"}],
                    "input": [{"type": "message", "content": [{"type": "input_text", "text": "x"}]},
                        {"type": "input_image", "image_url": "data:image/png;base64,aa"}]}),
            ),
            (
                Format::Gemini { streams: true },
                json!({"tools": [{"functionDeclarations": [{"name": "f"}]}],
                    "contents": [{"parts": [{"functionCall": {"args": {"file_uri": "a"}}}]}]}),
            ),
        ];
        for (format, body) in cases {
            assert_eq!(outside(format, &body), None, "{body}");
        }
    }

    #[test]
    fn nothing_makes_the_provider_reach_somewhere() {
        let user = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
        let cases = [
            (Format::Messages, json!({"mcp_servers": [{"url": "https://evil.example"}]})),
            (Format::Messages, json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]})),
            (Format::Messages, json!({"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]})),
            (Format::Messages, json!({"tools": [{"type": "code_execution_20250825"}]})),
            (
                Format::Messages,
                user(json!({"type": "image", "source": {"type": "url", "url": "https://e.example/?x"}})),
            ),
            (Format::Messages, user(json!({"type": "document", "source": {"type": "file", "file_id": "f"}}))),
            (
                Format::Messages,
                user(json!({"type": "tool_result", "content": [
                    {"type": "image", "source": {"type": "url", "url": "https://e.example"}}]})),
            ),
            (Format::Chat, json!({"web_search_options": {}})),
            (Format::Chat, json!({"n": 8})),
            (Format::Chat, json!({"tools": [{"type": "web_search"}]})),
            (
                Format::Chat,
                user(json!({"type": "image_url", "image_url": {"url": "https://e.example/?secret"}})),
            ),
            (Format::Responses, json!({"background": true})),
            (Format::Responses, json!({"previous_response_id": "r"})),
            (Format::Responses, json!({"tools": [{"type": "mcp", "server_url": "https://e.example"}]})),
            (Format::Responses, json!({"tools": [{"type": "web_search"}]})),
            (
                Format::Responses,
                json!({"input": [{"content": [{"type": "input_image", "image_url": "https://e.example"}]}]}),
            ),
            (
                Format::Responses,
                json!({"input": [{"content": [{"type": "input_file", "file_url": "https://e.example"}]}]}),
            ),
            (Format::Gemini { streams: false }, json!({"tools": [{"googleSearch": {}}]})),
            (Format::Gemini { streams: false }, json!({"tools": [{"url_context": {}}]})),
            (Format::Gemini { streams: false }, json!({"generationConfig": {"candidateCount": 5}})),
            (
                Format::Gemini { streams: false },
                json!({"contents": [{"parts": [{"fileData": {"fileUri": "https://e.example"}}]}]}),
            ),
        ];
        for (format, body) in cases {
            assert!(outside(format, &body).is_some(), "{format:?} {body}");
        }
    }
}

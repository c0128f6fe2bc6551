//! OpenAI's Responses: `instructions` apart, and items, of which each says a text, calls a tool or answers a call.

use serde_json::Value;

use super::{Heard, Turn, arguments, content, no_text, text_of};
use crate::llm::message::Message;

pub(super) fn read(heard: &mut Heard, body: &Value) -> Option<()> {
    heard.system(content(&body["instructions"]));
    for tool in body["tools"].as_array().into_iter().flatten() {
        heard.tool(tool, "parameters");
    }
    heard.response_schema = body.pointer("/text/format").cloned();
    match body.get("input")? {
        Value::String(text) => heard.user(Turn { texts: vec![text.clone()], ..Turn::default() }),
        Value::Array(items) => items.iter().for_each(|item| read_item(heard, item)),
        _ => return None,
    }
    Some(())
}

fn read_item(heard: &mut Heard, item: &Value) {
    let texts = |text: String| Turn { texts: vec![text], ..Turn::default() };
    match (item["type"].as_str(), item["role"].as_str()) {
        (Some("function_call" | "custom_tool_call"), _) => {
            let said = text_of(item, "arguments") + &text_of(item, "input");
            let call = heard.call(text_of(item, "call_id"), text_of(item, "name"), arguments(&said));
            // What the model says and calls in one answer stands in items one after the other.
            match heard.messages.last_mut() {
                Some(Message::Assistant { tool_calls, .. }) => tool_calls.push(call),
                _ => heard.assistant(Turn { calls: vec![call], ..Turn::default() }),
            }
        }
        (Some("function_call_output" | "custom_tool_call_output"), _) => {
            let result = heard.result(text_of(item, "call_id"), content(&item["output"]));
            heard.results(vec![result]);
        }
        // As with our own calls, a model's thoughts are not kept.
        (Some("reasoning"), _) => {}
        (Some("message") | None, Some("assistant")) => heard.assistant(texts(content(&item["content"]))),
        (Some("message") | None, Some("system" | "developer")) => heard.system(content(&item["content"])),
        (Some("message") | None, Some(_)) => heard.user(texts(content(&item["content"]))),
        _ => heard.user(texts(no_text(item))),
    }
}

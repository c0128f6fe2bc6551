//! OpenAI's chat completions: messages of the roles `system`, `user`, `assistant` and `tool`.

use serde_json::Value;

use super::{Heard, Turn, arguments, content, text_of};

pub(super) fn read(heard: &mut Heard, body: &Value) -> Option<()> {
    for tool in body["tools"].as_array().into_iter().flatten() {
        heard.tool(tool.get("function").unwrap_or(tool), "parameters");
    }
    heard.response_schema = body.get("response_format").cloned();
    for message in body.get("messages")?.as_array()? {
        let text = content(&message["content"]);
        match message.get("role")?.as_str()? {
            "system" | "developer" => heard.system(text),
            "assistant" => {
                let calls = message["tool_calls"].as_array().into_iter().flatten();
                let calls = calls.map(|call| {
                    let function = call.get("function").or_else(|| call.get("custom")).unwrap_or(call);
                    let said = text_of(function, "arguments") + &text_of(function, "input");
                    heard.call(text_of(call, "id"), text_of(function, "name"), arguments(&said))
                });
                let turn = Turn { calls: calls.collect(), texts: vec![text], ..Turn::default() };
                heard.assistant(turn);
            }
            "tool" | "function" => {
                let result = heard.result(text_of(message, "tool_call_id"), text);
                heard.results(vec![result]);
            }
            _ => heard.user(Turn { texts: vec![text], ..Turn::default() }),
        }
    }
    Some(())
}

//! Anthropic's Messages: `system` apart, and turns of content blocks, among them results of tools.

use serde_json::Value;

use super::{Heard, Turn, content, no_text, text_of};

pub(super) fn read(heard: &mut Heard, body: &Value) -> Option<()> {
    let messages = body.get("messages")?.as_array()?;
    heard.system(content(&body["system"]));
    for tool in body["tools"].as_array().into_iter().flatten() {
        heard.tool(tool, "input_schema");
    }
    for message in messages {
        let turn = turn(heard, &message["content"]);
        match message.get("role")?.as_str()? {
            "assistant" => heard.assistant(turn),
            "system" => heard.system(turn.texts.join("\n")),
            _ => heard.user(turn),
        }
    }
    Some(())
}

fn turn(heard: &mut Heard, value: &Value) -> Turn {
    let mut turn = Turn::default();
    let Some(blocks) = value.as_array() else {
        turn.texts.push(content(value));
        return turn;
    };
    for block in blocks {
        match block["type"].as_str() {
            Some("text") => turn.texts.push(text_of(block, "text")),
            Some("tool_use") => {
                let (id, name) = (text_of(block, "id"), text_of(block, "name"));
                let call = heard.call(id, name, block["input"].clone());
                turn.calls.push(call);
            }
            Some("tool_result") => {
                let result = heard.result(text_of(block, "tool_use_id"), content(&block["content"]));
                turn.results.push(result);
            }
            // As with our own calls, a model's thoughts and their signatures are not kept.
            Some("thinking" | "redacted_thinking") => {}
            _ => turn.texts.push(no_text(block)),
        }
    }
    turn
}

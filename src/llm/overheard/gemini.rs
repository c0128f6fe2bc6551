//! Gemini's `generateContent`: turns of parts, whose names are in camel case or in snake case.

use serde_json::Value;

use super::{Heard, Turn, content, no_text, text_of};
use crate::llm::message::ToolResult;

pub(super) fn read(heard: &mut Heard, body: &Value) -> Option<()> {
    let either = |value: &Value, camel: &str, snake: &str| {
        value.get(camel).or_else(|| value.get(snake)).cloned().unwrap_or(Value::Null)
    };
    heard.system(content(&either(body, "systemInstruction", "system_instruction")["parts"]));
    for tool in body["tools"].as_array().into_iter().flatten() {
        let declared = either(tool, "functionDeclarations", "function_declarations");
        for function in declared.as_array().into_iter().flatten() {
            let has_json_schema = function.get("parametersJsonSchema").is_some();
            heard.tool(function, if has_json_schema { "parametersJsonSchema" } else { "parameters" });
        }
    }
    let config = either(body, "generationConfig", "generation_config");
    heard.response_schema = Some(either(&config, "responseSchema", "response_schema"));
    for turn in body.get("contents")?.as_array()? {
        let mut read = Turn::default();
        for part in turn["parts"].as_array().into_iter().flatten() {
            read_part(heard, &mut read, part);
        }
        if turn["role"] == "model" { heard.assistant(read) } else { heard.user(read) }
    }
    Some(())
}

fn read_part(heard: &mut Heard, turn: &mut Turn, part: &Value) {
    let named = |camel: &str, snake: &str| part.get(camel).or_else(|| part.get(snake));
    if part["thought"] == true {
        return;
    }
    if let Some(text) = part["text"].as_str() {
        turn.texts.push(text.to_owned());
    } else if let Some(call) = named("functionCall", "function_call") {
        let call = heard.call(text_of(call, "id"), text_of(call, "name"), call["args"].clone());
        turn.calls.push(call);
    } else if let Some(answer) = named("functionResponse", "function_response") {
        let response = &answer["response"];
        let said = response.get("result").and_then(Value::as_str).map(str::to_owned);
        let content = said.unwrap_or_else(|| response.to_string());
        let result = heard.result(text_of(answer, "id"), content);
        turn.results.push(ToolResult { name: text_of(answer, "name"), ..result });
    } else {
        turn.texts.push(no_text(part));
    }
}

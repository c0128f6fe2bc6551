//! What models thought before they called tools, which has to come back unchanged with the results.

use std::collections::HashMap;

use serde_json::Value;

use super::evidence::{Refusal, WireFormat};
use super::said::Said;
use super::{anthropic, gemini, responses};

/// By wire format, model and call.
#[derive(Default)]
pub(super) struct Thoughts(HashMap<(WireFormat, String, String), Value>);

impl Thoughts {
    pub fn remember(&mut self, wire: WireFormat, said: &Said<'_>) {
        let (thought, prefix) = match wire {
            WireFormat::Anthropic => (anthropic::thought(said), "toolu"),
            WireFormat::OpenaiResponses => (responses::thought(said), "call"),
            WireFormat::Gemini => (gemini::thought(said), "fn"),
            WireFormat::Openai | WireFormat::Xai | WireFormat::Groq | WireFormat::Ollama => return,
        };
        if let Some(thought) = thought {
            self.0.insert((wire, said.model.to_owned(), said.call_id(prefix, 0)), thought);
        }
    }

    /// Each call that followed a thought stands behind it.
    pub fn check(&self, wire: WireFormat, model: &str, request: &Value) -> Result<(), Refusal> {
        let known = |id: &Value| self.0.get(&(wire, model.to_owned(), id.as_str()?.to_owned()));
        match wire {
            WireFormat::Anthropic => {
                for (index, message) in list(&request["messages"]).enumerate() {
                    let mut seen: Vec<&Value> = Vec::new();
                    for block in list(&message["content"]) {
                        if known(&block["id"]).is_some_and(|thought| !seen.contains(&thought)) {
                            return Err(Refusal::invalid(format!(
                                "messages.{index}.content: `thinking` or `redacted_thinking` blocks in the latest \
                                 assistant message cannot be modified. These blocks must remain as they were in \
                                 the original response."
                            )));
                        }
                        seen.push(block);
                    }
                }
            }
            WireFormat::OpenaiResponses => {
                let mut seen: Vec<&Value> = Vec::new();
                for item in list(&request["input"]) {
                    if known(&item["call_id"]).is_some_and(|thought| !seen.contains(&thought)) {
                        return Err(Refusal::invalid(format!(
                            "Item '{}' of type 'function_call' was provided without its required 'reasoning' item.",
                            item["id"].as_str().unwrap_or_default()
                        )));
                    }
                    seen.push(item);
                }
            }
            WireFormat::Gemini => {
                for part in list(&request["contents"]).flat_map(|content| list(&content["parts"])) {
                    let expected = known(&part["functionCall"]["id"]);
                    if expected.is_some_and(|signature| part["thoughtSignature"] != *signature) {
                        return Err(Refusal {
                            status: 400,
                            kind: "INVALID_ARGUMENT",
                            message: "Function call is missing a thought_signature in functionCall parts."
                                .into(),
                        });
                    }
                }
            }
            WireFormat::Openai | WireFormat::Xai | WireFormat::Groq | WireFormat::Ollama => {}
        }
        Ok(())
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

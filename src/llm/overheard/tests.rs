use super::*;
use crate::llm::trace::Part;

const ANTHROPIC: &str = r#"{"model":"m","system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}}],
    "tools":[{"name":"run","description":"Runs.","input_schema":{"type":"object"}},{"type":"bash_20250124","name":"bash"}],
    "messages":[{"role":"user","content":"Greet."},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"I look."},
            {"type":"tool_use","id":"c1","name":"run","input":{"line":"ls"}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"a.txt"}]},
            {"type":"text","text":"Go on."}]}]}"#;
const CHAT: &str = r#"{"model":"m","tools":[{"type":"function","function":{"name":"run","description":"Runs.","parameters":{"type":"object"}}},{"type":"bash"}],
    "messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"Greet."}]},
        {"role":"assistant","content":"I look.","tool_calls":[{"id":"c1","type":"function","function":{"name":"run","arguments":"{\"line\":\"ls\"}"}}]},
        {"role":"tool","tool_call_id":"c1","content":"a.txt"},{"role":"user","content":"Go on."}]}"#;
const RESPONSES: &str = r#"{"model":"m","instructions":"Be brief.","tools":[{"type":"function","name":"run","description":"Runs.","parameters":{"type":"object"}},{"type":"bash"}],
    "input":[{"role":"user","content":[{"type":"input_text","text":"Greet."}]},{"type":"reasoning","encrypted_content":"x"},
        {"type":"message","role":"assistant","content":[{"type":"output_text","text":"I look."}]},
        {"type":"function_call","call_id":"c1","name":"run","arguments":"{\"line\":\"ls\"}"},
        {"type":"function_call_output","call_id":"c1","output":"a.txt"},{"role":"user","content":"Go on."}]}"#;
const GEMINI: &str = r#"{"systemInstruction":{"parts":[{"text":"Be brief."}]},
    "tools":[{"functionDeclarations":[{"name":"run","description":"Runs.","parameters":{"type":"object"}},{"name":"bash"}]}],
    "contents":[{"role":"user","parts":[{"text":"Greet."}]},
        {"role":"model","parts":[{"text":"hm","thought":true},{"text":"I look."},{"functionCall":{"id":"c1","name":"run","args":{"line":"ls"}},"thoughtSignature":"s"}]},
        {"role":"user","parts":[{"functionResponse":{"id":"c1","name":"run","response":{"result":"a.txt"}}},{"text":"Go on."}]}]}"#;

fn read(protocol: Protocol, body: &str) -> Request {
    request(protocol, serde_json::from_str(body).expect("JSON"))
}

/// The same for whatever wire it came over.
fn told(request: &Request) -> Value {
    let tools: Vec<_> = request.tools.iter().map(|tool| (&tool.name, &tool.description)).collect();
    json!({ "system": request.system, "tools": tools, "messages": request.messages })
}

#[test]
fn an_id_is_no_place_for_a_text() {
    let long = "x".repeat(1 << 20);
    let body = ANTHROPIC.replace("\"c1\"", &format!("{long:?}")).replace("\"run\"", &format!("{long:?}"));
    let heard = serde_json::to_string(&told(&read(Protocol::Anthropic, &body))).expect("JSON");
    assert!(heard.len() < 4_000, "{} bytes", heard.len());
}

#[test]
fn the_same_conversation_is_read_from_every_wire() {
    let expected = json!({
        "system": "Be brief.",
        "tools": [["run", "Runs."], ["bash", ""]],
        "messages": [
            { "from": "user", "text": "Greet." },
            { "from": "assistant", "text": "I look.", "continuation": null,
              "tool_calls": [{ "id": "c1", "name": "run", "arguments": { "line": "ls" } }] },
            { "from": "tool_results", "results": [{ "id": "c1", "name": "run", "content": "a.txt" }] },
            { "from": "user", "text": "Go on." },
        ],
    });
    for (protocol, body) in [
        (Protocol::Anthropic, ANTHROPIC),
        (Protocol::OpenAi, CHAT),
        (Protocol::OpenAiResponses, RESPONSES),
        (Protocol::Gemini, GEMINI),
    ] {
        let heard = read(protocol, body);
        assert_eq!(told(&heard), expected, "{protocol:?}");
        assert_eq!(heard.tools[0].schema, json!({ "type": "object" }), "{protocol:?}");
    }
}

#[test]
fn an_answer_and_the_turn_that_repeats_it_are_the_same_text() {
    let answers = [
        (
            Protocol::Anthropic,
            ANTHROPIC,
            json!({ "type": "message", "stop_reason": "tool_use", "content": [
                { "type": "thinking", "thinking": "hm", "signature": "s" }, { "type": "text", "text": "I look." },
                { "type": "tool_use", "id": "c1", "name": "run", "input": { "line": "ls" } }] }),
        ),
        (
            Protocol::OpenAi,
            CHAT,
            json!({ "choices": [{ "finish_reason": "tool_calls", "message": { "content": "I look.", "tool_calls": [
                { "id": "c1", "function": { "name": "run", "arguments": "{\"line\":\"ls\"}" } }] } }] }),
        ),
        (
            Protocol::OpenAiResponses,
            RESPONSES,
            json!({ "status": "completed", "output": [
                { "type": "message", "content": [{ "type": "output_text", "text": "I look." }] },
                { "type": "function_call", "call_id": "c1", "name": "run", "arguments": "{\"line\":\"ls\"}" }] }),
        ),
        (
            Protocol::Gemini,
            GEMINI,
            json!({ "candidates": [{ "finishReason": "STOP", "content": { "parts": [
                { "text": "I look." }, { "functionCall": { "id": "c1", "name": "run", "args": { "line": "ls" } } }] } }] }),
        ),
    ];
    for (protocol, body, answer) in answers {
        let mut answered = Answered::new(protocol);
        answered.whole(&answer);
        let answer = answered.into_message().expect("it said something");
        let turns = read(protocol, body).messages;
        assert_eq!(
            Part::Message(&answer).digest(),
            Part::Message(&turns[1]).digest(),
            "{protocol:?}: {answer:?}"
        );
    }
}

#[test]
fn what_is_no_conversation_is_one_text() {
    for (protocol, body) in [
        (Protocol::Anthropic, r#"{"model":"m"}"#),
        (Protocol::Anthropic, r#"{"messages":[{"content":"no role"}]}"#),
        (Protocol::OpenAi, r#"{"messages":"hello"}"#),
        (Protocol::OpenAiResponses, r#"{"input":7}"#),
        (Protocol::Gemini, r#"{"contents":{}}"#),
    ] {
        let heard = read(protocol, body);
        assert!(
            matches!(heard.messages.as_slice(), [Message::User { text }] if text == body),
            "{protocol:?}: {:?}",
            heard.messages
        );
    }
}

#[test]
fn a_record_is_bounded_and_pictures_are_named() {
    let long = "é".repeat(TEXT_MAX_CHARS);
    let picture = json!({ "type": "image", "source": { "type": "base64", "data": "A".repeat(90_000) } });
    let content = json!([{ "type": "text", "text": long.clone() + "x" }, picture]);
    let body = json!({ "messages": [{ "role": "user", "content": content }] });
    let heard = request(Protocol::Anthropic, body);
    let [Message::User { text }] = heard.messages.as_slice() else { panic!("one turn") };
    assert!(text.chars().count() < TEXT_MAX_CHARS + 100 && text.contains("characters left out"));
    let heard =
        request(Protocol::Anthropic, json!({ "messages": [{ "role": "user", "content": [picture] }] }));
    let [Message::User { text }] = heard.messages.as_slice() else { panic!("one turn") };
    assert!(text.starts_with("[image, 90") && text.len() < 3_000, "{text}");
    let turn = json!({ "role": "user", "content": "x" });
    let heard = request(Protocol::OpenAi, json!({ "messages": vec![turn; MOST_TURNS + 7] }));
    assert_eq!(heard.messages.len(), MOST_TURNS + 1);
    assert!(matches!(heard.messages.last(), Some(Message::User { text }) if text.contains("7 more turns")));
}

#[test]
fn a_stream_that_breaks_off_leaves_what_was_read() {
    let mut answered = Answered::new(Protocol::Anthropic);
    for event in [
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "I be" } }),
        json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "tool_use", "id": "c", "name": "run", "input": {} } }),
        json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "input_json_delta", "partial_json": "{\"li" } }),
    ] {
        answered.event(event);
    }
    let Some(Message::Assistant { text, tool_calls, .. }) = answered.into_message() else {
        panic!("nothing")
    };
    assert_eq!((text.as_str(), tool_calls[0].arguments.as_str()), ("I be", Some("{\"li")));
    assert!(Answered::new(Protocol::OpenAi).into_message().is_none());
}

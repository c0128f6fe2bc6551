use super::*;

fn name() -> ModelName {
    ModelName { provider: "p".into(), model: "m".into() }
}

fn read(protocol: Protocol, events: &[Value]) -> Draft {
    let mut draft = Draft::new(protocol);
    for event in events {
        draft.event(&event.to_string());
    }
    draft
}

fn reply(protocol: Protocol, events: &[Value]) -> Reply {
    read(protocol, events).into_reply(&name(), 99).expect("whole")
}

fn anthropic_start() -> Value {
    json!({"type": "message_start", "message": {"usage":
        {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2, "output_tokens": 1}}})
}

#[test]
fn half_an_answer_is_none_and_what_was_counted_of_it_is_kept() {
    let draft = read(
        Protocol::Anthropic,
        &[
            anthropic_start(),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x".repeat(40)}}),
        ],
    );
    assert!(!draft.is_whole() && draft.failure().is_none());
    let expected = TokenCount { input: 12, cached: 5, cache_written: 2, output: 10 };
    assert_eq!(
        draft.spent(99),
        (expected, Accounting::Estimated),
        "the prompt as counted, the answer by size"
    );
    assert!(draft.into_reply(&name(), 99).is_none());
}

#[test]
fn thoughts_of_anthropic_keep_their_place_and_their_signature() {
    let delta =
        |index: usize, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let reply = reply(
        Protocol::Anthropic,
        &[
            anthropic_start(),
            json!({"type": "content_block_start", "index": 0,
                "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
            delta(0, json!({"type": "thinking_delta", "thinking": "Let me "})),
            delta(0, json!({"type": "thinking_delta", "thinking": "look."})),
            delta(0, json!({"type": "signature_delta", "signature": "c2ln"})),
            json!({"type": "content_block_start", "index": 1,
                "content_block": {"type": "tool_use", "id": "t1", "name": "read", "input": {}}}),
            delta(1, json!({"type": "input_json_delta", "partial_json": "{\"path\":"})),
            delta(1, json!({"type": "input_json_delta", "partial_json": "\"a\"}"})),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 30}}),
        ],
    );
    assert_eq!(reply.tool_calls[0].arguments, json!({"path": "a"}));
    assert_eq!((reply.tokens.input, reply.tokens.output), (12, 30));
    assert_eq!(reply.accounting, Accounting::Reported);
    let blocks = reply.continuation.expect("kept").blocks;
    assert_eq!(blocks[0], json!({"type": "thinking", "thinking": "Let me look.", "signature": "c2ln"}));
    assert_eq!(blocks[1]["input"], json!({"path": "a"}));
}

#[test]
fn arguments_that_are_no_json_are_kept_for_the_model_to_be_told() {
    for (arguments, expected) in [("", json!({})), ("{\"a\": 1}", json!({"a": 1})), ("{\"a", json!("{\"a"))] {
        let call = json!({"index": 0, "id": "c", "function": {"name": "list", "arguments": arguments}});
        let reply = reply(
            Protocol::OpenAi,
            &[
                json!({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": null}]}),
                json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
                json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}),
            ],
        );
        assert_eq!(reply.tool_calls[0].arguments, expected);
        assert_eq!((reply.tokens.input, reply.tokens.output), (7, 3));
    }
}

#[test]
fn a_call_that_the_output_limit_cut_is_never_carried_out() {
    let call = json!({"index": 0, "id": "c", "function": {"name": "write", "arguments": "{\"path\": \"/et"}});
    let reply = reply(
        Protocol::OpenAi,
        &[json!({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3}})],
    );
    assert_eq!((reply.stop, reply.tool_calls.len()), (StopReason::OutputLimit, 0));
}

#[test]
fn thoughts_that_a_provider_counts_apart_are_output() {
    let chat = json!({"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115}});
    assert_eq!(reply(Protocol::OpenAi, &[chat]).tokens.output, 105, "xAI");
    let gemini = json!({"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 100}});
    assert_eq!(reply(Protocol::Gemini, &[gemini]).tokens.output, 105);
}

#[test]
fn an_answer_without_a_count_is_told_apart_as_an_estimate() {
    let chat = json!({"choices": [{"delta": {"content": "12345678"}, "finish_reason": "stop"}]});
    let reply = reply(Protocol::OpenAi, &[chat]);
    assert_eq!((reply.accounting, reply.tokens.input, reply.tokens.output), (Accounting::Estimated, 99, 2));
}

#[test]
fn a_refusal_is_whole_only_with_its_end() {
    let refusal = json!({"choices": [{"delta": {"refusal": "No."}, "finish_reason": null}]});
    assert!(!read(Protocol::OpenAi, std::slice::from_ref(&refusal)).is_whole());
    let end = json!({"choices": [{"delta": {}, "finish_reason": "stop"}]});
    assert_eq!(reply(Protocol::OpenAi, &[refusal, end]).stop, StopReason::Refused);
}

#[test]
fn an_answer_without_end_stops_being_read() {
    let mut draft = Draft::new(Protocol::OpenAi);
    let chunk = json!({"choices": [{"delta": {"content": "x".repeat(1024 * 1024)}}]}).to_string();
    (0..20).for_each(|_| draft.event(&chunk));
    assert!(draft.is_too_large() && draft.text.len() <= MAX_ANSWER_BYTES);
    assert!(draft.failure().expect("told").to_string().contains("more than"));
}

#[test]
fn no_event_makes_the_reader_stumble() {
    let oddities = [
        json!(null),
        json!([]),
        json!("x"),
        json!({"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta"}}),
        json!({"type": "response.output_item.done", "output_index": u64::MAX, "item": 3}),
        json!({"choices": [{"delta": {"tool_calls": [1, null, {"index": -1}]}}]}),
        json!({"candidates": [{"content": {"parts": [1, {"functionCall": 2}, {"text": null}]}}]}),
        json!({"message": {"tool_calls": [{}]}, "done": 1}),
        json!({"type": "message_start"}),
        json!({"type": "content_block_start", "index": 1, "content_block": "x"}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "thinking_delta", "thinking": "x"}}),
    ];
    let wires = [
        Protocol::Anthropic,
        Protocol::OpenAi,
        Protocol::OpenAiResponses,
        Protocol::Gemini,
        Protocol::Ollama,
    ];
    for protocol in wires {
        let mut draft = read(protocol, &oddities);
        oddities.iter().for_each(|body| draft.whole(body));
        draft.event("{\"cut");
        assert!(draft.failure().is_some(), "{protocol:?}");
    }
}

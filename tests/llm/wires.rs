//! What each provider's wire format carries there and back.

use orchestrator::llm::{Effort, Message, Request, StopReason, ToolResult};
use orchestrator::simulator::model::Answer as Scripted;
use serde_json::{Value, json};

use crate::bench::{
    WIRES, ask, assert_ledger_equals_server, bench, bench_with, context, fails, model, read_file, refusal,
    results, whole,
};

#[tokio::test]
async fn a_tool_call_and_its_result_travel_through_each_wire_format() {
    for provider in WIRES {
        let bench = bench(provider).await;
        let mut request = Request { tools: vec![read_file()], ..ask("What is in the file?") };
        let answer = bench.client.call(&context(), request.clone()).await.expect("answers");
        assert_eq!(answer.stop, StopReason::ToolCalls, "{provider}");
        assert_eq!(answer.text, "I look.", "{provider}");
        assert_eq!(answer.tool_calls.len(), 1);
        let call = answer.tool_calls[0].clone();
        assert_eq!((call.name.as_str(), &call.arguments), ("read_file", &json!({"path": "a.txt"})));

        request.messages.push(answer.into_message());
        request.messages.push(Message::ToolResults {
            results: vec![ToolResult { id: call.id, name: call.name, content: "the file says 42".into() }],
        });
        let answer = bench.client.call(&context(), request).await.expect("answers");
        assert_eq!((answer.text.as_str(), answer.stop), ("It is 42.", StopReason::Completed));
        assert_ledger_equals_server(&bench);
    }
}

#[tokio::test]
async fn structured_output_is_asked_for_in_the_providers_own_field() {
    for (provider, path) in [
        ("anthropic", "/output_config/format/schema/properties/verdict/type"),
        ("openai", "/text/format/schema/properties/verdict/type"),
        ("on-this-machine", "/response_format/json_schema/schema/properties/verdict/type"),
        ("xai", "/response_format/json_schema/schema/properties/verdict/type"),
        ("groq", "/response_format/json_schema/schema/properties/verdict/type"),
        ("gemini", "/generationConfig/responseJsonSchema/properties/verdict/type"),
        ("ollama", "/format/properties/verdict/type"),
    ] {
        let bench = bench(provider).await;
        let schema = json!({
            "type": "object", "properties": {"verdict": {"type": "string"}},
            "required": ["verdict"], "additionalProperties": false,
        });
        let request = Request { response_schema: Some(schema), ..ask("Judge it as JSON") };
        let answer = bench.client.call(&context(), request).await.expect("answers");
        assert_eq!(serde_json::from_str::<Value>(&answer.text).expect("JSON"), json!({"verdict": "good"}));
        assert_eq!(bench.server.journal()[0].request.pointer(path), Some(&json!("string")), "{provider}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_know_the_schema_field_is_asked_without_it() {
    let bench = bench("on-this-machine").await;
    bench.server.inject([Scripted::Error {
        status: 400,
        retry_after: None,
        message: "Unknown parameter: 'response_format.json_schema'.".into(),
        code: None,
    }]);
    let request = Request {
        response_schema: Some(json!({"type": "object", "properties": {}, "additionalProperties": false})),
        ..ask("Judge it as JSON")
    };
    let answer = bench.client.call(&context(), request).await.expect("answers");
    assert_eq!(answer.text, r#"{"verdict":"good"}"#);
    let journal = bench.server.journal();
    assert_eq!(journal.len(), 2);
    assert!(journal[1].request.get("response_format").is_none());
}

#[tokio::test]
async fn cached_tokens_are_counted_and_priced_apart() {
    for provider in WIRES {
        let bench = bench(provider).await;
        let system = "A long instruction that is the same each time. ".repeat(200);
        let request = |text: &str| Request { system: system.clone(), tools: vec![read_file()], ..ask(text) };
        let first = bench.client.call(&context(), request("What is in the file?")).await.expect("answers");
        assert_eq!(first.tokens.cached, 0, "{provider}");
        let mut second = request("What is in the file?");
        let call = first.tool_calls[0].clone();
        second.messages.push(first.into_message());
        second.messages.push(Message::ToolResults {
            results: vec![ToolResult { id: call.id, name: call.name, content: "the file says 42".into() }],
        });
        let second = bench.client.call(&context(), second).await.expect("answers");
        assert!(second.tokens.cached > 1_024, "{provider}: {:?}", second.tokens);
        let all_new = second.tokens.input + second.tokens.cached;
        assert!(second.usage.cost_micro_usd < all_new * 3, "{provider}: the cached part is cheaper");
        assert_eq!(second.usage.cached_tokens, second.tokens.cached);
        assert_ledger_equals_server(&bench);
    }
}

#[tokio::test]
async fn stop_reasons_keep_their_meaning() {
    for provider in WIRES {
        let bench = bench(provider).await;
        for (text, stop) in [
            ("Tell a long story", StopReason::OutputLimit),
            // A local model refuses in words only.
            (
                "Do something forbidden",
                if provider == "ollama" { StopReason::Completed } else { StopReason::Refused },
            ),
            ("hello", StopReason::Completed),
        ] {
            let answer = bench.client.call(&context(), ask(text)).await.expect("answers");
            assert_eq!(answer.stop, stop, "{provider}: {text}");
            assert!(!answer.text.is_empty(), "{provider}: {text}");
        }
    }
}

#[tokio::test]
async fn a_missing_key_is_sent_as_no_key_at_all() {
    for provider in WIRES.into_iter().filter(|provider| *provider != "ollama") {
        let bench = bench_with(&[model(provider)], |settings| {
            for endpoint in settings.endpoints.values_mut() {
                endpoint.key = None;
            }
        })
        .await;
        let error = fails(&bench, "hello").await.to_string();
        let said = ["is required", "didn't provide an API key", "unregistered callers"];
        assert!(said.iter().any(|said| error.contains(said)), "{provider}: {error}");
    }
}

/// The request of each provider asks for a stream, and the same answer comes as in one piece.
#[tokio::test]
async fn an_answer_is_the_same_streamed_and_in_one_piece() {
    for provider in WIRES {
        let mut told = Vec::new();
        for streamed in [true, false] {
            let bench = bench_with(&[model(provider)], |settings| {
                if !streamed {
                    whole(settings)
                }
            })
            .await;
            let request = Request { tools: vec![read_file()], ..ask("Think about the file") };
            let answer = bench.client.call(&context(), request).await.expect("answers");
            let sent = &bench.server.journal()[0].request;
            if provider != "gemini" {
                assert_eq!(sent["stream"], streamed, "{provider}: {sent}");
            }
            let calls: Vec<_> =
                answer.tool_calls.iter().map(|call| (call.name.clone(), call.arguments.clone())).collect();
            told.push((answer.text, calls, answer.stop, answer.tokens, answer.continuation));
            assert_ledger_equals_server(&bench);
        }
        let (piecewise, at_once) = (&told[0], &told[1]);
        assert_eq!(piecewise, at_once, "{provider}");
        assert_eq!((piecewise.0.as_str(), piecewise.1.len()), ("I look.", 1), "{provider}");
    }
}

/// The server remembers what the model thought, and refuses results of calls that come back without it.
#[tokio::test]
async fn thoughts_go_back_unchanged_to_the_model_that_had_them_and_to_nobody_else() {
    for provider in ["anthropic", "openai", "gemini", "on-this-machine"] {
        let other = "xai";
        let bench = bench_with(&[model(provider), model(other)], |_| {}).await;
        let mut request = Request { tools: vec![read_file()], ..ask("Think about the file") };
        let answer = bench.client.call(&context(), request.clone()).await.expect("answers");
        let call = answer.tool_calls[0].clone();
        let continuation = answer.continuation.clone().expect("kept");
        request.messages.push(answer.into_message());
        request.messages.push(results(&call, "the file says 42"));
        let answer = bench.client.call(&context(), request.clone()).await;
        assert_eq!(answer.expect("the thought was there").model.provider, provider);

        let thought = if provider == "on-this-machine" { "It must be in the file." } else { "c2lnbmVk0001" };
        let sent = |at: usize| bench.server.journal()[at].request.to_string();
        assert!(sent(1).contains(thought), "{provider}: {}", sent(1));
        assert!(serde_json::to_string(&continuation).expect("kept as text").contains(thought));

        bench.server.inject([refusal(401, None)]);
        bench.client.call(&context(), request.clone()).await.expect("the other answers");
        assert!(!sent(3).contains(thought), "{provider}: {}", sent(3));

        if provider != "on-this-machine" {
            // Without its thought the call is refused, so the server really looks.
            let Message::Assistant { continuation, .. } = &mut request.messages[1] else { unreachable!() };
            *continuation = None;
            let answer = bench.client.call(&context(), request).await.expect("the other answers");
            assert_eq!(answer.model.provider, other, "{provider} refuses");
        }
    }
}

#[tokio::test]
async fn a_models_name_is_sent_as_it_is_written_and_its_effort_apart() {
    let cases = [
        ("anthropic", "claude-x-high", "/model", "/output_config/effort"),
        ("openai", "gpt-5.1-codex-max", "/model", "/reasoning/effort"),
        ("on-this-machine", "qwen3-max", "/model", "/reasoning_effort"),
        ("ollama", "phi-low", "/model", "/think"),
    ];
    for (provider, name, path, effort_path) in cases {
        let mut full = model(provider);
        full.model = name.to_owned();
        let bench = bench_with(&[full.clone()], |_| {}).await;
        bench.client.call(&context(), ask("hello")).await.expect("answers");
        let sent = bench.server.journal()[0].request.clone();
        assert_eq!(sent.pointer(path), Some(&json!(name)), "{provider}");
        if provider != "anthropic" {
            assert_eq!(sent.pointer(effort_path), None, "{provider}: no effort was asked for");
        }
    }
    let bench = bench_with(&[model("on-this-machine")], |settings| {
        settings.roles.values_mut().for_each(|list| list[0].effort = Some(Effort::Low));
    })
    .await;
    bench.client.call(&context(), ask("hello")).await.expect("answers");
    assert_eq!(bench.server.journal()[0].request["reasoning_effort"], "low");
}

#[tokio::test]
async fn ollama_is_told_how_long_the_context_is() {
    let bench = bench_with(&[model("ollama")], |settings| {
        settings.roles.values_mut().for_each(|list| list[0].context_tokens = Some(32_768));
    })
    .await;
    bench.client.call(&context(), ask("hello")).await.expect("answers");
    assert_eq!(bench.server.journal()[0].request["options"]["num_ctx"], 32_768);
}

#[tokio::test]
async fn settings_of_a_model_and_of_a_request_reach_each_provider() {
    let cases = [
        ("anthropic", "/temperature", "/max_tokens"),
        ("on-this-machine", "/temperature", "/max_tokens"),
        ("gemini", "/generationConfig/temperature", "/generationConfig/maxOutputTokens"),
        ("xai", "/temperature", "/max_tokens"),
        ("groq", "/temperature", "/max_tokens"),
        ("ollama", "/options/temperature", "/options/num_predict"),
    ];
    for (provider, temperature, limit) in cases {
        let bench = bench(provider).await;
        let request = Request { temperature: Some(0.5), max_output_tokens: Some(77), ..ask("hello") };
        bench.client.call(&context(), request).await.expect("answers");
        let sent = bench.server.journal()[0].request.clone();
        assert_eq!(sent.pointer(temperature).and_then(Value::as_f64), Some(0.5), "{provider}: {sent}");
        assert_eq!(sent.pointer(limit), Some(&json!(77)), "{provider}: {sent}");
    }
}

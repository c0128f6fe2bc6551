//! What the server itself insists on: without it, the other tests would prove little.

use orchestrator::simulator::model::{ModelServer, Scenario};
use serde_json::{Value, json};

use crate::bench::{SCENARIO, bench, fails};

async fn raw(server: &ModelServer, path: &str, body: &Value) -> (u16, String) {
    let response = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("client")
        .post(format!("{}{path}", server.anthropic_url()))
        .header("x-api-key", server.api_key())
        .header("x-goog-api-key", server.api_key())
        .header("anthropic-version", "2023-06-01")
        .bearer_auth(server.api_key())
        .json(body)
        .send()
        .await
        .expect("sent");
    (response.status().as_u16(), response.text().await.expect("text"))
}

#[tokio::test]
async fn the_server_refuses_what_anthropic_refuses() {
    let server = ModelServer::start(Scenario::parse(SCENARIO).expect("parses")).await.expect("starts");
    let user = json!({"role": "user", "content": "hello"});
    let call =
        json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "x", "input": {}}]});
    let result =
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "r"}]});
    let cases = [
        (json!({"model": "m", "messages": [user]}), "max_tokens: Field required"),
        (json!({"max_tokens": 1, "messages": [user]}), "model: Field required"),
        (json!({"model": "m", "max_tokens": 1, "messages": []}), "at least one message"),
        (json!({"model": "m", "max_tokens": 1, "messages": [call]}), "first message must use"),
        (json!({"model": "m", "max_tokens": 1, "messages": [user, call]}), "without `tool_result` blocks"),
        (
            json!({"model": "m", "max_tokens": 1, "messages": [user, call, user]}),
            "without `tool_result` blocks",
        ),
        (json!({"model": "m", "max_tokens": 1, "messages": [user, result]}), "unexpected `tool_use_id`"),
        (json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": ""}]}), "non-empty"),
        (json!({"model": "m", "max_tokens": 1, "messages": [user], "temperature": 1.5}), "temperature"),
        (json!({"model": "m", "max_tokens": 1, "messages": [user], "max_token": 2}), "Extra inputs"),
    ];
    for (body, part) in cases {
        let (status, text) = raw(&server, "/v1/messages", &body).await;
        assert_eq!(status, 400, "{body}: {text}");
        assert!(text.contains(part) && text.contains("invalid_request_error"), "{body}: {text}");
    }
    let good = json!({"model": "m", "max_tokens": 1, "messages": [user, call, result, {"role": "user", "content": "hello"}]});
    assert_eq!(raw(&server, "/v1/messages", &good).await.0, 200);
}

#[tokio::test]
async fn the_server_refuses_what_openai_refuses() {
    let server = ModelServer::start(Scenario::parse(SCENARIO).expect("parses")).await.expect("starts");
    let user = json!({"role": "user", "content": "hello"});
    let call = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "x", "arguments": "{}"}}]});
    let result = json!({"role": "tool", "tool_call_id": "c1", "content": "hello"});
    let open = json!({"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema":
        {"type": "object", "properties": {"x": {"type": "string"}}, "required": [], "additionalProperties": false}}});
    let cases = [
        (json!({"messages": [user]}), "model parameter"),
        (json!({"model": "m", "messages": []}), "empty array"),
        (json!({"model": "m", "messages": [user, call]}), "must be followed by tool messages"),
        (json!({"model": "m", "messages": [user, call, user]}), "must be followed by tool messages"),
        (json!({"model": "m", "messages": [user, result]}), "must be a response to a preceding message"),
        (json!({"model": "gpt-5", "messages": [user], "max_tokens": 1}), "max_completion_tokens"),
        (json!({"model": "m", "messages": [user], "tokens": 1}), "Unrecognized request argument"),
        (json!({"model": "m", "messages": [user], "response_format": open}), "Missing 'x'"),
    ];
    for (body, part) in cases {
        let (status, text) = raw(&server, "/v1/chat/completions", &body).await;
        assert_eq!(status, 400, "{body}: {text}");
        assert!(text.contains(part), "{body}: {text}");
    }
    let good = json!({"model": "m", "messages": [user, call, result]});
    assert_eq!(raw(&server, "/v1/chat/completions", &good).await.0, 200);
}

#[tokio::test]
async fn a_request_that_no_rule_fits_is_refused_and_kept() {
    let bench = bench("anthropic").await;
    let error = fails(&bench, "What is in the file?").await.to_string();
    assert!(error.contains("look into the file") && error.contains("the tool read_file"), "{error}");
    let journal = bench.server.journal();
    assert!(journal[0].refusal.as_deref().is_some_and(|text| text.contains("read_file")));
}

#[tokio::test]
async fn the_server_refuses_what_the_responses_api_refuses() {
    let server = ModelServer::start(Scenario::parse(SCENARIO).expect("parses")).await.expect("starts");
    let user = json!({"role": "user", "content": "hello"});
    let call = json!({"type": "function_call", "call_id": "c1", "name": "x", "arguments": "{}"});
    let output = json!({"type": "function_call_output", "call_id": "c1", "output": "hello"});
    let lost = json!({"type": "reasoning", "id": "rs_1", "summary": []});
    let secret = json!(["reasoning.encrypted_content"]);
    let cases = [
        (json!({"input": [user]}), "'model'"),
        (json!({"model": "m", "input": []}), "'input'"),
        (json!({"model": "m", "input": [user], "max_tokens": 9}), "Unknown parameter: 'max_tokens'"),
        (json!({"model": "m", "input": [user], "max_output_tokens": 15}), "below minimum"),
        (json!({"model": "gpt-5.4", "input": [user], "temperature": 0.2}), "'temperature' is not supported"),
        (
            json!({"model": "gpt-4.1", "input": [user], "include": secret}),
            "Encrypted content is not supported",
        ),
        (json!({"model": "m", "input": [user, call]}), "No tool output found for function call c1"),
        (json!({"model": "m", "input": [user, output]}), "No tool call found"),
        (json!({"model": "m", "input": [user, lost]}), "not persisted when `store` is set to false"),
        (json!({"model": "m", "input": [{"role": "tool", "content": "x"}]}), "Supported values"),
    ];
    for (body, part) in cases {
        let (status, text) = raw(&server, "/v1/responses", &body).await;
        assert_eq!(status, 400, "{body}: {text}");
        assert!(text.contains(part), "{body}: {text}");
    }
    let good = json!({"model": "m", "input": [user, call, output]});
    assert_eq!(raw(&server, "/v1/responses", &good).await.0, 200);
}

#[tokio::test]
async fn the_server_refuses_what_gemini_refuses() {
    let server = ModelServer::start(Scenario::parse(SCENARIO).expect("parses")).await.expect("starts");
    let path = "/v1beta/models/gemini-3.6-flash:generateContent";
    let user = json!({"role": "user", "parts": [{"text": "hello"}]});
    let call = json!({"role": "model", "parts": [{"functionCall": {"name": "x", "args": {}}}]});
    let result = json!({"role": "user", "parts": [{"functionResponse": {"name": "x", "response": {"content": "hello"}}}]});
    let schema = json!({"responseJsonSchema": {"type": "object"}});
    let cases = [
        (json!({"contents": []}), "contents is not specified"),
        (json!({"contents": [{"role": "user", "parts": []}]}), "must not be empty"),
        (json!({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}), "valid role: user, model"),
        (json!({"contents": [user], "max_tokens": 9}), "Unknown name"),
        (json!({"contents": [user], "generationConfig": {"maxTokens": 9}}), "Unknown name"),
        (json!({"contents": [user], "generationConfig": schema}), "responseMimeType"),
        (json!({"contents": [call]}), "immediately after a user turn"),
        (json!({"contents": [user, call, user]}), "number of function response parts"),
        (json!({"contents": [user, result]}), "number of function response parts"),
    ];
    for (body, part) in cases {
        let (status, text) = raw(&server, path, &body).await;
        assert_eq!(status, 400, "{body}: {text}");
        assert!(text.contains(part) && text.contains("INVALID_ARGUMENT"), "{body}: {text}");
    }
    assert_eq!(raw(&server, path, &json!({"contents": [user, call, result]})).await.0, 200);
    assert_eq!(raw(&server, "/v1beta/models/x:embed", &json!({})).await.0, 404);
}

#[tokio::test]
async fn the_server_refuses_the_little_that_ollama_refuses() {
    let server = ModelServer::start(Scenario::parse(SCENARIO).expect("parses")).await.expect("starts");
    let user = json!({"role": "user", "content": "hello"});
    let call = json!({"role": "assistant", "tool_calls": [{"function": {"name": "x", "arguments": "{}"}}]});
    let cases = [
        (json!({"messages": [user]}), "model is required"),
        (json!({"model": "m", "messages": [user], "format": "xml"}), "invalid format"),
        (
            json!({"model": "m", "messages": [user], "options": {"num_ctx": "many"}}),
            "must be of type integer",
        ),
        (json!({"model": "m", "messages": [user, call]}), "cannot unmarshal string"),
        (json!({"model": "m", "messages": [{"role": "wizard", "content": "hello"}]}), "invalid role"),
    ];
    for (body, part) in cases {
        let (status, text) = raw(&server, "/api/chat", &body).await;
        assert_eq!(status, 400, "{body}: {text}");
        assert!(text.contains(part), "{body}: {text}");
    }
    let unknown = json!({"model": "m", "messages": [user], "whatever": 1, "stream": false});
    assert_eq!(raw(&server, "/api/chat", &unknown).await.0, 200, "what it does not know it skips");
}

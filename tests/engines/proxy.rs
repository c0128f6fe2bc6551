//! The proxy at its edges, asked over its socket by a client without a sandbox.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use orchestrator::engines::MeteringProxy;
use orchestrator::llm::{Accounting, Message, TokenCount};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::scene::{CLAUDE, GPT, GREETS, NO_LIMITS, PATIENCE, Providers, Scene, model_server};

fn client(proxy: &MeteringProxy) -> reqwest::Client {
    reqwest::Client::builder().unix_socket(proxy.socket()).build().expect("a client")
}

async fn post(proxy: &MeteringProxy, path: &str, body: &Value) -> reqwest::Response {
    let request = client(proxy).post(format!("http://proxy{path}")).json(body);
    request.send().await.expect("an answer")
}

fn messages(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "Greet the world"}]})
}

fn chat(model: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "Greet the world"}]})
}

/// What a provider of the tests' own was sent.
type Heard = Arc<Mutex<Vec<(HeaderMap, String, Value)>>>;

/// The pieces of an answer.
type Coming = mpsc::Receiver<Result<Bytes, std::io::Error>>;

/// A provider whose answers a test says piece by piece.
struct Provider {
    url: String,
    heard: Heard,
    pieces: mpsc::Sender<Result<Bytes, std::io::Error>>,
    answered: Arc<Mutex<Option<Coming>>>,
}

impl Provider {
    /// Answers one request with `status` and the pieces, of this content type.
    async fn new(status: u16, content_type: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (pieces, coming) = mpsc::channel(100);
        let heard = Heard::default();
        let answered = Arc::new(Mutex::new(Some(coming)));
        let (hearing, answering) = (heard.clone(), answered.clone());
        let router = axum::Router::new().fallback(move |request: Request| {
            let (hearing, answering) = (hearing.clone(), answering.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 30).await.expect("a body");
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                hearing.lock().expect("no panic").push((parts.headers, parts.uri.to_string(), body));
                let coming = answering.lock().expect("no panic").take().expect("one request");
                let body =
                    futures::stream::unfold(coming, async |mut coming| Some((coming.recv().await?, coming)));
                let mut response = Response::new(Body::from_stream(body));
                *response.status_mut() = status.try_into().expect("a status");
                response.headers_mut().insert("content-type", content_type.parse().expect("a value"));
                response.headers_mut().insert("retry-after", "7".parse().expect("a value"));
                response.headers_mut().insert("set-cookie", "a=b".parse().expect("a value"));
                response
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, heard, pieces, answered }
    }

    async fn say(&self, text: &str) {
        self.pieces.send(Ok(Bytes::copy_from_slice(text.as_bytes()))).await.expect("heard");
    }

    /// The answer's end.
    fn end(&mut self) {
        self.pieces = mpsc::channel(1).0;
    }

    fn heard(&self) -> (HeaderMap, String, Value) {
        self.heard.lock().expect("no panic").first().expect("a request").clone()
    }

    fn was_asked(&self) -> bool {
        self.answered.lock().expect("no panic").is_none()
    }
}

const KEY: &str = "sk-canary-7b1f";

fn scene(provider: &Provider) -> Scene {
    Scene::new(&Providers::at(&provider.url, KEY), NO_LIMITS)
}

/// The records, once there are so many.
async fn records(scene: &Scene, count: usize) -> Vec<orchestrator::llm::CallRecord> {
    let begun = Instant::now();
    while scene.book.records().len() < count && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    scene.book.records()
}

#[tokio::test]
async fn a_stream_passes_as_it_comes_and_is_counted_at_its_end() {
    let mut provider = Provider::new(200, "text/event-stream").await;
    let scene = scene(&provider);
    let proxy = scene.open().await;
    let mut answer = post(&proxy, "/v1/chat/completions", &chat(GPT, true)).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert!(!answer.headers().contains_key("set-cookie"));
    // The second piece is said only when the first has come out at the other end.
    provider.say("data: {\"choices\":[{\"delta\":{\"content\":\"hel\"}}]}\n\n").await;
    let first = answer.chunk().await.expect("a piece").expect("no end");
    assert!(first.ends_with(b"\"hel\"}}]}\n\n"), "{first:?}");
    provider.say("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":5}}\n\n").await;
    provider.say("data: [DONE]\n\n").await;
    provider.end();
    let rest = answer.text().await.expect("the rest");
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    proxy.finish().await;
    let (headers, path, body) = provider.heard();
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(
        (path.as_str(), &body["stream_options"]),
        ("/v1/chat/completions", &json!({"include_usage": true}))
    );
    assert_eq!(body["max_completion_tokens"], 1_000, "a call has a most that it may cost");
    let [record] = &scene.book.records()[..] else { panic!("one call") };
    assert_eq!(record.tokens, TokenCount { input: 12, output: 5, ..TokenCount::default() });
    assert_eq!(record.accounting, Accounting::Reported);
}

#[tokio::test]
async fn a_stream_that_breaks_off_looks_so_and_is_estimated() {
    let provider = Provider::new(200, "text/event-stream").await;
    let scene = scene(&provider);
    let proxy = scene.open().await;
    let mut answer = post(
        &proxy,
        "/v1/messages",
        &json!({"stream": true, "max_tokens": 50, "model": CLAUDE, "messages": []}),
    )
    .await;
    let usage = "{\"input_tokens\":40,\"output_tokens\":1}";
    provider
        .say(&format!("data: {{\"type\":\"message_start\",\"message\":{{\"usage\":{usage}}}}}\n\n"))
        .await;
    answer.chunk().await.expect("a piece").expect("no end");
    let block = "{\"type\":\"text\",\"text\":\"\"}";
    let delta = "{\"type\":\"text_delta\",\"text\":\"I beg\"}";
    for event in [
        format!("{{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{block}}}"),
        format!("{{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{delta}}}"),
    ] {
        provider.say(&format!("data: {event}\n\n")).await;
        answer.chunk().await.expect("a piece").expect("no end");
    }
    provider.pieces.send(Err(std::io::ErrorKind::ConnectionReset.into())).await.expect("heard");
    answer.text().await.expect_err("it is not whole");
    let found = records(&scene, 1).await;
    let [record] = &found[..] else { panic!("{found:?}") };
    assert_eq!((record.tokens.input, record.accounting), (40, Accounting::Estimated));
    assert!(record.tokens.output >= 1 && record.error.is_some());
    let said = record.exchange.as_ref().and_then(|exchange| exchange.answer.as_ref());
    assert!(matches!(said, Some(Message::Assistant { text, .. }) if text == "I beg"), "{said:?}");
    assert_eq!(scene.budget.spent().input_tokens, 40, "and paid for");
}

#[tokio::test]
async fn an_agent_that_hangs_up_pays_for_the_whole_answer() {
    let mut provider = Provider::new(200, "text/event-stream").await;
    let scene = scene(&provider);
    let proxy = scene.open().await;
    let mut answer = post(
        &proxy,
        "/v1/messages",
        &json!({"stream": true, "max_tokens": 50, "model": CLAUDE, "messages": []}),
    )
    .await;
    provider.say("data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n").await;
    answer.chunk().await.expect("a piece");
    drop(answer);
    for _ in 0..64 {
        provider.say("data: {\"type\":\"content_block_delta\"}\n\n").await;
    }
    provider.say("data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":33}}\n\ndata: {\"type\":\"message_stop\"}\n\n").await;
    provider.end();
    let found = records(&scene, 1).await;
    assert_eq!((found[0].tokens.output, found[0].accounting), (33, Accounting::Reported));
    drop(proxy);
}

#[tokio::test]
async fn no_answer_brings_the_key_in() {
    let mut provider = Provider::new(200, "application/json").await;
    let scene = scene(&provider);
    let proxy = scene.open().await;
    let answer = post(&proxy, "/v1/messages", &messages(CLAUDE)).await;
    // A server between that shows what it was sent, in two pieces.
    let (headers, ..) = provider.heard();
    let key = headers["x-api-key"].to_str().expect("text");
    assert_eq!(key, KEY, "the weak variant, the provider's answer itself, has it");
    provider.say(&format!("{{\"echo\": \"{}", &key[..6])).await;
    provider.say(&format!("{}\"}}", &key[6..])).await;
    provider.end();
    assert_eq!(answer.text().await.expect("text"), "{\"echo\": \"[redacted]\"}");
    proxy.finish().await;

    for (status, passes) in [(400, true), (401, false), (403, false), (302, false)] {
        let mut provider = Provider::new(status, "application/json").await;
        let scene = self::scene(&provider);
        let proxy = scene.open().await;
        let saying = async {
            provider
                .say(&format!("{{\"error\": {{\"message\": \"Incorrect API key provided: {KEY}\"}}}}"))
                .await;
            provider.end();
        };
        let body = messages(CLAUDE);
        let (answer, ()) = tokio::join!(post(&proxy, "/v1/messages", &body), saying);
        assert_eq!(answer.status() == status, passes || status == 403, "{status}");
        let text = answer.text().await.expect("text");
        assert!(!text.contains(KEY) && text.contains("Incorrect") == passes, "{status}: {text}");
        proxy.finish().await;
        let record = scene.book.records().remove(0);
        assert!(!format!("{record:?}").contains(KEY), "{record:?}");
        assert_eq!(record.accounting, Accounting::Nothing);
    }
}

#[tokio::test]
async fn a_command_calls_the_models_of_its_account_and_no_others() {
    let provider = Provider::new(200, "application/json").await;
    let mut scene = scene(&provider);
    scene.models.retain(|model| model.name.model != CLAUDE);
    let proxy = scene.open().await;
    let answer = post(&proxy, "/v1/messages", &messages(CLAUDE)).await;
    assert_eq!(answer.status(), 403);
    let metered = proxy.finish().await;
    assert!(metered.refused[0].reason.contains("those of this interface are: none"), "{:?}", metered.refused);
    assert_eq!(metered.calls, 0);
}

#[tokio::test]
async fn what_is_not_allowed_never_leaves() {
    let provider = Provider::new(200, "application/json").await;
    let scene = scene(&provider);
    let proxy = scene.open().await;
    let with = |field: &str, value: Value| {
        let mut body = messages(CLAUDE);
        body[field] = value;
        body
    };
    let cases = [
        ("/v1/messages", messages("claude-opus-4-1"), 403, "those of this interface are: claude-sonnet-4-5"),
        ("/v1beta/models/gemini-2:generateContent", json!({"contents": []}), 403, "are: gemini-3-pro"),
        ("/v1/messages", messages(GPT), 403, "is not one that this deployment"),
        ("/v1/chat/completions", chat(CLAUDE, false), 403, "gpt-5"),
        (
            "/v1beta/models/gemini-3-pro:generateContent",
            json!({"contents": [], "tools": [{"googleSearch": {}}]}),
            403,
            "run by the provider",
        ),
        ("/v1/messages", with("mcp_servers", json!([{"url": "https://evil.example"}])), 403, "mcp_servers"),
        ("/v1/messages", with("tools", json!([{"type": "web_search_20250305"}])), 403, "run by the provider"),
        ("/v1/messages", json!([]), 400, "not a JSON object"),
        ("/v1/messages/batches", messages(CLAUDE), 404, "only calls of a model"),
        ("/v1/files", messages(CLAUDE), 404, "only calls of a model"),
    ];
    for (path, body, status, part) in cases {
        let answer = post(&proxy, path, &body).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["x-should-retry"], "false");
        let error: Value = answer.json().await.expect("JSON");
        assert!(error.to_string().contains(part), "{path}: {error}");
    }
    let get = client(&proxy).get("http://proxy/v1/messages").send().await.expect("an answer");
    assert_eq!(get.status(), 404);
    let large = client(&proxy).post("http://proxy/v1/messages").body(vec![b' '; 33 << 20]).send().await;
    assert!(large.map_or(true, |answer| answer.status() == 413), "a request of 33 MB");
    assert!(!provider.was_asked());
    let metered = proxy.finish().await;
    assert_eq!((metered.calls, scene.book.records().len()), (0, 0));
    assert!(metered.refused.len() >= 10, "{:?}", metered.refused);
}

#[tokio::test]
async fn a_call_that_cannot_be_written_down_is_the_last_one() {
    let server = model_server(&GREETS.replace(", tools_offered: [write_file, run]", "")).await;
    let scene = Scene::new(&Providers::of(&server), NO_LIMITS);
    let proxy = scene.open().await;
    scene.book.broken.store(true, Ordering::SeqCst);
    assert_eq!(post(&proxy, "/v1/messages", &messages(CLAUDE)).await.status(), 200);
    let begun = Instant::now();
    let refused = loop {
        let answer = post(&proxy, "/v1/messages", &messages(CLAUDE)).await;
        if answer.status() != 200 || begun.elapsed() > PATIENCE {
            break answer;
        }
    };
    assert_eq!(refused.status(), 402);
    assert!(refused.text().await.expect("text").contains("could not be recorded"));
    assert_eq!(proxy.finish().await.unrecorded.as_deref(), Some("the disk is full"));
}

#[tokio::test]
async fn calls_that_run_side_by_side_cannot_both_have_the_last_of_a_budget() {
    let server = model_server(&GREETS.replace(", tools_offered: [write_file, run]", "")).await;
    // Each may write 50 tokens and says about 40.
    let limits = orchestrator::domain::BudgetLimits { tokens: Some(300), cost_micro_usd: None };
    let scene = Scene::new(&Providers::of(&server), limits);
    let proxy = scene.open().await;
    let body = messages(CLAUDE);
    let calls = (0..12).map(|_| post(&proxy, "/v1/messages", &body));
    let statuses: Vec<u16> =
        futures::future::join_all(calls).await.iter().map(|answer| answer.status().as_u16()).collect();
    assert!(statuses.contains(&200) && statuses.contains(&402), "{statuses:?}");
    proxy.finish().await;
    assert!(scene.budget.spent().tokens() <= 300);
    scene.agrees_with(&server);
}

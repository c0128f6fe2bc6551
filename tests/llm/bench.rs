//! The real client in front of the scripted model server, with a ledger in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use orchestrator::llm::{
    Accounting, CallContext, CallLabel, CallRecord, CircuitPolicy, Client, Delivery, Endpoint, Ledger,
    LedgerError, LlmError, Message, ModelName, ModelSettings, Price, Protocol, Request, RetryPolicy, Role,
    Settings, ToolDefinition, ToolResult,
};
use orchestrator::simulator::model::{Answer as Scripted, Exchange, ModelServer, Scenario};
use secrecy::SecretString;
use serde_json::json;

/// A ledger in memory.
#[derive(Default)]
pub struct Book(Mutex<Vec<CallRecord>>);

impl Ledger for Book {
    fn record<'a>(&'a self, record: &'a CallRecord) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.0.lock().expect("no panic").push(record.clone());
        Box::pin(async { Ok(()) })
    }
}

impl Book {
    pub fn records(&self) -> Vec<CallRecord> {
        self.0.lock().expect("no panic").clone()
    }
}

pub const SCENARIO: &str = r#"
name: client tests
rules:
  - name: the tool was used
    when: { last_message: ["the file says 42"] }
    answer: { text: "It is 42." }
  - name: look into the file
    when: { last_message: ["What is in the file?"], tools_offered: [read_file] }
    answer:
      text: "I look."
      tool_calls: [{ name: read_file, arguments: { path: "a.txt" } }]
  - name: as JSON
    when: { last_message: ["as JSON"] }
    answer: { json: { verdict: "good" } }
  - name: cut off
    when: { last_message: ["a long story"] }
    answer: { text: "Once upon a", stop: output_limit }
  - name: refuse
    when: { last_message: ["something forbidden"] }
    answer: { text: "I will not.", stop: refusal }
  - name: hang
    when: { last_message: ["hang"] }
    answer: { hang_seconds: 30 }
  - name: drop
    when: { last_message: ["drop"] }
    answer: { drop_connection: true }
  - name: junk
    when: { last_message: ["junk"] }
    answer: { junk: '{"choices": [{' }
  - name: half a call
    when: { last_message: ["half"] }
    answer: { half_tool_call: read_file }
  - name: think about the file
    when: { last_message: ["Think about the file"], tools_offered: [read_file] }
    answer:
      thought: "It must be in the file."
      text: "I look."
      tool_calls: [{ name: read_file, arguments: { path: "a.txt" } }]
  - name: nothing
    when: { last_message: ["say nothing"] }
    answer: { text: "" }
  - name: hello
    when: { last_message: ["hello"] }
    answer: { text: "hi" }
"#;

pub struct Bench {
    pub server: ModelServer,
    pub client: Client,
    pub book: Arc<Book>,
}

/// A provider of each kind, by its name here.
pub const WIRES: [&str; 7] = ["anthropic", "openai", "on-this-machine", "gemini", "xai", "groq", "ollama"];

pub fn model(provider: &str) -> ModelName {
    let name = match provider {
        "anthropic" => "claude-sonnet-5-5",
        "openai" => "gpt-5.4",
        "gemini" => "gemini-3.6-flash",
        "xai" => "grok-4.3",
        "groq" => "openai/gpt-oss-120b",
        "ollama" => "qwen3-coder:30b",
        _ => "local-max",
    };
    ModelName { provider: provider.to_owned(), model: name.to_owned() }
}

pub const PRICE: Price =
    Price { input: 3_000_000, cached_input: 300_000, cache_write: Some(3_750_000), output: 15_000_000 };

pub fn settings(server: &ModelServer, models: &[ModelName]) -> Settings {
    let key = || Some(SecretString::from(server.api_key()));
    let ollama = format!("http://{}", server.ollama_host());
    let endpoints = [
        ("anthropic", Protocol::Anthropic, server.anthropic_url(), key()),
        ("openai", Protocol::OpenAiResponses, server.openai_url(), key()),
        ("on-this-machine", Protocol::OpenAi, server.openai_url(), key()),
        ("gemini", Protocol::Gemini, server.gemini_url(), key()),
        ("xai", Protocol::OpenAi, server.xai_url(), key()),
        ("groq", Protocol::OpenAi, server.groq_url(), key()),
        ("ollama", Protocol::Ollama, ollama, None),
    ];
    let endpoints = endpoints
        .into_iter()
        .map(|(name, protocol, base_url, key)| (name.to_owned(), Endpoint::new(protocol, base_url, key)));
    let models: Vec<_> = models
        .iter()
        .map(|name| ModelSettings { price: Some(PRICE), ..ModelSettings::of(name.clone(), 1_000) })
        .collect();
    Settings {
        endpoints: endpoints.collect::<BTreeMap<_, _>>(),
        roles: Role::ALL.into_iter().map(|name| (name, models.clone())).collect(),
        call_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(30),
        retry: RetryPolicy {
            max_calls: 4,
            max_waiting: Duration::from_secs(5),
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_millis(20),
        },
        circuit: CircuitPolicy { failures: 1_000, pause: Duration::from_secs(30) },
        max_request_bytes: 1_000_000,
    }
}

/// Every answer in one piece.
pub fn whole(settings: &mut Settings) {
    settings.endpoints.values_mut().for_each(|endpoint| endpoint.delivery = Delivery::Whole);
}

/// One attempt only.
pub fn once(settings: &mut Settings) {
    settings.retry.max_calls = 1;
}

pub async fn bench_with(models: &[ModelName], change: impl FnOnce(&mut Settings)) -> Bench {
    let server = ModelServer::start(Scenario::parse(SCENARIO).expect("parses")).await.expect("starts");
    let book = Arc::new(Book::default());
    let mut settings = settings(&server, models);
    change(&mut settings);
    let client = Client::new(settings, Arc::<Book>::clone(&book)).expect("settings work");
    Bench { server, client, book }
}

pub async fn bench(provider: &str) -> Bench {
    bench_with(&[model(provider)], |_| {}).await
}

pub fn context() -> CallContext {
    let label = CallLabel { task: None, stage: "test".into(), prompt: None };
    CallContext { role: Role::Implementer, label, budgets: vec![] }
}

pub fn ask(text: &str) -> Request {
    Request {
        system: "You answer.".into(),
        messages: vec![Message::User { text: text.into() }],
        tools: vec![],
        max_output_tokens: None,
        temperature: None,
        response_schema: None,
    }
}

pub fn read_file() -> ToolDefinition {
    ToolDefinition {
        name: "read_file".into(),
        description: "Reads a file.".into(),
        schema: json!({"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}),
    }
}

pub fn results(call: &orchestrator::llm::ToolCall, content: &str) -> Message {
    let result = ToolResult { id: call.id.clone(), name: call.name.clone(), content: content.to_owned() };
    Message::ToolResults { results: vec![result] }
}

pub async fn fails(bench: &Bench, text: &str) -> LlmError {
    bench.client.call(&context(), ask(text)).await.expect_err("fails")
}

pub fn refusal(status: u16, retry_after: Option<&str>) -> Scripted {
    Scripted::Error {
        status,
        retry_after: retry_after.map(str::to_owned),
        message: "not now".into(),
        code: None,
    }
}

/// Tokens: input, cached, written to the cache, output.
pub type Tokens = (u64, u64, u64, u64);

pub fn counted(exchange: &Exchange) -> Tokens {
    let counted = exchange.counted;
    (counted.input, counted.cached, counted.cache_written, counted.output)
}

pub fn recorded(record: &CallRecord) -> Tokens {
    let tokens = record.tokens;
    (tokens.input, tokens.cached, tokens.cache_written, tokens.output)
}

/// What the ledger holds as reported has to be what the server counted, wherever the server's count went out.
pub fn assert_ledger_equals_server(bench: &Bench) {
    let sent = |exchange: &&Exchange| exchange.usage_sent;
    let counted: Vec<_> = bench.server.journal().iter().filter(sent).map(counted).collect();
    let reported = |record: &&CallRecord| record.accounting == Accounting::Reported;
    let recorded: Vec<_> = bench.book.records().iter().filter(reported).map(recorded).collect();
    assert_eq!(recorded, counted);
    assert!(!counted.is_empty());
}

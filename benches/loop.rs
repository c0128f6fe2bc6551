//! What the tool loop itself takes: time a step without model and tools, and memory, over a loop of 200 steps.
//!
//! The model is a server on loopback that answers at once with bytes that are ready; what the real client takes to
//! make the request, send it and read the answer is ours and counts. What a bare exchange of as many bytes takes is
//! told beside it. Tools answer at once.
//!
//! `make bench-loop`; arguments: steps (200) and bytes of each tool's answer (8000).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures::future::BoxFuture;
use orchestrator::agents::tools::{ToolAnswer, ToolRequest, Toolbox, ToolboxError};
use orchestrator::agents::{AgentContext, ImplementInput, Prompts, ToolLimits, implement};
use orchestrator::domain::{Priority, Risk, Size, TaskSpecification, Workflow};
use orchestrator::llm::boundary::PromptText;
use orchestrator::llm::{
    CallRecord, CircuitPolicy, Client, Delivery, Endpoint, Ledger, LedgerError, ModelName, ModelSettings,
    Protocol, RetryPolicy, Role, Settings,
};

/// When each request was wholly there, and when its answer left.
type Times = Arc<Mutex<Vec<(Instant, Instant, usize)>>>;

struct Nowhere;

impl Ledger for Nowhere {
    fn record<'a>(&'a self, _: &'a CallRecord) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async { Ok(()) })
    }
}

struct AtOnce(String);

impl Toolbox for AtOnce {
    fn call<'a>(&'a self, _: &'a ToolRequest) -> BoxFuture<'a, Result<ToolAnswer, ToolboxError>> {
        Box::pin(async { Ok(ToolAnswer::done(self.0.clone())) })
    }
}

fn answer(step: usize, steps: usize) -> String {
    let (name, arguments) = if step >= steps {
        ("finish", r#"{"summary": "Done.", "commit_subject": "Do it"}"#.to_owned())
    } else {
        ("read_file", format!(r#"{{"path": "src/file_{step}.rs"}}"#))
    };
    format!(
        r#"{{"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use", "content": [
        {{"type": "text", "text": "I look at the next file."}},
        {{"type": "tool_use", "id": "call_{step}", "name": "{name}", "input": {arguments}}}],
        "usage": {{"input_tokens": 10, "output_tokens": 10}}}}"#
    )
}

/// A model that reads one file after the other.
async fn model(steps: usize) -> (String, Times) {
    let times = Times::default();
    let noting = times.clone();
    let handler = move |body: Bytes| {
        let came = Instant::now();
        let mut times = noting.lock().expect("no panic");
        let text = answer(times.len() + 1, steps);
        times.push((came, Instant::now(), body.len()));
        async move { ([("content-type", "application/json")], text) }
    };
    let router = axum::Router::new()
        .fallback(axum::routing::post(handler))
        .layer(axum::extract::DefaultBodyLimit::max(1 << 30));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, times)
}

fn context(url: String) -> AgentContext {
    let name: ModelName = "anthropic:claude-sonnet-4-5".parse().expect("a name");
    let model = ModelSettings::of(name, 4_096);
    let endpoint =
        Endpoint { delivery: Delivery::Whole, ..Endpoint::new(Protocol::Anthropic, url, Some("k".into())) };
    let settings = Settings {
        endpoints: BTreeMap::from([("anthropic".to_owned(), endpoint)]),
        roles: BTreeMap::from([(Role::Implementer, vec![model])]),
        call_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(60),
        circuit: CircuitPolicy::default(),
        retry: RetryPolicy::default(),
        max_request_bytes: 1 << 30,
    };
    AgentContext {
        model: Arc::new(Client::new(settings, Arc::new(Nowhere)).expect("settings")),
        prompts: Arc::new(Prompts::embedded().expect("prompts")),
        task: None,
        budgets: vec![],
        max_answers: 3,
    }
}

fn specification() -> TaskSpecification {
    TaskSpecification {
        title: "Read it all".into(),
        objective: "Everything is read.".into(),
        requirements: vec!["read".into()],
        constraints: vec![],
        acceptance_criteria: vec!["read".into()],
        likely_files: vec![],
        protected_files: vec![],
        altered_tests: vec![],
        workflow: Workflow::Coding,
        risk: Risk::Low,
        size: Size::Large,
        priority: Priority::Normal,
        depends_on: vec![],
        prepared: Default::default(),
    }
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

struct Figures {
    /// From one answer's leaving to the next request's arrival, in ms.
    steps: Vec<f64>,
    bytes: Vec<usize>,
    resident_kb: u64,
}

async fn run(steps: usize, answer_bytes: usize, history_bytes: usize) -> Figures {
    let (url, times) = model(steps).await;
    let context = context(url);
    let before = resident_kb();
    let input = ImplementInput {
        specification: &specification(),
        rules: "",
        instructions: &PromptText::default(),
        overview: &PromptText::default(),
        snippets: &PromptText::default(),
        earlier_failures: "",
    };
    let limits = ToolLimits { steps: steps as u32 + 10, history_bytes, ..ToolLimits::default() };
    let toolbox = AtOnce("a line of a file that was read\n".repeat(answer_bytes / 31));
    let done = implement(&context, &toolbox, limits, input).await.expect("done");
    let resident_kb = resident_kb().saturating_sub(before);
    assert_eq!(done.steps as usize, steps);
    let times = times.lock().expect("no panic");
    let between = times.windows(2).map(|pair| (pair[1].0 - pair[0].1).as_secs_f64() * 1e3);
    Figures { steps: between.collect(), bytes: times.iter().map(|time| time.2).collect(), resident_kb }
}

/// What a client without any history takes to send as many bytes to the same server, in ms.
async fn bare(bytes: usize) -> f64 {
    let (url, times) = model(usize::MAX).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let body = Bytes::from(vec![b'x'; bytes]);
    for _ in 0..50 {
        let sent = client.post(&url).body(body.clone()).send().await.expect("sent");
        sent.bytes().await.expect("answered");
    }
    let times = times.lock().expect("no panic");
    median(times.windows(2).map(|pair| (pair[1].0 - pair[0].1).as_secs_f64() * 1e3).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let steps = numbers.first().copied().unwrap_or(200);
    let answer_bytes = numbers.get(1).copied().unwrap_or(8_000);
    println!("{steps} steps, each tool answering {answer_bytes} bytes");
    println!(
        "{:<28}{:>12}{:>14}{:>14}{:>14}{:>12}",
        "", "median ms", "last 20, ms", "worst ms", "last request", "memory"
    );
    let default = ToolLimits::default().history_bytes;
    for (name, history) in [("condensed at the default", default), ("never condensed", usize::MAX)] {
        run(20, answer_bytes, history).await;
        let figures = run(steps, answer_bytes, history).await;
        let last = median(figures.steps[figures.steps.len().saturating_sub(20)..].to_vec());
        let worst = figures.steps.iter().copied().fold(0.0, f64::max);
        let bytes = figures.bytes.last().copied().unwrap_or_default();
        println!(
            "{name:<28}{:>12.2}{last:>14.2}{worst:>14.2}{:>11} kB{:>9} kB",
            median(figures.steps),
            bytes / 1000,
            figures.resident_kb
        );
        println!("{:<28}{:>12.2}", "  a bare exchange of that", bare(bytes).await);
    }
    println!("resident memory of the whole process at the end: {} kB", resident_kb());
}

//! A model server, a metering proxy before it, and a book of what was recorded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use orchestrator::domain::{BudgetLimits, BudgetScope, Usage};
use orchestrator::engines::{Account, Metering, MeteringProxy};
use orchestrator::llm::{
    Budget, CallLabel, CallRecord, CircuitPolicy, Endpoint, Ledger, LedgerError, ModelName, ModelSettings,
    Price, Protocol, RetryPolicy, Role, Settings,
};
use orchestrator::simulator::model::{ModelServer, Scenario};
use secrecy::SecretString;

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A ledger in memory, which can be broken.
#[derive(Default)]
pub struct Book {
    records: Mutex<Vec<CallRecord>>,
    pub broken: AtomicBool,
}

impl Ledger for Book {
    fn record<'a>(&'a self, record: &'a CallRecord) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            if self.broken.load(Ordering::SeqCst) {
                return Err(LedgerError("the disk is full".into()));
            }
            self.records.lock().expect("no panic").push(record.clone());
            Ok(())
        })
    }
}

impl Book {
    pub fn records(&self) -> Vec<CallRecord> {
        self.records.lock().expect("no panic").clone()
    }
}

/// Where the providers are.
pub struct Providers {
    pub anthropic: String,
    pub openai: String,
    pub key: String,
}

impl Providers {
    pub fn of(server: &ModelServer) -> Self {
        Self {
            anthropic: server.anthropic_url(),
            openai: server.openai_url(),
            key: server.api_key().to_owned(),
        }
    }

    /// One server for all of them.
    pub fn at(url: &str, key: &str) -> Self {
        Self { anthropic: url.to_owned(), openai: format!("{url}/v1"), key: key.to_owned() }
    }
}

pub struct Scene {
    pub metering: Arc<Metering>,
    pub book: Arc<Book>,
    pub budget: Arc<Budget>,
    /// What commands may call.
    pub models: Vec<ModelSettings>,
    /// Where the sockets are.
    pub folder: tempfile::TempDir,
}

pub const CLAUDE: &str = "claude-sonnet-4-5";
pub const GPT: &str = "gpt-5";
pub const GEMINI: &str = "gemini-3-pro";

pub const PRICE: Price =
    Price { input: 3_000_000, cached_input: 300_000, cache_write: Some(3_750_000), output: 15_000_000 };

impl Scene {
    pub fn new(providers: &Providers, limits: BudgetLimits) -> Self {
        Self::with(providers, limits, Duration::from_secs(30))
    }

    pub fn with(providers: &Providers, limits: BudgetLimits, call_timeout: Duration) -> Self {
        let key = || Some(SecretString::from(providers.key.as_str()));
        let endpoint = |protocol, base_url: &str| Endpoint::new(protocol, base_url, key());
        let endpoints = BTreeMap::from([
            ("anthropic".to_owned(), endpoint(Protocol::Anthropic, &providers.anthropic)),
            ("openai".to_owned(), endpoint(Protocol::OpenAi, &providers.openai)),
            ("gemini".to_owned(), endpoint(Protocol::Gemini, &providers.anthropic)),
        ]);
        let model = |provider: &str, model: &str| {
            let name = ModelName { provider: provider.into(), model: model.into() };
            ModelSettings { price: Some(PRICE), ..ModelSettings::of(name, 1_000) }
        };
        let models = vec![model("anthropic", CLAUDE), model("openai", GPT), model("gemini", GEMINI)];
        let settings = Settings {
            endpoints,
            roles: BTreeMap::from([(Role::Implementer, models.clone())]),
            call_timeout,
            idle_timeout: call_timeout,
            circuit: CircuitPolicy::default(),
            retry: RetryPolicy::default(),
            max_request_bytes: 1_000_000,
        };
        let folder = tempfile::tempdir().expect("a folder");
        let book = Arc::new(Book::default());
        let metering = Metering::new(settings, book.clone(), folder.path().join("proxies"));
        Self {
            metering: Arc::new(metering.expect("a way to providers")),
            book,
            budget: Budget::new(BudgetScope::Task, limits, Usage::default()),
            models,
            folder,
        }
    }

    pub async fn open(&self) -> MeteringProxy {
        self.open_for(100).await
    }

    pub async fn open_for(&self, most_calls: u32) -> MeteringProxy {
        let account = Account {
            role: Role::Implementer,
            label: CallLabel { task: None, stage: "implement".into(), prompt: None },
            budgets: vec![self.budget.clone()],
            models: self.models.clone(),
            most_calls,
        };
        self.metering.open(account).await.expect("a proxy")
    }

    /// What was recorded and what the server counted are the same.
    pub fn agrees_with(&self, server: &ModelServer) {
        let mut counted = (0, 0, 0);
        for exchange in server.journal().iter().filter(|exchange| exchange.status == 200) {
            counted.0 += exchange.counted.input;
            counted.1 += exchange.counted.cached;
            counted.2 += exchange.counted.output;
        }
        let mut recorded = (0, 0, 0);
        for record in self.book.records() {
            recorded.0 += record.tokens.input;
            recorded.1 += record.tokens.cached;
            recorded.2 += record.tokens.output;
        }
        assert_eq!(recorded, counted, "input, cached and output tokens");
        let spent = self.budget.spent();
        assert_eq!((spent.input_tokens, spent.cached_tokens, spent.output_tokens), recorded);
        assert_eq!(
            self.book.records().iter().map(|record| record.usage.cost_micro_usd).sum::<u64>(),
            spent.cost_micro_usd
        );
    }
}

pub const NO_LIMITS: BudgetLimits = BudgetLimits { tokens: None, cost_micro_usd: None };

pub async fn model_server(rules: &str) -> ModelServer {
    let scenario = Scenario::parse(&format!("name: agents\nrules:\n{rules}")).expect("a good scenario");
    ModelServer::start(scenario).await.expect("a server")
}

/// A model that has a file written, looks at it, and is done.
pub const GREETS: &str = r#"
  - name: done
    when: { last_message: ["hello, world"], called: [write_file] }
    answer: { text: "I wrote the greeting and looked at it." }
  - name: look
    when: { last_message: ["written"] }
    answer: { tool_calls: [{ name: run, arguments: { line: "cat greeting.txt" } }] }
  - name: write
    when: { any_message: ["Greet the world"], tools_offered: [write_file, run] }
    answer: { text: "I write.", tool_calls: [{ name: write_file, arguments: { path: greeting.txt, content: "hello, world\n" } }] }
"#;

/// The agent's program, for a mount.
pub fn agent_program() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/engines/agent.py")
}

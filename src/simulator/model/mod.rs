//! A scripted model server: speaks the providers' wire formats and answers from a scenario.
//!
//! It checks keys, headers and bodies as the providers do, so that the real client is what a test
//! exercises. It thinks nothing: a [`Scenario`]'s rules answer from what a request contains. It
//! streams where it is asked to, and counts what each exchange used.

mod anthropic;
mod counting;
mod demo;
mod evidence;
mod exchange;
mod gemini;
mod ollama;
mod openai;
mod responses;
mod said;
mod scenario;
mod schema_rules;
mod serve;
mod stream;
mod thoughts;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use counting::Counted;
pub use demo::DemoProject;
pub use evidence::{Call, Evidence, ToolResult, Turn, WireFormat};
pub use scenario::{Answer, Cut, InvalidScenario, Scenario, ScriptedCall, Stop};

/// The only key that the server takes. It opens nothing else.
pub const API_KEY: &str = "simulated-model-key";

/// One request and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Exchange {
    /// Counted from 1.
    pub number: usize,
    pub wire: WireFormat,
    /// The rule that answered; none where the request was refused or a fault was due.
    pub rule: Option<String>,
    pub status: u16,
    /// Whether a whole answer went out.
    pub delivered: bool,
    /// Whether the provider's last word on what the exchange used went out.
    pub usage_sent: bool,
    pub counted: Counted,
    /// Why the request was refused: malformed, or no rule's evidence was there.
    pub refusal: Option<String>,
    pub request: Value,
    pub answer: Value,
}

/// A running server on loopback; it stops when dropped.
pub struct ModelServer {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl ModelServer {
    /// Starts on a free port.
    pub async fn start(scenario: Scenario) -> std::io::Result<Self> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), scenario).await
    }

    pub async fn start_at(address: SocketAddr, scenario: Scenario) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { scenario, inner: Mutex::default(), let_go: Notify::new() });
        let router = serve::router(Arc::clone(&state));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the model server stopped");
            }
        });
        Ok(Self { address, state, task })
    }

    /// What goes into `ANTHROPIC_BASE_URL`.
    pub fn anthropic_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What goes into `OPENAI_BASE_URL`.
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What goes into `GEMINI_BASE_URL`.
    pub fn gemini_url(&self) -> String {
        self.anthropic_url()
    }

    /// What goes into `XAI_BASE_URL`.
    pub fn xai_url(&self) -> String {
        format!("http://{}/xai/v1", self.address)
    }

    /// What goes into `GROQ_BASE_URL`.
    pub fn groq_url(&self) -> String {
        format!("http://{}/openai/v1", self.address)
    }

    /// What goes into `OLLAMA_HOST`.
    pub fn ollama_host(&self) -> String {
        self.address.to_string()
    }

    pub fn api_key(&self) -> &'static str {
        API_KEY
    }

    /// Answers that the next well-formed requests get before any rule is asked: a storm of 429, a
    /// dropped connection.
    pub fn inject(&self, faults: impl IntoIterator<Item = Answer>) {
        self.state.lock().faults.extend(faults);
    }

    /// Ends every [`Answer::Hang`] before its time, also those that nobody has asked for yet.
    pub fn let_go(&self) {
        self.state.lock().faults.retain(|fault| !matches!(fault, Answer::Hang { .. }));
        self.state.let_go.notify_waiters();
    }

    /// Every exchange so far, in order of arrival.
    pub fn journal(&self) -> Vec<Exchange> {
        self.state.lock().journal.clone()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct State {
    scenario: Scenario,
    inner: Mutex<Inner>,
    let_go: Notify,
}

#[derive(Default)]
struct Inner {
    requests: usize,
    faults: VecDeque<Answer>,
    cache: counting::PromptCache,
    thoughts: thoughts::Thoughts,
    journal: Vec<Exchange>,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

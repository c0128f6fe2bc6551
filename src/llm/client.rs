//! From a role to an answer: routing, budgets, retries, fallback, and a record of every call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::BackoffBuilder;
use futures::future::BoxFuture;

use super::budget::{Estimate, Purse, Reservation};
use super::circuit::Circuit;
use super::error::LlmError;
use super::ledger::{CallLabel, CallRecord, Exchange, Ledger};
use super::message::{Answer, Message, Request, StopReason};
use super::model::{ModelName, ModelSettings, Price, Settings, TokenCount};
use super::reading::Reply;
use super::wire::{CallOptions, Wire};
use crate::domain::{Role, Usage};

/// What surrounds a call: who asks, for what, and who pays.
#[derive(Debug, Clone)]
pub struct CallContext {
    pub role: Role,
    pub label: CallLabel,
    /// All of them have to cover the call.
    pub budgets: Vec<Arc<dyn Purse>>,
}

/// Something that answers: a provider's model, or the simulated one of a dry run.
pub trait Model: Send + Sync {
    fn call<'a>(
        &'a self,
        context: &'a CallContext,
        request: Request,
    ) -> BoxFuture<'a, Result<Answer, LlmError>>;

    /// The same, with another model of each role asked first: the one at `first` in its list, counted around.
    /// `None`: there is nothing to choose from.
    fn beginning_with(&self, _first: usize) -> Option<Arc<dyn Model>> {
        None
    }

    /// The models of a role, in the order in which they are asked, where that is known.
    fn models_of(&self, _role: Role) -> Vec<ModelSettings> {
        Vec::new()
    }

    /// The same, with these lists in the place of those of their roles. `None`: there is nothing to choose from.
    fn asking(&self, lists: BTreeMap<Role, Vec<ModelSettings>>) -> Option<Arc<dyn Model>> {
        let _ = lists;
        None
    }

    /// The same, with these models of a role asked before its others. `None`: there is nothing to choose from.
    fn choosing(&self, chosen: &BTreeMap<Role, Vec<ModelName>>) -> Option<Arc<dyn Model>> {
        let _ = chosen;
        None
    }

    /// The model that a role asks first, where that is known: its family and its room decide how it is asked.
    fn first_choice(&self, _role: Role) -> Option<ModelSettings> {
        None
    }
}

/// Why the settings cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSettings(pub String);

/// The client of all providers. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    /// Which of a role's models is asked first.
    first: usize,
    /// For each role the models to try, in order; at first those of the settings.
    lists: Arc<BTreeMap<Role, Vec<ModelSettings>>>,
}

struct Inner {
    settings: Settings,
    wires: BTreeMap<String, Wire>,
    ledger: Arc<dyn Ledger>,
    circuit: Circuit,
}

impl Client {
    /// Fails where a role names a model of a provider that has no endpoint. A role without models fails only
    /// when it is called.
    pub fn new(settings: Settings, ledger: Arc<dyn Ledger>) -> Result<Self, InvalidSettings> {
        let mut wires = BTreeMap::new();
        for (provider, endpoint) in &settings.endpoints {
            let wire = Wire::new(provider, endpoint.clone()).map_err(InvalidSettings)?;
            wires.insert(provider.clone(), wire);
        }
        for (role, models) in &settings.roles {
            if let Some(model) = models.iter().find(|model| !wires.contains_key(&model.name.provider)) {
                let (name, provider) = (&model.name, &model.name.provider);
                let reason = format!("the role {role} names {name}, but there is no provider {provider}");
                return Err(InvalidSettings(reason));
            }
        }
        let circuit = Circuit::new(settings.circuit);
        let lists = Arc::new(settings.roles.clone());
        let inner = Inner { settings, wires, ledger, circuit };
        Ok(Self { inner: Arc::new(inner), first: 0, lists })
    }

    fn models(&self, role: Role) -> &[ModelSettings] {
        self.lists.get(&role).map_or(&[], Vec::as_slice)
    }

    /// Asks the models of the role, one after the other, until one answers. Where all of them are left alone
    /// because they kept failing, the call waits for the first to be ready, as long as the policy lets it wait.
    ///
    /// A call that has begun is finished and recorded even when this future is dropped: the provider
    /// charges for it either way.
    pub async fn call(&self, context: &CallContext, request: Request) -> Result<Answer, LlmError> {
        let settings = &self.inner.settings;
        let bytes = request.bytes();
        if bytes > settings.max_request_bytes {
            return Err(LlmError::TooLarge { bytes, max_bytes: settings.max_request_bytes });
        }
        let models = self.models(context.role);
        if models.is_empty() {
            return Err(LlmError::NoModel(context.role));
        }
        let request = Arc::new(request);
        let mut attempt = 0;
        let mut waited = Duration::ZERO;
        let (later, first) = models.split_at(self.first % models.len());
        loop {
            let mut errors: Vec<(ModelName, LlmError)> = Vec::new();
            for model in first.iter().chain(later) {
                let ask =
                    Ask { context: context.clone(), request: Arc::clone(&request), model: model.clone() };
                match self.call_model(ask, &mut attempt).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) if !error.allows_fallback() => return Err(error),
                    Err(error) => {
                        tracing::warn!(role = %context.role, model = %model.name, kind = error.kind(), "a model failed");
                        errors.push((model.name.clone(), error));
                    }
                }
            }
            let all_alone = errors.iter().all(|(_, error)| matches!(error, LlmError::LeftAlone { .. }));
            let ready_in = errors.iter().filter_map(|(_, error)| error.retry_after()).min();
            match ready_in.filter(|wait| all_alone && waited + *wait <= settings.retry.max_waiting) {
                Some(wait) => {
                    waited += wait;
                    tokio::time::sleep(wait).await;
                }
                None if errors.len() == 1 => return Err(errors.remove(0).1),
                None => return Err(LlmError::EveryModelFailed(errors)),
            }
        }
    }

    /// One model, with retries.
    async fn call_model(&self, ask: Ask, attempt: &mut usize) -> Result<Answer, LlmError> {
        let policy = self.inner.settings.retry;
        let mut waits = backon::ExponentialBuilder::default()
            .with_min_delay(policy.first_wait)
            .with_max_delay(policy.longest_wait)
            .with_max_times(policy.max_calls.saturating_sub(1))
            .with_jitter()
            .build();
        let mut waited = Duration::ZERO;
        let mut schema = if ask.request.response_schema.is_some() { Schema::Sent } else { Schema::None };
        loop {
            *attempt += 1;
            let error = match self.call_once(ask.clone(), schema, *attempt).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if schema == Schema::Sent && refuses_schema(&error) {
                // An older model or a local server: the prompt asks for the same JSON in words.
                schema = Schema::None;
                continue;
            }
            let is_left_alone = matches!(error, LlmError::LeftAlone { .. });
            if is_left_alone || matches!(error, LlmError::TooLong { .. }) {
                // Nobody was asked.
                *attempt -= 1;
            }
            if !error.is_transient() || !error.allows_fallback() || is_left_alone {
                return Err(error);
            }
            let Some(wait) = waits.next() else { return Err(error) };
            let wait = error.retry_after().map_or(wait, |asked| asked.max(wait));
            if waited + wait > policy.max_waiting {
                return Err(error);
            }
            waited += wait;
            tokio::time::sleep(wait).await;
        }
    }

    /// One call, in a task of its own so that it is recorded whatever becomes of the caller.
    async fn call_once(&self, ask: Ask, schema: Schema, attempt: usize) -> Result<Answer, LlmError> {
        let inner = Arc::clone(&self.inner);
        let task = tokio::spawn(async move { inner.perform(&ask, schema, attempt).await });
        task.await.unwrap_or_else(|error| Err(LlmError::Transport(format!("the call broke off: {error}"))))
    }
}

impl Inner {
    /// Budget, network, record.
    async fn perform(&self, ask: &Ask, schema: Schema, attempt: usize) -> Result<Answer, LlmError> {
        let model = &ask.model;
        let options = CallOptions {
            temperature: ask.request.temperature.or(model.temperature),
            effort: model.effort,
            max_output_tokens: ask.request.max_output_tokens.unwrap_or(model.max_output_tokens),
            context_tokens: model.context_tokens,
            timeout: self.settings.call_timeout,
            idle_timeout: self.settings.idle_timeout,
            prompt_tokens: estimated_tokens(&ask.request),
        };
        fits(model, &options)?;
        let price = model.price.unwrap_or_default();
        let reservations = reserve(ask, &price, options.max_output_tokens).await?;
        let wire = self.wires.get(&model.name.provider).ok_or(LlmError::NoModel(ask.context.role))?;
        let schema = ask.request.response_schema.as_ref().filter(|_| schema == Schema::Sent);
        let started = Instant::now();
        self.circuit.admit(&model.name, started)?;
        let outcome = wire.call(&model.name, &ask.request, options, schema).await;
        self.circuit.note(&model.name, outcome.as_ref().err().map(|failed| &failed.error), Instant::now());
        let (tokens, accounting) = match &outcome {
            Ok(reply) => (reply.tokens, reply.accounting),
            Err(failed) => (failed.tokens, failed.accounting),
        };
        let usage = tokens.usage(&price);
        let record = CallRecord {
            label: ask.context.label.clone(),
            role: ask.context.role,
            model: model.name.clone(),
            attempt,
            tokens,
            usage,
            accounting,
            latency: started.elapsed(),
            stop: outcome.as_ref().ok().map(|reply| reply.stop.clone()),
            error: outcome
                .as_ref()
                .err()
                .map(|failed| (failed.error.kind().into(), failed.error.to_string())),
            exchange: Some(Exchange {
                request: Arc::clone(&ask.request),
                answer: outcome.as_ref().ok().map(|reply| Message::Assistant {
                    text: reply.text.clone(),
                    tool_calls: reply.tool_calls.clone(),
                    continuation: None,
                }),
            }),
        };
        let recorded = self.record(&record).await;
        for reservation in reservations {
            reservation.settle(usage).await;
        }
        recorded?;
        let reply = outcome.map_err(|failed| failed.error)?;
        Ok(answer(&model.name, reply, usage))
    }

    /// A record is tried three times: losing one would hide what was spent.
    async fn record(&self, record: &CallRecord) -> Result<(), LlmError> {
        let mut last = String::new();
        for wait in [0, 200, 1_000] {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            match self.ledger.record(record).await {
                Ok(()) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
        }
        Err(LlmError::NotRecorded(last))
    }
}

impl Model for Client {
    fn call<'a>(
        &'a self,
        context: &'a CallContext,
        request: Request,
    ) -> BoxFuture<'a, Result<Answer, LlmError>> {
        Box::pin(Client::call(self, context, request))
    }

    fn beginning_with(&self, first: usize) -> Option<Arc<dyn Model>> {
        Some(Arc::new(Self { first, ..self.clone() }))
    }

    fn models_of(&self, role: Role) -> Vec<ModelSettings> {
        self.models(role).to_vec()
    }

    fn asking(&self, lists: BTreeMap<Role, Vec<ModelSettings>>) -> Option<Arc<dyn Model>> {
        let mut all = BTreeMap::clone(&self.lists);
        all.extend(lists);
        Some(Arc::new(Self { lists: Arc::new(all), ..self.clone() }))
    }

    fn choosing(&self, chosen: &BTreeMap<Role, Vec<ModelName>>) -> Option<Arc<dyn Model>> {
        let mut lists = BTreeMap::clone(&self.lists);
        for (role, names) in chosen {
            let place = |model: &ModelSettings| names.iter().position(|name| *name == model.name);
            // Stable: those that nobody chose keep their order.
            lists.entry(*role).or_default().sort_by_key(|model| place(model).unwrap_or(names.len()));
        }
        Some(Arc::new(Self { lists: Arc::new(lists), ..self.clone() }))
    }

    fn first_choice(&self, role: Role) -> Option<ModelSettings> {
        let models = self.models(role);
        models.get(self.first % models.len().max(1)).cloned()
    }
}

#[derive(Clone)]
struct Ask {
    context: CallContext,
    request: Arc<Request>,
    model: ModelSettings,
}

/// Whether the answer's schema travels in the provider's own field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Schema {
    Sent,
    None,
}

/// A request that the model cannot take is not sent: it would be refused, or cut without a word.
fn fits(model: &ModelSettings, options: &CallOptions) -> Result<(), LlmError> {
    let Some(context_tokens) = model.context_tokens else { return Ok(()) };
    let (tokens, output_tokens) = (options.prompt_tokens, u64::from(options.max_output_tokens));
    if tokens + output_tokens <= context_tokens {
        return Ok(());
    }
    Err(LlmError::TooLong { model: model.name.clone(), tokens, output_tokens, context_tokens })
}

/// Four bytes a token is what English and code come to; the real number follows with the answer.
fn estimated_tokens(request: &Request) -> u64 {
    (request.bytes() as u64).div_ceil(4)
}

async fn reserve(ask: &Ask, price: &Price, max_output_tokens: u32) -> Result<Vec<Reservation>, LlmError> {
    let tokens = TokenCount {
        input: estimated_tokens(&ask.request),
        output: max_output_tokens.into(),
        ..Default::default()
    };
    let estimate =
        Estimate { tokens: tokens.input + tokens.output, cost_micro_usd: price.cost_micro_usd(&tokens) };
    let mut reservations = Vec::with_capacity(ask.context.budgets.len());
    for budget in &ask.context.budgets {
        reservations.push(budget.reserve(estimate).await?);
    }
    Ok(reservations)
}

/// Whether a provider or server refused the field that carries the schema, and not the question.
fn refuses_schema(error: &LlmError) -> bool {
    let LlmError::InvalidRequest(message) = error else { return false };
    let fields = [
        "output_config",
        "response_format",
        "json_schema",
        "output_format",
        "output format",
        "structured output",
        "text.format",
        "responseJsonSchema",
        "invalid format",
    ];
    fields.iter().any(|field| message.contains(field))
}

fn answer(model: &ModelName, reply: Reply, usage: Usage) -> Answer {
    let stop = if reply.tool_calls.is_empty() && reply.stop == StopReason::ToolCalls {
        StopReason::Other("tool calls announced, none made".to_owned())
    } else {
        reply.stop
    };
    Answer {
        text: reply.text,
        tool_calls: reply.tool_calls,
        stop,
        tokens: reply.tokens,
        usage,
        model: model.clone(),
        continuation: reply.continuation,
    }
}

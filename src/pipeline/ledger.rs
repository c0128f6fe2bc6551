//! Model calls are written down in the database as they end, with what was said in them.
//!
//! A conversation with tools only grows, so a call of it has little that is new: each part is kept once for its task,
//! and what this process has seen kept is not asked for again. What is kept has no secret in it that is known then, and
//! of one task only so much. Where texts cannot be kept, the record of what was spent still is.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::future::BoxFuture;

use crate::domain::TaskId;
use crate::llm::{CallRecord, Exchange, Ledger, LedgerError, Part, Said};
use crate::store::{CallPrompt, CallTexts, ModelCall, Store, TextDigest};
use crate::telemetry::{Redactor, with_causes};
use crate::workspace::aside;

/// Parts that are remembered as kept, and for how long: what retention has removed meanwhile is kept anew.
const MOST_KNOWN: usize = 50_000;
const KNOWN_FOR: Duration = Duration::from_secs(3_600);
/// Most that is kept of what was said for one task, packed, in bytes. A task of ours stays far below; an agent's own
/// command may say what it likes.
const TASK_MAX_BYTES: u64 = 64 << 20;
/// What stands where no more is kept.
const LEFT_OUT: &str = "[left out: no more texts of calls are kept of this task]";
/// Tasks whose room is remembered.
const MOST_TASKS: usize = 10_000;
/// A call waits no longer than this for its texts to be kept.
const LONGEST: Duration = Duration::from_secs(10);

/// The ledger of a deployment.
pub struct StoreLedger {
    store: Store,
    texts: Texts,
    redactor: Arc<Redactor>,
    /// What may still be kept of a task, in bytes.
    room: Mutex<HashMap<TaskId, u64>>,
    known: Mutex<HashMap<(TaskId, TextDigest), (i64, Instant)>>,
}

/// Whether what was said is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Texts {
    Kept,
    NotKept,
}

impl StoreLedger {
    /// `texts_days`: how long what was said is to be kept; 0: not at all.
    pub fn new(store: Store, texts_days: u32, redactor: Arc<Redactor>) -> Self {
        let texts = if texts_days == 0 { Texts::NotKept } else { Texts::Kept };
        Self { store, texts, redactor, room: Mutex::default(), known: Mutex::default() }
    }

    /// The texts of a call, kept. None of them where that does not work.
    async fn texts(&self, record: &CallRecord) -> CallTexts {
        let (Some(task), Some(exchange), Texts::Kept) = (record.label.task, &record.exchange, self.texts)
        else {
            return CallTexts::default();
        };
        match tokio::time::timeout(LONGEST, self.keep(task, exchange)).await {
            Ok(Ok(texts)) => texts,
            Ok(Err(error)) => {
                tracing::warn!(%task, error, "what was said in a call of a model could not be kept");
                CallTexts::default()
            }
            Err(_) => {
                tracing::warn!(%task, "keeping what was said in a call of a model took too long");
                CallTexts::default()
            }
        }
    }

    async fn keep(&self, task: TaskId, exchange: &Exchange) -> Result<CallTexts, String> {
        let parts = aside(|| Parts::of(exchange));
        let mut ids = self.recalled(task, &parts);
        let missing = |ids: &HashMap<TextDigest, i64>| -> Vec<TextDigest> {
            let mut missing: Vec<_> = parts.digests().filter(|digest| !ids.contains_key(digest)).collect();
            missing.sort_unstable();
            missing.dedup();
            missing
        };
        let asked = missing(&ids);
        if !asked.is_empty() {
            let known = self.store.known_model_texts(task, &asked).await;
            let mut found = known.map_err(|error| with_causes(&error))?;
            ids.extend(&found);
            let new = missing(&ids);
            if !new.is_empty() {
                let room = self.room_of(task).await?;
                let bodies = aside(|| parts.bodies(&new, room, &self.redactor))?;
                self.take_room(task, bodies.iter().map(|(_, body)| body.len() as u64).sum());
                let kept = self.store.keep_model_texts(task, bodies).await;
                let kept = kept.map_err(|error| with_causes(&error))?;
                ids.extend(&kept);
                found.extend(kept);
            }
            self.remember(task, &found);
        }
        let id =
            |part: &Option<(TextDigest, Part<'_>)>| part.as_ref().and_then(|(digest, _)| ids.get(digest));
        Ok(CallTexts {
            system: id(&parts.system).copied(),
            means: id(&parts.means).copied(),
            messages: parts.messages.iter().filter_map(|(digest, _)| ids.get(digest).copied()).collect(),
            answer: id(&parts.answer).copied(),
        })
    }

    /// What may still be kept of a task.
    async fn room_of(&self, task: TaskId) -> Result<u64, String> {
        let known = self.room.lock().unwrap_or_else(PoisonError::into_inner).get(&task).copied();
        if let Some(room) = known {
            return Ok(room);
        }
        let kept = self.store.model_texts_bytes(task).await.map_err(|error| with_causes(&error))?;
        let room = TASK_MAX_BYTES.saturating_sub(kept);
        let mut rooms = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.len() >= MOST_TASKS {
            rooms.clear();
        }
        // Another call of the task may have been quicker, and have kept something since.
        Ok(*rooms.entry(task).or_insert(room))
    }

    fn take_room(&self, task: TaskId, bytes: u64) {
        let mut rooms = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get_mut(&task) {
            *room = room.saturating_sub(bytes);
        }
    }

    fn recalled(&self, task: TaskId, parts: &Parts<'_>) -> HashMap<TextDigest, i64> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |digest: TextDigest| {
            let (id, at) = known.get(&(task, digest))?;
            (at.elapsed() < KNOWN_FOR).then_some((digest, *id))
        };
        parts.digests().filter_map(fresh).collect()
    }

    fn remember(&self, task: TaskId, found: &HashMap<TextDigest, i64>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + found.len() > MOST_KNOWN {
            known.clear();
        }
        let now = Instant::now();
        known.extend(found.iter().map(|(digest, id)| ((task, *digest), (*id, now))));
    }
}

/// The parts of an exchange with their digests.
struct Parts<'a> {
    system: Option<(TextDigest, Part<'a>)>,
    means: Option<(TextDigest, Part<'a>)>,
    messages: Vec<(TextDigest, Part<'a>)>,
    answer: Option<(TextDigest, Part<'a>)>,
}

impl<'a> Parts<'a> {
    fn of(exchange: &'a Exchange) -> Self {
        let named = |part: Part<'a>| (part.digest(), part);
        Self {
            system: exchange.system().map(named),
            means: exchange.means().map(named),
            messages: exchange.messages().map(named).collect(),
            answer: exchange.answered().map(named),
        }
    }

    fn all(&self) -> impl Iterator<Item = &(TextDigest, Part<'a>)> {
        self.system.iter().chain(&self.means).chain(&self.messages).chain(&self.answer)
    }

    fn digests(&self) -> impl Iterator<Item = TextDigest> {
        self.all().map(|(digest, _)| *digest)
    }

    /// The parts of these digests as they are kept, as far as there is room; what goes beyond it is named only.
    fn bodies(
        &self,
        wanted: &[TextDigest],
        mut room: u64,
        redactor: &Redactor,
    ) -> Result<Vec<(TextDigest, Vec<u8>)>, String> {
        let mut bodies = Vec::with_capacity(wanted.len());
        // In the order in which they were said: the first ones have the room.
        for (digest, part) in self.all().filter(|(digest, _)| wanted.binary_search(digest).is_ok()) {
            if bodies.iter().any(|(known, _)| known == digest) {
                continue;
            }
            let whole = match room {
                0 => None,
                _ => Some(packed(&without_secrets(part.said(), redactor))?),
            };
            let body = match whole.filter(|body| body.len() as u64 <= room) {
                Some(body) => body,
                None => packed(&part.said().in_place(LEFT_OUT))?,
            };
            room = room.saturating_sub(body.len() as u64);
            bodies.push((*digest, body));
        }
        Ok(bodies)
    }
}

fn without_secrets(said: Said, redactor: &Redactor) -> Said {
    said.mapped(|text| redactor.clean(text), |value| redactor.clean_json(value))
}

fn packed(said: &Said) -> Result<Vec<u8>, String> {
    let json = serde_json::to_vec(said).map_err(|error| error.to_string())?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&json).and_then(|()| gzip.finish()).map_err(|error| error.to_string())
}

impl Ledger for StoreLedger {
    fn record<'a>(&'a self, record: &'a CallRecord) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            let texts = self.texts(record).await;
            let accounting = serde_json::to_value(record.accounting).ok();
            let call = ModelCall {
                task: record.label.task,
                stage: record.label.stage.clone(),
                role: record.role.as_str().to_owned(),
                model: record.model.to_string(),
                usage: record.usage,
                latency: record.latency,
                stop_reason: record.stop.as_ref().map(|stop| format!("{stop:?}")),
                // A provider's words.
                error: (record.error.as_ref())
                    .map(|(kind, message)| self.redactor.clean(&format!("{kind}: {message}"))),
                prompt: record.label.prompt.as_ref().map(|prompt| CallPrompt {
                    name: prompt.name.clone(),
                    version: prompt.version,
                    source: prompt.source.clone(),
                }),
                attempt: u32::try_from(record.attempt).unwrap_or(u32::MAX),
                cache_written_tokens: record.tokens.cache_written,
                accounting: accounting.and_then(|name| name.as_str().map(str::to_owned)),
                texts,
            };
            self.store.record_model_call(&call).await.map_err(|error| LedgerError(error.to_string()))
        })
    }
}

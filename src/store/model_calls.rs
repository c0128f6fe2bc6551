//! Model calls and what they cost.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::domain::{TaskId, Usage};

use super::{CallTexts, Store, StoreError, signed, unsigned, writable};

/// A call of a model, whether it succeeded or not.
#[derive(Debug, Clone, Default)]
pub struct ModelCall {
    pub task: Option<TaskId>,
    pub stage: String,
    pub role: String,
    pub model: String,
    pub usage: Usage,
    pub latency: Duration,
    pub stop_reason: Option<String>,
    pub error: Option<String>,
    pub prompt: Option<CallPrompt>,
    /// Counted from 1 over all tries of one question.
    pub attempt: u32,
    /// Part of the usage's input tokens.
    pub cache_written_tokens: u64,
    /// `reported`, `estimated` or `nothing`; `None` in records of older versions.
    pub accounting: Option<String>,
    /// What was said, where that is kept.
    pub texts: CallTexts,
}

/// The prompt file that a call was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallPrompt {
    pub name: String,
    pub version: u32,
    pub source: String,
}

impl Store {
    pub async fn record_model_call(&self, call: &ModelCall) -> Result<(), StoreError> {
        let prompt = call.prompt.as_ref();
        sqlx::query!(
            "INSERT INTO model_calls (task_id, stage, role, model, input_tokens, cached_tokens, output_tokens,
                                      cost_micro_usd, latency_ms, stop_reason, error, prompt_name,
                                      prompt_version, prompt_source, attempt, cache_written_tokens, accounting,
                                      system_text, means_text, message_texts, answer_text)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                     $21)",
            call.task.map(|task| task.0),
            call.stage,
            call.role,
            call.model,
            signed(call.usage.input_tokens),
            signed(call.usage.cached_tokens),
            signed(call.usage.output_tokens),
            signed(call.usage.cost_micro_usd),
            signed(call.latency.as_millis() as u64),
            call.stop_reason.as_deref().map(writable::owned),
            call.error.as_deref().map(writable::owned),
            prompt.map(|prompt| prompt.name.as_str()),
            prompt.map(|prompt| count(prompt.version)),
            prompt.map(|prompt| writable::owned(&prompt.source)),
            count(call.attempt),
            signed(call.cache_written_tokens),
            call.accounting,
            call.texts.system,
            call.texts.means,
            &call.texts.messages,
            call.texts.answer,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What a task has spent so far.
    pub async fn usage_of(&self, task: TaskId) -> Result<Usage, StoreError> {
        self.usage_between(Some(task), DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC).await
    }

    /// What a task, or all of them, spent in a span of time.
    pub async fn usage_between(
        &self,
        task: Option<TaskId>,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Usage, StoreError> {
        // PostgreSQL's calendar is shorter than chrono's.
        let from = from.max(DateTime::UNIX_EPOCH);
        let until = until.min(DateTime::UNIX_EPOCH + chrono::TimeDelta::days(365 * 1_000));
        let row = sqlx::query!(
            r#"SELECT count(*) AS "calls!", coalesce(sum(input_tokens), 0)::bigint AS "input!",
                      coalesce(sum(cached_tokens), 0)::bigint AS "cached!",
                      coalesce(sum(output_tokens), 0)::bigint AS "output!",
                      coalesce(sum(cost_micro_usd), 0)::bigint AS "cost!"
               FROM model_calls WHERE ($1::uuid IS NULL OR task_id = $1) AND at >= $2 AND at < $3"#,
            task.map(|task| task.0),
            from,
            until,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Usage {
            calls: unsigned(row.calls),
            input_tokens: unsigned(row.input),
            cached_tokens: unsigned(row.cached),
            output_tokens: unsigned(row.output),
            cost_micro_usd: unsigned(row.cost),
        })
    }

    /// Every call of a task in order, with its time.
    pub async fn model_calls(&self, task: TaskId) -> Result<Vec<(DateTime<Utc>, ModelCall)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT stage, role, model, input_tokens, cached_tokens, output_tokens, cost_micro_usd, latency_ms,
                    stop_reason, error, at, prompt_name, prompt_version, prompt_source, attempt,
                    cache_written_tokens, accounting, system_text, means_text, message_texts, answer_text
             FROM model_calls WHERE task_id = $1 ORDER BY id",
            task.0
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let usage = Usage {
                    calls: 1,
                    input_tokens: unsigned(row.input_tokens),
                    cached_tokens: unsigned(row.cached_tokens),
                    output_tokens: unsigned(row.output_tokens),
                    cost_micro_usd: unsigned(row.cost_micro_usd),
                };
                let call = ModelCall {
                    task: Some(task),
                    stage: row.stage,
                    role: row.role,
                    model: row.model,
                    usage,
                    latency: Duration::from_millis(unsigned(row.latency_ms)),
                    stop_reason: row.stop_reason,
                    error: row.error,
                    prompt: row.prompt_name.map(|name| CallPrompt {
                        name,
                        version: row.prompt_version.map_or(0, counted),
                        source: row.prompt_source.unwrap_or_default(),
                    }),
                    attempt: counted(row.attempt),
                    cache_written_tokens: unsigned(row.cache_written_tokens),
                    accounting: row.accounting,
                    texts: CallTexts {
                        system: row.system_text,
                        means: row.means_text,
                        messages: row.message_texts,
                        answer: row.answer_text,
                    },
                };
                (row.at, call)
            })
            .collect())
    }
}

/// PostgreSQL's integers have a sign.
fn count(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn counted(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

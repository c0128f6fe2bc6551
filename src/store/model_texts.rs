//! What was said to models and what they answered: each message once for its task, for some days.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::domain::TaskId;

use super::{Store, StoreError};

/// SHA-256 of what a text says.
pub type TextDigest = [u8; 32];

/// The texts of one call, by their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallTexts {
    pub system: Option<i64>,
    /// Tools, and the form of the answer.
    pub means: Option<i64>,
    pub messages: Vec<i64>,
    pub answer: Option<i64>,
}

impl CallTexts {
    pub fn ids(&self) -> impl Iterator<Item = i64> {
        self.system.into_iter().chain(self.means).chain(self.messages.iter().copied()).chain(self.answer)
    }
}

impl Store {
    /// Those of the texts of a task that are kept already.
    pub async fn known_model_texts(
        &self,
        task: TaskId,
        digests: &[TextDigest],
    ) -> Result<HashMap<TextDigest, i64>, StoreError> {
        let digests: Vec<Vec<u8>> = digests.iter().map(|digest| digest.to_vec()).collect();
        let rows = sqlx::query!(
            "SELECT id, digest FROM model_texts WHERE task_id = $1 AND digest = ANY($2)",
            task.0,
            &digests,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().filter_map(|row| Some((row.digest.try_into().ok()?, row.id))).collect())
    }

    /// What the texts of a task take, in bytes.
    pub async fn model_texts_bytes(&self, task: TaskId) -> Result<u64, StoreError> {
        let bytes = sqlx::query_scalar!(
            r#"SELECT coalesce(sum(octet_length(body)), 0)::bigint AS "bytes!" FROM model_texts WHERE task_id = $1"#,
            task.0,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// Keeps texts of a task; of one that is kept already, the number.
    pub async fn keep_model_texts(
        &self,
        task: TaskId,
        texts: Vec<(TextDigest, Vec<u8>)>,
    ) -> Result<HashMap<TextDigest, i64>, StoreError> {
        let (digests, bodies): (Vec<Vec<u8>>, Vec<Vec<u8>>) =
            texts.into_iter().map(|(digest, body)| (digest.to_vec(), body)).unzip();
        // An update that changes nothing, since a conflict that is passed over answers no number.
        let rows = sqlx::query!(
            "INSERT INTO model_texts (task_id, digest, body)
             SELECT $1, new.digest, new.body FROM unnest($2::bytea[], $3::bytea[]) AS new (digest, body)
             ORDER BY new.digest
             ON CONFLICT (task_id, digest) DO UPDATE SET digest = excluded.digest
             RETURNING id, digest",
            task.0,
            &digests,
            &bodies,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().filter_map(|row| Some((row.digest.try_into().ok()?, row.id))).collect())
    }

    /// The bodies of texts, as far as they are still kept.
    pub async fn model_text_bodies(&self, ids: &[i64]) -> Result<HashMap<i64, Vec<u8>>, StoreError> {
        let rows = sqlx::query!("SELECT id, body FROM model_texts WHERE id = ANY($1)", ids)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|row| (row.id, row.body)).collect())
    }

    /// Removes texts that were kept before `before`, the oldest first and `most` at most; answers how many.
    pub async fn forget_model_texts(&self, before: DateTime<Utc>, most: u32) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "DELETE FROM model_texts WHERE id IN
                 (SELECT id FROM model_texts WHERE created_at < $1 ORDER BY created_at LIMIT $2)",
            before,
            i64::from(most),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

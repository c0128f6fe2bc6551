//! What stages made: kept whatever becomes of the task.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::{Task, TaskId};

use super::{Store, StoreError, signed, unsigned};

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArtifactKind {
    /// The commits from base to head as a git pack, so that another machine can go on.
    Commits,
    /// The diff from base to head, for people.
    Patch,
    /// Gate reports (`Vec<GateReport>` as JSON).
    Gates,
    /// Everything that a gate printed, where its report shows only a part (gzip).
    GateLog,
    /// How gates do on the base, for the rounds to come (JSON).
    BaseGates,
    /// What set-up steps ran, what they printed and every request that they made (JSON).
    Setup,
    /// The review round (JSON).
    Review,
    /// What the implementer and the fixers say that they did.
    Summary,
    /// What a model was told and answered (JSON).
    Transcript,
    /// What an agent's own command printed, and which of its calls were refused (text).
    AgentLog,
    /// How long a stage was in sandboxes (JSON).
    Timing,
    /// What one of several candidates for the work made, under its number.
    Candidate,
    /// Which candidate was chosen, and why (JSON).
    Choice,
    /// An answer in words, with what it rests on (JSON).
    Answer,
    /// Which workflow, models and controls a router chose, and what of that was corrected (JSON).
    Route,
    /// What a person reads when the work is done locally (Markdown).
    Report,
}

impl ArtifactKind {
    pub const ALL: [Self; 16] = [
        Self::Commits,
        Self::Patch,
        Self::Gates,
        Self::GateLog,
        Self::BaseGates,
        Self::Setup,
        Self::Review,
        Self::Summary,
        Self::Transcript,
        Self::Timing,
        Self::Candidate,
        Self::Choice,
        Self::AgentLog,
        Self::Answer,
        Self::Route,
        Self::Report,
    ];

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commits => "commits",
            Self::Patch => "patch",
            Self::Gates => "gates",
            Self::GateLog => "gate_log",
            Self::BaseGates => "base_gates",
            Self::Setup => "setup",
            Self::Review => "review",
            Self::Summary => "summary",
            Self::Transcript => "transcript",
            Self::AgentLog => "agent_log",
            Self::Timing => "timing",
            Self::Candidate => "candidate",
            Self::Choice => "choice",
            Self::Answer => "answer",
            Self::Route => "route",
            Self::Report => "report",
        }
    }
}

/// A product of a stage that began at a version of its task.
#[derive(Debug, Clone)]
pub struct Artifact {
    pub kind: ArtifactKind,
    pub version: u64,
    pub name: String,
    pub body: Vec<u8>,
}

/// A kept artifact, as lists of them show it.
#[derive(Debug, Clone)]
pub struct KeptArtifact {
    pub kind: String,
    pub version: u64,
    pub name: String,
    pub body: Vec<u8>,
    pub created_at: DateTime<Utc>,
}

pub(super) async fn insert(
    tx: &mut PgConnection,
    task: TaskId,
    artifact: &Artifact,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO artifacts (task_id, kind, version, name, body) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (task_id, kind, version, name) DO UPDATE SET body = excluded.body, created_at = now()",
        task.0,
        artifact.kind.as_str(),
        signed(artifact.version),
        artifact.name,
        artifact.body,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Where what was taken back begins, and where it ends.
fn firsts(task: &Task) -> Vec<i64> {
    task.taken_back.iter().map(|taken| signed(taken.first)).collect()
}

fn lasts(task: &Task) -> Vec<i64> {
    task.taken_back.iter().map(|taken| signed(taken.last)).collect()
}

impl Store {
    /// The newest artifact of a kind that belongs to the work of a task as it stands, or stood. What was taken back
    /// does not.
    pub async fn latest_artifact(
        &self,
        task: &Task,
        kind: ArtifactKind,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar!(
            "SELECT body FROM artifacts
             WHERE task_id = $1 AND kind = $2 AND version BETWEEN $3 AND $4
               AND NOT EXISTS (SELECT 1 FROM unnest($5::bigint[], $6::bigint[]) AS gone(first, last)
                               WHERE version BETWEEN gone.first AND gone.last)
             ORDER BY version DESC, id DESC LIMIT 1",
            task.id.0,
            kind.as_str(),
            signed(task.work_since),
            signed(task.version),
            &firsts(task),
            &lasts(task),
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// All artifacts of a kind that belong to that work, oldest first.
    pub async fn artifacts_of_kind(
        &self,
        task: &Task,
        kind: ArtifactKind,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(self.kept(task, kind).await?.into_iter().map(|kept| kept.body).collect())
    }

    /// The same with their names.
    pub async fn kept(&self, task: &Task, kind: ArtifactKind) -> Result<Vec<KeptArtifact>, StoreError> {
        let rows = sqlx::query!(
            "SELECT kind, version, name, body, created_at FROM artifacts
             WHERE task_id = $1 AND kind = $2 AND version BETWEEN $3 AND $4
               AND NOT EXISTS (SELECT 1 FROM unnest($5::bigint[], $6::bigint[]) AS gone(first, last)
                               WHERE version BETWEEN gone.first AND gone.last)
             ORDER BY version, id",
            task.id.0,
            kind.as_str(),
            signed(task.work_since),
            signed(task.version),
            &firsts(task),
            &lasts(task),
        )
        .fetch_all(&self.pool)
        .await?;
        let kept = rows.into_iter().map(|row| KeptArtifact {
            kind: row.kind,
            version: unsigned(row.version),
            name: row.name,
            body: row.body,
            created_at: row.created_at,
        });
        Ok(kept.collect())
    }

    /// The decisions between candidates since a time, oldest first, each with its task. A task that this version
    /// cannot read is left out, and the log says so.
    pub async fn choices(&self, since: DateTime<Utc>) -> Result<Vec<(Task, KeptArtifact)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT tasks.id, tasks.data, kind, artifacts.version, name, body, artifacts.created_at
             FROM artifacts JOIN tasks ON tasks.id = artifacts.task_id
             WHERE kind = $1 AND artifacts.created_at >= $2 ORDER BY artifacts.id",
            ArtifactKind::Choice.as_str(),
            since,
        )
        .fetch_all(&self.pool)
        .await?;
        let choices = rows.into_iter().filter_map(|row| {
            let task = super::tasks::readable(row.id, row.data)?;
            let kept = KeptArtifact {
                kind: row.kind,
                version: unsigned(row.version),
                name: row.name,
                body: row.body,
                created_at: row.created_at,
            };
            Some((task, kept))
        });
        Ok(choices.collect())
    }

    /// The artifacts of a kind that a task's stages made up to one of its versions, by name: the newest of each.
    pub async fn artifacts_until(
        &self,
        task: TaskId,
        kind: ArtifactKind,
        version: u64,
    ) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let rows = sqlx::query!(
            "SELECT name, body FROM artifacts WHERE task_id = $1 AND kind = $2 AND version <= $3
             ORDER BY version, id",
            task.0,
            kind.as_str(),
            signed(version),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (row.name, row.body)).collect())
    }

    /// Every artifact of a task, in the order in which they were made.
    pub async fn artifacts(&self, task: TaskId) -> Result<Vec<KeptArtifact>, StoreError> {
        let rows = sqlx::query!(
            "SELECT kind, version, name, body, created_at FROM artifacts WHERE task_id = $1 ORDER BY version, id",
            task.0
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| KeptArtifact {
                kind: row.kind,
                version: unsigned(row.version),
                name: row.name,
                body: row.body,
                created_at: row.created_at,
            })
            .collect())
    }

    /// Keeps something outside of a transition: the work of a stage that failed.
    pub async fn keep(&self, task: TaskId, artifact: &Artifact) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        insert(&mut connection, task, artifact).await
    }
}

//! What is spent and set aside, by task, repository, day and month; and setting aside, one at a time.

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::domain::{BudgetScope, TaskId};
use crate::telemetry::clock;

use super::{Store, StoreError, signed, unsigned};

/// Tokens and money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spending {
    pub tokens: u64,
    pub cost_micro_usd: u64,
}

/// What to set aside, and for how long at most.
#[derive(Debug, Clone, Copy)]
pub struct SetAside {
    pub task: TaskId,
    pub spending: Spending,
    /// Where nobody takes it back, because the process died, it counts for so long.
    pub at_most: TimeDelta,
}

/// Chosen at random; taken for the length of one transaction by whoever sets something aside.
const LOCK: i64 = 0x6f72_6368_6275_6467;

impl Store {
    /// Sets something aside if `covered` lets every scope have it: it is told what the scope has spent and set
    /// aside, and its refusal is the inner error. Answers the number of the reservation.
    pub async fn set_aside<E>(
        &self,
        wanted: &SetAside,
        scopes: &[BudgetScope],
        covered: impl Fn(BudgetScope, Spending) -> Result<(), E>,
    ) -> Result<Result<i64, E>, StoreError> {
        let now = clock::now();
        let mut tx = self.pool.begin().await?;
        sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK).fetch_one(&mut *tx).await?;
        for &scope in scopes {
            let spent = spending(&mut tx, scope, wanted.task, now).await?;
            if let Err(refusal) = covered(scope, spent) {
                return Ok(Err(refusal));
            }
        }
        let number = sqlx::query_scalar!(
            "INSERT INTO model_reservations (task_id, tokens, cost_micro_usd, until) VALUES ($1, $2, $3, $4)
             RETURNING id",
            wanted.task.0,
            signed(wanted.spending.tokens),
            signed(wanted.spending.cost_micro_usd),
            now + wanted.at_most,
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Ok(number))
    }

    /// Takes a reservation back, and those of others that ran out.
    pub async fn take_back(&self, reservation: i64) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM model_reservations WHERE id = $1 OR until < $2", reservation, clock::now())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// What a scope has spent and set aside, as a task sees it.
    pub async fn spending(&self, scope: BudgetScope, task: TaskId) -> Result<Spending, StoreError> {
        spending(&mut *self.pool.acquire().await?, scope, task, clock::now()).await
    }
}

async fn spending(
    connection: &mut PgConnection,
    scope: BudgetScope,
    task: TaskId,
    now: DateTime<Utc>,
) -> Result<Spending, StoreError> {
    let since = match scope {
        BudgetScope::Task => DateTime::UNIX_EPOCH,
        BudgetScope::RepositoryDay | BudgetScope::Day => midnight(now),
        BudgetScope::Month => midnight(now) - TimeDelta::days(i64::from(now.day0())),
    };
    let of_task = (scope == BudgetScope::Task).then_some(task.0);
    let beside = (scope == BudgetScope::RepositoryDay).then_some(task.0);
    let row = sqlx::query!(
        r#"SELECT coalesce(sum(tokens), 0)::bigint AS "tokens!", coalesce(sum(cost), 0)::bigint AS "cost!"
           FROM (SELECT task_id, input_tokens + cached_tokens + output_tokens AS tokens, cost_micro_usd AS cost
                 FROM model_calls WHERE at >= $3
                 UNION ALL
                 SELECT task_id, tokens, cost_micro_usd FROM model_reservations WHERE until >= $4) AS spent
           WHERE ($1::uuid IS NULL OR task_id = $1)
             AND ($2::uuid IS NULL OR task_id IN (
                 SELECT other.id FROM tasks AS one JOIN tasks AS other
                 ON other.repository_id = one.repository_id
                    OR (other.repository_id IS NULL AND one.repository_id IS NULL
                        AND other.data -> 'origin' ->> 'repository' = one.data -> 'origin' ->> 'repository')
                 WHERE one.id = $2))"#,
        of_task,
        beside,
        since,
        now,
    )
    .fetch_one(connection)
    .await?;
    Ok(Spending { tokens: unsigned(row.tokens), cost_micro_usd: unsigned(row.cost) })
}

fn midnight(now: DateTime<Utc>) -> DateTime<Utc> {
    now.date_naive().and_time(NaiveTime::MIN).and_utc()
}

//! A look at a database before anything is changed in it, for `doctor`.

use std::time::Duration;

use sqlx::migrate::Migrate;
use sqlx::{Connection, PgConnection};

use super::StoreError;

/// Where sqlx notes which migrations were applied.
const APPLIED: &str = "_sqlx_migrations";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A database as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseLook {
    /// PostgreSQL's own version, such as `15.8`.
    pub server: String,
    pub schema: Schema,
}

/// The schema beside the one that this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Nothing of ours is there yet.
    Empty,
    Current,
    /// So many migrations are applied at the next start.
    Behind(usize),
    /// A later version of the program was here: this one refuses it.
    Newer,
    /// A migration stopped half-way.
    Torn,
}

/// Connects, asks and disconnects.
pub async fn look(url: &str) -> Result<DatabaseLook, StoreError> {
    let connecting = PgConnection::connect(url);
    let mut connection = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| StoreError::Database(sqlx::Error::PoolTimedOut))??;
    let server = sqlx::query_scalar!(r#"SELECT current_setting('server_version') AS "version!""#)
        .fetch_one(&mut connection)
        .await?;
    let exists = sqlx::query_scalar!(r#"SELECT to_regclass($1) IS NOT NULL AS "exists!""#, APPLIED)
        .fetch_one(&mut connection)
        .await?;
    let schema = if exists { compare(&mut connection).await? } else { Schema::Empty };
    connection.close().await?;
    Ok(DatabaseLook { server, schema })
}

async fn compare(connection: &mut PgConnection) -> Result<Schema, StoreError> {
    let migrator = sqlx::migrate!();
    if connection.dirty_version(APPLIED).await?.is_some() {
        return Ok(Schema::Torn);
    }
    let applied = connection.list_applied_migrations(APPLIED).await?;
    if applied.iter().any(|one| !migrator.version_exists(one.version)) {
        return Ok(Schema::Newer);
    }
    let missing = migrator.iter().count().saturating_sub(applied.len());
    Ok(if missing == 0 { Schema::Current } else { Schema::Behind(missing) })
}

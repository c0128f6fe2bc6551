//! Where the App may work.

use crate::domain::{InstallationId, RepositoryId};

use super::{Store, StoreError, signed, unsigned, writable};

impl Store {
    /// Notes that a repository belongs to an installation, under its present name.
    pub async fn note_repository(
        &self,
        id: RepositoryId,
        installation: InstallationId,
        full_name: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO repositories (id, installation_id, full_name) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET installation_id = excluded.installation_id,
                 full_name = excluded.full_name, removed_at = NULL, updated_at = now()",
            signed(id.0),
            signed(installation.0),
            &*writable::text(full_name),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The App lost its access to repositories.
    pub async fn forget_repositories(&self, ids: &[RepositoryId]) -> Result<(), StoreError> {
        let ids: Vec<i64> = ids.iter().map(|id| signed(id.0)).collect();
        sqlx::query!(
            "UPDATE repositories SET removed_at = now(), updated_at = now() WHERE id = ANY($1)",
            &ids
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub async fn repositories_of(
        &self,
        installation: InstallationId,
    ) -> Result<Vec<RepositoryId>, StoreError> {
        let ids = sqlx::query_scalar!(
            "SELECT id FROM repositories WHERE installation_id = $1 AND removed_at IS NULL",
            signed(installation.0)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().map(|id| RepositoryId(unsigned(id))).collect())
    }
}

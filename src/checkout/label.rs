//! The label that starts work, which a repository may choose for itself.

use crate::config::RepositoryPolicy;
use crate::github::{GitHubError, RepositoryClient};

/// The label that a repository's own rules name on its default branch as it is now, else `general`; this also
/// where the rules are not as they have to be, which the first task tells.
pub async fn label_of(client: &RepositoryClient, general: &str) -> Result<String, GitHubError> {
    let file = client.file(RepositoryPolicy::PATH).await?;
    let own = file.and_then(|bytes| {
        let policy = RepositoryPolicy::parse(&String::from_utf8_lossy(&bytes));
        let policy = policy.inspect_err(
            |error| tracing::warn!(repository = client.place().full_name, %error, "unusable rules"),
        );
        policy.ok()?.label
    });
    Ok(own.unwrap_or_else(|| general.to_owned()))
}

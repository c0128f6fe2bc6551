//! Jobs of sessions whose process is dead, found by their labels and removed.

use std::collections::BTreeSet;

use kube::api::ListParams;

use super::errors::{api_error, patiently};
use super::{Shared, pod};
use crate::sandbox::deployment::{DEPLOYMENT_LABEL, SESSION_LABEL};
use crate::sandbox::leftovers;
use crate::sandbox::model::SandboxError;

/// Removes the Jobs and folders of this deployment's dead sessions; gives their number.
pub(super) async fn sweep(shared: &Shared) -> Result<usize, SandboxError> {
    let chosen = ListParams::default().labels(&format!("{DEPLOYMENT_LABEL}={}", shared.deployment));
    let jobs = shared.jobs();
    let found = patiently(|| jobs.list(&chosen)).await.map_err(api_error("listing jobs"))?;
    let (mut dead, root) = (BTreeSet::new(), &shared.options.work_root);
    for job in found.items {
        let (name, labels) = (job.metadata.name.unwrap_or_default(), job.metadata.labels.unwrap_or_default());
        // The selection is checked again: what is removed here is gone.
        if labels.get(DEPLOYMENT_LABEL) != Some(&shared.deployment) {
            continue;
        }
        let Some(session) = labels.get(SESSION_LABEL) else { continue };
        if leftovers::is_dead(root, session).map_err(SandboxError::io("looking for old sandboxes"))? {
            pod::remove(shared, &name).await?;
            dead.insert(session.clone());
        }
    }
    let root = root.clone();
    let swept = tokio::task::spawn_blocking(move || leftovers::sweep(&root)).await;
    let swept = swept.map_err(std::io::Error::other).and_then(|swept| swept);
    let folders = swept.map_err(SandboxError::io("removing old sandboxes"))?;
    Ok(dead.len().max(folders))
}

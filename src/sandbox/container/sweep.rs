//! What sessions have at the engine, found again by its labels and removed.

use std::collections::{BTreeSet, HashMap};

use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};

use super::running::{patiently, remove};
use super::session::remove_volume;
use super::{Shared, engine_error};
use crate::sandbox::deployment::{DEPLOYMENT_LABEL, SESSION_LABEL};
use crate::sandbox::leftovers;
use crate::sandbox::model::SandboxError;

/// Removes the containers and volumes of this deployment's sessions whose process is dead. Gives the number
/// of sessions.
pub(super) async fn sweep(shared: &Shared) -> Result<usize, SandboxError> {
    let mut dead = BTreeSet::new();
    for session in sessions(shared).await? {
        let root = &shared.options.work_root;
        if leftovers::is_dead(root, &session).map_err(SandboxError::io("looking for old sandboxes"))? {
            remove_session(shared, &session).await?;
            dead.insert(session);
        }
    }
    let root = shared.options.work_root.clone();
    let swept = tokio::task::spawn_blocking(move || leftovers::sweep(&root)).await;
    let swept = swept.map_err(std::io::Error::other).and_then(|swept| swept);
    let folders = swept.map_err(SandboxError::io("removing old sandboxes"))?;
    Ok(dead.len().max(folders))
}

fn labelled(pairs: &[(&str, &str)]) -> HashMap<String, Vec<String>> {
    let labels = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    HashMap::from([("label".to_owned(), labels)])
}

async fn containers(
    shared: &Shared,
    filter: &HashMap<String, Vec<String>>,
) -> Result<Vec<(String, HashMap<String, String>)>, SandboxError> {
    let options = ListContainersOptionsBuilder::default().all(true).filters(filter).build();
    let found = patiently(|| shared.docker.list_containers(Some(options.clone()))).await;
    let found = found.map_err(engine_error("listing containers"))?;
    let pairs = found.into_iter().filter_map(|one| Some((one.id?, one.labels.unwrap_or_default())));
    Ok(pairs.collect())
}

/// The names of all sessions of this deployment that have anything at the engine.
async fn sessions(shared: &Shared) -> Result<BTreeSet<String>, SandboxError> {
    let filter = labelled(&[(DEPLOYMENT_LABEL, &shared.deployment)]);
    let containers = containers(shared, &filter).await?;
    let options = ListVolumesOptionsBuilder::default().filters(&filter).build();
    let volumes = shared.docker.list_volumes(Some(options)).await.map_err(engine_error("listing volumes"))?;
    let volumes = volumes.volumes.unwrap_or_default().into_iter().map(|volume| volume.labels);
    let labels = containers.into_iter().map(|(_, labels)| labels).chain(volumes);
    // The engine's filter is checked again: what is removed here is gone.
    let own = labels.filter(|labels| labels.get(DEPLOYMENT_LABEL) == Some(&shared.deployment));
    Ok(own.filter_map(|mut labels| labels.remove(SESSION_LABEL)).collect())
}

/// Kills and removes the containers of a session.
pub(super) async fn remove_containers(shared: &Shared, session: &str) -> Result<(), SandboxError> {
    let filter = labelled(&[(DEPLOYMENT_LABEL, &shared.deployment), (SESSION_LABEL, session)]);
    for (id, labels) in containers(shared, &filter).await? {
        if labels.get(SESSION_LABEL).is_some_and(|found| found == session) {
            remove(&shared.docker, &id).await?;
        }
    }
    Ok(())
}

/// Removes all that a session has at the engine.
pub(super) async fn remove_session(shared: &Shared, session: &str) -> Result<(), SandboxError> {
    remove_containers(shared, session).await?;
    remove_volume(shared, session).await
}

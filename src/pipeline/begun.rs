//! Work that an earlier attempt had begun when it was interrupted: by a budget, a limit, a model that was away.
//! A new attempt on the same base goes on from it.

use crate::checkout::Checkout;
use crate::domain::{CommitSha, Task};
use crate::store::ArtifactKind;
use crate::telemetry::with_causes;
use crate::workspace::{Snapshot, WorkspaceError};

use super::change::snapshot;
use super::fence::Fence;
use super::{Pipeline, StageError};

/// Changed files that are named to whoever goes on.
const MOST_NAMED: usize = 40;

/// The tree of work that was begun.
pub(super) struct Begun {
    pub files: Snapshot,
    /// What to tell of it.
    pub told: String,
}

impl Pipeline {
    /// What an earlier attempt left, if it began from the same base and breaks no rule. Work that cannot be
    /// taken up is begun anew.
    pub(super) async fn begun(
        &self,
        task: &Task,
        checkout: &Checkout,
        base: &CommitSha,
        fence: &Fence<'_>,
    ) -> Result<Option<Begun>, StageError> {
        if task.attempt == 1 || task.head.is_some() {
            return Ok(None);
        }
        let Some(bundle) = self.store.latest_artifact(task, ArtifactKind::Commits).await? else {
            return Ok(None);
        };
        match usable(checkout, base, fence, &bundle) {
            Ok(Some((head, told))) => Ok(Some(Begun { files: snapshot(checkout, &head).await?, told })),
            Ok(None) => Ok(None),
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "interrupted work is begun anew");
                Ok(None)
            }
        }
    }
}

fn usable(
    checkout: &Checkout,
    base: &CommitSha,
    fence: &Fence<'_>,
    bundle: &[u8],
) -> Result<Option<(CommitSha, String)>, WorkspaceError> {
    let mirror = &checkout.mirror;
    let head = mirror.unbundle(bundle)?;
    if mirror.merge_base(base, &head)?.as_ref() != Some(base) || fence.refusal(&head)?.is_some() {
        return Ok(None);
    }
    let changed = mirror.diff(base, &head)?;
    let names: Vec<&str> = changed.files.iter().take(MOST_NAMED).map(|file| file.path.as_str()).collect();
    let more = changed.files.len().saturating_sub(names.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let told = format!(
        "An earlier attempt was interrupted, and the tree holds what it had done until then. It changed {}{more}. Look \
         at that first: go on from it, or put right what is wrong with it.",
        names.join(", ")
    );
    Ok(Some((head, told)))
}

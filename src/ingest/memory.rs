//! What this process remembers of GitHub between two looks: ETags of what was seen and understood, and
//! who asked us to wait. All of it may be lost at any time; then the next look costs a request more.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::domain::{CommentId, InstallationId, TaskId};
use crate::github::GitHubError;

use super::IngestError;
use super::reactions::SeenReactions;
use super::reconcile::SeenTask;

#[derive(Debug, Default)]
pub(super) struct Memory {
    reactions: Mutex<HashMap<CommentId, SeenReactions>>,
    tasks: Mutex<HashMap<TaskId, SeenTask>>,
    limited: Mutex<HashMap<InstallationId, Instant>>,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    pub fn reactions_on(&self, comment: CommentId) -> Option<SeenReactions> {
        open(&self.reactions).get(&comment).cloned()
    }

    pub fn remember_reactions(&self, seen: Option<SeenReactions>) {
        if let Some(seen) = seen {
            open(&self.reactions).insert(seen.comment(), seen);
        }
    }

    pub fn forget_reactions(&self, comment: CommentId) {
        open(&self.reactions).remove(&comment);
    }

    /// Forgets all other comments: their plans wait no more.
    pub fn keep_reactions_on(&self, plans: &HashSet<CommentId>) {
        open(&self.reactions).retain(|comment, _| plans.contains(comment));
    }

    pub fn task(&self, id: TaskId) -> Option<SeenTask> {
        open(&self.tasks).get(&id).cloned()
    }

    pub fn remember_task(&self, seen: SeenTask) {
        open(&self.tasks).insert(seen.task, seen);
    }

    /// Forgets all other tasks: they have ended.
    pub fn keep_tasks(&self, open_ones: &HashSet<TaskId>) {
        open(&self.tasks).retain(|id, _| open_ones.contains(id));
    }

    /// Whether GitHub asked us to wait with calls for an installation, and the time is not over.
    pub fn is_limited(&self, installation: InstallationId) -> bool {
        let mut limited = open(&self.limited);
        limited.retain(|_, until| Instant::now() < *until);
        limited.contains_key(&installation)
    }

    pub fn note_limit(&self, installation: InstallationId, error: &IngestError) {
        if let IngestError::GitHub(GitHubError::RateLimited { wait, .. }) = error {
            open(&self.limited).insert(installation, Instant::now() + *wait);
        }
    }
}

//! The fence that every change has to pass: when it becomes a commit, when a model says that it is done, and
//! once more before it is published.

use crate::checkout::Checkout;
use crate::config::{self, PathSettings, RepositoryPolicy};
use crate::domain::{CommitSha, Reason, Task};
use crate::guard::{BinaryFiles, ChangeLimits, PathPolicy, PathRules, Side, Violation};
use crate::workspace::{RepoPath, WorkspaceError};

use super::implement::specification_of;
use super::{Pipeline, StageError};

/// Most violations that people and models are shown.
const MOST_SHOWN: usize = 40;

/// What a task's work has to pass.
pub(super) struct Fence<'a> {
    pub checkout: &'a Checkout,
    /// What is judged is what the work adds to this: on an open pull request people's commits are theirs.
    from: CommitSha,
    policy: PathPolicy,
    opened: &'a [String],
}

impl Pipeline {
    /// The deployment's and the repository's rules about paths, of which the stricter wins.
    pub(super) fn path_policy(&self, repository: &RepositoryPolicy) -> Result<PathPolicy, StageError> {
        let (ours, theirs) = (&self.settings.paths, &repository.paths);
        let deployment = PathRules { allowed: Some(ours.allowed.clone()), protected: ours.protected.clone() };
        let protected = theirs.protected.clone().unwrap_or_default();
        let repository = PathRules { allowed: theirs.allowed.clone(), protected };
        PathPolicy::new(&deployment, &repository, limits(ours, theirs))
            .map_err(|error| StageError::stop(Reason::RulesUnusable { detail: error.to_string() }))
    }

    /// The fence of a task whose work began from `base`, by the rules that stood there.
    pub(super) fn fence<'a>(
        &self,
        task: &'a Task,
        checkout: &'a Checkout,
        base: &CommitSha,
        policy: &RepositoryPolicy,
    ) -> Result<Fence<'a>, StageError> {
        Ok(Fence {
            checkout,
            from: published(task, checkout)?.unwrap_or(base).clone(),
            policy: self.path_policy(policy)?,
            opened: &specification_of(task)?.protected_files,
        })
    }
}

/// What is on the branch already, where that is known and here.
pub(super) fn published<'a>(
    task: &'a Task,
    checkout: &Checkout,
) -> Result<Option<&'a CommitSha>, StageError> {
    match &task.remote_head {
        Some(remote) if checkout.mirror.has(remote)? => Ok(Some(remote)),
        _ => Ok(None),
    }
}

impl Fence<'_> {
    /// The same fence where the work goes on from what is on the branch now.
    pub fn after(self, remote: &CommitSha) -> Self {
        Self { from: remote.clone(), ..self }
    }

    /// What the work up to `head` does and may not do, as people and models read it.
    pub fn refusal(&self, head: &CommitSha) -> Result<Option<String>, WorkspaceError> {
        let diff = self.checkout.mirror.diff(&self.from, head)?;
        let read = |side: Side, path: &str| {
            let commit = if side == Side::Before { &self.from } else { head };
            let Ok(path) = RepoPath::parse(path) else { return Ok(None) };
            match self.checkout.mirror.read_file(commit, &path) {
                Ok(bytes) => Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
                Err(WorkspaceError::FileTooLarge { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let violations = self.policy.violations(&diff, self.opened, &read)?;
        let mut lines: Vec<String> = violations.iter().take(MOST_SHOWN).map(Violation::to_string).collect();
        if violations.len() > MOST_SHOWN {
            lines.push(format!("and {} more", violations.len() - MOST_SHOWN));
        }
        Ok((!lines.is_empty()).then(|| lines.join("\n")))
    }

    /// The rules, for whoever writes the change.
    pub fn in_words(&self) -> String {
        self.policy.in_words(self.opened)
    }
}

/// The deployment's limits, lowered where the repository asks for less.
fn limits(ours: &PathSettings, theirs: &config::PathPolicy) -> ChangeLimits {
    let binary = |allowed| if allowed { BinaryFiles::Allowed } else { BinaryFiles::Protected };
    let ours = ChangeLimits {
        files: ours.max_files,
        lines: ours.max_lines,
        file_bytes: ours.max_file_bytes,
        total_bytes: ours.max_total_bytes,
        binary: binary(ours.binary_files),
    };
    ours.lowered_by(ChangeLimits {
        files: theirs.max_files.unwrap_or(ours.files),
        lines: theirs.max_lines.unwrap_or(ours.lines),
        file_bytes: theirs.max_file_bytes.unwrap_or(ours.file_bytes),
        total_bytes: theirs.max_total_bytes.unwrap_or(ours.total_bytes),
        binary: theirs.binary_files.map_or(ours.binary, binary),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_lowers_the_limits_of_a_change_and_never_raises_them() {
        let ours = PathSettings { max_files: 10, binary_files: false, ..PathSettings::default() };
        let theirs = config::PathPolicy {
            max_files: Some(99),
            max_lines: Some(5),
            binary_files: Some(true),
            ..config::PathPolicy::default()
        };
        let lowered = limits(&ours, &theirs);
        assert_eq!((lowered.files, lowered.lines, lowered.file_bytes), (10, 5, ours.max_file_bytes));
        assert_eq!(lowered.binary, BinaryFiles::Protected);
    }
}

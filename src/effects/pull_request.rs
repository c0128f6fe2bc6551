//! The pull request and its label.

use crate::checkout::Checkout;
use crate::domain::{CommitSha, Event, IssueNumber, Task};
use crate::github::{Fate, GitHubError, NewPullRequest, PullRequest, Purpose};
use crate::guard::is_test_file;
use crate::speech::{self, ChangeSize, PullRequestView};
use crate::workspace::{FileStatus, LineKind, TreeDiff};

use super::view::Gathered;
use super::{Done, EffectError, Effects};

impl Effects {
    /// The pull request of our branch, made if it is not there.
    pub(super) async fn open(&self, key: &str, task: &Task) -> Result<Done, EffectError> {
        let Some(branch) = &task.branch else { return Ok(Done::Void("there is no branch")) };
        let client = self.client(task, Purpose::PullRequest)?;
        if let Some(found) = client.pull_requests_from(branch).await?.first() {
            return Ok(found_again(found));
        }
        let checkout = self.repositories.checkout(task).await?;
        let diff = diff_of(&checkout, task)?;
        let gathered = Gathered::of(&self.store, task).await?;
        let altered_tests = altered_tests(&diff);
        let evidence = gathered.evidence(self.settings.budget_of(task));
        // What nobody could verify is put forward as unfinished.
        let unverified = gathered.gates.iter().all(|gate| gate.verdict != crate::domain::Verdict::Passed);
        let text = self.with_gateway(|gateway| {
            speech::pull_request(
                gateway,
                &PullRequestView {
                    key,
                    task,
                    done: &gathered.summary,
                    size: size_of(&diff),
                    altered_tests: &altered_tests,
                    evidence,
                    mode: self.settings.mode,
                },
            )
        });
        let new = NewPullRequest {
            title: &text.title,
            body: text.body.as_str(),
            head: branch,
            base: checkout.base_branch.as_str(),
            draft: unverified,
        };
        match client.create_pull_request(&new).await {
            Ok(made) => Ok(opened(made.number)),
            // Somebody was faster, or an earlier request arrived after all.
            Err(error @ GitHubError::Refused { status: 422, .. }) => {
                match client.pull_requests_from(branch).await?.first() {
                    Some(found) => Ok(found_again(found)),
                    None => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// For a task that was stopped meanwhile: no pull request is made any more, but one that an earlier try
    /// made is its own. Merging that one closes the issue, which is then heard of first.
    pub(super) async fn find_opened(&self, task: &Task) -> Result<Done, EffectError> {
        let void = Done::Void("the task was stopped");
        let Some(branch) = &task.branch else { return Ok(void) };
        let found = self.client(task, Purpose::PullRequest)?.pull_requests_from(branch).await?;
        Ok(found.first().map_or(void, found_again))
    }

    /// Setting a label that is set changes nothing, so this needs no key.
    pub(super) async fn label(&self, task: &Task) -> Result<Done, EffectError> {
        let Some(number) = task.pull_request else { return Ok(Done::Void("there is no pull request")) };
        let label = self.terms(task).await.label;
        self.client(task, Purpose::Comment)?.add_labels(number, &[&label]).await?;
        Ok(Done::Nothing)
    }
}

fn opened(number: u64) -> Done {
    Done::Event(Event::PullRequestOpened { number: IssueNumber(number) })
}

/// A pull request that an earlier try made. People may have dealt with it since; what we were told of that
/// came before anybody knew that it is ours.
fn found_again(found: &PullRequest) -> Done {
    let opened = Event::PullRequestOpened { number: IssueNumber(found.number) };
    match found.fate() {
        Fate::Open => Done::Event(opened),
        fate @ (Fate::Merged | Fate::Closed) => Done::Events(vec![opened, fate.event()]),
    }
}

/// The change as the pull request shows it: from where its branch left the base.
pub fn diff_of(checkout: &Checkout, task: &Task) -> Result<TreeDiff, EffectError> {
    let head = head_of(task)?;
    let base = checkout.mirror.merge_base(&checkout.tip, head)?;
    let base = base.or_else(|| task.base.clone());
    let base = base.ok_or_else(|| EffectError::Impossible("the work has no base".into()))?;
    Ok(checkout.mirror.diff(&base, head)?)
}

pub(super) fn head_of(task: &Task) -> Result<&CommitSha, EffectError> {
    task.head.as_ref().ok_or_else(|| EffectError::Impossible("the task has no work".into()))
}

pub fn size_of(diff: &TreeDiff) -> ChangeSize {
    let mut size = ChangeSize { files: diff.files.len() as u64, added_lines: 0, removed_lines: 0 };
    for line in diff.files.iter().flat_map(|file| file.hunks()).flat_map(|hunk| &hunk.lines) {
        match line.kind {
            LineKind::Added => size.added_lines += 1,
            LineKind::Removed => size.removed_lines += 1,
            LineKind::Context => {}
        }
    }
    size
}

/// Tests that were there before and are not as they were.
pub fn altered_tests(diff: &TreeDiff) -> Vec<String> {
    let altered = diff.files.iter().filter(|file| {
        file.status != FileStatus::Added
            && is_test_file(file.old_path.as_ref().unwrap_or(&file.path).as_str())
            && has_removals(file)
    });
    altered.map(|file| file.path.to_string()).collect()
}

fn has_removals(file: &crate::workspace::FileDiff) -> bool {
    file.status == FileStatus::Deleted
        || file.hunks().iter().flat_map(|hunk| &hunk.lines).any(|line| line.kind == LineKind::Removed)
}

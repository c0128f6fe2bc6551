//! Pull requests: their state, kept in step with git, and their form in JSON. The routes are `pulls`'.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::clock::{stamp, stamp_option};
use super::git::{FileChange, MergeTree};
use super::issue::Issue;
use super::repository::Repository;
use super::world::{World, joined, node_id};

#[derive(Clone, Debug)]
pub(super) struct Pull {
    pub head_ref: String,
    pub head_sha: String,
    pub base_ref: String,
    /// The tip of the base branch when the head last moved.
    pub base_sha: String,
    pub merge_base: String,
    pub draft: bool,
    pub maintainer_can_modify: bool,
    pub merged: Option<Merged>,
    pub mergeability: Mergeability,
    pub extent: Extent,
}

#[derive(Clone, Debug)]
pub(super) struct Merged {
    pub at: DateTime<Utc>,
    pub by: u64,
    pub sha: String,
}

/// GitHub computes mergeability in the background: until then `mergeable` is null.
/// Source: docs.github.com/rest/guides/using-the-rest-api-to-interact-with-your-git-database
/// #checking-mergeability-of-pull-requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mergeability {
    NotKnownYet,
    /// With the test merge's commit.
    Clean(String),
    Conflict,
}

/// The figures shown with a pull request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    pub commits: usize,
    pub additions: usize,
    pub deletions: usize,
    pub changed_files: usize,
}

impl World {
    /// Brings an open pull request up to its branches: head, extent, and mergeability not known again.
    pub fn refresh_pull(&mut self, repo_id: u64, number: u64) -> Result<(), Refusal> {
        let repo = self.repo(repo_id);
        let Some(issue) = repo.issues.get(&number) else { return Ok(()) };
        let (Some(pull), true) = (&issue.pull, issue.is_open()) else { return Ok(()) };
        let (Some(head), Some(base)) = (repo.branch(&pull.head_ref), repo.branch(&pull.base_ref)) else {
            return Ok(());
        };
        let (head, base) = (head.to_owned(), base.to_owned());
        let merge_base = repo.bare.merge_base(&base, &head)?.unwrap_or_else(|| base.clone());
        let changes = repo.bare.diff(Some(&merge_base), &head)?;
        let extent = Extent {
            commits: repo.bare.commits_between(Some(&merge_base), &head)?.len(),
            additions: changes.iter().map(|file| file.additions).sum(),
            deletions: changes.iter().map(|file| file.deletions).sum(),
            changed_files: changes.len(),
        };
        repo.bare.set_ref(&format!("refs/pull/{number}/head"), Some(&head))?;
        let Some(pull) = self.pull_mut(repo_id, number) else { return Ok(()) };
        if pull.head_sha != head {
            pull.base_sha = base;
        }
        pull.head_sha = head;
        pull.merge_base = merge_base;
        pull.extent = extent;
        pull.mergeability = Mergeability::NotKnownYet;
        Ok(())
    }

    /// The background computation: merges head into base and keeps the verdict.
    pub fn compute_mergeability(&mut self, repo_id: u64, number: u64) -> Result<(), Refusal> {
        let repo = self.repo(repo_id);
        let Some(issue) = repo.issues.get(&number) else { return Ok(()) };
        let (Some(pull), true) = (&issue.pull, issue.is_open()) else { return Ok(()) };
        if pull.mergeability != Mergeability::NotKnownYet {
            return Ok(());
        }
        let Some(base) = repo.branch(&pull.base_ref) else { return Ok(()) };
        let verdict = match repo.bare.merge(base, &pull.head_sha)? {
            MergeTree::Conflict => Mergeability::Conflict,
            MergeTree::Clean(tree) => {
                let message = format!("Merge {} into {base}", pull.head_sha);
                let author = self.person(self.app_owner);
                let merge = repo.bare.commit_tree(tree, &[base, &pull.head_sha], &author, &message)?;
                repo.bare.set_ref(&format!("refs/pull/{number}/merge"), Some(&merge))?;
                Mergeability::Clean(merge)
            }
        };
        if let Some(pull) = self.pull_mut(repo_id, number) {
            pull.mergeability = verdict;
        }
        Ok(())
    }

    pub fn pull_mut(&mut self, repo_id: u64, number: u64) -> Option<&mut Pull> {
        self.repo_mut(repo_id).issues.get_mut(&number).and_then(|issue| issue.pull.as_mut())
    }

    /// A closed pull request is reopened only while its branch exists and it was not merged.
    pub fn check_pull_can_reopen(&self, repo_id: u64, number: u64) -> Result<(), Refusal> {
        let repo = self.repo(repo_id);
        let Some(pull) = repo.issues.get(&number).and_then(|issue| issue.pull.as_ref()) else {
            return Ok(());
        };
        if pull.merged.is_some() {
            return Err(Refusal::invalid("PullRequest", "state", "invalid"));
        }
        if repo.branch(&pull.head_ref).is_none() {
            let message = format!("state cannot be changed. The {} branch has been deleted.", pull.head_ref);
            return Err(Refusal::custom("PullRequest", Some("state"), message));
        }
        Ok(())
    }

    /// The files of a pull request: what its head changed since the merge base.
    pub fn pull_changes(&self, repo: &Repository, pull: &Pull) -> Result<Vec<FileChange>, Refusal> {
        Ok(repo.bare.diff(Some(&pull.merge_base), &pull.head_sha)?)
    }

    /// The part of an issue that says it is a pull request.
    pub fn show_pull_links(&self, repo: &Repository, issue: &Issue, pull: &Pull) -> Value {
        let full_name = self.full_name(repo);
        let html = self.html(&format!("/{full_name}/pull/{}", issue.number));
        json!({
            "url": self.api(&format!("/repos/{full_name}/pulls/{}", issue.number)),
            "html_url": html,
            "diff_url": format!("{html}.diff"),
            "patch_url": format!("{html}.patch"),
            "merged_at": stamp_option(pull.merged.as_ref().map(|merged| merged.at)),
        })
    }

    /// The form of lists and of most events.
    pub fn show_pull_simple(&self, repo: &Repository, issue: &Issue, pull: &Pull) -> Value {
        let full_name = self.full_name(repo);
        let api = self.api(&format!("/repos/{full_name}/pulls/{}", issue.number));
        let issue_api = self.api(&format!("/repos/{full_name}/issues/{}", issue.number));
        let html = self.html(&format!("/{full_name}/pull/{}", issue.number));
        let statuses = self.api(&format!("/repos/{full_name}/statuses/{}", pull.head_sha));
        let assignees: Vec<Value> = issue.assignees.iter().map(|id| self.show_user(*id)).collect();
        let merge_commit = match (&pull.merged, &pull.mergeability) {
            (Some(merged), _) => Some(merged.sha.as_str()),
            (None, Mergeability::Clean(test_merge)) => Some(test_merge.as_str()),
            (None, _) => None,
        };
        let text = json!({
            "url": api,
            "id": issue.id,
            "node_id": node_id("PR", issue.id),
            "html_url": html,
            "diff_url": format!("{html}.diff"),
            "patch_url": format!("{html}.patch"),
            "issue_url": issue_api,
            "number": issue.number,
            "state": issue.state(),
            "locked": false,
            "title": issue.title,
            "user": self.show_user(issue.author),
            "body": issue.body,
            "created_at": stamp(issue.created_at),
            "updated_at": stamp(issue.updated_at),
            "closed_at": stamp_option(issue.closed.as_ref().map(|closed| closed.at)),
            "merged_at": stamp_option(pull.merged.as_ref().map(|merged| merged.at)),
            "merge_commit_sha": merge_commit,
            "assignee": assignees.first(),
            "assignees": assignees,
            "requested_reviewers": [],
            "requested_teams": [],
            "labels": self.show_labels_of(repo, issue.number),
            "milestone": null,
            "draft": pull.draft,
        });
        let links = json!({
            "self": {"href": api},
            "html": {"href": html},
            "issue": {"href": issue_api},
            "comments": {"href": format!("{issue_api}/comments")},
            "review_comments": {"href": format!("{api}/comments")},
            "review_comment": {
                "href": self.api(&format!("/repos/{full_name}/pulls/comments{{/number}}")),
            },
            "commits": {"href": format!("{api}/commits")},
            "statuses": {"href": statuses},
        });
        let place = json!({
            "commits_url": format!("{api}/commits"),
            "review_comments_url": format!("{api}/comments"),
            "review_comment_url": self.api(&format!("/repos/{full_name}/pulls/comments{{/number}}")),
            "comments_url": format!("{issue_api}/comments"),
            "statuses_url": statuses,
            "head": self.show_side(repo, &pull.head_ref, &pull.head_sha),
            "base": self.show_side(repo, &pull.base_ref, &pull.base_sha),
            "_links": links,
            "author_association": self.association(issue.author, repo),
            "auto_merge": null,
            "active_lock_reason": null,
        });
        joined([text, place])
    }

    /// The full form, with mergeability and extent.
    pub fn show_pull(&self, repo: &Repository, issue: &Issue, pull: &Pull) -> Value {
        let shown = self.show_pull_simple(repo, issue, pull);
        let comments = repo.comments.values().filter(|one| one.issue == issue.number).count();
        let review_comments = repo.review_comments.values().filter(|one| one.pull == issue.number);
        let review_comments = review_comments.filter(|one| !repo.is_pending(one.review)).count();
        let mergeable = match (issue.is_open(), &pull.mergeability) {
            (true, Mergeability::Clean(_)) => Some(true),
            (true, Mergeability::Conflict) => Some(false),
            (true, Mergeability::NotKnownYet) | (false, _) => None,
        };
        let state = match mergeable {
            None => "unknown",
            Some(false) => "dirty",
            Some(true) if pull.draft => "draft",
            Some(true) if repo.has_failed_check(&pull.head_sha) => "unstable",
            Some(true) => "clean",
        };
        let more = json!({
            "merged": pull.merged.is_some(),
            "mergeable": mergeable,
            "rebaseable": mergeable,
            "mergeable_state": state,
            "merged_by": self.show_user_option(pull.merged.as_ref().map(|merged| merged.by)),
            "comments": comments,
            "review_comments": review_comments,
            "maintainer_can_modify": pull.maintainer_can_modify,
            "commits": pull.extent.commits,
            "additions": pull.extent.additions,
            "deletions": pull.extent.deletions,
            "changed_files": pull.extent.changed_files,
        });
        joined([shown, more])
    }

    fn show_side(&self, repo: &Repository, branch: &str, sha: &str) -> Value {
        json!({
            "label": format!("{}:{branch}", self.login(repo.owner)),
            "ref": branch,
            "sha": sha,
            "user": self.show_user(repo.owner),
            "repo": self.show_repository(repo),
        })
    }

    pub fn show_file(&self, repo: &Repository, sha: &str, file: &FileChange) -> Value {
        let full_name = self.full_name(repo);
        let mut shown = json!({
            "sha": file.blob,
            "filename": file.path,
            "status": file.status,
            "additions": file.additions,
            "deletions": file.deletions,
            "changes": file.additions + file.deletions,
            "blob_url": self.html(&format!("/{full_name}/blob/{sha}/{}", encode_path(&file.path))),
            "raw_url": self.html(&format!("/{full_name}/raw/{sha}/{}", encode_path(&file.path))),
            "contents_url": self.api(
                &format!("/repos/{full_name}/contents/{}?ref={sha}", encode_path(&file.path))),
        });
        if !file.patch.is_empty() {
            shown["patch"] = json!(file.patch);
        }
        if let Some(previous) = &file.previous_path {
            shown["previous_filename"] = json!(previous);
        }
        shown
    }

    /// A `pull_request` event; `extra` holds `changes`, `label`, `before` and the like.
    pub fn emit_pull(
        &mut self,
        repo_id: u64,
        number: u64,
        action: &'static str,
        sender: u64,
        mut extra: Map<String, Value>,
    ) {
        let repo = self.repo(repo_id);
        let Some(issue) = repo.issues.get(&number) else { return };
        let Some(pull) = &issue.pull else { return };
        extra.insert("number".into(), json!(number));
        extra.insert("pull_request".into(), self.show_pull(repo, issue, pull));
        self.emit("pull_request", Some(action), Some(repo_id), sender, extra);
    }
}

pub(super) fn encode_path(path: &str) -> String {
    path.split('/').map(super::call::percent_encode).collect::<Vec<_>>().join("/")
}

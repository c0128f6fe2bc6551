//! Issues: their state, their form in JSON, and the routes below `/issues`.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::clock::{stamp, stamp_option};
use super::pull::Pull;
use super::reaction::Reaction;
use super::repository::Repository;
use super::world::{World, node_id};

#[derive(Clone, Debug)]
pub(super) struct Label {
    pub id: u64,
    pub name: String,
    pub color: String,
    pub description: Option<String>,
    pub default: bool,
}

pub(super) struct Issue {
    pub id: u64,
    pub number: u64,
    pub title: String,
    pub body: Option<String>,
    pub author: u64,
    pub by_app: bool,
    /// `Some(reason)` when closed.
    pub closed: Option<Closed>,
    pub reopened: bool,
    /// Ids of the repository's labels, in the order in which they were put on.
    pub labels: Vec<u64>,
    pub assignees: Vec<u64>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub reactions: Vec<Reaction>,
    pub pull: Option<Pull>,
}

#[derive(Clone, Debug)]
pub(super) struct Closed {
    pub at: DateTime<Utc>,
    pub by: u64,
    pub reason: &'static str,
}

impl Issue {
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    pub fn state(&self) -> &'static str {
        if self.is_open() { "open" } else { "closed" }
    }

    /// The resource name in validation errors.
    pub fn resource(&self) -> &'static str {
        if self.pull.is_some() { "PullRequest" } else { "Issue" }
    }
}

/// A comment on an issue or on a pull request's conversation.
#[derive(Clone, Debug)]
pub(super) struct Comment {
    pub id: u64,
    pub issue: u64,
    pub body: String,
    pub author: u64,
    pub by_app: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub reactions: Vec<Reaction>,
}

impl World {
    /// Changes title or body and tells the world, with what they were before.
    pub fn edit_text(
        &mut self,
        repo_id: u64,
        number: u64,
        sender: u64,
        title: Option<String>,
        body: Option<Option<String>>,
    ) {
        let now = self.now();
        let Some(issue) = self.repo_mut(repo_id).issues.get_mut(&number) else { return };
        let mut changes = Map::new();
        if let Some(title) = title.filter(|title| *title != issue.title) {
            changes.insert("title".into(), json!({"from": issue.title}));
            issue.title = title;
        }
        if let Some(body) = body.filter(|body| *body != issue.body) {
            changes.insert("body".into(), json!({"from": issue.body.clone().unwrap_or_default()}));
            issue.body = body;
        }
        if changes.is_empty() {
            return;
        }
        issue.updated_at = now;
        let extra = Map::from_iter([("changes".to_owned(), Value::Object(changes))]);
        self.emit_issue(repo_id, number, "edited", sender, extra);
    }

    pub fn close_issue(&mut self, repo_id: u64, number: u64, sender: u64, reason: Option<&str>) {
        let now = self.now();
        let Some(issue) = self.repo_mut(repo_id).issues.get_mut(&number) else { return };
        if issue.closed.is_some() {
            return;
        }
        let reason = match reason {
            Some("not_planned") => "not_planned",
            Some("duplicate") => "duplicate",
            _ => "completed",
        };
        issue.closed = Some(Closed { at: now, by: sender, reason });
        issue.updated_at = now;
        self.emit_issue(repo_id, number, "closed", sender, Map::new());
    }

    pub fn reopen_issue(&mut self, repo_id: u64, number: u64, sender: u64) -> Result<(), Refusal> {
        if self.repo(repo_id).issues.get(&number).is_none_or(Issue::is_open) {
            return Ok(());
        }
        self.check_pull_can_reopen(repo_id, number)?;
        let now = self.now();
        if let Some(issue) = self.repo_mut(repo_id).issues.get_mut(&number) {
            issue.closed = None;
            issue.reopened = true;
            issue.updated_at = now;
        }
        self.refresh_pull(repo_id, number)?;
        self.emit_issue(repo_id, number, "reopened", sender, Map::new());
        Ok(())
    }

    /// Any sign of life moves an issue's `updated_at`.
    pub fn touch_issue(&mut self, repo_id: u64, number: u64) {
        let now = self.now();
        self.repo_mut(repo_id).issues.entry(number).and_modify(|issue| issue.updated_at = now);
    }

    pub fn show_issue(&self, repo: &Repository, issue: &Issue) -> Value {
        let full_name = self.full_name(repo);
        let api = self.api(&format!("/repos/{full_name}/issues/{}", issue.number));
        let kind = if issue.pull.is_some() { "pull" } else { "issues" };
        let labels: Vec<Value> =
            issue.labels.iter().filter_map(|id| self.show_label_by_id(repo, *id)).collect();
        let assignees: Vec<Value> = issue.assignees.iter().map(|id| self.show_user(*id)).collect();
        let mut shown = json!({
            "url": api,
            "repository_url": self.api(&format!("/repos/{full_name}")),
            "labels_url": format!("{api}/labels{{/name}}"),
            "comments_url": format!("{api}/comments"),
            "events_url": format!("{api}/events"),
            "html_url": self.html(&format!("/{full_name}/{kind}/{}", issue.number)),
            "id": issue.id,
            "node_id": node_id(if issue.pull.is_some() { "PR" } else { "I" }, issue.id),
            "number": issue.number,
            "title": issue.title,
            "user": self.show_user(issue.author),
            "labels": labels,
            "state": issue.state(),
            "locked": false,
            "assignee": assignees.first(),
            "assignees": assignees,
            "milestone": null,
            "comments": comment_count(repo, issue.number),
            "created_at": stamp(issue.created_at),
            "updated_at": stamp(issue.updated_at),
            "closed_at": stamp_option(issue.closed.as_ref().map(|closed| closed.at)),
            "closed_by": self.show_user_option(issue.closed.as_ref().map(|closed| closed.by)),
            "author_association": self.association(issue.author, repo),
            "active_lock_reason": null,
            "body": issue.body,
            "reactions": Reaction::rollup(&format!("{api}/reactions"), &issue.reactions),
            "timeline_url": format!("{api}/timeline"),
            "performed_via_github_app": if issue.by_app { self.show_app() } else { Value::Null },
            "state_reason": match (&issue.closed, issue.reopened) {
                (Some(closed), _) => Some(closed.reason),
                (None, true) => Some("reopened"),
                (None, false) => None,
            },
        });
        if let (Some(pull), Value::Object(fields)) = (&issue.pull, &mut shown) {
            fields.insert("draft".into(), json!(pull.draft));
            fields.insert("pull_request".into(), self.show_pull_links(repo, issue, pull));
        }
        shown
    }
}

pub(super) fn comment_count(repo: &Repository, number: u64) -> usize {
    repo.comments.values().filter(|comment| comment.issue == number).count()
}

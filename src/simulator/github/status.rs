//! Commit statuses, the older sibling of check runs.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::account::Role;
use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clock::stamp;
use super::manifest::Level;
use super::repository::Repository;
use super::route::{Access, Need, Route, Verb};
use super::world::{World, node_id};

#[derive(Clone, Debug)]
pub(super) struct CommitStatus {
    pub id: u64,
    pub sha: String,
    pub state: String,
    pub context: String,
    pub description: Option<String>,
    pub target_url: Option<String>,
    pub creator: u64,
    pub created_at: DateTime<Utc>,
}

const READ: Access = Access::Repository { any_of: &[Need("statuses", Level::Read)], role: Role::Read };
const WRITE: Access = Access::Repository { any_of: &[Need("statuses", Level::Write)], role: Role::Write };

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/statuses/{sha}",
        WRITE,
        "commits/statuses#create-a-commit-status",
        create,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/commits/{ref}/statuses",
        READ,
        "commits/statuses#list-commit-statuses-for-a-reference",
        list,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/commits/{ref}/status",
        READ,
        "commits/statuses#get-the-combined-status-for-a-specific-reference",
        combined,
    ),
];

fn create(call: &mut Call<'_>) -> Outcome {
    let sha = call.param("sha").to_owned();
    if call.repo().bare.resolve_commit(&sha)?.as_deref() != Some(&sha) {
        return Err(Refusal::unprocessable(format!("No commit found for SHA: {sha}")));
    }
    let state = call.required_text("state")?.to_owned();
    if !matches!(state.as_str(), "error" | "failure" | "pending" | "success") {
        return Err(Refusal::invalid("Status", "state", "invalid"));
    }
    let status = CommitStatus {
        id: call.world.new_id(),
        sha,
        state,
        context: call.text("context")?.unwrap_or("default").to_owned(),
        description: call.text("description")?.map(str::to_owned),
        target_url: call.text("target_url")?.map(str::to_owned),
        creator: call.account()?,
        created_at: call.now(),
    };
    let shown = call.world.show_status(call.repo(), &status);
    call.repo_mut().statuses.push(status.clone());
    let (repo_id, sender) = (call.repo_id, status.creator);
    call.world.emit_status(repo_id, &status, sender)?;
    Ok(Answer::created(shown))
}

fn commit_of(call: &Call<'_>) -> Result<String, Refusal> {
    let name = call.param("ref");
    let found = call.repo().bare.resolve_commit(name)?;
    found.ok_or_else(|| Refusal::unprocessable(format!("No commit found for SHA: {name}")))
}

fn list(call: &mut Call<'_>) -> Outcome {
    let sha = commit_of(call)?;
    let repo = call.repo();
    let found = repo.statuses.iter().rev().filter(|one| one.sha == sha);
    Ok(call.page(found.map(|one| call.world.show_status(repo, one)).collect()))
}

/// The latest status of each context decides.
fn combined(call: &mut Call<'_>) -> Outcome {
    let sha = commit_of(call)?;
    let repo = call.repo();
    let mut latest: Vec<&CommitStatus> = Vec::new();
    for status in repo.statuses.iter().rev().filter(|one| one.sha == sha) {
        if !latest.iter().any(|seen| seen.context == status.context) {
            latest.push(status);
        }
    }
    let any = |states: &[&str]| latest.iter().any(|one| states.contains(&one.state.as_str()));
    let state = if any(&["error", "failure"]) {
        "failure"
    } else if latest.is_empty() || any(&["pending"]) {
        "pending"
    } else {
        "success"
    };
    let commit_url = call.world.api(&format!("/repos/{}/commits/{sha}", call.world.full_name(repo)));
    let more = json!({
        "state": state, "sha": sha, "repository": call.world.show_repository_links(repo),
        "commit_url": commit_url, "url": format!("{commit_url}/status"),
    });
    let Value::Object(more) = more else { return Err(Refusal::not_found()) };
    let shown = latest.iter().map(|one| {
        let mut shown = call.world.show_status(repo, one);
        if let Value::Object(fields) = &mut shown {
            fields.remove("creator");
        }
        shown
    });
    Ok(call.page_in("statuses", shown.collect(), more))
}

impl World {
    fn show_status(&self, repo: &Repository, status: &CommitStatus) -> Value {
        let creator = self.show_user(status.creator);
        json!({
            "url": self.api(&format!("/repos/{}/statuses/{}", self.full_name(repo), status.sha)),
            "avatar_url": creator["avatar_url"],
            "id": status.id,
            "node_id": node_id("SC", status.id),
            "state": status.state,
            "description": status.description,
            "target_url": status.target_url,
            "context": status.context,
            "created_at": stamp(status.created_at),
            "updated_at": stamp(status.created_at),
            "creator": creator,
        })
    }

    fn emit_status(&mut self, repo_id: u64, status: &CommitStatus, sender: u64) -> Result<(), Refusal> {
        let repo = self.repo(repo_id);
        let at = &status.sha;
        let branches = repo.refs.iter().filter(|(_, sha)| *sha == at);
        let branches = branches.filter_map(|(name, sha)| {
            let name = name.strip_prefix("refs/heads/")?;
            let url = self.api(&format!("/repos/{}/commits/{sha}", self.full_name(repo)));
            Some(json!({"name": name, "commit": {"sha": sha, "url": url}, "protected": false}))
        });
        let branches: Vec<Value> = branches.collect();
        let fields = json!({
            "id": status.id, "sha": at, "name": self.full_name(repo), "target_url": status.target_url,
            "context": status.context, "description": status.description, "state": status.state,
            "commit": self.show_commit(repo, at)?, "branches": branches,
            "created_at": stamp(status.created_at), "updated_at": stamp(status.created_at),
        });
        let extra: Map<String, Value> = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        self.emit("status", None, Some(repo_id), sender, extra);
        Ok(())
    }
}

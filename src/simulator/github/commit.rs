//! Commits and comparisons.

use serde_json::{Value, json};

use super::account::Role;
use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clock::stamp;
use super::manifest::Level;
use super::pulls::diff_answer;
use super::repository::Repository;
use super::route::{Access, Need, Route, Verb};
use super::world::{World, node_id};

const READ: Access = Access::Repository { any_of: &[Need("contents", Level::Read)], role: Role::Read };

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/repos/{owner}/{repo}/commits", READ, "commits/commits#list-commits", list),
    Route::new(Verb::Get, "/repos/{owner}/{repo}/commits/{ref}", READ, "commits/commits#get-a-commit", get),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/compare/{basehead}",
        READ,
        "commits/commits#compare-two-commits",
        compare,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/git/commits/{commit_sha}",
        READ,
        "git/commits#get-a-commit-object",
        object,
    ),
];

fn list(call: &mut Call<'_>) -> Outcome {
    let repo = call.repo();
    let from = call.request.query("sha").unwrap_or(&repo.default_branch);
    let Some(head) = repo.bare.resolve_commit(from)? else { return Err(Refusal::not_found()) };
    let mut found = repo.bare.commits_between(None, &head)?;
    found.reverse();
    let mut shown = Vec::new();
    for id in found {
        let sha = id.to_string();
        let wanted = match call.request.query("path") {
            None => true,
            Some(path) => touches(repo, &sha, path)?,
        };
        if wanted {
            shown.push(call.world.show_commit(repo, &sha)?);
        }
    }
    Ok(call.page(shown))
}

fn touches(repo: &Repository, sha: &str, path: &str) -> Result<bool, Refusal> {
    let git = repo.bare.open()?;
    let parent = git.find_commit(git2::Oid::from_str(sha)?)?.parent_id(0).ok().map(|id| id.to_string());
    let folder = format!("{path}/");
    let files = repo.bare.diff(parent.as_deref(), sha)?;
    Ok(files.iter().any(|file| file.path == path || file.path.starts_with(&folder)))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let (repo, name) = (call.repo(), call.param("ref"));
    let sha = repo.bare.resolve_commit(name)?;
    let sha = sha.ok_or_else(|| Refusal::unprocessable(format!("No commit found for SHA: {name}")))?;
    if call.request.accepts("sha") {
        return Ok(Answer::text("application/vnd.github.sha; charset=utf-8", sha));
    }
    let git = repo.bare.open()?;
    let parent = git.find_commit(git2::Oid::from_str(&sha)?)?.parent_id(0).ok().map(|id| id.to_string());
    if call.request.accepts("diff") {
        return diff_answer(repo.bare.diff_text(parent.as_deref(), &sha)?);
    }
    let files = repo.bare.diff(parent.as_deref(), &sha)?;
    let additions: usize = files.iter().map(|file| file.additions).sum();
    let deletions: usize = files.iter().map(|file| file.deletions).sum();
    let mut shown = call.world.show_commit(repo, &sha)?;
    shown["stats"] = json!({"total": additions + deletions, "additions": additions, "deletions": deletions});
    shown["files"] = files.iter().map(|file| call.world.show_file(repo, &sha, file)).collect();
    Ok(Answer::ok(shown))
}

/// `base...head` compares head with the merge base, as a pull request does.
fn compare(call: &mut Call<'_>) -> Outcome {
    let repo = call.repo();
    let (base_name, head_name) = call.param("basehead").split_once("...").ok_or_else(Refusal::not_found)?;
    let own = |name: &str| -> Result<String, Refusal> {
        let name = name.rsplit_once(':').map_or(name, |(_, branch)| branch);
        repo.bare.resolve_commit(name)?.ok_or_else(Refusal::not_found)
    };
    let (base, head) = (own(base_name)?, own(head_name)?);
    let no_common = || {
        let message = format!("No common ancestor between {base_name} and {head_name}.");
        Refusal::new(axum::http::StatusCode::NOT_FOUND, message)
    };
    let merge_base = repo.bare.merge_base(&base, &head)?.ok_or_else(no_common)?;
    if call.request.accepts("diff") {
        return diff_answer(repo.bare.diff_text(Some(&merge_base), &head)?);
    }
    let git = repo.bare.open()?;
    let (ahead, behind) = git.graph_ahead_behind(git2::Oid::from_str(&head)?, git2::Oid::from_str(&base)?)?;
    let status = match (ahead, behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    let found = repo.bare.commits_between(Some(&merge_base), &head)?;
    let commits = found.iter().map(|id| call.world.show_commit(repo, &id.to_string()));
    let commits = commits.collect::<Result<Vec<_>, _>>()?;
    let files = repo.bare.diff(Some(&merge_base), &head)?;
    let files: Vec<Value> = files.iter().map(|file| call.world.show_file(repo, &head, file)).collect();
    let full_name = call.world.full_name(repo);
    let html = call.world.html(&format!("/{full_name}/compare/{base_name}...{head_name}"));
    Ok(Answer::ok(json!({
        "url": call.world.api(&format!("/repos/{full_name}/compare/{base_name}...{head_name}")),
        "html_url": html,
        "permalink_url": call.world.html(&format!("/{full_name}/compare/{base}...{head}")),
        "diff_url": format!("{html}.diff"),
        "patch_url": format!("{html}.patch"),
        "base_commit": call.world.show_commit(repo, &base)?,
        "merge_base_commit": call.world.show_commit(repo, &merge_base)?,
        "status": status,
        "ahead_by": ahead,
        "behind_by": behind,
        "total_commits": ahead,
        "commits": commits,
        "files": files,
    })))
}

fn object(call: &mut Call<'_>) -> Outcome {
    let repo = call.repo();
    let name = call.param("commit_sha");
    let sha = repo.bare.resolve_commit(name)?.filter(|sha| sha == name).ok_or_else(Refusal::not_found)?;
    let shown = call.world.show_commit(repo, &sha)?;
    let mut object = shown["commit"].clone();
    if let Value::Object(fields) = &mut object {
        fields.remove("comment_count");
    }
    for field in ["sha", "node_id", "html_url", "parents"] {
        object[field] = shown[field].clone();
    }
    Ok(Answer::ok(object))
}

impl World {
    /// A commit with its authors ascribed to accounts by their e-mail addresses.
    pub fn show_commit(&self, repo: &Repository, sha: &str) -> Result<Value, Refusal> {
        let git = repo.bare.open()?;
        let commit = git.find_commit(git2::Oid::from_str(sha)?)?;
        let full_name = self.full_name(repo);
        let api = self.api(&format!("/repos/{full_name}/commits"));
        let git_api = self.api(&format!("/repos/{full_name}/git"));
        let html = self.html(&format!("/{full_name}/commit"));
        let signature = |signature: &git2::Signature<'_>| {
            let when = chrono::DateTime::from_timestamp(signature.when().seconds(), 0).unwrap_or_default();
            json!({
                "name": String::from_utf8_lossy(signature.name_bytes()),
                "email": String::from_utf8_lossy(signature.email_bytes()),
                "date": stamp(when),
            })
        };
        let account = |signature: &git2::Signature<'_>| {
            let email = String::from_utf8_lossy(signature.email_bytes()).into_owned();
            self.account_by_email(&email).map_or(Value::Null, |account| self.show_user(account.id))
        };
        let parents: Vec<Value> = commit
            .parent_ids()
            .map(|id| {
                json!({
                    "sha": id.to_string(), "url": format!("{api}/{id}"), "html_url": format!("{html}/{id}"),
                })
            })
            .collect();
        let tree = commit.tree_id();
        Ok(json!({
            "sha": sha,
            "node_id": node_id("C", repo.id),
            "commit": {
                "author": signature(&commit.author()),
                "committer": signature(&commit.committer()),
                "message": String::from_utf8_lossy(commit.message_bytes()).trim_end(),
                "tree": {"sha": tree.to_string(), "url": format!("{git_api}/trees/{tree}")},
                "url": format!("{git_api}/commits/{sha}"),
                "comment_count": 0,
                "verification": {
                    "verified": false, "reason": "unsigned", "signature": null, "payload": null,
                    "verified_at": null,
                },
            },
            "url": format!("{api}/{sha}"),
            "html_url": format!("{html}/{sha}"),
            "comments_url": format!("{api}/{sha}/comments"),
            "author": account(&commit.author()),
            "committer": account(&commit.committer()),
            "parents": parents,
        }))
    }
}

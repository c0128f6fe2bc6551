//! Refs and branches over REST.

use serde_json::{Value, json};

use super::account::Role;
use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::manifest::Level;
use super::refusals;
use super::repository::Repository;
use super::route::{Access, Need, Route, Verb};
use super::world::{World, node_id};

const READ: Access = Access::Repository { any_of: &[Need("contents", Level::Read)], role: Role::Read };
const WRITE: Access = Access::Repository { any_of: &[Need("contents", Level::Write)], role: Role::Write };

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/repos/{owner}/{repo}/git/ref/{ref}", READ, "git/refs#get-a-reference", get),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/git/matching-refs/{ref}",
        READ,
        "git/refs#list-matching-references",
        matching,
    ),
    Route::new(Verb::Post, "/repos/{owner}/{repo}/git/refs", WRITE, "git/refs#create-a-reference", create),
    Route::new(
        Verb::Patch,
        "/repos/{owner}/{repo}/git/refs/{ref}",
        WRITE,
        "git/refs#update-a-reference",
        update,
    ),
    Route::new(
        Verb::Delete,
        "/repos/{owner}/{repo}/git/refs/{ref}",
        WRITE,
        "git/refs#delete-a-reference",
        delete,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/branches",
        READ,
        "branches/branches#list-branches",
        branches,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/branches/{branch}",
        READ,
        "branches/branches#get-a-branch",
        branch,
    ),
];

fn get(call: &mut Call<'_>) -> Outcome {
    let name = format!("refs/{}", call.param("ref"));
    let repo = call.repo();
    let sha = repo.refs.get(&name).ok_or_else(Refusal::not_found)?;
    Ok(Answer::ok(call.world.show_ref(repo, &name, sha)))
}

fn matching(call: &mut Call<'_>) -> Outcome {
    let prefix = format!("refs/{}", call.param("ref"));
    let repo = call.repo();
    let found = repo.refs.iter().filter(|(name, _)| name.starts_with(&prefix));
    Ok(call.page(found.map(|(name, sha)| call.world.show_ref(repo, name, sha)).collect()))
}

fn commit_of(call: &Call<'_>) -> Result<String, Refusal> {
    let sha = call.required_text("sha")?;
    match call.repo().bare.resolve_commit(sha)? {
        Some(found) if found == sha => Ok(found),
        _ => Err(Refusal::unprocessable("Object does not exist")),
    }
}

fn create(call: &mut Call<'_>) -> Outcome {
    let name = call.required_text("ref")?.to_owned();
    let well_formed = name.starts_with("refs/")
        && name.matches('/').count() >= 2
        && git2::Reference::is_valid_name(&name)
        && !name.starts_with("refs/pull/");
    if !well_formed {
        return Err(Refusal::unprocessable(format!("{name} is not a valid ref name.")));
    }
    let sha = commit_of(call)?;
    if call.repo().refs.contains_key(&name) {
        return Err(refusals::REF_EXISTS.refuse());
    }
    let (repo_id, sender) = (call.repo_id, call.account()?);
    call.world.move_ref(repo_id, &name, Some(&sha), sender)?;
    Ok(Answer::created(call.world.show_ref(call.repo(), &name, &sha)))
}

fn update(call: &mut Call<'_>) -> Outcome {
    let name = format!("refs/{}", call.param("ref"));
    let sha = commit_of(call)?;
    let repo = call.repo();
    let missing = || Refusal::unprocessable("Reference does not exist");
    let before = repo.refs.get(&name).ok_or_else(missing)?;
    let forced = call.boolean("force")?.unwrap_or(false);
    if !forced && !repo.bare.contains(&sha, before)? {
        return Err(refusals::NOT_FAST_FORWARD.refuse());
    }
    let (repo_id, sender) = (call.repo_id, call.account()?);
    call.world.move_ref(repo_id, &name, Some(&sha), sender)?;
    Ok(Answer::ok(call.world.show_ref(call.repo(), &name, &sha)))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let name = format!("refs/{}", call.param("ref"));
    let repo = call.repo();
    if !repo.refs.contains_key(&name) {
        return Err(Refusal::unprocessable("Reference does not exist"));
    }
    if name == format!("refs/heads/{}", repo.default_branch) {
        return Err(Refusal::unprocessable("Cannot delete the default branch"));
    }
    let (repo_id, sender) = (call.repo_id, call.account()?);
    call.world.move_ref(repo_id, &name, None, sender)?;
    Ok(Answer::no_content())
}

fn branches(call: &mut Call<'_>) -> Outcome {
    let repo = call.repo();
    let api = call.world.api(&format!("/repos/{}", call.world.full_name(repo)));
    let only_protected = call.request.query("protected") == Some("true");
    let found = repo.refs.iter().filter_map(|(name, sha)| Some((name.strip_prefix("refs/heads/")?, sha)));
    let shown = found.filter(|_| !only_protected).map(|(name, sha)| {
        json!({
            "name": name,
            "commit": {"sha": sha, "url": format!("{api}/commits/{sha}")},
            "protected": false,
        })
    });
    Ok(call.page(shown.collect()))
}

fn branch(call: &mut Call<'_>) -> Outcome {
    let name = call.param("branch");
    let repo = call.repo();
    let not_found = || Refusal::new(axum::http::StatusCode::NOT_FOUND, "Branch not found");
    let sha = repo.branch(name).ok_or_else(not_found)?;
    let full_name = call.world.full_name(repo);
    let api = call.world.api(&format!("/repos/{full_name}/branches/{name}"));
    Ok(Answer::ok(json!({
        "name": name,
        "commit": call.world.show_commit(repo, sha)?,
        "_links": {"self": api, "html": call.world.html(&format!("/{full_name}/tree/{name}"))},
        "protected": false,
        "protection": {
            "enabled": false,
            "required_status_checks": {"enforcement_level": "off", "contexts": [], "checks": []},
        },
        "protection_url": format!("{api}/protection"),
    })))
}

impl World {
    fn show_ref(&self, repo: &Repository, name: &str, sha: &str) -> Value {
        let full_name = self.full_name(repo);
        json!({
            "ref": name,
            "node_id": node_id("REF", repo.id),
            "url": self.api(&format!("/repos/{full_name}/git/{name}")),
            "object": {
                "type": "commit", "sha": sha,
                "url": self.api(&format!("/repos/{full_name}/git/commits/{sha}")),
            },
        })
    }
}

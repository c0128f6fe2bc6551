//! Files of a repository over REST, and the repository itself.

use std::collections::BTreeMap;
use std::path::Path;

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::account::Role;
use super::answer::{Answer, Outcome, Refusal};
use super::auth::Actor;
use super::call::Call;
use super::git::SeedFile;
use super::manifest::Level;
use super::pull::encode_path;
use super::repository::Repository;
use super::route::{Access, Need, Route, Verb};
use super::world::World;

const METADATA: Access = Access::Repository { any_of: &[Need("metadata", Level::Read)], role: Role::Read };
const READ: Access = Access::Repository { any_of: &[Need("contents", Level::Read)], role: Role::Read };
const WRITE: Access = Access::Repository { any_of: &[Need("contents", Level::Write)], role: Role::Write };

const CONTENTS: &str = "/repos/{owner}/{repo}/contents/{path}";

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/repos/{owner}/{repo}", METADATA, "repos/repos#get-a-repository", repository),
    Route::new(Verb::Get, CONTENTS, READ, "repos/contents#get-repository-content", get),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/contents",
        READ,
        "repos/contents#get-repository-content",
        get,
    )
    .described_as(CONTENTS),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/contents/",
        READ,
        "repos/contents#get-repository-content",
        get,
    )
    .described_as(CONTENTS),
    Route::new(Verb::Put, CONTENTS, WRITE, "repos/contents#create-or-update-file-contents", put),
];

fn repository(call: &mut Call<'_>) -> Outcome {
    let repo = call.repo();
    let role = match &call.actor {
        Actor::Person(id) => call.world.role(*id, repo),
        Actor::Installation(grant) if grant.permissions.get("contents") >= Some(&Level::Write) => Role::Write,
        _ => Role::Read,
    };
    Ok(Answer::ok(call.world.show_repository_in_full(repo, role)))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let repo = call.repo();
    let path = call.param("path").trim_matches('/');
    let name = call.request.query("ref").unwrap_or(&repo.default_branch);
    let no_commit = || Refusal::new(StatusCode::NOT_FOUND, format!("No commit found for the ref {name}"));
    let commit = repo.bare.resolve_commit(name)?.ok_or_else(no_commit)?;
    let git = repo.bare.open()?;
    let tree = git.find_commit(git2::Oid::from_str(&commit)?)?.tree()?;
    if path.is_empty() {
        return Ok(Answer::ok(list_tree(call.world, repo, &git, &tree, "", name)?));
    }
    let entry = tree.get_path(Path::new(path)).map_err(|_| Refusal::not_found())?;
    let object = entry.to_object(&git)?;
    if let Some(tree) = object.as_tree() {
        return Ok(Answer::ok(list_tree(call.world, repo, &git, tree, path, name)?));
    }
    let blob = object.as_blob().ok_or_else(Refusal::not_found)?;
    if call.request.accepts("raw") {
        return Ok(Answer::text("application/vnd.github.raw+json; charset=utf-8", blob.content()));
    }
    let mut shown = show_entry(call.world, repo, path, "file", &blob.id().to_string(), name);
    shown["size"] = json!(blob.size());
    shown["encoding"] = json!("base64");
    shown["content"] = json!(lines_of_60(&STANDARD.encode(blob.content())));
    Ok(Answer::ok(shown))
}

/// GitHub breaks its base64 after 60 characters.
fn lines_of_60(encoded: &str) -> String {
    let mut text = String::with_capacity(encoded.len() + encoded.len() / 60 + 1);
    for (index, character) in encoded.chars().enumerate() {
        text.push(character);
        if index % 60 == 59 {
            text.push('\n');
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn list_tree(
    world: &World,
    repo: &Repository,
    git: &git2::Repository,
    tree: &git2::Tree<'_>,
    folder: &str,
    reference: &str,
) -> Result<Value, Refusal> {
    let mut shown = Vec::new();
    for entry in tree {
        let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let kind = match (entry.kind(), entry.filemode()) {
            (Some(git2::ObjectType::Tree), _) => "dir",
            (Some(git2::ObjectType::Commit), _) => "submodule",
            (_, 0o120_000) => "symlink",
            _ => "file",
        };
        let mut one = show_entry(world, repo, &path, kind, &entry.id().to_string(), reference);
        let size = if kind == "file" { git.find_blob(entry.id())?.size() } else { 0 };
        one["size"] = json!(size);
        shown.push(one);
    }
    Ok(Value::Array(shown))
}

fn show_entry(
    world: &World,
    repo: &Repository,
    path: &str,
    kind: &'static str,
    sha: &str,
    reference: &str,
) -> Value {
    let full_name = world.full_name(repo);
    let encoded = encode_path(path);
    let api = world.api(&format!("/repos/{full_name}/contents/{encoded}?ref={}", encode_path(reference)));
    let (html_kind, git_kind) = if kind == "dir" { ("tree", "trees") } else { ("blob", "blobs") };
    let html = world.html(&format!("/{full_name}/{html_kind}/{reference}/{encoded}"));
    let git = world.api(&format!("/repos/{full_name}/git/{git_kind}/{sha}"));
    let download = (kind == "file").then(|| world.html(&format!("/{full_name}/raw/{reference}/{encoded}")));
    json!({
        "name": path.rsplit('/').next(),
        "path": path,
        "sha": sha,
        "size": 0,
        "url": api,
        "html_url": html,
        "git_url": git,
        "download_url": download,
        "type": kind,
        "_links": {"self": api, "git": git, "html": html},
    })
}

/// Creates or changes one file with a commit; the old blob's SHA must be told.
fn put(call: &mut Call<'_>) -> Outcome {
    let path = call.param("path").trim_matches('/').to_owned();
    let message = call.required_text("message")?.to_owned();
    let given: String = call.required_text("content")?.split_whitespace().collect();
    let bytes = STANDARD.decode(given).map_err(|_| Refusal::unprocessable("content is not valid Base64"))?;
    let repo = call.repo();
    let branch = call.text("branch")?.unwrap_or(&repo.default_branch).to_owned();
    let no_branch = || Refusal::new(StatusCode::NOT_FOUND, format!("Branch {branch} not found"));
    let parent = repo.branch(&branch).ok_or_else(no_branch)?;
    let git = repo.bare.open()?;
    let tree = git.find_commit(git2::Oid::from_str(parent)?)?.tree()?;
    let existing = tree.get_path(Path::new(&path)).ok();
    let known = existing.as_ref().map(|entry| entry.id().to_string());
    match (call.text("sha")?, &known) {
        (None, Some(_)) => {
            return Err(Refusal::unprocessable("Invalid request.\n\n\"sha\" wasn't supplied."));
        }
        (Some(sha), Some(known)) if sha != known => {
            return Err(Refusal::new(StatusCode::CONFLICT, format!("{path} does not match {sha}")));
        }
        _ => {}
    }
    let workflow = path.starts_with(".github/workflows/");
    if let (Actor::Installation(grant), true) = (&call.actor, workflow)
        && !grant.permissions.contains_key("workflows")
    {
        return Err(super::auth::not_accessible());
    }
    let executable = existing.as_ref().is_some_and(|entry| entry.filemode() == 0o100_755);
    let changes = BTreeMap::from([(path.clone(), Some(SeedFile { bytes, executable }))]);
    let account = call.account()?;
    let author = call.world.person(account);
    let commit = repo.bare.commit_files(Some(parent), &changes, &author, &message)?;
    let repo_id = call.repo_id;
    call.world.move_ref(repo_id, &format!("refs/heads/{branch}"), Some(&commit), account)?;
    let repo = call.repo();
    let git = repo.bare.open()?;
    let tree = git.find_commit(git2::Oid::from_str(&commit)?)?.tree()?;
    let entry = tree.get_path(Path::new(&path))?;
    let mut content = show_entry(call.world, repo, &path, "file", &entry.id().to_string(), &branch);
    content["size"] = json!(git.find_blob(entry.id())?.size());
    let shown = call.world.show_commit(repo, &commit)?;
    let mut object = shown["commit"].clone();
    for field in ["sha", "node_id", "html_url", "parents"] {
        object[field] = shown[field].clone();
    }
    let status = if known.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok(Answer { status, ..Answer::ok(json!({"content": content, "commit": object})) })
}

//! The App, its installations, their tokens, and what a token reaches.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use chrono::Duration;
use serde_json::{Map, Value, json};

use super::account::Role;
use super::answer::{Answer, Outcome, Refusal};
use super::auth::Actor;
use super::call::{Call, wrong_type};
use super::clock::{stamp, stamp_option};
use super::manifest::{Level, Permissions};
use super::refusals;
use super::route::{Access, Route, Verb};
use super::world::{Grant, Installation, World, node_id};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/app", Access::App, "apps/apps#get-the-authenticated-app", get),
    Route::new(
        Verb::Get,
        "/app/installations",
        Access::App,
        "apps/apps#list-installations-for-the-authenticated-app",
        installations,
    ),
    Route::new(
        Verb::Get,
        "/app/installations/{installation_id}",
        Access::App,
        "apps/apps#get-an-installation-for-the-authenticated-app",
        installation,
    ),
    Route::new(
        Verb::Post,
        "/app/installations/{installation_id}/access_tokens",
        Access::App,
        "apps/apps#create-an-installation-access-token-for-an-app",
        create_token,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/installation",
        Access::App,
        "apps/apps#get-a-repository-installation-for-the-authenticated-app",
        of_repository,
    ),
    Route::new(
        Verb::Get,
        "/installation/repositories",
        Access::Installation,
        "apps/installations#list-repositories-accessible-to-the-app-installation",
        repositories,
    ),
    Route::new(
        Verb::Delete,
        "/installation/token",
        Access::Installation,
        "apps/installations#revoke-an-installation-access-token",
        revoke,
    ),
];

fn get(call: &mut Call<'_>) -> Outcome {
    let mut shown = call.world.show_app();
    shown["installations_count"] = json!(call.world.installations.len());
    Ok(Answer::ok(shown))
}

fn installations(call: &mut Call<'_>) -> Outcome {
    let shown = call.world.installations.values().map(|one| call.world.show_installation(one)).collect();
    Ok(call.page(shown))
}

fn installation(call: &mut Call<'_>) -> Outcome {
    let found = call.world.installations.get(&call.id("installation_id")?).ok_or_else(Refusal::not_found)?;
    Ok(Answer::ok(call.world.show_installation(found)))
}

fn of_repository(call: &mut Call<'_>) -> Outcome {
    let found = call.world.installation_of(call.repo()).ok_or_else(Refusal::not_found)?;
    Ok(Answer::ok(call.world.show_installation(found)))
}

fn create_token(call: &mut Call<'_>) -> Outcome {
    let id = call.id("installation_id")?;
    let installation = call.world.installations.get(&id).cloned().ok_or_else(Refusal::not_found)?;
    if installation.suspended.is_some() {
        return Err(Refusal::forbidden("This installation has been suspended"));
    }
    let permissions = narrowed_permissions(call, &installation.permissions)?;
    let repositories = narrowed_repositories(call, &installation)?;
    let expires_at = call.now() + call.world.settings.token_lifetime;
    let token = format!("ghs_{}", call.world.random.alphanumeric(36));
    let selection = if repositories.is_some() { "selected" } else { installation.selection.as_str() };
    let mut shown = json!({
        "token": token,
        "expires_at": stamp(expires_at),
        "permissions": permissions,
        "repository_selection": selection,
    });
    if let Some(chosen) = &repositories {
        let listed = chosen.iter().filter_map(|id| call.world.repositories.get(id));
        shown["repositories"] = listed.map(|repo| call.world.show_repository(repo)).collect();
    }
    let grant = Grant { installation: id, expires_at, repositories, permissions };
    call.world.installation_tokens.insert(token, grant);
    Ok(Answer { status: StatusCode::CREATED, ..Answer::ok(shown) })
}

/// 422 when more is asked than the installation was granted.
fn narrowed_permissions(call: &Call<'_>, granted: &Permissions) -> Result<Permissions, Refusal> {
    let Some(asked) = call.field("permissions").filter(|asked| !asked.is_null()) else {
        return Ok(granted.clone());
    };
    let asked: Permissions = serde_json::from_value(asked.clone())
        .map_err(|_| wrong_type("permissions", asked, "an object of permissions"))?;
    let mut narrowed = Permissions::new();
    for (name, level) in asked {
        if granted.get(&name).is_none_or(|&held| held < level) {
            return Err(refusals::TOKEN_BEYOND_GRANT.refuse());
        }
        narrowed.insert(name, level);
    }
    // Every token may read metadata.
    narrowed.entry("metadata".into()).or_insert(Level::Read);
    Ok(narrowed)
}

fn narrowed_repositories(
    call: &Call<'_>,
    installation: &Installation,
) -> Result<Option<BTreeSet<u64>>, Refusal> {
    let (names, ids) = (call.list("repositories")?, call.list("repository_ids")?);
    if names.is_none() && ids.is_none() {
        return Ok(None);
    }
    let reached = || call.world.repositories.values().filter(|repo| call.world.reaches(installation, repo));
    let not_there = || {
        Refusal::unprocessable(
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
        )
    };
    let mut chosen = BTreeSet::new();
    for name in names.into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        chosen.insert(reached().find(|repo| repo.name.eq_ignore_ascii_case(name)).ok_or_else(not_there)?.id);
    }
    for id in ids.into_iter().flatten() {
        chosen.insert(reached().find(|repo| Some(repo.id) == id.as_u64()).ok_or_else(not_there)?.id);
    }
    Ok(Some(chosen))
}

fn repositories(call: &mut Call<'_>) -> Outcome {
    let Actor::Installation(grant) = &call.actor else { return Err(Refusal::not_found()) };
    let world = &call.world;
    let found = world.repositories.values().filter(|repo| world.grant_reaches(grant, repo));
    let shown = found
        .map(|repo| {
            let mut shown = world.show_repository(repo);
            shown["permissions"] = Role::Read.permissions();
            shown
        })
        .collect();
    let all = world.installations.get(&grant.installation).map_or("selected", |one| one.selection.as_str());
    let selection = if grant.repositories.is_some() { "selected" } else { all };
    Ok(call.page_in(
        "repositories",
        shown,
        Map::from_iter([("repository_selection".to_owned(), json!(selection))]),
    ))
}

fn revoke(call: &mut Call<'_>) -> Outcome {
    let given = call.request.header("authorization").unwrap_or_default();
    let token = given.split_once(' ').map_or("", |(_, token)| token.trim()).to_owned();
    call.world.installation_tokens.remove(&token);
    Ok(Answer::no_content())
}

impl World {
    pub fn install(&mut self, account: u64, selection: super::world::Selection, sender: u64) -> u64 {
        let now = self.now();
        let id = 51_000_000 + self.installations.len() as u64 * 17;
        let installation = Installation {
            id,
            account,
            selection,
            permissions: self.settings.manifest.default_permissions.clone(),
            events: self.settings.manifest.default_events.clone(),
            created_at: now,
            updated_at: now,
            suspended: None,
        };
        self.installations.insert(id, installation);
        self.emit_installation(id, "created", sender);
        id
    }

    /// Lets every installation token end at once.
    pub fn expire_tokens(&mut self) {
        let past = self.clock.now() - Duration::seconds(1);
        for grant in self.installation_tokens.values_mut() {
            grant.expires_at = grant.expires_at.min(past);
        }
    }

    /// The App as it is shown in `performed_via_github_app` and check runs.
    pub fn show_app(&self) -> Value {
        let manifest = &self.settings.manifest;
        let slug = manifest.slug();
        json!({
            "id": self.settings.app_id,
            "client_id": format!("Iv23li{:014x}", self.settings.app_id),
            "slug": slug,
            "node_id": node_id("A", self.settings.app_id),
            "owner": self.show_user(self.app_owner),
            "name": manifest.name,
            "description": manifest.description,
            "external_url": manifest.url,
            "html_url": self.html(&format!("/apps/{slug}")),
            "created_at": stamp(self.app_created_at),
            "updated_at": stamp(self.app_created_at),
            "permissions": manifest.default_permissions,
            "events": manifest.default_events,
        })
    }

    pub fn show_installation(&self, installation: &Installation) -> Value {
        let id = installation.id;
        let account = self.show_user(installation.account);
        let target_type = account["type"].clone();
        json!({
            "id": id,
            "client_id": format!("Iv23li{:014x}", self.settings.app_id),
            "account": account,
            "repository_selection": installation.selection.as_str(),
            "access_tokens_url": self.api(&format!("/app/installations/{id}/access_tokens")),
            "repositories_url": self.api("/installation/repositories"),
            "html_url": self.html(&format!("/settings/installations/{id}")),
            "app_id": self.settings.app_id,
            "app_slug": self.settings.manifest.slug(),
            "target_id": installation.account,
            "target_type": target_type,
            "permissions": installation.permissions,
            "events": installation.events,
            "created_at": stamp(installation.created_at),
            "updated_at": stamp(installation.updated_at),
            "single_file_name": null,
            "has_multiple_single_files": false,
            "single_file_paths": [],
            "suspended_by": self.show_user_option(installation.suspended.map(|(_, by)| by)),
            "suspended_at": stamp_option(installation.suspended.map(|(at, _)| at)),
        })
    }
}

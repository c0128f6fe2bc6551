//! Users, the collaborators of a repository and their permissions, rate limits.

use serde_json::{Value, json};

use super::account::{AccountKind, Role};
use super::answer::{Answer, Outcome, Refusal};
use super::auth::Actor;
use super::call::Call;
use super::manifest::Level;
use super::route::{Access, Need, Route, Verb};

const METADATA: Access = Access::Repository { any_of: &[Need("metadata", Level::Read)], role: Role::Write };

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/user", Access::Person, "users/users#get-the-authenticated-user", me),
    Route::new(Verb::Get, "/users/{username}", Access::Anyone, "users/users#get-a-user", get),
    Route::new(
        Verb::Get,
        "/user/{account_id}",
        Access::Anyone,
        "users/users#get-a-user-using-their-id",
        by_id,
    ),
    Route::new(
        Verb::Get,
        "/rate_limit",
        Access::Anyone,
        "rate-limit/rate-limit#get-rate-limit-status-for-the-authenticated-user",
        rate_limit,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/collaborators",
        METADATA,
        "collaborators/collaborators#list-repository-collaborators",
        collaborators,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/collaborators/{username}",
        METADATA,
        "collaborators/collaborators#check-if-a-user-is-a-repository-collaborator",
        is_collaborator,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/collaborators/{username}/permission",
        METADATA,
        "collaborators/collaborators#get-repository-permissions-for-a-user",
        permission,
    ),
];

fn me(call: &mut Call<'_>) -> Outcome {
    Ok(Answer::ok(call.world.show_profile(call.account()?)))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let account = call.world.account_by_login(call.param("username")).ok_or_else(Refusal::not_found)?;
    Ok(Answer::ok(call.world.show_profile(account.id)))
}

fn by_id(call: &mut Call<'_>) -> Outcome {
    let id = call.id("account_id")?;
    let known = call.world.accounts.contains_key(&id);
    known.then(|| Answer::ok(call.world.show_profile(id))).ok_or_else(Refusal::not_found)
}

fn rate_limit(call: &mut Call<'_>) -> Outcome {
    let actor = call.actor.describe(call.world);
    let (now, limits) = (call.world.clock.now(), call.world.settings.limits.clone());
    let standing = call.world.rates.standing(&actor, &limits, now).show();
    Ok(Answer::ok(json!({"resources": {"core": standing, "search": standing}, "rate": standing})))
}

fn collaborators(call: &mut Call<'_>) -> Outcome {
    let repo = call.repo();
    let mut seated: Vec<u64> = repo.collaborators.keys().copied().collect();
    if call.world.accounts.get(&repo.owner).is_some_and(|owner| owner.kind == AccountKind::User) {
        seated.push(repo.owner);
    }
    seated.sort_unstable();
    Ok(call.page(seated.into_iter().map(|id| shown_with_role(call, id)).collect()))
}

fn shown_with_role(call: &Call<'_>, id: u64) -> Value {
    let role = call.world.role(id, call.repo());
    let mut shown = call.world.show_user(id);
    shown["permissions"] = role.permissions();
    shown["role_name"] = json!(role_name(call, id, role));
    shown
}

fn role_name(call: &Call<'_>, id: u64, role: Role) -> String {
    let seat = call.repo().collaborators.get(&id);
    seat.and_then(|seat| seat.custom_name.clone()).unwrap_or_else(|| role.as_str().to_owned())
}

fn is_collaborator(call: &mut Call<'_>) -> Outcome {
    let account = call.world.account_by_login(call.param("username")).ok_or_else(Refusal::not_found)?;
    let seated = account.id == call.repo().owner || call.repo().collaborators.contains_key(&account.id);
    seated.then(Answer::no_content).ok_or_else(Refusal::not_found)
}

/// The answer carries the user that holds the login now: after a renaming, another id.
fn permission(call: &mut Call<'_>) -> Outcome {
    let account = call.world.account_by_login(call.param("username"));
    let id = account
        .filter(|account| account.kind != AccountKind::Organization)
        .ok_or_else(|| {
            let login = call.param("username");
            Refusal::new(axum::http::StatusCode::NOT_FOUND, format!("{login} is not a user"))
        })?
        .id;
    // An App's bot has no seat; what its App may write, it may.
    let installed = matches!(&call.actor, Actor::Installation(_)) && id == call.world.app_bot;
    let role = match installed {
        true => Role::Write,
        false => call.world.role(id, call.repo()),
    };
    let mut user = call.world.show_user(id);
    user["permissions"] = role.permissions();
    user["role_name"] = json!(role_name(call, id, role));
    Ok(Answer::ok(json!({
        "permission": role.legacy(),
        "role_name": role_name(call, id, role),
        "user": user,
    })))
}

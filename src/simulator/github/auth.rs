//! Who is calling: the App by its JWT, an installation or a person by a token.

use std::collections::HashSet;

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Duration;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

use super::account::Role;
use super::answer::Refusal;
use super::refusals;
use super::repository::Repository;
use super::route::{Access, Need, Route, Verb};
use super::world::{Grant, World};

#[derive(Clone, Debug)]
pub(super) enum Actor {
    Anonymous,
    Person(u64),
    App,
    Installation(Grant),
}

impl Actor {
    /// The name under which rate limits and the journal know the caller.
    pub fn describe(&self, world: &World) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Person(id) => format!("user {}", world.login(*id)),
            Self::App => "app".to_owned(),
            Self::Installation(grant) => format!("installation {}", grant.installation),
        }
    }
}

/// Reads the `Authorization` header: `Bearer` or `token`, or `Basic` with the token as password.
pub(super) fn authenticate(world: &World, headers: &HeaderMap) -> Result<Actor, Refusal> {
    let Some(value) = headers.get("authorization") else {
        return Ok(Actor::Anonymous);
    };
    let value = value.to_str().map_err(|_| bad_credentials())?;
    let (scheme, rest) = value.split_once(' ').ok_or_else(bad_credentials)?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "token" => by_secret(world, rest.trim()),
        "basic" => by_secret(world, &basic_password(rest).ok_or_else(bad_credentials)?),
        _ => Err(bad_credentials()),
    }
}

/// The password of a `Basic` value; git sends `x-access-token:TOKEN`.
pub(super) fn basic_password(encoded: &str) -> Option<String> {
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(if password.is_empty() { user } else { password }.to_owned())
}

pub(super) fn by_secret(world: &World, secret: &str) -> Result<Actor, Refusal> {
    if secret.split('.').count() == 3 {
        verify_app_jwt(world, secret)?;
        return Ok(Actor::App);
    }
    if let Some(person) = world.personal_tokens.get(secret) {
        return Ok(Actor::Person(*person));
    }
    let grant = world.installation_tokens.get(secret).ok_or_else(bad_credentials)?;
    if grant.expires_at <= world.clock.now() {
        return Err(bad_credentials());
    }
    let installation = world.installations.get(&grant.installation).ok_or_else(bad_credentials)?;
    if installation.suspended.is_some() {
        return Err(Refusal::forbidden("This installation has been suspended"));
    }
    Ok(Actor::Installation(grant.clone()))
}

pub(super) fn bad_credentials() -> Refusal {
    refusals::BAD_CREDENTIALS.refuse()
}

/// RS256, our App as issuer, issued in the past, and valid for ten minutes at most.
/// Source: docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/
/// generating-a-json-web-token-jwt-for-a-github-app; the words are those of the REST API.
fn verify_app_jwt(world: &World, token: &str) -> Result<(), Refusal> {
    let undecodable = || refusals::JWT_UNDECODABLE.refuse();
    let key = DecodingKey::from_rsa_pem(world.settings.app_public_key_pem.as_bytes())
        .map_err(|error| anyhow::anyhow!("the App's public key cannot be read: {error}"))?;
    let mut validation = Validation::new(Algorithm::RS256);
    // Times are compared with the simulator's clock below.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims = HashSet::new();
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).map_err(|_| undecodable())?.claims;

    let issuer = match &claims["iss"] {
        Value::String(text) => text.parse::<u64>().ok(),
        other => other.as_u64(),
    };
    if issuer != Some(world.settings.app_id) {
        return Err(Refusal::unauthorized("'Issuer' claim ('iss') must be an Integer"));
    }
    let now = world.clock.now();
    let issued = claims["iat"]
        .as_i64()
        .filter(|&at| at <= now.timestamp())
        .ok_or_else(|| refusals::JWT_FROM_THE_FUTURE.refuse())?;
    let expires = claims["exp"]
        .as_f64()
        .filter(|&at| at > now.timestamp() as f64)
        .ok_or_else(|| refusals::JWT_EXPIRED.refuse())?;
    let latest = (now + Duration::minutes(10)).timestamp() as f64;
    if expires > latest || expires <= issued as f64 {
        return Err(refusals::JWT_TOO_LONG.refuse());
    }
    Ok(())
}

/// The words with which GitHub refuses an App what its manifest does not grant.
/// Source: docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible.
pub(super) fn not_accessible() -> Refusal {
    refusals::NOT_GRANTED.refuse()
}

/// Whether the actor may call the route at all, before a repository is looked at.
pub(super) fn admit(actor: &Actor, access: Access) -> Result<(), Refusal> {
    match (access, actor) {
        (Access::App, Actor::App) | (Access::Anyone, _) => Ok(()),
        (Access::App, _) => Err(refusals::JWT_UNDECODABLE.refuse()),
        (Access::Installation, Actor::Installation(_)) | (Access::Person, Actor::Person(_)) => Ok(()),
        (Access::Installation, Actor::Person(_)) => Err(Refusal::forbidden(
            "You must authenticate with an installation access token in order to list repositories for an \
             installation.",
        )),
        (Access::Installation | Access::Person, Actor::Anonymous) => {
            Err(Refusal::unauthorized("Requires authentication"))
        }
        (Access::Installation | Access::Person | Access::Repository { .. }, Actor::App)
        | (Access::Person, Actor::Installation(_)) => Err(not_accessible()),
        (Access::Repository { .. }, _) => Ok(()),
    }
}

/// Whether the actor may call a repository's route: 404 for what it may not know of, 403 for what it may
/// see and not touch.
pub(super) fn authorize(
    world: &World,
    actor: &Actor,
    route: &Route,
    repository: &Repository,
) -> Result<(), Refusal> {
    let Access::Repository { any_of, role } = route.access else { return Ok(()) };
    let reads = route.verb == Verb::Get;
    match actor {
        Actor::Installation(grant) => {
            if !world.grant_reaches(grant, repository) {
                // Public repositories may be read by every token.
                return match (repository.private, reads) {
                    (true, _) => Err(Refusal::not_found()),
                    (false, true) => Ok(()),
                    (false, false) => Err(not_accessible()),
                };
            }
            match any_of.is_empty() || any_of.iter().any(|need| grants(grant, *need)) {
                true => Ok(()),
                false => Err(not_accessible()),
            }
        }
        Actor::Person(person) => {
            let held = world.role(*person, repository);
            if held == Role::None {
                return Err(Refusal::not_found());
            }
            match held >= role {
                true => Ok(()),
                false => Err(Refusal::forbidden("Must have admin rights to Repository.")),
            }
        }
        Actor::Anonymous if repository.private => Err(Refusal::not_found()),
        Actor::Anonymous if reads => Ok(()),
        Actor::Anonymous => Err(Refusal::unauthorized("Requires authentication")),
        Actor::App => Err(not_accessible()),
    }
}

pub(super) fn grants(grant: &Grant, need: Need) -> bool {
    grant.permissions.get(need.0).is_some_and(|&level| level >= need.1)
}

//! HTTP in front of the world: faults, sign-in, limits, permissions, then the route's handler.

use std::sync::Arc;

use axum::body::{Body as HttpBody, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::answer::{Answer, Body, Refusal};
use super::auth::{Actor, admit, authenticate, authorize};
use super::call::{Call, Request};
use super::fate::{Fate, fate_of, refuse, run_callbacks};
use super::git_http;
use super::hub::Hub;
use super::journal::RequestRecord;
use super::listener::Connection;
use super::refusals;
use super::route::{Access, Need, Route, Verb, parse_query};
use super::routes;
use super::world::World;

/// More than any of GitHub's own limits on a REST body.
const BODY_MAXIMUM: usize = 100 * 1024 * 1024;

pub(super) struct Incoming {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Incoming {
    pub fn path_and_query(&self) -> String {
        match self.query.is_empty() {
            true => self.path.clone(),
            false => format!("{}?{}", self.path, self.query),
        }
    }
}

pub(super) async fn serve(
    State(hub): State<Arc<Hub>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: HttpRequest,
) -> Response {
    let (parts, body) = request.into_parts();
    let incoming = Incoming {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or("").to_owned(),
        headers: parts.headers,
        body: Bytes::new(),
    };
    let (fate, fault) = fate_of(&hub, &incoming).await;
    let mut record = RequestRecord {
        at: hub.world().clock.now(),
        method: incoming.method.clone(),
        path: incoming.path_and_query(),
        route: None,
        actor: String::new(),
        body: Value::Null,
        status: 0,
        answer: Value::Null,
        fault,
    };
    match fate {
        Fate::Drop => {
            connection.cut();
            hub.journal.note_request(record);
            plain(StatusCode::BAD_GATEWAY, "")
        }
        Fate::Refuse { status, retry_after_seconds } => {
            record.status = status;
            hub.journal.note_request(record);
            respond(refuse(status, retry_after_seconds))
        }
        Fate::Handle { drop_answer, delay, after } => {
            let response = match git_http::Service::of(&incoming) {
                Some(service) => git_http::serve(&hub, service, incoming, body, record).await,
                None => serve_rest(&hub, incoming, body, record).await,
            };
            run_callbacks(&hub, after).await;
            tokio::time::sleep(delay).await;
            if drop_answer {
                connection.cut();
            }
            response
        }
    }
}

async fn serve_rest(
    hub: &Arc<Hub>,
    mut incoming: Incoming,
    body: HttpBody,
    record: RequestRecord,
) -> Response {
    match to_bytes(body, BODY_MAXIMUM).await {
        Ok(bytes) => incoming.body = bytes,
        Err(_) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "Payload too big"),
    }
    let hub = Arc::clone(hub);
    // Handlers read git repositories: not on the runtime's own threads.
    let answer = tokio::task::spawn_blocking(move || {
        let mut record = record;
        let (answer, route) = hub.change(|world| answer_to(&hub, world, &incoming, &mut record));
        record.status = answer.status.as_u16();
        record.answer = answer.json().cloned().unwrap_or(Value::Null);
        check_contract(&hub, route, &incoming, &record, &answer);
        hub.journal.note_request(record);
        answer
    });
    match answer.await {
        Ok(answer) => respond(answer),
        Err(error) => {
            tracing::error!(%error, "a handler of the GitHub simulator panicked");
            respond(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "Server Error").into_answer(""))
        }
    }
}

fn answer_to(
    hub: &Hub,
    world: &mut World,
    incoming: &Incoming,
    record: &mut RequestRecord,
) -> (Answer, Option<&'static Route>) {
    let actor = match authenticate(world, &incoming.headers) {
        Ok(actor) => actor,
        Err(refusal) => return (refusal.into_answer(""), None),
    };
    record.actor = actor.describe(world);
    let found = find_route(world, incoming);
    let route = found.as_ref().map(|(route, ..)| *route);
    record.route = route.map(|route| route.template);
    let limits = world.settings.limits.clone();
    let now = world.clock.now();
    let counted = !matches!(record.route, Some("/rate_limit"));
    let limited = if counted { world.rates.count(&record.actor, &limits, now) } else { Ok(()) };
    let answer = limited.and_then(|()| check_headers(&incoming.headers)).map_or_else(
        |refusal| refusal.into_answer(""),
        |()| match found {
            Some((route, params, path)) => {
                let answer = run_route(world, incoming, record, actor, route, params, path);
                answer.unwrap_or_else(|refusal| refusal.into_answer(route.documentation))
            }
            None => {
                hub.journal.note_unknown_route(&incoming.method, &record.path);
                Refusal::not_found().into_answer("")
            }
        },
    );
    (finish(world, incoming, record, route, answer), route)
}

/// The route, its parameters, and the path with the repository's present name.
type Found = (&'static Route, super::route::Params, String);

fn find_route(world: &World, incoming: &Incoming) -> Option<Found> {
    let verb = Verb::parse(&incoming.method)?;
    let path = match incoming.path.strip_prefix("/repositories/") {
        None => incoming.path.clone(),
        Some(rest) => {
            let (id, tail) = rest.split_once('/').map_or((rest, None), |(id, tail)| (id, Some(tail)));
            let repo = world.repositories.get(&id.parse::<u64>().ok()?)?;
            let base = format!("/repos/{}", world.full_name(repo));
            tail.map_or(base.clone(), |tail| format!("{base}/{tail}"))
        }
    };
    // "PATCH is a relatively new and uncommon HTTP verb, so resources also accept POST requests", GitHub's
    // documentation said for years; clients rely on it (octocrab's `update_comment`).
    let patched = || if verb == Verb::Post { routes::find(Verb::Patch, &path) } else { None };
    let (route, params) = routes::find(verb, &path).or_else(patched)?;
    Some((route, params, path))
}

/// Source: docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent
/// and docs.github.com/rest/about-the-rest-api/api-versions.
fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("user-agent").is_none_or(str::is_empty) {
        return Err(refusals::NO_USER_AGENT.refuse());
    }
    if text("x-github-api-version").is_some_and(|version| !["2022-11-28", "2026-03-10"].contains(&version)) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "Version is not supported."));
    }
    let accept = text("accept").unwrap_or("*/*");
    let good = ["*/*", "application/*", "application/json", "application/vnd.github"];
    if !accept.split(',').any(|range| good.iter().any(|known| range.trim().starts_with(known))) {
        let message = format!("Unsupported 'Accept' header: '{accept}'. Must accept 'application/json'.");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    Ok(())
}

fn run_route(
    world: &mut World,
    incoming: &Incoming,
    record: &mut RequestRecord,
    actor: Actor,
    route: &'static Route,
    params: super::route::Params,
    path: String,
) -> Result<Answer, Refusal> {
    let body = parse_body(&incoming.body)?;
    record.body.clone_from(&body);
    let writes = route.verb != Verb::Get && params.contains_key("repo");
    admit(&actor, route.access)?;
    let repo_id = match (params.get("owner"), params.get("repo")) {
        (Some(owner), Some(name)) => {
            let repo = world.repository_by_name(owner, name);
            let Some(repo) = repo else { return moved(world, &actor, route, owner, name) };
            authorize(world, &actor, route, repo)?;
            if writes && repo.archived {
                return Err(Refusal::forbidden("Repository was archived so is read-only."));
            }
            repo.id
        }
        _ => 0,
    };
    if writes {
        let (limits, now) = (world.settings.limits.clone(), world.clock.now());
        world.rates.count_write(&record.actor, &limits, now)?;
    }
    let request =
        Request { path, query: parse_query(&incoming.query), headers: incoming.headers.clone(), body };
    (route.handler)(&mut Call { world, request: &request, params, actor, repo_id })
}

/// A renamed or transferred repository answers at its old name with a redirect to its id.
/// Source: docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects.
fn moved(world: &World, actor: &Actor, route: &Route, owner: &str, name: &str) -> Result<Answer, Refusal> {
    let former = format!("{owner}/{name}").to_lowercase();
    let repo = world.moved.get(&former).map(|id| world.repo(*id)).ok_or_else(Refusal::not_found)?;
    authorize(world, actor, route, repo)?;
    let url = world.api(&format!("/repositories/{}", repo.id));
    let status = match route.verb {
        Verb::Get => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::TEMPORARY_REDIRECT,
    };
    let mut answer = Refusal::new(status, "Moved Permanently").into_answer(route.documentation);
    if let Body::Json(body) = &mut answer.body {
        body["url"] = Value::String(url.clone());
    }
    Ok(answer.with_header("location", url))
}

fn parse_body(bytes: &[u8]) -> Result<Value, Refusal> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    match serde_json::from_slice(bytes) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => Ok(value),
        Ok(_) => Err(Refusal::new(StatusCode::BAD_REQUEST, "Body should be a JSON object")),
        Err(_) => Err(refusals::BROKEN_JSON.refuse()),
    }
}

/// Adds what every answer carries: rate limit, entity tag, accepted permissions, request id.
fn finish(
    world: &mut World,
    incoming: &Incoming,
    record: &RequestRecord,
    route: Option<&Route>,
    mut answer: Answer,
) -> Answer {
    let now = world.clock.now();
    if let (true, StatusCode::OK, Body::Json(body)) = (incoming.method == "GET", answer.status, &answer.body)
    {
        let tag = format!("W/\"{}\"", hex::encode(Sha256::digest(body.to_string())));
        let asked = incoming.headers.get("if-none-match").and_then(|value| value.to_str().ok());
        if asked.is_some_and(|asked| asked.split(',').any(|one| one.trim() == tag)) {
            world.rates.give_back(&record.actor, now);
            answer.status = StatusCode::NOT_MODIFIED;
            answer.body = Body::Empty;
        }
        answer.headers.push(("etag", tag));
        answer.headers.push(("cache-control", "private, max-age=60, s-maxage=60".into()));
    }
    let limits = world.settings.limits.clone();
    answer.headers.extend(world.rates.standing(&record.actor, &limits, now).headers());
    if let Some(accepted) = route.and_then(accepted_permissions) {
        answer.headers.push(("x-accepted-github-permissions", accepted));
    }
    answer.headers.push(("x-github-media-type", "github.v3; format=json".into()));
    answer.headers.push(("x-github-api-version-selected", "2022-11-28".into()));
    answer.headers.push(("x-github-request-id", world.random.alphanumeric(24).to_uppercase()));
    answer
}

fn accepted_permissions(route: &Route) -> Option<String> {
    let Access::Repository { any_of, .. } = route.access else { return None };
    let sets = any_of.iter().map(|Need(name, level)| format!("{name}={}", level.as_str()));
    Some(sets.collect::<Vec<_>>().join("; "))
}

fn check_contract(
    hub: &Hub,
    route: Option<&Route>,
    incoming: &Incoming,
    record: &RequestRecord,
    answer: &Answer,
) {
    let (Some(contract), Some(route)) = (&hub.contract, route) else { return };
    let query = parse_query(&incoming.query);
    let judgement = contract.check_exchange(&super::contract::Exchange {
        method: route.verb.as_str(),
        template: route.contract_template(),
        query: &query,
        request_body: &record.body,
        status: record.status,
        answer: &answer.body,
    });
    hub.journal.note_violations(judgement.violations);
    hub.journal.note_ignored(judgement.ignored);
}

pub(super) fn respond(answer: Answer) -> Response {
    let (content_type, bytes) = match answer.body {
        Body::Empty => (None, Vec::new()),
        Body::Json(value) => (Some("application/json; charset=utf-8"), value.to_string().into_bytes()),
        Body::Text { content_type, text } => (Some(content_type), text),
    };
    let mut response = Response::new(HttpBody::from(bytes));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static("github.com"));
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

pub(super) fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(HttpBody::from(text.to_owned()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

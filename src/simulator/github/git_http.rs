//! Git over smart HTTP, by `git http-backend`.
//!
//! Git sends credentials only after a 401 with `WWW-Authenticate`; an App sends `x-access-token:TOKEN`.
//! Source: git-scm.com/docs/git-http-backend and docs.github.com/en/apps/creating-github-apps/
//! authenticating-with-a-github-app/authenticating-as-a-github-app-installation.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use axum::body::Body as HttpBody;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::io::ReaderStream;

use super::account::Role;
use super::auth::{Actor, authenticate, grants};
use super::hub::Hub;
use super::journal::RequestRecord;
use super::manifest::Level;
use super::repository::Repository;
use super::route::Need;
use super::server::{Incoming, plain};
use super::world::World;

/// A path of the smart protocol.
pub(super) struct Service {
    owner: String,
    name: String,
    /// `/info/refs`, `/git-upload-pack` or `/git-receive-pack`.
    tail: &'static str,
    writes: bool,
}

impl Service {
    pub fn of(incoming: &Incoming) -> Option<Self> {
        let tail = ["/info/refs", "/git-upload-pack", "/git-receive-pack"]
            .into_iter()
            .find(|tail| incoming.path.ends_with(tail))?;
        let (owner, name) = incoming.path.strip_suffix(tail)?.strip_prefix('/')?.split_once('/')?;
        if owner == "repos" || name.contains('/') {
            return None;
        }
        let name = name.strip_suffix(".git").unwrap_or(name).to_owned();
        let writes = tail == "/git-receive-pack" || incoming.query.contains("service=git-receive-pack");
        Some(Self { owner: owner.to_owned(), name, tail, writes })
    }

    fn is_push(&self) -> bool {
        self.tail == "/git-receive-pack"
    }
}

/// What a caller was let in for.
struct Pass {
    repository: u64,
    account: u64,
    login: String,
    may_change_workflows: bool,
    bare: std::path::PathBuf,
}

pub(super) async fn serve(
    hub: &Arc<Hub>,
    service: Service,
    incoming: Incoming,
    body: HttpBody,
    mut record: RequestRecord,
) -> Response {
    let admitted = {
        let world = hub.world();
        let actor = authenticate(&world, &incoming.headers);
        record.actor = actor.as_ref().map_or_else(|_| "unknown".into(), |actor| actor.describe(&world));
        actor.map_err(|_| Denial::BadCredentials).and_then(|actor| admit(&world, &service, &actor))
    };
    let response = match admitted {
        Err(denial) => denial.respond(),
        Ok(pass) => run(hub, &service, &pass, incoming, body).await.unwrap_or_else(|error| {
            tracing::error!(error = format!("{error:#}"), "git http-backend failed");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "git http-backend failed")
        }),
    };
    record.status = response.status().as_u16();
    hub.journal.note_request(record);
    response
}

#[derive(Clone, Copy, Debug)]
enum Denial {
    SignIn,
    BadCredentials,
    NotFound,
    NoWrite,
    Archived,
}

impl Denial {
    fn respond(self) -> Response {
        let (status, text) = match self {
            Self::SignIn => (StatusCode::UNAUTHORIZED, "No anonymous write access.\n"),
            Self::BadCredentials => (
                StatusCode::UNAUTHORIZED,
                "Invalid username or token. Password authentication is not supported for Git operations.\n",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "Repository not found.\n"),
            Self::NoWrite => (StatusCode::FORBIDDEN, "Write access to repository not granted.\n"),
            Self::Archived => (StatusCode::FORBIDDEN, "This repository was archived so it is read-only.\n"),
        };
        let mut response = plain(status, text);
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"GitHub\"");
            response.headers_mut().insert("www-authenticate", challenge);
        }
        response
    }
}

fn admit(world: &World, service: &Service, actor: &Actor) -> Result<Pass, Denial> {
    let found = world.repository_by_name(&service.owner, &service.name);
    let moved = || {
        let former = format!("{}/{}", service.owner, service.name).to_lowercase();
        world.moved.get(&former).map(|id| world.repo(*id))
    };
    let repo = match (found.or_else(moved), actor) {
        (Some(repo), _) => repo,
        (None, Actor::Anonymous) => return Err(Denial::SignIn),
        (None, _) => return Err(Denial::NotFound),
    };
    let (may_read, may_write) = reach(world, repo, actor);
    if matches!(actor, Actor::Anonymous) && (service.writes || !may_read) {
        return Err(Denial::SignIn);
    }
    if !may_read {
        return Err(Denial::NotFound);
    }
    if service.writes && !may_write {
        return Err(Denial::NoWrite);
    }
    if service.writes && repo.archived {
        return Err(Denial::Archived);
    }
    let account = match actor {
        Actor::Person(id) => *id,
        _ => world.app_bot,
    };
    let may_change_workflows = match actor {
        Actor::Installation(grant) => grants(grant, Need("workflows", Level::Write)),
        _ => true,
    };
    Ok(Pass {
        repository: repo.id,
        account,
        login: world.login(account).to_owned(),
        may_change_workflows,
        bare: repo.bare.path().to_owned(),
    })
}

/// Whether the actor may read and write the repository's contents.
fn reach(world: &World, repo: &Repository, actor: &Actor) -> (bool, bool) {
    match actor {
        Actor::Person(id) => {
            let role = world.role(*id, repo);
            (role >= Role::Read, role >= Role::Write)
        }
        Actor::Installation(grant) if world.grant_reaches(grant, repo) => {
            let may = |level| grants(grant, Need("contents", level));
            (may(Level::Read), may(Level::Write))
        }
        Actor::Installation(_) | Actor::Anonymous => (!repo.private, false),
        Actor::App => (false, false),
    }
}

async fn run(
    hub: &Arc<Hub>,
    service: &Service,
    pass: &Pass,
    incoming: Incoming,
    body: HttpBody,
) -> anyhow::Result<Response> {
    if !service.is_push() {
        let (head, rest, child) = backend(service, pass, &incoming, body).await?;
        // The child lives as long as its output is read, and is reaped by the runtime.
        let stream = ReaderStream::new(rest).map(move |chunk| {
            let _running = &child;
            chunk
        });
        return head.into_response(HttpBody::from_stream(stream));
    }
    let lock = hub.push_lock(pass.repository);
    let _one_at_a_time = lock.lock().await;
    let (head, mut rest, mut child) = backend(service, pass, &incoming, body).await?;
    let mut report = Vec::new();
    rest.read_to_end(&mut report).await.context("git receive-pack's report was cut off")?;
    child.wait().await?;
    let (hub, repository, account) = (Arc::clone(hub), pass.repository, pass.account);
    let absorbed =
        tokio::task::spawn_blocking(move || hub.change(|world| world.absorb_refs(repository, account)));
    absorbed.await?.map_err(|refusal| anyhow!("{}: {:?}", refusal.message, refusal.errors))?;
    head.into_response(HttpBody::from(report))
}

/// Variables that would lead git away from the repository it is given.
const FOREIGN: [&str; 12] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_CEILING_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_TEMPLATE_DIR",
    "CONTENT_LENGTH",
];

async fn backend(
    service: &Service,
    pass: &Pass,
    incoming: &Incoming,
    body: HttpBody,
) -> anyhow::Result<(Head, BufReader<ChildStdout>, Child)> {
    let header = |name: &str| incoming.headers.get(name).and_then(|value| value.to_str().ok());
    let mut command = Command::new("git");
    for name in FOREIGN {
        command.env_remove(name);
    }
    command
        .arg("http-backend")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", &pass.bare)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", service.tail)
        .env("QUERY_STRING", &incoming.query)
        .env("REQUEST_METHOD", &incoming.method)
        .env("REMOTE_USER", &pass.login)
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("CONTENT_TYPE", header("content-type").unwrap_or(""))
        .env("SIMULATOR_WORKFLOWS", if pass.may_change_workflows { "granted" } else { "refused" })
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    for (name, variable) in [
        ("content-length", "CONTENT_LENGTH"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ] {
        if let Some(value) = header(name) {
            command.env(variable, value);
        }
    }
    let mut child = command.spawn().context("git cannot be started: is it installed?")?;
    let mut stdin = child.stdin.take().ok_or_else(|| anyhow!("git http-backend has no input"))?;
    tokio::spawn(async move {
        let mut chunks = body.into_data_stream();
        while let Some(Ok(chunk)) = chunks.next().await {
            if stdin.write_all(&chunk).await.is_err() {
                return;
            }
        }
        // Closing the input is the end of the request, whether that succeeds or the backend has gone.
        drop(stdin.shutdown().await);
    });
    let stdout = child.stdout.take().ok_or_else(|| anyhow!("git http-backend has no output"))?;
    let mut output = BufReader::new(stdout);
    let head = Head::read(&mut output).await?;
    Ok((head, output, child))
}

/// The header of a CGI answer.
struct Head {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Head {
    async fn read(output: &mut BufReader<ChildStdout>) -> anyhow::Result<Self> {
        let mut head = Self { status: StatusCode::OK, headers: Vec::new() };
        loop {
            let mut line = String::new();
            if output.read_line(&mut line).await? == 0 {
                return Err(anyhow!("git http-backend ended before its answer"));
            }
            let line = line.trim_end();
            if line.is_empty() {
                return Ok(head);
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            if name.eq_ignore_ascii_case("status") {
                let code = value.split(' ').next().unwrap_or("500");
                head.status = code.parse().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            } else {
                head.headers.push((name.parse()?, HeaderValue::from_str(value)?));
            }
        }
    }

    fn into_response(self, body: HttpBody) -> anyhow::Result<Response> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        Ok(response)
    }
}

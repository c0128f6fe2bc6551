//! Real repositories behind `git http-backend` on loopback, with basic authentication.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use tokio::io::AsyncWriteExt;

pub const TOKEN: &str = "ghs_the-good-token";

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub authorization: Option<String>,
}

/// What the server does with a request instead of answering it.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answers with this status, and this `Location`.
    Answer(StatusCode, Option<String>),
    /// Says nothing.
    Silence,
    /// Answers 200 with this content type and a body without an end.
    Flood(&'static str),
    /// Sends the first half of the right answer, and then nothing more.
    Half,
    /// Runs this program in the repository's folder before the request is passed on.
    Before(String),
}

/// A rule by which the server misbehaves: requests whose method and path match.
type Rule = (Method, String, Fault);

#[derive(Clone)]
pub struct GitServer {
    pub url: String,
    pub root: PathBuf,
    seen: Arc<Mutex<Vec<Seen>>>,
    rules: Arc<Mutex<Vec<Rule>>>,
}

impl GitServer {
    pub async fn start(root: &Path) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = Self { url, root: root.to_owned(), seen: Arc::default(), rules: Arc::default() };
        let app = Router::new().fallback(answer).with_state(server.clone());
        let app = app.layer(axum::extract::DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    pub fn misbehave(&self, method: Method, path_end: &str, fault: Fault) {
        self.rules.lock().expect("the rules").push((method, path_end.to_owned(), fault));
    }

    pub fn behave(&self) {
        self.rules.lock().expect("the rules").clear();
    }

    /// The requests since the last call.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().expect("the list"))
    }
}

async fn answer(
    State(server): State<GitServer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    server.seen.lock().expect("the list").push(Seen {
        method: method.clone(),
        path: uri.path().to_owned(),
        authorization: authorization.map(str::to_owned),
    });
    let rules = server.rules.lock().expect("the rules").clone();
    let mut half = false;
    for (_, _, fault) in
        rules.iter().filter(|(on, end, _)| *on == method && uri.path().ends_with(end.as_str()))
    {
        match fault {
            Fault::Answer(status, location) => {
                let mut response = status.into_response();
                if let Some(location) = location {
                    response.headers_mut().insert(header::LOCATION, location.parse().expect("a header"));
                }
                return response;
            }
            Fault::Silence => std::future::pending::<()>().await,
            Fault::Flood(kind) => {
                let endless =
                    futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b'0'; 65536])));
                return ([(header::CONTENT_TYPE, *kind)], axum::body::Body::from_stream(endless))
                    .into_response();
            }
            Fault::Half => half = true,
            Fault::Before(script) => {
                let status = Command::new("sh").args(["-c", script]).current_dir(&server.root).status();
                assert!(status.expect("sh").success(), "{script} failed");
            }
        }
    }
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{TOKEN}"));
    if authorization != Some(&format!("Basic {expected}")) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"GitHub\"")])
            .into_response();
    }
    let response = backend(&server, method, uri, headers, body).await;
    if !half {
        return response;
    }
    let (parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await.expect("the answer");
    let first = futures::stream::iter([Ok::<_, std::io::Error>(whole.slice(..whole.len() / 2))]);
    let stalled = futures::StreamExt::chain(first, futures::stream::pending());
    Response::from_parts(parts, axum::body::Body::from_stream(stalled))
}

/// Runs `git http-backend` as CGI (RFC 3875).
async fn backend(server: &GitServer, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env!("PATH"))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", &server.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "x-access-token")
        .env("REQUEST_METHOD", method.as_str())
        .env("PATH_INFO", uri.path())
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git http-backend");
    let mut stdin = child.stdin.take().expect("its input");
    let writing = tokio::spawn(async move { stdin.write_all(&body).await });
    let output = child.wait_with_output().await.expect("its output");
    let _ = writing.await;
    let end = output.stdout.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("CGI headers");
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output.stdout[..end]).lines() {
        let (name, value) = line.split_once(": ").expect("a CGI header");
        response = match name {
            "Status" => response.status(&value[..3]),
            _ => response.header(name, value),
        };
    }
    response.body(output.stdout[end + 4..].to_vec().into()).expect("a response")
}

/// Runs git for a test, untouched by the machine's configuration.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.org")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.org")
        .output()
        .expect("git");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

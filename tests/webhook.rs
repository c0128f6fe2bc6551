//! The webhook receiver on a real database: what it lets in, what it answers, and what is stored by then.

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/published.rs"]
mod published;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use axum::{Json, Router};
use hmac::{Hmac, KeyInit, Mac};
use orchestrator::application::Application;
use orchestrator::config::{Config, Environment};
use orchestrator::domain::{Approvals, Rules};
use orchestrator::simulator::model::Scenario;
use orchestrator::simulator::surroundings::{Surroundings, SurroundingsOptions, WEBHOOK_SECRET};
use orchestrator::store::Store;
use orchestrator::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use orchestrator::web::{BODY_CAP, WebState, router};
use reqwest::StatusCode;
use serde_json::Value;
use sha1::Sha1;
use sha2::Sha256;
use sqlx::{Connection, PgConnection, Row};
use tokio_util::sync::CancellationToken;

use crate::postgres::Database;

const BODY: &str = r#"{"zen": "Design for failure."}"#;

/// A receiver that serves, and nothing behind it.
struct Receiver {
    address: SocketAddr,
    url: String,
    http: reqwest::Client,
}

impl Receiver {
    async fn on(url: &str) -> Self {
        let store = Store::connect(url, 8, Rules::new(3, 2, Approvals::Wait, 14)).await.expect("a store");
        let secret = Arc::new(WEBHOOK_SECRET.to_owned().into());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let router = router(WebState { store, webhook_secret: secret });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, url: url.to_owned(), http: reqwest::Client::new() }
    }

    async fn send(&self, headers: &[(&str, &str)], body: &[u8]) -> StatusCode {
        let mut request = self.http.post(format!("http://{}/webhooks/github", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body.to_vec()).send().await.expect("an answer").status()
    }

    /// As GitHub sends.
    async fn deliver(&self, guid: &str, event: &str, body: &[u8]) -> StatusCode {
        let signature = signed(WEBHOOK_SECRET, body);
        let headers = [
            ("x-github-delivery", guid),
            ("x-github-event", event),
            ("x-hub-signature-256", signature.as_str()),
        ];
        self.send(&headers, body).await
    }

    async fn get(&self, path: &str) -> StatusCode {
        let url = format!("http://{}{path}", self.address);
        self.http.get(url).send().await.expect("an answer").status()
    }

    /// How many deliveries and jobs there are.
    async fn stored(&self) -> (i64, i64) {
        let mut connection = PgConnection::connect(&self.url).await.expect("a connection");
        let row = sqlx::query("SELECT (SELECT count(*) FROM deliveries), (SELECT count(*) FROM jobs)")
            .fetch_one(&mut connection)
            .await
            .expect("counts");
        (row.get(0), row.get(1))
    }
}

fn signed(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn signed_sha1(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(body);
    format!("sha1={}", hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_delivery_without_our_signature_is_refused_and_nothing_is_stored() {
    let database = Database::new().await;
    let receiver = Receiver::on(&database.url).await;
    let good = signed(WEBHOOK_SECRET, BODY.as_bytes());
    let sha1 = signed_sha1(WEBHOOK_SECRET, BODY.as_bytes());
    let other_secret = signed("another secret", BODY.as_bytes());
    let no_secret = signed("", BODY.as_bytes());
    let other_body = signed(WEBHOOK_SECRET, b"{}");
    let header = "x-hub-signature-256";
    let table: &[(&str, &[(&str, &str)])] = &[
        ("missing", &[]),
        ("SHA-1 only", &[("x-hub-signature", &sha1)]),
        ("SHA-1 in the place of SHA-256", &[(header, &sha1)]),
        ("another secret", &[(header, &other_secret)]),
        ("the empty secret", &[(header, &no_secret)]),
        ("another body", &[(header, &other_body)]),
        ("empty", &[(header, "")]),
        ("without a digest", &[(header, "sha256=")]),
        ("cut short", &[(header, &good[..good.len() - 2])]),
        ("too long", &[(header, &format!("{good}00"))]),
        ("no hexadecimal digits", &[(header, &good.replace(|c: char| c.is_ascii_digit(), "z"))]),
        ("without its algorithm", &[(header, good.trim_start_matches("sha256="))]),
        ("another first, the right one behind it", &[(header, &other_secret), (header, &good)]),
    ];
    for (what, signature) in table {
        let mut headers = vec![("x-github-delivery", "1"), ("x-github-event", "ping")];
        headers.extend_from_slice(signature);
        assert_eq!(receiver.send(&headers, BODY.as_bytes()).await, StatusCode::UNAUTHORIZED, "{what}");
    }
    assert_eq!(receiver.stored().await, (0, 0));
    assert_eq!(receiver.deliver("1", "ping", BODY.as_bytes()).await, StatusCode::ACCEPTED, "the right one");
    assert_eq!(receiver.stored().await, (1, 1));
}

#[tokio::test]
async fn a_delivery_without_its_id_or_event_is_refused() {
    let database = Database::new().await;
    let receiver = Receiver::on(&database.url).await;
    let signature = signed(WEBHOOK_SECRET, BODY.as_bytes());
    let signature = ("x-hub-signature-256", signature.as_str());
    let long = "x".repeat(101);
    for headers in [
        vec![signature, ("x-github-event", "ping")],
        vec![signature, ("x-github-delivery", "1")],
        vec![signature, ("x-github-delivery", ""), ("x-github-event", "ping")],
        vec![signature, ("x-github-delivery", "a b"), ("x-github-event", "ping")],
        vec![signature, ("x-github-delivery", &long), ("x-github-event", "ping")],
    ] {
        assert_eq!(receiver.send(&headers, BODY.as_bytes()).await, StatusCode::BAD_REQUEST, "{headers:?}");
    }
    assert_eq!(receiver.stored().await, (0, 0));
}

/// The head of a request that announces a large body and sends none of it.
async fn answer_to_a_head(address: SocketAddr, headers: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let head =
        format!("POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-length: 20000000\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await;
    read.map_or_else(|_| "nothing yet".into(), |_| String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn a_body_is_waited_for_only_where_the_headers_are_those_of_a_delivery() {
    let database = Database::new().await;
    let receiver = Receiver::on(&database.url).await;
    let signature = format!("x-hub-signature-256: {}\r\n", signed(WEBHOOK_SECRET, b"another"));
    let names = "x-github-delivery: 1\r\nx-github-event: ping\r\n";
    assert_eq!(answer_to_a_head(receiver.address, names).await, "HTTP/1.1 401");
    let forged = format!("{names}x-hub-signature-256: sha256=00\r\n");
    assert_eq!(answer_to_a_head(receiver.address, &forged).await, "HTTP/1.1 401");
    assert_eq!(answer_to_a_head(receiver.address, &signature).await, "HTTP/1.1 400");
    let good = format!("{names}{signature}");
    assert_eq!(answer_to_a_head(receiver.address, &good).await, "nothing yet", "its body is waited for");
}

#[tokio::test]
async fn a_body_over_25_megabytes_is_refused_and_nothing_is_stored() {
    let database = Database::new().await;
    let receiver = Receiver::on(&database.url).await;
    let body = |length: usize| {
        let mut body = br#"{"a":""#.to_vec();
        body.resize(length - 2, b'x');
        body.extend_from_slice(br#""}"#);
        body
    };
    let status = receiver.deliver("large", "push", &body(BODY_CAP + 1)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(receiver.stored().await, (0, 0));
    assert_eq!(receiver.deliver("just-right", "push", &body(BODY_CAP)).await, StatusCode::ACCEPTED);
    assert_eq!(receiver.stored().await, (1, 1));

    // The weak variant reads first and asks later: whoever sends it, all of it is in memory, and parsed.
    let careless = Router::new()
        .route(
            "/",
            post(|Json(json): Json<Value>| async move { json["a"].as_str().map_or(0, str::len).to_string() }),
        )
        .layer(DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, careless).await });
    let request = reqwest::Client::new().post(address).header("content-type", "application/json");
    let answer = request.body(body(2 * BODY_CAP)).send().await.expect("an answer").text().await;
    assert!(answer.expect("text").parse::<usize>().expect("a number") > BODY_CAP);
}

#[tokio::test]
async fn malformed_json_under_a_good_signature_is_kept_marked_and_shown() {
    let database = Database::new().await;
    let receiver = Receiver::on(&database.url).await;
    let deep = [b"{\"a\":".as_slice(), &vec![b'['; 1_000_000]].concat();
    let cases: [(&str, &[u8]); 6] = [
        ("no-body", b""),
        ("half", br#"{"action": "labe"#),
        ("a-list", b"[]"),
        ("not-utf-8", b"{\"a\": \"\xff\"}"),
        ("with-a-nul", b"\0"),
        ("deep", &deep),
    ];
    for (guid, body) in cases {
        assert_eq!(receiver.deliver(guid, "issues", body).await, StatusCode::ACCEPTED, "{guid}");
        assert_eq!(receiver.deliver(guid, "issues", body).await, StatusCode::ACCEPTED, "{guid} again");
    }
    assert_eq!(receiver.stored().await, (6, 0), "kept, and nothing to do about them");
    let store = Store::connect(&database.url, 1, Rules::new(3, 2, Approvals::Wait, 14)).await;
    let listed = store.expect("a store").malformed_deliveries(10).await.expect("a list");
    let mut guids: Vec<&str> = listed.iter().map(|(guid, _)| guid.as_str()).collect();
    guids.sort_unstable();
    assert_eq!(guids, ["a-list", "deep", "half", "no-body", "not-utf-8", "with-a-nul"]);
    assert!(listed.iter().all(|(_, why)| !why.is_empty()), "each with what is wrong: {listed:?}");
    let mut connection = database.connect().await;
    let kept: Vec<u8> = sqlx::query_scalar("SELECT payload FROM deliveries WHERE guid = 'not-utf-8'")
        .fetch_one(&mut connection)
        .await
        .expect("a payload");
    assert_eq!(kept, cases[3].1, "byte for byte");
}

#[tokio::test]
async fn a_delivery_is_acknowledged_only_once_it_is_committed() {
    let database = Database::new().await;
    let receiver = Receiver::on(&database.url).await;
    let mut connection = database.connect().await;
    let mut holder = connection.begin().await.expect("a transaction");
    // The delivery's row can be written and its job's cannot: not half of it counts.
    sqlx::query("LOCK TABLE jobs IN EXCLUSIVE MODE").execute(&mut *holder).await.expect("a lock");
    let answer = receiver.deliver("held", "ping", BODY.as_bytes());
    tokio::pin!(answer);
    let early = tokio::time::timeout(Duration::from_millis(800), &mut answer).await;
    assert!(early.is_err(), "answered {early:?} before it was committed");
    assert_eq!(receiver.stored().await, (0, 0));
    holder.rollback().await.expect("released");
    assert_eq!(answer.await, StatusCode::ACCEPTED);
    assert_eq!(receiver.stored().await, (1, 1));
}

#[tokio::test]
async fn while_the_database_is_away_deliveries_are_refused_and_later_taken() {
    let folder = tempfile::Builder::new().prefix("pg").tempdir().expect("a folder");
    let start = || EmbeddedPostgres::start(folder.path(), EmbeddedOptions::throwaway());
    let postgres = start().await.expect("PostgreSQL");
    let receiver = Receiver::on(postgres.url()).await;
    assert_eq!(receiver.get("/readyz").await, StatusCode::OK);
    postgres.shutdown().await.expect("stopped");
    let begun = Instant::now();
    assert_eq!(receiver.deliver("1", "ping", BODY.as_bytes()).await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(begun.elapsed() < Duration::from_secs(9), "GitHub waits 10 s for an answer");
    assert_eq!(receiver.get("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(receiver.get("/healthz").await, StatusCode::OK);
    let forged =
        [("x-hub-signature-256", "sha256=00"), ("x-github-delivery", "1"), ("x-github-event", "ping")];
    assert_eq!(receiver.send(&forged, BODY.as_bytes()).await, StatusCode::UNAUTHORIZED);

    let postgres = start().await.expect("PostgreSQL again");
    assert_eq!(receiver.get("/readyz").await, StatusCode::OK);
    assert_eq!(receiver.deliver("1", "ping", BODY.as_bytes()).await, StatusCode::ACCEPTED);
    assert_eq!(receiver.stored().await, (1, 1));
    postgres.shutdown().await.expect("stopped");
}

/// Every payload that GitHub's own examples have: event, and the body.
fn examples() -> Vec<(String, serde_json::Value)> {
    let path = published::folder().join("node_modules/@octokit/webhooks-examples/api.github.com/index.json");
    let text = std::fs::read_to_string(path).expect("GitHub's examples are installed: run scripts/contract");
    let events: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut examples = Vec::new();
    for event in events.as_array().expect("a list of events") {
        let name = event["name"].as_str().expect("a name");
        for example in event["examples"].as_array().expect("examples") {
            examples.push((name.to_owned(), example.clone()));
        }
    }
    examples
}

/// The label that most examples speak of: as ours, it leads them deeper in.
const SETTINGS: &str = r#"
label: bug
models: { default: [{ model: "anthropic:claude-sonnet-4-5" }] }
polling: { reactions_seconds: 1 }
mail: { digest: off }
"#;

async fn every_delivery_ends(connection: &mut PgConnection) {
    let begun = Instant::now();
    let open = loop {
        let open: Vec<(String, String, Option<String>)> = sqlx::query_as(
            "SELECT d.guid, d.event, j.last_error FROM deliveries d
             LEFT JOIN jobs j ON j.key = 'ingest/' || d.guid
             WHERE d.status NOT IN ('handled', 'ignored', 'malformed')",
        )
        .fetch_all(&mut *connection)
        .await
        .expect("the open ones");
        if open.is_empty() || begun.elapsed() > Duration::from_secs(300) {
            break open;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(open, [], "each delivery comes to an end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_payload_of_github_is_taken_and_dealt_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = Scenario::embedded("demo").expect("a scenario");
    let around = Surroundings::start(SurroundingsOptions::new(folder.path(), scenario)).await;
    let around = around.expect("the surroundings");
    let database = Database::new().await;
    let mut pairs = around.environment();
    pairs.push(("DATABASE_URL".into(), database.url.clone()));
    pairs.push(("ORCHESTRATOR_DATA_DIR".into(), folder.path().join("data").display().to_string()));
    pairs.push(("ORCHESTRATOR_LISTEN".into(), "127.0.0.1:0".into()));
    let environment: Environment = pairs.into_iter().collect();
    let config = Config::from_text(Path::new("webhook.yaml"), SETTINGS, &environment).expect("settings");
    let program = Path::new(env!("CARGO_BIN_EXE_orchestrator"));
    let application = Application::build_with(&config, program).await.expect("a deployment");
    let address = application.address().expect("an address");
    let stop = CancellationToken::new();
    let running = tokio::spawn(application.run(stop.clone()));
    let receiver = Receiver { address, url: database.url.clone(), http: reqwest::Client::new() };

    let examples = examples();
    assert_eq!(examples.len(), 329);
    for (index, (event, body)) in examples.iter().enumerate() {
        let plain = body.to_string();
        let status = receiver.deliver(&format!("plain-{index}"), event, plain.as_bytes()).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{event}: {plain}");
    }
    let mut connection = database.connect().await;
    every_delivery_ends(&mut connection).await;
    // Most examples are older than Apps; as they would come to one they go further in. Those of issues do
    // so again once their issues have tasks, although GitHub knows nothing of them.
    let installed = |body: &serde_json::Value| {
        let mut body = body.clone();
        if body.is_object() && body["installation"].is_null() {
            body["installation"] = serde_json::json!({ "id": 1, "node_id": "x" });
        }
        body.to_string()
    };
    for pass in ["first", "second"] {
        for (index, (event, body)) in examples.iter().enumerate() {
            if pass == "second" && !event.starts_with("issue") {
                continue;
            }
            let status =
                receiver.deliver(&format!("{pass}-{index}"), event, installed(body).as_bytes()).await;
            assert_eq!(status, StatusCode::ACCEPTED, "{event}: {body}");
        }
        every_delivery_ends(&mut connection).await;
    }
    let refused: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT key, last_error FROM jobs WHERE kind = 'ingest' AND state = 'refused'")
            .fetch_all(&mut connection)
            .await
            .expect("the refused jobs");
    assert_eq!(refused, []);
    let ends: Vec<(String, i64)> =
        sqlx::query_as("SELECT status, count(*) FROM deliveries GROUP BY status ORDER BY status")
            .fetch_all(&mut connection)
            .await
            .expect("the ends");
    let of = |status: &str| ends.iter().find(|(name, _)| name == status).map_or(0, |(_, count)| *count);
    assert!(of("handled") > 0 && of("ignored") > 300, "{ends:?}");
    stop.cancel();
    running.await.expect("no panic").expect("a good end");
}

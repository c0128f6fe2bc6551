//! The mailer against a mail server that others wrote (aiosmtpd), with STARTTLS, TLS and AUTH.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use chrono::{TimeZone, Utc};
use orchestrator::config::{Config, Environment};
use orchestrator::mail::{MailError, Mailer, Message, message_id};

const USER: &str = "bot%40example.org";
/// `p@ss:wörd/+%`: everything that a URL has to encode.
const PASSWORD: &str = "p%40ss%3Aw%C3%B6rd%2F+%25";

struct Peer {
    child: Child,
    output: BufReader<ChildStdout>,
    port: u16,
    folder: tempfile::TempDir,
}

impl Peer {
    fn start(mode: &str) -> Self {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/venv/bin/python");
        assert!(python.exists(), "{} is missing: run `scripts/bootstrap --test`", python.display());
        let folder = tempfile::tempdir().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let key = rcgen::generate_simple_self_signed(names).unwrap();
        let (certificate, secret) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, key.cert.pem()).unwrap();
        std::fs::write(&secret, key.signing_key.serialize_pem()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp/peer.py");
        // Two addresses need one port, so it cannot be left to the system for each of them. Somebody else may
        // be faster.
        for _ in 0..5 {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = Command::new(&python);
            command.arg(&script).arg(&certificate).arg(&secret).arg(mode).arg(free.to_string());
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut output = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            if let Ok(port) = line.trim().parse() {
                return Self { child, output, port, folder };
            }
            child.wait().unwrap();
        }
        panic!("the peer does not say its port; is aiosmtpd installed?");
    }

    fn url(&self, scheme: &str, credentials: &str, parameters: &str) -> String {
        let ca = self.folder.path().join("certificate.pem");
        let at = if credentials.is_empty() { "" } else { "@" };
        let url = format!("{scheme}://{credentials}{at}localhost:{}?tls_ca={}", self.port, ca.display());
        format!("{url}{parameters}")
    }

    fn received(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn mailer(url: &str) -> Mailer {
    let env: Environment =
        [("HOME", "/"), ("SMTP_URL", url), ("MAIL_FROM", "bot@example.org")].into_iter().collect();
    Mailer::from_config(&Config::load(None, &env).unwrap().mail).unwrap().unwrap()
}

fn message() -> Message {
    Message {
        message_id: message_id("task-1/plan", "example.org"),
        from: "Orchestrator <bot@example.org>".parse().unwrap(),
        to: vec!["Zoë <ada@example.org>".parse().unwrap()],
        subject: "Grüße — a plan waits".to_owned(),
        text: format!(".a dot\n{}\n", "long ünïcode ".repeat(100)),
        html: "<p>hello</p>".to_owned(),
        in_reply_to: None,
        references: Vec::new(),
        date: Utc.with_ymd_and_hms(2026, 11, 21, 0, 0, 0).unwrap(),
        headers: Vec::new(),
    }
}

#[tokio::test]
async fn a_mail_goes_through_starttls_and_auth() {
    let mut peer = Peer::start("starttls");
    let url = peer.url("smtp", &format!("{USER}:{PASSWORD}"), "&tls=required");
    mailer(&url).send(&message()).await.unwrap();
    let received = peer.received();
    assert_eq!(received["encrypted"], true);
    assert_eq!(received["signed_in_as"], "bot@example.org");
    assert_eq!(received["to"], serde_json::json!(["ada@example.org"]));
    let content = received["content"].as_str().unwrap().replace("\r\n", "\n");
    let sent = String::from_utf8(message().formatted().unwrap()).unwrap().replace("\r\n", "\n");
    assert_eq!(content.trim_end(), sent.trim_end());
}

#[tokio::test]
async fn a_mail_goes_through_tls_from_the_start() {
    let mut peer = Peer::start("tls");
    mailer(&peer.url("smtps", &format!("{USER}:{PASSWORD}"), "")).send(&message()).await.unwrap();
    assert_eq!(peer.received()["signed_in_as"], "bot@example.org");
}

#[tokio::test]
async fn a_wrong_password_is_for_the_operator_to_mend_and_loses_no_mail() {
    let peer = Peer::start("starttls");
    let mailer = mailer(&peer.url("smtp", &format!("{USER}:canary-wrong"), "&tls=required"));
    for result in [mailer.send(&message()).await.map(drop), mailer.check().await] {
        let error = result.unwrap_err();
        assert!(matches!(&error, MailError::Transient(text) if text.contains("535")), "{error:?}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_gets_no_password() {
    let peer = Peer::start("plain");
    let mailer = mailer(&peer.url("smtp", &format!("{USER}:{PASSWORD}"), "&tls=required"));
    let error = mailer.send(&message()).await.unwrap_err();
    assert!(matches!(&error, MailError::Transient(text) if text.contains("STARTTLS")), "{error:?}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let peer = Peer::start("starttls");
    let url = format!("smtp://{USER}:{PASSWORD}@localhost:{}?tls=required", peer.port);
    let error = mailer(&url).send(&message()).await.unwrap_err();
    assert!(matches!(&error, MailError::Transient(text) if text.contains("certificate")), "{error:?}");
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let peer = Peer::start("starttls");
    // The certificate names `localhost` and 127.0.0.1 only.
    let url =
        peer.url("smtp", &format!("{USER}:{PASSWORD}"), "&tls=required").replace("localhost", "127.0.0.2");
    let error = mailer(&url).send(&message()).await.unwrap_err();
    assert!(matches!(&error, MailError::Transient(text) if text.contains("certificate")), "{error:?}");
}

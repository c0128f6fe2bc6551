//! The only way out of a sandbox: what is listed works, and nothing else does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use orchestrator::sandbox::{
    Bubblewrap, BubblewrapOptions, Command, EgressVerdict, Exit, HostName, Limits, Network, Outcome, Sandbox,
    Session,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

mod sandbox_support;
use sandbox_support::*;

/// A server on the host that answers every connection with one line.
async fn server() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut buffer = [0; 1024];
            let _ = client.read(&mut buffer).await;
            let _ = client.write_all(b"reached the host\n").await;
        }
    });
    port
}

/// Sends lines to a place and prints what comes back.
const TALK: &str = r#"
import socket, sys
host, port, first, second = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
try:
    s = socket.create_connection((host, port), 25)
    s.sendall(first.encode().decode("unicode_escape").encode())
    print(s.recv(4096).decode().splitlines()[0])
    if second:
        s.sendall(second.encode())
        print(s.recv(4096).decode().strip())
except OSError as e:
    print("failed:", e)
"#;

fn talk(to: (&str, u16), first: &str, second: &str, hosts: &[&str]) -> Command {
    let port = to.1.to_string();
    let mut command = Command::new(["/usr/bin/python3", "talk.py", to.0, &port, first, second]);
    command.limits = Limits { wall: Duration::from_secs(120), ..Limits::default() };
    command.network = Network::AllowList(hosts.iter().map(|h| HostName::parse(h).expect("a host")).collect());
    command
}

async fn run(session: &dyn Session, command: &Command) -> (String, Outcome) {
    let outcome = session.run(command).await.expect("ran");
    assert_eq!(outcome.exit, Exit::Code(0), "{}", outcome.stderr.text());
    (outcome.stdout.text(), outcome)
}

fn connect(target: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\\r\\nHost: {target}\\r\\n\\r\\n")
}

const FORWARDER: (&str, u16) = ("127.0.0.1", 3128);

#[tokio::test]
async fn a_listed_host_is_reached_and_the_request_is_recorded() {
    let (place, port) = (Place::new(), server().await);
    let session = place.open(&[("talk.py", TALK)]).await;
    let host = format!("localhost:{port}");
    let (text, outcome) = run(&*session, &talk(FORWARDER, &connect(&host), "hello", &[&host])).await;
    assert_eq!(text, "HTTP/1.1 200 Connection established\nreached the host\n");
    assert_eq!(outcome.egress.len(), 1);
    assert_eq!(outcome.egress[0].target, host);
    assert_eq!(outcome.egress[0].verdict, EgressVerdict::Allowed { sent: 5, received: 17 });
}

#[tokio::test]
async fn every_way_around_the_list_is_refused() {
    let (place, port) = (Place::new(), server().await);
    let session = place.open(&[("talk.py", TALK)]).await;
    let host = format!("localhost:{port}");
    let address = format!("127.0.0.1:{port}");
    // The name resolves to this machine, which only an explicit port allows.
    let private = "localhost:443";
    let get = format!("GET http://{host}/ HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n");
    let cases: [(String, &[&str], &str); 6] = [
        (connect(&address), &[&host], "addresses are not allowed, only listed names"),
        (connect(&format!("[::1]:{port}")), &[&host], "addresses are not allowed, only listed names"),
        (connect("other.example:443"), &[&host], "the host is not on the list"),
        (connect(&format!("localhost:{}", port - 1)), &[&host], "the host is not on the list"),
        (get, &[&host], "only CONNECT to port 443 of a listed host is allowed"),
        (connect(private), &["localhost"], "the name leads to a private address"),
    ];
    for (request, hosts, reason) in cases {
        let (text, outcome) = run(&*session, &talk(FORWARDER, &request, "", hosts)).await;
        assert_eq!(text, "HTTP/1.1 403 Forbidden\n", "{request}");
        let verdicts: Vec<_> = outcome.egress.into_iter().map(|record| record.verdict).collect();
        assert_eq!(verdicts, [EgressVerdict::Refused { reason: reason.into() }], "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_proxy_there_is_nothing() {
    let (place, port) = (Place::new(), server().await);
    let session = place.open(&[("talk.py", TALK)]).await;
    let host = format!("localhost:{port}");
    // Straight to the host's port, to the address of cloud metadata, and by name.
    for (to, port) in [("127.0.0.1", port), ("169.254.169.254", 80), ("localhost.example", 80)] {
        let (text, outcome) = run(&*session, &talk((to, port), "hello", "", &[&host])).await;
        assert!(text.starts_with("failed: "), "{to}: {text}");
        assert_eq!(outcome.egress, []);
    }
    let weak = weak_bwrap(
        &["--unshare-all", "--share-net"],
        &format!("/usr/bin/python3 -c '{TALK}' 127.0.0.1 {port} hello ''"),
    );
    assert_eq!(weak, "reached the host\n", "the weak variant does not reach the host");
    // A command without a list has no proxy either.
    let mut command = talk(FORWARDER, &connect(&host), "", &[]);
    command.network = Network::None;
    assert!(run(&*session, &command).await.0.starts_with("failed: "));
}

#[tokio::test]
async fn the_forwarder_ends_as_its_command_ends() {
    let place = Place::new();
    let session = place.open(&[]).await;
    for (argv, exit) in [
        (vec!["sh", "-c", "exit 9"], Exit::Code(9)),
        (vec!["sh", "-c", "kill -TERM $$"], Exit::Signal(15)),
        (vec!["no-such-program"], Exit::Code(127)),
    ] {
        let mut command = Command::new(argv);
        command.network = Network::AllowList(vec![]);
        assert_eq!(session.run(&command).await.expect("ran").exit, exit);
    }
}

/// All of the above, as a user who is not root.
#[test]
fn everything_holds_for_an_ordinary_user_too() {
    again_as_an_ordinary_user(&[]);
}

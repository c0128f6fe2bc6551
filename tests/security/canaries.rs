//! Values that stand where secrets stand, and the search for them in whatever came out.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What an attacker greps for.
pub const PATTERN: &str = "cnry[0-9a-f]{32}";

/// Variables that hold secrets on machines where such a program runs.
const VARIABLES: [&str; 14] = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "CARGO_REGISTRY_TOKEN",
    "DOCKER_PASSWORD",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS_JSON",
    "KUBE_TOKEN",
    "NPM_TOKEN",
    "PGPASSWORD",
    "SENTRY_AUTH_TOKEN",
    "SSH_PRIVATE_KEY",
    "VAULT_TOKEN",
];
/// Files of a home folder that hold secrets.
const HOME_FILES: [&str; 14] = [
    ".aws/credentials",
    ".bash_history",
    ".cargo/credentials.toml",
    ".config/gh/hosts.yml",
    ".config/gcloud/credentials.db",
    ".docker/config.json",
    ".gitconfig",
    ".git-credentials",
    ".gnupg/private-keys-v1.d/key",
    ".kube/config",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".ssh/id_ed25519",
];
/// Files of the deployment.
const OWN_FILES: [&str; 6] = [
    ".env",
    "app.pem",
    "data/logs/serve.log",
    "data/artifacts/another-task.json",
    "data/mirrors/99.git/config",
    "data/cache/another-repository/secret",
];

pub struct Canary {
    pub place: String,
    pub value: String,
}

pub struct Canaries {
    pub all: Vec<Canary>,
    pub home: PathBuf,
    root: PathBuf,
    tcp_port: u16,
    abstract_name: String,
    /// Somebody connected to one of our sockets.
    pub visits: Arc<AtomicUsize>,
    stray: Vec<PathBuf>,
    child: Child,
}

impl Canaries {
    /// Plants everything that needs no database. `root` is a folder that everybody may enter.
    pub fn plant(root: &Path) -> Self {
        let mut all = Vec::new();
        let mut new = |place: &str| {
            let value = format!("cnry{}", orchestrator::telemetry::clock::new_id().simple());
            all.push(Canary { place: place.to_owned(), value: value.clone() });
            value
        };
        let home = root.join("home");
        let write = |path: PathBuf, value: String| {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(&path, format!("secret = {value}\n")).expect("a file");
            let everybody = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(&path, everybody).expect("a mode");
            path
        };
        for name in VARIABLES {
            new(&format!("variable {name}"));
        }
        for name in HOME_FILES {
            write(home.join(name), new(&format!("home {name}")));
        }
        for name in OWN_FILES {
            write(root.join(name), new(&format!("deployment {name}")));
        }
        let mut stray = Vec::new();
        for folder in ["/tmp", "/dev/shm", "/var/tmp"] {
            let value = new(&format!("file below {folder}"));
            stray.push(write(Path::new(folder).join(format!("cnry-{}", &value[4..])), value));
        }
        // A shell that waits keeps its arguments; one that becomes the command would not.
        let child = Command::new("sh")
            .args(["-c", "read line", &new("a process's arguments")])
            .env("CHILD_SECRET", new("a process's environment"))
            .stdin(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut canaries = Self {
            all,
            home,
            root: root.to_owned(),
            tcp_port: 0,
            abstract_name: format!("orchestrator-{}", orchestrator::telemetry::clock::new_id()),
            visits: Arc::default(),
            stray,
            child,
        };
        canaries.open_sockets();
        canaries
    }

    fn add(&mut self, place: &str) -> String {
        let value = format!("cnry{}", orchestrator::telemetry::clock::new_id().simple());
        self.all.push(Canary { place: place.to_owned(), value: value.clone() });
        value
    }

    /// Sockets that tell a canary to whoever connects.
    fn open_sockets(&mut self) {
        let told = self.add("a TCP socket");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        self.tcp_port = tcp.local_addr().expect("an address").port();
        let visits = Arc::clone(&self.visits);
        std::thread::spawn(move || {
            tcp.incoming().flatten().for_each(|mut stream| {
                visits.fetch_add(1, Ordering::Relaxed);
                let _ = stream.write_all(told.as_bytes());
            });
        });
        let path = self.root.join("canary.sock");
        let named = UnixListener::bind(&path).expect("a socket");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("a mode");
        let hidden = SocketAddr::from_abstract_name(&self.abstract_name).expect("a name");
        let hidden = UnixListener::bind_addr(&hidden).expect("a socket");
        for (listener, place) in [(named, "a Unix socket"), (hidden, "an abstract Unix socket")] {
            let (told, visits) = (self.add(place), Arc::clone(&self.visits));
            std::thread::spawn(move || {
                listener.incoming().flatten().for_each(|mut stream| {
                    visits.fetch_add(1, Ordering::Relaxed);
                    let _ = stream.write_all(told.as_bytes());
                });
            });
        }
    }

    /// One row that no task has to do with.
    pub async fn plant_in(&mut self, connection: &mut sqlx::PgConnection) {
        let value = self.add("the database");
        for statement in ["CREATE TABLE canaries (value text)", "INSERT INTO canaries VALUES ($1)"] {
            let query = sqlx::query(statement);
            let query = if statement.contains("$1") { query.bind(value.clone()) } else { query };
            query.execute(&mut *connection).await.expect("planted");
        }
    }

    /// What the deployment's environment holds besides its configuration.
    pub fn environment(&self) -> Vec<(String, String)> {
        let named = self.all.iter().filter_map(|canary| {
            Some((canary.place.strip_prefix("variable ")?.to_owned(), canary.value.clone()))
        });
        let home = ("HOME".to_owned(), self.home.display().to_string());
        named.chain([home]).collect()
    }

    /// A shell script that looks everywhere, knowing this machine well, and prints what it finds.
    pub fn attack(&self) -> String {
        let (root, port, name) = (self.root.display(), self.tcp_port, &self.abstract_name);
        format!(
            r#"look() {{ grep -aohE -D skip "{PATTERN}" "$@" 2>/dev/null; }}
{{ env | look -
look -r "$HOME" "{root}" "/proc/1/root{root}" /dev/shm /var/tmp /run/orchestrator
look /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/task/[0-9]*/environ
look /tmp/cnry-* /proc/1/root/tmp/cnry-*
/usr/bin/python3 -c 'import socket
for family, address in ((socket.AF_INET, ("127.0.0.1", {port})), (socket.AF_UNIX, "{root}/canary.sock"), (socket.AF_UNIX, "\0{name}")):
    try:
        s = socket.socket(family, socket.SOCK_STREAM)
        s.settimeout(30)
        s.connect(address)
        print(s.recv(100).decode())
    except OSError as error:
        print(error)' 2>/dev/null | look -
tries=1; [ -n "$DATABASE_URL" ] && tries="1 2 3"
for try in $tries; do psql "$DATABASE_URL" -Atc "table canaries" 2>&1 && break; [ "$tries" = 1 ] || sleep 1; done | look -
}} | sort -u > "${{TMPDIR:-/tmp}}/loot.$$"
cat "${{TMPDIR:-/tmp}}/loot.$$"; base64 "${{TMPDIR:-/tmp}}/loot.$$"; rev "${{TMPDIR:-/tmp}}/loot.$$"
od -An -tx1 "${{TMPDIR:-/tmp}}/loot.$$" | tr -d ' \n'; rm -f "${{TMPDIR:-/tmp}}/loot.$$"
echo; echo the attack ends"#
        )
    }

    /// The places whose canary is in the text, in whatever spelling.
    pub fn found_in(&self, text: &[u8]) -> BTreeSet<String> {
        let text = String::from_utf8_lossy(text);
        let found = self.all.iter().filter(|canary| holds(&text, &canary.value));
        found.map(|canary| canary.place.clone()).collect()
    }
}

impl Drop for Canaries {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for file in &self.stray {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Whether the secret stands in the text: as it is, backwards, in hex, in base64 at every alignment or in
/// percent escapes; in one piece or over several lines, also those of a mail.
pub fn holds(text: &str, secret: &str) -> bool {
    let joined: String = text.replace("=\r\n", "").replace("=\n", "");
    let squeezed: String = joined.chars().filter(|c| !c.is_whitespace()).collect();
    let lower = squeezed.to_ascii_lowercase();
    let hex = hex::encode(secret);
    let escaped: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let reversed: String = secret.chars().rev().collect();
    let mut spellings = vec![secret.to_owned(), reversed];
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for shift in 0..3_usize {
            let shifted = [&vec![b'x'; shift][..], secret.as_bytes()].concat();
            let encoded = engine.encode(&shifted);
            // The first and last letters depend on what stands around the secret.
            spellings.push(encoded[(shift * 8).div_ceil(6)..shifted.len() * 8 / 6].to_owned());
        }
    }
    spellings.iter().any(|spelling| squeezed.contains(spelling))
        || lower.contains(&hex)
        || lower.contains(&escaped)
}

#[test]
fn the_search_finds_every_spelling() {
    let secret = "cnry0123456789abcdef0123456789abcdef";
    for prefix in ["", "a", "ab", "abc"] {
        let whole = format!("{prefix}{secret}z");
        let wrapped: Vec<String> = STANDARD_NO_PAD
            .encode(&whole)
            .as_bytes()
            .chunks(20)
            .map(|c| String::from_utf8_lossy(c).into())
            .collect();
        for text in [
            whole.clone(),
            whole.chars().rev().collect(),
            hex::encode_upper(&whole),
            STANDARD_NO_PAD.encode(&whole),
            wrapped.join("\r\n"),
            format!("{}=\r\n{}", &whole[..20], &whole[20..]),
        ] {
            assert!(holds(&format!("x {text} y"), secret), "{text}");
        }
    }
    assert!(!holds("cnry0123456789abcdef0123456789abcde and more", secret));
}

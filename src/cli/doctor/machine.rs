//! What this machine has to have: a configuration, a folder, a database, a sandbox, a port.

use std::io::Write;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use secrecy::ExposeSecret;

use crate::application::{self, Source, rules};
use crate::config::{Config, SandboxBackend};
use crate::sandbox::{Backend, Command, Finding};
use crate::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use crate::store::{DatabaseLook, Schema, Store, StoreError, look};
use crate::workspace::Snapshot;

use super::check::Checks;

/// Free space below which the next task may not fit: a tree with its build takes gigabytes.
const TIGHT_BYTES: u64 = 5 << 30;
const FULL_BYTES: u64 = 512 << 20;

pub(super) fn configuration(config: &Config, file: Option<&Path>) -> Checks {
    let mut checks = Checks::of("configuration");
    match file {
        Some(file) => checks.ok(format!("{} is right", file.display())),
        None => checks.ok("there is no orchestrator.yaml here: defaults and the environment apply"),
    }
    for notice in &config.notices {
        checks.weak(notice, "change it, or leave it if you mean it so");
    }
    if config.dry_run {
        checks.weak(
            "DRY_RUN is on: models are simulated, nothing is written to GitHub and no mail is sent",
            "set DRY_RUN=false to work for real",
        );
    }
    checks
}

pub(super) fn data_folder(config: &Config) -> Checks {
    let mut checks = Checks::of("data folder");
    let folder = &config.data_dir;
    let shown = folder.display();
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(b"doctor")?;
        file.as_file().sync_all()
    });
    if let Err(error) = written {
        let mend = "give this user the folder, or name another one in ORCHESTRATOR_DATA_DIR";
        checks.broken(format!("{shown} cannot be written to: {error}"), mend);
        return checks;
    }
    checks.ok(format!("{shown} can be written to"));
    let free = statvfs(folder.as_path()).map(|s| s.blocks_available() * s.fragment_size());
    let mend = "free some, or name a folder on another disk in ORCHESTRATOR_DATA_DIR";
    match free {
        Err(error) => checks.weak(format!("how much space is left in {shown} is not known: {error}"), mend),
        Ok(free) if free < FULL_BYTES => checks.broken(format!("{} left in {shown}", gigabytes(free)), mend),
        Ok(free) if free < TIGHT_BYTES => checks.weak(format!("{} left in {shown}", gigabytes(free)), mend),
        Ok(free) => checks.ok(format!("{} left in {shown}", gigabytes(free))),
    }
    checks
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// The database, and a store in it where its schema may be used. A private server is started for the look
/// and held until the answer is printed.
pub(super) struct Database {
    pub store: Option<Store>,
    pub embedded: Option<EmbeddedPostgres>,
}

pub(super) async fn database(config: &Config) -> (Checks, Database) {
    let mut checks = Checks::of("database");
    let mut database = Database { store: None, embedded: None };
    let (url, mend) = match &config.database.url {
        Some(url) => (url.expose_secret().to_owned(), "check DATABASE_URL, and that the server runs"),
        None => match EmbeddedPostgres::start(&config.data_dir, EmbeddedOptions::default()).await {
            Ok(embedded) => {
                let url = embedded.url().to_owned();
                database.embedded = Some(embedded);
                (url, "look into postgres/server.log in the data folder")
            }
            Err(error) => {
                checks.broken(
                    format!("the private PostgreSQL does not start: {error}"),
                    "do what it says, or name a server in DATABASE_URL",
                );
                return (checks, database);
            }
        },
    };
    let found = match look(&url).await {
        Ok(found) => found,
        Err(error) => {
            checks.broken(error.to_string(), mend);
            return (checks, database);
        }
    };
    let place =
        if database.embedded.is_some() { "a private server in the data folder" } else { "DATABASE_URL" };
    checks.ok(format!("PostgreSQL {} answers ({place})", found.server));
    schema(&mut checks, &found);
    if found.schema == Schema::Current {
        match Store::connect(&url, 2, rules(config, Source::GitHub)).await {
            Ok(store) => {
                stuck(&mut checks, &store).await;
                database.store = Some(store);
            }
            Err(error) => checks.broken(error.to_string(), mend),
        }
    }
    (checks, database)
}

fn schema(checks: &mut Checks, found: &DatabaseLook) {
    match found.schema {
        Schema::Current => checks.ok("the schema is up to date"),
        Schema::Empty => checks.ok("the schema is made at the first start"),
        Schema::Behind(count) => {
            checks.ok(format!("the schema is brought up to date at the next start ({count} steps)"))
        }
        Schema::Newer => checks.broken(
            "the schema was made by a later version of this program",
            "run that version; there is no way back",
        ),
        Schema::Torn => checks.broken(
            "a change of the schema stopped half-way",
            "restore a backup from before it, or finish it by hand: the table _sqlx_migrations says which",
        ),
    }
}

/// What waits for an operator.
async fn stuck(checks: &mut Checks, store: &Store) {
    const MOST: i64 = 3;
    let waiting = async {
        Ok::<_, StoreError>((store.stuck_jobs(MOST).await?, store.malformed_deliveries(MOST).await?))
    };
    let (jobs, deliveries) = match waiting.await {
        Ok(found) => found,
        Err(error) => {
            let mend = "look at the database's log; what waits for an operator is not known";
            return checks.broken(format!("the jobs and deliveries cannot be read: {error}"), mend);
        }
    };
    for job in jobs {
        checks.weak(
            format!(
                "since {} the job {} cannot be done: {}",
                job.at.format("%Y-%m-%d %H:%M"),
                job.key,
                job.error
            ),
            "mend the cause; `retry` on the issue starts its task's stage again",
        );
    }
    for (guid, note) in deliveries {
        checks.weak(
            format!("the webhook delivery {guid} could not be read: {note}"),
            "look at it in the App's settings under Advanced, where it can be sent again",
        );
    }
}

pub(super) async fn sandbox(config: &Config) -> Checks {
    let mut checks = Checks::of("sandbox");
    let sandbox = match application::sandbox(config).await {
        Ok(sandbox) => sandbox,
        Err(error) => {
            let mend = match config.sandbox.backend {
                SandboxBackend::Bubblewrap => {
                    "install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap); without a sandbox no task \
                     is worked on"
                }
                SandboxBackend::Container => {
                    "start the engine and see sandbox.container in docs/operations.md; without a sandbox no task \
                     is worked on"
                }
                SandboxBackend::Kubernetes => {
                    "see sandbox.kubernetes in docs/operations.md; without a sandbox no task is worked on"
                }
            };
            checks.broken(format!("{error:#}"), mend);
            return checks;
        }
    };
    let report = sandbox.probe().await;
    if let Some(time) = report.start_time {
        checks.ok(format!("a command ran in a sandbox in {} ms", time.as_millis()));
    }
    for finding in report.findings {
        match finding {
            Finding::Good { what } => checks.ok(what),
            Finding::Weaker { what, mend } => checks.weak(what, mend),
            Finding::Broken { what, mend } => checks.broken(what, mend),
        }
    }
    if report.works {
        tools(&mut checks, &*sandbox, config.sandbox.backend).await;
    }
    match config.sandbox.setup_allow_hosts.as_slice() {
        [] => checks.not_configured(
            "`sandbox.setup.allow_hosts` names no hosts, so packages of projects are not fetched: a gate that \
             needs them is reported as not run",
        ),
        hosts => checks.ok(format!("set-up steps may reach {}", hosts.join(", "))),
    }
    checks
}

/// The languages whose gates can run: their tools have to be visible inside.
async fn tools(checks: &mut Checks, sandbox: &dyn Backend, backend: SandboxBackend) {
    const LANGUAGES: [(&str, &str); 3] = [("cargo", "Rust"), ("python3", "Python"), ("npm", "JavaScript")];
    let seen = async {
        let session = sandbox.open(&Snapshot::default()).await?;
        let line = "for tool in cargo python3 npm; do command -v $tool >/dev/null && echo $tool; done; true";
        let outcome = session.run(&Command::new(["sh", "-c", line])).await;
        session.close().await?;
        Ok::<_, crate::sandbox::SandboxError>(outcome?.stdout.text())
    };
    let seen = match seen.await {
        Ok(seen) => seen,
        Err(error) => {
            return checks.broken(error.to_string(), "run doctor again with ORCHESTRATOR_LOG=debug");
        }
    };
    for (tool, language) in LANGUAGES {
        if seen.lines().any(|line| line == tool) {
            checks.ok(format!("gates of {language} projects can run: `{tool}` is there"));
        } else {
            checks.weak(
                format!("gates of {language} projects cannot run: `{tool}` is not in the sandbox"),
                match backend {
                    SandboxBackend::Bubblewrap => {
                        format!(
                            "install {language} on this machine, in a folder of PATH, if your projects use it"
                        )
                    }
                    SandboxBackend::Container => {
                        format!("add {language} to the image of sandbox.container if your projects use it")
                    }
                    SandboxBackend::Kubernetes => {
                        format!("add {language} to the image of sandbox.kubernetes if your projects use it")
                    }
                },
            );
        }
    }
}

pub(super) async fn port(config: &Config) -> Checks {
    let mut checks = Checks::of("receiver");
    let address = config.web.listen;
    match tokio::net::TcpListener::bind(address).await {
        Ok(_) => checks.ok(format!("webhooks can be received at {address}")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => checks.weak(
            format!("{address} is in use"),
            "nothing to do where that is `orchestrator serve`; else name another address in ORCHESTRATOR_LISTEN",
        ),
        Err(error) => checks.broken(
            format!("{address} cannot be listened on: {error}"),
            "name another address in ORCHESTRATOR_LISTEN",
        ),
    }
    checks
}

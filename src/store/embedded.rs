//! A private PostgreSQL in the data folder, for deployments without a `DATABASE_URL`.
//!
//! It runs the system's own binaries on a Unix socket in a folder that only we and the server can
//! enter, with no TCP port. Any number of processes may own it at the same time: the first starts it,
//! the others attach, and the last one to stop takes it down. An owner that dies without a word (kill
//! -9) leaves the server running; the next one takes it up, and so does a later one after a crash of
//! the server itself. Ownership is a shared lock on `owners.lock`, which the kernel takes back from a
//! dead process; starting and stopping are serialised by `start.lock`.
//!
//! PostgreSQL refuses to run as root, so root runs it as `postgres` or `nobody`.
//!
//! Not here: the schema, the pool, and downloads. Without binaries on the machine there is an error
//! that says what to install.

mod cluster;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::{Uid, User, geteuid};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use self::cluster::Cluster;
use crate::telemetry::clock;

/// The oldest major version that has what the store uses.
const OLDEST_MAJOR: u32 = 13;
/// The name of the role and of the database. The role may create databases and is no superuser, so
/// that SQL can neither read the server's files nor start programs.
const APP: &str = "orchestrator";
/// `sun_path` holds 107 bytes and an end (unix(7)); the server appends this name to the folder.
const SOCKET_NAME: &str = "/.s.PGSQL.5432";
const LONGEST_SOCKET_PATH: usize = 107;
const LOG_BYTES_KEPT: u64 = 10 * 1024 * 1024;

/// What a crash of the machine may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed.
    #[default]
    Durable,
    /// Everything: faster, for tests.
    Throwaway,
}

#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    pub durability: Durability,
    /// How long to wait for the server, and for another process that is starting or stopping it.
    pub timeout: Duration,
    /// The folder of `initdb`, `pg_ctl` and `postgres`. `None`: they are looked for.
    pub binaries: Option<PathBuf>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { durability: Durability::Durable, timeout: Duration::from_secs(60), binaries: None }
    }
}

impl EmbeddedOptions {
    /// For tests: nothing is forced to the disk, and a slow machine has time.
    pub fn throwaway() -> Self {
        let timeout = Duration::from_secs(300);
        Self { durability: Durability::Throwaway, timeout, ..Self::default() }
    }
}

/// Why there is no private PostgreSQL, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(
        "PostgreSQL is not installed (looked for initdb, pg_ctl and postgres in PATH and /usr/lib/postgresql): \
         install it (Debian, Ubuntu: `apt-get install postgresql`), or set DATABASE_URL to a server"
    )]
    NotInstalled,
    #[error(
        "{folder} was made by PostgreSQL {wanted}, and here is {found}: install PostgreSQL {wanted}, or move \
             the data with its pg_dumpall; without its data, delete the folder"
    )]
    VersionMismatch { folder: PathBuf, wanted: String, found: String },
    #[error("PostgreSQL {found} in {folder} is too old: at least {OLDEST_MAJOR} is needed")]
    TooOld { folder: PathBuf, found: String },
    #[error(
        "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` to run it as: \
             create one, or set DATABASE_URL"
    )]
    NoAccount,
    #[error(
        "{folder} belongs to the user with id {owner}: run as that user, or choose another data folder \
             (ORCHESTRATOR_DATA_DIR)"
    )]
    Foreign { folder: PathBuf, owner: u32 },
    #[error("{0} holds files but no PostgreSQL cluster: move them away, or choose another data folder")]
    NotACluster(PathBuf),
    #[error("the server in {0} runs without fsync, for a test: stop its owner first")]
    RunsThrowaway(PathBuf),
    #[error("waited {waited:?} for {what}")]
    Timeout { what: &'static str, waited: Duration },
    #[error(
        "PostgreSQL needs a name for its user, and the user id {0} has none: add it to /etc/passwd, run as \
             a user with a name, or set DATABASE_URL"
    )]
    NamelessUser(u32),
    #[error("{program} failed: {message}")]
    Program { program: &'static str, message: String },
    #[error("{action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("the private PostgreSQL refuses: {0}")]
    Database(#[from] sqlx::Error),
}

/// One owner's hold on the private PostgreSQL. Dropping it waits until the server has stopped, if this
/// was the last owner; in asynchronous code call [`EmbeddedPostgres::shutdown`] instead.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    cluster: Cluster,
    url: String,
    /// `None` once given up.
    hold: Option<File>,
}

impl EmbeddedPostgres {
    /// Starts the server of `data_dir`, or attaches to the one that runs. Makes the cluster first where
    /// there is none.
    ///
    /// # Errors
    /// See [`EmbeddedError`]; nothing is left half-made.
    pub async fn start(data_dir: &Path, options: EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let home = Home::prepare(data_dir)?;
        let deadline = Instant::now() + options.timeout;
        let starting = home.lock_start(deadline).await?;
        let hold = home.hold()?;
        // `initdb` takes most of a second.
        let cluster = blocking(move || Cluster::open(home, &options)).await?;
        let started = cluster.start(deadline).await;
        let url = match started {
            Ok(socket) => connection_url(&socket),
            Err(error) => {
                // The server may run by now, and nobody would stop it.
                drop(cluster.stop_if_last(&hold));
                return Err(error);
            }
        };
        drop(starting);
        Ok(Self { cluster, url, hold: Some(hold) })
    }

    /// The address for sqlx and for `psql`. It holds no secret.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Gives up the hold, and stops the server if this was the last one.
    ///
    /// # Errors
    /// The server could not be stopped.
    pub async fn shutdown(mut self) -> Result<(), EmbeddedError> {
        tokio::task::spawn_blocking(move || self.give_up())
            .await
            .map_err(|panic| EmbeddedError::Program { program: "pg_ctl stop", message: panic.to_string() })?
    }

    fn give_up(&mut self) -> Result<(), EmbeddedError> {
        let Some(hold) = self.hold.take() else { return Ok(()) };
        let home = &self.cluster.home;
        let deadline = Instant::now() + self.cluster.timeout;
        let start_lock = home.open_lock("start.lock")?;
        while start_lock.try_lock().is_err() {
            wait_until(deadline, "another process that starts or stops PostgreSQL", self.cluster.timeout)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        self.cluster.stop_if_last(&hold)
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        if let Err(error) = self.give_up() {
            tracing::warn!(%error, "the private PostgreSQL could not be stopped");
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EmbeddedError> + Send + 'static,
) -> Result<T, EmbeddedError> {
    let interrupted = |error: tokio::task::JoinError| EmbeddedError::Program {
        program: "the work on the private PostgreSQL",
        message: error.to_string(),
    };
    tokio::task::spawn_blocking(work).await.map_err(interrupted)?
}

fn connection_url(socket: &Path) -> String {
    // Written by hand, because what sqlx writes holds parameters that `psql` refuses. The folder's name
    // needs no escapes: see `Cluster::socket_folder`.
    format!("postgresql:///{APP}?host={}&port=5432&user={APP}&sslmode=disable", socket.display())
}

/// Everything is said outright, since sqlx fills gaps from variables such as PGPORT.
fn connect_options(socket: &Path, user: &str, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket)
        .port(5432)
        .username(user)
        .database(database)
        .ssl_mode(sqlx::postgres::PgSslMode::Disable)
}

fn wait_until(deadline: Instant, what: &'static str, waited: Duration) -> Result<(), EmbeddedError> {
    if Instant::now() < deadline { Ok(()) } else { Err(EmbeddedError::Timeout { what, waited }) }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_owned();
    move |source| EmbeddedError::Io { action, path, source }
}

/// `DATA/postgres`, with everything that belongs to the private server.
#[derive(Debug)]
struct Home(PathBuf);

impl Home {
    fn prepare(data_dir: &Path) -> Result<Self, EmbeddedError> {
        fs::create_dir_all(data_dir).map_err(io_error("cannot create", data_dir))?;
        let data_dir = data_dir.canonicalize().map_err(io_error("cannot find", data_dir))?;
        let home = data_dir.join("postgres");
        // Others may pass through to their own folders below, but see nothing.
        match fs::DirBuilder::new().mode(0o711).create(&home) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error("cannot create", &home)(error)),
        }
        Ok(Self(home))
    }

    fn open_lock(&self, name: &str) -> Result<File, EmbeddedError> {
        let path = self.0.join(name);
        let options = OpenOptions::new().read(true).write(true).create(true).mode(0o600).clone();
        options.open(&path).map_err(io_error("cannot open", &path))
    }

    async fn lock_start(&self, deadline: Instant) -> Result<File, EmbeddedError> {
        let lock = self.open_lock("start.lock")?;
        let began = Instant::now();
        while lock.try_lock().is_err() {
            wait_until(deadline, "another process that starts or stops PostgreSQL", began.elapsed())?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(lock)
    }

    fn hold(&self) -> Result<File, EmbeddedError> {
        let hold = self.open_lock("owners.lock")?;
        // Exclusive only for a moment under `start.lock`, which we have.
        hold.lock_shared().map_err(io_error("cannot lock", &self.0.join("owners.lock")))?;
        Ok(hold)
    }

    fn cluster(&self) -> PathBuf {
        self.0.join("cluster")
    }

    fn log(&self) -> PathBuf {
        self.0.join("server.log")
    }
}

/// Who the server runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Account {
    Ourselves,
    /// We are root; this user and group run the server.
    Other {
        uid: u32,
        gid: u32,
    },
}

impl Account {
    fn uid(self) -> u32 {
        match self {
            Self::Ourselves => geteuid().as_raw(),
            Self::Other { uid, .. } => uid,
        }
    }

    /// The owner of a cluster that is there, or the one who will own it.
    fn choose(cluster: &Path) -> Result<Self, EmbeddedError> {
        let owner = fs::metadata(cluster).ok().map(|metadata| metadata.uid());
        let foreign = |owner| EmbeddedError::Foreign { folder: cluster.to_owned(), owner };
        match owner {
            Some(owner) if !geteuid().is_root() => {
                if owner == geteuid().as_raw() {
                    Ok(Self::Ourselves)
                } else {
                    Err(foreign(owner))
                }
            }
            None if !geteuid().is_root() => Ok(Self::Ourselves),
            Some(0) => Err(foreign(0)),
            Some(owner) => {
                let gid = User::from_uid(Uid::from_raw(owner)).ok().flatten().map(|user| user.gid.as_raw());
                Ok(Self::Other { uid: owner, gid: gid.unwrap_or(owner) })
            }
            None => ["postgres", "nobody"]
                .into_iter()
                .find_map(|name| User::from_name(name).ok().flatten())
                .map(|user| Self::Other { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
                .ok_or(EmbeddedError::NoAccount),
        }
    }

    fn give(self, path: &Path) -> Result<(), EmbeddedError> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid } => {
                chown(path, Some(uid), Some(gid)).map_err(io_error("cannot give away", path))
            }
        }
    }

    /// Whether this user can pass through every folder down to `path`.
    fn reaches(self, path: &Path) -> bool {
        let Self::Other { uid, gid } = self else { return true };
        path.ancestors().all(|folder| {
            fs::metadata(folder).is_ok_and(|folder| {
                let bit = match folder {
                    ref owned if owned.uid() == uid => 0o100,
                    ref shared if shared.gid() == gid => 0o010,
                    _ => 0o001,
                };
                folder.mode() & bit != 0
            })
        })
    }

    /// A command of this user that starts in `folder`, with nothing of our environment.
    ///
    /// Where a folder above is closed to the user (root's home, a temporary folder), the command keeps
    /// one capability of root's, to pass through and to read; the role that we connect as cannot use it.
    fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = match self {
            Self::Ourselves => Command::new(program),
            Self::Other { uid, gid } if self.reaches(folder) => {
                let mut command = Command::new(program);
                command.uid(uid).gid(gid);
                command
            }
            Self::Other { uid, gid } => {
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"]);
                command.args(["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]);
                command.arg("--").arg(program);
                command
            }
        };
        // `LC_ALL` keeps the messages readable by us; `PG…` variables of ours must not reach the server.
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C");
        command.current_dir(folder).stdin(Stdio::null());
        command
    }
}

/// The programs of one PostgreSQL version.
#[derive(Debug)]
struct Binaries {
    folder: PathBuf,
    /// `15`, or `9.6` for what is too old anyway.
    major: String,
}

impl Binaries {
    /// PATH first, then Debian's folders with the newest version first, then what `pg_config` says.
    fn find_all() -> Vec<Self> {
        let answer = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
            let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
            (output.status.success() && text.starts_with('/')).then(|| PathBuf::from(text))
        };
        let in_path = answer("sh", &["-c", "command -v initdb"]).and_then(|path| path.canonicalize().ok());
        let mut folders: Vec<PathBuf> =
            in_path.iter().filter_map(|p| p.parent()).map(Path::to_owned).collect();
        let mut versions: Vec<(f64, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok())
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .collect();
        versions.sort_by(|a, b| b.0.total_cmp(&a.0));
        folders.extend(versions.into_iter().map(|(_, folder)| folder));
        folders.extend(answer("pg_config", &["--bindir"]));
        let mut seen = std::collections::HashSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        folders.into_iter().filter_map(Self::at).collect()
    }

    fn at(folder: PathBuf) -> Option<Self> {
        if !["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).is_file()) {
            return None;
        }
        let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
        // `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, `… 18beta1`, `… 9.6.24`.
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.split("(PostgreSQL)").nth(1)?.trim();
        let numbers: Vec<&str> = version.split(|c: char| !c.is_ascii_digit()).collect();
        let major = match numbers.as_slice() {
            [first, second, ..] if first.parse().is_ok_and(|n: u32| n < 10) => format!("{first}.{second}"),
            [first, ..] if !first.is_empty() => (*first).to_owned(),
            _ => return None,
        };
        Some(Self { folder, major })
    }

    /// The version of the cluster if there is one, else the first that is new enough.
    fn choose(found: Vec<Self>, cluster: &Path) -> Result<Self, EmbeddedError> {
        let names = found.iter().map(|one| one.major.clone()).collect::<Vec<_>>().join(", ");
        let Some(oldest) = found.first().map(|one| one.folder.clone()) else {
            return Err(EmbeddedError::NotInstalled);
        };
        match fs::read_to_string(cluster.join("PG_VERSION")).map(|text| text.trim().to_owned()) {
            Ok(wanted) => found.into_iter().find(|one| one.major == wanted).ok_or_else(|| {
                EmbeddedError::VersionMismatch { folder: cluster.to_owned(), wanted, found: names }
            }),
            Err(_) => found
                .into_iter()
                .find(|one| one.major.parse().is_ok_and(|major: u32| major >= OLDEST_MAJOR))
                .ok_or(EmbeddedError::TooOld { folder: oldest, found: names }),
        }
    }
}

//! The private PostgreSQL on the real thing: real binaries, real kills, as root and as a user.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use orchestrator::config::Environment;
use orchestrator::store::embedded::{Durability, EmbeddedError, EmbeddedOptions, EmbeddedPostgres};
use sqlx::{Connection, PgConnection, Row};

const ROLE: &str = "EMBEDDED_TEST_FOLDER";

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("pg").tempdir().unwrap()
}

async fn start(folder: &Path) -> EmbeddedPostgres {
    EmbeddedPostgres::start(folder, EmbeddedOptions::throwaway()).await.unwrap()
}

async fn ask(url: &str, query: &'static str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let row = sqlx::query(query).fetch_one(&mut connection).await.unwrap();
    row.get::<String, _>(0)
}

async fn execute(url: &str, statement: &'static str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn postmaster(folder: &Path) -> Option<i32> {
    let text = fs::read_to_string(folder.join("postgres/cluster/postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}

fn alive(pid: i32) -> bool {
    // A zombie has ended: in a container nobody may collect it.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim().starts_with('Z'))
}

#[track_caller]
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ended with the test, also when the test fails: a process that stays would hold the test's output open.
struct Owner(Child);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Another process that owns the server of `folder`: this test binary again, see [`owner_process`].
fn spawn_owner(folder: &Path, user: Option<u32>) -> Owner {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "owner_process", "--ignored"]).env(ROLE, folder).stdout(Stdio::null());
    command.current_dir("/");
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let owner = Owner(command.spawn().unwrap());
    let ready = folder.join(format!("ready-{}", owner.0.id()));
    wait_for("the other owner", || ready.exists());
    owner
}

/// Not a test: what [`spawn_owner`] runs. It owns the server until it is killed or `leave` is there.
#[tokio::test]
#[ignore = "started by the other tests"]
async fn owner_process() {
    let Some(folder) = Environment::of_process().get(ROLE).map(PathBuf::from) else { return };
    let server = start(&folder).await;
    fs::write(folder.join(format!("ready-{}", std::process::id())), server.url()).unwrap();
    while !folder.join("leave").exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_new_folder_gets_a_durable_server_that_stops_with_its_owner_and_keeps_its_rows() {
    let folder = folder();
    let server = EmbeddedPostgres::start(folder.path(), EmbeddedOptions::default()).await.unwrap();
    let pid = postmaster(folder.path()).unwrap();
    execute(server.url(), "create table kept as select 'yes' as answer").await;
    for setting in ["show fsync", "show synchronous_commit", "show full_page_writes"] {
        assert_eq!(ask(server.url(), setting).await, "on", "{setting}");
    }
    assert_eq!(ask(server.url(), "show listen_addresses").await, "");
    assert_eq!(ask(server.url(), "show max_connections").await, "50");
    server.shutdown().await.unwrap();
    wait_for("the server to end", || !alive(pid));

    let again = EmbeddedPostgres::start(folder.path(), EmbeddedOptions::default()).await.unwrap();
    assert_eq!(ask(again.url(), "select answer from kept").await, "yes");
    let pid = postmaster(folder.path()).unwrap();
    drop(again);
    // pg_ctl waits for the pid file to go; the process itself ends a moment later.
    assert!(postmaster(folder.path()).is_none(), "dropping the last owner stops the server");
    wait_for("the server to end", || !alive(pid));
}

#[tokio::test]
async fn only_we_and_the_server_can_enter_and_our_role_is_no_superuser() {
    let folder = folder();
    let server = start(folder.path()).await;
    let socket = folder.path().join("postgres/socket");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(
        ask(server.url(), "select rolsuper::text from pg_roles where rolname = current_user").await,
        "false"
    );
    let mut connection = PgConnection::connect(server.url()).await.unwrap();
    let refused = sqlx::query("select pg_read_file('/etc/passwd')").execute(&mut connection).await;
    assert!(refused.unwrap_err().to_string().contains("permission denied"));
    // What `sqlx::test` needs.
    sqlx::query("create database another").execute(&mut connection).await.unwrap();
    if geteuid().is_root() {
        assert_ne!(fs::metadata(folder.path().join("postgres/cluster")).unwrap().uid(), 0);
        let output =
            Command::new("psql").arg(server.url()).args(["-c", "select 1"]).uid(65534).output().unwrap();
        assert!(!output.status.success(), "a stranger got in");
    }
    let psql = Command::new("psql").arg(server.url()).args(["-Atc", "select 40 + 2"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&psql.stdout).trim(), "42", "{psql:?}");
}

#[tokio::test]
async fn a_second_owner_attaches_and_the_last_one_to_leave_stops_the_server() {
    let folder = folder();
    let first = start(folder.path()).await;
    let pid = postmaster(folder.path()).unwrap();
    let second = start(folder.path()).await;
    let mut third = spawn_owner(folder.path(), None);
    assert_eq!(first.url(), second.url());
    assert_eq!(postmaster(folder.path()), Some(pid), "one server for all");
    first.shutdown().await.unwrap();
    assert_eq!(ask(second.url(), "select 'up'").await, "up");
    let url = second.url().to_owned();
    second.shutdown().await.unwrap();
    assert_eq!(ask(&url, "select 'up'").await, "up", "the other process still owns it");
    fs::write(folder.path().join("leave"), "").unwrap();
    assert!(third.0.wait().unwrap().success());
    wait_for("the server to end", || !alive(pid));
}

#[tokio::test]
async fn owners_that_start_at_the_same_moment_share_one_new_cluster() {
    let folder = folder();
    let starts = (0..4).map(|_| start(folder.path()));
    let servers = futures::future::join_all(starts).await;
    let pid = postmaster(folder.path()).unwrap();
    for server in servers {
        assert_eq!(ask(server.url(), "select 'up'").await, "up");
        server.shutdown().await.unwrap();
    }
    wait_for("the server to end", || !alive(pid));
}

#[tokio::test]
async fn the_server_of_a_killed_owner_is_taken_up_again() {
    let folder = folder();
    let mut owner = spawn_owner(folder.path(), None);
    let pid = postmaster(folder.path()).unwrap();
    owner.0.kill().unwrap();
    owner.0.wait().unwrap();
    assert!(alive(pid), "nobody was left to stop it");
    let server = start(folder.path()).await;
    assert_eq!(postmaster(folder.path()), Some(pid), "the same server");
    server.shutdown().await.unwrap();
    wait_for("the server to end, of which the dead owner holds nothing any more", || !alive(pid));
}

#[tokio::test]
async fn a_killed_server_comes_back_with_what_was_committed() {
    let folder = folder();
    let first = EmbeddedPostgres::start(folder.path(), EmbeddedOptions::default()).await.unwrap();
    execute(first.url(), "create table kept as select 'yes' as answer").await;
    let pid = postmaster(folder.path()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    wait_for("the server to die", || !alive(pid));
    assert!(postmaster(folder.path()).is_some(), "a stale postmaster.pid is what this is about");
    let second = EmbeddedPostgres::start(folder.path(), EmbeddedOptions::default()).await.unwrap();
    assert_ne!(postmaster(folder.path()), Some(pid));
    assert_eq!(ask(second.url(), "select answer from kept").await, "yes");
    drop((first, second));
}

#[tokio::test]
async fn a_stale_process_id_that_now_belongs_to_somebody_else_does_no_harm() {
    let folder = folder();
    start(folder.path()).await.shutdown().await.unwrap();
    let cluster = folder.path().join("postgres/cluster");
    let owner = fs::metadata(&cluster).unwrap();
    // A process of the very user that runs the server: the server itself would refuse to start.
    let mut command = Command::new("sleep");
    command.arg("60");
    if geteuid().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    let somebody = Owner(command.spawn().unwrap());
    let stale = format!("{}\n{}\n1\n5432\n/nowhere\n\n", somebody.0.id(), cluster.display());
    fs::write(cluster.join("postmaster.pid"), stale).unwrap();
    chown(cluster.join("postmaster.pid"), Some(owner.uid()), Some(owner.gid())).unwrap();
    let server = start(folder.path()).await;
    assert_eq!(ask(server.url(), "select 'up'").await, "up");
    assert!(alive(i32::try_from(somebody.0.id()).unwrap()), "the other process is left alone");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_crash_in_the_middle_of_making_the_cluster_is_recovered() {
    let mut attempts = 0;
    let (folder, left) = loop {
        let folder = folder();
        // An owner that is killed while its initdb runs.
        let mut owner = {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "owner_process", "--ignored"]).env(ROLE, folder.path());
            Owner(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        };
        let home = folder.path().join("postgres");
        let half_made = || {
            let entries = fs::read_dir(&home).ok()?.filter_map(Result::ok);
            entries.map(|entry| entry.path()).find(|path| path.join("PG_VERSION").exists())
        };
        wait_for("initdb to be at work", || half_made().is_some());
        owner.0.kill().unwrap();
        owner.0.wait().unwrap();
        let left = half_made().unwrap();
        if left.file_name().unwrap().to_string_lossy().starts_with("cluster.new-") {
            assert!(!home.join("cluster").exists(), "nothing half-made stands in the cluster's place");
            break (folder, left);
        }
        // It was done before it was killed: once more.
        start(folder.path()).await.shutdown().await.unwrap();
        attempts += 1;
        assert!(attempts < 5, "{left:?}");
    };

    let server = start(folder.path()).await;
    assert_eq!(ask(server.url(), "select 'up'").await, "up");
    assert!(!left.exists());
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_cluster_of_another_version_is_named_and_left_alone() {
    let folder = folder();
    start(folder.path()).await.shutdown().await.unwrap();
    let version = folder.path().join("postgres/cluster/PG_VERSION");
    fs::write(&version, "12\n").unwrap();
    let error = EmbeddedPostgres::start(folder.path(), EmbeddedOptions::throwaway()).await.unwrap_err();
    assert!(matches!(&error, EmbeddedError::VersionMismatch { wanted, .. } if wanted == "12"), "{error:?}");
    assert!(error.to_string().contains("install PostgreSQL 12"), "{error}");
    assert_eq!(fs::read_to_string(version).unwrap(), "12\n");
}

#[tokio::test]
async fn missing_binaries_and_foreign_files_get_an_error_that_says_what_to_do() {
    let place = folder();
    let options = EmbeddedOptions { binaries: Some("/nowhere".into()), ..EmbeddedOptions::throwaway() };
    let error = EmbeddedPostgres::start(place.path(), options).await.unwrap_err();
    assert!(error.to_string().contains("apt-get install postgresql"), "{error}");

    let place = folder();
    fs::create_dir_all(place.path().join("postgres/cluster")).unwrap();
    fs::write(place.path().join("postgres/cluster/diary.txt"), "mine").unwrap();
    if geteuid().is_root() {
        chown(place.path().join("postgres/cluster"), Some(65534), Some(65534)).unwrap();
    }
    let error = EmbeddedPostgres::start(place.path(), EmbeddedOptions::throwaway()).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::NotACluster(_)), "{error:?}");
    assert!(place.path().join("postgres/cluster/diary.txt").exists());
}

#[tokio::test]
async fn a_deep_or_odd_folder_gets_a_short_socket() {
    for name in ["d".repeat(120), "with space, 'quote' and $(dollar)".to_owned()] {
        let folder = folder();
        let deep = folder.path().join(name);
        let server = start(&deep).await;
        assert_eq!(ask(server.url(), "select 'up'").await, "up");
        let socket = server.url().split(['=', '&']).nth(1).unwrap().to_owned();
        assert!(socket.starts_with("/tmp/orchestrator-"), "{socket}");
        server.shutdown().await.unwrap();
        assert!(!Path::new(&socket).exists(), "{socket} is left behind");
    }
}

#[tokio::test]
async fn a_server_without_fsync_is_never_taken_for_a_durable_one() {
    let folder = folder();
    let throwaway = start(folder.path()).await;
    assert_eq!(ask(throwaway.url(), "show fsync").await, "off");
    let options = EmbeddedOptions { durability: Durability::Durable, ..EmbeddedOptions::default() };
    let error = EmbeddedPostgres::start(folder.path(), options).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::RunsThrowaway(_)), "{error:?}");
    assert_eq!(ask(throwaway.url(), "select 'up'").await, "up");
}

#[tokio::test]
async fn an_ordinary_user_needs_no_root() {
    if !geteuid().is_root() {
        // Every other test shows it then.
        return;
    }
    let folder = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(folder.path(), Some(65534), Some(65534)).unwrap();
    let mut owner = spawn_owner(folder.path(), Some(65534));
    assert_eq!(fs::metadata(folder.path().join("postgres/cluster")).unwrap().uid(), 65534);
    let pid = postmaster(folder.path()).unwrap();
    // Root attaches to the user's server, and runs it as that user.
    let server = start(folder.path()).await;
    assert_eq!(ask(server.url(), "select 'up'").await, "up");
    server.shutdown().await.unwrap();
    assert!(alive(pid));
    fs::write(folder.path().join("leave"), "").unwrap();
    assert!(owner.0.wait().unwrap().success());
    wait_for("the server to end", || !alive(pid));
}

#[tokio::test]
async fn a_user_without_a_name_is_told_so() {
    if !geteuid().is_root() {
        // Only root can be another user, and our own has a name.
        return;
    }
    let folder = folder();
    fs::create_dir_all(folder.path().join("postgres/cluster")).unwrap();
    chown(folder.path().join("postgres/cluster"), Some(3_999_999_999), Some(65534)).unwrap();
    let error = EmbeddedPostgres::start(folder.path(), EmbeddedOptions::throwaway()).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::NamelessUser(3_999_999_999)), "{error:?}");
}

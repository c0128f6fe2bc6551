//! What only bubblewrap does: what must not work inside does not, and each attack is shown to work where the
//! protection is missing. What every backend does is in backends.rs and limits.rs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orchestrator::sandbox::{Bubblewrap, BubblewrapOptions, Command, Exit, Sandbox, Session};

mod sandbox_support;
use sandbox_support::*;

#[tokio::test]
async fn the_environment_is_small_and_holds_nothing_of_the_hosts() {
    let place = Place::new();
    let session = place.open(&[]).await;
    let mut command =
        Command::new(["sh", "-c", "env -0 | tr '\\0' '\\n' | cut -d= -f1 | sort; cat /proc/*/environ"]);
    command.env.insert("OWN".into(), "1".into());
    let outcome = session.run(&command).await.expect("ran");
    let text = outcome.stdout.text();
    let names: Vec<&str> = text.lines().take_while(|line| !line.contains('=')).collect();
    assert_eq!(names, ["HOME", "LANG", "OWN", "PATH", "PWD", "TMPDIR", "USER"]);
    // CARGO_MANIFEST_DIR is in the environment of every test, so a leak would show it.
    assert!(!text.contains("CARGO_"), "{text}");
    let weak = weak_bwrap(&["--unshare-all", "--die-with-parent"], "env");
    assert!(weak.contains("CARGO_MANIFEST_DIR"), "the weak variant leaks nothing: {weak}");
}

#[tokio::test]
async fn files_of_the_host_cannot_be_read() {
    let place = Place::new();
    let open = place.canary("open", 0o644);
    let closed = place.canary("closed", 0o600);
    let session = place.open(&[]).await;
    for file in [&open, &closed] {
        let attempt = format!(
            "cat {0} /proc/1/root{0} /proc/*/cwd/{0}; ls {1}",
            file.display(),
            place.path().display()
        );
        let outcome = sh(&*session, &attempt).await;
        assert_ne!(outcome.exit, Exit::Code(0));
        assert!(!outcome.stdout.text().contains("canary"), "{}", outcome.stdout.text());
        let weak = weak_bwrap(
            &["--unshare-all", "--unshare-user", "--uid", "1000"],
            &format!("cat {}", file.display()),
        );
        assert!(weak.contains("canary"), "the weak variant cannot read {}", file.display());
    }
    let outcome = sh(
        &*session,
        "cat /etc/shadow /root/.bashrc; ls /root /home /var /opt /sys /boot /srv; cat /etc/hostname",
    )
    .await;
    assert_eq!(outcome.stdout.text().replace("/sys:\n", "").trim(), "");
}

#[tokio::test]
async fn there_is_no_network() {
    let place = Place::new();
    let session = place.open(&[]).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let script = format!(
        "cat /proc/net/dev | tail -n +3 | cut -d: -f1; \
         /usr/bin/python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 2); print(\"reached\")' 2>&1; \
         /usr/bin/python3 -c 'import socket; print(socket.getaddrinfo(\"localhost.example\", 80))' 2>&1 | tail -1"
    );
    let text = sh(&*session, &script).await.stdout.text();
    assert_eq!(text.lines().next().map(str::trim), Some("lo"), "{text}");
    assert!(text.contains("ConnectionRefusedError") && !text.contains("reached"), "{text}");
    assert!(text.contains("gaierror"), "{text}");
    let weak = weak_bwrap(&["--unshare-all", "--share-net"], &script);
    assert!(weak.contains("reached"), "the weak variant does not reach the host: {weak}");
}

#[tokio::test]
async fn only_own_processes_show_and_the_user_is_nobody_special() {
    let place = Place::new();
    let session = place.open(&[]).await;
    let outcome = sh(&*session, "id -u; id -g; ls -d /proc/[0-9]* | wc -l; cat /proc/self/status").await;
    let text = outcome.stdout.text();
    let mut lines = text.lines();
    assert_eq!((lines.next(), lines.next()), (Some("1000"), Some("1000")));
    let processes: u32 = lines.next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(processes <= 5, "{processes} processes show");
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    if is_root() {
        // Outside it is a user who owns nothing else.
        let mut command = Command::new(["sleep", "1.37"]);
        command.limits.wall = Duration::from_secs(20);
        let (_, uid) = tokio::join!(session.run(&command), async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            host_user_of("1.37")
        });
        assert!((2_130_000_000..2_130_001_000).contains(&uid.expect("it runs")), "{uid:?}");
    }
}

#[tokio::test]
async fn system_calls_that_nobody_needs_are_refused() {
    let place = Place::new();
    let session = place.open(&[("calls.py", CALLS)]).await;
    let outcome = sh(&*session, "/usr/bin/python3 calls.py").await;
    let text = outcome.stdout.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(outcome.exit, Exit::Code(0), "{}", outcome.stderr.text());
    assert!(lines.len() >= 14 && lines.iter().all(|line| line.ends_with(" refused")), "{text}");
    let weak = weak_bwrap(&["--unshare-all"], &format!("/usr/bin/python3 -c '{CALLS}'"));
    assert!(weak.contains(" allowed"), "the weak variant refuses everything too: {weak}");
}

/// System calls by number (x86-64), each with what the filter must answer.
const CALLS: &str = r#"
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(name, expected, *args):
    ctypes.set_errno(0)
    libc.syscall.restype = ctypes.c_long
    result = libc.syscall(*[ctypes.c_long(a) for a in args])
    got = ctypes.get_errno()
    print(name, "refused" if result == -1 and got == expected else "allowed %d %d" % (result, got))
P, N = errno.EPERM, errno.ENOSYS
call("keyctl", P, 250, 0, -3, 0)
call("add_key", P, 248, 0, 0, 0, 0, -3)
call("bpf", P, 321, 0, 0, 0)
call("perf_event_open", P, 298, 0, 0, -1, -1, 0)
call("userfaultfd", P, 323, 1)
call("io_uring_setup", P, 425, 1, 0)
call("ptrace", P, 101, 0, 0, 0, 0)
call("mount", P, 165, 0, 0, 0, 0, 0)
call("open_tree", P, 428, -100, 0, 0)
call("setns", P, 308, -1, 0)
call("unshare user", P, 272, 0x10000000)
call("unshare net", P, 272, 0x40000000)
call("clone user", P, 56, 0x10000011, 0, 0, 0, 0)
call("clone3", N, 435, 0, 0)
call("x32 unshare", N, 0x40000000 + 272, 0x10000000)
call("vsock", P, 41, 40, 1, 0)
call("packet", P, 41, 17, 3, 0)
call("TIOCSTI", P, 16, 0, 0x5412, 0)
"#;

#[tokio::test]
async fn a_toolchain_in_a_home_that_only_its_owner_may_enter_is_usable() {
    let home = tempfile::tempdir().expect("a folder");
    let bin = home.path().join("private/tool/bin");
    std::fs::create_dir_all(&bin).expect("folders");
    write_program(&bin.join("mytool"), "#!/bin/sh\necho tool runs\n");
    set_mode(&home.path().join("private"), 0o700);
    let tool = orchestrator::sandbox::Toolchain::at("mine", &home.path().join("private/tool"), &bin);
    let place = Place::with(|options| options.toolchains.push(tool));
    let session = place.open(&[]).await;
    let outcome = session.run(&Command::new(["mytool"])).await.expect("ran");
    assert_eq!(outcome.stdout.text(), "tool runs\n", "{}", outcome.stderr.text());
}

#[tokio::test]
async fn sessions_run_side_by_side_and_see_nothing_of_each_other() {
    let place = Place::new();
    let start = Instant::now();
    let work = (0..6).map(|n| {
        let place = &place;
        async move {
            let session = place.open(&[("n", &n.to_string())]).await;
            let outcome = sh(&*session, "sleep 1; cat n; ls /tree | wc -l; ls -d /proc/[0-9]* | wc -l").await;
            let text = outcome.stdout.text();
            assert!(text.starts_with(&format!("{n}1\n")), "{text}");
            session.close().await.expect("closed");
        }
    });
    futures::future::join_all(work).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(place.sessions(), [""; 0]);
}

#[test]
fn a_missing_bubblewrap_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = BubblewrapOptions::new(folder.path(), "/bin/true");
    options.bubblewrap = folder.path().join("bwrap");
    let error = Bubblewrap::new(options).expect_err("refused").to_string();
    assert!(error.contains("Install the package `bubblewrap`"), "{error}");
}

/// All of the above, as a user who is not root.
#[test]
fn everything_holds_for_an_ordinary_user_too() {
    again_as_an_ordinary_user(&[]);
}

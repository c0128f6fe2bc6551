//! What only bubblewrap does: what must not work inside does not, and each attack is shown to work where the
//! protection is missing. What every backend does is in backends.rs and limits.rs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orchestrator::sandbox::{
    Access, Bubblewrap, BubblewrapOptions, Command, Exit, Mount, Sandbox, Session, TreeLimits,
};
use orchestrator::workspace::{FileEntry, FileMode, RepoPath, Snapshot};

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
        let argument = format!("600.{}", std::process::id());
        let command = Command::new(["sleep", &argument]);
        let running = session.run(&command);
        let looking = async {
            let deadline = Instant::now() + Duration::from_secs(60);
            loop {
                match host_user_of(&argument) {
                    Some(uid) if uid != 0 || Instant::now() > deadline => return uid,
                    _ => assert!(Instant::now() < deadline, "it does not run"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let uid = tokio::select! {
            ended = running => panic!("{ended:?}"),
            uid = looking => uid,
        };
        assert!((2_130_000_000..2_130_001_000).contains(&uid), "{uid}");
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
    // Where they meet: each waits there for all the others. One after the other they would wait in vain.
    let met = place.folder("met");
    set_mode(&met, 0o777);
    let work = (0..6).map(|n| {
        let (place, host) = (&place, met.clone());
        async move {
            let session = place.open(&[("n", &n.to_string())]).await;
            let mut command = shell(&format!(
                "echo > /deps/met/{n}; until [ $(ls /deps/met | wc -l) = 6 ]; do sleep 0.05; done; cat n; ls /tree | wc -l"
            ));
            command.mounts = vec![Mount { host, inside: "/deps/met".into(), access: Access::ReadWrite }];
            let outcome = session.run(&command).await.expect("ran");
            assert_eq!(outcome.stdout.text(), format!("{n}1\n"), "{outcome:?}");
            session.close().await.expect("closed");
        }
    });
    futures::future::join_all(work).await;
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

/// Changes that keep as much as they can of what a file system says about a file.
const SLY_CHANGES: &str = r#"
import mmap, os
def times(path, change):
    before = os.stat(path)
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
def overwrite(path):
    with open(path, 'r+b') as f: f.write(b'X')
def map_and_write(path):
    with open(path, 'r+b') as f, mmap.mmap(f.fileno(), 0) as m: m[0:1] = b'X'
def write_anew(path):
    size = os.stat(path).st_size
    os.remove(path)
    with open(path, 'wb') as f: f.write(b'X' * size)
times('d0/overwritten', overwrite)
map_and_write('d0/mapped')
times('d0/anew', write_anew)
os.rename('d0/one', 'd0/three'); os.rename('d0/two', 'd0/one'); os.rename('d0/three', 'd0/two')
os.remove('d0/linked'); os.link('d0/twin', 'd0/linked')
os.chmod('d0/program', 0o755)
os.remove('d0/gone')
os.rename('d0/moved', 'd1/moved')
with open('d0/new', 'wb') as f: f.write(b'new')
"#;

#[tokio::test]
async fn what_nobody_changed_is_not_read_back_and_no_change_goes_unnoticed() {
    // Below half of the tree, and above what is written between two ticks of the file system's clock, which is
    // read in any case: a fast machine writes hundreds of files in one.
    let limits = TreeLimits { files: 2_000, bytes: 1_800_000, file_bytes: 100_000 };
    let place = Place::with(|options| options.tree_limits = limits);
    let mut tree = Snapshot::default();
    let entry = |text: String| FileEntry { mode: FileMode::Regular, bytes: text.repeat(100).into() };
    for number in 0..4000 {
        tree.files.insert(path(&format!("d{}/file{number}", number % 40)), entry(format!("{number:08}\n")));
    }
    let names = ["overwritten", "mapped", "anew", "one", "two", "linked", "twin", "program", "gone", "moved"];
    for name in names {
        tree.files.insert(path(&format!("d0/{name}")), entry(format!("{name:>11}\n")));
    }
    // Files that are written last may share their time with a change: here those are others than the changed ones.
    for number in 0..20 {
        tree.files.insert(path(&format!("z/{number}")), entry("late\n".into()));
    }
    let session = place.sandbox.open(&tree).await.expect("a session");
    let outcome = session.run(&Command::new(["/usr/bin/python3", "-c", SLY_CHANGES])).await.expect("ran");
    assert_eq!(outcome.exit, Exit::Code(0), "{}", outcome.stderr.text());

    let mut expected = tree.clone();
    let at = |name: &str| path(&format!("d0/{name}"));
    for name in ["overwritten", "mapped"] {
        let mut bytes = expected.files[&at(name)].bytes.to_vec();
        bytes[0] = b'X';
        expected.files.insert(at(name), FileEntry { mode: FileMode::Regular, bytes: bytes.into() });
    }
    let anew = FileEntry { mode: FileMode::Regular, bytes: vec![b'X'; 1200].into() };
    expected.files.insert(at("anew"), anew);
    expected.files.insert(at("one"), tree.files[&at("two")].clone());
    expected.files.insert(at("two"), tree.files[&at("one")].clone());
    expected.files.insert(at("linked"), tree.files[&at("twin")].clone());
    expected.files.get_mut(&at("program")).expect("there").mode = FileMode::Executable;
    expected.files.remove(&at("gone"));
    let moved = expected.files.remove(&at("moved")).expect("there");
    expected.files.insert(path("d1/moved"), moved);
    expected.files.insert(at("new"), FileEntry { mode: FileMode::Regular, bytes: b"new".to_vec().into() });
    // The limits are smaller than the tree by far: only what changed counts.
    let back = session.read_back().await.expect("read back");
    let differing = |(name, entry): &(&RepoPath, &FileEntry)| expected.files.get(*name) != Some(*entry);
    let wrong: Vec<_> = back.tree.files.iter().filter(differing).map(|(name, _)| name.as_str()).collect();
    assert_eq!(wrong, [""; 0], "not read back as they are");
    assert_eq!(back.tree.files.len(), expected.files.len());
}

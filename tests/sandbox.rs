//! The sandbox on the real bubblewrap: what must not work inside does not, and each attack is shown to work
//! where the protection is missing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orchestrator::sandbox::{
    Access, Backend, Bubblewrap, BubblewrapOptions, Command, Exit, LimitHit, Limits, Mount, Outcome, Sandbox,
    Session,
};
use orchestrator::workspace::{FileEntry, FileMode, RepoPath, Snapshot};

mod sandbox_support;
use sandbox_support::*;

#[tokio::test]
async fn a_command_sees_the_tree_and_its_code_and_output_come_back() {
    let place = Place::new();
    let session =
        place.open(&[("greeting.txt", "hello\n"), ("sub/run.sh", "#!/bin/sh\npwd\nexit 3\n")]).await;
    let outcome = sh(&*session, "cat greeting.txt; echo oops >&2; exit 7").await;
    assert_eq!(outcome.exit, Exit::Code(7));
    assert_eq!((outcome.stdout.text().as_str(), outcome.stderr.text().as_str()), ("hello\n", "oops\n"));
    assert_eq!(outcome.limit, None);

    let mut command = Command::new(["sh", "run.sh"]);
    command.cwd = Some(path("sub"));
    let outcome = session.run(&command).await.expect("ran");
    assert_eq!((outcome.exit, outcome.stdout.text().as_str()), (Exit::Code(3), "/work/sub\n"));
    session.close().await.expect("closed");
    assert_eq!(place.sessions(), [""; 0]);
}

#[tokio::test]
async fn input_is_given_and_a_command_without_input_gets_an_empty_one() {
    let place = Place::new();
    let session = place.open(&[]).await;
    let mut command = Command::new(["wc", "-c"]);
    command.stdin = Some(vec![b'x'; 300_000]);
    assert_eq!(session.run(&command).await.expect("ran").stdout.text().trim(), "300000");
    command.stdin = None;
    assert_eq!(session.run(&command).await.expect("ran").stdout.text().trim(), "0");
    // A command that does not read what it is given is no error.
    let mut command = Command::new(["true"]);
    command.stdin = Some(vec![b'x'; 300_000]);
    assert_eq!(session.run(&command).await.expect("ran").exit, Exit::Code(0));
}

#[tokio::test]
async fn the_ways_to_end_are_told_apart() {
    let place = Place::new();
    let session = place.open(&[("text", "not a program")]).await;
    assert_eq!(sh(&*session, "kill -SEGV $$").await.exit, Exit::Signal(11));
    let missing = session.run(&Command::new(["no-such-program"])).await.expect("ran");
    assert_eq!(missing.exit, Exit::Code(127), "{}", missing.stderr.text());
    let not_executable = session.run(&Command::new(["./text"])).await.expect("ran");
    assert_eq!(not_executable.exit, Exit::Code(126));
}

#[tokio::test]
async fn a_command_that_makes_no_sense_is_refused_with_a_reason() {
    let place = Place::new();
    let session = place.open(&[("file", "x"), ("out", "/etc")]).await;
    for argv in [vec![], vec![""], vec!["-c"], vec!["a\0b"]] {
        let error = session.run(&Command::new(argv)).await.expect_err("refused");
        assert!(error.to_string().starts_with("the command cannot be run: "), "{error}");
    }
    for cwd in ["missing", "file"] {
        let mut command = Command::new(["true"]);
        command.cwd = Some(path(cwd));
        let error = session.run(&command).await.expect_err("refused");
        assert_eq!(error.to_string(), format!("the tree has no folder {cwd}"));
    }
}

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
async fn nothing_but_the_tree_and_tmp_can_be_written() {
    let place = Place::new();
    let session = place.open(&[]).await;
    let script = "for d in / /usr /usr/bin /etc /run /run/orchestrator /dev /sys /proc /lib /bin /var; do \
                  (echo x > $d/planted) 2>/dev/null && echo \"$d\"; done; echo x > /tmp/y && echo x > /work/y && echo ok";
    assert_eq!(sh(&*session, script).await.stdout.text(), "ok\n");
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
async fn a_time_out_kills_children_that_left_the_session_within_a_second() {
    let place = Place::new();
    let session = place.open(&[]).await;
    let mut command = shell(
        "trap '' TERM INT HUP; setsid sh -c 'trap \"\" TERM; while :; do echo x >> /work/alive; sleep 0.05; done' & \
         setsid sleep 1000 & echo started; while :; do sleep 0.1; done",
    );
    command.limits.wall = Duration::from_millis(700);
    let start = Instant::now();
    let outcome = session.run(&command).await.expect("ran");
    let took = start.elapsed();
    assert_eq!(outcome.limit, Some(LimitHit::Wall));
    assert_eq!(outcome.exit, Exit::Signal(9));
    assert_eq!(outcome.stdout.text(), "started\n");
    assert!(took < Duration::from_millis(1700), "it took {took:?}");
    let alive = place.tree_file("alive");
    let before = std::fs::metadata(&alive).expect("it ran").len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(std::fs::metadata(&alive).expect("there").len(), before, "something still runs");
}

#[tokio::test]
async fn background_processes_die_with_the_command() {
    let place = Place::new();
    let session = place.open(&[]).await;
    let start = Instant::now();
    let outcome = sh(
        &*session,
        "setsid sh -c 'while :; do echo x >> /work/alive; sleep 0.02; done' & sleep 0.2; echo done",
    )
    .await;
    assert_eq!((outcome.exit, outcome.stdout.text().as_str()), (Exit::Code(0), "done\n"));
    assert!(start.elapsed() < Duration::from_secs(2));
    let before = std::fs::metadata(place.tree_file("alive")).expect("it ran").len();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(std::fs::metadata(place.tree_file("alive")).expect("there").len(), before);
}

#[tokio::test]
async fn a_flood_of_output_ends_the_command_and_stays_small_in_memory() {
    let place = Place::new();
    let session = place.open(&[]).await;
    let mut command = shell("echo first; yes 0123456789012345678901234567890123456789");
    command.limits.output_bytes = 20 << 20;
    let before = resident_bytes();
    let outcome = session.run(&command).await.expect("ran");
    assert_eq!(outcome.limit, Some(LimitHit::Output));
    let text = outcome.stdout.text();
    assert!(text.starts_with("first\n0123456789") && text.contains(" bytes cut …]"));
    assert!(outcome.stdout.total_bytes() > 20 << 20 && outcome.stdout.total_bytes() < 24 << 20);
    assert!(text.len() < 1 << 20);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "memory grew by {grown} bytes");
}

#[tokio::test]
async fn memory_is_limited() {
    let place = Place::new();
    let session = place.open(&[]).await;
    let eat = "/usr/bin/python3 -c '\nblocks = []\nwhile True: blocks.append(bytearray(10_000_000))'";
    let mut command = shell(eat);
    command.limits.memory_bytes = 200 << 20;
    let outcome = session.run(&command).await.expect("ran");
    assert_ne!(outcome.exit, Exit::Code(0));
    if place.has_groups() {
        assert_eq!(outcome.limit, Some(LimitHit::Memory));
    }
    if place.has_groups() {
        assert!(outcome.peak_memory_bytes > 100 << 20, "{}", outcome.peak_memory_bytes);
    }
    assert!(outcome.peak_memory_bytes <= 201 << 20, "{}", outcome.peak_memory_bytes);
    // Files in memory count too.
    let mut command = shell(
        "head -c 500000000 /dev/zero > /tmp/a; head -c 500000000 /dev/zero > /dev/shm/b; df -k /tmp | tail -1",
    );
    command.limits.memory_bytes = 100 << 20;
    let outcome = session.run(&command).await.expect("ran");
    assert!(outcome.peak_memory_bytes <= 101 << 20, "{}", outcome.peak_memory_bytes);
}

#[tokio::test]
async fn a_fork_bomb_is_bounded_and_ends() {
    let place = Place::new();
    let session = place.open(&[]).await;
    let mut command = shell("bomb() { bomb | bomb & }; bomb; sleep 1000");
    command.limits.processes = 50;
    command.limits.wall = Duration::from_secs(2);
    let start = Instant::now();
    let (outcome, most) = tokio::join!(session.run(&command), async {
        let mut most = 0;
        for _ in 0..15 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            most = most.max(processes_of_sandboxes());
        }
        most
    });
    let outcome = outcome.expect("ran");
    // Without a control group nobody counts refusals: a shell that may not fork just ends.
    let gave_up = !place.has_groups() && matches!(outcome.exit, Exit::Code(code) if code != 0);
    assert!(
        matches!(outcome.limit, Some(LimitHit::Wall | LimitHit::Processes)) || gave_up,
        "{:?} {:?}",
        outcome.limit,
        outcome.exit
    );
    assert!(start.elapsed() < Duration::from_secs(4));
    assert!(most < 400, "{most} processes at once");
    if place.has_groups() {
        let mut command = shell("for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done 2>&1; wait");
        command.limits.processes = 5;
        let outcome = session.run(&command).await.expect("ran");
        assert_eq!(outcome.limit, Some(LimitHit::Processes), "{outcome:?}");
    }
}

#[tokio::test]
async fn the_size_of_files_and_of_the_tree_is_limited() {
    let place = Place::new();
    let session = place.open(&[]).await;
    let mut command = Command::new(["dd", "if=/dev/zero", "of=/work/big", "bs=1M", "count=100"]);
    command.limits.file_bytes = 10 << 20;
    let outcome = session.run(&command).await.expect("ran");
    assert_eq!(outcome.limit, Some(LimitHit::FileSize), "{outcome:?}");
    assert!(std::fs::metadata(place.tree_file("big")).expect("there").len() <= 10 << 20);

    let mut command =
        shell("i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > /work/f$i; sleep 0.01; done");
    command.limits.disk_bytes = 30 << 20;
    command.limits.wall = Duration::from_secs(60);
    let outcome = session.run(&command).await.expect("ran");
    assert_eq!(outcome.limit, Some(LimitHit::Disk), "{outcome:?}");
}

#[tokio::test]
async fn processor_time_is_limited_over_all_processes() {
    let place = Place::new();
    let session = place.open(&[]).await;
    let mut command = shell("for i in 1 2 3 4; do (while :; do :; done) & done; wait");
    command.limits.cpu = Duration::from_secs(1);
    command.limits.wall = Duration::from_secs(30);
    let outcome = session.run(&command).await.expect("ran");
    assert_eq!(outcome.limit, Some(LimitHit::Cpu), "{outcome:?}");
    assert!(outcome.cpu < Duration::from_secs(3), "{:?}", outcome.cpu);
}

#[tokio::test]
async fn dropping_the_future_kills_the_command_and_dropping_the_session_removes_it() {
    let place = Place::new();
    let session = place.open(&[]).await;
    let command = shell("setsid sh -c 'while :; do echo x >> /work/alive; sleep 0.02; done' & sleep 1000");
    assert!(tokio::time::timeout(Duration::from_millis(500), session.run(&command)).await.is_err());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = std::fs::metadata(place.tree_file("alive")).expect("it ran").len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(std::fs::metadata(place.tree_file("alive")).expect("there").len(), before);
    // The session is still good.
    assert_eq!(sh(&*session, "echo again").await.stdout.text(), "again\n");
    drop(session);
    place.wait_until_empty().await;
}

#[tokio::test]
async fn what_a_command_wrote_is_read_back() {
    let place = Place::new();
    let session = place.open(&[("a.txt", "one\n"), ("b.txt", "two\n"), ("run.sh", "#!/bin/sh\n")]).await;
    let script = "echo changed > a.txt; rm b.txt; mkdir -p new/deep; echo x > new/deep/file; chmod +x run.sh; \
                  ln -s ../a.txt new/link; git init -q . 2>/dev/null || mkdir .git; mkdir target; echo o > target/o";
    sh(&*session, script).await;
    let back = session.read_back().await.expect("read back");
    let files: Vec<(&str, FileMode, String)> = back
        .tree
        .files
        .iter()
        .map(|(path, entry)| (path.as_str(), entry.mode, String::from_utf8_lossy(&entry.bytes).into_owned()))
        .collect();
    assert_eq!(
        files,
        [
            ("a.txt", FileMode::Regular, "changed\n".to_owned()),
            ("new/deep/file", FileMode::Regular, "x\n".to_owned()),
            ("new/link", FileMode::Symlink, "../a.txt".to_owned()),
            ("run.sh", FileMode::Executable, "#!/bin/sh\n".to_owned()),
        ]
    );
    let left: Vec<&str> = back.left_out.iter().map(|left| left.path.as_str()).collect();
    assert_eq!(left, [".git", "target/"]);

    sh(&*session, "ln -s /etc/passwd evil; mkfifo pipe").await;
    let error = session.read_back().await.expect_err("refused").to_string();
    assert!(error.contains("evil: it is a link to \"/etc/passwd\", which is absolute"), "{error}");
    assert!(error.contains("pipe: it is a named pipe"), "{error}");
}

#[tokio::test]
async fn mounts_are_visible_where_they_should_be_and_no_link_of_the_tree_moves_them() {
    let place = Place::new();
    let shared = place.folder("shared");
    std::fs::write(shared.join("file"), "shared\n").expect("a file");
    let session = place.open(&[]).await;
    let mount = |inside: &str, access| Mount { host: shared.clone(), inside: inside.into(), access };
    let mut command = shell("cat /work/deps/file /opt/deps/file; (echo x > /work/deps/new) 2>&1");
    command.mounts = vec![mount("/work/deps", Access::ReadOnly), mount("/opt/deps", Access::ReadOnly)];
    let outcome = session.run(&command).await.expect("ran");
    let text = outcome.stdout.text();
    assert!(text.starts_with("shared\nshared\n") && text.contains("Read-only"), "{text}");

    let mut command = shell("echo new > /cache/new");
    command.mounts = vec![mount("/cache", Access::ReadWrite)];
    assert_eq!(session.run(&command).await.expect("ran").exit, Exit::Code(0));
    assert_eq!(std::fs::read_to_string(shared.join("new")).expect("written"), "new\n");

    sh(&*session, "rmdir deps; ln -s /usr deps").await;
    command.mounts = vec![mount("/work/deps", Access::ReadOnly)];
    let error = session.run(&command).await.expect_err("refused").to_string();
    assert!(error.contains("/work/deps leads through a link of the tree"), "{error}");
    for inside in ["relative", "/", "/work/../etc"] {
        command.mounts = vec![mount(inside, Access::ReadOnly)];
        assert!(session.run(&command).await.is_err(), "{inside} was taken");
    }
}

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
            let outcome = sh(&*session, "sleep 1; cat n; ls /work | wc -l; ls -d /proc/[0-9]* | wc -l").await;
            let text = outcome.stdout.text();
            assert!(text.starts_with(&format!("{n}1\n")), "{text}");
            session.close().await.expect("closed");
        }
    });
    futures::future::join_all(work).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(place.sessions(), [""; 0]);
}

#[tokio::test]
async fn the_probe_says_what_works() {
    let report = Place::new().sandbox.probe().await;
    assert!(report.works, "{:?}", report.findings);
    println!("a sandbox starts and ends in {:?}", report.start_time);
    report.findings.iter().for_each(|finding| println!("{finding}"));
}

#[test]
fn a_missing_bubblewrap_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = BubblewrapOptions::new(folder.path(), "/bin/true");
    options.bubblewrap = folder.path().join("bwrap");
    let error = Bubblewrap::new(options).expect_err("refused").to_string();
    assert!(error.contains("Install the package `bubblewrap`"), "{error}");
}

/// The part of the next test that is killed: it runs only when it is asked for by name.
#[tokio::test]
#[ignore = "started by kill_9_of_the_parent_leaves_nothing_and_the_next_start_sweeps"]
async fn child_that_is_killed() {
    let root = std::env::current_dir().expect("a folder");
    if !root.join("killed-here").exists() {
        return;
    }
    let sandbox = Bubblewrap::new(BubblewrapOptions::new(root.join("work"), "/bin/true")).expect("a sandbox");
    let session = sandbox.open(&Snapshot::default()).await.expect("open");
    let script = "setsid sh -c 'while :; do echo x >> /work/alive; sleep 0.02; done' & sleep 1000";
    session.run(&shell(script)).await.expect("ran");
}

#[tokio::test]
async fn kill_9_of_the_parent_leaves_nothing_and_the_next_start_sweeps() {
    let place = Place::new();
    std::fs::write(place.path().join("killed-here"), "").expect("a mark");
    let mut child = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "child_that_is_killed"])
        .current_dir(place.path())
        .spawn()
        .expect("started");
    let alive = place.wait_for_file("alive").await;
    assert_eq!(place.sandbox.sweep().await.expect("swept"), 0, "a living session was swept");
    child.kill().expect("killed");
    child.wait().expect("reaped");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = std::fs::metadata(&alive).expect("there").len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(std::fs::metadata(&alive).expect("there").len(), before, "something still runs");
    assert_eq!(place.sandbox.sweep().await.expect("swept"), 1);
    assert_eq!(place.sessions(), [""; 0]);
}

/// All of the above, as a user who is not root, where limits are sampled and not kept by control groups.
#[test]
fn everything_holds_for_an_ordinary_user_too() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    set_mode(folder.path(), 0o777);
    let program = folder.path().join("tests");
    std::fs::copy(std::env::current_exe().expect("this test"), &program).expect("a copy");
    let status = std::process::Command::new("setpriv")
        .args(["--reuid", "4242", "--regid", "4242", "--clear-groups"])
        .arg(&program)
        .current_dir(folder.path())
        .env("TMPDIR", folder.path())
        .status()
        .expect("setpriv");
    assert!(status.success(), "{status}");
}

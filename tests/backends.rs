//! One set of claims for every backend: whatever makes the sandbox, a command, its limits and what comes
//! back are the same.

use std::time::Duration;

use orchestrator::sandbox::{
    Access, Command, Container, EgressVerdict, Exit, HostName, Mount, Network, Sandbox, SandboxError,
    TreeLimits,
};
use orchestrator::workspace::FileMode;

mod backend_support;
use backend_support::engine::Engine;
use backend_support::*;

for_every_backend!(
    a_command_sees_the_tree_and_its_code_and_output_come_back,
    the_ways_to_end_are_told_apart,
    a_command_that_makes_no_sense_is_refused_with_a_reason,
    the_environment_is_small_and_holds_nothing_of_the_hosts,
    only_the_tree_and_tmp_can_be_written,
    the_user_is_nobody_special_and_sees_only_own_processes,
    there_is_no_network,
    sessions_see_nothing_of_each_other,
    what_a_command_wrote_is_read_back,
    a_tree_that_may_not_leave_is_refused,
    mounts_are_where_they_should_be_and_no_link_of_the_tree_moves_them,
    a_listed_host_is_reached_through_the_proxy_and_nothing_else,
    a_service_of_ours_is_reached_at_its_port_and_nothing_else,
    our_own_program_serves_the_file_tools,
    long_output_is_kept_whole,
    background_processes_die_with_the_command,
    dropping_the_future_kills_the_command_and_dropping_the_session_removes_it,
    a_close_that_nobody_waits_for_removes_everything_all_the_same,
    kill_9_of_the_parent_leaves_nothing_that_the_next_start_does_not_find,
    the_probe_says_what_works,
);

async fn a_command_sees_the_tree_and_its_code_and_output_come_back(place: Place) {
    let session =
        place.open(&[("greeting.txt", "hello\n"), ("sub/run.sh", "#!/bin/sh\npwd\nexit 3\n")]).await;
    let outcome = sh(&*session, "cat greeting.txt; echo oops >&2; exit 7").await;
    assert_eq!(outcome.exit, Exit::Code(7));
    assert_eq!((outcome.stdout.text().as_str(), outcome.stderr.text().as_str()), ("hello\n", "oops\n"));
    assert_eq!(outcome.limit, None);
    assert!(outcome.wall > Duration::ZERO);
    // What is sampled misses a command as short as this.
    assert!(outcome.peak_memory_bytes > 0 || !place.counts());

    let mut command = Command::new(["sh", "run.sh"]);
    command.cwd = Some(path("sub"));
    let outcome = session.run(&command).await.expect("ran");
    assert_eq!((outcome.exit, outcome.stdout.text().as_str()), (Exit::Code(3), "/tree/sub\n"));

    let mut command = Command::new(["wc", "-c"]);
    command.stdin = Some(vec![b'x'; 300_000]);
    assert_eq!(session.run(&command).await.expect("ran").stdout.text().trim(), "300000");
    command.stdin = None;
    assert_eq!(session.run(&command).await.expect("ran").stdout.text().trim(), "0");
    // A command that does not read what it is given is no error.
    let mut command = Command::new(["true"]);
    command.stdin = Some(vec![b'x'; 300_000]);
    assert_eq!(session.run(&command).await.expect("ran").exit, Exit::Code(0));
    session.close().await.expect("closed");
    assert_eq!(place.left(), [""; 0]);
}

async fn the_ways_to_end_are_told_apart(place: Place) {
    let session = place.open(&[("text", "not a program")]).await;
    assert_eq!(sh(&*session, "kill -SEGV $$").await.exit, Exit::Signal(11));
    let missing = session.run(&Command::new(["no-such-program"])).await.expect("ran");
    assert_eq!(missing.exit, Exit::Code(127), "{}", missing.stderr.text());
    assert!(missing.stderr.text().contains("no-such-program"));
    let not_executable = session.run(&Command::new(["./text"])).await.expect("ran");
    assert_eq!(not_executable.exit, Exit::Code(126));
}

async fn a_command_that_makes_no_sense_is_refused_with_a_reason(place: Place) {
    let session = place.open(&[("file", "x")]).await;
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

async fn the_environment_is_small_and_holds_nothing_of_the_hosts(place: Place) {
    let session = place.open(&[]).await;
    let mut command =
        Command::new(["sh", "-c", "env | cut -d= -f1 | sort; cat /proc/*/environ; ls -l /proc/1/fd"]);
    command.env.insert("OWN".into(), "1".into());
    let outcome = session.run(&command).await.expect("ran");
    let text = outcome.stdout.text();
    let names: Vec<&str> = text.lines().take_while(|line| !line.contains('=')).collect();
    let mut expected = vec!["HOME", "LANG", "OWN", "PATH", "PWD", "TMPDIR", "USER"];
    // BusyBox's shell says how deep it is.
    expected.extend(names.contains(&"SHLVL").then_some("SHLVL"));
    // The simulated node's images have a variable of their own.
    expected.extend((place.kind == Kind::Kubernetes).then_some("FROM_THE_IMAGE"));
    expected.sort_unstable();
    assert_eq!(names, expected);
    // CARGO_MANIFEST_DIR is in the environment of every test, so a leak would show it.
    assert!(!text.contains("CARGO_") && !text.contains("container="), "{text}");
}

async fn only_the_tree_and_tmp_can_be_written(place: Place) {
    let session = place.open(&[]).await;
    let script = "for d in / /usr /bin /etc /run /run/orchestrator /run/orchestrator/bin /dev /sys /proc /var /var/tmp; do \
                  (echo x > $d/planted) 2>/dev/null && echo \"$d\"; done; \
                  for d in /tree /tmp /dev/shm; do echo x > $d/y && echo ok; done";
    let outcome = sh(&*session, script).await;
    assert_eq!(outcome.stdout.text(), "ok\nok\nok\n", "{}", outcome.stderr.text());
    let outcome = sh(&*session, "ls /tmp /dev/shm; ls /tree").await;
    assert!(!outcome.stdout.text().contains("/tmp:\ny"), "files in memory outlive their command");
    assert!(outcome.stdout.text().ends_with("y\n"), "{}", outcome.stdout.text());
    if place.kind == Kind::Container {
        let weak = Engine::get().podman(&[
            "run",
            "--rm",
            "--network",
            "none",
            &Engine::get().image,
            "sh",
            "-c",
            "echo x > /bin/planted && echo written",
        ]);
        assert_eq!(weak, "written", "the weak variant cannot write either");
    }
}

async fn the_user_is_nobody_special_and_sees_only_own_processes(place: Place) {
    let session = place.open(&[]).await;
    let outcome =
        sh(&*session, "id -u; id -G; ls -d /proc/[0-9]* | wc -l; cat /proc/self/status; kill -9 1; echo $?")
            .await;
    let text = outcome.stdout.text();
    let mut lines = text.lines();
    let uid = lines.next().and_then(|uid| uid.parse::<u32>().ok()).expect("a number");
    assert!(uid >= 1000 && lines.next() == Some(uid.to_string().as_str()), "{text}");
    let processes: u32 = lines.next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(processes <= 5, "{processes} processes show");
    for line in [
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    // The first process is out of reach: its end would be the sandbox's.
    assert_eq!(outcome.exit, Exit::Code(0));
    let outcome = sh(&*session, "cat /proc/1/mem /proc/1/environ; ls /proc/1/fd; echo end").await;
    if place.kind != Kind::Bubblewrap {
        assert_eq!(outcome.stdout.text(), "end\n", "the first process's files can be read");
    }
}

async fn there_is_no_network(place: Place) {
    let session = place.open(&[]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let script = format!(
        "cat /proc/net/dev | tail -n +3 | cut -d: -f1; busybox nc -w 2 127.0.0.1 {port} </dev/null && echo through; \
         busybox nslookup localhost.example; busybox ping -c 1 -W 1 169.254.169.254; true"
    );
    let outcome = sh(&*session, &script).await;
    let text = outcome.stdout.text();
    assert_eq!(text.lines().next().map(str::trim), Some("lo"), "{text}");
    assert!(!text.contains("through") && outcome.stderr.text().contains("refused"), "{text}");
    assert!(!text.contains("1 packets received") && !text.contains("Name:"), "{text}");
    if place.kind == Kind::Container {
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        let image = &Engine::get().image;
        let connect = format!("busybox nc -w 2 127.0.0.1 {port} </dev/null && echo through");
        let weak = Engine::get().podman(&["run", "--rm", "--network", "host", image, "sh", "-c", &connect]);
        assert!(weak.contains("through"), "the weak variant does not reach the host: {weak}");
    }
}

async fn sessions_see_nothing_of_each_other(place: Place) {
    let (one, two) = (place.open(&[("one", "1")]).await, place.open(&[("two", "2")]).await);
    sh(&*one, "echo secret > /tree/secret; echo secret > /tmp/secret").await;
    let text = sh(&*two, "ls /tree /tmp; cat /proc/*/cwd/secret").await.stdout.text();
    assert!(text.contains("two") && !text.contains("secret"), "{text}");
    assert_eq!(sh(&*one, "cat /tree/secret").await.stdout.text(), "secret\n");
}

async fn what_a_command_wrote_is_read_back(place: Place) {
    let mut tree = snapshot(&[("a.txt", "one\n"), ("b.txt", "two\n"), ("run.sh", "#!/bin/sh\n")]);
    let entry =
        |mode, bytes: &[u8]| orchestrator::workspace::FileEntry { mode, bytes: bytes.to_vec().into() };
    tree.files.insert(path("kept"), entry(FileMode::Symlink, b"/usr/share/elsewhere"));
    tree.files.insert(path("empty"), entry(FileMode::Regular, b""));
    let session = place.backend.open(&tree).await.expect("a session");
    let script = "test -x run.sh && exit 1; echo changed > a.txt; rm b.txt; mkdir -p new/deep; echo x > new/deep/file; \
                  chmod +x run.sh; ln -s ../a.txt new/link; mkdir .git target; echo o > target/o; chmod 0 new/deep/file; \
                  head -c 3000000 /dev/zero > large";
    assert_eq!(sh(&*session, script).await.exit, Exit::Code(0));
    let back = session.read_back().await.expect("read back");
    let large = back.tree.files.get(&path("large")).expect("a large file");
    assert!(large.bytes.len() == 3_000_000 && large.bytes.iter().all(|byte| *byte == 0));
    let files: Vec<(&str, FileMode, String)> = back
        .tree
        .files
        .iter()
        .filter(|(path, _)| path.as_str() != "large")
        .map(|(path, entry)| (path.as_str(), entry.mode, String::from_utf8_lossy(&entry.bytes).into_owned()))
        .collect();
    assert_eq!(
        files,
        [
            ("a.txt", FileMode::Regular, "changed\n".to_owned()),
            ("empty", FileMode::Regular, String::new()),
            ("kept", FileMode::Symlink, "/usr/share/elsewhere".to_owned()),
            ("new/deep/file", FileMode::Regular, "x\n".to_owned()),
            ("new/link", FileMode::Symlink, "../a.txt".to_owned()),
            ("run.sh", FileMode::Executable, "#!/bin/sh\n".to_owned()),
        ]
    );
    let left: Vec<&str> = back.left_out.iter().map(|left| left.path.as_str()).collect();
    assert_eq!(left, [".git", "target/"]);
}

async fn a_tree_that_may_not_leave_is_refused(place: Place) {
    let session = place.open(&[("a.txt", "one\n")]).await;
    sh(&*session, "ln -s /etc/passwd evil; mkfifo pipe; mkdir dir; ln -s ../../etc dir/out").await;
    let error = session.read_back().await.expect_err("refused").to_string();
    assert!(error.contains("evil: it is a link to \"/etc/passwd\", which is absolute"), "{error}");
    assert!(error.contains("pipe: it is a named pipe"), "{error}");
    assert!(error.contains("dir/out: it is a link to \"../../etc\", which leaves the tree"), "{error}");

    let limits = TreeLimits { files: 20, bytes: 4000, file_bytes: 3000 };
    let small = backend(place.kind, place.path(), limits).await;
    let session = small.open(&snapshot(&[])).await.expect("a session");
    for (script, what) in [
        ("head -c 3001 /dev/zero > a", "bytes in one file (limit 3000)"),
        ("head -c 3000 /dev/zero > a; head -c 1001 /dev/zero > b", "bytes in all files (limit 4000)"),
        ("rm a b; for i in $(seq 21); do echo > f$i; done", "files (limit 20)"),
    ] {
        sh(&*session, script).await;
        let error = session.read_back().await.expect_err("refused");
        assert!(
            matches!(error, SandboxError::TreeTooLarge { .. }) && error.to_string().ends_with(what),
            "{error}"
        );
    }
}

async fn mounts_are_where_they_should_be_and_no_link_of_the_tree_moves_them(place: Place) {
    let shared = place.folder("shared");
    std::fs::write(shared.join("file"), "shared\n").expect("a file");
    let session = place.open(&[("kept/file", "x")]).await;
    sh(&*session, "chmod 1777 kept").await;
    let mount = |inside: &str, access| Mount { host: shared.clone(), inside: inside.into(), access };
    let mut command = shell(
        "cat /tree/deps/file /deps/x/file; (echo x > /tree/deps/new) 2>&1; echo s > /tree/kept/s && df /tree/kept | tail -1",
    );
    // A pod's mounts are fixed when it starts: there they are files, of which permissions say the same.
    let (refusal, in_memory) = match place.kind {
        Kind::Kubernetes => ("Permission denied", "/tree"),
        _ => ("Read-only", "tmpfs"),
    };
    command.mounts = vec![mount("/tree/deps", Access::ReadOnly), mount("/deps/x", Access::ReadOnly)];
    command.scratch = vec!["/tree/kept".into()];
    let outcome = session.run(&command).await.expect("ran");
    let text = outcome.stdout.text();
    assert!(text.starts_with("shared\nshared\n") && text.contains(refusal), "{text}");
    assert!(text.contains(in_memory) && outcome.exit == Exit::Code(0), "{text}{}", outcome.stderr.text());
    assert_eq!(sh(&*session, "ls /tree/kept").await.stdout.text(), "file\n");

    let mut command = shell("cat /deps/cache/file && echo new > /deps/cache/new");
    command.mounts = vec![mount("/deps/cache", Access::ReadWrite)];
    assert_eq!(session.run(&command).await.expect("ran").stdout.text(), "shared\n");
    assert_eq!(std::fs::read_to_string(shared.join("new")).expect("written"), "new\n");

    sh(&*session, "chmod -R u+w deps; rm -rf deps; ln -s /usr deps").await;
    command.mounts = vec![mount("/tree/deps", Access::ReadOnly)];
    let error = session.run(&command).await.expect_err("refused").to_string();
    assert!(error.contains("/tree/deps leads through a link of the tree"), "{error}");
    for inside in ["relative", "/", "/tree/../etc"] {
        command.mounts = vec![mount(inside, Access::ReadOnly)];
        assert!(session.run(&command).await.is_err(), "{inside} was taken");
    }
}

async fn a_listed_host_is_reached_through_the_proxy_and_nothing_else(place: Place) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut buffer = [0; 64];
            let _ = client.read(&mut buffer).await;
            let _ = client.write_all(b"reached the host\n").await;
        }
    });
    let session = place.open(&[]).await;
    // The proxy must have answered before more is said, and the host before the end: each is waited for.
    let talk = |target: &str| {
        let wait = |answer: &str| {
            format!("until grep -q '{answer}' /tmp/out || ! kill -0 $! 2> /dev/null; do sleep 0.05; done")
        };
        let mut command = shell(&format!(
            "trap '' PIPE; mkfifo /tmp/in; : > /tmp/out
             busybox nc 127.0.0.1 3128 < /tmp/in > /tmp/out & exec 3> /tmp/in
             printf 'CONNECT {target} HTTP/1.1\\r\\n\\r\\n' >&3; {}
             echo hello >&3; {}
             exec 3>&-; wait; cat /tmp/out; echo $HTTPS_PROXY",
            wait("HTTP/"),
            wait("the host"),
        ));
        let host = HostName::parse(&format!("localhost:{port}")).expect("a host");
        command.network = Network::AllowList(vec![host]);
        command
    };
    let host = format!("localhost:{port}");
    let outcome = session.run(&talk(&host)).await.expect("ran");
    let text = outcome.stdout.text();
    assert!(text.contains("200 Connection established") && text.contains("reached the host"), "{text}");
    assert!(text.ends_with("http://127.0.0.1:3128\n"), "{text}");
    assert_eq!(outcome.egress.len(), 1);
    assert_eq!(outcome.egress[0].verdict, EgressVerdict::Allowed { sent: 6, received: 17 });

    let outcome = session.run(&talk("other.example:443")).await.expect("ran");
    assert!(outcome.stdout.text().contains("403 Forbidden"), "{}", outcome.stdout.text());
    assert!(matches!(outcome.egress[0].verdict, EgressVerdict::Refused { .. }));
    let mut command = talk(&host);
    command.network = Network::None;
    assert!(!session.run(&command).await.expect("ran").stdout.text().contains("200"));
}

async fn a_service_of_ours_is_reached_at_its_port_and_nothing_else(place: Place) {
    use std::os::unix::fs::PermissionsExt;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = place.folder("service").join("it.sock");
    let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).expect("a mode");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut buffer = [0; 64];
            let n = client.read(&mut buffer).await.unwrap_or(0);
            let _ = client.write_all(&[b"you said ", &buffer[..n]].concat()).await;
        }
    });
    let session = place.open(&[]).await;
    let mut command = shell(
        "for n in 1 2; do (echo hello $n; sleep 0.5) | busybox nc 127.0.0.1 3128; done; \
         echo \"proxy: $HTTPS_PROXY\"; busybox nc -w 2 127.0.0.1 22; echo $?",
    );
    command.network = Network::Service(socket.clone());
    let outcome = session.run(&command).await.expect("ran");
    let said = outcome.stdout.text();
    assert_eq!(said, "you said hello 1\nyou said hello 2\nproxy: \n1\n", "{}", outcome.stderr.text());
    assert_eq!(outcome.egress, []);
    assert!(socket.exists(), "it is not the sandbox's to remove");
    command.network = Network::None;
    assert!(!session.run(&command).await.expect("ran").stdout.text().contains("you said"));
}

async fn our_own_program_serves_the_file_tools(place: Place) {
    let session = place.open(&[("src/lib.rs", "fn one() {}\n")]).await;
    let mut command = Command::new([orchestrator::sandbox::PROGRAM_INSIDE, "in-sandbox", "tool"]);
    command.stdin = Some(br#"{"tool":"read_file","arguments":{"path":"src/lib.rs"}}"#.to_vec());
    let outcome = session.run(&command).await.expect("ran");
    assert_eq!(outcome.exit, Exit::Code(0), "{}", outcome.stderr.text());
    assert!(outcome.stdout.text().starts_with('{'), "{}", outcome.stdout.text());
}

async fn long_output_is_kept_whole(place: Place) {
    let session = place.open(&[]).await;
    let outcome = sh(&*session, "seq 1 500000; echo end >&2").await;
    let mut whole = String::new();
    std::io::Read::read_to_string(&mut outcome.stdout.whole(), &mut whole).expect("read");
    let expected: String = (1..=500_000).map(|n| format!("{n}\n")).collect();
    assert!(whole == expected, "{} bytes instead of {}", whole.len(), expected.len());
    assert!(outcome.stdout.cut_bytes() > 0 && outcome.stdout.text().len() < 1 << 20);
    assert_eq!(outcome.stderr.text(), "end\n");
}

async fn background_processes_die_with_the_command(place: Place) {
    let session = place.open(&[]).await;
    let script = "setsid sh -c 'while :; do echo x >> /tree/alive; sleep 0.02; done' & \
                  until [ -s /tree/alive ]; do sleep 0.02; done; echo done";
    let outcome = sh(&*session, script).await;
    assert_eq!((outcome.exit, outcome.stdout.text().as_str()), (Exit::Code(0), "done\n"));
    assert!(outcome.wall < Duration::from_secs(20), "{:?}", outcome.wall);
    nothing_writes(&*session).await;
}

/// Asserts that the file `alive` is there and does not grow.
async fn nothing_writes(session: &dyn orchestrator::sandbox::Session) {
    let text = sh(session, "wc -c < alive; sleep 0.3; wc -c < alive").await.stdout.text();
    let sizes: Vec<&str> = text.lines().collect();
    assert!(sizes.len() == 2 && sizes[0] != "0" && sizes[0] == sizes[1], "something still runs: {text}");
}

async fn dropping_the_future_kills_the_command_and_dropping_the_session_removes_it(place: Place) {
    let session = place.open(&[]).await;
    let command = shell("setsid sh -c 'while :; do echo x >> /tree/alive; sleep 0.02; done' & sleep 1000");
    // Dropped too soon the command may not have begun at all, and that says nothing.
    let mut patience = Duration::from_millis(1500);
    loop {
        assert!(tokio::time::timeout(patience, session.run(&command)).await.is_err());
        if sh(&*session, "test -s alive").await.exit == Exit::Code(0) {
            break;
        }
        patience *= 2;
        assert!(patience < Duration::from_secs(120), "it does not start");
    }
    nothing_writes(&*session).await;
    let never = tokio::time::timeout(Duration::from_millis(300), session.run(&command)).await;
    assert!(never.is_err());
    drop(session);
    place.wait_until_nothing_is_left().await;
}

async fn a_close_that_nobody_waits_for_removes_everything_all_the_same(place: Place) {
    let session = place.open(&[("file", "x")]).await;
    let _ = tokio::time::timeout(Duration::from_millis(1), session.close()).await;
    place.wait_until_nothing_is_left().await;
}

/// The part of the next test that is killed: it runs only when it is asked for by name.
#[tokio::test]
#[ignore = "started by kill_9_of_the_parent_leaves_nothing_that_the_next_start_does_not_find"]
async fn child_that_is_killed() {
    let root = std::env::current_dir().expect("a folder");
    let Ok(kind) = std::fs::read_to_string(root.join("killed-here")) else { return };
    let kinds = [Kind::Bubblewrap, Kind::Container, Kind::Kubernetes];
    let kind = kinds.into_iter().find(|known| format!("{known:?}") == kind).expect("a backend");
    let backend = backend(kind, &root, TreeLimits::default()).await;
    let session = backend.open(&snapshot(&[])).await.expect("open");
    std::fs::create_dir(root.join("seen")).expect("a folder");
    let mut command =
        shell("setsid sh -c 'while :; do echo x >> /tree/seen/alive; sleep 0.02; done' & sleep 1000");
    command.mounts =
        vec![Mount { host: root.join("seen"), inside: "/tree/seen".into(), access: Access::ReadWrite }];
    command.limits.wall = Duration::from_secs(1000);
    session.run(&command).await.expect("ran");
}

async fn kill_9_of_the_parent_leaves_nothing_that_the_next_start_does_not_find(place: Place) {
    std::fs::write(place.path().join("killed-here"), format!("{:?}", place.kind)).expect("a mark");
    let mut child = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "child_that_is_killed"])
        .current_dir(place.path())
        .spawn()
        .expect("started");
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    let alive = loop {
        if let Some(alive) = place.written("seen/alive") {
            break alive;
        }
        assert!(std::time::Instant::now() < deadline, "it does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(place.backend.sweep().await.expect("swept"), 0, "a living session was swept");
    child.kill().expect("killed");
    child.wait().expect("reaped");
    let size = || std::fs::metadata(&alive).expect("there").len();
    // The end takes a moment: a guard has to notice it, and an engine has to be asked.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let before = size();
        tokio::time::sleep(Duration::from_millis(500)).await;
        if size() == before {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "something still runs");
    }
    assert!(!place.left().is_empty());
    assert_eq!(place.backend.sweep().await.expect("swept"), 1);
    assert_eq!(place.left(), [""; 0]);
}

async fn the_probe_says_what_works(place: Place) {
    let report = place.backend.probe().await;
    assert!(report.works, "{:?}", report.findings);
    println!("{:?}: a sandbox starts and ends in {:?}", place.kind, report.start_time);
    report.findings.iter().for_each(|finding| println!("{finding}"));
}

#[tokio::test]
async fn an_image_that_cannot_be_trusted_or_used_is_refused_with_a_reason() {
    let root = tempfile::tempdir().expect("a folder");
    let engine = Engine::get();
    let with_volume = {
        let name = "localhost/orchestrator-test-volume";
        engine.podman(&["container", "create", "--name", "with-volume", &engine.image, "true"]);
        let id = engine.podman(&["commit", "-q", "--change", "VOLUME /data", "with-volume", name]);
        engine.podman(&["rm", "with-volume"]);
        format!("sha256:{id}")
    };
    let missing = format!("localhost/missing@sha256:{}", "0".repeat(64));
    let refused = |change: fn(&mut orchestrator::sandbox::ContainerOptions, &str), value: &str| {
        let mut options = container_options(root.path());
        change(&mut options, value);
        async move { Container::connect(options).await.err().expect("refused").to_string() }
    };
    for (image, reason) in [
        ("localhost/orchestrator-test:latest", "is not named by its digest"),
        (missing.as_str(), "pull or build it there first"),
        (with_volume.as_str(), "declares the volume /data"),
    ] {
        let error = refused(|options, image| options.image = image.into(), image).await;
        assert!(
            error.starts_with("the container engine cannot be used: ") && error.contains(reason),
            "{error}"
        );
    }
    engine.podman(&["image", "rm", &with_volume]);
    let error = refused(|options, runtime| options.runtime = Some(runtime.into()), "runsc").await;
    assert!(error.contains("podman --runtime runsc system service"), "{error}");
    let error = refused(|options, socket| options.socket = socket.into(), "/no/such.sock").await;
    assert!(error.contains("/no/such.sock"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_gets_a_sessions_user_before_all_of_the_session_is_gone() {
    if !is_root() {
        return;
    }
    let root = tempfile::tempdir().expect("a folder");
    let mut options = container_options(root.path());
    options.user_ids = 2_130_001_000..=2_130_001_000;
    let sandbox = Container::connect(options).await.expect("a container engine");
    let session = sandbox.open(&snapshot(&[])).await.expect("a session");
    let command = shell("sleep 100");
    assert!(tokio::time::timeout(Duration::from_millis(1500), session.run(&command)).await.is_err());
    let _ = tokio::time::timeout(Duration::from_millis(1), session.close()).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let next = loop {
        match sandbox.open(&snapshot(&[])).await {
            Ok(next) => break next,
            Err(SandboxError::NoFreeUser { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(std::time::Instant::now() < deadline, "the user is never free again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let work = root.path().join("work");
    assert_eq!(Engine::get().of_deployment(&work).len(), 1, "more than the second session's volume");
    assert_eq!(std::fs::read_dir(work.join("sessions")).expect("sessions").count(), 1);
    next.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_somebody_kills_is_no_verdict_on_its_command() {
    let place = Place::new(Kind::Container).await;
    let session = place.open(&[]).await;
    let host = place.folder("seen");
    let deployment = std::fs::read_to_string(place.path().join("work/deployment")).expect("a name");
    let filter = format!("label=orchestrator.deployment={deployment}");
    let running = move || Engine::get().podman(&["ps", "-q", "--filter", &filter]);
    // The container that has written the tree may still be going.
    let before = running();
    let started = host.join("started");
    let kill = async {
        tokio::task::spawn_blocking(move || {
            let deadline = std::time::Instant::now() + Duration::from_secs(120);
            while !started.exists() {
                assert!(std::time::Instant::now() < deadline, "the command does not start");
                std::thread::sleep(Duration::from_millis(50));
            }
            let now = running();
            let id = now.lines().find(|id| !before.contains(id)).expect("the command's container");
            Engine::get().podman(&["kill", id]);
            place
        })
        .await
        .expect("killed")
    };
    let mut command = shell("touch seen/started; sleep 1000");
    command.mounts = vec![Mount { host, inside: "/tree/seen".into(), access: Access::ReadWrite }];
    let (outcome, place) = tokio::join!(session.run(&command), kill);
    let error = outcome.expect_err("nobody knows what became of it").to_string();
    assert!(error.contains("the container ended with code 137 before its command did"), "{error}");
    session.close().await.expect("closed");
    assert_eq!(place.left(), [""; 0]);
}

/// What bubblewrap does, as a user who is not root, where limits are sampled and not kept by control groups.
#[test]
fn everything_holds_for_an_ordinary_user_too() {
    again_as_an_ordinary_user(&["bubblewrap::"]);
}

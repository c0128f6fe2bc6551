//! A repository with a trap for each tool that reads its configuration.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use orchestrator::domain::{GateKind, Requirement};
use orchestrator::gates::{
    CommandLine, Dependencies, EgressPolicy, Gate, GatePolicy, SetupPolicy, Stores, prepare, run,
};
use orchestrator::sandbox::{
    Access, Bubblewrap, BubblewrapOptions, Command, HostName, Limits, Sandbox, detect_toolchains,
};
use orchestrator::workspace::{FileEntry, FileMode, RepoPath, Snapshot};

use crate::canaries::Canaries;
use crate::scene::PROGRAM;

/// Where a trap leaves what it found.
const LOOT: &str = "loot.txt";

struct Trap {
    name: &'static str,
    command: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
}

const MANIFEST: (&str, &str) =
    ("Cargo.toml", "[package]\nname = \"trap\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n");
const LIB: (&str, &str) = ("src/lib.rs", "#[test]\nfn passes() {}\n");

/// What each tool runs of a repository before anybody has looked at it. ESLint and pytest load their
/// configuration by running it, as is done here without them.
const TRAPS: [Trap; 7] = [
    Trap {
        name: "build.rs",
        command: &["cargo", "test", "--offline"],
        files: &[
            MANIFEST,
            LIB,
            (
                "build.rs",
                "fn main() { std::process::Command::new(\"sh\").args([\"-c\", \"sh trap.sh >> loot.txt\"]).status().unwrap(); }\n",
            ),
        ],
    },
    Trap {
        name: ".cargo/config.toml",
        command: &["cargo", "test", "--offline"],
        files: &[
            MANIFEST,
            LIB,
            (
                ".cargo/config.toml",
                "[target.'cfg(all())']\nrunner = [\"sh\", \"-c\", \"sh trap.sh >> loot.txt\"]\n",
            ),
        ],
    },
    Trap {
        name: "rustc-wrapper",
        command: &["cargo", "build", "--offline"],
        files: &[
            MANIFEST,
            LIB,
            (".cargo/config.toml", "[build]\nrustc-wrapper = \"./wrapper.sh\"\n"),
            ("wrapper.sh", "#!/bin/sh\n( cd \"${0%/*}\" && sh trap.sh >> loot.txt )\nexec \"$@\"\n"),
        ],
    },
    Trap {
        name: "conftest.py",
        command: &["python3", "-c", "import conftest"],
        files: &[("conftest.py", "import os\nos.system('sh trap.sh >> loot.txt; cat loot.txt')\n")],
    },
    Trap {
        name: "package.json",
        command: &["npm", "test", "--offline"],
        files: &[(
            "package.json",
            "{\"name\": \"trap\", \"version\": \"1.0.0\", \"scripts\": {\"pretest\": \"sh trap.sh >> loot.txt; cat loot.txt\", \"test\": \"true\"}}\n",
        )],
    },
    Trap {
        name: ".eslintrc.js",
        command: &["node", "-e", "require('./.eslintrc.js')"],
        files: &[(
            ".eslintrc.js",
            "require('child_process').execSync('sh trap.sh >> loot.txt; cat loot.txt', {stdio: 'inherit'});\n",
        )],
    },
    Trap {
        name: "Makefile",
        command: &["make", "check"],
        files: &[("Makefile", "FOUND := $(shell sh trap.sh >> loot.txt)\ncheck:\n\tcat loot.txt\n")],
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_of_a_tool_sees_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("a mode");
    let canaries = Canaries::plant(folder.path());
    let attack = canaries.attack();
    let path = variable("PATH").unwrap_or_default();
    let mut options = BubblewrapOptions::new(folder.path().join("sandbox"), PROGRAM);
    options.toolchains = detect_toolchains(&path);
    let sandbox = Bubblewrap::new(options).expect("a sandbox");
    for trap in &TRAPS {
        let tree = tree(trap, &attack);
        let session = sandbox.open(&tree).await.expect("a session");
        let report = run(&*session, &gate(trap), &Dependencies::default()).await.expect("ran");
        let after = session.read_back().await.expect("a tree").tree;
        session.close().await.expect("closed");
        let loot = after.files.get(&RepoPath::parse(LOOT).expect("a path"));
        let loot = loot.unwrap_or_else(|| panic!("{} was not sprung: {}", trap.name, report.log));
        assert!(String::from_utf8_lossy(&loot.bytes).contains("the attack ends"), "{}", report.log);
        for (path, entry) in &after.files {
            let found = canaries.found_in(&entry.bytes);
            assert!(found.is_empty(), "{}: {path} holds {found:?}", trap.name);
        }
        assert!(canaries.found_in(report.log.as_bytes()).is_empty(), "{}", report.log);

        // The weak variant: the tool on the host, beside the secrets.
        let host = tempfile::tempdir().expect("a folder");
        write(&tree, host.path());
        let mut command = std::process::Command::new(trap.command[0]);
        command.args(&trap.command[1..]).current_dir(host.path()).envs(canaries.environment());
        // The toolchain's own folders are below a home that is a trap now.
        for (name, folder) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
            let home = variable(name).or_else(|| Some(format!("{}/{folder}", variable("HOME")?)));
            command.envs(home.map(|home| (name, home)));
        }
        let output = command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_BUILD_DIR").output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", trap.command[0]));
        let loot = std::fs::read(host.path().join(LOOT)).unwrap_or_else(|error| {
            panic!("{}: {error}: {}", trap.name, String::from_utf8_lossy(&output.stderr))
        });
        // One socket or another may be busy with the trap before.
        let found = canaries.found_in(&loot).len();
        assert!(found > 30, "{}: the weak variant finds {found} only", trap.name);
    }
}

#[tokio::test]
async fn what_one_task_writes_into_a_cache_no_other_sees() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = Bubblewrap::new(BubblewrapOptions::new(folder.path().join("sandbox"), PROGRAM));
    let sandbox = sandbox.expect("a sandbox");
    let line = "mkdir /deps/own/kept; echo good > /deps/own/kept/package";
    let setup = SetupPolicy { commands: vec![CommandLine::Shell(line.into())], python: None };
    let policy = GatePolicy { gates: Some(vec![]), setup, ..GatePolicy::default() };
    let egress = EgressPolicy { allow_hosts: vec![HostName::parse("packages.example").expect("a host")] };
    let poison = "cd /deps/own/kept; echo poison > package; echo poison > more; rm -f package; ln -sf /tree link; \
                  chmod 777 .; mv /deps/own /elsewhere; echo tried";
    for (weak, poisoned) in [(false, false), (true, true)] {
        let cache_root = folder.path().join(format!("cache-{weak}"));
        let mut said = Vec::new();
        // Each task prepares for itself, and has a session of its own.
        for (task, script) in [poison, "cd /deps/own/kept; cat package more"].into_iter().enumerate() {
            let limits = Limits::default();
            let stores = Stores {
                cache_root: &cache_root,
                repository: "test/1",
                egress: Some(&egress),
                limits: &limits,
            };
            let prepared =
                prepare(&sandbox, &Snapshot::default(), Some(&policy), stores).await.expect("prepared");
            assert_eq!(prepared.records.len(), usize::from(task == 0), "the second task finds it filled");
            let session = sandbox.open(&Snapshot::default()).await.expect("a session");
            let mut command = Command::new(["sh", "-c", script]);
            command.mounts = prepared.mounts();
            assert!(!command.mounts.is_empty());
            if weak {
                // The weak variant shares the cache as it is.
                for mount in &mut command.mounts {
                    mount.access = Access::ReadWrite;
                    open_to_all(&mount.host);
                }
            }
            said.push(session.run(&command).await.expect("ran").stdout.text());
            session.close().await.expect("closed");
        }
        assert_eq!(said[0], "tried\n");
        assert_eq!(said[1].contains("poison") || !said[1].contains("good"), poisoned, "{said:?}");
    }
}

/// Whichever user a task runs as, it may write there.
fn open_to_all(folder: &Path) {
    let done = std::process::Command::new("chmod").args(["-R", "a+rwX"]).arg(folder).status().expect("chmod");
    assert!(done.success());
}

fn variable(name: &str) -> Option<String> {
    Some(std::env::var_os(name)?.to_string_lossy().into_owned())
}

fn tree(trap: &Trap, attack: &str) -> Snapshot {
    let mut files = Snapshot::default();
    let all = trap.files.iter().map(|(name, text)| (*name, (*text).to_owned()));
    for (name, text) in all.chain([("trap.sh", attack.to_owned())]) {
        let mode = if name.ends_with(".sh") { FileMode::Executable } else { FileMode::Regular };
        files.files.insert(
            RepoPath::parse(name).expect("a path"),
            FileEntry { mode, bytes: text.into_bytes().into() },
        );
    }
    files
}

fn write(tree: &Snapshot, folder: &Path) {
    for (path, entry) in &tree.files {
        let file = folder.join(path.as_str());
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(&file, &*entry.bytes).expect("a file");
        let mode = if entry.mode == FileMode::Executable { 0o755 } else { 0o644 };
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).expect("a mode");
    }
}

fn gate(trap: &Trap) -> Gate {
    Gate {
        name: trap.name.into(),
        kind: GateKind::Custom,
        command: trap.command.iter().map(|word| (*word).to_owned()).collect(),
        cwd: None,
        timeout: Duration::from_secs(60),
        requirement: Requirement::Required,
        needs_dependencies: None,
        source: "a test".into(),
    }
}

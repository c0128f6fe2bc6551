//! How fast a task's tree is ready, beside `git worktree add` of the same commit on the same disk, and what a
//! task's commit costs. `scripts/bench-workspace` runs it; docs/benchmarks.md says how to read it.
//!
//! The candidates take turns, so that whatever else the machine does meets all of them alike.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use chrono::DateTime;
use orchestrator::sandbox::{Bubblewrap, BubblewrapOptions, Command, Exit, Sandbox};
use orchestrator::workspace::{
    Author, CommitRequest, CommitSha, IgnoreRules, Mirror, Mirrors, Snapshot, SnapshotLimits,
};

/// A repository is measured until so much time has passed or there were so many rounds.
const LONG_ENOUGH: Duration = Duration::from_secs(15);
const MOST_ROUNDS: usize = 50;

#[tokio::main]
async fn main() {
    let repositories: Vec<PathBuf> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).map(PathBuf::from).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let small = folder.path().join("small");
    make_small(&small);
    println!(
        "| tree | files | MB | rounds | `git worktree add` | ours | of git's | its snapshot | read back | commit |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (number, path) in std::iter::once(&small).chain(&repositories).enumerate() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        measure(&name, path, &folder.path().join(number.to_string())).await;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or(" not known");
    println!("\nMedians in ms. Peak memory of this process, mapped packs included:{}", peak.trim_end());
}

/// Twenty small files in four folders.
fn make_small(folder: &Path) {
    for number in 0..20 {
        let file = folder.join(format!("part{}/file{number}.txt", number % 4));
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, format!("line of {number}\n").repeat(40)).expect("a file");
    }
    git(folder, &["init", "-q"]);
    git(folder, &["add", "-A"]);
    git(folder, &["-c", "user.name=Bench", "-c", "user.email=bench@example.org", "commit", "-qm", "files"]);
}

#[derive(Default)]
struct Times {
    git: Vec<Duration>,
    ready: Vec<Duration>,
    snapshot: Vec<Duration>,
    read_back: Vec<Duration>,
    commit: Vec<Duration>,
}

async fn measure(name: &str, repository: &Path, folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    // A repository that borrows the objects of the other, so that nothing is copied and nothing left in that one.
    let mirror_path = folder.join("mirrors/1.git");
    let (from, to) = (repository.to_str().expect("text"), mirror_path.to_str().expect("text"));
    git(folder, &["clone", "-q", "--bare", "--shared", from, to]);
    let mirror = Mirrors::new(folder.join("mirrors")).existing(1).expect("a mirror");
    let head = CommitSha::parse(git(&mirror_path, &["rev-parse", "HEAD"]).trim()).expect("a commit");
    let options = BubblewrapOptions::new(folder.join("work"), env!("CARGO_BIN_EXE_orchestrator"));
    let sandbox = Bubblewrap::new(options).expect("bubblewrap");

    let (mut times, mut size) = (Times::default(), (0, 0));
    let begun = Instant::now();
    while times.git.len() < MOST_ROUNDS && (times.git.is_empty() || begun.elapsed() < LONG_ENOUGH) {
        let tree = folder.join("worktree");
        let place = tree.to_str().expect("text");
        time(&mut times.git, || {
            git(&mirror_path, &["worktree", "add", "-q", "--detach", place, head.as_str()])
        });
        git(&mirror_path, &["worktree", "remove", "--force", place]);
        size = one_task(&mut times, &mirror, &head, &sandbox).await;
    }
    let megabytes = size.1 as f64 / 1e6;
    let ratio = median(&times.ready) / median(&times.git);
    println!(
        "| {name} | {} | {megabytes:.1} | {} | {:.1} | {:.1} | {ratio:.2} | {:.1} | {:.1} | {:.1} |",
        size.0,
        times.git.len(),
        median(&times.git),
        median(&times.ready),
        median(&times.snapshot),
        median(&times.read_back),
        median(&times.commit),
    );
}

/// What a task does with its tree: it is made ready, a file is written in it, it is read back and committed.
/// Gives the number of files and their bytes.
async fn one_task(
    times: &mut Times,
    mirror: &Mirror,
    head: &CommitSha,
    sandbox: &Bubblewrap,
) -> (usize, usize) {
    let start = Instant::now();
    let files = mirror.snapshot(head, &SnapshotLimits::default()).expect("a snapshot");
    times.snapshot.push(start.elapsed());
    let session = sandbox.open(&files).await.expect("a session");
    times.ready.push(start.elapsed());
    let outcome = session.run(&Command::new(["sh", "-c", "echo new > new-file"])).await.expect("ran");
    assert_eq!(outcome.exit, Exit::Code(0), "{}", outcome.stderr.text());
    let start = Instant::now();
    let back = session.read_back().await.expect("read back");
    times.read_back.push(start.elapsed());
    assert_eq!(back.tree.files.len(), files.files.len() + 1);
    time(&mut times.commit, || commit(mirror, head, &back.tree));
    session.close().await.expect("closed");
    (files.files.len(), files.files.values().map(|entry| entry.bytes.len()).sum())
}

fn commit(mirror: &Mirror, parent: &CommitSha, files: &Snapshot) {
    let made = mirror.commit(&CommitRequest {
        parents: std::slice::from_ref(parent),
        files,
        limits: SnapshotLimits::default(),
        ignore: &IgnoreRules::none(),
        author: &Author::new("Bench", "bench@example.org").expect("an author"),
        committed_at: DateTime::UNIX_EPOCH,
        message: "bench",
    });
    assert!(made.expect("committed").is_some(), "nothing was changed");
}

/// In milliseconds.
fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

fn time<T>(times: &mut Vec<Duration>, run: impl FnOnce() -> T) {
    let start = Instant::now();
    run();
    times.push(start.elapsed());
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Process::new("git").args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.expect("git");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

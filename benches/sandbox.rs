//! What a sandbox costs: its start beside bare bubblewrap, `runc run` and `podman run`, and `cargo test`
//! inside beside outside. `scripts/bench-sandbox` runs it; docs/benchmarks.md says how to read it.
//!
//! The candidates take turns, so that whatever else the machine does meets all of them alike.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use orchestrator::sandbox::{
    Bubblewrap, BubblewrapOptions, Command, Exit, Limits, Sandbox, Session, Toolchain, detect_toolchains,
};
use orchestrator::workspace::{FileEntry, FileMode, RepoPath, Snapshot};

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/backend_support/engine.rs"]
mod engine;
use engine::Engine;

/// Rounds of starting, and of `cargo test`.
const STARTS: usize = 200;
const BUILDS: usize = 7;
/// Containers are slow to start: one round of so many has them.
const CONTAINERS_EVERY: usize = 10;

/// What bubblewrap needs to run `true` apart from everything, and nothing of what we add.
const BARE: &str = "--unshare-all --die-with-parent --new-session --cap-drop ALL --clearenv --ro-bind /usr /usr \
                    --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc \
                    --dev /dev --tmpfs /tmp --tmpfs /sys --chdir / true";

#[tokio::main]
async fn main() {
    let project = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let project = PathBuf::from(project.expect("the folder of a Rust project without dependencies"));
    let root = tempfile::tempdir().expect("a folder");
    starts(root.path()).await;
    builds(root.path(), &project).await;
}

struct Series {
    what: &'static str,
    times: Vec<Duration>,
}

impl Series {
    fn new(what: &'static str) -> Self {
        Self { what, times: vec![] }
    }

    fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// In milliseconds.
    fn quantile(&self, part: f64) -> f64 {
        let mut times = self.times.clone();
        times.sort();
        let last = times.len() - 1;
        times[(last as f64 * part).round() as usize].as_secs_f64() * 1000.0
    }

    fn print(&self, baseline: &Self) {
        println!(
            "| {} | {:.1} | {:.1} | {:.2} |",
            self.what,
            self.median(),
            self.quantile(0.95),
            self.median() / baseline.median()
        );
    }
}

async fn starts(root: &Path) {
    let sandbox = Bubblewrap::new(BubblewrapOptions::new(root.join("work"), program())).expect("bubblewrap");
    let session = sandbox.open(&Snapshot::default()).await.expect("a session");
    let bundle = bundle(root);
    let mut bare = Series::new("bare bubblewrap");
    let mut command = Series::new("a command in an open session");
    let mut whole = Series::new("open, a command, close");
    let mut runc = Series::new("`runc run`");
    let mut podman = Series::new("`podman run`");
    for round in 0..STARTS {
        time(&mut bare, || ended(Process::new("bwrap").args(BARE.split_whitespace())));
        let start = Instant::now();
        run_true(&*session).await;
        command.times.push(start.elapsed());
        let start = Instant::now();
        let own = sandbox.open(&Snapshot::default()).await.expect("a session");
        run_true(&*own).await;
        own.close().await.expect("closed");
        whole.times.push(start.elapsed());
        if round % CONTAINERS_EVERY == 0 {
            let state = root.join("runc");
            let run = ["run", "--bundle", bundle.to_str().expect("text"), "bench-sandbox"];
            time(&mut runc, || ended(Process::new("runc").arg("--root").arg(&state).args(run)));
            let engine = Engine::get();
            let run = ["run", "--rm", "--network", "none", &engine.image, "true"];
            time(&mut podman, || drop(engine.podman(&run)));
        }
    }
    println!("| start of `true` | median ms | p95 ms | beside bare bubblewrap |\n|---|---|---|---|");
    [&bare, &command, &whole, &runc, &podman].iter().for_each(|series| series.print(&bare));
    session.close().await.expect("closed");
}

async fn run_true(session: &dyn Session) {
    let outcome = session.run(&Command::new(["true"])).await.expect("ran");
    assert_eq!(outcome.exit, Exit::Code(0), "{}", outcome.stderr.text());
}

/// A bundle for runc of the image that the container engine has.
fn bundle(root: &Path) -> PathBuf {
    let (bundle, engine) = (root.join("bundle"), Engine::get());
    let files = bundle.join("rootfs");
    std::fs::create_dir_all(&files).expect("a folder");
    let container = engine.podman(&["create", &engine.image, "true"]);
    let archive = root.join("rootfs.tar");
    engine.podman(&["export", "--output", archive.to_str().expect("text"), &container]);
    engine.podman(&["rm", &container]);
    ended(Process::new("tar").arg("-C").arg(&files).arg("-xf").arg(&archive));
    ended(Process::new("runc").arg("spec").current_dir(&bundle));
    let spec = bundle.join("config.json");
    let text = std::fs::read_to_string(&spec).expect("a spec");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json["process"]["args"] = serde_json::json!(["true"]);
    json["process"]["terminal"] = false.into();
    // Raising limits may be refused here.
    json["process"]["rlimits"] = serde_json::json!([]);
    std::fs::write(&spec, json.to_string()).expect("a spec");
    bundle
}

async fn builds(root: &Path, project: &Path) {
    let toolchains = detect_toolchains(&std::env::var_os("PATH").unwrap_or_default().to_string_lossy());
    let rust =
        toolchains.iter().find(|toolchain| toolchain.name == "rust").expect("a Rust toolchain").clone();
    let mut options = BubblewrapOptions::new(root.join("work"), program());
    options.toolchains = toolchains;
    let sandbox = Bubblewrap::new(options).expect("bubblewrap");
    let tree = read(project);
    let mut inside = Series::new("inside");
    let mut outside = Series::new("outside");
    for _ in 0..BUILDS {
        outside.times.push(build_outside(root, &tree, &rust));
        let session = sandbox.open(&tree).await.expect("a session");
        let mut command = Command::new(["cargo", "test", "--offline"]);
        command.limits = Limits { wall: Duration::from_secs(600), ..Limits::default() };
        let start = Instant::now();
        let outcome = session.run(&command).await.expect("ran");
        inside.times.push(start.elapsed());
        assert_eq!(outcome.exit, Exit::Code(0), "{}", outcome.stderr.text());
        session.close().await.expect("closed");
    }
    println!("\n| `cargo test` | median ms | p95 ms | beside outside |\n|---|---|---|---|");
    [&outside, &inside].iter().for_each(|series| series.print(&outside));
}

/// In a folder on the same disk, with the same environment.
fn build_outside(root: &Path, tree: &Snapshot, rust: &Toolchain) -> Duration {
    let folder = tempfile::tempdir_in(root).expect("a folder");
    for (path, entry) in &tree.files {
        let file = folder.path().join("tree").join(path.as_str());
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, &*entry.bytes).expect("a file");
    }
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", rust.path[0].display());
    let mut command = Process::new(rust.path[0].join("cargo"));
    command.args(["test", "--offline"]).current_dir(folder.path().join("tree")).env_clear();
    command.env("PATH", path).env("HOME", folder.path().join("home")).env("LANG", "C.UTF-8");
    let start = Instant::now();
    ended(&mut command);
    start.elapsed()
}

fn read(folder: &Path) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a kind").is_dir() {
                folders.push(entry.path());
                continue;
            }
            let path = entry.path();
            let name = path.strip_prefix(folder).expect("below").to_str().expect("text").to_owned();
            let bytes = std::fs::read(&path).expect("a file");
            let name = RepoPath::parse(&name).expect("a path");
            snapshot.files.insert(name, FileEntry { mode: FileMode::Regular, bytes: bytes.into() });
        }
    }
    snapshot
}

fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_orchestrator").into()
}

fn time(series: &mut Series, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    series.times.push(start.elapsed());
}

fn ended(command: &mut Process) {
    let output =
        command.stdin(Stdio::null()).output().expect("a program that scripts/bootstrap --test installs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

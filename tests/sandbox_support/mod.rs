//! A place for sandboxes that a test owns, and the weak variant that attacks are tried against.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

pub struct Place {
    root: tempfile::TempDir,
    pub sandbox: Bubblewrap,
}

impl Place {
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    pub fn with(change: impl FnOnce(&mut BubblewrapOptions)) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let program = env!("CARGO_BIN_EXE_orchestrator");
        let mut options = BubblewrapOptions::new(root.path().join("work"), program);
        change(&mut options);
        let sandbox = Bubblewrap::new(options).expect("a sandbox");
        Self { root, sandbox }
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    pub async fn open(&self, files: &[(&str, &str)]) -> Box<dyn Session> {
        self.sandbox.open(&snapshot(files)).await.expect("a session")
    }

    /// A file of the host outside every mount.
    pub fn canary(&self, name: &str, mode: u32) -> PathBuf {
        let file = self.path().join(name);
        std::fs::write(&file, "canary").expect("a file");
        set_mode(&file, mode);
        file
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path().join(name);
        std::fs::create_dir(&folder).expect("a folder");
        folder
    }

    pub fn sessions(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path().join("work/sessions")).expect("sessions");
        entries.map(|entry| entry.expect("an entry").path().display().to_string()).collect()
    }

    /// A file of the only session's tree, as the host sees it.
    pub fn tree_file(&self, name: &str) -> PathBuf {
        let sessions = self.sessions();
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        Path::new(&sessions[0]).join("tree").join(name)
    }

    pub async fn wait_for_file(&self, name: &str) -> PathBuf {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(session) = self.sessions().first() {
                let file = Path::new(session).join("tree").join(name);
                if file.exists() {
                    return file;
                }
            }
            assert!(Instant::now() < deadline, "{name} did not appear");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn wait_until_empty(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.sessions().is_empty() {
            assert!(Instant::now() < deadline, "the session's folder stays");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether limits are kept by control groups here, as they are for root.
    pub fn has_groups(&self) -> bool {
        is_root()
    }
}

pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").expect("/proc").uid() == 0
}

pub fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).expect("a path")
}

pub fn snapshot(files: &[(&str, &str)]) -> Snapshot {
    let entry = |text: &str| FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().to_vec() };
    Snapshot { files: files.iter().map(|(name, text)| (path(name), entry(text))).collect() }
}

pub fn shell(script: &str) -> Command {
    let mut command = Command::new(["sh", "-c", script]);
    command.limits = Limits { wall: Duration::from_secs(30), ..Limits::default() };
    command
}

pub async fn sh(session: &dyn Session, script: &str) -> Outcome {
    session.run(&shell(script)).await.expect("ran")
}

/// bubblewrap as a careless program would use it: the whole host, its environment, no filter.
pub fn weak_bwrap(options: &[&str], script: &str) -> String {
    let output = std::process::Command::new("/usr/bin/bwrap")
        .args(["--ro-bind", "/", "/", "--proc", "/proc"])
        .args(options)
        .args(["--", "sh", "-c", script])
        .output()
        .expect("bubblewrap");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

pub fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

pub fn write_program(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a program");
    set_mode(path, 0o755);
}

pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}

/// The user, on the host, of the process that has `argument` as its last one.
pub fn host_user_of(argument: &str) -> Option<u32> {
    processes().find_map(|folder| {
        let line = std::fs::read(folder.join("cmdline")).ok()?;
        let matches = line.strip_suffix(b"\0")?.rsplit(|byte| *byte == 0).next() == Some(argument.as_bytes());
        let is_shell = line.starts_with(b"/usr/bin/bwrap");
        (matches && !is_shell).then(|| std::fs::metadata(&folder).ok().map(|m| m.uid()))?
    })
}

/// How many processes run as users of sandboxes, in all tests.
pub fn processes_of_sandboxes() -> usize {
    processes().filter(|folder| std::fs::metadata(folder).is_ok_and(|m| m.uid() >= 2_130_000_000)).count()
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    entries.flatten().map(|entry| entry.path()).filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
    })
}

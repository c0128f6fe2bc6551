//! A place for sandboxes that a test owns, and the weak variant that attacks are tried against.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::os::unix::fs::MetadataExt;

#[path = "../support/ordinary_user.rs"]
pub mod ordinary_user;

use super::*;
pub use ordinary_user::*;

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
        let mut options = BubblewrapOptions::new(root.path().join("work"), program());
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
}

pub fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).expect("a path")
}

pub fn snapshot(files: &[(&str, &str)]) -> Snapshot {
    let entry = |text: &str| FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().into() };
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

pub fn write_program(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a program");
    set_mode(path, 0o755);
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

fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    entries.flatten().map(|entry| entry.path()).filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
    })
}

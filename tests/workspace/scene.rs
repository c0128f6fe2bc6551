//! A repository `octo/hello` on a server, a person's clone of it, and our mirrors.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use orchestrator::workspace::{
    Author, BranchName, CommitRequest, CommitSha, Expected, FileEntry, FileMode, IgnoreRules, Mirror,
    Mirrors, Push, Remote, RemoteUrl, RepoPath, Snapshot, SnapshotLimits, TransferLimits,
};
use tempfile::TempDir;

use crate::git_server::{GitServer, TOKEN, git};

pub struct Scene {
    pub folder: TempDir,
    pub server: GitServer,
    /// A person's clone, from which the test pushes straight into the server's repository.
    pub clone: PathBuf,
    pub mirrors: Mirrors,
}

impl Scene {
    pub async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let root = folder.path().join("server");
        fs::create_dir_all(root.join("octo")).expect("a folder");
        git(&root, &["init", "-q", "--bare", "-b", "main", "octo/hello.git"]);
        git(&root.join("octo/hello.git"), &["config", "http.receivepack", "true"]);
        git(&root.join("octo/hello.git"), &["config", "gc.auto", "0"]);
        let clone = folder.path().join("clone");
        git(folder.path(), &["clone", "-q", "server/octo/hello.git", "clone"]);
        let scene = Self {
            server: GitServer::start(&root).await,
            mirrors: Mirrors::with_limits(folder.path().join("mirrors"), quick()),
            clone,
            folder,
        };
        scene.write("README.md", "# hello\n");
        scene.write("src/main.rs", "fn main() {}\n");
        scene.publish("first");
        scene
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.clone.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Commits everything in the clone and pushes it to `main`.
    pub fn publish(&self, message: &str) -> CommitSha {
        git(&self.clone, &["add", "-A"]);
        git(&self.clone, &["commit", "-q", "-m", message]);
        git(&self.clone, &["push", "-q", "origin", "HEAD:main"]);
        sha(&git(&self.clone, &["rev-parse", "HEAD"]))
    }

    pub fn bare(&self) -> PathBuf {
        self.server.root.join("octo/hello.git")
    }

    pub fn remote(&self) -> Remote {
        self.remote_with(TOKEN)
    }

    pub fn remote_with(&self, token: &str) -> Remote {
        let url = RemoteUrl::new(&self.server.url, "octo", "hello").expect("an address");
        Remote { repository_id: 7, url, token: Some(token.to_owned().into()) }
    }

    pub async fn mirror(&self) -> Mirror {
        self.mirrors.fetch(&self.remote()).await.expect("a mirror")
    }

    pub fn push(&self, head: &CommitSha, name: &str, expected: Expected) -> Push {
        let (remote, head, branch) = (self.remote(), head.clone(), branch(name));
        Push { remote, head, branch, expected, within: Duration::from_secs(30) }
    }
}

/// Limits that let a test see them pass.
pub fn quick() -> TransferLimits {
    TransferLimits {
        idle: Duration::from_secs(30),
        total: Duration::from_secs(120),
        fetch_bytes: 16 << 20,
        ..TransferLimits::default()
    }
}

pub fn sha(text: &str) -> CommitSha {
    CommitSha::parse(text).expect("a commit id")
}

pub fn branch(name: &str) -> BranchName {
    BranchName::parse(name).expect("a branch")
}

pub fn path(path: &str) -> RepoPath {
    RepoPath::parse(path).expect("a path")
}

pub fn file(text: impl AsRef<[u8]>) -> FileEntry {
    FileEntry { mode: FileMode::Regular, bytes: text.as_ref().to_vec().into() }
}

pub fn bot() -> Author {
    Author::new("Orchestrator", "bot@example.org").expect("an author")
}

pub fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 12, 0, 0).single().expect("a time")
}

/// Commits a whole tree on `parent`.
pub fn commit(mirror: &Mirror, parent: &CommitSha, files: &Snapshot) -> Option<CommitSha> {
    commit_ignoring(mirror, parent, files, &IgnoreRules::none())
}

pub fn commit_ignoring(
    mirror: &Mirror,
    parent: &CommitSha,
    files: &Snapshot,
    ignore: &IgnoreRules,
) -> Option<CommitSha> {
    let request = CommitRequest {
        parents: std::slice::from_ref(parent),
        files,
        limits: SnapshotLimits::default(),
        ignore,
        author: &bot(),
        committed_at: noon(),
        message: "fix: the thing",
    };
    mirror.commit(&request).expect("a commit")
}

pub fn snapshot(mirror: &Mirror, commit: &CommitSha) -> Snapshot {
    mirror.snapshot(commit, &SnapshotLimits::default()).expect("a snapshot")
}

/// The commit of a branch in a repository on the disk.
pub fn head_of(repository: &Path, branch: &str) -> CommitSha {
    sha(&git(repository, &["rev-parse", &format!("refs/heads/{branch}")]))
}

/// How many commits `head` has and `base` has not.
pub fn commits_of(mirror: &Mirror, base: &CommitSha, head: &CommitSha) -> usize {
    let listed = git(mirror.git_dir(), &["rev-list", &format!("{base}..{head}")]);
    listed.lines().count()
}

//! A person's machine: a data folder, a database, repositories, and the program's answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command as GitCommand, Stdio};

use orchestrator::simulator::model::{DemoProject, ModelServer, Scenario};
use orchestrator::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use serde_json::Value;
use tokio::process::Command;

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

pub struct Machine {
    folder: tempfile::TempDir,
    /// Fast and forgetful. `None`: the program runs a private one in its data folder.
    postgres: Option<EmbeddedPostgres>,
}

impl Machine {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let postgres =
            EmbeddedPostgres::start(&folder.path().join("server"), EmbeddedOptions::throwaway()).await;
        Self { folder, postgres: Some(postgres.expect("PostgreSQL is needed: run scripts/bootstrap")) }
    }

    pub fn without_a_server() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), postgres: None }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The program, with nothing of this process's environment but where programs are.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
        command.args(arguments).env_clear().env("USER", "ada").current_dir(self.folder.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("ORCHESTRATOR_DATA_DIR", self.data());
        if let Some(postgres) = &self.postgres {
            command.env("DATABASE_URL", postgres.url());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub async fn say(&self, arguments: &[&str], environment: &[(&str, String)]) -> Said {
        let mut command = self.command(arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        ended(command.output().await)
    }

    /// A repository with these files in its first commit, on `main`.
    pub fn repository(&self, name: &str, files: &BTreeMap<String, Vec<u8>>) -> Repository {
        let repository = Repository(self.path(name));
        std::fs::create_dir_all(&repository.0).expect("a folder");
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        for (path, bytes) in files {
            repository.write(path, bytes);
        }
        repository.git(&["add", "--all"]);
        repository.git(&["commit", "--quiet", "--allow-empty", "--message=The beginning"]);
        repository
    }

    pub fn demo(&self) -> Repository {
        self.repository("evenly", &DemoProject::embedded().files)
    }

    /// The demo's issue as a file.
    pub fn issue(&self) -> String {
        let project = DemoProject::embedded();
        let text = format!("# {}\n\n{}\n", project.issue_title, project.issue_body);
        self.write("issue.md", text).display().to_string()
    }
}

pub fn ended(output: std::io::Result<std::process::Output>) -> Said {
    let output = output.expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A person's repository, used with the git command as they would.
pub struct Repository(pub PathBuf);

impl Repository {
    pub fn path(&self) -> String {
        self.0.display().to_string()
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let mut git = GitCommand::new("git");
        git.args(arguments).current_dir(&self.0).env_clear();
        git.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        git.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_SYSTEM", "/dev/null")]);
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "Ada").env(format!("GIT_{who}_EMAIL"), "ada@acme.example");
        }
        let output = git.output().expect("git is needed: run scripts/bootstrap");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    pub fn auto_branches(&self) -> Vec<String> {
        let listed = self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/auto"]);
        listed.lines().map(str::to_owned).collect()
    }

    /// Every file of work tree and repository by its bytes, but for what a new branch adds: objects, its
    /// reference, and that reference's log.
    pub fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let inside = path.strip_prefix(&self.0).expect("below").to_owned();
                let added = [".git/objects", ".git/refs/heads/auto", ".git/logs/refs/heads/auto"];
                if added.iter().any(|added| inside == Path::new(added)) {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(inside, std::fs::read(&path).expect("a file"));
                }
            }
        }
        found
    }
}

/// The paths whose bytes differ.
pub fn changed(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>) -> BTreeSet<PathBuf> {
    let paths = before.keys().chain(after.keys());
    paths.filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

pub async fn model(scenario: Scenario) -> ModelServer {
    ModelServer::start(scenario).await.expect("a free port")
}

pub async fn demo_model() -> ModelServer {
    model(Scenario::embedded("demo").expect("the demo's script")).await
}

/// The variables that an operator would set to reach a model.
pub fn anthropic(model: &ModelServer) -> Vec<(&'static str, String)> {
    vec![("ANTHROPIC_API_KEY", model.api_key().to_owned()), ("ANTHROPIC_BASE_URL", model.anthropic_url())]
}

/// No request came without the evidence that the script asks for.
pub fn refusals(model: &ModelServer) -> Vec<String> {
    model.journal().into_iter().filter_map(|exchange| exchange.refusal).collect()
}

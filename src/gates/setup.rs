//! The set-up step: what is run, with network, to fetch the packages of the base branch.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::dependencies::{KEY, SetupRecord};
use super::discover::{PackageManager, Project};
use super::log;
use super::model::{Ecosystem, Gate};
use super::policy::SetupPolicy;
use super::run::quoted;
use crate::sandbox::{
    Access, Command, EgressVerdict, Exit, HostName, Limits, Mount, Network, Outcome, Sandbox, SandboxError,
    Session,
};
use crate::workspace::Snapshot;

mod python;

pub(super) use python::tools as python_tools;

/// How the packages of one project are fetched and shown.
#[derive(Debug, Clone)]
pub(super) struct Step {
    ecosystem: Ecosystem,
    /// The project's folder inside, such as `/work` or `/work/web`.
    folder: String,
    script: String,
}

/// What a set-up step did.
pub(super) struct Filled {
    pub(super) record: SetupRecord,
    /// The cache's folder, or why there is none.
    pub(super) folder: Result<PathBuf, String>,
}

/// Time for one set-up.
const TIME: Duration = Duration::from_secs(20 * 60);
/// Files that set-up left in the tree are kept up to this size each and number.
const GENERATED_BYTES: usize = 32 << 20;
const GENERATED_FILES: usize = 500;

impl Step {
    pub(super) fn plan(project: &Project<'_>, gates: &[Gate], policy: Option<&SetupPolicy>) -> Self {
        let folder = project.folder.as_ref().map_or("/work".to_owned(), |folder| format!("/work/{folder}"));
        let script = match project.ecosystem {
            Ecosystem::Rust => rust(project),
            Ecosystem::Python => {
                python::script(project, gates, policy.and_then(|policy| policy.python.as_ref()))
            }
            Ecosystem::JavaScript => javascript(project),
        };
        Self { ecosystem: project.ecosystem, folder, script }
    }

    /// The name of the cache's folder: another manifest, lock file, way of fetching or version of the tools
    /// is another folder.
    pub(super) fn key(&self, project: &Project<'_>, versions: &str) -> String {
        let mut digest = Sha256::new();
        let mut add = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        [self.script.as_str(), &self.folder, versions].iter().for_each(|text| add(text.as_bytes()));
        for (path, bytes) in project.files().filter(|(path, _)| is_input(self.ecosystem, path)) {
            add(path.as_bytes());
            add(bytes);
        }
        format!("{}-{}", self.ecosystem.name(), &hex::encode(digest.finalize())[..32])
    }

    /// Parts of the cache's folder, and where they are inside.
    pub(super) fn places(&self) -> Vec<(&'static str, PathBuf)> {
        let mut places = vec![("", self.root().into())];
        if self.ecosystem == Ecosystem::JavaScript {
            places.push(("node_modules", format!("{}/node_modules", self.folder).into()));
        }
        places
    }

    pub(super) fn scratch(&self) -> Vec<PathBuf> {
        let folders: &[&str] = match self.ecosystem {
            Ecosystem::Rust | Ecosystem::Python => &[],
            Ecosystem::JavaScript => NODE_SCRATCH,
        };
        folders.iter().map(|name| format!("{}/node_modules/{name}", self.folder).into()).collect()
    }

    pub(super) fn env(&self) -> BTreeMap<String, String> {
        let root = self.root();
        let (name, value) = match self.ecosystem {
            Ecosystem::Rust => ("CARGO_HOME", format!("{root}/cargo")),
            Ecosystem::Python => ("VIRTUAL_ENV", format!("{root}/venv")),
            Ecosystem::JavaScript => return BTreeMap::new(),
        };
        BTreeMap::from([(name.to_owned(), value)])
    }

    pub(super) fn path(&self) -> Option<&'static str> {
        (self.ecosystem == Ecosystem::Python).then_some("/deps/python/venv/bin")
    }

    pub(super) fn generated(&self) -> String {
        format!("{}/generated", self.root())
    }

    fn root(&self) -> &'static str {
        match self.ecosystem {
            Ecosystem::Rust => "/deps/rust",
            Ecosystem::Python => "/deps/python",
            Ecosystem::JavaScript => "/deps/javascript",
        }
    }

    fn command(&self, target: &Path, hosts: Vec<HostName>) -> Command {
        let root = self.root();
        let script = format!(
            "exec 2>&1; set -e; mkdir -p {root}/generated {root}/scratch; cd {}\n{}\nrm -rf {root}/scratch\n",
            quoted(&self.folder),
            self.script
        );
        let mut command = Command::new(["sh", "-c", &script]);
        let env = SETUP_ENV.iter().map(|(name, value)| ((*name).to_owned(), value.replace("{root}", root)));
        command.env = self.env().into_iter().chain(env).collect();
        command.limits = Limits { wall: TIME, ..Limits::default() };
        command.network = Network::AllowList(hosts);
        let mounts = self.places().into_iter();
        command.mounts = mounts
            .map(|(part, inside)| Mount { host: target.join(part), inside, access: Access::ReadWrite })
            .collect();
        command
    }
}

/// Temporary files on disk, no questions, and a version for projects that ask git for theirs.
const SETUP_ENV: &[(&str, &str)] = &[
    ("TMPDIR", "{root}/scratch"),
    ("CI", "true"),
    ("NO_COLOR", "1"),
    ("CARGO_TERM_COLOR", "never"),
    ("CARGO_TERM_PROGRESS_WHEN", "never"),
    ("PIP_NO_INPUT", "1"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("PIP_CACHE_DIR", "{root}/scratch/pip"),
    ("PIP_PROGRESS_BAR", "off"),
    ("SETUPTOOLS_SCM_PRETEND_VERSION", "0.0.0"),
    ("PBR_VERSION", "0.0.0"),
    ("POETRY_DYNAMIC_VERSIONING_BYPASS", "0.0.0"),
    ("npm_config_cache", "{root}/scratch/npm"),
    ("npm_config_update_notifier", "false"),
];

/// Folders in `node_modules` that tools use as their cache.
const NODE_SCRATCH: &[&str] = &[".cache", ".vite", ".vite-temp"];

/// Fetches sources only: no code of any package runs. A lock file that the tree lacks is kept.
fn rust(project: &Project<'_>) -> String {
    if project.has("Cargo.lock") {
        return "cargo fetch --locked".into();
    }
    let folder = project.folder.as_ref().map_or(String::new(), |folder| format!("/{folder}"));
    let target = quoted(&format!("/deps/rust/generated{folder}"));
    format!("cargo fetch\nmkdir -p {target}\ncp Cargo.lock {target}")
}

/// Installs what the lock file says. The packages' own install scripts run after that, in the same sandbox;
/// one that fails, for want of a compiler or of a host that is not listed, is left to the tests to miss.
fn javascript(project: &Project<'_>) -> String {
    let locked = ["package-lock.json", "npm-shrinkwrap.json"].iter().any(|lock| project.has(lock));
    let install = match PackageManager::of(project) {
        PackageManager::Npm if locked => "npm ci --no-audit --no-fund --ignore-scripts",
        PackageManager::Npm => "npm install --no-audit --no-fund --ignore-scripts --no-package-lock",
        PackageManager::Pnpm => {
            "pnpm install --frozen-lockfile --ignore-scripts --store-dir /deps/javascript/scratch/store \
             --package-import-method copy"
        }
        PackageManager::Yarn => {
            "yarn install --frozen-lockfile --ignore-scripts --non-interactive --cache-folder \
             /deps/javascript/scratch/yarn"
        }
    };
    let scratch = NODE_SCRATCH.join(" node_modules/");
    format!(
        "{install}\nnpm rebuild --ignore-scripts=false || echo 'some install scripts failed'\nmkdir -p node_modules/{scratch}\nchmod 1777 node_modules/{scratch}"
    )
}

/// Whether a file of the project decides which packages are fetched.
fn is_input(ecosystem: Ecosystem, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    match ecosystem {
        Ecosystem::Rust => {
            matches!(name, "Cargo.toml" | "Cargo.lock")
                || path == ".cargo/config.toml"
                || path == ".cargo/config"
        }
        Ecosystem::Python => {
            matches!(path, "pyproject.toml" | "setup.py" | "setup.cfg" | "tox.ini")
                || name.ends_with(".txt") && path.contains("requirement")
        }
        Ecosystem::JavaScript => {
            matches!(
                name,
                "package.json"
                    | "package-lock.json"
                    | "npm-shrinkwrap.json"
                    | "pnpm-lock.yaml"
                    | "yarn.lock"
                    | ".npmrc"
                    | ".yarnrc"
                    | ".yarnrc.yml"
                    | "pnpm-workspace.yaml"
            ) && !path.contains("node_modules/")
        }
    }
}

/// The versions of the tools in the sandbox, or why they cannot be used.
pub(super) async fn versions(
    sandbox: &dyn Sandbox,
    ecosystem: Ecosystem,
) -> Result<Result<String, String>, SandboxError> {
    let argv: &[&str] = match ecosystem {
        Ecosystem::Rust => &["cargo", "--version"],
        Ecosystem::Python => &["python3", "-c", "import sys; print(sys.version, sys.base_prefix)"],
        Ecosystem::JavaScript => &["node", "--version"],
    };
    let session = sandbox.open(&Snapshot::default()).await?;
    let outcome = session.run(&Command::new(argv.iter().copied())).await;
    session.close().await?;
    let outcome = outcome?;
    if outcome.succeeded() {
        return Ok(Ok(outcome.stdout.text()));
    }
    let said = log::last_lines(&log::plain(&outcome.stderr.text()), 1);
    Ok(Err(format!("`{}` does not work in the sandbox: {said}", argv[0])))
}

/// Runs the step on the base tree and fills the cache.
pub(super) async fn fill(
    sandbox: &dyn Sandbox,
    project: &Project<'_>,
    step: &Step,
    cache: &Cache,
    hosts: Vec<HostName>,
) -> Result<Filled, SandboxError> {
    let target = cache.begin()?;
    for (part, _) in step.places() {
        let folder = target.path().join(part);
        let made = if part.is_empty() { Ok(()) } else { fs::create_dir(&folder) };
        made.map_err(|source| SandboxError::Io { doing: format!("making {}", folder.display()), source })?;
    }
    let session = sandbox.open(project.base).await?;
    let outcome = session.run(&step.command(target.path(), hosts)).await;
    let folder = match &outcome {
        Ok(outcome) if outcome.succeeded() => {
            keep_generated(&*session, project.base, target.path()).await?;
            Ok(cache.finish(target)?)
        }
        Ok(outcome) => Err(failure(step.ecosystem, outcome)),
        Err(_) => Err(String::new()),
    };
    session.close().await?;
    let outcome = outcome?;
    let record = SetupRecord {
        ecosystem: step.ecosystem,
        succeeded: folder.is_ok(),
        duration_ms: u64::try_from(outcome.wall.as_millis()).unwrap_or(u64::MAX),
        log: log::ends(&log::plain(&outcome.stdout.text())),
        egress: outcome.egress,
    };
    Ok(Filled { record, folder })
}

/// Keeps files that building the project left in its tree, such as compiled modules and a generated version:
/// packages that are installed in place need them there.
async fn keep_generated(session: &dyn Session, base: &Snapshot, target: &Path) -> Result<(), SandboxError> {
    let back = match session.read_back().await {
        Ok(back) => back,
        // A tree that may not leave the sandbox gives nothing; the packages themselves are fetched.
        Err(SandboxError::TreeRefused(_) | SandboxError::TreeTooLarge { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let new = back.tree.files.iter().filter(|(path, entry)| {
        !base.files.contains_key(path)
            && entry.bytes.len() <= GENERATED_BYTES
            && entry.mode != crate::workspace::FileMode::Symlink
    });
    for (path, entry) in new.take(GENERATED_FILES) {
        write_generated(&target.join("generated"), path.as_str(), &entry.bytes)
            .map_err(|source| SandboxError::Io { doing: format!("keeping {path}"), source })?;
    }
    Ok(())
}

/// Writes below a folder that the sandbox's user owns: a link that it put there is not followed.
fn write_generated(root: &Path, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut folder = root.to_path_buf();
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        folder.push(part);
        match fs::symlink_metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(std::io::Error::other("there is something else in its place")),
            Err(_) => fs::create_dir(&folder)?,
        }
    }
    match fs::OpenOptions::new().write(true).create_new(true).open(folder.join(name)) {
        Ok(mut file) => std::io::Write::write_all(&mut file, bytes),
        // The step itself kept it there.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Why a step failed, for people: which hosts it was refused, or what it said last.
fn failure(ecosystem: Ecosystem, outcome: &Outcome) -> String {
    let mut refused: Vec<&str> = outcome
        .egress
        .iter()
        .filter(|record| matches!(record.verdict, EgressVerdict::Refused { .. }))
        .map(|record| record.target.as_str())
        .collect();
    refused.sort_unstable();
    refused.dedup();
    let name = ecosystem.name();
    if !refused.is_empty() {
        let hosts = refused.join(", ");
        return format!(
            "fetching the project's {name} packages was refused {hosts}: list them in {KEY} if that is meant"
        );
    }
    if outcome.limit.is_some() {
        return format!("fetching the project's {name} packages hit a limit: {:?}", outcome.limit);
    }
    let said = log::last_lines(&log::plain(&outcome.stdout.text()), 3);
    let end = match outcome.exit {
        Exit::Code(code) => format!("code {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    };
    format!("fetching the project's {name} packages ended with {end}: {said}")
}

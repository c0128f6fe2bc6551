//! The set-up step: what is run, with network, to fetch the packages of the base branch.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::dependencies::{KEY, SetupRecord};
use super::discover::Project;
use super::log;
use super::model::{Ecosystem, Gate};
use super::policy::{CommandLine, SetupPolicy};
use super::run::quoted;
use crate::sandbox::{
    self, Access, Command, EgressVerdict, Exit, HostName, Limits, Mount, Network, Outcome, Sandbox,
    SandboxError, WORK,
};
use crate::workspace::Snapshot;

mod keep;
mod python;
mod scripts;

pub(super) use python::tools as python_tools;
pub(super) use scripts::versions;

/// How packages are fetched and shown.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// Never empty; the first also holds what set-up leaves in the tree.
    parts: Vec<Part>,
    /// The folder inside to run in, such as `/tree` or `/tree/web`.
    folder: String,
    script: String,
}

/// A place for the packages of one ecosystem.
#[derive(Debug, Clone)]
struct Part {
    /// `None`: for what the repository's own commands leave in the tree.
    ecosystem: Option<Ecosystem>,
    /// The project's folder inside.
    folder: String,
}

/// What a set-up step did.
pub(super) struct Filled {
    pub(super) record: SetupRecord,
    /// The cache's folder, or why there is none.
    pub(super) folder: Result<PathBuf, String>,
}

/// Time for one set-up.
const TIME: Duration = Duration::from_secs(20 * 60);
/// How caches are laid out: another number fills new ones.
const LAYOUT: &str = "3";

impl Part {
    fn of(project: &Project<'_>) -> Self {
        let folder = project.folder.as_ref().map_or(WORK.to_owned(), |folder| format!("{WORK}/{folder}"));
        Self { ecosystem: Some(project.ecosystem), folder }
    }

    fn name(&self) -> &'static str {
        self.ecosystem.map_or("own", Ecosystem::name)
    }

    fn root(&self) -> String {
        format!("/deps/{}", self.name())
    }
}

impl Step {
    /// The step of one project, by what its files say.
    pub(super) fn plan(project: &Project<'_>, gates: &[Gate], policy: Option<&SetupPolicy>) -> Self {
        let part = Part::of(project);
        let python = policy.and_then(|policy| policy.python.as_ref());
        let script = match project.ecosystem {
            Ecosystem::Rust => scripts::in_other_folders(project, gates, &scripts::rust),
            Ecosystem::Python => python::script(project, gates, python),
            Ecosystem::JavaScript => scripts::javascript(project),
            Ecosystem::Go => scripts::in_other_folders(project, gates, &|_| "go mod download all".to_owned()),
            Ecosystem::Java => scripts::java(project, gates),
            Ecosystem::Ruby => scripts::in_other_folders(project, gates, &|_| scripts::RUBY.to_owned()),
        };
        Self { folder: part.folder.clone(), parts: vec![part], script }
    }

    /// The repository's own commands, for all of its projects at once. They run in the tree's root.
    pub(super) fn own(commands: &[CommandLine], projects: &[Project<'_>]) -> Self {
        let mut script = String::new();
        if projects.iter().any(|project| project.ecosystem == Ecosystem::Python) {
            script.push_str(python::ENVIRONMENT);
            script.push('\n');
        }
        for command in commands {
            let line = match command {
                CommandLine::Shell(line) => format!("({line}\n)"),
                CommandLine::Words(words) => words.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(" "),
            };
            script.push_str(&line);
            script.push('\n');
        }
        let own = Part { ecosystem: None, folder: WORK.to_owned() };
        let parts = std::iter::once(own).chain(projects.iter().map(Part::of)).collect();
        Self { parts, folder: WORK.to_owned(), script }
    }

    pub(super) fn ecosystems(&self) -> impl Iterator<Item = Ecosystem> {
        self.parts.iter().filter_map(|part| part.ecosystem)
    }

    /// Whose packages it fetches; `None`: the repository's own commands decide.
    pub(super) fn first(&self) -> Option<Ecosystem> {
        self.parts.first().and_then(|part| part.ecosystem)
    }

    /// The name of the cache's folder: another manifest, lock file, way of fetching or version of the tools
    /// is another folder.
    pub(super) fn key(&self, base: &Snapshot, versions: &str) -> String {
        let mut digest = Sha256::new();
        let mut add = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        [LAYOUT, &self.script, &self.folder, versions].iter().for_each(|text| add(text.as_bytes()));
        for (path, entry) in base.files.iter().filter(|(path, _)| self.is_input(path.as_str())) {
            add(path.as_str().as_bytes());
            add(&entry.bytes);
        }
        format!("{}-{}", self.parts[0].name(), &hex::encode(digest.finalize())[..32])
    }

    /// Whether a file of the tree decides what is fetched. Of the repository's own commands, what they name.
    fn is_input(&self, path: &str) -> bool {
        self.parts.iter().any(|part| match part.ecosystem {
            None => self
                .script
                .split(|c: char| c.is_whitespace() || "'\"()".contains(c))
                .any(|word| word.strip_prefix("./").unwrap_or(word) == path),
            Some(ecosystem) => {
                let inside = part.folder.strip_prefix(WORK).unwrap_or_default().trim_start_matches('/');
                let path = match inside {
                    "" => Some(path),
                    folder => path.strip_prefix(folder).and_then(|path| path.strip_prefix('/')),
                };
                path.is_some_and(|path| scripts::is_input(ecosystem, path))
            }
        })
    }

    /// Parts of the cache's folder, and where they are inside.
    pub(super) fn places(&self) -> Vec<(&'static str, PathBuf)> {
        let mut places = vec![];
        for part in &self.parts {
            places.push((part.name(), part.root().into()));
            if part.ecosystem == Some(Ecosystem::JavaScript) {
                places.push(("node_modules", format!("{}/node_modules", part.folder).into()));
            }
        }
        places
    }

    pub(super) fn scratch(&self) -> Vec<PathBuf> {
        let node = self.parts.iter().filter(|part| part.ecosystem == Some(Ecosystem::JavaScript));
        node.flat_map(|part| NODE_SCRATCH.iter().map(move |name| (part, name)))
            .map(|(part, name)| format!("{}/node_modules/{name}", part.folder).into())
            .collect()
    }

    pub(super) fn env(&self) -> BTreeMap<String, String> {
        let variables = self.parts.iter().flat_map(|part| {
            let root = part.root();
            let of_part: &[(&str, &str)] = match part.ecosystem {
                Some(Ecosystem::Rust) => &[("CARGO_HOME", "/cargo")],
                Some(Ecosystem::Python) => &[("VIRTUAL_ENV", "/venv")],
                Some(Ecosystem::Go) => &[("GOMODCACHE", "/mod")],
                // What Gradle itself may write to, and where it looks first.
                Some(Ecosystem::Java) => {
                    &[("GRADLE_RO_DEP_CACHE", "/gradle/caches"), ("MAVEN_USER_HOME", "/maven")]
                }
                Some(Ecosystem::Ruby) => &[("GEM_HOME", "/gems"), ("BUNDLE_APP_CONFIG", "/config")],
                Some(Ecosystem::JavaScript) | None => &[],
            };
            let of_part =
                of_part.iter().map(move |(name, place)| ((*name).to_owned(), format!("{root}{place}")));
            let maven = (part.ecosystem == Some(Ecosystem::Java))
                .then(|| ("MAVEN_OPTS".to_owned(), "-Dmaven.repo.local=/deps/java/m2".to_owned()));
            of_part.chain(maven)
        });
        variables.collect()
    }

    pub(super) fn path(&self) -> Option<&'static str> {
        self.ecosystems().any(|e| e == Ecosystem::Python).then_some("/deps/python/venv/bin")
    }

    /// Gradle's wrapper locks the folder of the Gradle that it starts.
    pub(super) fn prelude(&self) -> Option<&'static str> {
        let java = self.ecosystems().any(|e| e == Ecosystem::Java);
        java.then_some("mkdir -p /tmp/gradle; cp -r /deps/java/gradle/wrapper /tmp/gradle/ 2>/dev/null")
    }

    pub(super) fn generated(&self) -> String {
        format!("{}/generated", self.parts[0].root())
    }

    fn command(&self, target: &Path, hosts: Vec<HostName>, limits: &Limits) -> Command {
        let root = self.parts[0].root();
        let script = format!(
            "exec 2>&1; set -e; mkdir -p {root}/generated {root}/scratch; cd {}\n{}\nrm -rf {root}/scratch\n",
            quoted(&self.folder),
            self.script
        );
        let mut command = Command::new(["sh", "-c", &script]);
        let env = SETUP_ENV.iter().map(|(name, value)| ((*name).to_owned(), value.replace("{root}", &root)));
        command.env = self.env().into_iter().chain(env).collect();
        command.limits = Limits { wall: TIME, ..limits.clone() };
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
    ("GOCACHE", "{root}/scratch/go"),
    ("GOFLAGS", "-modcacherw"),
    ("GOTOOLCHAIN", "local"),
    ("GRADLE_USER_HOME", "/deps/java/gradle"),
];

/// Folders in `node_modules` that tools use as their cache.
const NODE_SCRATCH: &[&str] = &[".cache", ".vite", ".vite-temp"];

/// Runs the step on the base tree and fills the cache.
pub(super) async fn fill(
    sandbox: &dyn Sandbox,
    base: &Snapshot,
    step: &Step,
    cache: &Cache,
    (hosts, limits): (Vec<HostName>, &Limits),
) -> Result<Filled, SandboxError> {
    let target = cache.begin()?;
    for (part, _) in step.places() {
        let folder = target.path().join(part);
        fs::create_dir(&folder)
            .map_err(|source| SandboxError::Io { doing: format!("making {}", folder.display()), source })?;
    }
    let session = sandbox.open(base).await?;
    let outcome = session.run(&step.command(target.path(), hosts, limits)).await;
    let folder = match &outcome {
        Ok(outcome) if outcome.succeeded() => {
            let left = target.path().join(step.parts[0].name()).join("generated");
            keep::generated(&*session, base, &left).await?;
            Ok(cache.finish(target)?)
        }
        Ok(outcome) => Err(failure(step, outcome)),
        Err(_) => Err(String::new()),
    };
    sandbox::close(session).await;
    let outcome = outcome?;
    let record = SetupRecord {
        ecosystems: step.ecosystems().collect(),
        commands: step.script.clone(),
        succeeded: folder.is_ok(),
        duration_ms: u64::try_from(outcome.wall.as_millis()).unwrap_or(u64::MAX),
        log: log::ends(&log::plain(&outcome.stdout.text())),
        egress: outcome.egress,
    };
    Ok(Filled { record, folder })
}

/// Why a step failed, for people: which hosts it was refused, or what it said last.
fn failure(step: &Step, outcome: &Outcome) -> String {
    let mut refused: Vec<&str> = outcome
        .egress
        .iter()
        .filter(|record| matches!(record.verdict, EgressVerdict::Refused { .. }))
        .map(|record| record.target.as_str())
        .collect();
    refused.sort_unstable();
    refused.dedup();
    let doing = match step.first() {
        Some(ecosystem) => format!("fetching the project's {} packages", ecosystem.name()),
        None => "the `setup` of .orchestrator/config.yaml".to_owned(),
    };
    if !refused.is_empty() {
        let hosts = refused.join(", ");
        return format!("{doing} was refused {hosts}: list them in {KEY} if that is meant");
    }
    if outcome.limit.is_some() {
        return format!("{doing} hit a limit: {:?}", outcome.limit);
    }
    let said = log::last_lines(&log::plain(&outcome.stdout.text()), 3);
    let end = match outcome.exit {
        Exit::Code(code) => format!("code {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    };
    format!("{doing} ended with {end}: {said}")
}

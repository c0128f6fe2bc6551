//! A project's packages, fetched once for the base branch and shown read-only to its gates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::discover::{self, Project, discover};
use super::model::{Ecosystem, Gate};
use super::policy::GatePolicy;
use super::setup::{self, Step};
use crate::sandbox::{Access, EgressRecord, HostName, Limits, Mount, Sandbox, SandboxError};
use crate::workspace::Snapshot;

/// What the operator lets set-up steps reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EgressPolicy {
    /// The hosts of package registries. Where there are none, nothing is fetched.
    pub allow_hosts: Vec<HostName>,
}

/// For whom packages are fetched, and where they are kept.
#[derive(Debug, Clone, Copy)]
pub struct Stores<'a> {
    /// A folder of the host for all repositories' packages. Made if missing.
    pub cache_root: &'a Path,
    /// The repository's lasting name, such as its host and numeric id: no repository sees another's cache.
    pub repository: &'a str,
    /// The deployment's list, not the repository's.
    pub egress: Option<&'a EgressPolicy>,
    /// What set-up steps and gates may use; of the times only that of the processor.
    pub limits: &'a Limits,
}

/// The packages that gates get to see.
#[derive(Debug, Clone, Default)]
pub struct Dependencies {
    ready: Vec<Ready>,
    missing: BTreeMap<Ecosystem, String>,
    /// Why the repository's own set-up commands did not do their work, where it has any.
    own_failed: Option<String>,
    /// Set-up was not possible because no hosts are allowed.
    not_configured: bool,
    limits: Limits,
    /// What was fetched just now, for the task's record.
    pub records: Vec<SetupRecord>,
}

/// One set-up step that ran.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SetupRecord {
    /// Whose packages it was for.
    pub ecosystems: Vec<Ecosystem>,
    /// What was run, a line for the shell each.
    pub commands: String,
    pub succeeded: bool,
    pub duration_ms: u64,
    pub log: String,
    /// Every request that it made.
    pub egress: Vec<EgressRecord>,
}

/// A filled cache.
#[derive(Debug, Clone)]
struct Ready {
    /// Its folder on the host.
    folder: PathBuf,
    step: Step,
}

/// The configuration key that reasons point to.
pub(super) const KEY: &str = "`sandbox.setup.allow_hosts`";

/// Fetches what the gates of a repository need and the cache does not have.
///
/// `base` is the tree of the default branch, and must be: what it builds goes into a cache that every later
/// task of the repository reads.
///
/// # Errors
/// When the sandbox or the cache folder fails. Packages that cannot be fetched are no error: the gates that
/// need them will say so.
pub async fn prepare(
    sandbox: &dyn Sandbox,
    base: &Snapshot,
    policy: Option<&GatePolicy>,
    stores: Stores<'_>,
) -> Result<Dependencies, SandboxError> {
    let gates = discover(base, policy).map_err(|error| SandboxError::Setup { reason: error.to_string() })?;
    let mut dependencies = Dependencies { limits: stores.limits.clone(), ..Dependencies::default() };
    let projects = discover::projects(base);
    let setup = policy.map(|policy| &policy.setup);
    if let Some(setup) = setup.filter(|setup| !setup.commands.is_empty()) {
        let mut usable = vec![];
        let mut versions = String::new();
        for project in projects {
            match setup::versions(sandbox, project.ecosystem).await? {
                Ok(version) => {
                    versions.push_str(&version);
                    usable.push(project);
                }
                Err(reason) => drop(dependencies.missing.insert(project.ecosystem, reason)),
            }
        }
        let fetch = Fetch { base, step: Step::own(&setup.commands, &usable), versions };
        if let Err(reason) = dependencies.add(sandbox, fetch, stores).await? {
            dependencies.own_failed = Some(reason);
        }
        return Ok(dependencies);
    }
    for ecosystem in wanted(&gates, &projects) {
        let Some(project) = projects.iter().find(|project| project.ecosystem == ecosystem) else {
            let reason =
                format!("the tree has no {} project whose packages could be fetched", ecosystem.name());
            dependencies.missing.insert(ecosystem, reason);
            continue;
        };
        let versions = match setup::versions(sandbox, ecosystem).await? {
            Ok(versions) => versions,
            Err(reason) => {
                dependencies.missing.insert(ecosystem, reason);
                continue;
            }
        };
        let fetch = Fetch { base, step: Step::plan(project, &gates, setup), versions };
        if let Err(reason) = dependencies.add(sandbox, fetch, stores).await?
            && (!dependencies.not_configured || discover::needs_packages(project))
        {
            dependencies.missing.insert(ecosystem, reason);
        }
    }
    Ok(dependencies)
}

/// A step for a tree.
struct Fetch<'a> {
    base: &'a Snapshot,
    step: Step,
    versions: String,
}

/// The ecosystems whose packages or tools some gate uses.
fn wanted(gates: &[Gate], projects: &[Project<'_>]) -> BTreeSet<Ecosystem> {
    let mut wanted: BTreeSet<_> = gates.iter().filter_map(|gate| gate.needs_dependencies).collect();
    let has_python = projects.iter().any(|project| project.ecosystem == Ecosystem::Python);
    if has_python && !setup::python_tools(gates).is_empty() {
        wanted.insert(Ecosystem::Python);
    }
    wanted
}

impl Dependencies {
    /// Takes what is in the cache, or fills it. The inner `Err` says why nothing was fetched.
    async fn add(
        &mut self,
        sandbox: &dyn Sandbox,
        Fetch { base, step, versions }: Fetch<'_>,
        stores: Stores<'_>,
    ) -> Result<Result<(), String>, SandboxError> {
        let cache = Cache::new(stores.cache_root, stores.repository, &step.key(base, &versions))?;
        if let Some(folder) = cache.filled() {
            self.ready.push(Ready { folder, step });
            return Ok(Ok(()));
        }
        let hosts = stores.egress.map(|egress| egress.allow_hosts.clone()).unwrap_or_default();
        if hosts.is_empty() {
            self.not_configured = true;
            return Ok(Err(not_configured(&step)));
        }
        let filled = setup::fill(sandbox, base, &step, &cache, (hosts, stores.limits)).await?;
        self.records.push(filled.record);
        Ok(filled.folder.map(|folder| self.ready.push(Ready { folder, step })))
    }

    /// Why the packages of an ecosystem are not there; `None` where they are, or where none are needed.
    pub fn missing(&self, ecosystem: Ecosystem) -> Option<&str> {
        self.missing.get(&ecosystem).map(String::as_str)
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Why the repository's own set-up commands did not do their work; `None` where they did, or it has none.
    pub(super) fn own_failed(&self) -> Option<&str> {
        self.own_failed.as_deref()
    }

    /// What to add to the reason of a gate that could not run.
    pub(super) fn hint(&self) -> Option<String> {
        self.not_configured.then(|| format!("nothing was fetched, because {KEY} is empty"))
    }

    /// What gates see besides their tree, as text for a digest. A cache's folder is named by what filled it.
    pub(super) fn environment(&self) -> String {
        format!("{:?} {:?} {:?} {:?}", self.mounts(), self.env(), self.missing, self.generated())
    }

    /// Mounts for a command that works on the tree as a gate does.
    pub fn mounts(&self) -> Vec<Mount> {
        let mounts = self.ready.iter().flat_map(|ready| {
            ready.step.places().into_iter().map(|(part, inside)| Mount {
                host: ready.folder.join(part),
                inside,
                access: Access::ReadOnly,
            })
        });
        mounts.collect()
    }

    /// Folders inside those mounts that tools insist on writing to.
    pub fn scratch(&self) -> Vec<PathBuf> {
        self.ready.iter().flat_map(|ready| ready.step.scratch()).collect()
    }

    /// Variables by which tools find the packages.
    pub fn env(&self) -> BTreeMap<String, String> {
        self.ready.iter().flat_map(|ready| ready.step.env()).collect()
    }

    /// Folders inside to put in front of the path.
    pub fn path(&self) -> Vec<&'static str> {
        self.ready.iter().filter_map(|ready| ready.step.path()).collect()
    }

    /// Lines for the shell before a gate: what tools cannot read from a read-only folder.
    pub(super) fn prelude(&self) -> Vec<&'static str> {
        self.ready.iter().filter_map(|ready| ready.step.prelude()).collect()
    }

    /// Folders inside with files that set-up made and that the tree may lack.
    pub(super) fn generated(&self) -> Vec<String> {
        self.ready.iter().map(|ready| ready.step.generated()).collect()
    }
}

fn not_configured(step: &Step) -> String {
    match step.first() {
        Some(ecosystem) => format!(
            "the project's {} packages were not fetched: name the package hosts in {KEY}",
            ecosystem.name()
        ),
        None => {
            format!("the `setup` of .orchestrator/config.yaml was not run: name the package hosts in {KEY}")
        }
    }
}

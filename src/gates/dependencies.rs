//! A project's packages, fetched once for the base branch and shown read-only to its gates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::discover::{self, Project, discover};
use super::model::{Ecosystem, Gate};
use super::policy::GatePolicy;
use super::setup::{self, Step};
use crate::sandbox::{Access, EgressRecord, HostName, Mount, Sandbox, SandboxError};
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
}

/// The packages that gates get to see.
#[derive(Debug, Clone, Default)]
pub struct Dependencies {
    ready: BTreeMap<Ecosystem, Ready>,
    missing: BTreeMap<Ecosystem, String>,
    /// Set-up was not possible because no hosts are allowed.
    not_configured: bool,
    /// What was fetched just now, for the task's record.
    pub records: Vec<SetupRecord>,
}

/// One set-up step that ran.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SetupRecord {
    pub ecosystem: Ecosystem,
    pub succeeded: bool,
    pub duration_ms: u64,
    pub log: String,
    /// Every request that it made.
    pub egress: Vec<EgressRecord>,
}

/// The packages of one ecosystem.
#[derive(Debug, Clone)]
struct Ready {
    /// The cache's folder on the host.
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
    let gates = discover(base, policy);
    let mut dependencies = Dependencies::default();
    let projects = discover::projects(base);
    for ecosystem in wanted(&gates, &projects) {
        let Some(project) = projects.iter().find(|project| project.ecosystem == ecosystem) else {
            let reason =
                format!("the tree has no {} project whose packages could be fetched", ecosystem.name());
            dependencies.missing.insert(ecosystem, reason);
            continue;
        };
        let step = Step::plan(project, &gates, policy.map(|policy| &policy.setup));
        dependencies.add(sandbox, project, step, stores).await?;
    }
    Ok(dependencies)
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
    async fn add(
        &mut self,
        sandbox: &dyn Sandbox,
        project: &Project<'_>,
        step: Step,
        stores: Stores<'_>,
    ) -> Result<(), SandboxError> {
        let ecosystem = project.ecosystem;
        let versions = setup::versions(sandbox, ecosystem).await?;
        let versions = match versions {
            Ok(versions) => versions,
            Err(reason) => {
                self.missing.insert(ecosystem, reason);
                return Ok(());
            }
        };
        let cache = Cache::new(stores.cache_root, stores.repository, &step.key(project, &versions))?;
        if let Some(folder) = cache.filled() {
            self.ready.insert(ecosystem, Ready { folder, step });
            return Ok(());
        }
        let hosts = stores.egress.map(|egress| egress.allow_hosts.clone()).unwrap_or_default();
        if hosts.is_empty() {
            self.not_configured = true;
            if discover::needs_packages(project) {
                let reason = format!(
                    "the project's {} packages were not fetched: name the package hosts in {KEY}",
                    ecosystem.name()
                );
                self.missing.insert(ecosystem, reason);
            }
            return Ok(());
        }
        let filled = setup::fill(sandbox, project, &step, &cache, hosts).await?;
        self.records.push(filled.record);
        match filled.folder {
            Ok(folder) => drop(self.ready.insert(ecosystem, Ready { folder, step })),
            Err(reason) => drop(self.missing.insert(ecosystem, reason)),
        }
        Ok(())
    }

    /// Why the packages of an ecosystem are not there; `None` where they are, or where none are needed.
    pub fn missing(&self, ecosystem: Ecosystem) -> Option<&str> {
        self.missing.get(&ecosystem).map(String::as_str)
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
        let mounts = self.ready.values().flat_map(|ready| {
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
        self.ready.values().flat_map(|ready| ready.step.scratch()).collect()
    }

    /// Variables by which tools find the packages.
    pub fn env(&self) -> BTreeMap<String, String> {
        self.ready.values().flat_map(|ready| ready.step.env()).collect()
    }

    /// Folders inside to put in front of the path.
    pub fn path(&self) -> Vec<&'static str> {
        self.ready.values().filter_map(|ready| ready.step.path()).collect()
    }

    /// Folders inside with files that set-up made and that the tree may lack.
    pub(super) fn generated(&self) -> Vec<String> {
        self.ready.values().map(|ready| ready.step.generated()).collect()
    }
}

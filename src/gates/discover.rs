//! Which gates a repository has, from what it already uses.
//!
//! Its tool configuration says which tools it means; its CI says with which flags, and which of them hold a
//! change up. Only the base branch's tree is asked.

mod called;
mod ci;
mod go;
mod hooks;
mod java;
mod javascript;
mod project;
mod python;
mod python_tasks;
mod ruby;
mod rust;
mod shell;
mod tasks;
mod tools;
mod workflow;

pub(super) use java::JavaTool;
pub(super) use javascript::PackageManager;
pub(super) use project::Project;
pub(super) use python::{declares as python_declares, test_extras};

use std::collections::BTreeMap;

use regex::Regex;

use super::model::{Ecosystem, Gate};
use super::policy::{GatePolicy, TIMEOUT};
use crate::domain::{GateKind, Requirement};
use crate::workspace::{RepoPath, Snapshot, WorkspaceError};
use ci::Ci;

/// The gates of a repository. `base` is the tree of its default branch, `policy` the part of
/// `.orchestrator/config.yaml` in that same tree: where it names gates, exactly those.
///
/// # Errors
/// Where a file that tells of gates cannot be read: a gate could be missed.
pub fn discover(base: &Snapshot, policy: Option<&GatePolicy>) -> Result<Vec<Gate>, WorkspaceError> {
    if let Some(rules) = policy.and_then(|policy| policy.gates.as_ref()) {
        return Ok(rules.iter().map(|rule| rule.gate()).collect());
    }
    let gates = found(base);
    base.whole()?;
    Ok(gates)
}

fn found(base: &Snapshot) -> Vec<Gate> {
    let ci = Ci::read(base);
    let projects = projects(base);
    let mut gates: Vec<Gate> = projects.iter().flat_map(|project| gates_of(project, &ci)).collect();
    gates.extend(projects.iter().flat_map(|project| gates_of_others(project, &ci)));
    gates.extend(tools::gates(base, &projects, &ci));
    let called = called::gates(base, &ci, &gates);
    gates.extend(called);
    let tasks = tools::task_gates(base, &gates);
    gates.extend(tasks);
    with_names_of_their_own(gates)
}

/// A second gate of a name is told from the first by a number.
fn with_names_of_their_own(mut gates: Vec<Gate>) -> Vec<Gate> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for gate in &mut gates {
        let count = seen.entry(gate.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            gate.name = format!("{} ({count})", gate.name);
        }
    }
    gates
}

/// At most one project of each ecosystem: the one nearest to the root.
pub(super) fn projects(base: &Snapshot) -> Vec<Project<'_>> {
    Ecosystem::ALL.into_iter().filter_map(|ecosystem| Project::find(base, ecosystem)).collect()
}

fn gates_of(project: &Project<'_>, ci: &Ci) -> Vec<Gate> {
    let ci = &ci.within(project.folder.as_ref().map_or("", RepoPath::as_str));
    of_ecosystem(project, ci)
}

/// What CI runs in folders of the same ecosystem that are projects of their own. Of the ecosystems whose
/// packages several folders can share.
fn gates_of_others(project: &Project<'_>, ci: &Ci) -> Vec<Gate> {
    if !matches!(project.ecosystem, Ecosystem::Rust | Ecosystem::Go | Ecosystem::Ruby) {
        return vec![];
    }
    let mut gates = vec![];
    for folder in ci.folders() {
        let there = RepoPath::parse(folder).ok().filter(|folder| project.folder.as_ref() != Some(folder));
        let Some(there) = there else { continue };
        let other = Project { ecosystem: project.ecosystem, folder: Some(there), base: project.base };
        if other.has_manifest() {
            let ci = ci.only_in(folder);
            let own = of_ecosystem(&other, &ci).into_iter();
            // What is only configured there is for those who work there.
            gates.extend(own.filter(|gate| ci.has_file(&gate.source)));
        }
    }
    gates
}

fn of_ecosystem(project: &Project<'_>, ci: &Ci) -> Vec<Gate> {
    match project.ecosystem {
        Ecosystem::Rust => rust::gates(project, ci),
        Ecosystem::Python => python::gates(project, ci),
        Ecosystem::JavaScript => javascript::gates(project, ci),
        Ecosystem::Go => go::gates(project, ci),
        Ecosystem::Java => java::gates(project, ci),
        Ecosystem::Ruby => ruby::gates(project, ci),
    }
}

/// Whether the gates of a project can need packages that are not in the tree.
pub(super) fn needs_packages(project: &Project<'_>) -> bool {
    match project.ecosystem {
        Ecosystem::Rust => rust::has_dependencies(project),
        Ecosystem::Python => python::has_dependencies(project),
        Ecosystem::JavaScript => javascript::has_dependencies(project),
        Ecosystem::Go => go::has_dependencies(project),
        // Even an empty project needs the plug-ins that build it.
        Ecosystem::Java => true,
        Ecosystem::Ruby => ruby::has_dependencies(project),
    }
}

/// One gate of a project, before its project's folder and defaults are filled in.
struct Draft<'a> {
    kind: GateKind,
    tool: &'a str,
    command: Vec<String>,
    requirement: Requirement,
    needs_dependencies: bool,
    source: String,
}

impl Draft<'_> {
    fn gate(self, project: &Project<'_>) -> Gate {
        let folder = project.folder.as_ref();
        let place = folder.map(|folder| format!(" in {folder}")).unwrap_or_default();
        Gate {
            name: format!("{}{place}", self.tool),
            kind: self.kind,
            command: self.command,
            cwd: folder.cloned(),
            timeout: TIMEOUT,
            requirement: self.requirement,
            needs_dependencies: self.needs_dependencies.then_some(project.ecosystem),
            source: self.source,
        }
    }
}

/// What CI runs holds a change up; what is only configured is shown.
fn required_if(meant: bool) -> Requirement {
    if meant { Requirement::Required } else { Requirement::Advisory }
}

/// A pattern that is a literal, so that it is right or wrong for everybody.
fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;

//! Which gates a repository has, from what it already uses.
//!
//! Its tool configuration says which tools it means; its CI says with which flags, and which of them hold a
//! change up. Only the base branch's tree is asked.

mod ci;
mod go;
mod java;
mod javascript;
mod project;
mod python;
mod ruby;
mod rust;
mod tasks;
mod tools;

pub(super) use java::JavaTool;
pub(super) use javascript::PackageManager;
pub(super) use project::Project;
pub(super) use python::{declares as python_declares, test_extras};

use super::model::{Ecosystem, Gate};
use super::policy::{GatePolicy, TIMEOUT};
use crate::domain::{GateKind, Requirement};
use crate::workspace::Snapshot;
use ci::Ci;

/// The gates of a repository. `base` is the tree of its default branch, `policy` the part of
/// `.orchestrator/config.yaml` in that same tree: where it names gates, exactly those.
pub fn discover(base: &Snapshot, policy: Option<&GatePolicy>) -> Vec<Gate> {
    if let Some(rules) = policy.and_then(|policy| policy.gates.as_ref()) {
        return rules.iter().map(|rule| rule.gate()).collect();
    }
    let ci = Ci::read(base);
    let projects = projects(base);
    let mut gates: Vec<Gate> = projects.iter().flat_map(|project| gates_of(project, &ci)).collect();
    gates.extend(tools::gates(base, &projects, &ci));
    let tasks = tools::task_gates(base, &ci, &gates);
    gates.extend(tasks);
    gates
}

/// At most one project of each ecosystem: the one nearest to the root.
pub(super) fn projects(base: &Snapshot) -> Vec<Project<'_>> {
    Ecosystem::ALL.into_iter().filter_map(|ecosystem| Project::find(base, ecosystem)).collect()
}

fn gates_of(project: &Project<'_>, ci: &Ci) -> Vec<Gate> {
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

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;

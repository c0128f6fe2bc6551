//! Gates of Rust projects.

use toml::{Table, Value};

use super::ci::Ci;
use super::project::{Project, at};
use super::{Draft, required_if, words};
use crate::domain::{GateKind, Requirement};
use crate::gates::model::Gate;

pub(super) fn gates(project: &Project<'_>, ci: &Ci) -> Vec<Gate> {
    let needs_dependencies = has_dependencies(project);
    let mut gates = vec![test(project, ci, needs_dependencies)];
    gates.extend(format(project, ci));
    gates.extend(clippy(project, ci, needs_dependencies));
    gates
}

fn test(project: &Project<'_>, ci: &Ci, needs_dependencies: bool) -> Gate {
    let flags = ci.flags_after("cargo test").unwrap_or_default();
    let source = ci.mentions("cargo test").map_or_else(|| project.path("Cargo.toml"), str::to_owned);
    // A failure that is old must not hide what comes after it.
    let mut command = words("cargo test --no-fail-fast");
    command.extend(known(
        &flags,
        &["--workspace", "--all", "--all-features", "--no-default-features", "--all-targets"],
    ));
    let (kind, requirement) = (GateKind::Test, Requirement::Required);
    Draft { kind, tool: "cargo test", command, requirement, needs_dependencies, source }.gate(project)
}

fn format(project: &Project<'_>, ci: &Ci) -> Option<Gate> {
    let configured = project.first(&["rustfmt.toml", ".rustfmt.toml"]).map(|file| project.path(file));
    let mentioned = ci.mentions("cargo fmt").or_else(|| ci.mentions("rustfmt"));
    let source = mentioned.map(str::to_owned).or(configured)?;
    let flags = ci.flags_after("cargo fmt").unwrap_or_default();
    let mut command = words("cargo fmt --check");
    command.extend(known(&flags, &["--all"]));
    let (kind, requirement) = (GateKind::Format, required_if(mentioned.is_some()));
    Some(
        Draft { kind, tool: "cargo fmt", command, requirement, needs_dependencies: false, source }
            .gate(project),
    )
}

fn clippy(project: &Project<'_>, ci: &Ci, needs_dependencies: bool) -> Option<Gate> {
    let manifest = project.toml("Cargo.toml").unwrap_or_default();
    let lints =
        at(&manifest, &["lints", "clippy"]).or_else(|| at(&manifest, &["workspace", "lints", "clippy"]));
    let configured = project.first(&["clippy.toml", ".clippy.toml"]).or(lints.map(|_| "Cargo.toml"));
    let mentioned = ci.mentions("cargo clippy").or_else(|| ci.mentions("clippy"));
    let source = mentioned.map(str::to_owned).or(configured.map(|file| project.path(file)))?;
    let flags = ci.flags_after("cargo clippy").unwrap_or_default();
    let mut command = words("cargo clippy");
    command.extend(known(&flags, &["--workspace", "--all", "--all-features", "--all-targets", "--tests"]));
    let denied = denied(&flags);
    if !denied.is_empty() {
        command.push("--".into());
        command.extend(denied);
    }
    let (kind, requirement) = (GateKind::Lint, required_if(mentioned.is_some()));
    Some(Draft { kind, tool: "cargo clippy", command, requirement, needs_dependencies, source }.gate(project))
}

/// The flags that we take over from CI, before a `--`.
fn known(flags: &[String], taken: &[&str]) -> Vec<String> {
    flags
        .iter()
        .take_while(|flag| *flag != "--")
        .filter(|flag| taken.contains(&flag.as_str()))
        .cloned()
        .collect()
}

/// `-D lint` and `-Dlint` after the `--`.
fn denied(flags: &[String]) -> Vec<String> {
    let mut rest = flags.iter().skip_while(|flag| *flag != "--").skip(1);
    let mut denied = vec![];
    while let Some(flag) = rest.next() {
        match flag.as_str() {
            "-D" | "--deny" | "-W" | "-A" => {
                denied.extend([Some(flag), rest.next()].into_iter().flatten().cloned())
            }
            _ if flag.starts_with("-D") || flag.starts_with("-A") => denied.push(flag.clone()),
            _ => {}
        }
    }
    denied
}

/// Whether any crate of the project comes from outside the tree. Crates that the tree carries and its
/// `.cargo/config.toml` points to are inside.
pub(super) fn has_dependencies(project: &Project<'_>) -> bool {
    let config = project.toml(".cargo/config.toml").or_else(|| project.toml(".cargo/config"));
    if config.is_some_and(|config| at(&config, &["source", "crates-io", "replace-with"]).is_some()) {
        return false;
    }
    match project.toml("Cargo.lock").as_ref().and_then(|lock| lock.get("package")).and_then(Value::as_array) {
        Some(packages) => packages.iter().any(|package| package.get("source").is_some()),
        None => project
            .files()
            .filter(|(path, _)| path.rsplit('/').next() == Some("Cargo.toml"))
            .filter_map(|(path, _)| project.toml(path))
            .any(|manifest| names_dependencies(&manifest)),
    }
}

fn names_dependencies(manifest: &Table) -> bool {
    manifest.iter().any(|(key, value)| match (key.as_str(), value) {
        ("dependencies" | "dev-dependencies" | "build-dependencies", Value::Table(dependencies)) => {
            dependencies.values().any(|d| d.get("path").is_none() && d.get("workspace").is_none())
        }
        ("target", Value::Table(targets)) => {
            targets.values().filter_map(Value::as_table).any(names_dependencies)
        }
        ("workspace", Value::Table(workspace)) => names_dependencies(workspace),
        _ => false,
    })
}

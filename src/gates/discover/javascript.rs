//! Gates of JavaScript and TypeScript projects: the scripts of package.json.

use serde_json::Value;

use super::Draft;
use super::ci::Ci;
use super::project::Project;
use crate::domain::{GateKind, Requirement};
use crate::gates::model::Gate;

/// The program that installs and runs things here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gates) enum PackageManager {
    Npm,
    Pnpm,
    Yarn,
}

impl PackageManager {
    /// By lock file, which is what each insists on; then by the manifest's `packageManager`.
    pub(in crate::gates) fn of(project: &Project<'_>) -> Self {
        let named =
            manifest(project).get("packageManager").and_then(Value::as_str).unwrap_or_default().to_owned();
        let is = |lock: &str, name: &str| project.has(lock) || named.starts_with(name);
        if is("pnpm-lock.yaml", "pnpm@") {
            Self::Pnpm
        } else if is("yarn.lock", "yarn@") {
            Self::Yarn
        } else {
            Self::Npm
        }
    }

    pub(in crate::gates) fn program(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
        }
    }
}

/// Script names by kind; the first that is there is taken.
const SCRIPTS: &[(GateKind, &[&str])] = &[
    (GateKind::Test, &["test:ci", "test", "tests", "unit", "test:unit"]),
    (GateKind::Lint, &["lint:ci", "lint", "eslint", "lint:check"]),
    (
        GateKind::Types,
        &["typecheck", "type-check", "types", "check-types", "check:types", "tsc", "test:types"],
    ),
    (
        GateKind::Format,
        &["format:check", "check-format", "check:format", "fmt:check", "prettier:check", "format-check"],
    ),
];

pub(super) fn gates(project: &Project<'_>, ci: &Ci) -> Vec<Gate> {
    let manager = PackageManager::of(project).program();
    let manifest = manifest(project);
    let script = |name: &str| manifest.get("scripts")?.get(name)?.as_str();
    let needs_dependencies = has_dependencies(project);
    let mut gates = vec![];
    for (kind, names) in SCRIPTS {
        let usable = |name: &&&str| script(name).is_some_and(checks);
        let Some(name) = names.iter().find(usable) else {
            gates.extend(called_directly(project, ci, *kind));
            continue;
        };
        let mentioned =
            ["run ", ""].iter().any(|run| ci.mentions(&format!("{manager} {run}{name}")).is_some());
        let strict = mentioned || matches!(kind, GateKind::Test | GateKind::Types);
        gates.push(
            Draft {
                kind: *kind,
                tool: &format!("{manager} run {name}"),
                command: [manager, "run", name].map(str::to_owned).to_vec(),
                requirement: if strict { Requirement::Required } else { Requirement::Advisory },
                needs_dependencies,
                source: project.path("package.json"),
            }
            .gate(project),
        );
    }
    gates
}

/// A tool that CI calls without a script, with the flags that it gives.
fn called_directly(project: &Project<'_>, ci: &Ci, kind: GateKind) -> Option<Gate> {
    let (tool, words) = match kind {
        GateKind::Lint => ("eslint", ["npx eslint", "yarn eslint", "pnpm eslint", "pnpm exec eslint"]),
        GateKind::Types => ("tsc", ["npx tsc", "yarn tsc", "pnpm tsc", "pnpm exec tsc"]),
        GateKind::Format => {
            ("prettier", ["npx prettier", "yarn prettier", "pnpm prettier", "pnpm exec prettier"])
        }
        _ => return None,
    };
    let called = words.into_iter().find(|words| ci.mentions(words).is_some())?;
    let flags = ci.flags_after(called).filter(|flags| !flags.is_empty() || tool == "tsc")?;
    if flags.iter().any(|flag| matches!(flag.as_str(), "--fix" | "--write" | "--watch")) {
        return None;
    }
    let mut command = ["npx", "--no-install", tool].map(str::to_owned).to_vec();
    command.extend(flags);
    let source = ci.mentions(called)?.to_owned();
    let (requirement, needs_dependencies) = (Requirement::Required, true);
    Some(Draft { kind, tool, command, requirement, needs_dependencies, source }.gate(project))
}

/// Whether a script looks at the code: not npm's placeholder, which only fails, and nothing that rewrites
/// files or waits for changes.
fn checks(script: &str) -> bool {
    let rewrites = ["--fix", "--write", "--watch"];
    !script.contains("no test specified")
        && !script.trim().is_empty()
        && !rewrites.iter().any(|flag| script.split_whitespace().any(|word| word == *flag))
}

pub(super) fn has_dependencies(project: &Project<'_>) -> bool {
    let manifest = manifest(project);
    let names_any =
        |key: &str| manifest.get(key).and_then(Value::as_object).is_some_and(|list| !list.is_empty());
    let committed = project.files().any(|(path, _)| path.starts_with("node_modules/"));
    let workspaces = manifest.get("workspaces").is_some();
    !committed
        && (workspaces
            || ["dependencies", "devDependencies", "optionalDependencies"].into_iter().any(names_any))
}

fn manifest(project: &Project<'_>) -> Value {
    project.bytes("package.json").and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default()
}

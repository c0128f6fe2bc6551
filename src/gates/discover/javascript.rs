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

/// Script names by kind; the first that is there is taken where CI does not say which it runs.
const SCRIPTS: &[(GateKind, &[&str])] = &[
    (GateKind::Test, &["test:ci", "test-ci", "test", "tests", "unit", "test:unit"]),
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
    let mut gates = vec![];
    for called in called_scripts(ci, &script) {
        // It may be called as another script of the same sort runs it.
        let kind = kind(&called.name);
        let mut command = vec![manager.to_owned()];
        command.extend(called.options.iter().cloned());
        command.extend(["run".to_owned(), called.name.clone()]);
        let mut name = command.clone();
        name.retain(|word| word != "run");
        name.insert(1, "run".to_owned());
        gates.push(gate(project, kind, (&name.join(" "), command), (Requirement::Required, called.file)));
    }
    for (kind, names) in SCRIPTS {
        if gates.iter().any(|gate| gate.kind == *kind) {
            continue;
        }
        let usable = |name: &&&str| script(name).is_some_and(checks);
        let Some(name) = names.iter().find(usable) else {
            gates.extend(called_directly(project, ci, *kind));
            continue;
        };
        // What CI's own script runs in turn is no gate of its own.
        let part = |gate: &Gate| {
            let of = gate.name.rsplit(' ').next().and_then(script).unwrap_or_default();
            [format!("run {name}"), format!("{manager} {name}")].iter().any(|call| of.contains(call.as_str()))
        };
        if gates.iter().any(part) {
            continue;
        }
        let strict = matches!(kind, GateKind::Test | GateKind::Types);
        let requirement = if strict { Requirement::Required } else { Requirement::Advisory };
        let command = [manager, "run", name].map(str::to_owned).to_vec();
        let tool = command.join(" ");
        gates.push(gate(project, *kind, (&tool, command), (requirement, project.path("package.json"))));
    }
    let rank = |gate: &Gate| SCRIPTS.iter().position(|(kind, _)| *kind == gate.kind).unwrap_or(SCRIPTS.len());
    gates.sort_by_key(rank);
    gates
}

fn gate(
    project: &Project<'_>,
    kind: GateKind,
    (tool, command): (&str, Vec<String>),
    (requirement, source): (Requirement, String),
) -> Gate {
    let needs_dependencies = has_dependencies(project);
    Draft { kind, tool, command, requirement, needs_dependencies, source }.gate(project)
}

/// A script of package.json that CI runs.
struct CalledScript {
    name: String,
    /// What chooses a package of the workspace.
    options: Vec<String>,
    file: String,
}

fn called_scripts<'s>(ci: &Ci, script: &dyn Fn(&str) -> Option<&'s str>) -> Vec<CalledScript> {
    let mut found: Vec<CalledScript> = vec![];
    for call in ci.calls() {
        let Some(words) = call.literal() else { continue };
        if !matches!(words[0].as_str(), "npm" | "pnpm" | "yarn" | "bun" | "node") {
            continue;
        }
        let (mut options, mut rest) = (vec![], words[1..].iter().peekable());
        let mut name = None;
        while let Some(word) = rest.next() {
            match word.as_str() {
                "run" | "run-script" => {}
                "--filter" | "-F" | "--workspace" => {
                    options.push(word.clone());
                    options.extend(rest.next().cloned());
                }
                "-r" | "--recursive" | "--workspaces" | "-ws" => options.push(word.clone()),
                "--run" if words[0] == "node" => {}
                "-C" | "--dir" | "--prefix" | "--cwd" => {
                    name = None;
                    break;
                }
                "workspace" if words[0] == "yarn" => {
                    options.push(word.clone());
                    options.extend(rest.next().cloned());
                }
                _ if word.starts_with("--filter=") || word.starts_with("--workspace=") => {
                    options.push(word.clone());
                }
                _ if word.starts_with('-') => {}
                "t" | "tst" => name = Some("test"),
                _ => name = Some(word.as_str()),
            }
            if name.is_some() {
                break;
            }
        }
        let Some(name) = name else { continue };
        let known = if options.is_empty() { script(name).is_some_and(checks) } else { true };
        let again = found.iter().any(|one| one.name == name && one.options == options);
        if known && !again && is_check(name) && words[0] != "node" {
            let file = call.line.file.clone();
            found.push(CalledScript { name: name.to_owned(), options, file });
        }
    }
    found
}

/// Whether a script that CI runs can judge a change: not what brings it somewhere, or measures. A build does,
/// because it fails.
fn is_check(name: &str) -> bool {
    const OTHERS: &[&str] = &[
        "install",
        "prepare",
        "release",
        "publish",
        "deploy",
        "start",
        "dev",
        "serve",
        "clean",
        "docs",
        "doc",
        "bench",
        "benchmark",
        "coveralls",
        "codecov",
        "version",
        "changelog",
        "preview",
        "setup",
        "bootstrap",
        "exec",
        "dlx",
        "audit",
        "init",
        "add",
        "config",
        "upload",
        "generate",
        "size",
        "why",
        "list",
        "ls",
        "view",
        "login",
    ];
    !OTHERS.contains(&name.split([':', '-', '_']).next().unwrap_or(name))
}

/// What a script is for, by its name.
fn kind(name: &str) -> GateKind {
    if let Some((kind, _)) = SCRIPTS.iter().find(|(_, names)| names.contains(&name)) {
        return *kind;
    }
    let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
    match () {
        () if says(&["typecheck", "type-check", "types", "tsc", "dtslint", "attw"]) => GateKind::Types,
        () if says(&["format", "fmt", "prettier"]) => GateKind::Format,
        () if says(&["lint", "circular", "knip"]) => GateKind::Lint,
        () if says(&["coverage", "cov"]) => GateKind::Coverage,
        () if says(&["test", "spec", "e2e", "unit", "jest", "mocha", "vitest"]) => GateKind::Test,
        () => GateKind::Custom,
    }
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

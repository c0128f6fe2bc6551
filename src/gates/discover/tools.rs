//! Tools that belong to no one ecosystem, or that a project uses beside its own: found by what CI, the task
//! files and the pre-commit hooks run, and by their own configuration.

use super::ci::Ci;
use super::project::Project;
use super::tasks;
use super::{Draft, required_if, words};
use crate::domain::{GateKind, Requirement};
use crate::gates::model::{Ecosystem, Gate};
use crate::gates::policy::TIMEOUT;
use crate::workspace::{RepoPath, Snapshot};

/// A tool: for whose projects, what it is for, the words that show its use, and how it is run here.
struct Tool {
    of: Option<Ecosystem>,
    kind: GateKind,
    words: &'static [&'static str],
    command: &'static str,
    /// Files in the root that configure it.
    files: &'static [&'static str],
}

const fn tool(
    of: Option<Ecosystem>,
    kind: GateKind,
    words: &'static [&'static str],
    command: &'static str,
    files: &'static [&'static str],
) -> Tool {
    Tool { of, kind, words, command, files }
}

const RUST: Option<Ecosystem> = Some(Ecosystem::Rust);
const PYTHON: Option<Ecosystem> = Some(Ecosystem::Python);

/// Audits ask a database on the network, which gates do not reach: they are advisory.
const TOOLS: &[Tool] = &[
    tool(
        RUST,
        GateKind::Audit,
        &["cargo deny", "cargo-deny", "EmbarkStudios/cargo-deny-action"],
        "cargo deny --offline check",
        &["deny.toml"],
    ),
    tool(
        RUST,
        GateKind::Audit,
        &[
            "cargo audit",
            "cargo-audit",
            "actions-rs/audit-check",
            "rustsec/audit-check",
            "actions-rust-lang/audit",
        ],
        "cargo audit --no-fetch",
        &[],
    ),
    tool(PYTHON, GateKind::Security, &["bandit"], "python3 -m bandit -q -r .", &[".bandit"]),
    tool(PYTHON, GateKind::Audit, &["pip-audit"], "pip-audit", &[]),
    tool(
        None,
        GateKind::Secrets,
        &["gitleaks", "gitleaks/gitleaks-action"],
        "gitleaks detect --no-git --redact --verbose",
        &[".gitleaks.toml"],
    ),
    tool(
        None,
        GateKind::Secrets,
        &["detect-secrets"],
        "detect-secrets scan --all-files",
        &[".secrets.baseline"],
    ),
    tool(
        None,
        GateKind::Lint,
        &["typos", "crate-ci/typos"],
        "typos",
        &["typos.toml", "_typos.toml", ".typos.toml"],
    ),
    tool(None, GateKind::Lint, &["actionlint", "raven-actions/actionlint"], "actionlint", &[]),
    tool(
        None,
        GateKind::Security,
        &["zizmor", "zizmorcore/zizmor-action", "woodruffw/zizmor-action"],
        "zizmor --offline .",
        &[],
    ),
    tool(
        None,
        GateKind::Lint,
        &["codespell", "codespell-project/actions-codespell"],
        "codespell",
        &[".codespellrc"],
    ),
    tool(
        None,
        GateKind::Lint,
        &["cffconvert", "citation-file-format/cffconvert-github-action"],
        "cffconvert --validate",
        &[],
    ),
    tool(None, GateKind::Lint, &["yamllint", "ibiqlik/action-yamllint"], "yamllint .", &[]),
    tool(
        None,
        GateKind::Lint,
        &["markdownlint-cli2", "DavidAnson/markdownlint-cli2-action"],
        "markdownlint-cli2",
        &[],
    ),
    tool(
        None,
        GateKind::Lint,
        &["editorconfig-checker", "editorconfig-checker/action-editorconfig-checker"],
        "editorconfig-checker",
        &[],
    ),
    tool(None, GateKind::Lint, &["reuse lint", "fsfe/reuse-action"], "reuse lint", &[]),
    tool(
        None,
        GateKind::Audit,
        &["trivy", "aquasecurity/trivy-action"],
        "trivy fs --exit-code 1 --skip-db-update .",
        &[],
    ),
    tool(
        None,
        GateKind::Audit,
        &["osv-scanner", "google/osv-scanner-action"],
        "osv-scanner --offline -r .",
        &[],
    ),
];

pub(super) fn gates(base: &Snapshot, projects: &[Project<'_>], ci: &Ci) -> Vec<Gate> {
    let mut gates = vec![];
    for tool in TOOLS {
        let mentioned = tool.words.iter().find_map(|words| ci.mentions(words)).map(str::to_owned);
        let configured = || tool.files.iter().find(|file| has(base, file)).map(|file| (*file).to_owned());
        let Some(source) = mentioned.clone().or_else(configured) else { continue };
        let requirement = required_if(mentioned.is_some() && tool.kind != GateKind::Audit);
        let command = words(tool.command);
        let name = tool.words[0];
        match tool.of {
            None => gates.push(plain(tool.kind, name.to_owned(), command, requirement, source)),
            Some(of) => gates.extend(projects.iter().find(|p| p.ecosystem == of).map(|project| {
                let needs_dependencies = tool.kind == GateKind::Types && super::needs_packages(project);
                Draft { kind: tool.kind, tool: name, command, requirement, needs_dependencies, source }
                    .gate(project)
            })),
        }
    }
    gates
}

/// Where nothing at all was found: the targets of a Makefile or justfile whose name says what they are for.
pub(super) fn task_gates(base: &Snapshot, found: &[Gate]) -> Vec<Gate> {
    let mut gates: Vec<Gate> = vec![];
    if !found.is_empty() {
        return gates;
    }
    for file in tasks::read(base) {
        for (kind, name) in file.checks() {
            if gates.iter().all(|gate| gate.kind != kind) {
                let command = vec![file.program.to_owned(), name.to_owned()];
                let requirement = required_if(kind == GateKind::Test);
                gates.push(plain(kind, command.join(" "), command, requirement, file.file.to_owned()));
            }
        }
    }
    gates
}

pub(super) fn plain(
    kind: GateKind,
    name: String,
    command: Vec<String>,
    requirement: Requirement,
    source: String,
) -> Gate {
    Gate { name, kind, command, cwd: None, timeout: TIMEOUT, requirement, needs_dependencies: None, source }
}

fn has(base: &Snapshot, path: &str) -> bool {
    RepoPath::parse(path).is_ok_and(|path| base.files.contains_key(&path))
}

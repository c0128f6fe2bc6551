//! Gates of Go modules.

use super::Draft;
use super::ci::Ci;
use super::project::Project;
use crate::domain::{GateKind, Requirement};
use crate::gates::model::Gate;

/// `gofmt` ends with 0 whatever it finds.
const GOFMT: &str = "found=$(find . -name '*.go' -not -path './vendor/*' -exec gofmt -l {} +) || exit 2; \
                     [ -z \"$found\" ] || { echo \"$found\" | sed 's|^\\./||; s/$/:1: not formatted as gofmt would/'; exit 1; }";

const LINT_FILES: &[&str] = &[".golangci.yml", ".golangci.yaml", ".golangci.toml", ".golangci.json"];

pub(super) fn gates(project: &Project<'_>, ci: &Ci) -> Vec<Gate> {
    let mut gates = vec![test(project, ci)];
    let shell = |line: &str| ["sh", "-c", line].map(str::to_owned).to_vec();
    let formats = ["gofmt", "go fmt", "gofumpt", "goimports"];
    if let Some(file) = formats.iter().find_map(|words| ci.mentions(words)) {
        gates.push(gate(project, GateKind::Format, "gofmt", shell(GOFMT), file.to_owned()));
    }
    let linted = ci
        .mentions("golangci-lint")
        .or_else(|| ci.mentions("golangci/golangci-lint-action"))
        .map(str::to_owned);
    if let Some(source) = linted.clone().or_else(|| project.first(LINT_FILES).map(|f| project.path(f))) {
        let command = super::words("golangci-lint run");
        let mut lint = gate(project, GateKind::Lint, "golangci-lint", command, source);
        lint.requirement = super::required_if(linted.is_some());
        gates.push(lint);
    }
    for (kind, tool, command) in [
        (GateKind::Lint, "go vet", "go vet ./..."),
        (GateKind::Lint, "staticcheck", "staticcheck ./..."),
        (GateKind::Security, "gosec", "gosec ./..."),
        (GateKind::Audit, "govulncheck", "govulncheck ./..."),
    ] {
        if let Some(file) = ci.mentions(tool) {
            let mut found = gate(project, kind, tool, super::words(command), file.to_owned());
            // It asks a database on the network, which gates do not reach.
            found.requirement = super::required_if(kind != GateKind::Audit);
            gates.push(found);
        }
    }
    gates
}

fn test(project: &Project<'_>, ci: &Ci) -> Gate {
    let flags = ci.flags_after("go test").unwrap_or_default();
    let mut command = super::words("go test");
    let takes = |flag: &String| {
        matches!(flag.as_str(), "-race" | "-short")
            || flag.starts_with("-tags=")
            || flag.starts_with("-count=")
    };
    command.extend(flags.iter().filter(|flag| takes(flag)).cloned());
    command.push("./...".to_owned());
    let source = ci.mentions("go test").map_or_else(|| project.path("go.mod"), str::to_owned);
    gate(project, GateKind::Test, "go test", command, source)
}

fn gate(project: &Project<'_>, kind: GateKind, tool: &str, command: Vec<String>, source: String) -> Gate {
    let needs_dependencies = kind != GateKind::Format && has_dependencies(project);
    Draft { kind, tool, command, requirement: Requirement::Required, needs_dependencies, source }
        .gate(project)
}

/// Whether the module asks for others that the tree does not carry.
pub(super) fn has_dependencies(project: &Project<'_>) -> bool {
    let vendored = project.has("vendor/modules.txt");
    let asks =
        project.text("go.mod").unwrap_or_default().lines().any(|line| line.trim().starts_with("require"));
    asks && !vendored
}

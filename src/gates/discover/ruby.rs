//! Gates of Ruby projects.

use super::Draft;
use super::ci::Ci;
use super::project::Project;
use crate::domain::{GateKind, Requirement};
use crate::gates::model::Gate;

pub(super) fn gates(project: &Project<'_>, ci: &Ci) -> Vec<Gate> {
    let mut gates: Vec<Gate> = test(project, ci).into_iter().collect();
    let asks = |gem: &str| gemfile(project).contains(gem).then(|| project.path("Gemfile"));
    for (kind, tool, words, files) in [
        (GateKind::Lint, "rubocop", "rubocop", &[".rubocop.yml"][..]),
        (GateKind::Lint, "standardrb", "standardrb", &[".standard.yml"]),
        (GateKind::Types, "srb", "srb tc", &["sorbet/config"]),
        (GateKind::Types, "steep", "steep check", &["Steepfile"]),
        (GateKind::Security, "brakeman", "brakeman -q --no-pager", &[]),
        (GateKind::Audit, "bundle-audit", "bundle-audit check", &[]),
    ] {
        let mentioned = ci.mentions(tool).map(str::to_owned);
        let configured = project.first(files).map(|file| project.path(file));
        let asked = if kind == GateKind::Security { asks(tool) } else { None };
        let Some(source) = mentioned.clone().or(configured).or(asked) else { continue };
        let strict = kind != GateKind::Audit && (mentioned.is_some() || kind == GateKind::Types);
        gates.push(gate(project, (kind, tool, words), super::required_if(strict), source));
    }
    gates
}

fn test(project: &Project<'_>, ci: &Ci) -> Option<Gate> {
    let has = |folder: &str, end: &str| {
        let mut files = project.files().map(|(path, _)| path);
        files.find(|path| path.starts_with(folder) && path.ends_with(end))
    };
    let rspec = ci.mentions("rspec").map(str::to_owned);
    let rspec = rspec.or_else(|| has("spec/", "_spec.rb").map(|path| project.path(path)));
    if let Some(source) = rspec {
        return Some(gate(project, (GateKind::Test, "rspec", "rspec"), Requirement::Required, source));
    }
    let tests = has("test/", "_test.rb").or_else(|| {
        let mut files = project.files().map(|(path, _)| path);
        files.find(|path| path.starts_with("test/") && path.contains("test_") && path.ends_with(".rb"))
    })?;
    let (tool, words) = match (project.has("bin/rails"), project.has("Rakefile")) {
        (true, _) => ("rails test", "rails test"),
        (false, true) => ("rake test", "rake test"),
        (false, false) => return None,
    };
    Some(gate(project, (GateKind::Test, tool, words), Requirement::Required, project.path(tests)))
}

fn gate(
    project: &Project<'_>,
    (kind, tool, words): (GateKind, &str, &str),
    requirement: Requirement,
    source: String,
) -> Gate {
    let mut command = if project.has("Gemfile") { super::words("bundle exec") } else { vec![] };
    command.extend(super::words(words));
    let needs_dependencies = has_dependencies(project);
    Draft { kind, tool, command, requirement, needs_dependencies, source }.gate(project)
}

fn gemfile<'a>(project: &Project<'a>) -> &'a str {
    project.text("Gemfile").unwrap_or_default()
}

pub(super) fn has_dependencies(project: &Project<'_>) -> bool {
    let asks =
        |line: &str| ["gem ", "gem(", "gemspec"].iter().any(|word| line.trim_start().starts_with(word));
    gemfile(project).lines().any(asks)
}

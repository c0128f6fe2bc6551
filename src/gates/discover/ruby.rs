//! Gates of Ruby projects.

use super::Draft;
use super::ci::Ci;
use super::project::Project;
use crate::domain::{GateKind, Requirement};
use crate::gates::model::Gate;

/// Programs by the words that run them, what they are for, and the files that configure them.
const TOOLS: &[(GateKind, &str, &str, &[&str])] = &[
    (GateKind::Lint, "rubocop", "rubocop", &[".rubocop.yml"]),
    (GateKind::Lint, "standardrb", "standardrb", &[".standard.yml"]),
    (GateKind::Types, "srb", "srb tc", &["sorbet/config"]),
    (GateKind::Types, "steep", "steep check", &["Steepfile"]),
    (GateKind::Security, "brakeman", "brakeman -q --no-pager", &[]),
    (GateKind::Audit, "bundle-audit", "bundle-audit check", &[]),
    (GateKind::Audit, "bundler-audit", "bundle-audit check", &[]),
];

pub(super) fn gates(project: &Project<'_>, ci: &Ci) -> Vec<Gate> {
    let asked = asked(ci);
    let mut gates: Vec<Gate> = tests(project, &asked);
    let asks = |gem: &str| gemfile(project).contains(gem).then(|| project.path("Gemfile"));
    for (kind, tool, words, files) in TOOLS {
        let mentioned = ci.mentions(tool).map(str::to_owned);
        let configured = project.first(files).map(|file| project.path(file));
        let wanted = if *kind == GateKind::Security { asks(tool) } else { None };
        let Some(source) = mentioned.clone().or(configured).or(wanted) else { continue };
        let strict = *kind != GateKind::Audit && (mentioned.is_some() || *kind == GateKind::Types);
        let mut line = (*words).to_owned();
        // It looks at what CI lets it look at.
        let by_ci = asked.iter().find(|(_, words)| words[0] == *tool);
        for path in by_ci.map(|(_, words)| words.as_slice()).unwrap_or_default().iter().skip(1) {
            if project.holds(path) {
                line.push(' ');
                line.push_str(path);
            }
        }
        gates.push(gate(project, (*kind, tool, &line), super::required_if(strict), source));
    }
    gates.extend(others(project, &asked));
    gates
}

/// What CI runs from the bundle: file and words.
fn asked(ci: &Ci) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = vec![];
    for call in ci.calls() {
        let Some(words) = call.literal() else { continue };
        let words = match words {
            [bundle, exec, rest @ ..] if bundle == "bundle" && exec == "exec" => rest,
            [program, ..] if matches!(program.as_str(), "rake" | "rspec" | "rails") => words,
            _ => continue,
        };
        let words: Vec<String> = words.iter().filter(|word| !is_about_output(word)).cloned().collect();
        if !words.is_empty() && found.iter().all(|(_, others)| *others != words) {
            found.push((call.line.file.clone(), words));
        }
    }
    found
}

fn is_about_output(word: &str) -> bool {
    ["--trace", "--verbose", "--color", "--no-color", "--profile"].contains(&word)
}

/// The tests as CI runs them; where it does not say, by the files that are there.
fn tests(project: &Project<'_>, asked: &[(String, Vec<String>)]) -> Vec<Gate> {
    let mut gates: Vec<Gate> = vec![];
    for (file, words) in asked {
        let tests = match words[0].as_str() {
            "rspec" => true,
            "rails" => words[1..].iter().any(|word| word.starts_with("test")),
            "rake" => words[1..].iter().all(|task| is_test(task)),
            _ => false,
        };
        if tests {
            let line = words.join(" ");
            let what = (GateKind::Test, line.as_str(), line.as_str());
            gates.push(gate(project, what, Requirement::Required, file.clone()));
        }
    }
    if gates.is_empty() { by_files(project).into_iter().collect() } else { gates }
}

/// A task of rake that tests: the default one is not named at all.
fn is_test(task: &str) -> bool {
    let name = task.split(':').next().unwrap_or(task);
    matches!(name, "test" | "tests" | "spec" | "specs" | "ci" | "default" | "check" | "features" | "cucumber")
}

/// Tasks and programs that check nothing.
const NO_CHECKS: &[&str] = &[
    "build", "install", "release", "doc", "docs", "yard", "clean", "compile", "setup", "db", "gem", "jekyll",
    "deploy", "assets",
];

/// Other programs of the bundle and tasks of rake, as CI calls them.
fn others(project: &Project<'_>, asked: &[(String, Vec<String>)]) -> Vec<Gate> {
    let mut gates = vec![];
    for (file, words) in asked {
        let by_task = words[0] == "rake";
        let Some(name) = (if by_task { words.get(1) } else { words.first() }) else { continue };
        let known = TOOLS.iter().any(|(_, tool, ..)| words.iter().any(|word| word == tool));
        let plain =
            !by_task && matches!(words[0].as_str(), "rspec" | "rails" | "ruby" | "appraisal" | "danger");
        let first = name.split(':').next().unwrap_or(name);
        if known
            || plain
            || by_task && words[1..].iter().all(|task| is_test(task))
            || NO_CHECKS.contains(&first)
        {
            continue;
        }
        let kind = match () {
            () if words.iter().any(|word| word.contains("test") || word.contains("spec")) => GateKind::Test,
            () if name.contains("lint") || name.contains("cop") => GateKind::Lint,
            () => GateKind::Custom,
        };
        let line = words.join(" ");
        gates.push(gate(project, (kind, &line, &line), Requirement::Required, file.clone()));
    }
    gates
}

fn by_files(project: &Project<'_>) -> Option<Gate> {
    let has = |folder: &str, end: &str| {
        let mut files = project.files().map(|(path, _)| path);
        files.find(|path| path.starts_with(folder) && path.ends_with(end))
    };
    if let Some(spec) = has("spec/", "_spec.rb") {
        let what = (GateKind::Test, "rspec", "rspec");
        return Some(gate(project, what, Requirement::Required, project.path(spec)));
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

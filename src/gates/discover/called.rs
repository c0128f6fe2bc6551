//! Targets of a task file and scripts of the repository that CI runs, where what they do was not found under
//! its own name already.

use super::ci::{Ci, own_script, targets, text_of};
use super::tasks;
use super::tools::plain;
use crate::domain::{GateKind, Requirement};
use crate::gates::model::Gate;
use crate::workspace::{RepoPath, Snapshot};

/// `found`: the gates of the tools that are known.
pub(super) fn gates(base: &Snapshot, ci: &Ci, found: &[Gate]) -> Vec<Gate> {
    let mut gates: Vec<Gate> = vec![];
    let mut add =
        |name: String, what: &str, runs: &str, command: Vec<String>, (folder, file): (&str, &str)| {
            let covered = found.iter().any(|gate| does(runs, gate)) || needs_more(runs);
            let known = gates.iter().any(|gate: &Gate| gate.name == name);
            if let Some(kind) = kind(what).filter(|_| !covered && !known && gates.len() < MOST) {
                let mut gate = plain(kind, name, command, Requirement::Required, file.to_owned());
                gate.cwd = RepoPath::parse(folder).ok();
                // It may use the packages of any project, and those of one are shown to all.
                gates.push(gate);
            }
        };
    let files = tasks::read(base);
    for call in ci.calls() {
        let line = call.line;
        if let Some(file) = files.iter().find(|file| call.words[0] == file.program && line.folder.is_empty())
        {
            for target in targets(&call.words).into_iter().filter(|target| file.has(target)) {
                let runs: Vec<String> = file.runs(target).into_iter().map(|one| one.text).collect();
                let command = vec![file.program.to_owned(), target.to_owned()];
                add(command.join(" "), target, &runs.join("\n"), command, ("", &line.file));
            }
        } else if let Some(path) = interpreted(base, &call.words, &line.folder) {
            let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
            let command: Vec<String> = super::shell::words(&line.text);
            if command.iter().all(|word| super::shell::is_literal(word)) {
                add(name.clone(), &name, "", command, (&line.folder, &line.file));
            }
        } else if let Some(path) = own_script(base, line) {
            let text = text_of(base, &path).unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
            let command = match super::shell::words(&line.text) {
                words if words.iter().all(|word| super::shell::is_literal(word)) => words,
                _ => continue,
            };
            add(name.clone(), &name, &text, command, (&line.folder, &line.file));
        }
    }
    gates
}

/// The script of the tree that an interpreter is given. Of the interpreters that need nothing else.
fn interpreted(base: &Snapshot, words: &[String], folder: &str) -> Option<String> {
    let [program, script, ..] = words else { return None };
    if !matches!(program.as_str(), "node" | "python" | "python3" | "ruby") {
        return None;
    }
    let path = super::shell::joined(folder, script)?;
    text_of(base, &path).map(|_| path)
}

/// Gates of this sort at most.
const MOST: usize = 8;

/// Whether a script does what a gate does: its tool is in it.
fn does(runs: &str, gate: &Gate) -> bool {
    // Programs that only show the tests of another in their own way.
    let runs = &runs
        .replace("richgo test", "go test")
        .replace("gotestsum", "go test")
        .replace("cargo nextest run", "cargo test");
    let tool = gate.name.split(" in ").next().unwrap_or(&gate.name);
    // A part of the tests under its own name is not the tests.
    let tool = tool.split(" (").next().unwrap_or(tool);
    runs.match_indices(tool).any(|(at, _)| {
        let before = runs[..at].chars().next_back();
        let after = runs[at + tool.len()..].chars().next();
        let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
        !inside(before) && !inside(after)
    })
}

/// Whether it asks for what gates do not have: the network, and the repository's history.
fn needs_more(runs: &str) -> bool {
    ["curl ", "wget ", "git diff", "git status", "git ls-files", "git fetch", "docker ", "sudo ", "apt-get "]
        .iter()
        .any(|words| runs.contains(words))
}

/// What it is for, by its name. `None`: it checks nothing, as far as that shows.
fn kind(name: &str) -> Option<GateKind> {
    let lower = name.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match () {
        () if says(&[
            "install",
            "setup",
            "deploy",
            "release",
            "publish",
            "clean",
            "upload",
            "bootstrap",
            "bench",
        ]) =>
        {
            None
        }
        () if says(&["fmt", "format", "style"]) => Some(GateKind::Format),
        () if says(&["lint", "clippy", "vet"]) => Some(GateKind::Lint),
        () if says(&["type", "mypy"]) => Some(GateKind::Types),
        () if says(&["cover"]) => Some(GateKind::Coverage),
        () if says(&["test", "spec", "e2e"]) => Some(GateKind::Test),
        () if says(&["check", "verify", "validate", "sync"]) => Some(GateKind::Custom),
        () => None,
    }
}

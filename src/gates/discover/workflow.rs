//! What GitHub's workflows run on a change: not what they run on a timetable, for a release, or on other systems.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value};

use super::pattern;
use super::shell::{self, UNKNOWN, Variables};
use crate::workspace::{RepoPath, Snapshot};

/// One command that CI runs, or an action that it uses.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) file: String,
    /// The folder of the tree in which it runs; empty for the root.
    pub(super) folder: String,
    /// A command, or the name of an action without its version.
    pub(super) text: String,
    pub(super) env: Variables,
}

/// The largest workflow that is taken apart, in bytes.
const LARGEST: usize = 512 * 1024;

/// The commands of all workflows that judge a change; where none is begun by a pull request, of those that a
/// push begins.
pub(super) fn lines(base: &Snapshot) -> Vec<Line> {
    let (mut judged, mut pushed) = (vec![], vec![]);
    for (path, entry) in &base.files {
        let path = path.as_str();
        if !path.starts_with(".github/workflows/") || !(path.ends_with(".yml") || path.ends_with(".yaml")) {
            continue;
        }
        let text = String::from_utf8_lossy(&entry.bytes);
        let Some(workflow) = read(&text) else {
            judged.extend(text.lines().map(|line| plain(path, line.trim())));
            continue;
        };
        let Some(jobs) = workflow.get("jobs").and_then(Value::as_object) else {
            let mut found = vec![];
            any_steps(&workflow, 0, &mut |step| found.push(step));
            let place = Place {
                file: path,
                base,
                folder: String::new(),
                env: Variables::new(),
                matrix: None,
                chosen: None,
            };
            found.into_iter().for_each(|step| place.step(step, &mut judged, 0));
            continue;
        };
        let judging = jobs.iter().filter(|(name, _)| !brings_out(name));
        let of_jobs = || judging.clone().flat_map(|(_, job)| job_lines(base, path, &workflow, job));
        match begun_by(workflow.get("on").or_else(|| workflow.get("true"))) {
            Begun::ByRequest => judged.extend(of_jobs()),
            Begun::ByPush => pushed.extend(of_jobs()),
            Begun::Otherwise => {}
        }
    }
    if judged.is_empty() { pushed } else { judged }
}

fn read(text: &str) -> Option<Value> {
    if text.len() > LARGEST { None } else { serde_saphyr::from_str(text).ok() }
}

fn plain(file: &str, text: &str) -> Line {
    Line { file: file.to_owned(), folder: String::new(), text: text.to_owned(), env: Variables::new() }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    ByRequest,
    ByPush,
    Otherwise,
}

/// What begins a workflow. Of tags and closed requests none is a change that waits.
fn begun_by(on: Option<&Value>) -> Begun {
    let names: Vec<&str> = match on {
        None => return Begun::ByRequest,
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(Value::Object(map)) => map
            .iter()
            .filter(|(name, rules)| match name.as_str() {
                "push" => rules.get("tags").is_none() || rules.get("branches").is_some(),
                "pull_request" => rules.get("types").and_then(Value::as_array).is_none_or(|types| {
                    types.iter().any(|one| matches!(one.as_str(), Some("opened" | "synchronize")))
                }),
                _ => true,
            })
            .map(|(name, _)| name.as_str())
            .collect(),
        Some(_) => vec![],
    };
    let any = |wanted: &[&str]| names.iter().any(|name| wanted.contains(name));
    if any(&["pull_request", "merge_group", "workflow_call"]) {
        Begun::ByRequest
    } else if any(&["push"]) {
        Begun::ByPush
    } else {
        Begun::Otherwise
    }
}

/// Whether a condition leaves out the changes that are judged here: on Linux, before they are merged.
fn leaves_out(of: &Value) -> bool {
    let Some(condition) = of.get("if").and_then(Value::as_str) else { return false };
    let text = condition.replace('"', "'");
    let says = |words: &str| text.contains(words);
    if says("||") {
        return false;
    }
    says("event_name != 'pull_request'")
        || says("event_name == '") && !says("event_name == 'pull_request'")
        || says("github.ref == ")
        || says("github.ref_type == 'tag'")
        || says("startsWith(github.ref") && !says("!startsWith(github.ref")
        || ["Windows", "macOS"].iter().any(|system| says(&format!("runner.os == '{system}'")))
        || ["windows", "macos"].iter().any(|system| {
            says(&format!("== '{system}")) || says(&format!("os, '{system}")) && !says("!startsWith")
        })
        || text.trim() == "failure()"
        || text.trim() == "false"
}

/// Whether a job brings something to people, by its name.
fn brings_out(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["publish", "deploy"].iter().any(|word| name.contains(word))
        || name.split(['-', '_']).any(|word| word == "release") && !name.contains("check")
}

fn is_elsewhere(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["windows", "macos", "win-", "mac-"].iter().any(|system| name.starts_with(system))
}

fn job_lines(base: &Snapshot, file: &str, workflow: &Value, job: &Value) -> Vec<Line> {
    if leaves_out(job) || job.get("runs-on").and_then(Value::as_str).is_some_and(is_elsewhere) {
        return vec![];
    }
    let matrix = job.get("strategy").and_then(|strategy| strategy.get("matrix")).and_then(Value::as_object);
    let rounds = folders_of(base, matrix);
    let of_round = |chosen| one_round(base, (file, workflow, job), (matrix, chosen));
    if rounds.is_empty() { of_round(None) } else { rounds.into_iter().map(Some).flat_map(of_round).collect() }
}

/// A list of a matrix whose values are folders of the tree: what runs in one says nothing of the others.
fn folders_of(base: &Snapshot, matrix: Option<&Map<String, Value>>) -> Vec<Chosen> {
    const MOST: usize = 8;
    let is_folder = |value: &Value| {
        let Some(folder) = value.as_str().and_then(|place| shell::joined("", place)) else { return false };
        let inside = format!("{folder}/");
        folder.is_empty() || base.files.keys().any(|path| path.as_str().starts_with(&inside))
    };
    let lists = matrix.into_iter().flatten().filter_map(|(key, value)| Some((key, value.as_array()?)));
    let mut lists =
        lists.filter(|(_, values)| values.len() > 1 && values.len() <= MOST && values.iter().all(is_folder));
    let Some((key, values)) = lists.next() else { return vec![] };
    values.iter().filter_map(Value::as_str).map(|value| (key.clone(), value.to_owned())).collect()
}

fn one_round<'a>(
    base: &'a Snapshot,
    (file, workflow, job): (&'a str, &'a Value, &'a Value),
    (matrix, chosen): (Option<&'a Map<String, Value>>, Option<Chosen>),
) -> Vec<Line> {
    let mut place = Place { file, base, folder: String::new(), env: Variables::new(), matrix, chosen };
    for of in [workflow, job] {
        place.add_env(of);
        let folder = of.get("defaults").and_then(|d| d.get("run")).and_then(|r| r.get("working-directory"));
        if let Some(folder) = folder.and_then(Value::as_str).and_then(|folder| shell::joined("", folder)) {
            place.folder = folder;
        }
    }
    let mut found = vec![];
    let steps = job.get("steps").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    steps.for_each(|step| place.step(step, &mut found, 0));
    found
}

/// All steps in whatever structure.
fn any_steps<'v>(value: &'v Value, depth: usize, found: &mut dyn FnMut(&'v Map<String, Value>)) {
    match value {
        Value::Object(map) if map.contains_key("run") || map.contains_key("uses") => found(map),
        Value::Object(map) if depth < 16 => map.values().for_each(|value| any_steps(value, depth + 1, found)),
        Value::Array(list) if depth < 16 => list.iter().for_each(|value| any_steps(value, depth + 1, found)),
        _ => {}
    }
}

/// A key of a matrix and one of its values.
type Chosen = (String, String);

/// Where the steps of a job run, and with what.
#[derive(Clone)]
struct Place<'a> {
    file: &'a str,
    base: &'a Snapshot,
    folder: String,
    env: Variables,
    matrix: Option<&'a Map<String, Value>>,
    /// The key of the matrix that is taken in turn, and its value in this one.
    chosen: Option<Chosen>,
}

impl Place<'_> {
    fn add_env(&mut self, of: &Value) {
        for (name, value) in of.get("env").and_then(Value::as_object).into_iter().flatten() {
            let value = value_text(value).map(|text| self.resolved(&text));
            self.env.insert(name.clone(), value.unwrap_or_else(|| UNKNOWN.to_string()));
        }
    }

    fn step(&self, step: &Map<String, Value>, found: &mut Vec<Line>, depth: usize) {
        let whole = Value::Object(step.clone());
        let text = |key: &str| step.get(key).and_then(Value::as_str);
        let other_shell = matches!(text("shell"), Some("pwsh" | "powershell" | "cmd"));
        if leaves_out(&whole) || other_shell {
            return;
        }
        let mut here = self.clone();
        here.add_env(&whole);
        if let Some(folder) = text("working-directory") {
            match shell::joined("", &here.resolved(folder)) {
                Some(folder) => here.folder = folder,
                None => return,
            }
        }
        if let Some(script) = text("run") {
            let commands = shell::commands(&here.resolved(script), &here.folder, &here.env);
            found.extend(commands.into_iter().map(|command| Line {
                file: here.file.to_owned(),
                folder: command.folder,
                text: command.text,
                env: here.env.clone(),
            }));
        }
        match text("uses") {
            Some(own) if own.starts_with("./") && depth < 3 => here.own_action(own, found, depth),
            Some(action) => {
                let name = action.split('@').next().unwrap_or_default();
                found.push(Line { folder: here.folder, env: here.env, ..plain(here.file, name) });
            }
            None => {}
        }
    }

    /// The steps of an action that the repository itself holds.
    fn own_action(&self, folder: &str, found: &mut Vec<Line>, depth: usize) {
        let Some(folder) = shell::joined("", folder) else { return };
        let read_one = |name: &str| {
            let path = RepoPath::parse(format!("{folder}/{name}")).ok()?;
            read(&String::from_utf8_lossy(&self.base.files.get(&path)?.bytes))
        };
        let Some(action) = read_one("action.yml").or_else(|| read_one("action.yaml")) else { return };
        let steps = action.get("runs").and_then(|runs| runs.get("steps")).and_then(Value::as_array);
        let steps = steps.into_iter().flatten().filter_map(Value::as_object);
        steps.for_each(|step| self.step(step, found, depth + 1));
    }

    /// A text with its expressions filled in as far as they are known.
    fn resolved(&self, text: &str) -> String {
        static EXPRESSION: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)\$\{\{\s*(.*?)\s*\}\}"));
        let value = |found: &Captures<'_>| self.value(&found[1]).unwrap_or_else(|| UNKNOWN.to_string());
        EXPRESSION.replace_all(text, value).into_owned()
    }

    /// `a || b` is the first that is known and says something.
    fn value(&self, expression: &str) -> Option<String> {
        let parts: Vec<&str> = expression.split("||").map(str::trim).collect();
        let (last, before) = parts.split_last()?;
        let said = before.iter().filter_map(|part| self.one_value(part)).find(|value| !value.is_empty());
        said.or_else(|| self.one_value(last))
    }

    fn one_value(&self, name: &str) -> Option<String> {
        if let Some(text) = name.strip_prefix('\'').and_then(|name| name.strip_suffix('\'')) {
            return (!text.contains('\'')).then(|| text.to_owned());
        }
        match name.split_once('.')? {
            ("env", name) => self.env.get(name).cloned(),
            ("matrix", key) => match &self.chosen {
                Some((chosen, value)) if chosen == key => Some(value.clone()),
                _ => of_matrix(self.matrix?, key),
            },
            ("github", "workspace") => Some(".".to_owned()),
            ("runner", "os") => Some("Linux".to_owned()),
            _ => None,
        }
    }
}

/// The value of a key in the first combination that is for Linux: of the key's list, or of what is included
/// and belongs to a combination of the lists. A key that a combination lacks is empty.
fn of_matrix(matrix: &Map<String, Value>, key: &str) -> Option<String> {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let inside = |value: &Value| match rest {
        None => value_text(value),
        Some(rest) => value.get(rest).and_then(value_text),
    };
    let list = |key: &str| matrix.get(key).and_then(Value::as_array);
    if let Some(listed) = list(first).filter(|_| !matches!(first, "include" | "exclude")) {
        return listed.iter().find_map(|value| inside(value).filter(|text| !is_elsewhere(text)));
    }
    let is_list = |key: &String| !matches!(key.as_str(), "include" | "exclude");
    // A list that only the run knows may hold anything.
    if matrix.iter().any(|(key, value)| is_list(key) && !value.is_array()) {
        return None;
    }
    let has_lists = matrix.keys().any(is_list);
    let included = matrix.get("include").and_then(Value::as_array).into_iter().flatten();
    let mut of_linux = included.filter_map(Value::as_object).filter(|entry| {
        !entry.values().filter_map(Value::as_str).any(is_elsewhere)
            && entry.iter().all(|(key, value)| list(key).is_none_or(|listed| listed.contains(value)))
    });
    let found = match has_lists {
        true => of_linux.find_map(|entry| entry.get(first)),
        false => of_linux.next()?.get(first),
    };
    found.map_or(Some(String::new()), inside)
}

fn value_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Null => Some(String::new()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::discover::tests::tree;

    fn of(files: &[(&str, &str)]) -> Vec<String> {
        let show = |line: Line| {
            if line.folder.is_empty() { line.text } else { format!("{}: {}", line.folder, line.text) }
        };
        lines(&tree(files)).into_iter().map(show).collect()
    }

    fn ci(text: &str) -> Vec<String> {
        of(&[(".github/workflows/ci.yml", text)])
    }

    #[test]
    fn only_what_a_change_waits_for_counts() {
        let release =
            "on:\n  push:\n    tags: ['v*']\njobs:\n  a:\n    steps:\n      - run: make release-check\n";
        let nightly =
            "on:\n  schedule: [{cron: '0 0 * * *'}]\njobs:\n  a:\n    steps:\n      - run: make slow\n";
        let pushed = "on: push\njobs:\n  a:\n    steps:\n      - run: make pushed\n";
        let request = "on: [push, pull_request]\njobs:\n  a:\n    steps:\n      - run: make test\n      - run: make x\n        if: github.event_name != 'pull_request'\n  \
                       b:\n    if: github.event_name == 'schedule'\n    steps: [{run: make y}]\n  c:\n    runs-on: windows-latest\n    steps: [{run: make z}]\n";
        let files = [
            (".github/workflows/a.yml", release),
            (".github/workflows/b.yml", nightly),
            (".github/workflows/c.yml", pushed),
            (".github/workflows/d.yml", request),
        ];
        assert_eq!(of(&files), ["make test"]);
        assert_eq!(of(&files[..3]), ["make pushed"], "where no request begins anything, a push does");
    }

    #[test]
    fn expressions_are_filled_in_from_the_environment_and_the_matrix() {
        let text = "on: pull_request\nenv:\n  CARGO: cargo\n  EMPTY:\njobs:\n  a:\n    strategy:\n      matrix:\n        os: [windows-latest, ubuntu-latest]\n        include:\n          - {os: macos-latest, set: mac}\n          - {os: ubuntu-latest, set: full}\n    \
                    steps:\n      - run: ${{ env.CARGO }} test ${{ env.EMPTY }} --x\n      - run: make test-${{ matrix.set }} ${{ matrix.os }}\n      - run: tox -e ${{ matrix.tox || 'py3' }} ${{ secrets.X }}\n";
        assert_eq!(ci(text), ["cargo test  --x", "make test-full ubuntu-latest", "tox -e py3 \u{1}"]);
    }

    #[test]
    fn a_step_runs_in_its_folder_and_an_action_of_the_repository_is_its_steps() {
        let text = "on: pull_request\ndefaults:\n  run:\n    working-directory: ./benches\njobs:\n  a:\n    steps:\n      - run: cargo fmt\n      - run: x\n        working-directory: fuzz\n      - uses: ./.github/actions/mine\n      - uses: a/b@v1\n";
        let action = "runs:\n  using: composite\n  steps:\n    - run: own\n";
        assert_eq!(
            of(&[(".github/workflows/ci.yml", text), (".github/actions/mine/action.yml", action)]),
            ["benches: cargo fmt", "fuzz: x", "benches: own", "benches: a/b"]
        );
    }
}

//! What a repository's CI runs: the steps of its workflows, and the targets, scripts and environments that they
//! call. Where it has no CI, what its task files hold.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::pattern;
use super::shell::{self, Simple, Variables, is_literal};
use super::tasks::{self, TaskFile};
use super::workflow::{self, Line};
use super::{hooks, python_tasks};
use crate::workspace::{RepoPath, Snapshot};

/// The commands of files that say what a project runs.
#[derive(Debug, Default)]
pub(super) struct Ci {
    lines: Vec<Line>,
}

/// A command of CI, by its words.
#[derive(Debug, Clone)]
pub(super) struct Call<'c> {
    pub(super) line: &'c Line,
    /// The program without its folder, and its arguments; without the programs that only run others.
    pub(super) words: Vec<String>,
}

impl Call<'_> {
    /// The arguments, where all of them say the same here as in CI.
    pub(super) fn literal(&self) -> Option<&[String]> {
        self.words.iter().all(|word| is_literal(word)).then_some(&self.words)
    }
}

/// CI other than GitHub's, read line by line.
const OTHERS: &[&str] =
    &[".gitlab-ci.yml", ".circleci/config.yml", ".travis.yml", ".cirrus.yml", "azure-pipelines.yml"];

impl Ci {
    pub(super) fn read(base: &Snapshot) -> Self {
        let mut lines = workflow::lines(base);
        for file in OTHERS {
            let text = text_of(base, file).unwrap_or_default();
            let commands = text.lines().map(|line| line.trim().trim_start_matches("- ").trim());
            let commands = commands.map(|line| line.strip_prefix("run:").unwrap_or(line).trim());
            let parts = commands.flat_map(|line| shell::commands(line, "", &Variables::new()));
            lines.extend(parts.map(|part| line_of(file, part)));
        }
        let task_files = tasks::read(base);
        if lines.is_empty() {
            lines.extend(
                task_files.iter().flat_map(|one| one.all().into_iter().map(|part| line_of(one.file, part))),
            );
        }
        let mut seen = BTreeSet::new();
        let mut at = 0;
        // What is added is asked as well; each target and file once, so this ends.
        while at < lines.len() {
            let more = called(base, &task_files, &lines[at], &mut seen);
            lines.extend(more);
            at += 1;
        }
        lines.extend(python_tasks::lines(base).into_iter().map(|(file, part)| line_of(file, part)));
        lines.iter_mut().for_each(|line| in_named_folder(base, line));
        let commands = hooks::commands(base).into_iter();
        lines.extend(commands.map(|text| line_of(hooks::FILE, Simple { text, folder: String::new() })));
        Self { lines }
    }

    /// The part of it that runs in a folder: of a project below the root also what runs in the root.
    pub(super) fn within(&self, folder: &str) -> Self {
        let is_there = |line: &&Line| line.folder == folder || line.folder.is_empty() && !folder.is_empty();
        Self { lines: self.lines.iter().filter(is_there).cloned().collect() }
    }

    /// The part of it that runs in this very folder.
    pub(super) fn only_in(&self, folder: &str) -> Self {
        Self { lines: self.lines.iter().filter(|line| line.folder == folder).cloned().collect() }
    }

    /// The folders of the tree in which something runs.
    pub(super) fn folders(&self) -> BTreeSet<&str> {
        self.lines.iter().map(|line| line.folder.as_str()).collect()
    }

    pub(super) fn has_file(&self, file: &str) -> bool {
        self.lines.iter().any(|line| line.file == file)
    }

    /// All commands, by their words.
    pub(super) fn calls(&self) -> impl Iterator<Item = Call<'_>> {
        self.lines.iter().filter_map(|line| {
            let words = program_and_arguments(shell::words(&line.text));
            (!words.is_empty()).then_some(Call { line, words })
        })
    }

    /// The calls of one program, without its name.
    pub(super) fn calls_of<'c>(&'c self, program: &str) -> impl Iterator<Item = (&'c Line, Vec<String>)> {
        let is_it = move |call: &Call<'_>| call.words[0] == program;
        self.calls().filter(is_it).map(|call| (call.line, call.words[1..].to_vec()))
    }

    /// The file whose line holds these words next to each other.
    pub(super) fn mentions(&self, words: &str) -> Option<&str> {
        self.find(words).map(|(line, _)| line.file.as_str())
    }

    /// The words that follow a command on its line. `None` where the command is not run; where they depend on
    /// what only the run knows they are not known and so empty.
    pub(super) fn flags_after(&self, command: &str) -> Option<Vec<String>> {
        let (line, end) = self.find(command)?;
        let rest = line.text[end..].trim_end_matches(['"', '\'', ',']);
        let words = shell::words(rest);
        let known = !rest.contains(['`', '"', '\'']) && words.iter().all(|word| is_literal(word));
        Some(if known { words } else { vec![] })
    }

    fn find(&self, words: &str) -> Option<(&Line, usize)> {
        self.lines.iter().find_map(|line| {
            let text = &line.text;
            let at = text.match_indices(words).find(|(at, _)| {
                let before = text[..*at].chars().next_back();
                let after = text[at + words.len()..].chars().next();
                let inside = |c: Option<char>| {
                    c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
                };
                // A program may be called by its path, such as `.venv/bin/mypy`.
                !(inside(after) || inside(before) && before != Some('/'))
            })?;
            Some((line, at.0 + words.len()))
        })
    }
}

pub(super) fn text_of(base: &Snapshot, path: &str) -> Option<String> {
    let entry = base.files.get(&RepoPath::parse(path).ok()?)?;
    Some(String::from_utf8_lossy(&entry.bytes).into_owned())
}

/// A call of cargo that names the manifest of another workspace runs in its folder.
fn in_named_folder(base: &Snapshot, line: &mut Line) {
    static MANIFEST: LazyLock<Regex> = LazyLock::new(|| pattern(r" --manifest-path[ =](\S+)"));
    let Some(found) = MANIFEST.captures(&line.text).filter(|_| line.text.starts_with("cargo ")) else {
        return;
    };
    let folder = found[1].rsplit_once('/').map_or("", |(folder, _)| folder);
    let Some(folder) = shell::joined(&line.folder, folder) else { return };
    let is_workspace =
        text_of(base, &format!("{folder}/Cargo.toml")).is_some_and(|text| text.contains("[workspace]"));
    if folder == line.folder || is_workspace {
        line.text = MANIFEST.replace(&line.text, "").into_owned();
        line.folder = folder;
    }
}

fn line_of(file: &str, part: Simple) -> Line {
    Line { file: file.to_owned(), folder: part.folder, text: part.text, env: Variables::new() }
}

/// What a line calls that the repository itself holds: a target of a task file, or a script.
fn called(base: &Snapshot, tasks: &[TaskFile], line: &Line, seen: &mut BTreeSet<String>) -> Vec<Line> {
    let words = program_and_arguments(shell::words(&line.text));
    let Some(program) = words.first() else { return vec![] };
    if let Some(file) = tasks.iter().find(|file| file.program == program && line.folder.is_empty()) {
        let named = targets(&words);
        let default = if named.is_empty() { file.default_target() } else { None };
        let targets =
            named.into_iter().chain(default).filter(|name| seen.insert(format!("{program} {name}")));
        let parts: Vec<Simple> = targets.flat_map(|name| file.runs(name)).collect();
        return parts.into_iter().map(|part| line_of(file.file, part)).collect();
    }
    let Some(path) = own_script(base, line).filter(|path| seen.insert(path.clone())) else { return vec![] };
    let text = text_of(base, &path).unwrap_or_default();
    let parts = shell::commands(&text, &line.folder, &line.env);
    parts.into_iter().map(|part| line_of(&path, part)).collect()
}

/// The targets that a call of make or just names.
pub(super) fn targets(words: &[String]) -> Vec<&str> {
    let arguments = words.iter().skip(1).map(String::as_str);
    arguments.filter(|word| !word.starts_with('-') && !word.contains('=') && is_literal(word)).collect()
}

/// The script of the tree that a line runs, itself or through a shell.
pub(super) fn own_script(base: &Snapshot, line: &Line) -> Option<String> {
    let words = shell::words(&line.text);
    let mut words = words.iter().map(String::as_str).filter(|word| !is_setting(word));
    let mut program = words.next()?;
    if matches!(program, "sh" | "bash" | "/bin/sh" | "/bin/bash") {
        program = words.find(|word| !word.starts_with('-'))?;
    }
    let path = shell::joined(&line.folder, program).filter(|_| program.contains('/'))?;
    let text = text_of(base, &path)?;
    // A compiled program or one in another language says nothing to us.
    let is_shell = text.lines().next().is_some_and(|first| !first.starts_with("#!") || first.contains("sh"));
    is_shell.then_some(path)
}

fn is_setting(word: &str) -> bool {
    static SETTING: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[A-Za-z_]\w*="));
    SETTING.is_match(word)
}

/// Programs that run the program in their arguments, and those of their options that take a value.
const RUNNERS: &[(&[&str], &[&str])] = &[
    (
        &["uv", "run"],
        &["--group", "--only-group", "--extra", "--with", "--python", "-p", "--package", "--directory"],
    ),
    (&["poetry", "run"], &[]),
    (&["pdm", "run"], &[]),
    (&["hatch", "run"], &[]),
    (&["pipenv", "run"], &[]),
    (&["rye", "run"], &[]),
    (&["xvfb-run"], &[]),
    (&["env"], &[]),
    (&["uvx"], &["--from", "--with"]),
    (&["pipx", "run"], &["--spec"]),
];

/// The program that a command comes to: without settings, runners, and its folder.
fn program_and_arguments(mut words: Vec<String>) -> Vec<String> {
    loop {
        let settings = words.iter().take_while(|word| is_setting(word)).count();
        words.drain(..settings);
        let runner = RUNNERS.iter().find(|(runner, _)| {
            words.len() > runner.len() && words.iter().zip(*runner).all(|(word, part)| word == part)
        });
        let Some((runner, valued)) = runner else { break };
        words.drain(..runner.len());
        while words.first().is_some_and(|word| word.starts_with('-')) {
            let option = words.remove(0);
            if valued.contains(&option.as_str()) && !words.is_empty() {
                words.remove(0);
            }
        }
    }
    if words.len() > 2
        && words[0].trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') == "python"
        && words[1] == "-m"
    {
        words.drain(..2);
    }
    if let Some(program) = words.first_mut()
        && let Some((_, name)) = program.rsplit_once("bin/")
    {
        *program = name.to_owned();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::discover::tests::tree;

    #[test]
    fn commands_are_found_with_their_flags() {
        let base = tree(&[(
            ".github/workflows/ci.yml",
            "jobs:\n  a:\n    steps:\n      # - run: cargo bench\n      - run: cargo test --all-features --workspace && echo done\n      \
             - run: |\n          cargo clippy \\\n            --all-targets -- -D warnings\n      - run: cargo build ${{ matrix.flags }}\n      \
             - run: mypy-extra x\n      - name: Run cargo doc\n        run: |\n          make check\n          .venv/bin/black .\n      - uses: gitleaks/gitleaks-action@v2\n",
        )]);
        let ci = Ci::read(&base);
        assert_eq!(ci.flags_after("cargo test"), Some(vec!["--all-features".into(), "--workspace".into()]));
        let clippy = ci.flags_after("cargo clippy").expect("found");
        assert_eq!(clippy.join(" "), "--all-targets -- -D warnings");
        assert_eq!(ci.flags_after("cargo build"), Some(vec![]));
        assert_eq!(ci.mentions("cargo doc"), None, "a name is no command");
        assert!(ci.mentions("gitleaks/gitleaks-action").is_some());
        assert!(ci.mentions("black").is_some(), "a path ends with the program");
        assert_eq!(ci.mentions("cargo bench"), None);
        assert_eq!(ci.mentions("mypy"), None);
        assert_eq!(ci.mentions("cargo clippy"), Some(".github/workflows/ci.yml"));
    }

    fn calls(files: &[(&str, &str)]) -> Vec<String> {
        Ci::read(&tree(files)).calls().map(|call| call.words.join(" ")).collect()
    }

    #[test]
    fn a_call_is_the_program_behind_those_that_only_run_others() {
        let ci = "- run: uv run --locked --group dev tox run -e typing\n- run: X=1 python3 -m pytest tests\n- run: ./node_modules/.bin/xo\n";
        assert_eq!(calls(&[(".github/workflows/ci.yml", ci)]), ["tox run -e typing", "pytest tests", "xo"]);
    }

    #[test]
    fn targets_and_scripts_that_ci_calls_are_followed_and_others_are_not() {
        let makefile = "ci: style\n\tgo test ./...\nstyle:\n\tsh scripts/style.sh\nother:\n\tgolint\n";
        let files = [
            (".github/workflows/ci.yml", "- run: make ci\n"),
            ("Makefile", makefile),
            ("scripts/style.sh", "#!/bin/sh\nset -e\ngofmt -l .\n"),
        ];
        assert_eq!(calls(&files), ["make ci", "sh scripts/style.sh", "go test ./...", "gofmt -l ."]);
        assert_eq!(calls(&files[1..]), ["go test ./...", "sh scripts/style.sh", "golint", "gofmt -l ."]);
    }
}

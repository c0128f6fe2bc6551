//! What tox, nox and hatch run: the commands of their environments.

use std::sync::LazyLock;

use regex::Regex;
use toml::Value;

use super::ci::text_of;
use super::pattern;
use super::project::at;
use super::shell::{self, Simple, Variables};
use crate::workspace::Snapshot;

/// The files that they are in.
pub(super) const FILES: &[&str] =
    &["tox.ini", "setup.cfg", "tox.toml", "pyproject.toml", "hatch.toml", "noxfile.py"];

/// The commands with the file that holds them.
pub(super) fn lines(base: &Snapshot) -> Vec<(&'static str, Simple)> {
    let mut found = vec![];
    let mut add = |file: &'static str, commands: Vec<String>| {
        let parts = commands.iter().flat_map(|one| shell::commands(one, "", &Variables::new()));
        found.extend(parts.map(|part| (file, part)));
    };
    for file in ["tox.ini", "setup.cfg"] {
        add(file, text_of(base, file).map(|text| of_ini(&text)).unwrap_or_default());
    }
    for file in ["tox.toml", "pyproject.toml", "hatch.toml"] {
        let table = text_of(base, file).and_then(|text| text.parse::<toml::Table>().ok()).unwrap_or_default();
        let places: &[&[&str]] = match file {
            "pyproject.toml" => &[&["tool", "tox"], &["tool", "hatch", "envs"]],
            _ => &[],
        };
        let mut commands = vec![];
        let whole = Value::Table(table.clone());
        let values = if file == "pyproject.toml" {
            places.iter().filter_map(|place| at(&table, place)).collect()
        } else {
            vec![&whole]
        };
        values.into_iter().for_each(|value| of_toml(value, 0, &mut commands));
        add(file, commands);
    }
    add("noxfile.py", text_of(base, "noxfile.py").map(|text| of_nox(&text)).unwrap_or_default());
    found
}

/// The indented lines below `commands =`, without the factors before them.
fn of_ini(text: &str) -> Vec<String> {
    static FACTOR: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[\w.!,{}-]+\s*:\s+"));
    let mut commands = vec![];
    let mut inside = false;
    static GIVEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"\{posargs(?::([^{}]*))?\}"));
    let text = GIVEN.replace_all(text, "$1");
    for line in text.replace("\\\n", " ").lines() {
        let continues = line.starts_with([' ', '\t']);
        if !continues {
            let key = line.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
            inside = key.is_some_and(|(key, _)| matches!(key, "commands" | "commands_pre" | "commands_post"));
            if let (true, Some((_, value))) = (inside, key) {
                commands.push(value.to_owned());
            }
        } else if inside {
            commands.push(line.trim().trim_start_matches("- ").to_owned());
        }
    }
    commands
        .iter()
        .map(|line| FACTOR.replace(line, "").into_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// The `commands` of tox, lists of words, and the `scripts` of hatch, lines or lists of lines.
fn of_toml(value: &Value, depth: usize, commands: &mut Vec<String>) {
    let Some(table) = value.as_table().filter(|_| depth < 8) else { return };
    for (key, value) in table {
        match (key.as_str(), value) {
            ("commands", Value::Array(list)) => {
                let words = |one: &Value| {
                    let words = one.as_array()?.iter().filter_map(Value::as_str);
                    Some(words.collect::<Vec<_>>().join(" "))
                };
                commands.extend(list.iter().filter_map(words));
            }
            ("scripts", Value::Table(scripts)) => {
                for script in scripts.values() {
                    match script {
                        Value::String(line) => commands.push(line.clone()),
                        Value::Array(lines) => {
                            commands.extend(lines.iter().filter_map(Value::as_str).map(str::to_owned));
                        }
                        _ => {}
                    }
                }
            }
            _ => of_toml(value, depth + 1, commands),
        }
    }
}

/// The words of each `session.run(…)`.
fn of_nox(text: &str) -> Vec<String> {
    static RUN: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?s)\bsession\.run(?:_always)?\(([^()]*(?:\([^()]*\)[^()]*)*)\)"));
    static WORD: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"(\w+\s*=\s*)?"([^"\n]*)"|(\w+\s*=\s*)?'([^'\n]*)'"#));
    static SETTINGS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\{[^}]*\}"));
    let words = |call: &str| -> String {
        let call = SETTINGS.replace_all(call, "");
        let found = WORD.captures_iter(&call).filter(|one| one.get(1).is_none() && one.get(3).is_none());
        let words =
            found.filter_map(|one| one.get(2).or_else(|| one.get(4)).map(|word| word.as_str().to_owned()));
        words.collect::<Vec<_>>().join(" ")
    };
    RUN.captures_iter(text).map(|call| words(&call[1])).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::discover::tests::tree;

    fn of(file: &str, text: &str) -> Vec<String> {
        lines(&tree(&[(file, text)])).into_iter().map(|(_, part)| part.text).collect()
    }

    #[test]
    fn the_environments_commands_are_read_and_what_they_install_is_not() {
        let ini = "[testenv]\ndeps = mypy\ncommands =\n    tests: pytest {posargs:tests}\n    py{310,311}: mypy src \\\n      tests\n[testenv:x]\ncommands = codespell\nskip = true\n    black\n";
        assert_eq!(of("tox.ini", ini), ["pytest tests", "mypy src        tests", "codespell"]);
        let toml = "[tool.tox.env.a]\ncommands = [[\"mypy\"], [\"pytest\", \"-v\", {replace = \"posargs\"}]]\n[tool.hatch.envs.b.scripts]\nlint = [\"ruff check\", \"black .\"]\nx = \"pylint x\"\n";
        assert_eq!(of("pyproject.toml", toml), ["mypy", "pytest -v", "ruff check", "black .", "pylint x"]);
        let nox = "@nox.session\ndef x(session):\n    session.install(\"flake8\")\n    session.run(\n        \"coverage\", 'run', \"-m\", \"pytest\", *session.posargs, env={\"A\": \"b\"},\n    )\n";
        assert_eq!(of("noxfile.py", nox), ["coverage run -m pytest"]);
    }
}

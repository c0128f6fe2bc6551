//! Which files a gate's own command runs, is configured by or compares with, read from its words about as a
//! shell would. A file that it only looks at (`grep -q x README.md`, `ruff check app.py`) is what the gate is
//! about, and none of these.

/// Programs whose first word that is no option is a script.
const INTERPRETERS: [&str; 18] = [
    "sh", "bash", "dash", "ksh", "zsh", "pwsh", ".", "source", "python", "node", "deno", "bun", "tsx",
    "ts-node", "ruby", "perl", "php", "make",
];

/// Programs that hold one file against another.
const COMPARE: [&str; 2] = ["cmp", "diff"];

/// Words before a program that change nothing about its being one.
const BEFORE_A_PROGRAM: [&str; 17] = [
    "if", "then", "elif", "else", "while", "until", "do", "!", "{", "exec", "env", "time", "timeout", "nice",
    "sudo", "command", "xargs",
];

/// Options with which an interpreter runs no script of the tree: it only reads one, or runs a module.
const RUNS_NO_SCRIPT: [&str; 5] = ["-m", "-n", "-l", "--check", "--syntax-check"];

/// Parts of the names of options that say what is checked, and how strictly.
const SETTINGS: [&str; 7] = ["config", "rcfile", "settings", "rules", "ignore", "baseline", "exclude"];

/// What the next word is to the command that it stands in.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    /// It is run.
    Runs,
    /// It and all that follow are compared.
    Compared,
    /// It is looked at, or no file at all.
    LookedAt,
}

/// The words of a command that name what it runs, is configured by or compares with. They need not be files.
pub fn files_run_by(command: &[String]) -> Vec<&str> {
    let mut found = Vec::new();
    let mut next = Next::Runs;
    let mut is_setting = false;
    for word in command.iter().flat_map(|argument| words(argument)) {
        let Word::Text(text) = word else {
            (next, is_setting) = (Next::Runs, false);
            continue;
        };
        if let Some(option) = text.strip_prefix('-') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            is_setting = SETTINGS.iter().any(|part| name.contains(part));
            if is_setting && !value.is_empty() {
                found.push(value);
                is_setting = false;
            }
            if RUNS_NO_SCRIPT.contains(&text) {
                next = Next::LookedAt;
            }
        } else if std::mem::take(&mut is_setting) {
            found.push(text);
        } else if is_interpreter(text) {
            next = Next::Runs;
        } else if COMPARE.contains(&text) {
            next = Next::Compared;
        } else if next != Next::LookedAt && !stands_before_a_program(text) {
            found.push(text);
            if next == Next::Runs {
                next = Next::LookedAt;
            }
        }
    }
    found
}

#[derive(Clone, Copy)]
enum Word<'a> {
    Text(&'a str),
    /// Where another command begins.
    Separator,
}

/// The words of a line of a shell, its quotes taken for blanks, or of one argument.
fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | '&' | '|' | '(' | ')' | '`');
    text.split_inclusive(ends).flat_map(move |piece| {
        let word = piece.trim_end_matches(ends);
        let separator = piece[word.len()..].chars().any(|c| !matches!(c, ' ' | '\t' | '\r' | '"' | '\''));
        let text = (!word.is_empty()).then_some(Word::Text(word));
        text.into_iter().chain(separator.then_some(Word::Separator))
    })
}

fn is_interpreter(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or(word);
    let unversioned = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    INTERPRETERS.contains(&name) || INTERPRETERS.contains(&unversioned)
}

/// An assignment, a keyword, another program's time limit.
fn stands_before_a_program(word: &str) -> bool {
    let assigns = word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    assigns || BEFORE_A_PROGRAM.contains(&word) || word.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(command: &[&str]) -> Vec<String> {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let words = files_run_by(&command).into_iter().map(str::to_owned);
        words.filter(|word| word.contains('.') || word.contains('/')).collect()
    }

    #[test]
    fn scripts_settings_and_what_is_compared_with_are_named() {
        for (line, files) in [
            ("sh check.sh", &["check.sh"][..]),
            (
                "FOO=1 sh -e ./check.sh && python3 ci/lint.py --config=none.toml",
                &["./check.sh", "ci/lint.py", "none.toml"],
            ),
            ("./gate.sh", &["./gate.sh"]),
            ("timeout 60 /usr/bin/python3.11 -B ci/a.py x.txt", &["ci/a.py"]),
            ("uv run python tools/check.py", &["tools/check.py"]),
            ("cd web\n. ./env.sh\nnode run.js", &["./env.sh", "run.js"]),
            ("for f in a b; do bash -c 'sh ci/one.sh'; done", &["ci/one.sh"]),
            ("make -f ci/Makefile all", &["ci/Makefile"]),
            ("mypy --config-file ci/strict.ini src/a.py", &["ci/strict.ini"]),
            ("pylint --rcfile=ci/rc src/a.py", &["ci/rc"]),
            ("./print.sh | diff -u golden.txt -", &["./print.sh", "golden.txt"]),
        ] {
            assert_eq!(named(&["/bin/sh", "-c", line]), files, "{line}");
        }
        assert_eq!(named(&["python3", "ci/lint.py", "src/a.py"]), ["ci/lint.py"]);
        assert_eq!(named(&["ci/lint.py"]), ["ci/lint.py"]);
    }

    #[test]
    fn what_a_gate_is_about_is_not_named() {
        for line in [
            "grep -q ',' greeting.txt && exit 1",
            "ruff check src/app.py",
            "python3 -m py_compile src/app.py",
            "node --check web/index.js",
            "bash -n deploy.sh",
            "shellcheck deploy.sh",
            "test -s docs/index.html",
            "cargo test --manifest-path crates/a/Cargo.toml",
            "python3 -c 'import app' src/app.py",
        ] {
            assert_eq!(named(&["/bin/sh", "-c", line]), Vec::<String>::new(), "{line}");
        }
    }
}

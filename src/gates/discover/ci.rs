//! What a repository's CI and task files run. Of workflows the steps are read, of the rest the lines.

use serde_json::Value;

use crate::workspace::Snapshot;

/// The lines of files that say which commands a project runs.
pub(super) struct Ci {
    /// File and line; comments are left out.
    lines: Vec<(String, String)>,
}

impl Ci {
    pub(super) fn read(base: &Snapshot) -> Self {
        let mut lines = vec![];
        for (path, entry) in &base.files {
            let path = path.as_str();
            let workflow =
                path.starts_with(".github/workflows/") && (path.ends_with(".yml") || path.ends_with(".yaml"));
            if !workflow && !FILES.contains(&path) {
                continue;
            }
            let text = String::from_utf8_lossy(&entry.bytes);
            let text =
                if workflow { steps(&text).unwrap_or_else(|| text.into_owned()) } else { text.into_owned() };
            // A line that ends in a backslash goes on in the next one.
            for line in text.replace("\\\n", " ").lines() {
                let line = line.trim();
                if !line.is_empty() && !line.starts_with('#') {
                    lines.push((path.to_owned(), line.to_owned()));
                }
            }
        }
        Self { lines }
    }

    /// The file whose line holds these words next to each other.
    pub(super) fn mentions(&self, words: &str) -> Option<&str> {
        self.find(words).map(|(file, _, _)| file)
    }

    /// Whether a line calls a program with this word among what follows it.
    pub(super) fn runs(&self, program: &str, word: &str) -> bool {
        self.lines.iter().any(|(_, line)| {
            let mut rest = line.as_str();
            while let Some(at) = rest.find(program) {
                let before = rest[..at].chars().next_back();
                let after = &rest[at + program.len()..];
                let begins = before.is_none_or(|c| c.is_whitespace() || "\"'(&|;@:-".contains(c));
                let command = after.split(['|', '&', ';', '#']).next().unwrap_or_default();
                let mut words = command.split_whitespace().map(|w| w.trim_matches(['"', '\'', ',']));
                if begins && after.starts_with(char::is_whitespace) && words.any(|w| w == word) {
                    return true;
                }
                rest = after;
            }
            false
        })
    }

    /// The words that follow a command on its line, up to the end of that command. `None` where the command
    /// is not run; where it depends on a variable the flags are not known and so empty.
    pub(super) fn flags_after(&self, command: &str) -> Option<Vec<String>> {
        let (_, line, end) = self.find(command)?;
        let rest = &line[end..];
        let stop = rest.find(['|', '&', ';', '#', '>']).unwrap_or(rest.len());
        let rest = rest[..stop].trim_end_matches(['"', '\'', ',']);
        if rest.contains(['$', '{', '`', '"', '\'']) {
            return Some(vec![]);
        }
        Some(rest.split_whitespace().map(str::to_owned).collect())
    }

    fn find(&self, words: &str) -> Option<(&str, &str, usize)> {
        self.lines.iter().find_map(|(file, line)| {
            let at = line.match_indices(words).find(|(at, _)| {
                let before = line[..*at].chars().next_back();
                let after = line[at + words.len()..].chars().next();
                let inside = |c: Option<char>| {
                    c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
                };
                !inside(before) && !inside(after)
            })?;
            Some((file.as_str(), line.as_str(), at.0 + words.len()))
        })
    }
}

/// The largest workflow that is taken apart, in bytes.
const LARGEST: usize = 512 * 1024;

/// What the steps of a workflow run, and the actions that they use: not their names and conditions. `None`
/// where it cannot be read.
fn steps(text: &str) -> Option<String> {
    if text.len() > LARGEST {
        return None;
    }
    let workflow: Value = serde_saphyr::from_str(text).ok()?;
    let mut found = String::new();
    collect(&workflow, 0, &mut found);
    Some(found)
}

fn collect(value: &Value, depth: usize, found: &mut String) {
    match value {
        Value::Object(map) if depth < 16 => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("run", Value::String(line)) => found.push_str(line),
                    ("uses", Value::String(action)) => {
                        found.push_str(action.split('@').next().unwrap_or_default());
                    }
                    _ => {
                        collect(value, depth + 1, found);
                        continue;
                    }
                }
                found.push('\n');
            }
        }
        Value::Array(list) if depth < 16 => list.iter().for_each(|value| collect(value, depth + 1, found)),
        _ => {}
    }
}

const FILES: &[&str] = &[
    ".gitlab-ci.yml",
    ".circleci/config.yml",
    ".travis.yml",
    ".cirrus.yml",
    "azure-pipelines.yml",
    ".pre-commit-config.yaml",
    "Makefile",
    "GNUmakefile",
    "justfile",
    "Justfile",
    "tox.ini",
    "noxfile.py",
];

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
             - run: mypy-extra x\n      - name: Run cargo doc\n        run: |\n          make check\n          ./gradlew --stacktrace build\n      - uses: gitleaks/gitleaks-action@v2\n",
        )]);
        let ci = Ci::read(&base);
        assert_eq!(ci.flags_after("cargo test"), Some(vec!["--all-features".into(), "--workspace".into()]));
        let clippy = ci.flags_after("cargo clippy").expect("found");
        assert_eq!(clippy.join(" "), "--all-targets -- -D warnings");
        assert_eq!(ci.flags_after("cargo build"), Some(vec![]));
        assert_eq!(ci.mentions("cargo doc"), None, "a name is no command");
        assert!(ci.runs("make", "check") && ci.runs("./gradlew", "build") && !ci.runs("make", "build"));
        assert!(ci.mentions("gitleaks/gitleaks-action").is_some());
        assert_eq!(ci.mentions("cargo bench"), None);
        assert_eq!(ci.mentions("mypy"), None);
        assert_eq!(ci.mentions("cargo clippy"), Some(".github/workflows/ci.yml"));
    }
}

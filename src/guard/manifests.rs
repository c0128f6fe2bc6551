//! Lock files and the manifests that they are made from: a lock file follows what a manifest asks for, and
//! nothing else.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::globs::Exact;
use super::test_text::pattern;

/// Lock files, and the files that they are made from, by name.
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

/// Whether the file at a folded path is one that a lock file is made from.
pub(super) fn is_manifest(folded: &str) -> bool {
    LOCKED.iter().any(|(_, manifests)| is_one_of(manifests, folded))
}

/// Whether the name at the end of a folded path is one of these.
pub(super) fn is_one_of(manifests: &[&str], folded: &str) -> bool {
    let name = folded.rsplit('/').next().unwrap_or(folded);
    manifests.iter().any(|manifest| match manifest.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None => name == *manifest,
    })
}

/// Where the packages of a workspace are listed, of the tools that have one lock file for all of them.
pub(super) fn workspace_file(lock: &str) -> Option<&'static [&'static str]> {
    match lock.rsplit('/').next().unwrap_or(lock) {
        "cargo.lock" => Some(&["Cargo.toml"]),
        "package-lock.json" | "npm-shrinkwrap.json" | "yarn.lock" | "bun.lock" | "bun.lockb" => {
            Some(&["package.json"])
        }
        "pnpm-lock.yaml" => Some(&["pnpm-workspace.yaml"]),
        "uv.lock" => Some(&["pyproject.toml"]),
        "go.sum" | "poetry.lock" | "pdm.lock" | "pipfile.lock" => Some(&[]),
        _ => None,
    }
}

/// Whether the workspace that a file lists has a package in a folder, counted from where the file is.
pub(super) fn has_member(file: &str, text: &str, folder: &str) -> bool {
    let Some(root) = parsed(file, text) else { return false };
    let at = |path: &str| path.split('.').try_fold(&root, |value, key| value.get(key));
    let list = |value: Option<&Value>| -> Vec<String> {
        let entries = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        entries.map(|entry| entry.trim_start_matches("./").trim_end_matches('/').to_owned()).collect()
    };
    let (taken, left) = match file {
        "Cargo.toml" => (list(at("workspace.members")), list(at("workspace.exclude"))),
        "pyproject.toml" => (list(at("tool.uv.workspace.members")), list(at("tool.uv.workspace.exclude"))),
        "package.json" => (list(at("workspaces.packages").or(at("workspaces"))), vec![]),
        _ => (list(at("packages")), vec![]),
    };
    let (minus, plus): (Vec<String>, Vec<String>) = taken.into_iter().partition(|one| one.starts_with('!'));
    let minus: Vec<String> =
        minus.iter().map(|one| one[1..].trim_start_matches("./").to_owned()).chain(left).collect();
    let matches = |globs: &[String]| Exact::new(globs).is_ok_and(|set| set.matches(folder));
    // Cargo takes the packages that the root depends on by path as well.
    let by_path = || at("workspace").is_some() && file == "Cargo.toml" && depends_on_path(&root, folder);
    !matches(&minus) && (matches(&plus) || by_path())
}

fn depends_on_path(value: &Value, folder: &str) -> bool {
    let Some(table) = value.as_object() else { return false };
    let here = table.get("path").and_then(Value::as_str);
    here.is_some_and(|path| path.trim_start_matches("./").trim_end_matches('/') == folder)
        || table.values().any(|inner| depends_on_path(inner, folder))
}

/// Whether a change of a manifest alters what its lock file is made from: what it depends on, and the names,
/// versions and members that a lock file repeats.
pub(super) fn alters_dependencies(path: &str, before: Option<&str>, after: Option<&str>) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let Some(keys) = keys(&name) else { return lines(before) != lines(after) };
    let read = |text: &str| -> Option<Value> {
        let root = if text.trim().is_empty() { Value::Object(Map::new()) } else { parsed(&name, text)? };
        Some(keys.iter().map(|key| of(&root, key)).collect())
    };
    match (read(before), read(after)) {
        (Some(before), Some(after)) => before != after,
        _ => false,
    }
}

/// A value deep inside, by its keys; `*` is every key. An empty table is as good as none.
fn of(root: &Value, key: &str) -> Value {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let inner = |value: &Value| rest.map_or_else(|| value.clone(), |rest| of(value, rest));
    let found = match root.as_object() {
        Some(table) if first == "*" => {
            let inner = table.iter().map(|(key, value)| (key.clone(), inner(value)));
            Value::Object(inner.filter(|(_, value)| !value.is_null()).collect())
        }
        Some(table) => table.get(first).map_or(Value::Null, inner),
        None => Value::Null,
    };
    if found == json!({}) || found == json!([]) { Value::Null } else { found }
}

fn keys(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "cargo.toml" => &[
            "dependencies",
            "dev-dependencies",
            "build-dependencies",
            "target.*.dependencies",
            "target.*.dev-dependencies",
            "target.*.build-dependencies",
            "workspace.dependencies",
            "workspace.members",
            "workspace.exclude",
            "workspace.package.version",
            "patch",
            "replace",
            "package.name",
            "package.version",
        ],
        "package.json" => &[
            "dependencies",
            "devDependencies",
            "optionalDependencies",
            "peerDependencies",
            "peerDependenciesMeta",
            "bundleDependencies",
            "bundledDependencies",
            "overrides",
            "resolutions",
            "pnpm",
            "catalog",
            "catalogs",
            "workspaces",
            "name",
            "version",
        ],
        "pnpm-workspace.yaml" => &["packages", "catalog", "catalogs", "overrides", "patchedDependencies"],
        "composer.json" => &["require", "require-dev", "repositories", "conflict", "replace", "provide"],
        "pipfile" => &["packages", "dev-packages", "requires", "source"],
        "pyproject.toml" => &[
            "project.dependencies",
            "project.optional-dependencies",
            "project.requires-python",
            "project.name",
            "project.version",
            "dependency-groups",
            "build-system.requires",
            "tool.uv",
            "tool.pdm.dev-dependencies",
            "tool.pdm.source",
            "tool.poetry.name",
            "tool.poetry.version",
            "tool.poetry.dependencies",
            "tool.poetry.dev-dependencies",
            "tool.poetry.group",
            "tool.poetry.extras",
            "tool.poetry.source",
        ],
        _ => return None,
    })
}

fn parsed(name: &str, text: &str) -> Option<Value> {
    match name.rsplit_once('.').map_or(name, |(_, end)| end) {
        "toml" | "pipfile" => {
            toml::from_str::<toml::Table>(text).ok().and_then(|root| serde_json::to_value(root).ok())
        }
        "yaml" => serde_saphyr::from_str(text).ok(),
        _ => serde_json::from_str(text).ok(),
    }
}

static COMMENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s:/\*.*?\*/)|(?m:^\s*(#|//).*$)"));

/// What a manifest that is a program or has a form of its own says: neither comments nor layout.
fn lines(text: &str) -> Vec<String> {
    let text = COMMENT.replace_all(text, "");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(words).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_counts_where_it_asks_for_something_else_and_not_where_it_is_touched() {
        let changed =
            |path: &str, before: &str, after: &str| alters_dependencies(path, Some(before), Some(after));
        let package = r#"{"name": "a", "dependencies": {"x": "1"}}"#;
        assert!(!changed("package.json", package, &format!("{package} \n")));
        assert!(!changed(
            "package.json",
            package,
            r#"{"name": "a", "description": "b", "dependencies": {"x": "1"}, "devDependencies": {}}"#
        ));
        assert!(!changed("package.json", package, "{"), "what cannot be read asks for nothing");
        assert!(changed("web/package.json", package, &package.replace('1', "2")));
        let cargo = "[package]\nname = \"a\"\n[target.'cfg(unix)'.dependencies]\nx = \"1\"\n";
        assert!(!changed("Cargo.toml", cargo, &format!("{cargo}# later\n[lints.rust]\na = \"warn\"\n")));
        assert!(changed("Cargo.toml", cargo, &cargo.replace('1', "2")));
        assert!(changed("Cargo.toml", cargo, &cargo.replace("\"a\"", "\"b\"")), "the lock file has the name");
        assert!(changed(
            "pyproject.toml",
            "[project]\ndependencies = []\n",
            "[project]\ndependencies = [\"x\"]\n"
        ));
        assert!(!changed("pyproject.toml", "[project]\n", "[project]\n[tool.black]\nx = 1\n"));
        assert!(!changed("go.mod", "module a\n\nrequire b v1\n", "module  a\n// x\nrequire b v1\n"));
        assert!(changed("go.mod", "module a\nrequire b v1\n", "module a\nrequire b v2\n"));
        assert!(alters_dependencies("a/Cargo.toml", None, Some(cargo)), "a new package");
    }

    #[test]
    fn a_workspace_has_the_members_that_it_lists() {
        let cargo = "[workspace]\nmembers = [\"crates/*\", \"./tool\"]\nexclude = [\"crates/x\"]\n[dependencies]\na = { path = \"a\" }\n";
        for (folder, is) in
            [("crates/b", true), ("tool", true), ("a", true), ("crates/x", false), ("fuzz", false)]
        {
            assert_eq!(has_member("Cargo.toml", cargo, folder), is, "{folder}");
        }
        assert!(has_member("package.json", r#"{"workspaces": ["p/*"]}"#, "p/a"));
        assert!(!has_member("package.json", r#"{"workspaces": ["p/*", "!p/a"]}"#, "p/a"));
        assert!(has_member("pnpm-workspace.yaml", "packages: ['p/**']\n", "p/a/b"));
        assert!(!has_member("package.json", "{}", "docs"));
    }
}

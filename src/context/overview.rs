//! The tree at a glance: a listing, the beginning of the README, and the manifests.

use std::collections::BTreeMap;

use super::kind;
use super::pack::BYTES_PER_TOKEN;
use crate::llm::boundary::{PromptText, Written, without_hidden_characters};
use crate::workspace::Snapshot;

/// Files that say what a project is and how it is built.
const MANIFESTS: [&str; 9] = [
    "Cargo.toml",
    "pyproject.toml",
    "setup.cfg",
    "package.json",
    "go.mod",
    "pom.xml",
    "build.gradle",
    "Makefile",
    "CMakeLists.txt",
];
const MAX_MANIFESTS: usize = 4;

/// A listing of the tree, the beginning of its README and its manifests, fenced, in about
/// `budget_tokens` tokens.
pub fn overview(snapshot: &Snapshot, budget_tokens: usize) -> PromptText {
    let budget = budget_tokens * BYTES_PER_TOKEN;
    let shown = |name: &str, text: &str| PromptText::data(name, text, Written::AsCode, budget);
    let mut parts = vec![shown("files", &listing(snapshot, budget / 2))];
    let readme = snapshot.files.iter().find(|(path, _)| {
        let path = path.as_str().to_lowercase();
        !path.contains('/') && (path == "readme" || path.starts_with("readme."))
    });
    let manifests = snapshot
        .files
        .iter()
        .filter(|(path, _)| MANIFESTS.contains(&path.as_str().rsplit('/').next().unwrap_or_default()))
        .filter(|(path, entry)| !kind::is_skipped(path.as_str(), &entry.bytes))
        // Those near the root first.
        .collect::<Vec<_>>();
    let mut manifests = manifests;
    manifests.sort_by_key(|(path, _)| path.as_str().matches('/').count());
    for (path, entry) in readme.into_iter().chain(manifests.into_iter().take(MAX_MANIFESTS)) {
        let Ok(text) = std::str::from_utf8(&entry.bytes) else { continue };
        let head = head(&without_hidden_characters(text), budget / 8);
        parts.push(shown(path.as_str(), &head));
    }
    PromptText::joined(parts, "\n")
}

/// Whole lines from the beginning, `max_bytes` at most.
fn head(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let mut kept = String::new();
    for line in text.lines().take_while(|line| line.len() < max_bytes) {
        if kept.len() + line.len() + 1 > max_bytes {
            break;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept.push_str("[…]\n");
    kept
}

/// All files with their sizes, or, where they are too many, folders folded from the deepest up.
fn listing(snapshot: &Snapshot, max_bytes: usize) -> String {
    let mut text = String::new();
    for depth in (1..=8).rev() {
        text = listing_to(snapshot, depth);
        if text.len() <= max_bytes {
            return text;
        }
    }
    head(&text, max_bytes)
}

fn listing_to(snapshot: &Snapshot, depth: usize) -> String {
    let mut rows: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (path, entry) in &snapshot.files {
        let parts: Vec<&str> = path.as_str().split('/').collect();
        let folded = kind::skipped_folder(&parts).unwrap_or(depth).min(depth);
        let row = match parts.len() > folded {
            true => format!("{}/", parts[..folded].join("/")),
            false => path.to_string(),
        };
        let (count, bytes) = rows.entry(row).or_default();
        *count += 1;
        *bytes += entry.bytes.len();
    }
    let row = |(name, (count, bytes)): (&String, &(usize, usize))| match name.ends_with('/') {
        true => format!("{name} ({count} files, {bytes} bytes)\n"),
        false => format!("{name} ({bytes} bytes)\n"),
    };
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{FileEntry, FileMode, RepoPath};

    fn tree(files: &[(&str, &str)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (path, text) in files {
            let path = RepoPath::parse(*path).expect("path");
            snapshot.files.insert(path, FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().into() });
        }
        snapshot
    }

    #[test]
    fn an_overview_shows_files_readme_and_manifest() {
        let snapshot = tree(&[
            ("Cargo.toml", "[package]\nname = \"it\"\n"),
            ("README.md", "# It\n"),
            ("src/lib.rs", "fn a() {}\n"),
            ("node_modules/x/package.json", "{}"),
            ("node_modules/x/y.js", "1"),
        ]);
        insta::assert_snapshot!(overview(&snapshot, 1_000).as_str(), @r#"
        <data name="files">
        Cargo.toml (22 bytes)
        README.md (5 bytes)
        node_modules/ (2 files, 3 bytes)
        src/lib.rs (10 bytes)
        </data>
        <data name="README.md">
        # It
        </data>
        <data name="Cargo.toml">
        [package]
        name = "it"
        </data>
        "#);
    }

    #[test]
    fn a_large_tree_is_folded_into_its_budget() {
        let paths: Vec<String> = (0..3_000).map(|n| format!("src/part{}/deep/file{n}.rs", n % 7)).collect();
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "x")).collect();
        let overview = overview(&tree(&files), 500).into_string();
        assert!(overview.len() < 2_000, "{}", overview.len());
        assert!(overview.contains("src/part3/"), "{overview}");
    }

    #[test]
    fn a_long_readme_is_cut_at_a_line() {
        let readme = "line of text\n".repeat(1_000);
        let overview = overview(&tree(&[("README.md", &readme)]), 1_000).into_string();
        assert!(
            overview.contains("line of text\n[…]\n</data>") && overview.len() < 1_000,
            "{}",
            overview.len()
        );
    }
}

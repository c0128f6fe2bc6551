//! A project of one ecosystem inside a tree.

use crate::gates::model::Ecosystem;
use crate::workspace::{Content, RepoPath, Snapshot};

/// A project: a folder with a manifest.
pub(in crate::gates) struct Project<'a> {
    pub(in crate::gates) ecosystem: Ecosystem,
    /// `None` is the tree's root.
    pub(in crate::gates) folder: Option<RepoPath>,
    pub(in crate::gates) base: &'a Snapshot,
}

impl<'a> Project<'a> {
    /// The project with the fewest folders above it, the first by name among equals; none deeper than two.
    pub(super) fn find(base: &'a Snapshot, ecosystem: Ecosystem) -> Option<Self> {
        let manifests = manifests(ecosystem);
        let candidates = base.files.keys().filter_map(|path| {
            let (folder, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
            let depth = if folder.is_empty() { 0 } else { folder.matches('/').count() + 1 };
            let hidden = folder.split('/').any(|part| part.starts_with('.') || NOT_PROJECTS.contains(&part));
            (manifests.contains(&name) && depth <= 2 && (depth == 0 || !hidden)).then_some((depth, folder))
        });
        let (_, folder) = candidates.min()?;
        Some(Self { ecosystem, folder: RepoPath::parse(folder).ok(), base })
    }

    pub(super) fn has_manifest(&self) -> bool {
        self.first(manifests(self.ecosystem)).is_some()
    }

    /// The path in the tree of a file of the project.
    pub(in crate::gates) fn path(&self, name: &str) -> String {
        self.folder.as_ref().map_or(name.to_owned(), |folder| format!("{folder}/{name}"))
    }

    pub(in crate::gates) fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        let path = RepoPath::parse(self.path(name)).ok()?;
        self.base.files.get(&path).map(|entry| &*entry.bytes)
    }

    pub(in crate::gates) fn text(&self, name: &str) -> Option<&'a str> {
        self.bytes(name).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    pub(in crate::gates) fn has(&self, name: &str) -> bool {
        RepoPath::parse(self.path(name)).is_ok_and(|path| self.base.files.contains_key(&path))
    }

    /// The first of these files that is there.
    pub(super) fn first<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.has(name))
    }

    pub(in crate::gates) fn toml(&self, name: &str) -> Option<toml::Table> {
        self.text(name)?.parse().ok()
    }

    /// Whether a word of a command is a file or folder of the project.
    pub(super) fn holds(&self, word: &str) -> bool {
        let path = word.trim_start_matches("./").trim_end_matches('/');
        let inside =
            |file: &str| file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        !path.is_empty() && !word.starts_with('-') && self.files().any(|(file, _)| inside(file))
    }

    /// The files below the project's folder, by their path from there.
    pub(in crate::gates) fn files(&self) -> impl Iterator<Item = (&'a str, &'a Content)> {
        let prefix = self.folder.as_ref().map_or(String::new(), |folder| format!("{folder}/"));
        self.base
            .files
            .iter()
            .filter_map(move |(path, entry)| Some((path.as_str().strip_prefix(&prefix)?, &entry.bytes)))
    }
}

fn manifests(ecosystem: Ecosystem) -> &'static [&'static str] {
    match ecosystem {
        Ecosystem::Rust => &["Cargo.toml"],
        Ecosystem::Python => {
            &["pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "pytest.ini", "requirements.txt"]
        }
        Ecosystem::JavaScript => &["package.json"],
        Ecosystem::Go => &["go.mod"],
        Ecosystem::Java => {
            &["pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"]
        }
        Ecosystem::Ruby => &["Gemfile", "Rakefile"],
    }
}

/// Folders whose manifests are not the project's.
const NOT_PROJECTS: &[&str] = &[
    "node_modules",
    "target",
    "vendor",
    "third_party",
    "examples",
    "fixtures",
    "testdata",
    "docs",
    "benches",
    "fuzz",
];

/// A value deep inside a table, by its keys.
pub(super) fn at<'t>(table: &'t toml::Table, keys: &[&str]) -> Option<&'t toml::Value> {
    let (last, folders) = keys.split_last()?;
    let mut table = table;
    for key in folders {
        table = table.get(*key)?.as_table()?;
    }
    table.get(*last)
}

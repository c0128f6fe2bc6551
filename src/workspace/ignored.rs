//! Which new files a commit leaves out: the `.gitignore` files of a tree, applied as git applies them
//! (gitignore(5)), but from memory and from a tree that the sandbox did not write.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::snapshot::{FileMode, RepoPath, Snapshot};

/// The rules of one tree.
#[derive(Debug, Default)]
pub struct IgnoreRules {
    /// By folder: `""` for the root, else without a trailing slash.
    folders: BTreeMap<String, Gitignore>,
    /// What holds everywhere and yields to every `.gitignore` of the tree.
    everywhere: Option<Gitignore>,
}

impl IgnoreRules {
    /// Nothing is ignored.
    pub fn none() -> Self {
        Self::default()
    }

    /// The rules in the `.gitignore` files of `base`. A link is not followed, and a line that is no pattern
    /// is passed over, as git does.
    pub fn of(base: &Snapshot) -> Self {
        let mut folders = BTreeMap::new();
        for (path, entry) in &base.files {
            let (folder, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
            if name == ".gitignore" && entry.mode != FileMode::Symlink {
                let text = String::from_utf8_lossy(&entry.bytes);
                folders.insert(folder.to_owned(), compile(text.lines()));
            }
        }
        Self { folders, everywhere: None }
    }

    /// Adds patterns that hold in the whole tree unless one of its `.gitignore` files says otherwise (the
    /// output folders of known build tools, for a repository that does not name them).
    pub fn with_patterns<'a>(mut self, patterns: impl IntoIterator<Item = &'a str>) -> Self {
        self.everywhere = Some(compile(patterns));
        self
    }

    /// Whether an untracked file at this path is ignored.
    pub fn is_ignored(&self, path: &RepoPath) -> bool {
        self.with_memory().is_ignored(path)
    }

    /// For many questions: remembers what it found out about folders.
    pub(super) fn with_memory(&self) -> RememberingRules<'_> {
        RememberingRules { rules: self, folders: RefCell::new(HashMap::new()) }
    }

    /// Whether the last matching rule says that this very path is ignored. The deepest `.gitignore` speaks
    /// first.
    fn matches(&self, path: &str, is_folder: bool) -> bool {
        let mut folder = path;
        while !folder.is_empty() {
            folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
            let Some(rules) = self.folders.get(folder) else { continue };
            let relative = path[folder.len()..].trim_start_matches('/');
            match rules.matched(Path::new(relative), is_folder) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        self.everywhere.as_ref().is_some_and(|rules| rules.matched(Path::new(path), is_folder).is_ignore())
    }
}

pub(super) struct RememberingRules<'a> {
    rules: &'a IgnoreRules,
    folders: RefCell<HashMap<String, bool>>,
}

impl RememberingRules<'_> {
    pub(super) fn is_ignored(&self, path: &RepoPath) -> bool {
        let path = path.as_str();
        // Below an ignored folder no rule takes anything back in.
        let slashes = path.match_indices('/').map(|(at, _)| &path[..at]);
        let mut parents = slashes.into_iter();
        parents.any(|folder| self.is_ignored_folder(folder)) || self.rules.matches(path, false)
    }

    fn is_ignored_folder(&self, folder: &str) -> bool {
        if let Some(known) = self.folders.borrow().get(folder) {
            return *known;
        }
        let ignored = self.rules.matches(folder, true);
        self.folders.borrow_mut().insert(folder.to_owned(), ignored);
        ignored
    }
}

fn compile<'a>(lines: impl IntoIterator<Item = &'a str>) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    for line in lines {
        if let Err(error) = builder.add_line(None, line) {
            tracing::debug!(%error, "a line of .gitignore is no pattern");
        }
    }
    builder.build().unwrap_or_else(|error| {
        tracing::warn!(%error, "the patterns of a .gitignore could not be used");
        Gitignore::empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::FileEntry;

    fn rules(files: &[(&str, &str)]) -> IgnoreRules {
        let mut base = Snapshot::default();
        for (path, text) in files {
            let entry = FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().into() };
            base.files.insert(RepoPath::parse(*path).expect("a path"), entry);
        }
        IgnoreRules::of(&base)
    }

    fn ignored(rules: &IgnoreRules, path: &str) -> bool {
        rules.is_ignored(&RepoPath::parse(path).expect("a path"))
    }

    #[test]
    fn patterns_hold_where_their_file_lies() {
        let rules = rules(&[
            (".gitignore", "/target\n*.log\n# x\n!keep.log\n"),
            ("web/.gitignore", "dist/\n/only\n"),
        ]);
        for path in
            ["target/debug/x", "a.log", "deep/er/b.log", "web/dist/app.js", "web/a/dist/x", "web/only"]
        {
            assert!(ignored(&rules, path), "{path} was not ignored");
        }
        for path in ["src/target/x", "keep.log", "dist/x", "web/a/only", "web/dist", "a.logs"] {
            assert!(!ignored(&rules, path), "{path} was ignored");
        }
    }

    #[test]
    fn a_deeper_file_overrules_but_not_below_an_ignored_folder() {
        let rules = rules(&[
            (".gitignore", "*.tmp\nbuild/\n"),
            ("docs/.gitignore", "!*.tmp\n"),
            ("build/.gitignore", "!important\n"),
        ]);
        assert!(!ignored(&rules, "docs/a.tmp"));
        assert!(ignored(&rules, "a.tmp"));
        assert!(ignored(&rules, "build/important"));
    }

    #[test]
    fn built_in_patterns_yield_to_the_repository() {
        let rules = rules(&[(".gitignore", "!/vendor/target/\n")]).with_patterns(["target/", "__pycache__/"]);
        assert!(ignored(&rules, "target/x"));
        assert!(ignored(&rules, "a/__pycache__/x.pyc"));
        assert!(!ignored(&rules, "vendor/target/x"));
    }

    #[test]
    fn lines_with_windows_endings_and_trailing_spaces_are_patterns_too() {
        let rules = rules(&[(".gitignore", "*.o\r\nbin/ \r\n")]);
        assert!(ignored(&rules, "a.o"));
        assert!(ignored(&rules, "bin/x"));
    }
}

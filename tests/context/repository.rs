//! Repositories made for the tests.

use std::path::Path;

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Oid, Repository as Git, Signature, Time};
use orchestrator::context::{ContextRequest, Contexts, Selection};
use orchestrator::workspace::CommitSha;
use tempfile::TempDir;

pub struct Repository {
    pub folder: TempDir,
    git: Git,
    commits: i64,
}

impl Repository {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let git = Git::init_bare(folder.path().join("it.git")).expect("a repository");
        Self { folder, git, commits: 0 }
    }

    pub fn of(files: &[(&str, &str)]) -> (Self, CommitSha) {
        let mut repository = Self::new();
        let commit = repository.commit(None, files, "begin");
        (repository, commit)
    }

    pub fn git_dir(&self) -> &Path {
        self.git.path()
    }

    /// A commit on `parent` that sets files.
    pub fn commit(&mut self, parent: Option<&CommitSha>, files: &[(&str, &str)], message: &str) -> CommitSha {
        let parent = parent.map(|sha| {
            self.git.find_commit(Oid::from_str(sha.as_str()).expect("an id")).expect("the parent")
        });
        let before = match &parent {
            Some(parent) => parent.tree().expect("a tree"),
            None => {
                let empty = self.git.treebuilder(None).expect("a tree").write().expect("an id");
                self.git.find_tree(empty).expect("the tree")
            }
        };
        let mut changed = TreeUpdateBuilder::new();
        for (path, text) in files {
            changed.upsert(*path, self.git.blob(text.as_bytes()).expect("a blob"), FileMode::Blob);
        }
        let tree = changed.create_updated(&self.git, &before).expect("an id");
        let tree = self.git.find_tree(tree).expect("the tree");
        self.commits += 1;
        let author = Signature::new("Ada", "ada@example.org", &Time::new(1_700_000_000 + self.commits, 0))
            .expect("a signature");
        let parents: Vec<_> = parent.iter().collect();
        let id = self.git.commit(None, &author, &author, message, &tree, &parents).expect("a commit");
        self.git.reference("refs/heads/main", id, true, "test").expect("a branch");
        CommitSha::parse(id.to_string()).expect("an id")
    }

    /// Moves all objects into a pack of their own.
    pub fn pack(&self) {
        let mut packing = self.git.packbuilder().expect("a pack");
        let objects = self.git.odb().expect("the objects");
        let mut ids = Vec::new();
        objects
            .foreach(|id| {
                ids.push(*id);
                true
            })
            .expect("all objects");
        ids.iter().for_each(|id| packing.insert_object(*id, None).expect("an object"));
        packing.write(&self.git.path().join("objects/pack"), 0o444).expect("written");
        for folder in std::fs::read_dir(self.git.path().join("objects")).expect("a folder").flatten() {
            if folder.file_name().len() == 2 {
                std::fs::remove_dir_all(folder.path()).expect("the loose objects go");
            }
        }
    }

    pub fn contexts(&self) -> Contexts {
        Contexts::new(self.folder.path().join("cache"))
    }

    pub fn select(&self, contexts: &Contexts, commit: &CommitSha, text: &str) -> Selection {
        let request = ContextRequest { commit, text, top: 50, budget_tokens: 4_000 };
        contexts.select(self.git_dir(), &request).expect("a selection")
    }

    /// The paths for a text, the best first, and the reasons of each.
    pub fn files(&self, commit: &CommitSha, text: &str) -> Vec<(String, String)> {
        let selection = self.select(&self.contexts(), commit, text);
        selection.files.into_iter().map(|file| (file.path, file.reasons.join("; "))).collect()
    }

    /// The files of the index.
    pub fn segments(&self) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        for folder in std::fs::read_dir(self.folder.path().join("cache")).expect("the cache").flatten() {
            for file in std::fs::read_dir(folder.path()).expect("a folder").flatten() {
                if file.path().extension().is_some_and(|ending| ending == "seg") {
                    found.push(file.path());
                }
            }
        }
        found.sort();
        found
    }
}

/// Source files of ordinary words that nobody asks for.
pub fn filler(count: usize) -> Vec<(String, String)> {
    (0..count)
        .map(|n| {
            let body = format!("fn part_{n}() {{\n    let total = {n};\n    return total;\n}}\n").repeat(5);
            (format!("src/part{n}.rs"), body)
        })
        .collect()
}

pub fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()
}

//! Making a repository: the bare one on disk, its first commit, its labels.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, anyhow};

use super::git::{BareRepository, SeedFile};
use super::issue::Label;
use super::repository::Repository;
use super::world::{Selection, World};

/// A repository to be made.
#[derive(Clone, Debug)]
pub struct NewRepository {
    /// `owner/name`; the owner is an account that exists.
    pub full_name: String,
    pub default_branch: String,
    pub private: bool,
    /// Path → content of the first commit. Empty: a repository without commits.
    pub files: BTreeMap<String, SeedFile>,
}

impl NewRepository {
    /// A private repository with `main` as default branch and these text files.
    pub fn new(full_name: &str, files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), SeedFile::text(text)));
        Self {
            full_name: full_name.to_owned(),
            default_branch: "main".into(),
            private: true,
            files: files.collect(),
        }
    }

    pub fn public(mut self) -> Self {
        self.private = false;
        self
    }
}

/// Source: docs.github.com/en/issues/using-labels-and-milestones-to-track-work/managing-labels#about-default-labels.
const DEFAULT_LABELS: [(&str, &str, &str); 4] = [
    ("bug", "d73a4a", "Something isn't working"),
    ("documentation", "0075ca", "Improvements or additions to documentation"),
    ("enhancement", "a2eeef", "New feature or request"),
    ("question", "d876e3", "Further information is requested"),
];

pub(super) fn create_repository(world: &mut World, new: &NewRepository) -> anyhow::Result<u64> {
    let (owner, name) =
        new.full_name.split_once('/').ok_or_else(|| anyhow!("{:?} is not owner/name", new.full_name))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(anyhow!("{name:?} is not a repository name"));
    }
    if world.repository_by_name(owner, name).is_some() {
        return Err(anyhow!("{} exists already", new.full_name));
    }
    let owner = super::admin::account(world, owner)?;
    let id = 910_000_000 + world.repositories.len() as u64 * 31;
    let path = world.settings.data_dir.join(format!("{id}.git"));
    std::fs::create_dir_all(&world.settings.data_dir)
        .with_context(|| format!("{} cannot be made", world.settings.data_dir.display()))?;
    let bare = BareRepository::create(&path, &new.default_branch)?;
    super::hook::install(&path)?;
    if !new.files.is_empty() {
        let changes = new.files.iter().map(|(path, file)| (path.clone(), Some(file.clone()))).collect();
        let first = bare.commit_files(None, &changes, &world.person(owner), "Initial commit")?;
        bare.set_ref(&format!("refs/heads/{}", new.default_branch), Some(&first))?;
    }
    let now = world.now();
    let labels = DEFAULT_LABELS.map(|(name, color, description)| Label {
        id: world.new_id(),
        name: name.into(),
        color: color.into(),
        description: Some(description.into()),
        default: true,
    });
    let repo = Repository {
        id,
        owner,
        name: name.to_owned(),
        description: None,
        private: new.private,
        archived: false,
        default_branch: new.default_branch.clone(),
        created_at: now,
        updated_at: now,
        pushed_at: now,
        refs: bare.refs()?,
        bare,
        collaborators: HashMap::new(),
        contributors: BTreeSet::from([owner]),
        labels: labels.to_vec(),
        issues: BTreeMap::new(),
        comments: BTreeMap::new(),
        reviews: BTreeMap::new(),
        review_comments: BTreeMap::new(),
        check_suites: BTreeMap::new(),
        check_runs: BTreeMap::new(),
        statuses: Vec::new(),
    };
    world.repositories.insert(id, repo);
    announce(world, id, owner);
    Ok(id)
}

/// An installation on all repositories reaches a new one at once, and is told.
fn announce(world: &mut World, id: u64, owner: u64) {
    let found = world
        .installations
        .values()
        .find(|one| one.account == owner && matches!(one.selection, Selection::All))
        .map(|one| one.id);
    if let Some(installation) = found {
        world.emit_installation_repositories(installation, "added", id, owner);
    }
}

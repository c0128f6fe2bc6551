//! What has no place in GitHub's API: seeding accounts, repositories and roles, and looking behind it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use chrono::Duration;

use super::account::{AccountKind, Role};
use super::answer::Refusal;
use super::git::{BareRepository, SeedFile};
use super::hub::Hub;
use super::issue::Label;
use super::repository::{Repository, Seat};
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

/// Which repositories an installation reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    AllRepositories,
    /// Full names.
    Only(Vec<String>),
}

/// The way past the API; clones act on the same simulator.
#[derive(Clone)]
pub struct Admin {
    hub: Arc<Hub>,
}

impl Admin {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// Adds a person, a bot or an organisation. `token` signs it in, over REST and git.
    ///
    /// # Errors
    /// The login or the id is taken.
    pub fn add_user(&self, login: &str, id: u64, kind: AccountKind, token: &str) -> anyhow::Result<()> {
        self.hub.change(|world| {
            if world.accounts.contains_key(&id) || world.account_by_login(login).is_some() {
                return Err(anyhow!("an account with the login {login:?} or the id {id} exists already"));
            }
            world.add_account(login.to_owned(), id, kind);
            if !token.is_empty() {
                world.personal_tokens.insert(token.to_owned(), id);
            }
            Ok(())
        })
    }

    /// Sets the name and e-mail address by which commits are ascribed.
    pub fn set_profile(&self, login: &str, name: &str, email: &str) -> anyhow::Result<()> {
        self.hub.change(|world| {
            let id = account(world, login)?;
            if let Some(account) = world.accounts.get_mut(&id) {
                (account.name, account.email) = (Some(name.to_owned()), Some(email.to_owned()));
            }
            Ok(())
        })
    }

    /// Renames a person. Their repositories move along and redirect; the old login is free.
    pub fn rename_user(&self, login: &str, new_login: &str) -> anyhow::Result<()> {
        self.hub.change(|world| {
            let id = account(world, login)?;
            if world.account_by_login(new_login).is_some() {
                return Err(anyhow!("the login {new_login:?} is taken"));
            }
            let owned: Vec<u64> =
                world.repositories.values().filter(|repo| repo.owner == id).map(|repo| repo.id).collect();
            for repo in &owned {
                let former = world.full_name(world.repo(*repo)).to_lowercase();
                world.moved.insert(former, *repo);
            }
            if let Some(account) = world.accounts.get_mut(&id) {
                new_login.clone_into(&mut account.login);
            }
            Ok(())
        })
    }

    pub fn add_member(&self, organization: &str, login: &str) -> anyhow::Result<()> {
        self.hub.change(|world| {
            let (organization, member) = (account(world, organization)?, account(world, login)?);
            if let Some(organization) = world.accounts.get_mut(&organization) {
                organization.members.insert(member);
            }
            Ok(())
        })
    }

    /// Makes a repository with a real bare repository behind it and answers its id.
    pub fn create_repository(&self, new: &NewRepository) -> anyhow::Result<u64> {
        self.hub.change(|world| create_repository(world, new))
    }

    /// Renames a repository; the old name redirects.
    pub fn rename_repository(&self, full_name: &str, new_name: &str) -> anyhow::Result<()> {
        self.hub.change(|world| {
            let id = repository(world, full_name)?;
            world.moved.insert(full_name.to_lowercase(), id);
            new_name.clone_into(&mut world.repo_mut(id).name);
            Ok(())
        })
    }

    pub fn archive_repository(&self, full_name: &str) -> anyhow::Result<()> {
        self.hub.change(|world| {
            let id = repository(world, full_name)?;
            world.repo_mut(id).archived = true;
            Ok(())
        })
    }

    /// Installs the App on an account and answers the installation's id. Sends `installation` `created`.
    pub fn install_app(&self, login: &str, reach: &Reach) -> anyhow::Result<u64> {
        self.hub.change(|world| {
            let id = account(world, login)?;
            let selection = match reach {
                Reach::AllRepositories => Selection::All,
                Reach::Only(names) => Selection::Selected(
                    names.iter().map(|name| repository(world, name)).collect::<anyhow::Result<_>>()?,
                ),
            };
            Ok(world.install(id, selection, id))
        })
    }

    /// Adds a repository to an installation of selected ones, or takes it away.
    pub fn set_installed(&self, full_name: &str, installed: Installed) -> anyhow::Result<()> {
        self.hub.change(|world| {
            let repo = repository(world, full_name)?;
            let owner = world.repo(repo).owner;
            let found = world.installations.values_mut().find(|one| one.account == owner);
            let installation =
                found.ok_or_else(|| anyhow!("the App is not installed at {full_name}'s owner"))?;
            let Selection::Selected(chosen) = &mut installation.selection else {
                return Err(anyhow!("the installation reaches all repositories"));
            };
            let action = match installed {
                Installed::Yes => {
                    chosen.insert(repo);
                    "added"
                }
                Installed::No => {
                    chosen.remove(&repo);
                    "removed"
                }
            };
            let id = installation.id;
            world.emit_installation_repositories(id, action, repo, owner);
            Ok(())
        })
    }

    /// Suspends an installation: its tokens are refused. Sends `installation` `suspend`.
    pub fn suspend_installation(&self, installation: u64) -> anyhow::Result<()> {
        self.hub.change(|world| {
            let now = world.now();
            let found = world.installations.get_mut(&installation);
            let found = found.ok_or_else(|| anyhow!("there is no installation {installation}"))?;
            found.suspended = Some((now, found.account));
            let by = found.account;
            world.emit_installation(installation, "suspend", by);
            Ok(())
        })
    }

    /// Gives a person a role, or takes it away (`Role::None`).
    pub fn set_permission(&self, login: &str, full_name: &str, role: Role) -> anyhow::Result<()> {
        self.set_seat(login, full_name, role, None)
    }

    /// Gives a role of an organisation's own, which stands on a base role.
    pub fn set_custom_role(
        &self,
        login: &str,
        full_name: &str,
        base: Role,
        name: &str,
    ) -> anyhow::Result<()> {
        self.set_seat(login, full_name, base, Some(name.to_owned()))
    }

    fn set_seat(
        &self,
        login: &str,
        full_name: &str,
        role: Role,
        custom: Option<String>,
    ) -> anyhow::Result<()> {
        self.hub.change(|world| {
            let (account, id) = (account(world, login)?, repository(world, full_name)?);
            let seats = &mut world.repo_mut(id).collaborators;
            match role {
                Role::None => seats.remove(&account),
                role => seats.insert(account, Seat { role, custom_name: custom }),
            };
            Ok(())
        })
    }

    /// A person's commit with one file on top of a branch (made from the default branch where it does not
    /// exist), pushed. Answers the commit's SHA.
    pub fn push_file(
        &self,
        login: &str,
        full_name: &str,
        branch: &str,
        path: &str,
        content: &str,
    ) -> anyhow::Result<String> {
        self.hub.change(|world| {
            let (account, id) = (account(world, login)?, repository(world, full_name)?);
            let repo = world.repo(id);
            let parent = repo.branch(branch).or_else(|| repo.branch(&repo.default_branch));
            let changes = BTreeMap::from([(path.to_owned(), Some(SeedFile::text(content)))]);
            let author = world.person(account);
            let commit = repo.bare.commit_files(parent, &changes, &author, &format!("Change {path}"))?;
            world.move_ref(id, &format!("refs/heads/{branch}"), Some(&commit), account).map_err(failed)?;
            Ok(commit)
        })
    }

    /// Changes a comment as its author would in the browser.
    pub fn edit_comment(&self, full_name: &str, comment: u64, body: &str) -> anyhow::Result<()> {
        self.hub.change(|world| {
            let id = repository(world, full_name)?;
            let found = world.repo(id).comments.get(&comment);
            let author = found.ok_or_else(|| anyhow!("there is no comment {comment}"))?.author;
            world.edit_comment(id, comment, author, body.to_owned());
            Ok(())
        })
    }

    /// Removes an issue as an administrator may. Sends `issues` `deleted`.
    pub fn delete_issue(&self, full_name: &str, number: u64, by: &str) -> anyhow::Result<()> {
        self.hub.change(|world| {
            let (id, sender) = (repository(world, full_name)?, account(world, by)?);
            if !world.repo(id).issues.get(&number).is_some_and(|issue| issue.pull.is_none()) {
                return Err(anyhow!("there is no issue {number} to delete"));
            }
            world.emit_issue(id, number, "deleted", sender, serde_json::Map::new());
            let repo = world.repo_mut(id);
            repo.issues.remove(&number);
            repo.comments.retain(|_, comment| comment.issue != number);
            Ok(())
        })
    }

    /// Ends every installation token now.
    pub fn expire_tokens(&self) {
        self.hub.change(World::expire_tokens);
    }

    /// Moves GitHub's clock.
    pub fn advance_clock(&self, by: Duration) {
        self.hub.world().clock.advance(by);
    }

    /// Refs of a repository, as they are on disk.
    pub fn refs(&self, full_name: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let world = self.hub.world();
        let id = repository(&world, full_name)?;
        world.repo(id).bare.refs()
    }

    /// A file at the head of a branch; `None` where there is none.
    pub fn file(&self, full_name: &str, branch: &str, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let world = self.hub.world();
        let repo = world.repo(repository(&world, full_name)?);
        let head = repo.branch(branch).ok_or_else(|| anyhow!("{full_name} has no branch {branch:?}"))?;
        repo.bare.file(head, path)
    }

    /// The bare repository's folder, to look into with git.
    pub fn bare_path(&self, full_name: &str) -> anyhow::Result<std::path::PathBuf> {
        let world = self.hub.world();
        let repo = world.repo(repository(&world, full_name)?);
        Ok(repo.bare.path().to_owned())
    }

    /// Login and numeric id of the App's bot.
    pub fn bot(&self) -> (String, u64) {
        let world = self.hub.world();
        (world.login(world.app_bot).to_owned(), world.app_bot)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    Yes,
    No,
}

fn failed(refusal: Refusal) -> anyhow::Error {
    anyhow!("{}: {:?}", refusal.message, refusal.errors.unwrap_or_default())
}

fn account(world: &World, login: &str) -> anyhow::Result<u64> {
    let found = world.account_by_login(login);
    found.map(|account| account.id).ok_or_else(|| anyhow!("there is no account {login:?}"))
}

fn repository(world: &World, full_name: &str) -> anyhow::Result<u64> {
    let (owner, name) =
        full_name.split_once('/').ok_or_else(|| anyhow!("{full_name:?} is not owner/name"))?;
    let found = world.repository_by_name(owner, name);
    found.map(|repo| repo.id).ok_or_else(|| anyhow!("there is no repository {full_name:?}"))
}

/// Source: docs.github.com/en/issues/using-labels-and-milestones-to-track-work/managing-labels#about-default-labels.
const DEFAULT_LABELS: [(&str, &str, &str); 4] = [
    ("bug", "d73a4a", "Something isn't working"),
    ("documentation", "0075ca", "Improvements or additions to documentation"),
    ("enhancement", "a2eeef", "New feature or request"),
    ("question", "d876e3", "Further information is requested"),
];

fn create_repository(world: &mut World, new: &NewRepository) -> anyhow::Result<u64> {
    let (owner, name) =
        new.full_name.split_once('/').ok_or_else(|| anyhow!("{:?} is not owner/name", new.full_name))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(anyhow!("{name:?} is not a repository name"));
    }
    if world.repository_by_name(owner, name).is_some() {
        return Err(anyhow!("{} exists already", new.full_name));
    }
    let owner = account(world, owner)?;
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

//! What has no place in GitHub's API: seeding accounts, repositories and roles, and looking behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::anyhow;
use chrono::Duration;
use serde_json::{Map, json};

use super::account::{AccountKind, Role};
use super::answer::Refusal;
use super::git::SeedFile;
use super::hub::Hub;
use super::repository::Seat;
use super::seed::{NewRepository, create_repository};
use super::world::{Selection, World};

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

    /// Renames a repository; the old name redirects. Sends `repository` `renamed`.
    pub fn rename_repository(&self, full_name: &str, new_name: &str) -> anyhow::Result<()> {
        self.hub.change(|world| {
            let id = repository(world, full_name)?;
            world.moved.insert(full_name.to_lowercase(), id);
            let old_name = std::mem::replace(&mut world.repo_mut(id).name, new_name.to_owned());
            let changes = json!({ "repository": { "name": { "from": old_name } } });
            let extra = Map::from_iter([("changes".to_owned(), changes)]);
            world.emit("repository", Some("renamed"), Some(id), world.app_owner, extra);
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
            if world.repo(id).issues.get(&number).is_none_or(|issue| issue.pull.is_some()) {
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

pub(super) fn account(world: &World, login: &str) -> anyhow::Result<u64> {
    let found = world.account_by_login(login);
    found.map(|account| account.id).ok_or_else(|| anyhow!("there is no account {login:?}"))
}

fn repository(world: &World, full_name: &str) -> anyhow::Result<u64> {
    let (owner, name) =
        full_name.split_once('/').ok_or_else(|| anyhow!("{full_name:?} is not owner/name"))?;
    let found = world.repository_by_name(owner, name);
    found.map(|repo| repo.id).ok_or_else(|| anyhow!("there is no repository {full_name:?}"))
}

//! What follows when a ref moves: the push event, pull requests brought up to date, merges noticed.

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::clock::stamp;
use super::git::FileChange;
use super::repository::Repository;
use super::world::World;

/// How git writes "no object".
pub(super) const ZERO: &str = "0000000000000000000000000000000000000000";

impl World {
    /// Moves a ref on disk and lets everything follow that follows from it.
    pub fn move_ref(
        &mut self,
        repo_id: u64,
        name: &str,
        target: Option<&str>,
        sender: u64,
    ) -> Result<(), Refusal> {
        self.repo(repo_id).bare.set_ref(name, target)?;
        self.absorb_refs(repo_id, sender)
    }

    /// Compares the refs on disk with those last seen and tells of each that differs.
    pub fn absorb_refs(&mut self, repo_id: u64, sender: u64) -> Result<(), Refusal> {
        let after = self.repo(repo_id).bare.refs()?;
        let before = self.repo(repo_id).refs.clone();
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        let moved: Vec<_> = names
            .into_iter()
            .filter(|name| name.starts_with("refs/heads/") || name.starts_with("refs/tags/"))
            .filter(|name| before.get(*name) != after.get(*name))
            .map(|name| (name.clone(), before.get(name).cloned(), after.get(name).cloned()))
            .collect();
        self.repo_mut(repo_id).refs = after;
        for (name, old, new) in moved {
            self.ref_moved(repo_id, &name, old.as_deref(), new.as_deref(), sender)?;
        }
        Ok(())
    }

    fn ref_moved(
        &mut self,
        repo_id: u64,
        name: &str,
        old: Option<&str>,
        new: Option<&str>,
        sender: u64,
    ) -> Result<(), Refusal> {
        let now = self.now();
        let repo = self.repo_mut(repo_id);
        (repo.pushed_at, repo.updated_at) = (now, now);
        let Some(branch) = name.strip_prefix("refs/heads/").map(str::to_owned) else {
            return self.emit_push(repo_id, name, old, new, sender);
        };
        if branch == self.repo(repo_id).default_branch {
            self.note_contributors(repo_id, old, new)?;
        }
        self.emit_push(repo_id, name, old, new, sender)?;
        let open: Vec<u64> = self
            .repo(repo_id)
            .issues
            .values()
            .filter(|issue| issue.is_open())
            .filter(|issue| {
                let pull = issue.pull.as_ref();
                pull.is_some_and(|pull| pull.head_ref == branch || pull.base_ref == branch)
            })
            .map(|issue| issue.number)
            .collect();
        for number in open {
            self.pull_follows(repo_id, number, &branch, old, new, sender)?;
        }
        Ok(())
    }

    /// One open pull request after one of its branches moved.
    fn pull_follows(
        &mut self,
        repo_id: u64,
        number: u64,
        branch: &str,
        old: Option<&str>,
        new: Option<&str>,
        sender: u64,
    ) -> Result<(), Refusal> {
        let Some(pull) = self.repo(repo_id).issues.get(&number).and_then(|issue| issue.pull.as_ref()) else {
            return Ok(());
        };
        let is_head = pull.head_ref == branch;
        let head = pull.head_sha.clone();
        let Some(new) = new else {
            // Whoever deletes either branch closes the pull request.
            self.close_issue(repo_id, number, sender, None);
            return Ok(());
        };
        if !is_head {
            if self.repo(repo_id).bare.contains(new, &head)? {
                self.mark_merged(repo_id, number, sender, new);
                return Ok(());
            }
            return self.refresh_pull(repo_id, number);
        }
        self.refresh_pull(repo_id, number)?;
        self.touch_issue(repo_id, number);
        let extra = json!({"before": old.unwrap_or(ZERO), "after": new});
        let extra = if let Value::Object(extra) = extra { extra } else { Map::new() };
        self.emit_pull(repo_id, number, "synchronize", sender, extra);
        Ok(())
    }

    fn note_contributors(
        &mut self,
        repo_id: u64,
        old: Option<&str>,
        new: Option<&str>,
    ) -> Result<(), Refusal> {
        let Some(new) = new else { return Ok(()) };
        let repo = self.repo(repo_id);
        let git = repo.bare.open()?;
        let mut authors = Vec::new();
        for id in repo.bare.commits_between(old, new)? {
            let commit = git.find_commit(id)?;
            let email = String::from_utf8_lossy(commit.author().email_bytes()).into_owned();
            authors.extend(self.account_by_email(&email).map(|account| account.id));
        }
        self.repo_mut(repo_id).contributors.extend(authors);
        Ok(())
    }

    fn emit_push(
        &mut self,
        repo_id: u64,
        name: &str,
        old: Option<&str>,
        new: Option<&str>,
        sender: u64,
    ) -> Result<(), Refusal> {
        let repo = self.repo(repo_id);
        let full_name = self.full_name(repo);
        let forced = match (old, new) {
            (Some(old), Some(new)) => !repo.bare.contains(new, old)?,
            _ => false,
        };
        let commits = self.pushed_commits(repo, old, new)?;
        let head_commit = match new.map(|sha| repo.bare.resolve_commit(sha)).transpose()?.flatten() {
            Some(sha) => self.show_pushed_commit(repo, &sha)?,
            None => Value::Null,
        };
        let (before, after) = (old.unwrap_or(ZERO), new.unwrap_or(ZERO));
        let compare = match (old, new) {
            (Some(old), Some(new)) => format!("/{full_name}/compare/{}...{}", &old[..12], &new[..12]),
            _ => format!("/{full_name}/compare/{}", name.trim_start_matches("refs/heads/")),
        };
        let account = self.accounts.get(&sender);
        let email = account.map(|one| one.email.clone().unwrap_or_else(|| self.no_reply(one)));
        let fields = json!({
            "ref": name,
            "before": before,
            "after": after,
            "repository": self.show_pushed_repository(repo),
            "pusher": {"name": self.login(sender), "email": email},
            "created": old.is_none(),
            "deleted": new.is_none(),
            "forced": forced,
            "base_ref": null,
            "compare": self.html(&compare),
            "commits": commits,
            "head_commit": head_commit,
        });
        let extra = if let Value::Object(fields) = fields { fields } else { Map::new() };
        self.emit("push", None, Some(repo_id), sender, extra);
        Ok(())
    }

    /// Commits that no other branch had; "The array includes a maximum of 2048 commits".
    fn pushed_commits(
        &self,
        repo: &Repository,
        old: Option<&str>,
        new: Option<&str>,
    ) -> Result<Vec<Value>, Refusal> {
        let Some(new) = new else { return Ok(Vec::new()) };
        if repo.bare.resolve_commit(new)?.is_none() {
            return Ok(Vec::new());
        }
        let base = match old {
            Some(old) => Some(old.to_owned()),
            None => match repo.branch(&repo.default_branch) {
                Some(default) if default != new => repo.bare.merge_base(default, new)?,
                _ => None,
            },
        };
        let found = repo.bare.commits_between(base.as_deref(), new)?;
        found.into_iter().take(2048).map(|id| self.show_pushed_commit(repo, &id.to_string())).collect()
    }

    fn show_pushed_commit(&self, repo: &Repository, sha: &str) -> Result<Value, Refusal> {
        let git = repo.bare.open()?;
        let commit = git.find_commit(git2::Oid::from_str(sha)?)?;
        let parent = commit.parent_id(0).ok().map(|id| id.to_string());
        let files = repo.bare.diff(parent.as_deref(), sha)?;
        let of = |wanted: &[&str]| -> Vec<&str> {
            files.iter().filter(|file| wanted.contains(&file.status)).map(|file| file.path.as_str()).collect()
        };
        let person = |signature: &git2::Signature<'_>| {
            let email = String::from_utf8_lossy(signature.email_bytes()).into_owned();
            let mut shown = json!({"name": String::from_utf8_lossy(signature.name_bytes()), "email": email});
            if let Some(account) = self.account_by_email(&email) {
                shown["username"] = json!(account.login);
            }
            shown
        };
        let when = chrono::DateTime::from_timestamp(commit.time().seconds(), 0).unwrap_or_default();
        let removed: Vec<&str> = of(&["removed"])
            .into_iter()
            .chain(files.iter().filter_map(|file: &FileChange| file.previous_path.as_deref()))
            .collect();
        Ok(json!({
            "id": sha,
            "tree_id": commit.tree_id().to_string(),
            "distinct": true,
            "message": String::from_utf8_lossy(commit.message_bytes()).trim_end(),
            "timestamp": stamp(when),
            "url": self.html(&format!("/{}/commit/{sha}", self.full_name(repo))),
            "author": person(&commit.author()),
            "committer": person(&commit.committer()),
            "added": of(&["added", "renamed", "copied"]),
            "removed": removed,
            "modified": of(&["modified", "changed"]),
        }))
    }

    /// A push shows its repository with times in seconds and an owner with `name` and `email`.
    fn show_pushed_repository(&self, repo: &Repository) -> Value {
        let mut shown = self.show_repository(repo);
        let owner = self.accounts.get(&repo.owner);
        shown["owner"]["name"] = json!(self.login(repo.owner));
        shown["owner"]["email"] = json!(owner.and_then(|one| one.email.clone()));
        shown["created_at"] = json!(repo.created_at.timestamp());
        shown["pushed_at"] = json!(repo.pushed_at.timestamp());
        shown["stargazers"] = json!(0);
        shown["master_branch"] = json!(repo.default_branch);
        shown
    }
}

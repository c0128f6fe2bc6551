//! A repository's state outside git: issues, comments, labels, reviews, checks, and who may do what.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::account::Role;
use super::check::{CheckRun, CheckSuite};
use super::issue::{Comment, Issue, Label};
use super::review::{Review, ReviewComment};
use super::status::CommitStatus;

use super::account::AccountKind;
use super::clock::{stamp, stamp_option};
use super::git::BareRepository;
use super::world::{World, joined, node_id};

#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub role: Role,
    /// An organisation's own role, shown as `role_name`; its base role decides.
    pub custom_name: Option<String>,
}

pub(super) struct Repository {
    pub id: u64,
    pub owner: u64,
    pub name: String,
    pub description: Option<String>,
    pub private: bool,
    pub archived: bool,
    pub default_branch: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub pushed_at: DateTime<Utc>,
    pub bare: BareRepository,
    /// Refs as last seen, to tell what a push changed. Full names to object ids in hex.
    pub refs: BTreeMap<String, String>,
    pub collaborators: HashMap<u64, Seat>,
    /// Accounts with a commit on the default branch.
    pub contributors: BTreeSet<u64>,
    pub labels: Vec<Label>,
    /// Pull requests are issues too, and share their numbers.
    pub issues: BTreeMap<u64, Issue>,
    pub comments: BTreeMap<u64, Comment>,
    pub reviews: BTreeMap<u64, Review>,
    pub review_comments: BTreeMap<u64, ReviewComment>,
    pub check_suites: BTreeMap<u64, CheckSuite>,
    pub check_runs: BTreeMap<u64, CheckRun>,
    pub statuses: Vec<CommitStatus>,
}

impl Repository {
    pub fn next_number(&self) -> u64 {
        self.issues.keys().next_back().map_or(1, |last| last + 1)
    }

    pub fn branch(&self, name: &str) -> Option<&str> {
        self.refs.get(&format!("refs/heads/{name}")).map(String::as_str)
    }
}

impl World {
    pub fn full_name(&self, repository: &Repository) -> String {
        format!("{}/{}", self.login(repository.owner), repository.name)
    }

    pub fn repository_by_name(&self, owner: &str, name: &str) -> Option<&Repository> {
        self.repositories.values().find(|one| {
            one.name.eq_ignore_ascii_case(name) && self.login(one.owner).eq_ignore_ascii_case(owner)
        })
    }

    /// A repository that the caller has resolved already.
    ///
    /// # Panics
    /// Never for an id taken from this world: repositories are not deleted.
    pub fn repo(&self, id: u64) -> &Repository {
        &self.repositories[&id]
    }

    /// As [`World::repo`], to change it.
    pub fn repo_mut(&mut self, id: u64) -> &mut Repository {
        self.repositories.get_mut(&id).expect("repositories are never deleted")
    }

    /// The form in which a repository is embedded in other resources.
    pub fn show_repository(&self, repository: &Repository) -> Value {
        let links = self.show_repository_links(repository);
        let open = repository.issues.values().filter(|issue| issue.is_open()).count();
        let more = json!({
            "git_url": format!("git://127.0.0.1/{}.git", self.full_name(repository)),
            "ssh_url": format!("git@127.0.0.1:{}.git", self.full_name(repository)),
            "clone_url": self.html(&format!("/{}.git", self.full_name(repository))),
            "svn_url": self.html(&format!("/{}", self.full_name(repository))),
            "mirror_url": null, "homepage": null, "language": null, "license": null,
            "forks_count": 0, "forks": 0, "stargazers_count": 0, "watchers_count": 0, "watchers": 0,
            "size": 0, "default_branch": repository.default_branch,
            "open_issues_count": open, "open_issues": open,
            "is_template": false, "topics": [], "has_issues": true, "has_projects": true, "has_wiki": true,
            "has_pages": false, "has_downloads": true, "has_discussions": false,
            "archived": repository.archived, "disabled": false,
            "visibility": if repository.private { "private" } else { "public" },
            "created_at": stamp(repository.created_at), "updated_at": stamp(repository.updated_at),
            "pushed_at": stamp_option(Some(repository.pushed_at)),
            "allow_forking": true, "web_commit_signoff_required": false,
        });
        joined([links, more])
    }

    /// Only the names and links, as in a commit status.
    pub fn show_repository_links(&self, repository: &Repository) -> Value {
        let full_name = self.full_name(repository);
        let api = self.api(&format!("/repos/{full_name}"));
        let names = json!({
            "id": repository.id,
            "node_id": node_id("R", repository.id),
            "name": repository.name,
            "full_name": full_name,
            "private": repository.private,
            "owner": self.show_user(repository.owner),
            "html_url": self.html(&format!("/{full_name}")),
            "description": repository.description,
            "fork": false,
            "url": api,
        });
        let links = json!({
            "forks_url": format!("{api}/forks"),
            "keys_url": format!("{api}/keys{{/key_id}}"),
            "collaborators_url": format!("{api}/collaborators{{/collaborator}}"),
            "teams_url": format!("{api}/teams"),
            "hooks_url": format!("{api}/hooks"),
            "issue_events_url": format!("{api}/issues/events{{/number}}"),
            "events_url": format!("{api}/events"),
            "assignees_url": format!("{api}/assignees{{/user}}"),
            "branches_url": format!("{api}/branches{{/branch}}"),
            "tags_url": format!("{api}/tags"),
            "blobs_url": format!("{api}/git/blobs{{/sha}}"),
            "git_tags_url": format!("{api}/git/tags{{/sha}}"),
            "git_refs_url": format!("{api}/git/refs{{/sha}}"),
            "trees_url": format!("{api}/git/trees{{/sha}}"),
            "statuses_url": format!("{api}/statuses/{{sha}}"),
            "languages_url": format!("{api}/languages"),
        });
        let more_links = json!({
            "stargazers_url": format!("{api}/stargazers"),
            "contributors_url": format!("{api}/contributors"),
            "subscribers_url": format!("{api}/subscribers"),
            "subscription_url": format!("{api}/subscription"),
            "commits_url": format!("{api}/commits{{/sha}}"),
            "git_commits_url": format!("{api}/git/commits{{/sha}}"),
            "comments_url": format!("{api}/comments{{/number}}"),
            "issue_comment_url": format!("{api}/issues/comments{{/number}}"),
            "contents_url": format!("{api}/contents/{{+path}}"),
            "compare_url": format!("{api}/compare/{{base}}...{{head}}"),
            "merges_url": format!("{api}/merges"),
            "archive_url": format!("{api}/{{archive_format}}{{/ref}}"),
            "downloads_url": format!("{api}/downloads"),
            "issues_url": format!("{api}/issues{{/number}}"),
            "pulls_url": format!("{api}/pulls{{/number}}"),
            "milestones_url": format!("{api}/milestones{{/number}}"),
            "notifications_url": format!("{api}/notifications{{?since,all,participating}}"),
            "labels_url": format!("{api}/labels{{/name}}"),
            "releases_url": format!("{api}/releases{{/id}}"),
            "deployments_url": format!("{api}/deployments"),
        });
        joined([names, links, more_links])
    }

    /// The longest form, of `GET /repos/{owner}/{repo}`; `role` is the asking account's.
    pub fn show_repository_in_full(&self, repository: &Repository, role: Role) -> Value {
        let mut shown = self.show_repository(repository);
        let organization = self
            .accounts
            .get(&repository.owner)
            .filter(|owner| owner.kind == AccountKind::Organization)
            .map(|owner| self.show_user(owner.id));
        if let Value::Object(fields) = &mut shown {
            fields.insert("permissions".into(), role.permissions());
            fields.insert("subscribers_count".into(), json!(0));
            fields.insert("network_count".into(), json!(0));
            fields.insert("temp_clone_token".into(), json!(""));
            for merge in ["allow_squash_merge", "allow_merge_commit", "allow_rebase_merge"] {
                fields.insert(merge.into(), json!(true));
            }
            fields.insert("allow_auto_merge".into(), json!(false));
            fields.insert("delete_branch_on_merge".into(), json!(false));
            if let Some(organization) = organization {
                fields.insert("organization".into(), organization);
            }
        }
        shown
    }
}

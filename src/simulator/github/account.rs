//! People, organisations, bots, and what each may do in a repository.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::clock::stamp;
use super::repository::Repository;
use super::world::{World, joined, node_id};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKind {
    User,
    Bot,
    Organization,
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    pub id: u64,
    pub login: String,
    pub kind: AccountKind,
    pub name: Option<String>,
    pub email: Option<String>,
    pub created_at: DateTime<Utc>,
    pub members: BTreeSet<u64>,
}

/// A person's role in a repository; the order is the order of power.
/// Source: docs.github.com/en/organizations/managing-user-access-to-your-organizations-repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    None,
    Read,
    Triage,
    Write,
    Maintain,
    Admin,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }

    /// The legacy `permission` field knows four values: maintain counts as write, triage as read.
    /// Source: docs.github.com/rest/collaborators/collaborators#get-repository-permissions-for-a-user.
    pub fn legacy(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read | Self::Triage => "read",
            Self::Write | Self::Maintain => "write",
            Self::Admin => "admin",
        }
    }

    pub fn permissions(self) -> Value {
        json!({
            "admin": self >= Self::Admin,
            "maintain": self >= Self::Maintain,
            "push": self >= Self::Write,
            "triage": self >= Self::Triage,
            "pull": self >= Self::Read,
        })
    }
}

impl World {
    pub fn add_account(&mut self, login: String, id: u64, kind: AccountKind) -> u64 {
        let account = Account {
            id,
            login,
            kind,
            name: None,
            email: None,
            created_at: self.now(),
            members: BTreeSet::new(),
        };
        self.accounts.insert(id, account);
        id
    }

    /// Logins are compared without regard to case.
    pub fn account_by_login(&self, login: &str) -> Option<&Account> {
        self.accounts.values().find(|account| account.login.eq_ignore_ascii_case(login))
    }

    pub fn login(&self, id: u64) -> &str {
        self.accounts.get(&id).map_or("ghost", |account| account.login.as_str())
    }

    /// Commits are ascribed by their e-mail address, a no-reply address included.
    pub fn account_by_email(&self, email: &str) -> Option<&Account> {
        self.accounts
            .values()
            .find(|account| account.email.as_deref() == Some(email) || self.no_reply(account) == email)
    }

    /// Source: docs.github.com/en/account-and-profile/reference/email-addresses-reference.
    pub fn no_reply(&self, account: &Account) -> String {
        format!("{}+{}@users.noreply.github.com", account.id, account.login)
    }

    pub fn role(&self, account: u64, repository: &Repository) -> Role {
        if account == repository.owner {
            return Role::Admin;
        }
        let given = repository.collaborators.get(&account).map_or(Role::None, |seat| seat.role);
        let everyone = if repository.private { Role::None } else { Role::Read };
        given.max(everyone)
    }

    /// `author_association`: how an author stands to a repository.
    /// Source: docs.github.com/graphql/reference/enums#commentauthorassociation.
    pub fn association(&self, account: u64, repository: &Repository) -> &'static str {
        let member =
            self.accounts.get(&repository.owner).is_some_and(|owner| owner.members.contains(&account));
        if account == repository.owner {
            "OWNER"
        } else if member {
            "MEMBER"
        } else if repository.collaborators.contains_key(&account) {
            "COLLABORATOR"
        } else if repository.contributors.contains(&account) {
            "CONTRIBUTOR"
        } else {
            "NONE"
        }
    }

    pub fn show_user(&self, id: u64) -> Value {
        let Some(account) = self.accounts.get(&id) else {
            return Value::Null;
        };
        let login = &account.login;
        let encoded = login.replace('[', "%5B").replace(']', "%5D");
        let api = self.api(&format!("/users/{encoded}"));
        let (prefix, kind, html) = match account.kind {
            AccountKind::User => ("U", "User", self.html(&format!("/{login}"))),
            AccountKind::Organization => ("O", "Organization", self.html(&format!("/{login}"))),
            AccountKind::Bot => {
                ("BOT", "Bot", self.html(&format!("/apps/{}", login.trim_end_matches("[bot]"))))
            }
        };
        json!({
            "login": login,
            "id": account.id,
            "node_id": node_id(prefix, account.id),
            "avatar_url": self.html(&format!("/avatars/u/{}?v=4", account.id)),
            "gravatar_id": "",
            "url": api,
            "html_url": html,
            "followers_url": format!("{api}/followers"),
            "following_url": format!("{api}/following{{/other_user}}"),
            "gists_url": format!("{api}/gists{{/gist_id}}"),
            "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
            "subscriptions_url": format!("{api}/subscriptions"),
            "organizations_url": format!("{api}/orgs"),
            "repos_url": format!("{api}/repos"),
            "events_url": format!("{api}/events{{/privacy}}"),
            "received_events_url": format!("{api}/received_events"),
            "type": kind,
            "user_view_type": "public",
            "site_admin": false,
        })
    }

    pub fn show_user_option(&self, id: Option<u64>) -> Value {
        id.map_or(Value::Null, |id| self.show_user(id))
    }

    /// The longer form of `GET /users/{username}`.
    pub fn show_profile(&self, id: u64) -> Value {
        let Some(account) = self.accounts.get(&id) else { return Value::Null };
        let public = self.repositories.values().filter(|one| one.owner == id && !one.private).count();
        let more = json!({
            "name": account.name, "company": null, "blog": "", "location": null, "email": account.email,
            "hireable": null, "bio": null, "twitter_username": null,
            "public_repos": public, "public_gists": 0, "followers": 0, "following": 0,
            "created_at": stamp(account.created_at), "updated_at": stamp(account.created_at),
        });
        joined([self.show_user(id), more])
    }
}

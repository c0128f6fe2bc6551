//! Webhook payloads: what every event carries, and which are sent at all.

use serde_json::{Map, Value, json};

use super::account::AccountKind;
use super::deliveries::Outgoing;
use super::repository::Repository;
use super::world::{Installation, Selection, World, node_id};

impl World {
    /// Queues an event for the App, if it is installed on the repository and subscribed to it.
    /// `extra` holds the event's own part of the payload.
    pub fn emit(
        &mut self,
        event: &'static str,
        action: Option<&'static str>,
        repository: Option<u64>,
        sender: u64,
        extra: Map<String, Value>,
    ) {
        let Some(repo) = repository.and_then(|id| self.repositories.get(&id)) else { return };
        let Some(installation) = self.installation_of(repo) else { return };
        if installation.suspended.is_some() || !installation.events.contains(event) {
            return;
        }
        let installation = installation.id;
        let mut payload = Map::new();
        if let Some(action) = action {
            payload.insert("action".into(), json!(action));
        }
        payload.extend(extra);
        // A push shows the repository in a form of its own, which it brings along.
        payload.entry("repository").or_insert_with(|| self.show_repository(repo));
        if let Some(organization) = self.show_organization(repo) {
            payload.insert("organization".into(), organization);
        }
        payload.insert("sender".into(), self.show_user(sender));
        payload.insert(
            "installation".into(),
            json!({"id": installation, "node_id": node_id("MDIzOkludGVncmF0aW9u", installation)}),
        );
        self.queue(event, action, Some(installation), repository, Value::Object(payload));
    }

    /// Issues and pull requests share their routes, not their events.
    pub fn emit_issue(
        &mut self,
        repo_id: u64,
        number: u64,
        action: &'static str,
        sender: u64,
        mut extra: Map<String, Value>,
    ) {
        let repo = self.repo(repo_id);
        let Some(issue) = repo.issues.get(&number) else { return };
        if issue.pull.is_some() {
            return self.emit_pull(repo_id, number, action, sender, extra);
        }
        extra.insert("issue".into(), self.show_issue(repo, issue));
        self.emit("issues", Some(action), Some(repo_id), sender, extra);
    }

    /// `installation` events go to every App.
    pub fn emit_installation(&mut self, id: u64, action: &'static str, sender: u64) {
        let Some(installation) = self.installations.get(&id) else { return };
        let payload = json!({
            "action": action,
            "installation": self.show_installation(installation),
            "repositories": self.show_installed(installation),
            "requester": null,
            "sender": self.show_user(sender),
        });
        self.queue("installation", Some(action), Some(id), None, payload);
    }

    pub fn emit_installation_repositories(
        &mut self,
        id: u64,
        action: &'static str,
        repository: u64,
        sender: u64,
    ) {
        let Some(installation) = self.installations.get(&id) else { return };
        let shown = vec![self.show_repository_name(self.repo(repository))];
        let (added, removed) = if action == "added" { (shown, vec![]) } else { (vec![], shown) };
        let payload = json!({
            "action": action,
            "installation": self.show_installation(installation),
            "repository_selection": installation.selection.as_str(),
            "repositories_added": added,
            "repositories_removed": removed,
            "requester": null,
            "sender": self.show_user(sender),
        });
        self.queue("installation_repositories", Some(action), Some(id), None, payload);
    }

    /// Sent when the App's webhook address is set.
    pub fn emit_ping(&mut self, url: &str) {
        let now = super::clock::stamp(self.now());
        let events: Vec<&String> = self.settings.manifest.default_events.iter().collect();
        let payload = json!({
            "zen": "Keep it logically awesome.",
            "hook_id": self.settings.hook_id,
            "hook": {
                "type": "App",
                "id": self.settings.hook_id,
                "name": "web",
                "active": true,
                "events": events,
                "config": {
                    "content_type": "json", "insecure_ssl": "0", "secret": "********", "url": url,
                },
                "updated_at": now,
                "created_at": now,
                "app_id": self.settings.app_id,
                "deliveries_url": self.api("/app/hook/deliveries"),
            },
        });
        self.queue("ping", None, None, None, payload);
    }

    fn queue(
        &mut self,
        event: &'static str,
        action: Option<&'static str>,
        installation: Option<u64>,
        repository: Option<u64>,
        payload: Value,
    ) {
        let guid = self.random.guid();
        self.outgoing.push(Outgoing {
            guid,
            event: event.to_owned(),
            action: action.map(str::to_owned),
            installation,
            repository,
            payload,
            redelivery: false,
        });
    }

    /// The form of a repository in installation events.
    fn show_repository_name(&self, repo: &Repository) -> Value {
        json!({
            "id": repo.id,
            "node_id": node_id("R", repo.id),
            "name": repo.name,
            "full_name": self.full_name(repo),
            "private": repo.private,
        })
    }

    fn show_installed(&self, installation: &Installation) -> Vec<Value> {
        let installed = self.repositories.values().filter(|repo| self.reaches(installation, repo));
        installed.map(|repo| self.show_repository_name(repo)).collect()
    }

    fn show_organization(&self, repo: &Repository) -> Option<Value> {
        let owner = self.accounts.get(&repo.owner)?;
        if owner.kind != AccountKind::Organization {
            return None;
        }
        let api = self.api(&format!("/orgs/{}", owner.login));
        Some(json!({
            "login": owner.login,
            "id": owner.id,
            "node_id": node_id("O", owner.id),
            "url": api,
            "repos_url": format!("{api}/repos"),
            "events_url": format!("{api}/events"),
            "hooks_url": format!("{api}/hooks"),
            "issues_url": format!("{api}/issues"),
            "members_url": format!("{api}/members{{/member}}"),
            "public_members_url": format!("{api}/public_members{{/member}}"),
            "avatar_url": self.html(&format!("/avatars/u/{}?v=4", owner.id)),
            "description": "",
        }))
    }
}

impl Selection {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Selected(_) => "selected",
        }
    }
}

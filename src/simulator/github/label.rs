//! Labels of a repository and on an issue.

use serde_json::{Map, Value, json};

use super::account::Role;
use super::answer::{Answer, Outcome, Refusal};
use super::call::{Call, percent_encode};
use super::issue::Label;
use super::issues::{label_name, label_names};
use super::manifest::Level;
use super::repository::Repository;
use super::route::{Access, Need, Route, Verb};
use super::world::{World, node_id};

const READ: Access = Access::Repository {
    any_of: &[Need("issues", Level::Read), Need("pull_requests", Level::Read)],
    role: Role::Read,
};
const ON_ISSUE: Access = Access::Repository {
    any_of: &[Need("issues", Level::Write), Need("pull_requests", Level::Write)],
    role: Role::Triage,
};
const IN_REPOSITORY: Access = Access::Repository {
    any_of: &[Need("issues", Level::Write), Need("pull_requests", Level::Write)],
    role: Role::Write,
};

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/labels",
        READ,
        "issues/labels#list-labels-for-a-repository",
        list,
    ),
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/labels",
        IN_REPOSITORY,
        "issues/labels#create-a-label",
        create,
    ),
    Route::new(Verb::Get, "/repos/{owner}/{repo}/labels/{name}", READ, "issues/labels#get-a-label", get),
    Route::new(
        Verb::Patch,
        "/repos/{owner}/{repo}/labels/{name}",
        IN_REPOSITORY,
        "issues/labels#update-a-label",
        update,
    ),
    Route::new(
        Verb::Delete,
        "/repos/{owner}/{repo}/labels/{name}",
        IN_REPOSITORY,
        "issues/labels#delete-a-label",
        delete,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/issues/{issue_number}/labels",
        READ,
        "issues/labels#list-labels-for-an-issue",
        list_on_issue,
    ),
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/issues/{issue_number}/labels",
        ON_ISSUE,
        "issues/labels#add-labels-to-an-issue",
        add,
    ),
    Route::new(
        Verb::Put,
        "/repos/{owner}/{repo}/issues/{issue_number}/labels",
        ON_ISSUE,
        "issues/labels#set-labels-for-an-issue",
        set,
    ),
    Route::new(
        Verb::Delete,
        "/repos/{owner}/{repo}/issues/{issue_number}/labels",
        ON_ISSUE,
        "issues/labels#remove-all-labels-from-an-issue",
        remove_all,
    ),
    Route::new(
        Verb::Delete,
        "/repos/{owner}/{repo}/issues/{issue_number}/labels/{name}",
        ON_ISSUE,
        "issues/labels#remove-a-label-from-an-issue",
        remove,
    ),
];

fn list(call: &mut Call<'_>) -> Outcome {
    let repo = call.repo();
    Ok(call.page(repo.labels.iter().map(|label| call.world.show_label(repo, label)).collect()))
}

fn find<'a>(repo: &'a Repository, name: &str) -> Result<&'a Label, Refusal> {
    repo.labels.iter().find(|label| label.name.eq_ignore_ascii_case(name)).ok_or_else(Refusal::not_found)
}

fn get(call: &mut Call<'_>) -> Outcome {
    let repo = call.repo();
    Ok(Answer::ok(call.world.show_label(repo, find(repo, call.param("name"))?)))
}

fn create(call: &mut Call<'_>) -> Outcome {
    let name = checked_name(call.required_text("name")?)?;
    let color = checked_color(call.text("color")?)?;
    let description = call.text("description")?.map(str::to_owned);
    if find(call.repo(), &name).is_ok() {
        return Err(Refusal::invalid("Label", "name", "already_exists"));
    }
    let id = call.world.new_id();
    let label =
        Label { id, name, color: color.unwrap_or_else(|| "ededed".into()), description, default: false };
    call.repo_mut().labels.push(label.clone());
    Ok(Answer::created(call.world.show_label(call.repo(), &label)))
}

fn update(call: &mut Call<'_>) -> Outcome {
    let id = find(call.repo(), call.param("name"))?.id;
    let name = call.text("new_name")?.map(checked_name).transpose()?;
    let color = checked_color(call.text("color")?)?;
    let description = call.text("description")?.map(str::to_owned);
    let taken = name.as_ref().is_some_and(|name| find(call.repo(), name).is_ok_and(|other| other.id != id));
    if taken {
        return Err(Refusal::invalid("Label", "name", "already_exists"));
    }
    let repo = call.repo_mut();
    let label = repo.labels.iter_mut().find(|label| label.id == id).ok_or_else(Refusal::not_found)?;
    label.name = name.unwrap_or_else(|| label.name.clone());
    label.color = color.unwrap_or_else(|| label.color.clone());
    label.description = description.or_else(|| label.description.clone());
    let label = label.clone();
    Ok(Answer::ok(call.world.show_label(call.repo(), &label)))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let id = find(call.repo(), call.param("name"))?.id;
    let repo = call.repo_mut();
    repo.labels.retain(|label| label.id != id);
    for issue in repo.issues.values_mut() {
        issue.labels.retain(|label| *label != id);
    }
    Ok(Answer::no_content())
}

fn number_of(call: &Call<'_>) -> Result<u64, Refusal> {
    let number = call.id("issue_number")?;
    call.repo().issues.contains_key(&number).then_some(number).ok_or_else(Refusal::not_found)
}

fn list_on_issue(call: &mut Call<'_>) -> Outcome {
    let number = number_of(call)?;
    let shown = call.world.show_labels_of(call.repo(), number);
    Ok(call.page(shown))
}

fn add(call: &mut Call<'_>) -> Outcome {
    let number = number_of(call)?;
    let names = given_names(call)?;
    let (repo_id, actor) = (call.repo_id, call.account()?);
    let mut wanted = call.repo().issues[&number].labels.clone();
    for id in call.world.ensure_labels(repo_id, &names)? {
        if !wanted.contains(&id) {
            wanted.push(id);
        }
    }
    call.world.set_labels(repo_id, number, &wanted, actor);
    Ok(Answer::ok(Value::Array(call.world.show_labels_of(call.repo(), number))))
}

fn set(call: &mut Call<'_>) -> Outcome {
    let number = number_of(call)?;
    let names = given_names(call)?;
    let (repo_id, actor) = (call.repo_id, call.account()?);
    let wanted = call.world.ensure_labels(repo_id, &names)?;
    call.world.set_labels(repo_id, number, &wanted, actor);
    Ok(Answer::ok(Value::Array(call.world.show_labels_of(call.repo(), number))))
}

fn remove_all(call: &mut Call<'_>) -> Outcome {
    let (number, repo_id, actor) = (number_of(call)?, call.repo_id, call.account()?);
    call.world.set_labels(repo_id, number, &[], actor);
    Ok(Answer::no_content())
}

fn remove(call: &mut Call<'_>) -> Outcome {
    let number = number_of(call)?;
    let label = find(call.repo(), call.param("name"))
        .ok()
        .map(|label| label.id)
        .filter(|id| call.repo().issues[&number].labels.contains(id))
        .ok_or_else(|| Refusal::new(axum::http::StatusCode::NOT_FOUND, "Label does not exist"))?;
    let (repo_id, actor) = (call.repo_id, call.account()?);
    let mut wanted = call.repo().issues[&number].labels.clone();
    wanted.retain(|id| *id != label);
    call.world.set_labels(repo_id, number, &wanted, actor);
    Ok(Answer::ok(Value::Array(call.world.show_labels_of(call.repo(), number))))
}

/// The body is `{"labels": […]}` or the bare array.
fn given_names(call: &Call<'_>) -> Result<Vec<String>, Refusal> {
    if let Value::Array(items) = &call.request.body {
        return Ok(items.iter().filter_map(label_name).map(str::to_owned).collect());
    }
    label_names(call)?.ok_or_else(|| super::call::not_supplied("labels"))
}

/// Source: GitHub's answer to more, "name is too long (maximum is 50 characters)".
fn checked_name(name: &str) -> Result<String, Refusal> {
    if name.trim().is_empty() {
        return Err(Refusal::invalid("Label", "name", "missing_field"));
    }
    if name.chars().count() > 50 {
        let message = "name is too long (maximum is 50 characters)";
        return Err(Refusal::custom("Label", Some("name"), message));
    }
    Ok(name.to_owned())
}

fn checked_color(color: Option<&str>) -> Result<Option<String>, Refusal> {
    let good = |color: &str| color.len() == 6 && color.bytes().all(|byte| byte.is_ascii_hexdigit());
    match color {
        Some(color) if !good(color) => Err(Refusal::invalid("Label", "color", "invalid")),
        other => Ok(other.map(str::to_owned)),
    }
}

impl World {
    /// The ids of labels by name; a label that does not exist yet is made, as GitHub does.
    pub fn ensure_labels(&mut self, repo_id: u64, names: &[String]) -> Result<Vec<u64>, Refusal> {
        let mut ids = Vec::new();
        for name in names {
            let known = find(self.repo(repo_id), name).ok().map(|label| label.id);
            let id = match known {
                Some(id) => id,
                None => {
                    let (id, name) = (self.new_id(), checked_name(name)?);
                    let label = Label { id, name, color: "ededed".into(), description: None, default: false };
                    self.repo_mut(repo_id).labels.push(label);
                    id
                }
            };
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Sets an issue's labels and sends one event for each that came or went.
    pub fn set_labels(&mut self, repo_id: u64, number: u64, wanted: &[u64], sender: u64) {
        let now = self.now();
        let Some(issue) = self.repo_mut(repo_id).issues.get_mut(&number) else { return };
        let before = std::mem::replace(&mut issue.labels, wanted.to_vec());
        let gone: Vec<u64> = before.iter().filter(|id| !wanted.contains(id)).copied().collect();
        let new: Vec<u64> = wanted.iter().filter(|id| !before.contains(id)).copied().collect();
        if !gone.is_empty() || !new.is_empty() {
            issue.updated_at = now;
        }
        for label in gone {
            self.emit_label(repo_id, number, "unlabeled", sender, label);
        }
        for label in new {
            self.emit_label(repo_id, number, "labeled", sender, label);
        }
    }

    pub fn emit_label(&mut self, repo_id: u64, number: u64, action: &'static str, sender: u64, label: u64) {
        let shown = self.show_label_by_id(self.repo(repo_id), label).unwrap_or(Value::Null);
        let extra = Map::from_iter([("label".to_owned(), shown)]);
        self.emit_issue(repo_id, number, action, sender, extra);
    }

    pub fn show_labels_of(&self, repo: &Repository, number: u64) -> Vec<Value> {
        let labels = repo.issues.get(&number).map(|issue| issue.labels.as_slice()).unwrap_or_default();
        labels.iter().filter_map(|id| self.show_label_by_id(repo, *id)).collect()
    }

    pub fn show_label_by_id(&self, repo: &Repository, id: u64) -> Option<Value> {
        repo.labels.iter().find(|label| label.id == id).map(|label| self.show_label(repo, label))
    }

    pub fn show_label(&self, repo: &Repository, label: &Label) -> Value {
        let name = percent_encode(&label.name);
        json!({
            "id": label.id,
            "node_id": node_id("LA", label.id),
            "url": self.api(&format!("/repos/{}/labels/{name}", self.full_name(repo))),
            "name": label.name,
            "color": label.color,
            "default": label.default,
            "description": label.description,
        })
    }
}

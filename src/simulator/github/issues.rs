//! The routes below `/issues`, and the rules for titles, bodies and labels that other routes share.

use serde_json::{Map, Value};

use super::account::Role;
use super::answer::{Answer, Outcome, Refusal};
use super::call::{Call, wrong_type};
use super::issue::{Issue, comment_count};
use super::manifest::Level;
use super::refusals;
use super::repository::Repository;
use super::route::{Access, Need, Route, Verb};

/// Source: GitHub's answer to more, "body is too long (maximum is 65536 characters)".
const BODY_MAXIMUM: usize = 65_536;
/// Source: GitHub's answer to more, "title is too long (maximum is 256 characters)".
const TITLE_MAXIMUM: usize = 256;

const READ: Access = Access::Repository {
    any_of: &[Need("issues", Level::Read), Need("pull_requests", Level::Read)],
    role: Role::Read,
};
const READ_ISSUES: Access = Access::Repository { any_of: &[Need("issues", Level::Read)], role: Role::Read };
/// Whether a person may change this issue depends on who wrote it; the handler looks.
const WRITE: Access = Access::Repository {
    any_of: &[Need("issues", Level::Write), Need("pull_requests", Level::Write)],
    role: Role::Read,
};
const WRITE_ISSUES: Access = Access::Repository { any_of: &[Need("issues", Level::Write)], role: Role::Read };

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/issues",
        READ_ISSUES,
        "issues/issues#list-repository-issues",
        list,
    ),
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/issues",
        WRITE_ISSUES,
        "issues/issues#create-an-issue",
        create,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/issues/{issue_number}",
        READ,
        "issues/issues#get-an-issue",
        get,
    ),
    Route::new(
        Verb::Patch,
        "/repos/{owner}/{repo}/issues/{issue_number}",
        WRITE,
        "issues/issues#update-an-issue",
        update,
    ),
];

fn list(call: &mut Call<'_>) -> Outcome {
    let query = |name: &str| call.request.query(name);
    let state = query("state").unwrap_or("open");
    if !matches!(state, "open" | "closed" | "all") {
        return Err(Refusal::invalid("Issue", "state", "invalid"));
    }
    let since = call.since()?;
    let wanted: Vec<&str> =
        query("labels").unwrap_or("").split(',').filter(|name| !name.is_empty()).collect();
    let repo = call.repo();
    let mut found: Vec<&Issue> = repo
        .issues
        .values()
        .filter(|issue| state == "all" || issue.state() == state)
        .filter(|issue| since.is_none_or(|since| issue.updated_at >= since))
        .filter(|issue| wanted.iter().all(|name| has_label(repo, issue, name)))
        .filter(|issue| query("creator").is_none_or(|login| call.world.login(issue.author) == login))
        .collect();
    match query("sort").unwrap_or("created") {
        "updated" => found.sort_by_key(|issue| (issue.updated_at, issue.number)),
        "comments" => found.sort_by_key(|issue| (comment_count(repo, issue.number), issue.number)),
        _ => found.sort_by_key(|issue| (issue.created_at, issue.number)),
    }
    if query("direction") != Some("asc") {
        found.reverse();
    }
    Ok(call.page(found.into_iter().map(|issue| call.world.show_issue(repo, issue)).collect()))
}

fn create(call: &mut Call<'_>) -> Outcome {
    let title = title_of(call, "Issue")?.ok_or_else(|| missing("Issue", "title"))?;
    let body = body_of(call, "Issue")?;
    let author = call.account()?;
    let may_label = call.by_app() || call.world.role(author, call.repo()) >= Role::Triage;
    // "Labels are silently dropped otherwise": only people with push access can set them here.
    let labels = if may_label { label_names(call)?.unwrap_or_default() } else { Vec::new() };
    let assignees = if may_label { assignees_of(call)?.unwrap_or_default() } else { Vec::new() };
    let now = call.now();
    let (id, number) = (call.world.new_id(), call.repo().next_number());
    let issue = Issue {
        id,
        number,
        title,
        body,
        author,
        by_app: call.by_app(),
        closed: None,
        reopened: false,
        labels: Vec::new(),
        assignees,
        created_at: now,
        updated_at: now,
        reactions: Vec::new(),
        pull: None,
    };
    let repo_id = call.repo_id;
    call.repo_mut().issues.insert(number, issue);
    let labels = call.world.ensure_labels(repo_id, &labels)?;
    call.repo_mut().issues.entry(number).and_modify(|issue| issue.labels.clone_from(&labels));
    call.world.emit_issue(repo_id, number, "opened", author, Map::new());
    for label in labels {
        call.world.emit_label(repo_id, number, "labeled", author, label);
    }
    let repo = call.repo();
    Ok(Answer::created(call.world.show_issue(repo, &repo.issues[&number])))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let repo = call.repo();
    let issue = repo.issues.get(&call.id("issue_number")?).ok_or_else(Refusal::not_found)?;
    Ok(Answer::ok(call.world.show_issue(repo, issue)))
}

fn update(call: &mut Call<'_>) -> Outcome {
    let number = call.id("issue_number")?;
    let actor = call.account()?;
    let issue = call.repo().issues.get(&number).ok_or_else(Refusal::not_found)?;
    let role = if call.by_app() { Role::Admin } else { call.world.role(actor, call.repo()) };
    let own = issue.author == actor;
    let resource = issue.resource();
    let allowed = |needed: Role| match own || role >= needed {
        true => Ok(()),
        false => Err(Refusal::forbidden("Must have admin rights to Repository.")),
    };
    let title = title_of(call, resource)?;
    let body = match call.field("body") {
        Some(_) => Some(body_of(call, resource)?),
        None => None,
    };
    if title.is_some() || body.is_some() {
        allowed(Role::Write)?;
    }
    let state = call.text("state")?.map(str::to_owned);
    if state.is_some() {
        allowed(Role::Triage)?;
    }
    let reason = call.text("state_reason")?.map(str::to_owned);
    let labels = if role >= Role::Triage { label_names(call)? } else { None };
    let assignees = if role >= Role::Triage { assignees_of(call)? } else { None };

    let (repo_id, world) = (call.repo_id, &mut *call.world);
    world.edit_text(repo_id, number, actor, title, body);
    if let Some(assignees) = assignees {
        world.repo_mut(repo_id).issues.entry(number).and_modify(|issue| issue.assignees = assignees);
    }
    if let Some(names) = labels {
        let wanted = world.ensure_labels(repo_id, &names)?;
        world.set_labels(repo_id, number, &wanted, actor);
    }
    match state.as_deref() {
        Some("closed") => world.close_issue(repo_id, number, actor, reason.as_deref()),
        Some("open") => world.reopen_issue(repo_id, number, actor)?,
        Some(_) => return Err(Refusal::invalid(resource, "state", "invalid")),
        None => {}
    }
    let repo = call.repo();
    Ok(Answer::ok(call.world.show_issue(repo, &repo.issues[&number])))
}

fn has_label(repo: &Repository, issue: &Issue, name: &str) -> bool {
    repo.labels.iter().any(|label| label.name.eq_ignore_ascii_case(name) && issue.labels.contains(&label.id))
}

pub(super) fn missing(resource: &str, field: &str) -> Refusal {
    Refusal::invalid(resource, field, "missing_field")
}

pub(super) fn title_of(call: &Call<'_>, resource: &str) -> Result<Option<String>, Refusal> {
    let Some(title) = call.text("title")? else { return Ok(None) };
    if title.trim().is_empty() {
        return Err(missing(resource, "title"));
    }
    if title.chars().count() > TITLE_MAXIMUM {
        return Err(Refusal::custom(resource, Some("title"), refusals::TITLE_TOO_LONG.says));
    }
    Ok(Some(title.to_owned()))
}

pub(super) fn body_of(call: &Call<'_>, resource: &str) -> Result<Option<String>, Refusal> {
    let Some(body) = call.text("body")? else { return Ok(None) };
    check_length(body, resource)?;
    Ok(Some(body.to_owned()))
}

pub(super) fn check_length(body: &str, resource: &str) -> Result<(), Refusal> {
    if body.chars().count() > BODY_MAXIMUM {
        return Err(Refusal::custom(resource, Some("body"), refusals::BODY_TOO_LONG.says));
    }
    Ok(())
}

fn assignees_of(call: &Call<'_>) -> Result<Option<Vec<u64>>, Refusal> {
    let Some(list) = call.list("assignees")? else { return Ok(None) };
    let mut assignees = Vec::new();
    for login in list {
        let login = login.as_str().ok_or_else(|| wrong_type("assignees", login, "a string"))?;
        let account = call.world.account_by_login(login);
        let account = account.filter(|account| call.world.role(account.id, call.repo()) >= Role::Read);
        assignees.push(account.ok_or_else(|| Refusal::invalid("Issue", "assignees", "invalid"))?.id);
    }
    Ok(Some(assignees))
}

pub(super) fn label_names(call: &Call<'_>) -> Result<Option<Vec<String>>, Refusal> {
    let Some(list) = call.list("labels")? else { return Ok(None) };
    let name = |item: &Value| {
        label_name(item).map(str::to_owned).ok_or_else(|| wrong_type("labels", item, "a string"))
    };
    list.iter().map(name).collect::<Result<_, _>>().map(Some)
}

/// A label is given as a string or as an object with `name`.
pub(super) fn label_name(item: &Value) -> Option<&str> {
    item.as_str().or_else(|| item.get("name").and_then(Value::as_str))
}

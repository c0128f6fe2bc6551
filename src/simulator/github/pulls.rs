//! The routes below `/pulls` but for reviews, review comments and the merge.

use serde_json::{Map, Value, json};

use super::account::Role;
use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::issue::Issue;
use super::issues::{body_of, missing, title_of};
use super::manifest::Level;
use super::pull::{Extent, Mergeability, Pull};
use super::refusals;
use super::repository::Repository;
use super::route::{Access, Need, Route, Verb};

const READ: Access = Access::Repository { any_of: &[Need("pull_requests", Level::Read)], role: Role::Read };
const OPEN: Access = Access::Repository { any_of: &[Need("pull_requests", Level::Write)], role: Role::Write };
/// The author may change a pull request without a role; the handler looks.
const CHANGE: Access =
    Access::Repository { any_of: &[Need("pull_requests", Level::Write)], role: Role::Read };

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/repos/{owner}/{repo}/pulls", READ, "pulls/pulls#list-pull-requests", list),
    Route::new(Verb::Post, "/repos/{owner}/{repo}/pulls", OPEN, "pulls/pulls#create-a-pull-request", create),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/pulls/{pull_number}",
        READ,
        "pulls/pulls#get-a-pull-request",
        get,
    ),
    Route::new(
        Verb::Patch,
        "/repos/{owner}/{repo}/pulls/{pull_number}",
        CHANGE,
        "pulls/pulls#update-a-pull-request",
        update,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/pulls/{pull_number}/files",
        READ,
        "pulls/pulls#list-pull-requests-files",
        files,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/pulls/{pull_number}/commits",
        READ,
        "pulls/pulls#list-commits-on-a-pull-request",
        commits,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/commits/{commit_sha}/pulls",
        READ,
        "commits/commits#list-pull-requests-associated-with-a-commit",
        of_commit,
    ),
];

/// The pull request that the path names, with its issue.
pub(super) fn pull_of<'a>(call: &'a Call<'_>) -> Result<(&'a Repository, &'a Issue, &'a Pull), Refusal> {
    let repo = call.repo();
    let issue = repo.issues.get(&call.id("pull_number")?).ok_or_else(Refusal::not_found)?;
    let pull = issue.pull.as_ref().ok_or_else(Refusal::not_found)?;
    Ok((repo, issue, pull))
}

fn list(call: &mut Call<'_>) -> Outcome {
    let query = |name: &str| call.request.query(name);
    let state = query("state").unwrap_or("open");
    if !matches!(state, "open" | "closed" | "all") {
        return Err(Refusal::invalid("PullRequest", "state", "invalid"));
    }
    let repo = call.repo();
    let owner = call.world.login(repo.owner);
    // "head: user:ref-name"; without an owner GitHub ignores the filter.
    let head = query("head").and_then(|head| head.split_once(':'));
    let mut found: Vec<(&Issue, &Pull)> = repo
        .issues
        .values()
        .filter_map(|issue| issue.pull.as_ref().map(|pull| (issue, pull)))
        .filter(|(issue, _)| state == "all" || issue.state() == state)
        .filter(|(_, pull)| {
            head.is_none_or(|(user, name)| user.eq_ignore_ascii_case(owner) && name == pull.head_ref)
        })
        .filter(|(_, pull)| query("base").is_none_or(|base| base == pull.base_ref))
        .collect();
    if query("sort") == Some("updated") {
        found.sort_by_key(|(issue, _)| (issue.updated_at, issue.number));
    }
    // "Default: desc when sort is created or sort is not specified, otherwise asc."
    let by_creation = query("sort").is_none_or(|sort| sort == "created");
    if query("direction").unwrap_or(if by_creation { "desc" } else { "asc" }) == "desc" {
        found.reverse();
    }
    let shown =
        found.into_iter().map(|(issue, pull)| call.world.show_pull_simple(repo, issue, pull)).collect();
    Ok(call.page(shown))
}

fn create(call: &mut Call<'_>) -> Outcome {
    let title = title_of(call, "PullRequest")?.ok_or_else(|| missing("PullRequest", "title"))?;
    let body = body_of(call, "PullRequest")?;
    let pull = planned_pull(call)?;
    let (author, now, by_app) = (call.account()?, call.now(), call.by_app());
    let (id, number) = (call.world.new_id(), call.repo().next_number());
    let issue = Issue {
        id,
        number,
        title,
        body,
        author,
        by_app,
        closed: None,
        reopened: false,
        labels: Vec::new(),
        assignees: Vec::new(),
        created_at: now,
        updated_at: now,
        reactions: Vec::new(),
        pull: Some(pull),
    };
    let repo_id = call.repo_id;
    call.repo_mut().issues.insert(number, issue);
    call.world.refresh_pull(repo_id, number)?;
    call.world.emit_pull(repo_id, number, "opened", author, Map::new());
    Ok(Answer::created(shown(call, number)?))
}

/// The body's head and base, checked as GitHub checks them.
fn planned_pull(call: &Call<'_>) -> Result<Pull, Refusal> {
    let invalid = |field| Refusal::invalid("PullRequest", field, "invalid");
    let repo = call.repo();
    let owner = call.world.login(repo.owner);
    let head = call.required_text("head")?;
    let head_ref = match head.split_once(':') {
        Some((user, name)) if user.eq_ignore_ascii_case(owner) => name,
        // Pull requests from forks are not simulated: to this GitHub such a head does not exist.
        Some(_) => return Err(invalid("head")),
        None => head,
    };
    let base_ref = call.required_text("base")?;
    let base_sha = repo.branch(base_ref).ok_or_else(|| invalid("base"))?;
    let head_sha = repo.branch(head_ref).ok_or_else(|| invalid("head"))?;
    let taken = repo.issues.values().filter(|issue| issue.is_open()).any(|issue| {
        issue.pull.as_ref().is_some_and(|pull| pull.head_ref == head_ref && pull.base_ref == base_ref)
    });
    if taken {
        let message = format!("{}{owner}:{head_ref}.", refusals::SECOND_PULL.says);
        return Err(Refusal::custom("PullRequest", None, message));
    }
    let Some(merge_base) = repo.bare.merge_base(base_sha, head_sha)? else {
        let message = format!("The {head_ref} branch has no history in common with {base_ref}");
        return Err(Refusal::custom("PullRequest", None, message));
    };
    if merge_base == head_sha {
        let message = format!("{}{base_ref} and {head_ref}", refusals::NO_COMMITS.says);
        return Err(Refusal::custom("PullRequest", None, message));
    }
    Ok(Pull {
        head_ref: head_ref.to_owned(),
        head_sha: head_sha.to_owned(),
        base_ref: base_ref.to_owned(),
        base_sha: base_sha.to_owned(),
        merge_base,
        draft: call.boolean("draft")?.unwrap_or(false),
        maintainer_can_modify: false,
        merged: None,
        mergeability: Mergeability::NotKnownYet,
        extent: Extent::default(),
    })
}

pub(super) fn shown(call: &Call<'_>, number: u64) -> Result<Value, Refusal> {
    let repo = call.repo();
    let issue = repo.issues.get(&number).ok_or_else(Refusal::not_found)?;
    let pull = issue.pull.as_ref().ok_or_else(Refusal::not_found)?;
    Ok(call.world.show_pull(repo, issue, pull))
}

/// The first look at new branches answers `mergeable: null` and starts the computation.
fn get(call: &mut Call<'_>) -> Outcome {
    let (repo, issue, pull) = pull_of(call)?;
    if call.request.accepts("diff") {
        let text = repo.bare.diff_text(Some(&pull.merge_base), &pull.head_sha)?;
        return diff_answer(text);
    }
    let number = issue.number;
    let shown = shown(call, number)?;
    let repo_id = call.repo_id;
    call.world.compute_mergeability(repo_id, number)?;
    Ok(Answer::ok(shown))
}

/// Source: docs.github.com/en/repositories/creating-and-managing-repositories/repository-limits#diff-limits.
const DIFF_LINES_MAXIMUM: usize = 20_000;

pub(super) fn diff_answer(text: Vec<u8>) -> Outcome {
    if text.iter().filter(|&&byte| byte == b'\n').count() > DIFF_LINES_MAXIMUM {
        let message = format!("Sorry, the diff exceeded the maximum number of lines ({DIFF_LINES_MAXIMUM})");
        let mut refusal = Refusal::new(axum::http::StatusCode::NOT_ACCEPTABLE, message);
        refusal.errors = Some(vec![json!({"resource": "PullRequest", "field": "diff", "code": "too_large"})]);
        return Err(refusal);
    }
    Ok(Answer::text("application/vnd.github.diff; charset=utf-8", text))
}

fn update(call: &mut Call<'_>) -> Outcome {
    let (_, issue, pull) = pull_of(call)?;
    let (number, old_base, old_sha) = (issue.number, pull.base_ref.clone(), pull.base_sha.clone());
    let actor = call.account()?;
    let allowed =
        call.by_app() || issue.author == actor || call.world.role(actor, call.repo()) >= Role::Write;
    if !allowed {
        return Err(Refusal::forbidden("Must have admin rights to Repository."));
    }
    let title = title_of(call, "PullRequest")?;
    let body = match call.field("body") {
        Some(_) => Some(body_of(call, "PullRequest")?),
        None => None,
    };
    let state = call.text("state")?.map(str::to_owned);
    let base = call.text("base")?.map(str::to_owned).filter(|base| *base != old_base);
    let repo_id = call.repo_id;
    call.world.edit_text(repo_id, number, actor, title, body);
    if let Some(base) = base {
        let sha = call.repo().branch(&base).map(str::to_owned);
        let sha = sha.ok_or_else(|| Refusal::invalid("PullRequest", "base", "invalid"))?;
        if let Some(pull) = call.world.pull_mut(repo_id, number) {
            (pull.base_ref, pull.base_sha) = (base, sha);
        }
        call.world.refresh_pull(repo_id, number)?;
        let changes = json!({"base": {"ref": {"from": old_base}, "sha": {"from": old_sha}}});
        let extra = Map::from_iter([("changes".to_owned(), changes)]);
        call.world.emit_pull(repo_id, number, "edited", actor, extra);
    }
    match state.as_deref() {
        Some("closed") => call.world.close_issue(repo_id, number, actor, None),
        Some("open") => call.world.reopen_issue(repo_id, number, actor)?,
        Some(_) => return Err(Refusal::invalid("PullRequest", "state", "invalid")),
        None => {}
    }
    Ok(Answer::ok(shown(call, number)?))
}

fn files(call: &mut Call<'_>) -> Outcome {
    let (repo, _, pull) = pull_of(call)?;
    let changes = call.world.pull_changes(repo, pull)?;
    Ok(call.page(changes.iter().map(|file| call.world.show_file(repo, &pull.head_sha, file)).collect()))
}

/// "Lists a maximum of 250 commits for a pull request."
fn commits(call: &mut Call<'_>) -> Outcome {
    let (repo, _, pull) = pull_of(call)?;
    let found = repo.bare.commits_between(Some(&pull.merge_base), &pull.head_sha)?;
    let shown = found.into_iter().take(250).map(|id| call.world.show_commit(repo, &id.to_string()));
    Ok(call.page(shown.collect::<Result<_, _>>()?))
}

fn of_commit(call: &mut Call<'_>) -> Outcome {
    let repo = call.repo();
    let sha = repo.bare.resolve_commit(call.param("commit_sha"))?.ok_or_else(Refusal::not_found)?;
    let mut found = Vec::new();
    for issue in repo.issues.values() {
        let Some(pull) = &issue.pull else { continue };
        let commits = repo.bare.commits_between(Some(&pull.merge_base), &pull.head_sha)?;
        if commits.iter().any(|commit| commit.to_string() == sha) {
            found.push(call.world.show_pull_simple(repo, issue, pull));
        }
    }
    Ok(call.page(found))
}

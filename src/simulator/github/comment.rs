//! Comments on issues and on the conversations of pull requests.

use serde_json::{Map, Value, json};

use super::account::Role;
use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clock::stamp;
use super::issue::Comment;
use super::issues::check_length;
use super::manifest::Level;
use super::reaction::Reaction;
use super::refusals;
use super::repository::Repository;
use super::route::{Access, Need, Route, Verb};
use super::world::{World, node_id};

const READ: Access = Access::Repository {
    any_of: &[Need("issues", Level::Read), Need("pull_requests", Level::Read)],
    role: Role::Read,
};
const WRITE: Access = Access::Repository {
    any_of: &[Need("issues", Level::Write), Need("pull_requests", Level::Write)],
    role: Role::Read,
};

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/issues/comments",
        READ,
        "issues/comments#list-issue-comments-for-a-repository",
        list_in_repository,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/issues/{issue_number}/comments",
        READ,
        "issues/comments#list-issue-comments",
        list,
    ),
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/issues/{issue_number}/comments",
        WRITE,
        "issues/comments#create-an-issue-comment",
        create,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/issues/comments/{comment_id}",
        READ,
        "issues/comments#get-an-issue-comment",
        get,
    ),
    Route::new(
        Verb::Patch,
        "/repos/{owner}/{repo}/issues/comments/{comment_id}",
        WRITE,
        "issues/comments#update-an-issue-comment",
        update,
    ),
    Route::new(
        Verb::Delete,
        "/repos/{owner}/{repo}/issues/comments/{comment_id}",
        WRITE,
        "issues/comments#delete-an-issue-comment",
        delete,
    ),
];

fn list_in_repository(call: &mut Call<'_>) -> Outcome {
    let since = call.since()?;
    let repo = call.repo();
    let mut found: Vec<&Comment> =
        repo.comments.values().filter(|one| since.is_none_or(|since| one.updated_at >= since)).collect();
    if call.request.query("sort") == Some("updated") {
        found.sort_by_key(|one| (one.updated_at, one.id));
    }
    if call.request.query("direction") == Some("desc") {
        found.reverse();
    }
    Ok(call.page(found.into_iter().map(|one| call.world.show_comment(repo, one)).collect()))
}

fn list(call: &mut Call<'_>) -> Outcome {
    let number = call.id("issue_number")?;
    let since = call.since()?;
    let repo = call.repo();
    if !repo.issues.contains_key(&number) {
        return Err(Refusal::not_found());
    }
    let found = repo
        .comments
        .values()
        .filter(|one| one.issue == number && since.is_none_or(|since| one.updated_at >= since));
    Ok(call.page(found.map(|one| call.world.show_comment(repo, one)).collect()))
}

fn create(call: &mut Call<'_>) -> Outcome {
    let issue = call.id("issue_number")?;
    if !call.repo().issues.contains_key(&issue) {
        return Err(Refusal::not_found());
    }
    let body = checked_body(call, Creating::Yes)?;
    let (author, now, by_app) = (call.account()?, call.now(), call.by_app());
    let id = call.world.new_id();
    let comment =
        Comment { id, issue, body, author, by_app, created_at: now, updated_at: now, reactions: Vec::new() };
    call.repo_mut().comments.insert(id, comment);
    let repo_id = call.repo_id;
    call.world.touch_issue(repo_id, issue);
    call.world.emit_comment(repo_id, id, "created", author, Map::new());
    Ok(Answer::created(call.world.show_comment(call.repo(), &call.repo().comments[&id])))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let comment = call.repo().comments.get(&call.id("comment_id")?).ok_or_else(Refusal::not_found)?;
    Ok(Answer::ok(call.world.show_comment(call.repo(), comment)))
}

fn update(call: &mut Call<'_>) -> Outcome {
    let id = own_or_writable(call)?;
    let body = checked_body(call, Creating::No)?;
    let (repo_id, actor) = (call.repo_id, call.account()?);
    call.world.edit_comment(repo_id, id, actor, body);
    Ok(Answer::ok(call.world.show_comment(call.repo(), &call.repo().comments[&id])))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let id = own_or_writable(call)?;
    let (repo_id, actor) = (call.repo_id, call.account()?);
    call.world.emit_comment(repo_id, id, "deleted", actor, Map::new());
    let comment = call.repo_mut().comments.remove(&id).ok_or_else(Refusal::not_found)?;
    call.world.touch_issue(repo_id, comment.issue);
    Ok(Answer::no_content())
}

/// Its author may change a comment; so may whoever can write to the repository.
fn own_or_writable(call: &Call<'_>) -> Result<u64, Refusal> {
    let comment = call.repo().comments.get(&call.id("comment_id")?).ok_or_else(Refusal::not_found)?;
    let actor = call.account()?;
    let allowed =
        call.by_app() || comment.author == actor || call.world.role(actor, call.repo()) >= Role::Write;
    allowed.then_some(comment.id).ok_or_else(|| Refusal::forbidden("Must have admin rights to Repository."))
}

fn checked_body(call: &Call<'_>, creating: Creating) -> Result<String, Refusal> {
    let body = call.required_text("body")?;
    let unprocessable = |message: &str| {
        Refusal::unprocessable("Validation Failed").with_error(json!({
            "resource": "IssueComment", "code": "unprocessable", "field": "data", "message": message,
        }))
    };
    if body.trim().is_empty() {
        return Err(unprocessable(refusals::BLANK_COMMENT.says));
    }
    let refused = check_length(body, "IssueComment");
    // The same limit is told in other words at the making than at the editing of a comment.
    match creating {
        Creating::Yes => refused.map_err(|_| unprocessable(refusals::COMMENT_TOO_LONG.says))?,
        Creating::No => refused?,
    }
    Ok(body.to_owned())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Creating {
    Yes,
    No,
}

impl World {
    pub fn edit_comment(&mut self, repo_id: u64, id: u64, sender: u64, body: String) {
        let now = self.now();
        let Some(comment) = self.repo_mut(repo_id).comments.get_mut(&id) else { return };
        if comment.body == body {
            return;
        }
        let before = std::mem::replace(&mut comment.body, body);
        comment.updated_at = now;
        let issue = comment.issue;
        self.touch_issue(repo_id, issue);
        let changes = json!({"body": {"from": before}});
        self.emit_comment(repo_id, id, "edited", sender, Map::from_iter([("changes".to_owned(), changes)]));
    }

    pub fn emit_comment(
        &mut self,
        repo_id: u64,
        id: u64,
        action: &'static str,
        sender: u64,
        mut extra: Map<String, Value>,
    ) {
        let repo = self.repo(repo_id);
        let Some(comment) = repo.comments.get(&id) else { return };
        let Some(issue) = repo.issues.get(&comment.issue) else { return };
        extra.insert("issue".into(), self.show_issue(repo, issue));
        extra.insert("comment".into(), self.show_comment(repo, comment));
        self.emit("issue_comment", Some(action), Some(repo_id), sender, extra);
    }

    pub fn show_comment(&self, repo: &Repository, comment: &Comment) -> Value {
        let full_name = self.full_name(repo);
        let api = self.api(&format!("/repos/{full_name}/issues/comments/{}", comment.id));
        let is_pull = repo.issues.get(&comment.issue).is_some_and(|issue| issue.pull.is_some());
        let kind = if is_pull { "pull" } else { "issues" };
        json!({
            "url": api,
            "html_url": self.html(
                &format!("/{full_name}/{kind}/{}#issuecomment-{}", comment.issue, comment.id)),
            "issue_url": self.api(&format!("/repos/{full_name}/issues/{}", comment.issue)),
            "id": comment.id,
            "node_id": node_id("IC", comment.id),
            "user": self.show_user(comment.author),
            "created_at": stamp(comment.created_at),
            "updated_at": stamp(comment.updated_at),
            "author_association": self.association(comment.author, repo),
            "body": comment.body,
            "reactions": Reaction::rollup(&format!("{api}/reactions"), &comment.reactions),
            "performed_via_github_app": if comment.by_app { self.show_app() } else { Value::Null },
        })
    }
}

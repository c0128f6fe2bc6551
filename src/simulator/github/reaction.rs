//! Reactions to issues, comments and review comments. GitHub has no webhook for them.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::account::Role;
use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clock::stamp;
use super::manifest::Level;
use super::repository::Repository;
use super::route::{Access, Need, Route, Verb};
use super::world::{World, node_id};

/// Source: docs.github.com/rest/reactions/reactions#about-reactions.
const CONTENTS: [&str; 8] = ["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"];

#[derive(Clone, Debug)]
pub(super) struct Reaction {
    pub id: u64,
    pub user: u64,
    pub content: &'static str,
    pub created_at: DateTime<Utc>,
}

impl Reaction {
    /// The counts shown inside the resource that was reacted to.
    pub fn rollup(url: &str, reactions: &[Self]) -> Value {
        let mut rollup = json!({"url": url, "total_count": reactions.len()});
        for content in CONTENTS {
            rollup[content] = json!(reactions.iter().filter(|one| one.content == content).count());
        }
        rollup
    }
}

const READ: Access = Access::Repository {
    any_of: &[Need("issues", Level::Read), Need("pull_requests", Level::Read)],
    role: Role::Read,
};
const WRITE: Access = Access::Repository {
    any_of: &[Need("issues", Level::Write), Need("pull_requests", Level::Write)],
    role: Role::Read,
};
const READ_PULLS: Access =
    Access::Repository { any_of: &[Need("pull_requests", Level::Read)], role: Role::Read };
const WRITE_PULLS: Access =
    Access::Repository { any_of: &[Need("pull_requests", Level::Write)], role: Role::Read };

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/issues/{issue_number}/reactions",
        READ,
        "reactions/reactions#list-reactions-for-an-issue",
        list,
    ),
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/issues/{issue_number}/reactions",
        WRITE,
        "reactions/reactions#create-reaction-for-an-issue",
        create,
    ),
    Route::new(
        Verb::Delete,
        "/repos/{owner}/{repo}/issues/{issue_number}/reactions/{reaction_id}",
        WRITE,
        "reactions/reactions#delete-an-issue-reaction",
        delete,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions",
        READ,
        "reactions/reactions#list-reactions-for-an-issue-comment",
        list,
    ),
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions",
        WRITE,
        "reactions/reactions#create-reaction-for-an-issue-comment",
        create,
    ),
    Route::new(
        Verb::Delete,
        "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions/{reaction_id}",
        WRITE,
        "reactions/reactions#delete-an-issue-comment-reaction",
        delete,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/pulls/comments/{comment_id}/reactions",
        READ_PULLS,
        "reactions/reactions#list-reactions-for-a-pull-request-review-comment",
        list,
    ),
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/pulls/comments/{comment_id}/reactions",
        WRITE_PULLS,
        "reactions/reactions#create-reaction-for-a-pull-request-review-comment",
        create,
    ),
    Route::new(
        Verb::Delete,
        "/repos/{owner}/{repo}/pulls/comments/{comment_id}/reactions/{reaction_id}",
        WRITE_PULLS,
        "reactions/reactions#delete-a-pull-request-comment-reaction",
        delete,
    ),
];

#[derive(Clone, Copy)]
enum Target {
    Issue(u64),
    Comment(u64),
    ReviewComment(u64),
}

fn target(call: &Call<'_>) -> Result<Target, Refusal> {
    let below_pulls = call.request.path.split('/').nth(4) == Some("pulls");
    if call.params.contains_key("issue_number") {
        Ok(Target::Issue(call.id("issue_number")?))
    } else if below_pulls {
        Ok(Target::ReviewComment(call.id("comment_id")?))
    } else {
        Ok(Target::Comment(call.id("comment_id")?))
    }
}

fn reactions(repo: &Repository, target: Target) -> Option<&Vec<Reaction>> {
    match target {
        Target::Issue(number) => repo.issues.get(&number).map(|one| &one.reactions),
        Target::Comment(id) => repo.comments.get(&id).map(|one| &one.reactions),
        Target::ReviewComment(id) => repo.review_comments.get(&id).map(|one| &one.reactions),
    }
}

fn reactions_mut(repo: &mut Repository, target: Target) -> Option<&mut Vec<Reaction>> {
    match target {
        Target::Issue(number) => repo.issues.get_mut(&number).map(|one| &mut one.reactions),
        Target::Comment(id) => repo.comments.get_mut(&id).map(|one| &mut one.reactions),
        Target::ReviewComment(id) => repo.review_comments.get_mut(&id).map(|one| &mut one.reactions),
    }
}

fn list(call: &mut Call<'_>) -> Outcome {
    let found = reactions(call.repo(), target(call)?).ok_or_else(Refusal::not_found)?;
    let wanted = call.request.query("content");
    if wanted.is_some_and(|content| !CONTENTS.contains(&content)) {
        return Err(Refusal::invalid("Reaction", "content", "invalid"));
    }
    let found = found.iter().filter(|one| wanted.is_none_or(|content| one.content == content));
    Ok(call.page(found.map(|one| call.world.show_reaction(one)).collect()))
}

/// 201 for a new reaction, 200 where the same account has reacted so already.
fn create(call: &mut Call<'_>) -> Outcome {
    let target = target(call)?;
    let given = call.required_text("content")?;
    let content = CONTENTS
        .into_iter()
        .find(|content| *content == given)
        .ok_or_else(|| Refusal::invalid("Reaction", "content", "invalid"))?;
    let user = call.account()?;
    let existing = reactions(call.repo(), target).ok_or_else(Refusal::not_found)?;
    if let Some(same) = existing.iter().find(|one| one.user == user && one.content == content) {
        return Ok(Answer::ok(call.world.show_reaction(same)));
    }
    let reaction = Reaction { id: call.world.new_id(), user, content, created_at: call.now() };
    let shown = call.world.show_reaction(&reaction);
    reactions_mut(call.repo_mut(), target).ok_or_else(Refusal::not_found)?.push(reaction);
    Ok(Answer::created(shown))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let (target, id, user) = (target(call)?, call.id("reaction_id")?, call.account()?);
    let found = reactions(call.repo(), target)
        .and_then(|all| all.iter().find(|one| one.id == id))
        .ok_or_else(Refusal::not_found)?;
    if found.user != user {
        return Err(Refusal::forbidden("You cannot delete another user's reaction."));
    }
    if let Some(all) = reactions_mut(call.repo_mut(), target) {
        all.retain(|one| one.id != id);
    }
    Ok(Answer::no_content())
}

impl World {
    fn show_reaction(&self, reaction: &Reaction) -> Value {
        json!({
            "id": reaction.id,
            "node_id": node_id("REA", reaction.id),
            "user": self.show_user(reaction.user),
            "content": reaction.content,
            "created_at": stamp(reaction.created_at),
        })
    }
}

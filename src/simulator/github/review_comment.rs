//! Review comments: remarks on lines (or files) of a pull request's diff.

use serde_json::{Map, Value, json};

use super::account::Role;
use super::anchor::{Anchor, Place, anchor_of, present_place};
use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clock::stamp;
use super::issues::check_length;
use super::manifest::Level;
use super::pulls::pull_of;
use super::reaction::Reaction;
use super::repository::Repository;
use super::review::{Review, ReviewComment, ReviewState};
use super::route::{Access, Need, Route, Verb};
use super::world::{World, node_id};

const READ: Access = Access::Repository { any_of: &[Need("pull_requests", Level::Read)], role: Role::Read };
const WRITE: Access = Access::Repository { any_of: &[Need("pull_requests", Level::Write)], role: Role::Read };

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/pulls/comments",
        READ,
        "pulls/comments#list-review-comments-in-a-repository",
        list_in_repository,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/pulls/comments/{comment_id}",
        READ,
        "pulls/comments#get-a-review-comment-for-a-pull-request",
        get,
    ),
    Route::new(
        Verb::Patch,
        "/repos/{owner}/{repo}/pulls/comments/{comment_id}",
        WRITE,
        "pulls/comments#update-a-review-comment-for-a-pull-request",
        update,
    ),
    Route::new(
        Verb::Delete,
        "/repos/{owner}/{repo}/pulls/comments/{comment_id}",
        WRITE,
        "pulls/comments#delete-a-review-comment-for-a-pull-request",
        delete,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/pulls/{pull_number}/comments",
        READ,
        "pulls/comments#list-review-comments-on-a-pull-request",
        list,
    ),
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/pulls/{pull_number}/comments",
        WRITE,
        "pulls/comments#create-a-review-comment-for-a-pull-request",
        create,
    ),
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/pulls/{pull_number}/comments/{comment_id}/replies",
        WRITE,
        "pulls/comments#create-a-reply-for-a-review-comment",
        reply,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/pulls/{pull_number}/reviews/{review_id}/comments",
        READ,
        "pulls/reviews#list-comments-for-a-pull-request-review",
        list_of_review,
    ),
];

fn comment_of<'a>(call: &'a Call<'_>) -> Result<&'a ReviewComment, Refusal> {
    let comment = call.repo().review_comments.get(&call.id("comment_id")?);
    comment.filter(|one| !call.repo().is_pending(one.review)).ok_or_else(Refusal::not_found)
}

fn shown_where(call: &Call<'_>, wanted: impl Fn(&ReviewComment) -> bool) -> Vec<Value> {
    let repo = call.repo();
    repo.review_comments
        .values()
        .filter(|one| wanted(one) && !repo.is_pending(one.review))
        .map(|one| call.world.show_review_comment(repo, one))
        .collect()
}

fn list_in_repository(call: &mut Call<'_>) -> Outcome {
    let since = call.since()?;
    Ok(call.page(shown_where(call, |one| since.is_none_or(|since| one.updated_at >= since))))
}

fn list(call: &mut Call<'_>) -> Outcome {
    let (_, issue, _) = pull_of(call)?;
    let (number, since) = (issue.number, call.since()?);
    let wanted =
        |one: &ReviewComment| one.pull == number && since.is_none_or(|since| one.updated_at >= since);
    Ok(call.page(shown_where(call, wanted)))
}

/// The older form of these: it tells the position, not the line.
fn list_of_review(call: &mut Call<'_>) -> Outcome {
    let (repo, issue, _) = pull_of(call)?;
    let review = call.id("review_id")?;
    if repo.reviews.get(&review).is_none_or(|one| one.pull != issue.number) {
        return Err(Refusal::not_found());
    }
    let account = call.account().ok();
    let found = repo
        .review_comments
        .values()
        .filter(|one| one.review == review && (!repo.is_pending(review) || account == Some(one.author)));
    Ok(call.page(found.map(|one| call.world.show_review_comment(repo, one)).collect()))
}

fn get(call: &mut Call<'_>) -> Outcome {
    Ok(Answer::ok(call.world.show_review_comment(call.repo(), comment_of(call)?)))
}

fn checked_body(call: &Call<'_>) -> Result<String, Refusal> {
    let body = call.required_text("body")?;
    if body.trim().is_empty() {
        return Err(Refusal::invalid("PullRequestReviewComment", "body", "missing_field"));
    }
    check_length(body, "PullRequestReviewComment")?;
    Ok(body.to_owned())
}

fn create(call: &mut Call<'_>) -> Outcome {
    let body = checked_body(call)?;
    if let Some(parent) = call.integer("in_reply_to")? {
        return answer_to(call, parent, body);
    }
    let commit = call.required_text("commit_id")?.to_owned();
    call.required_text("path")?;
    let (repo, issue, pull) = pull_of(call)?;
    let number = issue.number;
    let part_of_it = match repo.bare.resolve_commit(&commit)? {
        Some(sha) => sha == commit && repo.bare.contains(&pull.head_sha, &sha)?,
        None => false,
    };
    if !part_of_it {
        let message = "commit_id is not part of the pull request";
        return Err(Refusal::custom("PullRequestReviewComment", Some("commit_id"), message));
    }
    let place = Place::from_json(&call.request.body)?;
    let anchor = anchor_of(repo, pull, &commit, &place).map_err(|sentence| placement_refusal(&sentence))?;
    finish(call, number, anchor, body, None)
}

/// This route names the field of the thread that is wrong; the review's route says it in a sentence.
fn placement_refusal(sentence: &str) -> Refusal {
    let field = |name: &str, message: &str| {
        let field = format!("pull_request_review_thread.{name}");
        Refusal::custom("PullRequestReviewComment", Some(&field), format!("{field} {message}"))
    };
    if sentence.contains("must be part of the diff") {
        return field("line", "must be part of the diff").with_error(json!({
            "resource": "PullRequestReviewComment", "code": "missing_field",
            "field": "pull_request_review_thread.diff_hunk",
        }));
    }
    if sentence.contains("same hunk") {
        return field("start_line", "must be part of the same hunk as the line.");
    }
    if sentence.contains("must precede") {
        return field("start_line", "must precede the end line.");
    }
    let part = if sentence.starts_with("Path") { "path" } else { "line" };
    Refusal::invalid("PullRequestReviewComment", &format!("pull_request_review_thread.{part}"), "invalid")
}

fn reply(call: &mut Call<'_>) -> Outcome {
    let body = checked_body(call)?;
    let parent = call.id("comment_id")?;
    answer_to(call, parent, body)
}

/// "Replies to replies are not supported": they join the thread of its first comment.
fn answer_to(call: &mut Call<'_>, parent: u64, body: String) -> Outcome {
    let (repo, issue, _) = pull_of(call)?;
    let number = issue.number;
    let parent = repo.review_comments.get(&parent).filter(|one| one.pull == number);
    let parent = parent.filter(|one| !repo.is_pending(one.review)).ok_or_else(Refusal::not_found)?;
    let (first, anchor) = (parent.in_reply_to.unwrap_or(parent.id), parent.anchor.clone());
    finish(call, number, anchor, body, Some(first))
}

/// A single comment makes a review of its own, as at GitHub, with both events.
fn finish(
    call: &mut Call<'_>,
    number: u64,
    anchor: Anchor,
    body: String,
    in_reply_to: Option<u64>,
) -> Outcome {
    let (author, now, repo_id) = (call.account()?, call.now(), call.repo_id);
    let review = Review {
        id: call.world.new_id(),
        pull: number,
        author,
        body: String::new(),
        state: ReviewState::Commented,
        commit: anchor.commit.clone(),
        submitted_at: Some(now),
    };
    let review_id = review.id;
    call.repo_mut().reviews.insert(review_id, review);
    let id = call.world.add_review_comment(repo_id, review_id, anchor, body, in_reply_to);
    call.world.announce_review(repo_id, review_id);
    Ok(Answer::created(call.world.show_review_comment(call.repo(), &call.repo().review_comments[&id])))
}

fn own_or_writable(call: &Call<'_>) -> Result<u64, Refusal> {
    let comment = comment_of(call)?;
    let actor = call.account()?;
    let allowed =
        call.by_app() || comment.author == actor || call.world.role(actor, call.repo()) >= Role::Write;
    allowed.then_some(comment.id).ok_or_else(|| Refusal::forbidden("Must have admin rights to Repository."))
}

fn update(call: &mut Call<'_>) -> Outcome {
    let id = own_or_writable(call)?;
    let body = checked_body(call)?;
    let (repo_id, actor, now) = (call.repo_id, call.account()?, call.now());
    if let Some(comment) = call.repo_mut().review_comments.get_mut(&id) {
        let before = std::mem::replace(&mut comment.body, body);
        comment.updated_at = now;
        let extra = Map::from_iter([("changes".to_owned(), json!({"body": {"from": before}}))]);
        call.world.emit_review_comment(repo_id, id, "edited", actor, extra);
    }
    Ok(Answer::ok(call.world.show_review_comment(call.repo(), &call.repo().review_comments[&id])))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let id = own_or_writable(call)?;
    let (repo_id, actor) = (call.repo_id, call.account()?);
    call.world.emit_review_comment(repo_id, id, "deleted", actor, Map::new());
    call.repo_mut().review_comments.remove(&id);
    Ok(Answer::no_content())
}

impl World {
    pub fn add_review_comment(
        &mut self,
        repo_id: u64,
        review: u64,
        anchor: Anchor,
        body: String,
        in_reply_to: Option<u64>,
    ) -> u64 {
        let (id, now) = (self.new_id(), self.now());
        let (author, pull) = match self.repo(repo_id).reviews.get(&review) {
            Some(review) => (review.author, review.pull),
            None => return id,
        };
        let comment = ReviewComment {
            id,
            review,
            pull,
            in_reply_to,
            body,
            author,
            anchor,
            created_at: now,
            updated_at: now,
            reactions: Vec::new(),
        };
        self.repo_mut(repo_id).review_comments.insert(id, comment);
        id
    }

    pub fn emit_review_comment(
        &mut self,
        repo_id: u64,
        id: u64,
        action: &'static str,
        sender: u64,
        mut extra: Map<String, Value>,
    ) {
        let repo = self.repo(repo_id);
        let Some(comment) = repo.review_comments.get(&id) else { return };
        let Some(issue) = repo.issues.get(&comment.pull) else { return };
        let Some(pull) = &issue.pull else { return };
        extra.insert("comment".into(), self.show_review_comment(repo, comment));
        extra.insert("pull_request".into(), self.show_pull_simple(repo, issue, pull));
        self.emit("pull_request_review_comment", Some(action), Some(repo_id), sender, extra);
    }

    /// An outdated comment has no line and no position; what it was put on stays in `original_*`.
    pub fn show_review_comment(&self, repo: &Repository, comment: &ReviewComment) -> Value {
        let full_name = self.full_name(repo);
        let api = self.api(&format!("/repos/{full_name}/pulls/comments/{}", comment.id));
        let html = self.html(&format!("/{full_name}/pull/{}#discussion_r{}", comment.pull, comment.id));
        let pull_api = self.api(&format!("/repos/{full_name}/pulls/{}", comment.pull));
        let anchor = &comment.anchor;
        let pull = repo.issues.get(&comment.pull).and_then(|issue| issue.pull.as_ref());
        let place = pull.and_then(|pull| present_place(repo, pull, anchor));
        let (line, position) = (place.map(|place| place.0), place.map(|place| place.1));
        let whole_file = anchor.line.is_none();
        let commit = match (pull, place) {
            (Some(pull), Some(_)) => &pull.head_sha,
            _ => &anchor.commit,
        };
        let original_start = anchor.start.map(|(_, line)| line);
        let start = match (line, anchor.line, original_start) {
            (Some(now), Some(then), Some(start)) => (start + now).checked_sub(then),
            _ => None,
        };
        let mut shown = json!({
            "url": api,
            "pull_request_review_id": comment.review,
            "id": comment.id,
            "node_id": node_id("PRRC", comment.id),
            "diff_hunk": anchor.diff_hunk,
            "path": anchor.path,
            "commit_id": commit,
            "original_commit_id": anchor.commit,
            "user": self.show_user(comment.author),
            "body": comment.body,
            "created_at": stamp(comment.created_at),
            "updated_at": stamp(comment.updated_at),
            "html_url": html,
            "pull_request_url": pull_api,
            "author_association": self.association(comment.author, repo),
            "_links": {
                "self": {"href": api}, "html": {"href": html}, "pull_request": {"href": pull_api},
            },
            "reactions": Reaction::rollup(&format!("{api}/reactions"), &comment.reactions),
            "start_line": start,
            "original_start_line": original_start,
            "start_side": anchor.start.map(|(side, _)| side.as_str()),
            "line": line,
            "original_line": anchor.line,
            "side": anchor.side.as_str(),
            "position": if whole_file { Some(1) } else { position },
            "original_position": anchor.position,
            "subject_type": if whole_file { "file" } else { "line" },
        });
        if let Some(parent) = comment.in_reply_to {
            shown["in_reply_to_id"] = json!(parent);
        }
        shown
    }
}

//! Reviews of pull requests.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::account::Role;
use super::anchor::{Anchor, Place, anchor_of};
use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clock::stamp;
use super::issues::check_length;
use super::manifest::Level;
use super::pulls::pull_of;
use super::reaction::Reaction;
use super::refusals;
use super::repository::Repository;
use super::route::{Access, Need, Route, Verb};
use super::world::{World, node_id};

#[derive(Clone, Debug)]
pub(super) struct Review {
    pub id: u64,
    pub pull: u64,
    pub author: u64,
    pub body: String,
    pub state: ReviewState,
    pub commit: String,
    pub submitted_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReviewState {
    Pending,
    Commented,
    Approved,
    ChangesRequested,
    Dismissed,
}

impl ReviewState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Commented => "COMMENTED",
            Self::Approved => "APPROVED",
            Self::ChangesRequested => "CHANGES_REQUESTED",
            Self::Dismissed => "DISMISSED",
        }
    }

    fn of_event(event: Option<&str>) -> Result<Self, Refusal> {
        Ok(match event {
            None => Self::Pending,
            Some("COMMENT") => Self::Commented,
            Some("APPROVE") => Self::Approved,
            Some("REQUEST_CHANGES") => Self::ChangesRequested,
            Some(_) => return Err(Refusal::invalid("PullRequestReview", "event", "invalid")),
        })
    }
}

#[derive(Clone, Debug)]
pub(super) struct ReviewComment {
    pub id: u64,
    pub review: u64,
    pub pull: u64,
    pub in_reply_to: Option<u64>,
    pub body: String,
    pub author: u64,
    pub anchor: Anchor,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub reactions: Vec<Reaction>,
}

impl Repository {
    pub fn is_pending(&self, review: u64) -> bool {
        self.reviews.get(&review).is_some_and(|one| one.state == ReviewState::Pending)
    }
}

const READ: Access = Access::Repository { any_of: &[Need("pull_requests", Level::Read)], role: Role::Read };
const WRITE: Access = Access::Repository { any_of: &[Need("pull_requests", Level::Write)], role: Role::Read };
const DISMISS: Access =
    Access::Repository { any_of: &[Need("pull_requests", Level::Write)], role: Role::Write };

const ONE: &str = "/repos/{owner}/{repo}/pulls/{pull_number}/reviews/{review_id}";

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/pulls/{pull_number}/reviews",
        READ,
        "pulls/reviews#list-reviews-for-a-pull-request",
        list,
    ),
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/pulls/{pull_number}/reviews",
        WRITE,
        "pulls/reviews#create-a-review-for-a-pull-request",
        create,
    ),
    Route::new(Verb::Get, ONE, READ, "pulls/reviews#get-a-review-for-a-pull-request", get),
    Route::new(Verb::Put, ONE, WRITE, "pulls/reviews#update-a-review-for-a-pull-request", update),
    Route::new(
        Verb::Delete,
        ONE,
        WRITE,
        "pulls/reviews#delete-a-pending-review-for-a-pull-request",
        delete_pending,
    ),
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/pulls/{pull_number}/reviews/{review_id}/events",
        WRITE,
        "pulls/reviews#submit-a-review-for-a-pull-request",
        submit_pending,
    ),
    Route::new(
        Verb::Put,
        "/repos/{owner}/{repo}/pulls/{pull_number}/reviews/{review_id}/dismissals",
        DISMISS,
        "pulls/reviews#dismiss-a-review-for-a-pull-request",
        dismiss,
    ),
];

/// Reviews answer 422 with plain strings in `errors`.
pub(super) fn unprocessable(error: impl Into<String>) -> Refusal {
    Refusal::unprocessable("Unprocessable Entity").with_error(json!(error.into()))
}

/// A pending review is its author's own secret.
fn visible(call: &Call<'_>, review: &Review) -> bool {
    review.state != ReviewState::Pending || call.account().is_ok_and(|account| account == review.author)
}

fn review_of<'a>(call: &'a Call<'_>) -> Result<&'a Review, Refusal> {
    let (repo, issue, _) = pull_of(call)?;
    let review = repo.reviews.get(&call.id("review_id")?);
    review.filter(|one| one.pull == issue.number && visible(call, one)).ok_or_else(Refusal::not_found)
}

fn list(call: &mut Call<'_>) -> Outcome {
    let (repo, issue, _) = pull_of(call)?;
    let found = repo.reviews.values().filter(|one| one.pull == issue.number && visible(call, one));
    Ok(call.page(found.map(|one| call.world.show_review(repo, one)).collect()))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let review = review_of(call)?;
    Ok(Answer::ok(call.world.show_review(call.repo(), review)))
}

fn create(call: &mut Call<'_>) -> Outcome {
    let (repo, issue, pull) = pull_of(call)?;
    let (number, pull_author) = (issue.number, issue.author);
    let author = call.account()?;
    let state = ReviewState::of_event(call.text("event")?)?;
    let body = call.text("body")?.unwrap_or("").to_owned();
    check_length(&body, "PullRequestReview")?;
    let given = call.list("comments")?.cloned().unwrap_or_default();
    check_verdict(state, &body, given.len(), author == pull_author)?;
    let pending = repo
        .reviews
        .values()
        .any(|one| one.pull == number && one.author == author && one.state == ReviewState::Pending);
    if pending {
        return Err(refusals::SECOND_PENDING.refuse_in_errors());
    }
    let commit = match call.text("commit_id")? {
        None => pull.head_sha.clone(),
        Some(sha) => {
            let known = repo.bare.resolve_commit(sha)?;
            known.ok_or_else(|| unprocessable("The commit_id is not part of the pull request"))?
        }
    };
    // All or nothing: one comment that cannot be placed refuses the whole review.
    let mut comments = Vec::new();
    for comment in &given {
        let place = Place::from_json(comment)?;
        let body = comment["body"].as_str().filter(|body| !body.trim().is_empty());
        let body = body.ok_or_else(|| unprocessable("Review comment body can't be blank"))?;
        check_length(body, "PullRequestReviewComment")?;
        comments.push((anchor_of(repo, pull, &commit, &place).map_err(unprocessable)?, body.to_owned()));
    }
    let (now, repo_id) = (call.now(), call.repo_id);
    let id = call.world.new_id();
    let submitted_at = (state != ReviewState::Pending).then_some(now);
    let review = Review { id, pull: number, author, body, state, commit, submitted_at };
    call.repo_mut().reviews.insert(id, review);
    for (anchor, body) in comments {
        call.world.add_review_comment(repo_id, id, anchor, body, None);
    }
    call.world.announce_review(repo_id, id);
    Ok(Answer::ok(call.world.show_review(call.repo(), &call.repo().reviews[&id])))
}

/// What GitHub refuses by the review's own verdict.
fn check_verdict(state: ReviewState, body: &str, comments: usize, own: bool) -> Result<(), Refusal> {
    match state {
        ReviewState::Approved if own => Err(refusals::OWN_APPROVAL.refuse_in_errors()),
        ReviewState::ChangesRequested if own => Err(refusals::OWN_CHANGES.refuse_in_errors()),
        // "body: Required when using REQUEST_CHANGES or COMMENT for the event parameter."
        ReviewState::Commented if body.trim().is_empty() && comments == 0 => {
            Err(unprocessable("Review body can't be blank"))
        }
        ReviewState::ChangesRequested if body.trim().is_empty() => {
            Err(unprocessable("Review body can't be blank"))
        }
        _ => Ok(()),
    }
}

fn own_review(call: &Call<'_>) -> Result<u64, Refusal> {
    let review = review_of(call)?;
    let own = review.author == call.account()?;
    own.then_some(review.id).ok_or_else(|| Refusal::forbidden("Must have admin rights to Repository."))
}

fn update(call: &mut Call<'_>) -> Outcome {
    let id = own_review(call)?;
    let body = call.required_text("body")?.to_owned();
    check_length(&body, "PullRequestReview")?;
    let (repo_id, actor) = (call.repo_id, call.account()?);
    if let Some(review) = call.repo_mut().reviews.get_mut(&id) {
        let before = std::mem::replace(&mut review.body, body);
        let changes = json!({"body": {"from": before}});
        let extra = Map::from_iter([("changes".to_owned(), changes)]);
        call.world.emit_review(repo_id, id, "edited", actor, extra);
    }
    Ok(Answer::ok(call.world.show_review(call.repo(), &call.repo().reviews[&id])))
}

fn delete_pending(call: &mut Call<'_>) -> Outcome {
    let id = own_review(call)?;
    if !call.repo().is_pending(id) {
        return Err(unprocessable("Can not delete a non-pending pull request review"));
    }
    let shown = call.world.show_review(call.repo(), &call.repo().reviews[&id]);
    let repo = call.repo_mut();
    repo.review_comments.retain(|_, comment| comment.review != id);
    repo.reviews.remove(&id);
    Ok(Answer::ok(shown))
}

fn submit_pending(call: &mut Call<'_>) -> Outcome {
    let id = own_review(call)?;
    let (_, issue, _) = pull_of(call)?;
    let own = call.account()? == issue.author;
    let state = ReviewState::of_event(Some(call.required_text("event")?))?;
    let review = &call.repo().reviews[&id];
    if review.state != ReviewState::Pending {
        return Err(unprocessable("Can not submit a review that is not pending"));
    }
    let body = call.text("body")?.unwrap_or(&review.body).to_owned();
    let comments = call.repo().review_comments.values().filter(|one| one.review == id).count();
    check_verdict(state, &body, comments, own)?;
    let (now, repo_id) = (call.now(), call.repo_id);
    if let Some(review) = call.repo_mut().reviews.get_mut(&id) {
        (review.body, review.state, review.submitted_at) = (body, state, Some(now));
    }
    call.world.announce_review(repo_id, id);
    Ok(Answer::ok(call.world.show_review(call.repo(), &call.repo().reviews[&id])))
}

fn dismiss(call: &mut Call<'_>) -> Outcome {
    let review = review_of(call)?;
    let (id, state) = (review.id, review.state);
    call.required_text("message")?;
    if !matches!(state, ReviewState::Approved | ReviewState::ChangesRequested) {
        let word = state.as_str().to_lowercase();
        return Err(unprocessable(format!("Can not dismiss a {word} pull request review")));
    }
    let (repo_id, actor) = (call.repo_id, call.account()?);
    call.repo_mut().reviews.entry(id).and_modify(|review| review.state = ReviewState::Dismissed);
    call.world.emit_review(repo_id, id, "dismissed", actor, Map::new());
    Ok(Answer::ok(call.world.show_review(call.repo(), &call.repo().reviews[&id])))
}

impl World {
    /// The events of a submitted review: the review's, then each comment's. A pending one sends none.
    pub fn announce_review(&mut self, repo_id: u64, id: u64) {
        let Some(review) = self.repo(repo_id).reviews.get(&id) else { return };
        if review.state == ReviewState::Pending {
            return;
        }
        let (author, pull) = (review.author, review.pull);
        self.touch_issue(repo_id, pull);
        self.emit_review(repo_id, id, "submitted", author, Map::new());
        let comments = self.repo(repo_id).review_comments.values().filter(|one| one.review == id);
        for comment in comments.map(|one| one.id).collect::<Vec<_>>() {
            self.emit_review_comment(repo_id, comment, "created", author, Map::new());
        }
    }

    pub fn emit_review(
        &mut self,
        repo_id: u64,
        id: u64,
        action: &'static str,
        sender: u64,
        mut extra: Map<String, Value>,
    ) {
        let repo = self.repo(repo_id);
        let Some(review) = repo.reviews.get(&id) else { return };
        let Some(issue) = repo.issues.get(&review.pull) else { return };
        let Some(pull) = &issue.pull else { return };
        let mut shown = self.show_review(repo, review);
        // Webhooks write the state in lower case, unlike the REST API, and always tell the time.
        shown["state"] = json!(review.state.as_str().to_lowercase());
        shown["updated_at"] = shown["submitted_at"].clone();
        extra.insert("review".into(), shown);
        extra.insert("pull_request".into(), self.show_pull_simple(repo, issue, pull));
        self.emit("pull_request_review", Some(action), Some(repo_id), sender, extra);
    }

    pub fn show_review(&self, repo: &Repository, review: &Review) -> Value {
        let full_name = self.full_name(repo);
        let html = self.html(&format!("/{full_name}/pull/{}#pullrequestreview-{}", review.pull, review.id));
        let pull = self.api(&format!("/repos/{full_name}/pulls/{}", review.pull));
        let mut shown = json!({
            "id": review.id,
            "node_id": node_id("PRR", review.id),
            "user": self.show_user(review.author),
            "body": review.body,
            "state": review.state.as_str(),
            "html_url": html,
            "pull_request_url": pull,
            "author_association": self.association(review.author, repo),
            "_links": {"html": {"href": html}, "pull_request": {"href": pull}},
            "commit_id": review.commit,
        });
        if let Some(at) = review.submitted_at {
            shown["submitted_at"] = json!(stamp(at));
        }
        shown
    }
}

//! The read-only door to an issue's text: what a task is made from, and whether it still is the same.

use crate::domain::{GitHubPlace, ObservedText, SourceComment, SourceText, Task, body_digest, parse_command};
use crate::github::{Comment, GitHubError, Issue, RepositoryClient};

/// Most comments that are taken in, oldest first: the text has to fit before a model and a person.
const MOST_COMMENTS: usize = 200;

/// The issue as it stands, with every comment that belongs to the discussion.
pub async fn read_source(client: &RepositoryClient, place: &GitHubPlace) -> Result<SourceText, GitHubError> {
    let issue = client.issue(place.issue).await?;
    let comments = client.comments(place.issue).await?;
    Ok(source_of(client, &issue, &comments))
}

/// How the text that a task was made from stands now. `None`: the task was made from no issue.
pub async fn observe(client: &RepositoryClient, task: &Task) -> Result<Option<ObservedText>, GitHubError> {
    let (Some(place), Some(read)) = (task.origin.github(), &task.source) else { return Ok(None) };
    let issue = client.issue(place.issue).await?;
    let comments = client.comments(place.issue).await?;
    let now = source_of(client, &issue, &comments).restricted_to(&read.comment_ids());
    let posted = task.plan.as_ref().and_then(|plan| plan.comment.as_ref());
    let plan_comment = posted.and_then(|posted| {
        let comment = comments.iter().find(|comment| comment.comment_id() == posted.id)?;
        Some(body_digest(&comment.body))
    });
    Ok(Some(ObservedText { source: now.digest(), plan_comment }))
}

/// People's words only: our own comments, those of other Apps and commands to us are no part of it.
fn source_of(client: &RepositoryClient, issue: &Issue, comments: &[Comment]) -> SourceText {
    let taken = comments.iter().filter_map(|comment| {
        let author = comment.user.as_ref().filter(|user| user.is_person())?;
        if client.is_ours(comment) || parse_command(&comment.body).is_some() {
            return None;
        }
        Some(SourceComment { id: comment.comment_id(), author: author.account(), body: comment.body.clone() })
    });
    SourceText {
        title: issue.title.clone(),
        body: issue.body.clone(),
        comments: taken.take(MOST_COMMENTS).collect(),
    }
}

//! Merging a pull request.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, json};

use super::account::Role;
use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::git::{MergeTree, Person};
use super::issue::Closed;
use super::manifest::Level;
use super::pull::Merged;
use super::pulls::pull_of;
use super::refusals;
use super::repository::Repository;
use super::route::{Access, Need, Route, Verb};
use super::world::World;

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/pulls/{pull_number}/merge",
        Access::Repository { any_of: &[Need("contents", Level::Read)], role: Role::Read },
        "pulls/pulls#check-if-a-pull-request-has-been-merged",
        is_merged,
    ),
    Route::new(
        Verb::Put,
        "/repos/{owner}/{repo}/pulls/{pull_number}/merge",
        Access::Repository { any_of: &[Need("contents", Level::Write)], role: Role::Write },
        "pulls/pulls#merge-a-pull-request",
        merge,
    ),
    Route::new(
        Verb::Put,
        "/repos/{owner}/{repo}/pulls/{pull_number}/update-branch",
        // By GitHub's description, installation tokens may not.
        Access::Person,
        "pulls/pulls#update-a-pull-request-branch",
        update_branch,
    ),
];

fn is_merged(call: &mut Call<'_>) -> Outcome {
    let (_, _, pull) = pull_of(call)?;
    pull.merged.as_ref().map(|_| Answer::no_content()).ok_or_else(Refusal::not_found)
}

fn not_allowed(message: &str) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

fn merge(call: &mut Call<'_>) -> Outcome {
    let (repo, issue, pull) = pull_of(call)?;
    if !issue.is_open() {
        return Err(refusals::NOT_MERGEABLE.refuse());
    }
    if pull.draft {
        return Err(not_allowed("Pull Request is still a draft"));
    }
    if call.text("sha")?.is_some_and(|sha| sha != pull.head_sha) {
        return Err(refusals::HEAD_MOVED.refuse());
    }
    let base = repo.branch(&pull.base_ref).ok_or_else(|| not_allowed("Base branch does not exist"))?;
    let MergeTree::Clean(tree) = repo.bare.merge(base, &pull.head_sha)? else {
        return Err(refusals::NOT_MERGEABLE.refuse());
    };
    let actor = call.account()?;
    let author = call.world.person(actor);
    let number = issue.number;
    let owner = call.world.login(repo.owner);
    let merged = match call.text("merge_method")?.unwrap_or("merge") {
        "merge" => {
            let title = format!("Merge pull request #{number} from {owner}/{}", pull.head_ref);
            let message = message_of(call, &title, &issue.title)?;
            repo.bare.commit_tree(tree, &[base, &pull.head_sha], &author, &message)?
        }
        "squash" => {
            let message = message_of(call, &format!("{} (#{number})", issue.title), "")?;
            repo.bare.commit_tree(tree, &[base], &author, &message)?
        }
        "rebase" => rebase(repo, base, &pull.merge_base, &pull.head_sha, &author)?,
        _ => return Err(Refusal::invalid("PullRequest", "merge_method", "invalid")),
    };
    let (repo_id, branch) = (call.repo_id, format!("refs/heads/{}", pull.base_ref));
    call.world.mark_merged(repo_id, number, actor, &merged);
    call.world.move_ref(repo_id, &branch, Some(&merged), actor)?;
    Ok(Answer::ok(json!({"sha": merged, "merged": true, "message": "Pull Request successfully merged"})))
}

/// "Update branch": the base is merged into the head.
fn update_branch(call: &mut Call<'_>) -> Outcome {
    let actor = call.account()?;
    let (repo, issue, pull) = pull_of(call)?;
    if call.world.role(actor, repo) < Role::Write {
        return Err(Refusal::forbidden("You do not have permission to push to the head branch."));
    }
    if call.text("expected_head_sha")?.is_some_and(|sha| sha != pull.head_sha) {
        return Err(Refusal::unprocessable("expected head sha didn’t match current head ref."));
    }
    let base = repo.branch(&pull.base_ref).ok_or_else(|| not_allowed("Base branch does not exist"))?;
    if !issue.is_open() || repo.bare.contains(&pull.head_sha, base)? {
        return Err(Refusal::unprocessable("There are no new commits on the base branch."));
    }
    let MergeTree::Clean(tree) = repo.bare.merge(&pull.head_sha, base)? else {
        return Err(Refusal::unprocessable("merge conflict between base and head"));
    };
    let message = format!("Merge branch '{}' into {}", pull.base_ref, pull.head_ref);
    let author = call.world.person(actor);
    let merged = repo.bare.commit_tree(tree, &[&pull.head_sha, base], &author, &message)?;
    let (repo_id, branch) = (call.repo_id, format!("refs/heads/{}", pull.head_ref));
    let url = call.world.html(&format!("/{}/pull/{}", call.world.full_name(repo), issue.number));
    call.world.move_ref(repo_id, &branch, Some(&merged), actor)?;
    let answer = Answer::ok(json!({"message": "Updating pull request branch.", "url": url}));
    Ok(Answer { status: StatusCode::ACCEPTED, ..answer })
}

fn message_of(call: &Call<'_>, title: &str, text: &str) -> Result<String, Refusal> {
    let title = call.text("commit_title")?.unwrap_or(title);
    let text = call.text("commit_message")?.unwrap_or(text);
    Ok(if text.is_empty() { title.to_owned() } else { format!("{title}\n\n{text}") })
}

/// Replays the pull request's commits on the base, one by one.
fn rebase(
    repo: &Repository,
    base: &str,
    merge_base: &str,
    head: &str,
    committer: &Person,
) -> Result<String, Refusal> {
    let git = repo.bare.open()?;
    let mut onto = base.to_owned();
    for id in repo.bare.commits_between(Some(merge_base), head)? {
        let commit = git.find_commit(id)?;
        let target = git.find_commit(git2::Oid::from_str(&onto)?)?;
        let mut index = git.cherrypick_commit(&commit, &target, 0, None)?;
        if index.has_conflicts() {
            return Err(not_allowed("This branch can't be rebased"));
        }
        let author = Person {
            name: String::from_utf8_lossy(commit.author().name_bytes()).into_owned(),
            email: String::from_utf8_lossy(commit.author().email_bytes()).into_owned(),
            when: committer.when,
        };
        let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
        onto = repo.bare.commit_tree(index.write_tree_to(&git)?, &[&onto], &author, &message)?;
    }
    Ok(onto)
}

impl World {
    /// Records a merge and sends `pull_request` `closed`; the push to the base is the caller's.
    pub fn mark_merged(&mut self, repo_id: u64, number: u64, by: u64, sha: &str) {
        let at = self.now();
        let Some(issue) = self.repo_mut(repo_id).issues.get_mut(&number) else { return };
        let Some(pull) = issue.pull.as_mut() else { return };
        pull.merged = Some(Merged { at, by, sha: sha.to_owned() });
        issue.closed = Some(Closed { at, by, reason: "completed" });
        issue.updated_at = at;
        self.emit_pull(repo_id, number, "closed", by, Map::new());
        self.close_referenced_issues(repo_id, number, by);
    }

    /// `Fixes #12` in a merged pull request's text closes the issue, when the base is the default branch.
    /// Source: docs.github.com/en/issues/tracking-your-work-with-issues/using-issues/
    /// linking-a-pull-request-to-an-issue.
    fn close_referenced_issues(&mut self, repo_id: u64, number: u64, by: u64) {
        let repo = self.repo(repo_id);
        let Some(issue) = repo.issues.get(&number) else { return };
        let to_default = issue.pull.as_ref().is_some_and(|pull| pull.base_ref == repo.default_branch);
        if !to_default {
            return;
        }
        for referenced in closing_references(issue.body.as_deref().unwrap_or("")) {
            let is_issue = self.repo(repo_id).issues.get(&referenced).is_some_and(|one| one.pull.is_none());
            if is_issue {
                self.close_issue(repo_id, referenced, by, None);
            }
        }
    }

    /// The author of commits that an account makes through the API.
    pub fn person(&self, account: u64) -> Person {
        let known = self.accounts.get(&account);
        let name = known.map_or("GitHub", |one| one.name.as_deref().unwrap_or(&one.login));
        let email = known.map_or_else(
            || "noreply@github.com".to_owned(),
            |one| one.email.clone().unwrap_or_else(|| self.no_reply(one)),
        );
        Person { name: name.to_owned(), email, when: self.now() }
    }
}

fn closing_references(text: &str) -> Vec<u64> {
    const KEYWORDS: [&str; 9] =
        ["close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut found = BTreeMap::new();
    for pair in words.windows(2) {
        let keyword = pair[0].trim_end_matches(':').to_ascii_lowercase();
        let reference = pair[1].trim_end_matches(|end: char| !end.is_ascii_digit());
        let number = reference.strip_prefix('#').and_then(|digits| digits.parse::<u64>().ok());
        if let (true, Some(number)) = (KEYWORDS.contains(&keyword.as_str()), number) {
            found.insert(number, ());
        }
    }
    found.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::closing_references;

    #[test]
    fn closing_keywords_name_issues() {
        assert_eq!(closing_references("Fixes #12, and closes: #3.\nsee #4; refixes #5"), [3, 12]);
        assert!(closing_references("fixed it in #x").is_empty());
    }
}

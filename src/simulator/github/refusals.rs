//! GitHub's own refusals, in its words: a table with sources, from which the handlers take their answers.
//!
//! A row says when GitHub refuses, with which status, and the fixed part of what it says. Each row has a
//! case in `tests/simulator/refusals.rs`; a row without one fails there.

use axum::http::StatusCode;
use serde_json::json;

use super::answer::Refusal;

/// One thing that GitHub refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownRefusal {
    pub name: &'static str,
    pub when: &'static str,
    pub status: u16,
    /// The part of the answer that is always the same.
    pub says: &'static str,
    pub source: &'static str,
}

macro_rules! refusals {
    ($($constant:ident: $status:literal, $when:literal, $says:literal, $source:literal;)*) => {
        $(pub(super) const $constant: KnownRefusal = KnownRefusal {
            name: stringify!($constant), when: $when, status: $status, says: $says, source: $source,
        };)*
        /// Every refusal of the table.
        pub const REFUSALS: &[KnownRefusal] = &[$($constant),*];
    };
}

refusals! {
    BAD_CREDENTIALS: 401, "a token is unknown or has expired", "Bad credentials",
        "docs.github.com/rest/authentication/authenticating-to-the-rest-api#failed-login-limit";
    JWT_UNDECODABLE: 401, "the App's JWT is signed by another key or algorithm",
        "A JSON web token could not be decoded",
        "docs.github.com/rest/apps/apps#get-the-authenticated-app; github.com/octokit/auth-app.js/issues/146";
    JWT_TOO_LONG: 401, "the App's JWT ends more than ten minutes ahead",
        "'Expiration time' claim ('exp') is too far in the future",
        "docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app; github.com/octokit/auth-app.js/issues/698";
    JWT_EXPIRED: 401, "the App's JWT has ended",
        "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
        "github.com/octokit/auth-app.js/issues/146";
    JWT_FROM_THE_FUTURE: 401, "the App's JWT was issued in the future",
        "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
        "github.com/octokit/auth-app.js/issues/146";
    NOT_GRANTED: 403, "the App's manifest grants no permission for the call",
        "Resource not accessible by integration",
        "docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible";
    NOT_FOUND: 404, "a private repository that the caller may not see", "Not Found",
        "docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#404-not-found-for-an-existing-resource";
    TOKEN_BEYOND_GRANT: 422, "an installation token is asked for more than was granted",
        "The permissions requested are not granted to this installation.",
        "docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app; github.com/peter-murray/workflow-application-token-action/issues/48";
    SECONDARY_LIMIT: 403, "more than 80 writes of content in a minute",
        "You have exceeded a secondary rate limit",
        "docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits";
    PRIMARY_LIMIT: 403, "more requests in an hour than the limit", "API rate limit exceeded",
        "docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit";
    NO_USER_AGENT: 403, "a request without a User-Agent",
        "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        "docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent";
    BROKEN_JSON: 400, "a body that is not JSON", "Problems parsing JSON",
        "docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#invalid-requests";
    BODY_TOO_LONG: 422, "an issue's body, or an edited comment's, of more than 65,536 characters",
        "body is too long (maximum is 65536 characters)",
        "github.com/suzuki-shunsuke/github-comment/issues/124; GitHub's answer, not documented";
    COMMENT_TOO_LONG: 422, "a new comment of more than 65,536 characters",
        "Body is too long (maximum is 65536 characters)",
        "github.com/telia-oss/github-pr-resource/issues/259; GitHub's answer, not documented";
    TITLE_TOO_LONG: 422, "a title of more than 256 characters",
        "title is too long (maximum is 256 characters)",
        "github.com/NullVoxPopuli/aeonvera/issues/354; GitHub's answer, not documented";
    BLANK_COMMENT: 422, "a comment without text", "Body cannot be blank",
        "GitHub's answer, not documented";
    SECOND_PULL: 422, "a second pull request for the same head and base", "A pull request already exists for ",
        "docs.github.com/rest/pulls/pulls#create-a-pull-request; github.com/google/go-github/issues/1441";
    NO_COMMITS: 422, "a head that the base contains already", "No commits between ",
        "docs.github.com/rest/pulls/pulls#create-a-pull-request; github.com/peter-evans/create-pull-request/issues/2105";
    UNKNOWN_HEAD: 422, "a head branch that does not exist", "invalid",
        "docs.github.com/rest/pulls/pulls#create-a-pull-request; github.com/shepherd-tools/shepherd/issues/51";
    OWN_APPROVAL: 422, "approving one's own pull request", "Can not approve your own pull request",
        "docs.github.com/rest/pulls/reviews#create-a-review-for-a-pull-request; github.com/hubtty/hubtty/issues/33";
    OWN_CHANGES: 422, "requesting changes on one's own pull request",
        "Can not request changes on your own pull request",
        "docs.github.com/rest/pulls/reviews#create-a-review-for-a-pull-request";
    REVIEW_OUTSIDE_DIFF: 422, "a review with a comment on a line outside the diff",
        "Pull request review thread line must be part of the diff and Pull request review thread diff hunk can't be blank",
        "github.com/The-PR-Agent/pr-agent/issues/592; github.com/danobi/prr/issues/11";
    COMMENT_OUTSIDE_DIFF: 422, "a single review comment on a line outside the diff",
        "pull_request_review_thread.line must be part of the diff",
        "docs.github.com/rest/pulls/comments#create-a-review-comment-for-a-pull-request; github.com/QwenLM/qwen-code/pull/6711";
    START_AFTER_END: 422, "a review comment whose first line is not before its last",
        "Pull request review thread start line must precede the end line.",
        "github.com/ubuntu/WSL/pull/244";
    OTHER_HUNK: 422, "a review comment that spans hunks",
        "Pull request review thread start line must be part of the same hunk as the line.",
        "github.com/parkerbxyz/suggest-changes/issues/28";
    SECOND_PENDING: 422, "a second pending review by the same account",
        "User can only have one pending review per pull request",
        "github.com/github/app/issues/3371";
    NOT_MERGEABLE: 405, "merging a pull request that conflicts or is closed", "Pull Request is not mergeable",
        "docs.github.com/rest/pulls/pulls#merge-a-pull-request";
    HEAD_MOVED: 409, "merging with the SHA of an earlier head",
        "Head branch was modified. Review and try the merge again.",
        "docs.github.com/rest/pulls/pulls#merge-a-pull-request";
    TOO_MANY_ANNOTATIONS: 422, "more than 50 annotations in one request",
        "No more than 50 items are allowed",
        "docs.github.com/rest/checks/runs#create-a-check-run";
    ONLY_APPS: 403, "a person writes a check run", "You must authenticate via a GitHub App.",
        "docs.github.com/rest/guides/using-the-rest-api-to-interact-with-checks";
    UNKNOWN_COMMIT: 422, "a check run for a commit that does not exist", "No commit found for SHA: ",
        "docs.github.com/rest/checks/runs#create-a-check-run; GitHub's answer";
    REF_EXISTS: 422, "creating a ref that exists", "Reference already exists",
        "docs.github.com/rest/git/refs#create-a-reference; GitHub's answer";
    NOT_FAST_FORWARD: 422, "moving a ref aside without force", "Update is not a fast forward",
        "docs.github.com/rest/git/refs#update-a-reference; github.com/philschatz/octokit.js/issues/21";
    LABEL_EXISTS: 422, "creating a label that exists", "already_exists",
        "docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#validation-failed";
}

impl KnownRefusal {
    fn code(self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The refusal with its sentence as `message`.
    pub(super) fn refuse(self) -> Refusal {
        Refusal::new(self.code(), self.says)
    }

    /// The sentence in `errors`, as a plain string: the form that reviews use.
    pub(super) fn refuse_in_errors(self) -> Refusal {
        Refusal::new(self.code(), "Unprocessable Entity").with_error(json!(self.says))
    }
}

#[cfg(test)]
mod tests {
    use super::REFUSALS;

    #[test]
    fn every_row_has_a_source_and_a_status_of_refusal() {
        for row in REFUSALS {
            assert!((400..500).contains(&row.status) && !row.source.is_empty(), "{}", row.name);
        }
    }
}

//! All routes, in the order in which they are tried.

use super::route::{Params, Route, Verb, match_path};
use super::{
    app, check, comment, commit, contents, delivery_log, issues, label, merge, pulls, reaction, refs, review,
    review_comment, status, user,
};

const TABLES: &[&[Route]] = &[
    app::ROUTES,
    delivery_log::ROUTES,
    // `/issues/comments` and `/pulls/comments` come before the numbers.
    comment::ROUTES,
    review_comment::ROUTES,
    reaction::ROUTES,
    label::ROUTES,
    issues::ROUTES,
    merge::ROUTES,
    review::ROUTES,
    pulls::ROUTES,
    check::ROUTES,
    status::ROUTES,
    refs::ROUTES,
    contents::ROUTES,
    commit::ROUTES,
    user::ROUTES,
];

/// Every route of the simulator.
pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    TABLES.iter().flat_map(|table| table.iter())
}

pub(super) fn find(verb: Verb, path: &str) -> Option<(&'static Route, Params)> {
    all()
        .filter(|route| route.verb == verb)
        .find_map(|route| Some((route, match_path(route.template, path)?)))
}

#[cfg(test)]
mod tests {
    use super::{Verb, all, find};

    #[test]
    fn no_two_routes_share_verb_and_template() {
        let mut seen = std::collections::HashSet::new();
        for route in all() {
            assert!(seen.insert((route.verb.as_str(), route.template)), "{}", route.template);
        }
    }

    #[test]
    fn the_nearest_route_is_found() {
        let template = |verb, path: &str| find(verb, path).map(|(route, _)| route.template);
        let repo = "/repos/o/r";
        for (path, wanted) in [
            ("/issues/comments", "/repos/{owner}/{repo}/issues/comments"),
            ("/issues/comments/5/reactions", "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions"),
            ("/pulls/3", "/repos/{owner}/{repo}/pulls/{pull_number}"),
            ("/commits/heads/a/b/check-runs", "/repos/{owner}/{repo}/commits/{ref}/check-runs"),
            ("/commits/main", "/repos/{owner}/{repo}/commits/{ref}"),
            ("/commits/abc/pulls", "/repos/{owner}/{repo}/commits/{commit_sha}/pulls"),
            ("/contents/src/lib.rs", "/repos/{owner}/{repo}/contents/{path}"),
            ("/git/ref/heads/auto/x", "/repos/{owner}/{repo}/git/ref/{ref}"),
        ] {
            assert_eq!(template(Verb::Get, &format!("{repo}{path}")), Some(wanted), "{path}");
        }
        assert_eq!(template(Verb::Get, "/repos/o/r/unheard-of"), None);
    }
}

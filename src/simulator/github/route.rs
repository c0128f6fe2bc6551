//! The route table's form: what each route is, who may call it, and how a path finds it.
//!
//! The routes themselves stand beside their handlers; [`super::routes`] joins them.

use std::collections::HashMap;

use super::account::Role;
use super::answer::Outcome;
use super::call::Call;
use super::manifest::Level;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    pub fn parse(method: &str) -> Option<Self> {
        Some(match method {
            "GET" | "HEAD" => Self::Get,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// One permission of an App at one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need(pub &'static str, pub Level);

/// Who may call a route. What an installation token needs is taken from
/// docs.github.com/en/rest/authentication/permissions-required-for-github-apps.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    /// The App itself, with its JWT.
    App,
    /// An installation token with any one of these permissions (none listed: any token), or a person with
    /// the role.
    Repository { any_of: &'static [Need], role: Role },
    /// Installation tokens only.
    Installation,
    /// People only.
    Person,
    /// Whoever is signed in, or nobody.
    Anyone,
}

pub(super) type Handler = fn(&mut Call<'_>) -> Outcome;

#[derive(Clone, Copy)]
pub(super) struct Route {
    pub verb: Verb,
    pub template: &'static str,
    /// The template in GitHub's OpenAPI description, where it is another one.
    pub described_as: Option<&'static str>,
    pub access: Access,
    /// Page and anchor below docs.github.com/rest.
    pub documentation: &'static str,
    pub handler: Handler,
}

impl Route {
    pub const fn new(
        verb: Verb,
        template: &'static str,
        access: Access,
        documentation: &'static str,
        handler: Handler,
    ) -> Self {
        Self { verb, template, described_as: None, access, documentation, handler }
    }

    pub const fn described_as(mut self, template: &'static str) -> Self {
        self.described_as = Some(template);
        self
    }

    pub fn contract_template(&self) -> &'static str {
        self.described_as.unwrap_or(self.template)
    }
}

pub(super) type Params = HashMap<&'static str, String>;

/// Parameters that may hold slashes.
const GREEDY: &[&str] = &["ref", "basehead", "path", "branch"];

/// Compares a path (still percent-encoded) with a template and takes the parameters out of it.
pub(super) fn match_path(template: &'static str, path: &str) -> Option<Params> {
    let wanted: Vec<&'static str> = template.split('/').collect();
    let given: Vec<&str> = path.split('/').collect();
    let greedy = wanted.iter().position(|part| name_of(part).is_some_and(|name| GREEDY.contains(&name)));
    let mut params = Params::new();
    let Some(greedy) = greedy else {
        return (wanted.len() == given.len() && take(&wanted, &given, &mut params)).then_some(params);
    };
    let after = wanted.len() - greedy - 1;
    if given.len() < wanted.len() {
        return None;
    }
    let end = given.len() - after;
    let matched = take(&wanted[..greedy], &given[..greedy], &mut params)
        && take(&wanted[greedy + 1..], &given[end..], &mut params)
        && !given[greedy].is_empty();
    if !matched {
        return None;
    }
    let middle: Vec<String> = given[greedy..end].iter().map(|part| percent_decode(part)).collect();
    params.insert(name_of(wanted[greedy])?, middle.join("/"));
    Some(params)
}

fn take(wanted: &[&'static str], given: &[&str], params: &mut Params) -> bool {
    wanted.iter().zip(given).all(|(wanted, given)| match name_of(wanted) {
        Some(name) if !given.is_empty() => {
            params.insert(name, percent_decode(given));
            true
        }
        Some(_) => false,
        None => wanted == given,
    })
}

fn name_of(part: &'static str) -> Option<&'static str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

pub(super) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Pairs of a query string, `+` read as a space.
pub(super) fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(&name.replace('+', " ")), percent_decode(&value.replace('+', " ")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{match_path, parse_query};

    #[test]
    fn parameters_are_taken_and_decoded() {
        let params =
            match_path("/repos/{owner}/{repo}/labels/{name}", "/repos/o/r/labels/good%20first%2Fissue");
        assert_eq!(params.expect("a match")["name"], "good first/issue");
        assert!(match_path("/repos/{owner}/{repo}", "/repos/o/").is_none());
        assert!(match_path("/repos/{owner}/{repo}", "/repos/o/r/x").is_none());
    }

    #[test]
    fn a_ref_may_hold_slashes_before_a_fixed_end() {
        let template = "/repos/{owner}/{repo}/commits/{ref}/check-runs";
        let params = match_path(template, "/repos/o/r/commits/heads/auto/x/check-runs").expect("a match");
        assert_eq!(params["ref"], "heads/auto/x");
        assert!(match_path(template, "/repos/o/r/commits/check-runs").is_none());
        assert!(match_path("/repos/{owner}/{repo}/git/ref/{ref}", "/repos/o/r/git/ref/").is_none());
    }

    #[test]
    fn a_query_is_decoded() {
        assert_eq!(
            parse_query("head=o%3Ab&content=%2B1&q=a+b"),
            [("head", "o:b"), ("content", "+1"), ("q", "a b")].map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
    }
}

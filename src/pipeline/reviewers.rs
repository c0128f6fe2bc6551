//! Who reviews a change: the deployment's reviewers, and those that the repository describes in files of its own.
//!
//! The files are read from the base: a change cannot alter who judges it, nor by what.

use crate::agents::{LooksFor, Reviewer, WORDS_MAX_CHARS};
use crate::checkout::Checkout;
use crate::config::{REVIEWERS_FOLDER, RepositoryPolicy, reviewer_of_file};
use crate::domain::{CommitSha, FailedReviewer, UsedTemplate};
use crate::workspace::{RepoPath, Snapshot, WorkspaceError};

use super::StageError;

/// Reviewers of one change; each is a call of a model with the whole change.
const MOST_REVIEWERS: usize = 12;

/// The reviewers of a change.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reviewers {
    pub asked: Vec<Reviewer>,
    /// Those that cannot be asked.
    pub unusable: Vec<FailedReviewer>,
}

impl Reviewers {
    pub fn count(&self) -> u32 {
        (self.asked.len() + self.unusable.len()) as u32
    }
}

/// By the template of the task or the repository's list; without either, the deployment's and all that the repository has files of.
pub(super) fn reviewers(
    checkout: &Checkout,
    base: &CommitSha,
    (policy, files): (&RepositoryPolicy, &Snapshot),
    (template, deployment): (Option<&UsedTemplate>, &[String]),
) -> Result<Reviewers, StageError> {
    let described = described(files);
    let names = names(listed(template, policy), deployment, &described);
    let mut reviewers = Reviewers::default();
    for (index, name) in names.iter().enumerate() {
        let unusable = |why: String| FailedReviewer { reviewer: name.clone(), why };
        if index >= MOST_REVIEWERS {
            reviewers.unusable.push(unusable(format!("more than {MOST_REVIEWERS} reviewers are not asked")));
            continue;
        }
        if !described.contains(&name.as_str()) {
            reviewers.asked.push(Reviewer::of_prompt(name));
            continue;
        }
        match words(checkout, base, name)? {
            Ok(words) => {
                reviewers.asked.push(Reviewer { name: name.clone(), looks_for: LooksFor::Words(words) })
            }
            Err(why) => reviewers.unusable.push(unusable(why)),
        }
    }
    Ok(reviewers)
}

/// The reviewers that the repository has files of.
pub(super) fn described(files: &Snapshot) -> Vec<&str> {
    files.files.keys().filter_map(|path| reviewer_of_file(path.as_str())).collect()
}

/// What was approved with the plan goes before what holds for every task.
fn listed<'a>(template: Option<&'a UsedTemplate>, policy: &'a RepositoryPolicy) -> Option<&'a [String]> {
    let of_template = template.map(|template| template.reviewers.as_slice());
    of_template.filter(|names| !names.is_empty()).or(policy.reviewers.as_deref())
}

fn names(listed: Option<&[String]>, deployment: &[String], described: &[&str]) -> Vec<String> {
    match listed {
        Some(listed) => listed.to_vec(),
        None => {
            let more = described.iter().filter(|name| !deployment.iter().any(|known| known == *name));
            deployment.iter().cloned().chain(more.map(|name| (*name).to_owned())).collect()
        }
    }
}

/// What the maintainers say, or why that cannot be used.
fn words(checkout: &Checkout, base: &CommitSha, name: &str) -> Result<Result<String, String>, StageError> {
    let path = format!("{REVIEWERS_FOLDER}{name}.md");
    let parsed = RepoPath::parse(path.as_str()).map_err(|error| {
        StageError::stop(crate::domain::Reason::Internal { detail: format!("{path}: {error}") })
    })?;
    let read = match checkout.mirror.read_file(base, &parsed) {
        Err(WorkspaceError::FileTooLarge { .. }) => Err(too_long(&path)),
        Err(error) => return Err(error.into()),
        Ok(None) => Err(format!("{path} is no file")),
        Ok(Some(bytes)) => usable(&path, bytes),
    };
    Ok(read)
}

fn usable(path: &str, bytes: Vec<u8>) -> Result<String, String> {
    let text = String::from_utf8(bytes).map_err(|_| format!("{path} is not UTF-8"))?;
    if text.trim().is_empty() {
        return Err(format!("{path} is empty: it has to say what to look for"));
    }
    if text.chars().count() > WORDS_MAX_CHARS { Err(too_long(path)) } else { Ok(text) }
}

fn too_long(path: &str) -> String {
    format!("{path} has more than {WORDS_MAX_CHARS} characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_adds_a_reviewer_and_a_list_says_who_it_is() {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let deployment = owned(&["safety", "quality"]);
        let described = ["quality", "sql"];
        assert_eq!(names(None, &deployment, &described), ["safety", "quality", "sql"]);
        assert_eq!(names(Some(&owned(&["sql"])), &deployment, &described), ["sql"]);
        assert_eq!(names(None, &deployment, &[]), ["safety", "quality"]);
    }

    #[test]
    fn the_reviewers_of_a_template_come_before_the_repositorys_list() {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let policy = RepositoryPolicy { reviewers: Some(own(&["sql"])), ..RepositoryPolicy::default() };
        let of = |reviewers: &[&str]| UsedTemplate { reviewers: own(reviewers), ..UsedTemplate::default() };
        assert_eq!(listed(Some(&of(&["tone"])), &policy), Some(&own(&["tone"])[..]));
        assert_eq!(listed(Some(&of(&[])), &policy), Some(&own(&["sql"])[..]));
        assert_eq!(listed(None, &RepositoryPolicy::default()), None);
    }

    #[test]
    fn a_description_that_says_nothing_or_too_much_is_told_and_not_used() {
        assert_eq!(
            usable("p", b"Queries without a limit.".to_vec()),
            Ok("Queries without a limit.".to_owned())
        );
        let cases = [
            (b" \n".to_vec(), "p is empty"),
            (b"\xff".to_vec(), "p is not UTF-8"),
            (vec![b'x'; WORDS_MAX_CHARS + 1], "p has more than 8000 characters"),
        ];
        for (bytes, part) in cases {
            let why = usable("p", bytes).expect_err(part);
            assert!(why.starts_with(part), "{why}");
        }
    }
}

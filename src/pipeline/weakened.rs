//! What a change makes weaker of tests and gates, found on the host from the bytes of both sides.

use std::collections::BTreeSet;

use crate::checkout::Checkout;
use crate::config::RepositoryPolicy;
use crate::domain::{CommitSha, Finding, Severity, Task, TaskSpecification};
use crate::gates::{self, Gate};
use crate::guard::{TextPair, files_run_by, is_blocking, tampering};
use crate::workspace::{FileStatus, LineKind, RepoPath, Snapshot, TreeDiff, WorkspaceError, aside};

use super::change::{commits_of, fork_point, snapshot};
use super::fence::published;
use super::gate::gate_policy;
use super::implement::specification_of;
use super::{Pipeline, StageError};

impl Pipeline {
    /// Findings about tests and gates that the change weakens. What was on the branch when this round of
    /// work began is shown and holds nothing up: it was published, or is a person's.
    pub(super) async fn weakened(
        &self,
        task: &Task,
        checkout: &Checkout,
        policy: &RepositoryPolicy,
    ) -> Result<Vec<Finding>, StageError> {
        let (base, head) = commits_of(task)?;
        let specification = specification_of(task)?;
        let base_files = snapshot(checkout, base).await?;
        let gates = gates::discover(&base_files, Some(&gate_policy(policy)))?;
        let gate_files = files_of_gates(&gates, &base_files);
        let from = fork_point(checkout, base, head)?;
        let look = |from: &CommitSha| aside(|| findings(checkout, (from, head), &gate_files, specification));
        let found = look(&from)?;
        match published(task, checkout)? {
            Some(published) => {
                let stays = |path: &str| as_it_was(checkout, (&from, head), path);
                since(found, look(published)?, stays)
            }
            None => Ok(found),
        }
    }
}

/// What the whole change weakens, of which only what this round of work does holds it up. A round that makes a
/// file what the base has is no weakening: it came with the base's commits, or undoes an earlier one.
fn since(
    mut whole: Vec<Finding>,
    round: Vec<Finding>,
    stays: impl Fn(&str) -> Result<bool, StageError>,
) -> Result<Vec<Finding>, StageError> {
    let now: BTreeSet<String> = round.iter().map(Finding::fingerprint).collect();
    for finding in whole.iter_mut().filter(|finding| is_blocking(finding)) {
        if !now.contains(&finding.fingerprint()) {
            finding.severity = Severity::Low;
            finding.why.push_str(" It was on the branch before this round.");
        }
    }
    let known: BTreeSet<String> = whole.iter().map(Finding::fingerprint).collect();
    for finding in round.into_iter().filter(is_blocking) {
        if !known.contains(&finding.fingerprint()) && !stays(&finding.path)? {
            whole.push(finding);
        }
    }
    Ok(whole)
}

/// Whether a file is there and the same in both commits.
fn as_it_was(
    checkout: &Checkout,
    (base, head): (&CommitSha, &CommitSha),
    path: &str,
) -> Result<bool, StageError> {
    let Ok(path) = RepoPath::parse(path) else { return Ok(false) };
    let before = text_of(checkout, base, &path)?;
    Ok(before.is_some() && before == text_of(checkout, head, &path)?)
}

fn findings(
    checkout: &Checkout,
    (base, head): (&CommitSha, &CommitSha),
    gate_files: &BTreeSet<String>,
    specification: &TaskSpecification,
) -> Result<Vec<Finding>, StageError> {
    let diff = checkout.mirror.diff(base, head)?;
    let mut texts = Vec::with_capacity(diff.files.len());
    for file in &diff.files {
        let old = file.old_path.as_ref().unwrap_or(&file.path);
        let added = file.status == FileStatus::Added;
        let before = if added { None } else { text_of(checkout, base, old)? };
        let deleted = file.status == FileStatus::Deleted;
        let after = if deleted { None } else { text_of(checkout, head, &file.path)? };
        texts.push((before, after));
    }
    let pairs: Vec<TextPair> = pairs(&diff, &texts).collect();
    Ok(tampering(&pairs, gate_files, &specification.altered_tests))
}

fn pairs<'a>(
    diff: &'a TreeDiff,
    texts: &'a [(Option<String>, Option<String>)],
) -> impl Iterator<Item = TextPair<'a>> {
    diff.files.iter().zip(texts).map(|(file, (before, after))| {
        let lines = file.hunks().iter().flat_map(|hunk| &hunk.lines);
        let first = lines.filter(|line| line.kind == LineKind::Added).find_map(|line| line.new);
        let hunk = file.hunks().first().map(|hunk| hunk.new_start);
        TextPair {
            path: file.path.as_str(),
            old_path: file.old_path.as_ref().map(RepoPath::as_str),
            before: before.as_deref(),
            after: after.as_deref(),
            first_line: first.or(hunk).unwrap_or(1).max(1),
        }
    })
}

/// The text of a file. `None`: it is none, or so large that nobody wrote it by hand.
fn text_of(checkout: &Checkout, commit: &CommitSha, path: &RepoPath) -> Result<Option<String>, StageError> {
    match checkout.mirror.read_file(commit, path) {
        Ok(bytes) => Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
        Err(WorkspaceError::FileTooLarge { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Files of the tree that the gates' own commands run, are configured by or compare with.
pub(super) fn files_of_gates(gates: &[Gate], files: &Snapshot) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for gate in gates {
        for word in files_run_by(&gate.command) {
            let word = word.trim_start_matches("./");
            let inner = gate.cwd.as_ref().map(|cwd| format!("{cwd}/{word}"));
            for path in [Some(word.to_owned()), inner].into_iter().flatten() {
                if RepoPath::parse(path.as_str()).is_ok_and(|path| files.files.contains_key(&path)) {
                    named.insert(path);
                }
            }
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{GateKind, Requirement};
    use crate::workspace::{FileEntry, FileMode};

    #[test]
    fn a_gates_command_names_the_files_that_it_runs() {
        let gate = |command: &[&str], cwd: Option<&str>| Gate {
            name: "check".into(),
            kind: GateKind::Custom,
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            cwd: cwd.map(|cwd| RepoPath::parse(cwd).expect("a path")),
            timeout: Duration::from_secs(1),
            requirement: Requirement::Required,
            needs_dependencies: None,
            source: String::new(),
        };
        let mut files = Snapshot::default();
        for path in ["check.sh", "ci/lint.py", "web/run.js", "src/lib.rs"] {
            let entry = FileEntry { mode: FileMode::Regular, bytes: Vec::new().into() };
            files.files.insert(RepoPath::parse(path).expect("a path"), entry);
        }
        let gates = [
            gate(&["/bin/sh", "-c", "FOO=1 sh ./check.sh && python3 ci/lint.py --config=none"], None),
            gate(&["node", "run.js"], Some("web")),
            gate(&["cargo", "test"], None),
        ];
        let named: Vec<_> = files_of_gates(&gates, &files).into_iter().collect();
        assert_eq!(named, ["check.sh", "ci/lint.py", "web/run.js"]);
    }

    #[test]
    fn what_was_on_the_branch_covers_no_further_weakening() {
        let finding = |path: &str| Finding {
            reviewer: crate::guard::REVIEWER.into(),
            also: vec![],
            severity: Severity::Critical,
            path: path.into(),
            start_line: 1,
            end_line: 1,
            code: String::new(),
            title: "The test `a` asserts less".into(),
            why: String::new(),
            suggestion: None,
        };
        let blocks = |whole: &[&str], round: &[&str], stays: &[&str]| -> Vec<String> {
            let of = |paths: &[&str]| paths.iter().map(|path| finding(path)).collect();
            let found = since(of(whole), of(round), |path| Ok(stays.contains(&path))).expect("findings");
            found.into_iter().filter(is_blocking).map(|finding| finding.path).collect()
        };
        assert_eq!(blocks(&["a", "b"], &["b"], &[]), ["b"], "the first was there");
        assert_eq!(blocks(&["a"], &["a"], &[]), ["a"], "the same test is weaker once more");
        assert_eq!(blocks(&[], &["a"], &[]), ["a"], "a test that people added to the branch");
        assert_eq!(blocks(&[], &["a"], &["a"]), [""; 0], "it is what the base has");
    }
}

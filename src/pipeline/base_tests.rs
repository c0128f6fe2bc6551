//! The tests as they were, run against the change: from the host's copy, so that nothing a change does to
//! tests can make it pass.

use crate::checkout::Checkout;
use crate::domain::{GateKind, GateReport, Task, Verdict};
use crate::gates::{Base, Gate, Round, RoundEnd};
use crate::guard::{is_gate_setting, is_test_file, shadows, with_inline_tests_of};
use crate::workspace::{FileEntry, RepoPath, Snapshot, aside};

use super::change::snapshot;
use super::fence::published;
use super::implement::specification_of;
use super::weakened::files_of_gates;
use super::{Pipeline, StageError};

/// What stands behind a gate's name when it ran with the tests of the base.
pub(super) const MARK: &str = "with the tests as they were";

impl Pipeline {
    /// Runs the gates that the change passes and that may be tests once more, on the change with the tests that
    /// were there before. Nothing where the change altered none of them, or the plan is about those that it
    /// altered.
    ///
    /// `round` is the round of the change, `base` what it was compared with, `reports` what it came to.
    pub(super) async fn base_tests(
        &self,
        task: &Task,
        checkout: &Checkout,
        (round, base, gates): (&Round<'_>, Base<'_>, &[Gate]),
        reports: &[GateReport],
    ) -> Result<RoundEnd, StageError> {
        let about = &specification_of(task)?.altered_tests;
        // On an open pull request the tests are those that people have there.
        let on_branch = match published(task, checkout)? {
            Some(head) => Some((head, snapshot(checkout, head).await?)),
            None => None,
        };
        let before = match &on_branch {
            Some((head, tree)) => Base { commit: head.as_str(), tree, ..base },
            None => base,
        };
        let gate_files = files_of_gates(gates, base.tree);
        let kept = |path: &str| about.iter().any(|about| about == path);
        let belongs = |path: &str| is_test_file(path) || is_gate_setting(path) || gate_files.contains(path);
        let wanted = |path: &str| belongs(path) && !kept(path);
        let put_back = aside(|| with_tests_of(before.tree, round.tree, wanted, kept));
        before.tree.whole()?;
        round.tree.whole()?;
        let Some(tree) = put_back else { return Ok(RoundEnd::default()) };
        // What a change reaches with fewer tests than its own says nothing, so there is no floor here.
        let again = Round { tree: &tree, coverage_floor: None, ..*round };
        // A gate that passed has to pass here too, whatever the base does: only the tests are others.
        let strict = Round { base: None, ..again };
        let compared = Round { base: Some(before), ..again };
        let mut ran = strict.run(&gates_that(gates, reports, |it| it.verdict == Verdict::Passed)).await?;
        let old = compared.run(&gates_that(gates, reports, GateReport::is_old)).await?;
        ran.reports.extend(old.reports);
        ran.outputs.extend(old.outputs);
        ran.reports.iter_mut().for_each(|report| report.name = marked(&report.name));
        ran.outputs.iter_mut().for_each(|output| output.gate = marked(&output.gate));
        Ok(ran)
    }
}

/// The gates that may be tests (one of the repository's own may run some, too) and came to something.
fn gates_that(gates: &[Gate], reports: &[GateReport], wanted: fn(&GateReport) -> bool) -> Vec<Gate> {
    let came_to_it = |gate: &Gate| reports.iter().any(|report| report.name == gate.name && wanted(report));
    let may_be_tests = gates.iter().filter(|gate| matches!(gate.kind, GateKind::Test | GateKind::Custom));
    may_be_tests.filter(|gate| came_to_it(gate)).cloned().collect()
}

fn marked(gate: &str) -> String {
    format!("{gate} {MARK}")
}

/// The change with tests and settings as they were: changed ones put back, deleted ones restored, settings
/// that are new, and what is new in the way of others, taken out. `None`: it altered none, and new tests ran with the change.
fn with_tests_of(
    before: &Snapshot,
    change: &Snapshot,
    wanted: impl Fn(&str) -> bool,
    kept: impl Fn(&str) -> bool,
) -> Option<Snapshot> {
    let mut tree = change.clone();
    let mut altered = false;
    for (path, entry) in &before.files {
        if wanted(path.as_str()) && change.files.get(path) != Some(entry) {
            make_room(&mut tree, path);
            tree.files.insert(path.clone(), entry.clone());
            altered = true;
        } else if !kept(path.as_str())
            && let Some(now) = change.files.get(path).filter(|now| *now != entry)
            && let (Ok(old), Ok(new)) = (str::from_utf8(&entry.bytes), str::from_utf8(&now.bytes))
            && let Some(text) = with_inline_tests_of(path.as_str(), old, new)
        {
            let entry = FileEntry { bytes: text.into_bytes().into(), mode: now.mode };
            tree.files.insert(path.clone(), entry);
            altered = true;
        }
    }
    for path in change.files.keys() {
        let name = path.as_str();
        let decides = is_gate_setting(name) || shadows(name);
        if decides && !kept(name) && !before.files.contains_key(path) {
            tree.files.remove(path);
            altered = true;
        }
    }
    altered.then_some(tree)
}

/// Takes away what stands where a file is put back: a file in the place of one of its folders, or a folder in
/// its own.
fn make_room(tree: &mut Snapshot, path: &RepoPath) {
    let text = path.as_str();
    let below = format!("{text}/");
    let in_the_way = |other: &RepoPath| {
        let other = other.as_str();
        other.starts_with(&below) || text.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'))
    };
    tree.files.retain(|other, _| !in_the_way(other));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::FileMode;

    fn tree(files: &[(&str, &str)]) -> Snapshot {
        let mut tree = Snapshot::default();
        for (path, text) in files {
            let entry = FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().into() };
            tree.files.insert(RepoPath::parse(*path).expect("a path"), entry);
        }
        tree
    }

    fn put_back(before: &Snapshot, change: &Snapshot, kept: &[&str]) -> Option<Snapshot> {
        let kept = |path: &str| kept.contains(&path);
        with_tests_of(
            before,
            change,
            |path| (is_test_file(path) || is_gate_setting(path)) && !kept(path),
            kept,
        )
    }

    const BEFORE: [(&str, &str); 4] =
        [("src/a.rs", "old"), ("tests/a.rs", "test a"), ("tests/b.rs", "test b"), ("clippy.toml", "strict")];

    #[test]
    fn changed_and_deleted_tests_are_as_they_were_and_the_code_is_the_changes() {
        let change = tree(&[
            ("src/a.rs", "new"),
            ("tests/a.rs", "weak"),
            ("clippy.toml", "lax"),
            ("tests/c.rs", "more"),
        ]);
        let expected = tree(&[
            ("src/a.rs", "new"),
            ("tests/a.rs", "test a"),
            ("tests/b.rs", "test b"),
            ("clippy.toml", "strict"),
            ("tests/c.rs", "more"),
        ]);
        assert_eq!(put_back(&tree(&BEFORE), &change, &[]), Some(expected));
    }

    #[test]
    fn a_change_that_alters_no_test_needs_no_second_run() {
        let mut change = tree(&BEFORE);
        change.files.extend(tree(&[("src/a.rs", "new"), ("tests/new.rs", "more")]).files);
        assert_eq!(put_back(&tree(&BEFORE), &change, &[]), None);
    }

    #[test]
    fn new_settings_that_would_silence_the_tests_are_taken_out() {
        let mut change = tree(&BEFORE);
        change.files.extend(tree(&[("tests/conftest.py", "collect_ignore = ['.']")]).files);
        change.files.extend(tree(&[("unittest.py", "raise SystemExit"), ("src/go.mod", "module x")]).files);
        assert_eq!(put_back(&tree(&BEFORE), &change, &[]), Some(tree(&BEFORE)));
    }

    #[test]
    fn tests_that_the_plan_is_about_stay_as_the_change_has_them() {
        let mut change = tree(&BEFORE);
        change.files.extend(tree(&[("tests/a.rs", "other")]).files);
        assert_eq!(put_back(&tree(&BEFORE), &change, &["tests/a.rs"]), None);
        change.files.remove(&RepoPath::parse("tests/b.rs").expect("a path"));
        let expected = tree(&[BEFORE[0], ("tests/a.rs", "other"), BEFORE[2], BEFORE[3]]);
        assert_eq!(put_back(&tree(&BEFORE), &change, &["tests/a.rs"]), Some(expected));
    }

    #[test]
    fn a_test_is_put_back_where_the_change_has_a_folder_or_a_file_in_its_way() {
        let change = tree(&[("tests", "a file"), ("clippy.toml/x", "a folder"), ("src/a.rs", "new")]);
        let expected = tree(&[("src/a.rs", "new"), BEFORE[1], BEFORE[2], BEFORE[3]]);
        assert_eq!(put_back(&tree(&BEFORE), &change, &[]), Some(expected));
    }

    #[test]
    fn inline_tests_are_put_back_into_the_changed_source() {
        let tests =
            "\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() {\n        assert_eq!(f(), 1);\n    }\n}\n";
        let before = tree(&[("src/a.rs", &format!("fn f() -> u8 {{ 1 }}\n{tests}"))]);
        let change = tree(&[("src/a.rs", &format!("fn f() -> u8 {{ 2 }}\n{}", tests.replace("1);", "2);")))]);
        let expected = tree(&[("src/a.rs", &format!("fn f() -> u8 {{ 2 }}\n{tests}"))]);
        assert_eq!(put_back(&before, &change, &[]), Some(expected.clone()));
        assert_eq!(put_back(&before, &expected, &[]), None);
    }
}

//! Which candidate goes on: by what was measured, and where that leaves several, by the judge.

use std::collections::BTreeMap;

use crate::agents::{AgentContext, JudgeInput, compare};
use crate::checkout::Checkout;
use crate::domain::{
    Candidate, Choice, CommitSha, DecidedBy, GateReport, Judged, Measured, Standing, Verdict, standing,
};
use crate::guard::count_tests;
use crate::workspace::{LineKind, RepoPath, TreeDiff, WorkspaceError, aside};

use super::super::engine::prompt_of;
use super::super::implement::{Ground, specification_of};
use super::super::{Pipeline, StageError};

impl Pipeline {
    /// `None`: no candidate came to an end.
    pub(super) async fn choose(
        &self,
        ground: &Ground<'_>,
        agent: &AgentContext,
        (candidates, patches): (Vec<Candidate>, &BTreeMap<u32, String>),
    ) -> Option<Choice> {
        let Standing { best, by } = standing(&candidates);
        let first = *best.first()?;
        let prompt = prompt_of(ground.engine);
        let version =
            agent.prompts.in_force().find(|(name, ..)| *name == prompt).map(|(_, version, _)| version);
        let mut choice = Choice {
            candidates,
            judged: vec![],
            judge_failed: None,
            chosen: first,
            decided_by: by,
            prompt: prompt.to_owned(),
            prompt_version: version.unwrap_or_default(),
        };
        let Ok(specification) = specification_of(ground.task) else { return Some(choice) };
        let patch = |number: u32| patches.get(&number).map_or("", String::as_str);
        for &later in &best[1..] {
            let earlier = choice.chosen;
            // The same change twice: there is nothing to compare.
            if patch(earlier) == patch(later) {
                continue;
            }
            let input = JudgeInput { specification, one: patch(earlier), other: patch(later) };
            match compare(agent, input).await {
                Ok(compared) => {
                    if compared.other > compared.one {
                        choice.chosen = later;
                    }
                    choice.judged.push(Judged {
                        earlier,
                        later,
                        earlier_score: compared.one,
                        later_score: compared.other,
                        why: compared.why,
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, earlier, later, "the judge gave no usable answer");
                    choice.judge_failed.get_or_insert(error.to_string());
                }
            }
        }
        if best.len() > 1 {
            choice.decided_by = by_the_judge(&choice);
        }
        Some(choice)
    }
}

/// The judge decided where it told the chosen one from all that it was compared with.
fn by_the_judge(choice: &Choice) -> DecidedBy {
    let its = choice.judged.iter().filter(|it| it.earlier == choice.chosen || it.later == choice.chosen);
    let scores: Vec<bool> = its.map(|it| it.earlier_score != it.later_score).collect();
    let told_apart = !scores.is_empty() && scores.into_iter().all(|told_apart| told_apart);
    if told_apart && choice.judge_failed.is_none() { DecidedBy::Judge } else { DecidedBy::Order }
}

/// What is known of a head without anybody's opinion.
pub(super) fn measure(
    checkout: &Checkout,
    (base, head): (&CommitSha, &CommitSha),
    gates: &[GateReport],
) -> Result<Measured, StageError> {
    let diff = checkout.mirror.diff(base, head)?;
    let tests_added = aside(|| tests_added(checkout, (base, head), &diff))?;
    let lines = diff.files.iter().flat_map(|file| file.hunks()).flat_map(|hunk| &hunk.lines);
    let passed = gates.iter().filter(|gate| gate.verdict == Verdict::Passed).count();
    Ok(Measured {
        head: head.clone(),
        gates_passed: passed as u32,
        gates_run: gates.len() as u32,
        gates_blocking: gates.iter().filter(|gate| gate.blocks()).count() as u32,
        tests_added,
        changed_lines: lines.filter(|line| line.kind != LineKind::Context).count() as u64,
    })
}

/// Tests that there are more than before, all files together: one that moved is none.
fn tests_added(
    checkout: &Checkout,
    (base, head): (&CommitSha, &CommitSha),
    diff: &TreeDiff,
) -> Result<u32, StageError> {
    let (mut before, mut after) = (0, 0);
    for file in &diff.files {
        let old = file.old_path.as_ref().unwrap_or(&file.path);
        before += tests_in(checkout, base, old)?;
        after += tests_in(checkout, head, &file.path)?;
    }
    Ok(u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX))
}

fn tests_in(checkout: &Checkout, commit: &CommitSha, path: &RepoPath) -> Result<usize, StageError> {
    match checkout.mirror.read_file(commit, path) {
        Ok(Some(bytes)) => Ok(count_tests(path.as_str(), &String::from_utf8_lossy(&bytes))),
        Ok(None) | Err(WorkspaceError::FileTooLarge { .. }) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tie_and_a_judge_that_fails_leave_the_order() {
        let judged = |earlier, later, earlier_score, later_score| Judged {
            earlier,
            later,
            earlier_score,
            later_score,
            why: [String::new(), String::new()],
        };
        let choice = |chosen, judged, judge_failed: Option<&str>| Choice {
            candidates: vec![],
            judged,
            judge_failed: judge_failed.map(str::to_owned),
            chosen,
            decided_by: DecidedBy::Order,
            prompt: "single_shot".into(),
            prompt_version: 1,
        };
        let cases = [
            (choice(1, vec![judged(1, 2, 12, 9)], None), DecidedBy::Judge),
            (choice(2, vec![judged(1, 2, 9, 12)], None), DecidedBy::Judge),
            (choice(1, vec![judged(1, 2, 9, 9)], None), DecidedBy::Order),
            (choice(1, vec![], Some("refused")), DecidedBy::Order),
            (choice(3, vec![judged(1, 2, 9, 9), judged(1, 3, 9, 12)], None), DecidedBy::Judge),
            (choice(1, vec![judged(1, 2, 12, 9), judged(1, 3, 9, 9)], None), DecidedBy::Order),
            (choice(1, vec![judged(1, 2, 12, 9)], Some("refused")), DecidedBy::Order),
        ];
        for (choice, by) in cases {
            assert_eq!(by_the_judge(&choice), by, "{choice:?}");
        }
    }
}

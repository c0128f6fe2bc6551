//! Several attempts at one task, and which of them is put forward.
//!
//! What was measured decides first: gates, tests, size. Only among those that these leave equal a judge's opinion
//! counts, and where it prefers none the earlier one stays.

use serde::{Deserialize, Serialize};

use super::refs::CommitSha;
use super::task::Reason;

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// From 1, in the order in which they were begun.
    pub number: u32,
    /// The models that wrote it, as far as any answered.
    pub models: Vec<String>,
    /// What it was asked with, where that was set for it alone.
    pub temperature: Option<f64>,
    pub came_to: CameTo,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum CameTo {
    Finished(Measured),
    Failed { reason: Reason },
}

/// What is known of a finished attempt without anybody's opinion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    pub head: CommitSha,
    pub gates_passed: u32,
    pub gates_run: u32,
    /// Gates that would hold it up.
    pub gates_blocking: u32,
    /// Tests that it has more than the base.
    pub tests_added: u32,
    /// Added and removed.
    pub changed_lines: u64,
}

/// What the judge said of two candidates; see [`crate::agents::Comparison`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    pub earlier: u32,
    pub later: u32,
    pub earlier_score: u32,
    pub later_score: u32,
    pub why: [String; 2],
}

/// What told the chosen candidate from the last of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// No other came to an end.
    Alone,
    Gates,
    Tests,
    Size,
    Judge,
    /// It is the first of those between which nothing decided.
    Order,
}

/// A decision with everything that led to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    pub candidates: Vec<Candidate>,
    pub judged: Vec<Judged>,
    /// Why some of the comparisons are missing.
    pub judge_failed: Option<String>,
    pub chosen: u32,
    pub decided_by: DecidedBy,
    /// The prompt that they were written by: which one it is depends on the engine.
    #[serde(default = "implementer")]
    pub prompt: String,
    pub prompt_version: u32,
}

/// Decisions of before were not told apart.
fn implementer() -> String {
    "implementer".to_owned()
}

/// How far what was measured decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The numbers of the best, which nothing measured tells apart, in order.
    pub best: Vec<u32>,
    /// What put the last of the others out; [`DecidedBy::Order`] where nothing has.
    pub by: DecidedBy,
}

impl Candidate {
    pub fn measured(&self) -> Option<&Measured> {
        match &self.came_to {
            CameTo::Finished(measured) => Some(measured),
            CameTo::Failed { .. } => None,
        }
    }
}

impl Choice {
    pub fn of_number(&self, number: u32) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.number == number)
    }
}

impl Measured {
    /// Lines by doublings: whether a change has 40 lines or 50 says nothing of how good it is.
    fn size_class(&self) -> u32 {
        (self.changed_lines + 1).ilog2()
    }
}

/// Who is left when each measure in turn keeps its best. Empty where no attempt came to an end.
pub fn standing(candidates: &[Candidate]) -> Standing {
    let mut left: Vec<(u32, &Measured)> =
        candidates.iter().filter_map(|one| Some((one.number, one.measured()?))).collect();
    left.sort_by_key(|(number, _)| *number);
    let mut by = if left.len() == 1 { DecidedBy::Alone } else { DecidedBy::Order };
    type Measure = fn(&Measured) -> i64;
    // The less, the better.
    let measures: [(DecidedBy, Measure); 4] = [
        (DecidedBy::Gates, |it| i64::from(it.gates_blocking)),
        (DecidedBy::Gates, |it| -i64::from(it.gates_passed)),
        (DecidedBy::Tests, |it| -i64::from(it.tests_added)),
        (DecidedBy::Size, |it| i64::from(it.size_class())),
    ];
    for (name, measure) in measures {
        let Some(best) = left.iter().map(|(_, it)| measure(it)).min() else { break };
        let before = left.len();
        left.retain(|(_, it)| measure(it) == best);
        if left.len() < before {
            by = name;
        }
    }
    Standing { best: left.into_iter().map(|(number, _)| number).collect(), by }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finished(
        number: u32,
        (blocking, passed): (u32, u32),
        tests_added: u32,
        changed_lines: u64,
    ) -> Candidate {
        let measured = Measured {
            head: CommitSha::parse(format!("{number:040x}")).expect("hex"),
            gates_passed: passed,
            gates_run: 3,
            gates_blocking: blocking,
            tests_added,
            changed_lines,
        };
        Candidate { number, models: vec![], temperature: None, came_to: CameTo::Finished(measured) }
    }

    fn failed(number: u32) -> Candidate {
        let reason = Reason::LimitReached { limit: "60 steps".into() };
        Candidate { number, models: vec![], temperature: None, came_to: CameTo::Failed { reason } }
    }

    #[test]
    fn gates_come_before_tests_and_tests_before_size() {
        let cases = [
            (vec![finished(1, (1, 2), 9, 1), finished(2, (0, 3), 0, 900)], vec![2], DecidedBy::Gates),
            (vec![finished(1, (0, 2), 9, 1), finished(2, (0, 3), 0, 900)], vec![2], DecidedBy::Gates),
            (vec![finished(1, (0, 3), 1, 1), finished(2, (0, 3), 2, 900)], vec![2], DecidedBy::Tests),
            (vec![finished(1, (0, 3), 1, 900), finished(2, (0, 3), 1, 100)], vec![2], DecidedBy::Size),
            (vec![finished(1, (0, 3), 1, 50), finished(2, (0, 3), 1, 40)], vec![1, 2], DecidedBy::Order),
            (vec![failed(1), finished(2, (3, 0), 0, 1)], vec![2], DecidedBy::Alone),
            (vec![failed(1), failed(2)], vec![], DecidedBy::Order),
            (
                vec![finished(1, (1, 2), 0, 9), finished(2, (0, 3), 0, 9), finished(3, (0, 3), 0, 9)],
                vec![2, 3],
                DecidedBy::Gates,
            ),
        ];
        for (candidates, best, by) in cases {
            assert_eq!(standing(&candidates), Standing { best, by }, "{candidates:?}");
        }
    }

    #[test]
    fn a_choice_survives_being_stored() {
        let judged =
            Judged { earlier: 1, later: 2, earlier_score: 9, later_score: 12, why: ["a".into(), "b".into()] };
        let choice = Choice {
            candidates: vec![finished(1, (0, 3), 0, 1), finished(2, (0, 3), 0, 1), failed(3)],
            judged: vec![judged],
            judge_failed: None,
            chosen: 2,
            decided_by: DecidedBy::Judge,
            prompt: "single_shot".into(),
            prompt_version: 2,
        };
        let json = serde_json::to_string(&choice).expect("serialises");
        assert_eq!(serde_json::from_str::<Choice>(&json).expect("reads"), choice);
    }

    fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (0..3_u32, 0..3_u32, 0..3_u32, 0..200_u64, any::<bool>());
        proptest::collection::vec(one, 0..6).prop_map(|all| {
            let numbered = (1..).zip(all).map(|(number, (blocking, passed, tests, lines, ended))| {
                if ended { finished(number, (blocking, passed), tests, lines) } else { failed(number) }
            });
            numbered.collect()
        })
    }

    proptest! {
        /// Nobody who is at least as good in everything is put out, whoever is left came to an end, and the order of
        /// the list decides nothing.
        #[test]
        fn the_best_are_the_best(candidates in any_candidates(), turn in 0..6_usize) {
            let standing_of = standing(&candidates);
            let ended: Vec<&Candidate> = candidates.iter().filter(|one| one.measured().is_some()).collect();
            prop_assert_eq!(standing_of.best.is_empty(), ended.is_empty());
            for number in &standing_of.best {
                let best = ended.iter().find(|one| one.number == *number).expect("ended").measured().expect("ended");
                for other in ended.iter().filter_map(|one| one.measured()) {
                    prop_assert!(best.gates_blocking <= other.gates_blocking);
                    let as_good = |a: &Measured, b: &Measured| a.gates_blocking <= b.gates_blocking
                        && a.gates_passed >= b.gates_passed
                        && a.tests_added >= b.tests_added
                        && a.size_class() <= b.size_class();
                    prop_assert!(!as_good(other, best) || as_good(best, other));
                }
            }
            let mut turned = candidates.clone();
            if !turned.is_empty() {
                let by = turn % turned.len();
                turned.rotate_left(by);
            }
            prop_assert_eq!(standing(&turned), standing_of);
        }
    }
}

//! Whether a loop goes round in circles, told from what the model did and what came of it.
//!
//! It looks at digests of whole turns. What a turn cost, and how many there may be at most, is not its business.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::tools::{ToolAnswer, ToolOutcome};
use crate::llm::ToolCall;

/// How often is too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StuckLimits {
    /// The same calls with the same answers, turn after turn.
    pub same_turn: usize,
    /// The same calls, of which one fails each time, whatever it says.
    pub same_error: usize,
    /// Two turns that take turns: so many pairs of them.
    pub alternating_pairs: usize,
    /// Turns without a call.
    pub without_call: usize,
}

impl Default for StuckLimits {
    fn default() -> Self {
        Self { same_turn: 4, same_error: 3, alternating_pairs: 6, without_call: 3 }
    }
}

/// In which circle a loop goes, and how often it went round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stuck {
    SameTurn(usize),
    SameError(usize),
    Alternating(usize),
    NoCall(usize),
}

/// What is remembered of the last turns.
#[derive(Debug)]
pub(super) struct StuckWatch {
    limits: StuckLimits,
    /// Oldest first, no more than the longest circle needs.
    turns: VecDeque<TurnDigest>,
    without_call: usize,
}

/// A turn's calls, and what came of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TurnDigest {
    action: u64,
    observation: u64,
    outcome: ToolOutcome,
}

impl StuckWatch {
    pub fn new(limits: StuckLimits) -> Self {
        Self { limits, turns: VecDeque::new(), without_call: 0 }
    }

    /// A turn with calls and their answers, in order.
    pub fn turn<'a>(
        &mut self,
        calls: impl IntoIterator<Item = (&'a ToolCall, &'a ToolAnswer)>,
    ) -> Option<Stuck> {
        self.without_call = 0;
        let (mut action, mut observation) = (DefaultHasher::new(), DefaultHasher::new());
        let mut outcome = ToolOutcome::Done;
        for (call, answer) in calls {
            (call.name.as_str(), call.arguments.to_string()).hash(&mut action);
            (answer.text.as_str(), answer.outcome == ToolOutcome::Failed).hash(&mut observation);
            if answer.outcome == ToolOutcome::Failed {
                outcome = ToolOutcome::Failed;
            }
        }
        let turn = TurnDigest { action: action.finish(), observation: observation.finish(), outcome };
        let longest = [self.limits.same_turn, self.limits.same_error, 2 * self.limits.alternating_pairs];
        if self.turns.len() >= longest.into_iter().max().unwrap_or(0) {
            self.turns.pop_front();
        }
        self.turns.push_back(turn);
        self.circle()
    }

    /// A turn of words alone.
    pub fn turn_without_call(&mut self) -> Option<Stuck> {
        self.turns.clear();
        self.without_call += 1;
        (self.without_call >= self.limits.without_call).then_some(Stuck::NoCall(self.without_call))
    }

    fn circle(&self) -> Option<Stuck> {
        let StuckLimits { same_turn, same_error, alternating_pairs, .. } = self.limits;
        let last = self.turns.back()?;
        let newest_first = || self.turns.iter().rev();
        let failed = newest_first()
            .take_while(|turn| turn.action == last.action && turn.outcome == ToolOutcome::Failed)
            .count();
        if failed >= same_error {
            return Some(Stuck::SameError(failed));
        }
        let same = newest_first().take_while(|turn| *turn == last).count();
        if same >= same_turn {
            return Some(Stuck::SameTurn(same));
        }
        let before = newest_first().nth(1).filter(|before| *before != last)?;
        let in_turn = |(at, turn): &(usize, &TurnDigest)| *turn == if at % 2 == 0 { last } else { before };
        let pairs = newest_first().enumerate().take_while(in_turn).count() / 2;
        (pairs >= alternating_pairs).then_some(Stuck::Alternating(pairs))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn watch() -> StuckWatch {
        StuckWatch::new(StuckLimits::default())
    }

    /// A turn of one call: what it does, and what it answers; a `!` at its beginning is a failure.
    fn turn(watch: &mut StuckWatch, action: &str, said: &str) -> Option<Stuck> {
        let call =
            ToolCall { id: "1".into(), name: "run_command".into(), arguments: json!({"command": action}) };
        let answer = match said.strip_prefix('!') {
            Some(said) => ToolAnswer::failed(said),
            None => ToolAnswer::done(said),
        };
        watch.turn([(&call, &answer)])
    }

    fn ends_at(turns: impl IntoIterator<Item = (String, String)>) -> Option<(usize, Stuck)> {
        let mut watch = watch();
        turns
            .into_iter()
            .enumerate()
            .find_map(|(at, (action, said))| Some((at + 1, turn(&mut watch, &action, &said)?)))
    }

    fn turns(list: &[(&str, &str)], times: usize) -> Vec<(String, String)> {
        let list: Vec<_> = list.iter().map(|(a, s)| ((*a).to_owned(), (*s).to_owned())).collect();
        (0..times).flat_map(|_| list.clone()).collect()
    }

    #[test]
    fn the_same_turn_four_times_is_a_circle_and_a_different_answer_is_none() {
        assert_eq!(ends_at(turns(&[("make", "ok")], 9)), Some((4, Stuck::SameTurn(4))));
        let polled = (0..30).map(|round| ("make".to_owned(), format!("{round} left")));
        assert_eq!(ends_at(polled), None);
        let interrupted =
            [turns(&[("make", "ok")], 3), turns(&[("ls", "a")], 1), turns(&[("make", "ok")], 3)];
        assert_eq!(ends_at(interrupted.concat()), None);
    }

    #[test]
    fn the_same_call_that_fails_three_times_is_one_whatever_it_says() {
        let failing = (0..9).map(|round| ("make".to_owned(), format!("!error at 0x{round}")));
        assert_eq!(ends_at(failing), Some((3, Stuck::SameError(3))));
        let mended = [("make", "!no"), ("make", "!no"), ("make", "ok"), ("make", "!no"), ("make", "!no")];
        assert_eq!(ends_at(turns(&mended, 1)), None);
        let others = [("make", "!no"), ("make a", "!no"), ("make b", "!no"), ("make c", "!no")];
        assert_eq!(ends_at(turns(&others, 1)), None);
    }

    #[test]
    fn two_turns_that_alternate_six_times_are_one() {
        assert_eq!(ends_at(turns(&[("edit", "ok"), ("undo", "ok")], 9)), Some((12, Stuck::Alternating(6))));
        assert_eq!(ends_at(turns(&[("edit", "!no"), ("undo", "ok")], 9)), Some((12, Stuck::Alternating(6))));
        assert_eq!(ends_at(turns(&[("edit", "ok"), ("undo", "ok"), ("look", "ok")], 9)), None);
        let works = (0..9).flat_map(|round| {
            [("edit".to_owned(), format!("{round}")), ("test".to_owned(), "failed".to_owned())]
        });
        assert_eq!(ends_at(works), None, "an edit that does something else each time is work");
    }

    #[test]
    fn three_turns_of_words_are_one_and_a_call_begins_anew() {
        let mut watch = watch();
        assert_eq!((watch.turn_without_call(), watch.turn_without_call()), (None, None));
        assert_eq!(turn(&mut watch, "ls", "a"), None);
        assert_eq!((watch.turn_without_call(), watch.turn_without_call()), (None, None));
        assert_eq!(watch.turn_without_call(), Some(Stuck::NoCall(3)));
    }

    #[test]
    fn it_remembers_no_more_than_it_needs() {
        let mut watch = watch();
        for round in 0..1_000 {
            turn(&mut watch, &round.to_string(), "ok");
        }
        assert_eq!(watch.turns.len(), 12);
    }
}

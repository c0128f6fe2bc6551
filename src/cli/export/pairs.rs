//! A decision between candidates as pairs: what was chosen, what was not, why, and what became of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::domain::{CameTo, Candidate, Choice, GateReport, Origin, State, Task};

/// A decision with the files of its candidates by their names, as `pipeline::candidates` keeps them.
pub(super) struct Decision<'a> {
    pub task: &'a Task,
    pub choice: &'a Choice,
    pub at: DateTime<Utc>,
    pub files: &'a BTreeMap<String, Vec<u8>>,
}

/// One for each candidate that was not chosen and that there is a patch of.
///
/// # Errors
/// Where a candidate's gates cannot be read: a pair without them would say that there were none.
pub(super) fn pairs(decision: &Decision) -> serde_json::Result<Vec<Value>> {
    let Decision { task, choice, at, files } = decision;
    let chosen = choice.of_number(choice.chosen).map(|one| candidate(one, files)).transpose()?;
    let Some(chosen) = chosen.flatten() else { return Ok(Vec::new()) };
    let others = choice.candidates.iter().filter(|one| one.number != choice.chosen);
    let (place, issue) = match &task.origin {
        Origin::GitHub(place) => (place.full_name.clone(), Some(place.issue.0)),
        Origin::Local { repository, .. } => (repository.clone(), None),
    };
    let head = choice.of_number(choice.chosen).and_then(|one| one.measured()).map(|it| &it.head);
    let pair = |rejected: &Candidate| {
        let Some(shown) = candidate(rejected, files)? else { return Ok(None) };
        let judged: Vec<_> = choice
            .judged
            .iter()
            .filter(|it| [it.earlier, it.later].contains(&rejected.number))
            .filter(|it| [it.earlier, it.later].contains(&choice.chosen))
            .collect();
        Ok(Some(json!({
            "task": task.id,
            "repository": place,
            "issue": issue,
            "decided_at": at,
            "outcome": outcome(task),
            // Gates and reviewers may have had it mended since.
            "mended_since": head.is_some() && task.head.as_ref() != head,
            "prompt": {
                "template": choice.prompt,
                "version": choice.prompt_version,
                "base": task.base,
                "specification": task.plan.as_ref().map(|plan| &plan.specification),
            },
            "decided_by": choice.decided_by,
            "judged": judged,
            "chosen": chosen,
            "rejected": shown,
        })))
    };
    others.filter_map(|rejected| pair(rejected).transpose()).collect()
}

/// What became of the chosen one: `merged`, `closed`, or `unknown` as long as nobody has decided.
fn outcome(task: &Task) -> &'static str {
    match (&task.state, task.pull_request) {
        (State::Done, Some(_)) => "merged",
        (State::PullRequestClosed, _) => "closed",
        _ => "unknown",
    }
}

/// `None`: there is no patch of it.
fn candidate(candidate: &Candidate, files: &BTreeMap<String, Vec<u8>>) -> serde_json::Result<Option<Value>> {
    let file = |name: &str| files.get(&format!("{}/{name}", candidate.number));
    let Some(patch) = file("patch/work.patch") else { return Ok(None) };
    let patch = String::from_utf8_lossy(patch).into_owned();
    let finished = candidate.measured().is_some();
    let gates = file("gates/gates.json").filter(|_| finished);
    let gates: Vec<GateReport> =
        gates.map(|gates| serde_json::from_slice(gates)).transpose()?.unwrap_or_default();
    let gates: Vec<Value> = gates
        .iter()
        .map(|gate| json!({ "name": gate.name, "command": gate.command, "result": gate.verdict, "exit": gate.exit }))
        .collect();
    let (measured, failure) = match &candidate.came_to {
        CameTo::Finished(measured) => (Some(measured), None),
        CameTo::Failed { reason } => (None, Some(reason)),
    };
    Ok(Some(json!({
        "candidate": candidate.number,
        "models": candidate.models,
        "temperature": candidate.temperature,
        "patch": patch,
        "gates": gates,
        "measured": measured,
        "failure": failure,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Account, BranchName, CommitSha, DecidedBy, IssueNumber, Judged, Measured, Reason, TaskId, UserId,
    };

    fn task(state: State) -> Task {
        let base = BranchName::parse("main").expect("a name");
        let origin = Origin::Local { repository: "/r".into(), base };
        let by = Account { id: UserId(0), login: "ada".into() };
        Task { state, ..Task::new(TaskId(uuid::Uuid::nil()), origin, by, DateTime::UNIX_EPOCH) }
    }

    fn choice() -> Choice {
        let measured = |digit: &str| Measured {
            head: CommitSha::parse(digit.repeat(40)).expect("hex"),
            gates_passed: 1,
            gates_run: 1,
            gates_blocking: 0,
            tests_added: 0,
            changed_lines: 2,
        };
        let candidate = |number, came_to| Candidate {
            number,
            models: vec!["anthropic:a".into()],
            temperature: None,
            came_to,
        };
        let failed = CameTo::Failed { reason: Reason::LimitReached { limit: "60 steps".into() } };
        let judged =
            Judged { earlier: 1, later: 2, earlier_score: 8, later_score: 14, why: ["x".into(), "y".into()] };
        Choice {
            candidates: vec![
                candidate(1, CameTo::Finished(measured("a"))),
                candidate(2, CameTo::Finished(measured("b"))),
                candidate(3, failed.clone()),
                candidate(4, failed),
            ],
            judged: vec![judged],
            judge_failed: None,
            chosen: 2,
            decided_by: DecidedBy::Judge,
            prompt: "single_shot".into(),
            prompt_version: 2,
        }
    }

    fn files() -> BTreeMap<String, Vec<u8>> {
        let gates = r#"[{"name": "check", "kind": "custom", "requirement": "required", "command": "sh check.sh",
            "verdict": {"verdict": "passed"}, "exit": 0, "duration_ms": 5, "log": "", "findings": []}]"#;
        let files = [
            ("1/patch/work.patch", "one"),
            ("1/gates/gates.json", gates),
            ("2/patch/work.patch", "two"),
            ("2/gates/gates.json", gates),
            ("3/patch/work.patch", "half of three"),
        ];
        files.into_iter().map(|(name, body)| (name.to_owned(), body.as_bytes().to_vec())).collect()
    }

    #[test]
    fn whoever_was_passed_over_and_has_a_patch_makes_a_pair() {
        let (task, choice, files) = (task(State::Publishing), choice(), files());
        let pairs =
            pairs(&Decision { task: &task, choice: &choice, at: DateTime::UNIX_EPOCH, files: &files })
                .expect("readable");
        let patches: Vec<_> =
            pairs.iter().map(|pair| (&pair["chosen"]["patch"], &pair["rejected"]["patch"])).collect();
        assert_eq!(patches, [(&json!("two"), &json!("one")), (&json!("two"), &json!("half of three"))]);
        assert_eq!(pairs[0]["judged"][0]["later_score"], 14);
        assert_eq!(pairs[0]["chosen"]["gates"][0]["exit"], 0);
        assert_eq!(pairs[1]["rejected"]["failure"]["kind"], "limit_reached");
        assert_eq!(pairs[1]["judged"], json!([]));
        assert_eq!(
            (&pairs[0]["prompt"]["template"], &pairs[0]["prompt"]["version"]),
            (&json!("single_shot"), &json!(2))
        );
    }

    #[test]
    fn an_outcome_is_told_once_people_have_decided() {
        let opened = |state| Task { pull_request: Some(IssueNumber(3)), ..task(state) };
        assert_eq!(outcome(&opened(State::Done)), "merged");
        assert_eq!(outcome(&opened(State::PullRequestClosed)), "closed");
        assert_eq!(outcome(&opened(State::PullRequestOpen)), "unknown");
        assert_eq!(outcome(&task(State::Done)), "unknown", "a local branch is merged where we do not see it");
    }

    #[test]
    fn gates_that_cannot_be_read_are_not_told_as_none() {
        let (task, choice, mut files) = (task(State::Publishing), choice(), files());
        files.insert("2/gates/gates.json".into(), b"[{".to_vec());
        let decision = Decision { task: &task, choice: &choice, at: DateTime::UNIX_EPOCH, files: &files };
        pairs(&decision).expect_err("a pair without its gates would say that there were none");
    }
}

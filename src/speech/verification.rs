//! What became of findings and of attempts besides what is open: dropped, not verified, taken back, chosen among
//! several.

use super::evidence::{Evidence, found_by, place};
use super::page::{Page, Room, Summary};
use super::text::{Line, code, figure, line_of, quote, quote_up_to, strong};
use super::words::plural;
use crate::domain::{Choice, DecidedBy, DroppedFinding, Reason, TakenBack};

/// Longest proof that is shown, in characters.
const PROOF_MAX_CHARS: usize = 300;

pub(super) fn verification(evidence: &Evidence, room: Room) -> Page {
    let mut page = Page::default();
    if let Some(why) = evidence.unverified {
        page.paragraph(line_of![
            strong("Not verified."),
            " The verifier gave no usable answer about some findings, so they stand as the reviewers made them: ",
            quote_up_to(room.text.min(400), why),
        ]);
    }
    for taken in evidence.taken_back {
        page.paragraph(taken_back(taken, room));
    }
    if !evidence.dropped.is_empty() {
        let mut list = Page::default();
        list.bullets(evidence.dropped.iter().map(|dropped| dropped_finding(dropped, room)).collect());
        let summary = Summary::from("Findings that do not hold, as the code shows: ");
        page.details(summary.number(evidence.dropped.len()), list);
    }
    page
}

fn dropped_finding(dropped: &DroppedFinding, room: Room) -> Line {
    let finding = &dropped.finding;
    let proof: String = dropped.proof.trim().chars().take(PROOF_MAX_CHARS).collect();
    let mut line = line_of![finding.severity.as_str(), " ", place(finding), " ", quote(&finding.title), " ("];
    line.extend(found_by(finding));
    line.extend(line_of!["): ", quote_up_to(room.text.min(400), &dropped.why), " ", code(proof)]);
    line
}

fn taken_back(taken: &TakenBack, room: Room) -> Line {
    let mut line = line_of![
        strong("Tried and taken back."),
        " A fix of open findings that hold nothing up failed, so the change is as it was before it: ",
    ];
    line.extend(match &taken.why {
        Reason::NothingChanged { said } => {
            line_of!["the model changed nothing and said: ", quote_up_to(room.text.min(400), said)]
        }
        Reason::GatesFail { gates, .. } => {
            let mut line = line_of!["with it these gates failed: "];
            line.extend(Line::listed(gates.iter().map(code)));
            line
        }
        Reason::BlockingFindings { count, .. } => {
            line_of![
                "reviewers found ",
                figure(plural((*count).into(), "blocking fault", "blocking faults")),
                " in it"
            ]
        }
        Reason::ReviewersFailed { .. } => line_of!["nobody could review it"],
        Reason::AgentFailed { command, ended, said } => line_of![
            "the agent's command ",
            code(command),
            " ended with ",
            quote(ended),
            ": ",
            quote_up_to(room.text.min(400), said)
        ],
        Reason::LimitReached { limit: said }
        | Reason::ModelJunk { fault: said, .. }
        | Reason::ModelUnavailable { detail: said }
        | Reason::ChangeRefused { detail: said }
        | Reason::RulesUnusable { detail: said }
        | Reason::SandboxUnavailable { detail: said }
        | Reason::Unreachable { detail: said, .. }
        | Reason::BudgetReached { detail: said, .. } => {
            line_of!["it could not be carried out: ", quote_up_to(room.text.min(400), said)]
        }
        _ => line_of!["it could not be carried out"],
    });
    line
}

/// Which candidate this is, and why.
pub(super) fn chosen(choice: &Choice) -> Line {
    let chosen = choice.of_number(choice.chosen).and_then(|candidate| candidate.measured());
    let mut line =
        line_of![strong("Candidates"), ": number ", choice.chosen, " of ", choice.candidates.len(), ", ",];
    line.push(match choice.decided_by {
        DecidedBy::Alone => "the only one that came to an end",
        DecidedBy::Gates => "which does best at the gates",
        DecidedBy::Tests => "which passes the same gates as the best of the others and adds more tests",
        DecidedBy::Size => "which is smaller than others that do as well",
        DecidedBy::Judge => "which the judge prefers to those that measure the same",
        DecidedBy::Order => "the first of those that nothing tells apart",
    });
    if let Some(measured) = chosen {
        let tests = figure(plural(measured.tests_added.into(), "new test", "new tests"));
        let lines = figure(plural(measured.changed_lines, "changed line", "changed lines"));
        let (passed, run) = (measured.gates_passed, measured.gates_run);
        line.extend(line_of![" (", passed, " of ", run, " gates passed, ", tests, ", ", lines, ")"]);
    }
    let failed = choice.candidates.iter().filter(|candidate| candidate.measured().is_none()).count() as u64;
    if failed > 0 {
        line.extend(line_of![". ", figure(plural(failed, "other", "others")), " came to nothing"]);
    }
    if choice.judge_failed.is_some() {
        line.push(". The judge gave no usable answer");
    }
    line
}

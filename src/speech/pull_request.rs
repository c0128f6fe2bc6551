//! The pull request's title and text.

use super::evidence::{
    Evidence, could_not_run, gate_logs, gate_past, gate_table, open_findings, reviewed, spend,
};
use super::gateway::{Body, Gateway};
use super::notice::dry_run;
use super::page::{Block, Page, Room, Summary};
use super::status::approved;
use super::text::{Line, code, figure, line_of, quote_up_to, strong};
use super::verification::{chosen, verification};
use super::words::{self, Mode, count, plural};
use super::{help, plain};
use crate::domain::{Command, Task};

/// Longest title that GitHub takes, in characters.
const TITLE_MAX_CHARS: usize = 256;

/// How much a change changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeSize {
    pub files: u64,
    pub added_lines: u64,
    pub removed_lines: u64,
}

#[derive(Debug, Clone, Copy)]
pub struct PullRequestView<'a> {
    /// The effect's key, for the marker.
    pub key: &'a str,
    pub task: &'a Task,
    /// What the implementer says that it did.
    pub done: &'a str,
    pub size: ChangeSize,
    /// Tests of the base branch that the change alters or removes.
    pub altered_tests: &'a [String],
    pub evidence: Evidence<'a>,
    pub mode: Mode,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestText {
    pub title: String,
    pub body: Body,
}

pub fn pull_request(gateway: &Gateway, view: &PullRequestView) -> PullRequestText {
    PullRequestText { title: title(gateway, view.task), body: gateway.fit(view.key, |room| page(view, room)) }
}

/// A squashed commit takes its subject from the title, so references are broken there as in a commit.
pub(super) fn title(gateway: &Gateway, task: &Task) -> String {
    let title = gateway.plain(&line_of![quote_up_to(TITLE_MAX_CHARS - 56, task.title())]);
    plain::without_references(&title).chars().take(TITLE_MAX_CHARS).collect()
}

fn page(view: &PullRequestView, room: Room) -> Page {
    let mut page = Page::default();
    if view.mode == Mode::DryRun {
        page.append(dry_run());
    }
    page.append(could_not_run(&view.evidence, room));
    page.push(Block::Prose(view.done.to_owned(), room.text));
    page.append(issue(view.task));
    page.append(altered_tests(view.altered_tests));
    page.append(checks(&view.evidence, room));
    page.append(origin(view));
    page.append(how_to_steer());
    page.append(gate_logs(&view.evidence, room));
    page.append(approved_task(view.task, room));
    page
}

/// Merging closes the issue, unless other tasks of its plan are still to come.
fn issue(task: &Task) -> Page {
    let mut page = Page::default();
    let tasks = task.plan.as_ref().map_or(1, |plan| plan.tasks_in_plan);
    match task.origin.github() {
        Some(place) if tasks > 1 => {
            page.paragraph(line_of!["Part of ", place.issue, ": task ", task.ordinal, " of ", tasks, ".",])
        }
        Some(place) => page.paragraph(line_of!["Closes ", place.issue]),
        None => {}
    }
    page
}

pub(super) fn altered_tests(paths: &[String]) -> Page {
    let mut page = Page::default();
    if !paths.is_empty() {
        page.paragraph(line_of![
            strong("Please look at these first."),
            " The change alters or removes tests that were there before:",
        ]);
        page.bullets(paths.iter().map(|path| code(path).into()).collect());
    }
    page
}

pub(super) fn checks(evidence: &Evidence, room: Room) -> Page {
    let mut page = Page::default();
    page.heading("Gates");
    if evidence.gates.is_empty() {
        page.paragraph("None has run.");
    } else {
        page.append(gate_table(evidence));
        page.append(gate_past(evidence, room));
        page.paragraph("Each verdict comes from the exit code of the command, run in a sandbox.");
    }
    page.heading("Reviews");
    page.paragraph(reviewed(evidence));
    page.append(open_findings(evidence, room));
    page.append(verification(evidence, room));
    page
}

fn origin(view: &PullRequestView) -> Page {
    let mut page = Page::default();
    page.heading("Where this comes from");
    page.bullets(facts(view.task, &view.size, &view.evidence));
    page
}

/// Commits, size, approval, rounds and cost.
pub(super) fn facts(task: &Task, size: &ChangeSize, evidence: &Evidence) -> Vec<Line> {
    let mut facts = Vec::new();
    if let (Some(base), Some(head)) = (&task.base, &task.head) {
        facts.push(line_of![strong("Commits"), ": ", code(format!("{base}..{head}"))]);
    }
    facts.push(line_of![
        strong("Change"),
        ": ",
        figure(plural(size.files, "file", "files")),
        ", ",
        figure(count(size.added_lines)),
        " lines added, ",
        figure(count(size.removed_lines)),
        " removed",
    ]);
    if let Some(choice) = evidence.choice {
        facts.push(chosen(choice));
    }
    if let Some(plan) = &task.plan {
        let mut line = line_of![
            strong("Plan"),
            ": revision ",
            task.revision,
            ", digest ",
            code(plan.digest.to_string()),
            ", "
        ];
        match &task.approval {
            Some(approval) => {
                line.extend(approved(&approval.by, &approval.means));
                line.extend(line_of![" at ", words::time(approval.at)]);
            }
            None => line.push("not approved"),
        }
        facts.push(line);
    }
    facts.push(line_of![
        strong("Rounds"),
        ": ",
        task.gate_rounds,
        " for gates, ",
        task.review_rounds,
        " for findings, attempt ",
        task.attempt,
    ]);
    let mut cost = line_of![strong("Cost"), ": "];
    cost.extend(spend(&evidence.spend));
    facts.push(cost);
    facts.push(line_of![strong("Task"), ": ", code(task.id.to_string())]);
    facts
}

fn how_to_steer() -> Page {
    let mut page = Page::default();
    page.heading("How to steer");
    let useful = [Command::Fix(String::new()), Command::Status, Command::Help];
    let mut lines: Vec<Line> = useful
        .iter()
        .map(|command| {
            let (typed, effect) = help::usage(command);
            line_of![code(typed), ": ", effect]
        })
        .collect();
    lines.push("Push to the branch whenever you like: what a person pushed is never overwritten.".into());
    lines.push("Merging or closing is yours alone.".into());
    page.bullets(lines);
    page
}

fn approved_task(task: &Task, room: Room) -> Page {
    let mut page = Page::default();
    if let Some(plan) = &task.plan {
        page.details(
            Summary::from("The task as it was approved"),
            super::plan::task(&plan.specification, &[], room),
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::super::gateway::{BODY_MAX_CHARS, has_marker};
    use super::*;
    use crate::speech::tests::rules;
    use crate::speech::tests::samples::{self, gateway};

    fn whole(text: &PullRequestText) -> String {
        format!("{}\n\n{}", text.title, text.body.as_str())
    }

    #[test]
    fn a_pull_request() {
        let (task, proof) = (samples::published(), samples::Proof::good());
        insta::assert_snapshot!(whole(&pull_request(&gateway(), &samples::pull_request_view(&task, &proof))));
    }

    #[test]
    fn a_pull_request_whose_gates_could_not_all_run() {
        let mut task = samples::published();
        task.plan.as_mut().expect("a plan").tasks_in_plan = 2;
        let (proof, altered) = (samples::Proof::mixed(), vec!["tests/round.rs".to_owned()]);
        let view = PullRequestView { altered_tests: &altered, ..samples::pull_request_view(&task, &proof) };
        insta::assert_snapshot!(whole(&pull_request(&gateway(), &view)));
    }

    #[test]
    fn a_pull_request_of_a_chosen_candidate_with_findings_that_do_not_hold() {
        let (task, proof) = (samples::published(), samples::Proof::of_a_choice());
        insta::assert_snapshot!(whole(&pull_request(&gateway(), &samples::pull_request_view(&task, &proof))));
    }

    #[test]
    fn a_pull_request_that_nobody_reviewed() {
        use crate::domain::{OptionalStage, SwitchedBy, SwitchedOff};
        let (task, proof) = (samples::published(), samples::Proof::none());
        let off = [SwitchedOff { stage: OptionalStage::Review, by: SwitchedBy::Repository }];
        let evidence = Evidence { switched_off: &off, ..proof.evidence() };
        let view = PullRequestView { evidence, ..samples::pull_request_view(&task, &proof) };
        insta::assert_snapshot!(whole(&pull_request(&gateway(), &view)));
    }

    #[test]
    fn a_pull_request_without_any_gate() {
        let (task, proof) = (samples::published(), samples::Proof::none());
        let view = PullRequestView { mode: Mode::DryRun, ..samples::pull_request_view(&task, &proof) };
        insta::assert_snapshot!(whole(&pull_request(&gateway(), &view)));
    }

    #[test]
    fn a_hostile_pull_request_closes_only_its_own_issue() {
        let (task, proof) = (samples::hostile_task(), samples::Proof::hostile());
        let done = samples::HOSTILE.join("\n\n");
        let view = PullRequestView { done: &done, ..samples::pull_request_view(&task, &proof) };
        let text = pull_request(&gateway(), &view);
        rules::assert_harmless(text.body.as_str());
        assert_eq!(rules::closing_references(&text.title), Vec::<String>::new());
        assert_eq!(rules::closing_references(text.body.as_str()), ["Closes #12"]);
        insta::assert_snapshot!(whole(&text));
    }

    #[test]
    fn long_logs_are_cut_and_facts_are_not() {
        let (task, mut proof) = (samples::published(), samples::Proof::mixed());
        for gate in &mut proof.gates {
            gate.log = "a line of output that is repeated\n".repeat(30_000);
        }
        let body = pull_request(&gateway(), &samples::pull_request_view(&task, &proof)).body.into_string();
        assert!(body.chars().count() <= BODY_MAX_CHARS);
        assert!(has_marker(&body, "key"));
        for fact in ["Closes #12", "exit code", "could not run", "Where this comes from", "How to steer"] {
            assert!(body.contains(fact), "{fact} was cut");
        }
        assert!(body.contains("characters cut"));
    }
}

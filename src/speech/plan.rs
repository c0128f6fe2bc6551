//! The plan comment: what a person approves or rejects.

use super::gateway::{Body, Gateway};
use super::notice::dry_run;
use super::page::{Block, Page, Room, Summary};
use super::route;
use super::text::{Line, code, figure, line_of, quote, quote_up_to, strong};
use super::words::{self, Mode};
use crate::domain::{Plan, SourceText, TaskSpecification, UsedTemplate, Workflow, visible_text};

/// Where a repository's templates are.
const TEMPLATES: &str = ".orchestrator/templates/";

/// What the work will probably cost, in millionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    pub least_micro_usd: u64,
    pub most_micro_usd: u64,
}

#[derive(Debug, Clone, Copy)]
pub struct PlanView<'a> {
    /// The effect's key, for the marker.
    pub key: &'a str,
    pub plan: &'a Plan,
    /// Exactly what the model read.
    pub source: &'a SourceText,
    /// Which of the plan's tasks, from 1.
    pub ordinal: u32,
    pub revision: u32,
    /// The titles of all of the plan's tasks, in order.
    pub titles: &'a [String],
    /// `None`: no prices are configured.
    pub estimate: Option<Estimate>,
    pub budget_micro_usd: Option<u64>,
    /// Days until the wait for an approval is over.
    pub wait_days: u32,
    pub mode: Mode,
}

pub fn plan_comment(gateway: &Gateway, view: &PlanView) -> Body {
    gateway.fit(view.key, |room| {
        let mut page = Page::default();
        if view.mode == Mode::DryRun {
            page.append(dry_run());
        }
        page.append(head(view, room));
        page.append(how_to_decide(view));
        page.append(task(&view.plan.specification, view.titles, room));
        page.append(cost(view));
        page.append(what_is_approved(view));
        page.append(read(view.source, room));
        page
    })
}

fn head(view: &PlanView, room: Room) -> Page {
    let mut page = Page::default();
    page.heading(line_of!["Plan: ", quote_up_to(200, &view.plan.specification.title)]);
    page.push(Block::Prose(view.plan.understood.clone(), room.text));
    page
}

fn how_to_decide(view: &PlanView) -> Page {
    let mut page = Page::default();
    if view.mode == Mode::DryRun {
        page.paragraph("The approval is taken as given, since this is a dry run.");
        return page;
    }
    page.paragraph(line_of![
        strong("This waits for you."),
        " React to this comment: 👍 starts the work, 👎 ends the task. ",
        code("/orchestrate approve"),
        " and ",
        code("/orchestrate reject"),
        " do the same. The reaction or command of a person with write permission counts.",
    ]);
    if view.plan.tasks_in_plan > 1 {
        page.paragraph(line_of![
            "This is task ",
            view.ordinal,
            " of ",
            view.plan.tasks_in_plan,
            ". Each has a comment of its own: a reaction decides the task of its comment, a command all that wait.",
        ]);
    }
    page
}

pub(super) fn task(specification: &TaskSpecification, titles: &[String], room: Room) -> Page {
    let mut page = Page::default();
    page.paragraph(line_of![strong("Objective")]);
    page.push(Block::Prose(specification.objective.clone(), room.text));
    let lists: [(&'static str, &[String]); 3] = [
        ("Requirements", &specification.requirements),
        ("Constraints", &specification.constraints),
        ("Acceptance criteria", &specification.acceptance_criteria),
    ];
    for (name, entries) in lists {
        if !entries.is_empty() {
            page.paragraph(line_of![strong(name)]);
            page.bullets(entries.iter().map(|entry| quote_up_to(room.text, entry).into()).collect());
        }
    }
    if !specification.likely_files.is_empty() {
        page.paragraph(line_of![strong("Likely files")]);
        page.bullets(specification.likely_files.iter().map(|path| code(path).into()).collect());
    }
    if !specification.prepared.design.is_empty() {
        page.paragraph(line_of![strong("Design")]);
        page.push(Block::Prose(specification.prepared.design.clone(), room.text));
    }
    if let Some(template) = &specification.prepared.template {
        page.paragraph(used_template(template, specification.workflow));
    }
    page.append(opened(specification));
    let mut facts = line_of![
        strong("Risk"),
        ": ",
        words::risk(specification.risk),
        " · ",
        strong("Size"),
        ": ",
        words::size(specification.size),
        " · ",
        strong("Priority"),
        ": ",
        words::priority(specification.priority),
        " · ",
        strong("Workflow"),
        ": ",
        words::workflow(specification.workflow),
        " · ",
        strong("Depends on"),
        ": ",
    ];
    facts.extend(dependencies(specification, titles));
    page.paragraph(facts);
    if let Some(route) = &specification.prepared.route {
        page.append(route::routed(route));
    }
    page.append(notes(&specification.prepared.notes));
    page
}

/// What labels and the repository's rules came to.
pub(super) fn notes(notes: &[String]) -> Page {
    let mut page = Page::default();
    if !notes.is_empty() {
        page.paragraph(line_of![strong("Labels and rules")]);
        page.bullets(notes.iter().map(|note| quote(note).into()).collect());
    }
    page
}

/// Whose entries the task has besides its own, and who reviews it therefore.
fn used_template(template: &UsedTemplate, workflow: Workflow) -> Line {
    let mut line = line_of![
        strong("Template"),
        ": ",
        code(&template.name),
        " of this repository (",
        code(format!("{TEMPLATES}{}.yaml", template.name)),
        "). What it asks for is among the entries above.",
    ];
    if workflow.ends_in_answer() || template.reviewers.is_empty() {
        return line;
    }
    for (index, reviewer) in template.reviewers.iter().enumerate() {
        line.push(if index == 0 { " The change is reviewed by " } else { ", " });
        line.push(code(reviewer));
    }
    line.push(".");
    line
}

/// What an approval opens besides the ordinary: nobody may overlook it.
fn opened(specification: &TaskSpecification) -> Page {
    let mut page = Page::default();
    let lists: [(Line, &[String]); 2] = [
        (
            line_of![
                strong("This plan asks to change protected files."),
                " They decide what runs, who reviews or what agents are told. An approval opens these and no others:",
            ],
            &specification.protected_files,
        ),
        (
            line_of![
                strong("This plan asks to change what existing tests or gates check."),
                " In these files tests may be removed or expect something else, and settings may be laxer:",
            ],
            &specification.altered_tests,
        ),
    ];
    for (what, paths) in lists {
        if !paths.is_empty() {
            page.paragraph(what);
            page.bullets(paths.iter().map(|path| code(path).into()).collect());
        }
    }
    page
}

fn dependencies(specification: &TaskSpecification, titles: &[String]) -> Line {
    if specification.depends_on.is_empty() {
        return "nothing".into();
    }
    let mut line = Line::default();
    for (position, &index) in specification.depends_on.iter().enumerate() {
        if position > 0 {
            line.push(", ");
        }
        line.extend(line_of!["task ", index + 1]);
        if let Some(title) = titles.get(index) {
            line.extend(line_of![" (", quote(title), ")"]);
        }
    }
    line
}

fn cost(view: &PlanView) -> Page {
    let mut line = line_of![strong("Cost"), ": "];
    match view.estimate {
        Some(Estimate { least_micro_usd, most_micro_usd }) if least_micro_usd == most_micro_usd => {
            line.extend(line_of!["estimated ", figure(words::usd(most_micro_usd))]);
        }
        Some(Estimate { least_micro_usd, most_micro_usd }) => line.extend(line_of![
            "estimated ",
            figure(words::usd(least_micro_usd)),
            " to ",
            figure(words::usd(most_micro_usd)),
        ]),
        None => line.push("no estimate, since no price is configured for the models"),
    }
    match view.budget_micro_usd {
        Some(budget) => line.extend(line_of![
            ". Budget: ",
            figure(words::usd(budget)),
            "; at the limit the work stops and is kept.",
        ]),
        None => line.push(". No budget is set."),
    }
    let mut page = Page::default();
    page.paragraph(line);
    page
}

fn what_is_approved(view: &PlanView) -> Page {
    let mut page = Page::default();
    page.paragraph(line_of![strong("What an approval covers")]);
    let comments = view.source.comments.len() as u64;
    let text: Line = match comments {
        0 => "the title and the body of the issue and this comment".into(),
        1 => "the title and the body of the issue, the comment that was read, and this comment".into(),
        _ => line_of![
            "the title and the body of the issue, the ",
            figure(words::count(comments)),
            " comments that were read, and this comment",
        ],
    };
    let mut covers =
        line_of!["Revision ", view.revision, ", digest ", code(view.plan.digest.to_string()), ": "];
    covers.extend(text);
    covers.push(".");
    page.bullets(vec![
        covers,
        line_of![
            "Editing or deleting any of it voids the approval and stops the work; later comments lie outside of it ",
            "and change nothing.",
        ],
        "Taking the reaction back before the work has started takes the approval back.".into(),
        line_of![
            "The wait is over after ",
            figure(words::plural(u64::from(view.wait_days), "day", "days")),
            ".",
        ],
    ]);
    page
}

/// What the model read, cleared of what nobody sees by the same function, in fences that nothing inside can
/// end.
fn read(source: &SourceText, room: Room) -> Page {
    let mut inner = Page::default();
    let mut part = |name: Line, text: &str| {
        inner.paragraph(name);
        // The evidence itself never goes to nothing: its beginning and end stay.
        inner.push(Block::Exact(visible_text(text), room.log.max(200)));
        if text.is_empty() {
            inner.paragraph("(empty)");
        }
    };
    part("Title:".into(), &source.title);
    part("Body:".into(), &source.body);
    for comment in &source.comments {
        part(line_of!["Comment ", comment.id.0, " by ", code(&comment.author.login), ":"], &comment.body);
    }
    let summary = Summary::from("Exactly the text that the model read: title, body, ")
        .number(source.comments.len())
        .words(if source.comments.len() == 1 { " comment" } else { " comments" });
    let mut page = Page::default();
    page.details(summary, inner);
    page
}

#[cfg(test)]
mod tests {
    use super::super::gateway::BODY_MAX_CHARS;
    use super::*;
    use crate::domain::parse_command;
    use crate::speech::tests::rules;
    use crate::speech::tests::samples::{self, gateway};

    #[test]
    fn a_plan() {
        let (task, titles) = (samples::task(), samples::titles());
        insta::assert_snapshot!(plan_comment(&gateway(), &samples::plan_view(&task, &titles)).as_str());
    }

    #[test]
    fn a_plan_that_opens_protected_files_and_tests() {
        let (mut task, titles) = (samples::task(), samples::titles());
        let specification = &mut task.plan.as_mut().expect("a plan").specification;
        specification.protected_files = vec![".github/workflows/ci.yml".into(), "CODEOWNERS".into()];
        specification.altered_tests = vec!["tests/round.rs".into()];
        insta::assert_snapshot!(plan_comment(&gateway(), &samples::plan_view(&task, &titles)).as_str());
    }

    #[test]
    fn a_plan_that_was_designed_and_routed() {
        let (mut task, titles) = (samples::task(), samples::titles());
        let specification = &mut task.plan.as_mut().expect("a plan").specification;
        specification.prepared = samples::prepared();
        insta::assert_snapshot!(plan_comment(&gateway(), &samples::plan_view(&task, &titles)).as_str());
    }

    #[test]
    fn a_plan_of_a_template() {
        let (mut task, titles) = (samples::task(), samples::titles());
        let specification = &mut task.plan.as_mut().expect("a plan").specification;
        let reviewers = vec!["tone".into(), "safety".into()];
        specification.prepared.template =
            Some(UsedTemplate { name: "docs".into(), workflow: None, reviewers });
        insta::assert_snapshot!(plan_comment(&gateway(), &samples::plan_view(&task, &titles)).as_str());
    }

    #[test]
    fn one_plan_of_several_with_an_exact_estimate() {
        let mut task = samples::task();
        task.ordinal = 2;
        let plan = task.plan.as_mut().expect("a plan");
        plan.tasks_in_plan = 2;
        plan.specification.depends_on = vec![0];
        plan.specification.constraints = vec![];
        task.source.as_mut().expect("a source").comments.clear();
        let titles = samples::titles();
        let view = PlanView {
            estimate: Some(Estimate { least_micro_usd: 50_000, most_micro_usd: 50_000 }),
            budget_micro_usd: None,
            ..samples::plan_view(&task, &titles)
        };
        insta::assert_snapshot!(plan_comment(&gateway(), &view).as_str());
    }

    #[test]
    fn a_plan_of_a_dry_run() {
        let (task, titles) = (samples::task(), samples::titles());
        let view = PlanView { mode: Mode::DryRun, estimate: None, ..samples::plan_view(&task, &titles) };
        insta::assert_snapshot!(plan_comment(&gateway(), &view).as_str());
    }

    #[test]
    fn a_hostile_plan_acts_nowhere() {
        let (task, titles) = (samples::hostile_task(), samples::titles());
        let body = plan_comment(&gateway(), &samples::plan_view(&task, &titles));
        rules::assert_harmless(body.as_str());
        assert_eq!(parse_command(body.as_str()), None);
        insta::assert_snapshot!(body.as_str());
    }

    #[test]
    fn the_greatest_plan_that_is_valid_fits_into_a_comment() {
        let mut task = samples::task();
        let specification = &mut task.plan.as_mut().expect("a plan").specification;
        let list = vec!["*_`[]<>@#1 ".repeat(180); 30];
        specification.requirements.clone_from(&list);
        specification.constraints.clone_from(&list);
        specification.acceptance_criteria.clone_from(&list);
        specification.likely_files = list;
        specification.prepared = samples::prepared();
        specification.prepared.design = "*_`[]<>@#1 ".repeat(360);
        let files = vec!["a_b/@".repeat(300); 30];
        specification.protected_files.clone_from(&files);
        specification.altered_tests = files;
        specification.validate(0, 1).expect("valid");
        let source = task.source.as_mut().expect("a source");
        source.body = "```\n".repeat(16_000);
        source.comments = vec![source.comments[0].clone(); 20];
        for comment in &mut source.comments {
            comment.body = "long ".repeat(10_000);
        }
        let titles = samples::titles();
        let body = plan_comment(&gateway(), &samples::plan_view(&task, &titles)).into_string();
        assert!(body.chars().count() <= BODY_MAX_CHARS);
        assert!(!body.contains("This text was cut here"), "the plan was cut in the middle");
        assert!(body.contains("Exactly the text that the model read"));
        rules::assert_harmless(&body);
    }
}

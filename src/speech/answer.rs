//! An answer in words: the text, the places that bear it out, what was dropped, what was computed, and what
//! those found who did not write it.

use super::evidence::{Spend, spend};
use super::gateway::{Body, Gateway};
use super::notice::dry_run;
use super::page::{Block, Page, Room, Summary};
use super::route;
use super::text::{Line, Place, code, commit, figure, line_of, quote_up_to, strong};
use super::words::{self, Mode, plural};
use crate::domain::{Answer, CitationFault, Task};

#[derive(Debug, Clone, Copy)]
pub struct AnswerView<'a> {
    /// The effect's key, for the marker.
    pub key: &'a str,
    pub task: &'a Task,
    pub answer: &'a Answer,
    /// Where people look at the repository: the server's base address.
    pub server: &'a str,
    pub spend: Spend,
    pub mode: Mode,
}

/// How much longer than an ordinary paragraph an answer may be.
const TEXT_SHARE: usize = 5;

pub fn answer_comment(gateway: &Gateway, view: &AnswerView) -> Body {
    gateway.fit(view.key, |room| {
        let mut page = Page::default();
        if view.mode == Mode::DryRun {
            page.append(dry_run());
        }
        page.append(whose(view.task, room));
        let repository = view.task.origin.github().map(|place| (view.server, &*place.full_name));
        page.append(answer(view.answer, repository, room));
        page.append(facts(view));
        page
    })
}

/// Several may ask in the same place.
fn whose(task: &Task, room: Room) -> Page {
    let mut page = Page::default();
    page.heading(line_of!["Answer: ", quote_up_to(200, task.title())]);
    if task.asked.is_some() {
        let question = task.plan.as_ref().map_or("", |plan| &plan.specification.objective);
        let asked = quote_up_to(room.text, question);
        page.paragraph(line_of![code(&task.requested_by.login), " asked: ", asked]);
    }
    page
}

/// The answer and what it rests on. `repository`: the server's address and `owner/name`, for links.
pub(super) fn answer(answer: &Answer, repository: Option<(&str, &str)>, room: Room) -> Page {
    let mut page = Page::default();
    if answer.is_unsupported() {
        page.paragraph(line_of![
            strong("Unsupported."),
            " No place of the repository was found that bears this answer out. Do not rely on it without looking.",
        ]);
    }
    if let Some(verification) = answer.verification.as_ref().filter(|verification| !verification.holds) {
        page.paragraph(line_of![
            strong("Doubted."),
            " The verifier, who did not write this answer, finds that it does not hold: ",
            quote_up_to(room.text, &verification.why),
        ]);
    }
    page.push(Block::Prose(answer.text_as_it_holds(), room.text.saturating_mul(TEXT_SHARE)));
    page.append(sources(answer, repository));
    page.append(judged(answer, room));
    page.append(computed(answer, room));
    page
}

fn sources(answer: &Answer, repository: Option<(&str, &str)>) -> Page {
    let mut page = Page::default();
    if !answer.sources.is_empty() {
        page.paragraph(line_of![strong("Sources"), ", each found at commit ", commit(&answer.commit), ":"]);
        let place = |source: &crate::domain::Source| {
            let lines = (source.start_line, source.end_line);
            let place = Place::new(repository, &answer.commit, &source.path, lines);
            line_of!["[", source.number, "] ", place]
        };
        page.bullets(answer.sources.iter().map(place).collect());
    }
    if !answer.dropped.is_empty() {
        let all = answer.dropped.len() + answer.sources.len();
        let were = if answer.dropped.len() == 1 {
            " was dropped: what it cites"
        } else {
            " were dropped: what they cite"
        };
        page.paragraph(line_of![
            answer.dropped.len(),
            " of ",
            figure(plural(all as u64, "citation", "citations")),
            were,
            " is not in the repository as cited.",
        ]);
        let dropped = answer.dropped.iter().map(|dropped| {
            let citation = &dropped.citation;
            let lines = format!("{}:{}-{}", citation.path, citation.start_line, citation.end_line);
            line_of!["[", citation.number, "] ", code(lines), ": ", fault(dropped.fault)]
        });
        let mut inner = Page::default();
        inner.bullets(dropped.collect());
        page.details(Summary::from("Dropped citations: ").number(answer.dropped.len()), inner);
    }
    page
}

fn fault(fault: CitationFault) -> &'static str {
    match fault {
        CitationFault::NoFile => "there is no such text file",
        CitationFault::NoLines => "the file has no such lines",
        CitationFault::NotThere => "the quoted words are not there",
        CitationFault::TooShort => "too little is quoted to find it by",
    }
}

fn judged(answer: &Answer, room: Room) -> Page {
    let mut page = Page::default();
    if let Some(verification) = answer.verification.as_ref().filter(|verification| verification.holds) {
        page.paragraph(line_of![
            strong("Verified"),
            " by a model call that did not write it: ",
            quote_up_to(room.text, &verification.why),
        ]);
    }
    if !answer.objections.is_empty() {
        page.paragraph(line_of![strong("The critic still objects:")]);
        let quoted = |text: &String| Line::from(quote_up_to(room.text, text));
        page.bullets(answer.objections.iter().map(quoted).collect());
    }
    page
}

fn computed(answer: &Answer, room: Room) -> Page {
    let mut inner = Page::default();
    for computation in &answer.computations {
        inner.paragraph("The program:");
        inner.push(Block::Log(computation.code.clone(), room.log));
        inner.paragraph("What it came to:");
        inner.push(Block::Log(computation.output.clone(), room.log));
    }
    let mut page = Page::default();
    page.details(Summary::from("What was computed: ").number(answer.computations.len()), inner);
    page
}

fn facts(view: &AnswerView) -> Page {
    let mut line = line_of![
        "Workflow: ",
        words::workflow(view.answer.workflow),
        ". Looked at: commit ",
        commit(&view.answer.commit),
        ". Spent: ",
    ];
    line.extend(spend(&view.spend));
    line.push(".");
    let mut page = Page::default();
    page.paragraph(line);
    if let Some(route) = &view.answer.route {
        page.append(route::routed(route));
    }
    page.append(super::plan::notes(&view.answer.notes));
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_command;
    use crate::speech::tests::rules;
    use crate::speech::tests::samples::{self, Proof, gateway};

    fn said(task: &Task, answer: &Answer) -> String {
        let (spend, mode) = (Proof::good().evidence().spend, Mode::Live);
        let view = AnswerView { key: "key", task, answer, server: "https://docs.example", spend, mode };
        answer_comment(&gateway(), &view).into_string()
    }

    #[test]
    fn an_answer_with_one_citation_that_holds_and_one_that_does_not() {
        insta::assert_snapshot!(said(&samples::question(), &samples::answer()));
    }

    #[test]
    fn an_answer_that_nothing_bears_out() {
        let answer = Answer { sources: vec![], ..samples::answer() };
        insta::assert_snapshot!(said(&samples::question(), &answer));
    }

    #[test]
    fn an_answer_that_was_computed_and_is_doubted() {
        insta::assert_snapshot!(said(&samples::question(), &samples::computed_answer()));
    }

    #[test]
    fn a_hostile_answer_acts_nowhere() {
        let body = said(&samples::hostile_task(), &samples::hostile_answer());
        rules::assert_harmless(&body);
        assert_eq!(parse_command(&body), None);
        insta::assert_snapshot!(body);
    }

    #[test]
    fn the_greatest_answer_fits_into_a_comment() {
        let mut answer = samples::computed_answer();
        answer.text = "*_`[]<>@#1 ".repeat(2_000);
        answer.objections = vec!["*_`[]<>@#1 ".repeat(100); 8];
        for _ in 0..40 {
            answer.computations.push(answer.computations[0].clone());
            answer.computations[0].output = "long\n".repeat(2_000);
        }
        let body = said(&samples::question(), &answer);
        assert!(body.chars().count() <= crate::speech::BODY_MAX_CHARS);
        assert!(!body.contains("This text was cut here"), "the answer was cut in the middle");
    }
}

//! Mail: subject, a text part that is complete on its own, and an HTML part that loads nothing.
//!
//! Sending, Message-IDs and threads are the mail room's.

use askama::Template;
use chrono::{DateTime, Utc};

use super::evidence::{Evidence, finding_counts, finding_lines, gate_counts, spend};
use super::gateway::Gateway;
use super::page::Room;
use super::plain;
use super::plan::Estimate;
use super::quoted::next_code;
use super::reason::advice;
use super::status;
use super::text::{Line, Piece, code, commit, figure, line_of, quote, quote_up_to};
use super::words::{self, plural};
use crate::domain::{IssueNumber, MailKind, State, Task, Usage};

/// Longest subject, in characters.
const SUBJECT_MAX_CHARS: usize = 150;
/// Longest quotation of several lines.
const SAID_MAX_CHARS: usize = 4_000;

#[derive(Debug, Clone, Copy)]
pub struct MailView<'a> {
    pub kind: MailKind,
    /// The task as it was when the mail was decided.
    pub task: &'a Task,
    /// The label that starts work.
    pub label: &'a str,
    /// Where the plan or the issue is to be read.
    pub issue_url: &'a str,
    pub pull_request_url: Option<&'a str>,
    pub estimate: Option<Estimate>,
    pub evidence: Evidence<'a>,
}

/// One task in the digest.
#[derive(Debug, Clone, Copy)]
pub struct DigestEntry<'a> {
    /// `owner/name`
    pub repository: &'a str,
    /// The pull request, or the issue where there is none yet.
    pub number: IssueNumber,
    pub url: &'a str,
    pub title: &'a str,
    pub state: &'a State,
    /// What it cost in the period.
    pub usage: Usage,
}

#[derive(Debug, Clone, Copy)]
pub struct DigestView<'a> {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// What came to an end or to a pull request in the period.
    pub done: &'a [DigestEntry<'a>],
    /// What waits for a person now.
    pub waiting: &'a [DigestEntry<'a>],
    /// What is being worked on now.
    pub at_work: &'a [DigestEntry<'a>],
    /// Everything that was spent in the period.
    pub usage: Usage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailText {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// The mail for a turn in a task's life.
///
/// # Errors
/// Only where the template engine fails to write into memory.
pub fn mail(gateway: &Gateway, view: &MailView) -> Result<MailText, askama::Error> {
    let letter = match view.kind {
        MailKind::PlanWaits => plan_waits(view),
        MailKind::PullRequestReady => pull_request_ready(view),
        MailKind::NeedsPerson => needs_person(view),
    };
    letter.write(gateway)
}

/// What was done, what waits for a person, what it cost.
///
/// # Errors
/// Only where the template engine fails to write into memory.
pub fn digest(gateway: &Gateway, view: &DigestView) -> Result<MailText, askama::Error> {
    let waiting = match view.waiting.len() as u64 {
        0 => "Nothing waits for you".into(),
        count => line_of![figure(plural(count, "task waits", "tasks wait")), " for you"],
    };
    let mut subject = line_of!["Orchestrator: "];
    subject.extend(waiting.clone());
    subject.extend(line_of![", ", view.done.len(), " done"]);
    let mut letter = Letter::new(subject, waiting);
    letter.paragraphs.push(line_of!["From ", words::time(view.from), " to ", words::time(view.to), "."]);
    letter.facts.push(("Spent", line_of![figure(words::usage(&view.usage))]));
    for (title, entries, none) in [
        ("Waits for you", view.waiting, "Nothing."),
        ("Done", view.done, "Nothing came to an end."),
        ("At work", view.at_work, "Nothing."),
    ] {
        letter.sections.push(section(title, entries, none));
    }
    letter.write(gateway)
}

fn section(title: &'static str, entries: &[DigestEntry], none: &'static str) -> Section {
    let mut section = Section { title, ..Section::default() };
    if entries.is_empty() {
        section.lines.push(none.into());
    }
    for entry in entries {
        let place = format!("{}#{}", entry.repository, entry.number);
        let mut line = line_of![quote_up_to(120, entry.title), " (", quote(place), "): "];
        line.push(words::state(entry.state));
        if entry.usage.cost_micro_usd > 0 {
            line.extend(line_of![", ", figure(words::usd(entry.usage.cost_micro_usd))]);
        }
        section.linked.push((line, entry.url.to_owned()));
    }
    section
}

fn repository(task: &Task) -> Piece {
    match task.origin.github() {
        Some(place) => quote(format!("{}#{}", place.full_name, place.issue)),
        None => "local".into(),
    }
}

fn letter_of(task: &Task, what: &'static str) -> Letter {
    let subject = line_of!["[", repository(task), "] ", what, ": ", quote_up_to(100, task.title())];
    let mut letter = Letter::new(subject, line_of![what]);
    letter.facts.push(("Task", line_of![quote_up_to(200, task.title())]));
    letter.facts.push(("Issue", line_of![repository(task)]));
    letter
}

fn plan_waits(view: &MailView) -> Letter {
    let task = view.task;
    let mut letter = letter_of(task, "A plan waits for you");
    let Some(plan) = &task.plan else { return letter };
    let understood = plan.understood.lines().filter(|line| !line.trim().is_empty()).take(12);
    letter.paragraphs.extend(understood.map(|line| line_of![quote(line)]));
    let specification = &plan.specification;
    letter.facts.push((
        "Size and risk",
        line_of![words::size(specification.size), ", risk ", words::risk(specification.risk)],
    ));
    if let Some(estimate) = view.estimate {
        let mut cost = line_of![
            figure(words::usd(estimate.least_micro_usd)),
            " to ",
            figure(words::usd(estimate.most_micro_usd)),
            " estimated",
        ];
        if let Some(budget) = view.evidence.spend.budget_micro_usd {
            cost.extend(line_of![", budget ", figure(words::usd(budget))]);
        }
        letter.facts.push(("Cost", cost));
    }
    letter.facts.push(("Plan", line_of!["revision ", task.revision, ", digest ", code(plan.digest.short())]));
    let quoted = |entries: &[String]| entries.iter().map(|entry| quote(entry).into()).collect();
    letter.sections.push(Section {
        title: "Requirements",
        lines: quoted(&specification.requirements),
        ..Section::default()
    });
    letter.sections.push(Section {
        title: "Acceptance criteria",
        lines: quoted(&specification.acceptance_criteria),
        ..Section::default()
    });
    letter.sections.push(Section {
        title: "How to decide",
        lines: vec![
            "React to the plan comment: 👍 starts the work, 👎 ends the task.".into(),
            line_of![code("/orchestrate approve"), " and ", code("/orchestrate reject"), " do the same."],
            "Answering this mail does nothing.".into(),
        ],
        ..Section::default()
    });
    letter.action("Read the plan", view.issue_url);
    letter
}

fn pull_request_ready(view: &MailView) -> Letter {
    let task = view.task;
    let what = if task.round == 0 { "A pull request is ready" } else { "A pull request was updated" };
    let mut letter = letter_of(task, what);
    if let Some(number) = task.pull_request {
        letter.facts.push(("Pull request", line_of![number]));
    }
    if let Some(branch) = &task.branch {
        letter.facts.push(("Branch", line_of![code(branch.as_str())]));
    }
    if let (Some(base), Some(head)) = (&task.base, &task.head) {
        letter.facts.push(("Commits", line_of![commit(base), " to ", commit(head)]));
    }
    letter.facts.extend(proof(&view.evidence));
    letter.sections.extend(not_checked(&view.evidence));
    letter.sections.extend(findings(&view.evidence));
    letter.sections.push(Section {
        title: "What to do",
        lines: vec![
            "Review it, and merge or close it: that is yours alone.".into(),
            line_of![code("/orchestrate fix <text>"), " in a comment works on it once more."],
        ],
        ..Section::default()
    });
    letter.action("Open the pull request", view.pull_request_url.unwrap_or(view.issue_url));
    letter
}

fn needs_person(view: &MailView) -> Letter {
    let task = view.task;
    let mut letter = letter_of(task, "A task needs a person");
    let State::NeedsPerson { reason, resume } = &task.state else {
        letter.paragraphs.push(line_of![
            "It has gone on in the meantime; it is now: ",
            words::state(&task.state),
            "."
        ]);
        letter.action("Open the issue", view.issue_url);
        return letter;
    };
    let advice = advice(task, reason, *resume, view.label);
    letter.paragraphs.push(advice.happened);
    letter.said = advice.said;
    letter.facts.push(("Plan", status::plan(task)));
    letter.facts.extend(proof(&view.evidence));
    letter.facts.push(("Kept", advice.kept));
    letter.sections.extend(failed_gates(&view.evidence));
    letter.sections.extend(not_checked(&view.evidence));
    letter.sections.extend(findings(&view.evidence));
    letter.sections.push(Section { title: "What to do", lines: advice.to_do, ..Section::default() });
    let (label, url) = match view.pull_request_url {
        Some(url) => ("Open the pull request", url),
        None => ("Open the issue", view.issue_url),
    };
    letter.action(label, url);
    letter
}

fn proof(evidence: &Evidence) -> [(&'static str, Line); 3] {
    [
        ("Gates", gate_counts(evidence)),
        ("Findings", finding_counts(evidence)),
        ("Spent", spend(&evidence.spend)),
    ]
}

fn failed_gates(evidence: &Evidence) -> Option<Section> {
    let failed = evidence.gates.iter().filter(|gate| gate.is_failure());
    let lines: Vec<Line> = failed
        .map(|gate| {
            let mut line = line_of![code(&gate.name), ": ", words::gate(gate)];
            if let Some(exit) = gate.exit {
                line.extend(line_of![", exit code ", exit]);
            }
            line.extend(line_of![" (", code(&gate.command), ")"]);
            line
        })
        .collect();
    (!lines.is_empty()).then(|| Section { title: "Gates that fail", lines, ..Section::default() })
}

fn not_checked(evidence: &Evidence) -> Option<Section> {
    let lines: Vec<Line> = evidence
        .could_not_run()
        .map(|(gate, reason)| line_of![code(&gate.name), ": ", quote(reason)])
        .collect();
    (!lines.is_empty()).then(|| Section {
        title: "Not checked, a gate could not run",
        lines,
        ..Section::default()
    })
}

fn findings(evidence: &Evidence) -> Option<Section> {
    let mut lines = finding_lines(evidence, Room { log: 0, text: 300 });
    lines.truncate(20);
    (!lines.is_empty()).then(|| Section { title: "Open findings", lines, ..Section::default() })
}

/// A mail before it is written: everything that both of its parts say.
struct Letter {
    subject: Line,
    heading: Line,
    paragraphs: Vec<Line>,
    /// What a model or tool said, in lines of its own.
    said: Option<String>,
    facts: Vec<(&'static str, Line)>,
    sections: Vec<Section>,
    action: Option<(&'static str, String)>,
}

#[derive(Default)]
struct Section {
    title: &'static str,
    lines: Vec<Line>,
    /// Lines that lead somewhere.
    linked: Vec<(Line, String)>,
}

impl Letter {
    fn new(subject: Line, heading: Line) -> Self {
        Self {
            subject,
            heading,
            paragraphs: Vec::new(),
            said: None,
            facts: Vec::new(),
            sections: Vec::new(),
            action: None,
        }
    }

    /// A button. Only an address of the web is one.
    fn action(&mut self, label: &'static str, url: &str) {
        if url.starts_with("https://") || url.starts_with("http://") {
            self.action = Some((label, url.to_owned()));
        }
    }

    fn write(&self, gateway: &Gateway) -> Result<MailText, askama::Error> {
        let subject: String = gateway.plain(&self.subject).chars().take(SUBJECT_MAX_CHARS).collect();
        let said = self.said.as_deref().map(|said| plain::quoted_lines(gateway, said, SAID_MAX_CHARS));
        let text = TextPart { letter: self, gateway, said: said.as_deref() }.render()?;
        let html = HtmlPart { letter: self, gateway, subject: &subject, said: said.as_deref() }.render()?;
        Ok(MailText { subject, text: gateway.redacted(&text), html: gateway.redacted(&html) })
    }
}

#[derive(Template)]
#[template(path = "mail.txt", escape = "none")]
struct TextPart<'a> {
    letter: &'a Letter,
    gateway: &'a Gateway<'a>,
    said: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct HtmlPart<'a> {
    letter: &'a Letter,
    gateway: &'a Gateway<'a>,
    subject: &'a str,
    said: Option<&'a str>,
}

impl HtmlPart<'_> {
    /// The pieces of a line with what each is: the template writes and escapes them.
    fn runs(&self, line: &Line) -> Vec<(Style, String)> {
        let mut runs = Vec::new();
        for piece in line.pieces() {
            let text = plain::piece(self.gateway, piece);
            match piece {
                Piece::Strong(_) => runs.push((Style::Strong, text)),
                Piece::Code(_) | Piece::Place(_) => runs.push((Style::Code, text)),
                Piece::Own(_) | Piece::Issue(_) => runs.push((Style::Plain, text)),
                Piece::Quoted(..) => quoted_runs(&mut runs, &text),
            }
        }
        runs
    }
}

/// Models write names between backticks; they are shown as the code they are.
fn quoted_runs(runs: &mut Vec<(Style, String)>, text: &str) {
    let mut rest = text;
    while let Some((before, inside, after)) = next_code(rest) {
        runs.push((Style::Plain, before.to_owned()));
        runs.push((Style::Code, inside.to_owned()));
        rest = after;
    }
    runs.push((Style::Plain, rest.to_owned()));
}

enum Style {
    Plain,
    Strong,
    Code,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::tests::samples::{self, Proof, gateway};

    fn whole(mail: &MailText) -> String {
        format!("Subject: {}\n\n{}\n=====\n{}", mail.subject, mail.text, mail.html)
    }

    fn written(task: &Task, kind: MailKind, proof: &Proof) -> MailText {
        mail(&gateway(), &samples::mail_view(task, kind, proof)).expect("written")
    }

    fn entry<'a>(title: &'a str, state: &'a State) -> DigestEntry<'a> {
        DigestEntry {
            repository: "acme/ledger",
            number: IssueNumber(12),
            url: "https://github.com/acme/ledger/issues/12",
            title,
            state,
            usage: samples::spend().usage,
        }
    }

    #[test]
    fn a_mail_when_a_plan_waits() {
        insta::assert_snapshot!(whole(&written(&samples::task(), MailKind::PlanWaits, &Proof::none())));
    }

    #[test]
    fn a_mail_when_a_pull_request_is_ready() {
        insta::assert_snapshot!(whole(&written(
            &samples::published(),
            MailKind::PullRequestReady,
            &Proof::good()
        )));
    }

    #[test]
    fn a_mail_when_a_pull_request_was_updated() {
        let mut task = samples::published();
        task.round = 2;
        insta::assert_snapshot!(written(&task, MailKind::PullRequestReady, &Proof::mixed()).text);
    }

    #[test]
    fn a_mail_when_a_person_is_needed() {
        let task = samples::stopped_by_gates();
        insta::assert_snapshot!(whole(&written(&task, MailKind::NeedsPerson, &Proof::mixed())));
    }

    #[test]
    fn the_text_of_the_mail_for_every_reason() {
        let texts: Vec<String> = samples::for_every_reason()
            .iter()
            .map(|task| written(task, MailKind::NeedsPerson, &Proof::none()))
            .map(|mail| format!("Subject: {}\n\n{}", mail.subject, mail.text))
            .collect();
        insta::assert_snapshot!(texts.join("\n=====\n"));
    }

    #[test]
    fn a_digest() {
        let states = samples::in_every_state();
        let done = [
            entry("Round half to even", &State::PullRequestOpen),
            entry("Say which file is missing", &State::Done),
        ];
        let waiting = [entry("Keep the order of rows", &State::AwaitingApproval)];
        let at_work = [entry("Read dates with a zone", &states[5].state)];
        let view = DigestView {
            from: samples::at(0),
            to: samples::at(86_400),
            done: &done,
            waiting: &waiting,
            at_work: &at_work,
            usage: samples::spend().usage,
        };
        insta::assert_snapshot!(whole(&digest(&gateway(), &view).expect("written")));
    }

    #[test]
    fn a_digest_of_a_quiet_day() {
        let view = DigestView {
            from: samples::at(0),
            to: samples::at(86_400),
            done: &[],
            waiting: &[],
            at_work: &[],
            usage: Usage::default(),
        };
        insta::assert_snapshot!(digest(&gateway(), &view).expect("written").text);
    }

    #[test]
    fn a_hostile_mail_loads_and_links_nothing_of_its_own() {
        for kind in [MailKind::PlanWaits, MailKind::PullRequestReady, MailKind::NeedsPerson] {
            let mut task = samples::hostile_task();
            if kind == MailKind::NeedsPerson {
                let said = samples::HOSTILE.join("\n");
                let reason = crate::domain::Reason::NothingChanged { said };
                task.state = State::NeedsPerson { reason, resume: crate::domain::Resume::Implement };
            }
            let mail = written(&task, kind, &Proof::hostile());
            assert!(!mail.subject.contains(['\n', '\r']), "{}", mail.subject);
            // What is quoted is escaped, so whatever stands in angle brackets is ours.
            for tag in mail.html.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
                let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap_or_default();
                let loads = ["img", "script", "link", "iframe", "object", "svg", "form"].contains(&name);
                assert!(!loads && !tag.contains("src=") && !tag.contains("url("), "<{tag}>");
                let link = tag.split("href=\"").nth(1).unwrap_or("https://github.com/acme/");
                assert!(link.starts_with("https://github.com/acme/"), "<{tag}>");
            }
            assert!(!mail.html.contains("@import"));
            for part in [&mail.text, &mail.html] {
                assert!(!part.contains("SECRET") && !part.contains("https://evil"), "{part}");
            }
        }
    }

    #[test]
    fn an_address_that_is_not_of_the_web_becomes_no_button() {
        let task = samples::task();
        let proof = Proof::none();
        let view = MailView {
            issue_url: "javascript:alert(1)",
            ..samples::mail_view(&task, MailKind::PlanWaits, &proof)
        };
        assert!(!mail(&gateway(), &view).expect("written").html.contains("javascript"));
    }
}

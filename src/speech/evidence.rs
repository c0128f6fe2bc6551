//! The parts that plan, status, pull request, check and report share: gates, findings, cost.

use super::page::{Block, Page, Room, Summary};
use super::text::{Line, Piece, code, figure, line_of, quote, quote_up_to, strong};
use super::words;
use crate::domain::{Finding, FindingStatus, GateReport, Requirement, Severity, Usage, Verdict};

/// What was spent on a task, and how much it may spend.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spend {
    pub usage: Usage,
    /// Millionths of a US dollar; `None`: no limit is configured.
    pub budget_micro_usd: Option<u64>,
}

/// What the last gates and reviews of a task found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// The last run of each gate.
    pub gates: &'a [GateReport],
    pub findings: &'a [(Finding, FindingStatus)],
    /// The reviewers that were asked.
    pub reviewers: &'a [String],
    /// Those of them that gave no usable answer.
    pub failed_reviewers: &'a [String],
    pub spend: Spend,
}

impl<'a> Evidence<'a> {
    pub(super) fn open(&self) -> impl Iterator<Item = &'a Finding> + Clone {
        self.findings.iter().filter(|(_, status)| *status == FindingStatus::Open).map(|(finding, _)| finding)
    }

    pub(super) fn open_by_severity(&self) -> Vec<&'a Finding> {
        let mut open: Vec<&Finding> = self.open().collect();
        open.sort_by(|a, b| {
            b.severity.cmp(&a.severity).then_with(|| (&a.path, a.start_line).cmp(&(&b.path, b.start_line)))
        });
        open
    }

    pub(super) fn fixed(&self) -> usize {
        self.findings.iter().filter(|(_, status)| *status == FindingStatus::Fixed).count()
    }

    pub(super) fn could_not_run(&self) -> impl Iterator<Item = (&'a GateReport, &'a str)> {
        self.gates.iter().filter_map(|gate| match &gate.verdict {
            Verdict::CouldNotRun { reason } => Some((gate, reason.as_str())),
            _ => None,
        })
    }

    pub(super) fn with_verdict(&self, wanted: fn(&Verdict) -> bool) -> usize {
        self.gates.iter().filter(|gate| wanted(&gate.verdict)).count()
    }
}

/// `3 passed, 1 failed, 1 could not run`
pub(super) fn gate_counts(evidence: &Evidence) -> Line {
    if evidence.gates.is_empty() {
        return "no gate has run".into();
    }
    let counts = [
        (evidence.with_verdict(|verdict| *verdict == Verdict::Passed), "passed"),
        (evidence.with_verdict(|verdict| *verdict == Verdict::Failed), "failed"),
        (evidence.with_verdict(|verdict| *verdict == Verdict::TimedOut), "timed out"),
        (evidence.with_verdict(|verdict| matches!(verdict, Verdict::CouldNotRun { .. })), "could not run"),
    ];
    let named = counts.into_iter().filter(|(count, _)| *count > 0);
    Line::listed(named.map(|(count, word)| figure(format!("{count} {word}"))))
}

/// `2 open (1 HIGH, 1 LOW), 3 fixed`
pub(super) fn finding_counts(evidence: &Evidence) -> Line {
    let open = evidence.open();
    let fixed = evidence.fixed();
    match (open.clone().count(), fixed) {
        (0, 0) => "none".into(),
        (0, fixed) => line_of!["none open, ", fixed, " fixed"],
        (count, fixed) => {
            let severities = words::severities(open.map(|finding| finding.severity));
            line_of![count, " open (", figure(severities), "), ", fixed, " fixed"]
        }
    }
}

pub(super) fn spend(spend: &Spend) -> Line {
    let mut line = line_of![figure(words::usage(&spend.usage))];
    if let Some(budget) = spend.budget_micro_usd {
        line.push(" of a budget of ");
        line.push(figure(words::usd(budget)));
    }
    line
}

/// What nobody may overlook: gates that were wanted and did not run are no passes.
pub(super) fn could_not_run(evidence: &Evidence, room: Room) -> Page {
    let mut page = Page::default();
    if evidence.gates.is_empty() {
        page.paragraph(line_of![
            strong("No gate has run."),
            " None was found in the repository and none is named in ",
            code(".orchestrator/config.yaml"),
            ": nothing but the reviews speaks for this change.",
        ]);
        return page;
    }
    let missing: Vec<Line> = evidence
        .could_not_run()
        .map(|(gate, reason)| line_of![code(&gate.name), " could not run: ", quote_up_to(room.text, reason)])
        .collect();
    if !missing.is_empty() {
        page.paragraph(line_of![strong("Not checked."), " A gate that could not run is not a pass:"]);
        page.bullets(missing);
    }
    page
}

pub(super) fn gate_table(evidence: &Evidence) -> Page {
    let mut page = Page::default();
    if evidence.gates.is_empty() {
        return page;
    }
    let rows = evidence.gates.iter().map(|gate| {
        let mut verdict: Line = match gate.verdict {
            Verdict::Passed => words::verdict(&gate.verdict).into(),
            _ => strong(words::verdict(&gate.verdict)).into(),
        };
        if gate.requirement == Requirement::Advisory {
            verdict.push(" (advisory)");
        }
        let exit: Line = match (gate.exit, &gate.verdict) {
            (Some(exit), _) => line_of![exit],
            (None, Verdict::CouldNotRun { .. }) => "never started".into(),
            (None, _) => "none, ended by a signal".into(),
        };
        vec![
            line_of![code(&gate.name)],
            verdict,
            exit,
            line_of![figure(words::duration(gate.duration_ms))],
            line_of![code(&gate.command)],
        ]
    });
    page.push(Block::Table {
        head: vec!["Gate", "Verdict", "Exit code", "Duration", "Command"],
        rows: rows.collect(),
    });
    page
}

/// The output of the gates that a person may want to read: all but those that passed.
pub(super) fn gate_logs(evidence: &Evidence, room: Room) -> Page {
    let mut page = Page::default();
    for gate in evidence.gates {
        if gate.verdict == Verdict::Passed || gate.log.trim().is_empty() || room.log == 0 {
            continue;
        }
        let summary = Summary::from("Output of ").name(&gate.name);
        let mut log = Page::default();
        log.push(Block::Log(gate.log.clone(), room.log));
        page.details(summary, log);
    }
    page
}

pub(super) fn place(finding: &Finding) -> Piece {
    let Finding { path, start_line, end_line, .. } = finding;
    if start_line == end_line {
        code(format!("{path}:{start_line}"))
    } else {
        code(format!("{path}:{start_line}-{end_line}"))
    }
}

/// The open findings, the worst first.
pub(super) fn finding_lines(evidence: &Evidence, room: Room) -> Vec<Line> {
    let lines = evidence.open_by_severity().into_iter().map(|finding| {
        line_of![
            strong(finding.severity.as_str()),
            " ",
            place(finding),
            " ",
            quote(&finding.title),
            ": ",
            quote_up_to(room.text.min(600), &finding.why),
            " (",
            code(&finding.reviewer),
            ")",
        ]
    });
    lines.collect()
}

pub(super) fn open_findings(evidence: &Evidence, room: Room) -> Page {
    let mut page = Page::default();
    let lines = finding_lines(evidence, room);
    if !lines.is_empty() {
        page.paragraph(line_of![strong("Open findings")]);
    }
    page.bullets(lines);
    page
}

/// Who reviewed, and who was asked in vain.
pub(super) fn reviewers(evidence: &Evidence) -> Line {
    let failed = evidence.failed_reviewers;
    let done = evidence.reviewers.iter().filter(|name| !failed.contains(name));
    let mut line = Line::listed(done.map(code));
    if line.pieces().is_empty() {
        line.push("nobody");
    }
    if !failed.is_empty() {
        line.push("; no usable answer from ");
        line.extend(Line::listed(failed.iter().map(code)));
    }
    line
}

pub(super) fn is_blocking(finding: &Finding) -> bool {
    finding.severity == Severity::Critical
}

//! The parts that plan, status, pull request, check and report share: gates, findings, cost.

use super::page::{Block, Page, Room, Summary};
use super::text::{Line, Piece, code, figure, line_of, quote, quote_up_to, strong};
use super::words;
use crate::domain::{
    Baseline, Choice, DroppedFinding, Finding, FindingStatus, GateReport, OptionalStage, Requirement,
    Severity, SwitchedBy, SwitchedOff, TakenBack, Usage, Verdict,
};

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
    /// Findings that do not hold, as the verifier showed.
    pub dropped: &'a [DroppedFinding],
    /// Why the verifier said nothing of some findings.
    pub unverified: Option<&'a str>,
    /// Severities that hold a change up.
    pub blocking: &'a [Severity],
    /// What did not take place because it is switched off.
    pub switched_off: &'a [SwitchedOff],
    /// Fixes that the work can do without, and that failed.
    pub taken_back: &'a [TakenBack],
    /// Where several candidates were written.
    pub choice: Option<&'a Choice>,
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

    /// Who switched a stage off, if anybody did.
    pub(super) fn off(&self, stage: OptionalStage) -> Option<SwitchedBy> {
        SwitchedOff::of(self.switched_off, stage)
    }

    /// Who looks at a change before it is pushed, at the beginning of a sentence.
    pub(super) fn judges(&self) -> &'static str {
        match self.off(OptionalStage::Review) {
            Some(_) => "The gates",
            None => "The gates and the reviewers",
        }
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
}

/// `3 passed, 1 failed, 1 could not run`
pub(super) fn gate_counts(evidence: &Evidence) -> Line {
    if evidence.gates.is_empty() {
        return "no gate has run".into();
    }
    let words = [
        "passed",
        "passed when run again (flaky)",
        "failed",
        "timed out",
        "failed before this change as well",
        "timed out before this change as well",
        "could not run",
    ];
    let count = |word| evidence.gates.iter().filter(|gate| words::gate(gate) == word).count();
    let named = words.into_iter().map(|word| (count(word), word)).filter(|(count, _)| *count > 0);
    Line::listed(named.map(|(count, word)| figure(format!("{count} {word}"))))
}

/// `2 open (1 HIGH, 1 LOW), 3 fixed`; `not reviewed` where nobody looked for any. What is there then was found by
/// comparing with the base, or by reviewers before they were switched off.
pub(super) fn finding_counts(evidence: &Evidence) -> Line {
    let counts = counts(evidence);
    match evidence.off(OptionalStage::Review) {
        Some(_) if evidence.findings.is_empty() => "not reviewed".into(),
        Some(_) => {
            let mut line = line_of!["not reviewed; findings without reviewers or from before: "];
            line.extend(counts);
            line
        }
        None => counts,
    }
}

fn counts(evidence: &Evidence) -> Line {
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
    let unreviewed = evidence.off(OptionalStage::Review);
    if let Some(by) = unreviewed {
        let mut line = line_of![strong("Not reviewed."), " No reviewer looked at this change: reviews are "];
        line.extend(switched_off(by));
        line.push(".");
        page.paragraph(line);
    }
    if evidence.gates.is_empty() {
        let rest = match unreviewed {
            Some(_) => ": nothing speaks for this change.",
            None => ": nothing but the reviews speaks for this change.",
        };
        page.paragraph(line_of![
            strong("No gate has run."),
            " None was found in the repository and none is named in ",
            code(".orchestrator/config.yaml"),
            rest,
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

fn switched_off(by: SwitchedBy) -> Line {
    match by {
        SwitchedBy::Deployment => "switched off in this deployment".into(),
        SwitchedBy::Repository => {
            line_of!["switched off in the repository's rules (", code(".orchestrator/config.yaml"), ")"]
        }
    }
}

pub(super) fn gate_table(evidence: &Evidence) -> Page {
    let mut page = Page::default();
    if evidence.gates.is_empty() {
        return page;
    }
    let rows = evidence.gates.iter().map(|gate| {
        let mut verdict: Line = match gate.verdict {
            Verdict::Passed => words::gate(gate).into(),
            _ => strong(words::gate(gate)).into(),
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

/// What is known about failures beyond that they are there: what the base does, and what did not last.
pub(super) fn gate_past(evidence: &Evidence, room: Room) -> Page {
    let mut page = Page::default();
    let lines: Vec<Line> = evidence.gates.iter().flat_map(|gate| past_of(gate, room)).collect();
    page.bullets(lines);
    page
}

fn past_of(gate: &GateReport, room: Room) -> Vec<Line> {
    let name = || code(&gate.name);
    let mut lines = Vec::new();
    match &gate.baseline {
        Some(Baseline::SameFailure) => lines.push(line_of![
            name(),
            " fails on the base in the same way. The failure is older than this change and does not block it."
        ]),
        Some(Baseline::Worse { new }) => {
            let mut line = line_of![name(), " fails on the base too, and with this change more is wrong: "];
            line.extend(Line::listed(new.iter().take(5).map(|new| quote_up_to(room.text.min(200), new))));
            if new.len() > 5 {
                line.extend(line_of![" and ", new.len() - 5, " more"]);
            }
            lines.push(line);
        }
        Some(Baseline::Unknown { reason }) => lines.push(line_of![
            name(),
            " could not be compared with the base: ",
            quote_up_to(room.text, reason)
        ]),
        Some(Baseline::Passed) | None => {}
    }
    if let Some(flaky) = &gate.flaky {
        let mut line = line_of![name(), " is flaky: run again on the same files it came to something else."];
        if !flaky.tests.is_empty() {
            line.push(" Failed in the first run alone: ");
            line.extend(Line::listed(flaky.tests.iter().take(10).map(code)));
        }
        lines.push(line);
    }
    lines
}

/// The output of the gates that a person may want to read: all but those that passed, and the first run of
/// the flaky ones.
pub(super) fn gate_logs(evidence: &Evidence, room: Room) -> Page {
    let mut page = Page::default();
    for gate in evidence.gates {
        if let Some(flaky) = gate.flaky.as_ref().filter(|_| room.log > 0 && gate.verdict == Verdict::Passed) {
            let summary = Summary::from("Output of the first, failed run of ").name(&gate.name);
            let mut log = Page::default();
            log.push(Block::Log(flaky.first_log.clone(), room.log));
            page.details(summary, log);
        }
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
        let mut line = line_of![
            strong(finding.severity.as_str()),
            " ",
            place(finding),
            " ",
            quote(&finding.title),
            ": ",
            quote_up_to(room.text.min(600), &finding.why),
            " (",
        ];
        line.extend(found_by(finding));
        line.push(")");
        line
    });
    lines.collect()
}

/// Everybody who found it.
pub(super) fn found_by(finding: &Finding) -> Line {
    Line::listed(finding.reviewers().map(code))
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

/// Who reviewed and what was found, in a paragraph.
pub(super) fn reviewed(evidence: &Evidence) -> Line {
    let mut line = match evidence.off(OptionalStage::Review) {
        Some(_) => line_of![strong("Not reviewed"), ": no reviewer looked at this change."],
        None => {
            let mut line = line_of!["Reviewed by "];
            line.extend(reviewers(evidence));
            line.push(".");
            line
        }
    };
    if !(evidence.off(OptionalStage::Review).is_some() && evidence.findings.is_empty()) {
        line.push(" Findings: ");
        line.extend(counts(evidence));
        line.push(".");
    }
    if let (None, Some(by)) = (evidence.off(OptionalStage::Review), evidence.off(OptionalStage::Verify)) {
        line.push(" Nobody held them against the code: the verifier is ");
        line.extend(switched_off(by));
        line.push(".");
    }
    line
}

/// Who reviewed, and who was asked in vain.
fn reviewers(evidence: &Evidence) -> Line {
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

pub(super) fn is_blocking(evidence: &Evidence, finding: &Finding) -> bool {
    evidence.blocking.contains(&finding.severity)
}

//! The check run on the pushed commit, with annotations.

use super::evidence::{
    Evidence, could_not_run, finding_counts, gate_counts, gate_logs, gate_past, gate_table, is_blocking,
    reviewed,
};
use super::gateway::{Body, Gateway};
use super::text::line_of;
use super::{plain, words};
use crate::domain::{Age, GateFinding, GateReport, OptionalStage, Requirement, Severity, Verdict};

/// Most annotations in one request (GitHub's REST reference, "Update a check run").
const ANNOTATIONS_PER_REQUEST: usize = 50;
/// More would bury what matters; gates such as a formatter can name thousands of lines.
const ANNOTATIONS_MAX: usize = 500;
/// GitHub's limit for an annotation's title, in characters.
const ANNOTATION_TITLE_MAX: usize = 255;
const ANNOTATION_MESSAGE_MAX: usize = 4_000;

#[derive(Debug, Clone, Copy)]
pub struct CheckView<'a> {
    pub evidence: Evidence<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    Success,
    Failure,
    /// Something that was wanted could not be checked, or was broken before: neither green nor red.
    Neutral,
}

impl Conclusion {
    /// The word of GitHub's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Neutral => "neutral",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationLevel {
    Notice,
    Warning,
    Failure,
}

impl AnnotationLevel {
    /// The word of GitHub's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    pub path: String,
    pub start_line: u32,
    pub end_line: u32,
    pub level: AnnotationLevel,
    pub title: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckText {
    pub name: &'static str,
    pub title: String,
    pub summary: Body,
    pub conclusion: Conclusion,
    /// Each chunk is for a request of its own.
    pub annotations: Vec<Vec<Annotation>>,
}

pub fn check_run(gateway: &Gateway, view: &CheckView) -> CheckText {
    let annotations = annotations(gateway, &view.evidence);
    CheckText {
        name: "Orchestrator",
        title: title(gateway, &view.evidence),
        summary: gateway.body(|room| {
            let mut page = could_not_run(&view.evidence, room);
            page.append(gate_table(&view.evidence));
            page.append(gate_past(&view.evidence, room));
            page.paragraph(reviewed(&view.evidence));
            page.append(gate_logs(&view.evidence, room));
            page
        }),
        conclusion: conclusion(&view.evidence),
        annotations: annotations.chunks(ANNOTATIONS_PER_REQUEST).map(<[_]>::to_vec).collect(),
    }
}

/// A gate that could not run, was not there or failed before makes a change neither good nor bad, and so does a
/// review that did not take place.
fn conclusion(evidence: &Evidence) -> Conclusion {
    let required = || evidence.gates.iter().filter(|gate| gate.requirement == Requirement::Required);
    let unknown = |gate: &GateReport| matches!(gate.verdict, Verdict::CouldNotRun { .. }) || gate.is_old();
    if evidence.gates.iter().any(GateReport::blocks)
        || evidence.open().any(|finding| is_blocking(evidence, finding))
    {
        Conclusion::Failure
    } else if required().next().is_none()
        || required().any(unknown)
        || evidence.off(OptionalStage::Review).is_some()
    {
        Conclusion::Neutral
    } else {
        Conclusion::Success
    }
}

fn title(gateway: &Gateway, evidence: &Evidence) -> String {
    let mut line = line_of!["Gates: "];
    line.extend(gate_counts(evidence));
    line.push(" · Findings: ");
    line.extend(finding_counts(evidence));
    gateway.plain(&line)
}

fn annotations(gateway: &Gateway, evidence: &Evidence) -> Vec<Annotation> {
    let text = |text: &str, max| plain::quoted(gateway, text, max);
    let lines = |text: &str| plain::quoted_lines(gateway, text, ANNOTATION_MESSAGE_MAX);
    let findings = evidence.open_by_severity().into_iter().map(|finding| Annotation {
        path: gateway.redacted(&finding.path),
        start_line: finding.start_line,
        end_line: finding.end_line,
        level: match finding.severity {
            Severity::Critical => AnnotationLevel::Failure,
            Severity::High | Severity::Medium => AnnotationLevel::Warning,
            Severity::Low => AnnotationLevel::Notice,
        },
        title: text(&format!("{} {}", finding.severity.as_str(), finding.title), ANNOTATION_TITLE_MAX - 1),
        message: lines(&finding.why),
    });
    let gates = evidence.gates.iter().filter(|gate| gate.verdict != Verdict::Passed).flat_map(|gate| {
        gate.findings.iter().filter_map(move |finding| {
            let line = finding.line.filter(|line| *line > 0)?;
            let title = annotation_title(gate, finding);
            Some(Annotation {
                path: gateway.redacted(&finding.path),
                start_line: line,
                end_line: line,
                level: match finding.age {
                    Age::Old => AnnotationLevel::Notice,
                    Age::New if gate.blocks() => AnnotationLevel::Failure,
                    Age::New => AnnotationLevel::Warning,
                },
                title: text(&title, ANNOTATION_TITLE_MAX - 1),
                message: lines(&finding.message),
            })
        })
    });
    // GitHub answers 422 to an annotation without a message.
    findings.chain(gates).filter(|one| !one.message.is_empty()).take(ANNOTATIONS_MAX).collect()
}

/// `lint failed`, and for what the base has as well `lint: found before this change as well`.
fn annotation_title(gate: &GateReport, finding: &GateFinding) -> String {
    let rule = finding.rule.as_ref().map(|rule| format!(" ({rule})")).unwrap_or_default();
    match finding.age {
        Age::New => format!("{} {}{rule}", gate.name, words::gate(gate)),
        Age::Old => format!("{}: found before this change as well{rule}", gate.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Baseline, FindingStatus, SwitchedBy, SwitchedOff};
    use crate::speech::tests::rules;
    use crate::speech::tests::samples::{self, Proof, gateway};

    fn whole(text: &CheckText) -> String {
        let annotations: Vec<String> =
            text.annotations.iter().flatten().map(|annotation| format!("{annotation:#?}")).collect();
        format!(
            "{}: {} ({})\n\n{}\n{}",
            text.name,
            text.title,
            text.conclusion.as_str(),
            text.summary.as_str(),
            annotations.join("\n")
        )
    }

    fn checked(proof: &Proof) -> CheckText {
        check_run(&gateway(), &CheckView { evidence: proof.evidence() })
    }

    #[test]
    fn a_check_run_of_good_work() {
        let text = checked(&Proof::good());
        assert_eq!(text.conclusion, Conclusion::Success);
        insta::assert_snapshot!(whole(&text));
    }

    #[test]
    fn a_check_run_whose_gates_failed_or_could_not_run() {
        let text = checked(&Proof::mixed());
        assert_eq!(text.conclusion, Conclusion::Failure);
        insta::assert_snapshot!(whole(&text));
    }

    #[test]
    fn a_check_run_whose_gates_failed_before_or_are_flaky() {
        let text = checked(&Proof::with_a_past());
        assert_eq!(text.conclusion, Conclusion::Failure);
        insta::assert_snapshot!(whole(&text));
    }

    #[test]
    fn a_hostile_check_run_acts_nowhere() {
        rules::assert_harmless(checked(&Proof::hostile()).summary.as_str());
    }

    #[test]
    fn only_what_was_seen_to_pass_is_a_success() {
        let gate =
            |verdict: Verdict, requirement| GateReport { verdict, requirement, ..samples::passed("test") };
        let old = |requirement| GateReport {
            baseline: Some(Baseline::SameFailure),
            ..gate(Verdict::Failed, requirement)
        };
        let missing = || Verdict::CouldNotRun { reason: "cargo is missing".into() };
        let (required, advisory) = (Requirement::Required, Requirement::Advisory);
        let critical = vec![(samples::finding(Severity::Critical), FindingStatus::Open)];
        let mended = vec![(samples::finding(Severity::Critical), FindingStatus::Fixed)];
        let cases = [
            (vec![gate(Verdict::Passed, required)], vec![], Conclusion::Success),
            (vec![gate(Verdict::Passed, required)], mended, Conclusion::Success),
            (vec![gate(Verdict::Passed, required)], critical, Conclusion::Failure),
            (vec![gate(Verdict::Failed, required)], vec![], Conclusion::Failure),
            (vec![gate(Verdict::TimedOut, required)], vec![], Conclusion::Failure),
            (vec![gate(missing(), required)], vec![], Conclusion::Neutral),
            (vec![gate(Verdict::Passed, required), gate(missing(), required)], vec![], Conclusion::Neutral),
            (
                vec![gate(Verdict::Passed, required), gate(Verdict::Failed, advisory)],
                vec![],
                Conclusion::Success,
            ),
            (vec![gate(Verdict::Passed, advisory)], vec![], Conclusion::Neutral),
            (vec![gate(Verdict::Passed, required), old(required)], vec![], Conclusion::Neutral),
            (vec![gate(Verdict::Passed, required), old(advisory)], vec![], Conclusion::Success),
            (vec![gate(Verdict::Failed, required), old(required)], vec![], Conclusion::Failure),
            (vec![], vec![], Conclusion::Neutral),
        ];
        for (gates, findings, expected) in cases {
            let blocking = &[Severity::Critical];
            let evidence = Evidence { gates: &gates, findings: &findings, blocking, ..Evidence::default() };
            assert_eq!(conclusion(&evidence), expected, "{gates:?}");
        }
    }

    #[test]
    fn a_change_that_nobody_reviewed_is_not_shown_as_good() {
        let (gates, blocking) = ([samples::passed("test")], [Severity::Critical]);
        let critical = [(samples::finding(Severity::Critical), FindingStatus::Open)];
        let checked = |stage, findings| {
            let switched_off = &[SwitchedOff { stage, by: SwitchedBy::Repository }];
            let evidence = Evidence {
                gates: &gates,
                findings,
                blocking: &blocking,
                switched_off,
                ..Evidence::default()
            };
            check_run(&gateway(), &CheckView { evidence })
        };
        let text = checked(OptionalStage::Review, &[]);
        assert_eq!(text.conclusion, Conclusion::Neutral);
        assert_eq!(text.title, "Gates: 1 passed · Findings: not reviewed");
        let summary = text.summary.as_str();
        assert!(summary.contains("reviews are switched off in the repository's rules"), "{summary}");
        assert!(!summary.contains("Reviewed by"), "{summary}");
        let text = checked(OptionalStage::Review, &critical);
        assert_eq!(
            text.conclusion,
            Conclusion::Failure,
            "what the comparison found holds it up all the same"
        );
        assert!(text.title.contains("1 open (1 CRITICAL)"), "{}", text.title);
        let text = checked(OptionalStage::Verify, &[]);
        assert_eq!(text.conclusion, Conclusion::Success);
        assert!(text.summary.as_str().contains("the verifier is switched off"), "{}", text.summary.as_str());
    }

    #[test]
    fn annotations_come_in_requests_that_github_takes() {
        let message = "m".repeat(100_000);
        let finding = GateFinding { line: Some(3), message, ..samples::gate_finding() };
        let mut gate = samples::passed("lint");
        gate.verdict = Verdict::Failed;
        gate.findings = vec![finding; 120];
        gate.findings.push(GateFinding { line: None, message: "no line".into(), ..samples::gate_finding() });
        let gates = vec![gate];
        let text =
            check_run(&gateway(), &CheckView { evidence: Evidence { gates: &gates, ..Evidence::default() } });
        let sizes: Vec<usize> = text.annotations.iter().map(Vec::len).collect();
        assert_eq!(sizes, [50, 50, 20]);
        assert!(text.annotations.iter().flatten().all(|one| one.message.len() < 64 * 1024));
    }
}

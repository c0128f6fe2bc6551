//! Holds the findings of reviewers against the code, and drops those that do not hold.
//!
//! Silence drops nothing: a finding goes only by a verdict of its own that shows code which really is there. A
//! verifier that fails or answers junk leaves everything as it was, and says so.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use super::AgentContext;
use super::change::Change;
use super::error::AgentError;
use super::sections;
use super::structured;
use crate::domain::{DroppedFinding, Finding, TaskSpecification};
use crate::llm::Role;
use crate::llm::boundary::{PromptText, Written};

/// Findings that one question is about; several questions are asked at the same time.
const FINDINGS_AT_ONCE: usize = 8;
/// Lines shown above and below those that a finding names.
const LINES_AROUND: u32 = 60;
const CODE_MAX_CHARS: usize = 100_000;
const CHANGE_MAX_CHARS: usize = 60_000;
const FINDINGS_MAX_CHARS: usize = 60_000;
const NAMES_MAX_CHARS: usize = 20_000;
const TEXT_MAX_CHARS: usize = 2_000;
/// Fewer letters and signs stand in nearly every file.
const PROOF_MIN_CHARS: usize = 8;

/// What the verifier reads.
#[derive(Debug, Clone, Copy)]
pub struct VerifyInput<'a> {
    pub specification: &'a TaskSpecification,
    pub change: &'a Change,
    /// See [`super::ReviewInput::places`].
    pub places: &'a PromptText,
    pub findings: &'a [Finding],
}

/// What became of findings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verification {
    pub kept: Vec<Finding>,
    pub dropped: Vec<DroppedFinding>,
    /// Why some of the kept ones have no verdict.
    pub unverified: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVerdicts {
    verdicts: Vec<RawVerdict>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVerdict {
    /// From 1.
    finding: usize,
    holds: bool,
    why: String,
    #[serde(default)]
    proof: Option<String>,
}

/// A finding that was shown not to hold: why, and the code that shows it.
type Refuted = Option<(String, String)>;

/// Asks about all findings; the order of those that are kept stays.
pub async fn verify(context: &AgentContext, input: VerifyInput<'_>) -> Verification {
    let batches: Vec<&[Finding]> = input.findings.chunks(FINDINGS_AT_ONCE).collect();
    let asked = batches.iter().map(|findings| ask(context, VerifyInput { findings, ..input }));
    let mut verification = Verification::default();
    let mut failures = BTreeSet::new();
    for (findings, answer) in batches.iter().zip(join_all(asked).await) {
        match answer {
            Ok(verdicts) => {
                for (finding, refuted) in findings.iter().cloned().zip(verdicts) {
                    match refuted {
                        Some((why, proof)) => {
                            verification.dropped.push(DroppedFinding { finding, why, proof });
                        }
                        None => verification.kept.push(finding),
                    }
                }
            }
            Err(error) => {
                verification.kept.extend(findings.iter().cloned());
                failures.insert(error.to_string());
            }
        }
    }
    let failures: Vec<String> = failures.into_iter().collect();
    verification.unverified = (!failures.is_empty()).then(|| failures.join("; "));
    verification
}

/// One verdict for each finding.
async fn ask(context: &AgentContext, input: VerifyInput<'_>) -> Result<Vec<Refuted>, AgentError> {
    let shown = |name, text: &str, max| PromptText::data(name, text, Written::AsCode, max);
    let code = input.change.around(&places_of(input.findings), LINES_AROUND, CODE_MAX_CHARS);
    let change = input.change.text(CHANGE_MAX_CHARS);
    let prompt = context.prompts.render(
        "verifier",
        &[
            ("specification", &sections::specification(input.specification)),
            ("findings", &shown("findings", &in_words(input.findings), FINDINGS_MAX_CHARS)),
            ("code", &shown("code", &code, CODE_MAX_CHARS + NAMES_MAX_CHARS)),
            ("change", &shown("change", &change, CHANGE_MAX_CHARS + NAMES_MAX_CHARS)),
            ("places", &input.places.or("(none)")),
        ],
    )?;
    let call = context.call(Role::Verifier, "verify", &prompt);
    let real = RealCode::of(input.change, input.places);
    let count = input.findings.len();
    structured::ask(context, &call, prompt, schema(), |object| check(count, &real, object)).await
}

fn places_of(findings: &[Finding]) -> Vec<(&str, u32, u32)> {
    findings.iter().map(|finding| (finding.path.as_str(), finding.start_line, finding.end_line)).collect()
}

fn in_words(findings: &[Finding]) -> String {
    let texts = findings.iter().enumerate().map(|(index, finding)| {
        let Finding { severity, path, start_line, end_line, title, why, .. } = finding;
        let mut text = format!(
            "Finding {}: {} at {path}:{start_line}-{end_line}: {title}\n{why}\n",
            index + 1,
            severity.as_str()
        );
        if let Some(suggestion) = &finding.suggestion {
            text.push_str(&format!("Suggested in place of these lines:\n{suggestion}\n"));
        }
        text
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// The code that a proof can be of, without white space. What the change took away shows nothing any more.
struct RealCode(Vec<String>);

impl RealCode {
    fn of(change: &Change, places: &PromptText) -> Self {
        let files = change.files.iter().filter_map(|file| file.new_text.as_deref());
        Self(files.chain([places.as_str()]).map(squeezed).collect())
    }

    fn has(&self, proof: &str) -> bool {
        let proof = squeezed(proof);
        self.0.iter().any(|text| text.contains(&proof))
    }
}

/// Without white space, and without the line numbers that the lines were shown with.
fn squeezed(text: &str) -> String {
    let plain = |line: &str| match line.trim_start().split_once('\t') {
        Some((number, rest)) if number.parse::<u32>().is_ok() => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines()
        .map(plain)
        .flat_map(|line| line.chars().collect::<Vec<_>>())
        .filter(|c| !c.is_whitespace())
        .collect()
}

fn check(count: usize, real: &RealCode, object: Value) -> Result<Vec<Refuted>, Vec<String>> {
    let raw: RawVerdicts = serde_json::from_value(object).map_err(|error| vec![error.to_string()])?;
    let mut verdicts: Vec<Option<Refuted>> = vec![None; count];
    let mut faults = Vec::new();
    for (index, verdict) in raw.verdicts.into_iter().enumerate() {
        let number = verdict.finding;
        let Some(place) = number.checked_sub(1).and_then(|at| verdicts.get_mut(at)) else {
            faults.push(format!("verdicts[{index}]: there is no finding {number}; they are 1 to {count}"));
            continue;
        };
        if place.is_some() {
            faults.push(format!("finding {number} has two verdicts"));
            continue;
        }
        match refuted(real, verdict) {
            Ok(refuted) => *place = Some(refuted),
            Err(fault) => {
                *place = Some(None);
                faults.push(format!("finding {number}: {fault}"));
            }
        }
    }
    let missing = verdicts.iter().enumerate().filter(|(_, verdict)| verdict.is_none());
    faults.extend(missing.map(|(index, _)| format!("finding {} has no verdict", index + 1)));
    if faults.is_empty() { Ok(verdicts.into_iter().flatten().collect()) } else { Err(faults) }
}

fn refuted(real: &RealCode, verdict: RawVerdict) -> Result<Refuted, String> {
    if verdict.holds {
        return Ok(None);
    }
    let why = verdict.why.trim();
    if why.is_empty() || why.chars().count() > TEXT_MAX_CHARS {
        return Err(format!("`why` has to have 1 to {TEXT_MAX_CHARS} characters"));
    }
    let proof = verdict.proof.as_deref().unwrap_or_default().trim_matches('\n');
    let length = squeezed(proof).chars().count();
    if length < PROOF_MIN_CHARS || proof.chars().count() > TEXT_MAX_CHARS {
        return Err(
            "a finding that does not hold needs whole lines of code that show it in `proof`; without them \
                    it holds"
                .to_owned(),
        );
    }
    if !real.has(proof) {
        return Err(
            "`proof` stands nowhere in the code that was shown: copy whole lines exactly, without their \
                    numbers; where no line shows it, the finding holds"
                .to_owned(),
        );
    }
    Ok(Some((why.to_owned(), proof.to_owned())))
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "verdicts": {"type": "array", "items": {
                "type": "object",
                "properties": {
                    "finding": {"type": "integer"},
                    "holds": {"type": "boolean"},
                    "why": {"type": "string"},
                    "proof": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                },
                "required": ["finding", "holds", "why", "proof"],
                "additionalProperties": false,
            }},
        },
        "required": ["verdicts"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::change::{ChangedFile, Hunk, HunkLine};
    use super::*;

    fn real() -> RealCode {
        let file = ChangedFile {
            path: "a.rs".into(),
            old_path: None,
            new_text: Some("fn a(x: u8) {\n    if x == 0 { return; }\n    1 / x;\n}\n".into()),
            hunks: vec![Hunk { new_start: 2, lines: vec![HunkLine::Removed("    assert!(x > 0);".into())] }],
        };
        let places = PromptText::data("b.rs lines 7-7", "    7\ta(next.max(1));\n", Written::AsCode, 100);
        RealCode::of(&Change { files: vec![file] }, &places)
    }

    fn verdict(finding: u32, holds: bool, proof: Value) -> Value {
        json!({"finding": finding, "holds": holds, "why": "It is checked.", "proof": proof})
    }

    fn checked(verdicts: Value) -> Result<Vec<bool>, String> {
        let checked = check(2, &real(), json!({"verdicts": verdicts}));
        checked.map(|all| all.iter().map(Option::is_none).collect()).map_err(|faults| faults.join("; "))
    }

    #[test]
    fn a_finding_is_dropped_by_code_that_is_there_and_by_nothing_else() {
        let proofs = [
            "if x == 0 { return; }",
            "    2\t    if x == 0 { return; }\n    3\t    1 / x;",
            "a(next.max(1));",
        ];
        for proof in proofs {
            let verdicts = json!([verdict(1, false, json!(proof)), verdict(2, true, Value::Null)]);
            assert_eq!(checked(verdicts), Ok(vec![false, true]), "{proof}");
        }
        let no_proofs = [Value::Null, json!(""), json!("}"), json!("assert!(x > 0);"), json!(" \n\t ")];
        for proof in no_proofs {
            let verdicts = json!([verdict(1, false, proof.clone()), verdict(2, true, Value::Null)]);
            let fault = checked(verdicts).expect_err("no proof");
            assert!(fault.contains("finding 1: "), "{proof}: {fault}");
        }
    }

    #[test]
    fn silence_and_junk_are_no_verdicts() {
        let good = || verdict(1, true, Value::Null);
        let cases = [
            (json!([good()]), "finding 2 has no verdict"),
            (json!([]), "finding 1 has no verdict"),
            (json!([good(), good()]), "finding 1 has two verdicts"),
            (json!([good(), verdict(3, true, Value::Null)]), "there is no finding 3"),
            (json!([good(), verdict(0, true, Value::Null)]), "there is no finding 0"),
            (json!([{"finding": 1}]), "missing field"),
            (json!([{"finding": 1, "holds": "no", "why": "", "proof": null}]), "invalid type"),
        ];
        for (verdicts, part) in cases {
            let fault = checked(verdicts.clone()).expect_err("junk");
            assert!(fault.contains(part), "{verdicts}: {fault}");
        }
    }
}

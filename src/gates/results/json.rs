//! JSON that tools print: cargo's and `go test`'s lines, and the documents of ESLint, ruff and RuboCop.

use serde_json::Value;

use super::sarif;
use crate::domain::{GateFinding, GateSeverity};
use crate::gates::findings::{self, Place};

/// The findings, and the tests that failed.
pub(super) fn read(log: &str, place: Place<'_>) -> (Vec<GateFinding>, Vec<String>) {
    let (mut found, mut tests) = (vec![], vec![]);
    for line in log.lines().filter(|line| line.starts_with('{') && line.ends_with('}')) {
        if found.len() >= findings::READ {
            break;
        }
        let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
        if value["reason"] == "compiler-message" {
            found.extend(rustc(&value["message"], place));
        } else if value["Action"] == "fail" {
            tests.extend(value["Test"].as_str().map(str::to_owned));
        }
    }
    if let Some(document) = document(log) {
        if document.starts_with('{') {
            found.extend(sarif::read(document, place));
        }
        let value = serde_json::from_str(document).unwrap_or(Value::Null);
        found.extend(linter(&value, place));
    }
    found.truncate(findings::READ);
    (found, tests)
}

/// The JSON document that begins at a line's start and ends the output, or fills a line.
fn document(log: &str) -> Option<&str> {
    let starts = log.match_indices(['{', '[']).filter(|(at, _)| *at == 0 || log[..*at].ends_with('\n'));
    let end = log.rfind(['}', ']'])? + 1;
    starts
        .take(20)
        .map(|(at, _)| log.get(at..end).unwrap_or_default())
        .find(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

/// rustc's diagnostics (rustc book, "JSON output").
fn rustc(message: &Value, place: Place<'_>) -> Option<GateFinding> {
    let severity = match message["level"].as_str()? {
        "error" => GateSeverity::Error,
        "warning" => GateSeverity::Warning,
        _ => return None,
    };
    let spans = message["spans"].as_array()?;
    let span = spans.iter().find(|span| span["is_primary"] == true)?;
    let finding =
        place.finding(span["file_name"].as_str()?, line(&span["line_start"]), text(message), severity)?;
    let rule = message["code"]["code"].as_str().map(str::to_owned);
    Some(GateFinding { tool: Some("rustc".into()), rule, ..finding })
}

/// ESLint: files with messages. ruff: a list of violations. RuboCop: files with offenses.
fn linter(value: &Value, place: Place<'_>) -> Vec<GateFinding> {
    let files = value.as_array().or_else(|| value["files"].as_array());
    let mut found = vec![];
    for entry in files.into_iter().flatten() {
        let path = ["filePath", "filename", "path"].iter().find_map(|key| entry[*key].as_str());
        let Some(path) = path else { continue };
        let inner = entry["messages"].as_array().or_else(|| entry["offenses"].as_array());
        for one in inner.map_or(std::slice::from_ref(entry), Vec::as_slice) {
            let at = [&one["line"], &one["location"]["row"], &one["location"]["start_line"]];
            let rule = ["ruleId", "code", "cop_name"].iter().find_map(|key| one[*key].as_str());
            let mild =
                one["severity"] == 1 || one["severity"] == "convention" || one["severity"] == "warning";
            let severity = if mild { GateSeverity::Warning } else { GateSeverity::Error };
            let finding = place.finding(path, at.into_iter().find_map(line), text(one), severity);
            found.extend(finding.map(|f| GateFinding { rule: rule.map(str::to_owned), ..f }));
            if found.len() >= findings::READ {
                return found;
            }
        }
    }
    found
}

fn text(value: &Value) -> &str {
    value["message"].as_str().unwrap_or_default()
}

fn line(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|line| u32::try_from(line).ok())
}

//! SARIF 2.1.0, of which only what people are shown is read.

use serde::Deserialize;

use crate::domain::{GateFinding, GateSeverity};
use crate::gates::findings::{self, Place};

#[derive(Deserialize)]
struct Log {
    runs: Vec<Run>,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Run {
    tool: Tool,
    results: Option<Vec<Outcome>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tool {
    driver: Driver,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Driver {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Outcome {
    rule_id: Option<String>,
    kind: Option<String>,
    level: Option<String>,
    message: Message,
    locations: Option<Vec<Location>>,
    suppressions: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Message {
    text: Option<String>,
    markdown: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Location {
    physical_location: Option<Physical>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    region: Option<Region>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Artifact {
    uri: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Region {
    start_line: Option<u32>,
}

/// The results of all runs that point into the tree and that nobody suppressed (SARIF 2.1.0, 3.27).
pub(super) fn read(text: &str, place: Place<'_>) -> Vec<GateFinding> {
    let Ok(log) = serde_json::from_str::<Log>(text) else { return vec![] };
    let mut found = vec![];
    for run in log.runs {
        for result in run.results.unwrap_or_default() {
            let is_problem =
                !matches!(result.kind.as_deref(), Some("pass" | "notApplicable" | "informational"));
            let level = result.level.as_deref().unwrap_or("warning");
            let suppressed = result.suppressions.as_ref().is_some_and(|list| !list.is_empty());
            if !is_problem || suppressed || level == "none" || found.len() >= findings::READ {
                continue;
            }
            let severity = if level == "error" { GateSeverity::Error } else { GateSeverity::Warning };
            let message = result.message.text.or(result.message.markdown).unwrap_or_default();
            let at = result.locations.into_iter().flatten().find_map(|location| location.physical_location);
            let Some(Physical { artifact_location: Artifact { uri: Some(uri) }, region }) = at else {
                continue;
            };
            let line = region.and_then(|region| region.start_line);
            let finding = place.finding(&percent_decoded(&uri), line, &message, severity);
            found.extend(finding.map(|finding| GateFinding {
                tool: Some(short(&run.tool.driver.name)).filter(|name| !name.is_empty()),
                rule: result.rule_id.as_deref().map(short),
                ..finding
            }));
        }
    }
    found
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// A path in a URI (RFC 3986, 2.1).
fn percent_decoded(uri: &str) -> String {
    let mut bytes = Vec::with_capacity(uri.len());
    let mut rest = uri.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|two| {
            let two =
                std::str::from_utf8(two).ok().filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()))?;
            u8::from_str_radix(two, 16).ok()
        });
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

//! What is known of a task besides its calls: plan, state, log, decisions, and what the stages kept.

use std::io::Read as _;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::domain::{Task, TaskSpecification};
use crate::store::{ArtifactKind, KeptArtifact, Store};

use super::folder::{Folder, file_name};

/// Most of one log, unpacked.
const LOG_MAX_BYTES: u64 = 256 << 20;
/// What people did, by the names of events.
const BY_PEOPLE: [&str; 11] = [
    "relabelled",
    "unlabelled",
    "issue_closed",
    "issue_deleted",
    "commented",
    "commanded",
    "reacted",
    "reaction_withdrawn",
    "pull_request_merged",
    "pull_request_closed",
    "pull_request_reopened",
];

/// What a reader has to know about what is missing.
#[derive(Default)]
pub(super) struct Noted {
    pub notes: Vec<String>,
}

pub(super) async fn write(store: &Store, task: &Task, folder: &mut Folder<'_>) -> anyhow::Result<Noted> {
    let mut noted = Noted::default();
    if let Some(plan) = &task.plan {
        folder.json("specification.json", serde_json::to_value(&plan.specification)?)?;
        folder.text("plan.md", &plan_text(&plan.understood, &plan.specification)?)?;
    }
    folder.json("state.json", serde_json::to_value(task)?)?;
    let transitions = store.transitions(task.id).await?;
    let line = |(record, detail): &(_, Value)| -> Result<Value, serde_json::Error> {
        let mut line = serde_json::to_value::<&crate::store::TransitionRecord>(record)?;
        line["detail"] = detail.clone();
        Ok(line)
    };
    let lines = transitions.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let artifacts = store.artifacts(task.id).await?;
    folder.json("decisions.json", decisions(task, &lines, &artifacts))?;
    folder.json_lines("log.jsonl", lines)?;
    let mut bundle = None;
    for artifact in &artifacts {
        match ArtifactKind::named(&artifact.kind) {
            Some(ArtifactKind::Commits) => bundle = Some(artifact),
            Some(ArtifactKind::GateLog) => log(folder, artifact)?,
            Some(kind) => kept(folder, kind, artifact)?,
            None => folder.bytes_as_text(&numbered("more", artifact, &artifact.name), &artifact.body)?,
        }
    }
    if let Some(bundle) = bundle {
        // What is packed cannot be looked at: the change as a patch says whether a secret is in it.
        let patches = artifacts.iter().filter(|artifact| artifact.kind == ArtifactKind::Patch.as_str());
        if patches.clone().all(|patch| folder.is_clean(&String::from_utf8_lossy(&patch.body))) {
            folder.binary("work.bundle", &bundle.body)?;
        } else {
            noted.notes.push("`work.bundle` is left out: the change has a secret in it.".to_owned());
        }
    }
    Ok(noted)
}

fn kept(folder: &mut Folder<'_>, kind: ArtifactKind, artifact: &KeptArtifact) -> anyhow::Result<()> {
    let place = match kind {
        ArtifactKind::Gates | ArtifactKind::BaseGates | ArtifactKind::Setup => "gates",
        ArtifactKind::Review => "reviews",
        ArtifactKind::Patch => "patches",
        ArtifactKind::Candidate | ArtifactKind::Choice => "candidates",
        _ => "more",
    };
    let path = numbered(place, artifact, &artifact.name);
    match serde_json::from_slice::<Value>(&artifact.body) {
        Ok(value) if !value.is_number() => folder.json(&path, value),
        _ => folder.bytes_as_text(&path, &artifact.body),
    }
}

fn log(folder: &mut Folder<'_>, artifact: &KeptArtifact) -> anyhow::Result<()> {
    let mut text = Vec::new();
    let read = GzDecoder::new(artifact.body.as_slice()).take(LOG_MAX_BYTES).read_to_end(&mut text);
    if let Err(error) = read {
        text.extend_from_slice(format!("\n[the rest cannot be read: {error}]\n").as_bytes());
    }
    let name = artifact.name.strip_suffix(".gz").unwrap_or(&artifact.name);
    folder.bytes_as_text(&numbered("gates", artifact, name), &text)
}

/// Files of a folder stand in the order in which they were made.
fn numbered(folder: &str, artifact: &KeptArtifact, name: &str) -> String {
    format!("{folder}/{:03}-{}", artifact.version, file_name(name))
}

fn decisions(task: &Task, log: &[Value], artifacts: &[KeptArtifact]) -> Value {
    let by_people =
        log.iter().filter(|line| line["event"].as_str().is_some_and(|event| BY_PEOPLE.contains(&event)));
    // What was prepared for the task stands in its plan. The reader of an issue routes all tasks of the plan.
    let prepared = task.plan.as_ref().map(|plan| &plan.specification.prepared);
    json!({
        "approval": task.approval,
        "by_people": by_people.collect::<Vec<_>>(),
        "budget": task.budget,
        "route": prepared.and_then(|prepared| prepared.route.as_ref()),
        "routes": of_kind(artifacts, ArtifactKind::Route, "route"),
        "design": prepared.map(|prepared| &prepared.design).filter(|design| !design.is_empty()),
        "candidates": of_kind(artifacts, ArtifactKind::Choice, "choice"),
        "trial": task.trial,
        "taken_back": task.taken_back,
    })
}

/// Each decision of a kind, with when it was made.
fn of_kind(artifacts: &[KeptArtifact], kind: ArtifactKind, field: &str) -> Vec<Value> {
    let of_kind = artifacts.iter().filter(|artifact| artifact.kind == kind.as_str());
    of_kind
        .map(|artifact| {
            let (field, value) = match serde_json::from_slice::<Value>(&artifact.body) {
                Ok(value) => (field, value),
                Err(error) => ("unreadable", error.to_string().into()),
            };
            json!({
                "version": artifact.version, "at": artifact.created_at, "name": artifact.name, field: value,
            })
        })
        .collect()
}

/// A plan to read, with every field that it has.
fn plan_text(understood: &str, specification: &TaskSpecification) -> anyhow::Result<String> {
    let mut text = format!("# {}\n\n{}\n", specification.title, understood.trim());
    let Value::Object(fields) = serde_json::to_value(specification)? else { return Ok(text) };
    for (name, value) in fields.iter().filter(|(name, _)| *name != "title") {
        let heading = name.replace('_', " ");
        match value {
            Value::String(words) if !words.trim().is_empty() => {
                text.push_str(&format!("\n## {heading}\n\n{}\n", words.trim()));
            }
            Value::Array(entries) if !entries.is_empty() => {
                text.push_str(&format!("\n## {heading}\n\n"));
                for entry in entries {
                    let line = entry.as_str().map_or_else(|| entry.to_string(), str::to_owned);
                    text.push_str(&format!("- {}\n", line.replace('\n', "\n  ")));
                }
            }
            Value::Null | Value::String(_) | Value::Array(_) => {}
            other => text.push_str(&format!("\n## {heading}\n\n{other}\n")),
        }
    }
    Ok(text)
}

//! The demo's outcome as files, for a person to look at.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::simulator::surroundings::{REPOSITORY, Surroundings};
use crate::store::Store;

use super::readback::Summary;
use super::story::Played;

pub(super) async fn write(
    folder: &Path,
    surroundings: &Surroundings,
    store: &Store,
    played: &Played,
    summary: &Summary,
) -> anyhow::Result<()> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    put("summary.json", &serde_json::to_vec_pretty(summary)?)?;
    let of = |place: &'static str| summary.comments.iter().filter(move |c| c["place"] == place);
    let body = |comment: &Value| comment["body"].as_str().unwrap_or_default().to_owned();
    put("plan.md", of("issue").next().map(body).unwrap_or_default().as_bytes())?;
    let number = summary.pull_request;
    let pull = surroundings.get(&format!("/repos/{REPOSITORY}/pulls/{number}")).await?;
    let mut text = format!("# {}\n\n{}\n", pull["title"].as_str().unwrap_or_default(), body(&pull));
    for review in of("review") {
        write!(text, "\n---\n\n## Review\n\n{}\n", body(review))?;
    }
    for comment in of("inline") {
        let path = comment["path"].as_str().unwrap_or_default();
        write!(text, "\n---\n\n### {path}, line {}\n\n{}\n", comment["line"], body(comment))?;
    }
    put("pull-request.md", text.as_bytes())?;
    let run = folder.join("run");
    std::fs::create_dir_all(&run)?;
    for artifact in store.artifacts(played.task.id).await? {
        let name = format!("{:03}-{}-{}", artifact.version, artifact.kind, artifact.name);
        std::fs::write(run.join(name), &artifact.body)?;
        if artifact.kind == "patch" {
            // The last one is the whole change.
            put("change.diff", &artifact.body)?;
        }
    }
    let task = store.task(played.task.id).await?;
    std::fs::write(run.join("task.json"), serde_json::to_vec_pretty(&task)?)?;
    Ok(())
}

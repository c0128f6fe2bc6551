//! Reading back from the servers what really happened.

use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::{GateReport, ReviewRound};
use crate::simulator::surroundings::{REPOSITORY, Surroundings};
use crate::store::{ArtifactKind, Store, TransitionRecord};

use super::story::Played;

/// What is written to `summary.json`.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub task: String,
    pub states: Vec<TransitionRecord>,
    pub branch: String,
    pub base_sha: String,
    pub head_sha: String,
    pub pull_request: u64,
    pub gates: Vec<Value>,
    pub findings: Vec<Value>,
    pub comments: Vec<Value>,
    pub check_runs: Vec<Value>,
    pub mails: Vec<Value>,
    pub model_calls: Vec<Value>,
    pub timing: Timing,
    /// What did not happen as it should have; empty when all is well.
    pub faults: Vec<String>,
}

/// Where the time from the label to the pull request went, in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Timing {
    pub label_to_pull_request_ms: i64,
    /// Waiting for answers of models; overlapping calls count once.
    pub models_ms: i64,
    /// Running commands and tools in sandboxes, set-up and copying included.
    pub sandbox_ms: i64,
    /// Waiting for the person's approval, from the plan's comment to the thumb being seen.
    pub people_and_polling_ms: i64,
    /// Keeping the second between two writes that GitHub asks for.
    pub pacing_ms: i64,
    /// Everything else: our own.
    pub overhead_ms: i64,
}

pub(super) async fn read(
    surroundings: &Surroundings,
    store: &Store,
    played: &Played,
    live: bool,
) -> anyhow::Result<Summary> {
    let number = played.task.pull_request.context("the task names no pull request")?;
    let pull = surroundings.get(&format!("/repos/{REPOSITORY}/pulls/{number}")).await?;
    let branch = text(&pull, "/head/ref");
    let head = text(&pull, "/head/sha");
    let refs = surroundings.github.admin().refs(REPOSITORY)?;
    let reviews = list(surroundings, &format!("/pulls/{number}/reviews")).await?;
    let inline = list(surroundings, &format!("/pulls/{number}/comments")).await?;
    let issue_comments = list(surroundings, &format!("/issues/{}/comments", played.issue)).await?;
    let checks = surroundings.get(&format!("/repos/{REPOSITORY}/commits/{head}/check-runs")).await?;
    let checks = checks["check_runs"].as_array().cloned().unwrap_or_default();
    let gates: Vec<GateReport> = kept(store, played, ArtifactKind::Gates).await?;
    let review: ReviewRound = kept(store, played, ArtifactKind::Review).await?;
    let mails = surroundings.inbox.messages();

    let mut faults = Faults(Vec::new());
    faults.unless(
        refs.get(&format!("refs/heads/{branch}")) == Some(&head),
        "the branch is at the pull request's head",
    );
    faults.unless(branch.starts_with("auto/"), "the branch lies under auto/");
    faults.unless(pull["state"] == "open", "the pull request is open");
    let labels = pull["labels"].as_array().cloned().unwrap_or_default();
    faults.unless(labels.iter().any(|label| label["name"] == "auto"), "the pull request is labelled");
    faults.unless(
        text(&pull, "/body").contains(&format!("Closes #{}", played.issue)),
        "the pull request closes the issue",
    );
    faults.unless(reviews.len() == 1, "there is one review");
    faults.unless(checks.iter().any(|run| run["conclusion"] == "success"), "the check run succeeded");
    faults.unless(
        !gates.is_empty() && gates.iter().all(|gate| gate.exit == Some(0)),
        "every gate ended with exit code 0",
    );
    let plans = issue_comments.iter().filter(|c| c["id"].as_u64() == Some(played.plan_comment)).count();
    faults.unless(plans == 1, "the plan's comment stands in the issue");
    faults.unless(mails.len() == 2, "there are two mails: the plan waits, the pull request is ready");
    let journal = surroundings.github.journal();
    faults.unless(journal.unknown_routes().is_empty(), "no call went to a route that GitHub does not have");
    if !live {
        let versions = store.artifacts(played.task.id).await?;
        let gate_runs: Vec<Vec<GateReport>> = versions
            .iter()
            .filter(|artifact| artifact.kind == ArtifactKind::Gates.as_str())
            .filter_map(|artifact| serde_json::from_slice(&artifact.body).ok())
            .collect();
        let first_failed = gate_runs.first().is_some_and(|run| run.iter().any(GateReport::blocks));
        faults.unless(first_failed, "the first attempt failed a gate");
        let severity =
            |wanted: &str, mut findings: Box<dyn Iterator<Item = &crate::domain::Finding> + '_>| {
                findings.any(|finding| finding.severity.as_str() == wanted)
            };
        faults.unless(severity("CRITICAL", Box::new(review.fixed())), "the CRITICAL finding was fixed");
        faults.unless(severity("LOW", Box::new(review.open())), "the LOW finding is still open");
        faults.unless(inline.len() == 1, "the LOW finding is an inline comment");
        let refused: Vec<_> = surroundings.model.journal().into_iter().filter_map(|e| e.refusal).collect();
        faults.unless(refused.is_empty(), &format!("every model request carried its evidence ({refused:?})"));
    }
    let bodies = |comments: &[Value], place: &str| -> Vec<Value> {
        comments
            .iter()
            .map(|c| json!({ "place": place, "by": c["user"]["login"], "path": c["path"], "line": c["line"], "body": c["body"] }))
            .collect()
    };
    let comments =
        [bodies(&issue_comments, "issue"), bodies(&reviews, "review"), bodies(&inline, "inline")].concat();
    Ok(Summary {
        task: played.task.id.to_string(),
        states: store.history(played.task.id).await?,
        branch,
        base_sha: text(&pull, "/base/sha"),
        head_sha: head,
        pull_request: number.0,
        gates: gates.iter().map(|gate| json!({ "name": gate.name, "command": gate.command, "verdict": gate.verdict, "exit": gate.exit, "duration_ms": gate.duration_ms })).collect(),
        findings: review.findings.iter().map(|tracked| json!({ "finding": tracked.finding, "status": tracked.status })).collect(),
        comments,
        check_runs: checks.iter().map(|run| json!({ "name": run["name"], "conclusion": run["conclusion"], "head_sha": run["head_sha"], "title": run["output"]["title"] })).collect(),
        mails: mails.iter().map(|mail| json!({ "to": mail.to, "subject": mail.subject, "message_id": mail.message_id, "file": mail.path.file_name().map(|name| name.to_string_lossy()) })).collect(),
        model_calls: model_calls(store, played).await?,
        timing: timing(store, played).await?,
        faults: faults.0,
    })
}

struct Faults(Vec<String>);

impl Faults {
    fn unless(&mut self, holds: bool, claim: &str) {
        if !holds {
            self.0.push(format!("not so: {claim}"));
        }
    }
}

async fn model_calls(store: &Store, played: &Played) -> anyhow::Result<Vec<Value>> {
    let calls = store.model_calls(played.task.id).await?;
    let told = calls.iter().map(|(at, call)| {
        json!({
            "at": at, "stage": call.stage, "role": call.role, "model": call.model,
            "input_tokens": call.usage.input_tokens, "cached_tokens": call.usage.cached_tokens,
            "output_tokens": call.usage.output_tokens, "cost_usd": call.usage.cost_usd(),
            "latency_ms": call.latency.as_millis() as u64, "error": call.error,
        })
    });
    Ok(told.collect())
}

async fn timing(store: &Store, played: &Played) -> anyhow::Result<Timing> {
    let history = store.history(played.task.id).await?;
    let at = |event: &str| history.iter().find(|record| record.event == event).map(|record| record.at);
    let opened = at("pull_request_opened").context("no pull request was opened")?;
    let posted = at("plan_posted").context("no plan was posted")?;
    let seen = at("reacted").context("no approval was seen")?;
    let total = (opened - played.labelled_at).num_milliseconds();
    let calls = store.model_calls(played.task.id).await?;
    let spans = calls.iter().map(|(end, call)| {
        let latency = chrono::TimeDelta::from_std(call.latency).unwrap_or_default();
        (*end - latency, *end)
    });
    let models_ms = union_ms(spans.collect());
    let kept = store.artifacts(played.task.id).await?;
    let timings = kept.iter().filter(|artifact| artifact.kind == ArtifactKind::Timing.as_str());
    let sandbox_ms = timings
        .filter_map(|artifact| serde_json::from_slice::<Value>(&artifact.body).ok()?["sandbox_ms"].as_i64())
        .sum();
    let people_and_polling_ms = (seen - posted).num_milliseconds();
    let pacing_ms = played.paced.as_millis() as i64;
    let overhead_ms = total - models_ms - sandbox_ms - people_and_polling_ms - pacing_ms;
    Ok(Timing {
        label_to_pull_request_ms: total,
        models_ms,
        sandbox_ms,
        people_and_polling_ms,
        pacing_ms,
        overhead_ms,
    })
}

/// How long at least one of the spans lasted.
fn union_ms(mut spans: Vec<(DateTime<Utc>, DateTime<Utc>)>) -> i64 {
    spans.sort();
    let mut total = chrono::TimeDelta::zero();
    let mut covered: Option<DateTime<Utc>> = None;
    for (start, end) in spans {
        let from = covered.map_or(start, |covered| covered.max(start));
        if end > from {
            total += end - from;
            covered = Some(end);
        }
    }
    total.num_milliseconds()
}

async fn kept<T: serde::de::DeserializeOwned + Default>(
    store: &Store,
    played: &Played,
    kind: ArtifactKind,
) -> anyhow::Result<T> {
    match store.latest_artifact(&played.task, kind).await? {
        Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
        None => Ok(T::default()),
    }
}

async fn list(surroundings: &Surroundings, path: &str) -> anyhow::Result<Vec<Value>> {
    let answer = surroundings.get(&format!("/repos/{REPOSITORY}{path}?per_page=100")).await?;
    Ok(answer.as_array().cloned().unwrap_or_default())
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Where to look, and what did not hold.
pub(super) fn report(folder: &Path, summary: &Summary) {
    let timing = &summary.timing;
    let seconds = |ms: i64| format!("{:.1} s", ms as f64 / 1_000.0);
    println!("\nPull request #{} from {}", summary.pull_request, summary.branch);
    for gate in &summary.gates {
        println!("  gate {}: exit {}", gate["name"].as_str().unwrap_or("?"), gate["exit"]);
    }
    println!(
        "  {} findings, {} comments, {} mails, {} model calls",
        summary.findings.len(),
        summary.comments.len(),
        summary.mails.len(),
        summary.model_calls.len()
    );
    println!(
        "  label to pull request {}: models {}, sandbox {}, people and polling {}, GitHub's pacing {}, ours {}",
        seconds(timing.label_to_pull_request_ms),
        seconds(timing.models_ms),
        seconds(timing.sandbox_ms),
        seconds(timing.people_and_polling_ms),
        seconds(timing.pacing_ms),
        seconds(timing.overhead_ms)
    );
    println!("\nLook at:");
    for (name, what) in [
        ("plan.md", "the plan comment"),
        ("pull-request.md", "the pull request with its review"),
        ("change.diff", "the change"),
        ("mails/", "the mails"),
        ("run/", "everything that the run made"),
        ("summary.json", "all of it for programs"),
    ] {
        println!("  {:<46} {what}", folder.join(name).display());
    }
    for fault in &summary.faults {
        eprintln!("\n{fault}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_calls_count_once() {
        let at = |ms| DateTime::from_timestamp_millis(ms).expect("in range");
        let spans = vec![(at(0), at(100)), (at(50), at(150)), (at(60), at(70)), (at(200), at(210))];
        assert_eq!(union_ms(spans), 160);
    }
}

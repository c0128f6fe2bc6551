//! Check runs and their suites. Only Apps may write them.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::account::Role;
use super::answer::{Answer, Outcome, Refusal};
use super::call::{Call, not_supplied, parse_time};
use super::clock::{stamp, stamp_option};
use super::manifest::Level;
use super::refusals;
use super::repository::Repository;
use super::route::{Access, Need, Route, Verb};
use super::world::{World, node_id};

/// Our App's checks of one commit.
#[derive(Clone, Debug)]
pub(super) struct CheckSuite {
    pub id: u64,
    pub head_sha: String,
    pub created_at: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub(super) struct CheckRun {
    pub id: u64,
    pub suite: u64,
    pub name: String,
    pub head_sha: String,
    pub external_id: Option<String>,
    pub details_url: Option<String>,
    pub status: String,
    pub conclusion: Option<String>,
    pub started_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
    pub title: Option<String>,
    pub summary: Option<String>,
    pub text: Option<String>,
    pub annotations: Vec<Value>,
}

impl Repository {
    pub fn has_failed_check(&self, sha: &str) -> bool {
        self.check_runs.values().any(|run| {
            run.head_sha == sha
                && !matches!(run.conclusion.as_deref(), None | Some("success" | "neutral" | "skipped"))
        })
    }
}

const READ: Access = Access::Repository { any_of: &[Need("checks", Level::Read)], role: Role::Read };
const WRITE: Access = Access::Repository { any_of: &[Need("checks", Level::Write)], role: Role::Write };

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/check-runs",
        WRITE,
        "checks/runs#create-a-check-run",
        create,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/check-runs/{check_run_id}",
        READ,
        "checks/runs#get-a-check-run",
        get,
    ),
    Route::new(
        Verb::Patch,
        "/repos/{owner}/{repo}/check-runs/{check_run_id}",
        WRITE,
        "checks/runs#update-a-check-run",
        update,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/check-runs/{check_run_id}/annotations",
        READ,
        "checks/runs#list-check-run-annotations",
        annotations,
    ),
    Route::new(
        Verb::Post,
        "/repos/{owner}/{repo}/check-runs/{check_run_id}/rerequest",
        Access::Person,
        "checks/runs#rerequest-a-check-run",
        rerequest,
    ),
    Route::new(
        Verb::Get,
        "/repos/{owner}/{repo}/commits/{ref}/check-runs",
        READ,
        "checks/runs#list-check-runs-for-a-git-reference",
        list,
    ),
];

/// Source: docs.github.com/rest/checks/runs#create-a-check-run, `annotations`.
const ANNOTATIONS_A_REQUEST: usize = 50;
/// Source: the same page; `summary` and `text` take 65,535 characters.
const TEXT_MAXIMUM: usize = 65_535;

const CONCLUSIONS: [&str; 7] =
    ["action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"];

fn only_apps(call: &Call<'_>) -> Result<(), Refusal> {
    match call.by_app() {
        true => Ok(()),
        false => Err(refusals::ONLY_APPS.refuse()),
    }
}

fn create(call: &mut Call<'_>) -> Outcome {
    only_apps(call)?;
    let name = call.required_text("name")?.to_owned();
    let head_sha = call.required_text("head_sha")?.to_owned();
    if call.repo().bare.resolve_commit(&head_sha)?.as_deref() != Some(&head_sha) {
        return Err(Refusal::unprocessable(format!("No commit found for SHA: {head_sha}")));
    }
    let (repo_id, now) = (call.repo_id, call.now());
    let mut run = CheckRun {
        id: 0,
        suite: 0,
        name,
        head_sha,
        external_id: None,
        details_url: None,
        status: "queued".into(),
        conclusion: None,
        started_at: now,
        completed_at: None,
        title: None,
        summary: None,
        text: None,
        annotations: Vec::new(),
    };
    apply(call, &mut run)?;
    run.id = call.world.new_id();
    run.suite = call.world.suite_of(repo_id, &run.head_sha);
    let (id, completed) = (run.id, run.status == "completed");
    call.repo_mut().check_runs.insert(id, run);
    let sender = call.account()?;
    call.world.emit_check_run(repo_id, id, "created", sender);
    if completed {
        call.world.emit_check_run(repo_id, id, "completed", sender);
    }
    let shown = call.world.show_check_run(call.repo(), &call.repo().check_runs[&id]);
    Ok(Answer { status: StatusCode::CREATED, ..Answer::ok(shown) })
}

fn run_of<'a>(call: &'a Call<'_>) -> Result<&'a CheckRun, Refusal> {
    call.repo().check_runs.get(&call.id("check_run_id")?).ok_or_else(Refusal::not_found)
}

fn get(call: &mut Call<'_>) -> Outcome {
    Ok(Answer::ok(call.world.show_check_run(call.repo(), run_of(call)?)))
}

fn update(call: &mut Call<'_>) -> Outcome {
    only_apps(call)?;
    let mut run = run_of(call)?.clone();
    let was_completed = run.status == "completed";
    if let Some(name) = call.text("name")? {
        name.clone_into(&mut run.name);
    }
    apply(call, &mut run)?;
    let (id, completed) = (run.id, run.status == "completed");
    call.repo_mut().check_runs.insert(id, run);
    if completed && !was_completed {
        let (repo_id, sender) = (call.repo_id, call.account()?);
        call.world.emit_check_run(repo_id, id, "completed", sender);
    }
    Ok(Answer::ok(call.world.show_check_run(call.repo(), &call.repo().check_runs[&id])))
}

/// Takes over what the body says; the same rules for a new run and a changed one.
fn apply(call: &Call<'_>, run: &mut CheckRun) -> Result<(), Refusal> {
    let time = |name: &str| -> Result<Option<DateTime<Utc>>, Refusal> {
        call.text(name)?.map(|text| parse_time(name, text)).transpose()
    };
    if let Some(status) = call.text("status")? {
        if !matches!(status, "queued" | "in_progress" | "completed" | "waiting" | "requested" | "pending") {
            return Err(Refusal::invalid("CheckRun", "status", "invalid"));
        }
        status.clone_into(&mut run.status);
        if status != "completed" {
            (run.conclusion, run.completed_at) = (None, None);
        }
    }
    if let Some(conclusion) = call.text("conclusion")? {
        // "You cannot change a check run conclusion to stale, only GitHub can set this."
        if !CONCLUSIONS.contains(&conclusion) {
            return Err(Refusal::invalid("CheckRun", "conclusion", "invalid"));
        }
        run.conclusion = Some(conclusion.to_owned());
        // "Providing conclusion will automatically set the status parameter to completed."
        run.status = "completed".into();
    }
    if run.status == "completed" && run.conclusion.is_none() {
        return Err(Refusal::invalid("CheckRun", "conclusion", "missing_field"));
    }
    run.external_id = call.text("external_id")?.map(str::to_owned).or_else(|| run.external_id.take());
    run.details_url = call.text("details_url")?.map(str::to_owned).or_else(|| run.details_url.take());
    run.started_at = time("started_at")?.unwrap_or(run.started_at);
    run.completed_at = time("completed_at")?.or(run.completed_at);
    if run.status == "completed" && run.completed_at.is_none() {
        run.completed_at = Some(call.now());
    }
    match call.field("output") {
        Some(output) if !output.is_null() => apply_output(output, run),
        _ => Ok(()),
    }
}

fn apply_output(output: &Value, run: &mut CheckRun) -> Result<(), Refusal> {
    let text = |name: &str| output[name].as_str().map(str::to_owned);
    for name in ["summary", "text"] {
        if output[name].as_str().is_some_and(|text| text.chars().count() > TEXT_MAXIMUM) {
            let message = format!("{name} exceeds a maximum bytesize of {TEXT_MAXIMUM}");
            return Err(Refusal::custom("CheckRun", Some(name), message));
        }
    }
    run.summary = Some(text("summary").ok_or_else(|| not_supplied("summary"))?);
    run.title = text("title").or_else(|| run.title.take());
    run.text = text("text").or_else(|| run.text.take());
    let given = output["annotations"].as_array().cloned().unwrap_or_default();
    if given.len() > ANNOTATIONS_A_REQUEST {
        let message =
            format!("No more than {ANNOTATIONS_A_REQUEST} items are allowed; {} were supplied.", given.len());
        return Err(Refusal::unprocessable(format!("Invalid request.\n\n{message}")));
    }
    for annotation in &given {
        for name in ["path", "start_line", "end_line", "annotation_level", "message"] {
            if annotation[name].is_null() {
                return Err(not_supplied(name));
            }
        }
        let level = annotation["annotation_level"].as_str();
        if !matches!(level, Some("notice" | "warning" | "failure")) {
            return Err(Refusal::invalid("CheckRun", "annotation_level", "invalid"));
        }
        let one_line = annotation["start_line"] == annotation["end_line"];
        if !one_line && !annotation["start_column"].is_null() {
            // "Annotations only support start_column and end_column on the same line."
            return Err(Refusal::invalid("CheckRun", "start_column", "invalid"));
        }
    }
    // Each further request adds to what is there.
    run.annotations.extend(given);
    Ok(())
}

fn annotations(call: &mut Call<'_>) -> Outcome {
    let run = run_of(call)?;
    let full_name = call.world.full_name(call.repo());
    let shown = run.annotations.iter().map(|one| {
        let path = one["path"].as_str().unwrap_or_default();
        json!({
            "path": path,
            "blob_href": call.world.html(&format!("/{full_name}/blob/{}/{path}", run.head_sha)),
            "start_line": one["start_line"], "end_line": one["end_line"],
            "start_column": one["start_column"], "end_column": one["end_column"],
            "annotation_level": one["annotation_level"], "title": one["title"],
            "message": one["message"], "raw_details": one["raw_details"],
        })
    });
    Ok(call.page(shown.collect()))
}

/// A person presses "Re-run": the App gets `rerequested`.
fn rerequest(call: &mut Call<'_>) -> Outcome {
    let id = run_of(call)?.id;
    let sender = call.account()?;
    if call.world.role(sender, call.repo()) < Role::Write {
        return Err(Refusal::forbidden("Must have admin rights to Repository."));
    }
    let repo_id = call.repo_id;
    call.world.emit_check_run(repo_id, id, "rerequested", sender);
    Ok(Answer { status: StatusCode::CREATED, ..Answer::ok(json!({})) })
}

fn list(call: &mut Call<'_>) -> Outcome {
    let name = call.param("ref");
    let repo = call.repo();
    let sha = repo.bare.resolve_commit(name)?;
    let sha = sha.ok_or_else(|| Refusal::unprocessable(format!("No commit found for SHA: {name}")))?;
    let query = |name: &str| call.request.query(name);
    let app_id = call.world.settings.app_id.to_string();
    let mut found: Vec<&CheckRun> = repo
        .check_runs
        .values()
        .rev()
        .filter(|run| run.head_sha == sha)
        .filter(|run| query("check_name").is_none_or(|wanted| run.name == wanted))
        .filter(|run| query("status").is_none_or(|wanted| run.status == wanted))
        .filter(|_| query("app_id").is_none_or(|wanted| wanted == app_id))
        .collect();
    if query("filter").unwrap_or("latest") == "latest" {
        let mut seen = Vec::new();
        found.retain(|run| {
            let first = !seen.contains(&run.name);
            seen.push(run.name.clone());
            first
        });
    }
    let shown = found.into_iter().map(|run| call.world.show_check_run(repo, run)).collect();
    Ok(call.page_in("check_runs", shown, Map::new()))
}

impl World {
    fn suite_of(&mut self, repo_id: u64, head_sha: &str) -> u64 {
        let known = self.repo(repo_id).check_suites.values().find(|suite| suite.head_sha == head_sha);
        if let Some(suite) = known {
            return suite.id;
        }
        let (id, created_at) = (self.new_id(), self.now());
        let suite = CheckSuite { id, head_sha: head_sha.to_owned(), created_at };
        self.repo_mut(repo_id).check_suites.insert(id, suite);
        id
    }

    fn emit_check_run(&mut self, repo_id: u64, id: u64, action: &'static str, sender: u64) {
        let repo = self.repo(repo_id);
        let Some(run) = repo.check_runs.get(&id) else { return };
        let mut shown = self.show_check_run(repo, run);
        shown["check_suite"] = self.show_check_suite(repo, run);
        let extra = Map::from_iter([("check_run".to_owned(), shown)]);
        self.emit("check_run", Some(action), Some(repo_id), sender, extra);
    }

    fn show_check_run(&self, repo: &Repository, run: &CheckRun) -> Value {
        let full_name = self.full_name(repo);
        let api = self.api(&format!("/repos/{full_name}/check-runs/{}", run.id));
        let html = self.html(&format!("/{full_name}/runs/{}", run.id));
        json!({
            "id": run.id,
            "name": run.name,
            "node_id": node_id("CR", run.id),
            "head_sha": run.head_sha,
            "external_id": run.external_id.as_deref().unwrap_or(""),
            "url": api,
            "html_url": html,
            "details_url": run.details_url.as_deref().unwrap_or(&self.settings.manifest.url),
            "status": run.status,
            "conclusion": run.conclusion,
            "started_at": stamp(run.started_at),
            "completed_at": stamp_option(run.completed_at),
            "output": {
                "title": run.title, "summary": run.summary, "text": run.text,
                "annotations_count": run.annotations.len(), "annotations_url": format!("{api}/annotations"),
            },
            "check_suite": {"id": run.suite},
            "app": self.show_app(),
            "pull_requests": self.show_pulls_at(repo, &run.head_sha),
        })
    }

    /// Open pull requests whose head is this commit, in the shortest form.
    fn show_pulls_at(&self, repo: &Repository, sha: &str) -> Vec<Value> {
        let url = self.api(&format!("/repos/{}", self.full_name(repo)));
        let side = |name: &str, sha: &str| json!({"ref": name, "sha": sha, "repo": {"id": repo.id, "url": url, "name": repo.name}});
        let open = repo.issues.values().filter(|issue| issue.is_open());
        open.filter_map(|issue| {
            let pull = issue.pull.as_ref().filter(|pull| pull.head_sha == sha)?;
            Some(json!({
                "id": issue.id, "number": issue.number, "url": format!("{url}/pulls/{}", issue.number),
                "head": side(&pull.head_ref, &pull.head_sha), "base": side(&pull.base_ref, &pull.base_sha),
            }))
        })
        .collect()
    }

    fn show_check_suite(&self, repo: &Repository, run: &CheckRun) -> Value {
        let branch = repo.refs.iter().find(|(_, sha)| **sha == run.head_sha);
        let branch = branch.and_then(|(name, _)| name.strip_prefix("refs/heads/"));
        let at = repo.check_suites.get(&run.suite).map(|suite| stamp(suite.created_at));
        json!({
            "id": run.suite,
            "node_id": node_id("CS", run.suite),
            "head_branch": branch,
            "head_sha": run.head_sha,
            "status": run.status,
            "conclusion": run.conclusion,
            "url": self.api(&format!("/repos/{}/check-suites/{}", self.full_name(repo), run.suite)),
            "before": null,
            "after": run.head_sha,
            "pull_requests": self.show_pulls_at(repo, &run.head_sha),
            "app": self.show_app(),
            "created_at": at,
            "updated_at": at,
        })
    }
}

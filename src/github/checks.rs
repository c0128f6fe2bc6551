//! Check runs: the gates' evidence beside the commit.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::CommitSha;

use super::pulls::encode;
use super::{GitHubError, RepositoryClient};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckConclusion {
    Success,
    Failure,
    Neutral,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CheckRun {
    pub id: u64,
    pub name: String,
    pub external_id: Option<String>,
    status: String,
    output: CheckOutput,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct CheckOutput {
    annotations_count: usize,
}

impl CheckRun {
    pub fn is_completed(&self) -> bool {
        self.status == "completed"
    }

    /// How many annotations have arrived.
    pub fn annotations(&self) -> usize {
        self.output.annotations_count
    }
}

/// Where a request leaves a check run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckProgress {
    /// More annotations follow.
    InProgress,
    Completed(CheckConclusion),
}

#[derive(Debug, Clone)]
pub struct NewCheckRun<'a> {
    pub name: &'a str,
    pub head: &'a CommitSha,
    /// Our key: what makes the run findable again.
    pub external_id: &'a str,
    pub title: &'a str,
    pub summary: &'a str,
}

/// Most annotations in one request (docs.github.com, "Update a check run").
pub const ANNOTATIONS_A_REQUEST: usize = 50;

/// A line of the change that a gate points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckAnnotation {
    pub path: String,
    pub start_line: u32,
    pub end_line: u32,
    pub annotation_level: &'static str,
    pub title: String,
    pub message: String,
}

impl RepositoryClient {
    /// The check runs of a name on a commit.
    pub async fn check_runs(&self, head: &CommitSha, name: &str) -> Result<Vec<CheckRun>, GitHubError> {
        #[derive(Deserialize)]
        struct Answer {
            check_runs: Vec<CheckRun>,
        }
        let name = encode(name);
        let path = self.path(&format!("/commits/{head}/check-runs?check_name={name}&per_page=100"));
        Ok(self.get::<Answer>(&path).await?.check_runs)
    }

    /// Creates a run with its first annotations.
    pub async fn create_check_run(
        &self,
        new: &NewCheckRun<'_>,
        annotations: &[CheckAnnotation],
        progress: CheckProgress,
    ) -> Result<CheckRun, GitHubError> {
        let mut body = update(new, annotations, progress);
        body["name"] = json!(new.name);
        body["head_sha"] = json!(new.head);
        body["external_id"] = json!(new.external_id);
        self.post(&self.path("/check-runs"), &body).await
    }

    /// Adds annotations to a run; GitHub wants title and summary again.
    pub async fn update_check_run(
        &self,
        id: u64,
        run: &NewCheckRun<'_>,
        annotations: &[CheckAnnotation],
        progress: CheckProgress,
    ) -> Result<CheckRun, GitHubError> {
        let path = self.path(&format!("/check-runs/{id}"));
        self.patch(&path, &update(run, annotations, progress)).await
    }
}

fn update(run: &NewCheckRun<'_>, annotations: &[CheckAnnotation], progress: CheckProgress) -> Value {
    let output = json!({ "title": run.title, "summary": run.summary, "annotations": annotations });
    match progress {
        CheckProgress::InProgress => json!({ "status": "in_progress", "output": output }),
        CheckProgress::Completed(conclusion) => {
            json!({ "status": "completed", "conclusion": conclusion, "output": output })
        }
    }
}

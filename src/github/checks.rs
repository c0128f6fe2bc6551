//! Check runs: the gates' evidence beside the commit.

use serde::{Deserialize, Serialize};
use serde_json::json;

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
}

#[derive(Debug, Clone)]
pub struct NewCheckRun<'a> {
    pub name: &'a str,
    pub head: &'a CommitSha,
    /// Our key: what makes the run findable again.
    pub external_id: &'a str,
    pub conclusion: CheckConclusion,
    pub title: &'a str,
    pub summary: &'a str,
    /// At most 50 in one request (docs.github.com, "Update a check run").
    pub annotations: &'a [CheckAnnotation],
}

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

    pub async fn create_check_run(&self, new: &NewCheckRun<'_>) -> Result<CheckRun, GitHubError> {
        let body = json!({
            "name": new.name, "head_sha": new.head, "external_id": new.external_id, "status": "completed",
            "conclusion": new.conclusion, "output": { "title": new.title, "summary": new.summary, "annotations": new.annotations },
        });
        self.post(&self.path("/check-runs"), &body).await
    }

    /// Adds annotations to a run; GitHub wants title and summary again.
    pub async fn annotate_check_run(
        &self,
        id: u64,
        run: &NewCheckRun<'_>,
        annotations: &[CheckAnnotation],
    ) -> Result<(), GitHubError> {
        let body = json!({
            "output": { "title": run.title, "summary": run.summary, "annotations": annotations },
        });
        self.patch::<_, CheckRun>(&self.path(&format!("/check-runs/{id}")), &body).await?;
        Ok(())
    }
}

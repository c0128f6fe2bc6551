//! Candidates as they are kept: `2/attempt.json`, `2/patch/work.patch` and so on, under the candidate's number.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::{CommitSha, GateReport, Reason, Task};
use crate::store::{Artifact, ArtifactKind};
use crate::workspace::aside;

use super::super::cleaned::clean_artifact;
use super::super::implement::Ground;
use super::super::{Pipeline, StageError, json_artifact};
use super::Made;

const ATTEMPT: &str = "attempt.json";

/// How one candidate was written, and whether there is any work of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub number: u32,
    /// A candidate on another base is none for this one.
    pub base: CommitSha,
    pub head: Option<CommitSha>,
    /// Why there is no head.
    pub failure: Option<Reason>,
    pub models: Vec<String>,
    pub temperature: Option<f64>,
}

impl Pipeline {
    /// Keeps what a candidate made; what it is comes last, and tells that the rest is there.
    pub(super) async fn keep_candidate(
        &self,
        task: &Task,
        attempt: &Attempt,
        products: &[Artifact],
    ) -> Result<(), StageError> {
        for product in products {
            self.keep_clean(task, under(attempt.number, product)).await?;
        }
        let name = format!("{}/{ATTEMPT}", attempt.number);
        let record = json_artifact(task, ArtifactKind::Candidate, &name, attempt)?;
        self.keep_clean(task, record).await
    }

    /// What is kept before the stage's end is clean like what is kept with it.
    async fn keep_clean(&self, task: &Task, mut artifact: Artifact) -> Result<(), StageError> {
        aside(|| clean_artifact(&mut artifact, &self.redactor));
        Ok(self.store.keep(task.id, &artifact).await?)
    }

    /// Keeps a candidate's gates. How gates do on the base is the same for all.
    pub(super) async fn keep_gates(
        &self,
        task: &Task,
        number: u32,
        products: &[Artifact],
    ) -> Result<(), StageError> {
        for product in products {
            match product.kind {
                ArtifactKind::BaseGates => self.keep_clean(task, product.clone()).await?,
                _ => self.keep_clean(task, under(number, product)).await?,
            }
        }
        Ok(())
    }

    /// The candidates that an earlier run of this stage has written, where their commits are to be had.
    pub(super) async fn kept_candidates(
        &self,
        ground: &Ground<'_>,
    ) -> Result<BTreeMap<u32, Made>, StageError> {
        let mut files: BTreeMap<u32, Vec<Artifact>> = BTreeMap::new();
        for kept in self.store.kept(ground.task, ArtifactKind::Candidate).await? {
            if let Some((number, artifact)) = above(ground.task, &kept.name, kept.body) {
                let files = files.entry(number).or_default();
                // A later run of the stage replaces what an earlier one made.
                files.retain(|known| known.name != artifact.name);
                files.push(artifact);
            }
        }
        let mut made = BTreeMap::new();
        for (number, files) in files {
            if let Some(one) = taken_up(ground, files)? {
                made.insert(number, one);
            }
        }
        Ok(made)
    }
}

fn taken_up(ground: &Ground<'_>, files: Vec<Artifact>) -> Result<Option<Made>, StageError> {
    let attempt = files.iter().find(|file| file.name == ATTEMPT);
    let Some(attempt) = attempt.and_then(read::<Attempt>).filter(|attempt| attempt.base == ground.base)
    else {
        return Ok(None);
    };
    let gates = files.iter().find(|file| file.kind == ArtifactKind::Gates).and_then(read::<Vec<GateReport>>);
    let of_gates = [ArtifactKind::Gates, ArtifactKind::GateLog, ArtifactKind::Candidate];
    let products: Vec<Artifact> = files.into_iter().filter(|file| !of_gates.contains(&file.kind)).collect();
    if let Some(head) = &attempt.head
        && !ground.checkout.mirror.has(head)?
    {
        let Some(bundle) = products.iter().find(|product| product.kind == ArtifactKind::Commits) else {
            return Ok(None);
        };
        if ground.checkout.mirror.unbundle(&bundle.body)? != *head {
            return Ok(None);
        }
    }
    Ok(Some(Made { attempt, products, gates }))
}

/// What cannot be read is made again.
fn read<T: DeserializeOwned>(artifact: &Artifact) -> Option<T> {
    serde_json::from_slice(&artifact.body).ok()
}

/// A product as it is kept among those of its candidate.
fn under(number: u32, product: &Artifact) -> Artifact {
    let name = format!("{number}/{}/{}", product.kind.as_str(), product.name);
    Artifact { kind: ArtifactKind::Candidate, name, ..product.clone() }
}

/// The product that was kept under a name, and whose it is.
fn above(task: &Task, name: &str, body: Vec<u8>) -> Option<(u32, Artifact)> {
    let (number, rest) = name.split_once('/')?;
    let (kind, name) = match rest.split_once('/') {
        Some((kind, name)) => (ArtifactKind::named(kind)?, name),
        None => (ArtifactKind::Candidate, rest),
    };
    Some((number.parse().ok()?, Artifact { kind, version: task.version, name: name.to_owned(), body }))
}

impl Made {
    pub(super) fn patch(&self) -> String {
        let patch = self.products.iter().find(|product| product.kind == ArtifactKind::Patch);
        patch.map(|patch| String::from_utf8_lossy(&patch.body).into_owned()).unwrap_or_default()
    }

    /// The candidate as the work of its task. `None`: it came to nothing.
    pub(super) fn work(self, task: &Task) -> Option<(CommitSha, Vec<Artifact>)> {
        let products = self.products.into_iter().map(|product| Artifact { version: task.version, ..product });
        Some((self.attempt.head?, products.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Account, BranchName, Origin, TaskId, UserId};

    #[test]
    fn a_product_is_found_again_where_it_was_kept() {
        let base = BranchName::parse("main").expect("a name");
        let origin = Origin::Local { repository: "/r".into(), base };
        let by = Account { id: UserId(0), login: "ada".into() };
        let task = Task::new(TaskId(uuid::Uuid::nil()), origin, by, chrono::DateTime::UNIX_EPOCH);
        for kind in
            [ArtifactKind::Commits, ArtifactKind::Patch, ArtifactKind::Summary, ArtifactKind::Transcript]
        {
            let product = Artifact { kind, version: 3, name: "a file".into(), body: b"x".to_vec() };
            let kept = under(12, &product);
            assert_eq!((kept.kind, kept.version), (ArtifactKind::Candidate, 3));
            let (number, found) = above(&task, &kept.name, kept.body).expect("found");
            assert_eq!((number, found.kind, found.name), (12, kind, "a file".to_owned()));
        }
        let (number, attempt) = above(&task, "2/attempt.json", vec![]).expect("found");
        assert_eq!((number, attempt.kind, attempt.name.as_str()), (2, ArtifactKind::Candidate, ATTEMPT));
        for strange in ["attempt.json", "x/attempt.json", "1/unheard of/a"] {
            assert!(above(&task, strange, vec![]).is_none(), "{strange}");
        }
    }
}

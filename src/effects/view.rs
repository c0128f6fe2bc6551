//! What a task has to show, gathered from where it is kept.

use crate::domain::{
    Answer, Choice, DroppedFinding, Finding, FindingStatus, GateReport, ReviewRound, Severity, SwitchedOff,
    TakenBack, Task, Usage,
};
use crate::speech::{Evidence, Spend};
use crate::store::{ArtifactKind, Store};

use super::EffectError;

/// The newest products of a task.
#[derive(Debug, Default)]
pub struct Gathered {
    pub gates: Vec<GateReport>,
    pub findings: Vec<(Finding, FindingStatus)>,
    pub reviewers: Vec<String>,
    pub failed_reviewers: Vec<String>,
    pub dropped: Vec<DroppedFinding>,
    pub unverified: Option<String>,
    pub blocking: Vec<Severity>,
    pub switched_off: Vec<SwitchedOff>,
    /// Of the round of work that is at hand.
    pub taken_back: Vec<TakenBack>,
    pub choice: Option<Choice>,
    pub answer: Option<Answer>,
    pub usage: Usage,
    pub patch: Option<String>,
    pub summary: String,
}

impl Gathered {
    pub async fn of(store: &Store, task: &Task) -> Result<Self, EffectError> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let gates = store.latest_artifact(task, ArtifactKind::Gates).await?;
        let review = store.latest_artifact(task, ArtifactKind::Review).await?;
        let review: ReviewRound = read(review, "review")?;
        let named = |names: &mut Vec<String>, name: &str| {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        };
        let mut reviewers = Vec::new();
        for summary in &review.summaries {
            named(&mut reviewers, &summary.reviewer);
        }
        let failed_reviewers: Vec<String> = review.failed.iter().map(|f| f.reviewer.clone()).collect();
        for failed in &failed_reviewers {
            named(&mut reviewers, failed);
        }
        Ok(Self {
            gates: read(gates, "gate")?,
            findings: review.findings.into_iter().map(|t| (t.finding, t.status)).collect(),
            reviewers,
            failed_reviewers,
            dropped: review.dropped,
            unverified: review.unverified,
            blocking: review.blocking,
            switched_off: review.switched_off,
            taken_back: task.taken_back.iter().filter(|taken| taken.round == task.round).cloned().collect(),
            choice: read(store.latest_artifact(task, ArtifactKind::Choice).await?, "choice")?,
            answer: read(store.latest_artifact(task, ArtifactKind::Answer).await?, "answer")?,
            usage: store.usage_of(task.id).await?,
            patch: store.latest_artifact(task, ArtifactKind::Patch).await?.map(text),
            summary: summary(&store.artifacts_of_kind(task, ArtifactKind::Summary).await?),
        })
    }

    /// `budget_micro_usd`: what the task may spend.
    pub fn evidence(&self, budget_micro_usd: Option<u64>) -> Evidence<'_> {
        Evidence {
            gates: &self.gates,
            findings: &self.findings,
            reviewers: &self.reviewers,
            failed_reviewers: &self.failed_reviewers,
            dropped: &self.dropped,
            unverified: self.unverified.as_deref(),
            blocking: &self.blocking,
            switched_off: &self.switched_off,
            taken_back: &self.taken_back,
            choice: self.choice.as_ref(),
            spend: Spend { usage: self.usage, budget_micro_usd },
        }
    }
}

/// What the implementer says that it did, and below it what each fix round added.
fn summary(rounds: &[Vec<u8>]) -> String {
    let mut texts = rounds.iter().map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
    let mut summary = texts.next().unwrap_or_default();
    for round in texts {
        summary.push_str("\n\n");
        summary.push_str(&round);
    }
    summary
}

fn read<T: serde::de::DeserializeOwned + Default>(
    bytes: Option<Vec<u8>>,
    what: &str,
) -> Result<T, EffectError> {
    match bytes {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            EffectError::Impossible(format!("the kept {what} results are unreadable: {error}"))
        }),
        None => Ok(T::default()),
    }
}

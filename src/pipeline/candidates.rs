//! Several candidates for the work of one task: each is written in a tree of its own, each is judged by the same
//! gates, and one goes on.
//!
//! All of it is part of the stage that writes the change, so what follows (gates, reviews, fixes) knows one head as
//! always. What a candidate made is kept as soon as it is there: a stage that is begun again goes on with the
//! candidates that are missing.

mod choose;
mod record;
mod varied;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;

use crate::agents::AgentContext;
use crate::domain::{CameTo, Candidate, Event, GateReport, Reason, Stage, Task};
use crate::store::{Artifact, ArtifactKind};

use super::implement::Ground;
use super::time::StageTime;
use super::{Pipeline, StageEnd, StageError, json_artifact};
use record::Attempt;
use varied::Varied;

/// What an operator decides about candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct CandidateSettings {
    /// For repositories that say nothing.
    pub count: u32,
    /// The most that a repository may ask for.
    pub most: u32,
    /// The candidates' temperatures in turn; empty: as the models are configured.
    pub temperatures: Vec<f64>,
}

impl CandidateSettings {
    /// Candidates for a task of a repository that asks for so many.
    pub(super) fn count_for(&self, asked: Option<u32>) -> u32 {
        asked.map_or(self.count, |asked| asked.clamp(1, self.most.max(self.count))).max(1)
    }

    fn temperature(&self, number: u32) -> Option<f64> {
        let turn = (number as usize - 1) % self.temperatures.len().max(1);
        self.temperatures.get(turn).copied()
    }
}

/// A candidate with what it made. `gates` are those of a finished one, once they have run.
pub(super) struct Made {
    attempt: Attempt,
    products: Vec<Artifact>,
    gates: Option<Vec<GateReport>>,
}

impl Pipeline {
    /// How often a stage's own limit it may take: candidates are written side by side and gated one by one.
    pub(super) fn shares(&self, stage: Stage) -> u32 {
        let most = self.settings.candidates.most.max(self.settings.candidates.count);
        if stage == Stage::Implement && most > 1 { 1 + most } else { 1 }
    }

    /// Writes several candidates and goes on with the best.
    pub(super) async fn best_of(
        &self,
        ground: &Ground<'_>,
        agent: &AgentContext,
        time: StageTime,
    ) -> Result<StageEnd, StageError> {
        let count = ground.candidates;
        let mut made = self.kept_candidates(ground).await?;
        made.retain(|number, _| *number <= count);
        let missing: Vec<u32> = (1..=count).filter(|number| !made.contains_key(number)).collect();
        let written =
            join_all(missing.iter().map(|number| self.candidate(ground, agent, (*number, time)))).await;
        for (number, written) in missing.into_iter().zip(written) {
            made.insert(number, written?);
        }
        let mut measured = Vec::new();
        for (number, made) in &mut made {
            measured.push(self.measured(ground, *number, made).await?);
        }
        self.go_on_with_the_best(ground, agent, (measured, made)).await
    }

    /// Writes one candidate and keeps what it made. That it came to nothing is a result too; only what may work
    /// in a while ends the stage.
    async fn candidate(
        &self,
        ground: &Ground<'_>,
        agent: &AgentContext,
        (number, time): (u32, StageTime),
    ) -> Result<Made, StageError> {
        let temperature = self.settings.candidates.temperature(number);
        let model = Arc::new(Varied::new(&agent.model, number, temperature));
        let agent = AgentContext { model: model.clone(), ..agent.clone() };
        let (head, failure, products) = match self.attempt(ground, &agent, time).await {
            Ok((Ok(head), products)) => (Some(head), None, products),
            Ok((Err(said), products)) => (None, Some(Reason::NothingChanged { said }), products),
            Err(StageError::Stop { reason, kept }) => (None, Some(reason), kept),
            Err(error) => return Err(error),
        };
        let (base, models) = (ground.base.clone(), model.heard());
        let attempt = Attempt { number, base, head, failure, models, temperature };
        self.keep_candidate(ground.task, &attempt, &products).await?;
        Ok(Made { attempt, products, gates: None })
    }

    /// The candidate with what its gates say, which is asked once.
    async fn measured(
        &self,
        ground: &Ground<'_>,
        number: u32,
        made: &mut Made,
    ) -> Result<Candidate, StageError> {
        let Attempt { head, failure, models, temperature, .. } = &made.attempt;
        let came_to = match head {
            None => {
                let nothing = || Reason::Internal { detail: "a candidate came to nothing".into() };
                CameTo::Failed { reason: failure.clone().unwrap_or_else(nothing) }
            }
            Some(head) => {
                let reports = match made.gates.take() {
                    Some(reports) => reports,
                    None => {
                        let task = Task {
                            base: Some(ground.base.clone()),
                            head: Some(head.clone()),
                            ..ground.task.clone()
                        };
                        let (reports, products) = self.gated(&task).await?;
                        self.keep_gates(ground.task, number, &products).await?;
                        reports
                    }
                };
                let measured = choose::measure(ground.checkout, (&ground.base, head), &reports)?;
                made.gates = Some(reports);
                CameTo::Finished(measured)
            }
        };
        Ok(Candidate { number, models: models.clone(), temperature: *temperature, came_to })
    }

    async fn go_on_with_the_best(
        &self,
        ground: &Ground<'_>,
        agent: &AgentContext,
        (candidates, mut made): (Vec<Candidate>, BTreeMap<u32, Made>),
    ) -> Result<StageEnd, StageError> {
        let patches: BTreeMap<u32, String> =
            made.iter().map(|(number, made)| (*number, made.patch())).collect();
        let chosen = self.choose(ground, agent, (candidates, &patches)).await;
        let Some(choice) = chosen else { return Err(nothing_came(made)) };
        let decision = json_artifact(ground.task, ArtifactKind::Choice, "choice.json", &choice)?;
        let Some((head, mut artifacts)) = made.remove(&choice.chosen).and_then(|made| made.work(ground.task))
        else {
            let detail = "the chosen candidate has no work".to_owned();
            return Err(StageError::stop(Reason::Internal { detail }));
        };
        tracing::info!(chosen = choice.chosen, by = ?choice.decided_by, "a candidate was chosen");
        artifacts.push(decision);
        Ok(StageEnd { events: vec![Event::Implemented { base: ground.base.clone(), head }], artifacts })
    }
}

/// No candidate came to an end: the task stops for what stopped the first, and what they made is kept.
fn nothing_came(made: BTreeMap<u32, Made>) -> StageError {
    let nothing = || Reason::Internal { detail: "no candidate was written".into() };
    let Some(first) = made.into_values().next() else { return StageError::stop(nothing()) };
    StageError::Stop { reason: first.attempt.failure.unwrap_or_else(nothing), kept: first.products }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_gets_as_many_candidates_as_the_deployment_allows() {
        let settings = |count, most| CandidateSettings { count, most, temperatures: vec![] };
        assert_eq!(settings(1, 1).count_for(None), 1);
        assert_eq!(settings(1, 1).count_for(Some(5)), 1, "no more than are allowed");
        assert_eq!(settings(2, 4).count_for(Some(5)), 4);
        assert_eq!(settings(3, 3).count_for(Some(1)), 1, "and fewer, where it wants that");
        assert_eq!(settings(3, 1).count_for(None), 3);
        assert_eq!(settings(3, 1).count_for(Some(4)), 3);
    }

    #[test]
    fn temperatures_take_turns() {
        let settings = CandidateSettings { count: 3, most: 3, temperatures: vec![0.1, 0.9] };
        assert_eq!([1, 2, 3].map(|number| settings.temperature(number)), [Some(0.1), Some(0.9), Some(0.1)]);
        let none = CandidateSettings { temperatures: vec![], ..settings };
        assert_eq!(none.temperature(2), None);
    }
}

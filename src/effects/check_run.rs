//! The check run: what the gates said, beside the commit.

use crate::domain::Task;
use crate::github::{
    ANNOTATIONS_A_REQUEST, CheckAnnotation, CheckConclusion, CheckProgress, CheckRun, NewCheckRun, Purpose,
};
use crate::speech::{self, Annotation, CheckView, Conclusion};

use super::pull_request::head_of;
use super::view::Gathered;
use super::{Done, EffectError, Effects};

impl Effects {
    /// GitHub keeps our key with the run, as its `external_id`.
    pub(super) async fn report_check(&self, key: &str, task: &Task) -> Result<Done, EffectError> {
        let head = head_of(task)?;
        let client = self.client(task, Purpose::Check)?;
        let gathered = Gathered::of(&self.store, task).await?;
        let evidence = gathered.evidence(self.settings.budget_of(task));
        let text = self.with_gateway(|gateway| speech::check_run(gateway, &CheckView { evidence }));
        let runs = client.check_runs(head, text.name).await?;
        let mut run: Option<CheckRun> = runs.into_iter().find(|run| run.external_id.as_deref() == Some(key));
        let new = NewCheckRun {
            name: text.name,
            head,
            external_id: key,
            title: &text.title,
            summary: text.summary.as_str(),
        };
        let annotations: Vec<CheckAnnotation> = text.annotations.iter().flatten().map(annotation).collect();
        let conclusion = conclusion(text.conclusion);
        // The run is completed with its last annotations, so that one that lacks some is known by that, and
        // says itself how many have arrived.
        let mut sent = run.as_ref().map_or(0, CheckRun::annotations).min(annotations.len());
        while run.as_ref().is_none_or(|run| !run.is_completed()) {
            let end = annotations.len().min(sent + ANNOTATIONS_A_REQUEST);
            let chunk = &annotations[sent..end];
            let progress = match end == annotations.len() {
                true => CheckProgress::Completed(conclusion),
                false => CheckProgress::InProgress,
            };
            run = Some(match &run {
                None => client.create_check_run(&new, chunk, progress).await?,
                Some(run) => client.update_check_run(run.id, &new, chunk, progress).await?,
            });
            sent = end;
        }
        Ok(Done::Nothing)
    }
}

fn conclusion(conclusion: Conclusion) -> CheckConclusion {
    match conclusion {
        Conclusion::Success => CheckConclusion::Success,
        Conclusion::Failure => CheckConclusion::Failure,
        Conclusion::Neutral => CheckConclusion::Neutral,
    }
}

fn annotation(annotation: &Annotation) -> CheckAnnotation {
    CheckAnnotation {
        path: annotation.path.clone(),
        start_line: annotation.start_line,
        end_line: annotation.end_line,
        annotation_level: annotation.level.as_str(),
        title: annotation.title.clone(),
        message: annotation.message.clone(),
    }
}

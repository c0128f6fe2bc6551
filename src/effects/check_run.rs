//! The check run: what the gates said, beside the commit.

use crate::domain::Task;
use crate::github::{CheckAnnotation, CheckConclusion, NewCheckRun, Purpose};
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
        let evidence = gathered.evidence(self.settings.budget_micro_usd);
        let text = self.with_gateway(|gateway| speech::check_run(gateway, &CheckView { evidence }));
        let runs = client.check_runs(head, text.name).await?;
        if runs.iter().any(|run| run.external_id.as_deref() == Some(key)) {
            return Ok(Done::Nothing);
        }
        let chunks: Vec<Vec<CheckAnnotation>> =
            text.annotations.iter().map(|chunk| chunk.iter().map(annotation).collect()).collect();
        let new = NewCheckRun {
            name: text.name,
            head,
            external_id: key,
            conclusion: match text.conclusion {
                Conclusion::Success => CheckConclusion::Success,
                Conclusion::Failure => CheckConclusion::Failure,
                Conclusion::Neutral => CheckConclusion::Neutral,
            },
            title: &text.title,
            summary: text.summary.as_str(),
            annotations: chunks.first().map_or(&[], Vec::as_slice),
        };
        let run = client.create_check_run(&new).await?;
        for chunk in chunks.iter().skip(1) {
            client.annotate_check_run(run.id, &new, chunk).await?;
        }
        Ok(Done::Nothing)
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

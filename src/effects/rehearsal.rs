//! Effects of a dry run: the log tells what would be done, and shows what would be said.

use crate::domain::Effect;
use crate::queue::JobFailure;
use crate::speech::Body;
use crate::store::{Lease, StoreError, Work};

use super::{EffectError, Effects};

impl Effects {
    /// Ends the job of an effect without doing it.
    pub(super) async fn rehearse(&self, lease: &Lease) -> Result<(), JobFailure> {
        match self.words_of(lease).await {
            Ok(Some(body)) => {
                tracing::info!(effect = lease.key, text = body.as_str(), "dry run: this would be said now");
            }
            Ok(None) => tracing::info!(effect = ?lease.work, "dry run: this would be done now"),
            Err(EffectError::Store(error @ StoreError::Database(_))) => return Err(error.into()),
            Err(error) => tracing::warn!(%error, effect = ?lease.work, "dry run: this could not be done"),
        }
        self.finish(lease, None).await
    }

    /// The comment that the effect would post, if it is one.
    async fn words_of(&self, lease: &Lease) -> Result<Option<Body>, EffectError> {
        let key = &lease.key;
        let (id, version, act) = match &lease.work {
            Work::Effect { task, version, act } => (*task, *version, act),
            Work::Reply { place, notice } => return Ok(Some(self.reply_body(key, place, notice).await?)),
            Work::DigestMail { .. }
            | Work::Ingest { .. }
            | Work::Stage { .. }
            | Work::Wait { .. }
            | Work::Schedule { .. } => return Ok(None),
        };
        match act {
            Effect::PostPlan => self.plan_body(key, &self.store.task(id).await?).await,
            Effect::Comment { notice, .. } => {
                let then = self.store.task_as_of(id, version).await?;
                Ok(Some(self.notice_body(key, &then, notice).await?))
            }
            Effect::PostAnswer => {
                let then = self.store.task_as_of(id, version).await?;
                Ok(Some(self.answer_body(key, &then).await?))
            }
            Effect::PushBranch
            | Effect::OpenPullRequest
            | Effect::LabelPullRequest
            | Effect::PostReview
            | Effect::ReportCheck
            | Effect::Mail { .. }
            | Effect::WriteLocalBranch => Ok(None),
        }
    }
}

//! Comments: the plan, notices, and answers where there is no task.

use crate::checkout::label_of;
use crate::domain::{Event, GitHubPlace, IssueNumber, Notice, PostedComment, Task, body_digest};
use crate::github::{Comment, Purpose, RepositoryClient};
use crate::speech::{self, AnswerView, Body, NoticeView, PlanView, has_marker};
use crate::store::Lease;

use super::terms::Terms;
use super::view::Gathered;
use super::{Done, EffectError, Effects};

impl Effects {
    /// `then`: the task as it was when this was asked for.
    pub(super) async fn post_plan(&self, key: &str, task: &Task, then: &Task) -> Result<Done, EffectError> {
        if task.state.has_ended() {
            return Ok(Done::Void("the task ended"));
        }
        let Some(of) = then.proposal().filter(|of| task.proposal() == Some(*of)) else {
            return Ok(Done::Void("another plan has taken its place"));
        };
        let (Some(place), Some(body)) = (task.origin.github(), self.plan_body(key, task).await?) else {
            return Ok(Done::Void("the plan is gone"));
        };
        let comment =
            self.find_or_create(&self.client(task, Purpose::Comment)?, place.issue, key, &body).await?;
        let posted = PostedComment { id: comment.comment_id(), body: body_digest(&comment.body) };
        Ok(Done::Event(Event::PlanPosted { of, comment: posted }))
    }

    /// `None`: there is no plan any more.
    pub(super) async fn plan_body(&self, key: &str, task: &Task) -> Result<Option<Body>, EffectError> {
        let (Some(place), Some(plan), Some(source)) = (task.origin.github(), &task.plan, &task.source) else {
            return Ok(None);
        };
        let titles = self.titles(task, place).await?;
        Ok(Some(self.with_gateway(|gateway| {
            speech::plan_comment(
                gateway,
                &PlanView {
                    key,
                    plan,
                    source,
                    ordinal: task.ordinal,
                    revision: task.revision,
                    titles: &titles,
                    estimate: self.settings.estimate,
                    budget_micro_usd: self.settings.budget_of(task),
                    wait_days: self.settings.wait_days,
                    mode: self.settings.mode,
                },
            )
        })))
    }

    /// The titles of all tasks of the plan, in order.
    async fn titles(&self, task: &Task, place: &GitHubPlace) -> Result<Vec<String>, EffectError> {
        let tasks = self.store.tasks_of_issue(place.repository, place.issue).await?;
        let of_this_reading = tasks.iter().filter(|other| other.revision == task.revision);
        Ok(of_this_reading.map(|other| other.title().to_owned()).collect())
    }

    pub(super) async fn post_notice(
        &self,
        key: &str,
        task: &Task,
        on: IssueNumber,
        notice: &Notice,
    ) -> Result<Done, EffectError> {
        let body = self.notice_body(key, task, notice).await?;
        self.find_or_create(&self.client(task, Purpose::Comment)?, on, key, &body).await?;
        Ok(Done::Nothing)
    }

    pub(super) async fn notice_body(
        &self,
        key: &str,
        task: &Task,
        notice: &Notice,
    ) -> Result<Body, EffectError> {
        let gathered = Gathered::of(&self.store, task).await?;
        Ok(self.speak(key, (Some(task), notice), &self.terms(task).await, &gathered))
    }

    pub(super) async fn post_answer(&self, key: &str, then: &Task) -> Result<Done, EffectError> {
        let Some(place) = then.origin.github() else { return Ok(Done::Void("nobody asked on GitHub")) };
        let body = self.answer_body(key, then).await?;
        self.find_or_create(&self.client(then, Purpose::Comment)?, place.issue, key, &body).await?;
        Ok(Done::Nothing)
    }

    pub(super) async fn answer_body(&self, key: &str, then: &Task) -> Result<Body, EffectError> {
        let gathered = Gathered::of(&self.store, then).await?;
        let answer = gathered.answer.as_ref();
        let answer = answer.ok_or_else(|| EffectError::Impossible("the answer is not kept".into()))?;
        let spend = gathered.evidence(self.settings.budget_of(then)).spend;
        Ok(self.with_gateway(|gateway| {
            let (server, mode) = (&*self.settings.server_url, self.settings.mode);
            speech::answer_comment(gateway, &AnswerView { key, task: then, answer, server, spend, mode })
        }))
    }

    pub(super) async fn reply(
        &self,
        lease: &Lease,
        place: &GitHubPlace,
        notice: &Notice,
    ) -> Result<Done, EffectError> {
        let body = self.reply_body(&lease.key, place, notice).await?;
        let client = self.github()?.repository(place, Purpose::Comment);
        self.find_or_create(&client, place.issue, &lease.key, &body).await?;
        Ok(Done::Nothing)
    }

    pub(super) async fn reply_body(
        &self,
        key: &str,
        place: &GitHubPlace,
        notice: &Notice,
    ) -> Result<Body, EffectError> {
        let label = label_of(&self.github()?.repository(place, Purpose::Read), &self.settings.label).await?;
        let terms = Terms { label, ..self.general_terms() };
        Ok(self.speak(key, (None, notice), &terms, &Gathered::default()))
    }

    fn speak(
        &self,
        key: &str,
        (task, notice): (Option<&Task>, &Notice),
        terms: &Terms,
        gathered: &Gathered,
    ) -> Body {
        self.with_gateway(|gateway| {
            speech::notice(
                gateway,
                notice,
                &NoticeView {
                    key,
                    task,
                    label: &terms.label,
                    evidence: gathered.evidence(task.and_then(|task| self.settings.budget_of(task))),
                    gate_rounds: terms.gate_rounds,
                    review_rounds: terms.review_rounds,
                    patch: gathered.patch.as_deref(),
                    mode: self.settings.mode,
                },
            )
        })
    }

    /// The comment with this key, made if it is not there. Where a request of a worker that lost its
    /// lease came through all the same, there are two: all but the first are taken away.
    async fn find_or_create(
        &self,
        client: &RepositoryClient,
        on: IssueNumber,
        key: &str,
        body: &Body,
    ) -> Result<Comment, EffectError> {
        let mut found = Vec::new();
        for comment in client.comments(on).await? {
            if client.is_ours(&comment) && has_marker(&comment.body, key) {
                found.push(comment);
            }
        }
        if found.is_empty() {
            return Ok(client.create_comment(on, body.as_str()).await?);
        }
        for double in found.drain(1..) {
            client.delete_comment(double.comment_id()).await?;
        }
        Ok(found.remove(0))
    }
}

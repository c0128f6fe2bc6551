//! E-mail: a task's turns and the digest.
//!
//! SMTP cannot be asked what it took. A crash between the server's 250 and our record repeats a mail,
//! with the same Message-ID; nothing is ever lost.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta};

use crate::checkout::CheckoutError;
use crate::domain::{MailKind, Task, Usage};
use crate::mail::{Address, Header, MailError, Message, message_id};
use crate::speech::{self, DigestEntry, DigestView, MailText, MailView};
use crate::store::Lease;
use crate::telemetry::clock;

use super::view::Gathered;
use super::{Done, EffectError, Effects};

const NO_MAIL: &str = "no mail is configured";

/// Tries of a mail, two minutes of them, before it goes out without asking an unreachable repository for its
/// recipients.
const POLICY_TRIES: u32 = 7;

impl Effects {
    pub(super) async fn mail(&self, lease: &Lease, task: &Task, kind: MailKind) -> Result<Done, EffectError> {
        let Some(place) = task.origin.github() else { return Ok(Done::Void("a local run sends no mail")) };
        if self.mailer.is_none() {
            return Ok(Done::Void(NO_MAIL));
        }
        let to = self.recipients(task, lease.set_down).await?;
        let gathered = Gathered::of(&self.store, task).await?;
        let server = self.settings.server_url.trim_end_matches('/');
        let home = format!("{server}/{}", place.full_name);
        let comment = task.plan.as_ref().and_then(|plan| plan.comment.as_ref());
        let anchor = match (kind, comment) {
            (MailKind::PlanWaits, Some(comment)) => format!("#issuecomment-{}", comment.id),
            _ => String::new(),
        };
        let issue_url = format!("{home}/issues/{}{anchor}", place.issue);
        let pull_request_url = task.pull_request.map(|number| format!("{home}/pull/{number}"));
        let terms = self.terms(task).await;
        let text = self.with_gateway(|gateway| {
            speech::mail(
                gateway,
                &MailView {
                    kind,
                    task,
                    label: &terms.label,
                    issue_url: &issue_url,
                    pull_request_url: pull_request_url.as_deref(),
                    estimate: self.settings.estimate,
                    evidence: gathered.evidence(self.settings.budget_of(task)),
                },
            )
        });
        let thread = format!("task/{}", task.id);
        self.send(&lease.key, Some(&thread), &to, text.map_err(unspeakable)?).await
    }

    /// Who gets the mails of a task: whom its repository names, else the deployment's recipients. These also
    /// where the repository cannot be read, which may be what the mail is about.
    async fn recipients(&self, task: &Task, tries: u32) -> Result<Vec<String>, EffectError> {
        match self.repositories.policy(task).await.map_err(EffectError::from) {
            Ok(policy) => Ok(policy.mail_to.unwrap_or_else(|| self.settings.mail_to.clone())),
            Err(error) if tries < POLICY_TRIES && error.again().is_some() => Err(error),
            Err(EffectError::Checkout(CheckoutError::Store(error))) => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "the repository's recipients are unknown, using the deployment's");
                Ok(self.settings.mail_to.clone())
            }
        }
    }

    pub(super) async fn digest(
        &self,
        lease: &Lease,
        until: i64,
        days: u32,
        to: &str,
    ) -> Result<Done, EffectError> {
        let until = DateTime::from_timestamp(until, 0)
            .ok_or_else(|| EffectError::Impossible("the digest's time is out of range".into()))?;
        let from = until - TimeDelta::days(days.into());
        let report = self.store.digest_report(from, until).await?;
        let [done, waiting, at_work] =
            [&report.moved, &report.waiting, &report.at_work].map(|tasks| self.links(tasks));
        let text = self.with_gateway(|gateway| {
            speech::digest(
                gateway,
                &DigestView {
                    from,
                    to: until,
                    done: &entries(&done),
                    waiting: &entries(&waiting),
                    at_work: &entries(&at_work),
                    usage: report.spent,
                },
            )
        });
        self.send(&lease.key, None, &[to.to_owned()], text.map_err(unspeakable)?).await
    }

    fn links<'a>(&self, tasks: &'a [(Task, Usage)]) -> Vec<(&'a Task, Usage, String)> {
        let server = self.settings.server_url.trim_end_matches('/');
        let linked = tasks.iter().filter_map(|(task, usage)| {
            let place = task.origin.github()?;
            let (kind, number) = match task.pull_request {
                Some(number) => ("pull", number),
                None => ("issues", place.issue),
            };
            Some((task, *usage, format!("{server}/{}/{kind}/{number}", place.full_name)))
        });
        linked.collect()
    }

    async fn send(
        &self,
        key: &str,
        thread: Option<&str>,
        to: &[String],
        text: MailText,
    ) -> Result<Done, EffectError> {
        let (Some(mailer), Some(from), false) = (&self.mailer, &self.settings.mail_from, to.is_empty())
        else {
            return Ok(Done::Void(NO_MAIL));
        };
        let address = |text: &String| {
            Address::from_str(text).map_err(|error| EffectError::Impossible(format!("{text}: {error}")))
        };
        let from = address(from)?;
        let to = to.iter().map(address).collect::<Result<Vec<_>, _>>()?;
        let domain = from.domain().to_owned();
        // All mails of a task hang on one id that no mail has: readers show them as one thread.
        let root = thread.map(|thread| message_id(thread, &domain));
        let message = Message {
            message_id: message_id(key, &domain),
            from,
            to,
            subject: text.subject,
            text: text.text,
            html: text.html,
            in_reply_to: root.clone(),
            references: root.into_iter().collect(),
            date: clock::now(),
            headers: vec![Header::AutoGenerated],
        };
        match mailer.send(&message).await {
            Ok(sent) => {
                for (address, why) in sent.refused {
                    tracing::warn!(%address, why, "a recipient was refused");
                }
                Ok(Done::Nothing)
            }
            Err(MailError::Transient(error)) => Err(EffectError::Later(error)),
            Err(MailError::Permanent(error)) => Err(EffectError::Impossible(error)),
        }
    }
}

fn entries<'a>(tasks: &'a [(&'a Task, Usage, String)]) -> Vec<DigestEntry<'a>> {
    let entry = tasks.iter().filter_map(|(task, usage, url)| {
        let place = task.origin.github()?;
        Some(DigestEntry {
            repository: &place.full_name,
            number: task.pull_request.unwrap_or(place.issue),
            url,
            title: task.title(),
            state: &task.state,
            usage: *usage,
        })
    });
    entry.collect()
}

fn unspeakable(error: impl std::fmt::Display) -> EffectError {
    EffectError::Impossible(format!("the mail could not be written: {error}"))
}

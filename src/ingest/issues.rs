//! Issues and their comments.

use crate::checkout::{label_of, observe, read_source};
use crate::domain::{CommentId, Event, IssueNumber, Permission, RepositoryId, State, Task, TaskId};
use crate::domain::{Origin, parse_command};
use crate::github::payload::{IssueCommentPayload, IssuesPayload};
use crate::github::{Actor, Issue, RepositoryClient};
use crate::telemetry::clock;

use super::{Ingest, IngestError, Outcome, place_of};

impl Ingest {
    pub(super) async fn on_issue(&self, payload: IssuesPayload) -> Result<Outcome, IngestError> {
        let repository = RepositoryId(payload.repository.id);
        let number = IssueNumber(payload.issue.number);
        let tasks = self.store.tasks_of_issue(repository, number).await?;
        let wanted = match &payload.label {
            Some(_) => self.label_in(&payload).await?,
            None => self.label.clone(),
        };
        let ours = payload.label.as_ref().is_some_and(|label| label.name.eq_ignore_ascii_case(&wanted));
        match payload.action.as_str() {
            "labeled" if ours => self.on_labelled(payload, &tasks).await,
            "unlabeled" if ours && !tasks.is_empty() => match self.live(&payload).await? {
                Some(issue) if issue.has_label(&wanted) => Ok(Outcome::ignored("the label is set again")),
                Some(_) => Ok(Outcome::to_all(&tasks, &Event::Unlabelled)),
                None => Ok(Outcome::to_all(&tasks, &Event::IssueDeleted)),
            },
            "closed" if !tasks.is_empty() => match self.live(&payload).await? {
                Some(issue) if issue.is_open() => Ok(Outcome::ignored("the issue is open again")),
                Some(_) => Ok(Outcome::to_all(&tasks, &Event::IssueClosed)),
                None => Ok(Outcome::to_all(&tasks, &Event::IssueDeleted)),
            },
            "deleted" | "transferred" => Ok(Outcome::to_all(&tasks, &Event::IssueDeleted)),
            "edited" if !tasks.is_empty() => self.observe_all(&tasks).await,
            action => Ok(Outcome::ignored(format!("`{action}` starts nothing here"))),
        }
    }

    /// The issue as it stands now. `None`: it is gone.
    async fn live(&self, payload: &IssuesPayload) -> Result<Option<Issue>, IngestError> {
        let Some(installation) = payload.installation else { return Ok(Some(payload.issue.clone())) };
        let number = IssueNumber(payload.issue.number);
        let place = place_of(&payload.repository, installation, number);
        match self.client(&place).issue(number).await {
            Ok(issue) => Ok(Some(issue)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The label that starts work in the payload's repository.
    async fn label_in(&self, payload: &IssuesPayload) -> Result<String, IngestError> {
        let Some(installation) = payload.installation else { return Ok(self.label.clone()) };
        let place = place_of(&payload.repository, installation, IssueNumber(payload.issue.number));
        Ok(label_of(&self.client(&place), &self.label).await?)
    }

    async fn on_labelled(&self, payload: IssuesPayload, tasks: &[Task]) -> Result<Outcome, IngestError> {
        if payload.issue.pull_request.is_some() {
            return Ok(Outcome::ignored("the label asks for work on issues, this is a pull request"));
        }
        if !payload.sender.is_person() {
            return Ok(Outcome::ignored("the label was not set by a person"));
        }
        let Some(installation) = payload.installation else {
            return Ok(Outcome::ignored("the delivery names no installation"));
        };
        let set = payload.label.as_ref().map_or(self.label.as_str(), |label| label.name.as_str());
        match self.live(&payload).await? {
            None => return Ok(Outcome::ignored("the issue is gone")),
            Some(issue) if !issue.is_open() => return Ok(Outcome::ignored("the issue is closed")),
            Some(issue) if !issue.has_label(set) => {
                return Ok(Outcome::ignored("the label was taken away again"));
            }
            Some(_) => {}
        }
        let place = place_of(&payload.repository, installation, IssueNumber(payload.issue.number));
        self.store.note_repository(place.repository, place.installation, &place.full_name).await?;
        match tasks.first() {
            Some(reader) => {
                let source = match read_source(&self.client(&place), &place).await {
                    Ok(source) => source.digest(),
                    Err(error) if error.is_not_found() => return Ok(Outcome::ignored("the issue is gone")),
                    Err(error) => return Err(error.into()),
                };
                Ok(Outcome::events([(reader.id, Event::Relabelled { source })]))
            }
            None => {
                let by = payload.sender.account();
                let task = Task::new(TaskId(clock::new_id()), Origin::GitHub(place), by, clock::now());
                Ok(Outcome { create: Some(Box::new(task)), ..Outcome::default() })
            }
        }
    }

    pub(super) async fn on_comment(&self, payload: IssueCommentPayload) -> Result<Outcome, IngestError> {
        let repository = RepositoryId(payload.repository.id);
        let number = IssueNumber(payload.issue.number);
        let tasks = match payload.issue.pull_request {
            Some(_) => self.store.task_of_pull_request(repository, number).await?.into_iter().collect(),
            None => self.store.tasks_of_issue(repository, number).await?,
        };
        let id = CommentId(payload.comment.id);
        match payload.action.as_str() {
            "created" => {
                // Who sent it and who wrote it have to be the same person. Bots and Apps are nobody's voice,
                // also where an App writes in a person's name, with a token that they gave it.
                let author = payload.comment.user.as_ref().map(|user| user.id);
                if !payload.sender.is_person()
                    || author != Some(payload.sender.id)
                    || !payload.comment.is_persons_own()
                {
                    return Ok(Outcome::ignored("not a person's own comment"));
                }
                match parse_command(&payload.comment.body) {
                    Some(command) => self.on_command(&payload, &tasks, command).await,
                    None => self.on_plain_comment(&payload, &tasks).await,
                }
            }
            "edited" | "deleted" if tasks.iter().any(|task| concerns(task, id)) => {
                self.observe_all(&tasks).await
            }
            action => Ok(Outcome::ignored(format!("`{action}` of this comment changes nothing"))),
        }
    }

    /// Each reading costs money, so not everybody's comment is a reason for one.
    async fn on_plain_comment(
        &self,
        payload: &IssueCommentPayload,
        tasks: &[Task],
    ) -> Result<Outcome, IngestError> {
        // While an issue is being read, too: the reading may have begun before the comment was there.
        let listens = |task: &&Task| matches!(task.state, State::WaitingForAnswer { .. } | State::Discussing);
        let waiting: Vec<_> = tasks.iter().filter(listens).collect();
        let Some(first) = waiting.first() else {
            return self.look_again(tasks).await;
        };
        let Some(place) = first.origin.github() else { return Ok(Outcome::default()) };
        if !self.may_answer(&self.client(place), first, &payload.issue, &payload.sender).await? {
            return Ok(Outcome::ignored("an answer from somebody who was not asked"));
        }
        let event = Event::Commented { comment: CommentId(payload.comment.id) };
        Ok(Outcome::events(waiting.iter().map(|task| (task.id, event.clone()))))
    }

    /// An answer to our questions counts from whoever wrote the issue, asked for the work, or may write here.
    pub(super) async fn may_answer(
        &self,
        client: &RepositoryClient,
        task: &Task,
        issue: &Issue,
        somebody: &Actor,
    ) -> Result<bool, IngestError> {
        let asked = task.requested_by.id.0 == somebody.id;
        let wrote = issue.user.as_ref().is_some_and(|author| author.id == somebody.id);
        Ok(asked || wrote || client.permission(somebody).await? >= Permission::Write)
    }

    /// Reactions have no webhook: any event is an occasion to look at them.
    async fn look_again(&self, tasks: &[Task]) -> Result<Outcome, IngestError> {
        let mut outcome = Outcome::default();
        for task in tasks.iter().filter(|task| task.state == State::AwaitingApproval) {
            let look = self.reactions_on(task).await?;
            outcome.events.extend(look.events.into_iter().map(|event| (task.id, event)));
            outcome.seen.extend(look.seen);
        }
        Ok(outcome)
    }

    /// Compares the text of each task with the text as it stands.
    pub(super) async fn observe_all(&self, tasks: &[Task]) -> Result<Outcome, IngestError> {
        let mut events = Vec::new();
        for task in tasks.iter().filter(|task| !task.state.has_ended()) {
            let Some(place) = task.origin.github() else { continue };
            match observe(&self.client(place), task).await {
                Ok(Some(observed)) => events.push((task.id, Event::TextObserved(observed))),
                Ok(None) => {}
                Err(error) if error.is_not_found() => events.push((task.id, Event::IssueDeleted)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Outcome::events(events))
    }
}

/// Whether the task was made from the comment, or shows its plan in it.
fn concerns(task: &Task, id: CommentId) -> bool {
    let read = task.source.as_ref().is_some_and(|source| source.comment_ids().contains(&id));
    let posted = task.plan.as_ref().and_then(|plan| plan.comment.as_ref());
    read || posted.is_some_and(|comment| comment.id == id)
}

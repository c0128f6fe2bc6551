//! `/orchestrate` comments: who said it, whether they may, and which tasks it is about.

use crate::checkout::{observe, read_source};
use crate::domain::{
    Account, Asked, Command, CommandFault, CommentId, Event, GitHubPlace, IssueNumber, Notice, Question,
    Resume, State, Task, TaskId,
};
use crate::github::payload::IssueCommentPayload;
use crate::telemetry::clock;

use super::{Ingest, IngestError, Outcome, place_of};

impl Ingest {
    pub(super) async fn on_command(
        &self,
        payload: &IssueCommentPayload,
        tasks: &[Task],
        command: Result<Command, CommandFault>,
    ) -> Result<Outcome, IngestError> {
        let comment = CommentId(payload.comment.id);
        let on = IssueNumber(payload.issue.number);
        let Some(installation) = payload.installation else {
            return Ok(Outcome::ignored("the delivery names no installation"));
        };
        let place = place_of(&payload.repository, installation, on);
        let reply = |notice: Notice| {
            Ok(Outcome { replies: vec![(place.clone(), comment, notice)], ..Outcome::default() })
        };
        let command = match command {
            Ok(command) => command,
            Err(fault) => return reply(Notice::NotACommand { fault }),
        };
        let login = payload.sender.login.clone();
        let needs = command.needs();
        if needs > crate::domain::Permission::None
            && self.client(&place).permission(&payload.sender).await? < needs
        {
            return reply(Notice::NotAllowed { verb: command.verb().into(), login });
        }
        if let Command::Ask(question) = command {
            let by = payload.sender.account();
            return self.on_question(place, by, (comment, question)).await;
        }
        let questions = self.store.questions_on(place.repository, on).await?;
        let Some(reader) = tasks.first().or(questions.last()) else {
            return match command {
                Command::Help => reply(Notice::Help),
                _ => reply(Notice::NoTaskHere),
            };
        };
        let all = tasks.iter().chain(&questions);
        let mut addressed: Vec<_> = all.filter(|task| takes(task, &command, reader)).collect();
        if addressed.is_empty() {
            addressed.push(reader);
        }
        let mut events = Vec::new();
        for task in addressed {
            // An approval is of the text as it is now, not of the text as we last saw it.
            if command == Command::Approve {
                events.extend(
                    observe(&self.client(&place), task)
                        .await?
                        .map(|observed| (task.id, Event::TextObserved(observed))),
                );
            }
            let by = payload.sender.account();
            events.push((task.id, Event::Commanded { command: command.clone(), by, comment, on }));
        }
        Ok(Outcome::events(events))
    }

    /// A question is a task of its own, once for its comment, whoever tells of it and how often.
    async fn on_question(
        &self,
        place: GitHubPlace,
        by: Account,
        (comment, question): (CommentId, Question),
    ) -> Result<Outcome, IngestError> {
        let source = match read_source(&self.client(&place), &place).await {
            Ok(source) => source,
            Err(error) if error.is_not_found() => return Ok(Outcome::ignored("the issue is gone")),
            Err(error) => return Err(error.into()),
        };
        self.store.note_repository(place.repository, place.installation, &place.full_name).await?;
        let id = TaskId::of_question(place.repository, comment);
        let asked = Asked { comment, workflow: question.workflow };
        let task = Task::question(id, place, by, (asked, &question.text, source), clock::now());
        Ok(Outcome { create: Some(Box::new(task)), ..Outcome::default() })
    }
}

/// Which of an issue's tasks a command is meant for. What a task does with it, its life decides.
fn takes(task: &Task, command: &Command, reader: &Task) -> bool {
    let unread = |task: &Task| matches!(task.state, State::NeedsPerson { resume: Resume::Discuss, .. });
    match (command, &task.state) {
        (Command::Help, _) => task.ordinal == 1 || task.pull_request.is_some(),
        (Command::Status, _) if task.asked.is_some() => !task.state.has_ended(),
        (Command::Status, _) => task.ordinal == 1 || task.pull_request.is_some(),
        (Command::Approve, State::AwaitingApproval) => true,
        (Command::Reject, State::AwaitingApproval | State::WaitingForAnswer { .. }) => true,
        // The reader's new reading makes the others of its plan anew.
        (Command::Retry, State::NeedsPerson { .. }) => {
            task.ordinal == 1 || task.asked.is_some() || !unread(reader)
        }
        (Command::Fix(_), State::NeedsPerson { .. } | State::PullRequestOpen) => task.head.is_some(),
        (Command::Cancel, state) => !state.has_ended() && task.pull_request.is_none(),
        (Command::Budget(_), state) => !state.has_ended(),
        (Command::Approve | Command::Reject | Command::Retry | Command::Fix(_) | Command::Ask(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Account, GitHubPlace, InstallationId, IssueNumber, Origin, Reason, RepositoryId, Resume, SourceText,
        UserId,
    };

    fn place() -> GitHubPlace {
        GitHubPlace {
            installation: InstallationId(1),
            repository: RepositoryId(2),
            full_name: "o/r".into(),
            issue: IssueNumber(3),
        }
    }

    fn stopped(task: Task, reason: Reason, resume: Resume) -> Task {
        Task { state: State::NeedsPerson { reason, resume }, ..task }
    }

    #[test]
    fn a_question_beside_a_task_is_told_of_and_retried() {
        let ada = Account { id: UserId(7), login: "ada".into() };
        let reader = Task::new(
            TaskId::of_question(RepositoryId(2), CommentId(1)),
            Origin::GitHub(place()),
            ada.clone(),
            clock::now(),
        );
        let reader = stopped(reader, Reason::TextChanged, Resume::Discuss);
        let asked = Asked { comment: CommentId(11), workflow: None };
        let source = SourceText { title: "t".into(), body: "b".into(), comments: vec![] };
        let question = Task::question(
            TaskId::of_question(RepositoryId(2), CommentId(11)),
            place(),
            ada,
            (asked, "Why?", source),
            clock::now(),
        );
        assert!(takes(&question, &Command::Status, &reader));
        let failed = stopped(question.clone(), Reason::NotApproved, Resume::Answer);
        assert!(takes(&failed, &Command::Retry, &reader));
        let answered = Task { state: State::Answered, ..question };
        assert!(!takes(&answered, &Command::Status, &reader) && !takes(&answered, &Command::Retry, &reader));
        let other = Task { ordinal: 2, ..reader.clone() };
        assert!(!takes(&other, &Command::Retry, &reader), "the reader makes it anew");
    }
}

//! Answering in words: a solver looks and thinks, a critic objects, a verifier judges, and what is cited is
//! held against the commit. Nothing is changed and nothing is published but the answer.

use futures::future::BoxFuture;

use crate::agents::tools::{CommandEnd, ToolAnswer, ToolboxError, command_answer};
use crate::agents::{
    AgentContext, AgentError, AnswerInput, Desk, Draft, JudgedAnswer, Look, Solver, criticise, verify_answer,
};
use crate::checkout::{Checkout, Observed};
use crate::context::overview;
use crate::domain::{
    Answer, CitationFault, CommitSha, DroppedSource, Event, Reason, Source, Task, TaskSpecification,
    Workflow, find_citation,
};
use crate::sandbox::{Command, Limits, Session};
use crate::store::ArtifactKind;
use crate::workspace::{RepoPath, WorkspaceError};

use super::change::{policy, snapshot};
use super::implement::{query, specification_of};
use super::publish::check_approval;
use super::toolbox::{how, in_words, serve};
use super::{OVERVIEW_TOKENS, Pipeline, StageEnd, StageError, agent_failure, json_artifact};

/// What citations are held against.
struct Ground<'a> {
    checkout: &'a Checkout,
    commit: &'a CommitSha,
}

/// What became of the citations of a draft.
#[derive(Default)]
struct Cited {
    sources: Vec<Source>,
    dropped: Vec<DroppedSource>,
    /// The lines of the sources, for those who judge.
    evidence: String,
}

impl Pipeline {
    pub(super) async fn answer(&self, task: &Task) -> Result<StageEnd, StageError> {
        check_approval(task, self.store.rules())?;
        let mut specification = specification_of(task)?.clone();
        let source = task.source.as_ref();
        let source = source
            .ok_or_else(|| StageError::stop(Reason::Internal { detail: "the task has no text".into() }))?;
        let checkout = self.repositories.checkout(task).await?;
        let commit = checkout.tip.clone();
        let policy = policy(&checkout, &commit)?;
        let in_force = self.in_force(&policy);
        let files = snapshot(&checkout, &commit).await?;
        let overview = overview(&files, OVERVIEW_TOKENS);
        let snippets = self.snippets(&checkout, &commit, query(&specification)).await;
        let mut agent = self.agent(task, &policy, self.prompts(&files, &commit)?);
        let mut kept = Vec::new();
        if task.asked.is_some_and(|asked| asked.workflow.is_none()) && in_force.router.is_asked {
            let subject = (&specification, task.ordinal);
            let asked = (&agent, &in_force);
            let (route, artifact) = self.route(task, asked, subject, Workflow::ends_in_answer).await?;
            agent.model = in_force.model_by(Some(&route));
            specification.workflow = route.workflow;
            specification.prepared.route = Some(route);
            kept.push(artifact);
        }
        in_force.allowed(specification.workflow)?;
        // A task of an issue has a plan that said it.
        specification.prepared.notes = if task.asked.is_some() { in_force.notes } else { Vec::new() };
        let session = self.sandbox.open(&files).await?;
        let desk = SandboxDesk { session: session.as_ref(), limits: self.settings.command_limits.clone() };
        let input =
            AnswerInput { specification: &specification, source, overview: &overview, snippets: &snippets };
        let mut solver = Solver::new(&agent, input, &desk);
        let ground = Ground { checkout: &checkout, commit: &commit };
        let answered = work_out(&agent, &mut solver, &specification, &ground).await;
        let transcript = json_artifact(task, ArtifactKind::Transcript, "answer.json", &solver.transcript);
        drop(solver);
        if let Err(error) = session.close().await {
            tracing::warn!(%error, "a sandbox was not closed in order");
        }
        kept.push(transcript?);
        match answered {
            Ok(answer) => {
                kept.push(json_artifact(task, ArtifactKind::Answer, "answer.json", &answer)?);
                let mut events = self.text_now(task).await?;
                events.push(Event::Answered);
                Ok(StageEnd { events, artifacts: kept })
            }
            Err(StageError::Stop { reason, .. }) => Err(StageError::Stop { reason, kept }),
            Err(error) => Err(error),
        }
    }

    /// An edit that no webhook told us of: what is answered is what was approved.
    async fn text_now(&self, task: &Task) -> Result<Vec<Event>, StageError> {
        if task.asked.is_some() {
            return Ok(Vec::new());
        }
        Ok(match self.repositories.observe(task).await? {
            Observed::Text(text) => vec![Event::TextObserved(text)],
            Observed::Gone => vec![Event::IssueDeleted],
            Observed::NoIssue => Vec::new(),
        })
    }
}

/// The answer with what its judges said: for a question about the repository its places judge it.
async fn work_out(
    agent: &AgentContext,
    solver: &mut Solver<'_>,
    specification: &TaskSpecification,
    ground: &Ground<'_>,
) -> Result<Answer, StageError> {
    let stopped = |role: &'static str| move |error: AgentError| StageError::stop(agent_failure(role, &error));
    let workflow = specification.workflow;
    let mut draft = solver.answer(None).await.map_err(stopped("solver"))?;
    let mut cited = ground.check(&draft)?;
    let (mut rounds, mut objections, mut verification) = (0, Vec::new(), None);
    if workflow != Workflow::RagQa {
        let route = specification.prepared.route.as_ref();
        let most = route.map(|route| route.controls).unwrap_or_default().most_rounds();
        loop {
            let judged = judged(specification, &draft, &cited, solver);
            objections = criticise(agent, judged).await.map_err(stopped("critic"))?;
            if objections.is_empty() || rounds >= most {
                break;
            }
            rounds += 1;
            draft = solver.answer(Some((&draft, &objections))).await.map_err(stopped("solver"))?;
            cited = ground.check(&draft)?;
        }
        let judged = judged(specification, &draft, &cited, solver);
        verification = Some(verify_answer(agent, judged).await.map_err(stopped("verifier"))?);
    }
    Ok(Answer {
        workflow,
        commit: ground.commit.clone(),
        text: draft.text,
        sources: cited.sources,
        dropped: cited.dropped,
        computations: solver.computations.clone(),
        rounds,
        objections,
        verification,
        route: specification.prepared.route.clone(),
        notes: specification.prepared.notes.clone(),
    })
}

fn judged<'a>(
    specification: &'a TaskSpecification,
    draft: &'a Draft,
    cited: &'a Cited,
    solver: &'a Solver<'_>,
) -> JudgedAnswer<'a> {
    let (text, evidence) = (&draft.text, &cited.evidence);
    JudgedAnswer { specification, text, evidence, computations: &solver.computations }
}

impl Ground<'_> {
    fn check(&self, draft: &Draft) -> Result<Cited, StageError> {
        let mut cited = Cited::default();
        for citation in &draft.citations {
            let text = self.text(&citation.path)?;
            match find_citation(citation, text.as_deref()) {
                Ok((start_line, end_line)) => {
                    let (number, path) = (citation.number, citation.path.clone());
                    let from = (start_line as usize).saturating_sub(1);
                    let lines = text.iter().flat_map(|text| text.lines()).skip(from);
                    let lines: Vec<&str> = lines.take((end_line - start_line) as usize + 1).collect();
                    cited.evidence.push_str(&format!(
                        "[{number}] {path}:{start_line}-{end_line}\n{}\n\n",
                        lines.join("\n")
                    ));
                    cited.sources.push(Source { number, path, start_line, end_line });
                }
                Err(fault) => cited.drop_one(citation.clone(), fault),
            }
        }
        Ok(cited)
    }

    /// `None`: there is no such text file at the commit.
    fn text(&self, path: &str) -> Result<Option<String>, StageError> {
        let Ok(path) = RepoPath::parse(path) else { return Ok(None) };
        match self.checkout.mirror.read_file(self.commit, &path) {
            Ok(bytes) => Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok())),
            // Nobody could look it up there.
            Err(WorkspaceError::FileTooLarge { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Cited {
    fn drop_one(&mut self, citation: crate::domain::Citation, fault: CitationFault) {
        tracing::info!(path = citation.path, ?fault, "a citation does not hold");
        self.dropped.push(DroppedSource { citation, fault });
    }
}

/// The tree of a session, to be looked at. What a program writes there is thrown away with it.
struct SandboxDesk<'a> {
    session: &'a dyn Session,
    limits: Limits,
}

impl SandboxDesk<'_> {
    async fn python(&self, code: &str) -> Result<ToolAnswer, ToolboxError> {
        let mut command = Command::new(["python3", "-"]);
        command.stdin = Some(code.as_bytes().to_vec());
        command.limits = self.limits.clone();
        let outcome = self.session.run(&command).await.map_err(|error| ToolboxError(error.to_string()))?;
        Ok(command_answer(&CommandEnd {
            how: how(outcome.exit),
            limit: outcome.limit.map(|limit| in_words(limit).to_owned()),
            stdout: &outcome.stdout.text(),
            stderr: &outcome.stderr.text(),
        }))
    }
}

impl Desk for SandboxDesk<'_> {
    fn look<'a>(&'a self, look: &'a Look) -> BoxFuture<'a, Result<ToolAnswer, ToolboxError>> {
        Box::pin(async move {
            match look {
                Look::Tree(request) => serve(self.session, &self.limits, request).await,
                Look::Python(code) => self.python(code).await,
            }
        })
    }
}

//! Writing the code, on a tree in the sandbox.

use crate::agents::{AgentContext, ImplementInput, file_text};
use crate::checkout::Checkout;
use crate::config::{ChosenEngine, Limits, RepositoryPolicy};
use crate::context::{ContextRequest, overview, snippets_text};
use crate::domain::{CommitSha, Event, Reason, Task, TaskSpecification};
use crate::gates::Dependencies;
use crate::llm::boundary::PromptText;
use crate::store::Artifact;
use crate::telemetry::with_causes;
use crate::workspace::{RepoPath, Snapshot};

use super::change::{policy, snapshot};
use super::engine::{Desk, Job, Written, with_kept};
use super::gate::gate_policy;
use super::instructions::instructions;
use super::publish::check_approval;
use super::time::StageTime;
use super::{OVERVIEW_TOKENS, Pipeline, SNIPPETS_TOKENS, StageEnd, StageError};

/// What every attempt at a task begins from.
pub(super) struct Ground<'a> {
    pub task: &'a Task,
    pub checkout: &'a Checkout,
    pub base: CommitSha,
    pub policy: &'a RepositoryPolicy,
    pub engine: ChosenEngine<'a>,
    pub limits: &'a Limits,
    pub files: Snapshot,
    pub dependencies: Dependencies,
    pub instructions: PromptText,
    pub overview: PromptText,
    pub snippets: PromptText,
    /// Whole files, for an answer without tools.
    pub whole: PromptText,
    pub earlier: String,
    /// How many are written.
    pub candidates: u32,
}

impl Pipeline {
    pub(super) async fn implement(&self, task: &Task, time: StageTime) -> Result<StageEnd, StageError> {
        check_approval(task, self.store.rules())?;
        let specification = specification_of(task)?;
        let checkout = self.repositories.checkout(task).await?;
        let base = checkout.tip.clone();
        let policy = policy(&checkout, &base)?;
        let engine = self.engine(&policy)?;
        let limits = self.settings.limits.lowered_by(&policy.limits);
        let files = snapshot(&checkout, &base).await?;
        let prompts = self.prompts(&files, &base)?;
        let overview = overview(&files, OVERVIEW_TOKENS);
        let (snippets, whole) = match engine {
            ChosenEngine::ToolLoop => {
                (self.snippets(&checkout, &base, query(specification)).await, PromptText::default())
            }
            ChosenEngine::SingleShot => {
                (PromptText::default(), self.likely_files(&checkout, &base, specification, &files).await)
            }
            ChosenEngine::Command { .. } => (PromptText::default(), PromptText::default()),
        };
        let ground = Ground {
            task,
            checkout: &checkout,
            engine,
            earlier: self.earlier_failures(task).await?,
            instructions: instructions(&files, &specification.likely_files),
            dependencies: self.dependencies(task, &gate_policy(&policy), &files).await?,
            base,
            policy: &policy,
            limits: &limits,
            files,
            overview,
            snippets,
            whole,
            candidates: self.settings.candidates.count_for(policy.candidates),
        };
        let agent = self.agent(task, &policy, prompts);
        if ground.candidates > 1 {
            return self.best_of(&ground, &agent, time).await;
        }
        let (head, artifacts) = self.attempt(&ground, &agent, time).await?;
        match head {
            Ok(head) => {
                Ok(StageEnd { events: vec![Event::Implemented { base: ground.base, head }], artifacts })
            }
            Err(said) => Err(StageError::Stop { reason: Reason::NothingChanged { said }, kept: artifacts }),
        }
    }

    /// One attempt, in a tree of its own. The inner `Err` is what the model says where it changed nothing.
    pub(super) async fn attempt(
        &self,
        ground: &Ground<'_>,
        agent: &AgentContext,
        time: StageTime,
    ) -> Result<(Result<CommitSha, String>, Vec<Artifact>), StageError> {
        let Ground { task, checkout, base, files, .. } = ground;
        let fence = self.fence(task, checkout, base, ground.policy)?;
        let next = self.next_commit(fence, (base, base), files);
        // Candidates are to differ, so each begins from the base.
        let begun = match ground.candidates {
            1 => self.begun(task, checkout, base, &next.fence).await?,
            _ => None,
        };
        let (files, earlier) = match &begun {
            Some(begun) => (&begun.files, format!("{}\n{}", ground.earlier, begun.told)),
            None => (files, ground.earlier.clone()),
        };
        let session = self.sandbox.open(files).await?;
        let toolbox = self.toolbox(ground.dependencies.clone(), &next, session.as_ref());
        let input = ImplementInput {
            specification: specification_of(task)?,
            rules: &next.fence.in_words(),
            instructions: &ground.instructions,
            overview: &ground.overview,
            snippets: &ground.snippets,
            earlier_failures: &earlier,
        };
        let desk = Desk {
            task,
            agent,
            session: session.as_ref(),
            toolbox: &toolbox,
            limits: time.tool_limits(ground.limits),
            files: &ground.whole,
        };
        let Written { done, kept } = self.write(ground.engine, &desk, Job::Implement(input)).await?;
        drop(toolbox);
        let taken = self.take_in(task, "implementer", &next, session, done).await;
        with_kept(taken, kept)
    }
}

impl Pipeline {
    /// The places that the task is probably about. Without them the model still has its tools to search with.
    pub(super) async fn snippets(&self, checkout: &Checkout, commit: &CommitSha, text: String) -> PromptText {
        let selection = self.selected(checkout, commit, (text, SNIPPETS_TOKENS)).await;
        snippets_text(&selection.map(|selection| selection.snippets).unwrap_or_default())
    }
}

/// Files that are shown whole to a model without tools, and how much of them.
const MOST_WHOLE: usize = 24;
const WHOLE_MAX_CHARS: usize = 160_000;
const FILE_MAX_CHARS: usize = 60_000;

impl Pipeline {
    /// The files that a task is probably about, whole: those that its plan names, then those that are found.
    async fn likely_files(
        &self,
        checkout: &Checkout,
        commit: &CommitSha,
        specification: &TaskSpecification,
        files: &Snapshot,
    ) -> PromptText {
        let (contexts, mirror) = (self.contexts.clone(), checkout.mirror.clone());
        let (commit, text) = (commit.clone(), query(specification));
        let found = tokio::task::spawn_blocking(move || {
            let request = ContextRequest { commit: &commit, text: &text, top: MOST_WHOLE, budget_tokens: 0 };
            contexts.select(mirror.git_dir(), &request)
        });
        let found = match found.await {
            Ok(Ok(selection)) => selection.files.into_iter().map(|file| file.path).collect(),
            Ok(Err(error)) => {
                tracing::warn!(error = with_causes(&error), "no files were found for a task");
                Vec::new()
            }
            Err(error) => {
                tracing::error!(%error, "the search for files ended early");
                Vec::new()
            }
        };
        let named = specification.likely_files.iter().cloned();
        whole_files(files, named.chain(found))
    }
}

/// Those of the files that are text, each once, as many as there is room for.
pub(super) fn whole_files(files: &Snapshot, paths: impl IntoIterator<Item = String>) -> PromptText {
    let (mut texts, mut shown, mut left) = (Vec::new(), Vec::new(), WHOLE_MAX_CHARS);
    for path in paths {
        let entry = RepoPath::parse(path.as_str()).ok().and_then(|path| files.files.get(&path));
        let text = entry.filter(|entry| entry.bytes.len() <= 4 * FILE_MAX_CHARS);
        let text = text.and_then(|entry| std::str::from_utf8(&entry.bytes).ok());
        let Some(text) = text.filter(|text| !text.contains('\0') && !shown.contains(&path)) else { continue };
        let chars = text.chars().count();
        if chars > left.min(FILE_MAX_CHARS) || shown.len() >= MOST_WHOLE {
            continue;
        }
        left -= chars;
        texts.push(file_text(&path, text, FILE_MAX_CHARS));
        shown.push(path);
    }
    PromptText::joined(texts, "\n")
}

pub(super) fn specification_of(task: &Task) -> Result<&TaskSpecification, StageError> {
    match &task.plan {
        Some(plan) => Ok(&plan.specification),
        None => Err(StageError::stop(Reason::Internal { detail: "the task has no plan".into() })),
    }
}

/// What to look for in the repository.
pub(super) fn query(specification: &TaskSpecification) -> String {
    let mut text = format!("{}\n{}\n", specification.title, specification.objective);
    for line in specification.requirements.iter().chain(&specification.likely_files) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

//! The places of the repository that reviewers and fixers are shown beside a change: what calls it, what it
//! resembles. The search is the one that the implementer's places come from.

use std::collections::BTreeSet;

use crate::agents::{Change, HunkLine, Wrong};
use crate::checkout::Checkout;
use crate::context::{ContextRequest, Selection, Snippet, snippets_text};
use crate::domain::{CommitSha, TaskSpecification};
use crate::llm::boundary::PromptText;
use crate::telemetry::with_causes;

use super::Pipeline;

/// Tokens of the places that are shown.
const SHOWN_TOKENS: usize = 8_000;
/// Tokens of those that are looked through: the changed files themselves are found first, and are shown whole anyway.
const SEARCHED_TOKENS: usize = 24_000;
/// Names of a change that are looked for.
const MOST_NAMES: usize = 60;
/// The end of a log says most.
const LOG_CHARS: usize = 4_000;

impl Pipeline {
    /// Unchanged places that use the names which the change touches.
    pub(super) async fn places_of_change(
        &self,
        checkout: &Checkout,
        head: &CommitSha,
        (specification, change): (&TaskSpecification, &Change),
    ) -> PromptText {
        let text = format!("{}\n\n{}\n", specification.title, names_of(change));
        self.places(checkout, head, (text, change)).await
    }

    /// Unchanged places that may matter for what is wrong with a change.
    pub(super) async fn places_of_wrong(
        &self,
        checkout: &Checkout,
        head: &CommitSha,
        (wrong, change): (&[Wrong], &Change),
    ) -> PromptText {
        let said: Vec<String> = wrong.iter().map(in_short).collect();
        let text = format!("{}\n\n{}\n", said.join("\n"), names_of(change));
        self.places(checkout, head, (text, change)).await
    }

    async fn places(
        &self,
        checkout: &Checkout,
        head: &CommitSha,
        (text, change): (String, &Change),
    ) -> PromptText {
        let selection = self.selected(checkout, head, (text, SEARCHED_TOKENS)).await;
        let elsewhere = selection.into_iter().flat_map(|selection| selection.snippets);
        let elsewhere = elsewhere.filter(|snippet| change.file(&snippet.path).is_none());
        snippets_text(&within(elsewhere, SHOWN_TOKENS))
    }

    /// What the search finds for a text. `None`: it failed, and the log says why; agents have their tools to search
    /// with, and reviewers the change.
    pub(super) async fn selected(
        &self,
        checkout: &Checkout,
        commit: &CommitSha,
        (text, budget_tokens): (String, usize),
    ) -> Option<Selection> {
        let (contexts, mirror, commit) = (self.contexts.clone(), checkout.mirror.clone(), commit.clone());
        let selected = tokio::task::spawn_blocking(move || {
            let request = ContextRequest { commit: &commit, text: &text, top: 0, budget_tokens };
            contexts.select(mirror.git_dir(), &request)
        });
        match selected.await {
            Ok(Ok(selection)) => Some(selection),
            Ok(Err(error)) => {
                tracing::warn!(error = with_causes(&error), "no context was found for a task");
                None
            }
            Err(error) => {
                tracing::error!(%error, "the search for context ended early");
                None
            }
        }
    }
}

fn within(snippets: impl Iterator<Item = Snippet>, tokens: usize) -> Vec<Snippet> {
    let mut left = tokens;
    let fits = |snippet: &Snippet| {
        let fits = snippet.tokens <= left;
        left -= if fits { snippet.tokens } else { 0 };
        fits
    };
    snippets.filter(fits).collect()
}

/// The identifiers of the lines that the change adds or takes away, as code, those first that are in most lines.
fn names_of(change: &Change) -> String {
    let mut counted: Vec<(usize, &str)> = Vec::new();
    for line in change.files.iter().flat_map(|file| &file.hunks).flat_map(|hunk| &hunk.lines) {
        let (HunkLine::Added(text) | HunkLine::Removed(text)) = line else { continue };
        let names: BTreeSet<&str> = identifiers(text).collect();
        for name in names {
            match counted.iter_mut().find(|(_, known)| *known == name) {
                Some((count, _)) => *count += 1,
                None => counted.push((1, name)),
            }
        }
        // A change that is larger than this is about more than can be looked for.
        if counted.len() > 20 * MOST_NAMES {
            break;
        }
    }
    counted.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    counted.iter().take(MOST_NAMES).map(|(_, name)| format!("`{name}`")).collect::<Vec<_>>().join(" ")
}

fn identifiers(line: &str) -> impl Iterator<Item = &str> {
    let runs = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    runs.filter(|run| run.len() > 2 && run.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

fn in_short(wrong: &Wrong) -> String {
    match wrong {
        Wrong::Gate { name, log, .. } => {
            let from = log.char_indices().rev().nth(LOG_CHARS).map_or(0, |(at, _)| at);
            format!("The gate {name} failed\n{}", &log[from..])
        }
        Wrong::Finding(finding) => format!("{}\n{}", finding.title, finding.why),
        Wrong::Instruction { text, .. } => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::{ChangedFile, Hunk};

    #[test]
    fn a_change_is_looked_for_by_the_names_that_it_touches() {
        let lines = vec![
            HunkLine::Context("fn untouched() {".into()),
            HunkLine::Removed("    let share = total / people;".into()),
            HunkLine::Added("    let share = split_evenly(total, people);".into()),
            HunkLine::Added("    1_000 + x".into()),
        ];
        let file = ChangedFile {
            path: "a.rs".into(),
            old_path: None,
            new_text: None,
            hunks: vec![Hunk { new_start: 1, lines }],
        };
        let names = names_of(&Change { files: vec![file] });
        assert_eq!(names, "`let` `people` `share` `total` `split_evenly`");
    }

    #[test]
    fn places_are_shown_as_far_as_they_fit() {
        let snippet = |path: &str, tokens| Snippet {
            path: path.into(),
            start_line: 1,
            end_line: 1,
            text: String::new(),
            tokens,
            reason: String::new(),
        };
        let all = [snippet("a", 6), snippet("b", 5), snippet("c", 4)];
        let shown = within(all.into_iter(), 10);
        assert_eq!(shown.iter().map(|s| s.path.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn a_failed_gate_is_looked_for_by_the_end_of_its_log() {
        let log = format!("beginning {}é end", "x".repeat(LOG_CHARS));
        let gate = Wrong::Gate { name: "test".into(), command: String::new(), end: String::new(), log };
        let text = in_short(&gate);
        assert!(text.ends_with("é end") && !text.contains("beginning"), "{text}");
    }
}

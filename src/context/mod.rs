//! Which files and snippets a model sees.
//!
//! [`Contexts::select`] ranks the files of a commit for a text and packs their best places into a token budget.
//! Many weak signs are added up ([`rank`]): words, paths, names that are defined or used, what the text names or
//! quotes, and what past commits with similar messages changed. Whatever a blob or a commit says is kept in an
//! index by its id ([`index`], [`history`]). No model and no embedding is asked: the same commit and text give the
//! same answer.

mod asked;
mod chunks;
mod common;
mod definitions;
mod error;
mod history;
mod index;
mod kind;
mod kindred;
mod lexicon;
mod mentions;
mod objects;
mod overview;
mod pack;
mod placed;
mod rank;
mod reasons;
mod record;
mod score;
mod sealed;
mod segment;
mod selection;
mod terms;
mod tree;

use crate::llm::boundary::{PromptText, Written};

pub use error::ContextError;
pub use overview::overview;
pub use selection::{ContextRequest, Contexts, RelevantFile, Selection};

/// One place in the tree; those that are chosen are far shorter.
const SNIPPET_MAX_CHARS: usize = 40_000;

/// A place in the tree that may matter.
#[derive(Debug, Clone, PartialEq)]
pub struct Snippet {
    pub path: String,
    /// From 1.
    pub start_line: usize,
    /// Inclusive.
    pub end_line: usize,
    pub text: String,
    pub tokens: usize,
    /// Why it was chosen, in words.
    pub reason: String,
}

/// Snippets as text for a prompt, each fenced, with line numbers.
pub fn snippets_text(snippets: &[Snippet]) -> PromptText {
    let texts = snippets.iter().map(|snippet| {
        let numbered: String = snippet
            .text
            .lines()
            .enumerate()
            .map(|(index, line)| format!("{:>5}\t{line}\n", snippet.start_line + index))
            .collect();
        let name = format!("{} lines {}-{}", snippet.path, snippet.start_line, snippet.end_line);
        PromptText::data(&name, &numbered, Written::AsCode, SNIPPET_MAX_CHARS)
    });
    PromptText::joined(texts, "\n")
}

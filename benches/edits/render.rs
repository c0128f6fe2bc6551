//! A change in the words of each format.

use orchestrator::workspace::RepoPath;
use orchestrator::workspace::edits::Edit;

use crate::changes::{Hunk, Step};
use crate::damage::Damage;

#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Format {
    Replace,
    Blocks,
    Diff,
    ApplyPatch,
    Whole,
}

impl Format {
    pub const ALL: [(Self, &str); 5] = [
        (Self::Replace, "old and new text"),
        (Self::Blocks, "SEARCH and REPLACE"),
        (Self::Diff, "unified diff"),
        (Self::ApplyPatch, "apply_patch"),
        (Self::Whole, "whole file"),
    ];
}

/// What a model writes, before it becomes edits.
pub enum Text {
    Pairs(Vec<(String, String)>),
    One(String),
    Whole(String),
}

impl Text {
    pub fn map(self, mut change: impl FnMut(&str) -> String) -> Self {
        match self {
            Self::Pairs(pairs) => {
                Self::Pairs(pairs.into_iter().map(|(old, new)| (change(&old), change(&new))).collect())
            }
            Self::One(text) => Self::One(change(&text)),
            Self::Whole(text) => Self::Whole(change(&text)),
        }
    }

    pub fn edits(self, path: &RepoPath) -> Vec<Edit> {
        match self {
            Self::Pairs(pairs) => {
                let edit = |(old, new)| Edit::Replace { path: path.clone(), old, new };
                pairs.into_iter().map(edit).collect()
            }
            Self::One(text) => vec![Edit::Patch { text }],
            Self::Whole(content) => vec![Edit::Write { path: path.clone(), content }],
        }
    }

    pub fn shown(&self) -> String {
        match self {
            Self::Pairs(pairs) => pairs.iter().map(|(old, new)| format!("OLD\n{old}NEW\n{new}")).collect(),
            Self::One(text) | Self::Whole(text) => text.clone(),
        }
    }
}

pub fn text(format: Format, path: &str, after: &str, hunks: &[Hunk], damage: Damage) -> Text {
    match format {
        Format::Whole => Text::Whole(after.to_owned()),
        Format::Replace => Text::Pairs(hunks.iter().map(pair).collect()),
        Format::Blocks => {
            let block = |hunk: &Hunk| {
                let (old, new) = pair(hunk);
                format!("{path}\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n")
            };
            Text::One(hunks.iter().map(block).collect::<Vec<_>>().join("\n"))
        }
        Format::Diff => {
            let blocks: String = hunks.iter().map(|hunk| diff_block(hunk, damage)).collect();
            Text::One(format!("--- a/{path}\n+++ b/{path}\n{blocks}"))
        }
        Format::ApplyPatch => {
            let block = |hunk: &Hunk| {
                let heading = hunk.heading.as_ref().map_or(String::new(), |heading| format!(" {heading}"));
                format!("@@{heading}\n{}", body(hunk, damage))
            };
            let blocks: String = hunks.iter().map(block).collect();
            Text::One(format!("*** Begin Patch\n*** Update File: {path}\n{blocks}*** End Patch\n"))
        }
    }
}

fn pair(hunk: &Hunk) -> (String, String) {
    let side = |without: Step| {
        let lines = hunk.lines.iter().filter(|line| line.step != without);
        lines.map(|line| format!("{}\n", line.text)).collect::<String>()
    };
    (side(Step::Add), side(Step::Remove))
}

fn diff_block(hunk: &Hunk, damage: Damage) -> String {
    let count = |without: Step| hunk.lines.iter().filter(|line| line.step != without).count();
    let (mut old, mut new) = (count(Step::Add), count(Step::Remove));
    if damage == Damage::WrongCounts {
        (old, new) = (old + 1 + hunk.start.0 % 3, new.saturating_sub(hunk.start.0 % 2));
    }
    format!("@@ -{},{old} +{},{new} @@\n{}", hunk.start.0, hunk.start.1, body(hunk, damage))
}

fn body(hunk: &Hunk, damage: Damage) -> String {
    let line = |line: &crate::changes::Line| {
        let column = match line.step {
            Step::Keep if damage == Damage::ContextWithoutColumn => "",
            Step::Keep if damage == Damage::BlankWithoutColumn && line.text.is_empty() => "",
            Step::Keep => " ",
            Step::Remove => "-",
            Step::Add => "+",
        };
        format!("{column}{}\n", line.text)
    };
    hunk.lines.iter().map(line).collect()
}

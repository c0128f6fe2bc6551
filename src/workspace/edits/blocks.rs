//! `<<<<<<< SEARCH`, `=======`, `>>>>>>> REPLACE`: lines in the place of others, with the file's name on a line above.

use super::format::FileChange;
use super::lines::{self, Line};
use crate::workspace::snapshot::RepoPath;

pub(super) fn begins(line: &Line<'_>) -> bool {
    mark(line).is_some_and(|mark| mark.kind == Kind::Begin)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Begin,
    Divider,
    End,
}

struct Mark<'a> {
    kind: Kind,
    /// What stands behind the word.
    rest: &'a str,
}

/// A line of five to nine marks, and the word that belongs to it.
fn mark<'a>(line: &Line<'a>) -> Option<Mark<'a>> {
    let text = str::from_utf8(line.text).ok()?.trim_end();
    let first = text.chars().next().filter(|c| "<=>-+".contains(*c))?;
    let rest = text.trim_start_matches(first);
    if !(5..=9).contains(&(text.len() - rest.len())) {
        return None;
    }
    let rest = rest.trim();
    let after = |words: &[&str]| words.iter().find_map(|word| rest.strip_prefix(word));
    let (kind, rest) = match first {
        '=' if rest.is_empty() => (Kind::Divider, rest),
        '<' | '-' => (Kind::Begin, after(&["SEARCH", "ORIGINAL"])?),
        '>' | '+' => (Kind::End, after(&["REPLACE", "UPDATED"])?),
        _ => return None,
    };
    Some(Mark { kind, rest: rest.trim() })
}

pub(super) fn parse(text: &str) -> Result<Vec<FileChange<'_>>, String> {
    let lines = lines::split(text.as_bytes());
    let mut at_byte = Vec::with_capacity(lines.len() + 1);
    at_byte.push(0);
    for line in &lines {
        at_byte.push(at_byte.last().unwrap_or(&0) + line.text.len() + line.ending.len());
    }
    let mut changes = Vec::new();
    let (mut path, mut read) = (None, 0);
    while let Some(begin) = (read..lines.len()).find(|at| begins(&lines[*at])) {
        path = named(&lines, read, begin).or(path);
        let file = path.clone().ok_or_else(|| {
            format!(
                "no line before the block at line {} of the text names its file: write the path on a line of its own.",
                begin + 1
            )
        })?;
        let (divider, end) = rest_of_block(&lines, begin)?;
        let between = |from: usize, to: usize| &text[at_byte[from + 1]..at_byte[to]];
        changes.push(FileChange::Block {
            path: file,
            old: between(begin, divider),
            new: between(divider, end),
        });
        read = end + 1;
    }
    Ok(changes)
}

/// The lines that part and end the block which begins at a line.
fn rest_of_block(lines: &[Line<'_>], begin: usize) -> Result<(usize, usize), String> {
    let mut divider = None;
    for (at, line) in lines.iter().enumerate().skip(begin + 1) {
        match mark(line).map(|mark| mark.kind) {
            Some(Kind::Divider) if divider.is_some() => {
                return Err(format!(
                    "the block at line {} of the text has several lines of `=======`, so it is not clear which one \
                     parts it. Use edit_file for this change.",
                    begin + 1
                ));
            }
            Some(Kind::Divider) => divider = Some(at),
            Some(Kind::End) => match divider {
                Some(divider) => return Ok((divider, at)),
                None => break,
            },
            Some(Kind::Begin) => break,
            None => {}
        }
    }
    let missing = if divider.is_some() { ">>>>>>> REPLACE" } else { "=======" };
    Err(format!("the block at line {} of the text has no `{missing}` line.", begin + 1))
}

/// The file's name behind the mark or on the nearest line above it that is neither blank nor a fence.
fn named(lines: &[Line<'_>], read: usize, begin: usize) -> Option<RepoPath> {
    let path = |text: &str| {
        let text = text.trim().trim_start_matches("File:").trim_start_matches("file:");
        let text = text.trim_matches(|c: char| c.is_whitespace() || "#*`:".contains(c));
        let text = text.strip_prefix("./").unwrap_or(text);
        if text.contains(char::is_whitespace) { None } else { RepoPath::parse(text).ok() }
    };
    let above = lines[read..begin].iter().rev().filter_map(|line| str::from_utf8(line.text).ok());
    let mut above = above.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("```"));
    mark(&lines[begin]).and_then(|mark| path(mark.rest)).or_else(|| path(above.next()?))
}

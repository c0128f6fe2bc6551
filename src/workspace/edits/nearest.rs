//! What to say when an edit does not fit: where it nearly does, in words that a model can act on.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::lines::Line;
use crate::workspace::snapshot::RepoPath;

/// So many places are named.
const MOST_PLACES: usize = 3;
/// So many lines of a place are shown.
const MOST_LINES: usize = 12;
/// Longer lines are cut.
const LONGEST_LINE: usize = 160;
/// A line that stands in more places than this tells them apart no better.
const MOST_VOTES: usize = 100;
/// How alike two lines must be to be taken for each other (1 is the same).
const ALIKE: f64 = 0.6;

/// A line as a message shows it.
pub(super) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

/// So many of several places are given by their lines.
pub(super) const MOST_NUMBERS: usize = 10;

/// Several exact places: how many, and the lines of the first ones, from 1.
pub(super) fn several_lines(count: usize, first: impl Iterator<Item = usize>) -> String {
    let shown: Vec<String> = first.take(MOST_NUMBERS).map(|line| line.to_string()).collect();
    let more = if count > shown.len() { format!(" and {} more", count - shown.len()) } else { String::new() };
    format!(
        "the text to replace stands in {count} places, at lines {}{more}. Add lines before or after it until it fits one place only.",
        shown.join(", ")
    )
}

pub(super) fn several_fit(file: &[Line<'_>], places: &[usize], size: usize) -> String {
    let mut message = several_lines(places.len(), places.iter().map(|start| start + 1));
    for start in places.iter().take(MOST_PLACES) {
        message.push_str(&excerpt(file, *start, size));
    }
    message
}

pub(super) fn nothing_fits(file: &[Line<'_>], block: &[Line<'_>]) -> String {
    if file.is_empty() {
        return "the file is empty, so there is nothing to replace.".to_owned();
    }
    let starts = nearest_starts(file, block);
    let mut message = "the text to replace is not in the file.".to_owned();
    if starts.is_empty() {
        message.push_str(" Nothing in it is like that text: read the file again.");
    }
    for (index, start) in starts.iter().enumerate() {
        let which = if index == 0 { "The nearest place" } else { "Another" };
        message.push_str(&format!("\n{which} is at line {}:", start + 1));
        message.push_str(&excerpt(file, *start, block.len()));
        if index == 0
            && let Some(difference) = first_difference(file, block, *start)
        {
            message.push_str(&difference);
        }
    }
    message
}

fn excerpt(file: &[Line<'_>], start: usize, size: usize) -> String {
    let end = (start + size.min(MOST_LINES)).min(file.len());
    let lines = file[start..end].iter().zip(start + 1..);
    lines.map(|(line, number)| format!("\n{number:>6} | {}", shown(line.text))).collect()
}

/// The first line in which a place differs from what was looked for.
fn first_difference(file: &[Line<'_>], block: &[Line<'_>], start: usize) -> Option<String> {
    let pairs = block.iter().zip(start..).map(|(wanted, at)| (at, wanted, file.get(at)));
    let mut different =
        pairs.filter(|(_, wanted, line)| line.is_none_or(|line| line.trimmed() != wanted.trimmed()));
    let (at, wanted, line) = different.next()?;
    Some(match line {
        Some(line) => {
            format!("\nLine {} is `{}`, but the edit has `{}`.", at + 1, shown(line.text), shown(wanted.text))
        }
        None => format!("\nThe file ends before `{}`.", shown(wanted.text)),
    })
}

/// The places at which the most lines of the block are the same but for white space around them, best
/// first; where no line is the same, the one at which a line is most alike.
fn nearest_starts(file: &[Line<'_>], block: &[Line<'_>]) -> Vec<usize> {
    let mut standing: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (at, line) in file.iter().enumerate() {
        standing.entry(line.text.trim_ascii()).or_default().push(at);
    }
    let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
    for (offset, wanted) in block.iter().enumerate().filter(|(_, wanted)| !wanted.is_blank()) {
        for at in standing.get(wanted.text.trim_ascii()).into_iter().flatten().take(MOST_VOTES) {
            if let Some(start) = at.checked_sub(offset) {
                // A line such as `}` says less than a long one.
                *votes.entry(start).or_default() += 1 + wanted.text.trim_ascii().len().min(40);
            }
        }
    }
    let mut ranked: Vec<(usize, usize)> = votes.into_iter().map(|(start, votes)| (votes, start)).collect();
    ranked.sort_by_key(|(votes, start)| (std::cmp::Reverse(*votes), *start));
    let mut starts: Vec<usize> = Vec::new();
    for (_, start) in ranked {
        if starts.iter().all(|other| other.abs_diff(start) >= block.len()) {
            starts.push(start);
        }
        if starts.len() == MOST_PLACES {
            break;
        }
    }
    if starts.is_empty() { most_alike(file, block).into_iter().collect() } else { starts }
}

fn most_alike(file: &[Line<'_>], block: &[Line<'_>]) -> Option<usize> {
    let (offset, wanted) = block.iter().enumerate().max_by_key(|(_, line)| line.text.trim_ascii().len())?;
    let wanted = shown(wanted.text.trim_ascii());
    let alike = file.iter().enumerate().filter(|(_, line)| !line.is_blank());
    let alike =
        alike.map(|(at, line)| (strsim::normalized_levenshtein(&shown(line.text.trim_ascii()), &wanted), at));
    let (likeness, at) = alike.max_by(|one, other| one.0.total_cmp(&other.0))?;
    if likeness >= ALIKE { Some(at.saturating_sub(offset)) } else { None }
}

/// The lines that belong to the innermost of several headings, each in the body of the one before: those after it
/// that are indented deeper, or close what is open. `None` where a heading is not in the file, or several times.
pub(super) fn body_of(file: &[Line<'_>], headings: &[&[u8]]) -> Option<Range<usize>> {
    let mut body = 0..file.len();
    for heading in headings {
        let heading = heading.trim_ascii();
        let within = |fits: &dyn Fn(&[u8]) -> bool| -> Vec<usize> {
            body.clone().filter(|at| fits(file[*at].text.trim_ascii())).take(2).collect()
        };
        let mut found = within(&|line| line == heading);
        if found.is_empty() {
            found = within(&|line| line.starts_with(heading));
        }
        let [at] = found[..] else { return None };
        let indent = file[at].indentation().len();
        let outside = |line: &Line<'_>| {
            let closes = line.text.trim_ascii().first().is_some_and(|byte| b"{})]".contains(byte));
            !line.is_blank() && !closes && line.indentation().len() <= indent
        };
        let end = (at + 1..body.end).find(|at| outside(&file[*at])).unwrap_or(body.end);
        body = at + 1..end;
    }
    if headings.is_empty() { None } else { Some(body) }
}

/// The paths that are most like one that does not exist.
pub(super) fn paths(path: &RepoPath, all: &[RepoPath]) -> Vec<String> {
    let name = |path: &RepoPath| path.as_str().rsplit('/').next().unwrap_or_default().to_owned();
    let wanted = name(path);
    let likeness = |other: &RepoPath| {
        let whole = strsim::jaro_winkler(path.as_str(), other.as_str());
        if name(other) == wanted { whole + 1.0 } else { whole }
    };
    let mut ranked: Vec<(f64, &RepoPath)> = all.iter().map(|other| (likeness(other), other)).collect();
    ranked.retain(|(likeness, _)| *likeness > 0.85);
    ranked.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
    ranked.into_iter().take(MOST_PLACES).map(|(_, path)| path.to_string()).collect()
}

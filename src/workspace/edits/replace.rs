//! One text in the place of another.

use similar::{Algorithm, DiffTag, capture_diff_slices};

use super::hunk::{self, Hunk, LastLine, Step};
use super::lines::{self, Line};
use super::nearest;

/// Replaces the one place where `old` stands.
pub(super) fn replace(bytes: &[u8], old: &str, new: &str) -> Result<Vec<u8>, String> {
    if old == new {
        return Err("the text to replace and the new text are the same.".to_owned());
    }
    match lines::occurrences(bytes, old.as_bytes()).as_slice() {
        [] => replace_lines(bytes, old, new),
        [at] => Ok(exactly(bytes, *at, old, new)),
        several => {
            let first = several.iter().map(|at| line_at(bytes, *at));
            Err(nearest::several_lines(several.len(), first))
        }
    }
}

fn line_at(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Replaces bytes. A new text of several lines gets the file's Windows endings when nothing in the edit
/// shows that its writer knew of them.
fn exactly(bytes: &[u8], at: usize, old: &str, new: &str) -> Vec<u8> {
    let unaware = !old.contains('\r') && !new.contains('\r') && lines::only_windows_endings(bytes);
    let new = if unaware { new.replace('\n', "\r\n") } else { new.to_owned() };
    [&bytes[..at], new.as_bytes(), &bytes[at + old.len()..]].concat()
}

/// Replaces whole lines, with tolerance; blank lines around the text are given up last.
fn replace_lines(bytes: &[u8], old: &str, new: &str) -> Result<Vec<u8>, String> {
    let (before, after) = (lines::split(old.as_bytes()), lines::split(new.as_bytes()));
    let refusal = match hunk::apply(bytes, &[hunk_of(&before, &after)]) {
        Ok(result) => return Ok(result),
        Err(refusal) => refusal,
    };
    let (trimmed, rest) = (without_blank_ends(&before), without_blank_ends(&after));
    let file = lines::split(bytes);
    if trimmed.len() < before.len() && !trimmed.is_empty() && lines::find(&file, trimmed, 0).len() == 1 {
        return hunk::apply(bytes, &[hunk_of(trimmed, rest)]);
    }
    Err(with_hints(refusal, bytes, old, new))
}

/// Lines of the old text times lines of the new one up to which the lines that stay are looked for in the
/// middle too: that takes time by their product.
const LARGEST_COMPARISON: usize = 4_000_000;

/// What changes between two blocks of lines, so that lines which both have stay as the file has them.
fn hunk_of<'a>(before: &[Line<'a>], after: &[Line<'a>]) -> Hunk<'a> {
    let (old, new): (Vec<_>, Vec<_>) =
        (before.iter().map(|line| line.text).collect(), after.iter().map(|line| line.text).collect());
    let same = |(one, other): &(&&[u8], &&[u8])| one == other;
    let head = old.iter().zip(&new).take_while(same).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(same).count();
    let (old_middle, new_middle) = (head..old.len() - tail, head..new.len() - tail);
    let mut steps: Vec<_> = before[..head].iter().map(|line| (Step::Keep, *line)).collect();
    if old_middle.len().saturating_mul(new_middle.len()) > LARGEST_COMPARISON {
        steps.extend(before[old_middle].iter().map(|line| (Step::Remove, *line)));
        steps.extend(after[new_middle].iter().map(|line| (Step::Add, *line)));
    } else {
        let (old, new) = (&old[old_middle], &new[new_middle]);
        for change in capture_diff_slices(Algorithm::Myers, old, new) {
            let kept = change.tag() == DiffTag::Equal;
            let step = if kept { Step::Keep } else { Step::Remove };
            steps.extend(before[head..][change.old_range()].iter().map(|line| (step, *line)));
            if !kept {
                steps.extend(after[head..][change.new_range()].iter().map(|line| (Step::Add, *line)));
            }
        }
    }
    steps.extend(before[before.len() - tail..].iter().map(|line| (Step::Keep, *line)));
    Hunk { steps, claimed: None, last_line: LastLine::AsItIs }
}

fn without_blank_ends<'b, 'a>(lines: &'b [Line<'a>]) -> &'b [Line<'a>] {
    let Some(first) = lines.iter().position(|line| !line.is_blank()) else { return &[] };
    let last = lines.iter().rposition(|line| !line.is_blank()).unwrap_or(first);
    &lines[first..=last]
}

fn with_hints(refusal: String, bytes: &[u8], old: &str, new: &str) -> String {
    let mut hints = Vec::new();
    let wanted = new.trim();
    if !wanted.is_empty()
        && let [at] = lines::occurrences(bytes, wanted.as_bytes()).as_slice()
    {
        hints.push(format!("The new text already stands at line {}.", line_at(bytes, *at)));
    }
    let filled = || old.lines().filter(|line| !line.trim().is_empty());
    if filled().all(has_line_number) {
        hints.push(
            "Every line of the text to replace begins with a number: give the lines without line numbers."
                .to_owned(),
        );
    }
    if filled().any(|line| matches!(line.trim().trim_start_matches(['/', '#', ' ']), "..." | "…")) {
        hints.push("The text to replace leaves lines out with `...`: give all of its lines.".to_owned());
    }
    if hints.is_empty() { refusal } else { format!("{refusal}\n{}", hints.join("\n")) }
}

fn has_line_number(line: &str) -> bool {
    let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < line.trim_start().len() && rest.trim_start_matches(' ').starts_with(['|', ':', '\t', '→'])
}

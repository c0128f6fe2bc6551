//! One text in the place of another.

use similar::{Algorithm, DiffTag, capture_diff_slices};

use super::hunk::{self, Hunk, LastLine, Step, Told, Written};
use super::lines::{self, Line};
use super::places::{self, Text};
use super::{elided, nearest};

/// Replaces the one place where `old` stands.
pub(super) fn replace(bytes: &[u8], old: &str, new: &str) -> Result<Vec<u8>, String> {
    if old == new {
        return Err("the text to replace and the new text are the same.".to_owned());
    }
    match places::occurrences(bytes, old.as_bytes()).as_slice() {
        [] => {}
        [at] => return exactly(bytes, *at, old, new),
        several => {
            let first = several.iter().map(|at| line_at(bytes, *at));
            return Err(nearest::several_lines(several.len(), first));
        }
    }
    // Models write `\n`, also where the place begins or ends inside a line of a file with `\r\n`.
    if old.contains('\n') && !old.contains('\r') && bytes.contains(&b'\r') {
        let windows = old.replace('\n', "\r\n");
        if let [at] = places::occurrences(bytes, windows.as_bytes())[..] {
            return exactly(bytes, at, &windows, &new.replace("\r\n", "\n").replace('\n', "\r\n"));
        }
    }
    replace_lines(bytes, old, new)
}

/// Replaces the one place where the lines of `old` stand, as whole lines; or where there is none, the one where it
/// stands inside a line.
pub(super) fn replace_block(bytes: &[u8], old: &str, new: &str) -> Result<Vec<u8>, String> {
    if old == new {
        return Err("the text to replace and the new text are the same.".to_owned());
    }
    replace_lines(bytes, old, new).or_else(|refusal| {
        let (old, new) = (old.strip_suffix('\n').unwrap_or(old), new.strip_suffix('\n').unwrap_or(new));
        match places::occurrences(bytes, old.as_bytes()).as_slice() {
            [] => Err(refusal),
            [at] => exactly(bytes, *at, old, new),
            several => {
                Err(nearest::several_lines(several.len(), several.iter().map(|at| line_at(bytes, *at))))
            }
        }
    })
}

fn line_at(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Replaces bytes. A new text of several lines gets the file's Windows endings when nothing in the edit
/// shows that its writer knew of them.
fn exactly(bytes: &[u8], at: usize, old: &str, new: &str) -> Result<Vec<u8>, String> {
    let text = Text::new(bytes);
    for line in lines::split(new.as_bytes()) {
        elided::check_new_line(&text, &line)?;
    }
    let unaware = !old.contains('\r') && !new.contains('\r') && lines::only_windows_endings(bytes);
    let new = if unaware { new.replace('\n', "\r\n") } else { new.to_owned() };
    Ok([&bytes[..at], new.as_bytes(), &bytes[at + old.len()..]].concat())
}

/// Replaces whole lines, with tolerance; blank lines around the text are given up last.
fn replace_lines(bytes: &[u8], old: &str, new: &str) -> Result<Vec<u8>, String> {
    let (before, after) = (lines::split(old.as_bytes()), lines::split(new.as_bytes()));
    let refusal = match hunk::apply(bytes, &[hunk_of(&before, &after)]) {
        Ok(result) => return Ok(result),
        Err(refusal) => refusal,
    };
    if before.iter().any(elided::is_mark) {
        return between_marks(bytes, &before, &after);
    }
    let (trimmed, rest) = (without_blank_ends(&before), without_blank_ends(&after));
    let shorter = trimmed.len() < before.len() && !trimmed.is_empty();
    if shorter && let Ok(result) = hunk::apply(bytes, &[hunk_of(trimmed, rest)]) {
        return Ok(result);
    }
    Err(with_hints(refusal, bytes, old, new))
}

/// Replaces what stands between marks for lines that are left out; what they stand for stays.
fn between_marks(bytes: &[u8], before: &[Line<'_>], after: &[Line<'_>]) -> Result<Vec<u8>, String> {
    let (old, new): (Vec<_>, Vec<_>) =
        (before.split(elided::is_mark).collect(), after.split(elided::is_mark).collect());
    if old.len() != new.len() {
        return Err(format!(
            "the text to replace leaves lines out in {} places and the new text in {}. Leave out the same lines in both, \
             or give all lines.",
            old.len() - 1,
            new.len() - 1
        ));
    }
    let parts = old.into_iter().zip(new).filter(|(old, new)| !old.is_empty() || !new.is_empty());
    let hunks: Vec<_> = parts.map(|(old, new)| hunk_of(old, new)).collect();
    hunk::apply(bytes, &hunks)
        .map_err(|reason| format!("it leaves lines out, and what stands between them is not found: {reason}"))
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
    Hunk { steps, told: Told::default(), last_line: LastLine::AsItIs, written: Written::AsLines }
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
        && let [at] = places::occurrences(bytes, wanted.as_bytes()).as_slice()
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
    if hints.is_empty() { refusal } else { format!("{refusal}\n{}", hints.join("\n")) }
}

fn has_line_number(line: &str) -> bool {
    let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < line.trim_start().len() && rest.trim_start_matches(' ').starts_with(['|', ':', '\t', '→'])
}

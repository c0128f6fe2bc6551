//! Blocks of kept, removed and added lines, put where they fit.

use super::lines::{self, Line, Place, Shift};
use super::nearest;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Keep,
    Remove,
    Add,
}

/// A block of a change.
#[derive(Debug, Clone)]
pub(super) struct Hunk<'a> {
    pub(super) steps: Vec<(Step, Line<'a>)>,
    /// The line of the file, from 0, at which the block says it begins.
    pub(super) claimed: Option<usize>,
    pub(super) last_line: LastLine,
}

/// What a block says about the line feed at the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastLine {
    /// Nothing: the file's own end stays as it is.
    AsItIs,
    /// The endings of the block's lines are meant as they stand.
    AsWritten,
}

impl<'a> Hunk<'a> {
    fn before(&self) -> Vec<Line<'a>> {
        self.steps.iter().filter(|(step, _)| *step != Step::Add).map(|(_, line)| *line).collect()
    }
}

/// Applies blocks in the order in which they stand in the file.
pub(super) fn apply(bytes: &[u8], hunks: &[Hunk<'_>]) -> Result<Vec<u8>, String> {
    let file = lines::split(bytes);
    let mut result = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    for (index, hunk) in hunks.iter().enumerate() {
        let number =
            if hunks.len() > 1 { format!("block {} of its diff: ", index + 1) } else { String::new() };
        let place = place(&file, hunk, copied).map_err(|reason| format!("{number}{reason}"))?;
        for line in &file[copied..place.start] {
            push(&mut result, line.text, line.ending);
        }
        copied = place.start + hunk.before().len();
        put(&mut result, &file, hunk, &place).map_err(|reason| format!("{number}{reason}"))?;
    }
    for line in &file[copied..] {
        push(&mut result, line.text, line.ending);
    }
    Ok(result)
}

fn push(result: &mut Vec<u8>, text: &[u8], ending: &[u8]) {
    result.extend_from_slice(text);
    result.extend_from_slice(ending);
}

/// The one place of a block: the only one where it fits, or among several the one at its own line number.
fn place(file: &[Line<'_>], hunk: &Hunk<'_>, from: usize) -> Result<Place, String> {
    let before = hunk.before();
    if before.is_empty() {
        if file.is_empty() {
            return Ok(Place { start: 0, shift: Shift::None });
        }
        return Err("it adds lines without a line of context, so their place is not known. \
                    Give at least one unchanged line before or after them."
            .to_owned());
    }
    let places = lines::find(file, &before, from);
    if let [place] = places.as_slice() {
        return Ok(place.clone());
    }
    let claimed = places.iter().find(|place| Some(place.start) == hunk.claimed);
    match claimed {
        Some(place) => Ok(place.clone()),
        None if places.is_empty() => Err(nearest::nothing_fits(file, &before, from)),
        None => Err(nearest::several_fit(file, &places, before.len())),
    }
}

/// Writes a block at its place: kept lines as the file has them, added ones as the block has them, with the
/// indentation and line ending of the place.
fn put(result: &mut Vec<u8>, file: &[Line<'_>], hunk: &Hunk<'_>, place: &Place) -> Result<(), String> {
    let before = hunk.before();
    let window = &file[place.start..place.start + before.len()];
    let ending = ending_of(file, window, &before);
    let at_end = place.start + before.len() == file.len();
    let file_ends_open = file.last().is_some_and(|line| line.ending.is_empty());
    let open_end = match hunk.last_line {
        LastLine::AsItIs => at_end && file_ends_open,
        LastLine::AsWritten => {
            at_end
                && hunk
                    .steps
                    .iter()
                    .rfind(|(step, _)| *step != Step::Remove)
                    .is_some_and(|(_, line)| line.ending.is_empty())
        }
    };
    let last = hunk.steps.iter().rposition(|(step, _)| *step != Step::Remove);
    let mut here = window.iter();
    for (index, (step, line)) in hunk.steps.iter().enumerate() {
        let (text, own): (Vec<u8>, &[u8]) = match step {
            Step::Remove => {
                here.next();
                continue;
            }
            Step::Keep => here
                .next()
                .map_or((line.text.to_vec(), line.ending), |line| (line.text.to_vec(), line.ending)),
            Step::Add => (shifted(line, &place.shift)?, ending.unwrap_or(line.ending)),
        };
        let own = match (own.is_empty(), open_end && last == Some(index)) {
            (_, true) => &b""[..],
            (true, false) => ending_for_closed_line(file),
            (false, false) => own,
        };
        push(result, &text, own);
    }
    Ok(())
}

/// The ending of added lines: `None` to take them as they stand, which is right when the block knows the
/// file's endings.
fn ending_of<'a>(file: &[Line<'a>], window: &[Line<'a>], before: &[Line<'_>]) -> Option<&'a [u8]> {
    let pairs = window.iter().zip(before).map(|(line, wanted)| (line.ending, wanted.ending));
    let mut pairs = pairs.filter(|(here, there)| !here.is_empty() && !there.is_empty()).peekable();
    if pairs.peek().is_some() {
        return match pairs.find(|(here, there)| here != there) {
            Some((here, _)) => Some(here),
            None => None,
        };
    }
    let mut endings = file.iter().map(|line| line.ending).filter(|ending| !ending.is_empty());
    endings.next().filter(|ending| *ending == b"\r\n")
}

fn ending_for_closed_line<'a>(file: &[Line<'a>]) -> &'a [u8] {
    file.first().map(|line| line.ending).filter(|ending| !ending.is_empty()).unwrap_or(b"\n")
}

fn shifted(line: &Line<'_>, shift: &Shift) -> Result<Vec<u8>, String> {
    match shift {
        Shift::None => Ok(line.text.to_vec()),
        _ if line.is_blank() => Ok(line.text.to_vec()),
        Shift::Deeper(more) => Ok([more.as_slice(), line.text].concat()),
        Shift::Shallower(less) => line.text.strip_prefix(less.as_slice()).map(<[u8]>::to_vec).ok_or_else(|| {
            format!(
                "the lines to change were found with {} characters less indentation, but the new line `{}` has \
                 not as much. Give all lines with the indentation of the file.",
                less.len(),
                nearest::shown(line.text)
            )
        }),
    }
}

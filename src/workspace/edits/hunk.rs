//! Blocks of kept, removed and added lines, put where they fit.

use super::adapt::Adaptation;
use super::lines::Line;
use super::places::{self, Text};
use super::{elided, nearest};

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
    pub(super) told: Told<'a>,
    pub(super) last_line: LastLine,
    pub(super) written: Written,
}

impl Hunk<'_> {
    pub(super) fn only_adds(&self) -> bool {
        self.steps.iter().all(|(step, _)| *step == Step::Add)
    }
}

/// How the lines of a block were marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Not at all.
    AsLines,
    /// With a first column, which kept lines may lack.
    AsDiff,
}

/// What a block says about its place besides its lines. It counts only among places where the block fits.
#[derive(Debug, Clone, Default)]
pub(super) struct Told<'a> {
    /// The line of the file, from 0, at which the block begins.
    pub(super) line: Option<usize>,
    /// Lines in whose body the block stands, from the outermost to the innermost.
    pub(super) headings: Vec<&'a [u8]>,
    /// The block ends where the file ends.
    pub(super) at_end: bool,
}

/// What a block says about the line feed at the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastLine {
    /// Nothing: the file's own end stays as it is.
    AsItIs,
    /// The endings of the block's lines are meant as they stand.
    AsWritten,
}

/// Places that are kept in mind, of all blocks together.
const MOST_PLACES: usize = 1_000_000;

/// Applies blocks, which stand in the order of the file unless each fits one place only.
pub(super) fn apply(bytes: &[u8], hunks: &[Hunk<'_>]) -> Result<Vec<u8>, String> {
    let text = Text::new(bytes);
    let mut pieces: Vec<Piece<'_, '_>> = Vec::new();
    let mut room = MOST_PLACES;
    for (index, hunk) in hunks.iter().enumerate() {
        let found = pieces_of(&text, hunk);
        let found = found.and_then(|found| {
            for piece in &found {
                room = room.checked_sub(piece.places.len()).ok_or_else(|| piece.several_fit(&text))?;
            }
            Ok(found)
        });
        let number = if hunks.len() > 1 { Some(index + 1) } else { None };
        let found = found.map_err(|reason| numbered(number, &reason))?;
        pieces.extend(found.into_iter().map(|piece| Piece { number, ..piece }));
    }
    settle(&text, &mut pieces)?;
    written(&text, &pieces, bytes.len())
}

fn numbered(number: Option<usize>, reason: &str) -> String {
    match number {
        Some(number) => format!("block {number}: {reason}"),
        None => reason.to_owned(),
    }
}

/// A block, or the part of it between two places where lines are left out.
struct Piece<'h, 'a> {
    /// That of its block, from 1, where there are several.
    number: Option<usize>,
    steps: &'h [(Step, Line<'a>)],
    before: Vec<(Step, Line<'a>)>,
    told: &'h Told<'a>,
    last_line: LastLine,
    written: Written,
    /// First lines of the places where it may stand, in their order.
    places: Vec<usize>,
}

impl<'h, 'a> Piece<'h, 'a> {
    fn new(hunk: &'h Hunk<'a>, steps: &'h [(Step, Line<'a>)]) -> Self {
        let before = steps.iter().filter(|(step, _)| *step != Step::Add).copied().collect();
        let Hunk { told, last_line, written, .. } = hunk;
        Self {
            number: None,
            steps,
            before,
            told,
            last_line: *last_line,
            written: *written,
            places: Vec::new(),
        }
    }

    fn found(mut self, text: &Text<'_>) -> Result<Self, String> {
        self.places =
            if self.before.is_empty() { self.without_lines(text)? } else { places::find(text, &self.before) };
        if self.places.is_empty() {
            return Err(nearest::nothing_fits(&text.lines, &self.lines()));
        }
        // The number may be wrong, but where the lines stand at it in another form it is not by chance.
        if let Some(line) =
            self.told.line.filter(|line| !self.places.contains(line) && text.is_like(*line, &self.before))
        {
            self.places.push(line);
            return Err(self.several_fit(text));
        }
        Ok(self)
    }

    /// Where lines are added that stand beside none.
    fn without_lines(&self, text: &Text<'_>) -> Result<Vec<usize>, String> {
        if text.lines.is_empty() || self.told.at_end {
            return Ok(vec![text.lines.len()]);
        }
        Err("it adds lines without a line of context, so their place is not known. \
             Give at least one unchanged line before or after them."
            .to_owned())
    }

    fn lines(&self) -> Vec<Line<'a>> {
        self.before.iter().map(|(_, line)| *line).collect()
    }

    fn changes(&self) -> bool {
        self.steps.iter().any(|(step, _)| *step != Step::Keep)
    }

    fn several_fit(&self, text: &Text<'_>) -> String {
        nearest::several_fit(&text.lines, &self.places, self.before.len())
    }

    /// The one of the places that is told; none where what is told does not agree.
    fn told_place(&self, text: &Text<'_>) -> Option<usize> {
        let size = self.before.len();
        let mut told: Vec<usize> = Vec::new();
        if self.told.at_end {
            told.extend(self.places.iter().copied().find(|start| start + size == text.lines.len()));
        }
        told.extend(self.told.line.filter(|line| self.places.binary_search(line).is_ok()));
        if let Some(body) = nearest::body_of(&text.lines, &self.told.headings) {
            let mut inside = self.places.iter().filter(|start| body.contains(start));
            if let (Some(only), None) = (inside.next(), inside.next()) {
                told.push(*only);
            }
        }
        told.dedup();
        if let [place] = told[..] { Some(place) } else { None }
    }
}

/// A block as one piece, or where that fits nowhere and the block leaves lines out, as what stands between these.
fn pieces_of<'h, 'a>(text: &Text<'_>, hunk: &'h Hunk<'a>) -> Result<Vec<Piece<'h, 'a>>, String> {
    for (_, line) in hunk.steps.iter().filter(|(step, _)| *step == Step::Add) {
        elided::check_new_line(text, line)?;
    }
    let refusal = match Piece::new(hunk, &hunk.steps).found(text) {
        Ok(piece) => return Ok(vec![piece]),
        Err(refusal) => refusal,
    };
    let is_left_out = |(step, line): &(Step, Line<'_>)| *step == Step::Keep && elided::is_mark(line);
    let parts: Vec<_> = hunk.steps.split(is_left_out).filter(|steps| !steps.is_empty()).collect();
    if parts.iter().map(|steps| steps.len()).sum::<usize>() == hunk.steps.len() {
        return Err(refusal);
    }
    parts.into_iter().map(|steps| Piece::new(hunk, steps).found(text)).collect()
}

/// Leaves each piece its one place. Where nothing but lines that stay is in a piece, any will do.
fn settle(text: &Text<'_>, pieces: &mut [Piece<'_, '_>]) -> Result<(), String> {
    if pieces.iter().all(|piece| piece.places.len() == 1) {
        pieces.sort_by_key(|piece| piece.places[0]);
    }
    let named = |piece: &Piece<'_, '_>| piece.told.line.filter(|line| piece.places.contains(line));
    let named: Vec<Option<usize>> = pieces.iter().map(named).collect();
    loop {
        in_order(pieces)?;
        let mut told = 0;
        for piece in pieces.iter_mut().filter(|piece| piece.changes() && piece.places.len() > 1) {
            if let Some(place) = piece.told_place(text) {
                piece.places = vec![place];
                told += 1;
            }
        }
        if told == 0 {
            break;
        }
    }
    for (piece, named) in pieces.iter_mut().zip(named).filter(|(piece, _)| piece.changes()) {
        // A place where the lines stand and which the number names is not ignored for what the order of blocks says.
        piece.places.extend(named.filter(|line| !piece.places.contains(line)));
        if piece.places.len() > 1 {
            return Err(numbered(piece.number, &piece.several_fit(text)));
        }
    }
    Ok(())
}

/// Leaves out the places at which the pieces before or after one would have none left.
fn in_order(pieces: &mut [Piece<'_, '_>]) -> Result<(), String> {
    let none_left = |piece: &Piece<'_, '_>, end: usize| {
        numbered(
            piece.number,
            &format!(
                "these lines stand only before line {}, where an earlier block ends: blocks must be in the order of \
                 the file and must not overlap.",
                end + 1
            ),
        )
    };
    let mut end = 0;
    for piece in pieces.iter_mut() {
        piece.places.retain(|start| *start >= end);
        let first = *piece.places.first().ok_or_else(|| none_left(piece, end))?;
        end = first + piece.before.len();
    }
    let mut begin = usize::MAX;
    for piece in pieces.iter_mut().rev() {
        let size = piece.before.len();
        piece.places.retain(|start| start.saturating_add(size) <= begin);
        begin = *piece.places.last().ok_or_else(|| none_left(piece, end))?;
    }
    Ok(())
}

/// The file with all pieces at their places.
fn written(text: &Text<'_>, pieces: &[Piece<'_, '_>], size: usize) -> Result<Vec<u8>, String> {
    let mut result = Vec::with_capacity(size);
    let mut copied = 0;
    for piece in pieces.iter().filter(|piece| piece.changes()) {
        let [start] = piece.places[..] else { return Err(numbered(piece.number, &piece.several_fit(text))) };
        for line in &text.lines[copied..start] {
            let at_open_end = line.ending.is_empty();
            push(
                &mut result,
                line.text,
                if at_open_end { ending_for_closed_line(&text.lines) } else { line.ending },
            );
        }
        copied = start + piece.before.len();
        put(&mut result, &text.lines, piece, start).map_err(|reason| numbered(piece.number, &reason))?;
    }
    for line in &text.lines[copied..] {
        push(&mut result, line.text, line.ending);
    }
    Ok(result)
}

fn push(result: &mut Vec<u8>, text: &[u8], ending: &[u8]) {
    result.extend_from_slice(text);
    result.extend_from_slice(ending);
}

/// Writes a piece at its place: kept lines as the file has them, added ones as the block has them, with the
/// indentation and line ending of the place.
fn put(result: &mut Vec<u8>, file: &[Line<'_>], piece: &Piece<'_, '_>, start: usize) -> Result<(), String> {
    let window = &file[start..start + piece.before.len()];
    let ending = ending_of(file, window, &piece.before);
    let adaptation = Adaptation::of(file, window, piece.steps, piece.written)?;
    let last = piece.steps.iter().rposition(|(step, _)| *step != Step::Remove);
    let at_end = start + window.len() == file.len();
    let open_end = at_end
        && match piece.last_line {
            LastLine::AsItIs => file.last().is_some_and(|line| line.ending.is_empty()),
            LastLine::AsWritten => last.is_some_and(|last| piece.steps[last].1.ending.is_empty()),
        };
    let mut here = window.iter();
    for (index, (step, line)) in piece.steps.iter().enumerate() {
        let (text, own): (Vec<u8>, &[u8]) = match step {
            Step::Remove => {
                here.next();
                continue;
            }
            Step::Keep => {
                let line = here.next().unwrap_or(line);
                (line.text.to_vec(), line.ending)
            }
            Step::Add => (adaptation.line(line)?, ending.unwrap_or(line.ending)),
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
fn ending_of<'a>(file: &[Line<'a>], window: &[Line<'a>], before: &[(Step, Line<'_>)]) -> Option<&'a [u8]> {
    let pairs = window.iter().zip(before).map(|(line, (_, wanted))| (line.ending, wanted.ending));
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

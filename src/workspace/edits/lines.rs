//! Lines of a file, and the places where a block of lines fits.

/// A line and how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    /// `\n`, `\r\n`, or nothing at the end of a file.
    pub(super) ending: &'a [u8],
}

impl<'a> Line<'a> {
    pub(super) fn is_blank(&self) -> bool {
        self.text.iter().all(u8::is_ascii_whitespace)
    }

    pub(super) fn trimmed(&self) -> &'a [u8] {
        self.text.trim_ascii_end()
    }

    fn indentation(&self) -> &'a [u8] {
        let end = self.text.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(self.text.len());
        &self.text[..end]
    }
}

pub(super) fn split(bytes: &[u8]) -> Vec<Line<'_>> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(|raw| {
            let text = raw.strip_suffix(b"\r\n").or_else(|| raw.strip_suffix(b"\n")).unwrap_or(raw);
            Line { text, ending: &raw[text.len()..] }
        })
        .collect()
}

/// Whether all lines end as on Windows, and there is at least one.
pub(super) fn only_windows_endings(bytes: &[u8]) -> bool {
    let lines = split(bytes);
    let mut endings = lines.iter().map(|line| line.ending).filter(|ending| !ending.is_empty()).peekable();
    endings.peek().is_some() && endings.all(|ending| ending == b"\r\n")
}

/// How far a place is from what was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shift {
    /// The same, but perhaps for line endings and trailing white space.
    None,
    /// The file has this before each line.
    Deeper(Vec<u8>),
    /// The file lacks this before each line.
    Shallower(Vec<u8>),
}

/// A place where a block fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The first line, from 0.
    pub(super) start: usize,
    pub(super) shift: Shift,
}

/// The places from line `from` on where `block` fits: those where it fits exactly, or if there are none,
/// those where it fits up to trailing white space, or if there are none, up to a shift of indentation.
pub(super) fn find(lines: &[Line<'_>], block: &[Line<'_>], from: usize) -> Vec<Place> {
    if block.is_empty() || lines.len() < block.len() {
        return Vec::new();
    }
    let starts = || from..=lines.len() - block.len();
    let window = |start: usize| &lines[start..start + block.len()];
    let places = |fits: &dyn Fn(&[Line<'_>]) -> bool| -> Vec<Place> {
        let fitting = starts().filter(|start| fits(window(*start)));
        fitting.map(|start| Place { start, shift: Shift::None }).collect()
    };
    let exact = places(&|window| window.iter().zip(block).all(|(line, wanted)| line.text == wanted.text));
    if !exact.is_empty() {
        return exact;
    }
    let trimmed =
        places(&|window| window.iter().zip(block).all(|(line, wanted)| line.trimmed() == wanted.trimmed()));
    if !trimmed.is_empty() {
        return trimmed;
    }
    starts().filter_map(|start| Some(Place { start, shift: shift(window(start), block)? })).collect()
}

/// The one shift of indentation that makes `block` fit `window`, if there is one.
fn shift(window: &[Line<'_>], block: &[Line<'_>]) -> Option<Shift> {
    let mut found: Option<Shift> = None;
    for (line, wanted) in window.iter().zip(block) {
        if line.is_blank() && wanted.is_blank() {
            continue;
        }
        if line.text.trim_ascii() != wanted.text.trim_ascii() {
            return None;
        }
        let (here, there) = (line.indentation(), wanted.indentation());
        let shift = match (here.strip_suffix(there), there.strip_suffix(here)) {
            (Some(b""), _) => Shift::None,
            (Some(more), _) => Shift::Deeper(more.to_vec()),
            (_, Some(less)) => Shift::Shallower(less.to_vec()),
            _ => return None,
        };
        if *found.get_or_insert_with(|| shift.clone()) != shift {
            return None;
        }
    }
    found
}

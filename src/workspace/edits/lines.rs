//! Lines of a file, and the places where a block of lines fits.

use std::borrow::Cow;
use std::collections::BTreeSet;

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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
/// those where it fits up to trailing white space, or if there are none, up to a shift of indentation. It takes
/// time by the lengths of both, however much they repeat themselves.
pub(super) fn find(lines: &[Line<'_>], block: &[Line<'_>], from: usize) -> Vec<Place> {
    let Some(rest) = lines.get(from..).filter(|rest| rest.len() >= block.len() && !block.is_empty()) else {
        return Vec::new();
    };
    let unshifted = |key: KeyOfLine| -> Vec<Place> {
        let starts = occurrences(&keys(rest, key), &keys(block, key));
        starts.into_iter().map(|at| Place { start: from + at, shift: Shift::None }).collect()
    };
    let exact = unshifted(|line| line.text);
    if !exact.is_empty() {
        return exact;
    }
    let trimmed = unshifted(|line| line.trimmed());
    if !trimmed.is_empty() {
        return trimmed;
    }
    let mut places: Vec<Place> = shifts(rest, block)
        .into_iter()
        .flat_map(|shift| {
            let starts = occurrences(&shift.of_file(rest), &shift.of_block(block));
            starts.into_iter().map(move |at| Place { start: from + at, shift: shift.clone() })
        })
        .collect();
    places.sort_by_key(|place| place.start);
    places
}

fn keys<'a>(lines: &[Line<'a>], key: KeyOfLine) -> Vec<&'a [u8]> {
    lines.iter().map(key).collect()
}

/// By what lines are compared.
type KeyOfLine = for<'l, 'a> fn(&'l Line<'a>) -> &'a [u8];

/// Where `wanted` stands in `whole`, overlapping places included (Knuth, Morris and Pratt, 1977).
pub(super) fn occurrences<T: PartialEq>(whole: &[T], wanted: &[T]) -> Vec<usize> {
    // For each beginning of `wanted`, how much of it ends as `wanted` begins.
    let mut borders = vec![0_usize; wanted.len()];
    let mut matched = 0;
    for at in 1..wanted.len() {
        while matched > 0 && wanted[at] != wanted[matched] {
            matched = borders[matched - 1];
        }
        matched += usize::from(wanted[at] == wanted[matched]);
        borders[at] = matched;
    }
    let mut found = Vec::new();
    matched = 0;
    for (at, one) in whole.iter().enumerate() {
        while matched > 0 && wanted.get(matched) != Some(one) {
            matched = borders[matched - 1];
        }
        matched += usize::from(wanted.get(matched) == Some(one));
        if matched > 0 && matched == wanted.len() {
            found.push(at + 1 - matched);
        }
    }
    found
}

/// The shifts of indentation by which the first line of `block` that is not blank is a line of the file.
fn shifts(lines: &[Line<'_>], block: &[Line<'_>]) -> BTreeSet<Shift> {
    let Some(first) = block.iter().find(|line| !line.is_blank()) else { return BTreeSet::new() };
    let there = first.indentation();
    let same = lines.iter().filter(|line| line.text.trim_ascii() == first.text.trim_ascii());
    same.filter_map(|line| {
        let here = line.indentation();
        match (here.strip_suffix(there), there.strip_suffix(here)) {
            (Some(b""), _) => Some(Shift::None),
            (Some(more), _) => Some(Shift::Deeper(more.to_vec())),
            (_, Some(less)) => Some(Shift::Shallower(less.to_vec())),
            _ => None,
        }
    })
    .collect()
}

impl Shift {
    /// The lines of a file, comparable with [`Shift::of_block`].
    fn of_file<'l>(&self, lines: &[Line<'l>]) -> Vec<Cow<'l, [u8]>> {
        lines
            .iter()
            .map(|line| if let Self::Shallower(less) = self { below(less, line) } else { bare(line) })
            .collect()
    }

    fn of_block<'l>(&self, block: &[Line<'l>]) -> Vec<Cow<'l, [u8]>> {
        block
            .iter()
            .map(|line| if let Self::Deeper(more) = self { below(more, line) } else { bare(line) })
            .collect()
    }
}

fn bare<'l>(line: &Line<'l>) -> Cow<'l, [u8]> {
    Cow::Borrowed(line.trimmed())
}

/// The line behind an indentation, if it has anything on it.
fn below<'l>(indentation: &[u8], line: &Line<'l>) -> Cow<'l, [u8]> {
    if line.is_blank() { bare(line) } else { Cow::Owned([indentation, line.trimmed()].concat()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn starts(file: &str, block: &str) -> Vec<usize> {
        find(&split(file.as_bytes()), &split(block.as_bytes()), 0).iter().map(|place| place.start).collect()
    }

    #[test]
    fn a_block_is_found_in_a_file_that_repeats_itself_without_trying_each_place() {
        let began = std::time::Instant::now();
        let (file, block) = ("one\n".repeat(200_000), "one\n".repeat(100_000));
        assert_eq!(starts(&file, &format!("{block}two\n")), [] as [usize; 0]);
        assert_eq!(starts(&file, &format!("  one\n{block}")).len(), 0);
        assert_eq!(starts(&file, &"  one\n".repeat(100_000)).len(), 100_001);
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    }

    proptest! {
        #[test]
        fn occurrences_are_all_there_are(whole in "[ab]{0,40}", wanted in "[ab]{1,5}") {
            let simple: Vec<usize> = (0..whole.len()).filter(|at| whole[*at..].starts_with(&wanted)).collect();
            prop_assert_eq!(occurrences(whole.as_bytes(), wanted.as_bytes()), simple);
        }

        /// Trying each place, one after the other, finds the same.
        #[test]
        fn a_block_is_found_wherever_it_fits(
            file in "([ \t]{0,3}[ab]{0,1}[ \r]{0,1}\n){0,12}",
            block in "([ \t]{0,3}[ab]{0,1}[ \r]{0,1}\n){1,4}",
        ) {
            let (file, block) = (split(file.as_bytes()), split(block.as_bytes()));
            prop_assert_eq!(find(&file, &block, 0), tried_one_by_one(&file, &block));
        }
    }

    fn tried_one_by_one(file: &[Line<'_>], block: &[Line<'_>]) -> Vec<Place> {
        let windows = || file.windows(block.len()).enumerate();
        let fitting = |key: KeyOfLine| -> Vec<Place> {
            let fits = |window: &[Line<'_>]| window.iter().zip(block).all(|(a, b)| key(a) == key(b));
            let starts = windows().filter(|(_, window)| fits(window)).map(|(start, _)| start);
            starts.map(|start| Place { start, shift: Shift::None }).collect()
        };
        let mut places = fitting(|line| line.text);
        if places.is_empty() {
            places = fitting(|line| line.trimmed());
        }
        if places.is_empty() {
            let shifted = |(start, window)| Some(Place { start, shift: shift(window, block)? });
            places = windows().filter_map(shifted).collect();
        }
        places
    }

    /// The one shift of indentation that makes `block` fit `window`, if there is one.
    fn shift(window: &[Line<'_>], block: &[Line<'_>]) -> Option<Shift> {
        let mut found: Option<Shift> = None;
        for (line, wanted) in window.iter().zip(block).filter(|(a, b)| !a.is_blank() || !b.is_blank()) {
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
}

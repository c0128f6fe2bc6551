//! What an added line becomes at its place: with the indentation and the characters that the file has where the block
//! has others.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::hunk::{Step, Written};
use super::lines::{self, Line};
use super::nearest;

/// How a block differs from its place.
pub(super) struct Adaptation<'p> {
    indents: Indents,
    marks: Marks,
    /// The lines of the file by the lines of the block that they were found by; `None` where several were.
    found: HashMap<&'p [u8], Option<&'p [u8]>>,
}

impl<'p> Adaptation<'p> {
    /// `window` is the place of the old lines among `steps`; `file` all lines.
    pub(super) fn of(
        file: &[Line<'_>],
        window: &'p [Line<'_>],
        steps: &'p [(Step, Line<'_>)],
        written: Written,
    ) -> Result<Self, String> {
        let old = steps.iter().filter(|(step, _)| *step != Step::Add);
        let pairs: Vec<Pair<'_>> =
            window.iter().zip(old).map(|(here, (step, there))| Pair { step: *step, here, there }).collect();
        let mut found: HashMap<&[u8], Option<&[u8]>> = HashMap::new();
        // White space that the block lacks at the end of a line may be what the edit takes away, and a kept line without
        // its column is another line.
        let whole = written == Written::AsLines || Column::of(&pairs) == Column::There;
        let told =
            |pair: &&Pair<'_>| pair.here.trimmed() != pair.there.text && (whole || pair.step == Step::Remove);
        for Pair { here, there, .. } in pairs.iter().filter(told) {
            let one = found.entry(there.text).or_insert(Some(here.text));
            *one = one.filter(|one| *one == here.text);
        }
        let added =
            steps.iter().filter(|(step, line)| *step == Step::Add && !line.is_blank()).map(|(_, line)| line);
        let indents = Indents::of(&pairs, added, written)?;
        Ok(Self { indents, marks: Marks::of(file, &pairs), found })
    }

    pub(super) fn line(&self, line: &Line<'_>) -> Result<Vec<u8>, String> {
        // A new line that the block has among the old ones, too, is one that the file has.
        if let Some(Some(here)) = self.found.get(line.text) {
            return Ok(here.to_vec());
        }
        if line.is_blank() {
            return Ok(line.text.to_vec());
        }
        let indent = self.indents.of_file(line)?;
        Ok([&indent[..], &self.marks.of_file(&line.text[line.indentation().len()..])?].concat())
    }
}

/// Whether the indentation of a place differs from that of a block by a rule: by a shift as a whole, or by so many of one
/// character for so many of another.
pub(super) fn is_regular(window: &[Line<'_>], block: &[(Step, Line<'_>)]) -> bool {
    let pairs: Vec<Pair<'_>> =
        window.iter().zip(block).map(|(here, (step, there))| Pair { step: *step, here, there }).collect();
    Indents::known(pairs.iter()).deeper != Deeper::Unclear
}

/// A line of the file, and the line of the block that it was found by.
struct Pair<'p> {
    step: Step,
    here: &'p Line<'p>,
    there: &'p Line<'p>,
}

/// The indentations of a block beside those of its place.
#[derive(Debug)]
struct Indents {
    /// `None` where the place has several for one of the block.
    known: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    deeper: Deeper,
}

/// What becomes of an indentation beyond a known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deeper {
    /// Nothing is known: it stays.
    Unknown,
    Same,
    /// So many of one character are so many of another.
    Ratio {
        from: (u8, usize),
        to: (u8, usize),
    },
    /// The pairs contradict each other.
    Unclear,
}

impl Indents {
    fn of<'p>(
        pairs: &[Pair<'_>],
        added: impl Iterator<Item = &'p Line<'p>>,
        written: Written,
    ) -> Result<Self, String> {
        let shifted = Self::known(pairs.iter());
        let column = Column::of(pairs);
        if written == Written::AsLines || column == Column::There {
            return Ok(shifted);
        }
        let removed = Self::known(pairs.iter().filter(|pair| pair.step == Step::Remove));
        if column == Column::Missing {
            return Ok(removed);
        }
        if !removed.known.is_empty() {
            let as_it_is = removed.known.iter().all(|(there, here)| Some(there) == here.as_ref());
            return Ok(if as_it_is { removed } else { shifted });
        }
        let (mut of_file, mut of_block) = (0, 0);
        for line in added {
            let indent = line.indentation();
            let here = shifted.known.values().flatten().any(|known| known == indent);
            let there = shifted.known.contains_key(indent);
            of_file += usize::from(here && !there);
            of_block += usize::from(there && !here);
        }
        match (of_file, of_block) {
            (0, 0) | (1.., 1..) => Err(
                "the lines of context lack a space each, so it is not clear how far the new lines are to be indented. Begin \
                 each line of context with a space, and then the line as it stands in the file."
                    .to_owned(),
            ),
            (_, 0) => Ok(removed),
            (0, _) => Ok(shifted),
        }
    }

    fn known<'p>(pairs: impl Iterator<Item = &'p Pair<'p>>) -> Self {
        let mut known: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        for Pair { here, there, .. } in pairs {
            if there.is_blank() || lines::normal(here.text) != lines::normal(there.text) {
                continue;
            }
            let found = known
                .entry(there.indentation().to_vec())
                .or_insert_with(|| Some(here.indentation().to_vec()));
            if found.as_deref().is_some_and(|found| found != here.indentation()) {
                *found = None;
            }
        }
        let deeper = Self::deeper(&known);
        Self { known, deeper }
    }

    fn deeper(known: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Deeper {
        let pairs: Vec<(&[u8], &[u8])> =
            known.iter().filter_map(|(there, here)| Some((there.as_slice(), here.as_deref()?))).collect();
        if pairs.len() < known.len() {
            return Deeper::Unclear;
        }
        let mut found = Deeper::Unknown;
        // In their order, each indentation comes after those that it begins with.
        for pair in pairs.windows(2) {
            let [(outer, outer_here), (inner, inner_here)] = [pair[0], pair[1]];
            let Some(there) = inner.strip_prefix(outer) else { continue };
            let step = inner_here.strip_prefix(outer_here).and_then(|here| step(there, here));
            found = match step {
                Some(step) if found == Deeper::Unknown || found == step => step,
                _ => return Deeper::Unclear,
            };
        }
        if found == Deeper::Unknown
            && let [(there, here)] = pairs[..]
            && !there.is_empty()
        {
            // The block may be shifted as a whole besides, in what both are made of.
            found = match (only(there), only(here)) {
                (Some(one), Some(other)) if one != other => step(there, here).unwrap_or(Deeper::Unclear),
                _ => Deeper::Same,
            };
        }
        found
    }

    fn of_file(&self, line: &Line<'_>) -> Result<Vec<u8>, String> {
        let there = line.indentation();
        if let Some(Some(here)) = self.known.get(there) {
            return Ok(here.clone());
        }
        if self.known.iter().all(|(there, here)| Some(there) == here.as_ref()) {
            return Ok(there.to_vec());
        }
        self.beyond(there).ok_or_else(|| {
            format!(
                "the lines to change were found with another indentation, but which one the new line `{}` is to have \
                 is not clear. Give all lines with the indentation of the file.",
                nearest::shown(line.text)
            )
        })
    }

    /// An indentation that no line of the place has.
    fn beyond(&self, there: &[u8]) -> Option<Vec<u8>> {
        let known = || self.known.iter().filter_map(|(there, here)| Some((there, here.as_ref()?)));
        if let Some((outer, here)) = known().rfind(|(outer, _)| there.starts_with(outer)) {
            let more = &there[outer.len()..];
            return Some([here.as_slice(), &self.converted(more, here)?].concat());
        }
        // It lies further out than all that is known.
        let (inner, here) = known().find(|(inner, _)| inner.starts_with(there))?;
        let less = self.converted(&inner[there.len()..], here)?;
        here.strip_suffix(less.as_slice()).map(<[u8]>::to_vec)
    }

    fn converted(&self, part: &[u8], beside: &[u8]) -> Option<Vec<u8>> {
        match self.deeper {
            Deeper::Unclear => None,
            Deeper::Same => Some(part.to_vec()),
            // Spaces behind tabs would mix both.
            Deeper::Unknown => (beside.is_empty() || only(beside) == only(part)).then(|| part.to_vec()),
            Deeper::Ratio { from, to } => {
                let fits =
                    part.iter().all(|byte| *byte == from.0) && (part.len() * to.1).is_multiple_of(from.1);
                fits.then(|| vec![to.0; part.len() * to.1 / from.1])
            }
        }
    }
}

/// What kept lines of a diff say about its first column.
#[derive(PartialEq, Eq)]
enum Column {
    There,
    /// All kept lines lack one space. It may have been taken for the column, or all was shifted by one.
    Unclear,
    /// Some lack one space and others do not, so that it was taken for the column.
    Missing,
}

impl Column {
    fn of(pairs: &[Pair<'_>]) -> Self {
        let (mut lacking, mut whole) = (0, 0);
        for pair in pairs.iter().filter(|pair| pair.step == Step::Keep && !pair.here.is_blank()) {
            match pair.here.indentation().strip_suffix(pair.there.indentation()) {
                Some(b" ") => lacking += 1,
                Some(b"") => whole += 1,
                _ => return Self::There,
            }
        }
        match (lacking, whole) {
            (0, _) => Self::There,
            (_, 0) => Self::Unclear,
            _ => Self::Missing,
        }
    }
}

/// The one character that an indentation is made of.
fn only(indent: &[u8]) -> Option<u8> {
    let first = *indent.first()?;
    indent.iter().all(|byte| *byte == first).then_some(first)
}

/// How one indentation becomes another.
fn step(there: &[u8], here: &[u8]) -> Option<Deeper> {
    if there == here {
        return Some(Deeper::Same);
    }
    let (from, to) = (only(there)?, only(here)?);
    let (mut divisor, mut rest) = (there.len(), here.len());
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    Some(Deeper::Ratio { from: (from, there.len() / divisor), to: (to, here.len() / divisor) })
}

/// Typographic characters that a block has where its place has plain ones, or the other way round.
#[derive(Debug, Default)]
struct Marks {
    /// What the block has and its place has not.
    made: Vec<Kind>,
    /// Those that the file has anywhere.
    in_file: Vec<char>,
    /// Those for which the block has plain ones.
    lost: Vec<char>,
}

/// Who writes one character of a kind in its typographic form writes the others so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Quote,
    Dash,
    Dots,
    Space,
}

impl Kind {
    fn of(c: char) -> Option<Self> {
        lines::plain(c).map(|plain| match plain {
            "'" | "\"" => Self::Quote,
            "-" => Self::Dash,
            " " => Self::Space,
            _ => Self::Dots,
        })
    }
}

impl Marks {
    fn of(file: &[Line<'_>], pairs: &[Pair<'_>]) -> Self {
        let mut marks = Self::default();
        for Pair { here, there, .. } in pairs {
            if (here.text.is_ascii() && there.text.is_ascii())
                || lines::normal(here.text) != lines::normal(there.text)
            {
                continue;
            }
            let (in_file, in_block) = (typographic(here.text), typographic(there.text));
            let count = |of: &[char], c: &char| of.iter().filter(|other| *other == c).count();
            let more = |one: &[char], other: &[char], c: &char| count(one, c) > count(other, c);
            marks.made.extend(
                in_block.iter().filter(|c| more(&in_block, &in_file, c)).filter_map(|c| Kind::of(*c)),
            );
            marks.lost.extend(in_file.iter().filter(|c| more(&in_file, &in_block, c)));
        }
        if !marks.made.is_empty() {
            marks.in_file = file.iter().flat_map(|line| typographic(line.text)).collect();
            marks.in_file.sort_unstable();
            marks.in_file.dedup();
        }
        marks
    }

    fn of_file<'l>(&self, text: &'l [u8]) -> Result<Cow<'l, [u8]>, String> {
        let Ok(known) = str::from_utf8(text) else { return Ok(text.into()) };
        let unclear = |c: char| {
            format!(
                "the lines to change were found with other quotes, dashes or spaces, so it is not clear what `{c}` in \
                 the new line `{}` is to be. Copy the characters of the file.",
                nearest::shown(text)
            )
        };
        let is_lost = |c: &&char| lines::plain(**c).is_some_and(|plain| known.contains(plain));
        if let Some(lost) = self.lost.iter().find(is_lost) {
            return Err(unclear(*lost));
        }
        if self.made.is_empty() || text.is_ascii() {
            return Ok(text.into());
        }
        let mut made = String::with_capacity(known.len());
        for c in known.chars() {
            let plain = lines::plain(c).filter(|_| Kind::of(c).is_some_and(|kind| self.made.contains(&kind)));
            match plain {
                Some(_) if self.in_file.contains(&c) => return Err(unclear(c)),
                Some(plain) => made.push_str(plain),
                None => made.push(c),
            }
        }
        Ok(made.into_bytes().into())
    }
}

fn typographic(text: &[u8]) -> Vec<char> {
    match str::from_utf8(text) {
        Ok(text) if !text.is_ascii() => text.chars().filter(|c| lines::plain(*c).is_some()).collect(),
        _ => Vec::new(),
    }
}

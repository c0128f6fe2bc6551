//! The places where a block of lines fits in a file: exactly, or else with tolerance for what models get slightly
//! wrong. All of them are told; which one is meant is decided elsewhere.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;

use super::hunk::Step;
use super::lines::{self, Line, normal};

/// A file's lines, with what is worked out of them once.
pub(super) struct Text<'a> {
    pub(super) lines: Vec<Line<'a>>,
    normal: OnceCell<Vec<Cow<'a, [u8]>>>,
}

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { lines: lines::split(bytes), normal: OnceCell::new() }
    }

    pub(super) fn holds_line(&self, text: &[u8]) -> bool {
        self.lines.iter().any(|line| line.text.trim_ascii() == text.trim_ascii())
    }

    fn normal(&self) -> &[Cow<'a, [u8]>] {
        self.normal.get_or_init(|| self.lines.iter().map(|line| normal(line.text)).collect())
    }
}

/// In more places than this a shift of indentation as a whole is not told from one line by line.
const MOST_SHIFTED: usize = 1_000;

/// The first lines, from 0, of the places where `block` fits: those where it fits exactly, or if there are none, those
/// where it fits up to trailing white space, up to a shift of indentation, up to any indentation, in its
/// [`normal`] form, or but for a kept line that is slightly misremembered. It takes time by the lengths of both,
/// however much they repeat themselves.
pub(super) fn find(text: &Text<'_>, block: &[(Step, Line<'_>)]) -> Vec<usize> {
    let file = &text.lines;
    if block.is_empty() || file.len() < block.len() {
        return Vec::new();
    }
    let by = |key: KeyOfLine| {
        let wanted: Vec<&[u8]> = block.iter().map(|(_, line)| key(line)).collect();
        occurrences_by(file, |line| key(line), &wanted)
    };
    for key in [(|line| line.text) as KeyOfLine, |line| line.trimmed()] {
        let places = by(key);
        if !places.is_empty() {
            return places;
        }
    }
    let places = by(|line| line.text.trim_ascii());
    if !places.is_empty() {
        let shifted = |start: &usize| is_shifted(&file[*start..*start + block.len()], block);
        let few = &places[..places.len().min(MOST_SHIFTED)];
        let shifted: Vec<usize> = few.iter().copied().filter(shifted).collect();
        return if shifted.is_empty() || few.len() < places.len() { places } else { shifted };
    }
    let wanted: Vec<Cow<'_, [u8]>> = block.iter().map(|(_, line)| normal(line.text)).collect();
    let places = occurrences(text.normal(), &wanted);
    if places.is_empty() { misremembered(text, block, &wanted) } else { places }
}

/// By what lines are compared.
type KeyOfLine = for<'l, 'a> fn(&'l Line<'a>) -> &'a [u8];

/// Whether all lines lack the same indentation, or have the same too much.
fn is_shifted(window: &[Line<'_>], block: &[(Step, Line<'_>)]) -> bool {
    let mut pairs =
        window.iter().zip(block).filter(|(line, _)| !line.is_blank()).map(|(line, (_, wanted))| {
            let (here, there) = (line.indentation(), wanted.indentation());
            match (here.strip_suffix(there), there.strip_suffix(here)) {
                (Some(more), _) => Some((more, &b""[..])),
                (_, Some(less)) => Some((&b""[..], less)),
                _ => None,
            }
        });
    let Some(first) = pairs.next() else { return true };
    first.is_some() && pairs.all(|pair| pair == first)
}

/// Where `wanted` stands in `whole`, overlapping places included.
pub(super) fn occurrences<T: PartialEq>(whole: &[T], wanted: &[T]) -> Vec<usize> {
    occurrences_by(whole, |one| one, &wanted.iter().collect::<Vec<_>>())
}

/// Where what `wanted` says stands in `whole` (Knuth, Morris and Pratt, 1977).
fn occurrences_by<'w, T, K: PartialEq>(whole: &'w [T], key: impl Fn(&'w T) -> K, wanted: &[K]) -> Vec<usize> {
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
        let one = key(one);
        while matched > 0 && wanted.get(matched) != Some(&one) {
            matched = borders[matched - 1];
        }
        matched += usize::from(wanted.get(matched) == Some(&one));
        if matched > 0 && matched == wanted.len() {
            found.push(at + 1 - matched);
        }
    }
    found
}

/// A block has to have so many lines that tell a place before one of them may differ; with fewer, it may by a few
/// letters only.
const MANY_TELLING: usize = 3;
const FEWEST_TELLING: usize = 2;
/// One in so many of them may.
const TELLING_FOR_ONE: usize = 4;
/// A line that stands in more places than this tells no place.
const MOST_STANDING: usize = 100;
/// So many places are looked at.
const MOST_TRIED: usize = 200;
/// How alike two lines must be for one to be the other misremembered (1 is the same).
const MISREMEMBERED: f64 = 0.6;
const MISSPELT: f64 = 0.85;
/// How alike they must be for their place to be one that could be meant, too.
const COULD_BE: f64 = 0.4;
/// Of longer lines, only so much is compared.
const LONGEST_COMPARED: usize = 400;

/// The place that differs in few of the kept lines, and there slightly, when no other one comes close.
fn misremembered(text: &Text<'_>, block: &[(Step, Line<'_>)], wanted: &[Cow<'_, [u8]>]) -> Vec<usize> {
    let tells = |line: &[u8]| line.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() > 1;
    let telling: Vec<usize> = (0..wanted.len()).filter(|at| tells(&wanted[*at])).collect();
    if telling.len() < FEWEST_TELLING {
        return Vec::new();
    }
    let most = (telling.len() / TELLING_FOR_ONE).max(1);
    let least = if telling.len() < MANY_TELLING { MISSPELT } else { MISREMEMBERED };
    let there = text.normal();
    let mut standing: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (at, line) in there.iter().enumerate() {
        standing.entry(line).or_default().push(at);
    }
    let mut votes: HashMap<usize, usize> = HashMap::new();
    for offset in &telling {
        let places = standing.get(&*wanted[*offset]).filter(|places| places.len() <= MOST_STANDING);
        for start in places.into_iter().flatten().filter_map(|at| at.checked_sub(*offset)) {
            if start + wanted.len() <= there.len() {
                *votes.entry(start).or_default() += 1;
            }
        }
    }
    if votes.len() > MOST_TRIED {
        // Those with more votes can be told from the rest only if these have none to speak of.
        let mut counts: Vec<usize> = votes.values().copied().collect();
        counts.sort_unstable_by(|one, other| other.cmp(one));
        let bound = counts[MOST_TRIED];
        votes.retain(|_, count| *count > bound);
    }
    let seen = |start: usize| Seen::at(&there[start..start + wanted.len()], block, wanted, &telling);
    let mut tried: Vec<(usize, Seen)> = votes.keys().map(|start| (*start, seen(*start))).collect();
    tried.sort_by_key(|(start, seen)| (seen.differing, *start));
    let Some((start, best)) =
        tried.iter().find(|(_, seen)| seen.fits && seen.differing <= most && seen.least_alike >= least)
    else {
        return Vec::new();
    };
    let rivals = tried.iter().filter(|(other, seen)| {
        other != start && seen.differing <= best.differing + 1 && seen.least_alike >= COULD_BE
    });
    let mut places: Vec<usize> = rivals.map(|(other, _)| *other).chain([*start]).collect();
    places.sort_unstable();
    places
}

/// A place beside a block.
struct Seen {
    /// How many of the telling lines are others.
    differing: usize,
    least_alike: f64,
    /// Whether only kept lines differ, and they tell the place.
    fits: bool,
}

impl Seen {
    fn at(
        window: &[Cow<'_, [u8]>],
        block: &[(Step, Line<'_>)],
        wanted: &[Cow<'_, [u8]>],
        telling: &[usize],
    ) -> Self {
        let mut seen = Self { differing: 0, least_alike: 1.0, fits: true };
        let mut next = telling.iter().peekable();
        for (at, (line, wanted)) in window.iter().zip(wanted).enumerate() {
            let tells = next.next_if(|telling| **telling == at).is_some();
            if line == wanted {
                continue;
            }
            seen.differing += usize::from(tells);
            if tells {
                seen.least_alike = seen.least_alike.min(alike(line, wanted));
            }
            seen.fits &= tells && block[at].0 == Step::Keep;
        }
        seen
    }
}

fn alike(one: &[u8], other: &[u8]) -> f64 {
    let part = |text: &[u8]| String::from_utf8_lossy(&text[..text.len().min(LONGEST_COMPARED)]).into_owned();
    strsim::normalized_levenshtein(&part(one), &part(other))
}

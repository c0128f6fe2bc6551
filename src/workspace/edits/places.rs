//! The places where a block of lines fits in a file: exactly, or else with tolerance for what models get slightly
//! wrong. All of them are told; which one is meant is decided elsewhere.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;

use super::adapt;
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

    /// Whether a block stands at a line, white space and typographic marks aside.
    pub(super) fn is_like(&self, start: usize, block: &[(Step, Line<'_>)]) -> bool {
        let here =
            self.lines.get(start..).and_then(|rest| rest.get(..block.len())).filter(|here| !here.is_empty());
        here.is_some_and(|here| {
            here.iter().zip(block).all(|(line, (_, wanted))| normal(line.text) == normal(wanted.text))
        })
    }

    fn normal(&self) -> &[Cow<'a, [u8]>] {
        self.normal.get_or_init(|| self.lines.iter().map(|line| normal(line.text)).collect())
    }
}

/// With more lines in all places together, an indentation that differs by a rule is not told from one that differs line by
/// line.
const MOST_COMPARED: usize = 100_000;

/// The first lines, from 0, of the places where `block` fits: those where it fits exactly, or if there are none, those
/// where it fits up to trailing white space, up to an indentation that differs by a rule, up to any indentation, in its
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
        let regular = |start: &usize| adapt::is_regular(&file[*start..*start + block.len()], block);
        if places.len().saturating_mul(block.len()) > MOST_COMPARED {
            return places;
        }
        let by_rule: Vec<usize> = places.iter().copied().filter(regular).collect();
        return if by_rule.is_empty() { places } else { by_rule };
    }
    let wanted: Vec<Cow<'_, [u8]>> = block.iter().map(|(_, line)| normal(line.text)).collect();
    let places = occurrences(text.normal(), &wanted);
    if places.is_empty() { misremembered(text, block, &wanted) } else { places }
}

/// By what lines are compared.
type KeyOfLine = for<'l, 'a> fn(&'l Line<'a>) -> &'a [u8];

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn starts(file: &str, block: &str) -> Vec<usize> {
        let block: Vec<_> =
            lines::split(block.as_bytes()).into_iter().map(|line| (Step::Remove, line)).collect();
        find(&Text::new(file.as_bytes()), &block)
    }

    #[test]
    fn a_block_is_found_in_a_file_that_repeats_itself_without_trying_each_place() {
        let began = std::time::Instant::now();
        let (file, block) = ("one\n".repeat(200_000), "one\n".repeat(100_000));
        assert_eq!(starts(&file, &format!("{block}two\n")), [] as [usize; 0]);
        assert_eq!(starts(&file, &format!("  one\n{block}")).len(), 100_000);
        assert_eq!(starts(&file, &"  one\n".repeat(100_000)).len(), 100_001);
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[test]
    fn an_indentation_that_differs_by_a_rule_comes_before_one_that_differs_line_by_line() {
        assert_eq!(starts("a\n    b\nx\n  a\n b\n", "\ta\n\t\tb\n"), [0]);
        assert_eq!(starts("a\n b\n", "  a\nb\n"), [0]);
        // A shift is as good as tabs for spaces.
        assert_eq!(starts("b\n  b\n", "\tb\n"), [0, 1]);
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
            prop_assert_eq!(starts(&file, &block), tried_one_by_one(&file, &block));
        }
    }

    fn tried_one_by_one(file: &str, block: &str) -> Vec<usize> {
        let (file, block) = (lines::split(file.as_bytes()), lines::split(block.as_bytes()));
        let fitting = |key: KeyOfLine| -> Vec<usize> {
            let fits = |window: &[Line<'_>]| window.iter().zip(&block).all(|(a, b)| key(a) == key(b));
            file.windows(block.len())
                .enumerate()
                .filter(|(_, window)| fits(window))
                .map(|(start, _)| start)
                .collect()
        };
        let steps: Vec<_> = block.iter().map(|line| (Step::Remove, *line)).collect();
        let regular = |start: &usize| adapt::is_regular(&file[*start..*start + block.len()], &steps);
        let mut all = [fitting(|line| line.text), fitting(|line| line.trimmed())].into_iter();
        all.find(|places| !places.is_empty()).unwrap_or_else(|| {
            let places = fitting(|line| line.text.trim_ascii());
            let by_rule: Vec<usize> = places.iter().copied().filter(regular).collect();
            if by_rule.is_empty() { places } else { by_rule }
        })
    }
}

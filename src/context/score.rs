//! The signs that speak for a file, each by itself; what they weigh together is in `rank`.

use super::asked::Asked;
use super::history::{Past, path_hash};
use super::kind::Content;
use super::segment::Counted;
use super::terms::{HashedMap, Term, Terms, runs};
use std::sync::Arc;

const K1: f64 = 1.2;
const B: f64 = 0.75;
/// How many past commits vote.
const VOTERS: usize = 60;

/// Which question a term belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Word(usize),
    DefinedWord(usize),
    Compound(usize),
    Defined(usize),
}

/// The terms that are asked for, found fast: nearly all terms of a blob are others.
pub(super) struct Wanted {
    maybe: Box<[u64; 1024]>,
    slots: HashedMap<u32, Slot>,
}

impl Wanted {
    pub(super) fn of(asked: &Asked) -> Self {
        let mut wanted = Self { maybe: Box::new([0; 1024]), slots: HashedMap::default() };
        for (at, word) in asked.words.iter().enumerate() {
            wanted.add(word.term, Slot::Word(at));
            wanted.add(word.defined, Slot::DefinedWord(at));
        }
        for (at, name) in asked.names.iter().enumerate() {
            wanted.add(name.compound, Slot::Compound(at));
            if name.code {
                wanted.add(name.defined, Slot::Defined(at));
            }
        }
        wanted
    }

    fn add(&mut self, term: Term, slot: Slot) {
        let bit = term.0 as usize & 0xffff;
        self.maybe[bit >> 6] |= 1 << (bit & 63);
        self.slots.entry(term.0).or_insert(slot);
    }

    fn slot(&self, term: Term) -> Option<Slot> {
        let bit = term.0 as usize & 0xffff;
        if self.maybe[bit >> 6] >> (bit & 63) & 1 == 0 {
            return None;
        }
        self.slots.get(&term.0).copied()
    }

    /// The number of the word that a term is, if one is asked for.
    pub(super) fn word(&self, term: Term) -> Option<usize> {
        match self.slot(term) {
            Some(Slot::Word(at)) => Some(at),
            _ => None,
        }
    }

    pub(super) fn compound(&self, term: Term) -> Option<usize> {
        match self.slot(term) {
            Some(Slot::Compound(at)) => Some(at),
            _ => None,
        }
    }
}

/// What was found in a file of what is asked for, as (number, count).
#[derive(Debug, Clone, Default)]
pub(super) struct Hits {
    pub(super) words: Vec<(u16, u8)>,
    pub(super) defined_words: Vec<(u16, u8)>,
    pub(super) compounds: Vec<(u16, u8)>,
    pub(super) defined: Vec<(u16, u8)>,
    pub(super) length: f64,
}

pub(super) fn hits(wanted: &Wanted, counted: Counted<'_>) -> Option<Hits> {
    if counted.content != Content::Text {
        return None;
    }
    let mut hits = Hits { length: f64::from(counted.length), ..Hits::default() };
    for (term, &count) in counted.terms.iter().zip(counted.counts) {
        let Some(slot) = wanted.slot(*term) else { continue };
        match slot {
            Slot::Word(at) => hits.words.push((at as u16, count)),
            Slot::DefinedWord(at) => hits.defined_words.push((at as u16, count)),
            Slot::Compound(at) => hits.compounds.push((at as u16, count)),
            Slot::Defined(at) => hits.defined.push((at as u16, count)),
        }
    }
    for list in [&mut hits.words, &mut hits.defined_words, &mut hits.compounds, &mut hits.defined] {
        list.sort_unstable();
    }
    Some(hits)
}

/// How rare each of `count` numbers is in `total` lists of them.
pub(super) fn rarity<'a>(
    count: usize,
    total: usize,
    lists: impl Iterator<Item = &'a [(u16, u8)]>,
) -> Vec<f64> {
    let mut with = vec![0u32; count];
    for list in lists {
        for &(at, _) in list {
            with[usize::from(at)] += 1;
        }
    }
    let total = total as f64;
    with.iter().map(|&with| ((total - f64::from(with) + 0.5) / (f64::from(with) + 0.5) + 1.0).ln()).collect()
}

/// BM25 of a file's words.
pub(super) fn bm25(hits: &Hits, worth: &[f64], mean_length: f64) -> f64 {
    let norm = K1 * (1.0 - B + B * hits.length / mean_length.max(1.0));
    hits.words
        .iter()
        .map(|&(at, count)| {
            worth[usize::from(at)] * f64::from(count) * (K1 + 1.0) / (f64::from(count) + norm)
        })
        .sum()
}

/// Names: once is nearly as good as often.
pub(super) fn presence(list: &[(u16, u8)], worth: &[f64]) -> f64 {
    list.iter().map(|&(at, count)| worth[usize::from(at)] * f64::from(count) / (f64::from(count) + 0.5)).sum()
}

/// What of the words is in a path: those of the file's name count whole where they make it up, those of folders half.
#[derive(Debug, Clone, Default)]
pub(super) struct PathHits {
    pub(super) name: Vec<(u16, u8)>,
    pub(super) folders: Vec<(u16, u8)>,
    pub(super) name_words: usize,
}

pub(super) fn path_hits(wanted: &Wanted, terms: &mut Terms, path: &str) -> PathHits {
    let mut hits = PathHits::default();
    let name_start = path.rfind('/').map_or(0, |at| at + 1);
    let name_end =
        path[name_start..].rfind('.').filter(|&at| at > 0).map_or(path.len(), |at| name_start + at);
    runs(&path.as_bytes()[..name_end], |at, run| {
        for &term in terms.of_run(run) {
            let list = if at >= name_start { &mut hits.name } else { &mut hits.folders };
            let word = wanted.word(term);
            if at >= name_start && wanted.compound(term).is_none() {
                hits.name_words += 1;
            }
            if let Some(word) = word
                && !list.iter().any(|&(known, _)| usize::from(known) == word)
            {
                list.push((word as u16, 1));
            }
        }
    });
    hits
}

pub(super) fn path_score(hits: &PathHits, worth: &[f64]) -> f64 {
    let of = |list: &[(u16, u8)]| list.iter().map(|&(at, _)| worth[usize::from(at)]).sum::<f64>();
    let covered = (hits.name.len() as f64 / hits.name_words.max(1) as f64).min(1.0);
    of(&hits.name) * (0.5 + 0.5 * covered) + 0.5 * of(&hits.folders)
}

/// What past commits say of files.
#[derive(Debug, Default)]
pub(super) struct Votes {
    /// By [`path_hash`]: the sum of votes, and how many voted.
    pub(super) by_file: HashedMap<u64, (f64, u32)>,
}

/// Past commits whose messages are like the text vote for the files that they changed.
pub(super) fn votes(asked: &Asked, past: &[Arc<Past>]) -> Votes {
    let mut by_term: HashedMap<u32, (f64, u32)> = HashedMap::default();
    for word in &asked.words {
        by_term.insert(word.term.0, (word.weight, 0));
    }
    for name in &asked.names {
        by_term.entry(name.compound.0).or_insert((name.weight, 0));
    }
    for commit in past {
        for term in &commit.terms {
            if let Some(found) = by_term.get_mut(&term.0) {
                found.1 += 1;
            }
        }
    }
    let total = past.len() as f64;
    let worth: HashedMap<u32, f64> = by_term
        .iter()
        .map(|(&term, &(weight, with))| {
            let with = f64::from(with);
            (term, weight * ((total - with + 0.5) / (with + 0.5) + 1.0).ln())
        })
        .collect();
    let mean = past.iter().map(|commit| commit.terms.len()).sum::<usize>() as f64 / total.max(1.0);
    let mut similar: Vec<(f64, usize)> = Vec::new();
    for (at, commit) in past.iter().enumerate().filter(|(_, commit)| !commit.files.is_empty()) {
        let sum: f64 = commit.terms.iter().filter_map(|term| worth.get(&term.0)).sum();
        if sum > 0.0 {
            similar.push((sum / (0.25 + 0.75 * commit.terms.len() as f64 / mean.max(1.0)).max(0.4), at));
        }
    }
    similar.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut votes = Votes::default();
    for &(similarity, at) in similar.iter().take(VOTERS) {
        let files = &past[at].files;
        let vote = similarity / (files.len() as f64).sqrt();
        for &file in files {
            let sum = votes.by_file.entry(file).or_default();
            sum.0 += vote;
            sum.1 += 1;
        }
    }
    votes
}

/// How often other files changed together with `seeds` (path and weight): by [`path_hash`].
pub(super) fn together(past: &[Arc<Past>], seeds: &[(u64, f64)]) -> HashedMap<u64, f64> {
    let weights: HashedMap<u64, f64> = seeds.iter().copied().collect();
    let mut changes: HashedMap<u64, u32> = HashedMap::default();
    let mut sums: HashedMap<u64, f64> = HashedMap::default();
    for commit in past.iter().filter(|commit| (1..=20).contains(&commit.files.len())) {
        let weight: f64 = commit.files.iter().filter_map(|file| weights.get(file)).sum();
        for &file in &commit.files {
            *changes.entry(file).or_default() += 1;
            if weight > 0.0 && commit.files.len() > 1 {
                let own = weights.get(&file).copied().unwrap_or(0.0);
                *sums.entry(file).or_default() += (weight - own) / (commit.files.len() as f64).sqrt();
            }
        }
    }
    for (file, sum) in &mut sums {
        *sum /= (4.0 + f64::from(changes.get(file).copied().unwrap_or(0))).sqrt();
    }
    sums
}

pub(super) fn of_path<T: Copy>(map: &HashedMap<u64, T>, path: &str) -> Option<T> {
    map.get(&path_hash(path)).copied()
}

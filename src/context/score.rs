//! The signs that speak for a file, each by itself; what they weigh together is in `rank`.

use super::asked::Asked;
use super::history::Past;
use super::placed::{Placed, Posting};
use super::terms::{HashedMap, Term};
use super::tree::Named;
use std::sync::Arc;

const K1: f64 = 1.2;
const B: f64 = 0.75;
/// How many past commits vote.
const VOTERS: usize = 60;
/// Commits that changed more files tell of none.
const MOST_TOLD_OF: usize = 30;

/// Which question a term belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Word(usize),
    Compound(usize),
}

/// The terms of text that are asked for, found fast: nearly all terms are others.
pub(super) struct Wanted {
    maybe: Box<[u64; 1024]>,
    slots: HashedMap<u32, Slot>,
}

impl Wanted {
    pub(super) fn of(asked: &Asked) -> Self {
        let mut wanted = Self { maybe: Box::new([0; 1024]), slots: HashedMap::default() };
        for (at, word) in asked.words.iter().enumerate() {
            wanted.add(word.term, Slot::Word(at));
        }
        for (at, name) in asked.names.iter().enumerate() {
            wanted.add(name.compound, Slot::Compound(at));
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

    pub(super) fn has(&self, term: Term) -> bool {
        self.slot(term).is_some()
    }

    /// The numbers of the words that are among terms, each once.
    fn words(&self, terms: &[Term]) -> Vec<(u16, u8)> {
        let mut found: Vec<(u16, u8)> = Vec::new();
        for word in terms.iter().filter_map(|term| self.word(*term)) {
            if !found.iter().any(|&(known, _)| usize::from(known) == word) {
                found.push((word as u16, 1));
            }
        }
        found
    }

    pub(super) fn compound(&self, term: Term) -> Option<usize> {
        match self.slot(term) {
            Some(Slot::Compound(at)) => Some(at),
            _ => None,
        }
    }
}

/// What is asked for, and for each of it the files that have it.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) words: Vec<Vec<Posting>>,
    pub(super) defined_words: Vec<Vec<Posting>>,
    pub(super) compounds: Vec<Vec<Posting>>,
    pub(super) defined: Vec<Vec<Posting>>,
}

impl Lists {
    pub(super) fn of(asked: &Asked, placed: &Placed) -> Self {
        let with = |term: Term| placed.with(term);
        Self {
            words: asked.words.iter().map(|word| with(word.term)).collect(),
            defined_words: asked.words.iter().map(|word| with(word.defined)).collect(),
            compounds: asked.names.iter().map(|name| with(name.compound)).collect(),
            // A word that may be a name is found by its word.
            defined: asked
                .names
                .iter()
                .map(|name| if name.code { with(name.defined) } else { Vec::new() })
                .collect(),
        }
    }

    /// What the files of `places` have; it gives each file its place among the answers, or none.
    pub(super) fn hits(&self, places: &[Option<u32>], answers: usize) -> Vec<Hits> {
        let mut hits = vec![Hits::default(); answers];
        let mut note = |lists: &[Vec<Posting>], pick: fn(&mut Hits) -> &mut Vec<(u16, u8)>| {
            for (number, list) in lists.iter().enumerate() {
                for &(file, count) in list {
                    if let Some(place) = places[file as usize] {
                        pick(&mut hits[place as usize]).push((number as u16, count));
                    }
                }
            }
        };
        note(&self.words, |hits| &mut hits.words);
        note(&self.compounds, |hits| &mut hits.compounds);
        note(&self.defined, |hits| &mut hits.defined);
        hits
    }
}

/// What was found in a file of what is asked for, as (number, count).
#[derive(Debug, Clone, Default)]
pub(super) struct Hits {
    pub(super) words: Vec<(u16, u8)>,
    pub(super) compounds: Vec<(u16, u8)>,
    pub(super) defined: Vec<(u16, u8)>,
}

/// How rare something is that `with` of `total` have.
pub(super) fn rarity(with: usize, total: usize) -> f64 {
    let (with, total) = (with as f64, total as f64);
    ((total - with + 0.5) / (with + 0.5) + 1.0).ln()
}

/// What a word adds to the BM25 of a file of `length` words that has it `count` times.
pub(super) fn bm25(count: u8, length: u32, mean_length: f64) -> f64 {
    let norm = K1 * (1.0 - B + B * f64::from(length) / mean_length.max(1.0));
    f64::from(count) * (K1 + 1.0) / (f64::from(count) + norm)
}

/// Names: once is nearly as good as often.
pub(super) fn presence(count: u8) -> f64 {
    f64::from(count) / (f64::from(count) + 0.5)
}

/// Words of a place: twice is hardly more than once.
pub(super) fn often(count: u32) -> f64 {
    f64::from(count) / (f64::from(count) + 1.0)
}

/// What of the words is in a path: those of the file's name count whole where they make it up, those of folders half.
#[derive(Debug, Clone, Default)]
pub(super) struct PathHits {
    pub(super) name: Vec<(u16, u8)>,
    pub(super) folders: Vec<(u16, u8)>,
    pub(super) name_words: usize,
}

pub(super) fn path_hits(wanted: &Wanted, named: &Named) -> PathHits {
    // A name that is asked for as a whole is no word more.
    let words = named.terms.iter().filter(|term| wanted.compound(**term).is_none());
    PathHits {
        name_words: words.count(),
        name: wanted.words(&named.terms),
        folders: wanted.words(&named.folder.terms),
    }
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
    /// By [`path_hash`]: how much all that was ever told of a file is like the text.
    pub(super) told: HashedMap<u64, f64>,
}

/// What a term is worth in the messages of past commits.
fn worth_in_messages(asked: &Asked, past: &[Arc<Past>]) -> HashedMap<u32, f64> {
    let mut by_term: HashedMap<u32, (f64, usize)> = HashedMap::default();
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
    let worth = |(weight, with)| weight * rarity(with, past.len());
    by_term.into_iter().map(|(term, found)| (term, worth(found))).collect()
}

/// How much the messages of past commits are like the text, the most alike first, by their numbers.
fn similar(past: &[Arc<Past>], worth: &HashedMap<u32, f64>) -> Vec<(f64, usize)> {
    let total = past.len() as f64;
    let mean = past.iter().map(|commit| commit.terms.len()).sum::<usize>() as f64 / total.max(1.0);
    let mut similar: Vec<(f64, usize)> = Vec::new();
    for (at, commit) in past.iter().enumerate().filter(|(_, commit)| !commit.files.is_empty()) {
        let sum: f64 = commit.terms.iter().filter_map(|term| worth.get(&term.0)).sum();
        if sum > 0.0 {
            similar.push((sum / (0.25 + 0.75 * commit.terms.len() as f64 / mean.max(1.0)).max(0.4), at));
        }
    }
    similar.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    similar
}

/// Past commits whose messages are like the text vote for the files that they changed.
pub(super) fn votes(asked: &Asked, past: &[Arc<Past>]) -> Votes {
    let worth = worth_in_messages(asked, past);
    let mut votes = Votes { told: told(past, &worth), ..Votes::default() };
    for (similarity, at) in similar(past, &worth).into_iter().take(VOTERS) {
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

/// BM25 of the messages of all past commits that changed a file, as if they were its text. Each counts the less the
/// more files its commit changed.
fn told(past: &[Arc<Past>], worth: &HashedMap<u32, f64>) -> HashedMap<u64, f64> {
    let mut messages: HashedMap<u64, (f64, Vec<(u32, f64)>)> = HashedMap::default();
    let mut all = 0.0;
    for commit in past.iter().filter(|commit| (1..=MOST_TOLD_OF).contains(&commit.files.len())) {
        let words = || commit.terms.iter().filter(|term| worth.contains_key(&term.0));
        let share = 1.0 / (commit.files.len() as f64).sqrt();
        for file in &commit.files {
            let (length, counts) = messages.entry(*file).or_default();
            *length += share;
            all += share;
            for word in words() {
                match counts.iter_mut().find(|(known, _)| *known == word.0) {
                    Some((_, count)) => *count += share,
                    None => counts.push((word.0, share)),
                }
            }
        }
    }
    let mean = all / (messages.len() as f64).max(1.0);
    let value = |length: f64, counts: Vec<(u32, f64)>| -> f64 {
        let norm = K1 * (1.0 - B + B * length / mean);
        counts.iter().map(|(word, count)| worth[word] * count * (K1 + 1.0) / (count + norm)).sum()
    };
    messages.into_iter().map(|(file, (length, counts))| (file, value(length, counts))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_of_a_file_counts_the_less_the_more_files_it_was_told_of() {
        let word = Term(7);
        let past = |files: &[u64]| {
            let (terms, files) = (vec![word], files.to_vec());
            Arc::new(Past { id: [0; 20], time: 0, parents: Vec::new(), terms, files })
        };
        let many: Vec<u64> = (100..200).collect();
        let worth = HashedMap::from_iter([(word.0, 1.0)]);
        let told = told(&[past(&[1]), past(&[2, 3, 4, 5]), past(&[1]), past(&[6]), past(&many)], &worth);
        assert!(told[&1] > told[&6] && told[&6] > told[&2] && told[&2] > 0.0, "{told:?}");
        assert!(!told.contains_key(&100));
    }
}

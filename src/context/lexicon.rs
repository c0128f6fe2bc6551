//! What one thread has learnt of runs of letters: which terms each has, so that it is split and stemmed once and not
//! in every blob. Terms have numbers here, in the order in which they were met.

use super::terms::{Role, Term, Terms, Whole, term, word_hash, words};

/// Different runs that are remembered; more of them and all are forgotten.
const MOST_RUNS: usize = 3 << 18;
const FIRST_PLACES: usize = 1 << 12;

/// What is known of a hash; 0 is no hash.
#[derive(Debug, Clone, Copy, Default)]
struct Place<T> {
    hash: u64,
    known: T,
}

/// What is known, by hashes, in a table that is never more than three quarters full.
#[derive(Debug)]
struct Places<T> {
    places: Vec<Place<T>>,
    used: usize,
}

impl<T: Copy + Default> Default for Places<T> {
    fn default() -> Self {
        Self { places: vec![Place::default(); FIRST_PLACES], used: 0 }
    }
}

impl<T: Copy + Default> Places<T> {
    /// Where a hash is, or where it would be.
    fn place(&self, hash: u64) -> usize {
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        while self.places[at].hash != 0 && self.places[at].hash != hash {
            at = (at + 1) & mask;
        }
        at
    }

    fn get(&self, hash: u64) -> Option<T> {
        let place = self.places[self.place(hash)];
        (place.hash == hash).then_some(place.known)
    }

    /// Sets what is not there yet.
    fn add(&mut self, hash: u64, known: T) {
        self.used += 1;
        if 4 * self.used > 3 * self.places.len() {
            // Not zeroed by the system: pages that are read before they are written cost more.
            let larger = vec![Place::default(); 2 * self.places.len()];
            for old in std::mem::replace(&mut self.places, larger).into_iter().filter(|old| old.hash != 0) {
                let at = self.place(old.hash);
                self.places[at] = old;
            }
        }
        let at = self.place(hash);
        self.places[at] = Place { hash, known };
    }

    /// Its room stays.
    fn clear(&mut self) {
        self.places.fill(Place::default());
        self.used = 0;
    }
}

/// Words that were met last.
#[derive(Debug)]
struct Last(Box<[Place<u32>]>);

const LAST: usize = 1 << 13;

impl Default for Last {
    fn default() -> Self {
        Self(vec![Place::default(); LAST].into())
    }
}

/// What a run of letters is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    InText = 0,
    Defined = 1,
}

/// A run that is known. Its words have numbers that other runs' words share; as a whole it has one of its own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Run {
    /// The only word, or where the list of its words is.
    words: u32,
    /// The number of the whole, and in the two lowest bits what it is.
    whole: u32,
}

/// It has one word that is all of it.
const ONE_WORD: u32 = 1;
const NO_WORD: u32 = 2;

impl Run {
    pub(super) fn whole(self, seen: Seen) -> Option<u32> {
        let counts = match self.whole & (ONE_WORD | NO_WORD) {
            // A word of text counts as a word and not as a name besides.
            ONE_WORD => seen == Seen::Defined,
            NO_WORD => false,
            _ => true,
        };
        counts.then_some(self.whole >> 2)
    }
}

#[derive(Debug, Default)]
pub(super) struct Lexicon {
    terms: Terms,
    runs: Places<Run>,
    /// How many words a run has, then their numbers.
    lists: Vec<u32>,
    /// The numbers of words by [`word_hash`], and those that were met last: a table that stays near the processor.
    numbers: Places<u32>,
    last: Last,
    /// The terms by their numbers, as [`Seen`] has them. Words of one stem, and one name in two spellings, have
    /// several numbers.
    words: Vec<[Term; 2]>,
    wholes: Vec<[Term; 2]>,
    joined: Vec<u8>,
}

impl Lexicon {
    pub(super) fn is_full(&self) -> bool {
        self.runs.used >= MOST_RUNS
    }

    /// Forgets everything. Numbers begin anew.
    pub(super) fn forget(&mut self) {
        self.runs.clear();
        self.lists.clear();
        self.numbers.clear();
        self.last.0.fill(Place::default());
        self.words.clear();
        self.wholes.clear();
    }

    /// The terms of words and of wholes, by their numbers, as [`Seen`] has them.
    pub(super) fn terms(&self) -> [&[[Term; 2]]; 2] {
        [&self.words, &self.wholes]
    }

    /// What is known of a run by its hash.
    pub(super) fn known(&self, hash: u64) -> Option<Run> {
        self.runs.get(hash.max(1))
    }

    /// The numbers of a run's words.
    pub(super) fn words<'a>(&'a self, run: &'a Run) -> &'a [u32] {
        if run.whole & ONE_WORD != 0 {
            return std::slice::from_ref(&run.words);
        }
        let at = run.words as usize;
        &self.lists[at + 1..][..self.lists[at] as usize]
    }

    /// A run that is not known.
    pub(super) fn learn(&mut self, run: &[u8], hash: u64) -> Run {
        let at = self.lists.len();
        self.lists.push(0);
        let Self { terms, lists, numbers, last, words: numbered, joined, .. } = self;
        let kind = words(run, joined, |word| {
            let hash = word_hash(word);
            let last = &mut last.0[(hash >> 20) as usize % LAST];
            if last.hash != hash {
                let known = numbers.get(hash).unwrap_or_else(|| {
                    numbers.add(hash, numbered.len() as u32);
                    numbered.push(terms.both(word));
                    numbered.len() as u32 - 1
                });
                *last = Place { hash, known };
            }
            lists.push(last.known);
        });
        lists[at] = (lists.len() - at - 1) as u32;
        let whole = (self.wholes.len() as u32) << 2;
        let learnt = match kind {
            Whole::NoWord => Run { words: at as u32, whole: whole | NO_WORD },
            Whole::OneWord => Run { words: lists[at + 1], whole: whole | ONE_WORD },
            Whole::Compound => Run { words: at as u32, whole },
        };
        if kind == Whole::OneWord {
            lists.truncate(at);
        }
        let joined = joined.as_slice();
        self.wholes.push([term(Role::Compound, joined), term(Role::Defined, joined)]);
        self.runs.add(hash.max(1), learnt);
        learnt
    }
}

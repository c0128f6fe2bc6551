//! Reads blobs into a segment: their terms with their counts. What is kept of a blob depends on its bytes alone
//! (and on whether they are code), so it holds for every commit and path.

use super::definitions::definitions;
use super::kind::{self, Content};
use super::lexicon::{Lexicon, Run, Seen};
use super::segment::{Blob, Draft, Key, MOST_POSTINGS};
use super::terms::{LONGEST_RUN, Term, hash_bytes, hash_part, run_places};

/// Places for the runs of one blob to begin with: what nearly all blobs need, and the nearest cache holds.
const FIRST_PLACES: usize = 1 << 11;
/// A count takes the low byte of a posting, the blob's number the rest.
const COUNT_BITS: u32 = 8;
/// Runs that are looked up together.
const AHEAD: usize = 16;

/// A term of a blob by its number in the lexicon.
#[derive(Debug, Clone, Copy)]
struct Posted(u32);

impl Posted {
    fn word(number: u32, seen: Seen) -> Self {
        Self(number << 2 | seen as u32)
    }

    fn whole(number: u32, seen: Seen) -> Self {
        Self(number << 2 | 2 | seen as u32)
    }

    fn seen(self) -> usize {
        self.0 as usize & 1
    }

    fn number(self) -> usize {
        self.0 as usize >> 2
    }

    /// Its place where all words come first and then all wholes, each twice.
    fn place(self, words: usize) -> usize {
        let start = if self.0 & 2 == 0 { 0 } else { 2 * words };
        start + 2 * self.number() + self.seen()
    }
}

/// A run of the blob at hand.
#[derive(Debug, Clone, Copy)]
struct Met {
    hash: u64,
    start: u32,
    length: u32,
    count: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    hash: u64,
    /// What it was set for; it counts for nothing else.
    blob: u32,
    /// Where it is in `met`.
    met: u32,
}

/// Counts the runs of one blob. Most are repetitions, and this is small enough to stay near the processor.
#[derive(Debug)]
struct Runs {
    /// By hash, never more than half full.
    places: Vec<Place>,
    /// How much of `places` this blob uses.
    mask: usize,
    blob: u32,
    met: Vec<Met>,
}

impl Default for Runs {
    fn default() -> Self {
        Self {
            places: vec![Place::default(); FIRST_PLACES],
            mask: FIRST_PLACES - 1,
            blob: 0,
            met: Vec::new(),
        }
    }
}

impl Runs {
    /// What is in the places from the blob before is as good as gone.
    fn begin(&mut self) {
        self.mask = FIRST_PLACES - 1;
        self.met.clear();
        self.mark();
    }

    fn mark(&mut self) {
        self.blob = self.blob.wrapping_add(1);
        if self.blob == 0 {
            self.places.fill(Place::default());
            self.blob = 1;
        }
    }

    fn see(&mut self, hash: u64, start: usize, end: usize) {
        let mut at = hash as usize & self.mask;
        loop {
            let known = self.places[at];
            if known.blob != self.blob {
                break;
            }
            if known.hash == hash {
                self.met[known.met as usize].count += 1;
                return;
            }
            at = (at + 1) & self.mask;
        }
        self.places[at] = Place { hash, blob: self.blob, met: self.met.len() as u32 };
        self.met.push(Met { hash, start: start as u32, length: (end - start) as u32, count: 1 });
        if 2 * self.met.len() > self.mask {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let size = 2 * (self.mask + 1);
        self.mask = size - 1;
        if self.places.len() < size {
            self.places.resize(size, Place::default());
        }
        self.mark();
        for (number, met) in self.met.iter().enumerate() {
            let mut at = met.hash as usize & self.mask;
            while self.places[at].blob == self.blob {
                at = (at + 1) & self.mask;
            }
            self.places[at] = Place { hash: met.hash, blob: self.blob, met: number as u32 };
        }
    }
}

/// Reads blobs, one after the other, until it is full. What it has learnt of words holds from segment to segment.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    runs: Runs,
    lexicon: Lexicon,
    /// For each word, as [`Seen`] has them, the last blob that has it, by its number among all, from 1; and how often.
    counted: [Vec<(u32, u32)>; 2],
    recorded: u32,
    /// The words of the blob at hand.
    present: Vec<Posted>,
    blobs: Vec<Blob>,
    /// Of all blobs, one after the other: their terms, and the counts.
    posted: Vec<Posted>,
    counts: Vec<u8>,
    inverted: Vec<u32>,
    draft: Draft,
}

impl Recorder {
    pub(super) fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.posted.len() >= MOST_POSTINGS || self.lexicon.is_full()
    }

    /// A blob that is too large to be read.
    pub(super) fn oversized(&mut self, key: Key) {
        self.blobs.push(Blob { key, content: Content::Oversized, length: 0, terms: 0 });
    }

    pub(super) fn record(&mut self, key: Key, bytes: &[u8]) {
        let content = kind::of_content(bytes);
        if content != Content::Text {
            self.blobs.push(Blob { key, content, length: 0, terms: 0 });
            return;
        }
        self.recorded += 1;
        let runs = &mut self.runs;
        runs.begin();
        run_places(bytes, |start, end| runs.see(hash_part(bytes, start, end), start, end));
        let before = self.posted.len();
        let length = self.count_runs(bytes);
        if key.code {
            definitions(bytes, |name| {
                let name = &name[..name.len().min(LONGEST_RUN)];
                let hash = hash_bytes(name);
                let run = self.lexicon.known(hash).unwrap_or_else(|| self.lexicon.learn(name, hash));
                self.count(run, Seen::Defined, 1);
            });
        }
        let counted = self.present.iter().map(|word| self.counted[word.seen()][word.number()].1);
        self.counts.extend(counted.map(|count| count.min(255) as u8));
        self.posted.append(&mut self.present);
        let terms = (self.posted.len() - before) as u32;
        self.blobs.push(Blob { key, content, length, terms });
    }

    /// Counts the terms of the runs of the blob at hand; how many words they are. Memory is slow and can be asked for
    /// many places at once: first some runs are looked up, and none depends on another.
    fn count_runs(&mut self, bytes: &[u8]) -> u32 {
        let mut length = 0;
        let mut at = 0;
        while at < self.runs.met.len() {
            let mut known = [None; AHEAD];
            for (known, met) in known.iter_mut().zip(&self.runs.met[at..]) {
                *known = self.lexicon.known(met.hash);
            }
            for known in known.iter().take(self.runs.met.len() - at) {
                let Met { hash, start, length: size, count } = self.runs.met[at];
                let run = known.unwrap_or_else(|| {
                    let run = &bytes[start as usize..(start + size) as usize];
                    self.lexicon.learn(run, hash)
                });
                length += count * self.count(run, Seen::InText, count);
                at += 1;
            }
        }
        length
    }

    /// Adds a run's terms to those of the blob at hand; how many it has. Its words are other runs' words too, the
    /// whole is its own; spellings of one name come together when the segment is closed.
    fn count(&mut self, run: Run, seen: Seen, count: u32) -> u32 {
        let counted = &mut self.counted[seen as usize];
        let words = self.lexicon.words(&run);
        for &number in words {
            if counted.len() <= number as usize {
                counted.resize(number as usize + 1, (0, 0));
            }
            let counted = &mut counted[number as usize];
            if counted.0 == self.recorded {
                counted.1 += count;
            } else {
                *counted = (self.recorded, count);
                self.present.push(Posted::word(number, seen));
            }
        }
        let whole = run.whole(seen);
        if let Some(number) = whole {
            self.posted.push(Posted::whole(number, seen));
            self.counts.push(count.min(255) as u8);
        }
        words.len() as u32 + u32::from(whole.is_some())
    }

    /// What was read so far, inverted. The recorder begins anew.
    pub(super) fn close(&mut self) -> &Draft {
        let terms = self.lexicon.terms();
        let words = terms[0].len();
        let mut places = vec![0u32; 2 * (words + terms[1].len())];
        self.posted.iter().for_each(|posted| places[posted.place(words)] += 1);
        let terms = terms.into_iter().flatten().flatten().zip(0u64..);
        let with = terms.zip(&places).filter(|(_, blobs)| **blobs > 0);
        let mut order: Vec<u64> = with.map(|((term, place), _)| u64::from(term.0) << 32 | place).collect();
        order.sort_unstable();
        // From how many blobs have each term to where the first of them goes.
        let mut total = 0;
        for &number in &order {
            let place = &mut places[number as u32 as usize];
            (*place, total) = (total, total + *place);
        }
        self.inverted.clear();
        self.inverted.resize(self.posted.len(), 0);
        let mut posted = self.posted.iter().zip(&self.counts);
        self.draft.clear();
        for blob in &self.blobs {
            let at = self.draft.blob(blob) << COUNT_BITS;
            for (posted, &count) in posted.by_ref().take(blob.terms as usize) {
                let place = &mut places[posted.place(words)];
                self.inverted[*place as usize] = at | u32::from(count);
                *place += 1;
            }
        }
        let mut start = 0;
        for same in order.chunk_by(|a, b| a >> 32 == b >> 32) {
            let end = same.last().map_or(start, |&number| places[number as u32 as usize] as usize);
            let blobs = &mut self.inverted[start..end];
            if same.len() > 1 {
                blobs.sort_unstable();
            }
            let blobs = blobs.chunk_by(|a, b| a >> COUNT_BITS == b >> COUNT_BITS).map(|counts| {
                let sum: u32 = counts.iter().map(|posting| posting & ((1 << COUNT_BITS) - 1)).sum();
                (counts[0] >> COUNT_BITS, sum.min(255) as u8)
            });
            self.draft.term(Term((same[0] >> 32) as u32), blobs);
            start = end;
        }
        self.clear();
        &self.draft
    }

    fn clear(&mut self) {
        self.blobs.clear();
        self.posted.clear();
        self.counts.clear();
        if self.lexicon.is_full() {
            self.lexicon.forget();
            self.counted.iter_mut().for_each(Vec::clear);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::context::terms::{Role, Terms, runs, term, words};

    /// Texts with more different runs than the first table has room for, with common ones, and with one name in
    /// two spellings.
    fn text(n: usize) -> String {
        let line =
            |k: usize| format!("let value_{} = input{k}.split(shared, part{n}) + shared;\n", k * (n + 1));
        (0..2_000).map(line).collect::<String>()
            + "fn last_one() {\nlastOne connected connects\nfn lastOne() {\n"
    }

    #[test]
    fn what_is_recorded_is_what_a_plain_count_gives() {
        let mut recorder = Recorder::default();
        let keys: Vec<Key> = (0..4).map(|n| Key { id: [n; 20], code: n % 2 == 0 }).collect();
        for round in 0..2 {
            let mut expected: BTreeMap<u32, Vec<(usize, u8)>> = BTreeMap::new();
            let (mut terms, mut lengths) = (Terms::default(), Vec::new());
            for (n, key) in keys.iter().enumerate() {
                let text = text(n + round);
                let (mut counts, mut length) = (BTreeMap::<u32, u32>::new(), 0);
                runs(text.as_bytes(), |_, run| {
                    for term in terms.of_run(run) {
                        *counts.entry(term.0).or_default() += 1;
                        length += 1;
                    }
                });
                if key.code {
                    definitions(text.as_bytes(), |name| {
                        let mut joined = Vec::new();
                        words(name, &mut joined, |word| {
                            *counts.entry(terms.both(word)[1].0).or_default() += 1;
                        });
                        *counts.entry(term(Role::Defined, &joined).0).or_default() += 1;
                    });
                }
                lengths.push(length);
                for (term, count) in counts {
                    expected.entry(term).or_default().push((n, count.min(255) as u8));
                }
                recorder.record(*key, text.as_bytes());
            }
            let segment = recorder.close().segment();
            assert!(recorder.is_empty() && expected.len() > FIRST_PLACES);
            assert_eq!(segment.blobs().map(|blob| (blob.key, blob.length)).collect::<Vec<_>>(), {
                keys.iter().copied().zip(lengths).collect::<Vec<_>>()
            });
            for (term, blobs) in expected {
                let mut found = Vec::new();
                segment.with(Term(term), |blob, count| found.push((blob, count)));
                assert_eq!(found, blobs, "{term}");
            }
        }
    }
}

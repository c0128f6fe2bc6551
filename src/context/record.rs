//! Reads blobs into a segment: their terms with their counts. What is kept of a blob depends on its bytes alone
//! (and on whether they are code), so it holds for every commit and path.

use super::definitions::definitions;
use super::kind::{self, Content};
use super::segment::{Blob, Draft, Key, MOST_POSTINGS};
use super::terms::{HashedMap, LONGEST_RUN, Term, Terms, hash_bytes, hash_part, run_places};

/// Different runs that one segment remembers; more of them close it.
const MOST_RUNS: usize = 1 << 19;
const FIRST_RUNS: usize = 1 << 12;
/// Runs that are looked up together.
const AHEAD: usize = 16;
/// Tells a defined name from the same letters elsewhere.
const DEFINED: u64 = 0x6a09_e667_f3bc_c909;
/// A count takes the low byte of a posting, the blob's number the rest.
const COUNT_BITS: u32 = 8;

/// A run of letters that this segment has met; each is split and stemmed once.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    /// 0 where there is none.
    hash: u64,
    number: u32,
    /// Where it is in `met`, if that is a place of this very run.
    met: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Used,
    Defined,
}

/// Reads blobs, one after the other, until it is full. Its memory is used again from segment to segment.
#[derive(Debug)]
pub(super) struct Recorder {
    terms: Terms,
    /// Open addressing by hash, never more than half full.
    runs: Vec<Run>,
    /// The runs of the blob at hand by their numbers, with their counts.
    met: Vec<(u32, u32)>,
    /// Where each run's terms end in `run_terms`; they begin where those of the run before end.
    ends: Vec<u32>,
    run_terms: Vec<u32>,
    /// Terms by their hashes, and the other way round.
    numbers: HashedMap<u32, u32>,
    hashes: Vec<u32>,
    /// For each term the last blob that has it, from 1, and how often.
    counted: Vec<(u32, u32)>,
    /// Numbers of the terms of the blob at hand.
    present: Vec<u32>,
    blobs: Vec<Blob>,
    /// Of all blobs, one after the other: the numbers of their terms, and the counts.
    posted: Vec<u32>,
    counts: Vec<u8>,
    inverted: Vec<u32>,
    draft: Draft,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            terms: Terms::default(),
            runs: vec![Run::default(); FIRST_RUNS],
            met: Vec::new(),
            ends: Vec::new(),
            run_terms: Vec::new(),
            numbers: HashedMap::default(),
            hashes: Vec::new(),
            counted: Vec::new(),
            present: Vec::new(),
            blobs: Vec::new(),
            posted: Vec::new(),
            counts: Vec::new(),
            inverted: Vec::new(),
            draft: Draft::default(),
        }
    }
}

impl Recorder {
    pub(super) fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.posted.len() >= MOST_POSTINGS || self.ends.len() >= MOST_RUNS
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
        self.met.clear();
        let mut ahead = [(0u64, 0usize, 0usize); AHEAD];
        let mut waiting = 0;
        run_places(bytes, |start, end| {
            ahead[waiting] = (hash_part(bytes, start, end).max(1), start, end);
            waiting += 1;
            if waiting == AHEAD {
                self.see_all(&ahead, bytes);
                waiting = 0;
            }
        });
        self.see_all(&ahead[..waiting], bytes);
        let words = self.met.len();
        if key.code {
            definitions(bytes, |name| {
                let name = &name[..name.len().min(LONGEST_RUN)];
                self.see((hash_bytes(name) ^ DEFINED).max(1), name, Seen::Defined);
            });
        }
        let length = self.count(words);
        let terms = self.present.len() as u32;
        self.counts.extend(self.present.iter().map(|&number| self.counted[number as usize].1.min(255) as u8));
        self.posted.append(&mut self.present);
        self.blobs.push(Blob { key, content, length, terms });
    }

    /// Counts runs of the blob at hand. Memory is slow and can be asked for many places at once: first all places are
    /// looked at, and none depends on another.
    fn see_all(&mut self, ahead: &[(u64, usize, usize)], bytes: &[u8]) {
        let mask = self.runs.len() - 1;
        let mut known = [false; AHEAD];
        for (known, (hash, ..)) in known.iter_mut().zip(ahead) {
            *known = self.runs[*hash as usize & mask].hash == *hash;
        }
        for (known, &(hash, start, end)) in known.iter().zip(ahead) {
            // The table may have grown since.
            let at = hash as usize & (self.runs.len() - 1);
            if *known && self.runs[at].hash == hash {
                self.meet(at);
            } else {
                self.see(hash, &bytes[start..end], Seen::Used);
            }
        }
    }

    /// Counts a run that is known.
    fn meet(&mut self, at: usize) {
        let run = &mut self.runs[at];
        match self.met.get_mut(run.met as usize) {
            Some((number, count)) if *number == run.number => *count += 1,
            _ => {
                run.met = self.met.len() as u32;
                self.met.push((run.number, 1));
            }
        }
    }

    /// Counts a run of the blob at hand.
    fn see(&mut self, hash: u64, text: &[u8], seen: Seen) {
        let mask = self.runs.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.runs[at].hash {
                0 => break,
                known if known == hash => return self.meet(at),
                _ => {}
            }
            at = (at + 1) & mask;
        }
        let (number, met) = (self.ends.len() as u32, self.met.len() as u32);
        self.runs[at] = Run { hash, number, met };
        self.met.push((number, 1));
        self.split(text, seen);
        if 2 * self.ends.len() > self.runs.len() {
            self.grow();
        }
    }

    /// Notes the terms of a new run.
    fn split(&mut self, text: &[u8], seen: Seen) {
        let terms = match seen {
            Seen::Used => self.terms.of_run(text),
            Seen::Defined => self.terms.of_definition(text),
        };
        for &term in terms {
            let next = self.hashes.len() as u32;
            let number = *self.numbers.entry(term.0).or_insert(next);
            if number == next {
                self.hashes.push(term.0);
                self.counted.push((0, 0));
            }
            self.run_terms.push(number);
        }
        self.ends.push(self.run_terms.len() as u32);
    }

    fn grow(&mut self) {
        let size = 2 * self.runs.len();
        let old = std::mem::replace(&mut self.runs, vec![Run::default(); size]);
        for run in old.into_iter().filter(|run| run.hash != 0) {
            let mut at = run.hash as usize & (size - 1);
            while self.runs[at].hash != 0 {
                at = (at + 1) & (size - 1);
            }
            self.runs[at] = run;
        }
    }

    /// Adds up the terms of the runs that the blob at hand has; how many words they are. The runs after the first
    /// `words` are definitions.
    fn count(&mut self, words: usize) -> u32 {
        let blob = self.blobs.len() as u32 + 1;
        let mut length = 0;
        for (n, &(run, count)) in self.met.iter().enumerate() {
            let start = if run == 0 { 0 } else { self.ends[run as usize - 1] };
            let terms = &self.run_terms[start as usize..self.ends[run as usize] as usize];
            if n < words {
                length += count * terms.len() as u32;
            }
            for &number in terms {
                let counted = &mut self.counted[number as usize];
                if counted.0 == blob {
                    counted.1 += count;
                } else {
                    *counted = (blob, count);
                    self.present.push(number);
                }
            }
        }
        length
    }

    /// What was read so far, inverted. The recorder begins anew.
    pub(super) fn close(&mut self) -> &Draft {
        let mut order: Vec<u64> =
            (0..).zip(&self.hashes).map(|(number, &hash)| u64::from(hash) << 32 | number).collect();
        order.sort_unstable();
        let mut places = vec![0u32; self.hashes.len()];
        self.posted.iter().for_each(|&number| places[number as usize] += 1);
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
            for (&number, &count) in posted.by_ref().take(blob.terms as usize) {
                let place = &mut places[number as usize];
                self.inverted[*place as usize] = at | u32::from(count);
                *place += 1;
            }
        }
        let mut start = 0;
        for &number in &order {
            let end = places[number as u32 as usize] as usize;
            let blobs = self.inverted[start..end].iter();
            let term = Term((number >> 32) as u32);
            self.draft.term(term, blobs.map(|posting| (posting >> COUNT_BITS, *posting as u8)));
            start = end;
        }
        self.clear();
        &self.draft
    }

    fn clear(&mut self) {
        self.runs.fill(Run::default());
        self.met.clear();
        self.ends.clear();
        self.run_terms.clear();
        self.numbers.clear();
        self.hashes.clear();
        self.counted.clear();
        self.blobs.clear();
        self.posted.clear();
        self.counts.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::context::terms::runs;

    /// Texts with more different runs than the first table has room for, and with common ones.
    fn text(n: usize) -> String {
        let line =
            |k: usize| format!("let value_{} = input{k}.split(shared, part{n}) + shared;\n", k * (n + 1));
        (0..2_000).map(line).collect::<String>() + "fn last_one() {\n"
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
                        terms
                            .of_definition(name)
                            .iter()
                            .for_each(|term| *counts.entry(term.0).or_default() += 1);
                    });
                }
                lengths.push(length);
                for (term, count) in counts {
                    expected.entry(term).or_default().push((n, count.min(255) as u8));
                }
                recorder.record(*key, text.as_bytes());
            }
            let segment = recorder.close().segment();
            assert!(recorder.is_empty() && expected.len() > FIRST_RUNS);
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

//! Reads blobs into a segment: their terms with their counts. What is kept of a blob depends on its bytes alone
//! (and on whether they are code), so it holds for every commit and path.

use super::definitions::definitions;
use super::kind::{self, Content};
use super::segment::{Blob, Draft, Key, MOST_POSTINGS, Segment};
use super::terms::{HashedMap, LONGEST_RUN, Term, Terms, hash_bytes, hash_part, run_places};

/// Different runs that one segment remembers; more of them close it.
const MOST_RUNS: usize = 1 << 19;
const FIRST_RUNS: usize = 1 << 12;
/// Runs that are looked up together.
const AHEAD: usize = 16;
/// Tells a defined name from the same letters elsewhere.
const DEFINED: u64 = 0x6a09_e667_f3bc_c909;

/// A run of letters that this segment has met, with its terms; each is split and stemmed once.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    /// 0 where there is none.
    hash: u64,
    /// The blob that it was last seen in, from 1, and how often there.
    blob: u32,
    count: u32,
    /// Of `run_terms`.
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
struct Counted {
    term: Term,
    blobs: u32,
    blob: u32,
    count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Used,
    Defined,
}

/// Reads blobs, one after the other, until it is full.
#[derive(Debug)]
pub(super) struct Recorder {
    terms: Terms,
    /// Open addressing by hash, never more than half full.
    runs: Vec<Run>,
    used: usize,
    /// Places of the runs of the blob at hand.
    met: Vec<u32>,
    run_terms: Vec<u32>,
    numbers: HashedMap<u32, u32>,
    counted: Vec<Counted>,
    /// Numbers of the terms of the blob at hand.
    present: Vec<u32>,
    blobs: Vec<Blob>,
    /// Of all blobs, one after the other: the numbers of their terms, and the counts.
    posted: Vec<u32>,
    counts: Vec<u8>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            terms: Terms::default(),
            runs: vec![Run::default(); FIRST_RUNS],
            used: 0,
            met: Vec::new(),
            run_terms: Vec::new(),
            numbers: HashedMap::default(),
            counted: Vec::new(),
            present: Vec::new(),
            blobs: Vec::new(),
            posted: Vec::new(),
            counts: Vec::new(),
        }
    }
}

impl Recorder {
    pub(super) fn is_full(&self) -> bool {
        self.posted.len() >= MOST_POSTINGS || self.used >= MOST_RUNS
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
        let blob = self.blobs.len() as u32 + 1;
        let mut ahead = [(0u64, 0usize, 0usize); AHEAD];
        let mut waiting = 0;
        run_places(bytes, |start, end| {
            ahead[waiting] = (hash_part(bytes, start, end).max(1), start, end);
            waiting += 1;
            if waiting == AHEAD {
                self.see_all(&ahead, bytes, blob);
                waiting = 0;
            }
        });
        self.see_all(&ahead[..waiting], bytes, blob);
        let words = self.met.len();
        if key.code {
            definitions(bytes, |name| {
                let name = &name[..name.len().min(LONGEST_RUN)];
                self.see(hash_bytes(name) ^ DEFINED, name, blob, Seen::Defined);
            });
        }
        let length = self.count(blob, words);
        let terms = self.present.len() as u32;
        for number in self.present.drain(..) {
            let counted = &mut self.counted[number as usize];
            counted.blobs += 1;
            self.posted.push(number);
            self.counts.push(counted.count.min(255) as u8);
        }
        self.blobs.push(Blob { key, content, length, terms });
    }

    /// Counts runs of the blob at hand. Memory is slow and can be asked for many places at once: first all places are
    /// looked at, and none depends on another.
    fn see_all(&mut self, runs: &[(u64, usize, usize)], bytes: &[u8], blob: u32) {
        let mask = self.runs.len() - 1;
        let mut known = [false; AHEAD];
        for (known, (hash, ..)) in known.iter_mut().zip(runs) {
            *known = self.runs[*hash as usize & mask].hash == *hash;
        }
        for (known, &(hash, start, end)) in known.iter().zip(runs) {
            // A run before may have moved the others.
            let at = hash as usize & (self.runs.len() - 1);
            match &mut self.runs[at] {
                run if *known && run.hash == hash => {
                    if run.blob == blob {
                        run.count += 1;
                    } else {
                        (run.blob, run.count) = (blob, 1);
                        self.met.push(at as u32);
                    }
                }
                _ => self.see(hash, &bytes[start..end], blob, Seen::Used),
            }
        }
    }

    /// Counts a run of the blob at hand.
    fn see(&mut self, hash: u64, text: &[u8], blob: u32, seen: Seen) {
        let hash = hash.max(1);
        let mask = self.runs.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let run = &mut self.runs[at];
            if run.hash == hash {
                if run.blob == blob {
                    run.count += 1;
                } else {
                    (run.blob, run.count) = (blob, 1);
                    self.met.push(at as u32);
                }
                return;
            }
            if run.hash == 0 {
                break;
            }
            at = (at + 1) & mask;
        }
        let start = self.run_terms.len() as u32;
        let terms = match seen {
            Seen::Used => self.terms.of_run(text),
            Seen::Defined => self.terms.of_definition(text),
        };
        for &term in terms {
            let next = self.counted.len() as u32;
            let number = *self.numbers.entry(term.0).or_insert(next);
            if number == next {
                self.counted.push(Counted { term, blobs: 0, blob: 0, count: 0 });
            }
            self.run_terms.push(number);
        }
        self.runs[at] = Run { hash, blob, count: 1, start, end: self.run_terms.len() as u32 };
        self.met.push(at as u32);
        self.used += 1;
        if 2 * self.used > self.runs.len() {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let size = 2 * self.runs.len();
        let old = std::mem::replace(&mut self.runs, vec![Run::default(); size]);
        let mut moved = vec![0; old.len()];
        for (from, run) in old.into_iter().enumerate().filter(|(_, run)| run.hash != 0) {
            let mut at = run.hash as usize & (size - 1);
            while self.runs[at].hash != 0 {
                at = (at + 1) & (size - 1);
            }
            self.runs[at] = run;
            moved[from] = at as u32;
        }
        self.met.iter_mut().for_each(|at| *at = moved[*at as usize]);
    }

    /// Adds up the terms of the runs that the blob has; how many words they are. The first `words` are not
    /// definitions.
    fn count(&mut self, blob: u32, words: usize) -> u32 {
        let mut length = 0;
        for (n, &at) in self.met.iter().enumerate() {
            let run = self.runs[at as usize];
            let terms = &self.run_terms[run.start as usize..run.end as usize];
            if n < words {
                length += run.count * terms.len() as u32;
            }
            for &number in terms {
                let counted = &mut self.counted[number as usize];
                if counted.blob == blob {
                    counted.count += run.count;
                } else {
                    (counted.blob, counted.count) = (blob, run.count);
                    self.present.push(number);
                }
            }
        }
        length
    }

    /// What was read so far, inverted; nothing where nothing was. The recorder is as new.
    pub(super) fn close(&mut self) -> Option<Segment> {
        if self.blobs.is_empty() {
            return None;
        }
        let mut order: Vec<u32> = (0..self.counted.len() as u32).collect();
        order.sort_unstable_by_key(|&number| self.counted[number as usize].term);
        // Where each term's next blob goes.
        let mut places = vec![0u32; self.counted.len()];
        let mut total = 0;
        for &number in &order {
            places[number as usize] = total;
            total += self.counted[number as usize].blobs;
        }
        let mut inverted = vec![(0u32, 0u8); total as usize];
        let mut posted = self.posted.iter().zip(&self.counts);
        let mut draft = Draft::default();
        for blob in &self.blobs {
            let at = draft.blob(blob);
            for (&number, &count) in posted.by_ref().take(blob.terms as usize) {
                let place = &mut places[number as usize];
                inverted[*place as usize] = (at, count);
                *place += 1;
            }
        }
        let mut start = 0;
        for &number in &order {
            let end = places[number as usize] as usize;
            draft.term(self.counted[number as usize].term, inverted[start..end].iter().copied());
            start = end;
        }
        self.clear();
        Some(draft.done())
    }

    fn clear(&mut self) {
        self.runs.fill(Run::default());
        self.used = 0;
        self.run_terms.clear();
        self.numbers.clear();
        self.counted.clear();
        self.blobs.clear();
        self.posted.clear();
        self.counts.clear();
    }
}

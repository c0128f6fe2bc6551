//! What the index keeps of a blob: its terms with their counts. It depends on the bytes alone (and on whether
//! they are code), so it holds for every commit and path.

use super::definitions::definitions;
use super::kind::{self, Content};
use super::terms::{HashedMap, LONGEST_RUN, Term, Terms, hash_bytes, runs};

/// How often each term is there, and the rest that a rank needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) content: Content,
    /// Words, counted with their repetitions.
    pub(super) length: u32,
    /// In no order that means anything, each term once.
    pub(super) terms: Vec<(Term, u8)>,
}

/// Reads blobs. Remembers words from one to the next.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    terms: Terms,
    runs: HashedMap<u64, (u32, u16, u16)>,
    counts: HashedMap<u32, u32>,
}

impl Recorder {
    pub(super) fn record(&mut self, bytes: &[u8], code: bool) -> Record {
        let content = kind::of_content(bytes);
        if content != Content::Text {
            return Record { content, length: 0, terms: Vec::new() };
        }
        self.counts.clear();
        let length = self.count_words(bytes);
        if code {
            self.count_definitions(bytes);
        }
        let capped = |count: u32| count.min(255) as u8;
        let terms: Vec<_> = self.counts.drain().map(|(term, count)| (Term(term), capped(count))).collect();
        Record { content, length, terms }
    }

    /// Each different run is split and stemmed once.
    fn count_words(&mut self, bytes: &[u8]) -> u32 {
        let Self { terms, runs: seen, counts, .. } = self;
        seen.clear();
        runs(bytes, |at, run| {
            let known = seen.entry(hash_bytes(run)).or_insert((at as u32, run.len() as u16, 0));
            known.2 = known.2.saturating_add(1);
        });
        let mut length = 0;
        for &(at, len, count) in seen.values() {
            let run = &bytes[at as usize..at as usize + usize::from(len)];
            for term in terms.of_run(run) {
                *counts.entry(term.0).or_default() += u32::from(count);
                length += u32::from(count);
            }
        }
        length
    }

    fn count_definitions(&mut self, bytes: &[u8]) {
        let Self { terms, counts, .. } = self;
        definitions(bytes, |name| {
            for term in terms.of_definition(&name[..name.len().min(LONGEST_RUN)]) {
                *counts.entry(term.0).or_default() += 1;
            }
        });
    }
}

//! Records of many blobs, inverted: for each term the blobs that have it. What is in memory is what is in the file,
//! so a segment is ready as soon as it is read.

use std::path::{Path, PathBuf};

use super::kind::Content;
use super::objects::Id;
use super::sealed;
use super::terms::Term;

pub(super) const KIND: &str = "blobs";
/// A segment is closed when its blobs have as many different terms, counted blob by blob: some megabytes.
pub(super) const MOST_POSTINGS: usize = 2 << 20;
/// Its counts: of blobs, of terms, of the bytes that say which blob has which term.
const HEAD: usize = 12;
const BLOB_BYTES: usize = 29;
const TERM_BYTES: usize = 8;
const CODE: u8 = 0x80;
/// How far a term is looked for around its likely place before all places are.
const NEAR: usize = 512;

/// A blob, read as code or as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) id: Id,
    pub(super) code: bool,
}

/// What is known of a blob beside its terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) key: Key,
    pub(super) content: Content,
    /// Words, counted with their repetitions.
    pub(super) length: u32,
    /// Different terms, or a few more where it spells some in several ways.
    pub(super) terms: u32,
}

#[derive(Debug, Default)]
pub(super) struct Segment {
    /// The file that has it; none until it is written.
    pub(super) file: Option<PathBuf>,
    body: Vec<u8>,
    blobs: usize,
    terms: usize,
}

impl Segment {
    /// Of the bytes of a file; `None` where they are no segment.
    fn of(body: Vec<u8>, file: Option<PathBuf>) -> Option<Self> {
        let number = |at: usize| Some(u32::from_le_bytes(*body.get(at..)?.first_chunk()?) as usize);
        let (blobs, terms, postings) = (number(0)?, number(4)?, number(8)?);
        let size = blobs.checked_mul(BLOB_BYTES)?.checked_add(terms.checked_mul(TERM_BYTES)?)?;
        let segment = Self { file, blobs, terms, body };
        (segment.body.len() == size.checked_add(HEAD + postings)?
            && (0..blobs).all(|at| segment.try_blob(at).is_some()))
        .then_some(segment)
    }

    /// `None` where the file is damaged.
    pub(super) fn load(path: &Path) -> Option<Self> {
        Self::of(sealed::read(path)?, Some(path.to_owned()))
    }

    /// In bytes, on the disk as in memory.
    pub(super) fn size(&self) -> usize {
        self.body.len()
    }

    pub(super) fn blobs(&self) -> impl Iterator<Item = Blob> + '_ {
        (0..self.blobs).filter_map(|at| self.try_blob(at))
    }

    pub(super) fn blob_count(&self) -> usize {
        self.blobs
    }

    fn try_blob(&self, at: usize) -> Option<Blob> {
        let bytes = self.body.get(HEAD + at * BLOB_BYTES..)?.first_chunk::<BLOB_BYTES>()?;
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let flags = bytes[20];
        Some(Blob {
            key: Key { id: *bytes.first_chunk()?, code: flags & CODE != 0 },
            content: content_of(flags & !CODE)?,
            length: number(21),
            terms: number(25),
        })
    }

    /// A term by its place in the order of terms, and where its blobs end.
    fn term(&self, at: usize) -> (u32, usize) {
        let start = HEAD + self.blobs * BLOB_BYTES + at * TERM_BYTES;
        let Some(bytes) = self.body.get(start..).and_then(|rest| rest.first_chunk::<TERM_BYTES>()) else {
            return (0, 0);
        };
        let word = u64::from_le_bytes(*bytes);
        (word as u32, (word >> 32) as usize)
    }

    fn postings_of(&self, at: usize) -> &[u8] {
        let base = HEAD + self.blobs * BLOB_BYTES + self.terms * TERM_BYTES;
        let start = if at == 0 { 0 } else { self.term(at - 1).1 };
        self.body.get(base + start..base + self.term(at).1).unwrap_or_default()
    }

    /// Calls `each` with the number and the count of every blob that has a term, in ascending order.
    pub(super) fn with(&self, term: Term, each: impl FnMut(usize, u8)) {
        // Terms are hashes, so a term's place is known but for some hundreds.
        let guess = ((u64::from(term.0) * self.terms as u64) >> 32) as usize;
        let (mut low, mut high) = (guess.saturating_sub(NEAR), (guess + NEAR).min(self.terms));
        if low > 0 && self.term(low - 1).0 >= term.0 {
            low = 0;
        }
        if high < self.terms && self.term(high).0 < term.0 {
            high = self.terms;
        }
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.term(middle).0 < term.0 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low < self.terms && self.term(low).0 == term.0 {
            postings(self.postings_of(low), self.blobs, each);
        }
    }

    /// The blobs of several segments for which `keep` says so, as one segment.
    pub(super) fn merged<'a>(
        inputs: impl Iterator<Item = &'a Self> + Clone,
        mut keep: impl FnMut(&Key) -> bool,
    ) -> Draft {
        let mut draft = Draft::default();
        let mut numbers: Vec<Vec<Option<u32>>> = Vec::new();
        let mut terms: Vec<(u32, usize, &[u8])> = Vec::new();
        for (input, segment) in inputs.clone().enumerate() {
            let number = |blob: Blob| keep(&blob.key).then(|| draft.blob(&blob));
            numbers.push(segment.blobs().map(number).collect());
            terms.extend((0..segment.terms).map(|at| (segment.term(at).0, input, segment.postings_of(at))));
        }
        let sizes: Vec<usize> = inputs.map(Self::blob_count).collect();
        terms.sort_unstable_by_key(|&(term, input, _)| (term, input));
        let mut kept: Vec<(u32, u8)> = Vec::new();
        for same in terms.chunk_by(|a, b| a.0 == b.0) {
            kept.clear();
            for &(_, input, bytes) in same {
                postings(bytes, sizes[input], |blob, count| {
                    kept.extend(numbers[input][blob].map(|number| (number, count)));
                });
            }
            draft.term(Term(same[0].0), kept.iter().copied());
        }
        draft
    }
}

/// Reads what [`Draft::term`] has written; ends where the bytes make no sense.
fn postings(mut bytes: &[u8], blobs: usize, mut each: impl FnMut(usize, u8)) {
    let mut next = 0usize;
    while let Some((&first, mut rest)) = bytes.split_first() {
        let mut value = usize::from(first & 0x7f);
        let (mut last, mut shift) = (first, 7);
        while last & 0x80 != 0 && shift < 35 {
            let Some((&byte, after)) = rest.split_first() else { return };
            value |= usize::from(byte & 0x7f) << shift;
            (last, rest) = (byte, after);
            shift += 7;
        }
        let mut count = 1;
        if value & 1 != 0 {
            let Some((&byte, after)) = rest.split_first() else { return };
            (count, rest) = (byte, after);
        }
        let blob = next + (value >> 1);
        if blob >= blobs {
            return;
        }
        each(blob, count);
        next = blob + 1;
        bytes = rest;
    }
}

/// A segment in the making: all of its blobs, then its terms in ascending order.
#[derive(Debug, Default)]
pub(super) struct Draft {
    blobs: Vec<u8>,
    terms: Vec<u8>,
    postings: Vec<u8>,
}

impl Draft {
    /// Its number.
    pub(super) fn blob(&mut self, blob: &Blob) -> u32 {
        let number = self.blobs.len() / BLOB_BYTES;
        self.blobs.extend_from_slice(&blob.key.id);
        self.blobs.push(content_byte(blob.content) | if blob.key.code { CODE } else { 0 });
        self.blobs.extend_from_slice(&blob.length.to_le_bytes());
        self.blobs.extend_from_slice(&blob.terms.to_le_bytes());
        number as u32
    }

    /// The blobs that have a term, in ascending order: the distance to the one before, and the count where it is
    /// more than one.
    pub(super) fn term(&mut self, term: Term, blobs: impl Iterator<Item = (u32, u8)>) {
        let (before, mut next) = (self.postings.len(), 0);
        for (blob, count) in blobs {
            let mut value = u64::from(blob - next) << 1 | u64::from(count > 1);
            while value >= 0x80 {
                self.postings.push(value as u8 | 0x80);
                value >>= 7;
            }
            self.postings.push(value as u8);
            if count > 1 {
                self.postings.push(count);
            }
            next = blob + 1;
        }
        if self.postings.len() > before {
            self.terms.extend_from_slice(&term.0.to_le_bytes());
            self.terms.extend_from_slice(&(self.postings.len() as u32).to_le_bytes());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.blobs.clear();
        self.terms.clear();
        self.postings.clear();
    }

    fn head(&self) -> [u8; HEAD] {
        let counts = [self.blobs.len() / BLOB_BYTES, self.terms.len() / TERM_BYTES, self.postings.len()];
        let mut head = [0; HEAD];
        for (place, count) in head.as_chunks_mut::<4>().0.iter_mut().zip(counts) {
            *place = (count as u32).to_le_bytes();
        }
        head
    }

    /// Writes it into `folder`; the file's path.
    pub(super) fn save(&self, folder: &Path) -> std::io::Result<PathBuf> {
        sealed::write(folder, KIND, &[&self.head(), &self.blobs, &self.terms, &self.postings])
    }

    /// As a segment that has no file.
    pub(super) fn segment(&self) -> Segment {
        let body = [self.head().as_slice(), &self.blobs, &self.terms, &self.postings].concat();
        let (blobs, terms) = (self.blobs.len() / BLOB_BYTES, self.terms.len() / TERM_BYTES);
        Segment { file: None, body, blobs, terms }
    }
}

fn content_byte(content: Content) -> u8 {
    match content {
        Content::Text => 0,
        Content::Generated => 1,
        Content::Binary => 2,
        Content::Oversized => 3,
    }
}

fn content_of(byte: u8) -> Option<Content> {
    [Content::Text, Content::Generated, Content::Binary, Content::Oversized].get(usize::from(byte)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key { id: [byte; 20], code: byte.is_multiple_of(2) }
    }

    fn segment(first: u8, lists: &[(u32, &[(u32, u8)])]) -> Segment {
        let mut draft = Draft::default();
        for byte in first..first + 100 {
            draft.blob(&Blob { key: key(byte), content: Content::Text, length: 7, terms: 2 });
        }
        for (term, list) in lists {
            draft.term(Term(*term), list.iter().copied());
        }
        draft.segment()
    }

    fn with(segment: &Segment, term: u32) -> Vec<(usize, u8)> {
        let mut found = Vec::new();
        segment.with(Term(term), |blob, count| found.push((blob, count)));
        found
    }

    #[test]
    fn a_segment_is_read_as_it_was_written() {
        let written = segment(0, &[(3, &[(0, 1), (99, 255)]), (9, &[(70, 2)])]);
        let read = Segment::of(written.body.clone(), None).expect("a segment");
        assert_eq!((with(&read, 3), with(&read, 9)), (vec![(0, 1), (99, 255)], vec![(70, 2)]));
        assert!(with(&read, 4).is_empty() && with(&read, 0).is_empty() && with(&read, u32::MAX).is_empty());
        assert_eq!(read.blobs().nth(3).map(|blob| (blob.key, blob.length, blob.terms)), Some((key(3), 7, 2)));
    }

    #[test]
    fn merged_segments_have_what_is_kept_and_nothing_else() {
        let (one, two) =
            (segment(0, &[(3, &[(1, 1), (8, 2)])]), segment(100, &[(2, &[(0, 1)]), (3, &[(0, 4)])]));
        let merged = Segment::merged([&one, &two].into_iter(), |key| key.id[0] >= 8).segment();
        assert_eq!(merged.blob_count(), 192);
        assert_eq!((with(&merged, 3), with(&merged, 2)), (vec![(0, 2), (92, 4)], vec![(92, 1)]));
        let without = Segment::merged([&one].into_iter(), |key| key.id[0] >= 50).segment();
        assert!(with(&without, 3).is_empty() && without.blob_count() == 50);
    }

    #[test]
    fn bytes_that_are_no_segment_are_refused_and_never_read_beyond() {
        let body = segment(0, &[(3, &[(1, 1), (8, 2)])]).body;
        for end in 0..body.len() {
            assert!(Segment::of(body[..end].to_vec(), None).is_none(), "{end}");
        }
        for at in 0..body.len() {
            let mut changed = body.clone();
            changed[at] ^= 0xff;
            if let Some(segment) = Segment::of(changed, None) {
                (0..20).for_each(|term| {
                    segment.with(Term(term), |blob, _| assert!(blob < segment.blob_count()))
                });
            }
        }
    }
}

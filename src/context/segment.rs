//! Records of blobs, many in one piece of memory and in one file.

use std::path::{Path, PathBuf};

use super::kind::Content;
use super::objects::Id;
use super::record::Record;
use super::sealed::{self, Cursor};
use super::terms::Term;

pub(super) const KIND: &str = "blobs";
/// A segment is closed when it has as many terms: 20 MB.
const MOST_TERMS: usize = 4 << 20;
const BLOB_BYTES: usize = 30;

/// A blob, read as code or as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) id: Id,
    pub(super) code: bool,
}

#[derive(Debug, Clone, Copy)]
struct Blob {
    key: Key,
    content: Content,
    length: u32,
    /// Where its terms begin; they end where the next blob's begin.
    start: u32,
}

/// What a rank needs of a blob.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted<'a> {
    pub(super) content: Content,
    pub(super) length: u32,
    pub(super) terms: &'a [Term],
    pub(super) counts: &'a [u8],
}

#[derive(Debug, Default)]
pub(super) struct Segment {
    /// The file that has it; none until it is written.
    pub(super) file: Option<PathBuf>,
    blobs: Vec<Blob>,
    terms: Vec<Term>,
    counts: Vec<u8>,
}

impl Segment {
    pub(super) fn push(&mut self, key: Key, record: &Record) {
        let terms = record.terms.iter().copied();
        self.push_terms(key, record.content, record.length, terms);
    }

    fn push_terms(
        &mut self,
        key: Key,
        content: Content,
        length: u32,
        terms: impl Iterator<Item = (Term, u8)>,
    ) {
        self.blobs.push(Blob { key, content, length, start: self.terms.len() as u32 });
        for (term, count) in terms {
            self.terms.push(term);
            self.counts.push(count);
        }
    }

    pub(super) fn push_from(&mut self, other: &Self, at: usize) {
        let counted = other.get(at);
        let terms = counted.terms.iter().copied().zip(counted.counts.iter().copied());
        self.push_terms(other.blobs[at].key, counted.content, counted.length, terms);
    }

    pub(super) fn is_full(&self) -> bool {
        self.terms.len() >= MOST_TERMS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    pub(super) fn size(&self) -> usize {
        self.terms.len()
    }

    pub(super) fn shrink(&mut self) {
        self.blobs.shrink_to_fit();
        self.terms.shrink_to_fit();
        self.counts.shrink_to_fit();
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.blobs.iter().map(|blob| blob.key)
    }

    pub(super) fn get(&self, at: usize) -> Counted<'_> {
        let blob = &self.blobs[at];
        let end = self.blobs.get(at + 1).map_or(self.terms.len(), |next| next.start as usize);
        let range = blob.start as usize..end;
        Counted {
            content: blob.content,
            length: blob.length,
            terms: &self.terms[range.clone()],
            counts: &self.counts[range],
        }
    }

    /// Writes it into `folder` and remembers where.
    pub(super) fn save(&mut self, folder: &Path) -> std::io::Result<()> {
        let mut head = Vec::with_capacity(8 + self.blobs.len() * BLOB_BYTES);
        head.extend_from_slice(&(self.blobs.len() as u32).to_le_bytes());
        head.extend_from_slice(&(self.terms.len() as u32).to_le_bytes());
        for blob in &self.blobs {
            head.extend_from_slice(&blob.key.id);
            head.push(u8::from(blob.key.code));
            head.push(content_byte(blob.content));
            head.extend_from_slice(&blob.length.to_le_bytes());
            head.extend_from_slice(&blob.start.to_le_bytes());
        }
        let mut terms = Vec::with_capacity(self.terms.len() * 4);
        for term in &self.terms {
            terms.extend_from_slice(&term.0.to_le_bytes());
        }
        self.file = Some(sealed::write(folder, KIND, &[&head, &terms, &self.counts])?);
        Ok(())
    }

    /// `None` where the file is damaged.
    pub(super) fn load(path: &Path) -> Option<Self> {
        let bytes = sealed::read(path)?;
        let mut cursor = Cursor(&bytes);
        let (blobs, terms) = (cursor.u32()? as usize, cursor.u32()? as usize);
        let mut heads = Cursor(cursor.take(blobs.checked_mul(BLOB_BYTES)?)?);
        let mut segment = Self { file: Some(path.to_owned()), ..Self::default() };
        let mut last = 0;
        for _ in 0..blobs {
            let key = Key { id: heads.array()?, code: heads.u8()? != 0 };
            let content = content_of(heads.u8()?)?;
            let (length, start) = (heads.u32()?, heads.u32()?);
            if start < last || start as usize > terms {
                return None;
            }
            last = start;
            segment.blobs.push(Blob { key, content, length, start });
        }
        let words = cursor.take(terms.checked_mul(4)?)?.as_chunks::<4>().0;
        segment.terms = words.iter().map(|word| Term(u32::from_le_bytes(*word))).collect();
        segment.counts = cursor.take(terms)?.to_vec();
        cursor.0.is_empty().then_some(segment)
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

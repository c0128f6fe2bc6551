//! A tree's files in the index: which files of the tree have a term.

use std::sync::Arc;

use super::index::Found;
use super::kind::Content;
use super::terms::Term;
use super::tree::Tree;

/// A file and how often it has a term.
pub(super) type Posting = (u32, u8);

const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Placed {
    pub(super) tree: Arc<Tree>,
    parts: Vec<Part>,
    /// For each file the next one with the same bytes.
    same: Vec<u32>,
    /// Words of each file; `None` where it has no text.
    pub(super) lengths: Vec<Option<u32>>,
    /// Files with text, and their words in the mean.
    pub(super) texts: usize,
    pub(super) mean_length: f64,
}

#[derive(Debug)]
struct Part {
    segment: Arc<super::segment::Segment>,
    /// For each blob the first file that has it.
    files: Vec<u32>,
}

impl Placed {
    /// `found` has the tree's keys in their order.
    pub(super) fn of(tree: Arc<Tree>, found: Found) -> Self {
        let lengths_of = |segment: &Arc<super::segment::Segment>| -> Vec<Option<u32>> {
            segment.blobs().map(|blob| (blob.content == Content::Text).then_some(blob.length)).collect()
        };
        let known: Vec<Vec<Option<u32>>> = found.segments.iter().map(lengths_of).collect();
        let part =
            |segment: Arc<super::segment::Segment>| Part { files: vec![NONE; segment.blob_count()], segment };
        let mut parts: Vec<Part> = found.segments.into_iter().map(part).collect();
        let mut same = vec![NONE; tree.files.len()];
        let mut lengths = vec![None; tree.files.len()];
        let with_key = tree.files.iter().enumerate().filter(|(_, file)| file.key().is_some());
        for ((at, _), place) in with_key.zip(&found.places) {
            let Some((part, blob)) = *place else { continue };
            lengths[at] = known[part as usize][blob as usize];
            let first = &mut parts[part as usize].files[blob as usize];
            same[at] = std::mem::replace(first, at as u32);
        }
        parts.retain(|part| part.files.iter().any(|&file| file != NONE));
        let texts = lengths.iter().flatten().count();
        let words: f64 = lengths.iter().flatten().map(|&length| f64::from(length)).sum();
        Self { tree, parts, same, lengths, texts, mean_length: words / (texts as f64).max(1.0) }
    }

    /// The files that have a term.
    pub(super) fn with(&self, term: Term) -> Vec<Posting> {
        let mut found = Vec::new();
        for part in &self.parts {
            part.segment.with(term, |blob, count| {
                let mut file = part.files[blob];
                while file != NONE {
                    found.push((file, count));
                    file = self.same[file as usize];
                }
            });
        }
        found
    }
}

//! What the best places lead to: files that have the words of those places, and files that define the names that
//! are used there. An issue tells of what is seen; the code that shows it speaks of where it is made.

use super::chunks::Chunk;
use super::error::ContextError;
use super::objects::Reader;
use super::placed::{Placed, Posting};
use super::rank::Ranked;
use super::score::{self, Wanted};
use super::terms::{HashedMap, Role, Term, Terms, joined, run_places, term};

/// Files whose best chunks are looked at.
const FILES: usize = 5;
/// Chunks of the first of them, and of each other.
const CHUNKS: (usize, usize) = (3, 2);
/// Words that are asked for besides, and how many the index is asked about to find them.
const WORDS: usize = 20;
const MOST_LOOKED_UP: usize = 120;
/// Shorter names are everybody's.
const SHORTEST_NAME: usize = 4;
/// A name that more files define says nothing of any.
const MOST_DEFINING: usize = 4;

/// For each file of a tree what speaks for it.
#[derive(Debug, Default)]
pub(super) struct Kindred {
    pub(super) words: Vec<f64>,
    pub(super) called: Vec<f64>,
}

/// `ranked` has the best first.
pub(super) fn kindred(
    placed: &Placed,
    ranked: &[Ranked],
    wanted: &Wanted,
    reader: &mut Reader,
) -> Result<Kindred, ContextError> {
    let mut found = Found::default();
    for (rank, file) in ranked.iter().take(FILES).enumerate() {
        let Some(bytes) = reader.bytes(&placed.tree.files[file.file].id)? else { continue };
        let count = if rank == 0 { CHUNKS.0 } else { CHUNKS.1 };
        for text in best(bytes, &file.chunks, count) {
            found.read(text, 1.0 / (rank as f64 + 1.5), wanted);
        }
    }
    let files = placed.tree.files.len();
    let mut kindred = Kindred { words: vec![0.0; files], called: vec![0.0; files] };
    for (weight, list) in rarest(heaviest(found.words, MOST_LOOKED_UP), placed) {
        for (file, count) in list {
            let length = placed.lengths[file as usize].unwrap_or_default();
            kindred.words[file as usize] += weight * score::bm25(count, length, placed.mean_length);
        }
    }
    for (name, weight) in heaviest(found.names, usize::MAX) {
        let list = placed.with(name);
        if list.len() <= MOST_DEFINING {
            list.iter().for_each(|(file, _)| kindred.called[*file as usize] += weight / list.len() as f64);
        }
    }
    Ok(kindred)
}

/// The texts of the chunks of a file that fit best.
fn best<'a>(bytes: &'a [u8], chunks: &[Chunk], count: usize) -> impl Iterator<Item = &'a [u8]> {
    let mut start = 0;
    let mut places: Vec<(&Chunk, usize)> = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        places.push((chunk, start));
        start += chunk.bytes;
    }
    places.sort_by(|a, b| b.0.fit.total_cmp(&a.0.fit));
    places.truncate(count);
    places.into_iter().filter_map(|(chunk, start)| bytes.get(start..start + chunk.bytes))
}

/// What is in the best places, with what each is worth.
#[derive(Default)]
struct Found {
    terms: Terms,
    words: HashedMap<u32, f64>,
    names: HashedMap<u32, f64>,
}

impl Found {
    fn read(&mut self, text: &[u8], weight: f64, wanted: &Wanted) {
        let mut counts: HashedMap<u32, u32> = HashedMap::default();
        let mut names: HashedMap<u32, ()> = HashedMap::default();
        run_places(text, |start, end| {
            let run = &text[start..end];
            for term in self.terms.of_run(run).iter().filter(|term| !wanted.has(**term)) {
                *counts.entry(term.0).or_default() += 1;
            }
            if run.len() >= SHORTEST_NAME {
                names.insert(term(Role::Defined, joined(run).as_bytes()).0, ());
            }
        });
        for (word, count) in counts {
            *self.words.entry(word).or_default() += weight * score::often(count);
        }
        for (name, ()) in names {
            *self.names.entry(name).or_default() += weight;
        }
    }
}

/// The heaviest first; the order of equal ones is always the same.
fn heaviest(found: HashedMap<u32, f64>, count: usize) -> Vec<(Term, f64)> {
    let mut found: Vec<(Term, f64)> = found.into_iter().map(|(term, weight)| (Term(term), weight)).collect();
    found.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found.truncate(count);
    found
}

/// The words that say most, with the files that have them.
fn rarest(words: Vec<(Term, f64)>, placed: &Placed) -> Vec<(f64, Vec<Posting>)> {
    let mut lists: Vec<(f64, Term, Vec<Posting>)> = words
        .into_iter()
        .map(|(word, weight)| (weight, word, placed.with(word)))
        .filter(|(_, _, list)| list.len() > 1)
        .map(|(weight, word, list)| (weight * score::rarity(list.len(), placed.texts), word, list))
        .collect();
    lists.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    lists.into_iter().take(WORDS).map(|(weight, _, list)| (weight, list)).collect()
}

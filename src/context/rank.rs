//! The rank of a tree's files for a text: signs, few and fixed weights, and what each file is.

use std::collections::HashMap;
use std::sync::Arc;

use super::asked::Asked;
use super::chunks::{Chunk, Chunker, lift};
use super::error::ContextError;
use super::history::{Past, path_hash};
use super::index::{Found, Place};
use super::kind::FileKind;
use super::mentions::{Mention, mentions};
use super::objects::{Leaf, Objects};
use super::score::{self, Hits, PathHits, Wanted};
use super::terms::{HashedMap, Terms};

/// The signs, in the order of their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    ThreeChunks,
    Words,
    Path,
    DefinedWords,
    DefinedNames,
    Compounds,
    Votes,
    Together,
    Mention,
    Literal,
}

pub(super) const SIGNS: usize = 10;
pub(super) type Signs = [f64; SIGNS];

/// What a sign weighs, scaled to its greatest value for the text.
const WEIGHTS: Signs = [0.6, 0.5, 0.5, 0.2, 0.2, 0.25, 0.7, 0.2, 2.0, 0.7];
/// Files that are ranked at most.
const FINALISTS: usize = 1000;
/// Files whose chunks are looked at.
const CANDIDATES: usize = 100;
const MOST_THREADS: usize = 4;
/// Files that a thread of its own is worth.
const LEAST_SHARE: usize = 8;
/// Files that changes are looked up together with.
const SEEDS: usize = 5;

/// How much of its signs a file of a kind keeps.
pub(super) fn kind_factor(kind: FileKind, asked: &Asked) -> f64 {
    if asked.is_about(kind) {
        return 1.0;
    }
    match kind {
        FileKind::Source => 1.0,
        FileKind::Config => 0.12,
        FileKind::Example => 0.3,
        FileKind::Docs => 0.1,
        FileKind::Test => 0.2,
        FileKind::Data | FileKind::Fixture => 0.08,
        _ => 0.05,
    }
}

/// A file of the tree with what it is.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) leaf: Leaf,
    pub(super) kind: FileKind,
    pub(super) place: Option<Place>,
}

/// A file with its signs.
#[derive(Debug, Clone)]
pub(super) struct Ranked {
    /// Of the list of candidates.
    pub(super) file: usize,
    pub(super) score: f64,
    pub(super) signs: Signs,
    pub(super) chunks: Vec<Chunk>,
    pub(super) voters: u32,
}

/// What was found, for the ranking's reader.
pub(super) struct Ranking {
    pub(super) asked: Asked,
    pub(super) ranked: Vec<Ranked>,
    pub(super) hits: Vec<Option<Hits>>,
    pub(super) paths: Vec<PathHits>,
    pub(super) mentions: Vec<Mention>,
    pub(super) worth: Worth,
}

/// What each word and name is worth where it is found: its rarity there times its weight in the text.
pub(super) struct Worth {
    pub(super) words: Vec<f64>,
    defined_words: Vec<f64>,
    pub(super) names: Vec<f64>,
    pub(super) defined: Vec<f64>,
    pub(super) path: Vec<f64>,
    mean_length: f64,
}

/// Ranks `files`, the best first; those that nothing speaks for are left out.
pub(super) fn rank(
    files: &[Candidate],
    found: &Found,
    past: &[Arc<Past>],
    text: &str,
    objects: &Objects,
) -> Result<Ranking, ContextError> {
    let asked = Asked::of(text);
    let wanted = Wanted::of(&asked);
    let mut terms = Terms::default();
    let hits: Vec<Option<Hits>> = files
        .iter()
        .map(|file| file.place.and_then(|place| score::hits(&wanted, found.get(place))))
        .collect();
    let paths: Vec<PathHits> =
        files.iter().map(|file| score::path_hits(&wanted, &mut terms, &file.leaf.path)).collect();
    let worth = worth(&asked, &hits, &paths);
    let all_paths: Vec<&str> = files.iter().map(|file| file.leaf.path.as_str()).collect();
    let mentions = mentions(text, &all_paths);
    let mut ranking = Ranking { asked, ranked: Vec::new(), hits, paths, mentions, worth };
    ranking.look_at_files(files, past);
    ranking.look_at_chunks(files, &wanted, objects)?;
    ranking.look_at_changes(files, past);
    Ok(ranking)
}

impl Ranking {
    /// The signs that the index has.
    fn look_at_files(&mut self, files: &[Candidate], past: &[Arc<Past>]) {
        let votes = score::votes(&self.asked, past);
        let named: HashedMap<u32, f64> =
            self.mentions.iter().map(|mention| (mention.file as u32, mention.score)).collect();
        for (file, candidate) in files.iter().enumerate() {
            let mut signs = Signs::default();
            let mut set = |sign: Sign, value: f64| signs[sign as usize] = value;
            if let Some(hits) = &self.hits[file] {
                set(Sign::Words, score::bm25(hits, &self.worth.words, self.worth.mean_length));
                set(Sign::DefinedWords, score::presence(&hits.defined_words, &self.worth.defined_words));
                set(Sign::DefinedNames, score::presence(&hits.defined, &self.worth.defined));
                set(Sign::Compounds, score::presence(&hits.compounds, &self.worth.names));
            }
            set(Sign::Path, score::path_score(&self.paths[file], &self.worth.path));
            let (vote, voters) = score::of_path(&votes.by_file, &candidate.leaf.path).unwrap_or_default();
            set(Sign::Votes, vote);
            set(Sign::Mention, named.get(&(file as u32)).copied().unwrap_or(0.0));
            self.ranked.push(Ranked { file, score: 0.0, signs, chunks: Vec::new(), voters });
        }
        combine(&mut self.ranked, files, &self.asked);
    }

    /// The signs of places in the files that look best so far, read by all threads that are worth it.
    fn look_at_chunks(
        &mut self,
        files: &[Candidate],
        wanted: &Wanted,
        objects: &Objects,
    ) -> Result<(), ContextError> {
        let mut ranked = std::mem::take(&mut self.ranked);
        let best = ranked.len().min(CANDIDATES);
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let share = best.div_ceil(threads).max(LEAST_SHARE);
        let read = std::thread::scope(|scope| {
            let shares = ranked[..best].chunks_mut(share);
            let threads: Vec<_> =
                shares.map(|share| scope.spawn(|| self.read_chunks(share, files, wanted, objects))).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        self.ranked = ranked;
        read?;
        combine(&mut self.ranked, files, &self.asked);
        Ok(())
    }

    fn read_chunks(
        &self,
        ranked: &mut [Ranked],
        files: &[Candidate],
        wanted: &Wanted,
        objects: &Objects,
    ) -> Result<(), ContextError> {
        let mut reader = objects.reader();
        let mut chunker = Chunker::new(wanted, &self.asked, &self.worth.words, &self.worth.names);
        for ranked in ranked.iter_mut().filter(|ranked| self.hits[ranked.file].is_some()) {
            let Some(bytes) = reader.bytes(&files[ranked.file].leaf.id)? else { continue };
            ranked.chunks = chunker.chunks(bytes);
            let named = self.mentions.iter().find(|mention| mention.file == ranked.file);
            lift(&mut ranked.chunks, named.and_then(|mention| mention.line));
            let mut scores: Vec<f64> = ranked.chunks.iter().map(|chunk| chunk.score).collect();
            scores.sort_by(|a, b| b.total_cmp(a));
            ranked.signs[Sign::ThreeChunks as usize] = scores.iter().take(3).sum();
            let literal = ranked.chunks.iter().map(|chunk| chunk.literal).max().unwrap_or(0);
            ranked.signs[Sign::Literal as usize] = literal as f64;
        }
        Ok(())
    }

    /// What changed together with the best.
    fn look_at_changes(&mut self, files: &[Candidate], past: &[Arc<Past>]) {
        let best = self.ranked.iter().take(SEEDS);
        let seeds: Vec<(u64, f64)> =
            best.map(|ranked| (path_hash(&files[ranked.file].leaf.path), ranked.score)).collect();
        let together = score::together(past, &seeds);
        let mut places: HashMap<usize, usize> =
            self.ranked.iter().enumerate().map(|(at, ranked)| (ranked.file, at)).collect();
        for (file, candidate) in files.iter().enumerate().filter(|_| !together.is_empty()) {
            let Some(sum) = score::of_path(&together, &candidate.leaf.path) else { continue };
            // A file that nothing else spoke for comes in here.
            let at = *places.entry(file).or_insert_with(|| {
                let signs = Signs::default();
                self.ranked.push(Ranked { file, score: 0.0, signs, chunks: Vec::new(), voters: 0 });
                self.ranked.len() - 1
            });
            self.ranked[at].signs[Sign::Together as usize] = sum;
        }
        combine(&mut self.ranked, files, &self.asked);
    }
}

/// Sets the scores, drops all but the best, and sorts them.
fn combine(ranked: &mut Vec<Ranked>, files: &[Candidate], asked: &Asked) {
    let factors: Vec<f64> = ranked.iter().map(|found| kind_factor(files[found.file].kind, asked)).collect();
    let mut most = Signs::default();
    for (found, factor) in ranked.iter().zip(&factors) {
        for (most, sign) in most.iter_mut().zip(&found.signs) {
            *most = most.max(sign * factor);
        }
    }
    let mention = Sign::Mention as usize;
    for (found, factor) in ranked.iter_mut().zip(&factors) {
        let sum: f64 = (0..SIGNS)
            .filter(|&at| at != mention && most[at] > 0.0)
            .map(|at| WEIGHTS[at] * found.signs[at] / most[at])
            .sum();
        // A file that the text names is wanted whatever it is.
        found.score = sum * factor + WEIGHTS[mention] * found.signs[mention];
    }
    ranked.retain(|found| found.score > 0.0);
    // Candidates are in the order of their paths.
    let better = |a: &Ranked, b: &Ranked| b.score.total_cmp(&a.score).then(a.file.cmp(&b.file));
    if ranked.len() > FINALISTS {
        ranked.select_nth_unstable_by(FINALISTS, better);
        ranked.truncate(FINALISTS);
    }
    ranked.sort_unstable_by(better);
}

fn worth(asked: &Asked, hits: &[Option<Hits>], paths: &[PathHits]) -> Worth {
    let read: Vec<&Hits> = hits.iter().flatten().collect();
    let (words, names) = (asked.words.len(), asked.names.len());
    let total = read.len();
    let weighted_words = |rarity: Vec<f64>| -> Vec<f64> {
        rarity.iter().zip(&asked.words).map(|(rarity, word)| rarity * word.weight).collect()
    };
    let weighted_names = |rarity: Vec<f64>| -> Vec<f64> {
        rarity.iter().zip(&asked.names).map(|(rarity, name)| rarity * name.weight).collect()
    };
    let of = |count, pick: fn(&Hits) -> &[(u16, u8)]| {
        score::rarity(count, total, read.iter().map(|hits| pick(hits)))
    };
    let in_paths = paths.iter().flat_map(|path| [path.name.as_slice(), path.folders.as_slice()]);
    Worth {
        words: weighted_words(of(words, |hits| &hits.words)),
        defined_words: weighted_words(of(words, |hits| &hits.defined_words)),
        names: weighted_names(of(names, |hits| &hits.compounds)),
        defined: weighted_names(of(names, |hits| &hits.defined)),
        path: weighted_words(score::rarity(words, paths.len(), in_paths)),
        mean_length: read.iter().map(|hits| hits.length).sum::<f64>() / (total as f64).max(1.0),
    }
}

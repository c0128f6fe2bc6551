//! The rank of a tree's files for a text: signs, few and fixed weights, and what each file is.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use super::asked::Asked;
use super::chunks::{Chunk, Chunker, lift};
use super::error::ContextError;
use super::history::Past;
use super::kind::FileKind;
use super::kindred::kindred;
use super::mentions::{Mention, mentions};
use super::objects::{Objects, Reader};
use super::placed::{Placed, Posting};
use super::score::{self, Hits, Lists, PathHits, Votes, Wanted};
use super::tree::{File, Tree};

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
    Told,
    Kindred,
    Called,
}

pub(super) const SIGNS: usize = 13;
pub(super) type Signs = [f64; SIGNS];

/// What a sign weighs, scaled to its greatest value for the text.
const WEIGHTS: Signs = [0.6, 0.5, 0.5, 0.2, 0.2, 0.25, 0.7, 0.2, 2.0, 0.7, 0.2, 0.3, 0.3];
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

/// A file with its signs.
#[derive(Debug, Clone)]
pub(super) struct Ranked {
    /// Of the tree.
    pub(super) file: usize,
    pub(super) score: f64,
    pub(super) signs: Signs,
    pub(super) chunks: Vec<Chunk>,
    pub(super) hits: Hits,
    pub(super) path: PathHits,
    pub(super) voters: u32,
}

impl Ranked {
    fn new(file: usize, score: f64, signs: Signs) -> Self {
        let (hits, path) = (Hits::default(), PathHits::default());
        Self { file, score, signs, chunks: Vec::new(), hits, path, voters: 0 }
    }
}

/// What was found, for the ranking's reader.
pub(super) struct Ranking {
    pub(super) asked: Asked,
    pub(super) ranked: Vec<Ranked>,
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
}

/// Ranks the files of a tree, the best first; those that nothing speaks for are left out.
pub(super) fn rank(
    placed: &Placed,
    past: &[Arc<Past>],
    text: &str,
    objects: &Objects,
) -> Result<Ranking, ContextError> {
    let tree: &Tree = &placed.tree;
    let asked = Asked::of(text);
    let wanted = Wanted::of(&asked);
    let lists = Lists::of(&asked, placed);
    let paths: Vec<PathHits> = tree.files.iter().map(|file| score::path_hits(&wanted, &file.named)).collect();
    let worth = worth(&asked, placed.texts, &lists, &paths);
    let mentions = mentions(text, &tree.files);
    let mut ranking = Ranking { asked, ranked: Vec::new(), mentions, worth };
    let votes = score::votes(&ranking.asked, past);
    let signs = ranking.signs(placed, &lists, &paths, &votes);
    ranking.look_at_files(tree, &signs);
    ranking.look_at_chunks(placed, &wanted, objects)?;
    ranking.look_at_changes(tree, past, &signs);
    ranking.look_at_kindred(placed, &wanted, &votes, &mut objects.reader())?;
    ranking.remember(tree, &lists, paths, &votes);
    Ok(ranking)
}

impl Ranking {
    /// The signs that the index has, of all files.
    fn signs(&self, placed: &Placed, lists: &Lists, paths: &[PathHits], votes: &Votes) -> Vec<Signs> {
        let files = &placed.tree.files;
        let mut signs = vec![Signs::default(); files.len()];
        for (list, worth) in lists.words.iter().zip(&self.worth.words) {
            for &(file, count) in list {
                let length = placed.lengths[file as usize].unwrap_or_default();
                let value = score::bm25(count, length, placed.mean_length);
                signs[file as usize][Sign::Words as usize] += worth * value;
            }
        }
        let mut present = |sign: Sign, lists: &[Vec<Posting>], worth: &[f64]| {
            for (list, worth) in lists.iter().zip(worth) {
                for &(file, count) in list {
                    signs[file as usize][sign as usize] += worth * score::presence(count);
                }
            }
        };
        present(Sign::DefinedWords, &lists.defined_words, &self.worth.defined_words);
        present(Sign::DefinedNames, &lists.defined, &self.worth.defined);
        present(Sign::Compounds, &lists.compounds, &self.worth.names);
        for ((signs, path), file) in signs.iter_mut().zip(paths).zip(files) {
            signs[Sign::Path as usize] = score::path_score(path, &self.worth.path);
            if !votes.by_file.is_empty() {
                signs[Sign::Votes as usize] =
                    votes.by_file.get(&file.named.hash).map_or(0.0, |(sum, _)| *sum);
            }
        }
        for mention in &self.mentions {
            signs[mention.file][Sign::Mention as usize] = mention.score;
        }
        signs
    }

    fn look_at_files(&mut self, tree: &Tree, signs: &[Signs]) {
        let all = || signs.iter().enumerate();
        let scores = scores(all(), &tree.files, &self.asked);
        let mut found: Vec<(f64, usize)> =
            scores.into_iter().zip(0..).filter(|(score, _)| *score > 0.0).collect();
        if found.len() > FINALISTS {
            found.select_nth_unstable_by(FINALISTS, |a, b| better(*a, *b));
            found.truncate(FINALISTS);
        }
        self.ranked = found.into_iter().map(|(score, file)| Ranked::new(file, score, signs[file])).collect();
        sort(&mut self.ranked);
    }

    /// The signs of places in the files that look best so far, read by all threads that are worth it.
    fn look_at_chunks(
        &mut self,
        placed: &Placed,
        wanted: &Wanted,
        objects: &Objects,
    ) -> Result<(), ContextError> {
        let mut ranked = std::mem::take(&mut self.ranked);
        let best = ranked.len().min(CANDIDATES);
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let share = best.div_ceil(threads).max(LEAST_SHARE);
        let read = std::thread::scope(|scope| {
            let shares = ranked[..best].chunks_mut(share);
            let threads: Vec<_> = shares
                .map(|share| scope.spawn(|| self.read_chunks(share, placed, wanted, objects)))
                .collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        self.ranked = ranked;
        read?;
        self.combine(&placed.tree.files);
        Ok(())
    }

    fn read_chunks(
        &self,
        ranked: &mut [Ranked],
        placed: &Placed,
        wanted: &Wanted,
        objects: &Objects,
    ) -> Result<(), ContextError> {
        let mut reader = objects.reader();
        let mut chunker = Chunker::new(wanted, &self.asked, &self.worth.words, &self.worth.names);
        for ranked in ranked.iter_mut().filter(|ranked| placed.lengths[ranked.file].is_some()) {
            let Some(bytes) = reader.bytes(&placed.tree.files[ranked.file].id)? else { continue };
            ranked.chunks = chunker.chunks(bytes);
            let named = self.mentions.iter().find(|mention| mention.file == ranked.file);
            lift(&mut ranked.chunks, named.and_then(|mention| mention.line));
            let mut scores: Vec<f64> = ranked.chunks.iter().map(|chunk| chunk.score).collect();
            scores.sort_by(|a, b| b.total_cmp(a));
            ranked.signs[Sign::ThreeChunks as usize] = scores.iter().take(3).sum();
            let literal = ranked.chunks.iter().map(|chunk| chunk.literal).max().unwrap_or(0);
            ranked.signs[Sign::Literal as usize] = literal as f64;
        }
        chunker.end();
        Ok(())
    }

    /// What the best places lead to, and what was ever told of the files. It comes last: the best places are found
    /// better without.
    fn look_at_kindred(
        &mut self,
        placed: &Placed,
        wanted: &Wanted,
        votes: &Votes,
        reader: &mut Reader,
    ) -> Result<(), ContextError> {
        let kindred = kindred(placed, &self.ranked, wanted, reader)?;
        for ranked in &mut self.ranked {
            let hash = &placed.tree.files[ranked.file].named.hash;
            ranked.signs[Sign::Told as usize] = votes.told.get(hash).copied().unwrap_or(0.0);
            ranked.signs[Sign::Kindred as usize] = kindred.words[ranked.file];
            ranked.signs[Sign::Called as usize] = kindred.called[ranked.file];
        }
        self.combine(&placed.tree.files);
        Ok(())
    }

    /// What changed together with the best.
    fn look_at_changes(&mut self, tree: &Tree, past: &[Arc<Past>], signs: &[Signs]) {
        let best = self.ranked.iter().take(SEEDS);
        let seeds: Vec<(u64, f64)> =
            best.map(|ranked| (tree.files[ranked.file].named.hash, ranked.score)).collect();
        let together = score::together(past, &seeds);
        let mut places: HashMap<usize, usize> =
            self.ranked.iter().enumerate().map(|(at, ranked)| (ranked.file, at)).collect();
        for (file, signs) in signs.iter().enumerate().filter(|_| !together.is_empty()) {
            let Some(sum) = together.get(&tree.files[file].named.hash) else { continue };
            // A file that little else spoke for comes in here.
            let at = *places.entry(file).or_insert_with(|| {
                self.ranked.push(Ranked::new(file, 0.0, *signs));
                self.ranked.len() - 1
            });
            self.ranked[at].signs[Sign::Together as usize] = *sum;
        }
        self.combine(&tree.files);
    }

    /// Sets the scores, drops all but the best, and sorts them.
    fn combine(&mut self, files: &[File]) {
        let signs = self.ranked.iter().map(|ranked| (ranked.file, &ranked.signs));
        let scores = scores(signs, files, &self.asked);
        self.ranked.iter_mut().zip(scores).for_each(|(ranked, score)| ranked.score = score);
        sort(&mut self.ranked);
    }

    /// What was found in the files that are left, for their reasons.
    fn remember(&mut self, tree: &Tree, lists: &Lists, mut paths: Vec<PathHits>, votes: &Votes) {
        let mut places = vec![None; tree.files.len()];
        for (at, ranked) in self.ranked.iter().enumerate() {
            places[ranked.file] = Some(at as u32);
        }
        let hits = lists.hits(&places, self.ranked.len());
        for (ranked, hits) in self.ranked.iter_mut().zip(hits) {
            ranked.hits = hits;
            ranked.path = std::mem::take(&mut paths[ranked.file]);
            ranked.voters =
                votes.by_file.get(&tree.files[ranked.file].named.hash).map_or(0, |(_, voters)| *voters);
        }
    }
}

/// The scores of files by their signs.
fn scores<'a>(
    signs: impl Iterator<Item = (usize, &'a Signs)> + Clone,
    files: &[File],
    asked: &Asked,
) -> Vec<f64> {
    let factor = |file: usize| kind_factor(files[file].kind(), asked);
    let mut most = Signs::default();
    for (file, signs) in signs.clone() {
        let factor = factor(file);
        for (most, sign) in most.iter_mut().zip(signs) {
            *most = most.max(sign * factor);
        }
    }
    let mention = Sign::Mention as usize;
    let score = |(file, signs): (usize, &Signs)| {
        let sum: f64 = (0..SIGNS)
            .filter(|&at| at != mention && most[at] > 0.0)
            .map(|at| WEIGHTS[at] * signs[at] / most[at])
            .sum();
        // A file that the text names is wanted whatever it is.
        sum * factor(file) + WEIGHTS[mention] * signs[mention]
    };
    signs.map(score).collect()
}

/// The higher score first; files are in the order of their paths.
fn better(a: (f64, usize), b: (f64, usize)) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// The best first; all but those go.
fn sort(ranked: &mut Vec<Ranked>) {
    ranked.retain(|found| found.score > 0.0);
    ranked.sort_unstable_by(|a, b| better((a.score, a.file), (b.score, b.file)));
    ranked.truncate(FINALISTS);
}

fn worth(asked: &Asked, texts: usize, lists: &Lists, paths: &[PathHits]) -> Worth {
    let rarities = |lists: &[Vec<Posting>]| -> Vec<f64> {
        lists.iter().map(|list| score::rarity(list.len(), texts)).collect()
    };
    let words = |rarities: Vec<f64>| -> Vec<f64> {
        rarities.iter().zip(&asked.words).map(|(rarity, word)| rarity * word.weight).collect()
    };
    let names = |rarities: Vec<f64>| -> Vec<f64> {
        rarities.iter().zip(&asked.names).map(|(rarity, name)| rarity * name.weight).collect()
    };
    let mut in_paths = vec![0; asked.words.len()];
    for (word, _) in paths.iter().flat_map(|path| path.name.iter().chain(&path.folders)) {
        in_paths[usize::from(*word)] += 1;
    }
    Worth {
        words: words(rarities(&lists.words)),
        defined_words: words(rarities(&lists.defined_words)),
        names: names(rarities(&lists.compounds)),
        defined: names(rarities(&lists.defined)),
        path: words(in_paths.into_iter().map(|with| score::rarity(with, paths.len())).collect()),
    }
}

//! Chunks of forty lines: where in a file the words are.

use std::sync::{Mutex, PoisonError};

use super::asked::Asked;
use super::score::Wanted;
use super::terms::{Terms, hash_part, run_places};

pub(super) const LINES: usize = 40;
const K1: f64 = 1.2;
const B: f64 = 0.75;
/// Words of a chunk of forty ordinary lines.
const MEAN_LENGTH: f64 = 220.0;
/// A whole identifier counts besides its words.
const NAME_SHARE: f64 = 0.5;
/// What a word in a comment counts: comments have more of an issue's words than the code that is to change.
const COMMENT_SHARE: f64 = 0.5;

/// A chunk and how well it fits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chunk {
    /// From 1.
    pub(super) start_line: usize,
    /// Inclusive.
    pub(super) end_line: usize,
    pub(super) bytes: usize,
    pub(super) score: f64,
    /// What it is packed by: the score, lifted by what the text quotes of it or names in it.
    pub(super) fit: f64,
    /// How much of the literal text is in it, in bytes.
    pub(super) literal: usize,
    /// The longest of the phrases that it has.
    pub(super) phrase: Option<usize>,
}

/// Lifts the chunks that have a line which the text names, or a phrase that it quotes, above the others.
pub(super) fn lift(chunks: &mut [Chunk], line: Option<usize>) {
    let best = chunks.iter().map(|chunk| chunk.score).fold(0.0, f64::max).max(1.0);
    for chunk in chunks {
        if line.is_some_and(|line| (chunk.start_line..=chunk.end_line).contains(&line)) {
            chunk.fit += 2.0 * best;
        }
        if chunk.literal > 0 {
            chunk.fit += best;
        }
    }
}

/// Scores chunks of many files for one question.
pub(super) struct Chunker<'a> {
    wanted: &'a Wanted,
    asked: &'a Asked,
    word_worth: &'a [f64],
    name_worth: &'a [f64],
    memory: Memory,
    finders: Vec<memchr::memmem::Finder<'a>>,
}

#[derive(Debug, Clone, Copy)]
enum Number {
    Word(u16),
    Name(u16),
}

/// A run: where what it has of what is asked for is in `numbers`, and how many terms it has in all.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    hash: u64,
    start: u32,
    count: u16,
    terms: u16,
}

/// Runs that are remembered.
const REMEMBERED: usize = 1 << 16;
/// What threads that ask at the same time leave for later questions.
const MOST_KEPT: usize = 4;

/// What a thread remembers while it reads files for a question. It is kept for the next one: stems stay right, the rest
/// is room.
#[derive(Debug)]
struct Memory {
    terms: Terms,
    /// By a run's hash: the last run that fell on the place.
    known: Box<[Known]>,
    numbers: Vec<Number>,
}

static KEPT: Mutex<Vec<Memory>> = Mutex::new(Vec::new());

impl Memory {
    fn kept() -> Option<Self> {
        let mut memory = KEPT.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        memory.known.fill(Known::default());
        memory.numbers.clear();
        Some(memory)
    }

    fn new() -> Self {
        let known = vec![Known::default(); REMEMBERED].into();
        Self { terms: Terms::default(), known, numbers: Vec::new() }
    }
}

impl<'a> Chunker<'a> {
    pub(super) fn new(
        wanted: &'a Wanted,
        asked: &'a Asked,
        word_worth: &'a [f64],
        name_worth: &'a [f64],
    ) -> Self {
        let finders =
            asked.phrases.iter().map(|phrase| memchr::memmem::Finder::new(phrase.as_bytes())).collect();
        Self {
            wanted,
            asked,
            word_worth,
            name_worth,
            memory: Memory::kept().unwrap_or_else(Memory::new),
            finders,
        }
    }

    /// Leaves what the next question can use.
    pub(super) fn end(self) {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST_KEPT {
            kept.push(self.memory);
        }
    }

    pub(super) fn chunks(&mut self, text: &[u8]) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let (mut start, mut line) = (0, 1);
        while start < text.len() {
            let rest = &text[start..];
            let mut ends = memchr::memchr_iter(b'\n', rest).take(LINES);
            let (mut lines, mut size) = (0, 0);
            for end in &mut ends {
                lines += 1;
                size = end + 1;
            }
            if lines < LINES {
                lines += usize::from(size < rest.len());
                size = rest.len();
            }
            let piece = &rest[..size];
            let (literal, phrase) = self.literal(piece);
            let score = self.score(piece);
            chunks.push(Chunk {
                start_line: line,
                end_line: line + lines - 1,
                bytes: size,
                score,
                fit: score,
                literal,
                phrase,
            });
            start += size;
            line += lines;
        }
        chunks
    }

    fn score(&mut self, text: &[u8]) -> f64 {
        let mut words = vec![0.0f64; self.asked.words.len()];
        let mut names = vec![0.0f64; self.asked.names.len()];
        let mut length = 0u32;
        let (mut line_end, mut share) = (0, 1.0);
        run_places(text, |start, end| {
            if start >= line_end {
                let begin =
                    memchr::memrchr(b'\n', &text[line_end..start]).map_or(line_end, |at| line_end + at + 1);
                line_end = memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |at| start + at);
                share = if is_comment(&text[begin..line_end]) { COMMENT_SHARE } else { 1.0 };
            }
            let known = self.known(text, start, end);
            length += u32::from(known.terms);
            for number in &self.memory.numbers[known.start as usize..][..usize::from(known.count)] {
                match number {
                    Number::Word(at) => words[usize::from(*at)] += share,
                    Number::Name(at) => names[usize::from(*at)] += share,
                }
            }
        });
        let norm = K1 * (1.0 - B + B * f64::from(length) / MEAN_LENGTH);
        let sum = |counts: &[f64], worth: &[f64]| -> f64 {
            let counted = counts.iter().zip(worth).filter(|(count, _)| **count > 0.0);
            counted.map(|(&count, worth)| worth * count * (K1 + 1.0) / (count + norm)).sum()
        };
        sum(&words, self.word_worth) + NAME_SHARE * sum(&names, self.name_worth)
    }

    fn known(&mut self, text: &[u8], start: usize, end: usize) -> Known {
        let hash = hash_part(text, start, end).max(1);
        let place = hash as usize % REMEMBERED;
        let Memory { terms, known, numbers } = &mut self.memory;
        if known[place].hash == hash {
            return known[place];
        }
        let first = numbers.len();
        let terms = terms.of_run(&text[start..end]);
        for &term in terms {
            numbers.extend(match (self.wanted.word(term), self.wanted.compound(term)) {
                (Some(at), _) => Some(Number::Word(at as u16)),
                (_, Some(at)) => Some(Number::Name(at as u16)),
                _ => None,
            });
        }
        let count = (numbers.len() - first) as u16;
        known[place] = Known { hash, start: first as u32, count, terms: terms.len() as u16 };
        known[place]
    }

    /// How many bytes of the phrases a text has, and the longest of them.
    fn literal(&self, text: &[u8]) -> (usize, Option<usize>) {
        if self.finders.is_empty() {
            return (0, None);
        }
        let lower = text.to_ascii_lowercase();
        let found = self.finders.iter().enumerate().filter(|(_, finder)| finder.find(&lower).is_some());
        found.fold((0, None), |(bytes, longest), (at, finder)| {
            let longer =
                longest.is_none_or(|other: usize| finder.needle().len() > self.finders[other].needle().len());
            (bytes + finder.needle().len(), if longer { Some(at) } else { longest })
        })
    }
}

/// Whether a line is a comment by how it begins. `#` begins Rust's attributes and C's directives too.
fn is_comment(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    if let Some(rest) = text.strip_prefix(b"#") {
        let code = [&b"["[..], b"!", b"if", b"in", b"define", b"el", b"en", b"un", b"pragma"];
        return !code.iter().any(|word| rest.starts_with(word));
    }
    [&b"//"[..], b"*", b"/*", b"--", b"<!--"].iter().any(|mark| text.starts_with(mark))
}

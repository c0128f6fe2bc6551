//! Words and identifiers of code and prose as terms: numbers that an index can count.
//!
//! An identifier gives its words, in lower case and stemmed (`parseHTTPHeader` → pars, http, header), and, where it
//! has more than one, itself as a whole (`parsehttpheader`, whatever the spelling). What a word is worth is not
//! decided here.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rust_stemmers::{Algorithm, Stemmer};

/// A term by its hash. Two of a million different ones meet once in four thousand questions of a hundred words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Term(pub(super) u32);

/// What a term stands for. The same letters are different terms in different roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A stemmed word.
    Word = 1,
    /// An identifier of several words as a whole.
    Compound = 2,
    /// A word of a name that is defined here.
    DefinedWord = 3,
    /// A name that is defined here, as a whole.
    Defined = 4,
}

/// Longer runs are no names: digests, encoded data.
pub(super) const LONGEST_RUN: usize = 64;
const LONGEST_NUMBER: usize = 5;
/// Words whose stems are remembered.
const REMEMBERED: usize = 1 << 16;

pub(super) fn term(role: Role, text: &[u8]) -> Term {
    let mut hash = hash_bytes(text) ^ (role as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    Term((hash >> 32) as u32)
}

/// A fast hash that is the same on every machine.
pub(super) fn hash_bytes(bytes: &[u8]) -> u64 {
    hash_part(bytes, 0, bytes.len())
}

/// Hashing for keys that are hashes already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = (self.0.rotate_left(5) ^ hash_bytes(bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn write_u8(&mut self, value: u8) {
        self.0 = self.0.rotate_left(5) ^ u64::from(value);
    }
    fn write_usize(&mut self, _length: usize) {
        // The keys are of one length.
    }
    fn write_u32(&mut self, value: u32) {
        self.0 = u64::from(value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

pub(super) type HashedMap<K, V> = HashMap<K, V, BuildHasherDefault<Hashed>>;

const BLOCK: usize = 64;

/// Which bytes of a block belong to names, by bits. Bytes beyond ASCII do: they are letters in most scripts.
/// Without branches, so that a compiler makes of it what the processor does to many bytes at a time.
fn name_bits(block: &[u8; BLOCK]) -> u64 {
    let mut flags = [0u8; BLOCK];
    for (flag, &byte) in flags.iter_mut().zip(block) {
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        let digit = byte.wrapping_sub(b'0') < 10;
        *flag = u8::from(letter | digit | (byte == b'_') | (byte >= 128));
    }
    // The product has the eight flags of a word in its highest byte, in their order.
    let words = flags.as_chunks::<8>().0.iter().enumerate();
    words.fold(0, |bits, (at, word)| {
        bits | (u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * at)
    })
}

/// Runs of letters, digits and `_` that may be names or words, with their places.
pub(super) fn runs(text: &[u8], mut each: impl FnMut(usize, &[u8])) {
    run_places(text, |start, end| each(start, &text[start..end]));
}

/// Where the runs of a text begin and end.
pub(super) fn run_places(text: &[u8], mut each: impl FnMut(usize, usize)) {
    let mut open = None;
    let mut carry = 0;
    let mut take = |base: usize, block: &[u8; BLOCK]| {
        let bits = name_bits(block);
        let mut edges = bits ^ (bits << 1 | carry);
        carry = bits >> (BLOCK - 1);
        while edges != 0 {
            let at = base + edges.trailing_zeros() as usize;
            edges &= edges - 1;
            match open.take() {
                None => open = Some(at),
                Some(start) if (2..=LONGEST_RUN).contains(&(at - start)) => each(start, at),
                Some(_) => {}
            }
        }
    };
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for (at, block) in blocks.iter().enumerate() {
        take(at * BLOCK, block);
    }
    // What follows the text ends its last run; where the rest fills a block, it is an empty one that does.
    let mut last = [b' '; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    take(blocks.len() * BLOCK, &last);
}

/// [`hash_bytes`] of a part of a text, without a look at each byte.
pub(super) fn hash_part(text: &[u8], start: usize, end: usize) -> u64 {
    let mut hash = 0xbf58_476d_1ce4_e5b9 ^ (end - start) as u64;
    let mut at = start;
    while at < end {
        let mut word = match text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(word) => u64::from_le_bytes(*word),
            None => {
                let mut word = [0; 8];
                let rest = &text[at..];
                word[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(word)
            }
        };
        if end - at < 8 {
            word &= (1 << (8 * (end - at))) - 1;
        }
        hash = mixed(hash, word);
        at += 8;
    }
    hash ^ (hash >> 32)
}

/// Both halves of the product count: in the lower one alone, letters next to each other cancel each other out.
fn mixed(hash: u64, word: u64) -> u64 {
    const K: u128 = 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(hash ^ word) * K;
    (product >> 64) as u64 ^ product as u64
}

/// Turns runs into terms. Remembers the stems of words, so one is used for many texts.
pub(super) struct Terms {
    stemmer: Stemmer,
    /// By a word's hash: the last word that fell on the place, and its term.
    stems: Box<[(u64, Term)]>,
    terms: Vec<Term>,
    joined: Vec<u8>,
}

impl std::fmt::Debug for Terms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terms").finish_non_exhaustive()
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            stemmer: Stemmer::create(Algorithm::English),
            stems: vec![(0, Term(0)); REMEMBERED].into(),
            terms: Vec::new(),
            joined: Vec::new(),
        }
    }
}

impl Terms {
    /// The terms of a run: its words, then itself where it is more than its only word.
    pub(super) fn of_run(&mut self, run: &[u8]) -> &[Term] {
        self.terms.clear();
        let mut joined = std::mem::take(&mut self.joined);
        let kind = words(run, &mut joined, |word| {
            let term = self.word(word);
            self.terms.push(term);
        });
        if kind == Whole::Compound {
            self.terms.push(term(Role::Compound, &joined));
        }
        self.joined = joined;
        &self.terms
    }

    /// The term of a word in lower case.
    fn word(&mut self, word: &[u8]) -> Term {
        if is_code(word) {
            return term(Role::Word, word);
        }
        let key = word_hash(word);
        let place = &mut self.stems[(key >> 20) as usize % REMEMBERED];
        if place.0 != key {
            let word = String::from_utf8_lossy(word);
            *place = (key, term(Role::Word, self.stemmer.stem(&word).as_bytes()));
        }
        place.1
    }

    /// The terms of a word in lower case: of text, and of names that are defined.
    pub(super) fn both(&self, word: &[u8]) -> [Term; 2] {
        let both = |stem: &[u8]| [term(Role::Word, stem), term(Role::DefinedWord, stem)];
        if is_code(word) {
            both(word)
        } else {
            both(self.stemmer.stem(&String::from_utf8_lossy(word)).as_bytes())
        }
    }

    /// The stem of a word in lower case.
    pub(super) fn stem(&self, word: &str) -> String {
        match is_code(word.as_bytes()) {
            true => word.to_owned(),
            false => self.stemmer.stem(word).into_owned(),
        }
    }
}

/// Short words and codes have no endings to take off.
fn is_code(word: &[u8]) -> bool {
    word.len() <= 3 || word.iter().any(u8::is_ascii_digit)
}

/// Never 0.
pub(super) fn word_hash(word: &[u8]) -> u64 {
    hash_bytes(word) | 1
}

/// How a run and its words are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    NoWord,
    OneWord,
    Compound,
}

impl Whole {
    fn of(words: usize, all_in_words: bool) -> Self {
        match words {
            0 => Self::NoWord,
            1 if all_in_words => Self::OneWord,
            _ => Self::Compound,
        }
    }
}

/// Calls `each` with the words of a run in lower case; `whole` becomes the run as [`joined`] has it.
pub(super) fn words(run: &[u8], whole: &mut Vec<u8>, mut each: impl FnMut(&[u8])) -> Whole {
    whole.clear();
    if !run.is_ascii() {
        let mut parts = Vec::new();
        split_unicode(&String::from_utf8_lossy(run), &mut parts);
        parts.iter().for_each(|part| each(part.as_bytes()));
        whole.extend_from_slice(joined(run).as_bytes());
        return Whole::of(parts.len(), parts.concat().as_bytes() == whole.as_slice());
    }
    whole.extend_from_slice(run);
    whole.make_ascii_lowercase();
    let (mut length, mut words, mut in_words) = (0, 0, 0);
    split_ascii(run, |start, end| {
        if start > length {
            whole.copy_within(start..end, length);
        }
        let part = length..length + (end - start);
        length = part.end;
        if is_word(&whole[part.clone()]) {
            in_words += part.len();
            words += 1;
            each(&whole[part]);
        }
    });
    whole.truncate(length);
    Whole::of(words, in_words == length)
}

/// A run as a whole, whatever its spelling: `split_amount` and `splitAmount` are `splitamount`.
pub(super) fn joined(run: &[u8]) -> String {
    String::from_utf8_lossy(run).to_lowercase().replace('_', "")
}

/// The words of a run in lower case: parts at `_`, at changes of case, and single ideographs in pairs. Numbers alone
/// stay where they are short, as a status or a code may be; parts of one letter go.
pub(super) fn split(run: &[u8], parts: &mut Vec<String>) {
    parts.clear();
    if run.is_ascii() {
        split_ascii(run, |start, end| {
            if is_word(&run[start..end]) {
                parts.push(String::from_utf8_lossy(&run[start..end]).to_ascii_lowercase());
            }
        });
    } else {
        split_unicode(&String::from_utf8_lossy(run), parts);
    }
}

/// Where all parts of a run begin and end, also of those that are no words.
fn split_ascii(run: &[u8], mut each: impl FnMut(usize, usize)) {
    let mut start = 0;
    for at in 0..run.len() {
        let byte = run[at];
        if byte == b'_' {
            each(start, at);
            start = at + 1;
        } else if byte.is_ascii_uppercase() && at > start {
            // `aB` and `1B` begin a word at B, `HTTPServer` at the last capital before small letters.
            if !run[at - 1].is_ascii_uppercase() || run.get(at + 1).is_some_and(u8::is_ascii_lowercase) {
                each(start, at);
                start = at;
            }
        }
    }
    each(start.min(run.len()), run.len());
}

fn is_word(part: &[u8]) -> bool {
    part.len() > 1 && !(part[0].is_ascii_digit() && is_long_number(part))
}

fn is_long_number(part: &[u8]) -> bool {
    let digits = part.strip_prefix(b"0x").unwrap_or(part);
    digits.len() > LONGEST_NUMBER && digits.iter().all(u8::is_ascii_hexdigit)
}

fn split_unicode(run: &str, parts: &mut Vec<String>) {
    let mut word = String::new();
    let mut before: Option<char> = None;
    for c in run.chars() {
        if is_ideograph(c) {
            flush(&mut word, parts);
            if let Some(before) = before.filter(|before| is_ideograph(*before)) {
                parts.push([before, c].iter().collect());
            }
        } else if c == '_' || !c.is_alphanumeric() {
            flush(&mut word, parts);
        } else {
            if c.is_uppercase() && before.is_some_and(|before| !before.is_uppercase()) {
                flush(&mut word, parts);
            }
            word.extend(c.to_lowercase());
        }
        before = Some(c);
    }
    flush(&mut word, parts);
}

fn flush(word: &mut String, parts: &mut Vec<String>) {
    if word.chars().count() > 1 {
        parts.push(std::mem::take(word));
    }
    word.clear();
}

/// Chinese characters, kana and hangul, which are written without spaces.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts_of(run: &str) -> Vec<String> {
        let mut parts = Vec::new();
        split(run.as_bytes(), &mut parts);
        parts
    }

    #[test]
    fn names_are_split_at_case_and_underscore() {
        for (run, expected) in [
            ("splitAmount", vec!["split", "amount"]),
            ("into_shares", vec!["into", "shares"]),
            ("HTTPServer", vec!["http", "server"]),
            ("parseHTTPHeader2", vec!["parse", "http", "header2"]),
            ("__init__", vec!["init"]),
            ("MAX_RETRY_COUNT", vec!["max", "retry", "count"]),
            ("x2", vec!["x2"]),
            ("404", vec!["404"]),
            ("20240131120000", vec![]),
            ("0xdeadbeef", vec![]),
            ("GrößeÄndern", vec!["größe", "ändern"]),
            ("日本語", vec!["日本", "本語"]),
        ] {
            assert_eq!(parts_of(run), expected, "{run}");
        }
    }

    #[test]
    fn spellings_of_a_name_are_one_compound_and_forms_of_a_word_one_term() {
        let mut terms = Terms::default();
        let mut of = |run: &str| terms.of_run(run.as_bytes()).to_vec();
        assert_eq!(of("splitAmounts")[0], of("splitting")[0]);
        assert_eq!(of("splitAmount"), of("split_amount"));
        assert_eq!(of("split_amount")[2], term(Role::Compound, b"splitamount"));
        assert_eq!((of("amount").len(), of("__init__").len(), of("20240131120000").len()), (1, 1, 0));
        assert_ne!(of("part_7"), of("part_8"));
        assert_eq!(of("größe_ändern"), of("GrößeÄndern"));
    }

    #[test]
    fn runs_are_names_and_not_blobs_of_data() {
        let data = "a".repeat(65);
        let text = format!("let x = foo_bar(\"baz\"); {data} a");
        let mut found = Vec::new();
        runs(text.as_bytes(), |at, run| found.push((at, String::from_utf8_lossy(run).into_owned())));
        assert_eq!(found, [(0, "let".into()), (8, "foo_bar".into()), (17, "baz".into())]);
    }

    #[test]
    fn runs_and_their_hashes_are_the_same_wherever_they_stand() {
        for before in 0..200 {
            let text = format!("{}split_amount {}x größe_2", " ".repeat(before), "-".repeat(before / 3));
            let mut found = Vec::new();
            run_places(text.as_bytes(), |start, end| {
                found.push((hash_part(text.as_bytes(), start, end), text[start..end].to_owned()));
            });
            let expected =
                ["split_amount", "größe_2"].map(|run| (hash_bytes(run.as_bytes()), run.to_owned()));
            assert_eq!(found, expected, "{before}");
        }
        let ends: Vec<usize> = (60..70)
            .filter(|&length| {
                let mut found = Vec::new();
                run_places(format!("{} ab", " ".repeat(length - 3)).as_bytes(), |start, end| {
                    found.push((start, end))
                });
                found == [(length - 2, length)]
            })
            .collect();
        assert_eq!(ends, (60..70).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_forgotten_is_found_again() {
        let mut terms = Terms::default();
        let first = terms.of_run(b"first").to_vec();
        for n in 0..4 * REMEMBERED {
            let run = format!("name{n}");
            terms.of_run(run.as_bytes());
        }
        assert_eq!(terms.of_run(b"first"), first);
    }
}

//! Ranking by words: BM25 (k1 = 1.2, b = 0.75) over the split identifiers of overlapping windows of lines.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{BYTES_PER_TOKEN, Snippet, files};
use crate::workspace::Snapshot;

const WINDOW_LINES: usize = 40;
const STEP_LINES: usize = 30;
const K1: f64 = 1.2;
const B: f64 = 0.75;
/// What a word of the path counts besides, in units of the same word in the text.
const PATH_WEIGHT: f64 = 2.0;
/// A path that the text names whole.
const NAMED_PATH_BONUS: f64 = 10.0;
const MAX_SNIPPETS: usize = 12;
/// Most named words in a reason.
const REASON_WORDS: usize = 5;

struct Window<'a> {
    path: &'a str,
    start: usize,
    lines: Vec<&'a str>,
    /// Only the words that are asked for.
    counts: HashMap<String, f64>,
    length: f64,
}

/// The places of `snapshot` whose words fit `text` best, in about `budget_tokens` tokens, best first.
/// Neighbouring places of a file are one.
pub fn relevant(snapshot: &Snapshot, text: &str, budget_tokens: usize) -> Vec<Snippet> {
    let asked: BTreeSet<String> = words(text).filter(|word| !is_common(word)).collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let windows = windows(snapshot, &asked);
    let scores = scores(&windows, &asked, text);
    let mut order: Vec<usize> = (0..windows.len()).filter(|&index| scores[index] > 0.0).collect();
    order.sort_by(|&a, &b| {
        let place = |index: usize| (windows[index].path, windows[index].start);
        scores[b].total_cmp(&scores[a]).then_with(|| place(a).cmp(&place(b)))
    });
    let mut left = budget_tokens * BYTES_PER_TOKEN;
    let mut chosen: Vec<Snippet> = Vec::new();
    for index in order {
        let window = &windows[index];
        let bytes: usize = window.lines.iter().map(|line| line.len() + 1).sum();
        if bytes > left || chosen.len() >= MAX_SNIPPETS {
            continue;
        }
        left -= bytes;
        add(&mut chosen, window);
    }
    chosen
}

fn windows<'a>(snapshot: &'a Snapshot, asked: &BTreeSet<String>) -> Vec<Window<'a>> {
    let mut windows = Vec::new();
    for (path, entry) in &snapshot.files {
        if files::is_skipped(path.as_str(), &entry.bytes) {
            continue;
        }
        let Ok(text) = std::str::from_utf8(&entry.bytes) else { continue };
        let lines: Vec<&str> = text.lines().collect();
        let mut start = 0;
        while start < lines.len() {
            let end = (start + WINDOW_LINES).min(lines.len());
            windows.push(window(path.as_str(), start, &lines[start..end], asked));
            if end == lines.len() {
                break;
            }
            start += STEP_LINES;
        }
    }
    windows
}

fn window<'a>(path: &'a str, start: usize, lines: &[&'a str], asked: &BTreeSet<String>) -> Window<'a> {
    let mut counts: HashMap<String, f64> = HashMap::new();
    let mut length = 0.0;
    let of_lines = lines.iter().flat_map(|line| words(line)).map(|word| (word, 1.0));
    for (word, weight) in of_lines.chain(words(path).map(|word| (word, PATH_WEIGHT))) {
        length += 1.0;
        if asked.contains(&word) {
            *counts.entry(word).or_default() += weight;
        }
    }
    Window { path, start, lines: lines.to_vec(), counts, length }
}

fn scores(windows: &[Window<'_>], asked: &BTreeSet<String>, text: &str) -> Vec<f64> {
    let total = windows.len() as f64;
    let average = windows.iter().map(|window| window.length).sum::<f64>() / total.max(1.0);
    let rarity: BTreeMap<&str, f64> = asked
        .iter()
        .map(|word| {
            let with = windows.iter().filter(|window| window.counts.contains_key(word)).count() as f64;
            (word.as_str(), ((total - with + 0.5) / (with + 0.5) + 1.0).ln())
        })
        .collect();
    let score = |window: &Window<'_>| {
        let norm = K1 * (1.0 - B + B * window.length / average.max(1.0));
        // In the order of the words: a sum of floats depends on it.
        let sum: f64 = rarity
            .iter()
            .filter_map(|(word, rarity)| {
                let count = window.counts.get(*word)?;
                Some(rarity * count * (K1 + 1.0) / (count + norm))
            })
            .sum();
        if text.contains(window.path) { sum + NAMED_PATH_BONUS } else { sum }
    };
    windows.iter().map(score).collect()
}

/// Adds a window, or joins it to one of the same file that it touches.
fn add(chosen: &mut Vec<Snippet>, window: &Window<'_>) {
    let (start, end) = (window.start + 1, window.start + window.lines.len());
    let touching = chosen.iter_mut().find(|snippet| {
        snippet.path == window.path && start <= snippet.end_line + 1 && snippet.start_line <= end + 1
    });
    let Some(snippet) = touching else {
        chosen.push(Snippet {
            path: window.path.to_owned(),
            start_line: start,
            end_line: end,
            text: window.lines.iter().map(|line| format!("{line}\n")).collect(),
            reason: reason(window),
        });
        return;
    };
    let text_of = |range: &[&str]| range.iter().map(|line| format!("{line}\n")).collect::<String>();
    if end > snippet.end_line {
        let new = snippet.end_line + 1 - start;
        snippet.text.push_str(&text_of(&window.lines[new..]));
        snippet.end_line = end;
    }
    if start < snippet.start_line {
        let new = snippet.start_line - start;
        snippet.text.insert_str(0, &text_of(&window.lines[..new]));
        snippet.start_line = start;
    }
}

fn reason(window: &Window<'_>) -> String {
    let mut words: Vec<_> = window.counts.iter().collect();
    words.sort_by(|a, b| b.1.total_cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let words: Vec<_> = words.iter().take(REASON_WORDS).map(|(word, _)| word.as_str()).collect();
    format!("has the words {}", words.join(", "))
}

/// Words in lower case; identifiers are split at `_` and at changes of case.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|run| !run.is_empty()).flat_map(split_case)
}

fn split_case(run: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous: Option<char> = None;
    for c in run.chars() {
        let begins = previous.is_none_or(|before| c.is_uppercase() && !before.is_uppercase());
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
        previous = Some(c);
    }
    words.retain(|word| word.chars().count() > 1);
    words
}

/// Words that say nothing about a place.
fn is_common(word: &str) -> bool {
    const COMMON: [&str; 36] = [
        "the", "and", "for", "that", "this", "with", "from", "have", "has", "are", "was", "not", "but",
        "when", "then", "should", "would", "could", "can", "will", "must", "into", "out", "its", "it", "is",
        "in", "on", "of", "to", "as", "be", "by", "or", "an", "if",
    ];
    COMMON.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    #[test]
    fn identifiers_are_split_at_case_and_underscore() {
        let found: Vec<_> = words("splitAmount into_shares HTTPServer x2 Größe").collect();
        assert_eq!(found, ["split", "amount", "into", "shares", "httpserver", "x2", "größe"]);
    }

    #[test]
    fn the_place_that_the_text_is_about_comes_first() {
        let filler = "fn other() { let nothing = 1; }\n".repeat(100);
        let far = format!("{filler}fn split_amount(total: u64, people: u64) {{}}\n{filler}");
        let snapshot = tree(&[
            ("src/a.rs", &filler),
            ("src/money.rs", &far),
            ("vendor/money.rs", "fn split_amount(total: u64, people: u64) {}\n"),
            ("src/gen.rs", "// @generated\nfn split_amount(total: u64, people: u64) {}\n"),
        ]);
        let found =
            relevant(&snapshot, "splitAmount loses a cent when people do not divide the total", 2_000);
        assert_eq!(found[0].path, "src/money.rs");
        assert!((found[0].start_line..=found[0].end_line).contains(&101), "{:?}", found[0]);
        assert!(
            found.iter().all(|snippet| snippet.path != "vendor/money.rs" && snippet.path != "src/gen.rs")
        );
        assert_eq!(
            found,
            relevant(&snapshot, "splitAmount loses a cent when people do not divide the total", 2_000)
        );
    }

    #[test]
    fn neighbouring_places_are_joined_and_the_budget_holds() {
        let text = "let cents = amount;\n".repeat(70);
        let found = relevant(&tree(&[("a.rs", &text)]), "cents of the amount", 10_000);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].start_line, found[0].end_line, found[0].text.as_str()), (1, 70, text.as_str()));
        assert!(relevant(&tree(&[("a.rs", &text)]), "cents", 10).is_empty());
    }

    #[test]
    fn a_text_without_words_asks_for_nothing() {
        assert!(relevant(&tree(&[("a.rs", "fn a() {}")]), "it is the", 1_000).is_empty());
    }
}

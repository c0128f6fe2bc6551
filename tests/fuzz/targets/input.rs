//! From libFuzzer's bytes to what a target reads.

/// Inputs that begin with this byte are made of a target's words, a byte a word.
const OF_WORDS: u8 = 1;
/// Inputs that begin with this byte, a count and a length are a piece that is repeated, and a rest.
const REPEATED: u8 = 2;
/// So long, in bytes, does repetition make an input.
const LONGEST_REPETITION: usize = 4 * 1024;

/// The input as text.
pub fn text(data: &[u8], words: &[&str]) -> String {
    match data {
        [OF_WORDS, rest @ ..] => of_words(rest, words),
        [REPEATED, times, length, rest @ ..] => {
            let (piece, rest) = rest.split_at(rest.len().min(usize::from(*length)));
            let piece = of_words(piece, words);
            let times = (usize::from(*times) * 16).min(LONGEST_REPETITION / piece.len().max(1));
            format!("{}{}", piece.repeat(times), of_words(rest, words))
        }
        raw => String::from_utf8_lossy(raw).into_owned(),
    }
}

fn of_words(bytes: &[u8], words: &[&str]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match words.get(usize::from(*byte)) {
            Some(word) => text.push_str(word),
            None => text.push(char::from(b' ' + byte % 95)),
        }
    }
    text
}

/// The parts of a text between lines of equals signs: exactly `N`, the last ones empty where there are fewer.
pub fn parts<const N: usize>(text: &str) -> [&str; N] {
    let mut rest = Some(text);
    std::array::from_fn(|at| {
        let Some(here) = rest else { return "" };
        match here.split_once("\n=====\n") {
            Some((part, after)) if at + 1 < N => {
                rest = Some(after);
                part
            }
            _ => {
                rest = None;
                here
            }
        }
    })
}

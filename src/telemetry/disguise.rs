//! A text read in other ways: backwards, and as base64, hex or percent escapes of something else.

use std::ops::Range;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

/// A shorter run of letters cannot hold a token.
const SHORTEST_RUN: usize = 24;
/// Lines of wrapped base64 are at least so long (PEM has 64, MIME 76).
const WRAPPED_LINE: usize = 60;

/// Both alphabets, whatever stands in the last bits.
static DECODERS: [GeneralPurpose; 2] = [
    GeneralPurpose::new(&STANDARD, NO_PAD.with_decode_allow_trailing_bits(true)),
    GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true)),
];

/// Runs of letters that are a spelling of something in which `reveals` finds a secret.
pub(super) fn disguised(text: &str, reveals: &dyn Fn(&str) -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut look = |run: Range<usize>, read: &dyn Fn(&str) -> Vec<Vec<u8>>| {
        if read(&text[run.clone()]).iter().any(|bytes| reveals(&String::from_utf8_lossy(bytes))) {
            found.push(run);
        }
    };
    for run in runs(text, is_base64, WRAPPED_LINE) {
        look(run, &base64_readings);
    }
    for run in runs(text, |byte| byte.is_ascii_hexdigit(), usize::MAX) {
        look(run, &hex_readings);
    }
    for run in runs(text, |byte| byte == b'%' || is_unreserved(byte), usize::MAX) {
        look(run, &percent_readings);
    }
    found
}

/// Where `find` finds something in the text read backwards.
pub(super) fn backwards(text: &str, find: impl Fn(&str) -> Vec<Range<usize>>) -> Vec<Range<usize>> {
    let reversed: String = text.chars().rev().collect();
    let mirrored = |range: Range<usize>| text.len() - range.end..text.len() - range.start;
    find(&reversed).into_iter().map(mirrored).collect()
}

/// Longest stretches of such bytes; lines that are at least `wrapped` long go on in the next one.
fn runs(text: &str, belongs: impl Fn(u8) -> bool, wrapped: usize) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut runs = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !belongs(bytes[at]) {
            at += 1;
            continue;
        }
        let (start, mut line) = (at, at);
        loop {
            at += bytes[at..].iter().take_while(|byte| belongs(**byte)).count();
            let end_of_line = bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let goes_on = bytes.get(at + end_of_line).is_some_and(|byte| belongs(*byte));
            if at - line < wrapped || end_of_line == 0 || !goes_on {
                break;
            }
            at += end_of_line;
            line = at;
        }
        if at - start >= SHORTEST_RUN {
            runs.push(start..at);
        }
    }
    runs
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

/// The run may begin anywhere in a group of four letters.
fn base64_readings(run: &str) -> Vec<Vec<u8>> {
    let letters: Vec<u8> = run.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let mut readings = Vec::new();
    for skipped in 0..4 {
        let rest = letters.get(skipped..).unwrap_or_default();
        // One letter too many holds less than a byte.
        let whole = if rest.len() % 4 == 1 { &rest[..rest.len() - 1] } else { rest };
        readings.extend(DECODERS.iter().filter_map(|decoder| decoder.decode(whole).ok()));
    }
    readings
}

fn hex_readings(run: &str) -> Vec<Vec<u8>> {
    let reading = |skipped: usize| {
        let rest = run.get(skipped..)?;
        hex::decode(&rest[..rest.len() / 2 * 2]).ok()
    };
    (0..2).filter_map(reading).collect()
}

fn percent_readings(run: &str) -> Vec<Vec<u8>> {
    if !run.contains('%') {
        return Vec::new();
    }
    let mut read = Vec::with_capacity(run.len());
    let mut rest = run.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = (first == b'%').then(|| after.get(..2)).flatten().and_then(|two| hex::decode(two).ok());
        match escape {
            Some(byte) => {
                read.extend(byte);
                rest = &after[2..];
            }
            None => {
                read.push(first);
                rest = after;
            }
        }
    }
    vec![read]
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};

    use super::*;

    fn reveals(text: &str) -> bool {
        text.contains("the-token-inside")
    }

    #[test]
    fn a_spelling_is_found_where_it_stands_and_nothing_around_it() {
        for prefix in ["", "a", "ab", "abc"] {
            let inside = format!("{prefix}the-token-inside?>~{prefix}");
            let escaped: String = inside.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let long = BASE64.encode(format!("{}{inside}", "x".repeat(100)));
            let wrapped = format!("{}\r\n{}\n{}", &long[..64], &long[64..128], &long[128..]);
            for spelling in [
                BASE64.encode(&inside).trim_end_matches('=').to_owned(),
                URL_SAFE_NO_PAD.encode(&inside),
                hex::encode(&inside),
                hex::encode_upper(&inside),
                escaped,
                wrapped.trim_end_matches('=').to_owned(),
            ] {
                let text = format!("ä before: {spelling}, after");
                let found = disguised(&text, &reveals);
                assert_eq!(found.len(), 1, "{text}");
                assert_eq!(&text[found[0].clone()], spelling);
            }
        }
    }

    #[test]
    fn other_text_is_left_alone() {
        for text in [
            "",
            "%",
            "%zz%4",
            "a word that is AVeryLongNameInCamelCaseWithNothingInIt and a hash d41d8cd98f00b204e9800998ecf8427e",
            "the-token-inside",
        ] {
            assert!(disguised(text, &reveals).is_empty(), "{text}");
        }
    }

    #[test]
    fn what_stands_backwards_is_found_at_its_place() {
        let find = |text: &str| text.match_indices("über").map(|(at, part)| at..at + part.len()).collect();
        let text = "ä rebü ß";
        let found = backwards(text, find);
        assert_eq!(&text[found[0].clone()], "rebü");
    }

    #[test]
    fn a_long_run_takes_time_by_its_length_only() {
        let began = std::time::Instant::now();
        for unit in ["A", "f", "%41", "AAAA ", "AAAA\n"] {
            disguised(&unit.repeat(200_000), &reveals);
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

//! Takes secrets out of text that leaves the program: the values that we know, in the ways that they
//! are usually written, and whatever has the shape of a well-known token.
//!
//! A last line of defence, not the first: secrets must not get near such text at all. It does not
//! find a secret that somebody took more trouble to disguise than base64, hex, percent escapes, line
//! breaks and reversal are.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use regex::Regex;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::disguise::{backwards, disguised};

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Shorter values are not looked for: they would be found in innocent words.
const SHORTEST_SECRET: usize = 8;
/// Shorter spellings are not looked for across blanks and line ends, for the same reason.
const SHORTEST_ACROSS: usize = 16;
/// Taking a secret away can lay the edge of another bare; more rounds than this are never needed.
const MOST_ROUNDS: usize = 4;

/// Well-known tokens. Each pattern is linear-time and bounded by what cannot be part of a token.
static TOKENS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // GitHub: https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
        r"\bgh[pousr]_[A-Za-z0-9_.\-]{20,}",
        r"\bgithub_pat_[A-Za-z0-9_]{20,}",
        // Model providers. A slug such as `sk-one-two-three` lacks the long run.
        r"\bsk-ant-[A-Za-z0-9_\-]{16,}",
        r"\bsk-(?:[a-z0-9]{1,12}-){0,3}[A-Za-z0-9_]{20,}[A-Za-z0-9_\-]*",
        r"\bxai-[A-Za-z0-9]{30,}",
        r"\bgsk_[A-Za-z0-9]{30,}",
        r"\bhf_[A-Za-z0-9]{30,}",
        r"\bAIza[A-Za-z0-9_\-]{35}",
        // Amazon's key ids, and registries' and Slack's tokens.
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        r"\bnpm_[A-Za-z0-9]{36}",
        r"\bpypi-AgE[A-Za-z0-9_\-]{30,}",
        r"\bglpat-[A-Za-z0-9_\-]{20,}",
        r"\bxox[abeprs]-[A-Za-z0-9\-]{10,}",
        r"\bxapp-\d-[A-Za-z0-9\-]{20,}",
        r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9_/\-]{20,}",
        r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
        r"\bSG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}",
        r"\bya29\.[A-Za-z0-9_\-]{20,}",
        // JSON Web Tokens: two JSON objects and a signature.
        r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}",
        // Private keys, with `\n` for their lines' ends too. Of one that is cut off, what looks like its lines: the
        // first line alone stands in many a text that goes on with something else.
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?:.*?-----END [A-Z0-9 ]*PRIVATE KEY-----|(?:[\s\\nr+|>,'0-9\x22-]*[A-Za-z0-9+/]{16,}={0,2})*)",
    ]
    .iter()
    .filter_map(|pattern| Regex::new(pattern).ok())
    .collect()
});

/// Knows the deployment's secrets; made once.
pub struct Redactor {
    /// Every way of writing every secret.
    spellings: Option<AhoCorasick>,
    /// The same without blanks, for text without blanks.
    across: Option<AhoCorasick>,
}

impl Redactor {
    pub fn new(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        let mut needles = Vec::new();
        for secret in secrets {
            let secret = secret.expose_secret().trim();
            add_spellings(secret, &mut needles);
            // A key of several lines is as secret line by line; its armour is not.
            let inner = secret.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
            if secret.contains('\n') {
                inner.filter(|line| line.len() >= 16).for_each(|line| add_spellings(line, &mut needles));
            }
        }
        needles.sort();
        needles.dedup();
        let squeezed = needles.iter().map(|needle| without_blanks(needle).0);
        let across: Vec<String> = squeezed.filter(|needle| needle.len() >= SHORTEST_ACROSS).collect();
        Self { spellings: finder(&needles), across: finder(&across) }
    }

    /// The text with every secret replaced by [`REDACTED`]. Cleaning twice changes nothing more.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for _ in 0..MOST_ROUNDS {
            let spots = self.spots(&text);
            if spots.is_empty() {
                break;
            }
            let mut cleaned = String::with_capacity(text.len());
            let mut end = 0;
            for spot in spots {
                cleaned.push_str(&text[end..spot.start]);
                cleaned.push_str(REDACTED);
                end = spot.end;
            }
            cleaned.push_str(&text[end..]);
            text = cleaned;
        }
        text
    }

    /// A value whose texts, names of fields aside, are clean.
    pub fn clean_json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.clean(&text)),
            Value::Array(entries) => entries.into_iter().map(|entry| self.clean_json(entry)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, field)| (name, self.clean_json(field))).collect()
            }
            other => other,
        }
    }

    /// Whether there is nothing to replace.
    pub fn is_clean(&self, text: &str) -> bool {
        self.spots(text).is_empty()
    }

    /// Whether the text holds one of the secrets that we were given. What only looks like a token does not
    /// count: tests are full of those.
    pub fn gives_away(&self, text: &str) -> bool {
        !self.known(text).is_empty()
    }

    fn known(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = matches(self.spellings.as_ref(), text);
        if let (Some(across), true) = (&self.across, text.contains(char::is_whitespace)) {
            let (squeezed, places) = without_blanks(text);
            let place = |at: usize| places.get(at).copied().unwrap_or(text.len());
            let whole = |spot: Range<usize>| place(spot.start)..place(spot.end - 1) + 1;
            found.extend(matches(Some(across), &squeezed).into_iter().map(whole));
        }
        found
    }

    /// Where secrets stand, in order, none touching the next: of two that overlap no end is left over.
    fn spots(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = self.known(text);
        found.extend(tokens(text));
        found.extend(backwards(text, tokens));
        found.extend(disguised(text, &|reading| TOKENS.iter().any(|token| token.is_match(reading))));
        found.sort_by_key(|spot| (spot.start, spot.end));
        let mut merged: Vec<Range<usize>> = Vec::new();
        for spot in found {
            match merged.last_mut() {
                Some(last) if spot.start <= last.end => last.end = last.end.max(spot.end),
                _ => merged.push(spot),
            }
        }
        merged
    }
}

/// `None`: there is nothing to look for.
fn finder(needles: &[String]) -> Option<AhoCorasick> {
    if needles.is_empty() { None } else { AhoCorasick::new(needles).ok() }
}

fn matches(finder: Option<&AhoCorasick>, text: &str) -> Vec<Range<usize>> {
    finder.map_or_else(Vec::new, |finder| finder.find_overlapping_iter(text).map(|one| one.range()).collect())
}

fn tokens(text: &str) -> Vec<Range<usize>> {
    TOKENS.iter().flat_map(|token| token.find_iter(text).map(|part| part.range())).collect()
}

/// The text without blanks and line ends, and where each of its bytes was.
fn without_blanks(text: &str) -> (String, Vec<usize>) {
    let mut squeezed = String::with_capacity(text.len());
    let mut places = Vec::with_capacity(text.len());
    for (at, c) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        squeezed.push(c);
        places.extend(at..at + c.len_utf8());
    }
    (squeezed, places)
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

fn add_spellings(secret: &str, needles: &mut Vec<String>) {
    if secret.len() < SHORTEST_SECRET {
        return;
    }
    let lower = hex::encode(secret);
    let escaped = serde_json::to_string(secret).unwrap_or_default();
    needles.extend([
        secret.to_owned(),
        secret.chars().rev().collect(),
        lower.to_ascii_uppercase(),
        lower,
        escaped.trim_matches('"').to_owned(),
        secret.replace('\n', "\\n"),
        secret.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        secret.bytes().map(|byte| format!("%{byte:02x}")).collect(),
    ]);
    add_url_spellings(secret, needles);
    for shift in 0..3 {
        add_base64_spellings(secret, shift, needles);
    }
}

fn add_url_spellings(secret: &str, needles: &mut Vec<String>) {
    // RFC 3986 for paths and queries, and the WHATWG's rule for forms, which differ in space and `~`.
    for (unreserved, space) in [("-_.~", "%20"), ("-_.*", "+"), ("-_.~", "+"), ("-_.*", "%20")] {
        let encode = |byte: u8| match char::from(byte) {
            ' ' => space.to_owned(),
            plain if plain.is_ascii_alphanumeric() || unreserved.contains(plain) => plain.to_string(),
            _ => format!("%{byte:02X}"),
        };
        let small = |byte: u8| match encode(byte) {
            escape if escape.starts_with('%') => escape.to_ascii_lowercase(),
            plain => plain,
        };
        needles.extend([secret.bytes().map(encode).collect::<String>(), secret.bytes().map(small).collect()]);
    }
}

/// Base64 of a longer text that holds the secret `shift` bytes after a multiple of three: the letters
/// that depend on the secret alone.
fn add_base64_spellings(secret: &str, shift: usize, needles: &mut Vec<String>) {
    let shifted = [vec![0; shift], secret.as_bytes().to_vec()].concat();
    let (start, end) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
    for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
        needles.extend(encoded.get(start..end).map(str::to_owned));
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "pässw>rd? & more/+~";

    fn redactor(secrets: &[&str]) -> Redactor {
        Redactor::new(secrets.iter().map(|secret| SecretString::from(*secret)))
    }

    #[test]
    fn a_known_secret_is_found_however_it_is_usually_written() {
        let redactor = redactor(&[SECRET]);
        let form = reqwest::Url::parse_with_params("http://x/", [("s", SECRET)]).unwrap();
        let mut spellings = vec![
            SECRET.to_owned(),
            hex::encode(SECRET),
            hex::encode_upper(SECRET),
            SECRET.chars().rev().collect(),
            form.query().unwrap()[2..].to_owned(),
            "p%c3%a4ssw%3erd%3f%20%26%20more%2f%2b~".to_owned(),
        ];
        spellings.extend(
            [STANDARD.encode(SECRET), URL_SAFE.encode(SECRET)].map(|s| s.trim_matches('=').to_owned()),
        );
        for spelling in spellings {
            let cleaned = redactor.clean(&format!("before {spelling} after"));
            // Base64 leaves at most two letters, which hold less than two bytes.
            let left = cleaned.replace("before [redacted]", "").replace(" after", "");
            assert!(cleaned.contains(REDACTED) && left.len() <= 2, "{spelling}: {cleaned}");
        }
    }

    #[test]
    fn a_secret_inside_a_longer_base64_text_is_found_at_every_offset() {
        let redactor = redactor(&["correct horse battery"]);
        for prefix in ["", "u", "us", "use", "user:", "user:x"] {
            let basic = STANDARD.encode(format!("{prefix}correct horse battery staple"));
            assert!(!redactor.is_clean(&basic), "{prefix:?}");
            let cleaned = redactor.clean(&basic);
            assert!(cleaned.len() < basic.len(), "{cleaned}");
        }
    }

    #[test]
    fn tokens_are_found_by_their_shape() {
        let long = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6";
        let tokens = [
            format!("ghs_{long}"),
            format!("ghp_{long}"),
            format!("gho_{long}"),
            format!("ghu_{long}"),
            format!("ghr_{long}"),
            format!("github_pat_11ABCDEFG0{long}_{long}"),
            format!("sk-ant-api03-{long}-{long}AA"),
            format!("sk-{long}"),
            format!("sk-proj-{long}_{long}"),
            format!("sk-or-v1-{long}"),
            "AKIAIOSFODNN7EXAMPLE".to_owned(),
            format!("xoxb-123456789-{long}"),
            format!("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0abcd.{long}"),
            format!("-----BEGIN RSA PRIVATE KEY-----\n{long}\n{long}\n-----END RSA PRIVATE KEY-----"),
            format!("-----BEGIN PRIVATE KEY-----\\n{long}\\n-----END PRIVATE KEY-----"),
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{long}"),
        ];
        for token in tokens {
            let cleaned = redactor(&[]).clean(&format!("token={token}"));
            assert_eq!(cleaned, "token=[redacted]", "{token}");
        }
    }

    #[test]
    fn innocent_text_stays_as_it_is() {
        let innocent = [
            "The task-runner asks sk-learn and scikit for sk-one-two-three-four-five-six-seven.",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "8cb176626a83b0b441be582795be7a72da76d200 fixes #1 and ghs_ is a prefix, so is github_pat_.",
            "eyJ is how a JSON object begins in base64: eyJhIjoxfQ",
            "AKIA is four letters.",
        ];
        for text in innocent {
            assert_eq!(redactor(&["", "short", "1234567"]).clean(text), text);
        }
    }

    #[test]
    fn secrets_that_overlap_leave_nothing_over() {
        let redactor = redactor(&["abcdefghij", "fghijklmno"]);
        assert_eq!(redactor.clean("<abcdefghijklmno>"), "<[redacted]>");
    }

    #[test]
    fn a_key_is_found_line_by_line() {
        let line = "MIIEowIBAAKCAQEAx7b0Zw3mFvQJ0yq2";
        let key = format!("-----BEGIN RSA PRIVATE KEY-----\n{line}\nshort\n-----END RSA PRIVATE KEY-----\n");
        let redactor = redactor(&[&key]);
        assert_eq!(redactor.clean(&format!("> {line}")), "> [redacted]");
        assert_eq!(redactor.clean("a short word"), "a short word");
        assert_eq!(redactor.clean(key.replace('\n', "\\n").trim_end_matches("\\n")), REDACTED);
    }

    #[test]
    fn the_first_line_of_a_key_hides_nothing_that_is_none() {
        let redactor = redactor(&[]);
        let begin = "-----BEGIN RSA PRIVATE KEY-----";
        let told = format!("assertion failed: expected \"{begin}\", got \"\"\nat tests/keys.rs:12\n");
        assert_eq!(
            redactor.clean(&told),
            "assertion failed: expected \"[redacted]\", got \"\"\nat tests/keys.rs:12\n"
        );
        let line = "MIIEowIBAAKCAQEAx7b0Zw3mFvQJ0yq2";
        for cut in [
            format!("{begin}\n{line}\n{line}"),
            format!("{begin}\\n{line}\\n{line}"),
            format!("{begin}\n+ {line}\n+ {line}"),
        ] {
            assert_eq!(
                redactor.clean(&format!("{cut}\n(the rest is cut)")),
                "[redacted]\n(the rest is cut)",
                "{cut}"
            );
        }
    }

    #[test]
    fn its_debug_form_shows_nothing() {
        assert_eq!(format!("{:?}", redactor(&["canary-canary"])), "Redactor { .. }");
    }

    #[test]
    fn tokens_are_found_in_disguise_too() {
        let redactor = redactor(&[]);
        let token = "ghs_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6";
        for around in ["", "a", "ab"] {
            let inside = format!("{around} {token}");
            for spelling in [
                STANDARD.encode(&inside),
                URL_SAFE.encode(&inside),
                hex::encode(&inside),
                hex::encode_upper(&inside),
                inside.bytes().map(|byte| format!("%{byte:02X}")).collect(),
                token.chars().rev().collect(),
            ] {
                let cleaned = redactor.clean(&format!("x {spelling} y"));
                assert_eq!(cleaned.replace('=', ""), "x [redacted] y", "{spelling}");
            }
        }
    }

    #[test]
    fn a_known_secret_is_found_across_line_ends_and_blanks() {
        let redactor = redactor(&["correct-horse-battery"]);
        for text in [
            "correct-\nhorse-\n  battery",
            "c o r r e c t - h o r s e - b a t t e r y",
            &hex::encode("correct-horse-battery").chars().map(|c| format!("{c} ")).collect::<String>(),
        ] {
            assert_eq!(redactor.clean(&format!("<{text}>")).replace(' ', ""), "<[redacted]>", "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_secret_in_any_spelling_inside_any_text_is_gone(
            secret in "[a-zA-Z0-9_=+/-]{16,40}",
            before in "\\PC{0,12}",
            after in "\\PC{0,12}",
            spelling in 0_usize..7,
        ) {
            let whole = format!("{before}{secret}{after}");
            let text = match spelling {
                0 => whole,
                1 => STANDARD.encode(&whole),
                2 => URL_SAFE.encode(&whole),
                3 => hex::encode(&whole),
                4 => whole.chars().rev().collect(),
                5 => whole.bytes().map(|byte| format!("%{byte:02x}")).collect(),
                _ => whole.chars().flat_map(|c| [c, '\n']).collect(),
            };
            let cleaned = redactor(&[&secret]).clean(&text);
            prop_assert!(cleaned.contains(REDACTED), "{}", cleaned);
            let plain = |text: &str| text.contains(&secret);
            let squeezed: String = cleaned.chars().filter(|c| *c != '\n').collect();
            prop_assert!(!plain(&cleaned) && !plain(&squeezed));
            prop_assert!(!plain(&cleaned.chars().rev().collect::<String>()));
            prop_assert!(!cleaned.contains(&hex::encode(&secret)));
        }

        #[test]
        fn no_secret_is_left_and_cleaning_twice_changes_nothing(
            secret in "[a-zA-Z0-9/+ é]{8,40}",
            around in proptest::collection::vec(".{0,20}", 1..4),
        ) {
            let redactor = redactor(&[&secret]);
            let cleaned = redactor.clean(&around.join(&secret));
            let known = secret.trim();
            if known.len() >= SHORTEST_SECRET && !REDACTED.contains(known) {
                prop_assert!(!cleaned.contains(known), "{}", cleaned);
            }
            prop_assert_eq!(redactor.clean(&cleaned), cleaned);
        }
    }
}

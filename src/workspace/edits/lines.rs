//! Lines of a file.

use std::borrow::Cow;

/// A line and how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    /// `\n`, `\r\n`, or nothing at the end of a file.
    pub(super) ending: &'a [u8],
}

impl<'a> Line<'a> {
    pub(super) fn is_blank(&self) -> bool {
        self.text.iter().all(u8::is_ascii_whitespace)
    }

    pub(super) fn trimmed(&self) -> &'a [u8] {
        self.text.trim_ascii_end()
    }

    pub(super) fn indentation(&self) -> &'a [u8] {
        let end = self.text.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(self.text.len());
        &self.text[..end]
    }
}

pub(super) fn split(bytes: &[u8]) -> Vec<Line<'_>> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(|raw| {
            let text = raw.strip_suffix(b"\r\n").or_else(|| raw.strip_suffix(b"\n")).unwrap_or(raw);
            Line { text, ending: &raw[text.len()..] }
        })
        .collect()
}

/// Whether all lines end as on Windows, and there is at least one.
pub(super) fn only_windows_endings(bytes: &[u8]) -> bool {
    let lines = split(bytes);
    let mut endings = lines.iter().map(|line| line.ending).filter(|ending| !ending.is_empty()).peekable();
    endings.peek().is_some() && endings.all(|ending| ending == b"\r\n")
}

/// A text without what models get wrong at no cost: white space around it and the length of that inside, typographic
/// quotes, dashes, spaces and dots for plain ones.
pub(super) fn normal(text: &[u8]) -> Cow<'_, [u8]> {
    let text = text.trim_ascii();
    let spaces =
        |pair: &[u8]| pair[1].is_ascii_whitespace() && (pair[0].is_ascii_whitespace() || pair[1] != b' ');
    if text.is_ascii() && !text.windows(2).any(spaces) {
        return Cow::Borrowed(text);
    }
    let Ok(text) = str::from_utf8(text) else { return Cow::Borrowed(text) };
    let mut made = String::with_capacity(text.len());
    for c in text.chars() {
        match plain(c) {
            Some(plain) => made.push_str(plain),
            None if c.is_ascii_whitespace() => made.push(' '),
            None => made.push(c),
        }
        while made.ends_with("  ") {
            made.pop();
        }
    }
    Cow::Owned(made.trim().as_bytes().to_vec())
}

/// What a keyboard has for a typographic character.
pub(super) fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{2018}' | '\u{2019}' | '\u{201A}' | '\u{201B}' | '\u{2032}' => "'",
        '\u{201C}' | '\u{201D}' | '\u{201E}' | '\u{201F}' | '\u{2033}' => "\"",
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "-",
        '\u{00A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' => " ",
        '\u{2026}' => "...",
        _ => return None,
    })
}

//! What a gate printed, made fit to be stored and shown.

use std::sync::LazyLock;

use regex::Regex;

/// Bytes kept of the beginning and of the end.
const HEAD: usize = 16 * 1024;
const TAIL: usize = 48 * 1024;

/// Bytes of a log that a report shows whole.
pub(super) const SHOWN: usize = HEAD + TAIL;

/// Control sequences of terminals (ECMA-48): CSI, OSC, and two-character escapes.
static ESCAPES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])").unwrap()
});

/// Output without colours and control characters. Databases take no zero byte, and a carriage return hides
/// what came before it.
pub fn plain(text: &str) -> String {
    let text = ESCAPES.replace_all(text, "").replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// The beginning and the end of a text, with a line in between that says how much is missing.
pub fn ends(text: &str) -> String {
    if text.len() <= SHOWN {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(HEAD);
    let tail = text.ceil_char_boundary(text.len() - TAIL);
    format!("{}\n[… {} bytes cut …]\n{}", &text[..head], tail - head, &text[tail..])
}

/// The last lines of a text.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_zero_bytes_go_and_text_stays() {
        let text = "\x1b[1m\x1b[31merror\x1b[0m: é\0\r\nprogress 1%\rprogress 2%\x1b]0;title\x07\tend";
        assert_eq!(plain(text), "error: é\nprogress 1%\nprogress 2%\tend");
    }

    #[test]
    fn long_logs_keep_their_ends() {
        let text = format!("first{}last", "é".repeat(100_000));
        let cut = ends(&text);
        assert!(cut.starts_with("first") && cut.ends_with("last") && cut.len() < HEAD + TAIL + 100);
        assert_eq!(ends("short"), "short");
    }
}

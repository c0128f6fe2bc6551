//! Marks such as `// ... existing code ...` that models write in the place of lines that they leave out.

use super::lines::Line;
use super::nearest;
use super::places::Text;

/// Longer lines say something else.
const LONGEST_MARK: usize = 120;

/// Whether a line may stand for others. Some code has `...` on a line of its own, so that this counts only where the
/// line is not in the file.
pub(super) fn is_mark(line: &Line<'_>) -> bool {
    Mark::read(line.text).is_some()
}

/// Refuses a new line that says that others stay: it would take their place, and the file would be broken.
pub(super) fn check_new_line(text: &Text<'_>, line: &Line<'_>) -> Result<(), String> {
    match Mark::read(line.text) {
        Some(Mark::InWords) if !text.holds_line(line.text) => Err(format!(
            "the new lines leave some out with `{}`, and nothing in the old ones says which. Give all of the new \
             lines, or change less at once.",
            nearest::shown(line.text.trim_ascii())
        )),
        _ => Ok(()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// `...` alone.
    Dots,
    /// With words for what stays, as in `# ... rest of the function ...`.
    InWords,
}

const WORDS: &[&str] = &[
    "existing",
    "rest of",
    "unchanged",
    "remain",
    "same as",
    "other code",
    "previous code",
    "omitted",
    "keep ",
];

impl Mark {
    fn read(line: &[u8]) -> Option<Self> {
        let text = line.trim_ascii();
        if text.len() > LONGEST_MARK || text.len() < 3 {
            return None;
        }
        let text = str::from_utf8(text).ok()?.replace('…', "...");
        if !text.contains("...") {
            return None;
        }
        let bare = ["{/*", "<!--", "//", "/*", "--", "#", ";", "%"]
            .iter()
            .find_map(|begin| text.strip_prefix(begin));
        let in_comment = bare.is_some();
        let bare =
            bare.unwrap_or(&text).trim_end_matches('}').trim_end_matches("-->").trim_end_matches("*/").trim();
        let within = bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(bare);
        let within =
            within.strip_prefix('(').and_then(|bare| bare.strip_suffix(')')).unwrap_or(within).trim();
        if within.chars().all(|c| c == '.') {
            return Some(Self::Dots);
        }
        let dotted = within.starts_with("...") || within.ends_with("...");
        let lower = within.to_lowercase();
        let in_words = dotted && WORDS.iter().any(|word| lower.contains(word));
        let closed = in_comment || (within.starts_with("...") && within.ends_with("..."));
        (in_words && closed).then_some(Self::InWords)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_told_from_code_and_prose() {
        for mark in [
            "...",
            "  // ...",
            "# ... existing code ...",
            "/* … rest of the file … */",
            "{/* ... unchanged ... */}",
            "<!-- ... existing markup ... -->",
            "-- ... same as before",
            "... (rest of the code remains the same) ...",
            "[...]",
        ] {
            assert!(Mark::read(mark.as_bytes()).is_some(), "{mark}");
        }
        for other in [
            "...args,",
            "x = ...",
            "// and so on...",
            "// wait for it ...",
            "....foo",
            "existing code",
            "return ...;",
            "It goes on with the rest of the day...",
        ] {
            assert_eq!(Mark::read(other.as_bytes()), None, "{other}");
        }
    }
}

//! Characters that a reader does not see: zero-width, bidirectional controls, tags, control codes.
//!
//! What emoji, Arabic, Persian and Indic scripts need of them stays. The ranges are those that
//! Unicode calls `Default_Ignorable_Code_Point`, with the controls.

/// What becomes of a character that cannot be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    /// It goes: the text is for reading.
    Remove,
    /// It is shown by its number, `[U+202E]`: the text is evidence.
    Show,
}

/// The text without anything that hides. Line ends become `\n`; colour codes of terminals go in
/// either case, since they are no part of what a tool says.
pub(super) fn clean(text: &str, hidden: Hidden) -> String {
    let unix = text.replace("\r\n", "\n").replace('\r', "\n");
    let chars: Vec<char> = without_terminal_codes(&unix).chars().collect();
    let mut out = String::with_capacity(chars.len());
    for (index, &c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).map(|i| chars[i]);
        let after = chars.get(index + 1).copied();
        if !hides(c) || is_needed(c, before, after) {
            out.push(c);
        } else if hidden == Hidden::Show {
            out.push_str(&format!("[U+{:04X}]", u32::from(c)));
        }
    }
    out
}

fn hides(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => true,
        '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' => true,
        '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' => true,
        '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

/// Joiners between two letters or signs outside of ASCII, and one selector of text or emoji style.
fn is_needed(c: char, before: Option<char>, after: Option<char>) -> bool {
    let Some(before) = before else { return false };
    match c {
        '\u{200c}' | '\u{200d}' => {
            let joins = |c: char| !c.is_ascii() && (!hides(c) || c == '\u{fe0f}');
            joins(before) && after.is_some_and(|after| !after.is_ascii() && !hides(after))
        }
        '\u{fe0e}' | '\u{fe0f}' => {
            let keycap = matches!(before, '0'..='9' | '#' | '*') && after == Some('\u{20e3}');
            keycap || (!before.is_ascii() && !hides(before))
        }
        _ => false,
    }
}

/// Drops ECMA-48 control sequences (`ESC [ … m`) and operating-system commands (`ESC ] … BEL`).
fn without_terminal_codes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\u{1b}', Some('[')) => {
                chars.next();
                while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
                chars.next_if(|c| matches!(c, '@'..='~'));
            }
            ('\u{1b}', Some(']')) => {
                chars.next();
                while let Some(c) = chars.next_if(|c| *c != '\n') {
                    let string_terminator = c == '\u{1b}' && chars.next_if_eq(&'\\').is_some();
                    if c == '\u{7}' || string_terminator {
                        break;
                    }
                }
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_unchanged() {
        for text in [
            "plain\n\ttext",
            "👩‍👩‍👧‍👦 ❤️ 1️⃣ ☎︎ 🏳️‍🌈",
            "日本語、中文、한국어",
            "مرحبا بالعالم",
            "می‌خواهم",
            "क्‍ष",
            "naïve — “quotes”",
        ] {
            assert_eq!(clean(text, Hidden::Remove), text);
            assert_eq!(clean(text, Hidden::Show), text);
        }
    }

    #[test]
    fn what_hides_is_removed_or_shown() {
        for (text, removed, shown) in [
            ("a\u{200b}b", "ab", "a[U+200B]b"),
            ("a\u{200d}b", "ab", "a[U+200D]b"),
            ("x\u{202e}y\u{2066}z", "xyz", "x[U+202E]y[U+2066]z"),
            ("\u{feff}t", "t", "[U+FEFF]t"),
            ("a\u{fe0f}b\u{fe01}", "ab", "a[U+FE0F]b[U+FE01]"),
            ("😀\u{e0041}\u{e0042}", "😀", "😀[U+E0041][U+E0042]"),
            ("😀\u{fe0f}\u{fe0f}", "😀\u{fe0f}", "😀\u{fe0f}[U+FE0F]"),
            ("\u{3164}\u{ad}\u{2028}", "", "[U+3164][U+00AD][U+2028]"),
            ("a\0b\u{8}", "ab", "a[U+0000]b[U+0008]"),
            ("\u{1b}[31mred\u{1b}[0m", "red", "red"),
            ("\u{1b}]0;title\u{7}x\u{1b}]8;;https://e.example\u{1b}\\y", "xy", "xy"),
            ("a\r\nb\rc", "a\nb\nc", "a\nb\nc"),
        ] {
            assert_eq!(clean(text, Hidden::Remove), removed, "{text:?}");
            assert_eq!(clean(text, Hidden::Show), shown, "{text:?}");
        }
    }
}

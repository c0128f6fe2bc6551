//! Search and replace on one text: exact, and only where the place is unambiguous.

use crate::llm::boundary;

/// A text after an edit, and the lines that now stand there, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edited {
    pub text: String,
    pub first_line: usize,
    pub last_line: usize,
}

/// Replaces the one place where `old` stands by `new`. The error tells the model what to do instead.
pub(super) fn replace(text: &str, old: &str, new: &str) -> Result<Edited, String> {
    if old.is_empty() {
        return Err("`old` is empty: to make or replace a whole file use write_file".to_owned());
    }
    if old == new {
        return Err("`old` and `new` are the same".to_owned());
    }
    let places: Vec<usize> = text.match_indices(old).map(|(at, _)| at).collect();
    match places.as_slice() {
        [] => with_crlf(text, old, new).unwrap_or_else(|| Err(not_found(text, old))),
        [at] => Ok(splice(text, *at, old, new)),
        many => {
            let lines: Vec<_> = many.iter().take(20).map(|&at| line_of(text, at).to_string()).collect();
            Err(format!(
                "`old` stands {} times, at the lines {}: give more of the lines around the one you mean",
                many.len(),
                lines.join(", ")
            ))
        }
    }
}

fn splice(text: &str, at: usize, old: &str, new: &str) -> Edited {
    let first_line = line_of(text, at);
    let last_line = first_line + new.trim_end_matches('\n').matches('\n').count();
    Edited { text: format!("{}{new}{}", &text[..at], &text[at + old.len()..]), first_line, last_line }
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Models write `\n`; a file with `\r\n` keeps its line ends.
fn with_crlf(text: &str, old: &str, new: &str) -> Option<Result<Edited, String>> {
    if !text.contains("\r\n") || old.contains('\r') || !old.contains('\n') {
        return None;
    }
    Some(replace(text, &old.replace('\n', "\r\n"), &new.replace('\n', "\r\n")))
}

fn not_found(text: &str, old: &str) -> String {
    if boundary::without_hidden_characters(text).contains(old) {
        return "`old` is not in the file as it is: the file has hidden characters there; write the file \
                anew with write_file"
            .to_owned();
    }
    let squeeze = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let first = old.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if squeeze(text).contains(squeeze(old).trim()) {
        return "`old` is in the file only with other indentation or blanks at line ends: copy it exactly, \
                without the line numbers"
            .to_owned();
    }
    let near = text.lines().position(|line| !first.is_empty() && line.trim() == first);
    match near {
        Some(index) => format!(
            "`old` is not in the file; its first line is line {}, but what follows differs: read the file \
             again and copy the text exactly",
            index + 1
        ),
        None => "`old` is not in the file: read the file again and copy the text exactly".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fn a() {\n    one();\n    two();\n}\n\nfn b() {\n    one();\n}\n";

    #[test]
    fn the_one_place_is_replaced() {
        let edited = replace(TEXT, "    two();\n", "    three();\n    four();\n").expect("replaced");
        assert_eq!(edited.text, TEXT.replace("    two();\n", "    three();\n    four();\n"));
        assert_eq!((edited.first_line, edited.last_line), (3, 4));
    }

    #[test]
    fn a_file_keeps_its_line_ends() {
        let text = TEXT.replace('\n', "\r\n");
        let edited = replace(&text, "one();\n    two();", "zero();\n    two();").expect("replaced");
        assert_eq!(edited.text, text.replace("one();\r\n    two();", "zero();\r\n    two();"));
    }

    #[test]
    fn what_cannot_be_placed_is_refused_with_advice() {
        let cases = [
            ("", "x", "write_file"),
            ("one();", "one();", "the same"),
            ("one();", "x", "stands 2 times, at the lines 2, 7"),
            ("fn a() {\n  one();\n  two();", "x", "other indentation"),
            ("fn b() {\n    zwei();", "x", "its first line is line 6"),
            ("nothing like it", "x", "copy the text exactly"),
        ];
        for (old, new, part) in cases {
            let error = replace(TEXT, old, new).expect_err(old);
            assert!(error.contains(part), "{old:?}: {error}");
        }
        let error = replace("a\u{200B}b", "ab", "c").expect_err("hidden");
        assert!(error.contains("hidden characters"), "{error}");
    }
}

//! The edit tool: [`crate::workspace::edits`] on one file, and what to show of it afterwards.

use std::collections::BTreeMap;

use crate::llm::boundary;
use crate::workspace::edits::{self, Change, Edit};
use crate::workspace::{FileEntry, FileMode, RepoPath, Snapshot};

/// A text after an edit, and the lines that differ now, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edited {
    pub text: String,
    pub first_line: usize,
    pub last_line: usize,
}

/// Replaces the one place where `old` stands by `new`. The error tells the model what to do instead.
pub(super) fn replace(path: &RepoPath, text: &str, old: &str, new: &str) -> Result<Edited, String> {
    if old.is_empty() {
        return Err("`old` is empty: to make or replace a whole file use write_file".to_owned());
    }
    if old == new {
        return Err("`old` and `new` are the same".to_owned());
    }
    // Models write `\n`, also where the place begins or ends inside a line of a file with `\r\n`.
    if text.contains("\r\n") && old.contains('\n') && !old.contains('\r') {
        let windows = old.replace('\n', "\r\n");
        if text.contains(&windows) {
            return replace(path, text, &windows, &new.replace("\r\n", "\n").replace('\n', "\r\n"));
        }
    }
    let entry = FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().into() };
    let file = Snapshot { files: BTreeMap::from([(path.clone(), entry)]) };
    let edit = Edit::Replace { path: path.clone(), old: old.to_owned(), new: new.to_owned() };
    let changes = edits::apply(&file, &[edit]).map_err(|refusal| {
        let reasons: Vec<String> = refusal.refused.into_iter().map(|refused| refused.reason).collect();
        let hidden = !text.contains(old) && boundary::without_hidden_characters(text).contains(old);
        let hint =
            if hidden { " The file has hidden characters there: write it anew with write_file." } else { "" };
        format!("{}{hint}", reasons.join("\n"))
    })?;
    let after = match changes.into_iter().next() {
        Some((_, Change::Written(entry))) => String::from_utf8_lossy(&entry.bytes).into_owned(),
        Some((_, Change::Deleted)) | None => text.to_owned(),
    };
    Ok(differing(text, after))
}

/// Where two texts differ, in lines of the second.
fn differing(before: &str, after: String) -> Edited {
    let same = |(a, b): &(&str, &str)| a == b;
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let pairs = |a: &[&str], b: &[&str]| a.len().min(b.len());
    let head = old.iter().copied().zip(new.iter().copied()).take_while(same).count();
    let room = pairs(&old[head..], &new[head..]);
    let tail = old.iter().rev().copied().zip(new.iter().rev().copied()).take(room).take_while(same).count();
    let last_line = (new.len() - tail).max(head + 1).min(new.len().max(1));
    Edited { first_line: (head + 1).min(new.len().max(1)), last_line, text: after }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fn a() {\n    one();\n    two();\n}\n\nfn b() {\n    one();\n}\n";

    fn on(text: &str, old: &str, new: &str) -> Result<Edited, String> {
        replace(&RepoPath::parse("a.rs").expect("a path"), text, old, new)
    }

    #[test]
    fn the_one_place_is_replaced_and_told() {
        let edited = on(TEXT, "    two();\n", "    three();\n    four();\n").expect("replaced");
        assert_eq!(edited.text, TEXT.replace("    two();\n", "    three();\n    four();\n"));
        assert_eq!((edited.first_line, edited.last_line), (3, 4));
    }

    #[test]
    fn a_file_keeps_its_line_ends() {
        let text = TEXT.replace('\n', "\r\n");
        let edited = on(&text, "one();\n    two();", "zero();\n    two();").expect("replaced");
        assert_eq!(edited.text, text.replace("one();\r\n    two();", "zero();\r\n    two();"));
    }

    #[test]
    fn what_is_slightly_wrong_is_placed_and_what_is_ambiguous_is_not() {
        let edited =
            on(TEXT, "  one();\n  two();\n", "  ten();\n").expect("placed in spite of its indentation");
        assert_eq!(edited.text, TEXT.replace("    one();\n    two();\n", "    ten();\n"));
        let refused = on(TEXT, "one();", "x").expect_err("two places fit");
        assert!(refused.contains('2') && refused.contains('7'), "names both lines: {refused}");
    }

    #[test]
    fn what_cannot_be_placed_is_refused_with_advice() {
        for (old, new, part) in [("", "x", "write_file"), ("one();", "one();", "the same")] {
            let error = on(TEXT, old, new).expect_err(old);
            assert!(error.contains(part), "{old:?}: {error}");
        }
        on(TEXT, "nothing like it", "x").expect_err("not there");
        let error = on("a\u{200B}b", "ab", "c").expect_err("hidden");
        assert!(error.contains("hidden characters"), "{error}");
    }

    #[test]
    fn the_lines_that_differ_stay_inside_the_text() {
        for (before, after, lines) in [
            ("a\nb\nc\n", "a\nx\nc\n", (2, 2)),
            ("a\nb\nc\n", "a\nc\n", (2, 2)),
            ("a\na\n", "a\na\na\n", (3, 3)),
            ("a\n", "", (1, 1)),
            ("", "a\nb\n", (1, 2)),
        ] {
            let edited = differing(before, after.to_owned());
            assert_eq!((edited.first_line, edited.last_line), lines, "{before:?} {after:?}");
        }
    }
}

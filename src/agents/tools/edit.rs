//! The edit tools: [`crate::workspace::edits`] on a tree, and what to show of it afterwards.

use std::path::Path;

use super::ToolRequest;
use super::execute::numbered;
use super::tree::Tree;
use crate::llm::boundary;
use crate::workspace::RepoPath;
use crate::workspace::edits::{self, Change, Edit, EditRefusal, Files};

/// Lines shown around an edit.
const CONTEXT_LINES: usize = 3;
/// An edit that differs over more lines is not shown again.
const MOST_SHOWN: usize = 120;

/// Makes all of the edits, or none. The error tells the model what to do instead.
pub(super) fn edit(root: &Path, requests: &[ToolRequest]) -> Result<String, String> {
    let (mut edits, mut faults) = (Vec::new(), Vec::new());
    for request in requests {
        match edit_of(request) {
            Ok(edit) => edits.push(edit),
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        return Err(faults.join("\n"));
    }
    let tree = Tree { root };
    let changes = edits::apply(&tree, &edits).map_err(|refusal| in_words(&tree, &edits, refusal))?;
    let told: Vec<String> = changes.iter().map(|(path, change)| told(&tree, &edits, path, change)).collect();
    tree.put(&changes)?;
    if told.is_empty() { Ok("nothing differs from what was there".to_owned()) } else { Ok(told.join("\n")) }
}

fn edit_of(request: &ToolRequest) -> Result<Edit, String> {
    let path = |path: &str| {
        RepoPath::parse(path.strip_prefix("./").unwrap_or(path)).map_err(|error| error.to_string())
    };
    Ok(match request {
        ToolRequest::Edit { path: file, old, .. } if old.is_empty() => {
            return Err(format!("{file}: `old` is empty: to make or replace a whole file use write_file"));
        }
        ToolRequest::Edit { path: file, old, new } => {
            Edit::Replace { path: path(file)?, old: old.clone(), new: new.clone() }
        }
        ToolRequest::Write { path: file, content } => {
            Edit::Write { path: path(file)?, content: content.clone() }
        }
        ToolRequest::Delete { path: file } => Edit::Delete { path: path(file)? },
        ToolRequest::Patch { patch } => Edit::Patch { text: patch.clone() },
        _ => return Err("only edits can be done together".to_owned()),
    })
}

/// A refusal for the model; of a single edit, without its number.
fn in_words(tree: &Tree<'_>, edits: &[Edit], mut refusal: EditRefusal) -> String {
    for refused in &mut refusal.refused {
        if let Some(Edit::Replace { path, old, .. }) = edits.get(refused.number - 1)
            && let Ok(Some(file)) = tree.file(path)
            && let Ok(text) = str::from_utf8(&file.bytes)
            && !text.contains(old)
            && boundary::without_hidden_characters(text).contains(old)
        {
            refused.reason.push_str(" The file has hidden characters there: write it anew with write_file.");
        }
    }
    match (edits, refusal.refused.as_slice()) {
        ([_], [one]) => match &one.path {
            Some(path) => format!("{path}: {}", one.reason),
            None => one.reason.clone(),
        },
        _ => refusal.to_string(),
    }
}

/// What became of a file.
fn told(tree: &Tree<'_>, edits: &[Edit], path: &RepoPath, change: &Change) -> String {
    let Change::Written(entry) = change else { return format!("{path} was deleted") };
    let text = String::from_utf8_lossy(&entry.bytes);
    let total = text.lines().count();
    let before = tree.file(path).ok().flatten();
    let whole = edits.iter().any(|edit| matches!(edit, Edit::Write { path: written, .. } if written == path));
    let Some(before) = before.filter(|_| !whole) else {
        let verb = if tree.file(path).is_ok_and(|before| before.is_some()) { "replaced" } else { "made" };
        return format!("{path} was {verb}: {total} lines, {} bytes", entry.bytes.len());
    };
    if total == 0 {
        return format!("{path} was edited and is empty now");
    }
    let (first, last) = differing(&String::from_utf8_lossy(&before.bytes), &text);
    if last - first > MOST_SHOWN {
        return format!("{path} was edited between lines {first} and {last}");
    }
    let start = first.saturating_sub(CONTEXT_LINES).clamp(1, total);
    let (lines, _) = numbered(&text, start, (last + CONTEXT_LINES).min(total));
    format!("{path} was edited; around the place it reads now\n{lines}")
}

/// The first and last line, from 1, of the second text that differ from the first.
fn differing(before: &str, after: &str) -> (usize, usize) {
    let same = |(a, b): &(&str, &str)| a == b;
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let pairs = |a: &[&str], b: &[&str]| a.len().min(b.len());
    let head = old.iter().copied().zip(new.iter().copied()).take_while(same).count();
    let room = pairs(&old[head..], &new[head..]);
    let tail = old.iter().rev().copied().zip(new.iter().rev().copied()).take(room).take_while(same).count();
    let last = (new.len() - tail).max(head + 1).min(new.len().max(1));
    ((head + 1).min(new.len().max(1)), last)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEXT: &str = "fn a() {\n    one();\n    two();\n}\n\nfn b() {\n    one();\n}\n";

    /// The text after one edit, and what is said of it.
    fn on(text: &str, old: &str, new: &str) -> Result<(String, String), String> {
        let dir = tempfile::tempdir().expect("dir");
        fs::write(dir.path().join("a.rs"), text).expect("written");
        let request = ToolRequest::Edit { path: "./a.rs".into(), old: old.into(), new: new.into() };
        let said = edit(dir.path(), &[request])?;
        Ok((fs::read_to_string(dir.path().join("a.rs")).expect("text"), said))
    }

    #[test]
    fn the_one_place_is_replaced_and_told() {
        let (text, said) = on(TEXT, "    two();\n", "    three();\n    four();\n").expect("replaced");
        assert_eq!(text, TEXT.replace("    two();\n", "    three();\n    four();\n"));
        let around = "a.rs was edited; around the place it reads now\n    1\tfn a() {\n    2\t    one();\n    3\t    three();\n";
        assert!(said.starts_with(around), "{said}");
    }

    #[test]
    fn a_file_keeps_its_line_ends() {
        let text = TEXT.replace('\n', "\r\n");
        let (edited, _) = on(&text, "one();\n    two();", "zero();\n    two();").expect("replaced");
        assert_eq!(edited, text.replace("one();\r\n    two();", "zero();\r\n    two();"));
    }

    #[test]
    fn what_is_slightly_wrong_is_placed_and_what_is_ambiguous_is_not() {
        let (text, _) =
            on(TEXT, "  one();\n  two();\n", "  ten();\n").expect("placed in spite of its indentation");
        assert_eq!(text, TEXT.replace("    one();\n    two();\n", "    ten();\n"));
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
    fn a_patch_of_several_files_is_told_file_by_file() {
        let dir = tempfile::tempdir().expect("dir");
        fs::write(dir.path().join("a.txt"), "one\n").expect("a");
        fs::write(dir.path().join("b.txt"), "two\n").expect("b");
        let patch = "*** Begin Patch\n*** Update File: a.txt\n@@\n-one\n+uno\n*** Delete File: b.txt\n\
                     *** Add File: new/c.txt\n+three\n*** End Patch\n";
        let said = edit(dir.path(), &[ToolRequest::Patch { patch: patch.to_owned() }]).expect("applied");
        assert_eq!(
            said,
            "a.txt was edited; around the place it reads now\n    1\tuno\n\nb.txt was deleted\nnew/c.txt was made: 1 lines, 6 bytes"
        );
        assert_eq!(fs::read_to_string(dir.path().join("new/c.txt")).expect("c"), "three\n");
        assert!(!dir.path().join("b.txt").exists());
    }

    #[test]
    fn edits_together_apply_all_or_none() {
        let dir = tempfile::tempdir().expect("dir");
        fs::write(dir.path().join("a.txt"), "one\n").expect("a");
        let write = ToolRequest::Write { path: "b.txt".into(), content: "two\n".into() };
        let wrong = ToolRequest::Edit { path: "a.txt".into(), old: "eins".into(), new: "uno".into() };
        let error = edit(dir.path(), &[write.clone(), wrong]).expect_err("one is wrong");
        assert!(
            error.starts_with("None of the edits was applied") && error.contains("Edit 2, a.txt"),
            "{error}"
        );
        assert!(!dir.path().join("b.txt").exists());
        let right = ToolRequest::Edit { path: "a.txt".into(), old: "one".into(), new: "uno".into() };
        edit(dir.path(), &[write, right]).expect("both are right");
        assert_eq!(fs::read_to_string(dir.path().join("a.txt")).expect("a"), "uno\n");
        let command = ToolRequest::Run { command: "id".into(), timeout_seconds: None };
        assert!(edit(dir.path(), &[command]).expect_err("no edit").contains("only edits"));
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
            assert_eq!(differing(before, after), lines, "{before:?} {after:?}");
        }
    }
}

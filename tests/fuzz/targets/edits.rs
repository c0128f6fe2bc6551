//! What a model writes to change files: diffs, patches and blocks, and one text in the place of another.

use orchestrator::workspace::edits::{Change, Edit, apply};
use orchestrator::workspace::{FileEntry, FileMode, RepoPath, Snapshot};
use similar::TextDiff;

use super::{Target, input};

const PATH: &str = "src/a.txt";

pub const DIFF: Target = Target {
    name: "diff",
    run: diff,
    words: &[
        "--- ",
        "+++ ",
        "a/src/a.txt",
        "b/src/a.txt",
        "/dev/null",
        "\n",
        "@@ ",
        "@@ -1 +1 @@\n",
        "@@ -1,2 +1,2 @@\n",
        "@@ -0,0 +1 @@\n",
        "@@ -99999999999999999999,1 +1 @@\n",
        "-",
        "+",
        " ",
        "one\n",
        "two\n",
        "three\n",
        "\\ No newline at end of file\n",
        "diff --git a/src/a.txt b/src/a.txt\n",
        "new file mode 100644\n",
        "deleted file mode 100644\n",
        "rename from src/a.txt\n",
        "rename to src/b.txt\n",
        "new mode 100755\n",
        "\n=====\n",
        "a/src/b.txt",
        "b/src/b.txt",
        "\"a/\\303\\244\"",
        "../",
        "\r\n",
        "\t",
        "    ",
        "```diff\n",
        "```\n",
        "--- a/src/a.txt\n+++ b/src/a.txt\n",
        "GIT binary patch\n",
        "*** Begin Patch\n",
        "*** Update File: src/a.txt\n",
        "*** Add File: src/n.txt\n",
        "*** Delete File: run.sh\n",
        "*** Move to: src/b.txt\n",
        "*** End of File\n",
        "*** End Patch\n",
        "@@ one\n",
        "src/a.txt\n<<<<<<< SEARCH\n",
        "=======\n",
        ">>>>>>> REPLACE\n",
        " // ... existing code ...\n",
        "...\n",
        "\u{2019}",
        "\u{201c}",
    ],
    seeds: &[
        "one\ntwo\nthree\n\n=====\n--- a/src/a.txt\n+++ b/src/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n",
        "one\n\n=====\ndiff --git a/n b/n\nnew file mode 100755\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n",
        "one\n\n=====\n--- a/src/a.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n",
        "one\n\n=====\ndiff --git a/src/a.txt b/src/b.txt\nrename from src/a.txt\nrename to src/b.txt\n",
        "a\nb\n\n=====\n```diff\n--- a/src/a.txt\n+++ b/src/a.txt\n@@ @@\n a\n-b\n\\ No newline at end of file\n+c\n```\n",
        "a\nb\nc\n\n=====\n*** Begin Patch\n*** Update File: src/a.txt\n*** Move to: src/b.txt\n@@ a\n-b\n+B\n*** End of File\n*** End Patch\n",
        "a\n\n=====\n*** Begin Patch\n*** Add File: src/n.txt\n+x\n*** Delete File: run.sh\n*** End Patch\n",
        "a\nb\nc\nd\n\n=====\n`src/a.txt`:\n<<<<<<< SEARCH\na\n...\nd\n=======\nA\n...\nd\n>>>>>>> REPLACE\n",
    ],
    longest: 1_024,
    cap: 256 * 1024,
};

/// A file, and a text of changes of it in any format, or another text of it.
fn diff(data: &[u8]) {
    let text = input::text(data, DIFF.words);
    let [file, second] = input::parts::<2>(&text);
    if let Ok(changes) = apply(&holding(file), &[Edit::Patch { text: second.to_owned() }]) {
        for (path, change) in &changes {
            assert!(RepoPath::parse(path.as_str()).is_ok(), "{path:?} is no path");
            let is_file = |entry: &FileEntry| entry.mode != FileMode::Symlink;
            assert!(matches!(change, Change::Deleted) || matches!(change, Change::Written(e) if is_file(e)));
        }
    }
    if second.len() <= 2_048 && file.len() <= 2_048 {
        a_true_diff_makes_the_second_text_of_the_first(file, second);
    }
}

fn a_true_diff_makes_the_second_text_of_the_first(first: &str, second: &str) {
    let plain = |text: &str| text.replace(['\r', '\0'], " ");
    let (first, second) = (plain(first), plain(second));
    if first == second || first.is_empty() || second.is_empty() {
        return;
    }
    let diff = TextDiff::from_lines(&first, &second);
    let diff = diff.unified_diff().context_radius(3).header("a/src/a.txt", "b/src/a.txt").to_string();
    let changes = match apply(&holding(&first), &[Edit::Patch { text: diff.clone() }]) {
        Ok(changes) => changes,
        // A new line that says that lines are left out cannot be told from a slip.
        Err(refusal) if second.contains("...") && refusal.to_string().contains("leave some out") => return,
        Err(refusal) => panic!("{refusal}\n{first:?}\n{second:?}\n{diff}"),
    };
    let made = changes.iter().find_map(|(_, change)| match change {
        Change::Written(entry) => Some(String::from_utf8_lossy(&entry.bytes).into_owned()),
        Change::Deleted => None,
    });
    assert_eq!(made.as_deref(), Some(second.as_str()), "{first:?}\n{diff}");
    blocks_make_the_second_text_or_are_refused(&first, &second);
}

/// One block of all lines, in both of the other formats.
fn blocks_make_the_second_text_or_are_refused(first: &str, second: &str) {
    if !first.ends_with('\n') || !second.ends_with('\n') {
        return;
    }
    let marked =
        |mark: &str, text: &str| text.lines().map(|line| format!("{mark}{line}\n")).collect::<String>();
    let (old, new) = (marked("-", first), marked("+", second));
    let texts = [
        format!("{PATH}\n<<<<<<< SEARCH\n{first}=======\n{second}>>>>>>> REPLACE\n"),
        format!("*** Begin Patch\n*** Update File: {PATH}\n@@\n{old}{new}*** End Patch\n"),
    ];
    for text in texts {
        // A text may hold the marks of a format; then it is read otherwise, or not at all.
        let plain = !["=====", "<<<<<", ">>>>>", "-----", "+++++", "***", "```"]
            .iter()
            .any(|mark| first.contains(mark) || second.contains(mark));
        let Ok(changes) = apply(&holding(first), &[Edit::Patch { text: text.clone() }]) else { continue };
        if let (true, [(_, Change::Written(entry))]) = (plain, &changes[..]) {
            assert_eq!(String::from_utf8_lossy(&entry.bytes), second, "{first:?}\n{text}");
        }
    }
}

pub const REPLACE: Target = Target {
    name: "edit",
    run: replace,
    words: &[
        "\n=====\n",
        "\n",
        "\r\n",
        "    ",
        "\t",
        " ",
        "one",
        "two",
        "}",
        "{",
        "1 | ",
        "...",
        "fn a() {\n",
        "}\n",
        "    one\n",
        "  one\n",
        "one\n",
        "é",
        "日本",
        "\0",
        "\r",
    ],
    seeds: &[
        "one\ntwo\nthree\n\n=====\ntwo\n\n=====\n2\n",
        "fn a() {\n    one();\n}\n\n=====\none();\n}\n\n=====\ntwo();\n}\n",
        "a\r\nb\r\n\n=====\na\nb\n\n=====\nc\n",
        "x\n\n=====\n1 | x\n\n=====\ny\n",
    ],
    longest: 512,
    cap: 256 * 1024,
};

/// A file, the text to replace, and the new one.
fn replace(data: &[u8]) {
    let text = input::text(data, REPLACE.words);
    let [file, old, new] = input::parts::<3>(&text);
    let path = RepoPath::parse(PATH).expect("a path");
    let edit = Edit::Replace { path: path.clone(), old: old.to_owned(), new: new.to_owned() };
    let answer = apply(&holding(file), &[edit]);
    let places = if old.is_empty() { 0 } else { overlapping(file, old) };
    match answer {
        Ok(changes) if places == 1 && !text.contains('\r') => {
            let expected = file.replacen(old, new, 1);
            let made = changes.iter().find_map(|(_, change)| match change {
                Change::Written(entry) => Some(String::from_utf8_lossy(&entry.bytes).into_owned()),
                Change::Deleted => None,
            });
            assert_eq!(made.unwrap_or_else(|| file.to_owned()), expected);
        }
        Ok(_) => assert!(places < 2, "one of {places} places was guessed"),
        Err(refusal) => {
            assert!(places != 1 || old == new || file.contains('\0'), "{refusal}");
            let said = refusal.to_string();
            assert!(said.chars().count() <= 10_000, "{} characters are said", said.len());
        }
    }
    let edits = [
        Edit::Write { path: path.clone(), content: new.to_owned() },
        Edit::Delete { path: path.clone() },
        Edit::Write { path, content: old.to_owned() },
    ];
    assert!(apply(&holding(file), &edits).is_ok());
}

fn overlapping(text: &str, piece: &str) -> usize {
    (0..text.len()).filter(|at| text.as_bytes()[*at..].starts_with(piece.as_bytes())).count()
}

fn holding(file: &str) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (path, text) in [(PATH, file), ("src/lib/b.rs", "fn b() {}\n"), ("run.sh", "echo\n")] {
        let entry = FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().into() };
        snapshot.files.insert(RepoPath::parse(path).expect("a path"), entry);
    }
    snapshot
}

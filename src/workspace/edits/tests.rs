mod apply_patch;
mod blocks;
mod diff;
mod properties;
mod replace;
mod tolerance;

use super::*;

fn path(path: &str) -> RepoPath {
    RepoPath::parse(path).expect("a path")
}

fn files(files: &[(&str, &str)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (name, text) in files {
        let entry = FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().into() };
        snapshot.files.insert(path(name), entry);
    }
    snapshot
}

fn replace(name: &str, old: &str, new: &str) -> Edit {
    Edit::Replace { path: path(name), old: old.to_owned(), new: new.to_owned() }
}

fn patch(text: &str) -> Edit {
    Edit::Patch { text: text.to_owned() }
}

/// The text of file `f` after one edit; nothing where it is gone.
fn edited(text: &str, edit: Edit) -> Result<String, String> {
    let mut snapshot = files(&[("f", text)]);
    let changes = apply(&snapshot, &[edit]).map_err(|refusal| refusal.to_string())?;
    put(&mut snapshot, &changes);
    let bytes = snapshot.files.get(&path("f")).map(|entry| entry.bytes.to_vec());
    Ok(String::from_utf8(bytes.unwrap_or_default()).expect("text"))
}

#[test]
fn files_are_made_overwritten_and_deleted() {
    let mut tree = files(&[("a", "1\n"), ("b", "2\r\n"), ("c", "3\n"), ("dir/x", "x\n")]);
    tree.files.get_mut(&path("a")).expect("a").mode = FileMode::Executable;
    let write = |name: &str, text: &str| Edit::Write { path: path(name), content: text.to_owned() };
    let edits = [
        write("a", "one\n"),
        write("b", "two\nmore\n"),
        Edit::Delete { path: path("c") },
        write("new/d", "4\n"),
        replace("e", "", "5\n"),
        replace("e", "5", "five"),
        write("dir/x", "x\n"),
    ];
    let changes = apply(&tree, &edits).expect("applied");
    let entry = |mode, text: &str| Change::Written(FileEntry { mode, bytes: text.as_bytes().into() });
    let expected = vec![
        (path("a"), entry(FileMode::Executable, "one\n")),
        (path("b"), entry(FileMode::Regular, "two\r\nmore\r\n")),
        (path("c"), Change::Deleted),
        (path("e"), entry(FileMode::Regular, "five\n")),
        (path("new/d"), entry(FileMode::Regular, "4\n")),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn all_of_an_answer_applies_or_none_and_every_slip_is_named_once() {
    let mut tree = files(&[("src/a.rs", "one\n"), ("b", "two\n"), ("bin", "\0")]);
    tree.files.insert(path("ln"), FileEntry { mode: FileMode::Symlink, bytes: b"src/a.rs".to_vec().into() });
    let write = |name: &str| Edit::Write { path: path(name), content: String::new() };
    let edits = [
        replace("b", "two", "zwei"),
        replace("a.rs", "x", "y"),
        replace("bin", "x", "y"),
        replace("ln", "x", "y"),
        write("src"),
        write("b/c"),
        Edit::Delete { path: path("nowhere") },
        replace("b", "nope", "x"),
        replace("b", "nope", "y"),
    ];
    insta::assert_snapshot!(apply(&tree, &edits).expect_err("refused"), @r"
    None of the edits was applied, because not all of them could be.

    Edit 2, a.rs: there is no such file. The nearest names are: src/a.rs.

    Edit 3, bin: it is not a text file.

    Edit 4, ln: it is a link to src/a.rs. Edit that file, or delete the link first.

    Edit 5, src: there is a folder of that name.

    Edit 6, b/c: b is a file, so nothing can lie below it.

    Edit 7, nowhere: there is no such file.

    Edit 8, b: the text to replace is not in the file. Nothing in it is like that text: read the file again.
    ");
}

#[test]
fn edits_of_text_that_repeats_itself_take_time_by_its_length() {
    let began = std::time::Instant::now();
    let file = "one\n".repeat(20_000);
    let half = "one\n".repeat(10_000);
    for (old, new) in [
        (format!("{half}two\n"), "2\n".to_owned()),
        (format!("two\n{half}"), "2\n".to_owned()),
        (half.clone(), half.replace('o', "0")),
        ("o".repeat(9_999), "x".to_owned()),
    ] {
        let refusal = edited(&file, replace("f", &old, &new)).expect_err("nothing is guessed");
        assert!(refusal.chars().count() < 10_000, "{}", refusal.len());
    }
    let (numbered, other): (String, String) =
        (0..5_000).map(|n| (format!("  old {n}\n"), format!("new {n}\n"))).unzip();
    let lines: String = numbered.lines().map(|line| format!("{}\n", line.trim())).collect();
    assert!(edited(&numbered, replace("f", &lines, &other)).is_ok());
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_diff_of_many_files_takes_time_by_its_length() {
    let began = std::time::Instant::now();
    let snapshot = files(&[("folder/a", "x\n"), ("file", "x\n")]);
    let many = |old: fn(usize) -> String| -> String {
        (0..4_000).map(|n| format!("--- {}\n+++ b/new/{n}/f\n@@ -0,0 +1 @@\n+x\n", old(n))).collect()
    };
    let made = apply(&snapshot, &[patch(&many(|_| "/dev/null".to_owned()))]).expect("new files");
    assert_eq!(made.len(), 4_000);
    let refusal = apply(&snapshot, &[patch(&many(|n| format!("a/folder/{n}")))]).expect_err("no such files");
    assert_eq!(refusal.refused.len(), MOST_PROBLEMS);
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
    // What lies below a file or in the place of a folder is refused as before, new ones among them.
    for (path_there, said) in [("folder", "folder of that name"), ("file/x", "file is a file")] {
        let edit = Edit::Write { path: path(path_there), content: String::new() };
        assert!(apply(&snapshot, &[edit]).expect_err("refused").to_string().contains(said));
    }
    let write = |name: &str| Edit::Write { path: path(name), content: String::new() };
    assert!(apply(&snapshot, &[write("n/a"), write("n")]).is_err());
    assert!(apply(&snapshot, &[write("n"), write("n/a")]).is_err());
    let freed = [
        Edit::Delete { path: path("file") },
        write("file/x"),
        write("n/a"),
        Edit::Delete { path: path("n/a") },
        write("n"),
    ];
    assert!(apply(&snapshot, &freed).is_ok());
}

use proptest::prelude::*;
use similar::TextDiff;

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

fn patch(diff: &str) -> Edit {
    Edit::Patch { diff: diff.to_owned() }
}

/// The text of file `f` after one edit.
fn edited(text: &str, edit: Edit) -> Result<String, String> {
    let mut snapshot = files(&[("f", text)]);
    let changes = apply(&snapshot, &[edit]).map_err(|refusal| refusal.to_string())?;
    put(&mut snapshot, &changes);
    Ok(String::from_utf8(snapshot.files[&path("f")].bytes.to_vec()).expect("text"))
}

#[test]
fn the_exact_text_is_replaced_wherever_it_stands() {
    assert_eq!(edited("let a = 1;\n", replace("f", "a = 1", "b = 2")).as_deref(), Ok("let b = 2;\n"));
    assert_eq!(edited("a\nb\nc\n", replace("f", "b\n", "")).as_deref(), Ok("a\nc\n"));
}

#[test]
fn white_space_at_line_ends_and_windows_endings_do_not_matter() {
    let file = "fn f() {  \r\n    one();\t\r\n    two();\r\n}\r\n";
    let edit = replace("f", "fn f() {\n    one();\n", "fn f() {\n    one();\n    more();\n");
    assert_eq!(
        edited(file, edit).as_deref(),
        Ok("fn f() {  \r\n    one();\t\r\n    more();\r\n    two();\r\n}\r\n")
    );
    let edit = replace("f", "one();", "one();\n    more();");
    assert_eq!(edited("a\r\n    one();\r\n", edit).as_deref(), Ok("a\r\n    one();\r\n    more();\r\n"));
}

#[test]
fn an_indentation_that_is_shifted_as_a_whole_is_put_right() {
    let file = "class A:\n    def f(self):\n        x = 1\n\n        return x\n";
    let edit = replace(
        "f",
        "def f(self):\n    x = 1\n\n    return x\n",
        "def f(self):\n    x = 2\n\n    if x:\n        return x\n",
    );
    assert_eq!(
        edited(file, edit).as_deref(),
        Ok("class A:\n    def f(self):\n        x = 2\n\n        if x:\n            return x\n")
    );
    let edit = replace("f", "            x = 1\n\n            return x\n", "            return 1\n");
    assert_eq!(edited(file, edit).as_deref(), Ok("class A:\n    def f(self):\n        return 1\n"));
    let unfit = replace("f", "            x = 1\n\n            return x\n", "return 1\n");
    assert!(
        edited(file, unfit).expect_err("no room").contains("Give all lines with the indentation of the file")
    );
}

#[test]
fn the_end_of_a_file_without_a_line_feed_stays_as_it_is() {
    assert_eq!(edited("a\nb", replace("f", "b\n", "c\n")).as_deref(), Ok("a\nc"));
    assert_eq!(edited("a\nb ", replace("f", "a\nb", "a\nc\nd")).as_deref(), Ok("a\nc\nd "));
    assert_eq!(edited("a \nb\n", replace("f", "a\nb", "a\nc")).as_deref(), Ok("a \nc\n"));
}

#[test]
fn where_two_places_fit_nothing_is_guessed() {
    let file = "x = 1\ny\nx = 1\n";
    insta::assert_snapshot!(edited(file, replace("f", "x = 1", "x = 2")).expect_err("two places"), @r"
    None of the edits was applied, because not all of them could be.

    Edit 1, f: the text to replace stands in 2 places, at lines 1, 3. Add lines before or after it until it fits one place only.
    ");
    let file = "  if a:\n    b()\n\n    if a:\n      b()\n";
    insta::assert_snapshot!(edited(file, replace("f", "if a:\n  b()\n", "")).expect_err("two places"), @r"
    None of the edits was applied, because not all of them could be.

    Edit 1, f: the text to replace stands in 2 places, at lines 1, 4. Add lines before or after it until it fits one place only.
         1 |   if a:
         2 |     b()
         4 |     if a:
         5 |       b()
    ");
}

#[test]
fn a_text_that_is_not_there_is_answered_with_the_nearest_place() {
    let file = "fn area(w: u32, h: u32) -> u32 {\n    w * h\n}\n\nfn edge(w: u32) -> u32 {\n    4 * w\n}\n";
    let edit = replace("f", "fn area(w: u32, h: u32) -> u32 {\n    w + h\n}\n", "");
    insta::assert_snapshot!(edited(file, edit).expect_err("not there"), @r"
    None of the edits was applied, because not all of them could be.

    Edit 1, f: the text to replace is not in the file.
    The nearest place is at line 1:
         1 | fn area(w: u32, h: u32) -> u32 {
         2 |     w * h
         3 | }
    Line 2 is `    w * h`, but the edit has `    w + h`.
    Another is at line 5:
         5 | fn edge(w: u32) -> u32 {
         6 |     4 * w
         7 | }
    ");
    let edit = replace("f", "fn arena(w: u32, h: u32) -> u64", "");
    insta::assert_snapshot!(edited(file, edit).expect_err("not there"), @r"
    None of the edits was applied, because not all of them could be.

    Edit 1, f: the text to replace is not in the file.
    The nearest place is at line 1:
         1 | fn area(w: u32, h: u32) -> u32 {
    Line 1 is `fn area(w: u32, h: u32) -> u32 {`, but the edit has `fn arena(w: u32, h: u32) -> u64`.
    ");
}

#[test]
fn common_slips_are_named() {
    let file = "one\ntwo\nthree\n";
    let refusal = |old, new| edited(file, replace("f", old, new)).expect_err("a slip");
    assert!(refusal("1 | one\n2 | two\n", "x").contains("without line numbers"));
    assert!(refusal("one\n...\nfour\n", "x").contains("give all of its lines"));
    assert!(refusal("zwei", "two").contains("already stands at line 2"));
    assert!(refusal("two", "two").contains("are the same"));
    assert!(refusal("", "x").contains("is empty, but the file is not"));
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
fn a_diff_is_applied_whatever_its_line_numbers_say() {
    let file = "a\nb\nc\nd\ne\n";
    let diff = "Here is the change:\n```diff\n--- a/f\n+++ b/f\n@@ -40,9 +41,2 @@ fn x\n b\n-c\n+C\n d\n```\nDone.\n";
    assert_eq!(edited(file, patch(diff)).as_deref(), Ok("a\nb\nC\nd\ne\n"));
    let diff = "--- f\n+++ f\n@@ ... @@\n a\n+a2\n b\n\n@@\n d\n-e\n\n";
    assert_eq!(edited(file, patch(diff)).as_deref(), Ok("a\na2\nb\nc\nd\n"));
}

#[test]
fn a_blank_context_line_may_lack_its_space() {
    let diff = "--- a/f\n+++ b/f\n@@ -1,4 +1,4 @@\n a\n\n-b\n+B\n \n";
    assert_eq!(edited("a\n\nb\n\n", patch(diff)).as_deref(), Ok("a\n\nB\n\n"));
}

#[test]
fn among_equal_places_only_the_line_number_decides() {
    let file = "x\ny\nx\ny\nx\ny\n";
    let at = |line| patch(&format!("--- a/f\n+++ b/f\n@@ -{line},2 +{line},2 @@\n x\n-y\n+Y\n"));
    assert_eq!(edited(file, at(3)).as_deref(), Ok("x\ny\nx\nY\nx\ny\n"));
    assert!(edited(file, at(4)).expect_err("no place").contains("at lines 1, 3, 5"));
}

#[test]
fn a_diff_makes_renames_and_deletes_files() {
    let tree = files(&[("old", "a\nb\n"), ("gone", "x\n"), ("run", "r\n"), ("empty", "")]);
    let diff = "diff --git a/old b/new\nsimilarity index 50%\nrename from old\nrename to new\n--- a/old\n+++ b/new\n@@ -1,2 +1,2 @@\n a\n-b\n+B\n\
                diff --git a/gone b/gone\ndeleted file mode 100644\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\
                diff --git a/made b/made\nnew file mode 100755\n--- /dev/null\n+++ b/made\n@@ -0,0 +1,2 @@\n+1\n+2\n\\ No newline at end of file\n\
                diff --git a/run b/run\nold mode 100644\nnew mode 100755\n\
                diff --git a/void b/void\nnew file mode 100644\nindex 0000000..e69de29\n\
                diff --git a/empty b/empty\ndeleted file mode 100644\nindex e69de29..0000000\n";
    let changes = apply(&tree, &[patch(diff)]).expect("applied");
    let entry = |mode, text: &str| Change::Written(FileEntry { mode, bytes: text.as_bytes().into() });
    let expected = vec![
        (path("empty"), Change::Deleted),
        (path("gone"), Change::Deleted),
        (path("made"), entry(FileMode::Executable, "1\n2")),
        (path("new"), entry(FileMode::Regular, "a\nB\n")),
        (path("old"), Change::Deleted),
        (path("run"), entry(FileMode::Executable, "r\n")),
        (path("void"), entry(FileMode::Regular, "")),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn a_diff_that_cannot_be_applied_says_why() {
    let refusal = |diff: &str| edited("a\nb\n", patch(diff)).expect_err("a slip");
    assert!(refusal("hello").contains("it is no unified diff"));
    assert!(refusal("@@ -1 +1 @@\n-a\n+b\n").contains("name the file"));
    assert!(
        refusal("--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@\n a\nforgotten\n+c\n").contains("begins with neither")
    );
    assert!(refusal("--- a/f\n+++ b/f\n@@ -1,0 +2 @@\n+c\n").contains("without a line of context"));
    assert!(refusal("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+c\n").contains("there is one"));
    assert!(refusal("--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n").contains("leaves some of its lines"));
    assert!(refusal("--- a/../f\n+++ b/../f\n@@ -1 +1 @@\n-a\n+c\n").contains("not a path"));
    assert!(refusal("--- a/.git/config\n+++ b/.git/config\n@@ -1 +1 @@\n-a\n+c\n").contains("git directory"));
    assert!(refusal("diff --git a/l b/l\nnew file mode 120000\n").contains("mode 120000"));
}

#[test]
fn a_name_in_quotes_is_read_as_git_wrote_it() {
    let mut tree = files(&[("é b", "1\n")]);
    let diff = "--- \"a/\\303\\251 b\"\n+++ \"b/\\303\\251 b\"\n@@ -1 +1 @@\n-1\n+2\n";
    let changes = apply(&tree, &[patch(diff)]).expect("applied");
    put(&mut tree, &changes);
    assert_eq!(tree.files[&path("é b")].bytes, b"2\n");
}

/// Texts of few different lines, so that the same block often stands in several places.
fn text() -> impl Strategy<Value = String> {
    let line =
        prop_oneof!["[ab]", Just(String::new()), "  [ab]", "    [a-d]", "-- x", "\\+\\+ y", "[a-z]{1,8}"];
    (prop::collection::vec(line, 0..24), any::<bool>()).prop_map(|(lines, open)| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        if open { text.trim_end_matches('\n').to_owned() } else { text }
    })
}

/// Two texts of which the second is the first with some lines changed.
fn two_texts() -> impl Strategy<Value = (String, String)> {
    let near = (text(), text(), 0usize..24, 0usize..24).prop_map(|(first, other, from, size)| {
        let mut lines: Vec<&str> = first.split_inclusive('\n').collect();
        let from = from.min(lines.len());
        let to = (from + size % 5).min(lines.len());
        lines.splice(from..to, other.split_inclusive('\n').take(4));
        let second = lines.concat();
        (first.clone(), second)
    });
    prop_oneof![near, (text(), text())]
}

fn diff(before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after).unified_diff().context_radius(3).header("a/f", "b/f").to_string()
}

/// How often a text stands in another, overlaps included.
fn count(text: &str, part: &str) -> usize {
    text.char_indices().filter(|(at, _)| text[*at..].starts_with(part)).count()
}

/// Whether no two lines are the same but for white space, so that a block of them has one place only.
fn all_different(text: &str) -> bool {
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.sort_unstable();
    lines.windows(2).all(|pair| pair[0] != pair[1])
}

/// The smallest block of whole lines whose replacement makes `after` and which stands once in `before`.
fn unique_block<'t>(before: &'t str, after: &'t str) -> (&'t str, &'t str) {
    let common = |one: Vec<&str>, other: Vec<&str>| {
        one.iter()
            .zip(&other)
            .take_while(|(one, other)| one == other)
            .map(|(line, _)| line.len())
            .sum::<usize>()
    };
    let (old, new): (Vec<&str>, Vec<&str>) =
        (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    let mut start = common(old.clone(), new.clone());
    let back = |lines: Vec<&'t str>| lines.into_iter().rev().collect::<Vec<_>>();
    let mut end = common(back(old), back(new)).min(before.len() - start).min(after.len() - start);
    loop {
        let block = &before[start..before.len() - end];
        if !block.is_empty() && count(before, block) == 1 {
            return (block, &after[start..after.len() - end]);
        }
        if start == 0 && end == 0 {
            return (before, after);
        }
        start = before[..start].trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
        end = end - before[before.len() - end..].find('\n').map_or(end, |at| at + 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_diff_of_two_texts_makes_the_second_of_the_first((before, after) in two_texts()) {
        if before == after {
            return Ok(());
        }
        prop_assert_eq!(edited(&before, patch(&diff(&before, &after))), Ok(after));
    }

    #[test]
    fn a_diff_with_wrong_numbers_makes_the_second_text_or_is_refused((before, after) in two_texts(), wrong in 50usize..90) {
        if before == after {
            return Ok(());
        }
        let exact = diff(&before, &after);
        let damaged: String = exact.split_inclusive('\n').map(|line| {
            if line.starts_with("@@") { format!("@@ -{wrong},{wrong} +{wrong},{wrong} @@\n") } else { line.to_owned() }
        }).collect();
        match edited(&before, patch(&damaged)) {
            Ok(made) => prop_assert_eq!(made, after),
            Err(refusal) => prop_assert!(!all_different(&before), "{}", refusal),
        }
    }

    #[test]
    fn a_replacement_of_a_block_makes_the_second_text((before, after) in two_texts()) {
        let (old, new) = unique_block(&before, &after);
        if old.is_empty() || old == new {
            return Ok(());
        }
        prop_assert_eq!(edited(&before, replace("f", old, new)), Ok(after));
    }

    #[test]
    fn a_replacement_with_damaged_white_space_makes_the_second_text_or_is_refused(
        (before, after) in two_texts(), spaces in "[ \t]{1,3}", windows in any::<bool>(),
    ) {
        let (old, new) = unique_block(&before, &after);
        if old.is_empty() || old == new {
            return Ok(());
        }
        // A single open line does not tell how lines end.
        let windows = windows && before.contains('\n');
        let damaged: String = old.split_inclusive('\n').map(|line| {
            match line.strip_suffix('\n') { Some(line) => format!("{line}{spaces}\n"), None => format!("{line}{spaces}") }
        }).collect();
        prop_assume!(!before.contains(&damaged) && damaged != new);
        let ended = |text: &str| if windows { text.replace('\n', "\r\n") } else { text.to_owned() };
        match edited(&ended(&before), replace("f", &damaged, new)) {
            // Lines that both texts have stay as the file has them; how the last one ends may differ.
            Ok(made) => prop_assert_eq!(made.trim_end(), ended(&after).trim_end().to_owned()),
            Err(refusal) => prop_assert!(!all_different(&before), "{}", refusal),
        }
    }

    #[test]
    fn writing_the_second_text_makes_it((before, after) in two_texts()) {
        prop_assert_eq!(edited(&before, Edit::Write { path: path("f"), content: after.clone() }), Ok(after));
    }

    #[test]
    fn no_diff_makes_it_panic(junk in "(--- a/f\n\\+\\+\\+ b/f\n)?(@@ -1,[0-9] \\+1 @@\n)?([ +\\-\\\\@x]?[ab]?\r?\n){0,9}") {
        let _ = edited("a\nb\n", patch(&junk));
    }
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

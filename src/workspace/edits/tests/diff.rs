use super::*;

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
        refusal("--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@\n a\nforgotten\n+c\n")
            .contains("Line 2 is `b`, but the edit has `forgotten`")
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

#[test]
fn context_may_lack_its_column() {
    let file = "fn a() {\n    one();\n\n    two();\n}\n";
    let diff = "--- a/f\n+++ b/f\n@@ -1,5 +1,6 @@\nfn a() {\n    one();\n+    more();\n\n    two();\n}\n";
    assert_eq!(
        edited(file, patch(diff)).as_deref(),
        Ok("fn a() {\n    one();\n    more();\n\n    two();\n}\n")
    );
    let diff = "--- a/f\n+++ b/f\n@@ @@\n    one();\n-\n+    more();\n    two();\n";
    assert_eq!(
        edited(file, patch(diff)).as_deref(),
        Ok("fn a() {\n    one();\n    more();\n    two();\n}\n")
    );
    // One space less before all lines, the added one included, is a shift.
    let diff = "--- a/f\n+++ b/f\n@@ @@\n \"a\",\n+\"b\",\n \"c\",\n";
    assert_eq!(edited(" \"a\",\n \"c\",\n", patch(diff)).as_deref(), Ok(" \"a\",\n \"b\",\n \"c\",\n"));
    // Some that lack one and some that do not are no shift.
    let diff = "--- a/f\n+++ b/f\n@@ @@\n  }\n}\n+/**\n+ * g\n+ */\nfn g() {}\n";
    assert_eq!(
        edited("{\n  }\n}\nfn g() {}\n", patch(diff)).as_deref(),
        Ok("{\n  }\n}\n/**\n * g\n */\nfn g() {}\n")
    );
    // A new line may be what a kept one without its first space looks like.
    let diff = "--- a/f\n+++ b/f\n@@ @@\n}\n+ a\n  a\n";
    assert_eq!(edited("}\n  a\n", patch(diff)).as_deref(), Ok("}\n a\n  a\n"));
    // Here it is either.
    let diff = "--- a/f\n+++ b/f\n@@ @@\n \"a\",\n+      \"b\",\n \"c\",\n";
    assert!(edited(" \"a\",\n \"c\",\n", patch(diff)).expect_err("unclear").contains("lack a space each"));
}

#[test]
fn a_fence_in_a_file_ends_no_diff_and_what_follows_the_end_is_not_lost() {
    let file = "a\n```sh\nb\n```\nc\nd\n";
    let diff = "--- a/f\n+++ b/f\n@@ @@\na\n```sh\n-b\n+B\n```\nc\n+C\nd\n";
    assert_eq!(edited(file, patch(diff)).as_deref(), Ok("a\n```sh\nB\n```\nc\nC\nd\n"));
    let cut = format!("```diff\n{diff}```\n");
    assert!(edited(file, patch(&cut)).expect_err("half of it").contains("belongs to no block"));
}

#[test]
fn blocks_may_stand_in_any_order_when_each_fits_one_place() {
    let file = "a\nb\nc\nd\n";
    let diff = "--- a/f\n+++ b/f\n@@ -3,2 +3,2 @@\n c\n-d\n+D\n@@ -1,2 +1,2 @@\n-a\n+A\n b\n";
    assert_eq!(edited(file, patch(diff)).as_deref(), Ok("A\nb\nc\nD\n"));
}

#[test]
fn the_blocks_around_tell_which_of_several_places_is_meant() {
    let file = "x\none\nx\ntwo\nx\n";
    let blocks =
        |first: &str, second: &str| patch(&format!("--- a/f\n+++ b/f\n@@ @@\n{first}@@ @@\n{second}"));
    let (x, one, two) = ("-x\n+X\n", "-one\n+1\n", "-two\n+2\n");
    assert_eq!(edited(file, blocks(x, one)).as_deref(), Ok("X\n1\nx\ntwo\nx\n"));
    assert_eq!(edited(file, blocks(two, x)).as_deref(), Ok("x\none\nx\n2\nX\n"));
    assert!(
        edited(file, blocks(one, x))
            .expect_err("two places follow")
            .contains("stands in 2 places, at lines 3, 5")
    );
    let overlapping = blocks(" one\n-x\n", "-x\n two\n");
    assert!(edited(file, overlapping).expect_err("one line, twice").contains("must not overlap"));
}

#[test]
fn a_number_that_names_a_place_like_the_exact_one_is_not_ignored() {
    let file = "\tx\n\ty\n  x\n  y\n";
    let at = |line| patch(&format!("--- a/f\n+++ b/f\n@@ -{line},2 +{line},2 @@\n \tx\n-\ty\n+\tz\n"));
    assert_eq!(edited(file, at(1)).as_deref(), Ok("\tx\n\tz\n  x\n  y\n"));
    assert_eq!(edited(file, at(2)).as_deref(), Ok("\tx\n\tz\n  x\n  y\n"));
    assert!(edited(file, at(3)).expect_err("two places").contains("stands in 2 places, at lines 1, 3"));
}

#[test]
fn a_number_that_contradicts_the_order_of_blocks_is_not_ignored() {
    let file = "x\none\nx\n";
    let blocks =
        |line| patch(&format!("--- a/f\n+++ b/f\n@@ -{line} +{line} @@\n-x\n+X\n@@ -2 +2 @@\n-one\n+1\n"));
    assert_eq!(edited(file, blocks(1)).as_deref(), Ok("X\n1\nx\n"));
    assert_eq!(edited(file, blocks(9)).as_deref(), Ok("X\n1\nx\n"));
    assert!(edited(file, blocks(3)).expect_err("unclear").contains("stands in 2 places, at lines 1, 3"));
}

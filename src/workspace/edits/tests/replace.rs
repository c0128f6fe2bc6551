use super::*;

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
    assert!(refusal("one\n...\nthree\n", "x").contains("in 1 places and the new text in 0"));
    assert!(refusal("one\n...\nfour\n", "one\n...\n4\n").contains("what stands between them is not found"));
    assert!(refusal("two\nthree\n", "2\n# ... rest of the code ...\n").contains("leave some out with"));
    assert!(refusal("zwei", "two").contains("already stands at line 2"));
    assert!(refusal("two", "two").contains("are the same"));
    assert!(refusal("", "x").contains("is empty, but the file is not"));
}

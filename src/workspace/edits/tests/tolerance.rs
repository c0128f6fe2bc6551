use super::*;

#[test]
fn tabs_and_spaces_are_taken_for_each_other_and_new_lines_get_those_of_the_file() {
    let tabs = "func f() {\n\tif a {\n\t\tb()\n\t}\n}\n";
    let edit =
        replace("f", "    if a {\n        b()\n", "    if a {\n        for {\n            b()\n        }\n");
    assert_eq!(
        edited(tabs, edit).as_deref(),
        Ok("func f() {\n\tif a {\n\t\tfor {\n\t\t\tb()\n\t\t}\n\t}\n}\n")
    );
    let spaces = "if a:\n  b()\n  if c:\n    d()\n";
    let edit = replace("f", "\tif c:\n\t\td()\n", "\tif c:\n\t\tif d:\n\t\t\te()\n");
    assert_eq!(edited(spaces, edit).as_deref(), Ok("if a:\n  b()\n  if c:\n    if d:\n      e()\n"));
}

#[test]
fn an_indentation_that_cannot_be_known_is_not_guessed() {
    let refused = |file, old, new| edited(file, replace("f", old, new)).expect_err("unclear");
    // Two levels of the file are one of the edit.
    let said = refused("a\n  b\n    c\n", "b\nc\n", "b\nx\nc\n");
    assert!(said.contains("which one the new line `x` is to have is not clear"), "{said}");
    // Nothing tells how wide a tab is here.
    let said = refused("\tx = 1 \n", "x = 1\ny", "x = 2\n    z = 1\ny");
    assert!(said.contains("is not in the file"), "{said}");
    let said = refused("\tx \n\ty \n", "x\ny\n", "x\n    z\ny\n");
    assert!(said.contains("which one the new line"), "{said}");
}

#[test]
fn a_new_line_that_is_an_old_one_of_the_edit_is_the_one_of_the_file() {
    let edit = replace("f", "a  \n‘b’\nc\n", "‘b’\nc\na  \nd  \n");
    assert_eq!(edited("a\n'b'\nc \n", edit).as_deref(), Ok("'b'\nc \na\nd  \n"));
    let edit = replace("f", "a\n  \nb\n", "c\n  \nd\n  \nb\n");
    assert_eq!(edited("a\n\nb\n", edit).as_deref(), Ok("c\n\nd\n\nb\n"));
    // White space at the end of a line may be what is to go.
    let diff = "--- a/f\n+++ b/f\n@@ @@\n a\n-b\n+b\n";
    assert_eq!(edited("a\nb  \n", patch(diff)).as_deref(), Ok("a\nb\n"));
}

#[test]
fn typographic_marks_are_taken_for_plain_ones() {
    let file = "say('a')\nsay(\"b\")\n";
    let edit = replace("f", "say(‘a’)\n", "say(‘a’)\nsay(“c” – 1)\n");
    assert_eq!(edited(file, edit).as_deref(), Ok("say('a')\nsay(\"c\" – 1)\nsay(\"b\")\n"));
    let said = edited("it’s\n“x”\n", replace("f", "it's\n", "it's\nhe's\n")).expect_err("unclear");
    assert!(said.contains("not clear what `’` in the new line `he's` is to be"), "{said}");
    assert_eq!(edited("it’s\nb\n", replace("f", "it's\nb\n", "it's\nB\n")).as_deref(), Ok("it’s\nB\n"));
    // A file that has both kinds does not tell which one a new line means.
    let said = edited("a('“')\n", replace("f", "a(‘“’)\n", "a(‘“’)\nb(“)\n")).expect_err("unclear");
    assert!(said.contains("not clear what `“`"), "{said}");
    let said = edited("it’s 'a'\n", replace("f", "it’s ’a’\n", "it’s ’b’\n")).expect_err("unclear");
    assert!(said.contains("not clear what `’`"), "{said}");
    assert_eq!(edited("“\nx = 'a'\n", replace("f", "x = ‘a’\n", "y = ‘a’\n")).as_deref(), Ok("“\ny = 'a'\n"));
}

const AREAS: &str = "fn area(w: u32, h: u32) -> u32 {\n    let sum = w * h;\n    check(sum);\n    sum\n}\n";

#[test]
fn a_kept_line_may_be_misremembered_where_no_other_place_comes_close() {
    let old = "fn area(w: u32, height: u32) -> u32 {\n    let sum = w * h;\n    check(sum);\n";
    let edit = |new: &str| replace("f", old, new);
    let new = old.replace("check(sum)", "verify(sum)");
    assert_eq!(edited(AREAS, edit(&new)), Ok(AREAS.replace("check(sum)", "verify(sum)")));
    // What is removed has to be there.
    let new = old.replace("height: u32", "height: u64");
    assert!(edited(AREAS, edit(&new)).expect_err("not the line").contains("The nearest place is at line 1"));
    // A place that is nearly as good could be meant as well.
    let twice = format!("{AREAS}{}", AREAS.replace("fn area(w", "fn areas(w"));
    let new = old.replace("check(sum)", "verify(sum)");
    assert!(
        edited(&twice, edit(&new)).expect_err("two places").contains("stands in 2 places, at lines 1, 6")
    );
    // Another line altogether is not misremembered.
    let old = "use std::path::Path;\n    let sum = w * h;\n    check(sum);\n";
    assert!(edited(AREAS, replace("f", old, "use std::path::Path;\n")).is_err());
}

#[test]
fn lines_that_are_left_out_stay() {
    let file = "fn a() {\n    one();\n    two();\n    three();\n    four();\n}\nfn b() {\n    one();\n}\n";
    let made = file.replacen("one()", "1()", 1).replace("four()", "4()");
    for mark in ["...", "// ...", "// ... existing code ...", "/* … rest of the function … */"] {
        let old = format!("fn a() {{\n    one();\n    {mark}\n    four();\n");
        let new = format!("fn a() {{\n    1();\n    {mark}\n    4();\n");
        assert_eq!(edited(file, replace("f", &old, &new)).as_deref(), Ok(made.as_str()), "{mark}");
        let diff = format!(
            "--- a/f\n+++ b/f\n@@ @@\n fn a() {{\n-    one();\n+    1();\n {mark}\n-    four();\n+    4();\n"
        );
        assert_eq!(edited(file, patch(&diff)).as_deref(), Ok(made.as_str()), "{mark}");
    }
    // Where nothing changes, it does not matter which of several lines ends what is left out.
    let edit = replace("f", "fn a() {\n// ...\n}\n", "fn a(x: u8) {\n// ...\n}\n");
    assert_eq!(edited(file, edit), Ok(file.replace("a()", "a(x: u8)")));
    // Where something does, it has to be one.
    let edit = replace("f", "fn a() {\n// ...\n    one();\n", "fn a() {\n// ...\n    1();\n");
    assert!(edited(file, edit).expect_err("two places").contains("stands in 2 places, at lines 2, 8"));
}

#[test]
fn a_mark_that_the_file_has_is_a_line_like_others() {
    let stub = "def f():\n    ...\n\ndef g():\n    ...\n";
    assert_eq!(
        edited(stub, replace("f", "def f():\n    ...\n", "def f():\n    return 1\n")).as_deref(),
        Ok("def f():\n    return 1\n\ndef g():\n    ...\n")
    );
}

#[test]
fn a_whole_file_keeps_its_endings_and_is_not_cut_short() {
    let write = |content: &str| Edit::Write { path: path("f"), content: content.to_owned() };
    assert_eq!(edited("a\nb\n", write("a\r\nc\r\n")).as_deref(), Ok("a\nc\n"));
    assert_eq!(edited("a\nb\n", write("a\nc")).as_deref(), Ok("a\nc\n"));
    assert_eq!(edited("a\r\nb\r\n", write("a\nc")).as_deref(), Ok("a\r\nc\r\n"));
    assert_eq!(edited("a\nb", write("a\nc")).as_deref(), Ok("a\nc"));
    assert_eq!(edited("a\n", write("")).as_deref(), Ok(""));
    let cut = write("fn a() {}\n// ... rest of the file unchanged ...\n");
    assert!(
        edited("fn a() {}\nfn b() {}\n", cut.clone())
            .expect_err("cut short")
            .contains("Give all of the new lines")
    );
    assert!(edited("// ... rest of the file unchanged ...\n", cut).is_ok());
}

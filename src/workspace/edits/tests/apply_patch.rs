use super::*;

fn update(body: &str) -> Edit {
    patch(&format!("*** Begin Patch\n*** Update File: f\n{body}*** End Patch\n"))
}

#[test]
fn sections_add_delete_update_and_move_files() {
    let mut tree = files(&[("old", "a\nb\n"), ("gone", "x\n"), ("run", "r\n"), ("there", "1\n")]);
    tree.files.get_mut(&path("run")).expect("run").mode = FileMode::Executable;
    let text = "Here it is:\n```\n*** Begin Patch\n*** Add File: new/made\n+1\n+\n+2\n*** Update File: old\n\
                *** Move to: moved\n@@\n a\n-b\n+B\n*** Delete File: gone\n*** Update File: ./run\n*** Move to: bin/run\n\
                *** Add File: there\n+2\n*** End Patch\n```\n+not a line of it\n";
    let changes = apply(&tree, &[patch(text)]).expect("applied");
    let entry = |mode, text: &str| Change::Written(FileEntry { mode, bytes: text.as_bytes().into() });
    let expected = vec![
        (path("bin/run"), entry(FileMode::Executable, "r\n")),
        (path("gone"), Change::Deleted),
        (path("moved"), entry(FileMode::Regular, "a\nB\n")),
        (path("new/made"), entry(FileMode::Regular, "1\n\n2\n")),
        (path("old"), Change::Deleted),
        (path("run"), Change::Deleted),
        (path("there"), entry(FileMode::Regular, "2\n")),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn the_first_block_needs_no_head_and_the_last_no_end() {
    let edit = patch("*** Begin Patch\n*** Update File: f\n a\n-b\n+B\n@@\n c\n+d");
    assert_eq!(edited("a\nb\nc\n", edit).as_deref(), Ok("a\nB\nc\nd\n"));
}

#[test]
fn a_heading_tells_which_of_equal_places_is_meant() {
    let file = "class A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 1\n\n\
                class B(Base):\n    def f(self):\n        return 1\n";
    let body = "-        return 1\n+        return 2\n";
    let in_a = edited(file, update(&format!("@@ class A:\n@@     def g(self):\n{body}")));
    assert_eq!(in_a, Ok(file.replacen("return 1\n\nclass B", "return 2\n\nclass B", 1)));
    let in_b = edited(file, update(&format!("@@ class B\n{body}")));
    assert_eq!(in_b, Ok(format!("{}2\n", file.strip_suffix("1\n").expect("the end"))));
    for (heading, why) in
        [("", "no heading"), (" class A:", "two places in it"), (" class C:", "no such heading")]
    {
        let refusal = edited(file, update(&format!("@@{heading}\n{body}"))).expect_err(why);
        assert!(refusal.contains("stands in 3 places, at lines 3, 6, 10"), "{why}: {refusal}");
    }
    // A heading that is wrong does no harm where one place fits.
    let edit = update("@@ class C:\n     def g(self):\n-        return 1\n+        return 2\n");
    assert!(edited(file, edit).is_ok());
}

#[test]
fn the_end_of_the_file_tells_the_place() {
    let file = "x\ny\nx\n";
    assert_eq!(edited(file, update("@@\n-x\n+z\n*** End of File\n")).as_deref(), Ok("x\ny\nz\n"));
    assert_eq!(edited(file, update("@@\n+z\n")).as_deref(), Ok("x\ny\nx\nz\n"));
    assert_eq!(edited("x\ny", update("@@\n+z\n*** End of File\n")).as_deref(), Ok("x\ny\nz"));
    let refusal = edited(file, update("@@ y\n+z\n")).expect_err("before or behind it");
    assert!(refusal.contains("without a line of context"), "{refusal}");
}

#[test]
fn a_patch_that_cannot_be_applied_says_why() {
    let refusal = |text: &str| edited("a\nb\n", patch(text)).expect_err("a slip");
    assert!(refusal("*** Begin Patch\n*** End Patch\n").contains("changes nothing"));
    assert!(
        refusal("*** Begin Patch\n*** Update File: f\n*** End Patch\n")
            .contains("the part about f changes nothing")
    );
    assert!(
        refusal("*** Begin Patch\n-a\n+b\n*** End Patch\n")
            .contains("line 2 of the patch, `-a`, belongs to no file")
    );
    assert!(
        refusal("*** Begin Patch\n*** Add File: g\n+a\nb\n*** End Patch\n")
            .contains("line 4 of the patch, `b`, does not")
    );
    assert!(
        refusal("*** Begin Patch\n*** Update File: F\n@@\n-a\n*** End Patch\n")
            .contains("there is no such file")
    );
    assert!(refusal("*** Begin Patch\n*** Delete File: ../f\n*** End Patch\n").contains("not a path inside"));
    let both = "*** Begin Patch\n*** Update File: f\n@@\n-a\n+A\n*** Update File: g\n@@\n-a\n*** End Patch\n";
    assert!(refusal(both).contains("None of the edits was applied"));
}

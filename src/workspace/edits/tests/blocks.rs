use super::*;

#[test]
fn each_block_replaces_lines_of_the_file_named_above_it() {
    let mut tree = files(&[("src/a.rs", "one\ntwo\nthree\n"), ("b", "x\n")]);
    let text = "I change these:\n\n### `src/a.rs`\n```rust\n<<<<<<< SEARCH\none\n=======\nuno\n>>>>>>> REPLACE\n```\n\
                and below, in the same file:\n\n<<<<<<< SEARCH\nthree\n=======\n>>>>>>> REPLACE\n\n\
                **b:**\n<<<<<<< SEARCH\nx\n=======\ny\nz\n>>>>>>> REPLACE\n\
                ./new/c\n------- SEARCH\n=======\nmade\n+++++++ REPLACE\n";
    let changes = apply(&tree, &[patch(text)]).expect("applied");
    put(&mut tree, &changes);
    let texts: Vec<_> =
        tree.files.values().map(|entry| String::from_utf8_lossy(&entry.bytes).into_owned()).collect();
    assert_eq!(texts, ["y\nz\n", "made\n", "uno\ntwo\n"]);
}

#[test]
fn a_block_means_whole_lines_and_else_a_part_of_one() {
    let block =
        |old: &str, new: &str| patch(&format!("f\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"));
    assert_eq!(edited("max = 1\nx = 1\n", block("x = 1", "x = 2")).as_deref(), Ok("max = 1\nx = 2\n"));
    assert_eq!(edited("let y = f(1);\n", block("f(1)", "f(2)")).as_deref(), Ok("let y = f(2);\n"));
    assert!(
        edited("f(1) + f(1)\n", block("f(1)", "f(2)"))
            .expect_err("two places")
            .contains("in 2 places, at lines 1, 1")
    );
    assert!(edited("x\ny\nx\n", block("x", "z")).expect_err("two places").contains("at lines 1, 3"));
}

#[test]
fn a_text_of_blocks_that_cannot_be_read_says_why() {
    let refusal = |text: &str| edited("a\nb\n", patch(text)).expect_err("a slip");
    let block = "<<<<<<< SEARCH\na\n=======\nA\n>>>>>>> REPLACE\n";
    assert!(refusal(block).contains("no line before the block at line 1 of the text names its file"));
    assert!(refusal(&format!("This is the change\n{block}")).contains("names its file"));
    assert!(refusal("f\n<<<<<<< SEARCH\na\n>>>>>>> REPLACE\n").contains("has no `=======` line"));
    assert!(
        refusal(&format!("f\n<<<<<<< SEARCH\na\n=======\nA\n{block}"))
            .contains("at line 2 of the text has no `>>>>>>> REPLACE`")
    );
    assert!(
        refusal("f\n<<<<<<< SEARCH\na\n=======\nA\n=======\n>>>>>>> REPLACE\n")
            .contains("several lines of `=======`")
    );
    assert!(refusal(&format!("../f\n{block}")).contains("names its file"));
    assert!(refusal("f\n<<<<<<< SEARCH\na\n=======\na\n>>>>>>> REPLACE\n").contains("are the same"));
}

#[test]
fn a_conflict_of_git_is_no_block() {
    assert!(
        edited("a\n", patch("<<<<<<< HEAD\na\n=======\nb\n>>>>>>> main\n"))
            .expect_err("git's")
            .contains("no unified diff")
    );
}

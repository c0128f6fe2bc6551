//! Each sign, where it is the only one that can find the file or put it first.

use crate::repository::{Repository, borrowed, filler};

/// The files of a repository with some that matter, and the answer to a text.
fn answer(files: &[(&str, &str)], text: &str) -> Vec<(String, String)> {
    let filler = filler(12);
    let mut all = borrowed(&filler);
    all.extend_from_slice(files);
    let (repository, commit) = Repository::of(&all);
    repository.files(&commit, text)
}

#[test]
fn words_find_a_file_in_whatever_form_they_stand() {
    let found = answer(&[("src/a.rs", "// roundings of cents\n")], "Rounded cents");
    assert_eq!(found[0].0, "src/a.rs");
    assert!(found[0].1.contains("it has the words"), "{}", found[0].1);
    assert_eq!(found.len(), 1);
}

#[test]
fn a_path_finds_a_file_that_has_none_of_the_words() {
    let found = answer(&[("src/billing/invoice.rs", "fn x() {}\n")], "the invoice is late");
    assert_eq!(found[0].0, "src/billing/invoice.rs");
    assert!(found[0].1.contains("its path has the words invoice"), "{}", found[0].1);
}

#[test]
fn a_whole_identifier_beats_its_words_in_any_spelling() {
    let apart = "fn split() {}\nfn amount() {}\n";
    let whole = "fn runs() { split_amount() }\nfn stops() {}\n";
    let found = answer(&[("src/a.rs", apart), ("src/b.rs", whole)], "splitAmount loses cents");
    assert_eq!(found[0].0, "src/b.rs");
    assert!(found[0].1.contains("it uses the names splitAmount"), "{}", found[0].1);
}

#[test]
fn where_a_name_is_defined_beats_where_it_is_used() {
    let used = "fn a() { frob(1); }\nfn b() { }\n";
    let defined = "fn a() { zoom(1); }\nfn frob() { }\n";
    let found = answer(&[("src/a.rs", used), ("src/b.rs", defined)], "crash in `frob`");
    assert_eq!(found[0].0, "src/b.rs");
    assert!(found[0].1.contains("it defines frob"), "{}", found[0].1);
    assert!(!found[1].1.contains("it defines"), "{}", found[1].1);
}

#[test]
fn past_commits_with_similar_messages_find_a_file_without_any_word() {
    let filler = filler(12);
    let (mut repository, first) = Repository::of(&borrowed(&filler));
    let second = repository.commit(Some(&first), &[("src/q.rs", "fn x() {}\n")], "add q");
    let third = repository.commit(Some(&second), &[("src/q.rs", "fn y() {}\n")], "Fix rounding of cents");
    let found = repository.files(&third, "cents are rounded down");
    assert_eq!(found[0].0, "src/q.rs");
    assert!(found[0].1.contains("1 past commit with a similar message changed it"), "{}", found[0].1);
    assert!(repository.files(&second, "cents are rounded down").is_empty());
}

#[test]
fn a_file_that_changes_together_with_the_best_is_found() {
    let filler = filler(12);
    let (mut repository, mut tip) = Repository::of(&borrowed(&filler));
    for n in 0..3 {
        let (ledger, peer) = (format!("// cents {n}\n"), format!("// zz {n}\n"));
        let files = [("src/a.rs", ledger.as_str()), ("src/q.rs", peer.as_str())];
        tip = repository.commit(Some(&tip), &files, "step");
    }
    let found = repository.files(&tip, "cents");
    assert_eq!((found[0].0.as_str(), found[1].0.as_str()), ("src/a.rs", "src/q.rs"));
    assert!(found[1].1.contains("changed together"), "{}", found[1].1);
}

#[test]
fn what_defines_the_names_of_the_best_place_comes_before_its_equals() {
    let best = "fn cents() { obscure_frob(1) }\n";
    let files = [
        ("src/a.rs", best),
        ("src/p.rs", "fn quiet_zoom() {} // amount\n"),
        ("src/q.rs", "fn obscure_frob() {} // amount\n"),
    ];
    let found = answer(&files, "cents of an amount");
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["src/a.rs", "src/q.rs", "src/p.rs"]);
    assert!(found[1].1.contains("names that are used in the best places"), "{}", found[1].1);
}

#[test]
fn what_has_the_words_of_the_best_place_comes_before_its_equals() {
    let files = [
        ("src/a.rs", "fn cents() {} // zanzibar\n"),
        ("src/p.rs", "fn x() {} // amount marrakesh\n"),
        ("src/q.rs", "fn x() {} // amount zanzibar\n"),
    ];
    let found = answer(&files, "cents of an amount");
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["src/a.rs", "src/q.rs", "src/p.rs"]);
}

#[test]
fn a_stack_trace_finds_its_file_and_its_lines() {
    let long = "fn quiet() {}\n".repeat(400);
    let filler = filler(12);
    let mut all = borrowed(&filler);
    all.push(("lib/deep/widget.rb", long.as_str()));
    let (repository, commit) = Repository::of(&all);
    let text = "It stops\n\n```\n/gems/it-1.0/lib/deep/widget.rb:215:in `zz'\n```\n";
    let selection = repository.select(&repository.contexts(), &commit, text);
    assert_eq!(selection.files[0].path, "lib/deep/widget.rb");
    assert!(selection.files[0].reasons[0].contains("line 215"), "{:?}", selection.files[0].reasons);
    let first = &selection.snippets[0];
    assert!((first.start_line..=first.end_line).contains(&215), "{}-{}", first.start_line, first.end_line);
}

#[test]
fn an_error_text_beats_its_words_elsewhere() {
    let words =
        "no such widget here\nwidget such no\nsuch widget no\n".replace(" such widget", " widget such");
    let literal = "fn f() { fail(\"no such widget: {}\", 1) }\nfn zz() {}\n";
    let found = answer(
        &[("src/a.rs", &words.repeat(2)), ("src/b.rs", literal)],
        "Stops at once\nError: no such widget: 42",
    );
    assert_eq!(found[0].0, "src/b.rs");
    assert!(found[0].1.contains("it has the text \"no such widget\""), "{}", found[0].1);
}

#[test]
fn source_comes_before_tests_and_docs_unless_the_text_is_about_them() {
    let files = [
        ("src/cents.rs", "fn cents() {}\n"),
        ("tests/cents_test.rs", "fn cents() {}\n"),
        ("docs/cents.md", "cents\n"),
    ];
    assert_eq!(answer(&files, "cents are lost")[0].0, "src/cents.rs");
    assert_eq!(answer(&files, "flaky test: cents in cents_test")[0].0, "tests/cents_test.rs");
    assert_eq!(answer(&files, "typo in docs/cents.md")[0].0, "docs/cents.md");
}

#[test]
fn what_was_copied_in_or_made_by_a_machine_is_not_read() {
    let files = [
        ("src/gen.rs", "// @generated\nfn cents() {}\n"),
        ("vendor/a.rs", "fn cents() {}\n"),
        ("Cargo.lock", "cents\n"),
        ("src/blob.rs", "cents\0\n"),
    ];
    assert!(answer(&files, "the cents").is_empty());
}

#[test]
fn nothing_is_read_that_is_not_in_the_commit_or_its_ancestors() {
    let filler = filler(12);
    let (mut repository, first) = Repository::of(&borrowed(&filler));
    let side = repository.commit(Some(&first), &[("src/part1.rs", "fn other() {}\n")], "cents on a side");
    let later = repository.commit(Some(&first), &[("src/late.rs", "fn cents() {}\n")], "cents later");
    let contexts = repository.contexts();
    assert!(!repository.select(&contexts, &later, "cents").files.is_empty());
    assert!(!repository.select(&contexts, &side, "cents").files.is_empty());
    assert!(repository.select(&contexts, &first, "cents").files.is_empty());
}

#[test]
fn snippets_are_the_lines_that_they_say_and_keep_the_budget() {
    let text: String = (1..=300).map(|n| format!("let cents{n} = amount;\n")).collect();
    let (repository, commit) = Repository::of(&[("src/a.rs", &text)]);
    let selection = repository.select(&repository.contexts(), &commit, "amount of cents");
    assert!(selection.tokens <= 4_000 && selection.tokens > 500, "{}", selection.tokens);
    for snippet in &selection.snippets {
        let range = snippet.start_line - 1..snippet.end_line;
        let lines: Vec<&str> = text.lines().skip(range.start).take(range.len()).collect();
        assert_eq!(snippet.text, format!("{}\n", lines.join("\n")));
    }
    assert_eq!(selection.snippets.iter().map(|snippet| snippet.tokens).sum::<usize>(), selection.tokens);
}

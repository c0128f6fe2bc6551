use proptest::prelude::*;

use super::*;

fn pair<'a>(path: &'a str, before: &'a str, after: &'a str) -> TextPair<'a> {
    TextPair { path, old_path: None, before: Some(before), after: Some(after), first_line: 1 }
}

fn titles(files: &[TextPair<'_>]) -> Vec<String> {
    tampering(files, &BTreeSet::new(), &[])
        .into_iter()
        .filter(is_blocking)
        .map(|finding| finding.title)
        .collect()
}

fn found(path: &str, before: &str, after: &str) -> Vec<String> {
    titles(&[pair(path, before, after)])
}

const RUST: &str = "#[test]\nfn adds() {\n    assert_eq!(add(1, 1), 2);\n    assert_eq!(add(0, 0), 0);\n}\n\n#[test]\nfn subtracts() {\n    assert_eq!(sub(1, 1), 0);\n}\n";
const PYTHON: &str =
    "import pytest\n\ndef test_adds():\n    assert add(1, 1) == 2\n    assert add(0, 0) == 0\n";
const SCRIPT: &str =
    "describe('sum', () => {\n  it('adds', () => {\n    expect(add(1, 1)).toBe(2)\n  })\n})\n";
const GO: &str = "package a\n\nfunc TestAdds(t *testing.T) {\n\tif got := Add(1, 1); got != 2 {\n\t\tt.Fatalf(\"got %d\", got)\n\t}\n}\n";
const JAVA: &str =
    "class SumTest {\n    @Test\n    void adds() {\n        assertEquals(2, add(1, 1));\n    }\n}\n";
const RUBY: &str = "RSpec.describe Sum do\n  it 'adds' do\n    expect(add(1, 1)).to eq 2\n  end\nend\n";

const ALL: [(&str, &str, &str); 6] = [
    ("tests/sum.rs", RUST, "adds"),
    ("tests/test_sum.py", PYTHON, "test_adds"),
    ("src/sum.test.ts", SCRIPT, "adds"),
    ("sum_test.go", GO, "TestAdds"),
    ("src/test/java/SumTest.java", JAVA, "adds"),
    ("spec/sum_spec.rb", RUBY, "adds"),
];

#[test]
fn in_all_six_languages_a_deleted_test_file_is_seen() {
    for (path, text, _) in ALL {
        let deleted = TextPair { after: None, ..pair(path, text, "") };
        assert_eq!(titles(&[deleted]), ["A test file was deleted"], "{path}");
        let moved = TextPair { path: "docs/old.txt", old_path: Some(path), ..pair(path, text, text) };
        assert_eq!(titles(&[moved]), ["A test file was moved to where no test is looked for"], "{path}");
    }
}

#[test]
fn in_all_six_languages_a_removed_test_is_seen() {
    for (path, text, name) in ALL {
        let renamed = text.replace("add(", "x(").replace("Add(", "X(").replace(name, &format!("{name}Else"));
        let said = found(path, text, &renamed);
        assert_eq!(said[0], format!("The test `{name}` was removed"), "{path}: {said:?}");
    }
}

#[test]
fn in_all_six_languages_a_skipped_test_is_seen() {
    for (path, text, from, to, name) in [
        ("tests/sum.rs", RUST, "fn adds", "#[ignore = \"later\"]\nfn adds", "adds"),
        ("tests/sum.rs", RUST, "fn adds", "#[cfg(feature = \"slow\")]\nfn adds", "adds"),
        ("tests/sum.rs", RUST, "fn adds() {", "fn adds() {\n    return;", "adds"),
        (
            "tests/test_sum.py",
            PYTHON,
            "def test_adds",
            "@pytest.mark.skip(reason=\"x\")\ndef test_adds",
            "test_adds",
        ),
        ("tests/test_sum.py", PYTHON, "def test_adds", "@pytest.mark.xfail\ndef test_adds", "test_adds"),
        ("tests/test_sum.py", PYTHON, "    assert add(1", "    pytest.skip()\n    assert add(1", "test_adds"),
        ("src/sum.test.ts", SCRIPT, "  it(", "  xit(", "adds"),
        ("src/sum.test.ts", SCRIPT, "  it(", "  it.skip(", "adds"),
        ("sum_test.go", GO, "\tif got", "\tt.Skip(\"later\")\n\tif got", "TestAdds"),
        ("src/test/java/SumTest.java", JAVA, "    @Test", "    @Test\n    @Disabled", "adds"),
        ("spec/sum_spec.rb", RUBY, "  it 'adds'", "  xit 'adds'", "adds"),
        ("spec/sum_spec.rb", RUBY, "    expect", "    skip 'later'\n    expect", "adds"),
    ] {
        let said = found(path, text, &text.replacen(from, to, 1));
        assert_eq!(said, [format!("The test `{name}` is skipped")], "{path}: {to:?}");
    }
    for (path, text, from, to) in [
        ("tests/test_sum.py", PYTHON, "import pytest", "import pytest\npytestmark = pytest.mark.skip"),
        ("src/sum.test.ts", SCRIPT, "describe(", "describe.skip("),
        ("src/sum.test.ts", SCRIPT, "  it(", "  it.only('x', () => {})\n  it("),
        ("sum_test.go", GO, "package a", "//go:build never\n\npackage a"),
        ("src/test/java/SumTest.java", JAVA, "class", "@Disabled\nclass"),
    ] {
        let said = found(path, text, &text.replacen(from, to, 1));
        let expected =
            said.iter().any(|title| title == "Tests of this file are skipped" || title.contains("skipped"));
        assert!(expected, "{path}: {to:?} gave {said:?}");
    }
}

#[test]
fn a_focused_new_test_silences_the_others() {
    let after = SCRIPT.replacen("  it(", "  it.only('x', () => {})\n  it(", 1);
    assert_eq!(found("src/sum.test.ts", SCRIPT, &after), ["Tests of this file are skipped"]);
}

#[test]
fn in_all_six_languages_a_weaker_assertion_is_seen() {
    for (path, text, from, to, what) in [
        ("tests/sum.rs", RUST, "    assert_eq!(add(1, 1), 2);\n", "", "asserts less"),
        ("tests/sum.rs", RUST, "add(1, 1), 2", "add(1, 1), 3", "expects something else"),
        ("tests/test_sum.py", PYTHON, "    assert add(1, 1) == 2\n", "", "asserts less"),
        ("tests/test_sum.py", PYTHON, "== 2", "== 3", "expects something else"),
        ("src/sum.test.ts", SCRIPT, "toBe(2)", "toBe(3)", "expects something else"),
        ("src/sum.test.ts", SCRIPT, "toBe(2)", "toBeDefined()", "asserts something else"),
        ("sum_test.go", GO, "got != 2", "got != 3", "expects something else"),
        ("src/test/java/SumTest.java", JAVA, "assertEquals(2, add(1, 1));", "add(1, 1);", "asserts less"),
        ("spec/sum_spec.rb", RUBY, "eq 2", "eq 3", "expects something else"),
    ] {
        let said = found(path, text, &text.replacen(from, to, 1));
        assert_eq!(said.len(), 1, "{path}: {to:?} gave {said:?}");
        assert!(said[0].ends_with(what), "{path}: {to:?} gave {said:?}");
    }
}

#[test]
fn the_finding_stands_where_the_assertion_is() {
    let after = RUST.replace("sub(1, 1), 0", "sub(1, 1), 1");
    let findings = tampering(&[pair("tests/sum.rs", RUST, &after)], &BTreeSet::new(), &[]);
    assert_eq!((findings.len(), findings[0].start_line, findings[0].path.as_str()), (1, 9, "tests/sum.rs"));
    assert!(findings[0].why.contains("assert_eq!(sub(1,1),0)"), "{}", findings[0].why);
}

#[test]
fn tests_inside_of_sources_count_and_the_source_around_them_does_not() {
    let before = format!(
        "pub fn add(a: u8, b: u8) -> u8 {{\n    assert!(a < 9);\n    a + b\n}}\n\n#[cfg(test)]\nmod tests {{\n{}}}\n",
        RUST.replace('\n', "\n    ").trim_end()
    );
    let code = before.replace("    assert!(a < 9);\n", "");
    assert_eq!(found("src/sum.rs", &before, &code), [""; 0]);
    assert_eq!(
        found("src/sum.rs", &before, &before.replace("add(1, 1), 2", "add(1, 1), 3")),
        ["The test `adds` expects something else"]
    );
    let never = before.replace("#[cfg(test)]", "#[cfg(all(test, never))]");
    assert_eq!(found("src/sum.rs", &before, &never), ["Tests are no longer compiled"]);
    let deleted = TextPair { after: None, ..pair("src/sum.rs", &before, "") };
    assert_eq!(titles(&[deleted]).len(), 2);
}

#[test]
fn more_tests_other_layout_moves_and_new_names_weaken_nothing() {
    let more = format!("{RUST}\n#[test]\n#[ignore]\nfn new() {{\n    assert!(true);\n}}\n");
    assert_eq!(found("tests/sum.rs", RUST, &more), [""; 0], "a new test may be what it likes");
    let wrapped = RUST
        .replace("assert_eq!(add(1, 1), 2);", "assert_eq!(\n        add(1, 1),\n        2, // two\n    );");
    assert_eq!(found("tests/sum.rs", RUST, &wrapped), [""; 0]);
    assert_eq!(found("tests/sum.rs", RUST, &RUST.replace("fn adds", "fn adds_two")), [""; 0], "another name");
    let (first, second) = RUST.split_once("\n\n").expect("two tests");
    let new = TextPair { before: None, ..pair("tests/other.rs", "", second) };
    assert_eq!(titles(&[pair("tests/sum.rs", RUST, first), new]), [""; 0], "moved to another file");
    let renamed = TextPair { path: "tests/b.rs", old_path: Some("tests/sum.rs"), ..pair("", RUST, RUST) };
    assert_eq!(titles(&[renamed]), [""; 0], "the file has another name");
    let added = TextPair { before: None, ..pair("tests/new.rs", "", RUST) };
    assert_eq!(titles(&[added]), [""; 0]);
}

#[test]
fn a_test_that_moves_and_loses_an_assertion_is_weaker() {
    let (first, second) = RUST.split_once("\n\n").expect("two tests");
    let weaker = second.replace("assert_eq!(sub(1, 1), 0);", "sub(1, 1);");
    let new = TextPair { before: None, ..pair("tests/other.rs", "", &weaker) };
    assert_eq!(titles(&[pair("tests/sum.rs", RUST, first), new]), ["The test `subtracts` asserts less"]);
}

#[test]
fn expected_output_settings_of_gates_and_what_gates_run_are_not_for_the_change() {
    assert_eq!(found("src/snapshots/a.snap", "a\nb\n", "a\nc\n"), ["Expected output was changed"]);
    assert_eq!(found("src/snapshots/a.snap", "a\n", "a\nb\n"), [""; 0]);
    assert_eq!(found("pkg/testdata/a.golden", "1\n", "2\n"), ["Expected output was changed"]);
    assert_eq!(found("clippy.toml", "a = 1\n", "a = 2\n"), ["Settings of a gate were changed"]);
    let new = TextPair { before: None, ..pair("tests/conftest.py", "", "collect_ignore = ['a']\n") };
    assert_eq!(titles(&[new]), ["Settings of a gate were added"]);
    assert_eq!(
        found("Cargo.toml", "[lints.rust]\nunsafe_code = \"deny\"\n", ""),
        ["Settings of a gate were changed: lints"]
    );
    let gates = BTreeSet::from(["check.sh".to_owned()]);
    let findings = tampering(&[pair("check.sh", "exit 1\n", "exit 0\n")], &gates, &[]);
    assert_eq!(findings[0].title, "A file that a gate runs was changed");
    assert_eq!(
        found("src/a.rs", "fn a() {}\n", "#![allow(warnings)]\nfn a() {}\n"),
        ["A check is switched off for the whole file"]
    );
    let one = tampering(&[pair("src/a.rs", "fn a() {}\n", "#[allow(dead_code)]\nfn a() {}\n")], &gates, &[]);
    assert_eq!((one.len(), one[0].severity), (1, Severity::Low), "shown, and holds nothing up");
}

#[test]
fn what_the_plan_is_about_is_shown_and_holds_nothing_up() {
    let after = RUST.replace("add(1, 1), 2", "add(1, 1), 3");
    let files = [pair("tests/sum.rs", RUST, &after)];
    for (about, blocks) in
        [("tests/sum.rs", false), ("tests/SUM.rs", true), ("tests", true), ("tests/*", true)]
    {
        let findings = tampering(&files, &BTreeSet::new(), &[about.to_owned()]);
        assert_eq!((findings.len(), findings.iter().any(is_blocking)), (1, blocks), "{about}");
    }
    let renamed = TextPair { path: "tests/b.rs", old_path: Some("tests/sum.rs"), ..pair("", RUST, &after) };
    let findings = tampering(&[renamed], &BTreeSet::new(), &["tests/b.rs".to_owned()]);
    assert!(findings.iter().any(is_blocking), "a new name does not cover the old file");
}

proptest! {
    // Patterns are slow in a debug build.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_text_is_read_to_its_end(before in ".{0,200}", after in "(?s).{0,300}", which in 0..6usize) {
        let (path, text, _) = ALL[which];
        tampering(&[pair(path, &before, &after), pair(path, text, &after)], &BTreeSet::new(), &[]);
    }

    #[test]
    fn a_file_that_only_grows_at_its_end_weakens_nothing(which in 0..6usize, name in "[a-z]{3,9}") {
        let (path, text, _) = ALL[which];
        let added = match which {
            0 => format!("#[test]\nfn {name}() {{\n    assert!(x());\n}}\n"),
            1 => format!("\ndef test_{name}():\n    assert x()\n"),
            3 => format!("\nfunc Test{name}(t *testing.T) {{\n\tt.Log()\n}}\n"),
            _ => String::new(),
        };
        prop_assert_eq!(titles(&[pair(path, text, &format!("{text}{added}"))]), Vec::<String>::new());
    }
}

#[test]
fn no_line_of_an_assertion_can_be_taken_away_unseen() {
    for (path, text, _) in ALL {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if ["assert", "expect", "got != 2"].iter().any(|sign| line.contains(sign)) {
                let after: Vec<&str> =
                    lines.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, text)| *text).collect();
                assert!(!found(path, text, &after.join("\n")).is_empty(), "{path}: {line}");
            }
        }
    }
}

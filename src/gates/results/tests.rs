use proptest::prelude::*;

use super::*;
use crate::domain::GateSeverity;

fn of(text: &str) -> Results {
    let mut results = Results::default();
    results.file(text.as_bytes(), None);
    results
}

fn shown(results: &Results) -> Vec<String> {
    let show = |f: &GateFinding| {
        let (line, rule) = (f.line.unwrap_or(0), f.rule.as_deref().unwrap_or("-"));
        format!("{}:{line} {:?} {rule} {}", f.path, f.severity, f.message)
    };
    results.findings.iter().map(show).collect()
}

const SARIF: &str = r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "scanner"}}, "results": [
    {"ruleId": "R1", "level": "error", "message": {"text": "a hole"}, "locations": [{"physicalLocation":
      {"artifactLocation": {"uri": "src/a%20b.py"}, "region": {"startLine": 4}}}]},
    {"ruleId": "R2", "message": {"text": "smells"}, "locations": [{"physicalLocation":
      {"artifactLocation": {"uri": "file:///tree/b.py"}}}]},
    {"ruleId": "R3", "level": "error", "message": {"text": "known"}, "suppressions": [{"kind": "inSource"}],
      "locations": [{"physicalLocation": {"artifactLocation": {"uri": "c.py"}}}]},
    {"ruleId": "R4", "level": "error", "message": {"text": "outside"}, "locations": [{"physicalLocation":
      {"artifactLocation": {"uri": "../../etc/passwd"}}}]},
    {"ruleId": "R5", "kind": "pass", "message": {"text": "fine"}, "locations": [{"physicalLocation":
      {"artifactLocation": {"uri": "d.py"}}}]}]}]}"#;

#[test]
fn sarif_becomes_findings_with_tool_and_rule() {
    let results = of(SARIF);
    assert_eq!(shown(&results), ["src/a b.py:4 Error R1 a hole", "b.py:0 Warning R2 smells"]);
    assert_eq!(results.findings[0].tool.as_deref(), Some("scanner"));
}

const JUNIT: &str = r#"<?xml version="1.0"?><testsuites><testsuite name="s">
  <testcase classname="pkg.T" name="good &amp; well"/>
  <testcase classname="pkg.T" name="bad" file="tests/t.py" line="9"><failure message="1 != 2">no place</failure></testcase>
  <testcase classname="pkg.T" name="worse"><error message="boom"><![CDATA[tests/u.py:12: AssertionError]]></error></testcase>
  <testcase classname="pkg.T" name="left out"><skipped/></testcase></testsuite></testsuites>"#;

#[test]
fn junit_names_the_failed_tests_and_their_places() {
    let results = of(JUNIT);
    assert_eq!(results.failed_tests.iter().collect::<Vec<_>>(), ["pkg.T bad", "pkg.T worse"]);
    assert_eq!(
        shown(&results),
        ["tests/t.py:9 Error - pkg.T bad failed: 1 != 2", "tests/u.py:12 Error - AssertionError"]
    );
}

const LCOV: &str = "TN:\nSF:src/a.rs\nDA:1,5\nDA:2,0\nLF:2\nLH:1\nend_of_record\nSF:src/b.rs\nDA:1,1\nDA:2,1\nend_of_record\n";
const COBERTURA: &str = r#"<coverage line-rate="0.5"><packages><package><classes><class filename="a.py">
  <methods><method><lines><line number="1" hits="1"/></lines></method></methods>
  <lines><line number="1" hits="1"/><line number="2" hits="0"/></lines></class></classes></package></packages></coverage>"#;

#[test]
fn coverage_is_counted_in_lines() {
    assert_eq!(of(LCOV).coverage, Some(Coverage { covered: 3, total: 4 }));
    assert_eq!(of(COBERTURA).coverage, Some(Coverage { covered: 1, total: 2 }));
    let counted = r#"<?xml version="1.0"?><coverage lines-covered="71" lines-valid="100"></coverage>"#;
    assert_eq!(of(counted).coverage.map(Coverage::percent), Some(71.0));
    assert_eq!(of("a text\n").coverage, None);
    let mut both = of(LCOV);
    both.file(COBERTURA.as_bytes(), None);
    assert_eq!(both.coverage, Some(Coverage { covered: 4, total: 6 }));
}

#[test]
fn the_json_of_compilers_linters_and_runners_is_read() {
    let cargo = r#"{"reason":"compiler-artifact","target":{}}
{"reason":"compiler-message","message":{"level":"error","message":"mismatched types","code":{"code":"E0308"},"spans":[{"file_name":"src/lib.rs","line_start":3,"is_primary":true}]}}
{"reason":"build-finished","success":false}
"#;
    let go = "{\"Action\":\"run\",\"Test\":\"TestA\"}\n{\"Action\":\"fail\",\"Package\":\"x\",\"Test\":\"TestA\"}\n";
    let eslint = r#"[{"filePath":"/tree/src/a.js","messages":[{"ruleId":"no-undef","severity":2,"message":"'x' is not defined","line":7},
        {"ruleId":"no-console","severity":1,"message":"Unexpected console","line":8}]}]"#;
    let ruff = "Checking\n[{\"code\":\"F401\",\"filename\":\"/tree/a.py\",\"location\":{\"row\":3,\"column\":8},\"message\":\"`os` unused\"}]\n";
    let rubocop = r#"{"files":[{"path":"lib/a.rb","offenses":[{"severity":"convention","message":"Too long","cop_name":"Layout/LineLength","location":{"start_line":5}}]}]}"#;
    let read = |log: &str| {
        let mut results = Results::default();
        results.output(log, None);
        results
    };
    assert_eq!(shown(&read(cargo)), ["src/lib.rs:3 Error E0308 mismatched types"]);
    assert_eq!(read(go).failed_tests.into_iter().collect::<Vec<_>>(), ["TestA"]);
    assert_eq!(
        shown(&read(eslint)),
        ["src/a.js:7 Error no-undef 'x' is not defined", "src/a.js:8 Warning no-console Unexpected console"]
    );
    assert_eq!(shown(&read(ruff)), ["a.py:3 Error F401 `os` unused"]);
    assert_eq!(shown(&read(rubocop)), ["lib/a.rb:5 Warning Layout/LineLength Too long"]);
    assert_eq!(shown(&read(&SARIF.replace('\n', " "))).len(), 2);
}

#[test]
fn deep_wide_and_cut_files_say_what_they_can_and_end() {
    let deep = format!("{{\"runs\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(of(&deep), Results::default());
    let tags = "<a>".repeat(200_000);
    assert_eq!(of(&tags), Results::default());
    let entities = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><testsuite><testcase name=\"&b;\"><failure/></testcase></testsuite>";
    assert!(of(entities).failed_tests.len() <= 1);
    let many: String =
        (0..20_000).map(|n| format!("<testcase name=\"t{n}\"><failure/></testcase>")).collect();
    assert_eq!(of(&format!("<testsuite>{many}")).failed_tests.len(), super::super::failed_tests::MOST);
    assert!(!of(&JUNIT[..JUNIT.len() - 90]).failed_tests.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_break_a_reader(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut results = Results::default();
        results.file(&bytes, None);
        results.output(&String::from_utf8_lossy(&bytes), None);
    }

    #[test]
    fn no_damage_to_a_good_file_breaks_a_reader(
        which in 0..4usize,
        cut in 0..2_000usize,
        put in ".{0,12}",
        skip in 0..80usize,
    ) {
        let good = [SARIF, JUNIT, LCOV, COBERTURA][which];
        let at = good.floor_char_boundary(cut.min(good.len()));
        let on = good.floor_char_boundary((at + skip).min(good.len()));
        let text = format!("{}{put}{}", &good[..at], &good[on..]);
        let mut results = of(&text);
        results.output(&text, None);
        for finding in &results.findings {
            prop_assert!(RepoPath::parse(finding.path.as_str()).is_ok());
            prop_assert!(finding.message.chars().count() <= 500 && finding.line != Some(0));
            prop_assert!(matches!(finding.severity, GateSeverity::Error | GateSeverity::Warning));
        }
        if let Some(coverage) = results.coverage {
            prop_assert!(coverage.total > 0 && coverage.covered <= coverage.total);
        }
    }
}

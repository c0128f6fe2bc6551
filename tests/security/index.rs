//! `docs/security.md` names a test for every threat, and each of them is there.

use std::path::{Path, PathBuf};

/// Rows that the table has to have: the threats that this product knows of.
const THREATS: usize = 26;

struct Row {
    threat: String,
    defence: String,
    tests: Vec<String>,
}

#[test]
fn every_threat_has_a_defence_and_tests_that_exist() {
    let rows = rows(include_str!("../../docs/security.md"));
    assert_eq!(rows.len(), THREATS, "a threat was added or taken away: say so here too");
    let mut faults = Vec::new();
    for row in &rows {
        if row.defence.is_empty() || (row.tests.is_empty() && !row.defence.starts_with("not built yet")) {
            faults.push(format!("{}: there is no defence or no test", row.threat));
        }
        for test in &row.tests {
            if let Err(fault) = exists(test) {
                faults.push(format!("{}: {test}: {fault}", row.threat));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    for (name, part) in [
        ("security::index::no_such_test", "has no test"),
        ("nowhere::a_test", "there is no file"),
        ("lib::telemetry::redact::tests::no_such_test", "has no test"),
        ("security::index::exists", "is no test"),
    ] {
        assert!(exists(name).expect_err(name).contains(part), "{name}");
    }
    let text =
        "| threat | defence | tests |\n|---|---|---|\n| a | b | `x::y`, `lib::z` |\n| c | d | |\n\nmore";
    let found = rows(text);
    assert_eq!((found.len(), found[0].tests.len(), found[1].tests.len()), (2, 2, 0));
}

fn rows(text: &str) -> Vec<Row> {
    let table = text.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let table = table.take_while(|line| line.starts_with('|'));
    table
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 3, "a row has three cells: {line}");
            let tests = cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            Row { threat: cells[0].to_owned(), defence: cells[1].to_owned(), tests }
        })
        .collect()
}

/// `binary::module::name`, or `lib::room::file::tests::name`.
fn exists(test: &str) -> Result<(), String> {
    let parts: Vec<&str> = test.split("::").collect();
    let (Some(binary), Some(name)) = (parts.first(), parts.last()) else { return Err("no name".into()) };
    let between = parts.get(1..parts.len() - 1).unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !between.is_empty() && is_claim_for_every_backend(&root.join(format!("tests/{binary}.rs")), name) {
        return Ok(());
    }
    let files: Vec<PathBuf> = if *binary == "lib" {
        let modules: Vec<&str> = between.iter().copied().filter(|part| *part != "tests").collect();
        let stem = root.join("src").join(modules.join("/"));
        let own = root.join("src").join(between.join("/")).with_extension("rs");
        vec![stem.with_extension("rs"), stem.join("mod.rs"), stem.join("tests.rs"), own]
    } else if between.is_empty() {
        vec![root.join(format!("tests/{binary}.rs"))]
    } else {
        vec![root.join(format!("tests/{binary}/{}.rs", between.join("/")))]
    };
    let texts: Vec<String> = files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect();
    if texts.is_empty() {
        return Err(format!("there is no file {}", files[0].display()));
    }
    let declared = texts.iter().find_map(|text| {
        let at = text.find(&format!("fn {name}("))?;
        let lines: Vec<&str> = text[..at].lines().rev().take(2).collect();
        Some(
            lines
                .iter()
                .any(|line| line.trim().starts_with("#[test") || line.trim().starts_with("#[tokio::test")),
        )
    });
    // Inside of `proptest!` the attribute stands above the arguments, too.
    match declared {
        Some(true) => Ok(()),
        Some(false) => Err("is no test".into()),
        None => Err("the file has no test of this name".into()),
    }
}

/// `for_every_backend!` makes a test of each claim that it lists, in a module of the backend's name.
fn is_claim_for_every_backend(file: &Path, name: &str) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let claims = text.split_once("for_every_backend!(").and_then(|(_, rest)| rest.split_once(");"));
    claims.is_some_and(|(claims, _)| claims.split(',').any(|claim| claim.trim() == name))
}

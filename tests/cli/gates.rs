//! `orchestrator gates`, as the real program, on a repository made by git.

use std::collections::BTreeMap;

use super::harness::*;

fn repository(machine: &Machine, name: &str, files: &[(&str, &str)]) -> Repository {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
    machine.repository(name, &files.collect::<BTreeMap<_, _>>())
}

async fn gates(machine: &Machine, repository: &Repository, more: &[&str]) -> Said {
    let path = repository.path();
    machine.say(&[&["gates", "--repo", &path], more].concat(), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gates_of_a_repository_are_shown_with_the_file_that_told() {
    let machine = Machine::without_a_server();
    let ci = "jobs:\n  a:\n    steps:\n      - run: cargo fmt --check\n";
    let files = [("Cargo.toml", "[package]\nname = \"x\"\n"), (".github/workflows/ci.yml", ci)];
    let repository = repository(&machine, "shown", &files);
    repository.write("Makefile", b"lint:\n\ttrue\n");
    let before = repository.everything();
    let said = gates(&machine, &repository, &[]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        said.stdout,
        "cargo test (tests, required): cargo test --no-fail-fast, because of Cargo.toml\n\
         cargo fmt (format, required): cargo fmt --check, because of .github/workflows/ci.yml\n",
        "what is not committed does not count"
    );
    assert_eq!(changed(&before, &repository.everything()).len(), 0, "it only looks");
    let json = gates(&machine, &repository, &["--json"]).await.json();
    assert_eq!((json["outcome"].as_str(), json["exit"].as_u64()), (Some("done"), Some(0)));
    assert_eq!(json["gates"][1]["command"], serde_json::json!(["cargo", "fmt", "--check"]));
    assert_eq!(json["gates"][1]["source"], ".github/workflows/ci.yml");
    assert!(json["gates"][1]["report"].is_null(), "nothing was run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_as_its_gates_do() {
    let machine = Machine::without_a_server();
    let of = |name: &str, gates: &str| repository(&machine, name, &[(".orchestrator/config.yaml", gates)]);
    let good = of(
        "good",
        "gates:\n  - { name: a, run: echo fine }\n  - { name: b, run: exit 1, required: false }\n",
    );
    let said = gates(&machine, &good, &["--run"]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(
        said.stdout.contains("a: passed, exit code 0 (") && said.stdout.contains("b: failed, exit code 1 ("),
        "{said:#?}"
    );

    let bad = of("bad", "gates:\n  - { name: a, run: 'echo x.py:3: error: wrong; exit 4' }\n");
    let said = gates(&machine, &bad, &["--run", "--json"]).await;
    let json = said.json();
    assert_eq!((said.code, json["outcome"].as_str()), (Some(1), Some("failed")), "{said:#?}");
    let report = &json["gates"][0]["report"];
    assert_eq!((report["exit"].as_i64(), report["findings"][0]["line"].as_u64()), (Some(4), Some(3)));

    let long = of("long", "gates:\n  - { name: a b, run: 'seq 1 50000; exit 1' }\n");
    let logs = machine.path("logs").display().to_string();
    assert_eq!(gates(&machine, &long, &["--run", "--logs", &logs]).await.code, Some(1));
    let log = std::fs::read_to_string(machine.path("logs/0-a-b.log")).expect("a log");
    assert_eq!(log.lines().count(), 50_000, "all of it");

    let missing = of("missing", "gates:\n  - { name: a, run: [no-such-tool, x] }\n");
    let said = gates(&machine, &missing, &["--run"]).await;
    assert_eq!(said.code, Some(5), "{said:#?}");
    assert!(said.stdout.contains("a: could not run: `no-such-tool` is missing"), "{said:#?}");
    assert_eq!(gates(&machine, &of("none", "gates: []\n"), &["--run"]).await.code, Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_said_before_anything_runs() {
    let machine = Machine::without_a_server();
    let path = machine.path("nowhere").display().to_string();
    let said = machine.say(&["gates", "--repo", &path, "--json"], &[]).await;
    assert_eq!((said.code, said.json()["outcome"].as_str()), (Some(2), Some("usage")), "{said:#?}");
    let broken = repository(&machine, "broken", &[(".orchestrator/config.yaml", "gate: []\n")]);
    let said = gates(&machine, &broken, &["--run"]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.stderr.contains("`gate`") && said.stderr.contains("gates"), "the nearest key: {said:#?}");
}

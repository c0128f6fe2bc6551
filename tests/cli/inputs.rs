//! What `run` says to inputs that cannot be worked with: before anything is started.

use std::collections::BTreeMap;

use super::harness::*;

type Environment = Vec<(&'static str, String)>;

/// A word for each part of a path that differs from run to run.
fn stable(machine: &Machine, text: &str) -> String {
    text.replace(&machine.path("").display().to_string(), "/somewhere/")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_with_what_to_do() {
    let machine = Machine::without_a_server();
    let issue = machine.issue();
    let repository = machine.demo().path();
    let nothing = machine.repository("nothing", &BTreeMap::new());
    nothing.git(&["update-ref", "-d", "refs/heads/main"]);
    let detached = machine.repository("detached", &BTreeMap::new());
    detached.git(&["checkout", "--quiet", "--detach"]);
    let taken = machine.repository("taken", &BTreeMap::new());
    taken.git(&["branch", "auto"]);
    std::fs::create_dir(machine.path("plain")).expect("a folder");
    let write = |name: &str, bytes: &[u8]| machine.write(name, bytes).display().to_string();
    let (empty, binary) = (write("empty.md", b"\n# \n\n"), write("binary.md", b"\xff\xfe"));
    let long = write("long.md", "x".repeat(70_000).as_bytes());
    let wrong = write("wrong.yaml", b"modles:\n  default: []\n");
    let keyless = write("keyless.yaml", b"models:\n  default: [{ model: 'openai:gpt-5' }]\n");
    let plain = machine.path("plain").display().to_string();
    let missing = machine.path("missing").display().to_string();
    let (nothing, detached, taken) = (nothing.path(), detached.path(), taken.path());
    let report = machine.path("missing/report.md").display().to_string();
    let whole = "title: T\nobjective: O\nrequirements: [r]\nacceptance_criteria: [a]\n";
    let unknown = write("unknown.yaml", whole.replace("requirements", "requirement").as_bytes());
    let aimless =
        write("aimless.json", br#"{"title": "T", "requirements": ["r"], "acceptance_criteria": ["a"]}"#);
    let many = write("many.yaml", format!("{whole}constraints:{}", "\n  - c".repeat(31)).as_bytes());

    let dry = vec![("DRY_RUN", "true".to_owned())];
    let none: Environment = Vec::new();
    type Case<'a> = (&'a str, Vec<&'a str>, &'a Vec<(&'a str, String)>);
    let cases: Vec<Case<'_>> = vec![
        ("no folder", vec!["run", "--repo", &missing, "--issue", &issue], &dry),
        ("no repository", vec!["run", "--repo", &plain, "--issue", &issue], &dry),
        ("no commit", vec!["run", "--repo", &nothing, "--issue", &issue], &dry),
        ("no branch checked out", vec!["run", "--repo", &detached, "--issue", &issue], &dry),
        (
            "an unknown branch",
            vec!["run", "--repo", &repository, "--issue", &issue, "--branch", "mian"],
            &dry,
        ),
        ("a branch in the way", vec!["run", "--repo", &taken, "--issue", &issue], &dry),
        ("no issue file", vec!["run", "--repo", &repository, "--issue", &missing], &dry),
        ("an empty issue", vec!["run", "--repo", &repository, "--issue", &empty], &dry),
        ("an issue that is no text", vec!["run", "--repo", &repository, "--issue", &binary], &dry),
        ("a long issue", vec!["run", "--repo", &repository, "--issue", &long], &dry),
        ("no task file", vec!["run", "--repo", &repository, "--task", &missing], &dry),
        ("a task with an unknown key", vec!["run", "--repo", &repository, "--task", &unknown], &dry),
        ("a task without an objective", vec!["run", "--repo", &repository, "--task", &aimless], &dry),
        ("a task with a long list", vec!["run", "--repo", &repository, "--task", &many], &dry),
        (
            "a task and an issue",
            vec!["run", "--repo", &repository, "--task", &unknown, "--issue", &issue],
            &dry,
        ),
        (
            "no place for the report",
            vec!["run", "--repo", &repository, "--issue", &issue, "--report", &report],
            &dry,
        ),
        ("no model", vec!["run", "--repo", &repository, "--issue", &issue], &none),
        ("no key", vec!["--config", &keyless, "run", "--repo", &repository, "--issue", &issue], &none),
        (
            "a wrong configuration",
            vec!["--config", &wrong, "run", "--repo", &repository, "--issue", &issue],
            &none,
        ),
    ];
    let mut told = String::new();
    for (name, line, environment) in cases {
        let said = machine.say(&line, environment).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{name}: {said:#?}");
        told.push_str(&format!(
            "{name}\n  {}\n",
            stable(&machine, said.stderr.trim_end()).replace('\n', "\n  ")
        ));
    }
    insta::assert_snapshot!(told);
    assert!(!machine.data().exists(), "something was started all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_an_object_too_where_programs_listen() {
    let machine = Machine::without_a_server();
    let said = machine
        .say(&["run", "--repo", "missing", "--issue", "x", "--json"], &[("DRY_RUN", "1".into())])
        .await;
    assert_eq!(said.code, Some(2));
    let answer = said.json();
    assert_eq!((&answer["outcome"], &answer["exit"]), (&"usage".into(), &2.into()));
    assert_eq!(answer["error"], "missing does not exist");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_not_there_cannot_be_resumed() {
    let machine = Machine::new().await;
    let unknown = "01a1fc79-e50e-7180-876b-9d080b4d2d20";
    let said = machine.say(&["run", "--resume", unknown], &[("DRY_RUN", "1".into())]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert_eq!(said.stderr, format!("error: there is no run with a task {unknown} in this data folder\n"));
}

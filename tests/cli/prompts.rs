//! `orchestrator prompts` and `orchestrator export run` with a wrong number, as the real program.

use std::collections::BTreeMap;

use serde_json::Value;

use super::harness::*;

const JUDGE: &str =
    "version: 9\nWhich is shorter? {{specification}}\n=== user ===\n{{first}} or {{second}}\n";

fn of<'a>(listed: &'a Value, name: &str) -> &'a Value {
    let all = listed["prompts"].as_array().expect("a list");
    all.iter().find(|prompt| prompt["name"] == name).unwrap_or_else(|| panic!("no {name}: {listed}"))
}

fn repository(machine: &Machine, name: &str, path: &str, text: &str) -> Repository {
    machine.repository(name, &BTreeMap::from([(path.to_owned(), text.as_bytes().to_vec())]))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompts_in_force_are_listed_with_where_they_come_from_and_shown() {
    let machine = Machine::without_a_server();
    let said = machine.say(&["prompts"], &[]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert!(said.stdout.contains("implementer") && said.stdout.contains("built in"), "{said:#?}");

    machine
        .write("mine/fixer.md", machine_text(&machine, "fixer").await.replacen("version: ", "version: 4", 1));
    let config = machine.write("orchestrator.yaml", "prompts_dir: mine\n").display().to_string();
    let own = repository(&machine, "own", ".orchestrator/prompts/judge.md", JUDGE);
    let path = own.path();
    let listed = machine.say(&["--config", &config, "prompts", "--repo", &path, "--json"], &[]).await.json();
    assert_eq!(of(&listed, "judge")["source"], "repository");
    assert_eq!(of(&listed, "judge")["version"], 9);
    let place = of(&listed, "judge")["place"].as_str().unwrap_or_default().to_owned();
    assert_eq!(place, format!(".orchestrator/prompts/judge.md at {}", own.git(&["rev-parse", "HEAD"])));
    assert_eq!(of(&listed, "fixer")["source"], "deployment");
    assert_eq!(of(&listed, "implementer")["source"], "embedded");
    let shown = machine.say(&["prompts", "--repo", &path, "--show", "judge"], &[]).await;
    assert_eq!((shown.code, shown.stdout.as_str()), (Some(0), JUDGE));

    let config = machine.write("orchestrator.yaml", "repository_prompts: false\n").display().to_string();
    let listed = machine.say(&["--config", &config, "prompts", "--repo", &path, "--json"], &[]).await.json();
    assert_eq!(of(&listed, "judge")["source"], "embedded", "the deployment does not allow it");
}

async fn machine_text(machine: &Machine, name: &str) -> String {
    machine.say(&["prompts", "--show", name], &[]).await.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_name_and_a_broken_file_are_named() {
    let machine = Machine::without_a_server();
    let said = machine.say(&["prompts", "--show", "jugde", "--json"], &[]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");
    let error = said.json()["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains("jugde") && error.contains("judge"), "{error}");
    let broken = repository(&machine, "broken", ".orchestrator/prompts/judge.md", "version: 1\nShort.\n");
    let said = machine.say(&["prompts", "--repo", &broken.path()], &[]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(
        said.stderr.contains(".orchestrator/prompts/judge.md") && said.stderr.contains("=== user ==="),
        "{said:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_not_there_is_no_folder() {
    let machine = Machine::new().await;
    let to = machine.path("out").display().to_string();
    let said = machine.say(&["export", "run", "0199", "--to", &to, "--json"], &[]).await;
    assert_eq!((said.code, &said.json()["outcome"]), (Some(2), &Value::from("usage")), "{said:#?}");
    assert!(said.stderr.contains("there is no task \"0199\"; there is no task yet"), "{said:#?}");
    assert!(!machine.path("out").exists());
}

//! What is kept of a run, as it leaves the database: a folder in which everything is accounted for and nothing secret.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use orchestrator::domain::{Reason, State};
use orchestrator::simulator::surroundings::{MAINTAINER, WEBHOOK_SECRET};
use orchestrator::store::ScheduleName;
use serde_json::Value;

use crate::scene::{PROGRAM, Play, Scene};

const PRICED: &str = r#"
models:
  request_timeout_seconds: 20
  default:
    - { model: "anthropic:claude-sonnet-4-5", max_tokens: 4096, usd_per_million_input_tokens: 3.0, usd_per_million_output_tokens: 15.0 }
"#;

const A_LEAK: &str = r#"
  - name: quality has seen a secret
    when: { system: ["whether people can live with it"], last_message: ["hello, world"] }
    answer: { json: { summary: "The secret is simulated-webhook-secret.", findings: [] } }
"#;

pub fn export(scene: &Scene, arguments: &[&str]) -> (Option<i32>, Value) {
    let (config, variables) = scene.for_a_process();
    let variables: BTreeMap<String, String> = variables.into_iter().collect();
    let mut program = std::process::Command::new(PROGRAM);
    program.arg("--config").arg(config).args(["export", "run"]).args(arguments).arg("--json");
    let output = program.env_clear().envs(variables).output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let value = serde_json::from_str(&text);
    let value =
        value.unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), value)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn text(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_run_is_a_folder_whose_calls_add_up_to_what_the_pull_request_says() {
    let scene = Scene::play(Play::greeting().with_rules(A_LEAK).with_settings(PRICED)).await;
    let (issue, pull) = scene.pull_request().await;
    let task = scene.task(issue).await;
    let to = scene.folder().join("exported/run");
    let place = to.display().to_string();
    let prefix = task.id.to_string()[..30].to_owned();
    let (code, said) = export(&scene, &[&prefix, "--to", &place]);
    assert_eq!((code, &said["outcome"]), (Some(0), &Value::from("done")), "{said}");

    let lines: Vec<Value> =
        text(to.join("calls.jsonl")).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let sum = |field: &str| lines.iter().map(|line| line[field].as_u64().expect(field)).sum::<u64>();
    let cost = sum("cost_micro_usd");
    let tokens = sum("input_tokens") + sum("cached_tokens") + sum("output_tokens");
    let cents = (cost + 5_000) / 10_000;
    let pull = scene.get(&format!("/pulls/{pull}")).await;
    let body = pull["body"].as_str().unwrap_or_default();
    let calls = format!("{} model calls", lines.len());
    let usd = format!("{}.{:02} USD", cents / 100, cents % 100);
    assert!(body.contains(&calls) && body.contains(&usd), "{calls}, {usd}: {body}");
    let usage = scene.store.usage_of(task.id).await.expect("read");
    assert_eq!((usage.cost_micro_usd, usage.tokens(), usage.calls), (cost, tokens, lines.len() as u64));
    let used: Vec<_> = lines.iter().filter_map(|line| line["prompt"]["name"].as_str()).collect();
    for name in ["discussion", "implementer", "fixer", "review_safety"] {
        assert!(used.contains(&name), "{used:?} lack {name}");
    }
    assert!(lines.iter().all(|line| line["accounting"] == "reported" && line["attempt"] == 1), "{lines:?}");

    for path in ["README.md", "specification.json", "plan.md", "decisions.json", "state.json", "work.bundle"]
    {
        assert!(to.join(path).exists(), "{path} is missing: {:?}", files(&to));
    }
    for folder in ["reviews", "gates", "patches", "calls"] {
        assert!(!files(&to.join(folder)).is_empty(), "{folder}/ is empty");
    }
    let decisions: Value = serde_json::from_str(&text(to.join("decisions.json"))).expect("JSON");
    assert_eq!(decisions["approval"]["by"]["login"], MAINTAINER);
    let log = text(to.join("log.jsonl"));
    assert!(
        log.lines().count() as u64 == task.version + 1 && log.contains("\"pull_request_opened\""),
        "{log}"
    );
    let implementing =
        lines.iter().filter(|line| line["prompt"]["name"] == "implementer").collect::<Vec<_>>();
    let first = text(to.join(implementing[0]["transcript"].as_str().expect("a path")));
    assert!(first.contains("You are an engineer who carries out one task"), "{first}");
    let second = text(to.join(implementing[1]["transcript"].as_str().expect("a path")));
    assert!(second.contains("greeting.txt was replaced") && second.contains("This goes on from"), "{second}");
    assert!(!second.contains("You are an engineer who carries out one task"), "{second}");

    // The secret was said, and is neither in what was kept nor in what left.
    let heard = scene.around.model.journal();
    let heard = heard.iter().any(|exchange| exchange.answer.to_string().contains(WEBHOOK_SECRET));
    assert!(heard, "the test tests nothing");
    let kept = scene.store.model_calls(task.id).await.expect("calls");
    let ids: Vec<i64> = kept.iter().filter_map(|(_, call)| call.texts.answer).collect();
    let bodies = scene.store.model_text_bodies(&ids).await.expect("read");
    let plain = |body: &Vec<u8>| std::io::read_to_string(GzDecoder::new(body.as_slice())).expect("text");
    assert!(bodies.values().all(|body| !plain(body).contains(WEBHOOK_SECRET)));
    assert!(bodies.values().any(|body| plain(body).contains("The secret is [redacted].")));
    for artifact in scene.store.artifacts(task.id).await.expect("artifacts") {
        let body = String::from_utf8_lossy(&artifact.body);
        assert!(!body.contains(WEBHOOK_SECRET), "{} {}: {body}", artifact.kind, artifact.name);
    }
    for file in files(&to) {
        let bytes = std::fs::read(&file).expect("a file");
        for secret in [WEBHOOK_SECRET, scene.around.model.api_key()] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", file.display());
        }
    }

    let (code, said) = export(&scene, &[&prefix, "--to", &place]);
    assert_eq!(code, Some(2), "what is there is not written over: {said}");
    let other = scene.folder().join("other").display().to_string();
    let (code, said) = export(&scene, &["ffff", "--to", &other]);
    let error = said["error"].as_str().unwrap_or_default();
    assert!(code == Some(2) && error.contains(&task.id.to_string()), "{said}");

    // After some days the texts are gone, and the numbers are not.
    scene.sql("UPDATE model_texts SET created_at = now() - interval '31 days'").await;
    scene.store.hurry_schedule(ScheduleName::Retention).await.expect("hurried");
    crate::scene::wait("the texts to be removed", || async {
        (scene.count("SELECT count(*) FROM model_texts").await == 0).then_some(())
    })
    .await;
    let (code, said) = export(&scene, &[&prefix, "--to", &other]);
    assert_eq!((code, said["calls"].as_u64()), (Some(0), Some(lines.len() as u64)), "{said}");
    assert!(text(PathBuf::from(&other).join("README.md")).contains("no longer, all kept"));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repositorys_own_prompt_is_in_force_there_and_in_the_record() {
    let own = include_str!("../../prompts/implementer.md").replacen("version: ", "version: 90", 1);
    let play = Play::greeting().with_file(".orchestrator/prompts/implementer.md", &own);
    let scene = Scene::play(play).await;
    let (issue, _) = scene.pull_request().await;
    let task = scene.task(issue).await;
    let calls = scene.store.model_calls(task.id).await.expect("calls");
    let mut prompts = calls.iter().filter_map(|(_, call)| call.prompt.as_ref());
    let used = prompts.clone().find(|prompt| prompt.name == "implementer").expect("it was used");
    let base = task.base.as_ref().expect("a base");
    assert!(used.version > 900, "{used:?}");
    assert_eq!(used.source, format!(".orchestrator/prompts/implementer.md at {base}"));
    assert!(prompts.any(|prompt| prompt.name == "fixer" && prompt.source == "embedded"));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repositorys_broken_prompt_stops_the_task_and_is_named() {
    let broken = "version: 1\nDo it.\n=== user ===\n{{specification}}\n";
    let scene = Scene::play(Play::greeting().with_file(".orchestrator/prompts/fixer.md", broken)).await;
    let issue = scene.labelled_issue().await;
    let task = crate::scene::wait("a person to be needed", || async {
        let task = scene.tasks(issue).await.into_iter().next()?;
        (task.state.name() == "needs_person").then_some(task)
    })
    .await;
    let State::NeedsPerson { reason: Reason::RulesUnusable { detail }, .. } = &task.state else {
        panic!("{:?}", task.state)
    };
    assert!(detail.contains(".orchestrator/prompts/fixer.md") && detail.contains("does not use"), "{detail}");
    scene.idle(issue).await;
    scene.finish().await;
}

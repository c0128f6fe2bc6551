//! `orchestrator simulate`, and the scripts that `make show-run` plays with it.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator::simulator::model::Scenario;

use super::harness::*;

const SCRIPTS: [(&str, &str); 3] = [
    (include_str!("../support/show_run/humansize.yaml"), include_str!("../support/show_run/humansize.md")),
    (include_str!("../support/show_run/hyperlink.yaml"), include_str!("../support/show_run/hyperlink.md")),
    (include_str!("../support/show_run/ndjson.yaml"), include_str!("../support/show_run/ndjson.md")),
];

#[test]
fn the_scripts_of_the_show_can_be_played() {
    for (script, issue) in SCRIPTS {
        Scenario::parse(script).expect("a script");
        assert!(issue.starts_with("# "), "{issue}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_of_ones_own_is_played_and_what_was_said_is_left_behind() {
    let machine = Machine::without_a_server();
    let script = machine.write("own.yaml", include_str!("note.yaml")).display().to_string();
    let (data, env) = (machine.path("simulated"), machine.path("model.env"));
    let (folder, file) = (data.display().to_string(), env.display().to_string());
    let line = ["simulate", "--scenario", &script, "--data", &folder, "--env-file", &file];
    let mut child = machine.command(&line).spawn().expect("it starts");
    let begun = std::time::Instant::now();
    while !std::fs::read_to_string(&env).is_ok_and(|text| text.contains("ANTHROPIC_BASE_URL=")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it did not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kill(Pid::from_raw(child.id().expect("it runs") as i32), Signal::SIGTERM).expect("a signal");
    assert_eq!(child.wait().await.expect("it ends").code(), Some(0));
    assert_eq!(std::fs::read_to_string(data.join("model.json")).expect("a journal"), "[]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_not_there_is_named() {
    let machine = Machine::without_a_server();
    let unknown = machine.say(&["simulate", "--scenario", "demmo"], &[]).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("built in are demo, hostile"), "{}", unknown.stderr);
    let missing = machine.say(&["simulate", "--scenario", "./none.yaml"], &[]).await;
    assert!(missing.stderr.contains("cannot read the scenario ./none.yaml"), "{}", missing.stderr);
}

//! Trees full of git traps: the host neither runs git on them nor opens their repositories.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use orchestrator::simulator::model::Scenario;
use serde_json::{Value, json};

use crate::process::{Process, Start};
use crate::scene::{Play, Scene};

/// Ways in which a repository makes git run a program, each with what a person might do there.
const TRAPS: [(&str, &str); 9] = [
    ("fsmonitor", "git status"),
    ("clean", "git add greeting.txt"),
    ("precommit", "git add greeting.txt; git -c core.fsmonitor= commit -m x"),
    (
        "postcheckout",
        "git add README.md; git -c core.fsmonitor= commit -q --no-verify -m x; git checkout -b other",
    ),
    ("external", "git add README.md; echo more >> README.md; git diff"),
    ("included", "git log -p -1"),
    ("ssh", "git fetch ssh://nobody@127.0.0.1:9/x"),
    ("gitdir", "git -C linked status"),
    ("bare", "git -C vendor/bare.git status"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_full_of_git_traps_starts_nothing_on_the_host() {
    let marks = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(marks.path(), std::fs::Permissions::from_mode(0o777)).expect("a mode");
    let plant = plant(marks.path());
    the_weak_variant_fires(&plant, marks.path());

    let mut play = Play::greeting();
    play.scenario = trapping(&plant);
    let scene = Scene::set(play).await;
    let trace = scene.folder().join("trace");
    let wrapper = ["strace", "-D", "-f", "-qq", "-s", "4096", "-e", "trace=execve,execveat", "-o"];
    let wrapper = wrapper.into_iter().map(str::to_owned).chain([trace.display().to_string()]).collect();
    let serve = Process::serve_with(&scene, &Start { wrapper, ..Start::default() }).await;
    let issue = scene.approved_issue().await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    serve.kill();
    // The tracer writes the rest when what it traces has ended, and then ends itself.
    let name = trace.display().to_string();
    let tracing = || {
        let mut processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        processes.any(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&name)
        })
    };
    crate::scene::wait("the tracer's end", || async { (!tracing()).then_some(()) }).await;

    let executed = std::fs::read_to_string(trace).expect("a trace");
    let lines: Vec<&str> =
        executed.lines().filter(|line| line.contains("exec") && line.contains("= 0")).collect();
    let started = |name: &str| lines.iter().filter(|line| program(line).ends_with(name)).count();
    assert!(started("/orchestrator") > 1 && started("/bwrap") > 1, "the trace is not whole: {executed}");
    assert!(started("/mkdir") > 0, "the traps were not planted under the tracer's eyes");
    assert_eq!(started("/git"), 0, "git was run");
    assert_eq!(fired(marks.path()), Vec::<String>::new(), "a trap was sprung");
    let trap = lines.iter().find(|line| program(line).contains("/trap-") || line.contains("/touch"));
    assert_eq!(trap, None, "a trap was run, if only in the sandbox");
}

/// `/usr/bin/bwrap` of `1234 execve("/usr/bin/bwrap", …) = 0`.
fn program<'a>(line: &&'a str) -> &'a str {
    line.split('"').nth(1).unwrap_or_default()
}

/// A script that fills a tree with traps, without git.
fn plant(marks: &Path) -> String {
    let trap = |name: &str| format!("touch {}/{name};", marks.display());
    let config = |name: &str| {
        format!(
            "[core]\\n\\tbare = true\\n\\tfsmonitor = \\\"{}\\\"\\n\\trepositoryformatversion = 0\\n",
            trap(name)
        )
    };
    let repository = |folder: &str, config: &str| {
        format!(
            "mkdir -p {folder}/objects {folder}/refs/heads {folder}/info {folder}/hooks\n\
             echo 'ref: refs/heads/main' > {folder}/HEAD\nprintf \"{config}\" > {folder}/config\n"
        )
    };
    let mut script = repository(
        ".git",
        &format!(
            "[core]\\n\\trepositoryformatversion = 0\\n\\tfsmonitor = \\\"{0}\\\"\\n\\tsshCommand = \\\"{3}\\\"\\n[filter \\\"evil\\\"]\\n\\tclean = \\\"{1} cat\\\"\\n\
             [diff]\\n\\texternal = \\\"{2}\\\"\\n[include]\\n\\tpath = ../included.config\\n\
             [user]\\n\\tname = x\\n\\temail = x@x\\n",
            trap("fsmonitor"),
            trap("clean"),
            trap("external"),
            trap("ssh")
        ),
    );
    script.push_str(&format!("printf \"[alias]\\n\\tlog = \\\"!{0}\\\"\\n[core]\\n\\tpager = \\\"{0} cat\\\"\\n[pager]\\n\\tlog = \\\"{0} cat\\\"\\n[format]\\n\\tpretty = x\\n\" > included.config\n", trap("included")));
    script.push_str("echo 'greeting.txt filter=evil' > .gitattributes\n");
    for (hook, name) in [("pre-commit", "precommit"), ("post-checkout", "postcheckout")] {
        script.push_str(&format!(
            "printf '#!/bin/sh\\n{}\\n' > .git/hooks/{hook}; chmod +x .git/hooks/{hook}\n",
            trap(name)
        ));
    }
    script.push_str("echo /etc > .git/objects/alternates\n");
    script.push_str(&repository("hidden/evil.git", &config("gitdir").replace("bare = true", "bare = false")));
    script.push_str("mkdir -p linked; echo 'gitdir: ../hidden/evil.git' > linked/.git\n");
    script.push_str(&repository(
        "vendor/bare.git",
        &config("bare").replace("bare = true", "bare = false\\n\\tworktree = ."),
    ));
    script.push_str("echo 'traps are set'\n");
    script
}

/// The weak variant: git, as a careless host would use it in a tree that it was given.
fn the_weak_variant_fires(plant: &str, marks: &Path) {
    for (name, act) in TRAPS {
        let tree = tempfile::tempdir().expect("a folder");
        std::fs::write(tree.path().join("greeting.txt"), "hello\n").expect("a file");
        std::fs::write(tree.path().join("README.md"), "# A greeting\n").expect("a file");
        let script = format!("{plant}\nexport HOME=/nonexistent GIT_TERMINAL_PROMPT=0\n{act}");
        let output =
            Command::new("script").args(["-qec", &script, "/dev/null"]).current_dir(tree.path()).output();
        let output = output.expect("a terminal, which a pager wants");
        assert!(
            fired(marks).contains(&name.to_owned()),
            "`{act}` does not spring the trap {name}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        for mark in fired(marks) {
            std::fs::remove_file(marks.join(mark)).expect("removed");
        }
    }
}

fn fired(marks: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(marks).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// The greeting's story, whose model sets the traps first. The plan opens the one file of them that is
/// protected, so that the tree goes all the way to the push.
fn trapping(plant: &str) -> Scenario {
    let mut greeting: Value =
        serde_saphyr::from_str(include_str!("../story/scripts/greeting.yaml")).expect("YAML");
    greeting["rules"][0]["answer"]["json"]["tasks"][0]["protected_files"] = json!([".gitattributes"]);
    let mut rules = vec![json!({
        "name": "set traps",
        "when": { "system": ["You are an engineer who carries out one task"] },
        "not_when": { "called": ["run_command"] },
        "answer": { "tool_calls": [{ "name": "run_command", "arguments": { "command": plant } }] },
    })];
    rules.extend(greeting["rules"].as_array().expect("rules").clone());
    Scenario::parse(&json!({ "name": "traps", "rules": rules }).to_string()).expect("a good scenario")
}

//! Git's own command line against the simulator's smart HTTP.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::harness::{GRACE, LINUS, REPO, STRANGER, Stage};

fn git(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .args(["-c", "user.name=Grace", "-c", "user.email=1002+grace@users.noreply.github.com"])
        .args(arguments)
        .output()
        .expect("git runs")
}

fn fine(folder: &Path, arguments: &[&str]) -> String {
    let output = git(folder, arguments);
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = git(folder, arguments);
    assert!(!output.status.success(), "git {arguments:?} should fail");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn url(stage: &Stage, secret: &str) -> String {
    let server = stage.sim.server_url();
    let host = server.strip_prefix("http://").expect("http");
    format!("http://x-access-token:{secret}@{host}/acme/widgets.git")
}

/// Git commands block; the simulator needs its threads meanwhile.
async fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(act).await.expect("no panic")
}

#[tokio::test]
async fn a_clone_a_push_and_what_follows() {
    let stage = Stage::new().await;
    let token = stage.installation_token(Value::Null).await;
    let remote = url(&stage, &token);
    let folder = stage.data.path().to_owned();
    let pushed = blocking(move || {
        fine(&folder, &["clone", "-q", "--depth", "1", &remote, "work"]);
        let work = folder.join("work");
        assert!(work.join("src/lib.rs").is_file());
        fine(&work, &["checkout", "-q", "-b", "auto/by-git"]);
        // Larger than one packet, so that git sends it in chunks.
        std::fs::write(work.join("big.txt"), (0..400_000).map(|n| format!("{n}\n")).collect::<String>())
            .expect("ok");
        fine(&work, &["add", "."]);
        fine(&work, &["commit", "-q", "-m", "A big file"]);
        fine(&work, &["-c", "http.postBuffer=1024", "push", "-q", "origin", "auto/by-git"]);
        fine(&work, &["rev-parse", "HEAD"])
    })
    .await;
    stage.sim.settled().await;
    let push = stage.inbox.all().pop().expect("a delivery").json();
    assert_eq!((&push["after"], &push["ref"]), (&json!(pushed), &json!("refs/heads/auto/by-git")));
    assert_eq!(push["pusher"]["name"], "orchestrator[bot]");
    assert_eq!(push["commits"][0]["author"]["username"], "grace");
    let pull = stage.open_pull(&token, "auto/by-git").await;
    assert_eq!((&pull["head"]["sha"], &pull["additions"]), (&json!(pushed), &json!(400_000)));
    let refs = stage.sim.admin().refs("acme/widgets").expect("refs");
    assert_eq!(refs["refs/pull/1/head"], pushed);
    stage.finish().await;
}

#[tokio::test]
async fn who_may_not_write_may_not_push() {
    let stage = Stage::new().await;
    let good = stage.installation_token(Value::Null).await;
    let reads = stage.installation_token(json!({"permissions": {"contents": "read"}})).await;
    let nothing = stage.installation_token(json!({"permissions": {"issues": "read"}})).await;
    let folder = stage.data.path().to_owned();
    let address = |secret: &str| url(&stage, secret);
    let (grace, linus, stranger) = (address(GRACE), address(LINUS), address(STRANGER));
    let (good, reads, nothing, unknown) =
        (address(&good), address(&reads), address(&nothing), address("ghs_unknown"));
    blocking(move || {
        fine(&folder, &["clone", "-q", &good, "work"]);
        let work = folder.join("work");
        fine(&work, &["commit", "-q", "--allow-empty", "-m", "Empty"]);
        fine(&work, &["ls-remote", "-q", &reads]);
        for remote in [&reads, &linus] {
            let said = refused(&work, &["push", remote, "HEAD:refs/heads/x"]);
            assert!(said.contains("403"), "{said}");
        }
        for remote in [&nothing, &stranger] {
            let said = refused(&work, &["ls-remote", remote]);
            assert!(said.contains("not found"), "{said}");
        }
        let said = refused(&work, &["ls-remote", &unknown]);
        assert!(said.contains("Authentication failed"), "{said}");
        fine(&work, &["push", "-q", &grace, "HEAD:refs/heads/x"]);
        let said = refused(&work, &["push", &grace, "HEAD:refs/pull/9/head"]);
        assert!(said.contains("hidden ref"), "{said}");
        let said = refused(&work, &["push", &grace, ":refs/heads/main"]);
        assert!(said.contains("refusing to delete the current branch"), "{said}");
        fine(&work, &["checkout", "-q", "-b", "old", "HEAD~1"]);
        fine(&work, &["commit", "-q", "--allow-empty", "-m", "Aside"]);
        let said = refused(&work, &["push", &grace, "HEAD:refs/heads/x"]);
        assert!(said.contains("fetch first") || said.contains("non-fast-forward"), "{said}");
        fine(&work, &["push", "-q", "--force", &grace, "HEAD:refs/heads/x"]);
    })
    .await;
    stage.sim.settled().await;
    let push = stage.inbox.all().pop().expect("a delivery").json();
    assert_eq!((&push["forced"], &push["sender"]["login"]), (&json!(true), &json!("grace")));
    stage.finish().await;
}

#[tokio::test]
async fn an_app_may_not_push_workflows_without_the_permission() {
    let stage = Stage::new().await;
    let app = url(&stage, &stage.installation_token(Value::Null).await);
    let grace = url(&stage, GRACE);
    let folder = stage.data.path().to_owned();
    blocking(move || {
        fine(&folder, &["clone", "-q", &app, "work"]);
        let work = folder.join("work");
        fine(&work, &["push", "-q", &app, "HEAD:refs/heads/harmless"]);
        std::fs::create_dir_all(work.join(".github/workflows")).expect("a folder");
        std::fs::write(work.join(".github/workflows/ci.yml"), "on: push\n").expect("a file");
        fine(&work, &["add", "."]);
        fine(&work, &["commit", "-q", "-m", "A workflow"]);
        for branch in ["refs/heads/new", "refs/heads/harmless"] {
            let said = refused(&work, &["push", &app, &format!("HEAD:{branch}")]);
            assert!(said.contains("refusing to allow a GitHub App to create or update workflow"), "{said}");
        }
        fine(&work, &["push", "-q", &grace, "HEAD:refs/heads/new"]);
    })
    .await;
    stage.finish().await;
}

#[tokio::test]
async fn a_deleted_head_closes_its_pull_request_and_a_merge_by_push_is_noticed() {
    let stage = Stage::new().await;
    let token = stage.installation_token(Value::Null).await;
    for branch in ["auto/gone", "auto/merged"] {
        stage.branch(branch, &format!("{branch}.md"), "x");
        stage.open_pull(&token, branch).await;
    }
    let grace = url(&stage, GRACE);
    let folder = stage.data.path().to_owned();
    blocking(move || {
        fine(&folder, &["clone", "-q", &grace, "work"]);
        let work = folder.join("work");
        fine(&work, &["push", "-q", "origin", ":refs/heads/auto/gone"]);
        fine(&work, &["merge", "-q", "--no-ff", "-m", "By hand", "origin/auto/merged"]);
        fine(&work, &["push", "-q", "origin", "main"]);
    })
    .await;
    let gone = stage.get(&token, &format!("{REPO}/pulls/1")).await;
    assert_eq!((&gone["state"], &gone["merged"]), (&json!("closed"), &json!(false)));
    stage.want(422, &token, "PATCH", &format!("{REPO}/pulls/1"), json!({"state": "open"})).await;
    let merged = stage.get(&token, &format!("{REPO}/pulls/2")).await;
    assert_eq!((&merged["merged"], &merged["merged_by"]["login"]), (&json!(true), &json!("grace")));
    stage.finish().await;
}

//! Fetch and push over smart HTTP.

use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use orchestrator::workspace::{
    Expected, Mirrors, PushError, Pushed, Remote, RemoteUrl, TransferLimits, TransportError, WorkspaceError,
};

use base64::Engine;

use crate::git_server::{Fault, GitServer, TOKEN, git};
use crate::scene::{Scene, branch, commit, file, head_of, noon, path, quick, sha, snapshot};

fn reason<T: std::fmt::Debug>(result: Result<T, WorkspaceError>) -> TransportError {
    match result {
        Err(WorkspaceError::Transport { reason, .. }) => reason,
        other => panic!("the transfer did not fail as one: {other:?}"),
    }
}

#[tokio::test]
async fn a_fetch_brings_all_branches_and_a_second_one_only_what_is_new() {
    let scene = Scene::start().await;
    let first = scene.mirror().await;
    let before = first.resolve(&branch("main")).expect("main");
    assert_eq!(before, head_of(&scene.bare(), "main"));

    scene.write("src/lib.rs", "pub fn f() {}\n");
    let after = scene.publish("second");
    git(&scene.clone, &["push", "-q", "origin", "HEAD:topic"]);
    scene.server.take_seen();
    let second = scene.mirror().await;
    assert_eq!(second.resolve(&branch("main")).expect("main"), after);
    assert_eq!(second.resolve(&branch("topic")).expect("topic"), after);
    // A mirror in somebody's hands sees the fetch too.
    assert_eq!(first.resolve(&branch("main")).expect("main"), after);
    let count: u32 = git(&scene.folder.path().join("mirrors/7.git"), &["count-objects", "-v"])
        .lines()
        .find_map(|line| line.strip_prefix("in-pack: "))
        .expect("a count")
        .parse()
        .expect("a number");
    assert_eq!(count, 9, "the second fetch brought more than one commit, two trees and a file");

    scene.server.take_seen();
    scene.mirror().await;
    let requests = scene.server.take_seen();
    assert_eq!(requests.len(), 1, "nothing was new, and yet: {requests:?}");
    let credentials = requests[0].authorization.as_deref().and_then(|header| header.strip_prefix("Basic "));
    let credentials = base64::engine::general_purpose::STANDARD.decode(credentials.expect("credentials"));
    assert_eq!(credentials.expect("base64"), format!("x-access-token:{TOKEN}").into_bytes());
}

#[tokio::test]
async fn branches_that_go_make_room_for_folders_of_the_same_name() {
    let scene = Scene::start().await;
    git(&scene.clone, &["push", "-q", "origin", "HEAD:topic"]);
    let mirror = scene.mirror().await;
    assert!(mirror.resolve(&branch("topic")).is_ok());
    git(&scene.clone, &["push", "-q", "origin", ":topic", "HEAD:topic/deeper"]);
    let mirror = scene.mirror().await;
    assert!(matches!(mirror.resolve(&branch("topic")), Err(WorkspaceError::NoSuchBranch(_))));
    assert!(mirror.resolve(&branch("topic/deeper")).is_ok());
}

#[tokio::test]
async fn an_empty_repository_is_said_to_be_empty() {
    let scene = Scene::start().await;
    git(&scene.bare(), &["update-ref", "-d", "refs/heads/main"]);
    let mirror = scene.mirror().await;
    let error = mirror.resolve(&branch("main")).expect_err("no branch");
    assert!(matches!(error, WorkspaceError::Empty), "{error}");
    assert_eq!(error.to_string(), "the repository is empty: it needs a first commit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fetches_of_one_repository_at_once_all_succeed() {
    let scene = Scene::start().await;
    let (mirrors, remote) = (&scene.mirrors, scene.remote());
    let results = futures::future::join_all((0..6).map(|_| mirrors.fetch(&remote))).await;
    for mirror in results {
        assert!(mirror.expect("a mirror").resolve(&branch("main")).is_ok());
    }
}

#[tokio::test]
async fn a_fetch_waits_for_the_lock_of_another_process_and_gives_up_in_time() {
    let scene = Scene::start().await;
    scene.mirror().await;
    let lock = scene.folder.path().join("mirrors/7.lock");
    let mut holder = std::process::Command::new("flock")
        .arg(&lock)
        .args(["-c", "echo held; read line"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("flock");
    let mut line = String::new();
    let output = holder.stdout.as_mut().expect("its output");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).expect("a line");
    assert_eq!(line, "held\n");

    let limits = TransferLimits { total: Duration::from_millis(300), ..quick() };
    let impatient = Mirrors::with_limits(scene.folder.path().join("mirrors"), limits);
    assert!(matches!(impatient.fetch(&scene.remote()).await, Err(WorkspaceError::Busy { .. })));
    drop(holder.stdin.take());
    holder.wait().expect("the end of flock");
    scene.mirror().await;
}

#[tokio::test]
async fn a_push_makes_the_branch_and_the_same_push_again_changes_nothing() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let mut files = snapshot(&mirror, &base);
    files.files.insert(path("src/fixed.rs"), file("// fixed\n"));
    let head = commit(&mirror, &base, &files).expect("a change");
    let push = scene.push(&head, "auto/x", Expected::Absent);
    assert_eq!(mirror.push(push.clone()).await.expect("a push"), Pushed::Done);
    assert_eq!(head_of(&scene.bare(), "auto/x"), head);
    git(&scene.bare(), &["fsck", "--strict"]);

    scene.server.take_seen();
    assert_eq!(mirror.push(push).await.expect("a push"), Pushed::AlreadyThere);
    assert!(scene.server.take_seen().iter().all(|request| request.method == Method::GET));

    files.files.insert(path("src/fixed.rs"), file("// fixed better\n"));
    let next = commit(&mirror, &head, &files).expect("a change");
    let push = scene.push(&next, "auto/x", Expected::At(head));
    assert_eq!(mirror.push(push).await.expect("a push"), Pushed::Done);
    assert_eq!(head_of(&scene.bare(), "auto/x"), next);
}

#[tokio::test]
async fn a_push_never_goes_over_what_a_person_pushed() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let mut files = snapshot(&mirror, &base);
    files.files.insert(path("a"), file("ours\n"));
    let ours = commit(&mirror, &base, &files).expect("a change");
    git(&scene.clone, &["push", "-q", "origin", "HEAD:auto/x"]);
    scene.write("a", "theirs\n");
    let theirs = scene.publish("theirs");
    git(&scene.clone, &["push", "-q", "origin", "HEAD:auto/x"]);

    for expected in [Expected::Absent, Expected::At(base.clone())] {
        let refused = mirror.push(scene.push(&ours, "auto/x", expected)).await;
        assert!(
            matches!(&refused, Err(PushError::Moved { actual: Some(at) }) if *at == theirs),
            "{refused:?}"
        );
    }
    let gone = mirror.push(scene.push(&ours, "auto/none", Expected::At(base.clone()))).await;
    assert!(matches!(gone, Err(PushError::Moved { actual: None })), "{gone:?}");
    // Even who knows the person's commit does not drop it.
    scene.mirror().await;
    let over = mirror.push(scene.push(&ours, "auto/x", Expected::At(theirs.clone()))).await;
    assert!(matches!(over, Err(PushError::NotFastForward)), "{over:?}");
    assert_eq!(head_of(&scene.bare(), "auto/x"), theirs);
}

#[tokio::test]
async fn a_branch_that_moves_between_the_question_and_the_push_is_not_overwritten() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    git(&scene.bare(), &["update-ref", "refs/heads/auto/x", base.as_str()]);
    scene.write("a", "theirs\n");
    let theirs = scene.publish("theirs");
    let mut files = snapshot(&mirror, &base);
    files.files.insert(path("a"), file("ours\n"));
    let ours = commit(&mirror, &base, &files).expect("a change");
    let move_it = format!("git -C octo/hello.git update-ref refs/heads/auto/x {theirs}");
    scene.server.misbehave(Method::POST, "/git-receive-pack", Fault::Before(move_it));
    let refused = mirror.push(scene.push(&ours, "auto/x", Expected::At(base))).await;
    assert!(matches!(&refused, Err(PushError::Moved { actual: Some(at) }) if *at == theirs), "{refused:?}");
    assert_eq!(head_of(&scene.bare(), "auto/x"), theirs);
}

#[tokio::test]
async fn a_rule_of_the_server_is_reported_in_its_own_words() {
    let scene = Scene::start().await;
    let hook = scene.bare().join("hooks/update");
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").expect("a hook");
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let refused = mirror.push(scene.push(&base, "auto/x", Expected::Absent)).await;
    assert!(matches!(&refused, Err(PushError::Refused(why)) if why.contains("hook declined")), "{refused:?}");
}

#[tokio::test]
async fn a_push_whose_answer_is_lost_is_found_to_have_arrived() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let arrive = format!("git -C octo/hello.git update-ref refs/heads/auto/x {base}");
    scene.server.misbehave(Method::POST, "/git-receive-pack", Fault::Before(arrive));
    scene.server.misbehave(Method::POST, "/git-receive-pack", Fault::Answer(StatusCode::BAD_GATEWAY, None));
    let push = scene.push(&base, "auto/x", Expected::Absent);
    match mirror.push(push.clone()).await {
        Err(PushError::Workspace(error)) => assert!(error.is_transient(), "{error}"),
        other => panic!("{other:?}"),
    }
    scene.server.behave();
    assert_eq!(mirror.push(push).await.expect("a push"), Pushed::AlreadyThere);
}

#[tokio::test]
async fn a_wrong_token_and_a_missing_repository_are_told_apart() {
    let scene = Scene::start().await;
    assert_eq!(reason(scene.mirrors.fetch(&scene.remote_with("wrong")).await), TransportError::Unauthorized);
    let mut remote = scene.remote();
    remote.token = None;
    assert_eq!(reason(scene.mirrors.fetch(&remote).await), TransportError::Unauthorized);
    remote = scene.remote();
    remote.url = RemoteUrl::new(&scene.server.url, "octo", "other").expect("an address");
    assert_eq!(reason(scene.mirrors.fetch(&remote).await), TransportError::NotFound);
    scene.server.misbehave(Method::GET, "/info/refs", Fault::Answer(StatusCode::FORBIDDEN, None));
    assert_eq!(reason(scene.mirrors.fetch(&scene.remote()).await), TransportError::Forbidden);
    scene.server.behave();
    scene.mirror().await;
}

#[tokio::test]
async fn a_redirect_to_another_server_is_not_followed_and_the_token_stays_here() {
    let scene = Scene::start().await;
    let stranger = GitServer::start(&scene.server.root).await;
    let port = stranger.url.rsplit(':').next().expect("a port");
    for target in [
        format!("{}/octo/hello.git/info/refs?service=git-upload-pack", stranger.url),
        format!("http://localhost:{port}/octo/hello.git/info/refs"),
        format!("//127.0.0.1:{port}/octo/hello.git/info/refs"),
        format!("{}@127.0.0.1:{port}/octo/hello.git/info/refs", scene.server.url),
        format!("http://x:y@{}/octo/hello.git/info/refs", &scene.server.url["http://".len()..]),
        scene.server.url.replace("http://", "https://") + "/octo/hello.git/info/refs",
    ] {
        scene.server.behave();
        let moved = Fault::Answer(StatusCode::MOVED_PERMANENTLY, Some(target.clone()));
        scene.server.misbehave(Method::GET, "/info/refs", moved);
        let refused = reason(scene.mirrors.fetch(&scene.remote()).await);
        assert!(matches!(refused, TransportError::RedirectRefused(_)), "{target}: {refused:?}");
    }
    assert!(stranger.take_seen().is_empty());

    // The attack works on a client that follows wherever it is told to, as some clients of git did.
    scene.server.behave();
    let elsewhere = format!("{}/octo/hello.git/info/refs?service=git-upload-pack", stranger.url);
    let moved = Fault::Answer(StatusCode::MOVED_PERMANENTLY, Some(elsewhere));
    scene.server.misbehave(Method::GET, "/info/refs", moved);
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let ask = |url: String| client.get(url).basic_auth("x-access-token", Some(TOKEN)).send();
    let moved = ask(format!("{}/octo/hello.git/info/refs", scene.server.url)).await.expect("an answer");
    let location = moved.headers()["location"].to_str().expect("an address").to_owned();
    ask(location).await.expect("an answer");
    assert!(stranger.take_seen().iter().any(|request| request.authorization.is_some()));

    // The pack itself is not asked for elsewhere either.
    scene.server.behave();
    let moved = Fault::Answer(
        StatusCode::TEMPORARY_REDIRECT,
        Some(format!("{}/octo/hello.git/git-upload-pack", stranger.url)),
    );
    scene.server.misbehave(Method::POST, "/git-upload-pack", moved);
    assert!(matches!(reason(scene.mirrors.fetch(&scene.remote()).await), TransportError::RedirectRefused(_)));
    assert!(stranger.take_seen().is_empty());
}

#[tokio::test]
async fn a_renamed_repository_is_followed_on_the_same_server() {
    let scene = Scene::start().await;
    let mut remote = scene.remote();
    remote.url = RemoteUrl::new(&scene.server.url, "octo", "old-name").expect("an address");
    let target = "/octo/hello.git/info/refs?service=git-upload-pack".to_owned();
    let moved = Fault::Answer(StatusCode::MOVED_PERMANENTLY, Some(target));
    scene.server.misbehave(Method::GET, "old-name.git/info/refs", moved);
    let mirror = scene.mirrors.fetch(&remote).await.expect("a mirror");
    assert!(mirror.resolve(&branch("main")).is_ok());
    let seen = scene.server.take_seen();
    assert!(seen.iter().any(|request| request.path == "/octo/hello.git/git-upload-pack"), "{seen:?}");

    let around = Fault::Answer(StatusCode::FOUND, Some("/octo/hello.git/info/refs".to_owned()));
    scene.server.misbehave(Method::GET, "hello.git/info/refs", around);
    assert!(matches!(reason(scene.mirrors.fetch(&remote).await), TransportError::RedirectRefused(_)));
}

#[tokio::test]
async fn a_server_that_says_nothing_or_too_much_is_left_in_time() {
    let scene = Scene::start().await;
    let limits = TransferLimits { idle: Duration::from_secs(2), fetch_bytes: 1 << 20, ..quick() };
    let mirrors = Mirrors::with_limits(scene.folder.path().join("mirrors"), limits);
    for (method, end) in [(Method::GET, "/info/refs"), (Method::POST, "/git-upload-pack")] {
        scene.server.behave();
        scene.server.misbehave(method, end, Fault::Silence);
        let started = Instant::now();
        assert!(matches!(reason(mirrors.fetch(&scene.remote()).await), TransportError::TimedOut(_)));
        assert!(started.elapsed() < Duration::from_secs(15));
    }
    scene.server.behave();
    scene.server.misbehave(
        Method::POST,
        "/git-upload-pack",
        Fault::Flood("application/x-git-upload-pack-result"),
    );
    let flood = mirrors.fetch(&scene.remote()).await;
    assert!(flood.is_err(), "{flood:?}");
    scene.server.behave();
    scene.server.misbehave(Method::GET, "/info/refs", Fault::Flood("text/html"));
    assert_eq!(reason(mirrors.fetch(&scene.remote()).await), TransportError::NotSmartHttp);
}

#[tokio::test]
async fn a_fetch_larger_than_its_limit_is_cut_off() {
    let scene = Scene::start().await;
    let mut noise = Vec::new();
    let mut state = 1u64;
    while noise.len() < 3 << 20 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        noise.extend_from_slice(&state.to_le_bytes());
    }
    scene.write("noise", noise);
    scene.publish("noise");
    let limits = TransferLimits { fetch_bytes: 1 << 20, ..quick() };
    let mirrors = Mirrors::with_limits(scene.folder.path().join("small"), limits);
    assert_eq!(reason(mirrors.fetch(&scene.remote()).await), TransportError::TooLarge(1 << 20));
    scene.mirror().await;
}

#[tokio::test]
async fn nobody_listening_is_a_passing_failure() {
    let scene = Scene::start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let url = RemoteUrl::new(&url, "octo", "hello").expect("an address");
    let remote = Remote { url, ..scene.remote() };
    let error = scene.mirrors.fetch(&remote).await.expect_err("no server");
    assert!(error.is_transient(), "{error}");
    assert!(matches!(reason::<()>(Err(error)), TransportError::NoConnection(_)));
}

#[tokio::test]
async fn a_server_that_cannot_prove_who_it_is_gets_no_token() {
    let scene = Scene::start().await;
    let url = scene.server.url.replace("http://", "https://");
    let remote = Remote { url: RemoteUrl::new(&url, "octo", "hello").expect("an address"), ..scene.remote() };
    assert!(matches!(reason(scene.mirrors.fetch(&remote).await), TransportError::NoConnection(_)));
    assert!(scene.server.take_seen().is_empty());
}

#[tokio::test]
async fn a_commit_made_twice_has_one_id() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let mut files = snapshot(&mirror, &base);
    files.files.insert(path("a"), file("x\n"));
    let one = commit(&mirror, &base, &files);
    assert_eq!(one, commit(&mirror, &base, &files));
    let one = one.expect("a change");
    let other =
        Mirrors::new(scene.folder.path().join("elsewhere")).fetch(&scene.remote()).await.expect("a mirror");
    assert_eq!(commit(&other, &base, &files).as_ref(), Some(&one));
    let shown = git(
        &scene.folder.path().join("mirrors/7.git"),
        &["log", "-1", "--format=%an %ae %cn %ce %at %B", one.as_str()],
    );
    let at = noon().timestamp();
    assert_eq!(
        shown,
        format!(
            "Orchestrator bot@example.org Orchestrator bot@example.org {at} fix: the thing\n\n\
             Signed-off-by: Orchestrator <bot@example.org>"
        )
    );
    assert!(mirror.has(&one).expect("an answer"));
    assert!(!mirror.has(&sha("0123456789012345678901234567890123456789")).expect("an answer"));
}

//! Commits that travel as bytes.

use orchestrator::workspace::{Mirrors, WorkspaceError};

use crate::git_server::git;
use crate::scene::{Scene, branch, commit, commits_of, file, path, sha, snapshot};

#[tokio::test]
async fn commits_go_on_in_another_mirror_under_the_same_ids() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let mut files = snapshot(&mirror, &base);
    files.files.insert(path("src/one.rs"), file("// one\n"));
    let one = commit(&mirror, &base, &files).expect("a change");
    files.files.insert(path("src/two.rs"), file("// two\n"));
    let two = commit(&mirror, &one, &files).expect("a change");

    let bytes = mirror.bundle(&base, &two).expect("a bundle");
    let other = Mirrors::new(scene.folder.path().join("elsewhere"));
    let other = other.fetch(&scene.remote()).await.expect("a mirror");
    assert!(!other.has(&two).expect("an answer"));
    assert_eq!(other.unbundle(&bytes).expect("taken in"), two);
    assert_eq!(snapshot(&other, &two), files);
    assert_eq!(commits_of(&other, &base, &two), 2);
    assert_eq!(other.unbundle(&bytes).expect("taken in again"), two);

    // It is a bundle to git as well, and git's own can be taken in.
    let named = scene.folder.path().join("work.bundle");
    std::fs::write(&named, &bytes).expect("a file");
    git(&scene.clone, &["bundle", "verify", "-q", named.to_str().expect("a path")]);
    git(&scene.clone, &["fetch", "-q", named.to_str().expect("a path"), "refs/heads/work:refs/heads/work"]);
    scene.write("three.rs", "// three\n".repeat(100));
    git(&scene.clone, &["checkout", "-q", "work"]);
    git(&scene.clone, &["add", "-A"]);
    git(&scene.clone, &["commit", "-q", "-m", "three"]);
    git(&scene.clone, &["bundle", "create", "-q", "../theirs.bundle", &format!("{two}..work")]);
    let theirs = std::fs::read(scene.folder.path().join("theirs.bundle")).expect("a bundle");
    let head = sha(&git(&scene.clone, &["rev-parse", "work"]));
    assert_eq!(other.unbundle(&theirs).expect("taken in"), head);
}

#[tokio::test]
async fn a_bundle_without_its_base_or_with_a_damaged_byte_is_refused() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    assert!(matches!(mirror.bundle(&base, &base), Err(WorkspaceError::InvalidRequest(_))));
    let mut files = snapshot(&mirror, &base);
    files.files.insert(path("a"), file("a\n"));
    let head = commit(&mirror, &base, &files).expect("a change");
    let bytes = mirror.bundle(&base, &head).expect("a bundle");

    let stranger = Scene::start().await;
    stranger.write("x", "another history");
    git(&stranger.clone, &["commit", "-q", "--amend", "-m", "other"]);
    git(&stranger.clone, &["push", "-q", "-f", "origin", "HEAD:main"]);
    let other = stranger.mirror().await;
    assert!(matches!(other.unbundle(&bytes), Err(WorkspaceError::NoSuchCommit(at)) if at == base));

    let fresh =
        Mirrors::new(scene.folder.path().join("fresh")).fetch(&scene.remote()).await.expect("a mirror");
    // The name of the ref in the header means nothing to us; everything else must be noticed.
    let name = bytes.windows(15).position(|part| part == b"refs/heads/work").expect("the name");
    let name = name - 1..name + 15;
    for at in (0..bytes.len()).filter(|at| !name.contains(at)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        assert!(fresh.unbundle(&damaged).is_err(), "byte {at} was changed and not noticed");
        assert!(!fresh.has(&head).expect("an answer"), "byte {at}");
    }
    for cut in [0, 10, 60, bytes.len() / 2, bytes.len() - 1] {
        assert!(fresh.unbundle(&bytes[..cut]).is_err(), "the first {cut} bytes were taken");
    }
}

#[tokio::test]
async fn a_pack_that_lacks_a_file_is_noticed() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let mut files = snapshot(&mirror, &base);
    files.files.insert(path("a"), file("the missing file\n"));
    let head = commit(&mirror, &base, &files).expect("a change");
    let repository = scene.folder.path().join("mirrors/7.git");
    let tree = git(&repository, &["rev-parse", &format!("{head}^{{tree}}")]);
    let list = format!("{head}\n{tree}\n");
    let mut child = std::process::Command::new("git")
        .args(["pack-objects", "--stdout", "-q"])
        .current_dir(&repository)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("git");
    std::io::Write::write_all(&mut child.stdin.take().expect("input"), list.as_bytes()).expect("written");
    let pack = child.wait_with_output().expect("a pack").stdout;
    let mut bundle = format!("# v2 git bundle\n-{base}\n{head} refs/heads/work\n\n").into_bytes();
    bundle.extend_from_slice(&pack);
    let fresh =
        Mirrors::new(scene.folder.path().join("fresh")).fetch(&scene.remote()).await.expect("a mirror");
    assert!(matches!(fresh.unbundle(&bundle), Err(WorkspaceError::BadBundle(why)) if why.contains("lacks")));
}

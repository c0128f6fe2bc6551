//! Mirrors over time: several processes, processes that die, packs that pile up, and mirrors that nobody uses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime};

use axum::http::Method;
use orchestrator::gates::discover;
use orchestrator::workspace::{ContentReader, Mirrors, Remote, RemoteUrl, TransferLimits, WorkspaceError};

use crate::git_server::{Fault, TOKEN, git};
use crate::scene::{Scene, branch, commit, file, path, quick, snapshot};

/// Another process in the next tests: it runs only when it is asked for by name, and fetches into the folder that it
/// is started in.
#[tokio::test]
#[ignore = "started by tests of mirrors with several processes"]
async fn child_that_fetches() {
    let root = std::env::current_dir().expect("a folder");
    let Ok(server) = fs::read_to_string(root.join("fetch-from")) else { return };
    let url = RemoteUrl::new(&server, "octo", "hello").expect("an address");
    let remote = Remote { repository_id: 7, url, token: Some(TOKEN.to_owned().into()) };
    Mirrors::new(root.join("mirrors")).fetch(&remote).await.expect("a mirror");
}

fn fetching_child(scene: &Scene) -> Child {
    let mark = scene.folder.path().join("fetch-from");
    if !mark.exists() {
        fs::write(&mark, &scene.server.url).expect("a mark");
    }
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "mirrors::child_that_fetches"])
        .current_dir(scene.folder.path())
        .spawn()
        .expect("started")
}

fn is_pack_request(method: &Method, path: &str) -> bool {
    *method == Method::POST && path.ends_with("/git-upload-pack")
}

fn mirror_path(scene: &Scene) -> PathBuf {
    scene.folder.path().join("mirrors/7.git")
}

/// Files whose names have this in them, anywhere below a folder.
fn files_named(folder: &Path, part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().contains(part) {
                found.push(entry.path());
            }
        }
    }
    found
}

fn make_older(path: &Path, age: Duration) {
    let file = fs::File::open(path).expect("a file");
    file.set_modified(SystemTime::now() - age).expect("a time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_fetch_at_once_download_it_once_and_all_have_it() {
    let scene = Scene::start().await;
    let children: Vec<Child> = (0..4).map(|_| fetching_child(&scene)).collect();
    for child in children {
        let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.expect("waited");
        assert!(output.expect("its end").status.success());
    }
    let seen = scene.server.take_seen();
    let packs = seen.iter().filter(|seen| is_pack_request(&seen.method, &seen.path)).count();
    assert_eq!(packs, 1, "{seen:?}");
    assert_eq!(seen.len(), 5, "each looks for itself: {seen:?}");
    let mirror = scene.mirrors.existing(7).expect("a mirror");
    assert!(mirror.resolve(&branch("main")).is_ok());
    git(&mirror_path(&scene), &["fsck", "--strict"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_is_killed_in_the_middle_leaves_a_mirror_that_works() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let before = mirror.resolve(&branch("main")).expect("main");
    scene.write("noise", noise(2 << 20));
    let after = scene.publish("noise");
    scene.server.misbehave(Method::POST, "/git-upload-pack", Fault::Half);
    let mut child = fetching_child(&scene);
    let pack = mirror_path(&scene).join("objects/pack");
    let deadline = Instant::now() + Duration::from_secs(30);
    while files_named(&pack, "_git2_").iter().all(|file| file.metadata().expect("there").len() < 100_000) {
        assert!(Instant::now() < deadline, "the fetch does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // Others cannot fetch meanwhile, but read what is there.
    let limits = TransferLimits { total: Duration::from_millis(300), ..quick() };
    let impatient = Mirrors::with_limits(scene.folder.path().join("mirrors"), limits);
    let busy = impatient.fetch(&scene.remote()).await.expect_err("the lock is held");
    assert!(matches!(busy, WorkspaceError::Busy { .. }) && busy.is_transient(), "{busy}");
    assert_eq!(mirror.resolve(&branch("main")).expect("main"), before);
    child.kill().expect("killed");
    assert_eq!(child.wait().expect("its end").signal(), Some(9));

    let left = files_named(&pack, "_git2_");
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(snapshot(&mirror, &before).files.len(), 2);
    git(&mirror_path(&scene), &["fsck", "--strict"]);
    scene.server.behave();
    scene.mirror().await;
    assert_eq!(mirror.resolve(&branch("main")).expect("main"), after);
    assert!(left[0].exists(), "what somebody may still write was removed");
    make_older(&left[0], Duration::from_secs(3600));
    scene.mirror().await;
    assert!(!left[0].exists(), "what a dead process began is still there");
    assert_eq!(snapshot(&mirror, &after).files.len(), 3);
}

#[tokio::test]
async fn packs_do_not_pile_up_and_nothing_is_lost_when_they_are_put_together() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let first = mirror.resolve(&branch("main")).expect("main");
    let long_held = snapshot(&mirror, &first);
    let mut heads = vec![first.clone()];
    for number in 0..25 {
        scene.write(&format!("file-{number}"), format!("{number}\n"));
        heads.push(scene.publish("one more"));
        scene.mirror().await;
    }
    let mut files = snapshot(&mirror, &first);
    files.files.insert(path("of-a-task"), file("on no branch\n"));
    let of_task = commit(&mirror, &first, &files).expect("a change");
    let packs = || files_named(&mirror_path(&scene).join("objects/pack"), ".idx").len();
    // Put together once, but the old ones stay for those who may be about to open them.
    let before = packs();
    assert!((21..=27).contains(&before), "{before} packs");
    let list = mirror_path(&scene).join("superseded-packs");
    assert!(fs::read_to_string(&list).expect("the list").lines().count() > 15);
    make_older(&list, Duration::from_secs(2 * 3600));
    scene.mirror().await;
    assert!(packs() <= 8, "{} packs", packs());
    assert!(!list.exists());

    git(&mirror_path(&scene), &["fsck", "--strict"]);
    assert!(mirror.has(&of_task).expect("an answer"));
    for (number, head) in heads.iter().enumerate() {
        assert_eq!(snapshot(&mirror, head).files.len(), number + 2);
    }
    // A tree that was taken before finds its files in the new pack.
    let mut reader = ContentReader::default();
    let text = long_held.files[&path("src/main.rs")].bytes.read(&mut reader).expect("read");
    assert_eq!(text, b"fn main() {}\n");
}

#[tokio::test]
async fn many_loose_objects_of_tasks_go_into_a_pack() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let mut files = snapshot(&mirror, &base);
    for number in 0..2100 {
        files.files.insert(path(&format!("many/{number}")), file(format!("{number}\n")));
    }
    let head = commit(&mirror, &base, &files).expect("a change");
    let loose = || git(&mirror_path(&scene), &["count-objects"]);
    assert!(loose().starts_with("2103 objects"), "{}", loose());
    scene.mirror().await;
    assert!(loose().starts_with("0 objects"), "{}", loose());
    assert_eq!(snapshot(&mirror, &head), files);
    git(&mirror_path(&scene), &["fsck", "--strict", head.as_str()]);
}

#[tokio::test]
async fn a_mirror_that_nobody_used_for_a_month_goes_and_what_dead_processes_left_too() {
    let scene = Scene::start().await;
    let mirrors = scene.folder.path().join("mirrors");
    assert_eq!(scene.mirrors.sweep().expect("swept"), 0, "there is no folder yet");
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let mut files = snapshot(&mirror, &base);
    files.files.insert(path("work"), file("of a task\n"));
    let head = commit(&mirror, &base, &files).expect("a change");
    let bundle = mirror.bundle(&base, &head).expect("a bundle");
    for name in [".new-young", ".new-old"] {
        fs::create_dir_all(mirrors.join(name).join("objects")).expect("a folder");
    }
    make_older(&mirrors.join(".new-old"), Duration::from_secs(3600));
    let month = Duration::from_secs(31 * 24 * 3600);
    make_older(&mirrors.join("7.lock"), month - Duration::from_secs(2 * 24 * 3600));
    assert_eq!(scene.mirrors.sweep().expect("swept"), 1);
    assert!(mirrors.join(".new-young").exists() && !mirrors.join(".new-old").exists());
    assert!(scene.mirrors.existing(7).is_some());

    // A fetch is a use.
    make_older(&mirrors.join("7.lock"), month);
    scene.mirror().await;
    assert_eq!(scene.mirrors.sweep().expect("swept"), 0);
    make_older(&mirrors.join("7.lock"), month);
    let held = fs::File::open(mirrors.join("7.lock")).expect("the lock");
    held.lock().expect("locked");
    assert_eq!(scene.mirrors.sweep().expect("swept"), 0, "a mirror that is being fetched was removed");
    drop(held);
    assert_eq!(scene.mirrors.sweep().expect("swept"), 1);
    assert!(scene.mirrors.existing(7).is_none() && !mirror_path(&scene).exists());

    let again = scene.mirror().await;
    assert_eq!(again.unbundle(&bundle).expect("taken in"), head);
    assert_eq!(snapshot(&again, &head), files);
}

/// Bytes that cannot be packed into fewer.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

#[tokio::test]
async fn gates_are_not_looked_for_in_files_that_cannot_be_read() {
    let scene = Scene::start().await;
    scene.write("Cargo.toml", "[package]\nname = \"hello\"\nversion = \"1.0.0\"\n");
    scene.publish("a crate");
    let mirror = scene.mirror().await;
    let head = mirror.resolve(&branch("main")).expect("a branch");
    assert!(!discover(&snapshot(&mirror, &head), None).expect("read").is_empty());
    let damaged = snapshot(&mirror, &head);
    for pack in files_named(&mirror_path(&scene).join("objects"), ".pack") {
        let mut bytes = fs::read(&pack).expect("a pack");
        bytes[12..].fill(0xff);
        fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).expect("writable");
        fs::write(&pack, bytes).expect("written");
    }
    let said = discover(&damaged, None).expect_err("a gate could be missed").to_string();
    assert!(said.contains("(Cargo.toml) of the mirror cannot be read"), "{said}");
}

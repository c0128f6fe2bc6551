//! Snapshots and commits: what each kind of entry becomes.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orchestrator::workspace::{
    CommitRequest, FileEntry, FileMode, IgnoreRules, SnapshotLimits, WorkspaceError,
};

use crate::git_server::git;
use crate::scene::{Scene, bot, branch, commit, commit_ignoring, file, noon, path, snapshot};

#[tokio::test]
async fn every_kind_of_entry_is_handled_on_purpose() {
    let scene = Scene::start().await;
    scene.write("windows.txt", "a\r\nb\r\n");
    scene.write("latin1.txt", b"caf\xe9\n");
    scene.write("run.sh", "#!/bin/sh\n");
    scene.write("Case.txt", "upper\n");
    scene.write("case.txt", "lower\n");
    scene.write(".gitattributes", "* text=auto eol=lf filter=evil\n*.bin filter=lfs\n");
    scene.write("big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n");
    std::fs::set_permissions(scene.clone.join("run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("a mode");
    std::os::unix::fs::symlink("src/main.rs", scene.clone.join("link")).expect("a link");
    std::os::unix::fs::symlink("/etc/passwd", scene.clone.join("outside")).expect("a link");
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff.txt");
    std::fs::write(scene.clone.join(odd), "odd\n").expect("a file");
    std::fs::write(scene.clone.join("back\\slash"), "odd\n").expect("a file");
    scene.write("large", vec![b'x'; 5000]);
    let first = git(&scene.clone, &["rev-parse", "HEAD"]);
    git(&scene.clone, &["-c", "core.autocrlf=false", "add", "-A"]);
    git(&scene.clone, &["update-index", "--add", "--cacheinfo", &format!("160000,{first},vendor/sub")]);
    // The bytes of the work tree, without the attributes' say.
    for name in ["windows.txt", "big.bin"] {
        let id = git(&scene.clone, &["hash-object", "-w", "--no-filters", name]);
        git(&scene.clone, &["update-index", "--cacheinfo", &format!("100644,{id},{name}")]);
    }
    git(&scene.clone, &["commit", "-q", "-m", "odd things"]);
    git(&scene.clone, &["push", "-q", "origin", "HEAD:main"]);

    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let limits = SnapshotLimits { file_bytes: 4096, ..SnapshotLimits::default() };
    let files = mirror.snapshot(&base, &limits).expect("a snapshot");
    let bytes = |name: &str| files.files[&path(name)].bytes.to_vec();
    assert_eq!(bytes("windows.txt"), b"a\r\nb\r\n");
    assert_eq!(bytes("latin1.txt"), b"caf\xe9\n");
    assert!(bytes("big.bin").starts_with(b"version https://git-lfs"));
    assert_eq!((bytes("Case.txt"), bytes("case.txt")), (b"upper\n".to_vec(), b"lower\n".to_vec()));
    assert_eq!(files.files[&path("run.sh")].mode, FileMode::Executable);
    let link = FileEntry { mode: FileMode::Symlink, bytes: b"src/main.rs".to_vec().into() };
    assert_eq!(files.files[&path("link")], link);
    assert_eq!(mirror.read_file(&base, &path("link")).expect("read"), None);
    assert_eq!(mirror.read_file(&base, &path("src")).expect("read"), None);
    assert_eq!(mirror.read_file(&base, &path("none/at/all")).expect("read"), None);
    assert_eq!(mirror.read_file(&base, &path("case.txt")).expect("read").as_deref(), Some(&b"lower\n"[..]));

    // Too large, of names that no disk should get, or of another repository.
    for name in ["large", "vendor/sub"] {
        assert!(!files.files.contains_key(&path(name)), "{name}");
    }
    assert!(!files.files.keys().any(|path| path.as_str().contains("odd") || path.as_str().contains("back")));

    // Files that came back as they went out make no commit; one change leaves all the rest alone.
    let request = CommitRequest {
        parents: std::slice::from_ref(&base),
        files: &files,
        limits,
        ignore: &IgnoreRules::none(),
        author: &bot(),
        committed_at: noon(),
        message: "fix",
    };
    assert_eq!(mirror.commit(&request).expect("an answer"), None);
    let mut changed = files.clone();
    changed.files.insert(path("latin1.txt"), file(b"caf\xe9s\n"));
    changed.files.insert(path("vendor/sub/planted"), file("x"));
    changed.files.insert(path("vendor/sub"), file("x"));
    let head =
        mirror.commit(&CommitRequest { files: &changed, ..request }).expect("an answer").expect("a commit");
    let repository = scene.folder.path().join("mirrors/7.git");
    let changes = git(&repository, &["diff-tree", "-r", "--name-status", base.as_str(), head.as_str()]);
    assert_eq!(changes, "M\tlatin1.txt");
    git(&repository, &["fsck", "--strict", head.as_str()]);
}

#[tokio::test]
async fn a_commit_records_new_changed_deleted_and_made_executable_files_and_nothing_else() {
    let scene = Scene::start().await;
    for name in ["a", "a-b", "a.b", "dir/x", "dir/y/z", "dir.c", "dir0", "gone/deep/er"] {
        scene.write(name, name);
    }
    scene.publish("files");
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let mut files = snapshot(&mirror, &base);
    files.files.remove(&path("gone/deep/er"));
    files.files.insert(path("dir/y/z"), file("changed\r\n"));
    files.files.insert(path("new/é/x"), file("new"));
    files.files.insert(path("a-b"), FileEntry { mode: FileMode::Executable, bytes: b"a-b".to_vec().into() });
    files.files.insert(path("ln"), FileEntry { mode: FileMode::Symlink, bytes: b"dir/x".to_vec().into() });
    files.files.remove(&path("a"));
    files.files.insert(path("a/now/a/folder"), file("x"));
    let head = commit(&mirror, &base, &files).expect("a change");
    assert_eq!(snapshot(&mirror, &head), files);
    let repository = scene.folder.path().join("mirrors/7.git");
    git(&repository, &["fsck", "--strict", head.as_str()]);
    let changes = git(
        &repository,
        &[
            "-c",
            "core.quotePath=false",
            "diff-tree",
            "-r",
            "--no-renames",
            "--name-status",
            base.as_str(),
            head.as_str(),
        ],
    );
    let expected =
        ["D\ta", "M\ta-b", "A\ta/now/a/folder", "M\tdir/y/z", "D\tgone/deep/er", "A\tln", "A\tnew/é/x"];
    let mut changes: Vec<_> = changes.lines().collect();
    changes.sort_unstable_by_key(|line| &line[2..]);
    assert_eq!(changes, expected);
}

#[tokio::test]
async fn ignored_files_stay_out_unless_they_were_tracked() {
    let scene = Scene::start().await;
    scene.write(".gitignore", "/target\n*.log\n");
    scene.write("kept.log", "tracked all the same\n");
    git(&scene.clone, &["add", "-f", "kept.log"]);
    scene.publish("ignore");
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let tree = snapshot(&mirror, &base);
    let rules = IgnoreRules::of(&tree);
    let mut files = tree.clone();
    files.files.insert(path("target/debug/x"), file("x"));
    files.files.insert(path("x.log"), file("x"));
    assert_eq!(commit_ignoring(&mirror, &base, &files, &rules), None);
    // The base's rules hold, whatever the change makes of them.
    files.files.insert(path(".gitignore"), file(""));
    files.files.insert(path("kept.log"), file("changed\n"));
    let head = commit_ignoring(&mirror, &base, &files, &rules).expect("a change");
    let after = snapshot(&mirror, &head);
    assert!(!after.files.contains_key(&path("x.log")) && !after.files.contains_key(&path("target/debug/x")));
    assert_eq!(after.files[&path("kept.log")].bytes, b"changed\n");
}

#[tokio::test]
async fn links_out_of_the_tree_and_impossible_trees_are_refused() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let attempt = |name: &str, entry: FileEntry| {
        let mut files = snapshot(&mirror, &base);
        files.files.insert(path(name), entry);
        let request = CommitRequest {
            parents: std::slice::from_ref(&base),
            files: &files,
            limits: SnapshotLimits::default(),
            ignore: &IgnoreRules::none(),
            author: &bot(),
            committed_at: noon(),
            message: "x",
        };
        mirror.commit(&request)
    };
    let outside = FileEntry { mode: FileMode::Symlink, bytes: b"../../etc/passwd".to_vec().into() };
    assert!(matches!(attempt("src/link", outside), Err(WorkspaceError::LinkLeavesTree { .. })));
    assert!(
        matches!(attempt("README.md/x", file("x")), Err(WorkspaceError::FileAndFolder(at)) if at == "README.md")
    );
}

#[tokio::test]
async fn new_names_that_another_machine_takes_for_others_are_refused_and_old_ones_are_not() {
    let scene = Scene::start().await;
    for name in ["Docs/a.md", "docs/b.md", "caf\u{e9}.txt", "aux.c", "src/old name."] {
        scene.write(name, name);
    }
    scene.publish("names");
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let attempt = |names: &[&str], gone: &[&str]| {
        let mut files = snapshot(&mirror, &base);
        files.files.retain(|path, _| !gone.contains(&path.as_str()));
        files.files.extend(names.iter().map(|name| (path(name), file("x"))));
        mirror.commit(&CommitRequest {
            parents: std::slice::from_ref(&base),
            files: &files,
            limits: SnapshotLimits::default(),
            ignore: &IgnoreRules::none(),
            author: &bot(),
            committed_at: noon(),
            message: "x",
        })
    };
    for names in [
        &["readme.md"][..],
        &["README.MD"],
        &["SRC/x"],
        &["cafe\u{301}.txt"],
        &["CAFE\u{301}.TXT"],
        &["DOCS/c.md"],
        &["docs/A.md", "docs/a.MD"],
        &["new/x", "New/y"],
    ] {
        let refused = attempt(names, &[]);
        assert!(matches!(refused, Err(WorkspaceError::SameName { .. })), "{names:?}: {refused:?}");
    }
    for name in ["nul", "src/COM1.rs", "a:b", "a?", "end.", "end /x", "gitmod~1", "in\u{200d}visible"] {
        let refused = attempt(&[name], &[]);
        assert!(matches!(refused, Err(WorkspaceError::UnsafeName { .. })), "{name:?}: {refused:?}");
    }
    for (names, gone) in [
        (&["Docs/c.md", "docs/d.md"][..], &[][..]),
        (&["aux.c", "src/old name."], &[]),
        (&["readme.md"], &["README.md"]),
        (&["src/caf\u{e9}.txt"], &[]),
    ] {
        assert!(matches!(attempt(names, gone), Ok(Some(_))), "{names:?} was refused");
    }
}

#[tokio::test]
async fn links_in_the_place_of_gits_own_files_are_refused_in_every_spelling() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    for name in [".gitmodules", ".GITATTRIBUTES", "src/.gitignore", ".mailmap", ".GitModules"] {
        let mut files = snapshot(&mirror, &base);
        let link = FileEntry { mode: FileMode::Symlink, bytes: b"README.md".to_vec().into() };
        files.files.insert(path(name), link);
        let request = CommitRequest {
            parents: std::slice::from_ref(&base),
            files: &files,
            limits: SnapshotLimits::default(),
            ignore: &IgnoreRules::none(),
            author: &bot(),
            committed_at: noon(),
            message: "x",
        };
        assert!(matches!(mirror.commit(&request), Err(WorkspaceError::LinkLeavesTree { .. })), "{name}");
    }
}

#[tokio::test]
async fn a_tree_beyond_its_limits_is_refused_before_it_is_read() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let few = SnapshotLimits { files: 1, ..SnapshotLimits::default() };
    assert!(matches!(mirror.snapshot(&base, &few), Err(WorkspaceError::TreeTooLarge { .. })));
    let small = SnapshotLimits { bytes: 10, ..SnapshotLimits::default() };
    assert!(matches!(mirror.snapshot(&base, &small), Err(WorkspaceError::TreeTooLarge { .. })));
}

#[tokio::test]
async fn a_tree_that_unpacks_to_billions_of_folders_is_refused() {
    let scene = Scene::start().await;
    let bare = scene.bare();
    let mktree = |lines: String| {
        use std::io::Write;
        let mut child = std::process::Command::new("git")
            .args(["mktree"])
            .current_dir(&bare)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("git");
        child.stdin.take().expect("input").write_all(lines.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("output");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let mut tree = mktree(String::new());
    for _ in 0..12 {
        tree = mktree((0..10).map(|name| format!("040000 tree {tree}\tf{name}\n")).collect());
    }
    let bomb = git(&bare, &["commit-tree", &tree, "-m", "bomb"]);
    git(&bare, &["update-ref", "refs/heads/bomb", &bomb]);
    let mirror = scene.mirror().await;
    let bomb = mirror.resolve(&branch("bomb")).expect("bomb");
    let limits = SnapshotLimits { files: 10_000, ..SnapshotLimits::default() };
    assert!(matches!(mirror.snapshot(&bomb, &limits), Err(WorkspaceError::TreeTooLarge { .. })));
}

/// Bytes that cannot be packed into fewer.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn large_git_work_holds_nobody_else_up() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let mut files = snapshot(&mirror, &base);
    let noise = noise(8 << 20);
    let mut seen = Vec::new();
    // Others of this machine hold us up as well, and a fast one is soon done: one good look tells.
    for attempt in 0..10_u8 {
        // Other bytes each time, so that nothing is there already.
        let bytes = [&[attempt][..], &noise].concat();
        for number in 0..6 {
            files.files.insert(path(&format!("noise-{number}")), file(&bytes));
        }
        let (mirror, base, files) = (scene.mirror().await, base.clone(), files.clone());
        let done = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&done);
        let ticking = tokio::spawn(async move {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            while !ended.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(5)).await;
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            longest
        });
        let work = tokio::spawn(async move {
            let begun = Instant::now();
            let head = commit(&mirror, &base, &files).expect("a commit");
            let bundle = mirror.bundle(&base, &head).expect("a bundle");
            mirror.unbundle(&bundle).expect("taken in");
            let took = begun.elapsed();
            done.store(true, Ordering::SeqCst);
            took
        });
        let (took, longest) = (work.await.expect("done"), ticking.await.expect("done"));
        if longest < took / 3 {
            return;
        }
        seen.push((took, longest));
    }
    panic!("of the whole time, others waited for so long at once: {seen:?}");
}

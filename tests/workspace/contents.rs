//! What repositories hold beside plain text: each kind has a rule, and git agrees with what comes of it.
//! docs/repositories.md has the rules in words.

use std::os::unix::ffi::OsStrExt;

use orchestrator::workspace::{
    CommitRequest, CommitSha, FileEntry, FileMode, IgnoreRules, Mirror, Snapshot, SnapshotLimits,
    WorkspaceError,
};

use crate::git_server::git;
use crate::scene::{Scene, bot, branch, commit, file, noon, path, sha, snapshot};

fn attempt(
    mirror: &Mirror,
    parent: &CommitSha,
    files: &Snapshot,
) -> Result<Option<CommitSha>, WorkspaceError> {
    mirror.commit(&CommitRequest {
        parents: std::slice::from_ref(parent),
        files,
        limits: SnapshotLimits::default(),
        ignore: &IgnoreRules::none(),
        author: &bot(),
        committed_at: noon(),
        message: "fix: the thing",
    })
}

/// Commits the bytes of these files as they are, whatever the attributes in the clone say.
fn publish_raw(scene: &Scene, files: &[(&str, &[u8])]) -> CommitSha {
    git(&scene.clone, &["add", "-A"]);
    for (name, bytes) in files {
        scene.write(name, bytes);
        let id = git(&scene.clone, &["hash-object", "-w", "--no-filters", name]);
        git(&scene.clone, &["update-index", "--add", "--cacheinfo", &format!("100644,{id},{name}")]);
    }
    git(&scene.clone, &["commit", "-q", "-m", "raw"]);
    git(&scene.clone, &["push", "-q", "origin", "HEAD:main"]);
    sha(&git(&scene.clone, &["rev-parse", "HEAD"]))
}

/// What git lists as changed right after a checkout: files that it would store otherwise than they are.
fn not_as_git_stores_it(scene: &Scene, head: &CommitSha) -> String {
    let bundle = scene.folder.path().join("mirrors/7.git");
    git(&scene.clone, &["fetch", "-q", bundle.to_str().expect("text"), head.as_str()]);
    git(&scene.clone, &["checkout", "-q", "--force", head.as_str()]);
    // So that git looks at the contents and not at the times of the files.
    for name in git(&scene.clone, &["ls-files"]).lines() {
        let file = std::fs::File::open(scene.clone.join(name)).expect("a file");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("a time");
    }
    git(&scene.clone, &["status", "--porcelain"])
}

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

#[tokio::test]
async fn a_file_in_lfs_is_its_pointer_and_may_move_but_not_change() {
    let scene = Scene::start().await;
    scene.write("art/.gitattributes", "*.psd filter=lfs diff=lfs merge=lfs -text\n");
    scene.write(".gitattributes", "*.raw filter=lfs\n\"odd name.x\" filter=lfs\nplain.raw -filter\n");
    let base = publish_raw(&scene, &[("art/logo.psd", POINTER.as_bytes()), ("old.raw", b"never in LFS\n")]);
    let mirror = scene.mirror().await;
    let tree = snapshot(&mirror, &base);
    assert_eq!(tree.files[&path("art/logo.psd")].bytes, POINTER.as_bytes());
    let other = POINTER.replace("4d7a", "0000");
    let with = |name: &str, text: &str| {
        let mut files = tree.clone();
        files.files.insert(path(name), file(text));
        attempt(&mirror, &base, &files)
    };
    for (name, text) in [
        ("art/logo.psd", "real content"),
        ("art/logo.psd", other.as_str()),
        ("art/new.psd", "real content"),
        ("deep/er/new.raw", "real content"),
        ("odd name.x", "real content"),
        ("README.md", other.as_str()),
        ("anywhere", other.as_str()),
    ] {
        let refused = with(name, text).expect_err(name);
        assert!(matches!(&refused, WorkspaceError::InLfs { path } if path.as_str() == name), "{refused}");
        assert!(refused.is_about_the_tree(), "the model is not told");
    }
    for (name, text) in [
        ("new.psd", "not below art\n"),
        ("plain.raw", "content\n"),
        ("old.raw", "changed\n"),
        ("b.md", POINTER),
    ] {
        assert!(with(name, text).expect(name).is_some(), "{name}");
    }
    let mut moved = tree.clone();
    let pointer = moved.files.remove(&path("art/logo.psd")).expect("the pointer");
    moved.files.insert(path("art/brand/logo.psd"), pointer);
    let head = attempt(&mirror, &base, &moved).expect("moved").expect("a change");
    let changes =
        git(mirror.git_dir(), &["diff-tree", "-r", "-M", "--name-status", base.as_str(), head.as_str()]);
    assert_eq!(changes, "R100\tart/logo.psd\tart/brand/logo.psd");
}

#[tokio::test]
async fn line_ends_are_kept_unless_the_repository_has_git_store_lf() {
    let scene = Scene::start().await;
    scene.write(
        ".gitattributes",
        "*.auto text=auto\n*.txt text\n*.bat eol=crlf\n*.keep -text\nsub/*.txt !text\n# *.none text\n",
    );
    scene.write("old.auto", "a\r\nb\r\n");
    let kept = [
        ("old.auto", &b"a\r\nb\r\n"[..]),
        ("old.none", b"a\r\nb\r\n"),
        ("mixed.none", b"a\r\nb\n"),
        ("unix.txt", b"a\n"),
    ];
    let base = publish_raw(&scene, &kept);
    let mirror = scene.mirror().await;
    let mut files = snapshot(&mirror, &base);
    for (name, bytes) in kept {
        assert_eq!(files.files[&path(name)].bytes, bytes, "{name} is not as it is stored");
    }
    let cases: [(&str, &[u8], &[u8]); 11] = [
        ("old.auto", b"a\r\nc\r\n", b"a\r\nc\r\n"),
        ("old.none", b"a\r\nc\r\n", b"a\r\nc\r\n"),
        ("mixed.none", b"a\r\nc\n", b"a\r\nc\n"),
        ("unix.txt", b"a\r\nb\r\n", b"a\nb\n"),
        ("new.auto", b"a\r\nb\r\n", b"a\nb\n"),
        ("binary.auto", b"a\r\n\0b\r\n", b"a\r\n\0b\r\n"),
        ("mac.auto", b"a\rb\r\n", b"a\rb\r\n"),
        ("run.bat", b"a\r\nb\r\n", b"a\nb\n"),
        ("new.keep", b"a\r\nb\r\n", b"a\r\nb\r\n"),
        ("sub/new.txt", b"a\r\nb\r\n", b"a\r\nb\r\n"),
        ("new.none", b"a\r\nb\r\n", b"a\r\nb\r\n"),
    ];
    for (name, written, _) in cases {
        files.files.insert(path(name), file(written));
    }
    let head = commit(&mirror, &base, &files).expect("a change");
    let after = snapshot(&mirror, &head);
    for (name, _, stored) in cases {
        assert_eq!(after.files[&path(name)].bytes, stored, "{name}");
    }
    assert_eq!(not_as_git_stores_it(&scene, &head), "");
}

#[tokio::test]
async fn a_submodule_stays_at_its_commit_whatever_happens_around_it() {
    let scene = Scene::start().await;
    let first = git(&scene.clone, &["rev-parse", "HEAD"]);
    scene.write(".gitmodules", "[submodule \"sub\"]\n\tpath = vendor/sub\n\turl = ../sub.git\n");
    git(&scene.clone, &["add", "-A"]);
    git(&scene.clone, &["update-index", "--add", "--cacheinfo", &format!("160000,{first},vendor/sub")]);
    git(&scene.clone, &["commit", "-q", "-m", "submodule"]);
    git(&scene.clone, &["push", "-q", "origin", "HEAD:main"]);
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let mut files = snapshot(&mirror, &base);
    assert!(!files.files.keys().any(|path| path.as_str().starts_with("vendor")));
    // Neither what is built in its folder, nor a file in its place, nor files beside it touch it.
    files.files.insert(path("vendor/sub/built.o"), file("x"));
    files.files.insert(path("vendor/sub"), file("x"));
    files.files.insert(path("vendor/own.txt"), file("x\n"));
    let head = commit(&mirror, &base, &files).expect("a change");
    let listed = git(mirror.git_dir(), &["ls-tree", "-r", head.as_str(), "vendor"]);
    let own = git(mirror.git_dir(), &["rev-parse", &format!("{head}:vendor/own.txt")]);
    assert_eq!(listed, format!("100644 blob {own}\tvendor/own.txt\n160000 commit {first}\tvendor/sub"));
    git(mirror.git_dir(), &["fsck", "--strict", head.as_str()]);
}

#[tokio::test]
async fn names_that_are_not_utf_8_stay_where_they_are_and_contents_are_bytes() {
    let scene = Scene::start().await;
    let odd = std::ffi::OsStr::from_bytes(b"caf\xe9/odd\xff.txt");
    let odd = scene.clone.join(odd);
    std::fs::create_dir(odd.parent().expect("a folder")).expect("a folder");
    std::fs::write(odd, "odd\n").expect("a file");
    let bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let base = publish_raw(&scene, &[("all-bytes", &bytes), ("utf16.txt", b"\xff\xfea\0\r\0\n\0")]);
    let mirror = scene.mirror().await;
    let mut files = snapshot(&mirror, &base);
    assert_eq!(files.files[&path("all-bytes")].bytes, bytes);
    assert_eq!(files.files[&path("utf16.txt")].bytes, b"\xff\xfea\0\r\0\n\0");
    files.files.insert(path("all-bytes"), file(&bytes[1..]));
    let head = commit(&mirror, &base, &files).expect("a change");
    let changes = git(mirror.git_dir(), &["diff-tree", "-r", "--name-status", base.as_str(), head.as_str()]);
    assert_eq!(changes, "M\tall-bytes", "the odd name was touched");
    assert_eq!(snapshot(&mirror, &head).files[&path("all-bytes")].bytes, &bytes[1..]);
}

#[tokio::test]
async fn a_file_beyond_the_limit_stays_as_it_is_and_its_neighbours_can_change() {
    let scene = Scene::start().await;
    let base = publish_raw(&scene, &[("data/large.bin", &vec![7; 3 << 20]), ("data/small.txt", b"a\n")]);
    let mirror = scene.mirror().await;
    let limits = SnapshotLimits { file_bytes: 1 << 20, ..SnapshotLimits::default() };
    let mut files = mirror.snapshot(&base, &limits).expect("a snapshot");
    assert!(!files.files.contains_key(&path("data/large.bin")));
    files.files.insert(path("data/small.txt"), file("b\n"));
    let (ignore, author) = (IgnoreRules::none(), bot());
    let request = CommitRequest {
        parents: std::slice::from_ref(&base),
        files: &files,
        limits,
        ignore: &ignore,
        author: &author,
        committed_at: noon(),
        message: "fix",
    };
    let head = mirror.commit(&request).expect("committed").expect("a change");
    let changes = git(mirror.git_dir(), &["diff-tree", "-r", "--name-status", base.as_str(), head.as_str()]);
    assert_eq!(changes, "M\tdata/small.txt");
}

#[tokio::test]
async fn links_are_kept_as_text_and_never_followed() {
    let scene = Scene::start().await;
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, scene.clone.join(name)).expect("a link");
    };
    link("src", "folder");
    link("nowhere", "dangling");
    link("/etc/hostname", "outside");
    link("loop", "loop");
    let base = scene.publish("links");
    let mirror = scene.mirror().await;
    let files = snapshot(&mirror, &base);
    for (name, target) in
        [("folder", "src"), ("dangling", "nowhere"), ("outside", "/etc/hostname"), ("loop", "loop")]
    {
        let entry = FileEntry { mode: FileMode::Symlink, bytes: target.as_bytes().into() };
        assert_eq!(files.files[&path(name)], entry);
    }
    assert_eq!(attempt(&mirror, &base, &files).expect("an answer"), None, "a link that was there is refused");
    // The same bytes, but a link where a file was: a link of the base's own may go out of the tree, a new one not.
    let mut files = files.clone();
    scene.write("words", "/etc/hostname");
    let base = scene.publish("words");
    scene.mirror().await;
    files.files.insert(path("words"), files.files[&path("outside")].clone());
    assert!(matches!(attempt(&mirror, &base, &files), Err(WorkspaceError::LinkLeavesTree { .. })));
}

#[tokio::test]
async fn a_repository_of_sha_256_is_refused_in_words() {
    let scene = Scene::start().await;
    let theirs = scene.folder.path().join("theirs");
    git(scene.folder.path(), &["init", "-q", "--object-format=sha256", "-b", "main", "theirs"]);
    std::fs::write(theirs.join("a"), "a\n").expect("a file");
    git(&theirs, &["add", "-A"]);
    git(&theirs, &["commit", "-q", "-m", "first"]);
    let local = scene.mirrors.open_local(&theirs).await.expect_err("refused");
    assert!(local.to_string().contains("SHA-256"), "{local}");

    std::fs::remove_dir_all(scene.bare()).expect("removed");
    git(&scene.server.root, &["clone", "-q", "--bare", "../theirs", "octo/hello.git"]);
    let remote = scene.mirrors.fetch(&scene.remote()).await.expect_err("refused");
    assert!(matches!(remote, WorkspaceError::Sha256(_)), "{remote}");
    assert!(!remote.is_transient());
}

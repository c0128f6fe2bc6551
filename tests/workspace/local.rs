//! A person's own repository: read without running anything, left as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use orchestrator::workspace::{Mirrors, PushError, Pushed, WorkspaceError};
use tempfile::TempDir;

use crate::git_server::git;
use crate::scene::{branch, commit, commits_of, file, head_of, path, snapshot};

struct Person {
    folder: TempDir,
    mirrors: Mirrors,
}

impl Person {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let person = Self { mirrors: Mirrors::new(folder.path().join("mirrors")), folder };
        fs::create_dir(person.repository()).expect("a folder");
        git(&person.repository(), &["init", "-q", "-b", "main"]);
        person.write("a.txt", "one\n");
        git(&person.repository(), &["add", "-A"]);
        git(&person.repository(), &["commit", "-q", "-m", "first"]);
        person
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("project with space%20")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.repository().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
}

/// Every file below a folder with its bytes and time.
fn fingerprint(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, Option<SystemTime>)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let modified = entry.metadata().expect("its metadata").modified().ok();
            if entry.file_type().expect("its type").is_dir() {
                folders.push(entry.path());
            } else {
                files.insert(entry.path(), (fs::read(entry.path()).unwrap_or_default(), modified));
            }
        }
    }
    files
}

#[tokio::test]
async fn a_local_repository_is_read_and_left_as_it_was() {
    let person = Person::new();
    person.write("a.txt", "one\nnot committed\n");
    person.write("new.txt", "untracked\n");
    git(&person.repository(), &["add", "a.txt"]);
    let before = fingerprint(&person.repository());
    let local = person.mirrors.open_local(&person.repository()).await.expect("a repository");
    assert_eq!(fingerprint(&person.repository()), before);
    assert_eq!(local.head, head_of(&person.repository(), "main"));
    assert_eq!(local.branch, Some(branch("main")));
    let files = snapshot(&local.mirror, &local.head);
    assert_eq!(files.files.len(), 1);
    assert_eq!(files.files[&path("a.txt")].bytes, b"one\n");

    let mut changed = files.clone();
    changed.files.insert(path("a.txt"), file("two\n"));
    let head = commit(&local.mirror, &local.head, &changed).expect("a change");
    let auto = branch("auto/20261121T031500Z-42-x");
    assert_eq!(local.deliver(&head, &auto).await.expect("a branch"), Pushed::Done);
    assert_eq!(local.deliver(&head, &auto).await.expect("a branch"), Pushed::AlreadyThere);
    let after = fingerprint(&person.repository());
    for (path, content) in &before {
        assert_eq!(after.get(path), Some(content), "{path:?} was touched");
    }
    assert_eq!(head_of(&person.repository(), auto.as_str()), head);
    git(&person.repository(), &["fsck", "--strict"]);
    assert_eq!(git(&person.repository(), &["show", &format!("{head}:a.txt")]), "two");
    let status = git(&person.repository(), &["status", "--porcelain"]);
    assert_eq!(status, "M  a.txt\n?? new.txt");
}

#[tokio::test]
async fn a_branch_that_is_there_or_not_ours_is_not_written() {
    let person = Person::new();
    let local = person.mirrors.open_local(&person.repository()).await.expect("a repository");
    let mut files = snapshot(&local.mirror, &local.head);
    files.files.insert(path("a.txt"), file("two\n"));
    let head = commit(&local.mirror, &local.head, &files).expect("a change");
    git(&person.repository(), &["branch", "auto/taken"]);
    let taken = local.deliver(&head, &branch("auto/taken")).await;
    assert!(matches!(&taken, Err(PushError::Moved { actual: Some(at) }) if *at == local.head), "{taken:?}");
    assert!(matches!(local.deliver(&head, &branch("main")).await, Err(PushError::Refused(_))));
    assert_eq!(head_of(&person.repository(), "main"), local.head);
}

#[tokio::test]
async fn no_program_that_a_repository_names_is_started() {
    let person = Person::new();
    let repository = person.repository();
    let canary = person.folder.path().join("canary");
    let script = person.folder.path().join("trap");
    fs::write(&script, format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\nexec cat\n", canary.display()))
        .expect("a script");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let trap = script.to_str().expect("a path");
    let victim = person.folder.path().join("other");
    git(person.folder.path(), &["init", "-q", "-b", "main", "other"]);

    let included = person.folder.path().join("included");
    fs::write(&included, format!("[core]\n\tfsmonitor = {trap}\n")).expect("a file");
    let url = format!("url.file://{}.insteadOf", victim.display());
    for (key, value) in [
        ("core.fsmonitor", trap),
        ("core.sshCommand", trap),
        ("core.pager", trap),
        ("core.editor", trap),
        ("core.askPass", trap),
        ("diff.external", trap),
        ("filter.evil.clean", trap),
        ("filter.evil.smudge", trap),
        ("filter.evil.process", trap),
        ("filter.evil.required", "true"),
        ("diff.evil.textconv", trap),
        ("uploadpack.packObjectsHook", trap),
        ("gpg.program", trap),
        ("commit.gpgSign", "true"),
        ("include.path", included.to_str().expect("a path")),
        (url.as_str(), "file://"),
        ("credential.helper", trap),
        ("core.alternateRefsCommand", trap),
    ] {
        git(&repository, &["config", key, value]);
    }
    for hook in
        ["post-checkout", "pre-commit", "reference-transaction", "post-index-change", "post-commit", "update"]
    {
        fs::copy(&script, repository.join(".git/hooks").join(hook)).expect("a hook");
    }
    let alternate = person.folder.path().join("other/.git/objects");
    fs::write(repository.join(".git/objects/info/alternates"), format!("{}\n", alternate.display()))
        .expect("a file");
    person.write(".gitattributes", "* filter=evil diff=evil\n");
    person.write("sub/.git/config", &format!("[core]\n\tfsmonitor = {trap}\n"));
    person.write("a.txt", "changed\n");
    let _ = fs::remove_file(&canary);

    let local = person.mirrors.open_local(&repository).await.expect("a repository");
    let mut files = snapshot(&local.mirror, &local.head);
    let names: Vec<_> = files.files.keys().map(|path| path.as_str().to_owned()).collect();
    assert_eq!(names, ["a.txt"], "the address was rewritten to another repository");
    files.files.insert(path(".gitattributes"), file("* filter=evil diff=evil\n"));
    files.files.insert(path("b.txt"), file("b\n"));
    let head = commit(&local.mirror, &local.head, &files).expect("a change");
    local.mirror.diff(&local.head, &head).expect("a diff");
    local.deliver(&head, &branch("auto/x")).await.expect("a branch");
    assert!(!canary.exists(), "started: {}", fs::read_to_string(&canary).unwrap_or_default());

    // The traps are real: git itself walks into them.
    let _ = std::process::Command::new("git").args(["add", "-A"]).current_dir(&repository).output();
    let started = fs::read_to_string(&canary).expect("git starts what the repository names");
    assert!(started.contains("trap"), "{started}");
}

#[tokio::test]
async fn work_trees_detached_heads_and_bare_repositories_are_taken() {
    let person = Person::new();
    let repository = person.repository();
    git(&repository, &["worktree", "add", "-q", "-b", "side", "../side"]);
    let side = person.folder.path().join("side");
    fs::write(side.join("side.txt"), "side\n").expect("a file");
    git(&side, &["add", "-A"]);
    git(&side, &["commit", "-q", "-m", "side"]);
    let local = person.mirrors.open_local(&side).await.expect("a work tree");
    assert_eq!(local.branch, Some(branch("side")));
    assert_eq!(local.head, head_of(&repository, "side"));

    git(&side, &["checkout", "-q", "--detach"]);
    fs::write(side.join("side.txt"), "on no branch\n").expect("a file");
    git(&side, &["commit", "-q", "-a", "-m", "detached"]);
    let local = person.mirrors.open_local(&side).await.expect("a work tree");
    assert_eq!(local.branch, None);
    assert_eq!(snapshot(&local.mirror, &local.head).files[&path("side.txt")].bytes, b"on no branch\n");

    git(person.folder.path(), &["clone", "-q", "--bare", repository.to_str().expect("a path"), "bare.git"]);
    let local =
        person.mirrors.open_local(&person.folder.path().join("bare.git")).await.expect("a bare repository");
    assert_eq!(local.head, head_of(&repository, "main"));
}

#[tokio::test]
async fn a_shallow_clone_is_taken_as_far_as_it_goes() {
    let person = Person::new();
    for text in ["two\n", "three\n"] {
        person.write("a.txt", text);
        git(&person.repository(), &["commit", "-q", "-a", "-m", text]);
    }
    let address = format!("file://{}", person.repository().display()).replace('%', "%25");
    git(person.folder.path(), &["clone", "-q", "--depth", "1", &address, "shallow"]);
    let shallow = person.folder.path().join("shallow");
    let local = person.mirrors.open_local(&shallow).await.expect("a repository");
    let mut files = snapshot(&local.mirror, &local.head);
    files.files.insert(path("a.txt"), file("four\n"));
    let head = commit(&local.mirror, &local.head, &files).expect("a change");
    assert_eq!(commits_of(&local.mirror, &local.head, &head), 1);
    local.deliver(&head, &branch("auto/x")).await.expect("a branch");
    git(&shallow, &["fsck"]);

    // What the clone learns later comes too.
    git(&shallow, &["fetch", "-q", "--unshallow"]);
    git(&shallow, &["commit", "-q", "--allow-empty", "-m", "next"]);
    let local = person.mirrors.open_local(&shallow).await.expect("a repository");
    assert_eq!(local.head, head_of(&shallow, "main"));
    assert_eq!(commits_of(&local.mirror, &head, &local.head), 1);
}

#[tokio::test]
async fn what_is_no_usable_repository_is_said_in_words() {
    let person = Person::new();
    let message =
        |result: Result<_, WorkspaceError>| result.map(|_: ()| ()).expect_err("an error").to_string();
    let empty = person.folder.path().join("empty");
    fs::create_dir(&empty).expect("a folder");
    let opened = person.mirrors.open_local(&empty).await.map(drop);
    assert!(message(opened).contains("there is no git repository at that path"));
    git(&empty, &["init", "-q"]);
    let opened = person.mirrors.open_local(&empty).await.map(drop);
    assert!(message(opened).contains("it has no commit yet"));
    let opened = person.mirrors.open_local(&person.folder.path().join("none")).await.map(drop);
    assert!(message(opened).contains("none"));
}

#[tokio::test]
async fn a_first_copy_takes_packs_and_loose_objects_as_they_are() {
    let person = Person::new();
    let theirs = person.repository();
    git(&theirs, &["repack", "-q", "-a", "-d"]);
    person.write("b.txt", "loose\n");
    git(&theirs, &["add", "-A"]);
    git(&theirs, &["commit", "-q", "-m", "second"]);
    let before = fingerprint(&theirs);
    let local = person.mirrors.open_local(&theirs).await.expect("a mirror");
    assert_eq!(fingerprint(&theirs), before);
    let objects = |git_dir: &Path| {
        let all = fingerprint(&git_dir.join("objects")).into_keys();
        let inside = |file: PathBuf| file.strip_prefix(git_dir).map(Path::to_owned).expect("inside");
        let kept =
            |file: &PathBuf| !file.starts_with("objects/info") && file.extension() != Some("rev".as_ref());
        all.map(inside).filter(kept).collect::<Vec<_>>()
    };
    assert_eq!(objects(local.mirror.git_dir()), objects(&theirs.join(".git")));
    assert_eq!(snapshot(&local.mirror, &local.head).files.len(), 2);
    git(local.mirror.git_dir(), &["fsck", "--strict"]);

    // What comes later is transferred; a repository that borrows objects from another is transferred as a whole.
    person.write("c.txt", "later\n");
    git(&theirs, &["add", "-A"]);
    git(&theirs, &["commit", "-q", "-m", "third"]);
    let local = person.mirrors.open_local(&theirs).await.expect("a mirror");
    assert_eq!(snapshot(&local.mirror, &local.head).files.len(), 3);
    let borrowing = person.folder.path().join("borrowing");
    let (from, to) = (theirs.to_str().expect("text"), borrowing.to_str().expect("text"));
    git(person.folder.path(), &["clone", "-q", "--shared", from, to]);
    let local = person.mirrors.open_local(&borrowing).await.expect("a mirror");
    git(local.mirror.git_dir(), &["fsck", "--strict"]);
    assert_eq!(snapshot(&local.mirror, &local.head).files.len(), 3);
}

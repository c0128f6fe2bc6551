use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::*;

fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("a file");
    }
    root
}

fn copied(root: &TempDir) -> Result<ReadBack, SandboxError> {
    copy(root.path(), (&Opened::default(), &Written::default()), TreeLimits::default())
}

fn paths(back: &ReadBack) -> Vec<&str> {
    back.tree.files.keys().map(RepoPath::as_str).collect()
}

fn refused(result: Result<ReadBack, SandboxError>) -> Vec<(String, String)> {
    match result {
        Err(SandboxError::TreeRefused(list)) => list.into_iter().map(|r| (r.path, r.reason)).collect(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn links_that_stay_inside_are_kept_and_others_refused_by_name() {
    for (link, target) in [("a/up", "../b"), ("here", "b"), ("a/c/up", "../../b/x"), ("dot", "./b")] {
        let root = tree(&[("b/x", "1"), ("a/c/y", "2")]);
        symlink(target, root.path().join(link)).expect("a link");
        let back = copied(&root).expect(link);
        let entry = &back.tree.files[&RepoPath::parse(link).expect("a path")];
        assert_eq!((entry.mode, &*entry.bytes), (FileMode::Symlink, target.as_bytes()));
    }
    for target in
        ["/etc/passwd", "..", "../x", "a/../../x", "a/../b", ".git/config", "a/.GIT/x", "x/../../.."]
    {
        let root = tree(&[("a/y", "2")]);
        symlink(target, root.path().join("link")).expect("a link");
        let refused = refused(copied(&root));
        assert_eq!(refused[0].0, "link", "{target}");
    }
}

#[test]
fn a_link_that_the_tree_came_with_may_stay_as_it_was() {
    let root = tree(&[]);
    symlink("/usr/share/doc", root.path().join("doc")).expect("a link");
    let path = RepoPath::parse("doc").expect("a path");
    let mut snapshot = Snapshot::default();
    let entry = |target: &[u8]| FileEntry { mode: FileMode::Symlink, bytes: target.to_vec().into() };
    snapshot.files.insert(path.clone(), entry(b"/usr/share/doc"));
    let back = copy(root.path(), (&Opened::of(&snapshot), &Written::default()), TreeLimits::default())
        .expect("kept");
    assert_eq!(back.tree, snapshot);
    snapshot.files.insert(path, entry(b"/usr/share/other"));
    refused(copy(root.path(), (&Opened::of(&snapshot), &Written::default()), TreeLimits::default()));
}

#[test]
fn sockets_and_pipes_are_refused() {
    let root = tree(&[("a", "1")]);
    nix::unistd::mkfifo(&root.path().join("pipe"), Mode::S_IRWXU).expect("a pipe");
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).expect("a socket");
    assert_eq!(
        refused(copied(&root)),
        [
            ("pipe".to_owned(), "it is a named pipe".to_owned()),
            ("socket".to_owned(), "it is a socket".to_owned())
        ]
    );
}

#[test]
fn git_directories_and_impossible_names_are_left_out_and_reported() {
    let root =
        tree(&[("kept", "1"), (".git/config", "x"), ("sub/.GIT/hooks/pre-push", "x"), ("back\\slash", "x")]);
    let raw = OsStr::from_bytes(b"\xff\xfe");
    fs::write(root.path().join(raw), "x").expect("a file");
    let back = copied(&root).expect("copied");
    assert_eq!(paths(&back), ["kept"]);
    let mut left: Vec<_> = back.left_out.iter().map(|l| l.path.as_str()).collect();
    left.sort_unstable();
    assert_eq!(left, [".git", "back\\slash", "sub/.GIT", "\u{fffd}\u{fffd}"]);
}

#[test]
fn build_products_are_left_out_unless_the_tree_came_with_them() {
    let files = [("target/debug/x", "1"), ("web/node_modules/y/index.js", "2"), ("src/target/z", "3")];
    let root = tree(&files);
    let back = copied(&root).expect("copied");
    assert_eq!(paths(&back), [""; 0]);
    assert_eq!(back.left_out.len(), 3);

    let mut snapshot = Snapshot::default();
    let entry = FileEntry { mode: FileMode::Regular, bytes: Vec::new().into() };
    snapshot.files.insert(RepoPath::parse("src/target/old").expect("a path"), entry);
    let back = copy(root.path(), (&Opened::of(&snapshot), &Written::default()), TreeLimits::default())
        .expect("copied");
    assert_eq!(paths(&back), ["src/target/z"]);
}

#[test]
fn each_limit_ends_the_copy() {
    let root = tree(&[("a", "12345"), ("b", "12345"), ("c", "12345")]);
    let with = |limits| copy(root.path(), (&Opened::default(), &Written::default()), limits);
    let wide = TreeLimits::default();
    for (limits, expected) in [
        (TreeLimits { files: 2, ..wide }, "files"),
        (TreeLimits { bytes: 14, ..wide }, "bytes in all files"),
        (TreeLimits { file_bytes: 4, ..wide }, "bytes in one file"),
    ] {
        match with(limits) {
            Err(SandboxError::TreeTooLarge { what, .. }) => assert_eq!(what, expected),
            other => panic!("{expected} did not end it: {other:?}"),
        }
    }
    assert!(with(TreeLimits { files: 3, bytes: 15, file_bytes: 5 }).is_ok());
}

#[test]
fn a_sparse_file_of_a_terabyte_costs_no_memory() {
    let root = tree(&[]);
    fs::File::create(root.path().join("huge")).and_then(|f| f.set_len(1 << 40)).expect("sparse");
    assert!(matches!(copied(&root), Err(SandboxError::TreeTooLarge { .. })));
}

/// A tree in which `victim` is harmless, and a link beside the tree that takes its place and gives it back.
struct Trap {
    root: TempDir,
    victim: PathBuf,
    beside: TempDir,
    /// Where the secret is read when `victim` is the link.
    read: PathBuf,
}

impl Trap {
    fn set(harmless: &str, secret: &Path) -> Self {
        let (root, beside) = (tree(&[("a", "1"), (harmless, "harmless")]), tree(&[]));
        symlink(secret, beside.path().join("link")).expect("a link");
        Self { victim: root.path().join("victim"), read: root.path().join(harmless), root, beside }
    }

    fn swap(&self) {
        let at = nix::fcntl::AT_FDCWD;
        let exchange = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
        nix::fcntl::renameat2(at, &self.victim, at, &self.beside.path().join("link"), exchange)
            .expect("swapped");
    }

    /// The weak variant looks at the entry's kind and then reads it by its path, and the swap comes between.
    fn catches_a_naive_copy(&self) -> bool {
        let harmless = self.victim.symlink_metadata().is_ok_and(|kind| !kind.is_symlink());
        self.swap();
        let caught = harmless && fs::read(&self.read).is_ok_and(|bytes| bytes == b"secret");
        self.swap();
        caught
    }

    /// How many of many copies, made while the two are swapped all the time, hold the secret.
    fn catches_of_ours(&self) -> usize {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    self.swap();
                }
            });
            let holds = |back: &ReadBack| back.tree.files.values().any(|entry| entry.bytes == b"secret");
            let (mut whole, mut caught) = (0, 0);
            for back in (0..3000).filter_map(|_| copied(&self.root).ok()) {
                whole += 1;
                caught += usize::from(holds(&back));
            }
            stop.store(true, Ordering::Relaxed);
            assert!(whole > 0, "no copy met the harmless tree");
            caught
        })
    }
}

#[test]
fn a_file_swapped_for_a_link_during_the_copy_is_not_followed() {
    let outside = tree(&[("secret", "secret")]);
    let trap = Trap::set("victim", &outside.path().join("secret"));
    assert!(trap.catches_a_naive_copy(), "the attack does not work against the weak variant");
    assert_eq!(trap.catches_of_ours(), 0, "the copy followed a link");
}

#[test]
fn a_folder_swapped_for_a_link_during_the_copy_is_not_followed() {
    let outside = tree(&[("secret", "secret")]);
    let trap = Trap::set("victim/secret", outside.path());
    assert!(trap.catches_a_naive_copy(), "the attack does not work against the weak variant");
    assert_eq!(trap.catches_of_ours(), 0, "the copy followed a link");
}

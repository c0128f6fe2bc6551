//! The tests of a binary once more, as a user who is not root.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where a test that runs as somebody else finds the product's program: the folder that it was built into may
/// be closed to them.
const PROGRAM: &str = "ORCHESTRATOR_TEST_PROGRAM";

pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").expect("/proc").uid() == 0
}

/// The program of the product, as this user can start it.
pub fn program() -> PathBuf {
    std::env::var_os(PROGRAM).map_or_else(|| env!("CARGO_BIN_EXE_orchestrator").into(), PathBuf::from)
}

/// Runs the tests of this binary whose names hold one of `names`, or all of them, without root's rights. Does
/// nothing for who has none: they were run so already.
pub fn again_as_an_ordinary_user(names: &[&str]) {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    set_mode(folder.path(), 0o777);
    let copied = |from: &Path, name: &str| {
        let to = folder.path().join(name);
        // A file that was just written cannot be run while somebody has it open for writing: a process that
        // another test's thread forked meanwhile has, until it runs its own program. A link is never written.
        if std::fs::hard_link(from, &to).is_err() {
            std::fs::copy(from, &to).expect("a copy");
        }
        to
    };
    let tests = copied(&std::env::current_exe().expect("this test"), "tests");
    let status = std::process::Command::new("setpriv")
        .args(["--reuid", "4242", "--regid", "4242", "--clear-groups"])
        .arg(tests)
        .args(names)
        .current_dir(folder.path())
        .env("TMPDIR", folder.path())
        .env("HOME", folder.path())
        .env(PROGRAM, copied(&program(), "orchestrator"))
        .status()
        .expect("setpriv");
    assert!(status.success(), "{status}");
}

pub fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

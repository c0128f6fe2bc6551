//! Folders of sessions: made, locked while their process lives, and found again when it has died.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::cgroup;
use super::removal::remove_tree;

/// Folders of the work root: of sessions, and of what sandboxes see of the host's settings.
pub(super) const SESSIONS: &str = "sessions";
pub(super) const SETTINGS: &str = "settings";
/// What the names of sessions begin with, outside of the work root.
const PREFIX: &str = "orchestrator-";

/// A session's folder below the work root:
/// `tree/` is what the sandbox sees, `lock` is held while the session lives, `groups` lists its control
/// groups, one path a line.
#[derive(Debug)]
pub(super) struct SessionFolder {
    path: PathBuf,
    _lock: Flock<File>,
}

impl SessionFolder {
    /// Makes and locks a folder. Blocks while another process sweeps.
    pub(super) fn create(work_root: &Path) -> io::Result<Self> {
        let (path, lock) = claim(work_root, SESSIONS)?;
        fs::DirBuilder::new().mode(0o755).create(path.join("tree"))?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn tree(&self) -> PathBuf {
        self.path.join("tree")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The session's own name, which is also that of its control groups.
    pub(super) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        format!("{PREFIX}{name}")
    }

    /// Notes which control groups the session will use, so that a sweep finds them.
    pub(super) fn note_groups(&self, groups: &[PathBuf]) -> io::Result<()> {
        let lines: String = groups.iter().map(|group| format!("{}\n", group.display())).collect();
        fs::write(self.path.join("groups"), lines)
    }

    /// Removes the folder and the control groups. Blocks.
    pub(super) fn remove(&self) -> io::Result<()> {
        remove(&self.path)
    }
}

/// A new folder below a folder of the work root, and the lock that says that its owner lives. Blocks while
/// another process sweeps.
pub(super) fn claim(work_root: &Path, below: &str) -> io::Result<(PathBuf, Flock<File>)> {
    let _gate = gate(work_root)?;
    let path = tempfile::Builder::new().prefix("s-").tempdir_in(work_root.join(below))?.keep();
    let lock = lock(&path, FlockArg::LockExclusiveNonblock)?;
    Ok((path, lock))
}

/// Removes the folders and control groups of sessions whose process is dead, and gives their number. Settings of
/// dead processes go as well.
pub(super) fn sweep(work_root: &Path) -> io::Result<usize> {
    let _gate = gate(work_root)?;
    let settings = work_root.join(SETTINGS);
    if settings.exists() {
        sweep_below(&settings)?;
    }
    sweep_below(&work_root.join(SESSIONS))
}

fn sweep_below(folder: &Path) -> io::Result<usize> {
    let mut swept = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // A lock that is held belongs to a living session.
        if let Ok(_lock) = lock(&path, FlockArg::LockExclusiveNonblock) {
            remove(&path)?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Whether the process of a session is dead, by the session's own name.
pub(super) fn is_dead(work_root: &Path, name: &str) -> io::Result<bool> {
    let Some(folder) = name.strip_prefix(PREFIX).filter(|folder| !folder.contains('/')) else {
        return Ok(false);
    };
    let _gate = gate(work_root)?;
    match lock(&work_root.join(SESSIONS).join(folder), FlockArg::LockExclusiveNonblock) {
        Ok(_lock) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Folders appear and are swept one process at a time: a new folder is never seen without its lock.
fn gate(work_root: &Path) -> io::Result<Flock<File>> {
    lock(work_root, FlockArg::LockExclusive)
}

fn lock(folder: &Path, how: FlockArg) -> io::Result<Flock<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    Flock::lock(file, how).map_err(|(_, error)| error.into())
}

fn remove(path: &Path) -> io::Result<()> {
    let groups = fs::read_to_string(path.join("groups")).unwrap_or_default();
    for group in groups.lines().map(Path::new) {
        cgroup::remove(group)?;
    }
    // Processes of a sandbox without control groups may take a moment to die, on a busy machine a long one.
    for _ in 0..500 {
        if remove_tree(path).is_ok() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    remove_tree(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_removes_the_dead_and_spares_the_living() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join(SESSIONS)).expect("sessions");
        fs::create_dir(root.path().join(SETTINGS)).expect("settings");
        let living = SessionFolder::create(root.path()).expect("one");
        let dead = SessionFolder::create(root.path()).expect("two");
        fs::write(dead.tree().join("file"), "x").expect("a file");
        let dead_path = dead.path().to_path_buf();
        drop(dead);
        let kept = claim(root.path(), SETTINGS).expect("settings that are used");
        let (old, lock) = claim(root.path(), SETTINGS).expect("settings of the dead");
        drop(lock);
        assert_eq!(sweep(root.path()).expect("swept"), 1);
        assert!(living.tree().exists() && !dead_path.exists());
        assert!(kept.0.exists() && !old.exists());
        assert_eq!(sweep(root.path()).expect("swept"), 0);
    }
}

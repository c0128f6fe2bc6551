//! Removing a folder that strangers wrote, however deep it is and whatever permissions it has.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::renameat;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::walk::{self, Kind};

/// Folders deeper than this are first moved up, so that neither open files nor the stack run out.
const DEPTH: usize = 64;
/// Entries of one folder that are known at once.
const BATCH: usize = 1 << 16;

/// Removes a folder and all that is in it, without following links. A folder that is not there is fine.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a folder with a parent"));
    };
    let parent = walk::open_root(parent)?;
    let top = match walk::open_folder(&parent, name) {
        Ok(top) => top,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut moved = 0;
    loop {
        let before = moved;
        empty(&top, &top, 0, &mut moved)?;
        if moved == before {
            break;
        }
    }
    unlinkat(&parent, name, UnlinkatFlags::RemoveDir)?;
    Ok(())
}

fn empty(folder: &OwnedFd, top: &OwnedFd, depth: usize, moved: &mut u64) -> io::Result<()> {
    loop {
        let (names, before) = (walk::some_names(folder, BATCH)?, *moved);
        empty_of(&names, folder, top, depth, moved)?;
        // Where something was moved there may be entries that stay: those are for the next pass.
        if names.len() < BATCH || *moved != before {
            return Ok(());
        }
    }
}

fn empty_of(
    names: &[OsString],
    folder: &OwnedFd,
    top: &OwnedFd,
    depth: usize,
    moved: &mut u64,
) -> io::Result<()> {
    for name in names {
        let is_folder = match walk::stat(folder, name) {
            Ok(stat) => walk::kind(&stat) == Kind::Folder,
            Err(Errno::ENOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        if is_folder && depth >= DEPTH {
            let aside = OsString::from(format!("removal-{moved}"));
            match renameat(folder, name.as_os_str(), top, aside.as_os_str()) {
                // The name is taken: the next one may be free.
                Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
                done => done?,
            }
            *moved += 1;
        } else if is_folder {
            let before = *moved;
            let inner = walk::open_folder(folder, name)?;
            empty(&inner, top, depth + 1, moved)?;
            // A folder from which something could not be moved is emptied by the next pass.
            if let Err(error) = remove(folder, name, UnlinkatFlags::RemoveDir)
                && *moved == before
            {
                return Err(error);
            }
        } else {
            remove(folder, name, UnlinkatFlags::NoRemoveDir)?;
        }
    }
    Ok(())
}

fn remove(folder: &OwnedFd, name: &OsStr, flag: UnlinkatFlags) -> io::Result<()> {
    match unlinkat(folder, name, flag) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(Errno::EACCES) => {
            // The folder itself was made unwritable by its owner, who is then our own user.
            let writable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(walk::proc_path(folder), writable)?;
            Ok(unlinkat(folder, name, flag)?)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_tree_deeper_than_any_stack_is_removed() {
        let parent = tempfile::tempdir().expect("a folder");
        let root = parent.path().join("deep");
        fs::create_dir(&root).expect("root");
        let mut folder = walk::open_root(&root).expect("open");
        for _ in 0..3000 {
            nix::sys::stat::mkdirat(&folder, "d", nix::sys::stat::Mode::S_IRWXU).expect("mkdir");
            folder = walk::open_folder(&folder, OsStr::new("d")).expect("open");
        }
        remove_tree(&root).expect("removed");
        assert!(!root.exists());
    }

    #[test]
    fn a_link_is_removed_and_not_what_it_names() {
        let parent = tempfile::tempdir().expect("a folder");
        let outside = parent.path().join("outside");
        fs::create_dir(&outside).expect("outside");
        fs::write(outside.join("kept"), "x").expect("file");
        let root = parent.path().join("root");
        fs::create_dir(&root).expect("root");
        symlink(&outside, root.join("link")).expect("link");
        remove_tree(&root).expect("removed");
        assert!(outside.join("kept").exists() && !root.exists());
    }

    #[test]
    fn a_missing_tree_is_no_error_and_a_link_in_its_place_is_one() {
        let parent = tempfile::tempdir().expect("a folder");
        remove_tree(&parent.path().join("missing")).expect("nothing to do");
        symlink("/tmp", parent.path().join("link")).expect("link");
        assert!(remove_tree(&parent.path().join("link")).is_err());
    }
}

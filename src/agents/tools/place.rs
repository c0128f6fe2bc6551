//! From a path that a model wrote to a place below the root, without leaving it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::workspace::RepoPath;

/// What is meant to happen at the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    /// The last part must not be a link: writing would change what it points to.
    Write,
}

/// The place of `path` below `root`. Links inside the tree are followed for reading; a link that leaves
/// the root is refused wherever it stands.
pub(super) fn place(root: &Path, path: &str, purpose: Purpose) -> Result<PathBuf, String> {
    let path = path.strip_prefix("./").unwrap_or(path);
    let checked = RepoPath::parse(path).map_err(|error| error.to_string())?;
    let root = root.canonicalize().map_err(|error| format!("the tree cannot be opened: {error}"))?;
    let mut place = root.clone();
    let parts: Vec<&str> = checked.as_str().split('/').collect();
    for (index, part) in parts.iter().enumerate() {
        place.push(part);
        let metadata = match fs::symlink_metadata(&place) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Nothing below what does not exist can be a link.
                place.extend(&parts[index + 1..]);
                return Ok(place);
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                return Err(format!("{path}: a part of the path is a file"));
            }
            Err(error) => return Err(format!("{path}: {error}")),
        };
        if !metadata.is_symlink() {
            continue;
        }
        if purpose == Purpose::Write && index + 1 == parts.len() {
            return Err(format!("{path} is a symbolic link and is not written through"));
        }
        place = match place.canonicalize() {
            Ok(target) if target.starts_with(&root) => target,
            Ok(_) => return Err(format!("{path} leads out of the repository through a symbolic link")),
            Err(_) => return Err(format!("{path} is a symbolic link that leads nowhere")),
        };
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_stays_below_the_root() {
        let dir = tempfile::tempdir().expect("dir");
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("src")).expect("src");
        fs::write(root.join("src/a.rs"), "a").expect("a");
        fs::write(dir.path().join("secret"), "s").expect("secret");
        symlink("../secret", root.join("out")).expect("out");
        symlink("..", root.join("up")).expect("up");
        symlink("src", root.join("in")).expect("in");
        symlink("nowhere", root.join("broken")).expect("broken");
        for purpose in [Purpose::Read, Purpose::Write] {
            for path in
                ["../secret", "/etc/passwd", "src/../../secret", "out", "up/secret", ".git/config", ""]
            {
                assert!(place(&root, path, purpose).is_err(), "{path} {purpose:?}");
            }
            assert!(place(&root, "./src/a.rs", purpose).is_ok());
            assert!(place(&root, "src/new/b.rs", purpose).is_ok());
            assert!(place(&root, "in/a.rs", purpose).is_ok());
            assert!(place(&root, "src/a.rs/b", purpose).is_err());
        }
        assert!(place(&root, "in", Purpose::Read).is_ok());
        assert!(place(&root, "in", Purpose::Write).is_err());
        assert!(place(&root, "broken", Purpose::Write).is_err());
    }
}

//! What set-up leaves in the tree and the tree's next copies need.

use std::fs;
use std::path::Path;

use crate::sandbox::{SandboxError, Session};
use crate::workspace::Snapshot;

/// Files are kept up to this size each and number.
const GENERATED_BYTES: usize = 32 << 20;
const GENERATED_FILES: usize = 500;

/// Keeps files that building the project left in its tree, such as compiled modules and a generated version:
/// packages that are installed in place need them there.
pub(super) async fn generated(
    session: &dyn Session,
    base: &Snapshot,
    target: &Path,
) -> Result<(), SandboxError> {
    let back = match session.read_back().await {
        Ok(back) => back,
        // A tree that may not leave the sandbox gives nothing; the packages themselves are fetched.
        Err(SandboxError::TreeRefused(_) | SandboxError::TreeTooLarge { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let new = back.tree.files.iter().filter(|(path, entry)| {
        !base.files.contains_key(path)
            && entry.bytes.len() <= GENERATED_BYTES
            && entry.mode != crate::workspace::FileMode::Symlink
    });
    for (path, entry) in new.take(GENERATED_FILES) {
        write_generated(target, path.as_str(), &entry.bytes)
            .map_err(|source| SandboxError::Io { doing: format!("keeping {path}"), source })?;
    }
    Ok(())
}

/// Writes below a folder that the sandbox's user owns: a link that it put there is not followed.
fn write_generated(root: &Path, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut folder = root.to_path_buf();
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        folder.push(part);
        match fs::symlink_metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(std::io::Error::other("there is something else in its place")),
            Err(_) => fs::create_dir(&folder)?,
        }
    }
    match fs::OpenOptions::new().write(true).create_new(true).open(folder.join(name)) {
        Ok(mut file) => std::io::Write::write_all(&mut file, bytes),
        // The step itself kept it there.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

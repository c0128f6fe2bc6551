//! Folders of fetched packages, filled once and then only read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::sandbox::{SandboxError, make_readable};

/// The place of one set of packages of one repository.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    name: String,
}

/// Longer than any set-up may take.
const ABANDONED: Duration = Duration::from_secs(3 * 60 * 60);
const UNFINISHED: &str = "unfinished-";

impl Cache {
    /// The place for `key`. Makes the repository's folder.
    pub(super) fn new(root: &Path, repository: &str, key: &str) -> Result<Self, SandboxError> {
        let folder = root.join(&hex::encode(Sha256::digest(repository))[..24]);
        fs::create_dir_all(&folder).map_err(failed("making", &folder))?;
        Ok(Self { folder, name: key.to_owned() })
    }

    /// The folder, if it was filled before.
    pub(super) fn filled(&self) -> Option<PathBuf> {
        let folder = self.folder.join(&self.name);
        folder.is_dir().then_some(folder)
    }

    /// A new folder to fill. Dropping it removes it.
    pub(super) fn begin(&self) -> Result<tempfile::TempDir, SandboxError> {
        self.remove_abandoned();
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&self.folder)
            .map_err(failed("making a folder in", &self.folder))
    }

    /// Makes a filled folder the one that counts, all at once. Where another task was faster, its folder
    /// stays and this one goes.
    pub(super) fn finish(&self, filled: tempfile::TempDir) -> Result<PathBuf, SandboxError> {
        let target = self.folder.join(&self.name);
        make_readable(filled.path()).map_err(failed("opening", filled.path()))?;
        match fs::rename(filled.path(), &target) {
            Ok(()) => {
                // The folder has another name now, so there is nothing left to remove.
                let _ = filled.keep();
                Ok(target)
            }
            Err(_) if target.is_dir() => Ok(target),
            Err(error) => Err(failed("finishing", &target)(error)),
        }
    }

    /// Removes what a process left unfinished when it died.
    fn remove_abandoned(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let is_old = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED));
            if is_old && entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                // What cannot be removed now is tried again next time.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn failed(doing: &str, folder: &Path) -> impl FnOnce(io::Error) -> SandboxError + use<> {
    let doing = format!("{doing} {} for packages", folder.display());
    move |source| SandboxError::Io { doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_counts_only_when_it_is_finished_and_the_first_one_stays() {
        let root = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(root.path(), "host/1", "rust-1").expect("a cache");
        let (first, second) = (cache.begin().expect("one"), cache.begin().expect("two"));
        fs::write(first.path().join("a"), "1").expect("a file");
        fs::write(second.path().join("a"), "2").expect("a file");
        assert_eq!(cache.filled(), None);
        let folder = cache.finish(first).expect("finished");
        assert_eq!(cache.finish(second).expect("finished"), folder);
        assert_eq!(cache.filled(), Some(folder.clone()));
        assert_eq!(fs::read_to_string(folder.join("a")).expect("there"), "1");
        assert_eq!(fs::read_dir(folder.parent().expect("a parent")).expect("there").count(), 1);
    }

    #[test]
    fn repositories_and_keys_do_not_share() {
        let root = tempfile::tempdir().expect("a folder");
        let cache = |repository, key| Cache::new(root.path(), repository, key).expect("a cache");
        let filled = cache("host/1", "a");
        filled.finish(filled.begin().expect("begun")).expect("finished");
        assert!(cache("host/1", "a").filled().is_some());
        assert!(cache("host/1", "b").filled().is_none() && cache("host/2", "a").filled().is_none());
    }

    #[test]
    fn an_unfinished_fill_leaves_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(root.path(), "host/1", "a").expect("a cache");
        drop(cache.begin().expect("begun"));
        assert_eq!(fs::read_dir(&cache.folder).expect("there").count(), 0);
    }
}

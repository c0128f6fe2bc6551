//! The `/etc` of sandboxes: a copy of what programs need of the host's, with users, hosts and name service of
//! our own.
//!
//! One read-only mount of a copy costs a tenth of mounting each of its parts at every start. The copy is made
//! when the first command starts, and made again after something in the host's `/etc` has changed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::Flock;

use super::leftovers;
use super::removal::remove_tree;

/// What programs need to start, find libraries and check certificates. It may be missing.
const HOST: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    // Maven's start and its log; its settings may hold passwords.
    "maven/logging",
    "maven/m2.conf",
    "mime.types",
    "pki/ca-trust",
    "pki/tls/certs",
    "ssl/certs",
    "ssl/openssl.cnf",
];

/// What is the same on every machine.
const OWN: &[(&str, &str)] = &[
    (
        "passwd",
        "root:x:0:0:root:/root:/bin/sh\nsandbox:x:1000:1000:sandbox:/tmp/home:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    ),
    ("group", "root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n"),
    ("hosts", "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 sandbox\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
];

/// Copies of the host's `/etc`, of which the newest is used.
#[derive(Debug)]
pub(super) struct Etc {
    host: PathBuf,
    work_root: PathBuf,
    newest: Mutex<Option<(Seen, Arc<Copy>)>>,
}

/// A copy. Dropping it removes it; one whose process died is swept with the sessions.
#[derive(Debug)]
pub(super) struct Copy {
    root: PathBuf,
    _lock: Flock<File>,
}

/// What was seen of each part: where, inode, length, and when it was changed last, in seconds and nanoseconds.
type Seen = Vec<(PathBuf, u64, u64, i64, i64)>;

impl Etc {
    pub(super) fn new(work_root: &Path) -> Self {
        Self { host: "/etc".into(), work_root: work_root.to_path_buf(), newest: Mutex::default() }
    }

    /// A copy that is like the host's `/etc` now. Blocks for some milliseconds when it has to be made.
    pub(super) fn copy(&self) -> io::Result<Arc<Copy>> {
        let parts = self.parts();
        let seen = parts.iter().filter_map(|part| seen(&self.host, part)).collect();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, copy)) = &*newest
            && *before == seen
        {
            return Ok(Arc::clone(copy));
        }
        let copy = Arc::new(self.make(&parts)?);
        *newest = Some((seen, Arc::clone(&copy)));
        Ok(copy)
    }

    fn parts(&self) -> Vec<PathBuf> {
        // Debian's Java runtimes have a folder for each version. Keys and passwords of remote control lie in
        // `management`.
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let of_java =
            entries(&self.host).filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"java-"));
        let of_java = of_java.flat_map(|folder| entries(&folder.path()));
        let of_java = of_java.filter(|entry| entry.file_name() != "management").map(|entry| entry.path());
        let of_java = of_java.filter_map(|path| path.strip_prefix(&self.host).ok().map(Path::to_path_buf));
        let mut parts: Vec<PathBuf> = HOST.iter().map(PathBuf::from).chain(of_java).collect();
        parts.sort();
        parts
    }

    fn make(&self, parts: &[PathBuf]) -> io::Result<Copy> {
        let (root, lock) = leftovers::claim(&self.work_root, leftovers::SETTINGS)?;
        let copy = Copy { root, _lock: lock };
        let etc = copy.folder();
        folder(&etc)?;
        for part in parts {
            let (from, to) = (self.host.join(part), etc.join(part));
            if let Ok(about) = from.metadata() {
                if let Some(parent) = to.parent() {
                    folder(parent)?;
                }
                take(&from, &about, &to)?;
            }
        }
        for (name, text) in OWN {
            fs::write(etc.join(name), text)?;
            fs::set_permissions(etc.join(name), fs::Permissions::from_mode(0o444))?;
        }
        Ok(copy)
    }
}

impl Copy {
    pub(super) fn folder(&self) -> PathBuf {
        self.root.join("etc")
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.root) {
            tracing::warn!(%error, "a copy of /etc could not be removed; the next start will try again");
        }
    }
}

fn seen(host: &Path, part: &Path) -> Option<(PathBuf, u64, u64, i64, i64)> {
    let about = host.join(part).metadata().ok()?;
    Some((part.to_path_buf(), about.ino(), about.len(), about.ctime(), about.ctime_nsec()))
}

fn folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Copies what everybody may read; links inside a folder stay links.
fn take(from: &Path, about: &fs::Metadata, to: &Path) -> io::Result<()> {
    let is_for_all = |needed: u32| about.mode() & needed == needed;
    if about.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if about.is_file() && is_for_all(0o004) {
        fs::copy(from, to)?;
        return fs::set_permissions(to, fs::Permissions::from_mode(0o444));
    }
    if about.is_dir() && is_for_all(0o005) {
        folder(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            take(&entry.path(), &entry.metadata()?, &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etc(root: &Path) -> Etc {
        let (host, work) = (root.join("host"), root.join("work"));
        fs::create_dir_all(host.join("ssl/certs")).expect("folders");
        folder(&work.join(leftovers::SETTINGS)).expect("a folder");
        Etc { host, ..Etc::new(&work) }
    }

    fn read(copy: &Copy, path: &str) -> Option<String> {
        fs::read_to_string(copy.folder().join(path)).ok()
    }

    #[test]
    fn a_copy_has_what_everybody_may_read_and_nothing_else() {
        let root = tempfile::tempdir().expect("a folder");
        let etc = etc(root.path());
        for (path, mode) in [
            ("shadow", 0o644),
            ("ld.so.conf", 0o644),
            ("ssl/openssl.cnf", 0o600),
            ("ssl/certs/one.pem", 0o644),
            ("ssl/certs/key.pem", 0o640),
            ("java-21/security/policy", 0o644),
            ("java-21/management/password", 0o644),
        ] {
            let path = etc.host.join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(&path, "text").expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        }
        symlink("one.pem", etc.host.join("ssl/certs/link")).expect("a link");
        let copy = etc.copy().expect("a copy");
        for there in ["ld.so.conf", "ssl/certs/one.pem", "ssl/certs/link", "java-21/security/policy"] {
            assert_eq!(read(&copy, there).as_deref(), Some("text"), "{there}");
        }
        for missing in ["shadow", "ssl/openssl.cnf", "ssl/certs/key.pem", "java-21/management/password"] {
            assert_eq!(read(&copy, missing), None, "{missing}");
        }
        assert!(copy.folder().join("ssl/certs/link").is_symlink());
        assert!(read(&copy, "passwd").expect("our own").contains("sandbox:x:1000"));
    }

    #[test]
    fn a_change_of_the_host_is_in_the_next_copy_and_the_old_one_goes_with_its_last_user() {
        let root = tempfile::tempdir().expect("a folder");
        let etc = etc(root.path());
        let first = etc.copy().expect("a copy");
        assert!(Arc::ptr_eq(&first, &etc.copy().expect("a copy")), "made again without need");
        fs::write(etc.host.join("ssl/certs/new.pem"), "text").expect("a file");
        let second = etc.copy().expect("a copy");
        assert_eq!(read(&second, "ssl/certs/new.pem").as_deref(), Some("text"));
        assert!(first.folder().exists());
        let old = first.folder();
        drop(first);
        assert!(!old.exists() && second.folder().exists());
    }
}

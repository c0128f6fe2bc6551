//! What marks the sessions of one deployment where engines and clusters are shared, and the images that they
//! may be made of.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::leftovers;

/// Which deployment a container, a volume or a job belongs to, and which of its sessions.
pub(super) const DEPLOYMENT_LABEL: &str = "orchestrator.deployment";
pub(super) const SESSION_LABEL: &str = "orchestrator.session";

/// Whether an image is named by what it holds.
pub(super) fn is_digest(name: &str) -> bool {
    let digest = name.rsplit_once('@').map_or(name, |(_, digest)| digest);
    digest.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

/// Makes the work root; gives the deployment's name, which is made once and kept there.
///
/// # Errors
/// When it cannot be made or read, or the file holds something else: sessions without a name of their own would
/// be everybody's.
pub(super) fn prepare(root: &Path) -> io::Result<String> {
    let mut folders = fs::DirBuilder::new();
    folders.recursive(true).mode(0o755);
    folders.create(root.join(leftovers::SESSIONS))?;
    let file = root.join("deployment");
    match name(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let mut random = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let mut new = tempfile::NamedTempFile::new_in(root)?;
    new.write_all(hex::encode(random).as_bytes())?;
    // What is labelled with it may outlive a crash of this machine, and so has the name to.
    new.as_file().sync_all()?;
    match new.persist_noclobber(&file) {
        Ok(_) => fs::File::open(root)?.sync_all()?,
        // Another process was faster: the first name stays.
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(refused) => return Err(refused.error),
    }
    name(&file)
}

fn name(file: &Path) -> io::Result<String> {
    let name = fs::read_to_string(file)?;
    if name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(name);
    }
    let reason = format!(
        "{} does not hold a deployment's name, which is 32 hexadecimal digits: remove the file, and a new name is \
         made. Sandboxes that were left behind under the old one then have to be removed by hand",
        file.display()
    );
    Err(io::Error::new(io::ErrorKind::InvalidData, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_digest_or_not_at_all() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        assert!(is_digest(&digest) && is_digest(&format!("registry.example:5000/box@{digest}")));
        for name in ["debian:12", "debian", "box@sha256:12", "", &digest.to_uppercase(), &digest[..70]] {
            assert!(!is_digest(name), "{name}");
        }
    }

    #[test]
    fn a_deployment_keeps_its_name_and_another_has_another() {
        let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let name = prepare(one.path()).expect("prepared");
        assert_eq!(prepare(one.path()).expect("prepared"), name);
        assert_ne!(prepare(two.path()).expect("prepared"), name);
    }

    #[test]
    fn a_file_without_a_name_is_no_empty_label() {
        let root = tempfile::tempdir().expect("a folder");
        for text in ["", "0123", &"x".repeat(32), &"0".repeat(33)] {
            fs::write(root.path().join("deployment"), text).expect("a file");
            let said = prepare(root.path()).expect_err("refused").to_string();
            assert!(said.contains("remove the file") && said.contains("deployment"), "{said}");
        }
        fs::remove_file(root.path().join("deployment")).expect("removed");
        assert_eq!(prepare(root.path()).expect("prepared").len(), 32);
    }
}

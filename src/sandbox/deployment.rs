//! What marks the sessions of one deployment where engines and clusters are shared, and the images that they
//! may be made of.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

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
pub(super) fn prepare(root: &Path) -> io::Result<String> {
    let mut folders = fs::DirBuilder::new();
    folders.recursive(true).mode(0o755);
    folders.create(root.join("sessions"))?;
    let file = root.join("deployment");
    if let Ok(name) = fs::read_to_string(&file)
        && name.len() == 32
    {
        return Ok(name);
    }
    let mut random = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let new = tempfile::NamedTempFile::new_in(root)?;
    fs::write(new.path(), hex::encode(random))?;
    // Another process may be faster: the first name stays.
    let _ = new.persist_noclobber(&file);
    fs::read_to_string(&file)
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
}

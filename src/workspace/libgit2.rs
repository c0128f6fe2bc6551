//! libgit2's settings for the process: what it may read beside the repository it is given.

use std::path::Path;
use std::sync::Once;

use git2::{Oid, Repository, RepositoryOpenFlags};

use super::refs::CommitSha;

/// Cuts libgit2 off from the configuration of the machine and of the user, so that no `include`,
/// `insteadOf`, template or filter from there applies. Called before anything else is done with libgit2.
pub(super) fn isolate() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        use git2::ConfigLevel::{Global, ProgramData, System, XDG};
        for level in [ProgramData, System, XDG, Global] {
            // SAFETY: libgit2's settings are changed here only, before its first use.
            let emptied = unsafe { git2::opts::set_search_path(level, "") };
            if let Err(error) = emptied {
                tracing::error!(%error, ?level, "libgit2 may read configuration from outside the repository");
            }
        }
        // The mirrors are ours whatever their owner's number is (a container's volume, a change of user);
        // a local repository is read for its objects only.
        // SAFETY: as above.
        if let Err(error) = unsafe { git2::opts::set_verify_owner_validation(false) } {
            tracing::error!(%error, "libgit2 keeps refusing repositories of another owner");
        }
    });
}

/// Opens a repository of ours. (`Repository::open_bare` would not read where a shallow history ends.)
pub(super) fn open_bare(path: &Path) -> Result<Repository, git2::Error> {
    isolate();
    let flags = RepositoryOpenFlags::BARE | RepositoryOpenFlags::NO_SEARCH;
    Repository::open_ext(path, flags, std::iter::empty::<&Path>())
}

/// Whether a repository was refused because it names its objects otherwise than by SHA-1. libgit2 has no code for
/// it.
pub(super) fn is_other_object_format(error: &git2::Error) -> bool {
    error.message().contains("object format") || error.message().contains("sha256")
}

/// The id of a commit as libgit2 has it.
pub(super) fn oid(sha: &CommitSha) -> Result<Oid, git2::Error> {
    Oid::from_str(sha.as_str())
}

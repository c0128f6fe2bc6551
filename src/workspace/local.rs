//! A person's own repository on this machine, for `orchestrator run`.
//!
//! Its objects are copied into a mirror of ours and everything happens there. Its work tree and index are
//! never looked at, its hooks, filters and programs never run (libgit2 knows none of them). The one thing
//! that is ever written into it is a new `auto/` branch, by [`LocalRepository::deliver`].

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use git2::{ErrorCode, Repository};
use reqwest::Url;
use sha2::{Digest, Sha256};

use super::bundle;
use super::error::{PushError, WorkspaceError};
use super::libgit2;
use super::mirror::{Mirror, find_commit};
use super::mirrors::{MirrorKey, Mirrors, blocking, download, io, set_refs, sha};
use super::push::Pushed;
use super::refs::{BranchName, CommitSha};
use super::seed;
use super::upkeep;

/// A local repository and our mirror of it.
#[derive(Debug, Clone)]
pub struct LocalRepository {
    pub mirror: Mirror,
    /// The commit that is checked out.
    pub head: CommitSha,
    /// The branch that is checked out, if one is.
    pub branch: Option<BranchName>,
    path: PathBuf,
}

/// Keeps what is checked out reachable in our mirror when it is on no branch.
const CHECKED_OUT: &str = "refs/orchestrator/checked-out";

impl Mirrors {
    /// Copies the commits of the repository at `path` (its folder, a linked work tree or a bare repository).
    pub async fn open_local(&self, path: &Path) -> Result<LocalRepository, WorkspaceError> {
        let (mirrors, path) = (self.clone(), path.to_owned());
        blocking(move || mirrors.copy_local(&path)).await
    }

    fn copy_local(&self, path: &Path) -> Result<LocalRepository, WorkspaceError> {
        let path = path.canonicalize().map_err(io("cannot find", path))?;
        let unusable = |reason: String| WorkspaceError::LocalRepository { path: path.clone(), reason };
        let theirs = open(&path)?;
        let head = theirs.head().and_then(|head| head.peel_to_commit());
        let head = head.map_err(|error| match error.code() {
            ErrorCode::UnbornBranch | ErrorCode::NotFound => unusable("it has no commit yet".to_owned()),
            _ => unusable(error.message().to_owned()),
        })?;
        let branch = theirs.find_reference("HEAD")?.symbolic_target().ok().flatten().and_then(branch_of);

        let digest = hex::encode(&Sha256::digest(theirs.commondir().as_os_str().as_encoded_bytes())[..8]);
        let key = MirrorKey::Local(digest);
        let (ours, _lock) = self.open_for_writing(&key)?;
        let url = Url::from_file_path(&path).map_err(|()| unusable("its path is not absolute".to_owned()))?;
        let ended = shallow_roots(&ours);
        seed::seed(&ours, &theirs)?;
        let heads =
            download(&ours, url.as_str(), &["refs/heads/*", "HEAD"]).map_err(|error| match error {
                WorkspaceError::Git(error) => unusable(explain(&error)),
                other => other,
            })?;
        set_shallow_roots(&ours, [&ended, &shallow_roots(&theirs)])?;
        ours.reference(CHECKED_OUT, head.id(), true, "fetch")?;
        set_refs(&ours, "refs/heads/", &heads)?;
        upkeep::look_after(&ours);
        let mirror = self.mirror(self.path(&key));
        Ok(LocalRepository { mirror, head: sha(head.id()), branch, path })
    }
}

impl LocalRepository {
    /// Puts a commit of the mirror on a new `auto/` branch of the person's repository. An existing branch,
    /// the work tree and the index stay as they are. Safe to repeat.
    pub async fn deliver(&self, head: &CommitSha, branch: &BranchName) -> Result<Pushed, PushError> {
        let (local, head, branch) = (self.clone(), head.clone(), branch.clone());
        blocking(move || local.deliver_blocking(&head, &branch)).await
    }

    fn deliver_blocking(&self, head: &CommitSha, branch: &BranchName) -> Result<Pushed, PushError> {
        if !branch.is_auto() {
            return Err(PushError::Refused(format!("`{branch}` does not lie under auto/")));
        }
        let theirs = open(&self.path)?;
        if let Some(actual) = branch_head(&theirs, branch)? {
            return if actual == *head {
                Ok(Pushed::AlreadyThere)
            } else {
                Err(PushError::Moved { actual: Some(actual) })
            };
        }
        let ours = self.mirror.open()?;
        let known = self.known_to(&theirs, &ours)?;
        let pack = bundle::pack(&ours, head, &known)?;
        write_pack(&theirs, &pack)?;
        let made = theirs.reference(
            &branch.to_ref(),
            libgit2::oid(head).map_err(WorkspaceError::Git)?,
            false,
            "auto",
        );
        match made {
            Ok(_) => Ok(Pushed::Done),
            Err(error) if error.code() == ErrorCode::Exists => {
                Err(PushError::Moved { actual: branch_head(&theirs, branch)? })
            }
            Err(error) => Err(WorkspaceError::Git(error).into()),
        }
    }

    /// The commits that both repositories have and that reach everything the person's has.
    fn known_to(&self, theirs: &Repository, ours: &Repository) -> Result<Vec<CommitSha>, WorkspaceError> {
        let mut known = vec![self.head.clone()];
        for reference in theirs.references_glob("refs/heads/*")? {
            let Ok(commit) = reference?.peel_to_commit() else { continue };
            let commit = sha(commit.id());
            if find_commit(ours, &commit).is_ok() {
                known.push(commit);
            }
        }
        Ok(known)
    }
}

fn open(path: &Path) -> Result<Repository, WorkspaceError> {
    libgit2::isolate();
    Repository::open(path).map_err(|error| {
        if libgit2::is_other_object_format(&error) {
            return WorkspaceError::Sha256(path.display().to_string());
        }
        let reason = match error.code() {
            ErrorCode::NotFound => "there is no git repository at that path".to_owned(),
            _ => error.message().to_owned(),
        };
        WorkspaceError::LocalRepository { path: path.to_owned(), reason }
    })
}

fn explain(error: &git2::Error) -> String {
    match error.code() {
        ErrorCode::NotFound => format!(
            "an object is missing ({}); a partial clone must be completed first: git fetch --refetch --no-filter",
            error.message()
        ),
        _ => error.message().to_owned(),
    }
}

fn branch_of(reference: &str) -> Option<BranchName> {
    BranchName::parse(reference.strip_prefix("refs/heads/")?).ok()
}

fn branch_head(repository: &Repository, branch: &BranchName) -> Result<Option<CommitSha>, WorkspaceError> {
    match repository.refname_to_id(&branch.to_ref()) {
        Ok(id) => Ok(Some(sha(id))),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Where the history of a shallow repository ends: commits whose parents it lacks.
fn shallow_roots(repository: &Repository) -> String {
    fs::read_to_string(repository.commondir().join("shallow")).unwrap_or_default()
}

/// Ends our history where one of these lists says so, as far as the commit is here. (A download through
/// libgit2's local transport empties our own list, so it is read before.)
fn set_shallow_roots(ours: &Repository, lists: [&str; 2]) -> Result<(), WorkspaceError> {
    let roots = lists.into_iter().flat_map(str::lines).filter_map(|line| CommitSha::parse(line.trim()).ok());
    let mut roots: Vec<_> = roots.filter(|root| find_commit(ours, root).is_ok()).collect();
    roots.sort();
    roots.dedup();
    let text: String = roots.iter().map(|root| format!("{root}\n")).collect();
    if text == shallow_roots(ours) {
        return Ok(());
    }
    let path = ours.path().join("shallow");
    let mut fresh =
        tempfile::NamedTempFile::new_in(ours.path()).map_err(io("cannot write in", ours.path()))?;
    fresh.write_all(text.as_bytes()).map_err(io("cannot write", &path))?;
    fresh.persist(&path).map_err(|error| io("cannot write", &path)(error.error))?;
    Ok(())
}

fn write_pack(repository: &Repository, pack: &[u8]) -> Result<(), WorkspaceError> {
    let odb = repository.odb()?;
    let mut writer = odb.packwriter()?;
    writer.write_all(pack).map_err(io("cannot write a pack in", repository.path()))?;
    writer.commit()?;
    Ok(())
}

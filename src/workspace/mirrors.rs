//! The mirrors of a host: one bare repository for each repository that the App serves, which only the host
//! writes. A fetch holds a lock file that other processes respect; reading needs no lock.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use git2::{AutotagOption, Direction, FetchOptions, Oid, Repository, RepositoryInitOptions};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::error::WorkspaceError;
use super::http::{Http, TransferLimits};
use super::libgit2;
use super::mirror::Mirror;
use super::refs::{BranchName, CommitSha};
use super::remote::Remote;
use super::upkeep;

/// The folder of mirrors, and the way to the network.
#[derive(Debug, Clone)]
pub struct Mirrors {
    root: PathBuf,
    http: Arc<Http>,
}

impl Mirrors {
    /// `root` is made when it is first needed.
    pub fn new(root: PathBuf) -> Self {
        Self::with_limits(root, TransferLimits::default())
    }

    pub fn with_limits(root: PathBuf, limits: TransferLimits) -> Self {
        Self { root, http: Arc::new(Http::new(limits)) }
    }

    /// Brings the mirror of `remote` up to date with all its branches and hands it out.
    pub async fn fetch(&self, remote: &Remote) -> Result<Mirror, WorkspaceError> {
        let (mirrors, remote) = (self.clone(), remote.clone());
        blocking(move || mirrors.fetch_branches(&remote)).await
    }

    /// The mirror of a repository as it was fetched last, without going to the network.
    pub fn existing(&self, repository_id: u64) -> Option<Mirror> {
        let path = self.path(&MirrorKey::Repository(repository_id));
        path.is_dir().then(|| self.mirror(path))
    }

    fn fetch_branches(&self, remote: &Remote) -> Result<Mirror, WorkspaceError> {
        let key = MirrorKey::Repository(remote.repository_id);
        let (repository, _lock) = self.open_for_writing(&key)?;
        self.http
            .session(&remote.url, remote.token.as_ref(), self.http.limits.total, || {
                let heads = download(&repository, remote.url.as_url().as_str(), &["refs/heads/*"])?;
                set_refs(&repository, "refs/heads/", &heads)
            })
            .map_err(|error| match error {
                WorkspaceError::Git(error) if libgit2::is_other_object_format(&error) => {
                    WorkspaceError::Sha256(remote.url.to_string())
                }
                error => error,
            })?;
        upkeep::look_after(&repository);
        Ok(self.mirror(self.path(&key)))
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn mirror(&self, path: PathBuf) -> Mirror {
        Mirror::new(path, self.http.clone())
    }

    pub(super) fn path(&self, key: &MirrorKey) -> PathBuf {
        self.root.join(format!("{}.git", key.file_name()))
    }

    /// Opens a mirror under its lock, making it when it does not exist yet.
    pub(super) fn open_for_writing(&self, key: &MirrorKey) -> Result<(Repository, File), WorkspaceError> {
        fs::create_dir_all(&self.root).map_err(io("cannot make the folder", &self.root))?;
        let lock = self.root.join(format!("{}.lock", key.file_name()));
        let lock = self.lock(&lock).and_then(|file| {
            // Its time says when the mirror was last used.
            file.set_modified(SystemTime::now()).map_err(io("cannot set the time of", &lock))?;
            Ok(file)
        })?;
        let path = self.path(key);
        if !path.is_dir() {
            self.create(&path)?;
        }
        Ok((libgit2::open_bare(&path)?, lock))
    }

    /// Waits for the lock no longer than a fetch may take.
    fn lock(&self, path: &Path) -> Result<File, WorkspaceError> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(io("cannot open the lock", path))?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(io("cannot lock", path)(error)),
                Err(TryLockError::WouldBlock) if started.elapsed() >= self.http.limits.total => {
                    return Err(WorkspaceError::Busy { lock: path.to_owned(), waited: started.elapsed() });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Makes an empty mirror beside its place and moves it there, so that a crash leaves no half of one.
    fn create(&self, path: &Path) -> Result<(), WorkspaceError> {
        libgit2::isolate();
        let fresh = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.root);
        let fresh = fresh.map_err(io("cannot make a folder in", &self.root))?;
        let options = &mut RepositoryInitOptions::new();
        options.bare(true).external_template(false).initial_head("main");
        let repository = Repository::init_opts(fresh.path(), options)?;
        // What was answered for must be on the disk: a commit, and what a fetch brought for it.
        repository.config()?.set_bool("core.fsyncObjectFiles", true)?;
        fs::rename(fresh.keep(), path).map_err(io("cannot make", path))
    }
}

/// Which repository a mirror is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MirrorKey {
    Repository(u64),
    /// A person's own repository, by the digest of its path.
    Local(String),
}

impl MirrorKey {
    fn file_name(&self) -> String {
        match self {
            Self::Repository(id) => id.to_string(),
            Self::Local(digest) => format!("local-{digest}"),
        }
    }
}

/// A ref as the other side tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AdvertisedRef {
    pub(super) name: String,
    pub(super) id: Oid,
}

/// Downloads what `refs` (names, or patterns with `*`) reach and the repository lacks, and tells all refs of
/// the other side. No ref of the repository is changed.
pub(super) fn download(
    repository: &Repository,
    url: &str,
    refs: &[&str],
) -> Result<Vec<AdvertisedRef>, WorkspaceError> {
    let mut remote = repository.remote_anonymous(url)?;
    let mut connection = remote.connect_auth(Direction::Fetch, None, None)?;
    let heads = advertised(connection.list()?);
    let mut options = FetchOptions::new();
    options.download_tags(AutotagOption::None).update_fetchhead(false);
    let refspecs: Vec<String> = refs.iter().map(|name| format!("+{name}:{name}")).collect();
    connection.remote().download(&refspecs, Some(&mut options))?;
    Ok(heads)
}

pub(super) fn advertised(heads: &[git2::RemoteHead<'_>]) -> Vec<AdvertisedRef> {
    let advertised =
        |head: &git2::RemoteHead<'_>| AdvertisedRef { name: head.name().to_owned(), id: head.oid() };
    heads.iter().map(advertised).collect()
}

/// Makes the refs below `prefix` the same as `heads` has them. Those that are gone go first: a new branch
/// may need a folder where an old one was a file.
pub(super) fn set_refs(
    repository: &Repository,
    prefix: &str,
    heads: &[AdvertisedRef],
) -> Result<(), WorkspaceError> {
    let named: HashSet<&str> = heads.iter().map(|head| head.name.as_str()).collect();
    let wanted = |name: &str| named.contains(name);
    for reference in repository.references_glob(&format!("{prefix}*"))? {
        let mut reference = reference?;
        if !reference.name().is_ok_and(wanted) {
            reference.delete()?;
        }
    }
    for head in heads.iter().filter(|head| head.name.starts_with(prefix)) {
        if repository.refname_to_id(&head.name).ok() != Some(head.id) {
            repository.reference(&head.name, head.id, true, "fetch")?;
        }
    }
    Ok(())
}

pub(super) fn remote_head(
    http: &Http,
    remote: &Remote,
    branch: &BranchName,
) -> Result<Option<CommitSha>, WorkspaceError> {
    http.session(&remote.url, remote.token.as_ref(), http.limits.total, || {
        let mut git = git2::Remote::create_detached(remote.url.as_url().as_str())?;
        let connection = git.connect_auth(Direction::Fetch, None, None)?;
        let name = branch.to_ref();
        let heads = advertised(connection.list()?);
        Ok(heads.into_iter().find(|head| head.name == name).map(|head| sha(head.id)))
    })
}

/// libgit2 blocks, so its work runs on a thread that may.
pub(super) async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<WorkspaceError> + Send + 'static,
{
    let finished = tokio::task::spawn_blocking(work).await;
    finished.unwrap_or_else(|error| Err(WorkspaceError::Interrupted(error.to_string()).into()))
}

/// Work on large trees takes a while. The tasks that its thread would have to go on with meanwhile are given to
/// another one; outside of a runtime of several threads, it simply runs.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(work)
        }
        _ => work(),
    }
}

pub(super) fn io<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> WorkspaceError + 'a {
    move |source| WorkspaceError::Io { action, path: path.to_owned(), source }
}

/// The id of an object that libgit2 gave us.
pub(super) fn sha(id: Oid) -> CommitSha {
    CommitSha::parse(id.to_string()).unwrap_or_else(|error| unreachable!("libgit2 printed an id: {error}"))
}

//! Keeping mirrors small and quick: what dead processes began is removed, packs are put together before they are
//! many, and a mirror that nobody has used for a month goes.
//!
//! Nothing is ever taken out of a mirror in use. Objects that only a task's commits need stay in it too: they are
//! few, and a later fetch may rely on them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use git2::{Oid, Repository};

use super::error::WorkspaceError;
use super::mirrors::{Mirrors, io};

/// More packs than this are put together. Each of them is looked into for every object.
const MOST_PACKS: usize = 20;
/// As many loose objects go into a pack with them.
const MOST_LOOSE: usize = 2_000;
/// Larger packs stay as they are: they were fetched as one, and there cannot be many of them.
const LARGE_PACK: u64 = 256 << 20;
/// Nobody still writes a temporary file that was not touched for so long, while the fetch lock is ours.
const ABANDONED: Duration = Duration::from_secs(10 * 60);
/// Packs that were put together stay for so long: somebody may be about to open them.
const GRACE: Duration = Duration::from_secs(60 * 60);
/// A mirror that was not used for so long is removed. The next fetch makes it anew, and the commits of a task come
/// back from its bundle.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The list of packs whose objects are in a newer one; its age is the time since then.
const SUPERSEDED: &str = "superseded-packs";

impl Mirrors {
    /// Removes what dead processes left and mirrors that nobody has used for thirty days; gives how many there
    /// were. Blocks.
    pub fn sweep(&self) -> Result<usize, WorkspaceError> {
        let mut swept = 0;
        let entries = match fs::read_dir(self.root()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            entries => entries.map_err(io("cannot list", self.root()))?,
        };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let leftover = name.starts_with(".new-") || name.starts_with(".gone-");
            let gone = if leftover && is_older(&path, ABANDONED) {
                Some(path)
            } else if name.ends_with(".lock") && is_older(&path, UNUSED) {
                self.unused(&path)?
            } else {
                None
            };
            if let Some(path) = gone {
                fs::remove_dir_all(&path).map_err(io("cannot remove", &path))?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Takes a mirror out of its place, unless somebody is just about to use it. The lock's own file stays: a
    /// process that waits for it must not hold another one than a process that comes later.
    fn unused(&self, lock: &Path) -> Result<Option<PathBuf>, WorkspaceError> {
        let file = File::options().write(true).open(lock).map_err(io("cannot open the lock", lock))?;
        if file.try_lock().is_err() || !is_older(lock, UNUSED) {
            return Ok(None);
        }
        let mirror = lock.with_extension("git");
        let name = mirror.file_name().unwrap_or_default().to_string_lossy();
        let gone = self.root().join(format!(".gone-{name}"));
        match fs::rename(&mirror, &gone) {
            Ok(()) => Ok(Some(gone)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io("cannot remove", &mirror)(error)),
        }
    }
}

/// Looks after a mirror whose fetch lock is held. What cannot be done now is tried again after the next fetch.
pub(super) fn look_after(repository: &Repository) {
    if let Err(error) = tidy(repository) {
        tracing::warn!(%error, mirror = %repository.path().display(), "a mirror could not be tidied up");
    }
}

fn tidy(repository: &Repository) -> Result<(), WorkspaceError> {
    let objects = repository.path().join("objects");
    let loose = loose_objects(&objects)?;
    let packs = Packs::list(&objects.join("pack"))?;
    let list = repository.path().join(SUPERSEDED);
    match fs::read_to_string(&list) {
        Ok(_) if !is_older(&list, GRACE) => return Ok(()),
        Ok(names) => return packs.remove(&names, &list),
        Err(_) => {}
    }
    let many = packs.all.len() > MOST_PACKS;
    let small = if many { packs.small() } else { Vec::new() };
    if small.len() > 1 || loose.len() > MOST_LOOSE {
        put_together(repository, &small, &loose, &list)
    } else {
        Ok(())
    }
}

/// Writes one pack of what is in these and of the loose objects. The loose ones are removed at once: whoever does
/// not find one looks for new packs.
fn put_together(
    repository: &Repository,
    packs: &[&Pack],
    loose: &[(Oid, PathBuf)],
    list: &Path,
) -> Result<(), WorkspaceError> {
    let mut ids: BTreeSet<Oid> = loose.iter().map(|(id, _)| *id).collect();
    for pack in packs {
        ids.extend(pack.ids()?);
    }
    let mut builder = repository.packbuilder()?;
    for id in &ids {
        builder.insert_object(*id, None)?;
    }
    let folder = repository.path().join("objects/pack");
    builder.write(&folder, 0o444)?;
    let name = builder.name()?.map(|name| format!("pack-{name}")).unwrap_or_default();
    let written = Pack { stem: folder.join(&name), bytes: 0 };
    if written.ids()?.into_iter().collect::<BTreeSet<_>>() != ids {
        return Err(WorkspaceError::Interrupted(format!("{name} lacks objects, so nothing was removed")));
    }
    let old = packs.iter().map(|pack| pack.name()).filter(|old| *old != name);
    let names: String = old.map(|name| format!("{name}\n")).collect();
    if !names.is_empty() {
        fs::write(list, names).map_err(io("cannot write", list))?;
    }
    for (_, path) in loose {
        fs::remove_file(path).map_err(io("cannot remove", path))?;
    }
    tracing::info!(
        mirror = %repository.path().display(),
        packs = packs.len(),
        loose = loose.len(),
        objects = ids.len(),
        "packs were put together"
    );
    Ok(())
}

struct Pack {
    /// The path without `.pack`.
    stem: PathBuf,
    bytes: u64,
}

impl Pack {
    fn name(&self) -> String {
        self.stem.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn ids(&self) -> Result<Vec<Oid>, WorkspaceError> {
        let path = self.stem.with_extension("idx");
        let bad = |error: &dyn std::fmt::Display| {
            WorkspaceError::Interrupted(format!("{} cannot be read: {error}", path.display()))
        };
        let index = gix_pack::index::File::at(&path, gix_hash::Kind::Sha1).map_err(|error| bad(&error))?;
        index.iter().map(|entry| Ok(Oid::from_bytes(entry.oid.as_bytes())?)).collect()
    }
}

struct Packs {
    folder: PathBuf,
    /// From the smallest.
    all: Vec<Pack>,
}

impl Packs {
    /// Lists a folder of packs, and removes from it what a dead process began.
    fn list(folder: &Path) -> Result<Self, WorkspaceError> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).map_err(io("cannot list", folder))?.flatten() {
            let path = entry.path();
            if remove_if_abandoned(&path) || path.extension().is_none_or(|extension| extension != "idx") {
                continue;
            }
            let stem = path.with_extension("");
            if let Ok(metadata) = stem.with_extension("pack").metadata() {
                all.push(Pack { stem, bytes: metadata.len() });
            }
        }
        all.sort_by(|one, other| (one.bytes, &one.stem).cmp(&(other.bytes, &other.stem)));
        Ok(Self { folder: folder.to_owned(), all })
    }

    /// The packs to put together: the small ones, up to the first that is larger than all before it together. So an
    /// object is written again only when the pack that it lies in doubles.
    fn small(&self) -> Vec<&Pack> {
        let candidates: Vec<&Pack> = self.all.iter().take_while(|pack| pack.bytes < LARGE_PACK).collect();
        let mut sum = 0;
        let mut end = 0;
        for (at, pack) in candidates.iter().enumerate() {
            if at > 0 && pack.bytes <= 2 * sum {
                end = at + 1;
            }
            sum += pack.bytes;
        }
        candidates.into_iter().take(end).collect()
    }

    /// Removes packs by their names, and then the list that has them.
    fn remove(&self, names: &str, list: &Path) -> Result<(), WorkspaceError> {
        for name in names.lines().filter(|name| name.starts_with("pack-") && !name.contains('/')) {
            // The index first: without it nobody looks for the pack.
            for extension in ["idx", "pack"] {
                let path = self.folder.join(format!("{name}.{extension}"));
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(io("cannot remove", &path)(error));
                    }
                    _ => {}
                }
            }
        }
        fs::remove_file(list).map_err(io("cannot remove", list))
    }
}

/// The loose objects and their files. What a dead process began is removed.
fn loose_objects(objects: &Path) -> Result<Vec<(Oid, PathBuf)>, WorkspaceError> {
    let mut loose = Vec::new();
    for folder in fs::read_dir(objects).map_err(io("cannot list", objects))?.flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        remove_if_abandoned(&folder.path());
        if name.len() != 2 || !name.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            continue;
        }
        for file in fs::read_dir(folder.path()).map_err(io("cannot list", &folder.path()))?.flatten() {
            let rest = file.file_name().to_string_lossy().into_owned();
            match Oid::from_str(&format!("{name}{rest}")) {
                Ok(id) if rest.len() == 38 => loose.push((id, file.path())),
                _ => {
                    remove_if_abandoned(&file.path());
                }
            }
        }
    }
    Ok(loose)
}

/// Removes one of libgit2's temporary files that nobody writes any more. Whether it was one.
fn remove_if_abandoned(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = name.contains("_git2_");
    if temporary && is_older(path, ABANDONED) && fs::remove_file(path).is_ok() {
        tracing::info!(path = %path.display(), "removed what an interrupted transfer had left");
    }
    temporary
}

/// Whether a file was last changed longer ago than this. One that cannot be asked was not.
fn is_older(path: &Path, age: Duration) -> bool {
    let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|passed| passed > age))
}

//! The index of a repository's blobs, in a folder that all tasks and processes share.
//!
//! Segments are added, never changed. Whoever misses blobs takes the folder's lock, looks once more, reads what is
//! missing and adds it; readers need no lock. When there are many small segments they become one; when most of what
//! is kept belongs to no file of the tree at hand, the rest goes. A process that dies leaves a temporary file and a
//! free lock.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::ContextError;
use super::kind::LARGEST;
use super::objects::Objects;
use super::record::Recorder;
use super::sealed;
use super::segment::{Draft, KIND, Key, Segment};
use super::terms::HashedMap;

/// More small segments than this are made into one.
const MOST_SMALL: usize = 12;
/// Bytes of a segment that is small.
const SMALL: usize = 4 << 20;
/// Bytes beside twice those of the tree at hand that may stay: of older commits and other branches.
const SPARE_BYTES: usize = 128 << 20;
/// A writer's temporary file that is older belongs to nobody.
const ABANDONED: Duration = Duration::from_secs(3600);
/// A thread takes this part of its share of what is left at a time: neighbours in the tree, which have many words in
/// common, and less of them towards the end, so that all threads end together.
const PARTS: usize = 4;
const SMALLEST_BATCH: usize = 16;
/// Blobs that another thread is worth.
const SHARE: usize = 32;
const MOST_THREADS: usize = 4;
/// After so many bytes of objects a thread lets go of the packs that it has mapped.
const MAPPED_BYTES: u64 = 64 << 20;

/// Where a blob's record is: the segment's number and its own.
pub(super) type Place = (u32, u32);

#[derive(Debug)]
pub(super) struct Index {
    folder: PathBuf,
    spare_bytes: usize,
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    segments: Vec<Arc<Segment>>,
    places: HashedMap<Key, Place>,
}

/// The records of the blobs that were asked for, in their order, and how many had to be read for them.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) places: Vec<Option<Place>>,
    pub(super) read: usize,
}

impl Index {
    pub(super) fn open(folder: &Path) -> Result<Self, ContextError> {
        fs::create_dir_all(folder).map_err(|source| failed(folder, "made", source))?;
        Ok(Self { folder: folder.to_owned(), spare_bytes: SPARE_BYTES, loaded: Mutex::default() })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The records of `keys`, read where they are missing. A blob that the repository does not have has none.
    pub(super) fn records(&self, objects: &Objects, keys: &[Key]) -> Result<Found, ContextError> {
        let mut loaded = self.loaded();
        let mut places = loaded.places_of(keys);
        if places.contains(&None) {
            loaded.refresh(&self.folder);
            places = loaded.places_of(keys);
        }
        let mut read = 0;
        if places.contains(&None) {
            let _lock = self.lock()?;
            loaded.refresh(&self.folder);
            let missing = loaded.missing(keys);
            read = missing.len();
            for segment in self.read_blobs(objects, &missing)? {
                loaded.add(segment);
            }
            loaded.refresh(&self.folder);
            self.tidy(&mut loaded, keys);
            places = loaded.places_of(keys);
        }
        Ok(Found { segments: loaded.segments.clone(), places, read })
    }

    /// Reads what is on the disk, so that it is there when it is asked for.
    pub(super) fn warm(&self) {
        let mut loaded = self.loaded();
        if loaded.segments.is_empty() {
            loaded.refresh(&self.folder);
        }
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for other processes that write. The system frees it when its holder dies.
    pub(super) fn lock(&self) -> Result<File, ContextError> {
        let path = self.folder.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|source| failed(&path, "opened", source))?;
        file.lock().map_err(|source| failed(&path, "locked", source))?;
        Ok(file)
    }

    /// A segment that cannot be written is returned, to be used as it is and read anew the next time.
    fn save(&self, draft: &Draft) -> Option<Segment> {
        match draft.save(&self.folder) {
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, folder = %self.folder.display(), "a part of the index could not be written");
                Some(draft.segment())
            }
        }
    }

    /// Makes one segment of many small ones, and keeps of all what the tree needs where the rest has become too much.
    fn tidy(&self, loaded: &mut Loaded, keys: &[Key]) {
        let small = |segment: &Arc<Segment>| segment.size() < SMALL;
        let crowded = loaded.is_crowded(keys, self.spare_bytes);
        if !crowded && loaded.segments.iter().filter(|segment| small(segment)).count() <= MOST_SMALL {
            return;
        }
        let live: HashSet<Key> = if crowded { keys.iter().copied().collect() } else { HashSet::new() };
        let old = std::mem::take(loaded);
        let (merging, staying): (Vec<_>, Vec<_>) =
            old.segments.iter().partition(|segment| crowded || small(segment));
        staying.into_iter().for_each(|segment| loaded.add_shared(Arc::clone(segment)));
        let mut seen: HashSet<Key> = loaded.places.keys().copied().collect();
        for group in groups(&merging) {
            let inputs = group.iter().map(|segment| segment.as_ref());
            let keep = |key: &Key| (!crowded || live.contains(key)) && seen.insert(*key);
            let merged = Segment::merged(inputs, keep);
            if !merged.is_empty() {
                self.save(&merged).into_iter().for_each(|unwritten| loaded.add(unwritten));
            }
        }
        for path in merging.iter().filter_map(|segment| segment.file.as_ref()) {
            let _ = fs::remove_file(path);
        }
        loaded.refresh(&self.folder);
        self.sweep();
    }

    /// Reads blobs with all threads that are worth it, into files; what could not be written is returned.
    fn read_blobs(&self, objects: &Objects, keys: &[Key]) -> Result<Vec<Segment>, ContextError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let threads = threads.min(keys.len() / SHARE + 1);
        let next = AtomicUsize::new(0);
        let end = |start: usize| {
            let rest = keys.len().saturating_sub(start);
            keys.len().min(start + (rest / (threads * PARTS)).max(SMALLEST_BATCH))
        };
        let take = || {
            let more = |start| (start < keys.len()).then(|| end(start));
            let start = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
            keys.get(start..end(start))
        };
        let work = || self.read_share(objects, take);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut all = work()?;
            for other in others {
                all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok(all)
        })
    }

    fn read_share<'a>(
        &self,
        objects: &Objects,
        next: impl Fn() -> Option<&'a [Key]>,
    ) -> Result<Vec<Segment>, ContextError> {
        let mut unwritten = Vec::new();
        let (mut reader, mut recorder, mut read) = (objects.anew()?.reader(), Recorder::default(), 0);
        while let Some(batch) = next() {
            for key in batch {
                if read > MAPPED_BYTES {
                    (reader, read) = (objects.anew()?.reader(), 0);
                }
                match reader.size(&key.id)? {
                    None => continue,
                    Some(size) if size > LARGEST => recorder.oversized(*key),
                    Some(size) => {
                        read += size;
                        if let Some(bytes) = reader.bytes(&key.id)? {
                            recorder.record(*key, bytes);
                        }
                    }
                }
                if recorder.is_full() {
                    unwritten.extend(self.save(recorder.close()));
                }
            }
        }
        if !recorder.is_empty() {
            unwritten.extend(self.save(recorder.close()));
        }
        Ok(unwritten)
    }

    /// Removes what writers that died have left.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let temporary = entry.file_name().to_string_lossy().starts_with(".writing-");
            let age = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .ok()
                .and_then(|at| at.elapsed().ok());
            if temporary && age.is_some_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Segments that are merged together, so that none becomes much larger than one that is full.
fn groups<'a>(segments: &[&'a Arc<Segment>]) -> Vec<Vec<&'a Arc<Segment>>> {
    let mut groups: Vec<Vec<&Arc<Segment>>> = Vec::new();
    let mut size = usize::MAX;
    for segment in segments {
        if size > 2 * SMALL {
            groups.push(Vec::new());
            size = 0;
        }
        size += segment.size();
        if let Some(group) = groups.last_mut() {
            group.push(segment);
        }
    }
    groups
}

impl Loaded {
    fn places_of(&self, keys: &[Key]) -> Vec<Option<Place>> {
        keys.iter().map(|key| self.places.get(key).copied()).collect()
    }

    /// Each once.
    fn missing(&self, keys: &[Key]) -> Vec<Key> {
        let mut seen = HashSet::new();
        let missing = keys.iter().filter(|key| !self.places.contains_key(*key));
        missing.filter(|key| seen.insert(**key)).copied().collect()
    }

    /// Whether what the tree does not need has become too much.
    fn is_crowded(&self, keys: &[Key], spare: usize) -> bool {
        let bytes: usize = self.segments.iter().map(|segment| segment.size()).sum();
        if bytes <= spare {
            return false;
        }
        let live: HashSet<&Key> = keys.iter().collect();
        // A blob's share of a segment is about that of its terms, and one for itself.
        let (mut all, mut needed) = (0u64, 0u64);
        for blob in self.segments.iter().flat_map(|segment| segment.blobs()) {
            let share = u64::from(blob.terms) + 10;
            all += share;
            needed += if live.contains(&blob.key) { share } else { 0 };
        }
        let needed = (bytes as f64 * needed as f64 / all.max(1) as f64) as usize;
        bytes > 2 * needed + spare
    }

    fn add(&mut self, segment: Segment) {
        self.add_shared(Arc::new(segment));
    }

    fn add_shared(&mut self, segment: Arc<Segment>) {
        let number = self.segments.len() as u32;
        self.places.reserve(segment.blob_count());
        for (at, blob) in segment.blobs().enumerate() {
            self.places.entry(blob.key).or_insert((number, at as u32));
        }
        self.segments.push(segment);
    }

    /// Takes in what other processes have written and drops what they have removed. Damaged files go.
    fn refresh(&mut self, folder: &Path) {
        let files = sealed::list(folder, KIND);
        let present: HashSet<&PathBuf> = files.iter().collect();
        let known: HashSet<PathBuf> =
            self.segments.iter().filter_map(|segment| segment.file.clone()).collect();
        let gone = known.iter().any(|path| !present.contains(path));
        if gone {
            let kept = std::mem::take(&mut self.segments);
            self.places.clear();
            for segment in kept {
                if segment.file.as_ref().is_none_or(|path| present.contains(path)) {
                    self.add_shared(segment);
                }
            }
        }
        for path in files.iter().filter(|path| !known.contains(*path)) {
            match Segment::load(path) {
                Some(segment) => self.add(segment),
                None => {
                    tracing::warn!(path = %path.display(), "a damaged part of the index is removed and made anew");
                    let _ = fs::remove_file(path);
                }
            }
        }
    }
}

fn failed(path: &Path, doing: &'static str, source: std::io::Error) -> ContextError {
    ContextError::Index { path: path.to_owned(), doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs(git: &git2::Repository, name: &str, count: usize) -> Vec<Key> {
        let blob = |n| git.blob(format!("fn {name}_{n}() {{ let shared = {n}; }}\n").as_bytes());
        let key = |id: git2::Oid| Key { id: id.as_bytes().try_into().expect("SHA-1"), code: true };
        (0..count).map(|n| key(blob(n).expect("a blob"))).collect()
    }

    fn bytes_in(folder: &Path) -> u64 {
        let size = |path: &PathBuf| fs::metadata(path).expect("a file").len();
        sealed::list(folder, KIND).iter().map(size).sum()
    }

    #[test]
    fn what_no_file_needs_goes_when_it_has_become_too_much() {
        let folder = tempfile::tempdir().expect("a folder");
        let git = git2::Repository::init_bare(folder.path().join("it.git")).expect("a repository");
        let objects = Objects::open(git.path()).expect("objects");
        let (old, new) = (blobs(&git, "old", 600), blobs(&git, "new", 60));
        let path = folder.path().join("index");
        let read = |spare_bytes: usize, keys: &[Key]| {
            let index = Index { spare_bytes, ..Index::open(&path).expect("an index") };
            index.records(&objects, keys).expect("records").read
        };
        assert_eq!((read(1 << 20, &old), read(1 << 20, &new)), (600, 60));
        let before = bytes_in(&path);
        assert_eq!((read(1 << 20, &old), bytes_in(&path)), (0, before), "there is room for both");
        let more = [new.clone(), blobs(&git, "more", 1)].concat();
        assert_eq!(read(1000, &more), 1);
        assert!(bytes_in(&path) < before / 4, "{} of {before}", bytes_in(&path));
        assert_eq!(read(1000, &more), 0, "what the tree needs is still there");
        assert_eq!(read(1 << 20, &old), 600, "what it does not need is read anew");
    }
}

//! The index of a repository's blobs, in a folder that all tasks and processes share.
//!
//! Segments are added, never changed. Whoever misses blobs takes the folder's lock, looks once more, reads what is
//! missing and adds it; readers need no lock. When there are many segments they become few; when most of what is
//! kept belongs to no file of the tree at hand, the rest goes. A process that dies leaves a temporary file and a
//! free lock.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::ContextError;
use super::kind::{Content, LARGEST};
use super::objects::{Objects, Reader};
use super::record::{Record, Recorder};
use super::sealed;
use super::segment::{Counted, KIND, Key, Segment};
use super::terms::HashedMap;

/// More segments than this are made into fewer.
const MOST_SEGMENTS: usize = 16;
/// Terms beside those of the tree at hand that may stay: of older commits and other branches.
const SPARE_TERMS: usize = 32 << 20;
/// A writer's temporary file that is older belongs to nobody.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Blobs that a thread takes at a time.
const BATCH: usize = 32;
const MOST_THREADS: usize = 4;

/// Where a blob's record is: the segment's number and its own.
pub(super) type Place = (u32, u32);

#[derive(Debug)]
pub(super) struct Index {
    folder: PathBuf,
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    segments: Vec<Arc<Segment>>,
    /// By the first eight bytes of the id, which are a hash already; the key itself is compared.
    places: HashedMap<Key, (u32, u32)>,
}

/// The records of the blobs that were asked for, in their order, and how many had to be read for them.
#[derive(Debug)]
pub(super) struct Found {
    segments: Vec<Arc<Segment>>,
    pub(super) places: Vec<Option<Place>>,
    pub(super) read: usize,
}

impl Index {
    pub(super) fn open(folder: &Path) -> Result<Self, ContextError> {
        fs::create_dir_all(folder).map_err(|source| failed(folder, "made", source))?;
        Ok(Self { folder: folder.to_owned(), loaded: Mutex::default() })
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
            let mut new = read_blobs(objects, &missing)?;
            read = missing.len();
            for segment in &mut new {
                self.save(segment);
            }
            for segment in new {
                loaded.add(segment);
            }
            self.tidy(&mut loaded, keys);
            places = loaded.places_of(keys);
        }
        Ok(Found { segments: loaded.segments.clone(), places, read })
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

    /// A segment that cannot be written is used as it is and read anew the next time.
    fn save(&self, segment: &mut Segment) {
        if let Err(error) = segment.save(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "a part of the index could not be written");
        }
    }

    /// Makes few segments of many, and of what is kept what the tree needs where the rest has become too much.
    fn tidy(&self, loaded: &mut Loaded, keys: &[Key]) {
        let total: usize = loaded.segments.iter().map(|segment| segment.size()).sum();
        let live: HashSet<Key> = keys.iter().copied().collect();
        let needed: usize = live
            .iter()
            .filter_map(|key| loaded.places.get(key))
            .map(|&(segment, at)| loaded.segments[segment as usize].get(at as usize).terms.len())
            .sum();
        let crowded = total > 2 * needed + SPARE_TERMS;
        if loaded.segments.len() <= MOST_SEGMENTS && !crowded {
            return;
        }
        let old = std::mem::take(loaded);
        let mut merged = Segment::default();
        let mut seen = HashSet::new();
        for segment in &old.segments {
            if segment.is_full() && !crowded && segment.keys().all(|key| seen.insert(key)) {
                loaded.add_shared(Arc::clone(segment));
                continue;
            }
            for (at, key) in segment.keys().enumerate() {
                let first = old.places.get(&key).is_some_and(|&(number, place)| {
                    place as usize == at && Arc::ptr_eq(&old.segments[number as usize], segment)
                });
                if first && (!crowded || live.contains(&key)) {
                    merged.push_from(segment, at);
                }
                if merged.is_full() {
                    self.close(&mut merged, loaded);
                }
            }
        }
        if !merged.is_empty() {
            self.close(&mut merged, loaded);
        }
        let kept: HashSet<&PathBuf> =
            loaded.segments.iter().filter_map(|segment| segment.file.as_ref()).collect();
        for path in old.segments.iter().filter_map(|segment| segment.file.as_ref()) {
            if !kept.contains(path) {
                let _ = fs::remove_file(path);
            }
        }
        self.sweep();
    }

    fn close(&self, merged: &mut Segment, loaded: &mut Loaded) {
        let mut full = std::mem::take(merged);
        full.shrink();
        self.save(&mut full);
        loaded.add(full);
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

impl Found {
    pub(super) fn get(&self, (segment, at): Place) -> Counted<'_> {
        self.segments[segment as usize].get(at as usize)
    }
}

impl Loaded {
    fn places_of(&self, keys: &[Key]) -> Vec<Option<Place>> {
        keys.iter().map(|key| self.places.get(key).copied()).collect()
    }

    fn missing(&self, keys: &[Key]) -> Vec<Key> {
        let mut seen = HashSet::new();
        let missing = keys.iter().filter(|key| !self.places.contains_key(*key));
        missing.filter(|key| seen.insert(**key)).copied().collect()
    }

    fn add(&mut self, segment: Segment) {
        self.add_shared(Arc::new(segment));
    }

    fn add_shared(&mut self, segment: Arc<Segment>) {
        let number = self.segments.len() as u32;
        self.places.reserve(segment.keys().size_hint().0);
        for (at, key) in segment.keys().enumerate() {
            self.places.entry(key).or_insert((number, at as u32));
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

/// Reads blobs with all threads that are worth it.
fn read_blobs(objects: &Objects, keys: &[Key]) -> Result<Vec<Segment>, ContextError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let threads = threads.min(keys.len() / BATCH + 1);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut segments = vec![Segment::default()];
        let (mut reader, mut recorder) = (objects.reader(), Recorder::default());
        loop {
            let start = next.fetch_add(BATCH, Ordering::Relaxed);
            let Some(batch) =
                keys.get(start..keys.len().min(start + BATCH)).filter(|batch| !batch.is_empty())
            else {
                break;
            };
            for key in batch {
                let Some(record) = record(&mut reader, &mut recorder, key)? else { continue };
                if segments.last().is_none_or(Segment::is_full) {
                    segments.push(Segment::default());
                }
                if let Some(segment) = segments.last_mut() {
                    segment.push(*key, &record);
                }
            }
        }
        segments.iter_mut().for_each(Segment::shrink);
        segments.retain(|segment| !segment.is_empty());
        Ok(segments)
    };
    if threads == 1 {
        return work();
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(segments) => all.extend(segments?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}

fn record(reader: &mut Reader, recorder: &mut Recorder, key: &Key) -> Result<Option<Record>, ContextError> {
    match reader.size(&key.id)? {
        None => Ok(None),
        Some(size) if size > LARGEST => {
            Ok(Some(Record { content: Content::Oversized, length: 0, terms: Vec::new() }))
        }
        Some(_) => Ok(reader.bytes(&key.id)?.map(|bytes| recorder.record(bytes, key.code))),
    }
}

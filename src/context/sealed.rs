//! Files of the index: written beside, then renamed; checked when they are read. A reader never sees half of one,
//! and what is damaged is as good as not there.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"ctxindex";
/// Counts up when the meaning of any stored byte changes, or of a term.
const VERSION: u32 = 3;
const HEAD: usize = 24;
/// More is no file of ours.
const LARGEST: u64 = 256 << 20;

/// Writes `parts`, one after the other, as the file `folder/kind-N.seg` with an N of its own.
pub(super) fn write(folder: &Path, kind: &str, parts: &[&[u8]]) -> io::Result<PathBuf> {
    let mut sum = crc32fast::Hasher::new();
    let mut length = 0;
    for part in parts {
        sum.update(part);
        length += part.len() as u64;
    }
    let mut file = tempfile::Builder::new().prefix(".writing-").suffix(".tmp").tempfile_in(folder)?;
    let mut head = Vec::with_capacity(HEAD);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&length.to_le_bytes());
    head.extend_from_slice(&sum.finalize().to_le_bytes());
    file.write_all(&head)?;
    for part in parts {
        file.write_all(part)?;
    }
    // The name tells the same content from other content, so that two processes never overwrite each other's.
    let unique = file.path().file_name().map(|name| super::terms::hash_bytes(name.as_encoded_bytes()));
    let path = folder.join(format!("{kind}-{:016x}.seg", unique.unwrap_or_default()));
    file.persist(&path).map_err(|error| error.error)?;
    Ok(path)
}

/// The content of a file that [`write`] wrote; `None` where it is damaged, of another version or gone.
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    if !(HEAD as u64..=LARGEST).contains(&size) {
        return None;
    }
    let mut head = [0; HEAD];
    file.read_exact(&mut head).ok()?;
    let mut body = Vec::with_capacity(size as usize - HEAD);
    file.read_to_end(&mut body).ok()?;
    let mut expected = Vec::with_capacity(HEAD);
    expected.extend_from_slice(MAGIC);
    expected.extend_from_slice(&VERSION.to_le_bytes());
    expected.extend_from_slice(&(body.len() as u64).to_le_bytes());
    expected.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    (head[..] == expected[..]).then_some(body)
}

/// The finished files of a kind, by name.
pub(super) fn list(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let prefix = format!("{kind}-");
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(&prefix) && name.ends_with(".seg")
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Takes numbers and bytes off the front of what was read.
#[derive(Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

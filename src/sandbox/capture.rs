//! Output of a command, bounded in memory: its beginning and its end are kept, and all of it, up to a cap,
//! in a file without a name.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes kept in memory from the beginning of a stream.
pub(super) const HEAD: usize = 256 * 1024;
/// Bytes kept in memory from the end of a stream.
pub(super) const TAIL: usize = 512 * 1024;

/// One stream of a command's output: the first 256 KiB and the last 512 KiB of it, and where it is longer
/// the whole, up to the command's own limit of output, on disk.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
    spool: Spool,
}

/// Where the whole output goes once it is more than what is kept in memory.
#[derive(Debug, Clone, Default)]
enum Spool {
    /// Only the ends are kept.
    #[default]
    None,
    /// Nothing is in the middle yet.
    Waiting { folder: PathBuf, most: u64 },
    /// Gone from its folder already, so it goes with the last that holds it.
    Open { file: Arc<File>, bytes: u64, most: u64 },
}

impl Captured {
    /// A stream that keeps up to `most` bytes in a file without a name in `folder`.
    pub(super) fn spooled(folder: &Path, most: u64) -> Self {
        Self { spool: Spool::Waiting { folder: folder.into(), most }, ..Self::default() }
    }

    /// All bytes that were written, the cut ones included.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// How many bytes in the middle are not kept in memory, and so not in [`Self::text`].
    pub fn cut_bytes(&self) -> u64 {
        self.total - (self.head.len() + self.tail.len()) as u64
    }

    /// All that is kept, as it was written: the whole output up to the command's limit. Where it could not
    /// be kept on disk it is the beginning and the end.
    pub fn whole(&self) -> Box<dyn Read + Send + '_> {
        match &self.spool {
            Spool::Open { file, bytes, .. } => Box::new(ReadAt { file, at: 0, end: *bytes }),
            Spool::None | Spool::Waiting { .. } => {
                let (front, back) = self.tail.as_slices();
                Box::new(self.head.chain(front).chain(back))
            }
        }
    }

    /// What is kept in memory, as text: invalid UTF-8 is replaced, and a line says how much is missing where
    /// something is.
    pub fn text(&self) -> String {
        let (front, back) = self.tail.as_slices();
        let cut = self.cut_bytes();
        if cut == 0 {
            return String::from_utf8_lossy(&[&self.head, front, back].concat()).into_owned();
        }
        let tail = [front, back].concat();
        let (head, tail) = (String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&tail));
        format!("{head}\n[… {cut} bytes cut …]\n{tail}")
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if let Err(error) = self.keep_whole(bytes) {
            tracing::warn!(%error, "a command's whole output cannot be kept: its two ends are");
            self.spool = Spool::None;
        }
        self.total += bytes.len() as u64;
        let to_head = bytes.len().min(HEAD - self.head.len());
        self.head.extend_from_slice(&bytes[..to_head]);
        let rest = &bytes[to_head..];
        let rest = &rest[rest.len().saturating_sub(TAIL)..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(TAIL);
        self.tail.drain(..excess);
        self.tail.extend(rest);
    }

    fn keep_whole(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Spool::Waiting { folder, most } = &self.spool
            && self.total + bytes.len() as u64 > (HEAD + TAIL) as u64
        {
            let file = tempfile::tempfile_in(folder)?;
            let most = *most;
            io::copy(&mut self.whole(), &mut &file)?;
            self.spool = Spool::Open { file: Arc::new(file), bytes: self.total, most };
        }
        if let Spool::Open { file, bytes: kept, most } = &mut self.spool {
            let room = usize::try_from(most.saturating_sub(*kept)).unwrap_or(usize::MAX);
            let bytes = &bytes[..bytes.len().min(room)];
            file.as_ref().write_all(bytes)?;
            *kept += bytes.len() as u64;
        }
        Ok(())
    }
}

/// Reads a file that others may read at the same time.
struct ReadAt<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for ReadAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.file.read_at(&mut buffer[..left], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(chunks: &[&[u8]]) -> Captured {
        let mut captured = Captured::default();
        chunks.iter().for_each(|chunk| captured.push(chunk));
        captured
    }

    #[test]
    fn short_output_is_kept_whole() {
        let captured = captured(&[b"one\n", b"two\n"]);
        assert_eq!(captured.text(), "one\ntwo\n");
        assert_eq!((captured.total_bytes(), captured.cut_bytes()), (8, 0));
    }

    #[test]
    fn a_character_across_the_border_of_head_and_tail_stays_whole() {
        let mut bytes = vec![b'a'; HEAD - 1];
        bytes.extend("é!".as_bytes());
        assert!(captured(&[&bytes]).text().ends_with("aé!"));
    }

    #[test]
    fn long_output_keeps_its_ends_and_says_what_is_missing() {
        let chunk = vec![b'x'; 100_000];
        let mut captured = captured(&[b"first "]);
        (0..50).for_each(|_| captured.push(&chunk));
        captured.push(b" last");
        let text = captured.text();
        assert!(text.starts_with("first ") && text.ends_with(" last"));
        let cut = 5_000_011 - (HEAD + TAIL) as u64;
        assert_eq!(captured.cut_bytes(), cut);
        assert!(text.contains(&format!("[… {cut} bytes cut …]")));
        assert!(text.len() < HEAD + TAIL + 100);
    }

    #[test]
    fn one_chunk_larger_than_everything_kept_keeps_its_ends() {
        let mut bytes = vec![b'x'; HEAD + TAIL + 1000];
        *bytes.last_mut().expect("not empty") = b'!';
        let captured = captured(&[&bytes]);
        assert!(captured.text().ends_with('!'));
        assert_eq!(captured.cut_bytes(), 1000);
    }

    #[test]
    fn the_whole_of_long_output_is_kept_on_disk_up_to_a_cap() {
        let folder = tempfile::tempdir().expect("a folder");
        let written: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
        for most in [10_000_000, 2_000_000] {
            let mut captured = Captured::spooled(folder.path(), most);
            written.chunks(65_537).for_each(|chunk| captured.push(chunk));
            let mut whole = vec![];
            captured.whole().read_to_end(&mut whole).expect("read");
            let kept = written.len().min(most as usize);
            assert!(whole == written[..kept], "{} bytes are not those that were written", whole.len());
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        let mut short = Captured::spooled(folder.path(), 100);
        short.push(b"short");
        let mut whole = String::new();
        short.whole().read_to_string(&mut whole).expect("read");
        assert_eq!(whole, "short");
    }
}

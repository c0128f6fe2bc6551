//! Output of a command, bounded in memory: its beginning and its end are kept.

use std::collections::VecDeque;

/// Bytes kept from the beginning of a stream.
pub(super) const HEAD: usize = 256 * 1024;
/// Bytes kept from the end of a stream.
pub(super) const TAIL: usize = 512 * 1024;

/// One stream of a command's output: the first 256 KiB and the last 512 KiB of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

impl Captured {
    /// All bytes that were written, the cut ones included.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// How many bytes in the middle are not kept.
    pub fn cut_bytes(&self) -> u64 {
        self.total - (self.head.len() + self.tail.len()) as u64
    }

    /// What was kept, as text: invalid UTF-8 is replaced, and a line says how much is missing where
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
        self.total += bytes.len() as u64;
        let to_head = bytes.len().min(HEAD - self.head.len());
        self.head.extend_from_slice(&bytes[..to_head]);
        let rest = &bytes[to_head..];
        let rest = &rest[rest.len().saturating_sub(TAIL)..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(TAIL);
        self.tail.drain(..excess);
        self.tail.extend(rest);
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
}

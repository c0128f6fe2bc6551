//! Takes a key out of bytes that pass by, wherever they are cut. No provider sends one back; a misguided server
//! between might.

/// What stands in its place.
const REMOVED: &[u8] = b"[redacted]";

#[derive(Debug)]
pub(super) struct Scrubber {
    key: Vec<u8>,
    /// The end of what came that could be the beginning of the key.
    held: Vec<u8>,
}

impl Scrubber {
    pub fn new(key: Option<&str>) -> Self {
        Self { key: key.unwrap_or_default().as_bytes().to_vec(), held: Vec::new() }
    }

    /// The bytes that can go on.
    pub fn pass(&mut self, chunk: &[u8]) -> Vec<u8> {
        if self.key.is_empty() {
            return chunk.to_vec();
        }
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(chunk);
        let mut clean = Vec::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        while let Some(at) = memchr::memmem::find(rest, &self.key) {
            clean.extend_from_slice(&rest[..at]);
            clean.extend_from_slice(REMOVED);
            rest = &rest[at + self.key.len()..];
        }
        let longest = rest.len().min(self.key.len() - 1);
        let begun = (1..=longest).rev().find(|&length| self.key.starts_with(&rest[rest.len() - length..]));
        let (pass, held) = rest.split_at(rest.len() - begun.unwrap_or(0));
        clean.extend_from_slice(pass);
        self.held = held.to_vec();
        clean
    }

    /// What was held back and is no key.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_however_it_is_cut_and_all_else_passes() {
        let text = b"a sk-sk-sk-key sk-k and sk-key\n";
        for piece in 1..text.len() {
            let mut scrubber = Scrubber::new(Some("sk-key"));
            let mut passed: Vec<u8> = text.chunks(piece).flat_map(|chunk| scrubber.pass(chunk)).collect();
            passed.extend(scrubber.rest());
            assert_eq!(
                String::from_utf8_lossy(&passed),
                "a sk-sk-[redacted] sk-k and [redacted]\n",
                "in pieces of {piece}"
            );
        }
        assert_eq!(Scrubber::new(None).pass(b"x"), b"x");
    }

    #[test]
    fn an_event_is_not_held_back() {
        let mut scrubber = Scrubber::new(Some("sk-key"));
        assert_eq!(scrubber.pass(b"data: {}\n\n"), b"data: {}\n\n");
    }
}

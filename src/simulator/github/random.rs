//! Seeded numbers for ids, tokens and faults, so that a run can be repeated.
//!
//! Not for cryptography: the tokens guard throw-away state on a loopback address.

/// SplitMix64 (Steele, Lea, Flood 2014): tiny, and the same on every machine.
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// True with probability `chance` (0 to 1).
    pub fn chance(&mut self, chance: f64) -> bool {
        ((self.next() >> 11) as f64 / (1u64 << 53) as f64) < chance
    }

    /// `length` letters and digits, the alphabet of GitHub's tokens.
    pub fn alphanumeric(&mut self, length: usize) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..length).map(|_| char::from(ALPHABET[(self.next() % ALPHABET.len() as u64) as usize])).collect()
    }

    /// A GUID as in `X-GitHub-Delivery`.
    pub fn guid(&mut self) -> String {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let (mut one, mut two, mut other) = (Random::new(7), Random::new(7), Random::new(8));
        let (first, second) = (one.guid(), two.guid());
        assert_eq!(first, second);
        assert_ne!(first, other.guid());
        assert_eq!(one.alphanumeric(36).len(), 36);
    }

    #[test]
    fn a_chance_of_zero_never_happens_and_a_chance_of_one_always() {
        let mut random = Random::new(1);
        assert!((0..200).all(|_| !random.chance(0.0)));
        assert!((0..200).all(|_| random.chance(1.0)));
    }
}

//! `X-Hub-Signature-256`: HMAC-SHA-256 over the raw bytes of the body.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A signature as the header carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature([u8; 32]);

/// Why a header is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    #[error("there is no X-Hub-Signature-256 header")]
    Missing,
    #[error("X-Hub-Signature-256 is not `sha256=` and 64 hexadecimal digits")]
    Malformed,
}

impl Signature {
    /// Reads the header. SHA-1 signatures (`X-Hub-Signature`) are not looked at.
    pub fn from_header(header: Option<&[u8]>) -> Result<Self, SignatureFault> {
        let digits = header
            .ok_or(SignatureFault::Missing)?
            .strip_prefix(b"sha256=")
            .ok_or(SignatureFault::Malformed)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| SignatureFault::Malformed)?;
        Ok(Self(bytes))
    }

    /// Whether the body was signed with the secret; the comparison takes the same time wherever the
    /// first difference is.
    pub fn verifies(&self, secret: &[u8], body: &[u8]) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
        mac.update(body);
        mac.verify_slice(&self.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of docs.github.com, "Validating webhook deliveries".
    const SECRET: &[u8] = b"It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const HEADER: &[u8] = b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn githubs_own_example_verifies() {
        assert!(Signature::from_header(Some(HEADER)).expect("well-formed").verifies(SECRET, BODY));
    }

    #[test]
    fn another_secret_or_body_does_not_verify() {
        let signature = Signature::from_header(Some(HEADER)).expect("well-formed");
        assert!(!signature.verifies(b"another", BODY));
        assert!(!signature.verifies(SECRET, b"Hello, World"));
        assert!(!signature.verifies(b"", BODY));
    }

    #[test]
    fn headers_that_are_no_signature_are_refused() {
        assert_eq!(Signature::from_header(None), Err(SignatureFault::Missing));
        for header in [&b""[..], b"sha256=", b"sha1=757107ea", b"757107ea", &HEADER[..70], b"sha256=zz"] {
            assert_eq!(Signature::from_header(Some(header)), Err(SignatureFault::Malformed));
        }
        // Of the right length, and one digit that is none; and a digit too many.
        for (at, other) in [(7, b'g'), (40, b' '), (70, b'z'), (70, b'\n')] {
            let mut header = HEADER.to_vec();
            header[at] = other;
            assert_eq!(Signature::from_header(Some(&header)), Err(SignatureFault::Malformed), "{at}");
        }
        let longer = [HEADER, b"0"].concat();
        assert_eq!(Signature::from_header(Some(&longer)), Err(SignatureFault::Malformed));
    }

    #[test]
    fn every_bit_of_a_signature_counts() {
        let right = Signature::from_header(Some(HEADER)).expect("well-formed");
        for bit in 0..256 {
            let mut wrong = right.clone();
            wrong.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!wrong.verifies(SECRET, BODY), "bit {bit} is not looked at");
        }
    }
}

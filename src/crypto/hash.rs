//! The value of a content hash.

use std::fmt;

/// A hash of 1 to 32 bytes. Ordered bytewise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl Hash {
    /// Longest hash of any algorithm.
    pub const MAX_LEN: usize = 32;

    /// Copies 1 to 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > Self::MAX_LEN {
            return None;
        }
        let mut hash = Self { bytes: [0; Self::MAX_LEN], len: bytes.len() as u8 };
        hash.bytes[..bytes.len()].copy_from_slice(bytes);
        Some(hash)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The last 16 bytes (all of them in a shorter hash): the input from which the key of an encrypted item is derived.
    pub fn iv(&self) -> &[u8] {
        let bytes = self.as_bytes();
        &bytes[bytes.len().saturating_sub(16)..]
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

//! BLAKE3, keyed.

use super::hasher::truncated;
use super::{ContentHasher, Hash};
use std::sync::Arc;

/// Context string with which Kopia stretches a secret shorter than a BLAKE3 key.
const STRETCH_CONTEXT: &str = "kopia blake3 derived key v1";

/// BLAKE3 cut to `len` bytes. A short secret is stretched, of a long one the first 32 bytes count.
pub(super) fn blake3(name: &'static str, secret: &[u8], len: usize) -> Arc<dyn ContentHasher> {
    let key = match secret.first_chunk::<{ blake3::KEY_LEN }>() {
        Some(key) => *key,
        None => blake3::derive_key(STRETCH_CONTEXT, secret),
    };
    Arc::new(Blake3 { name, len, key })
}

struct Blake3 {
    name: &'static str,
    len: usize,
    key: [u8; blake3::KEY_LEN],
}

impl ContentHasher for Blake3 {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hash_len(&self) -> usize {
        self.len
    }

    fn hash(&self, data: &[u8]) -> Hash {
        truncated(blake3::keyed_hash(&self.key, data).as_bytes(), self.len)
    }
}

// Shows no key.
impl std::fmt::Debug for Blake3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_secret_is_stretched() {
        let hash = blake3("BLAKE3-256", b"shortkey", 32).hash(b"hello world");
        assert_eq!(hash.to_string(), "114182b522ebda2e621d3b5a8e0088024ff20e2cddbe4eb9aebc5837b58dfd84");
    }

    #[test]
    fn of_a_long_secret_the_start_counts() {
        let long: Vec<u8> = (0..40).collect();
        let hash = |secret| blake3("BLAKE3-256", secret, 32).hash(b"data");
        assert_eq!(hash(&long), hash(&long[..32]));
    }
}

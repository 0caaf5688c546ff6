//! HMAC over SHA-2 and SHA-3.

use super::hasher::truncated;
use super::{ContentHasher, Hash};
use ::hmac::Hmac;
use ::hmac::digest::typenum::Unsigned;
use ::hmac::digest::{FixedOutput, KeyInit, OutputSizeUser, Update};
use aws_lc_rs::digest::{Context, SHA3_256, digest};
use aws_lc_rs::hmac::{HMAC_SHA224, HMAC_SHA256, Key, sign};
use std::sync::Arc;
use zeroize::Zeroizing;

/// HMAC-SHA-224.
pub(super) fn sha224(name: &'static str, secret: &[u8]) -> Arc<dyn ContentHasher> {
    Arc::new(Sha2 { name, len: 28, key: Key::new(HMAC_SHA224, secret) })
}

/// HMAC-SHA-256 cut to `len` bytes.
pub(super) fn sha256(name: &'static str, secret: &[u8], len: usize) -> Arc<dyn ContentHasher> {
    Arc::new(Sha2 { name, len, key: Key::new(HMAC_SHA256, secret) })
}

/// HMAC over SHA3-224; its block is 144 bytes.
pub(super) fn sha3_224(name: &'static str, secret: &[u8]) -> Arc<dyn ContentHasher> {
    Arc::new(Sha3 { name, keyed: keyed::<Hmac<sha3::Sha3_224>>(secret) })
}

/// HMAC over SHA3-256; its block is 136 bytes.
pub(super) fn sha3_256(name: &'static str, secret: &[u8]) -> Arc<dyn ContentHasher> {
    const BLOCK_LEN: usize = 136;
    let mut key = Zeroizing::new([0; BLOCK_LEN]);
    if secret.len() > BLOCK_LEN {
        key[..32].copy_from_slice(digest(&SHA3_256, secret).as_ref());
    } else {
        key[..secret.len()].copy_from_slice(secret);
    }
    let absorbed = |pad: u8| {
        let mut state = Context::new(&SHA3_256);
        state.update(Zeroizing::new(key.map(|byte| byte ^ pad)).as_slice());
        state
    };
    Arc::new(Sha3Native { name, inner: absorbed(0x36), outer: absorbed(0x5c) })
}

fn keyed<M: KeyInit>(secret: &[u8]) -> M {
    M::new_from_slice(secret).expect("HMAC takes keys of any length")
}

struct Sha2 {
    name: &'static str,
    len: usize,
    key: Key,
}

impl ContentHasher for Sha2 {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hash_len(&self) -> usize {
        self.len
    }

    fn hash(&self, data: &[u8]) -> Hash {
        truncated(sign(&self.key, data).as_ref(), self.len)
    }
}

/// `keyed` has absorbed the key already and is copied for every input.
struct Sha3<M> {
    name: &'static str,
    keyed: M,
}

impl<M: FixedOutput + Update + Clone + Send + Sync> ContentHasher for Sha3<M> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hash_len(&self) -> usize {
        <M as OutputSizeUser>::OutputSize::USIZE
    }

    fn hash(&self, data: &[u8]) -> Hash {
        truncated(&self.keyed.clone().chain(data).finalize_fixed(), self.hash_len())
    }
}

/// A quarter faster than [`Sha3`]; the library has no HMAC over SHA-3, and no SHA3-224. Both states have absorbed the key
/// and are copied for every input.
struct Sha3Native {
    name: &'static str,
    inner: Context,
    outer: Context,
}

impl ContentHasher for Sha3Native {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hash_len(&self) -> usize {
        SHA3_256.output_len()
    }

    fn hash(&self, data: &[u8]) -> Hash {
        let (mut inner, mut outer) = (self.inner.clone(), self.outer.clone());
        inner.update(data);
        outer.update(inner.finish().as_ref());
        truncated(outer.finish().as_ref(), self.hash_len())
    }
}

// The states hold the key, so `Debug` is written by hand.
impl std::fmt::Debug for Sha2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl std::fmt::Debug for Sha3Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl<M> std::fmt::Debug for Sha3<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn published_answers() {
        let (key, data) = (b"Jefe", b"what do ya want for nothing?");
        assert_eq!(
            sha256("HMAC-SHA256", key, 32).hash(data).to_string(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            sha224("HMAC-SHA224", key).hash(data).to_string(),
            "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"
        );
        assert_eq!(
            sha3_256("HMAC-SHA3-256", key).hash(data).to_string(),
            "c7d4072e788877ae3596bbb0da73b887c9171f93095b294ae857fbe2645e1ba5"
        );
    }

    #[test]
    fn keys_of_any_length_give_what_the_portable_code_gives() {
        for len in [0, 1, 32, 135, 136, 137, 300] {
            let (key, data) = (vec![7; len], vec![9; 1000]);
            let portable = Sha3 { name: "portable", keyed: keyed::<Hmac<sha3::Sha3_256>>(&key) };
            assert_eq!(sha3_256("HMAC-SHA3-256", &key).hash(&data), portable.hash(&data), "{len}");
        }
    }
}

//! How documents under the password's key are encrypted: AES-256-GCM with two keys drawn from one.

use super::{Error, Result};
use crate::base::{Entropy, Secret};
use crate::crypto;

/// Bytes by which an encrypted document is longer: 12 of nonce, 16 of tag.
pub const OVERHEAD: usize = crypto::OVERHEAD;

/// The only value of the outer document's `encryption` that can be read.
pub(super) const ENCRYPTION: &str = "AES256_GCM";

const KEY_LEN: usize = 32;

/// The cipher's key and the associated data, both drawn from the format key.
struct Keys {
    cipher: Secret,
    aad: Secret,
}

impl Keys {
    fn derive(key: &Secret, unique_id: &[u8]) -> Self {
        let draw = |purpose: &[u8]| crypto::hkdf_sha256(key.expose(), unique_id, purpose, KEY_LEN);
        Self { cipher: draw(b"AES"), aad: draw(b"CHECKSUM") }
    }

    fn cipher(&self) -> &[u8; KEY_LEN] {
        self.cipher.expose().try_into().expect("the derivation was asked for this many bytes")
    }
}

/// Encrypts `plaintext` as `encryptedBlockFormat` and `kopia.blobcfg` are: nonce, ciphertext, tag.
///
/// # Errors
/// [`Error::Seal`] when the cipher refuses.
///
/// Source: kopia `repo/format/format_blob.go`, `encryptRepositoryBlobBytesAes256Gcm`.
pub fn seal(
    entropy: &dyn Entropy,
    key: &Secret,
    unique_id: &[u8],
    document: &'static str,
    plaintext: &[u8],
) -> Result<Vec<u8>> {
    let keys = Keys::derive(key, unique_id);
    let mut nonce = [0; crypto::NONCE_LEN];
    entropy.fill(&mut nonce);
    crypto::aes256_gcm_seal(keys.cipher(), &nonce, keys.aad.expose(), plaintext)
        .map_err(|source| Error::Seal { document, source })
}

/// Decrypts what [`seal`] made.
///
/// # Errors
/// [`Error::Truncated`] below [`OVERHEAD`] bytes, [`Error::WrongPassword`] when authentication fails: from one document
/// alone a wrong key and a flipped bit look the same.
pub fn open(key: &Secret, unique_id: &[u8], document: &'static str, stored: &[u8]) -> Result<Secret> {
    if stored.len() < OVERHEAD {
        return Err(Error::Truncated { document, length: stored.len() });
    }
    let keys = Keys::derive(key, unique_id);
    crypto::aes256_gcm_open(keys.cipher(), keys.aad.expose(), stored)
        .map(Secret::new)
        .map_err(|_| Error::WrongPassword)
}

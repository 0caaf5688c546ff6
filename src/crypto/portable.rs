//! AES-256-GCM in plain Rust: the judge of the fast one, and its replacement where AWS-LC is not wanted.

use super::encryptor::{ItemKeys, opened_or_wiped, split_stored};
use super::{AES256_GCM, Encryptor, Error, NONCE_LEN, Result, TAG_LEN};
use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce, Tag};

/// The cipher of the `aes-gcm` crate.
pub(super) struct PortableAes256Gcm(ItemKeys);

impl PortableAes256Gcm {
    /// Takes the derivation of item keys.
    pub(super) fn new(keys: ItemKeys) -> Self {
        Self(keys)
    }

    fn cipher(&self, iv: &[u8]) -> Aes256Gcm {
        let key = self.0.key(iv);
        Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key.as_slice()))
    }
}

impl Encryptor for PortableAes256Gcm {
    fn name(&self) -> &'static str {
        AES256_GCM
    }

    fn seal(&self, iv: &[u8], nonce: &[u8; NONCE_LEN], data: &mut [u8]) -> Result<[u8; TAG_LEN]> {
        let len = data.len();
        let sealed = self.cipher(iv).encrypt_in_place_detached(Nonce::from_slice(nonce), iv, data);
        sealed.map(Into::into).map_err(|_| Error::TooLong { len })
    }

    fn open_in_place<'a>(&self, iv: &[u8], stored: &'a mut [u8]) -> Result<&'a mut [u8]> {
        let (nonce, ciphertext, tag) = split_stored(stored)?;
        let (nonce, tag) = (Nonce::from_slice(&nonce), Tag::from_slice(&tag));
        let opened = self.cipher(iv).decrypt_in_place_detached(nonce, iv, ciphertext, tag);
        opened_or_wiped(opened.is_ok(), ciphertext)
    }
}

// The item keys are secret.
impl std::fmt::Debug for PortableAes256Gcm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{AES256_GCM} (portable)")
    }
}

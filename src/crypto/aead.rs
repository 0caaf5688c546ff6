//! The ciphers of AWS-LC: AES-256-GCM and ChaCha20-Poly1305.

use super::encryptor::{ItemKeys, opened_or_wiped, split_stored};
use super::{AES256_GCM, CHACHA20_POLY1305, Encryptor, Error, NONCE_LEN, OVERHEAD, Result, TAG_LEN};
use aws_lc_rs::aead;

/// One of AWS-LC's ciphers with a key for every item.
pub(super) struct Aead {
    name: &'static str,
    algorithm: &'static aead::Algorithm,
    keys: ItemKeys,
}

impl Aead {
    /// AES-256-GCM.
    pub(super) fn aes256_gcm(keys: ItemKeys) -> Self {
        Self { name: AES256_GCM, algorithm: &aead::AES_256_GCM, keys }
    }

    /// ChaCha20-Poly1305.
    pub(super) fn chacha20_poly1305(keys: ItemKeys) -> Self {
        Self { name: CHACHA20_POLY1305, algorithm: &aead::CHACHA20_POLY1305, keys }
    }
}

impl Encryptor for Aead {
    fn name(&self) -> &'static str {
        self.name
    }

    fn seal(&self, iv: &[u8], nonce: &[u8; NONCE_LEN], data: &mut [u8]) -> Result<[u8; TAG_LEN]> {
        seal(self.algorithm, &self.keys.key(iv), nonce, iv, data)
    }

    fn open_in_place<'a>(&self, iv: &[u8], stored: &'a mut [u8]) -> Result<&'a mut [u8]> {
        open(self.algorithm, &self.keys.key(iv), iv, stored)
    }
}

// The item keys are secret.
impl std::fmt::Debug for Aead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

fn key_of(algorithm: &'static aead::Algorithm, key: &[u8; 32]) -> aead::LessSafeKey {
    let key = aead::UnboundKey::new(algorithm, key).expect("both ciphers take 32-byte keys");
    aead::LessSafeKey::new(key)
}

fn seal(
    algorithm: &'static aead::Algorithm,
    key: &[u8; 32],
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    data: &mut [u8],
) -> Result<[u8; TAG_LEN]> {
    let nonce = aead::Nonce::assume_unique_for_key(*nonce);
    let tag = key_of(algorithm, key)
        .seal_in_place_separate_tag(nonce, aead::Aad::from(aad), data)
        .map_err(|_| Error::TooLong { len: data.len() })?;
    Ok(tag.as_ref().try_into().expect("both ciphers make 16-byte tags"))
}

fn open<'a>(
    algorithm: &'static aead::Algorithm,
    key: &[u8; 32],
    aad: &[u8],
    stored: &'a mut [u8],
) -> Result<&'a mut [u8]> {
    let (nonce, ciphertext, tag) = split_stored(stored)?;
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    let opened =
        key_of(algorithm, key).open_in_place_separate_tag(nonce, aead::Aad::from(aad), &tag, ciphertext);
    opened_or_wiped(opened.is_ok(), ciphertext)
}

/// AES-256-GCM under an explicit key: `nonce ‖ ciphertext ‖ tag`. For the documents that have keys of their own.
///
/// # Errors
/// [`Error::TooLong`].
pub fn aes256_gcm_seal(
    key: &[u8; 32],
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(plaintext.len() + OVERHEAD);
    out.extend_from_slice(nonce);
    out.extend_from_slice(plaintext);
    let tag = seal(&aead::AES_256_GCM, key, nonce, aad, &mut out[NONCE_LEN..])?;
    out.extend_from_slice(&tag);
    Ok(out)
}

/// Opens what [`aes256_gcm_seal`] made.
///
/// # Errors
/// [`Error::ShortCiphertext`]; [`Error::Authentication`], also for a wrong key.
pub fn aes256_gcm_open(key: &[u8; 32], aad: &[u8], stored: &[u8]) -> Result<Vec<u8>> {
    Ok(open(&aead::AES_256_GCM, key, aad, &mut stored.to_vec())?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explicit_keys_give_the_published_bytes() {
        let key = hex::decode("623159848da275ecc54649e222f99bbd3f914e15a45ce52d74ab8530891c02df").unwrap();
        let aad = hex::decode("e556c6a11cab8a9689daa9f826acc358b16f4cabab0ed72aad81e7e01da92cac").unwrap();
        let key = key.first_chunk().unwrap();
        let sealed = aes256_gcm_seal(key, &[0; 12], &aad, b"{}").unwrap();
        assert_eq!(hex::encode(&sealed), "00000000000000000000000023cd8f0a183be373acb4c50ee7d1c6f43f50");
        assert_eq!(aes256_gcm_open(key, &aad, &sealed).unwrap(), b"{}");
        assert_eq!(aes256_gcm_open(key, b"", &sealed), Err(Error::Authentication));
        assert_eq!(aes256_gcm_open(key, &aad, &sealed[..27]), Err(Error::ShortCiphertext { len: 27 }));
    }
}

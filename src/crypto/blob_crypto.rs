//! What protects everything in a repository: one hash, one encryption, perhaps an error-correcting code.

use super::{ContentHasher, Ecc, Encryptor, Error, NONCE_LEN, Result, seal_to_vec};
use crate::base::Entropy;
use std::borrow::Cow;
use std::sync::Arc;

/// Length of the iv in the name of a whole-blob item, in bytes.
const NAME_IV_LEN: usize = 16;

/// Seals and opens items with the algorithms and keys of one repository.
#[derive(Clone, Debug)]
pub struct BlobCrypto {
    hasher: Arc<dyn ContentHasher>,
    encryptor: Arc<dyn Encryptor>,
    ecc: Option<Ecc>,
}

impl BlobCrypto {
    /// Joins the three algorithms.
    pub fn new(hasher: Arc<dyn ContentHasher>, encryptor: Arc<dyn Encryptor>, ecc: Option<Ecc>) -> Self {
        Self { hasher, encryptor, ecc }
    }

    /// The hash.
    pub fn hasher(&self) -> &dyn ContentHasher {
        &*self.hasher
    }

    /// The encryption, without error correction.
    pub fn encryptor(&self) -> &dyn Encryptor {
        &*self.encryptor
    }

    /// The error-correcting code, if the repository has one.
    pub fn ecc(&self) -> Option<&Ecc> {
        self.ecc.as_ref()
    }

    /// Whether every item grows by exactly [`OVERHEAD`](super::OVERHEAD) bytes, as index format 1 requires.
    pub fn overhead_is_constant(&self) -> bool {
        self.ecc.is_none()
    }

    /// Encrypts an item named by `iv`: a content (iv = [`Hash::iv`](super::Hash::iv)) or the local index of a pack
    /// (iv = its whole hash). Error correction included.
    ///
    /// # Errors
    /// As [`Encryptor::seal`].
    pub fn seal_item(&self, entropy: &dyn Entropy, iv: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let sealed = seal_to_vec(&*self.encryptor, iv, &nonce, plaintext)?;
        match &self.ecc {
            Some(ecc) => ecc.encode(&sealed),
            None => Ok(sealed),
        }
    }

    /// Opens what [`BlobCrypto::seal_item`] made; `stored` becomes the plaintext.
    ///
    /// # Errors
    /// [`Error::Authentication`] and its kin when the bytes are not those written under this iv.
    pub fn open_item(&self, iv: &[u8], stored: Vec<u8>) -> Result<Vec<u8>> {
        let mut item = match &self.ecc {
            Some(ecc) => ecc.decode(stored)?,
            None => stored,
        };
        self.encryptor.open(iv, &mut item)?;
        Ok(item)
    }

    /// Opens an item where it lies; only error correction needs room of its own.
    ///
    /// # Errors
    /// Those of [`BlobCrypto::open_item`].
    pub fn open_item_in_place<'a>(&self, iv: &[u8], stored: &'a mut [u8]) -> Result<Cow<'a, [u8]>> {
        match &self.ecc {
            Some(_) => self.open_item(iv, stored.to_vec()).map(Cow::Owned),
            None => self.encryptor.open_in_place(iv, stored).map(|plain| Cow::Borrowed(&*plain)),
        }
    }

    /// Seals a blob that is one item. Returns its name, `prefix ‖ hex(hash)` and, unless `suffix` is empty,
    /// `"-" ‖ suffix`; and its bytes.
    ///
    /// # Errors
    /// As [`Encryptor::seal`].
    ///
    /// Source: kopia `internal/blobcrypto/`.
    pub fn seal(
        &self,
        entropy: &dyn Entropy,
        prefix: &str,
        suffix: &str,
        plaintext: &[u8],
    ) -> Result<(String, Vec<u8>)> {
        let hash = self.hasher.hash(plaintext);
        let dash = if suffix.is_empty() { "" } else { "-" };
        let stored = self.seal_item(entropy, hash.iv(), plaintext)?;
        Ok((format!("{prefix}{hash}{dash}{suffix}"), stored))
    }

    /// Opens a blob that is one item; the iv comes from its name.
    ///
    /// # Errors
    /// [`Error::InvalidBlobName`], else as [`BlobCrypto::open_item`].
    pub fn open(&self, name: &str, stored: Vec<u8>) -> Result<Vec<u8>> {
        self.open_item(&iv_of_name(name)?, stored)
    }
}

/// The 32 hex digits before the first dash of a blob's name, or at its end.
fn iv_of_name(name: &str) -> Result<[u8; NAME_IV_LEN]> {
    let stem = name.split_once('-').map_or(name, |(stem, _)| stem).as_bytes();
    let mut iv = [0; NAME_IV_LEN];
    stem.last_chunk::<{ 2 * NAME_IV_LEN }>()
        .filter(|digits| hex::decode_to_slice(digits, &mut iv).is_ok())
        .ok_or_else(|| Error::InvalidBlobName { name: name.to_owned() })?;
    Ok(iv)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededEntropy;
    use crate::crypto::{AES256_GCM, CHACHA20_POLY1305, DEFAULT_HASH, OVERHEAD, encryptor, hasher};

    fn crypto(hash: &str) -> BlobCrypto {
        let secret: Vec<u8> = (0..32).collect();
        BlobCrypto::new(hasher(hash, &secret).unwrap(), encryptor(AES256_GCM, &secret).unwrap(), None)
    }

    #[derive(Debug)]
    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
        }
    }

    /// Master key and secret of the worked example in the format description.
    #[test]
    fn a_content_of_the_worked_example() {
        let (master_key, secret): (Vec<u8>, Vec<u8>) = ((0x20..0x40).collect(), (0x40..0x60).collect());
        for (name, expected) in [
            (AES256_GCM, "000102030405060708090a0b380b40a831bff5db89e63fe132802f7f62f6b865ce186774ca963e"),
            (
                CHACHA20_POLY1305,
                "000102030405060708090a0b936dc67c4ac1ef7c9979be2c9d33fec381e63c95b87a92cab9a178",
            ),
        ] {
            let hasher = hasher(DEFAULT_HASH, &secret).unwrap();
            let hash = hasher.hash(b"hello world");
            assert_eq!(hash.to_string(), "30a572157ba3e8a14424acacde62ee4a");
            let crypto = BlobCrypto::new(hasher, encryptor(name, &master_key).unwrap(), None);
            let stored = crypto.seal_item(&Counting, hash.iv(), b"hello world").unwrap();
            assert_eq!(hex::encode(&stored), expected);
            assert_eq!(crypto.open_item(hash.iv(), stored).unwrap(), b"hello world");
            assert!(crypto.overhead_is_constant() && crypto.ecc().is_none());
        }
    }

    #[test]
    fn blobs_open_under_their_names_only() {
        for hash in [DEFAULT_HASH, "BLAKE2B-256", "HMAC-SHA224"] {
            let crypto = crypto(hash);
            let (name, stored) = crypto.seal(&SeededEntropy::new(1), "xn0_", "s1-c2", b"index").unwrap();
            assert_eq!(name, format!("xn0_{}-s1-c2", crypto.hasher().hash(b"index")));
            assert_eq!(stored.len(), 5 + OVERHEAD);
            assert_eq!(crypto.open(&name, stored.clone()).unwrap(), b"index");
            // What stands before the hash and after the dash may change.
            let moved = name.replace("xn0_", "xs12_").replace("-s1-c2", "");
            assert_eq!(crypto.open(&moved, stored.clone()).unwrap(), b"index");
            let other = crypto.seal(&SeededEntropy::new(1), "xn0_", "", b"other").unwrap().0;
            assert_eq!(crypto.open(&other, stored), Err(Error::Authentication));
        }
    }

    #[test]
    fn names_without_a_hash_are_refused() {
        let crypto = crypto(DEFAULT_HASH);
        let long = "é".repeat(40);
        for name in
            ["", "-", "n", "nz0112233445566778899aabbccddeef", "n0011223344-00112233445566778899", &long]
        {
            let error = crypto.open(name, vec![0; 40]).unwrap_err();
            assert_eq!(error, Error::InvalidBlobName { name: name.to_owned() });
        }
    }

    #[test]
    fn error_correction_goes_around_the_encryption() {
        let BlobCrypto { hasher, encryptor, .. } = crypto(DEFAULT_HASH);
        let ecc = Ecc::new("REED-SOLOMON-CRC32", 5).unwrap();
        let crypto = BlobCrypto::new(hasher, encryptor, ecc);
        assert!(!crypto.overhead_is_constant());
        let (name, stored) = crypto.seal(&SeededEntropy::new(1), "s", "", &[b'x'; 5000]).unwrap();
        for at in (0..stored.len()).step_by(97) {
            let mut damaged = stored.clone();
            damaged[at] ^= 1;
            assert_eq!(crypto.open(&name, damaged).unwrap(), [b'x'; 5000]);
        }
    }
}

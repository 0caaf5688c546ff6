//! Encryption of items: the trait, the registry and the key of every item.

use super::aead::Aead;
use super::hkdf::{KeyedHmac, hkdf_sha256, keyed_hmac};
use super::portable::PortableAes256Gcm;
use super::{Error, Result};
use hmac::Mac;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Length of the nonce before the ciphertext, in bytes.
pub const NONCE_LEN: usize = 12;
/// Length of the tag after the ciphertext, in bytes.
pub const TAG_LEN: usize = 16;
/// What encryption adds to an item, in bytes.
pub const OVERHEAD: usize = NONCE_LEN + TAG_LEN;

/// AES-256 in Galois counter mode.
pub const AES256_GCM: &str = "AES256-GCM-HMAC-SHA256";
/// ChaCha20-Poly1305 with the 12-byte nonce of RFC 8439.
pub const CHACHA20_POLY1305: &str = "CHACHA20-POLY1305-HMAC-SHA256";
/// Names of all encryptions, in the spelling stored in the repository.
pub const ENCRYPTIONS: &[&str] = &[AES256_GCM, CHACHA20_POLY1305];
/// The encryption of new repositories.
pub const DEFAULT_ENCRYPTION: &str = AES256_GCM;

/// Authenticated encryption under the master key of one repository.
///
/// Every item has its own key, `HMAC-SHA256(D, iv)`, where `D` is derived once from the master key; the iv is also the
/// associated data. A nonce may therefore repeat across items but never for one iv.
pub trait Encryptor: Send + Sync + std::fmt::Debug {
    /// The stored name.
    fn name(&self) -> &'static str;

    /// Encrypts `data` in place and returns the tag.
    ///
    /// # Errors
    /// [`Error::TooLong`] beyond what the cipher allows for one nonce (64 GiB).
    fn seal(&self, iv: &[u8], nonce: &[u8; NONCE_LEN], data: &mut [u8]) -> Result<[u8; TAG_LEN]>;

    /// Decrypts `nonce ‖ ciphertext ‖ tag` where it lies, and returns the plaintext's part of it.
    ///
    /// # Errors
    /// [`Error::ShortCiphertext`] and [`Error::Authentication`]; `stored` then holds no plaintext.
    fn open_in_place<'a>(&self, iv: &[u8], stored: &'a mut [u8]) -> Result<&'a mut [u8]>;

    /// Turns `nonce ‖ ciphertext ‖ tag` into the plaintext, without a second buffer.
    ///
    /// # Errors
    /// Those of [`Encryptor::open_in_place`].
    fn open(&self, iv: &[u8], stored: &mut Vec<u8>) -> Result<()> {
        let opened = self.open_in_place(iv, stored).map(|plaintext| plaintext.len());
        match &opened {
            Ok(length) => {
                stored.copy_within(NONCE_LEN..NONCE_LEN + length, 0);
                stored.truncate(*length);
            }
            Err(_) => stored.clear(),
        }
        opened.map(drop)
    }
}

/// The encryption called `name` under `master_key`.
///
/// # Errors
/// [`Error::UnknownAlgorithm`]; [`Error::InvalidKey`] for an empty key.
///
/// Source: kopia `repo/encryption/`.
pub fn encryptor(name: &str, master_key: &[u8]) -> Result<Arc<dyn Encryptor>> {
    match name {
        AES256_GCM => Ok(Arc::new(Aead::aes256_gcm(ItemKeys::new(AES256_GCM, master_key)?))),
        CHACHA20_POLY1305 => {
            Ok(Arc::new(Aead::chacha20_poly1305(ItemKeys::new(CHACHA20_POLY1305, master_key)?)))
        }
        _ => Err(Error::UnknownAlgorithm { kind: "encryption", name: name.to_owned() }),
    }
}

/// Like [`encryptor`], with a cipher written in Rust throughout; only AES-256-GCM has one.
///
/// It shares no code with the fast one, which makes it the judge of it in tests, and it needs no assembler, which makes
/// it the way out on a machine where the other misbehaves. Expect a seventh of the speed.
///
/// # Errors
/// As [`encryptor`].
pub fn encryptor_portable(name: &str, master_key: &[u8]) -> Result<Arc<dyn Encryptor>> {
    match name {
        AES256_GCM => Ok(Arc::new(PortableAes256Gcm::new(ItemKeys::new(AES256_GCM, master_key)?))),
        _ => Err(Error::UnknownAlgorithm { kind: "portable encryption", name: name.to_owned() }),
    }
}

/// Encrypts a copy of `plaintext`: `nonce ‖ ciphertext ‖ tag`.
///
/// # Errors
/// As [`Encryptor::seal`].
pub fn seal_to_vec(
    encryptor: &dyn Encryptor,
    iv: &[u8],
    nonce: &[u8; NONCE_LEN],
    plaintext: &[u8],
) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(plaintext.len() + OVERHEAD);
    out.extend_from_slice(nonce);
    out.extend_from_slice(plaintext);
    let tag = encryptor.seal(iv, nonce, &mut out[NONCE_LEN..])?;
    out.extend_from_slice(&tag);
    Ok(out)
}

/// Derives the key of each item.
///
/// The SHA-256 used here is inlined and runs on the processor's SHA instructions: for a message this short it needs a
/// half the time of a call into the C library.
pub(super) struct ItemKeys(KeyedHmac);

impl ItemKeys {
    /// Derives `D` from the master key. Unlike all other keys it has its purpose in the salt, not in the info.
    fn new(algorithm: &'static str, master_key: &[u8]) -> Result<Self> {
        if master_key.is_empty() {
            return Err(Error::InvalidKey { algorithm, len: 0 });
        }
        let derived = hkdf_sha256(master_key, b"encryption", b"", 32);
        Ok(Self(keyed_hmac(derived.expose())))
    }

    /// The key of the item named by `iv`.
    pub(super) fn key(&self, iv: &[u8]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.clone().chain_update(iv).finalize().into_bytes().into())
    }
}

/// The parts of a stored item: nonce, ciphertext, tag.
pub(super) fn split_stored(stored: &mut [u8]) -> Result<([u8; NONCE_LEN], &mut [u8], [u8; TAG_LEN])> {
    let short = Error::ShortCiphertext { len: stored.len() };
    let Some((nonce, rest)) = stored.split_first_chunk_mut::<NONCE_LEN>() else { return Err(short) };
    let Some((ciphertext, tag)) = rest.split_last_chunk_mut::<TAG_LEN>() else { return Err(short) };
    Ok((*nonce, ciphertext, *tag))
}

/// The plaintext if it is authentic; what was made of forged bytes is not left lying about.
pub(super) fn opened_or_wiped(is_authentic: bool, plaintext: &mut [u8]) -> Result<&mut [u8]> {
    if is_authentic {
        return Ok(plaintext);
    }
    plaintext.fill(0);
    Err(Error::Authentication)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MASTER_KEY: &[u8] = b"01234567890123456789012345678901";

    #[test]
    fn known_answers() {
        let fox: &[u8] = b"quick brown fox jumps over the lazy dog";
        let (letters, zeros): (&[u8], &[u8]) = (b"aabbccddeeffgghhiijjkkllmmnnoopp", &[b'0'; 32]);
        for (iv, name, stored, plaintext) in [
            (
                letters,
                AES256_GCM,
                "e43ba07f85a6d70c5f1102ca06cf19c597e5f91e527b21f00fb76e8bec3fd1",
                &b"foo"[..],
            ),
            (
                letters,
                CHACHA20_POLY1305,
                "118359f3d4d589d939efbbc3168ae4c77c51bcebce6845fe6ef5d11342faa6",
                b"foo",
            ),
            (
                zeros,
                AES256_GCM,
                "eaad755a238f1daa4052db2e5ccddd934790b6cca415b3ccfd46ac5746af33d9d30f4400ffa9eb3a64fb1ce21b888c12c043bf6787d4a5c15ad10f21f6a6027ee3afe0",
                fox,
            ),
            (
                zeros,
                CHACHA20_POLY1305,
                "836d2ba87892711077adbdbe1452d3b2c590bbfdf6fd3387dc6810220a32ec19de862e1a4f865575e328424b5f178afac1b7eeff11494f719d119b7ebb924d1d0846a3",
                fox,
            ),
        ] {
            let encryptor = encryptor(name, MASTER_KEY).unwrap();
            let stored = hex::decode(stored).unwrap();
            let mut opened = stored.clone();
            encryptor.open(iv, &mut opened).unwrap();
            assert_eq!(opened, plaintext);
            let nonce = stored.first_chunk().unwrap();
            assert_eq!(seal_to_vec(&*encryptor, iv, nonce, plaintext).unwrap(), stored);
            if let Ok(portable) = encryptor_portable(name, MASTER_KEY) {
                assert_eq!(seal_to_vec(&*portable, iv, nonce, plaintext).unwrap(), stored);
            }
        }
    }

    #[test]
    fn damage_is_refused_and_leaves_no_plaintext() {
        for encryptor in [
            encryptor(AES256_GCM, MASTER_KEY).unwrap(),
            encryptor(CHACHA20_POLY1305, MASTER_KEY).unwrap(),
            encryptor_portable(AES256_GCM, MASTER_KEY).unwrap(),
        ] {
            let good = seal_to_vec(&*encryptor, &[1; 16], &[2; 12], &[b'x'; 50]).unwrap();
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 0x40;
                assert_eq!(encryptor.open(&[1; 16], &mut bad), Err(Error::Authentication), "{at}");
                assert!(bad.is_empty());
            }
            assert!(encryptor.open(&[3; 16], &mut good.clone()).is_err());
            for len in 0..OVERHEAD {
                let stored = &mut good[..len].to_vec();
                assert_eq!(encryptor.open(&[1; 16], stored), Err(Error::ShortCiphertext { len }));
                assert!(stored.is_empty());
            }
        }
    }

    #[test]
    fn names_and_keys_are_checked() {
        for name in ENCRYPTIONS {
            assert_eq!(encryptor(name, MASTER_KEY).unwrap().name(), *name);
            assert_eq!(encryptor(name, &[]).unwrap_err().class(), crate::base::ErrorClass::Invalid);
        }
        assert_eq!(
            encryptor("NONE", MASTER_KEY).unwrap_err(),
            Error::UnknownAlgorithm { kind: "encryption", name: "NONE".to_owned() }
        );
        assert!(encryptor_portable(CHACHA20_POLY1305, MASTER_KEY).is_err());
    }

    proptest! {
        #[test]
        fn both_aes_implementations_agree(
            iv in proptest::collection::vec(any::<u8>(), 0..40),
            nonce: [u8; 12],
            plaintext in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let fast = encryptor(AES256_GCM, MASTER_KEY).unwrap();
            let portable = encryptor_portable(AES256_GCM, MASTER_KEY).unwrap();
            let sealed = seal_to_vec(&*fast, &iv, &nonce, &plaintext).unwrap();
            prop_assert_eq!(&seal_to_vec(&*portable, &iv, &nonce, &plaintext).unwrap(), &sealed);
            for opener in [&fast, &portable] {
                let mut opened = sealed.clone();
                opener.open(&iv, &mut opened).unwrap();
                prop_assert_eq!(&opened, &plaintext);
            }
        }
    }
}

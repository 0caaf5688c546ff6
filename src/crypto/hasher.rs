//! The registry of keyed content hashes.

use super::{Error, Hash, Result, blake2, blake3, hmac};
use std::sync::Arc;

/// Names of all hashes, in the spelling stored in the repository.
pub const HASHES: &[&str] = &[
    "BLAKE2B-256-128",
    "BLAKE2B-256",
    "BLAKE2S-128",
    "BLAKE2S-256",
    "BLAKE3-256",
    "BLAKE3-256-128",
    "HMAC-SHA224",
    "HMAC-SHA256",
    "HMAC-SHA256-128",
    "HMAC-SHA3-224",
    "HMAC-SHA3-256",
];

/// The hash of new repositories.
pub const DEFAULT_HASH: &str = "BLAKE2B-256-128";

/// A hash keyed with the secret of one repository.
pub trait ContentHasher: Send + Sync + std::fmt::Debug {
    /// The stored name.
    fn name(&self) -> &'static str;

    /// Length of every hash in bytes, 16 to 32.
    fn hash_len(&self) -> usize;

    /// Hashes plaintext.
    fn hash(&self, data: &[u8]) -> Hash;

    /// Appends the hash of each input to `out`, in the order of `inputs`.
    ///
    /// Hashes that can work on several inputs at once do; four or more of similar length pay best.
    fn hash_many(&self, inputs: &[&[u8]], out: &mut Vec<Hash>) {
        out.extend(inputs.iter().map(|input| self.hash(input)));
    }
}

/// The hash called `name`, keyed with `secret`.
///
/// # Errors
/// [`Error::UnknownAlgorithm`]; [`Error::InvalidKey`] when the secret is too long for BLAKE2, or absent where
/// BLAKE2S-128 needs one.
///
/// Source: kopia `repo/hashing/`.
pub fn hasher(name: &str, secret: &[u8]) -> Result<Arc<dyn ContentHasher>> {
    match name {
        "BLAKE2B-256-128" => blake2::blake2b("BLAKE2B-256-128", secret, 16),
        "BLAKE2B-256" => blake2::blake2b("BLAKE2B-256", secret, 32),
        "BLAKE2S-128" => blake2::blake2s("BLAKE2S-128", secret, 16),
        "BLAKE2S-256" => blake2::blake2s("BLAKE2S-256", secret, 32),
        "BLAKE3-256" => Ok(blake3::blake3("BLAKE3-256", secret, 32)),
        "BLAKE3-256-128" => Ok(blake3::blake3("BLAKE3-256-128", secret, 16)),
        "HMAC-SHA224" => Ok(hmac::sha224("HMAC-SHA224", secret)),
        "HMAC-SHA256" => Ok(hmac::sha256("HMAC-SHA256", secret, 32)),
        "HMAC-SHA256-128" => Ok(hmac::sha256("HMAC-SHA256-128", secret, 16)),
        "HMAC-SHA3-224" => Ok(hmac::sha3_224("HMAC-SHA3-224", secret)),
        "HMAC-SHA3-256" => Ok(hmac::sha3_256("HMAC-SHA3-256", secret)),
        _ => Err(Error::UnknownAlgorithm { kind: "hash", name: name.to_owned() }),
    }
}

/// The first `len` bytes of a digest.
///
/// `len` comes from the table above and never exceeds the digest.
pub(super) fn truncated(digest: &[u8], len: usize) -> Hash {
    Hash::from_slice(&digest[..len]).expect("registered lengths are 16 to 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Vec<u8> {
        (0..32).collect()
    }

    #[test]
    fn known_answers() {
        for (name, expected) in [
            ("BLAKE2B-256-128", "e284e5ae9e9ee34777499c886c42fce0"),
            ("BLAKE2B-256", "e284e5ae9e9ee34777499c886c42fce0466a813b7e278dc806db57bcfe2255f1"),
            ("BLAKE2S-128", "9dc39de6198d670172a4bf1a20c88f06"),
            ("BLAKE2S-256", "91f7ccd2b023b7b4e708a750f8a59051ca893082d25d2f49a558f249fe7c0ccd"),
            ("BLAKE3-256", "4ebf5cf7a32a345339118ca2eba61501ff2e13cfe42678516560aac298c3dad3"),
            ("BLAKE3-256-128", "4ebf5cf7a32a345339118ca2eba61501"),
            ("HMAC-SHA224", "b4d40f8484842f7cad969aea7ea110e291697f07d3c9ffcd2f10a475"),
            ("HMAC-SHA256", "411b9a51e8565e1fc79643b2a6c4672f4a3c3e573c33d0995a08748cb6128e8e"),
            ("HMAC-SHA256-128", "411b9a51e8565e1fc79643b2a6c4672f"),
            ("HMAC-SHA3-224", "cfdc0f7c3ae4f7c413f7fa56c3a83e656c87e06d1dbbd935ca912861"),
            ("HMAC-SHA3-256", "f76aacea7480978b8dbeb285452b5bc8f9f016ae33b0f7ff99fcbf73edd02c2c"),
        ] {
            let hasher = hasher(name, &key()).unwrap();
            assert_eq!(hasher.hash(b"hello world").to_string(), expected, "{name}");
            assert_eq!((hasher.name(), hasher.hash_len()), (name, expected.len() / 2));
        }
        assert!(HASHES.contains(&DEFAULT_HASH));
        assert!(HASHES.iter().all(|name| hasher(name, &key()).is_ok_and(|hasher| hasher.name() == *name)));
        assert!(matches!(hasher("MD5", &key()), Err(Error::UnknownAlgorithm { kind: "hash", .. })));
    }

    #[test]
    fn many_inputs_hash_as_each_alone() {
        let data: Vec<u8> = (0..70_000_u32).map(|i| (i * 7 / 3) as u8).collect();
        let lens = [0, 1, 63, 64, 127, 128, 129, 5_000, 70_000, 255, 256, 257, 33, 69_999];
        let inputs: Vec<&[u8]> = lens.iter().map(|&len| &data[data.len() - len..]).collect();
        for name in HASHES {
            let hasher = hasher(name, &key()).unwrap();
            for take in 0..=inputs.len() {
                let mut out = vec![hasher.hash(b"already there")];
                hasher.hash_many(&inputs[..take], &mut out);
                let alone = inputs[..take].iter().map(|input| hasher.hash(input));
                assert!(out.iter().copied().skip(1).eq(alone), "{name} {take}");
            }
        }
    }

    #[test]
    fn secrets_of_unusual_length() {
        for name in HASHES {
            let absent = hasher(name, &[]);
            assert_eq!(absent.is_err(), *name == "BLAKE2S-128", "{name}");
        }
        assert!(hasher("BLAKE2B-256", &[0; 64]).is_ok());
        assert_eq!(
            hasher("BLAKE2B-256", &[0; 65]).unwrap_err(),
            Error::InvalidKey { algorithm: "BLAKE2B-256", len: 65 }
        );
        assert!(hasher("BLAKE2S-256", &[0; 33]).is_err());
        assert!(hasher("HMAC-SHA256", &[0; 1000]).is_ok());
    }
}

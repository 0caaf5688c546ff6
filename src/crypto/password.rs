//! Keys from passwords.

use super::{Error, Result};
use crate::base::Secret;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// scrypt with N = 65536, r = 8, p = 1: takes 64 MiB while it runs.
pub const SCRYPT_65536_8_1: &str = "scrypt-65536-8-1";
/// PBKDF2 with HMAC-SHA-256 and 600 000 rounds.
pub const PBKDF2_SHA256_600000: &str = "pbkdf2-sha256-600000";
/// Names of all derivations.
pub const KEY_DERIVATIONS: &[&str] = &[SCRYPT_65536_8_1, PBKDF2_SHA256_600000];
/// The derivation of new repositories.
pub const DEFAULT_KEY_DERIVATION: &str = SCRYPT_65536_8_1;

const KEY_LEN: usize = 32;
/// Shortest salt, from NIST SP 800-132; Kopia refuses shorter ones too.
const MIN_SALT_LEN: usize = 16;
const PBKDF2_ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).expect("not zero");

/// Derives the 32-byte key of a repository from its password, taken as it is, without trimming or normalising.
///
/// Deliberately slow: about a tenth to a quarter of a second.
///
/// # Errors
/// [`Error::UnknownAlgorithm`]; [`Error::ShortSalt`] below 16 bytes.
///
/// Source: kopia `internal/crypto/pb_key_deriver_*.go`.
pub fn derive_key_from_password(algorithm: &str, password: &[u8], salt: &[u8]) -> Result<Secret> {
    if !KEY_DERIVATIONS.contains(&algorithm) {
        return Err(Error::UnknownAlgorithm { kind: "key derivation", name: algorithm.to_owned() });
    }
    if salt.len() < MIN_SALT_LEN {
        return Err(Error::ShortSalt { len: salt.len(), min: MIN_SALT_LEN });
    }
    let mut key = Zeroizing::new([0; KEY_LEN]);
    if algorithm == SCRYPT_65536_8_1 {
        let params = scrypt::Params::new(16, 8, 1).expect("the parameters are in range");
        scrypt::scrypt(password, salt, &params, &mut *key).expect("32 bytes are a valid output length");
    } else {
        pbkdf2_sha256(password, salt, PBKDF2_ROUNDS, &mut *key);
    }
    Ok(Secret::new(key.to_vec()))
}

fn pbkdf2_sha256(password: &[u8], salt: &[u8], rounds: NonZeroU32, out: &mut [u8]) {
    use aws_lc_rs::pbkdf2;
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let salt: Vec<u8> = (0..32).collect();
        for (algorithm, key) in [
            (SCRYPT_65536_8_1, "d88dd954315ef92b27d902c52d3c1b2c90b4f0f755030167664638ca506f2a5c"),
            (PBKDF2_SHA256_600000, "6e0e47b07fb12cc6608ce003ec335e64e80afd97be2916c2b75e7acca956b65f"),
        ] {
            let derived = derive_key_from_password(algorithm, b"correct horse", &salt).unwrap();
            assert_eq!(hex::encode(derived.expose()), key);
        }
    }

    #[test]
    fn refuses_short_salts_and_unknown_names() {
        assert_eq!(
            derive_key_from_password(SCRYPT_65536_8_1, b"x", &[0; 15]),
            Err(Error::ShortSalt { len: 15, min: 16 })
        );
        assert!(derive_key_from_password("scrypt-1-1-1", b"x", &[0; 16]).is_err());
    }
}

//! HMAC-SHA-256 and the derivation of keys from keys (RFC 5869).

use crate::base::Secret;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// HMAC-SHA-256 that has absorbed its key; copying it saves two of the four compressions of a short message.
pub(super) type KeyedHmac = Hmac<Sha256>;

/// Absorbs a key of any length.
pub(super) fn keyed_hmac(key: &[u8]) -> KeyedHmac {
    KeyedHmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// HMAC-SHA-256 of `data`.
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    keyed_hmac(key).chain_update(data).finalize().into_bytes().into()
}

/// `len` bytes derived from `ikm` with HKDF-SHA-256 (extract, then expand).
///
/// # Panics
/// When `len` exceeds 8160, the most that RFC 5869 allows; callers pass constants.
pub fn hkdf_sha256(ikm: &[u8], salt: &[u8], info: &[u8], len: usize) -> Secret {
    assert!(len <= 255 * 32, "HKDF derives at most 8160 bytes");
    let expand = keyed_hmac(&hmac_sha256(salt, ikm));
    let mut out = Vec::with_capacity(len.next_multiple_of(32));
    let mut block: Option<[u8; 32]> = None;
    for counter in 1..=255_u8 {
        if out.len() >= len {
            break;
        }
        let previous = block.as_ref().map_or(&[][..], |block| block.as_slice());
        let next = expand.clone().chain_update(previous).chain_update(info).chain_update([counter]);
        let next: [u8; 32] = next.finalize().into_bytes().into();
        out.extend_from_slice(&next);
        block = Some(next);
    }
    out.truncate(len);
    Secret::new(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(ikm: &[u8], salt: &[u8], info: &[u8], len: usize) -> String {
        hex::encode(hkdf_sha256(ikm, salt, info, len).expose())
    }

    #[test]
    fn known_answers() {
        assert_eq!(
            derived(b"ABCDEFGHIJKLMNOP", b"0123456789012345", b"the-test-purpose", 32),
            "828769ee8969bc37f11dbaa32838f8db6c19daa6e3ae5f5eed2da2d94d8faddb"
        );
        // RFC 5869, test case 1: longer than one block.
        assert_eq!(
            derived(
                &[0x0b; 22],
                &hex::decode("000102030405060708090a0b0c").unwrap(),
                &hex::decode("f0f1f2f3f4f5f6f7f8f9").unwrap(),
                42
            ),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
        assert_eq!(derived(b"x", b"", b"", 0), "");
    }

    #[test]
    fn longest_output() {
        assert_eq!(hkdf_sha256(b"x", b"", b"", 8160).expose().len(), 8160);
    }
}

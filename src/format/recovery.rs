//! The copy of the format blob that old repositories carry at the start of every pack.
//!
//! Only repositories without `enablePasswordChange` have it. The copy is followed by a checksum and framed by its
//! length on both sides, so it can be found from either end of a pack.

use super::{Error, Result};
use crate::crypto::hmac_sha256;

/// How many bytes from either end of a pack suffice to find the copy.
pub const RECOVERY_PROBE_BYTES: u64 = 65_536;

/// Longest copy with its checksum.
const CHECKED_LEN_MAX: usize = 65_000;
const CHECKSUM_LEN: usize = 32;
const CHECKSUM_KEY: &[u8] = b"kopia-repository";

/// The block to put at the start of every pack, around the exact bytes of `kopia.repository`.
///
/// # Errors
/// [`Error::RecoveryTooLong`] above 64,968 bytes.
///
/// Source: kopia `repo/format/format_blob.go`.
pub fn recovery_block(format: &[u8]) -> Result<Vec<u8>> {
    let too_long = || Error::RecoveryTooLong { length: format.len() };
    let checked_len = format.len().checked_add(CHECKSUM_LEN).filter(|&len| len <= CHECKED_LEN_MAX);
    let length = u16::try_from(checked_len.ok_or_else(too_long)?).map_err(|_| too_long())?;
    let mut block = Vec::with_capacity(usize::from(length) + 4);
    block.extend_from_slice(&length.to_le_bytes());
    block.extend_from_slice(format);
    block.extend_from_slice(&hmac_sha256(CHECKSUM_KEY, format));
    block.extend_from_slice(&length.to_le_bytes());
    Ok(block)
}

/// Finds a copy in the first [`RECOVERY_PROBE_BYTES`] of a pack.
pub fn recovery_from_start(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    check(rest.get(..length)?)
}

/// Finds a copy in the last [`RECOVERY_PROBE_BYTES`] of a pack.
pub fn recovery_from_end(bytes: &[u8]) -> Option<&[u8]> {
    let (rest, length) = bytes.split_last_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    check(rest.get(rest.len().checked_sub(length)?..)?)
}

fn check(checked: &[u8]) -> Option<&[u8]> {
    if checked.len() > CHECKED_LEN_MAX {
        return None;
    }
    let (format, sum) = checked.split_last_chunk::<CHECKSUM_LEN>()?;
    (hmac_sha256(CHECKSUM_KEY, format) == *sum).then_some(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &[u8] = b"{\"tool\":\"x\"}\n";

    #[test]
    fn the_block_is_kopias() {
        assert_eq!(
            hex::encode(recovery_block(FORMAT).unwrap()),
            "2d007b22746f6f6c223a2278227d0a9bd69d13840f6717e87d4d4087a7c14088f4f7e127c6d4230817a1c94554c0512d00"
        );
        assert!(recovery_block(&vec![0; 64_968]).is_ok());
        assert!(recovery_block(&vec![0; 64_969]).is_err());
    }

    #[test]
    fn the_copy_is_found_from_both_ends_and_only_when_whole() {
        let block = recovery_block(FORMAT).unwrap();
        let start = [&block[..], b"contents"].concat();
        assert_eq!(recovery_from_start(&start), Some(FORMAT));
        assert_eq!(recovery_from_end(&start), None);
        let end = [b"contents", &block[..]].concat();
        assert_eq!(recovery_from_end(&end), Some(FORMAT));
        assert_eq!(recovery_from_start(&end), None);
        for at in 0..block.len() - 2 {
            let mut damaged = block.clone();
            damaged[at] ^= 1;
            assert_eq!(recovery_from_start(&damaged), None, "byte {at}");
            assert_eq!(recovery_from_start(&block[..at]), None, "length {at}");
        }
    }
}

//! The header of a gzip member (RFC 1952).

use super::deflate::Failure;

/// Magic, method "deflate", no flags, no time, no hint, unknown system.
pub(super) const PLAIN: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

const HEADER_CHECKSUM: u8 = 0x02;
const EXTRA: u8 = 0x04;
const NAME: u8 = 0x08;
const COMMENT: u8 = 0x10;
const RESERVED: u8 = 0xe0;

/// What follows the header.
pub(super) fn skip(input: &[u8]) -> Result<&[u8], Failure> {
    let (fixed, mut rest) = input.split_first_chunk::<{ PLAIN.len() }>().ok_or(Failure::Truncated)?;
    if fixed[..3] != PLAIN[..3] || fixed[3] & RESERVED != 0 {
        return Err(Failure::Corrupt("no gzip header"));
    }
    let flags = fixed[3];
    if flags & EXTRA != 0 {
        let (len, after) = rest.split_first_chunk::<2>().ok_or(Failure::Truncated)?;
        rest = after.get(usize::from(u16::from_le_bytes(*len))..).ok_or(Failure::Truncated)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|&byte| byte == 0).ok_or(Failure::Truncated)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HEADER_CHECKSUM != 0 {
        rest = rest.get(2..).ok_or(Failure::Truncated)?;
    }
    Ok(rest)
}

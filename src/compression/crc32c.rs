//! CRC-32C (Castagnoli), sixteen bytes at a time.

/// The polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;
const SLICES: usize = 16;

/// `TABLES[n][b]` is what byte `b` contributes when `n` bytes follow it.
static TABLES: [[u32; 256]; SLICES] = tables();

const fn tables() -> [[u32; 256]; SLICES] {
    let mut tables = [[0; 256]; SLICES];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = value >> 1 ^ if value & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut slice = 1;
    while slice < SLICES {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[slice - 1][byte];
            tables[slice][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        slice += 1;
    }
    tables
}

/// The checksum of `data`.
pub(super) fn crc32c(data: &[u8]) -> u32 {
    let (blocks, rest) = data.as_chunks::<SLICES>();
    let state = blocks.iter().fold(u32::MAX, |state, block| {
        let head = state.to_le_bytes();
        let mut next = 0;
        for (at, &byte) in block.iter().enumerate() {
            let byte = if at < head.len() { byte ^ head[at] } else { byte };
            next ^= TABLES[SLICES - 1 - at][usize::from(byte)];
        }
        next
    });
    let step = |state: u32, &byte: &u8| state >> 8 ^ TABLES[0][usize::from(state as u8 ^ byte)];
    !rest.iter().fold(state, step)
}

/// The disguise in which Snappy's framing stores a checksum, so that data with embedded checksums does not confuse it.
pub(super) fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
    #[test]
    fn published_answers() {
        assert_eq!(crc32c(b""), 0);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let rising: [u8; 32] = std::array::from_fn(|n| n as u8);
        assert_eq!(crc32c(&rising), 0x46dd_794e);
        assert_eq!(
            crc32c(&rising[..17]),
            !rising[..17]
                .iter()
                .fold(u32::MAX, |state, &byte| { state >> 8 ^ TABLES[0][usize::from(state as u8 ^ byte)] })
        );
    }
}

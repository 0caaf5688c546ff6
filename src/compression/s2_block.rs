//! S2 blocks: literals and copies.

use super::s2::{Failure, MAX_BLOCK_LEN};

/// Appends what `block` holds, at most `left` bytes.
///
/// Layout: kopia's S2 is `github.com/klauspost/compress/s2`; Snappy's block format with a copy that repeats the last
/// offset.
pub(super) fn decode(block: &[u8], out: &mut Vec<u8>, left: usize) -> Result<(), Failure> {
    let mut input = Input(block);
    let len = input.uvarint()?;
    if len > MAX_BLOCK_LEN {
        return Err(Failure::Corrupt("block too long"));
    }
    if len > left {
        return Err(Failure::TooLong);
    }
    out.reserve_exact(len);
    let start = out.len();
    let mut last_offset = 0;
    while let Some(element) = input.element()? {
        let room = len - (out.len() - start);
        match element {
            Element::Literal(bytes) if bytes.len() <= room => out.extend_from_slice(bytes),
            Element::Copy { offset, len: count } if count <= room => {
                let offset = offset.unwrap_or(last_offset);
                if offset == 0 || offset > out.len() - start {
                    return Err(Failure::Corrupt("copy from outside the block"));
                }
                copy(out, offset, count);
                last_offset = offset;
            }
            _ => return Err(Failure::Corrupt("block longer than it says")),
        }
    }
    if out.len() - start == len { Ok(()) } else { Err(Failure::Corrupt("block shorter than it says")) }
}

/// Appends `count` bytes found `offset` bytes before the end; they may overlap what is being written.
fn copy(out: &mut Vec<u8>, offset: usize, count: usize) {
    let from = out.len() - offset;
    let mut left = count;
    while left > 0 {
        // What has been copied already repeats with the same period, so each turn may take twice as much.
        let turn = left.min(out.len() - from);
        out.extend_from_within(from..from + turn);
        left -= turn;
    }
}

/// One step of a block.
enum Element<'i> {
    /// Bytes as they are.
    Literal(&'i [u8]),
    /// Bytes from before; no offset means the last one again.
    Copy { offset: Option<usize>, len: usize },
}

/// What is left of a block.
struct Input<'i>(&'i [u8]);

impl<'i> Input<'i> {
    fn take(&mut self, len: usize) -> Result<&'i [u8], Failure> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Failure::Corrupt("block ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// A little-endian number of `N` bytes, at most 4.
    fn number<const N: usize>(&mut self) -> Result<usize, Failure> {
        let (bytes, rest) =
            self.0.split_first_chunk::<N>().ok_or(Failure::Corrupt("block ends too early"))?;
        self.0 = rest;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }

    /// A length of up to 32 bits in groups of seven bits, the lowest first.
    fn uvarint(&mut self) -> Result<usize, Failure> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.number::<1>()?;
            value |= (byte as u64 & 0x7f) << shift;
            if byte < 0x80 {
                return usize::try_from(value).map_err(|_| Failure::Corrupt("block too long"));
            }
        }
        Err(Failure::Corrupt("block too long"))
    }

    fn element(&mut self) -> Result<Option<Element<'i>>, Failure> {
        let Some((&tag, rest)) = self.0.split_first() else { return Ok(None) };
        self.0 = rest;
        let upper = usize::from(tag >> 2);
        Ok(Some(match tag & 3 {
            0 => {
                let len = match upper {
                    60 => self.number::<1>()?,
                    61 => self.number::<2>()?,
                    62 => self.number::<3>()?,
                    63 => self.number::<4>()?,
                    short => short,
                };
                Element::Literal(self.take(len.saturating_add(1))?)
            }
            1 => {
                let offset = usize::from(tag >> 5) << 8 | self.number::<1>()?;
                if offset == 0 {
                    Element::Copy { offset: None, len: self.repeat_len(upper & 7)? }
                } else {
                    Element::Copy { offset: Some(offset), len: 4 + (upper & 7) }
                }
            }
            2 => Element::Copy { offset: Some(self.number::<2>()?), len: 1 + upper },
            _ => Element::Copy { offset: Some(self.number::<4>()?), len: 1 + upper },
        }))
    }

    /// The length of a copy that repeats the last offset.
    fn repeat_len(&mut self, field: usize) -> Result<usize, Failure> {
        Ok(match field {
            5 => 8 + self.number::<1>()?,
            6 => 260 + self.number::<2>()?,
            7 => 65_540 + self.number::<3>()?,
            short => 4 + short,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(block: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut out = b"before".to_vec();
        decode(block, &mut out, 1 << 20)?;
        Ok(out.split_off(6))
    }

    #[test]
    fn every_kind_of_element() {
        // Literal "abcd", copy (1-byte offset 4, length 4), repeat of length 4 and of length 8 + 2.
        assert_eq!(decoded(b"\x16\x0cabcd\x01\x04\x01\x00\x15\x00\x02").unwrap(), b"abcdabcdabcdabcdabcdab");
        // Copies with 2- and 4-byte offsets, and an overlapping one of period 1.
        assert_eq!(decoded(b"\x09\x08abc\x0a\x03\0\x0b\x01\0\0\0").unwrap(), b"abcabcccc");
        // A literal whose length has a byte of its own.
        let long = [b"\x64\xf0\x63", &[7; 100][..]].concat();
        assert_eq!(decoded(&long).unwrap(), [7; 100]);
        // Repeats with 2 and 3 bytes of length.
        let block = b"\x8e\x82\x04\x00x\x01\x01\x19\0\x01\0\x1d\0\0\0\0";
        assert_eq!(decoded(block).unwrap(), vec![b'x'; 1 + 4 + 261 + 65_540]);
    }

    #[test]
    fn bad_blocks_are_refused() {
        let corrupt = |block: &[u8]| matches!(decoded(block), Err(Failure::Corrupt(_)));
        assert!(corrupt(b""));
        assert!(corrupt(b"\x04\x0cabc"), "literal cut short");
        assert!(corrupt(b"\x08\x0cabcd"), "less than promised");
        assert!(corrupt(b"\x03\x0cabcd"), "more than promised");
        assert!(corrupt(b"\x08\x0cabcd\x01\x05"), "before the start of the block");
        assert!(corrupt(b"\x08\x0cabcd\x01\x00"), "repeat of nothing");
        assert!(corrupt(b"\x08\x0cabcd\x0e\x00\x00"), "offset zero");
        assert!(corrupt(b"\x81\x80\x80\x02\x00a"), "longer than any block");
        assert!(corrupt(b"\xff\xff\xff\xff\xff\x01"), "length beyond 32 bits");
        let mut out = Vec::new();
        assert_eq!(decode(b"\x05\x10abcde", &mut out, 4), Err(Failure::TooLong));
        decode(b"\x00", &mut out, 0).unwrap();
    }
}

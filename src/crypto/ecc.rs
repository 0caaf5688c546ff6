//! Error correction around encrypted items: Reed–Solomon over shards that carry checksums.
//!
//! Nothing about the code is stored with an item: its geometry follows from the overhead chosen for the repository and
//! from the length. The checksum of a shard tells that it is damaged; the parity shards of its block restore it.
//!
//! Layout of an item: all parity shards of all blocks, then all data shards, each behind its CRC-32 (big-endian). The
//! data is `u32be(length) ‖ item`, padded with zeros; in long items the padding at the end is not stored.
//!
//! Source: kopia `repo/ecc/`.

use super::galois::{add_product, weights};
use super::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

const ALGORITHM: &str = "REED-SOLOMON-CRC32";
const CRC_LEN: usize = 4;
/// Length of the length in front of the data.
const LENGTH_LEN: usize = 4;
/// Small items have a code of their own, so that they are not padded to a hundred shards.
const SMALL_DATA: usize = 6;
const SMALL_PARITY: usize = 2;

/// The error-correcting code of a repository.
#[derive(Clone)]
pub struct Ecc {
    max_shard: usize,
    code: Arc<Code>,
    small: Arc<Code>,
}

impl Ecc {
    /// The code called `algorithm` with about `overhead_percent` of redundancy; no code for an empty name or 0 %.
    ///
    /// # Errors
    /// [`Error::UnknownAlgorithm`].
    pub fn new(algorithm: &str, overhead_percent: u32) -> Result<Option<Self>> {
        if algorithm.is_empty() || overhead_percent == 0 {
            return Ok(None);
        }
        if algorithm != ALGORITHM {
            return Err(Error::UnknownAlgorithm { kind: "error correction", name: algorithm.to_owned() });
        }
        let (max_shard, data, parity) = parameters(overhead_percent);
        Ok(Some(Self {
            max_shard,
            code: Arc::new(Code::new(data, parity)),
            small: Arc::new(Code::new(SMALL_DATA, SMALL_PARITY)),
        }))
    }

    /// Adds the redundancy.
    ///
    /// # Errors
    /// [`Error::TooLong`] from 4 GiB.
    pub fn encode(&self, data: &[u8]) -> Result<Vec<u8>> {
        let length = u32::try_from(data.len()).map_err(|_| Error::TooLong { len: data.len() })?;
        let shape = self.shape_of_content(data.len());
        let mut padded = Vec::with_capacity(shape.content_len());
        padded.extend_from_slice(&length.to_be_bytes());
        padded.extend_from_slice(data);
        padded.resize(shape.content_len(), 0);

        let mut out = Vec::with_capacity(shape.stored_len());
        for block in padded.chunks_exact(shape.code.data * shape.shard_len) {
            for weights in &shape.code.parity {
                let mut shard = vec![0; shape.shard_len];
                for (&weight, data) in weights.iter().zip(block.chunks_exact(shape.shard_len)) {
                    add_product(&mut shard, weight, data);
                }
                push_shard(&mut out, &shard, shape.shard_len);
            }
        }
        let meaningful = if shape.stores_padding { padded.len() } else { LENGTH_LEN + data.len() };
        for (shard, at) in padded.chunks_exact(shape.shard_len).zip((0..meaningful).step_by(shape.shard_len))
        {
            push_shard(&mut out, shard, meaningful - at);
        }
        Ok(out)
    }

    /// Repairs what is damaged and removes the redundancy. An item that was cut short is damaged at its end.
    ///
    /// # Errors
    /// [`Error::Uncorrectable`] when a block has more damaged shards than parity; [`Error::InvalidLength`] when the
    /// bytes never were an item.
    pub fn decode(&self, mut stored: Vec<u8>) -> Result<Vec<u8>> {
        let received = stored.len();
        let shape = self.shape_of_stored(received);
        stored.resize(shape.stored_len(), 0);
        let mut out = shape.decode_blocks(&stored, received)?;
        let length = out.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
        let invalid = Error::InvalidLength { len: received, claimed: u64::from(length) };
        let end = usize::try_from(length).ok().and_then(|length| length.checked_add(LENGTH_LEN));
        let Some(end) = end.filter(|&end| end <= out.len()) else { return Err(invalid) };
        let whole = self.stored_len(end - LENGTH_LEN);
        if whole > stored.len() {
            return Err(invalid);
        }
        if whole > received {
            // What was taken for padding that is never stored is missing.
            out = shape.decode_blocks(&stored, whole)?;
        }
        out.copy_within(LENGTH_LEN..end, 0);
        out.truncate(end - LENGTH_LEN);
        Ok(out)
    }

    /// The length that an item of `len` bytes has when it is stored.
    fn stored_len(&self, len: usize) -> usize {
        let shape = self.shape_of_content(len);
        if shape.stores_padding {
            return shape.stored_len();
        }
        let meaningful = LENGTH_LEN + len;
        let parity = shape.blocks * shape.code.parity.len() * (CRC_LEN + shape.shard_len);
        parity + meaningful.div_ceil(shape.shard_len) * CRC_LEN + meaningful
    }

    fn shape_of_content(&self, len: usize) -> Shape<'_> {
        let len = len + LENGTH_LEN;
        let code = &*self.code;
        if len <= 2 * 4 * (code.data + code.parity.len()) {
            Shape::padded(&self.small, len.div_ceil(SMALL_DATA))
        } else if len <= code.data * self.max_shard {
            Shape::padded(code, len.div_ceil(code.data))
        } else {
            self.long_shape(len.div_ceil(code.data * self.max_shard))
        }
    }

    fn shape_of_stored(&self, len: usize) -> Shape<'_> {
        let code = &*self.code;
        let shards = code.data + code.parity.len();
        let small_limit = 8 * (CRC_LEN + (8 * shards).div_ceil(SMALL_DATA));
        let shard_len = |shards: usize| len.div_ceil(shards).max(CRC_LEN + 1) - CRC_LEN;
        if len <= small_limit {
            Shape::padded(&self.small, shard_len(SMALL_DATA + SMALL_PARITY))
        } else if len <= shards * (CRC_LEN + self.max_shard) {
            Shape::padded(code, shard_len(shards))
        } else {
            self.long_shape(len.div_ceil(shards * (CRC_LEN + self.max_shard)))
        }
    }

    fn long_shape(&self, blocks: usize) -> Shape<'_> {
        Shape { code: &self.code, shard_len: self.max_shard, blocks, stores_padding: false }
    }
}

impl std::fmt::Debug for Ecc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (data, parity) = (self.code.data, self.code.parity.len());
        write!(f, "{ALGORITHM} {data}+{parity} shards of {} bytes", self.max_shard)
    }
}

/// Longest shard, number of data shards and of parity shards per block.
///
/// Kopia divides in single precision, so this does too: the last bit decides some of the numbers.
fn parameters(percent: u32) -> (usize, usize, usize) {
    let max_shard: u16 = match percent {
        ..=1 => 1024,
        2 => 512,
        3 => 256,
        4..=6 => 128,
        _ => 64,
    };
    // What the checksums leave of the overhead, in percent.
    let free = (percent as f32 - 400.0 / f32::from(max_shard)).max(0.01);
    let parity = (128.0 * f64::from(free / 100.0)).floor().clamp(1.0, 128.0) as usize;
    if parity > 1 {
        return (usize::from(max_shard), 128, parity);
    }
    let data = (2.0 * f64::from(100.0 / free)).floor().clamp(128.0, 254.0) as usize;
    (usize::from(max_shard), data, 2)
}

/// How many shards make a block, and how parity follows from data.
struct Code {
    data: usize,
    /// For each parity shard the weights of the data shards.
    parity: Vec<Vec<u8>>,
}

impl Code {
    fn new(data: usize, parity: usize) -> Self {
        let points: Vec<u8> = (0..data).map(point).collect();
        Self { data, parity: (data..data + parity).map(|shard| weights(&points, point(shard))).collect() }
    }
}

/// The point at which a shard is the value of the block's polynomial.
fn point(shard: usize) -> u8 {
    u8::try_from(shard).expect("a block has at most 256 shards")
}

/// The geometry of one item.
struct Shape<'c> {
    code: &'c Code,
    shard_len: usize,
    blocks: usize,
    /// Whether the zeros after the end of the data are stored.
    stores_padding: bool,
}

impl<'c> Shape<'c> {
    /// One block, stored in full.
    fn padded(code: &'c Code, shard_len: usize) -> Self {
        Self { code, shard_len, blocks: 1, stores_padding: true }
    }

    fn content_len(&self) -> usize {
        self.blocks * self.code.data * self.shard_len
    }

    /// Length with all padding.
    fn stored_len(&self) -> usize {
        self.blocks * (self.code.data + self.code.parity.len()) * (CRC_LEN + self.shard_len)
    }

    /// Where a shard of a block lies, checksum included; parity shards have the numbers after the data shards.
    fn range(&self, block: usize, shard: usize) -> Range<usize> {
        let parity = self.code.parity.len();
        let index = match shard.checked_sub(self.code.data) {
            Some(number) => block * parity + number,
            None => self.blocks * parity + block * self.code.data + shard,
        };
        let start = index * (CRC_LEN + self.shard_len);
        start..start + CRC_LEN + self.shard_len
    }

    /// The bytes of a shard if they are intact.
    fn shard<'s>(&self, block: usize, shard: usize, stored: &'s [u8], end: usize) -> Option<&'s [u8]> {
        let range = self.range(block, shard);
        let (crc, bytes) = stored.get(range.clone())?.split_first_chunk::<CRC_LEN>()?;
        // Zeros that were never stored have no checksum.
        let padding = shard < self.code.data && range.start >= end;
        (padding || crc32fast::hash(bytes) == u32::from_be_bytes(*crc)).then_some(bytes)
    }

    /// The data of all blocks, repaired; shards of data from `end` on are padding.
    fn decode_blocks(&self, stored: &[u8], end: usize) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.content_len());
        for block in 0..self.blocks {
            self.decode_block(block, stored, end, &mut out)?;
        }
        Ok(out)
    }

    /// Appends the data of one block, repaired.
    fn decode_block(&self, block: usize, stored: &[u8], end: usize, out: &mut Vec<u8>) -> Result<()> {
        let (data, parity) = (self.code.data, self.code.parity.len());
        let shards: Vec<_> = (0..data + parity).map(|shard| self.shard(block, shard, stored, end)).collect();
        let damaged = shards.iter().filter(|shard| shard.is_none()).count();
        if damaged > parity {
            return Err(Error::Uncorrectable { block, damaged, parity });
        }
        let intact = shards.iter().enumerate().filter_map(|(number, shard)| Some((point(number), (*shard)?)));
        let (points, known): (Vec<u8>, Vec<&[u8]>) = intact.take(data).unzip();
        for (number, shard) in shards[..data].iter().enumerate() {
            if let Some(bytes) = shard {
                out.extend_from_slice(bytes);
                continue;
            }
            let start = out.len();
            out.resize(start + self.shard_len, 0);
            for (weight, bytes) in weights(&points, point(number)).into_iter().zip(&known) {
                add_product(&mut out[start..], weight, bytes);
            }
        }
        Ok(())
    }
}

/// Appends the checksum of a whole shard and at most `len` bytes of it.
fn push_shard(out: &mut Vec<u8>, shard: &[u8], len: usize) {
    out.extend_from_slice(&crc32fast::hash(shard).to_be_bytes());
    out.extend_from_slice(&shard[..len.min(shard.len())]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Entropy, SeededEntropy};
    use proptest::prelude::*;

    fn ecc(percent: u32) -> Ecc {
        Ecc::new(ALGORITHM, percent).unwrap().unwrap()
    }

    /// A code with chosen parameters, for the sizes that Kopia's tests give.
    fn custom(data: usize, parity: usize, max_shard: usize) -> Ecc {
        Ecc { max_shard, code: Arc::new(Code::new(data, parity)), ..ecc(1) }
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut data = vec![0; len];
        SeededEntropy::new(len as u64).fill(&mut data);
        data
    }

    #[test]
    fn known_answers() {
        let stored = ecc(2).encode(b"A").unwrap();
        assert_eq!(
            hex::encode(&stored),
            "d702b89ec7a1def90e87d202ef8d00d202ef8d00d202ef8d00a505df1b01d3d99e8b41d202ef8d00"
        );
        assert_eq!(ecc(2).decode(stored).unwrap(), b"A");
        let stored = ecc(2).encode(b"hello world").unwrap();
        assert_eq!(
            hex::encode(&stored),
            "e3396797edd9807bc47ee4d8c681ff41d91200000063e8428b0b6865aac9b3346c6c6f7a7f0c0a20776f2ba3e4c6726c64ff\
             41d912000000"
        );
        assert_eq!(ecc(2).decode(stored).unwrap(), b"hello world");
    }

    #[test]
    fn published_sizes() {
        for (parity, len, stored) in [(2, 1, 40), (2, 10_240, 11_050), (12, 1 << 20, 1_163_704)] {
            let ecc = custom(128, parity, 1024);
            let data = noise(len);
            let encoded = ecc.encode(&data).unwrap();
            assert_eq!(encoded.len(), stored);
            assert_eq!(ecc.decode(encoded).unwrap(), data);
        }
    }

    #[test]
    fn published_parameters() {
        #[rustfmt::skip]
        let from_one = [
            (254, 2), (164, 2), (139, 2), (228, 2), (128, 2), (128, 3), (254, 2), (128, 2), (128, 3), (128, 4),
            (128, 6), (128, 7), (128, 8), (128, 9), (128, 11), (128, 12), (128, 13), (128, 15), (128, 16), (128, 17),
        ];
        for (percent, expected) in (1..).zip(from_one) {
            let (_, data, parity) = parameters(percent);
            assert_eq!((data, parity), expected, "{percent}");
        }
        for (percent, parity) in [
            (25, 24),
            (28, 27),
            (33, 34),
            (40, 43),
            (50, 56),
            (60, 68),
            (75, 88),
            (83, 98),
            (99, 118),
            (100, 120),
        ] {
            assert_eq!(parameters(percent), (64, 128, parity), "{percent}");
        }
    }

    #[test]
    fn each_block_survives_as_much_damage_as_it_has_parity() {
        let ecc = ecc(10);
        let shard = 64 + CRC_LEN;
        let data = noise(20_000);
        let stored = ecc.encode(&data).unwrap();
        assert_eq!(stored.len(), ecc.stored_len(data.len()));
        let blocks = 3;
        let parity = blocks * 4 * shard;
        // Two data shards and two parity shards of every block.
        let mut bad = stored.clone();
        for block in 0..blocks {
            for at in [block * 4 * shard, (block * 4 + 3) * shard + 10] {
                bad[at] ^= 1;
            }
            for number in [block * 128 + 5, block * 128 + 17] {
                bad[parity + number * shard + 40] ^= 0xff;
            }
        }
        assert_eq!(ecc.decode(bad.clone()).unwrap(), data);
        bad[parity + 130 * shard] ^= 1;
        assert_eq!(ecc.decode(bad), Err(Error::Uncorrectable { block: 1, damaged: 5, parity: 4 }));
    }

    /// Readers know the length of what is stored, writers that of what is to be stored.
    #[test]
    fn both_lengths_give_the_same_geometry() {
        for percent in [1, 2, 3, 4, 7, 10, 20, 50, 100] {
            let ecc = ecc(percent);
            for len in (0..150_000).chain((150_000..3_000_000).step_by(997)) {
                let (written, read) = (ecc.shape_of_content(len), ecc.shape_of_stored(ecc.stored_len(len)));
                let shape = |shape: &Shape<'_>| {
                    (shape.code.data, shape.shard_len, shape.blocks, shape.stores_padding)
                };
                assert_eq!(shape(&written), shape(&read), "{percent} %, {len} bytes");
            }
        }
    }

    #[test]
    fn names_are_checked() {
        assert!(Ecc::new("", 5).unwrap().is_none());
        assert!(Ecc::new(ALGORITHM, 0).unwrap().is_none());
        assert!(Ecc::new("PARITY", 5).is_err());
        assert!(Ecc::new(ALGORITHM, u32::MAX).is_ok());
    }

    /// A shard of zeros has a checksum that is not zero, so nothing decodes to a length by accident.
    #[test]
    fn what_never_was_an_item() {
        assert_eq!(ecc(2).decode(Vec::new()), Err(Error::Uncorrectable { block: 0, damaged: 8, parity: 2 }));
        assert!(ecc(2).decode(vec![0; 100]).is_err());
        // Six shards of data and two of parity, all intact, that claim more bytes than there are.
        let mut stored = Vec::new();
        for _ in 0..SMALL_DATA + SMALL_PARITY {
            push_shard(&mut stored, &[0xff], 1);
        }
        let claimed = u64::from(u32::MAX);
        assert_eq!(ecc(2).decode(stored), Err(Error::InvalidLength { len: 40, claimed }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn damage_is_repaired_or_reported(
            percent in 1_u32..12,
            len in prop_oneof![0_usize..3_000, 3_000_usize..40_000],
            damage in proptest::collection::vec(any::<proptest::sample::Index>(), 0..4),
            cut in 0_usize..3,
        ) {
            let (ecc, data) = (ecc(percent), noise(len));
            let mut stored = ecc.encode(&data).unwrap();
            prop_assert_eq!(&ecc.decode(stored.clone()).unwrap(), &data);
            for at in &damage {
                let at = at.index(stored.len());
                stored[at] ^= 0x55;
            }
            if damage.len() <= 2 {
                prop_assert_eq!(&ecc.decode(stored.clone()).unwrap(), &data);
            }
            stored.truncate(stored.len() - cut.min(stored.len()));
            ecc.decode(stored).ok();
        }
    }
}

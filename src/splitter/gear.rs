//! `FastCDC`: a cheaper rolling hash, with two masks that draw lengths towards the average.

use super::Splitter;
use fastcdc::v2020::{MASKS, get_gear_with_seed};
use std::ops::Range;

/// Bytes that can still influence a test: the masks use no bit above the 48th.
const WINDOW: usize = 64;
/// By how many bits the masks before and after the average differ from one that fits the average.
const NORMALIZATION: u32 = 2;

/// Cuts where a gear hash, `h = 2h + G[byte]`, has no bit of a mask: a long mask below the average length, a short one
/// above it.
///
/// Kopia has no such splitter. It reads what was cut here, as it reads anything, but an object cut by one program
/// shares no contents with the same object cut by the other.
pub(super) struct Gear {
    name: &'static str,
    average: usize,
    table: Box<[u64; 256]>,
}

impl Gear {
    /// Chunks of about `average` bytes, a power of two from 4 KiB to 4 MiB.
    pub(super) fn new(name: &'static str, average: usize) -> Self {
        assert!(average.is_power_of_two() && (4 << 10..=4 << 20).contains(&average));
        Self { name, average, table: get_gear_with_seed(0).0 }
    }

    fn find(&self, chunk: &[u8], lengths: Range<usize>, bits: u32) -> Option<usize> {
        let mask = MASKS[bits as usize];
        let push = |hash: u64, byte: u8| (hash << 1).wrapping_add(self.table[usize::from(byte)]);
        let before = lengths.start.checked_sub(1)?;
        let tested = chunk.get(before..lengths.end.saturating_sub(1))?;
        let window = &chunk[before.saturating_sub(WINDOW)..before];
        let mut hash = window.iter().fold(0, |hash, &byte| push(hash, byte));
        let hit = tested.iter().position(|&byte| {
            hash = push(hash, byte);
            hash & mask == 0
        })?;
        Some(lengths.start + hit)
    }
}

impl std::fmt::Debug for Gear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Splitter for Gear {
    fn name(&self) -> &'static str {
        self.name
    }

    fn min_len(&self) -> usize {
        self.average / 4
    }

    fn max_len(&self) -> usize {
        self.average * 2
    }

    fn boundary(&self, chunk: &[u8], scanned: usize) -> Option<usize> {
        let first = self.min_len().max(scanned.saturating_add(1));
        let end = chunk.len().saturating_add(1).min(self.max_len());
        let bits = self.average.ilog2();
        self.find(chunk, first..self.average.min(end), bits + NORMALIZATION)
            .or_else(|| self.find(chunk, first.max(self.average)..end, bits - NORMALIZATION))
            .or_else(|| (chunk.len() >= self.max_len()).then(|| self.max_len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Entropy, SeededEntropy};
    use proptest::prelude::*;

    /// The lengths of the chunks of `data` handed over in pieces.
    fn lengths(data: &[u8], piece: usize) -> Vec<usize> {
        let splitter = Gear::new("test", 4 << 10);
        let (mut start, mut known, mut found) = (0, 0, Vec::new());
        while known < data.len() {
            let mut scanned = known - start;
            known = data.len().min(known + piece);
            while let Some(len) = splitter.boundary(&data[start..known], scanned) {
                start += len;
                scanned = 0;
                found.push(len);
            }
        }
        found
    }

    #[test]
    fn lengths_gather_around_the_average() {
        let mut data = vec![0; 1 << 20];
        SeededEntropy::new(2).fill(&mut data);
        let lengths = lengths(&data, data.len());
        assert!(lengths.iter().all(|len| (1 << 10..=8 << 10).contains(len)));
        let near = lengths.iter().filter(|len| (2 << 10..6 << 10).contains(*len)).count();
        assert!(near * 4 > lengths.len() * 3, "{near} of {}", lengths.len());
        assert!((200..300).contains(&lengths.len()), "{}", lengths.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn cuts_do_not_depend_on_the_pieces(seed: u64, len in 0_usize..60_000, piece in 1_usize..9_000) {
            let mut data = vec![0; len];
            SeededEntropy::new(seed).fill(&mut data);
            data[len / 2..len - len / 4].fill(7);
            prop_assert_eq!(lengths(&data, piece), lengths(&data, len.max(1)));
        }
    }
}

//! The boundary rule shared by all rolling hashes, and the search that runs it fast.

use super::Splitter;
use std::marker::PhantomData;
use std::ops::Range;

/// Bytes that a hash looks back on.
pub(super) const WINDOW: usize = 64;
/// How many parts of a block are searched side by side. Each step of a rolling hash waits for the one before it;
/// with four independent hashes the processor has something to do meanwhile.
/// With six or eight, buzhash was measured a sixth slower.
const LANES: usize = 4;
/// Positions per lane and block. Longer lanes waste less on their first windows; shorter ones leave less at the end of
/// the data for the slow search.
const LANE_LEN: usize = 1024;
const BLOCK_LEN: usize = LANES * LANE_LEN;

/// A hash over the last [`WINDOW`] bytes that is updated byte by byte.
pub(super) trait RollingHash: Send + Sync + 'static {
    /// What is carried from byte to byte.
    type State: Copy + Default;

    /// Takes in one byte of the first window.
    fn push(state: Self::State, input: u8) -> Self::State;

    /// Moves the window by one byte.
    fn roll(state: Self::State, out: u8, input: u8) -> Self::State;

    /// The bits of the hash that decide.
    fn low_bits(state: Self::State) -> u32;

    /// The hash of one whole window.
    fn of_window(window: &[u8; WINDOW]) -> Self::State {
        window.iter().fold(Self::State::default(), |state, &byte| Self::push(state, byte))
    }
}

/// Cuts after every window whose hash ends in zero bits, but no chunk shorter than half or longer than twice the
/// average.
pub(super) struct Rolling<H> {
    name: &'static str,
    average: usize,
    hash: PhantomData<H>,
}

impl<H: RollingHash> Rolling<H> {
    /// Chunks of `average` bytes, a power of two of at least 256, so that the window of every tested position and the
    /// byte before it lie inside the chunk.
    pub(super) const fn new(name: &'static str, average: usize) -> Self {
        assert!(average.is_power_of_two() && average >= 256 && average <= 1 << 30);
        Self { name, average, hash: PhantomData }
    }
}

impl<H> std::fmt::Debug for Rolling<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl<H: RollingHash> Splitter for Rolling<H> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn min_len(&self) -> usize {
        self.average / 2
    }

    fn max_len(&self) -> usize {
        self.average * 2
    }

    fn boundary(&self, chunk: &[u8], scanned: usize) -> Option<usize> {
        let first = self.min_len().max(scanned.saturating_add(1));
        let mask = (self.average - 1) as u32;
        find::<H>(chunk, first..self.max_len().min(chunk.len() + 1), mask)
            .or_else(|| (chunk.len() >= self.max_len()).then(|| self.max_len()))
    }
}

/// The first of `lengths` after whose last byte the hash has no bit of `mask`.
///
/// `lengths` starts above [`WINDOW`] and ends at most one past the length of `chunk`.
fn find<H: RollingHash>(chunk: &[u8], lengths: Range<usize>, mask: u32) -> Option<usize> {
    if lengths.is_empty() {
        return None;
    }
    let start = lengths.start;
    // One byte before the first window, so that every position is reached by rolling.
    let mut rest = &chunk[start - 1 - WINDOW..lengths.end - 1];
    let mut base = start;
    while let Some(block) = rest.first_chunk::<{ BLOCK_LEN + WINDOW }>() {
        if block_has_hit::<H>(block, mask) {
            return find_slowly::<H>(block, mask).map(|at| base + at);
        }
        rest = &rest[BLOCK_LEN..];
        base += BLOCK_LEN;
    }
    find_slowly::<H>(rest, mask).map(|at| base + at)
}

/// Whether any of the [`BLOCK_LEN`] positions of a block is a boundary; finding out which is left to the caller, who
/// has to do it once a chunk.
fn block_has_hit<H: RollingHash>(block: &[u8; BLOCK_LEN + WINDOW], mask: u32) -> bool {
    let mut states: [H::State; LANES] = std::array::from_fn(|lane| {
        let window =
            block[lane * LANE_LEN..].first_chunk().expect("a block holds the window of its last lane");
        H::of_window(window)
    });
    for at in 0..LANE_LEN {
        for (lane, state) in states.iter_mut().enumerate() {
            let out = lane * LANE_LEN + at;
            *state = H::roll(*state, block[out], block[out + WINDOW]);
            // A branch that is hardly ever taken costs less than collecting the results.
            if H::low_bits(*state) & mask == 0 {
                return true;
            }
        }
    }
    false
}

/// The first boundary, counted from the first position that can be rolled to; one hash, byte by byte.
fn find_slowly<H: RollingHash>(data: &[u8], mask: u32) -> Option<usize> {
    let mut state = H::of_window(data.first_chunk()?);
    data.iter().zip(&data[WINDOW..]).position(|(&out, &input)| {
        state = H::roll(state, out, input);
        H::low_bits(state) & mask == 0
    })
}

#[cfg(test)]
mod tests {
    use super::super::buzhash::Buzhash32;
    use super::super::rabin_karp::RabinKarp64;
    use super::*;
    use crate::base::{Entropy, SeededEntropy};
    use proptest::prelude::*;

    /// The rule as the format description words it: one window after the other, nothing remembered.
    fn boundary_by_the_book<H: RollingHash>(average: usize, chunk: &[u8]) -> Option<usize> {
        (average / 2..=chunk.len().min(2 * average)).find(|&len| {
            let hash = H::of_window(chunk[..len].last_chunk().unwrap());
            len == 2 * average || H::low_bits(hash) as usize & (average - 1) == 0
        })
    }

    /// Cuts `data` handed over in pieces of the given lengths, the last of which repeats.
    fn cuts(splitter: &dyn Splitter, data: &[u8], pieces: &[usize]) -> Vec<usize> {
        let mut pieces = pieces.iter().copied().chain(std::iter::repeat(*pieces.last().unwrap()));
        let (mut start, mut known, mut found) = (0, 0, Vec::new());
        while known < data.len() {
            let mut scanned = known - start;
            known = data.len().min(known + pieces.next().unwrap());
            while let Some(len) = splitter.boundary(&data[start..known], scanned) {
                start += len;
                scanned = 0;
                found.push(start);
            }
        }
        found
    }

    fn check<H: RollingHash>(average: usize, data: &[u8], pieces: &[usize]) {
        let splitter = Rolling::<H>::new("test", average);
        let mut expected = Vec::new();
        let mut start = 0;
        while let Some(len) = boundary_by_the_book::<H>(average, &data[start..]) {
            start += len;
            expected.push(start);
        }
        assert_eq!(cuts(&splitter, data, &[data.len().max(1)]), expected);
        assert_eq!(cuts(&splitter, data, &[1]), expected);
        assert_eq!(cuts(&splitter, data, pieces), expected);
    }

    #[test]
    fn blocks_find_the_earliest_boundary() {
        let mut data = vec![0; 60_000];
        SeededEntropy::new(7).fill(&mut data);
        for average in [256, 1 << 11, 1 << 14] {
            check::<Buzhash32>(average, &data, &[10_000]);
            check::<RabinKarp64>(average, &data, &[9_999]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn cuts_do_not_depend_on_the_pieces(
            seed: u64,
            len in 0_usize..16_000,
            flat in 0_usize..8_000,
            bits in 8_u32..13,
            pieces in proptest::collection::vec(1_usize..5_000, 1..20),
        ) {
            let mut data = vec![0; len];
            SeededEntropy::new(seed).fill(&mut data);
            // A run of equal bytes, where one hash cuts at once and the other may never.
            let run = flat.min(len);
            data[..run].fill(seed as u8);
            check::<Buzhash32>(1 << bits, &data, &pieces);
            check::<RabinKarp64>(1 << bits, &data, &pieces);
        }
    }
}

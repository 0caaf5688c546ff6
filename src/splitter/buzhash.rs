//! Buzhash, 32 bits: XOR of rotated table entries.

use super::buzhash_table::TABLE;
use super::rolling::RollingHash;

/// Rotates by one bit per byte. The window is a multiple of the word, so a byte leaves with the rotation it came with,
/// and a window of equal bytes hashes to zero: a run of them is cut at the minimum.
///
/// Source: `github.com/chmduquesne/rollinghash/buzhash32`, as kopia `repo/splitter/splitter_buzhash32.go` seeds it.
#[derive(Debug)]
pub(super) enum Buzhash32 {}

impl RollingHash for Buzhash32 {
    type State = u32;

    #[inline]
    fn push(state: u32, input: u8) -> u32 {
        state.rotate_left(1) ^ TABLE[usize::from(input)]
    }

    #[inline]
    fn roll(state: u32, out: u8, input: u8) -> u32 {
        state.rotate_left(1) ^ (TABLE[usize::from(out)] ^ TABLE[usize::from(input)])
    }

    #[inline]
    fn low_bits(state: u32) -> u32 {
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let window: [u8; 64] = std::array::from_fn(|n| n as u8);
        assert_eq!(Buzhash32::of_window(&window), 0xd9b0_c9cf);
        assert_eq!(Buzhash32::roll(0xd9b0_c9cf, 0, 64), 0x511e_267d);
        let mut window = [0; 64];
        assert_eq!(Buzhash32::of_window(&window), 0);
        window[63] = 1;
        assert_eq!(Buzhash32::of_window(&window), 0x58c3_eb1d);
    }
}

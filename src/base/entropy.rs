//! Randomness, the only door through which it enters.

use parking_lot::Mutex;
use std::cell::RefCell;
use zeroize::Zeroize;

/// A source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

impl dyn Entropy + '_ {
    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }
}

/// The operating system's generator: what names, nonces and keys are drawn from.
///
/// Each thread draws a page at a time, so that the nonce of a small content costs no system call. A byte is handed out
/// once and wiped.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

const POOL_BYTES: usize = 1024;

struct Pool {
    bytes: [u8; POOL_BYTES],
    /// Bytes not handed out yet, at the end.
    left: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL_BYTES], left: 0 }) };
}

impl Entropy for OsEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        if buffer.len() > POOL_BYTES / 4 {
            return from_system(buffer);
        }
        POOL.with_borrow_mut(|pool| {
            if pool.left < buffer.len() {
                from_system(&mut pool.bytes);
                pool.left = POOL_BYTES;
            }
            let start = POOL_BYTES - pool.left;
            let drawn = &mut pool.bytes[start..start + buffer.len()];
            buffer.copy_from_slice(drawn);
            drawn.zeroize();
            pool.left -= buffer.len();
        });
    }
}

fn from_system(buffer: &mut [u8]) {
    getrandom::fill(buffer).expect("the operating system's random generator always answers");
}

/// A repeatable stream for tests and benches (splitmix64). Not for keys.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<u64>);

impl SeededEntropy {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.0.lock();
        for piece in buffer.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            piece.copy_from_slice(&z.to_le_bytes()[..piece.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_draw_repeats_across_refills_and_threads() {
        let draw = || (0..500).map(|_| <dyn Entropy>::bytes::<12>(&OsEntropy)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let drawn: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), drawn.len());
        let mut long = [0; 4096];
        OsEntropy.fill(&mut long);
        assert!(long.chunks(16).all(|piece| piece != [0; 16]));
    }
}

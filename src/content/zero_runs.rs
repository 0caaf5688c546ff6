//! Runs of zeros: the holes of disk images and databases, hashed once a length.
//!
//! A splitter cuts a run of zeros into pieces of one length, so the same few hashes are asked for again and again. The
//! bytes are still read and looked at: what a file system says of its holes has been wrong before, what it returns is
//! what a restore must give back.

use crate::crypto::{ContentHasher, Hash};
use parking_lot::Mutex;
use std::collections::HashMap;

/// Shorter contents are not worth a look.
const LEN_MIN: usize = 64 << 10;
const STEP: usize = 4 << 10;
static ZEROS: [u8; STEP] = [0; STEP];

/// The hashes of runs of zeros under one key, by their length.
#[derive(Debug, Default)]
pub(super) struct ZeroRuns(Mutex<HashMap<usize, Hash>>);

impl ZeroRuns {
    /// Appends the hash of each input to `out`, as [`ContentHasher::hash_many`] does.
    pub(super) fn hash_many(&self, hasher: &dyn ContentHasher, inputs: &[&[u8]], out: &mut Vec<Hash>) {
        if !inputs.iter().any(|input| is_zero_run(input)) {
            return hasher.hash_many(inputs, out);
        }
        let (runs, others): (Vec<&[u8]>, Vec<&[u8]>) =
            inputs.iter().copied().partition(|input| is_zero_run(input));
        let mut found = Vec::with_capacity(others.len());
        hasher.hash_many(&others, &mut found);
        let (mut runs, mut found) = (runs.into_iter().peekable(), found.into_iter());
        for input in inputs {
            // The same slice, not an equal one: the order of both groups is that of the inputs.
            let hash = match runs.next_if(|run| std::ptr::eq(*run, *input)) {
                Some(run) => self.hash(hasher, run),
                None => found.next().expect("every other input has been hashed"),
            };
            out.push(hash);
        }
    }

    fn hash(&self, hasher: &dyn ContentHasher, run: &[u8]) -> Hash {
        let known = self.0.lock().get(&run.len()).copied();
        known.unwrap_or_else(|| {
            let hash = hasher.hash(run);
            self.0.lock().insert(run.len(), hash);
            hash
        })
    }
}

/// Whether the input is long and zero. Nearly always the first step tells.
fn is_zero_run(input: &[u8]) -> bool {
    input.len() >= LEN_MIN && input.chunks(STEP).all(|step| *step == ZEROS[..step.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto;

    #[test]
    fn hashes_are_those_of_the_hasher_in_its_order() {
        let hasher = crypto::hasher("BLAKE2B-256-128", b"key").unwrap();
        let zeros = vec![0; 3 * LEN_MIN];
        let mut late = zeros.clone();
        *late.last_mut().unwrap() = 1;
        let inputs: [&[u8]; 8] = [
            &late,
            &zeros,
            &zeros[..LEN_MIN],
            b"",
            &zeros[..LEN_MIN - 1],
            &zeros,
            &late[1..],
            &zeros[..=LEN_MIN],
        ];
        let mut expected = Vec::new();
        hasher.hash_many(&inputs, &mut expected);
        let runs = ZeroRuns::default();
        for _ in 0..2 {
            let mut found = Vec::new();
            runs.hash_many(hasher.as_ref(), &inputs, &mut found);
            assert_eq!(found, expected);
        }
        assert_eq!(runs.0.lock().len(), 3);
    }
}

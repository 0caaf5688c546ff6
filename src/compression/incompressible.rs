//! A quick guess that compressing is not worth the time.

use super::zstd;

/// Shorter inputs are simply compressed.
const MIN_LEN: usize = 64 << 10;
const SAMPLE_LEN: usize = 4 << 10;
const SAMPLES: usize = 16;

/// Whether no sample of a long input shrinks under fast zstd.
///
/// The samples are spread evenly, so any compressible stretch longer than a sixteenth of the input is noticed. What
/// stays unnoticed are repeats further apart than a sample: data that is random in itself but occurs twice in one
/// content. It is then stored uncompressed, which costs room and nothing else.
pub(super) fn looks_incompressible(input: &[u8]) -> bool {
    if input.len() < MIN_LEN {
        return false;
    }
    let stride = (input.len() - SAMPLE_LEN) / (SAMPLES - 1);
    let mut stream = Vec::new();
    (0..SAMPLES).all(|n| {
        let sample = &input[n * stride..n * stride + SAMPLE_LEN];
        stream.clear();
        zstd::compress_at_level(1, sample, &mut stream).is_ok() && stream.len() >= SAMPLE_LEN
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Entropy, SeededEntropy};

    #[test]
    fn one_compressible_stretch_is_enough() {
        let mut data = vec![0; 1 << 20];
        SeededEntropy::new(1).fill(&mut data);
        assert!(looks_incompressible(&data));
        assert!(!looks_incompressible(&data[..MIN_LEN - 1]));
        assert!(looks_incompressible(&data[..MIN_LEN]));
        for start in [0, 300_000, (1 << 20) - 80_000] {
            let mut patchy = data.clone();
            patchy[start..start + 80_000].fill(b'a');
            assert!(!looks_incompressible(&patchy), "{start}");
        }
    }
}

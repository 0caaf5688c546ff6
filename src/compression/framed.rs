//! The header in front of a compressed content.

use super::incompressible::looks_incompressible;
use super::{Compressor, Error, HeaderId, Result, by_id};

/// Replaces `out` by `u32be(id) ‖ stream` of `input`.
///
/// Returns whether this is strictly shorter than the input, header included; otherwise the input is to be stored as it
/// is and `out` means nothing. Input that looks incompressible is given up early.
///
/// # Errors
/// As [`Compressor::compress`].
pub fn compress_framed(compressor: &dyn Compressor, input: &[u8], out: &mut Vec<u8>) -> Result<bool> {
    out.clear();
    if input.len() <= HeaderId::LEN || looks_incompressible(input) {
        return Ok(false);
    }
    out.extend_from_slice(&compressor.id().0.to_be_bytes());
    compressor.compress(input, out)?;
    Ok(out.len() < input.len())
}

/// Reads a content whose index entry says `id`; an id of 0 means that it is stored as it is.
///
/// # Errors
/// [`Error::WrongHeader`] when the header does not repeat `id`; [`Error::UnknownId`]; else as
/// [`Compressor::decompress`].
pub fn decompress_framed(id: HeaderId, stored: &[u8], max_len: usize) -> Result<Vec<u8>> {
    if id.is_none() {
        return if stored.len() > max_len {
            Err(Error::TooLong { name: "uncompressed", max_len })
        } else {
            Ok(stored.to_vec())
        };
    }
    let compressor = by_id(id).ok_or(Error::UnknownId { id })?;
    let (header, stream) = stored
        .split_first_chunk::<{ HeaderId::LEN }>()
        .ok_or(Error::Truncated { name: compressor.name() })?;
    let found = HeaderId(u32::from_be_bytes(*header));
    if found != id {
        return Err(Error::WrongHeader { expected: id, found });
    }
    let mut out = Vec::new();
    compressor.decompress(stream, &mut out, max_len)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Entropy, SeededEntropy};
    use crate::compression::{all, by_name};
    use proptest::prelude::*;

    fn random(len: usize) -> Vec<u8> {
        let mut data = vec![0; len];
        SeededEntropy::new(3).fill(&mut data);
        data
    }

    fn text(len: usize) -> Vec<u8> {
        let words = random(len / 4 + 1);
        words.iter().flat_map(|byte| format!("w{} ", byte % 37).into_bytes()).take(len).collect()
    }

    fn writable() -> impl Iterator<Item = &'static dyn Compressor> {
        all().iter().copied().filter(|compressor| by_name(compressor.name()).is_some())
    }

    #[test]
    fn a_result_counts_only_if_shorter_with_its_header() {
        for compressor in writable() {
            let mut out = vec![7; 9];
            for input in [&b""[..], b"a", b"abcd", b"abcde", &random(200_000)] {
                assert!(!compress_framed(compressor, input, &mut out).unwrap(), "{}", compressor.name());
            }
            assert!(compress_framed(compressor, &[b'x'; 100], &mut out).unwrap(), "{}", compressor.name());
            assert_eq!(out[..4], compressor.id().0.to_be_bytes());
            assert!(out.len() < 100);
        }
    }

    #[test]
    fn everything_comes_back() {
        let mut patchy = random(300_000);
        patchy[100_000..200_000].fill(b' ');
        for input in [text(3), text(1000), text(3_000_000), patchy, vec![0; 5_000_000], random(70_000)] {
            for compressor in writable() {
                let mut out = Vec::new();
                out.extend_from_slice(&compressor.id().0.to_be_bytes());
                compressor.compress(&input, &mut out).unwrap();
                let back = decompress_framed(compressor.id(), &out, input.len());
                assert_eq!(back.as_ref(), Ok(&input), "{}", compressor.name());
                let less = input.len() - 1;
                assert_eq!(
                    decompress_framed(compressor.id(), &out, less),
                    Err(Error::TooLong { name: compressor.name(), max_len: less })
                );
            }
        }
    }

    #[test]
    fn the_header_must_repeat_the_index() {
        let zstd = by_name("zstd").unwrap();
        let mut out = Vec::new();
        assert!(compress_framed(zstd, &[0; 50], &mut out).unwrap());
        let (expected, found) = (HeaderId(0x1101), HeaderId(0x1100));
        assert_eq!(decompress_framed(expected, &out, 50), Err(Error::WrongHeader { expected, found }));
        assert_eq!(decompress_framed(HeaderId(9), &out, 50), Err(Error::UnknownId { id: HeaderId(9) }));
        assert_eq!(decompress_framed(found, &out[..3], 50), Err(Error::Truncated { name: "zstd" }));
        assert_eq!(decompress_framed(HeaderId::NONE, b"plain", 5).unwrap(), b"plain");
        assert!(decompress_framed(HeaderId::NONE, b"plain", 4).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_input_comes_back(
            pieces in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..40), 0_usize..90), 0..40),
        ) {
            let input: Vec<u8> = pieces.iter().flat_map(|(piece, times)| piece.repeat(*times)).collect();
            for compressor in writable() {
                let mut stream = Vec::new();
                compressor.compress(&input, &mut stream).unwrap();
                let mut back = Vec::new();
                compressor.decompress(&stream, &mut back, input.len()).unwrap();
                prop_assert_eq!(&back, &input, "{}", compressor.name());
            }
        }

        #[test]
        fn damage_never_panics_nor_overflows(
            input in proptest::collection::vec(0_u8..4, 1..2_000),
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), 1_u8..), 1..4),
            max_len in 0_usize..3_000,
        ) {
            for compressor in writable() {
                let mut stream = Vec::new();
                compressor.compress(&input, &mut stream).unwrap();
                for (at, flip) in &damage {
                    let at = at.index(stream.len());
                    stream[at] ^= flip;
                }
                let mut out = Vec::new();
                if compressor.decompress(&stream, &mut out, max_len).is_ok() {
                    prop_assert!(out.len() <= max_len);
                } else {
                    prop_assert!(out.is_empty());
                }
            }
        }

        #[test]
        fn noise_is_no_stream(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
            for compressor in all() {
                let mut out = Vec::new();
                compressor.decompress(&noise, &mut out, 10_000).ok();
                prop_assert!(out.len() <= 10_000);
            }
        }
    }
}

//! Every stream format that is read, chosen by the header as in a content.
//!
//! Input: the limit in units of 16 bytes (two bytes, little-endian), then what is stored: the id and the stream.

use super::support::parameters;
use packhorse::compression::{Compressor, Error, HeaderId, by_id, by_name, decompress_framed};

/// What a decoder may hold beyond what it may return.
const SLACK_BYTES: usize = 64 << 10;
/// Longest output that is compressed again.
const RECOMPRESSED_BYTES: usize = 4 << 10;

pub fn check(data: &[u8]) {
    let (limit, stored) = parameters::<2>(data);
    let limit = usize::from(u16::from_le_bytes(limit)) * 16;
    let Some((header, stream)) = stored.split_first_chunk::<4>() else { return };
    let id = HeaderId(u32::from_be_bytes(*header));
    let result = decompress_framed(id, stored, limit);
    let Some(compressor) = by_id(id) else {
        assert_eq!(result.is_ok(), id.is_none() && stored.len() <= limit);
        return;
    };
    let mut out = b"before".to_vec();
    let outcome = compressor.decompress(stream, &mut out, limit);
    assert_eq!(&out[..6], b"before");
    assert!(out.capacity() <= 2 * (limit + SLACK_BYTES), "{} bytes for {limit}", out.capacity());
    match result {
        Ok(plain) => {
            assert!(outcome.is_ok() && out[6..] == plain && plain.len() <= limit);
            check_limits(compressor, stream, &plain);
            check_round_trip(compressor, &plain);
        }
        Err(error) => {
            assert_eq!(outcome, Err(error));
            assert_eq!(out.len(), 6);
        }
    }
}

/// Exactly enough room is enough; one byte less is not.
fn check_limits(compressor: &dyn Compressor, stream: &[u8], plain: &[u8]) {
    let mut out = Vec::new();
    compressor.decompress(stream, &mut out, plain.len()).expect("it fits");
    assert_eq!(out, plain);
    if let Some(max_len) = plain.len().checked_sub(1) {
        out.clear();
        let name = compressor.name();
        assert_eq!(compressor.decompress(stream, &mut out, max_len), Err(Error::TooLong { name, max_len }));
    }
}

fn check_round_trip(compressor: &dyn Compressor, plain: &[u8]) {
    if plain.len() > RECOMPRESSED_BYTES || by_name(compressor.name()).is_none() {
        return;
    }
    let (mut stream, mut back) = (Vec::new(), Vec::new());
    compressor.compress(plain, &mut stream).expect("there is memory");
    compressor.decompress(&stream, &mut back, plain.len()).expect("what was written is read");
    assert_eq!(back, plain);
}

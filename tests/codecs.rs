//! Damaged streams, for everything that is decoded: each header id of the compressors, error correction, index files,
//! the index at the end of a pack. Damage is an error or does not matter; it is never a panic, never more memory than
//! the caller allows, and never other bytes where the format carries a checksum.

mod bombs;
mod ecc;
mod index;

use packhorse::base::ErrorClass;
use packhorse::compression::{Compressor, Error, all, by_name};
use std::io::Write;

/// What a decoder may return for a damaged stream besides an error.
#[derive(Clone, Copy, PartialEq)]
enum Promise {
    /// A checksum covers the data: only the right bytes.
    RightBytes,
    /// A checksum covers each block, but a bit turns a block into one that readers skip, and nothing says how many
    /// there are: the right bytes or fewer. The index knows the length.
    RightBytesOrFewer,
    /// No checksum at all: any bytes, as many as allowed. The encryption around it authenticates.
    AnyBytes,
}

fn promise(compressor: &dyn Compressor) -> Promise {
    match compressor.id().0 >> 8 {
        0x10 | 0x11 | 0x13 | 0x14 => Promise::RightBytes,
        0x12 => Promise::RightBytesOrFewer,
        0x15 => Promise::AnyBytes,
        other => panic!("say what format {other:#x} promises"),
    }
}

/// Compresses with the encoder that belongs to an id; LZ4 is not written by the library.
fn compress(compressor: &dyn Compressor, plain: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    if by_name(compressor.name()).is_some() {
        compressor.compress(plain, &mut stream).unwrap();
        return stream;
    }
    let info = lz4_flex::frame::FrameInfo::new().content_checksum(true);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, stream);
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn text() -> Vec<u8> {
    (0..12).flat_map(|n| format!("line {n} of a text, {}; ", n * n).into_bytes()).collect()
}

/// Decodes behind bytes that must stay.
fn decompress(compressor: &dyn Compressor, stream: &[u8], max_len: usize) -> Result<Vec<u8>, Error> {
    let mut out = b"before".to_vec();
    let result = compressor.decompress(stream, &mut out, max_len);
    assert_eq!(&out[..6], b"before");
    match result {
        Ok(()) => {
            assert!(out.len() - 6 <= max_len);
            Ok(out.split_off(6))
        }
        Err(error) => {
            assert_eq!((out.len(), error.class()), (6, ErrorClass::Corrupt), "{error}");
            Err(error)
        }
    }
}

#[test]
fn every_flipped_bit_is_an_error_or_does_not_matter() {
    let plain = text();
    for compressor in all() {
        let stream = compress(*compressor, &plain);
        let (mut errors, mut same) = (0, 0);
        for bit in 0..stream.len() * 8 {
            let mut bad = stream.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let read = decompress(*compressor, &bad, plain.len());
            errors += u32::from(read.is_err());
            let Ok(read) = read else { continue };
            same += u32::from(read == plain);
            let fine = match promise(*compressor) {
                Promise::RightBytes => read == plain,
                Promise::RightBytesOrFewer => plain.starts_with(&read),
                Promise::AnyBytes => true,
            };
            assert!(fine, "{}: bit {bit} is not noticed", compressor.name());
        }
        assert!(errors > same, "{}: {errors} errors, {same} without effect", compressor.name());
    }
}

#[test]
fn every_truncation_is_an_error() {
    let plain = text();
    for compressor in all() {
        let stream = compress(*compressor, &plain);
        assert_eq!(decompress(*compressor, &stream, plain.len()).as_ref(), Ok(&plain));
        for len in 0..stream.len() {
            let read = decompress(*compressor, &stream[..len], plain.len());
            if promise(*compressor) == Promise::RightBytesOrFewer && len == 10 {
                // A stream identifier alone is a stream of nothing.
                assert_eq!(read, Ok(Vec::new()));
            } else {
                assert!(read.is_err(), "{}: {len} of {} bytes", compressor.name(), stream.len());
            }
        }
    }
}

#[test]
fn bytes_after_the_end_are_an_error() {
    let plain = text();
    for compressor in all() {
        let stream = compress(*compressor, &plain);
        for byte in 0..=u8::MAX {
            let longer = [&stream[..], &[byte]].concat();
            assert!(decompress(*compressor, &longer, plain.len()).is_err(), "{} {byte}", compressor.name());
        }
    }
}

/// Formats with a checksum of the whole keep it at the end.
#[test]
fn bad_checksums_are_errors() {
    let plain = text();
    for compressor in all().iter().filter(|compressor| promise(**compressor) == Promise::RightBytes) {
        let stream = compress(*compressor, &plain);
        for at in stream.len() - 4..stream.len() {
            for byte in (0..=u8::MAX).filter(|byte| *byte != stream[at]) {
                let mut bad = stream.clone();
                bad[at] = byte;
                assert!(decompress(*compressor, &bad, plain.len()).is_err(), "{}", compressor.name());
            }
        }
    }
}

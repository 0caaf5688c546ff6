//! Zstandard (RFC 8878).

use super::{Compressor, Error, HeaderId, Result};
use std::cell::RefCell;
use std::io::Cursor;
use zstd::zstd_safe::{
    self, CCtx, CParameter, DCtx, ResetDirective, compress_bound, find_frame_compressed_size, get_error_name,
    get_frame_content_size,
};

/// libzstd's error code for "the output does not fit".
const DESTINATION_TOO_SMALL: usize = 70;
/// libzstd's error code for "the input ends too early".
const SOURCE_SIZE_WRONG: usize = 72;
/// Contexts above this size are not kept: only the strongest level needs one, and it is deprecated.
const KEPT_CONTEXT_BYTES: usize = 12 << 20;
/// First guess of how much a frame of unknown length expands.
const USUAL_EXPANSION: usize = 8;

thread_local! {
    /// Setting up a context costs more than compressing a small content; every thread keeps one.
    static ENCODER: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// Frames with a content checksum, written at one level.
#[derive(Debug)]
pub(super) struct Zstd {
    id: HeaderId,
    name: &'static str,
    level: i32,
    deprecated: bool,
}

impl Zstd {
    /// Writes at `level`. None of the levels in use has a window above 4 MiB, half of what Kopia's own encoder uses.
    pub(super) const fn new(id: u32, name: &'static str, level: i32) -> Self {
        Self { id: HeaderId(id), name, level, deprecated: false }
    }

    /// Marks it as one that new policies should not use.
    pub(super) const fn deprecated(mut self) -> Self {
        self.deprecated = true;
        self
    }

    fn decoding_error(&self, code: usize, max_len: usize) -> Error {
        let name = self.name;
        match code.wrapping_neg() {
            DESTINATION_TOO_SMALL => Error::TooLong { name, max_len },
            SOURCE_SIZE_WRONG => Error::Truncated { name },
            _ => Error::Corrupt { name, detail: get_error_name(code) },
        }
    }
}

impl Compressor for Zstd {
    fn id(&self) -> HeaderId {
        self.id
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn is_deprecated(&self) -> bool {
        self.deprecated
    }

    fn compress(&self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        compress_at_level(self.level, input, out)
            .map_err(|code| Error::Encoder { name: self.name, detail: get_error_name(code) })
    }

    fn decompress(&self, input: &[u8], out: &mut Vec<u8>, max_len: usize) -> Result<()> {
        let start = out.len();
        let decoded = DECODER.with_borrow_mut(|decoder| {
            let decoder = decoder.get_or_insert_with(DCtx::create);
            if input.is_empty() {
                return Err(error_code(SOURCE_SIZE_WRONG));
            }
            let mut rest = input;
            while !rest.is_empty() {
                let left = max_len.checked_sub(out.len() - start);
                let left = left.ok_or(error_code(DESTINATION_TOO_SMALL))?;
                rest = decompress_frame(decoder, rest, out, left)?;
            }
            // A vector may be larger than what was asked for, and all of it is offered to the decoder.
            if out.len() - start > max_len { Err(error_code(DESTINATION_TOO_SMALL)) } else { Ok(()) }
        });
        decoded.map_err(|code| {
            out.truncate(start);
            self.decoding_error(code, max_len)
        })
    }
}

/// Appends the first frame of `input`, at most `left` bytes, and returns the rest of the input.
fn decompress_frame<'i>(
    decoder: &mut DCtx<'_>,
    input: &'i [u8],
    out: &mut Vec<u8>,
    left: usize,
) -> Result<&'i [u8], usize> {
    let len = find_frame_compressed_size(input)?;
    let (frame, rest) = input.split_at_checked(len).ok_or(error_code(SOURCE_SIZE_WRONG))?;
    let known = get_frame_content_size(frame).map_err(|_| error_code(SOURCE_SIZE_WRONG))?;
    let Some(known) = known else {
        let guess = left.min(frame.len().saturating_mul(USUAL_EXPANSION));
        let guessed = append(out, guess, |cursor| decoder.decompress(cursor, frame));
        if guessed != Err(error_code(DESTINATION_TOO_SMALL)) || guess == left {
            return guessed.map(|()| rest);
        }
        return append(out, left, |cursor| decoder.decompress(cursor, frame)).map(|()| rest);
    };
    let known = usize::try_from(known).ok().filter(|known| *known <= left);
    let known = known.ok_or(error_code(DESTINATION_TOO_SMALL))?;
    append(out, known, |cursor| decoder.decompress(cursor, frame)).map(|()| rest)
}

/// The form in which libzstd returns an error.
const fn error_code(number: usize) -> usize {
    number.wrapping_neg()
}

/// Appends one frame, or fails with libzstd's code.
pub(super) fn compress_at_level(level: i32, input: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    ENCODER.with_borrow_mut(|slot| {
        let encoder = slot.get_or_insert_with(CCtx::create);
        encoder.reset(ResetDirective::SessionAndParameters)?;
        encoder.set_parameter(CParameter::CompressionLevel(level))?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        let result = append(out, compress_bound(input.len()), |cursor| encoder.compress2(cursor, input));
        if encoder.sizeof() > KEPT_CONTEXT_BYTES {
            *slot = None;
        }
        result
    })
}

/// Runs `write` on the end of `out` with room for at least `room` bytes.
fn append(
    out: &mut Vec<u8>,
    room: usize,
    write: impl FnOnce(&mut Cursor<Vec<u8>>) -> zstd_safe::SafeResult,
) -> Result<(), usize> {
    let start = out.len();
    out.reserve_exact(room);
    let mut cursor = Cursor::new(std::mem::take(out));
    cursor.set_position(start as u64);
    let result = write(&mut cursor);
    *out = cursor.into_inner();
    out.truncate(start + *result.as_ref().unwrap_or(&0));
    result.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::by_name;

    fn decompress(stream: &[u8], max_len: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        by_name("zstd").unwrap().decompress(stream, &mut out, max_len)?;
        Ok(out)
    }

    /// "hello " so many times, by the encoder that Kopia uses: no content size, three blocks, a checksum.
    const GO_REPEATS: usize = 50_000;
    const GO_STREAM: &str = "28b52ffd04687c00003068656c6c6f200154060334f7ff095c0000000154001134fdff0100025d00\
                             00000154001133dd93ffff01632abe32";

    #[test]
    fn streams_of_the_go_encoder() {
        let stream = hex::decode(GO_STREAM).unwrap();
        assert!(matches!(get_frame_content_size(&stream), Ok(None)));
        assert_eq!(decompress(&stream, 300_000).unwrap(), b"hello ".repeat(GO_REPEATS));
        assert!(matches!(decompress(&stream, GO_REPEATS * 6 - 1), Err(Error::TooLong { .. })));
        let mut bad = stream.clone();
        *bad.last_mut().unwrap() ^= 1;
        assert!(matches!(decompress(&bad, 300_000), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn several_frames_and_skippable_ones() {
        let mut stream = Vec::new();
        compress_at_level(1, b"first ", &mut stream).unwrap();
        stream.extend_from_slice(&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9]);
        stream.extend_from_slice(&hex::decode(GO_STREAM).unwrap());
        compress_at_level(3, b"last", &mut stream).unwrap();
        let expected = [b"first ", &b"hello ".repeat(GO_REPEATS)[..], b"last"].concat();
        assert_eq!(decompress(&stream, expected.len()).unwrap(), expected);
        assert!(matches!(decompress(&stream, expected.len() - 1), Err(Error::TooLong { .. })));
        stream.push(0);
        assert!(decompress(&stream, expected.len()).is_err());
    }

    #[test]
    fn windows_stay_below_what_kopia_reads() {
        let input: Vec<u8> = (0..20_u32 << 18).flat_map(|n| (n ^ n >> 7).to_le_bytes()).collect();
        for level in [1, 3, 7, 11] {
            let mut stream = Vec::new();
            compress_at_level(level, &input, &mut stream).unwrap();
            // Frame header: magic, descriptor, window descriptor (absent in a single-segment frame).
            assert_eq!(stream[4] & 0x20, 0, "level {level}");
            assert_eq!(stream[4] & 0x04, 0x04, "checksum, level {level}");
            assert!(10 + (stream[5] >> 3) <= 23, "level {level}");
        }
    }
}

//! LZ4 frames, which Kopia wrote until 0.22 and no longer reads.

use super::{Compressor, Error, HeaderId, Result};
use lz4_flex::frame::{Error as FrameError, FrameDecoder};
use std::io::Read;

/// Reads frames; writes none.
#[derive(Debug)]
pub(super) struct Lz4;

impl Lz4 {
    /// The reserved id.
    pub(super) const ID: HeaderId = HeaderId(0x1400);
    const NAME: &'static str = "lz4";
}

impl Compressor for Lz4 {
    fn id(&self) -> HeaderId {
        Self::ID
    }

    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn is_deprecated(&self) -> bool {
        true
    }

    fn compress(&self, _input: &[u8], _out: &mut Vec<u8>) -> Result<()> {
        Err(Error::NotWritable { name: Self::NAME })
    }

    fn decompress(&self, input: &[u8], out: &mut Vec<u8>, max_len: usize) -> Result<()> {
        let start = out.len();
        decode(input, out, max_len).inspect_err(|_| out.truncate(start))
    }
}

fn decode(input: &[u8], out: &mut Vec<u8>, max_len: usize) -> Result<()> {
    let start = out.len();
    let mut decoder = FrameDecoder::new(Input { rest: input, exhausted: false });
    while out.len() == start || !decoder.get_ref().rest.is_empty() {
        let left = max_len - (out.len() - start);
        // One byte more than allowed tells too long from just right.
        let limit = u64::try_from(left).unwrap_or(u64::MAX).saturating_add(1);
        let frame = decoder.by_ref().take(limit).read_to_end(out);
        match frame {
            Ok(len) if len > left => return Err(Error::TooLong { name: Lz4::NAME, max_len }),
            Ok(0) if decoder.get_ref().rest.is_empty() => break,
            Ok(_) => {}
            Err(_) if decoder.get_ref().exhausted => return Err(Error::Truncated { name: Lz4::NAME }),
            Err(error) => return Err(decoding_error(&error)),
        }
    }
    Ok(())
}

/// The bytes of the stream. Asked for more than there is, it fails: at a plain end of input the decoder would take a
/// frame that stops between two blocks for complete.
struct Input<'i> {
    rest: &'i [u8],
    exhausted: bool,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() {
            self.exhausted = true;
            return Err(std::io::Error::other("end of the stream"));
        }
        self.rest.read(buffer)
    }
}

fn decoding_error(error: &std::io::Error) -> Error {
    let name = Lz4::NAME;
    let detail = match error.get_ref().and_then(|inner| inner.downcast_ref::<FrameError>()) {
        Some(FrameError::ContentChecksumError | FrameError::BlockChecksumError) => "wrong checksum",
        Some(FrameError::WrongMagicNumber | FrameError::HeaderChecksumError) => "no lz4 frame",
        _ => "invalid lz4 data",
    };
    Error::Corrupt { name, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lz4_flex::frame::{FrameEncoder, FrameInfo};
    use std::io::Write;

    fn frame(info: FrameInfo, data: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// Made by the `lz4` command: linked blocks, content size, checksum.
    #[test]
    fn frames_of_the_reference_encoder() {
        let expected = crate::compression::s2::tests::log();
        let mut out = Vec::new();
        Lz4.decompress(include_bytes!("testdata/log.lz4"), &mut out, expected.len()).unwrap();
        assert_eq!(out, expected);
    }

    #[test]
    fn frames_are_read_and_never_written() {
        let data = b"lz4 lz4 lz4 and so on ".repeat(9_000);
        for info in [
            FrameInfo::new().content_checksum(true),
            FrameInfo::new().block_checksums(true).content_size(Some(data.len() as u64)),
        ] {
            let stream = frame(info, &data);
            let mut out = b"before".to_vec();
            Lz4.decompress(&stream, &mut out, data.len()).unwrap();
            assert_eq!(out[6..], data);
            for max_len in [0, data.len() - 1] {
                let error = Lz4.decompress(&stream, &mut out, max_len).unwrap_err();
                assert_eq!(error, Error::TooLong { name: "lz4", max_len });
            }
            for len in 0..stream.len() {
                assert!(Lz4.decompress(&stream[..len], &mut out, data.len()).is_err(), "{len}");
            }
            assert_eq!(out.len(), 6 + data.len());
        }
        assert_eq!(Lz4.compress(b"", &mut Vec::new()), Err(Error::NotWritable { name: "lz4" }));
    }
}

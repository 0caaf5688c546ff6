//! S2 streams: Snappy's framing with larger blocks and one more kind of copy.
//!
//! The block encoder is the `minlz` crate's; framing and decoding are ours, because that crate's stream reader takes a
//! stream that ends inside a chunk header for complete and recurses on skippable chunks.

use super::crc32c::masked;
use super::s2_block;
use super::{Compressor, Error, HeaderId, Result};

/// Longest block, uncompressed, that a reader has to accept.
pub(super) const MAX_BLOCK_LEN: usize = 4 << 20;
/// Block length that we write, as Kopia does.
const BLOCK_LEN: usize = 1 << 20;

const STREAM_IDENTIFIER: u8 = 0xff;
const COMPRESSED: u8 = 0x00;
const UNCOMPRESSED: u8 = 0x01;
const S2_MAGIC: &[u8; 6] = b"S2sTwO";
const SNAPPY_MAGIC: &[u8; 6] = b"sNaPpY";

/// One of the S2 settings. Concurrency, which two of them name, does not show in the stream.
#[derive(Debug)]
pub(super) struct S2 {
    id: HeaderId,
    name: &'static str,
    better: bool,
}

impl S2 {
    /// `better` spends more time on smaller output.
    pub(super) const fn new(id: u32, name: &'static str, better: bool) -> Self {
        Self { id: HeaderId(id), name, better }
    }

    fn corrupt(&self, detail: &'static str) -> Error {
        Error::Corrupt { name: self.name, detail }
    }

    /// Splits type and body of the first chunk from what follows.
    fn split_chunk<'i>(&self, input: &'i [u8]) -> Result<(u8, &'i [u8], &'i [u8])> {
        let truncated = Error::Truncated { name: self.name };
        let Some((&[kind, low, middle, high], rest)) = input.split_first_chunk::<4>() else {
            return Err(truncated);
        };
        let len = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
        let (body, rest) = rest.split_at_checked(len).ok_or(truncated)?;
        Ok((kind, body, rest))
    }

    fn read_stream(&self, input: &[u8], out: &mut Vec<u8>, max_len: usize) -> Result<()> {
        let start = out.len();
        let mut rest = input;
        let mut first = true;
        while first || !rest.is_empty() {
            let (kind, body, after) = self.split_chunk(rest)?;
            if first && kind != STREAM_IDENTIFIER {
                return Err(self.corrupt("no stream identifier"));
            }
            first = false;
            rest = after;
            match kind {
                STREAM_IDENTIFIER if body == S2_MAGIC || body == SNAPPY_MAGIC => {}
                STREAM_IDENTIFIER => return Err(self.corrupt("unknown stream identifier")),
                COMPRESSED | UNCOMPRESSED => {
                    let left = max_len - (out.len() - start);
                    read_data(kind, body, out, left).map_err(|failure| match failure {
                        Failure::Corrupt(detail) => self.corrupt(detail),
                        Failure::TooLong => Error::TooLong { name: self.name, max_len },
                    })?;
                }
                0x02..=0x7f => return Err(self.corrupt("unknown kind of chunk")),
                // Padding, indexes and whatever else may be skipped.
                0x80..=0xfe => {}
            }
        }
        Ok(())
    }
}

impl Compressor for S2 {
    fn id(&self) -> HeaderId {
        self.id
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn is_deprecated(&self) -> bool {
        false
    }

    fn compress(&self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        push_chunk(out, STREAM_IDENTIFIER, &[], S2_MAGIC);
        for data in input.chunks(BLOCK_LEN) {
            let crc = masked(data).to_le_bytes();
            let block = if self.better { minlz::s2::encode_better(data) } else { minlz::s2::encode(data) };
            if block.len() < data.len() {
                push_chunk(out, COMPRESSED, &crc, &block);
            } else {
                push_chunk(out, UNCOMPRESSED, &crc, data);
            }
        }
        Ok(())
    }

    fn decompress(&self, input: &[u8], out: &mut Vec<u8>, max_len: usize) -> Result<()> {
        let start = out.len();
        self.read_stream(input, out, max_len).inspect_err(|_| out.truncate(start))
    }
}

/// Why a chunk could not be read; the caller adds names and limits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It holds more than it may.
    TooLong,
    /// It breaks the format.
    Corrupt(&'static str),
}

/// Appends the bytes of a data chunk, at most `left`.
fn read_data(kind: u8, body: &[u8], out: &mut Vec<u8>, left: usize) -> Result<(), Failure> {
    let start = out.len();
    let (crc, data) = body.split_first_chunk::<4>().ok_or(Failure::Corrupt("short chunk"))?;
    if kind == COMPRESSED {
        s2_block::decode(data, out, left)?;
    } else if data.len() > MAX_BLOCK_LEN {
        return Err(Failure::Corrupt("block too long"));
    } else if data.len() > left {
        return Err(Failure::TooLong);
    } else {
        out.extend_from_slice(data);
    }
    if masked(&out[start..]) == u32::from_le_bytes(*crc) {
        Ok(())
    } else {
        Err(Failure::Corrupt("wrong checksum"))
    }
}

fn push_chunk(out: &mut Vec<u8>, kind: u8, crc: &[u8], body: &[u8]) {
    let [low, middle, high, ..] = (crc.len() + body.len()).to_le_bytes();
    out.extend_from_slice(&[kind, low, middle, high]);
    out.extend_from_slice(crc);
    out.extend_from_slice(body);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::compression::by_name;

    /// What the streams in `testdata` hold.
    pub(in super::super) fn log() -> Vec<u8> {
        let line = |n| format!("entry {n} of the log, code {}\n", n * n % 97).into_bytes();
        (0..120).flat_map(line).collect()
    }

    fn decompress(stream: &[u8], max_len: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        by_name("s2-default").unwrap().decompress(stream, &mut out, max_len)?;
        Ok(out)
    }

    /// Made by `github.com/klauspost/compress/s2`, the library that Kopia uses; the last one in Snappy's own format.
    #[test]
    fn streams_of_the_go_encoder() {
        let expected = log();
        for stream in [
            &include_bytes!("testdata/log.s2")[..],
            include_bytes!("testdata/log-better.s2"),
            include_bytes!("testdata/log-best.s2"),
            include_bytes!("testdata/log.sz"),
        ] {
            assert_eq!(decompress(stream, expected.len()).unwrap(), expected);
            assert!(matches!(decompress(stream, expected.len() - 1), Err(Error::TooLong { .. })));
            for len in 0..stream.len() {
                assert_eq!(decompress(&stream[..len], 1 << 20).is_ok(), len == 10, "{len}");
            }
            for at in 0..stream.len() {
                let mut bad = stream.to_vec();
                bad[at] ^= 0x20;
                // Two copies may mean the same; the checksum sees to the rest.
                assert!(decompress(&bad, 1 << 20).map_or(true, |data| data == expected), "{at}");
            }
        }
    }

    #[test]
    fn skippable_chunks_and_joined_streams() {
        let mut stream = include_bytes!("testdata/log.s2").to_vec();
        // Padding, an index, and so many empty skippable chunks that recursion would end the process.
        stream.extend_from_slice(b"\xfe\x02\0\0..\x99\0\0\0");
        stream.extend_from_slice(&b"\x80\0\0\0".repeat(300_000));
        stream.extend_from_slice(include_bytes!("testdata/log.sz"));
        let twice = log().repeat(2);
        assert_eq!(decompress(&stream, twice.len()).unwrap(), twice);
        for bad in [&b"\x02\0\0\0"[..], b"\x7f\0\0\0", b"\xff\x06\0\0S2sTwo", b"\x00\x03\0\0abc"] {
            let mut stream = include_bytes!("testdata/log.s2").to_vec();
            stream.extend_from_slice(bad);
            assert!(matches!(decompress(&stream, 1 << 20), Err(Error::Corrupt { .. })));
        }
        assert_eq!(decompress(b"", 1), Err(Error::Truncated { name: "s2-default" }));
        assert!(decompress(b"\x01\x05\0\0\0\0\0\0a", 1).is_err(), "no identifier");
    }
}

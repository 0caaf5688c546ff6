//! DEFLATE, bare (RFC 1951) or in gzip members (RFC 1952).

use super::gzip_header;
use super::{Compressor, Error, HeaderId, Result};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::cell::RefCell;

thread_local! {
    /// State of the last level used on this thread: a quarter of a megabyte that is worth keeping.
    static ENCODER: RefCell<Option<(u32, Compress)>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<Decompress>> = const { RefCell::new(None) };
}

/// Output room to start with, and the least to add.
const STEP: usize = 16 << 10;

/// What surrounds the deflated bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// Nothing, not even a checksum.
    None,
    /// Header and checksum; several members may follow each other.
    Gzip,
}

/// Deflate at one level.
#[derive(Debug)]
pub(super) struct Deflate {
    id: HeaderId,
    name: &'static str,
    container: Container,
    level: u32,
}

impl Deflate {
    /// Writes at `level`, 1 to 9.
    pub(super) const fn new(id: u32, name: &'static str, container: Container, level: u32) -> Self {
        Self { id: HeaderId(id), name, container, level }
    }
}

impl Compressor for Deflate {
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
        if self.container == Container::Gzip {
            out.extend_from_slice(&gzip_header::PLAIN);
        }
        deflate(self.level, input, out).map_err(|detail| Error::Encoder { name: self.name, detail })?;
        if self.container == Container::Gzip {
            out.extend_from_slice(&crc32fast::hash(input).to_le_bytes());
            // The length counts modulo 2^32.
            out.extend_from_slice(&(input.len() as u32).to_le_bytes());
        }
        Ok(())
    }

    fn decompress(&self, input: &[u8], out: &mut Vec<u8>, max_len: usize) -> Result<()> {
        let start = out.len();
        let result = match self.container {
            Container::Gzip => gunzip_all(input, out, max_len),
            Container::None => inflate(input, out, max_len).and_then(|rest| {
                if rest.is_empty() { Ok(()) } else { Err(Failure::Corrupt("bytes after the end")) }
            }),
        };
        result.map_err(|failure| {
            out.truncate(start);
            let name = self.name;
            match failure {
                Failure::Truncated => Error::Truncated { name },
                Failure::TooLong => Error::TooLong { name, max_len },
                Failure::Corrupt(detail) => Error::Corrupt { name, detail },
            }
        })
    }
}

/// Why a stream could not be read; the caller adds names and limits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It ends too early.
    Truncated,
    /// It holds more than it may.
    TooLong,
    /// It breaks the format.
    Corrupt(&'static str),
}

/// Reads one gzip member at the start of `input` and returns the rest.
fn gunzip<'i>(input: &'i [u8], out: &mut Vec<u8>, room: usize) -> Result<&'i [u8], Failure> {
    let start = out.len();
    let body = gzip_header::skip(input)?;
    let rest = inflate(body, out, room)?;
    let (trailer, rest) = rest.split_first_chunk::<8>().ok_or(Failure::Truncated)?;
    let data = &out[start..];
    let mut expected = crc32fast::hash(data).to_le_bytes().to_vec();
    expected.extend_from_slice(&(data.len() as u32).to_le_bytes());
    if expected == trailer { Ok(rest) } else { Err(Failure::Corrupt("wrong checksum")) }
}

fn gunzip_all(input: &[u8], out: &mut Vec<u8>, max_len: usize) -> Result<(), Failure> {
    let start = out.len();
    let mut rest = gunzip(input, out, max_len)?;
    while !rest.is_empty() {
        rest = gunzip(rest, out, max_len - (out.len() - start))?;
    }
    Ok(())
}

fn deflate(level: u32, input: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    ENCODER.with_borrow_mut(|slot| {
        let encoder = match slot {
            Some((kept, encoder)) if *kept == level => {
                encoder.reset();
                encoder
            }
            _ => &mut slot.insert((level, Compress::new(Compression::new(level), false))).1,
        };
        loop {
            let consumed = encoder.total_in() as usize;
            let rest = &input[consumed..];
            out.reserve_exact(rest.len() + rest.len() / 8 + 64);
            match encoder.compress_vec(rest, out, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => return Ok(()),
                Ok(Status::Ok | Status::BufError) => {}
                Err(_) => return Err("deflate failed"),
            }
        }
    })
}

/// Appends one deflate stream and returns what follows it.
fn inflate<'i>(input: &'i [u8], out: &mut Vec<u8>, max_len: usize) -> Result<&'i [u8], Failure> {
    DECODER.with_borrow_mut(|slot| {
        let decoder = slot.get_or_insert_with(|| Decompress::new(false));
        decoder.reset(false);
        let start = out.len();
        loop {
            let produced = out.len() - start;
            if produced > max_len {
                return Err(Failure::TooLong);
            }
            if out.capacity() == out.len() {
                // Doubles, but never beyond one byte more than allowed: that byte tells too long from just right.
                let step = produced.max(STEP).max(input.len().saturating_mul(2));
                out.reserve_exact(step.min(max_len - produced + 1));
            }
            let rest = input.get(decoder.total_in() as usize..).unwrap_or_default();
            match decoder.decompress_vec(rest, out, FlushDecompress::None) {
                Err(_) => return Err(Failure::Corrupt("invalid deflate data")),
                Ok(Status::StreamEnd) if out.len() - start > max_len => return Err(Failure::TooLong),
                Ok(Status::StreamEnd) => {
                    return Ok(input.get(decoder.total_in() as usize..).unwrap_or_default());
                }
                Ok(Status::Ok | Status::BufError) if out.len() == out.capacity() => {}
                Ok(Status::Ok | Status::BufError) => return Err(Failure::Truncated),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::by_name;

    fn gunzip(stream: &[u8], max_len: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        by_name("gzip").unwrap().decompress(stream, &mut out, max_len)?;
        Ok(out)
    }

    #[test]
    fn several_members_are_one_stream() {
        let mut stream = Vec::new();
        for name in ["gzip", "pgzip-best-speed", "gzip-best-compression"] {
            by_name(name).unwrap().compress(name.as_bytes(), &mut stream).unwrap();
        }
        let expected = b"gzippgzip-best-speedgzip-best-compression";
        assert_eq!(gunzip(&stream, expected.len()).unwrap(), expected);
        assert!(matches!(gunzip(&stream, expected.len() - 1), Err(Error::TooLong { .. })));
        stream.extend_from_slice(b"junk");
        assert!(gunzip(&stream, 100).is_err());
    }

    /// Made by `github.com/klauspost/pgzip`.
    #[test]
    fn streams_of_the_parallel_encoder() {
        let expected = crate::compression::s2::tests::log();
        assert_eq!(gunzip(include_bytes!("testdata/log.gz"), expected.len()).unwrap(), expected);
    }

    /// A member with extra field, name, comment and header checksum: `printf hello | gzip`, decorated by hand.
    #[test]
    fn decorated_headers_are_skipped() {
        let mut plain = Vec::new();
        by_name("gzip").unwrap().compress(b"hello", &mut plain).unwrap();
        let mut stream = vec![0x1f, 0x8b, 8, 0x1e, 1, 2, 3, 4, 0, 3];
        stream.extend_from_slice(b"\x02\0xxname\0comment\0\x12\x34");
        stream.extend_from_slice(&plain[10..]);
        assert_eq!(gunzip(&stream, 5).unwrap(), b"hello");
        for len in 0..stream.len() {
            assert_eq!(gunzip(&stream[..len], 5), Err(Error::Truncated { name: "gzip" }), "{len}");
        }
    }

    #[test]
    fn checksums_are_checked() {
        let mut stream = Vec::new();
        by_name("gzip").unwrap().compress(b"hello", &mut stream).unwrap();
        let at = stream.len() - 8;
        for at in at..stream.len() {
            let mut bad = stream.clone();
            bad[at] ^= 1;
            assert!(matches!(gunzip(&bad, 5), Err(Error::Corrupt { detail: "wrong checksum", .. })));
        }
    }
}

//! Streams that promise or hold far more than they may.

use super::{compress, decompress};
use packhorse::base::MIB;
use packhorse::compression::{Compressor, Error, all, by_name};
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Names the folder of the streams; set in a process that does nothing but decode them.
const CHILD: &str = "PACKHORSE_TEST_BOMBS";
/// What the streams hold at least, or say they do.
const BOMB_BYTES: usize = 48 << 20;
/// What the caller allows.
const LIMIT_BYTES: usize = 64 << 10;
/// What all decoders together may keep besides: LZ4 holds two blocks of 4 MiB.
const MEMORY_BYTES: u64 = 20 * MIB;

/// 2^40, little-endian.
const TERABYTE: [u8; 8] = [0, 0, 0, 0, 0, 1, 0, 0];

fn named(name: &str) -> &'static dyn Compressor {
    all().iter().copied().find(|compressor| compressor.name() == name).unwrap()
}

/// Streams whose headers promise what no stream can hold, by the name of a compressor.
fn impossible() -> Vec<(&'static str, Vec<u8>)> {
    let zstd = |rest: &[u8]| [&[0x28, 0xb5, 0x2f, 0xfd], rest].concat();
    let s2 = |rest: &[u8]| [b"\xff\x06\0\0S2sTwO", rest].concat();
    let gzip = |rest: &[u8]| [b"\x1f\x8b\x08\0\0\0\0\0\0\xff", rest].concat();
    vec![
        // One segment of 2^40 bytes, and one byte of it.
        ("zstd", zstd(&[&[0xe0][..], &TERABYTE, b"\x09\0\0x"].concat())),
        // The same beside the greatest window there is.
        ("zstd", zstd(&[&[0xc0, 0xff][..], &TERABYTE, b"\x09\0\0x"].concat())),
        // The greatest window, no size; then a block of 2^21 - 1 bytes, which is more than any block has.
        ("zstd", zstd(b"\x00\xff\xfb\xff\xffx")),
        // A skippable frame of 4 GiB.
        ("zstd-fastest", b"\x50\x2a\x4d\x18\xff\xff\xff\xff".to_vec()),
        // A chunk of 16 MiB; blocks of 4 GiB, of more than 32 bits, of 4 MiB.
        ("s2-default", s2(b"\x00\xff\xff\xff")),
        ("s2-default", s2(b"\x00\x0a\0\0\0\0\0\0\xff\xff\xff\xff\x0f\0")),
        ("s2-better", s2(b"\x00\x0a\0\0\0\0\0\0\xff\xff\xff\xff\xff\x7f")),
        ("s2-better", s2(b"\x00\x09\0\0\0\0\0\0\x80\x80\x80\x02\x00")),
        // A literal of 4 GiB in a block of ten bytes.
        ("s2-parallel-4", s2(b"\x00\x0a\0\0\0\0\0\0\x0a\xfc\xff\xff\xff\xff")),
        // A header with 64 KiB of extra field; a stored block of 64 KiB; one whose two lengths differ.
        ("gzip", b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\xff\xff".to_vec()),
        ("pgzip", gzip(b"\x01\xff\xff\0\0x")),
        ("gzip-best-speed", gzip(b"\x01\xff\xff\xff\xffx")),
        ("deflate-default", b"\x01\xff\xff\0\0x".to_vec()),
        ("lz4", lz4_of_a_terabyte()),
        // A block of 2 GiB.
        ("lz4", [&lz4_of_a_terabyte()[..15], b"\xff\xff\xff\x7fx"].concat()),
    ]
}

/// A frame that says 2^40 bytes, with the checksum its header needs, and holds five.
fn lz4_of_a_terabyte() -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new().content_size(Some(1 << 40));
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(b"bytes").unwrap();
    encoder.flush().unwrap();
    let mut stream = encoder.get_ref().clone();
    assert_eq!(stream[6..14], TERABYTE);
    stream.extend_from_slice(&[0; 4]);
    stream
}

#[test]
fn impossible_sizes_are_refused_and_nothing_is_set_aside_for_them() {
    for (number, (name, stream)) in impossible().into_iter().enumerate() {
        for max_len in [0, 10, 1 << 20, 1 << 28] {
            let mut out = Vec::new();
            named(name).decompress(&stream, &mut out, max_len).unwrap_err();
            let most = max_len.min(8 << 20) + (64 << 10);
            assert!(out.capacity() <= most, "stream {number}, {name}: {} for {max_len}", out.capacity());
        }
    }
}

/// Exactly what was promised is allowed, for every format, and refusing more costs hardly more than was promised.
#[test]
fn bombs_are_too_long_to_the_byte() {
    let plain = vec![0; 4 << 20];
    for compressor in all() {
        let (name, stream) = (compressor.name(), compress(*compressor, &plain));
        assert_eq!(decompress(*compressor, &stream, plain.len()).unwrap().len(), plain.len());
        for max_len in [0, 10, plain.len() / 2, plain.len() - 1] {
            let mut out = Vec::new();
            let error = compressor.decompress(&stream, &mut out, max_len).unwrap_err();
            assert_eq!(error, Error::TooLong { name, max_len });
            let most = 2 * max_len + (64 << 10);
            assert!(out.is_empty() && out.capacity() <= most, "{name}: {} for {max_len}", out.capacity());
        }
    }
}

/// Decodes bombs of every format in a process of its own and looks at the most memory that it ever had.
#[test]
fn bombs_cost_no_memory() {
    #[expect(clippy::disallowed_methods, reason = "tells a process started by this test from others")]
    if let Some(folder) = std::env::var_os(CHILD) {
        return decode_all(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let zeros = vec![0; BOMB_BYTES];
    let bombs = all().iter().map(|compressor| (compressor.name(), compress(*compressor, &zeros)));
    for (number, (name, stream)) in bombs.chain(impossible()).enumerate() {
        #[expect(clippy::disallowed_methods, reason = "a file for a moment")]
        std::fs::write(folder.path().join(format!("{name}.{number}")), stream).unwrap();
    }
    let name = "codecs::bombs::bombs_cost_no_memory";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}{child:?}");
}

/// The most memory this process ever had reserved, and had in use, in bytes.
fn peaks() -> [u64; 2] {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    ["VmPeak:", "VmHWM:"].map(|field| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    })
}

fn decode_all(folder: &Path) {
    let mut streams = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        streams.push((named(&name), std::fs::read(&path).unwrap()));
    }
    assert!(streams.len() > all().len());
    let before = peaks();
    for (compressor, stream) in &streams {
        let mut out = Vec::new();
        compressor.decompress(stream, &mut out, LIMIT_BYTES).unwrap_err();
    }
    for (before, after) in before.into_iter().zip(peaks()) {
        let grown = after.saturating_sub(before);
        assert!(grown < MEMORY_BYTES, "decoding took {grown} bytes for a limit of {LIMIT_BYTES}");
    }
    assert!(by_name("lz4").is_none(), "what is not written is read all the same");
}

//! Zips as Info-ZIP writes them: types, permissions, owners and whole seconds; no hard links and no special files.
//!
//! The directory at a zip's end is in memory until then: about 300 bytes and its name for each entry.

use super::member::Member;
use super::sink::Sink;
use crate::source::SpecialKind;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use zip::result::ZipError;
use zip::write::{ExtendedFileOptions, FileOptions};
use zip::{CompressionMethod, DateTime, System, ZipWriter};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
/// What DOS calls a directory.
const DOS_DIRECTORY: u32 = 0x10;
/// Info-ZIP's field for owners: version 1, each in four bytes.
const OWNER_FIELD: u16 = 0x7875;
/// Files from this size on get 64-bit fields: deflate makes what it cannot compress a little longer.
const LARGE_BYTES: u64 = 0xf000_0000;
/// Written at once.
const BUFFER_BYTES: usize = 512 << 10;

/// A zip.
pub(super) struct ZipSink {
    out: ZipWriter<BufWriter<File>>,
    method: CompressionMethod,
}

impl ZipSink {
    pub(super) fn new(file: File, deflate: bool) -> Self {
        let method = if deflate { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        Self { out: ZipWriter::new(BufWriter::with_capacity(BUFFER_BYTES, file)), method }
    }

    fn begin(
        &mut self,
        member: &Member,
        kind: u32,
        method: CompressionMethod,
        length: u64,
    ) -> io::Result<()> {
        let (slash, dos) = if kind == DIRECTORY { ("/", DOS_DIRECTORY) } else { ("", 0) };
        let name = String::from_utf8_lossy(&member.path) + slash;
        let options = FileOptions::<ExtendedFileOptions>::default()
            .compression_method(method)
            .system(System::Unix)
            .external_attributes((kind | member.mode) << 16 | dos)
            .last_modified_time(dos_time(member.mtime.as_seconds()))
            .large_file(length >= LARGE_BYTES);
        let mut options = match i32::try_from(member.mtime.as_seconds()) {
            Ok(seconds) if seconds >= 0 => {
                options.with_extended_timestamp(Some(seconds.unsigned_abs()), None, None).map_err(io_error)?
            }
            _ => options,
        };
        let mut owner = vec![1, 4];
        owner.extend_from_slice(&member.uid.to_le_bytes());
        owner.push(4);
        owner.extend_from_slice(&member.gid.to_le_bytes());
        options.add_extra_field(OWNER_FIELD, owner, false).map_err(io_error)?;
        self.out.start_file(name, options).map_err(io_error)
    }
}

fn io_error(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        error => io::Error::other(error),
    }
}

/// UTC, as Go writes it; what is before 1980 or after 2107 becomes the first there is.
fn dos_time(seconds: i64) -> DateTime {
    let known = jiff::Timestamp::from_second(seconds).ok().and_then(|time| {
        let time = time.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        let number = |value: i8| u8::try_from(value).ok();
        DateTime::from_date_and_time(
            u16::try_from(time.year()).ok()?,
            number(time.month())?,
            number(time.day())?,
            number(time.hour())?,
            number(time.minute())?,
            number(time.second())?,
        )
        .ok()
    });
    known.unwrap_or_default()
}

impl Sink for ZipSink {
    fn is_complete(&self) -> bool {
        false
    }

    fn directory(&mut self, member: &Member) -> io::Result<()> {
        self.begin(member, DIRECTORY, CompressionMethod::Stored, 0)
    }

    fn symlink(&mut self, member: &Member, target: &[u8]) -> io::Result<()> {
        self.begin(member, SYMLINK, CompressionMethod::Stored, target.len() as u64)?;
        self.out.write_all(target)
    }

    fn begin_file(&mut self, member: &Member, length: u64) -> io::Result<()> {
        let method = if length == 0 { CompressionMethod::Stored } else { self.method };
        self.begin(member, REGULAR, method, length)
    }

    fn data(&mut self, data: &[u8]) -> io::Result<()> {
        self.out.write_all(data)
    }

    fn end_file(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn hard_link(&mut self, _: &Member, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn special(&mut self, _: &Member, _: SpecialKind) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.out.finish().map_err(io_error)?.flush()
    }
}

//! Tars: POSIX headers, and extended ones where they are too small.

use super::member::Member;
use super::pax::{self, NAME_BYTES};
use super::sink::Sink;
use crate::source::SpecialKind;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use tar::{EntryType, Header};

const BLOCK_BYTES: usize = 512;
static ZEROS: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];
/// Written at once.
const BUFFER_BYTES: usize = 512 << 10;

enum Out {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl Out {
    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.write_all(data),
            Self::Gzip(out) => out.write_all(data),
        }
    }
}

/// A tar, in gzip or not.
pub(super) struct TarSink {
    out: Out,
    /// Bytes still to come of the file begun last, and of it altogether.
    left: u64,
    size: u64,
}

impl TarSink {
    pub(super) fn new(file: File, gzip: bool) -> Self {
        let out = BufWriter::with_capacity(BUFFER_BYTES, file);
        let out = if gzip {
            Out::Gzip(Box::new(GzEncoder::new(out, Compression::default())))
        } else {
            Out::Plain(out)
        };
        Self { out, left: 0, size: 0 }
    }

    fn header(
        &mut self,
        member: &Member,
        kind: EntryType,
        target: &[u8],
        size: u64,
        device: Option<(u32, u32)>,
    ) -> io::Result<()> {
        let slash: &[u8] = if kind == EntryType::Directory { b"/" } else { b"" };
        let path = [member.path.as_slice(), slash].concat();
        let records = pax::records(member, &path, target, size);
        if !records.is_empty() {
            let mut header = header(member, EntryType::XHeader, b"PaxHeaders", b"", records.len() as u64);
            header.set_cksum();
            self.out.write(header.as_bytes())?;
            self.out.write(&records)?;
            self.pad(records.len() as u64)?;
        }
        let mut header = header(member, kind, &path, target, size);
        if let Some((major, minor)) = device {
            header.set_device_major(major)?;
            header.set_device_minor(minor)?;
        }
        header.set_cksum();
        self.out.write(header.as_bytes())
    }

    /// Zeros up to the next block.
    fn pad(&mut self, length: u64) -> io::Result<()> {
        let rest = (length % BLOCK_BYTES as u64) as usize;
        if rest == 0 { Ok(()) } else { self.out.write(ZEROS.get(..BLOCK_BYTES - rest).unwrap_or_default()) }
    }
}

/// What fits into a header.
fn header(member: &Member, kind: EntryType, path: &[u8], target: &[u8], size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(member.mode);
    header.set_uid(member.uid.into());
    header.set_gid(member.gid.into());
    header.set_size(size);
    header.set_mtime(u64::try_from(member.mtime.as_seconds()).unwrap_or(0));
    let old = header.as_old_mut();
    for (field, name) in [(&mut old.name, path), (&mut old.linkname, target)] {
        let length = name.len().min(NAME_BYTES);
        field[..length].copy_from_slice(&name[..length]);
    }
    header
}

impl Sink for TarSink {
    fn is_complete(&self) -> bool {
        true
    }

    fn directory(&mut self, member: &Member) -> io::Result<()> {
        self.header(member, EntryType::Directory, b"", 0, None)
    }

    fn symlink(&mut self, member: &Member, target: &[u8]) -> io::Result<()> {
        self.header(member, EntryType::Symlink, target, 0, None)
    }

    fn begin_file(&mut self, member: &Member, length: u64) -> io::Result<()> {
        (self.left, self.size) = (length, length);
        self.header(member, EntryType::Regular, b"", length, None)
    }

    fn data(&mut self, data: &[u8]) -> io::Result<()> {
        // More than was said would be read as the next header.
        self.left = self.left.checked_sub(data.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
        self.out.write(data)
    }

    fn end_file(&mut self) -> io::Result<()> {
        if self.left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pad(self.size)
    }

    fn hard_link(&mut self, member: &Member, first: &[u8]) -> io::Result<()> {
        self.header(member, EntryType::Link, first, 0, None)
    }

    fn special(&mut self, member: &Member, kind: SpecialKind) -> io::Result<()> {
        let (kind, device) = match kind {
            SpecialKind::Fifo => (EntryType::Fifo, None),
            SpecialKind::CharDevice { major, minor } => (EntryType::Char, Some((major, minor))),
            SpecialKind::BlockDevice { major, minor } => (EntryType::Block, Some((major, minor))),
            SpecialKind::Socket => return Err(io::ErrorKind::Unsupported.into()),
        };
        self.header(member, kind, b"", 0, device)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.write(&ZEROS)?;
        match self.out {
            Out::Plain(mut out) => out.flush(),
            Out::Gzip(out) => out.finish()?.flush(),
        }
    }
}

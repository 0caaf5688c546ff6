//! The requests of the kernel.
//!
//! What can be answered from memory is answered at once; the rest goes to threads, those for names or those for data.
//! The kernel refuses all changes itself: the file system is mounted read-only.

use super::files::Files;
use super::numbers::ROOT;
use super::pool::Pool;
use super::tree::{Node, Tree, hard_link};
use super::{Error, Result};
use crate::base::{Timestamp, error_chain};
use crate::snapshot::{DirEntry, EntryType, Listing};
use crate::source::{Holes, SpecialKind, Xattrs};
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the kernel may rely on an answer: nothing here ever changes.
const TTL: Duration = Duration::from_hours(24);
const NEVER_REUSED: Generation = Generation(0);
/// Longest target of a link that Linux takes, in bytes.
const LINK_BYTES_MAX: u64 = 4095;
const BLOCK_BYTES: u32 = 4096;
const NAME_BYTES_MAX: u32 = 255;
/// The two ways of seeking that are not the kernel's own business.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;
/// `.` and `..` come before the members.
const DOTS: u64 = 2;

/// What all threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) tree: Tree,
    pub(super) files: Files,
}

/// The file system as the kernel sees it.
#[derive(Debug)]
pub(super) struct Fuse {
    shared: Arc<Shared>,
    names: Pool,
    reads: Arc<Pool>,
    options: FuseOptions,
}

/// What of the options is decided here.
#[derive(Debug, Clone, Copy)]
pub(super) struct FuseOptions {
    /// The kernel checks who may do what, lists of access included.
    pub(super) checks_access: bool,
    /// Every request is logged.
    pub(super) traces: bool,
}

impl Fuse {
    pub(super) fn new(shared: Shared, names: Pool, reads: Pool, options: FuseOptions) -> Self {
        Self { shared: Arc::new(shared), names, reads: Arc::new(reads), options }
    }

    fn trace(&self, what: &str, number: INodeNo, more: &dyn std::fmt::Debug) {
        if self.options.traces {
            tracing::debug!("{what} {} {more:?}", self.shared.tree.path(number.0));
        }
    }

    /// Calls `answer` with the listing of a directory: at once if it is in memory, else on a thread.
    fn with_listing(
        &self,
        number: INodeNo,
        answer: impl FnOnce(&Shared, Result<(u32, Arc<Listing>)>) + Send + 'static,
    ) {
        let shared = Arc::clone(&self.shared);
        let directory = match shared.tree.directory(number.0) {
            Ok(directory) => directory,
            Err(error) => return answer(&shared, Err(error)),
        };
        if let Some(listing) = shared.tree.listing_in_memory(directory) {
            return answer(&shared, Ok((directory, listing)));
        }
        self.names.run(move || {
            let listing = shared.tree.listing(directory);
            answer(&shared, listing.map(|listing| (directory, listing)));
        });
    }

    /// Calls `answer` with the node of a number, in the same way.
    fn with_node(&self, number: INodeNo, answer: impl FnOnce(&Shared, Result<Node>) + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        if let Some(node) = shared.tree.node_in_memory(number.0) {
            return answer(&shared, Ok(node));
        }
        self.names.run(move || {
            let node = shared.tree.node(number.0);
            answer(&shared, node);
        });
    }
}

impl Filesystem for Fuse {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = [
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_ASYNC_DIO,
        ];
        for flag in wanted {
            // An old kernel does without.
            config.add_capabilities(flag).ok();
        }
        if self.options.checks_access {
            config.add_capabilities(InitFlags::FUSE_POSIX_ACL).ok();
        }
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.trace("lookup", parent, &name);
        let name = name.as_bytes().to_vec();
        let shared = Arc::clone(&self.shared);
        let directory = match shared.tree.directory(parent.0) {
            Ok(directory) => directory,
            Err(error) => return reply.error(errno(&error)),
        };
        if let Some(listing) = shared.tree.listing_in_memory(directory) {
            return reply_entry(shared.tree.lookup(directory, &listing, &name), reply);
        }
        self.names.run(move || {
            if let Some(node) = shared.tree.lookup_early(directory, &name) {
                return reply_entry(Ok(Some(node)), reply);
            }
            let listing = shared.tree.listing(directory);
            let node = listing.and_then(|listing| shared.tree.lookup(directory, &listing, &name));
            reply_entry(node, reply);
        });
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        self.trace("getattr", ino, &"");
        self.with_node(ino, move |_, node| match node {
            Ok(node) => reply.attr(&TTL, &attributes(&node)),
            Err(error) => reply.error(errno(&error)),
        });
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        self.trace("readlink", ino, &"");
        let shared = Arc::clone(&self.shared);
        self.names.run(move || match target(&shared, ino.0) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(errno(&error)),
        });
    }

    fn open(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.trace("open", ino, &"");
        self.with_node(ino, move |shared, node| match node {
            Ok(node) => {
                let handle = FileHandle(shared.files.open(&node));
                reply.opened(handle, FopenFlags::FOPEN_KEEP_CACHE);
            }
            Err(error) => reply.error(errno(&error)),
        });
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.trace("read", ino, &(offset, size));
        let Some(file) = self.shared.files.get(handle.0) else { return reply.error(Errno::EBADF) };
        let (shared, reads) = (Arc::clone(&self.shared), Arc::downgrade(&self.reads));
        self.reads.run(move || {
            let path = || shared.tree.path(file.number);
            match shared.files.read(&file, offset, u64::from(size), &path) {
                Ok(bytes) => reply.data(bytes.as_slice()),
                Err(error) => return reply.error(errno(&error)),
            }
            let next = shared.files.next_after(&file, offset, offset + u64::from(size));
            // Whoever waits comes first.
            let reads = reads.upgrade().filter(|reads| reads.waiting() == 0);
            if let (Some(next), Some(reads)) = (next, reads) {
                let shared = Arc::clone(&shared);
                reads.run(move || shared.files.fetch(&file, &next));
            }
        });
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.shared.files.close(handle.0);
        reply.ok();
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.trace("readdir", ino, &offset);
        self.with_listing(ino, move |shared, listing| {
            let listed = listing.and_then(|(directory, listing)| {
                let dots = [(ino.0, "."), (shared.tree.above(directory), "..")];
                for (at, (number, name)) in dots.into_iter().enumerate().skip(offset as usize) {
                    if reply.add(INodeNo(number), at as u64 + 1, FileType::Directory, name) {
                        return Ok(());
                    }
                }
                members(shared, directory, &listing, offset, |next, node| {
                    let name = OsStr::from_bytes(node.entry.name_bytes());
                    reply.add(INodeNo(node.number), next, file_type(node), name)
                })
            });
            match listed {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn readdirplus(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.trace("readdirplus", ino, &offset);
        self.with_listing(ino, move |shared, listing| {
            let listed = listing.and_then(|(directory, listing)| {
                let dots = [(ino.0, "."), (shared.tree.above(directory), "..")];
                for (at, (number, name)) in dots.into_iter().enumerate().skip(offset as usize) {
                    // Of these the kernel takes nothing but the number.
                    let attributes = FileAttr { ino: INodeNo(number), ..attributes(&shared.tree.root()) };
                    if reply.add(INodeNo(number), at as u64 + 1, name, &TTL, &attributes, NEVER_REUSED) {
                        return Ok(());
                    }
                }
                members(shared, directory, &listing, offset, |next, node| {
                    let (number, name) = (INodeNo(node.number), OsStr::from_bytes(node.entry.name_bytes()));
                    reply.add(number, next, name, &TTL, &attributes(node), NEVER_REUSED)
                })
            });
            match listed {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn getxattr(&self, _request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let name = name.as_bytes().to_vec();
        self.with_node(ino, move |_, node| match node {
            Ok(node) => match xattrs(&node).and_then(|xattrs| xattrs.get(&name)) {
                Some(value) => reply_with(value, size, reply),
                None => reply.error(Errno::NO_XATTR),
            },
            Err(error) => reply.error(errno(&error)),
        });
    }

    fn listxattr(&self, _request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.with_node(ino, move |_, node| match node {
            Ok(node) => {
                let names = xattrs(&node).into_iter().flat_map(Xattrs::iter);
                let names: Vec<u8> = names.flat_map(|(name, _)| [name, b"\0"].concat()).collect();
                reply_with(&names, size, reply);
            }
            Err(error) => reply.error(errno(&error)),
        });
    }

    fn lseek(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let Some(file) = self.shared.files.get(handle.0) else { return reply.error(Errno::EBADF) };
        let to_data = match whence {
            SEEK_DATA => true,
            SEEK_HOLE => false,
            _ => return reply.error(Errno::EINVAL),
        };
        let found = u64::try_from(offset).ok().and_then(|offset| file.seek(offset, to_data));
        match found.and_then(|found| i64::try_from(found).ok()) {
            Some(found) => reply.offset(found),
            None => reply.error(Errno::ENXIO),
        }
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let summary = self.shared.tree.root().entry.summ;
        let blocks = summary.as_ref().map_or(0, |summary| summary.size.div_ceil(u64::from(BLOCK_BYTES)));
        let count = |summary: &crate::snapshot::DirSummary| {
            summary.files.saturating_add(summary.dirs).saturating_add(summary.symlinks)
        };
        let files = summary.as_deref().map_or(0, count);
        reply.statfs(blocks, 0, 0, files, 0, BLOCK_BYTES, NAME_BYTES_MAX, BLOCK_BYTES);
    }
}

/// Hands members from an offset on to `add`, with the offset behind each, until it says that there is no more room.
fn members(
    shared: &Shared,
    directory: u32,
    listing: &Listing,
    offset: u64,
    mut add: impl FnMut(u64, &Node) -> bool,
) -> Result<()> {
    let first = offset.saturating_sub(DOTS) as usize;
    for member in first..listing.len() {
        let Some(node) = shared.tree.member(directory, listing, member)? else { break };
        if add(member as u64 + DOTS + 1, &node) {
            break;
        }
    }
    Ok(())
}

fn target(shared: &Shared, number: u64) -> Result<Vec<u8>> {
    let node = shared.tree.node(number)?;
    let path = || shared.tree.path(number);
    let length = node.entry.size;
    if length > LINK_BYTES_MAX {
        return Err(Error::LongLink { path: path(), length });
    }
    let target = shared.tree.objects().read_all(node.entry.obj);
    let target = target.map_err(|source| Error::Data { path: path(), source: Arc::new(source) })?;
    match target.len() as u64 {
        found if found > LINK_BYTES_MAX => Err(Error::LongLink { path: path(), length: found }),
        _ => Ok(target),
    }
}

fn reply_entry(node: Result<Option<Node>>, reply: ReplyEntry) {
    match node {
        Ok(Some(node)) => reply.entry(&TTL, &attributes(&node), NEVER_REUSED),
        Ok(None) => reply.error(Errno::ENOENT),
        Err(error) => reply.error(errno(&error)),
    }
}

/// What the caller hears of an error; the operator hears more.
fn errno(error: &Error) -> Errno {
    if let Error::Unknown { .. } = error {
        return Errno::ESTALE;
    }
    tracing::warn!("{}", error_chain(error));
    Errno::EIO
}

fn file_type(node: &Node) -> FileType {
    if let Some(special) = node.special {
        return match special {
            SpecialKind::Fifo => FileType::NamedPipe,
            SpecialKind::Socket => FileType::Socket,
            SpecialKind::CharDevice { .. } => FileType::CharDevice,
            SpecialKind::BlockDevice { .. } => FileType::BlockDevice,
        };
    }
    match node.entry.kind {
        EntryType::Directory => FileType::Directory,
        EntryType::Symlink => FileType::Symlink,
        EntryType::File | EntryType::Unknown => FileType::RegularFile,
    }
}

fn attributes(node: &Node) -> FileAttr {
    let entry = &node.entry;
    let (kind, mtime) = (file_type(node), system_time(entry.mtime));
    let size = if kind == FileType::Directory { u64::from(BLOCK_BYTES) } else { entry.size };
    FileAttr {
        ino: INodeNo(if node.number == 0 { ROOT } else { node.number }),
        size,
        blocks: if kind == FileType::RegularFile { blocks(entry) } else { 0 },
        atime: mtime,
        mtime,
        ctime: mtime,
        crtime: mtime,
        kind,
        perm: entry.mode.posix() as u16,
        // Of a directory: the others inside are not counted, which 1 says to those who would rely on it.
        nlink: hard_link(entry).map_or(1, |link| u32::try_from(link.links).unwrap_or(u32::MAX)),
        uid: entry.uid,
        gid: entry.gid,
        rdev: device_number(node.special),
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

/// Of 512 bytes; holes take none.
fn blocks(entry: &DirEntry) -> u64 {
    let holes = entry.supplement.as_ref().and_then(|supplement| supplement.holes.as_deref());
    let gaps = match holes {
        Some(Holes::At(holes)) => holes.iter().map(|hole| hole.length).fold(0, u64::saturating_add),
        Some(Holes::Scattered) | None => 0,
    };
    entry.size.saturating_sub(gaps).div_ceil(512)
}

/// As the kernel takes it: 12 bits of the major number amid the 20 of the minor.
fn device_number(special: Option<SpecialKind>) -> u32 {
    match special {
        Some(SpecialKind::CharDevice { major, minor } | SpecialKind::BlockDevice { major, minor }) => {
            (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xf_ff00) << 12)
        }
        _ => 0,
    }
}

/// The extended attributes of a node.
fn xattrs(node: &Node) -> Option<&Xattrs> {
    node.entry.supplement.as_ref()?.xattrs.as_deref()
}

/// Answers with the bytes, with their number where that was asked for, or that there is no room for them.
fn reply_with(bytes: &[u8], room: u32, reply: ReplyXattr) {
    match bytes.len() {
        length if room == 0 => reply.size(length as u32),
        length if length > room as usize => reply.error(Errno::ERANGE),
        _ => reply.data(bytes),
    }
}

fn system_time(time: Timestamp) -> SystemTime {
    let nanos = time.as_nanos();
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    if nanos < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_the_kernels() {
        for (major, minor) in [(1, 3), (8, 17), (259, 300), (4095, 0xf_ffff)] {
            let number = device_number(Some(SpecialKind::BlockDevice { major, minor }));
            let found = ((number & 0xf_ff00) >> 8, (number & 0xff) | ((number >> 12) & 0xf_ff00));
            assert_eq!(found, (major, minor));
        }
    }

    #[test]
    fn times_are_exact_on_both_sides_of_1970() {
        for nanos in [0, 1, -1, 1_700_000_000_123_456_789, i64::MIN, i64::MAX] {
            let time = system_time(Timestamp::from_nanos(nanos));
            let back = match time.duration_since(UNIX_EPOCH) {
                Ok(after) => after.as_nanos() as i128,
                Err(before) => -(before.duration().as_nanos() as i128),
            };
            assert_eq!(back, i128::from(nanos));
        }
    }
}

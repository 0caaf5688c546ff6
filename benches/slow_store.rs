//! A folder seen through a store in which every request takes a while: for whole-process comparisons.
//!
//! ```text
//! cargo bench --bench slow_store -- FOLDER MOUNT-POINT MILLISECONDS
//! ```
//!
//! Read-only. Opening a file waits, which is once for each blob or range of a blob that a client asks for; so do a
//! look-up by name and the listing of a folder. Requests wait side by side, as many as there are. Ends when it is
//! unmounted (`umount MOUNT-POINT`).

#![expect(clippy::print_stderr, reason = "a program for the terminal")]

use fuser::{
    BackingId, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, MountOption, OpenFlags, ReplyAttr, ReplyDirectory, ReplyEntry, ReplyOpen,
    Request,
};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// The kernel asks anew each time, as a store has to be asked.
const NO_TIME: Duration = Duration::ZERO;

#[derive(Default)]
struct Known {
    paths: HashMap<u64, PathBuf>,
    /// What the kernel reads from by itself, so that only the waiting is slow. Never given back: a file has one.
    backings: HashMap<u64, Arc<BackingId>>,
}

struct SlowStore {
    delay: Duration,
    known: Arc<Mutex<Known>>,
}

impl SlowStore {
    fn path(&self, number: INodeNo) -> Option<PathBuf> {
        self.known.lock().paths.get(&number.0).cloned()
    }

    fn later(&self, then: impl FnOnce() + Send + 'static) {
        let delay = self.delay;
        std::thread::spawn(move || {
            std::thread::sleep(delay);
            then();
        });
    }
}

fn attributes(path: &PathBuf, number: u64) -> std::io::Result<FileAttr> {
    let stat = std::fs::metadata(path)?;
    let time = UNIX_EPOCH + Duration::new(stat.mtime() as u64, stat.mtime_nsec() as u32);
    let kind = if stat.is_dir() { FileType::Directory } else { FileType::RegularFile };
    Ok(FileAttr {
        ino: INodeNo(number),
        size: stat.len(),
        blocks: stat.blocks(),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm: (stat.mode() & 0o7777) as u16,
        nlink: 1,
        uid: stat.uid(),
        gid: stat.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

impl Filesystem for SlowStore {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let missing = |_| std::io::Error::other("this needs a kernel whose FUSE passes reads through (6.9)");
        config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).map_err(missing)?;
        config
            .set_max_stack_depth(2)
            .map_err(|_| std::io::Error::other("files cannot be stacked so deep"))?;
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let Some(path) = self.path(parent).map(|parent| parent.join(name)) else {
            return reply.error(Errno::ENOENT);
        };
        let Ok(stat) = std::fs::metadata(&path) else { return reply.error(Errno::ENOENT) };
        let number = stat.ino();
        self.known.lock().paths.insert(number, path.clone());
        match attributes(&path, number) {
            Ok(attributes) => reply.entry(&NO_TIME, &attributes, Generation(0)),
            Err(error) => reply.error(error.into()),
        }
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.path(ino).map(|path| attributes(&path, ino.0)) {
            Some(Ok(attributes)) => reply.attr(&NO_TIME, &attributes),
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let Some(path) = self.path(ino) else { return reply.error(Errno::ENOENT) };
        let known = Arc::clone(&self.known);
        self.later(move || {
            let mut known = known.lock();
            let backing = match known.backings.get(&ino.0) {
                Some(backing) => Ok(Arc::clone(backing)),
                None => File::open(path).and_then(|file| reply.open_backing(file)).map(Arc::new),
            };
            match backing {
                Ok(backing) => {
                    known.backings.insert(ino.0, Arc::clone(&backing));
                    reply.opened_passthrough(FileHandle(0), FopenFlags::empty(), &backing);
                }
                Err(error) => reply.error(error.into()),
            }
        });
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Some(path) = self.path(ino) else { return reply.error(Errno::ENOENT) };
        let list = move || {
            let Ok(listed) = std::fs::read_dir(&path) else { return reply.error(Errno::EIO) };
            for (at, entry) in listed.flatten().enumerate().skip(offset as usize) {
                let Ok(stat) = entry.metadata() else { continue };
                let kind = if stat.is_dir() { FileType::Directory } else { FileType::RegularFile };
                if reply.add(INodeNo(stat.ino()), at as u64 + 1, kind, entry.file_name()) {
                    break;
                }
            }
            reply.ok();
        };
        if offset == 0 { self.later(list) } else { list() }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (Some(folder), Some(point), Some(Ok(delay))) =
        (arguments.next(), arguments.next(), arguments.next().map(|text| text.parse()))
    else {
        // Run among all benches, there is nothing to measure here.
        return eprintln!("slow_store FOLDER MOUNT-POINT MILLISECONDS");
    };
    let mut known = Known::default();
    known.paths.insert(INodeNo::ROOT.0, PathBuf::from(folder));
    let (delay, known) = (Duration::from_millis(delay), Arc::new(Mutex::new(known)));
    let store = SlowStore { delay, known };
    let mut config = Config::default();
    config.mount_options = vec![MountOption::RO, MountOption::FSName("slow-store".to_owned())];
    if let Err(error) = fuser::mount(store, point, &config) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

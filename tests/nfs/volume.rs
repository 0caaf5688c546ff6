//! A folder seen through a volume that fails as network volumes do: a FUSE file system that passes everything on and
//! plants faults.

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NO_TIME: Duration = Duration::ZERO;
/// Owner of everything where users are mapped.
const NOBODY: u32 = 65534;

/// What the volume is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Lookup,
    Open,
    Read,
    Create,
    Write,
    Flush,
    Sync,
    Rename,
    Unlink,
    OpenFolder,
    ReadFolder,
    SyncFolder,
    MakeFolder,
}

/// How it behaves.
#[derive(Debug, Default)]
pub(super) struct Behaviour {
    /// Which calls fail: the kind, the first of them and how many from there (counted from 0), and with what.
    pub(super) fault: Option<(Op, u64, u64, i32)>,
    /// How long each call takes.
    pub(super) delay: Duration,
    /// How long names that others have made stay unseen.
    pub(super) unseen: Duration,
    /// How long files that others have made seem empty.
    pub(super) empty: Duration,
    /// Whether all clients are taken for nobody: nobody owns everything, and gives nothing away.
    pub(super) squashes: bool,
    /// How often it was asked for something since.
    pub(super) calls: HashMap<Op, u64>,
}

impl Behaviour {
    /// How often it was asked for something since it was last changed.
    pub(super) fn calls(&self, op: Op) -> u64 {
        self.calls.get(&op).copied().unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    paths: HashMap<u64, PathBuf>,
    numbers: HashMap<PathBuf, u64>,
    files: HashMap<u64, (u64, File)>,
    /// Made through the volume: seen at once.
    own: HashSet<PathBuf>,
    next: u64,
}

impl State {
    fn number(&mut self, path: &Path) -> u64 {
        if let Some(number) = self.numbers.get(path) {
            return *number;
        }
        self.next += 1;
        self.paths.insert(self.next, path.to_owned());
        self.numbers.insert(path.to_owned(), self.next);
        self.next
    }

    fn forget(&mut self, path: &Path) {
        if let Some(number) = self.numbers.remove(path) {
            self.paths.remove(&number);
        }
        self.own.remove(path);
    }

    fn moved(&mut self, from: &Path, to: &Path) {
        self.forget(to);
        if let Some(number) = self.numbers.remove(from) {
            self.paths.insert(number, to.to_owned());
            self.numbers.insert(to.to_owned(), number);
        }
        self.own.remove(from);
        self.own.insert(to.to_owned());
    }
}

struct Passing {
    state: Mutex<State>,
    behaviour: Arc<Mutex<Behaviour>>,
}

/// The mounted volume; taken away when dropped.
pub(super) struct Volume {
    session: Option<BackgroundSession>,
    behaviour: Arc<Mutex<Behaviour>>,
    _base: tempfile::TempDir,
    /// The folder behind it.
    pub(super) behind: PathBuf,
    /// The same through the volume.
    pub(super) root: PathBuf,
}

impl Volume {
    /// Mounts a volume over a new folder, or says with a word on stderr that it cannot.
    pub(super) fn mount() -> Option<Self> {
        let base = tempfile::tempdir().unwrap();
        let (behind, root) = (base.path().join("behind"), base.path().join("volume"));
        fs::create_dir(&behind).unwrap();
        fs::create_dir(&root).unwrap();
        let mut state = State { next: INodeNo::ROOT.0, ..State::default() };
        state.paths.insert(INodeNo::ROOT.0, behind.clone());
        state.numbers.insert(behind.clone(), INodeNo::ROOT.0);
        let behaviour = Arc::<Mutex<Behaviour>>::default();
        let passing = Passing { state: Mutex::new(state), behaviour: behaviour.clone() };
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("network-volume".to_owned())];
        match fuser::spawn_mount(passing, &root, &config) {
            Ok(session) => Some(Self { session: Some(session), behaviour, _base: base, behind, root }),
            Err(error) => {
                eprintln!("skipped: no volume of our own can be mounted here: {error}");
                None
            }
        }
    }

    /// Behaves differently from here on.
    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    /// How often it was asked for something since then.
    pub(super) fn calls(&self, op: Op) -> u64 {
        self.behaviour.lock().calls(op)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.behave(Behaviour::default());
        if let Some(session) = self.session.take() {
            session.umount_and_join().ok();
        }
    }
}

impl Passing {
    /// Counts a call, waits, and says whether it is one that fails.
    fn enter(&self, op: Op) -> io::Result<()> {
        let (number, fault, delay) = {
            let mut behaviour = self.behaviour.lock();
            let count = behaviour.calls.entry(op).or_default();
            *count += 1;
            (*count - 1, behaviour.fault, behaviour.delay)
        };
        std::thread::sleep(delay);
        match fault {
            Some((kind, first, count, errno)) if kind == op && (first..first + count).contains(&number) => {
                Err(io::Error::from_raw_os_error(errno))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, number: INodeNo) -> io::Result<PathBuf> {
        let known = self.state.lock().paths.get(&number.0).cloned();
        known.ok_or_else(|| io::Error::from_raw_os_error(116))
    }

    /// Whether a file of another client has existed for so long by now.
    fn is_seen_after(&self, path: &Path, delay: Duration) -> bool {
        if delay.is_zero() || self.state.lock().own.contains(path) {
            return true;
        }
        let made = fs::metadata(path).and_then(|found| found.modified());
        made.is_ok_and(|made| SystemTime::now().duration_since(made).is_ok_and(|age| age >= delay))
    }

    fn is_visible(&self, path: &Path) -> bool {
        let unseen = self.behaviour.lock().unseen;
        path.is_dir() || self.is_seen_after(path, unseen)
    }

    fn attributes(&self, path: &Path) -> io::Result<FileAttr> {
        if !self.is_visible(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let stat = fs::symlink_metadata(path)?;
        let (empty, squashes) = {
            let behaviour = self.behaviour.lock();
            (behaviour.empty, behaviour.squashes)
        };
        let size = if stat.is_file() && !self.is_seen_after(path, empty) { 0 } else { stat.len() };
        let time = UNIX_EPOCH + Duration::new(stat.mtime() as u64, stat.mtime_nsec() as u32);
        Ok(FileAttr {
            ino: INodeNo(self.state.lock().number(path)),
            size,
            blocks: stat.blocks(),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind: if stat.is_dir() { FileType::Directory } else { FileType::RegularFile },
            perm: (stat.mode() & 0o7777) as u16,
            nlink: 1,
            uid: if squashes { NOBODY } else { stat.uid() },
            gid: if squashes { NOBODY } else { stat.gid() },
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn keep(&self, number: u64, file: File) -> FileHandle {
        let mut state = self.state.lock();
        state.next += 1;
        let handle = state.next;
        state.files.insert(handle, (number, file));
        FileHandle(handle)
    }

    fn with_file<T>(&self, handle: FileHandle, act: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let state = self.state.lock();
        let (_, file) = state.files.get(&handle.0).ok_or_else(|| io::Error::from_raw_os_error(9))?;
        act(file)
    }

    fn change(
        &self,
        ino: INodeNo,
        mode: Option<u32>,
        owner: (Option<u32>, Option<u32>),
        size: Option<u64>,
        mtime: Option<TimeOrNow>,
    ) -> io::Result<FileAttr> {
        let path = self.path(ino)?;
        if owner != (None, None) {
            if self.behaviour.lock().squashes {
                return Err(io::Error::from_raw_os_error(1));
            }
            std::os::unix::fs::lchown(&path, owner.0, owner.1)?;
        }
        if let Some(mode) = mode {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o7777))?;
        }
        if let Some(size) = size {
            OpenOptions::new().write(true).open(&path)?.set_len(size)?;
        }
        if let Some(mtime) = mtime {
            let time = match mtime {
                TimeOrNow::SpecificTime(time) => time,
                TimeOrNow::Now => SystemTime::now(),
            };
            OpenOptions::new().write(true).open(&path)?.set_modified(time)?;
        }
        self.attributes(&path)
    }

    /// Removes a name; a file that is open keeps its bytes under another, as with NFS.
    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let number = state.numbers.get(path).copied();
        let is_open = state.files.values().any(|(of, _)| Some(*of) == number);
        if is_open {
            let silly = path.with_file_name(format!(".nfs{:024x}", number.unwrap_or_default()));
            fs::rename(path, &silly)?;
            state.moved(path, &silly);
        } else {
            fs::remove_file(path)?;
            state.forget(path);
        }
        Ok(())
    }

    fn release_file(&self, handle: FileHandle) {
        let mut state = self.state.lock();
        let Some((number, _)) = state.files.remove(&handle.0) else { return };
        let Some(path) = state.paths.get(&number).cloned() else { return };
        let is_silly = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".nfs"));
        if is_silly && !state.files.values().any(|(of, _)| *of == number) {
            fs::remove_file(&path).ok();
            state.forget(&path);
        }
    }
}

/// Answers with what came of it, or with its error.
macro_rules! answer {
    ($reply:ident, $outcome:expr, $value:pat => $success:expr) => {
        match $outcome {
            Ok($value) => $success,
            Err(error) => $reply.error(Errno::from(io::Error::from(error))),
        }
    };
}

impl Filesystem for Passing {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.enter(Op::Lookup).and_then(|()| self.attributes(&self.path(parent)?.join(name)));
        answer!(reply, found, found => reply.entry(&NO_TIME, &found, Generation(0)));
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.path(ino).and_then(|path| self.attributes(&path));
        answer!(reply, found, found => reply.attr(&NO_TIME, &found));
    }

    fn setattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let found = self.change(ino, mode, (uid, gid), size, mtime);
        answer!(reply, found, found => reply.attr(&NO_TIME, &found));
    }

    fn mkdir(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let found = self.enter(Op::MakeFolder).and_then(|()| {
            let path = self.path(parent)?.join(name);
            fs::DirBuilder::new().mode(mode & !umask).create(&path)?;
            self.attributes(&path)
        });
        answer!(reply, found, found => reply.entry(&NO_TIME, &found, Generation(0)));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.enter(Op::Unlink).and_then(|()| self.remove(&self.path(parent)?.join(name)));
        answer!(reply, done, () => reply.ok());
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let done = self.enter(Op::Rename).and_then(|()| {
            let (from, to) = (self.path(parent)?.join(name), self.path(new_parent)?.join(new_name));
            fs::rename(&from, &to)?;
            self.state.lock().moved(&from, &to);
            Ok(())
        });
        answer!(reply, done, () => reply.ok());
    }

    fn open(&self, _request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let opened = self.enter(Op::Open).and_then(|()| {
            let path = self.path(ino)?;
            let writes = flags.0 & 0o3 != 0;
            Ok(self.keep(ino.0, OpenOptions::new().read(true).write(writes).open(path)?))
        });
        answer!(reply, opened, handle => reply.opened(handle, FopenFlags::FOPEN_DIRECT_IO));
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
        let data = self.enter(Op::Read).and_then(|()| {
            let length = self.attributes(&self.path(ino)?)?.size;
            let mut data = vec![0; u64::from(size).min(length.saturating_sub(offset)) as usize];
            let read = self.with_file(handle, |file| file.read_at(&mut data, offset))?;
            data.truncate(read);
            Ok(data)
        });
        answer!(reply, data, data => reply.data(&data));
    }

    fn write(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let done = self
            .enter(Op::Write)
            .and_then(|()| self.with_file(handle, |file| file.write_all_at(data, offset)));
        answer!(reply, done, () => reply.written(data.len() as u32));
    }

    fn flush(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        let done = self.enter(Op::Flush);
        if done.is_err() {
            // What the server had no room for is not there.
            self.with_file(handle, |file| file.set_len(0)).ok();
        }
        answer!(reply, done, () => reply.ok());
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
        self.release_file(handle);
        reply.ok();
    }

    fn fsync(&self, _request: &Request, _ino: INodeNo, _handle: FileHandle, _data: bool, reply: ReplyEmpty) {
        answer!(reply, self.enter(Op::Sync), () => reply.ok());
    }

    fn opendir(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let done = self.enter(Op::OpenFolder);
        answer!(reply, done, () => reply.opened(FileHandle(0), FopenFlags::empty()));
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.enter(Op::ReadFolder).and_then(|()| {
            let path = self.path(ino)?;
            fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()
        });
        let mut listed = match listed {
            Ok(listed) => listed,
            Err(error) => return reply.error(error.into()),
        };
        listed.sort();
        for (at, path) in listed.iter().enumerate().skip(offset as usize) {
            let Some(name) = path.file_name().filter(|_| self.is_visible(path)) else { continue };
            let kind = if path.is_dir() { FileType::Directory } else { FileType::RegularFile };
            let number = self.state.lock().number(path);
            if reply.add(INodeNo(number), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _data: bool,
        reply: ReplyEmpty,
    ) {
        answer!(reply, self.enter(Op::SyncFolder), () => reply.ok());
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 19, 4096, 255, 4096);
    }

    fn create(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let outcome = self.enter(Op::Create).and_then(|()| {
            let path = self.path(parent)?.join(name);
            let mode = mode & !umask & 0o7777;
            let file = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&path)?;
            self.state.lock().own.insert(path.clone());
            let found = self.attributes(&path)?;
            let handle = self.keep(found.ino.0, file);
            Ok((found, handle))
        });
        answer!(reply, outcome, (found, handle) => {
            reply.created(&NO_TIME, &found, Generation(0), handle, FopenFlags::FOPEN_DIRECT_IO);
        });
    }
}

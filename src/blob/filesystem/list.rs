//! Listing: a walk over the folders that can hold names with the wanted prefix.
//!
//! The walk stays on the caller's thread as long as there is one folder to read at a time, which covers most index
//! listings, and spreads over a few threads from there. The callback always runs on the caller's thread.

use super::{Filesystem, leftovers, refusal};
use crate::base::Timestamp;
use crate::blob::layout::{Layout, SUFFIX};
use crate::blob::{BlobId, BlobMetadata, Error, Result};
use parking_lot::{Condvar, Mutex};
use rustix::fs::{AtFlags, Dir, DirEntry, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// Threads when the options leave the choice: enough to hide the latency of a network volume.
const DEFAULT_PARALLELISM: u32 = 8;
/// More threads than this only cost memory, whatever the options say.
const MAX_PARALLELISM: u32 = 64;
/// Blobs handed over at once.
const BATCH: usize = 1024;
/// What some file systems put into their root for themselves, closed to all but the superuser.
const FOREIGN_FOLDER: &str = "lost+found";

/// A folder to read.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// The names of the folders from the root to here, joined: what the names of its blobs start with.
    name: String,
    /// Their lengths.
    widths: Vec<usize>,
}

/// A blob met on the walk.
struct Found {
    blob: BlobMetadata,
    /// Whether it lies where `get` will look for it.
    is_home: bool,
}

/// What is needed to read any folder.
struct Walk<'a> {
    store: &'a Filesystem,
    layout: Layout,
    prefix: &'a str,
}

/// The blobs of a folder that have been handed over: 128 bits of each, under keys drawn for this reading, because a
/// folder that is not cut may hold a million names.
#[derive(Default)]
struct Emitted {
    keys: [RandomState; 2],
    blobs: HashSet<[u64; 2]>,
}

impl Emitted {
    fn print(&self, id: &BlobId) -> [u64; 2] {
        self.keys.each_ref().map(|key| key.hash_one(id.as_str()))
    }

    fn add(&mut self, batch: &[Found]) {
        for found in batch {
            self.blobs.insert(self.print(&found.blob.id));
        }
    }

    fn has(&self, id: &BlobId) -> bool {
        !self.blobs.is_empty() && self.blobs.contains(&self.print(id))
    }
}

/// Takes a batch; answers whether more is wanted.
type Emit<'a> = &'a mut dyn FnMut(Vec<Found>) -> bool;

impl Filesystem {
    pub(super) fn list_blobs(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(BlobMetadata) -> Result<()>,
    ) -> Result<()> {
        let walk = Walk { store: self, layout: self.layout(false)?, prefix };
        let mut strays = HashSet::new();
        let mut deliver = |batch: Vec<Found>| -> Result<()> {
            for Found { blob, is_home } in batch {
                if is_home || strays.insert(blob.id.clone()) {
                    visit(blob)?;
                }
            }
            Ok(())
        };
        let mut folders = vec![Folder { path: self.root.clone(), name: String::new(), widths: Vec::new() }];
        while folders.len() == 1 {
            let Some(folder) = folders.pop() else { break };
            let mut outcome = Ok(());
            folders = walk.read_folder(&folder, &mut |batch| {
                outcome = deliver(batch);
                outcome.is_ok()
            })?;
            outcome?;
        }
        if folders.is_empty() { Ok(()) } else { walk.in_parallel(folders, &mut deliver) }
    }

    fn list_threads(&self) -> u32 {
        match self.options.list_parallelism {
            None | Some(0) => DEFAULT_PARALLELISM,
            Some(wanted) => wanted.min(MAX_PARALLELISM),
        }
    }
}

impl Walk<'_> {
    /// Reads `folders` and everything below them with several threads.
    fn in_parallel(
        &self,
        folders: Vec<Folder>,
        deliver: &mut dyn FnMut(Vec<Found>) -> Result<()>,
    ) -> Result<()> {
        let threads = self.store.list_threads();
        let queue = Queue::new(folders);
        let (sender, receiver) = crossbeam_channel::bounded::<Result<Vec<Found>>>(threads as usize);
        std::thread::scope(|scope| {
            // Dropped on every way out, also when the callback panics, so that no thread waits for ever.
            let receiver = receiver;
            for _ in 0..threads {
                let (queue, sender) = (&queue, sender.clone());
                let thread = std::thread::Builder::new().name("blob-list".into());
                if let Err(source) = thread.spawn_scoped(scope, move || self.work(queue, &sender)) {
                    queue.close();
                    return Err(Error::List { path: self.store.root.clone(), source });
                }
            }
            drop(sender);
            let outcome = receiver.iter().try_for_each(|batch| deliver(batch?));
            queue.close();
            outcome
        })
    }

    /// What each thread does.
    fn work(&self, queue: &Queue, sender: &crossbeam_channel::Sender<Result<Vec<Found>>>) {
        while let Some(folder) = queue.take() {
            let outcome = self.read_folder(&folder, &mut |batch| sender.send(Ok(batch)).is_ok());
            let is_wanted = match outcome {
                Ok(below) => queue.done(below),
                Err(error) => {
                    // Nobody listens any more if this fails, and then nobody misses the error.
                    sender.send(Err(error)).ok();
                    false
                }
            };
            if !is_wanted {
                queue.close();
            }
        }
    }

    /// Reads one folder: emits its blobs, returns the folders below it that are worth reading.
    ///
    /// Tried again after a passing fault, such as a handle that has become stale: then from the beginning and from the
    /// path, without what has been emitted.
    fn read_folder(&self, folder: &Folder, emit: Emit<'_>) -> Result<Vec<Folder>> {
        let mut emitted = Emitted::default();
        self.store.retry(&folder.path, || self.read_folder_once(folder, &mut emitted, emit))
    }

    fn read_folder_once(
        &self,
        folder: &Folder,
        emitted: &mut Emitted,
        emit: Emit<'_>,
    ) -> Result<Vec<Folder>> {
        let failed = |errno: Errno| Error::List {
            path: folder.path.clone(),
            source: refusal::explain(&folder.path, errno.into()),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = match rustix::fs::open(&folder.path, flags, Mode::empty()) {
            // A shard folder that has vanished holds nothing, unless everything has.
            Err(Errno::NOENT) => return self.store.check_root().map(|()| Vec::new()),
            outcome => outcome.map_err(failed)?,
        };
        let mut entries = Dir::new(opened).map_err(failed)?;
        let mut below = Vec::new();
        let mut batch = Vec::new();
        while let Some(entry) = entries.read() {
            let entry = entry.map_err(failed)?;
            let here = entries.fd().map_err(failed)?;
            match self.look_at(folder, here, &entry).map_err(failed)? {
                Sight::Nothing => {}
                Sight::Folder(found) => below.push(found),
                Sight::Blob(found) if emitted.has(&found.blob.id) => {}
                Sight::Blob(found) => batch.push(found),
            }
            if batch.len() == BATCH {
                // Nothing can fail any more after the last batch, so that small folders are not remembered.
                emitted.add(&batch);
                if !emit(std::mem::take(&mut batch)) {
                    return Ok(Vec::new());
                }
            }
        }
        if batch.is_empty() || emit(batch) { Ok(below) } else { Ok(Vec::new()) }
    }

    fn look_at(&self, folder: &Folder, here: BorrowedFd<'_>, entry: &DirEntry) -> Result<Sight, Errno> {
        let Ok(name) = entry.file_name().to_str() else { return Ok(Sight::Nothing) };
        if name.starts_with('.') && (folder.name.is_empty() || matches!(name, "." | "..")) {
            return Ok(Sight::Nothing);
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match rustix::fs::statat(here, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
            {
                Err(Errno::NOENT) => return Ok(Sight::Nothing),
                outcome => FileType::from_raw_mode(outcome?.st_mode),
            },
            kind => kind,
        };
        if kind == FileType::Directory {
            return Ok(self.folder(folder, name).map_or(Sight::Nothing, Sight::Folder));
        }
        let Some(stem) = name.strip_suffix(SUFFIX) else {
            if leftovers::is_temporary(name) {
                self.store.met.remember(folder.path.join(name));
            }
            return Ok(Sight::Nothing);
        };
        let id = format!("{}{stem}", folder.name);
        if !id.starts_with(self.prefix) {
            return Ok(Sight::Nothing);
        }
        self.blob(folder, here, entry, BlobId::from(id))
    }

    /// The folder `name` in `above`, if blobs with the wanted prefix can be in it.
    fn folder(&self, above: &Folder, name: &str) -> Option<Folder> {
        let joined = format!("{}{name}", above.name);
        let can_match = joined.starts_with(self.prefix) || self.prefix.starts_with(&joined);
        if !can_match || !is_worth_a_look(name, above.name.is_empty()) {
            return None;
        }
        let mut widths = above.widths.clone();
        widths.push(name.len());
        Some(Folder { path: above.path.join(name), name: joined, widths })
    }

    fn blob(
        &self,
        folder: &Folder,
        here: BorrowedFd<'_>,
        entry: &DirEntry,
        id: BlobId,
    ) -> Result<Sight, Errno> {
        if !id.is_valid() {
            return Ok(Sight::Nothing);
        }
        let found = match rustix::fs::statat(here, entry.file_name(), AtFlags::empty()) {
            Err(Errno::NOENT) => return Ok(Sight::Nothing),
            outcome => outcome?,
        };
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Ok(Sight::Nothing);
        }
        let (folders, _) = self.layout.split(id.as_str());
        let is_home = folders.iter().map(|name| name.len()).eq(folder.widths.iter().copied());
        if !is_home && self.is_at_home(&id) {
            return Ok(Sight::Nothing);
        }
        let timestamp = Timestamp::from_seconds(found.st_mtime, found.st_mtime_nsec as i64);
        let blob = BlobMetadata { id, length: found.st_size as u64, timestamp };
        Ok(Sight::Blob(Found { blob, is_home }))
    }

    /// Whether a blob met elsewhere will also be met where it belongs.
    fn is_at_home(&self, id: &BlobId) -> bool {
        self.layout.path(id).is_ok_and(|path| self.store.root.join(path).is_file())
    }
}

/// Whether blobs can be in a folder of that name.
pub(super) fn is_worth_a_look(name: &str, is_in_root: bool) -> bool {
    let is_foreign = is_in_root && (name.starts_with('.') || name == FOREIGN_FOLDER);
    !is_foreign && BlobId::from(name).is_valid()
}

/// What an entry of a folder turned out to be.
enum Sight {
    Nothing,
    Folder(Folder),
    Blob(Found),
}

/// Folders waiting to be read, shared by the threads of one listing.
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

struct QueueState {
    folders: Vec<Folder>,
    /// Folders being read, which may yield more.
    busy: usize,
    is_closed: bool,
}

impl Queue {
    fn new(folders: Vec<Folder>) -> Self {
        Self { state: Mutex::new(QueueState { folders, busy: 0, is_closed: false }), changed: Condvar::new() }
    }

    /// The next folder; waits for one as long as more can come.
    fn take(&self) -> Option<Folder> {
        let mut state = self.state.lock();
        loop {
            if state.is_closed || (state.folders.is_empty() && state.busy == 0) {
                return None;
            }
            if let Some(folder) = state.folders.pop() {
                state.busy += 1;
                return Some(folder);
            }
            self.changed.wait(&mut state);
        }
    }

    /// Ends the reading of a folder; answers whether the listing goes on.
    fn done(&self, below: Vec<Folder>) -> bool {
        let mut state = self.state.lock();
        state.folders.extend(below);
        state.busy -= 1;
        self.changed.notify_all();
        !state.is_closed
    }

    /// Sends every thread home.
    fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_all();
    }
}
